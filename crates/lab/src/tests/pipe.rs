//! A pipe with a clock: enough of a network for the lab's own tests.

use crate::scenario::{Driver, people};
use crate::ue::{Command, UeEvent};
use crate::{Core, CoreSettings, LabOutbox, Node, Ue, Violation};
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use wire::{CloseReason, Hop, Instant, NetAction, NetEvent, Random, Realm, SocketId, StreamId, Transport};

pub(super) const DOMAIN: &str = "ims.example.net";
const CORE: usize = 0;

#[derive(Clone, Copy, Debug)]
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) loss_percent: u64,
    pub(super) damage_media: bool,
}

impl Default for World {
    fn default() -> Self {
        Self { seed: 1, loss_percent: 0, damage_media: false }
    }
}

/// The core is node 0, UE `i` is node `i + 1`.
pub(super) struct Pipe {
    world: World,
    now: Instant,
    random: Random,
    core: Core,
    ues: Vec<Ue>,
    queue: BTreeMap<(Instant, u64), Delivery>,
    order: u64,
    streams: Vec<Stream>,
    events: VecDeque<(usize, UeEvent)>,
    trace: u64,
    damaged: bool,
}

struct Stream {
    /// Who dialled, and whom.
    ends: [usize; 2],
    transport: Transport,
    peer: SocketAddr,
    open: bool,
    /// When the latest byte to each end arrives.
    busy_until: [Instant; 2],
}

enum Delivery {
    Datagram { to: usize, from: SocketAddr, bytes: Vec<u8> },
    Opened { stream: usize, to: usize },
    Bytes { stream: usize, to: usize, bytes: Vec<u8> },
    Closed { stream: usize, to: usize },
}

fn address(node: usize) -> SocketAddr {
    match node {
        CORE => SocketAddr::from(([192, 0, 2, 1], 5_060)),
        ue => SocketAddr::from(([203, 0, 113, ue as u8], 4_000)),
    }
}

fn msrp_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 2_855))
}

impl Pipe {
    pub(super) fn new(world: World) -> Self {
        let cast = people(DOMAIN);
        let mut settings = CoreSettings::new(DOMAIN, address(CORE), msrp_address());
        settings.subscribers = cast.iter().map(|p| p.subscriber()).collect();
        settings.seed = world.seed;
        let ue = |(i, p): (usize, &crate::scenario::Person)| {
            let mut settings = p.ue(address(CORE));
            settings.seed = world.seed * 100 + i as u64;
            Ue::new(settings)
        };
        Self {
            world,
            now: Instant::ZERO,
            random: Random::from_u64(world.seed),
            core: Core::new(settings),
            ues: cast.iter().enumerate().map(ue).collect(),
            queue: BTreeMap::new(),
            order: 0,
            streams: Vec::new(),
            events: VecDeque::new(),
            trace: 0,
            damaged: false,
        }
    }

    /// A fingerprint of everything that was delivered, and when.
    pub(super) fn trace(&self) -> u64 {
        self.trace
    }

    /// Runs until nothing is under way; false if that does not come within ten minutes.
    pub(super) fn settle(&mut self) -> bool {
        let end = self.now + Duration::from_secs(600);
        while self.now < end {
            if self.queue.is_empty() && self.core.is_quiet() && self.ues.iter().all(Ue::is_quiet) {
                return true;
            }
            self.step(end);
        }
        false
    }

    /// Goes on to the next thing that happens, at most to `end`.
    fn step(&mut self, end: Instant) {
        let deadlines = core::iter::once(self.core.next_deadline())
            .chain(self.ues.iter().map(Node::next_deadline))
            .enumerate()
            .filter_map(|(node, at)| Some((at?, node)));
        let deadline = deadlines.min();
        let delivery = self.queue.keys().next().copied();
        match (delivery, deadline) {
            (Some((at, n)), d) if at <= end && d.is_none_or(|(due, _)| at <= due) => {
                self.now = self.now.max(at);
                if let Some(delivery) = self.queue.remove(&(at, n)) {
                    self.deliver(delivery);
                }
            }
            (_, Some((at, node))) if at <= end => {
                self.now = self.now.max(at);
                self.with(node, |n, now, out| n.handle_deadline(now, out));
            }
            _ => self.now = end,
        }
    }

    fn with(&mut self, node: usize, act: impl FnOnce(&mut dyn Node, Instant, &mut LabOutbox)) {
        let mut out = LabOutbox::default();
        let now = self.now;
        match node {
            CORE => act(&mut self.core, now, &mut out),
            ue => {
                let machine = &mut self.ues[ue - 1];
                act(machine, now, &mut out);
                while let Some(event) = machine.next_event() {
                    self.events.push_back((ue - 1, event));
                }
            }
        }
        self.carry_out(node, &out);
    }

    fn carry_out(&mut self, node: usize, out: &LabOutbox) {
        for action in &out.actions {
            match action {
                NetAction::Send { hop, bytes } => self.send(node, *hop, bytes.of(&out.bytes)),
                NetAction::Close { stream } => self.close(node, stream.slot as usize),
            }
        }
    }

    fn latency(&mut self) -> Duration {
        Duration::from_micros(5_000 + self.random.below(20_000))
    }

    fn push(&mut self, at: Instant, delivery: Delivery) {
        self.order += 1;
        self.queue.insert((at, self.order), delivery);
    }

    fn send(&mut self, node: usize, hop: Hop, bytes: &[u8]) {
        match hop {
            Hop::Datagram { peer, .. } => {
                let to = if peer == address(CORE) {
                    Some(CORE)
                } else {
                    (1..=self.ues.len()).find(|n| address(*n) == peer)
                };
                let to = to.unwrap_or_else(|| panic!("a datagram to {peer}, where nobody is"));
                let lost = self.random.below(100) < self.world.loss_percent;
                let at = self.now + self.latency();
                let bytes = bytes.to_vec();
                if !lost {
                    let from = address(node);
                    self.push(at, Delivery::Datagram { to, from, bytes });
                }
            }
            Hop::Stream(id) => self.send_on(id.slot as usize, node, bytes),
            Hop::Peer { transport, peer, .. } => {
                let known =
                    |s: &Stream| s.open && s.ends[0] == node && (s.transport, s.peer) == (transport, peer);
                let stream =
                    self.streams.iter().position(known).unwrap_or_else(|| self.dial(node, transport, peer));
                self.send_on(stream, node, bytes);
            }
        }
    }

    fn dial(&mut self, node: usize, transport: Transport, peer: SocketAddr) -> usize {
        assert!(peer == address(CORE) || peer == msrp_address(), "{peer} is dialled, where nobody listens");
        let stream = self.streams.len();
        let at = self.now + self.latency();
        self.streams.push(Stream { ends: [node, CORE], transport, peer, open: true, busy_until: [at, at] });
        for to in [node, CORE] {
            self.push(at, Delivery::Opened { stream, to });
        }
        stream
    }

    fn send_on(&mut self, stream: usize, from: usize, bytes: &[u8]) {
        let latency = self.latency();
        let state = &mut self.streams[stream];
        if !state.open {
            return;
        }
        let end = usize::from(state.ends[0] == from);
        let to = state.ends[end];
        let is_media = state.peer == msrp_address();
        let mut at = state.busy_until[end].max(self.now + latency);
        let mut bytes = bytes.to_vec();
        if self.world.damage_media && is_media && bytes.len() > 10_000 && !self.damaged {
            bytes[5_000] ^= 1;
            self.damaged = true;
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            // cut anywhere
            let cut = (1 + self.random.below(3_000) as usize).min(rest.len());
            let (part, tail) = rest.split_at(cut);
            rest = tail;
            at += Duration::from_micros(10);
            let bytes = part.to_vec();
            self.push(at, Delivery::Bytes { stream, to, bytes });
        }
        self.streams[stream].busy_until[end] = at;
    }

    fn close(&mut self, node: usize, stream: usize) {
        let state = &mut self.streams[stream];
        state.open = false;
        let far = usize::from(state.ends[0] == node);
        let (to, at) = (state.ends[far], state.busy_until[far].max(self.now));
        for (to, at) in [(to, at), (node, self.now)] {
            self.push(at, Delivery::Closed { stream, to });
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        let (now, mut mix) = (self.now, self.trace);
        let id = |stream: usize| StreamId { slot: stream as u32, generation: 0 };
        match delivery {
            Delivery::Datagram { to, from, bytes } => {
                mix = fingerprint(mix, now, &bytes);
                self.with(to, |n, now, out| {
                    let event = NetEvent::Datagram { socket: SocketId(0), source: from, bytes: &bytes };
                    n.handle(event, now, out);
                });
            }
            Delivery::Opened { stream, to } => {
                let s = &self.streams[stream];
                let dialled = s.ends[0] == to;
                let far = address(s.ends[0]);
                let (local, peer) = if dialled { (far, s.peer) } else { (s.peer, far) };
                let transport = s.transport;
                let realm = if to == CORE { Realm::Core } else { Realm::Access };
                self.with(to, |n, now, out| {
                    let event = NetEvent::StreamOpened { stream: id(stream), realm, transport, local, peer };
                    n.handle(event, now, out);
                });
            }
            Delivery::Bytes { stream, to, bytes } => {
                mix = fingerprint(mix, now, &bytes);
                self.with(to, |n, now, out| {
                    let event = NetEvent::StreamBytes { stream: id(stream), bytes: &bytes };
                    n.handle(event, now, out);
                });
            }
            Delivery::Closed { stream, to } => self.with(to, |n, now, out| {
                let event = NetEvent::StreamClosed { stream: id(stream), reason: CloseReason::PeerClosed };
                n.handle(event, now, out);
            }),
        }
        self.trace = mix;
    }
}

fn fingerprint(mix: u64, now: Instant, bytes: &[u8]) -> u64 {
    let start = mix ^ now.as_micros();
    bytes.iter().fold(start, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
}

impl Driver for Pipe {
    fn now(&mut self) -> Instant {
        self.now
    }

    fn command(&mut self, ue: usize, command: Command) {
        let mut out = LabOutbox::default();
        self.ues[ue].command(command, self.now, &mut out);
        while let Some(event) = self.ues[ue].next_event() {
            self.events.push_back((ue, event));
        }
        self.carry_out(ue + 1, &out);
    }

    fn next_event(&mut self, within: Duration) -> Option<(usize, UeEvent)> {
        let end = self.now + within;
        while self.events.is_empty() && self.now < end {
            self.step(end);
        }
        self.events.pop_front()
    }

    fn violations(&mut self) -> Vec<Violation> {
        let ues = self.ues.iter().flat_map(|ue| ue.violations().iter());
        self.core.violations().iter().chain(ues).cloned().collect()
    }
}
