//! One session: what it has to send and what it waits for.

use super::receive::Assembly;
use super::{MsrpIncoming, MsrpMessage, MsrpSettings};
use crate::strict::MsrpFrame;
use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};
use wire::{Hop, Instant, Random, Realm, StreamId, Transport};

#[derive(Debug)]
pub(super) struct Session {
    pub(super) local_path: String,
    pub(super) remote_path: Option<String>,
    pub(super) way: Way,
    outgoing: VecDeque<Outgoing>,
    in_flight: BTreeMap<String, Chunk>,
    pub(super) assemblies: BTreeMap<String, Assembly>,
}

/// How the session reaches its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Listening,
    Dialling { realm: Realm, transport: Transport, peer: SocketAddr },
    Bound(StreamId),
    Lost,
}

/// A message under way; kept until every chunk is answered.
#[derive(Debug)]
struct Outgoing {
    message: MsrpMessage,
    sent: usize,
    unanswered: usize,
    started: bool,
}

impl Outgoing {
    fn is_sent(&self) -> bool {
        self.started && self.sent == self.message.body.len()
    }
}

#[derive(Debug)]
struct Chunk {
    message_id: String,
    give_up_at: Instant,
}

impl Session {
    pub(super) fn new(local_path: &str, remote_path: Option<&str>, way: Way) -> Self {
        Self {
            local_path: local_path.to_owned(),
            remote_path: remote_path.map(str::to_owned),
            way,
            outgoing: VecDeque::new(),
            in_flight: BTreeMap::new(),
            assemblies: BTreeMap::new(),
        }
    }

    pub(super) fn push(&mut self, message: MsrpMessage) {
        self.outgoing.push_back(Outgoing { message, sent: 0, unanswered: 0, started: false });
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.outgoing.is_empty() && self.in_flight.is_empty()
    }

    pub(super) fn stream(&self) -> Option<StreamId> {
        match self.way {
            Way::Bound(stream) => Some(stream),
            _ => None,
        }
    }

    pub(super) fn is_dialling(&self, transport: Transport, peer: SocketAddr) -> bool {
        matches!(self.way, Way::Dialling { transport: t, peer: p, .. } if t == transport && p == peer)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.in_flight.values().map(|c| c.give_up_at).min()
    }

    /// The next chunk that the window allows.
    pub(super) fn next_chunk(
        &mut self,
        settings: &MsrpSettings,
        random: &mut Random,
        now: Instant,
    ) -> Option<(Hop, MsrpFrame)> {
        let remote = self.remote_path.clone()?;
        let hop = match self.way {
            Way::Bound(stream) => Hop::Stream(stream),
            Way::Dialling { realm, transport, peer } => Hop::Peer { realm, transport, peer },
            Way::Listening | Way::Lost => return None,
        };
        if self.in_flight.len() >= settings.window {
            return None;
        }
        let outgoing = self.outgoing.iter_mut().find(|o| !o.is_sent())?;
        let id = token(random, 16);
        let frame = outgoing.chunk(&id, &remote, &self.local_path, settings.chunk_bytes);
        let message_id = outgoing.message.message_id.clone();
        let give_up_at = now + settings.answer_timeout;
        self.in_flight.insert(id, Chunk { message_id, give_up_at });
        Some((hop, frame))
    }

    /// A response to a chunk.
    pub(super) fn on_answer(&mut self, session: &str, frame: &MsrpFrame) -> Option<MsrpIncoming> {
        let Some(chunk) = self.in_flight.remove(&frame.id) else {
            return Some(MsrpIncoming::Broken {
                rule: "R76",
                detail: format!("{} {} answers nothing we sent", frame.status, frame.id),
            });
        };
        let (session, message_id) = (session.to_owned(), chunk.message_id);
        if frame.status != 200 {
            self.abandon(&message_id);
            return Some(MsrpIncoming::SendFailed { session, message_id, status: frame.status });
        }
        let at = self.outgoing.iter().position(|o| o.message.message_id == message_id)?;
        let outgoing = self.outgoing.get_mut(at)?;
        outgoing.unanswered = outgoing.unanswered.saturating_sub(1);
        if outgoing.unanswered > 0 || !outgoing.is_sent() {
            return None;
        }
        let is_opener = outgoing.message.content_type.is_empty();
        self.outgoing.remove(at);
        (!is_opener).then_some(MsrpIncoming::Sent { session, message_id })
    }

    /// Gives up the messages whose answers are overdue.
    pub(super) fn time_out(&mut self, now: Instant) -> Vec<String> {
        let mut overdue: Vec<String> = Vec::new();
        for chunk in self.in_flight.values().filter(|c| c.give_up_at <= now) {
            if !overdue.contains(&chunk.message_id) {
                overdue.push(chunk.message_id.clone());
            }
        }
        for message_id in &overdue {
            self.abandon(message_id);
        }
        overdue
    }

    /// The connection is gone; returns what was not sent.
    pub(super) fn lose(&mut self) -> Vec<String> {
        self.way = Way::Lost;
        self.in_flight.clear();
        self.assemblies.clear();
        self.outgoing.drain(..).map(|o| o.message.message_id).collect()
    }

    fn abandon(&mut self, message_id: &str) {
        self.in_flight.retain(|_, c| c.message_id != message_id);
        self.outgoing.retain(|o| o.message.message_id != message_id);
    }
}

impl Outgoing {
    fn chunk(&mut self, id: &str, to: &str, from: &str, chunk_bytes: usize) -> MsrpFrame {
        let total = self.message.body.len();
        let start = self.sent;
        let end = (start + chunk_bytes.max(1)).min(total);
        self.sent = end;
        self.unanswered += 1;
        self.started = true;
        let m = &self.message;
        let mut fields = vec![
            ("To-Path".to_owned(), to.to_owned()),
            ("From-Path".to_owned(), from.to_owned()),
            ("Message-ID".to_owned(), m.message_id.clone()),
            ("Byte-Range".to_owned(), format!("{}-{end}/{total}", start + 1)),
        ];
        let is_opener = m.content_type.is_empty();
        if !is_opener {
            let success = if m.success_report { "yes" } else { "no" };
            fields.push(("Success-Report".to_owned(), success.to_owned()));
            fields.push(("Failure-Report".to_owned(), "yes".to_owned()));
            fields.push(("Content-Type".to_owned(), m.content_type.clone()));
        }
        MsrpFrame {
            id: id.to_owned(),
            method: "SEND".to_owned(),
            status: 0,
            fields,
            body: (!is_opener).then(|| m.body.slice(start..end).to_vec()),
            flag: if end == total { b'$' } else { b'+' },
        }
    }
}

pub(super) fn token(random: &mut Random, count: usize) -> String {
    let mut out = Vec::with_capacity(count);
    random.push_token(count, &mut out);
    out.into_iter().map(char::from).collect()
}
