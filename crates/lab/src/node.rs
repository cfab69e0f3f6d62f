//! What every lab node has in common: the sans-IO contract, the outbox, the record of violations.

use core::fmt;
use wire::{Hop, Instant, NetAction, NetEvent, Span, StreamId};

/// A sans-IO node of the lab. A shell feeds it, drains the outbox after each call and wakes it.
pub trait Node {
    /// Takes in what happened on the network.
    fn handle(&mut self, event: NetEvent<'_>, now: Instant, out: &mut LabOutbox);

    /// When `handle_deadline` wants to be called.
    fn next_deadline(&self) -> Option<Instant>;

    /// Fires what is due.
    fn handle_deadline(&mut self, now: Instant, out: &mut LabOutbox);
}

/// What a node wants of the network; reused between calls.
#[derive(Debug, Default)]
pub struct LabOutbox {
    /// In order; spans point into `bytes`.
    pub actions: Vec<NetAction>,
    /// What is to be sent.
    pub bytes: Vec<u8>,
}

impl LabOutbox {
    /// Sends `bytes`.
    pub fn send(&mut self, hop: Hop, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        let bytes = Span::new(start, self.bytes.len());
        self.actions.push(NetAction::Send { hop, bytes });
    }

    /// Closes a stream after what was sent before.
    pub fn close(&mut self, stream: StreamId) {
        self.actions.push(NetAction::Close { stream });
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.actions.clear();
        self.bytes.clear();
    }
}

/// Something a node received that it must never receive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Instant,
    /// Which node saw it.
    pub node: String,
    /// The rule, by its R-number or RFC section.
    pub rule: &'static str,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} [{}] {}", self.at, self.node, self.rule, self.detail)
    }
}

/// Collects violations; capped, because one mistake may repeat with every message.
#[derive(Clone, Debug, Default)]
pub struct Violations {
    node: String,
    list: Vec<Violation>,
    count: u64,
}

impl Violations {
    /// For the node of this name.
    #[must_use]
    pub fn new(node: &str) -> Self {
        Self { node: node.to_owned(), ..Self::default() }
    }

    /// Records that `rule` was broken.
    pub fn record(&mut self, now: Instant, rule: &'static str, detail: impl Into<String>) {
        self.count += 1;
        if self.list.len() < LIST_MAX {
            self.list.push(Violation { at: now, node: self.node.clone(), rule, detail: detail.into() });
        }
    }

    /// Records that `rule` was broken unless `holds`.
    pub fn expect(&mut self, holds: bool, now: Instant, rule: &'static str, detail: impl FnOnce() -> String) {
        if !holds {
            self.record(now, rule, detail());
        }
    }

    /// Those recorded, at most 200.
    #[must_use]
    pub fn list(&self) -> &[Violation] {
        &self.list
    }

    /// How many there were.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }
}

const LIST_MAX: usize = 200;
