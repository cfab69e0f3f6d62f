//! Client transactions.

use super::ClientId;
use crate::node::LabOutbox;
use crate::strict::{SipMessage, SipWriter};
use core::net::SocketAddr;
use sip::transaction::{Effects, InviteClient, NonInviteClient, Timers};
use std::collections::{BTreeMap, VecDeque};
use wire::{Hop, Instant, StreamId, Transport};

#[derive(Debug)]
pub(super) struct Clients {
    timers: Timers,
    all: BTreeMap<ClientId, Client>,
    by_branch: BTreeMap<(String, String), ClientId>,
    /// Branches of the latest transactions that ended: their late answers are no mistake.
    ended: VecDeque<String>,
}

#[derive(Debug)]
struct Client {
    machine: Machine,
    request: SipMessage,
    bytes: Vec<u8>,
    hop: Hop,
    ack: Option<(Vec<u8>, Hop)>,
    cancel: Cancel,
    /// Went to a connection that is gone.
    doomed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancel {
    No,
    Wanted,
    Sent,
}

#[derive(Debug)]
enum Machine {
    Invite(InviteClient),
    Other(NonInviteClient),
}

const ENDED_MAX: usize = 4_096;

impl Clients {
    pub(super) fn new(timers: Timers) -> Self {
        Self { timers, all: BTreeMap::new(), by_branch: BTreeMap::new(), ended: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// # Panics
    /// If the lab itself wrote something that is not a request.
    pub(super) fn start(&mut self, id: ClientId, bytes: Vec<u8>, hop: Hop, reliable: bool, now: Instant) {
        let request = SipMessage::parse(&bytes).expect("the lab writes well-formed requests");
        let machine = match request.method() {
            "INVITE" => Machine::Invite(InviteClient::new(reliable, now, &self.timers)),
            _ => Machine::Other(NonInviteClient::new(reliable, now, &self.timers)),
        };
        self.by_branch.insert(branch_key(&request), id);
        self.all.insert(
            id,
            Client { machine, request, bytes, hop, ack: None, cancel: Cancel::No, doomed: false },
        );
    }

    /// RFC 3261 §17.1.3: top branch and CSeq method.
    pub(super) fn find(&self, response: &SipMessage) -> Option<ClientId> {
        self.by_branch.get(&branch_key(response)).copied()
    }

    pub(super) fn was_ours(&self, response: &SipMessage) -> bool {
        let (branch, _) = branch_key(response);
        self.ended.contains(&branch) || self.by_branch.keys().any(|(b, _)| *b == branch)
    }

    /// Whether the TU is to see the response.
    pub(super) fn on_response(
        &mut self,
        id: ClientId,
        response: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) -> bool {
        let Some(client) = self.all.get_mut(&id) else {
            return false;
        };
        let effects = client.machine.on_response(response.status(), now);
        if effects.contains(Effects::ACK) {
            out.send(client.hop, &ack_of_refusal(&client.request, response));
        }
        let mut passed = effects.contains(Effects::PASS);
        if let (true, Some((bytes, hop))) = (passed && response.status() >= 200, &client.ack) {
            out.send(*hop, bytes);
            passed = false;
        }
        if effects.contains(Effects::ENDED) {
            self.end(id);
        }
        passed
    }

    pub(super) fn next_deadline(&self, id: ClientId) -> Option<Instant> {
        self.all.get(&id).and_then(|c| c.machine.next_deadline())
    }

    /// Marks a request that nobody will ever get; returns when its transport error is due.
    pub(super) fn doom(&mut self, id: ClientId, now: Instant) -> Option<Instant> {
        self.all.get_mut(&id)?.doomed = true;
        Some(now)
    }

    /// Whether the TU is to hear that no answer came.
    pub(super) fn on_deadline(&mut self, id: ClientId, now: Instant, out: &mut LabOutbox) -> bool {
        let Some(client) = self.all.get_mut(&id) else {
            return false;
        };
        let effects = if client.doomed {
            client.machine.on_transport_error(now)
        } else {
            client.machine.on_deadline(now)
        };
        if effects.contains(Effects::RESEND) {
            out.send(client.hop, &client.bytes);
        }
        if effects.contains(Effects::ENDED) {
            self.end(id);
        }
        effects.contains(Effects::TIMED_OUT) || effects.contains(Effects::FAILED)
    }

    /// The requests that went with a lost stream, or to a peer that cannot be reached.
    pub(super) fn lost(
        &mut self,
        stream: Option<StreamId>,
        peer: Option<(Transport, SocketAddr)>,
        now: Instant,
    ) -> Vec<ClientId> {
        let concerns = |hop: Hop| match hop {
            Hop::Stream(id) => Some(id) == stream,
            Hop::Peer { transport, peer: p, .. } => Some((transport, p)) == peer,
            Hop::Datagram { .. } => false,
        };
        let mut failed = Vec::new();
        for (id, client) in &mut self.all {
            if concerns(client.hop) && client.machine.on_transport_error(now).contains(Effects::FAILED) {
                failed.push(*id);
            }
        }
        for id in &failed {
            self.end(*id);
        }
        failed
    }

    pub(super) fn keep_ack(&mut self, id: ClientId, bytes: Vec<u8>, hop: Hop) {
        if let Some(client) = self.all.get_mut(&id) {
            client.ack = Some((bytes, hop));
        }
    }

    /// Asks for a CANCEL; returns it if it may go out at once.
    pub(super) fn cancel(&mut self, id: ClientId) -> Option<(Vec<u8>, Hop)> {
        let client = self.all.get_mut(&id)?;
        if client.cancel == Cancel::No {
            client.cancel = Cancel::Wanted;
        }
        self.cancel_due(id)
    }

    /// The CANCEL that was asked for, once a provisional response has come.
    pub(super) fn cancel_due(&mut self, id: ClientId) -> Option<(Vec<u8>, Hop)> {
        let client = self.all.get_mut(&id)?;
        let Machine::Invite(machine) = &client.machine else {
            return None;
        };
        if client.cancel != Cancel::Wanted || !machine.is_proceeding() {
            return None;
        }
        client.cancel = Cancel::Sent;
        Some((same_branch(&client.request, "CANCEL", None), client.hop))
    }

    fn end(&mut self, id: ClientId) {
        if let Some(client) = self.all.remove(&id) {
            let key = branch_key(&client.request);
            self.by_branch.remove(&key);
            self.ended.push_back(key.0);
            if self.ended.len() > ENDED_MAX {
                self.ended.pop_front();
            }
        }
    }
}

impl Machine {
    fn on_response(&mut self, status: u16, now: Instant) -> Effects {
        match self {
            Self::Invite(m) => m.on_response(status, now),
            Self::Other(m) => m.on_response(status, now),
        }
    }

    fn on_deadline(&mut self, now: Instant) -> Effects {
        match self {
            Self::Invite(m) => m.on_deadline(now),
            Self::Other(m) => m.on_deadline(now),
        }
    }

    fn on_transport_error(&mut self, now: Instant) -> Effects {
        match self {
            Self::Invite(m) => m.on_transport_error(now),
            Self::Other(m) => m.on_transport_error(now),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        match self {
            Self::Invite(m) => m.next_deadline(),
            Self::Other(m) => m.next_deadline(),
        }
    }
}

fn branch_key(message: &SipMessage) -> (String, String) {
    let branch = message.vias().first().map(|v| v.branch().to_owned()).unwrap_or_default();
    (branch, message.method().to_owned())
}

/// RFC 3261 §17.1.1.3: the ACK of a refusal, on the branch of the INVITE.
fn ack_of_refusal(invite: &SipMessage, response: &SipMessage) -> Vec<u8> {
    same_branch(invite, "ACK", response.first("To"))
}

/// ACK of a refusal or CANCEL (RFC 3261 §9.1): everything as in the INVITE but the method.
fn same_branch(invite: &SipMessage, method: &str, to: Option<&str>) -> Vec<u8> {
    let number = invite.cseq().map_or(1, |(n, _)| n);
    SipWriter::request(method, invite.uri())
        .maybe("Via", invite.first("Via"))
        .fields("Route", invite.all("Route"))
        .maybe("From", invite.first("From"))
        .maybe("To", to.or(invite.first("To")))
        .field("Call-ID", invite.call_id())
        .field("CSeq", &format!("{number} {method}"))
        .field("Max-Forwards", "70")
        .finish()
}
