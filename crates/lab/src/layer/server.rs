//! Server transactions.

use super::{Origin, ServerId};
use crate::deadlines::earlier;
use crate::node::LabOutbox;
use crate::strict::{SipMessage, uri};
use core::net::SocketAddr;
use core::time::Duration;
use sip::transaction::{Effects, InviteServer, NonInviteServer, Timers};
use std::collections::BTreeMap;
use wire::{Hop, Instant};

#[derive(Debug)]
pub(super) struct Servers {
    timers: Timers,
    all: BTreeMap<ServerId, Server>,
    by_branch: BTreeMap<BranchKey, ServerId>,
    /// INVITEs answered with 2xx, by Call-ID and CSeq number: their ACK has a branch of its own.
    accepted: BTreeMap<(String, u32), ServerId>,
}

/// RFC 3261 §17.2.3: branch, sent-by, method.
type BranchKey = (String, String, String);

#[derive(Debug)]
struct Server {
    machine: Machine,
    origin: Origin,
    key: BranchKey,
    dialog: (String, u32),
    last: Vec<u8>,
    /// Repeats a 2xx until its ACK comes.
    repeat: Option<Repeat>,
}

#[derive(Clone, Copy, Debug)]
struct Repeat {
    at: Instant,
    interval: Duration,
    give_up_at: Instant,
}

#[derive(Debug)]
enum Machine {
    Invite(InviteServer),
    Other(NonInviteServer),
}

impl Servers {
    pub(super) fn new(timers: Timers) -> Self {
        Self { timers, all: BTreeMap::new(), by_branch: BTreeMap::new(), accepted: BTreeMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether the request is new; a repetition is answered with what was answered before.
    pub(super) fn start(
        &mut self,
        id: ServerId,
        request: &SipMessage,
        origin: Origin,
        now: Instant,
        out: &mut LabOutbox,
    ) -> bool {
        let key = branch_key(request, request.method());
        if let Some(server) = self.by_branch.get(&key).and_then(|id| self.all.get_mut(id)) {
            if server.machine.on_request(now).contains(Effects::RESEND) {
                out.send(server.origin.hop, &server.last);
            }
            return false;
        }
        let reliable = origin.transport.is_reliable();
        let machine = match request.method() {
            "INVITE" => Machine::Invite(InviteServer::new(reliable, now, &self.timers)),
            _ => Machine::Other(NonInviteServer::new(reliable, now, &self.timers)),
        };
        let number = request.cseq().map_or(0, |(n, _)| n);
        self.by_branch.insert(key.clone(), id);
        self.all.insert(
            id,
            Server {
                machine,
                origin,
                key,
                dialog: (request.call_id().to_owned(), number),
                last: Vec::new(),
                repeat: None,
            },
        );
        true
    }

    pub(super) fn respond(
        &mut self,
        id: ServerId,
        status: u16,
        bytes: Vec<u8>,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let Some(server) = self.all.get_mut(&id) else {
            return;
        };
        let effects = server.machine.on_send(status, now);
        if effects.contains(Effects::PASS) {
            out.send(server.origin.hop, &bytes);
            server.last = bytes;
            if matches!(server.machine, Machine::Invite(_)) && (200..300).contains(&status) {
                server.repeat = Some(Repeat {
                    at: now + self.timers.t1,
                    interval: self.timers.t1,
                    give_up_at: now + self.timers.t1_64(),
                });
                self.accepted.insert(server.dialog.clone(), id);
            }
        }
        if effects.contains(Effects::ENDED) {
            self.end(id);
        }
    }

    pub(super) fn is_unanswered(&self, id: ServerId) -> bool {
        matches!(self.all.get(&id).map(|s| &s.machine), Some(Machine::Invite(m)) if m.is_proceeding())
    }

    /// The INVITE that this ACK belongs to, and whether it belongs to a refusal.
    pub(super) fn on_ack(&mut self, ack: &SipMessage, now: Instant) -> Option<(ServerId, bool)> {
        if let Some(&id) = self.by_branch.get(&branch_key(ack, "INVITE")) {
            let server = self.all.get_mut(&id)?;
            if server.repeat.is_none()
                && let Machine::Invite(machine) = &mut server.machine
            {
                if machine.on_ack(now).contains(Effects::ENDED) {
                    self.end(id);
                }
                return Some((id, true));
            }
        }
        let number = ack.cseq()?.0;
        let id = *self.accepted.get(&(ack.call_id().to_owned(), number))?;
        let server = self.all.get_mut(&id)?;
        // a repetition of the ACK means nothing
        server.repeat.take()?;
        Some((id, false))
    }

    pub(super) fn invite_of_cancel(&self, cancel: &SipMessage) -> Option<ServerId> {
        self.by_branch.get(&branch_key(cancel, "INVITE")).copied()
    }

    pub(super) fn next_deadline(&self, id: ServerId) -> Option<Instant> {
        let server = self.all.get(&id)?;
        earlier(server.machine.next_deadline(), server.repeat.map(|r| r.at.min(r.give_up_at)))
    }

    /// Whether the TU is to hear that no ACK came.
    pub(super) fn on_deadline(&mut self, id: ServerId, now: Instant, out: &mut LabOutbox) -> bool {
        let Some(server) = self.all.get_mut(&id) else {
            return false;
        };
        let mut no_ack = false;
        match server.repeat {
            Some(r) if r.give_up_at <= now => {
                server.repeat = None;
                no_ack = true;
            }
            Some(r) if r.at <= now => {
                out.send(server.origin.hop, &server.last);
                let interval = (r.interval * 2).min(self.timers.t2);
                server.repeat = Some(Repeat { at: now + interval, interval, ..r });
            }
            _ => {}
        }
        let effects = server.machine.on_deadline(now);
        if effects.contains(Effects::RESEND) {
            out.send(server.origin.hop, &server.last);
        }
        if effects.contains(Effects::ENDED) {
            self.end(id);
        }
        no_ack
    }

    fn end(&mut self, id: ServerId) {
        if let Some(server) = self.all.remove(&id) {
            self.by_branch.remove(&server.key);
            self.accepted.remove(&server.dialog);
        }
    }
}

impl Machine {
    fn on_request(&mut self, now: Instant) -> Effects {
        match self {
            Self::Invite(m) => m.on_request(now),
            Self::Other(m) => m.on_request(now),
        }
    }

    fn on_send(&mut self, status: u16, now: Instant) -> Effects {
        match self {
            Self::Invite(m) => m.on_send(status, now),
            Self::Other(m) => m.on_send(status, now),
        }
    }

    fn on_deadline(&mut self, now: Instant) -> Effects {
        match self {
            Self::Invite(m) => m.on_deadline(now),
            Self::Other(m) => m.on_deadline(now),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        match self {
            Self::Invite(m) => m.next_deadline(),
            Self::Other(m) => m.next_deadline(),
        }
    }
}

fn branch_key(request: &SipMessage, method: &str) -> BranchKey {
    let top = request.vias().into_iter().next();
    let (branch, sent_by) = top.map(|v| (v.branch().to_owned(), v.sent_by())).unwrap_or_default();
    (branch, sent_by, method.to_owned())
}

/// Fills `received` and `rport` into the top Via and finds the way back (RFC 3261 §18.2, RFC 3581 §4).
///
/// `None` if there is no readable Via.
pub(super) fn mark_received(request: &mut SipMessage, origin: Origin) -> Option<Origin> {
    let top = request.vias().into_iter().next()?;
    let (ip, port) = (origin.source.ip(), origin.source.port());
    let asks_rport = top.param("rport").is_some();
    let field = request.fields.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case("Via"))?;
    let first_end = uri::split_outside_quotes(&field.1, ',').first()?.len();
    let mut first = field.1.get(..first_end)?.to_owned();
    if asks_rport {
        first = first.replacen(";rport", &format!(";rport={port}"), 1);
    }
    if asks_rport || top.host.trim_matches(['[', ']']) != ip.to_string() {
        first.push_str(&format!(";received={ip}"));
    }
    field.1.replace_range(..first_end, &first);
    let hop = match origin.hop {
        Hop::Datagram { socket, .. } if !asks_rport => {
            Hop::Datagram { socket, peer: SocketAddr::new(ip, top.port.unwrap_or(5060)) }
        }
        hop => hop,
    };
    Some(Origin { hop, ..origin })
}
