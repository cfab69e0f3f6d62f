//! The machine of one shard: what it holds, and where each event goes.

use crate::api::{Event, Outbox, Reason, ShardContext};
use crate::counters::Counters;
use crate::deadlines::Deadlines;
use config::Config;
use std::sync::Arc;
use wire::{Instant, Random};

/// The signalling brain of one shard.
///
/// It owns its transactions, bindings, flows and dialogs; nothing is shared. The shell hands in
/// events one at a time, drains the outbox, and arms one timer for [`next_deadline`](Self::next_deadline).
#[derive(Debug)]
pub struct Edge {
    pub(crate) config: Arc<Config>,
    pub(crate) context: ShardContext,
    pub(crate) random: Random,
    pub(crate) deadlines: Deadlines,
    pub(crate) counters: Counters,
    pub(crate) draining: bool,
}

impl Edge {
    /// Makes the machine of a shard whose sockets are bound.
    #[must_use]
    pub fn new(config: Arc<Config>, context: ShardContext) -> Self {
        let random = Random::from_seed(context.seed);
        Self {
            config,
            context,
            random,
            deadlines: Deadlines::default(),
            counters: Counters::default(),
            draining: false,
        }
    }

    /// Takes in one event; what is to be done about it is appended to `out`.
    pub fn handle(&mut self, event: Event<'_>, _now: Instant, _out: &mut Outbox) {
        match event {
            Event::Config(config) => self.config = config,
            Event::Drain => self.draining = true,
            Event::Net(_) | Event::Media(_) | Event::Handover { .. } => {}
        }
    }

    /// When to call [`handle_deadline`](Self::handle_deadline), and why; it may lie in the past.
    #[must_use]
    pub fn next_deadline(&self) -> Option<(Instant, Reason)> {
        self.deadlines.first().map(|(at, alarm)| (at, alarm.reason()))
    }

    /// Wakes whoever is due, a bounded number of owners per call.
    pub fn handle_deadline(&mut self, now: Instant, _out: &mut Outbox) {
        while self.deadlines.pop_due(now).is_some() {}
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
