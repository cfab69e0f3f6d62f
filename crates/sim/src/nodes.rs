//! Our machines as nodes of the simulated network.

use crate::node::{Node, NodeAction, NodeEvent, NodeOutbox};
use core::any::Any;
use core::net::SocketAddr;
use edge::Edge;
use lab::node::{LabOutbox, Node as LabNode};
use media::command::{MediaCommand, MediaNotice};
use media::relay::{self, MsrpRelay};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::{Instant, MediaId, NetAction, NetEvent, Realm, Span, StreamId, Transport};

/// A lab machine (core or UE) on the network.
#[derive(Debug)]
pub struct Lab<M> {
    /// The machine.
    pub machine: M,
    out: LabOutbox,
}

impl<M: LabNode + 'static> Lab<M> {
    /// Puts a machine into its socket.
    #[must_use]
    pub fn new(machine: M) -> Self {
        Self { machine, out: LabOutbox::default() }
    }

    /// Lets the machine act, and passes on what it wants.
    pub fn act<R>(&mut self, out: &mut NodeOutbox, act: impl FnOnce(&mut M, &mut LabOutbox) -> R) -> R {
        let result = act(&mut self.machine, &mut self.out);
        let base = out.bytes.len();
        out.bytes.extend_from_slice(&self.out.bytes);
        let actions = self.out.actions.drain(..).map(|action| NodeAction::Net(shifted(action, base)));
        out.actions.extend(actions);
        self.out.clear();
        result
    }
}

impl<M: LabNode + 'static> Node for Lab<M> {
    fn handle(&mut self, event: NodeEvent<'_>, now: Instant, out: &mut NodeOutbox) {
        if let NodeEvent::Net(event) = event {
            self.act(out, |machine, out| machine.handle(event, now, out));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.machine.next_deadline()
    }

    fn handle_deadline(&mut self, now: Instant, out: &mut NodeOutbox) {
        self.act(out, |machine, out| machine.handle_deadline(now, out));
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// One shard: its edge and its relay, glued as the real shell glues them.
#[derive(Debug)]
pub struct EdgeNode {
    /// The signalling machine.
    pub edge: Edge,
    /// The MSRP relay.
    pub relay: MsrpRelay,
    /// Where MSRP is served: streams accepted there belong to the relay.
    msrp_at: Vec<SocketAddr>,
    /// Endpoints to dial from, by realm.
    dial_from: [usize; 2],
    relayed: BTreeSet<StreamId>,
    tickets: BTreeMap<u64, (MediaId, Realm, Transport)>,
    tickets_given: u64,
    queue_low_bytes: usize,
    queued: BTreeMap<StreamId, usize>,
    edge_out: edge::Outbox,
    relay_out: relay::Outbox,
    commands: VecDeque<MediaCommand>,
    notices: VecDeque<MediaNotice>,
    /// What the relay recorded, for tests.
    pub msrp_records: Vec<media::command::MsrpRecord>,
    /// What the edge recorded, for tests.
    pub records: Vec<edge::Record>,
}

impl EdgeNode {
    /// Glues a shard. `dial_from` are the endpoints (by index) to dial from: access, core.
    #[must_use]
    pub fn new(edge: Edge, limits: relay::Limits, msrp_at: Vec<SocketAddr>, dial_from: [usize; 2]) -> Self {
        Self {
            edge,
            queue_low_bytes: limits.queue_low_bytes,
            relay: MsrpRelay::new(limits),
            msrp_at,
            dial_from,
            relayed: BTreeSet::new(),
            tickets: BTreeMap::new(),
            tickets_given: 0,
            queued: BTreeMap::new(),
            edge_out: edge::Outbox::default(),
            relay_out: relay::Outbox::default(),
            commands: VecDeque::new(),
            notices: VecDeque::new(),
            msrp_records: Vec::new(),
            records: Vec::new(),
        }
    }

    fn tell_edge(&mut self, event: edge::Event<'_>, now: Instant, out: &mut NodeOutbox) {
        self.edge.handle(event, now, &mut self.edge_out);
        self.drain_edge(out);
        self.settle(now, out);
    }

    fn tell_relay(&mut self, event: relay::Event<'_>, now: Instant, out: &mut NodeOutbox) {
        let input = if let relay::Event::Bytes { bytes, .. } = event { bytes } else { &[] };
        self.relay.handle(event, now, &mut self.relay_out);
        self.drain_relay(input, now, out);
        self.settle(now, out);
    }

    /// Passes commands and notices to and fro until both machines are content.
    fn settle(&mut self, now: Instant, out: &mut NodeOutbox) {
        loop {
            if let Some(command) = self.commands.pop_front() {
                self.relay.handle(relay::Event::Command(command), now, &mut self.relay_out);
                self.drain_relay(&[], now, out);
            } else if let Some(notice) = self.notices.pop_front() {
                self.edge.handle(edge::Event::Media(notice), now, &mut self.edge_out);
                self.drain_edge(out);
            } else {
                return;
            }
        }
    }

    fn drain_edge(&mut self, out: &mut NodeOutbox) {
        let base = out.bytes.len();
        out.bytes.extend_from_slice(&self.edge_out.bytes);
        for action in self.edge_out.actions.drain(..) {
            match action {
                edge::Action::Net(action) => out.actions.push(NodeAction::Net(shifted(action, base))),
                edge::Action::Media(command) => self.commands.push_back(command),
                edge::Action::Record(record) => self.records.push(record),
                // One shard: a hand-over leads nowhere. The network has no idle timer.
                edge::Action::Handover { .. } | edge::Action::HoldOpen { .. } | edge::Action::Resolve(_) => {}
            }
        }
        self.edge_out.clear();
    }

    fn drain_relay(&mut self, input: &[u8], now: Instant, out: &mut NodeOutbox) {
        let mut waiting = Vec::new();
        let mut relay_out = core::mem::take(&mut self.relay_out);
        for action in relay_out.actions.drain(..).collect::<Vec<_>>() {
            match action {
                relay::Action::Forward { conn, segments } => {
                    let start = out.bytes.len();
                    for &segment in relay_out.segments.get(segments).unwrap_or_default() {
                        out.bytes.extend_from_slice(relay_out.segment(segment, input));
                    }
                    let bytes = Span::new(start, out.bytes.len());
                    let hop = wire::Hop::Stream(conn);
                    out.actions.push(NodeAction::Net(NetAction::Send { hop, bytes }));
                    let queued = self.queued.entry(conn).or_default();
                    *queued += bytes.len();
                    waiting.push((conn, *queued));
                }
                relay::Action::Dial { id, realm, transport, peer, trust: _ } => {
                    self.tickets_given += 1;
                    self.tickets.insert(self.tickets_given, (id, realm, transport));
                    let endpoint = self.dial_from[usize::from(realm == Realm::Core)];
                    let ticket = self.tickets_given;
                    out.actions.push(NodeAction::Dial { ticket, endpoint, transport, peer });
                }
                relay::Action::Close { conn } => {
                    out.actions.push(NodeAction::Net(NetAction::Close { stream: conn }));
                }
                relay::Action::PauseReading { conn } => out.actions.push(NodeAction::Pause { stream: conn }),
                relay::Action::ResumeReading { conn } => {
                    out.actions.push(NodeAction::Resume { stream: conn });
                }
                relay::Action::Notice(notice) => self.notices.push_back(notice),
                relay::Action::Record(record) => self.msrp_records.push(*record),
            }
        }
        relay_out.clear();
        self.relay_out = relay_out;
        for (conn, bytes) in waiting {
            if bytes > self.queue_low_bytes {
                self.relay.handle(relay::Event::Queued { conn, bytes }, now, &mut self.relay_out);
                self.drain_relay(&[], now, out);
            }
        }
    }

    fn opened(&mut self, event: NetEvent<'_>, now: Instant, out: &mut NodeOutbox) -> bool {
        let NetEvent::StreamOpened { stream, realm, transport, local, peer } = event else { return false };
        if !self.msrp_at.contains(&local) {
            return false;
        }
        self.relayed.insert(stream);
        let opened = relay::Event::Opened {
            conn: stream,
            realm,
            transport,
            local,
            peer,
            dialled_for: None,
            certificate: None,
        };
        self.tell_relay(opened, now, out);
        true
    }
}

impl Node for EdgeNode {
    fn handle(&mut self, event: NodeEvent<'_>, now: Instant, out: &mut NodeOutbox) {
        match event {
            NodeEvent::Net(NetEvent::StreamBytes { stream, bytes }) if self.relayed.contains(&stream) => {
                self.tell_relay(relay::Event::Bytes { conn: stream, bytes }, now, out);
            }
            NodeEvent::Net(NetEvent::StreamClosed { stream, .. }) if self.relayed.remove(&stream) => {
                self.queued.remove(&stream);
                self.tell_relay(relay::Event::Closed { conn: stream }, now, out);
            }
            NodeEvent::Net(event) => {
                if !self.opened(event, now, out) {
                    self.tell_edge(edge::Event::Net(event), now, out);
                }
            }
            NodeEvent::Dialled { ticket, stream, local, peer } => {
                if let Some((id, realm, transport)) = self.tickets.remove(&ticket) {
                    self.relayed.insert(stream);
                    let dialled_for = Some(id);
                    let opened = relay::Event::Opened {
                        conn: stream,
                        realm,
                        transport,
                        local,
                        peer,
                        dialled_for,
                        certificate: None,
                    };
                    self.tell_relay(opened, now, out);
                }
            }
            NodeEvent::DialFailed { ticket } => {
                if let Some((id, realm, _)) = self.tickets.remove(&ticket) {
                    self.tell_relay(relay::Event::DialFailed { id, realm }, now, out);
                }
            }
            NodeEvent::Drained { stream } => {
                let was = self.queued.insert(stream, 0).unwrap_or(0);
                if was > self.queue_low_bytes {
                    self.tell_relay(relay::Event::Drained { conn: stream }, now, out);
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let edge = self.edge.next_deadline().map(|(at, _)| at);
        let relay = self.relay.next_deadline().map(|(at, _)| at);
        edge.into_iter().chain(relay).min()
    }

    fn handle_deadline(&mut self, now: Instant, out: &mut NodeOutbox) {
        if self.edge.next_deadline().is_some_and(|(at, _)| at <= now) {
            self.edge.handle_deadline(now, &mut self.edge_out);
            self.drain_edge(out);
        }
        if self.relay.next_deadline().is_some_and(|(at, _)| at <= now) {
            self.relay.handle_deadline(now, &mut self.relay_out);
            self.drain_relay(&[], now, out);
        }
        self.settle(now, out);
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// The same action with its span moved by `base`, after its bytes were appended to another buffer.
fn shifted(action: NetAction, base: usize) -> NetAction {
    match action {
        NetAction::Send { hop, bytes } => NetAction::Send { hop, bytes: bytes.shifted(base) },
        close @ NetAction::Close { .. } => close,
    }
}
