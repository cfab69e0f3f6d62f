//! The network: who is attached where, what is on its way, and the clock.

use crate::link::Link;
use crate::nat::Nat;
use crate::node::{Node, NodeAction, NodeEvent, NodeOutbox};
use crate::pcap::Capture;
use crate::stream::{Connection, End};
use core::cmp::Reverse;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use wire::{CloseReason, Hop, Instant, NetAction, NetEvent, Random, Realm, SocketId, StreamId, Transport};

/// A node's place in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// A network that is not routed to others: the internet, the operator's core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment(pub u8);

/// One address a node is reachable at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Which network it is attached to.
    pub segment: Segment,
    /// What the node's machine calls that side.
    pub realm: Realm,
    /// UDP: a socket. TCP, TLS: a listener.
    pub transport: Transport,
    /// Its address.
    pub address: SocketAddr,
    /// The id the machine knows the socket by; for UDP only.
    pub socket: Option<SocketId>,
}

struct Place {
    node: Option<Box<dyn Node>>,
    endpoints: Vec<Endpoint>,
    nat: Option<Nat>,
    link: Link,
    pool: BTreeMap<(Realm, Transport, SocketAddr), usize>,
    streams: BTreeMap<StreamId, usize>,
    streams_given: u32,
    port_next: u16,
    down: bool,
}

enum Arrival {
    Datagram { to: NodeId, socket: SocketId, source: SocketAddr, bytes: Vec<u8> },
    Accept { connection: usize, ticket: Option<u64> },
    Up { connection: usize, ticket: Option<u64> },
    Refused { connection: usize, ticket: Option<u64> },
    Run { connection: usize, from: usize },
    Closed { connection: usize, to: usize, reason: CloseReason },
    Drained { connection: usize, end: usize },
}

struct Scheduled {
    at: Instant,
    number: u64,
    arrival: Arrival,
}

/// The whole simulated world.
pub struct Network {
    now: Instant,
    random: Random,
    places: Vec<Place>,
    connections: Vec<Connection>,
    queue: BinaryHeap<Reverse<Scheduled>>,
    numbers: u64,
    steps: u64,
    out: NodeOutbox,
    capture: Option<Capture>,
    lost: u64,
}

impl Network {
    /// An empty network; the seed decides every delay, loss and cut.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            now: Instant::ZERO,
            random: Random::from_u64(seed),
            places: Vec::new(),
            connections: Vec::new(),
            queue: BinaryHeap::new(),
            numbers: 0,
            steps: 0,
            out: NodeOutbox::default(),
            capture: Capture::from_environment(),
            lost: 0,
        }
    }

    /// Attaches a node. `link` is what its packets suffer, in and out; `nat` stands in front of it.
    pub fn attach(
        &mut self,
        node: Box<dyn Node>,
        endpoints: Vec<Endpoint>,
        link: Link,
        nat: Option<Nat>,
    ) -> NodeId {
        self.places.push(Place {
            node: Some(node),
            endpoints,
            nat,
            link,
            pool: BTreeMap::new(),
            streams: BTreeMap::new(),
            streams_given: 0,
            port_next: 50_000,
            down: false,
        });
        NodeId(self.places.len() - 1)
    }

    /// Virtual time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Events handled so far.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Datagrams lost so far: to the link, to a NAT or to an address nobody has.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Runs `act` on a node of a known type and carries out what it puts into the outbox.
    ///
    /// # Panics
    /// If the node is not a `T`: a mistake of the test.
    pub fn with<T: 'static, R>(
        &mut self,
        id: NodeId,
        act: impl FnOnce(&mut T, Instant, &mut NodeOutbox) -> R,
    ) -> R {
        let now = self.now;
        let mut result = None;
        self.enter(id, |node, out| {
            let machine = node.as_any().downcast_mut::<T>().expect("the test names the node's own type");
            result = Some(act(machine, now, out));
        });
        result.expect("a node is only away while it is being entered")
    }

    /// Changes the quality of a node's link.
    pub fn set_link(&mut self, id: NodeId, link: Link) {
        self.places[id.0].link = link;
    }

    /// Takes a node off the network, or puts it back. While down, all it sends and is sent is lost.
    pub fn set_down(&mut self, id: NodeId, down: bool) {
        self.places[id.0].down = down;
    }

    /// Makes a node's NAT forget its mappings.
    pub fn rebind_nat(&mut self, id: NodeId) {
        if let Some(nat) = &mut self.places[id.0].nat {
            nat.rebind();
        }
    }

    /// Resets every open stream of a node.
    pub fn reset_streams(&mut self, id: NodeId) {
        for connection in 0..self.connections.len() {
            let touches = self.connections[connection].ends.iter().any(|e| e.node == id);
            if touches && self.connections[connection].open {
                self.connections[connection].open = false;
                for to in 0..2 {
                    self.connections[connection].ends[to].queue.clear();
                    self.schedule(self.now, Arrival::Closed { connection, to, reason: CloseReason::Failed });
                }
            }
        }
    }

    /// Runs until `done` holds, checked after every event.
    ///
    /// # Errors
    /// The time, if `limit` of virtual time passed or nothing is left to happen.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), Instant> {
        let end = self.now + limit;
        loop {
            if done(self) {
                return Ok(());
            }
            if !self.step(end) {
                return Err(self.now);
            }
        }
    }

    /// Lets `span` of virtual time pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
        self.now = end;
    }

    /// Handles the next thing due, if it is due by `end`; false if nothing is. Arrivals go before alarms of the same
    /// time.
    pub fn step(&mut self, end: Instant) -> bool {
        let alarm = self.next_alarm();
        let arrival = self.queue.peek().map(|Reverse(s)| s.at);
        let arrives = match (arrival, alarm) {
            (Some(a), Some((d, _))) => a <= d,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let due = if arrives { arrival } else { alarm.map(|(at, _)| at) };
        let Some(due) = due.filter(|at| *at <= end) else {
            return false;
        };
        self.now = self.now.max(due);
        self.steps += 1;
        if arrives {
            if let Some(Reverse(scheduled)) = self.queue.pop() {
                self.arrive(scheduled.arrival);
            }
        } else if let Some((_, id)) = alarm {
            let now = self.now;
            self.enter(id, |node, out| node.handle_deadline(now, out));
        }
        true
    }

    fn next_alarm(&self) -> Option<(Instant, NodeId)> {
        let deadlines = self.places.iter().enumerate().filter(|(_, p)| !p.down);
        deadlines.filter_map(|(i, p)| Some((p.node.as_ref()?.next_deadline()?, NodeId(i)))).min()
    }

    fn schedule(&mut self, at: Instant, arrival: Arrival) {
        self.numbers += 1;
        self.queue.push(Reverse(Scheduled { at, number: self.numbers, arrival }));
    }

    /// Lets the node act, then carries out its wishes.
    fn enter(&mut self, id: NodeId, act: impl FnOnce(&mut dyn Node, &mut NodeOutbox)) {
        let Some(mut node) = self.places[id.0].node.take() else {
            return;
        };
        let mut out = core::mem::take(&mut self.out);
        act(node.as_mut(), &mut out);
        self.places[id.0].node = Some(node);
        for action in out.actions.drain(..) {
            self.carry_out(id, &action, &out.bytes);
        }
        out.clear();
        self.out = out;
    }

    fn tell(&mut self, id: NodeId, event: NodeEvent<'_>) {
        if self.places[id.0].down {
            return;
        }
        let now = self.now;
        self.enter(id, |node, out| node.handle(event, now, out));
    }

    fn carry_out(&mut self, id: NodeId, action: &NodeAction, bytes: &[u8]) {
        match *action {
            NodeAction::Net(NetAction::Send { hop, bytes: span }) => self.send(id, hop, span.of(bytes)),
            NodeAction::Net(NetAction::Close { stream }) => self.close(id, stream),
            NodeAction::Dial { ticket, endpoint, transport, peer } => {
                if let Some(from) = self.places[id.0].endpoints.get(endpoint).copied() {
                    self.dial(id, from, transport, peer, Some(ticket));
                }
            }
            NodeAction::Pause { stream } => self.pause(id, stream, true),
            NodeAction::Resume { stream } => self.pause(id, stream, false),
        }
    }

    fn send(&mut self, id: NodeId, hop: Hop, bytes: &[u8]) {
        match hop {
            Hop::Stream(stream) => {
                if let Some(&connection) = self.places[id.0].streams.get(&stream) {
                    self.push(connection, id, stream, bytes);
                }
            }
            Hop::Datagram { socket, peer } => self.send_datagram(id, socket, peer, bytes),
            Hop::Peer { realm, transport, peer } => {
                let pooled = self.places[id.0].pool.get(&(realm, transport, peer)).copied();
                let endpoint = self.places[id.0].endpoints.iter().find(|e| e.realm == realm).copied();
                let connection = pooled.or_else(|| Some(self.dial(id, endpoint?, transport, peer, None)));
                if let Some(connection) = connection {
                    self.places[id.0].pool.insert((realm, transport, peer), connection);
                    let stream = self.connections[connection].ends[0].stream;
                    self.push(connection, id, stream, bytes);
                }
            }
        }
    }

    fn send_datagram(&mut self, id: NodeId, socket: SocketId, peer: SocketAddr, bytes: &[u8]) {
        let place = &mut self.places[id.0];
        let Some(from) = place.endpoints.iter().find(|e| e.socket == Some(socket)).copied() else {
            return;
        };
        let source = match &mut place.nat {
            Some(nat) => nat.outbound(from.address, peer),
            None => from.address,
        };
        let link = place.link;
        let target = self.find(Transport::Udp, from.segment, peer, source);
        let copies = link.copies(&mut self.random);
        let Some((to, endpoint)) =
            target.filter(|(to, _)| !self.places[id.0].down && !self.places[to.0].down)
        else {
            self.lost += 1;
            return;
        };
        let Some(socket) = endpoint.socket else { return };
        // The far link may lose it too.
        let copies =
            if copies == 0 { 0 } else { copies.min(self.places[to.0].link.copies(&mut self.random)) };
        if copies == 0 {
            self.lost += 1;
        }
        for _ in 0..copies {
            let delay = link.delay(&mut self.random) + self.places[to.0].link.delay(&mut self.random);
            let bytes = bytes.to_vec();
            self.schedule(self.now + delay, Arrival::Datagram { to, socket, source, bytes });
        }
    }

    /// Who has `address` for packets from `source` on `segment`, through a NAT if need be.
    fn find(
        &self,
        transport: Transport,
        segment: Segment,
        address: SocketAddr,
        source: SocketAddr,
    ) -> Option<(NodeId, Endpoint)> {
        self.places.iter().enumerate().find_map(|(i, place)| {
            let inside = match &place.nat {
                Some(nat) => nat.inbound(address, source)?,
                None => address,
            };
            let fits =
                |e: &&Endpoint| e.segment == segment && e.transport == transport && e.address == inside;
            Some((NodeId(i), *place.endpoints.iter().find(fits)?))
        })
    }

    fn give_stream(&mut self, id: NodeId, connection: usize) -> StreamId {
        let place = &mut self.places[id.0];
        place.streams_given += 1;
        let stream = StreamId { slot: place.streams_given, generation: 1 };
        place.streams.insert(stream, connection);
        stream
    }

    fn dial(
        &mut self,
        id: NodeId,
        from: Endpoint,
        transport: Transport,
        peer: SocketAddr,
        ticket: Option<u64>,
    ) -> usize {
        let connection = self.connections.len();
        let stream = self.give_stream(id, connection);
        let place = &mut self.places[id.0];
        let local = SocketAddr::new(from.address.ip(), place.port_next);
        place.port_next = place.port_next.wrapping_add(1).max(50_000);
        let seen = place.nat.as_mut().map_or(local, |nat| nat.outbound(local, peer));
        let delay = place.link.delay(&mut self.random);
        let end = |node, stream, local, peer| End {
            node,
            stream,
            realm: from.realm,
            local,
            peer,
            queue: VecDeque::new(),
            last_arrival: Instant::ZERO,
            moving: false,
            paused: false,
            closing: None,
            told_closed: false,
            owes_drained: false,
        };
        let target = self.find(transport, from.segment, peer, seen).filter(|(n, _)| !self.places[n.0].down);
        let down = self.places[id.0].down;
        let dialler = end(id, stream, local, peer);
        let Some((to, endpoint)) = target.filter(|_| !down) else {
            let nobody = end(id, stream, peer, seen);
            self.connections.push(Connection { transport, ends: [dialler, nobody], open: false });
            self.schedule(self.now + delay * 2, Arrival::Refused { connection, ticket });
            return connection;
        };
        let far = StreamId { slot: 0, generation: 0 };
        let acceptor = End { realm: endpoint.realm, ..end(to, far, peer, seen) };
        self.connections.push(Connection { transport, ends: [dialler, acceptor], open: false });
        self.schedule(self.now + delay, Arrival::Accept { connection, ticket });
        connection
    }

    /// Puts bytes on the way from `stream`'s end.
    fn push(&mut self, connection: usize, id: NodeId, stream: StreamId, bytes: &[u8]) {
        let Some(side) = self.connections[connection].side(id, stream) else {
            return;
        };
        let end = &mut self.connections[connection].ends[side];
        if end.closing.is_some() || end.told_closed {
            return;
        }
        end.queue.extend(bytes);
        end.owes_drained = true;
        self.move_on(connection, side);
    }

    /// Schedules the next run of a direction, if there is one to schedule.
    fn move_on(&mut self, connection: usize, from: usize) {
        let state = &self.connections[connection];
        let (end, far) = (&state.ends[from], &state.ends[1 - from]);
        if !state.open || end.moving || far.paused || end.queue.is_empty() {
            return;
        }
        let link = self.places[end.node.0].link;
        // The first run waits for the link; those right behind it follow closely, as segments do.
        let behind = end.last_arrival + Duration::from_micros(self.random.below(200));
        let fresh = self.now + link.delay(&mut self.random);
        let at = if end.last_arrival >= self.now { behind.max(self.now) } else { fresh };
        let end = &mut self.connections[connection].ends[from];
        end.moving = true;
        end.last_arrival = at;
        self.schedule(at, Arrival::Run { connection, from });
    }

    fn close(&mut self, id: NodeId, stream: StreamId) {
        let Some(&connection) = self.places[id.0].streams.get(&stream) else {
            return;
        };
        let Some(side) = self.connections[connection].side(id, stream) else {
            return;
        };
        if self.connections[connection].ends[side].closing.is_some() {
            return;
        }
        self.connections[connection].ends[side].closing = Some(CloseReason::PeerClosed);
        self.schedule(self.now, Arrival::Closed { connection, to: side, reason: CloseReason::Local });
        self.finish_close(connection, side);
    }

    /// Tells the far end of a close once everything before it has been delivered.
    fn finish_close(&mut self, connection: usize, side: usize) {
        let end = &self.connections[connection].ends[side];
        if let (Some(reason), true) = (end.closing, end.queue.is_empty()) {
            let at = end.last_arrival.max(self.now) + self.places[end.node.0].link.delay(&mut self.random);
            self.schedule(at, Arrival::Closed { connection, to: 1 - side, reason });
        }
    }

    fn pause(&mut self, id: NodeId, stream: StreamId, paused: bool) {
        let Some(&connection) = self.places[id.0].streams.get(&stream) else {
            return;
        };
        let Some(side) = self.connections[connection].side(id, stream) else {
            return;
        };
        self.connections[connection].ends[side].paused = paused;
        if !paused {
            self.move_on(connection, 1 - side);
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Datagram { to, socket, source, bytes } => {
                let at =
                    self.places[to.0].endpoints.iter().find(|e| e.socket == Some(socket)).map(|e| e.address);
                self.note(Transport::Udp, source, at, &bytes);
                self.tell(to, NodeEvent::Net(NetEvent::Datagram { socket, source, bytes: &bytes }));
            }
            Arrival::Accept { connection, ticket } => self.accept(connection, ticket),
            Arrival::Up { connection, ticket } => self.up(connection, ticket),
            Arrival::Refused { connection, ticket } => self.refuse(connection, ticket),
            Arrival::Run { connection, from } => self.run(connection, from),
            Arrival::Closed { connection, to, reason } => self.closed(connection, to, reason),
            Arrival::Drained { connection, end } => {
                let end = &self.connections[connection].ends[end];
                let (id, stream) = (end.node, end.stream);
                if !end.told_closed && end.queue.is_empty() {
                    self.tell(id, NodeEvent::Drained { stream });
                }
            }
        }
    }

    fn accept(&mut self, connection: usize, ticket: Option<u64>) {
        let to = self.connections[connection].ends[1].node;
        let stream = self.give_stream(to, connection);
        let state = &mut self.connections[connection];
        state.ends[1].stream = stream;
        let End { realm, local, peer, .. } = state.ends[1];
        let transport = state.transport;
        let delay = self.places[to.0].link.delay(&mut self.random);
        self.schedule(self.now + delay, Arrival::Up { connection, ticket });
        self.tell(to, NodeEvent::Net(NetEvent::StreamOpened { stream, realm, transport, local, peer }));
    }

    fn up(&mut self, connection: usize, ticket: Option<u64>) {
        // Only from here on do bytes move: neither end hears of the other before it knows the stream.
        let state = &mut self.connections[connection];
        state.open = true;
        let End { node, stream, realm, local, peer, .. } = state.ends[0];
        let transport = state.transport;
        let event = match ticket {
            Some(ticket) => NodeEvent::Dialled { ticket, stream, local, peer },
            None => NodeEvent::Net(NetEvent::StreamOpened { stream, realm, transport, local, peer }),
        };
        self.tell(node, event);
        for side in 0..2 {
            self.move_on(connection, side);
            self.finish_close(connection, side);
        }
    }

    fn refuse(&mut self, connection: usize, ticket: Option<u64>) {
        let state = &mut self.connections[connection];
        state.ends[0].told_closed = true;
        let End { node, stream, realm, peer, .. } = state.ends[0];
        let transport = state.transport;
        self.places[node.0].streams.remove(&stream);
        self.places[node.0].pool.retain(|_, c| *c != connection);
        self.tell(
            node,
            match ticket {
                Some(ticket) => NodeEvent::DialFailed { ticket },
                None => NodeEvent::Net(NetEvent::PeerUnreachable { realm, transport, peer }),
            },
        );
    }

    fn run(&mut self, connection: usize, from: usize) {
        let state = &mut self.connections[connection];
        state.ends[from].moving = false;
        if !state.open || state.ends[1 - from].paused {
            return; // `move_on` comes again when the reader resumes
        }
        let link = self.places[state.ends[from].node.0].link;
        let length = link.run(state.ends[from].queue.len(), &mut self.random);
        let bytes: Vec<u8> =
            state.ends[from].queue.drain(..length.min(state.ends[from].queue.len())).collect();
        let (transport, source) = (state.transport, state.ends[1 - from].peer);
        let End { node, stream, local, told_closed, .. } = state.ends[1 - from];
        if state.ends[from].queue.is_empty() && core::mem::take(&mut state.ends[from].owes_drained) {
            self.schedule(self.now, Arrival::Drained { connection, end: from });
        }
        if !told_closed && !bytes.is_empty() {
            self.note(transport, source, Some(local), &bytes);
            self.tell(node, NodeEvent::Net(NetEvent::StreamBytes { stream, bytes: &bytes }));
        }
        self.move_on(connection, from);
        if self.connections[connection].ends[from].closing.is_some() {
            self.finish_close(connection, from);
        }
    }

    fn closed(&mut self, connection: usize, to: usize, reason: CloseReason) {
        let end = &mut self.connections[connection].ends[to];
        if core::mem::replace(&mut end.told_closed, true) {
            return;
        }
        let (node, stream) = (end.node, end.stream);
        self.places[node.0].streams.remove(&stream);
        self.places[node.0].pool.retain(|_, c| *c != connection);
        self.tell(node, NodeEvent::Net(NetEvent::StreamClosed { stream, reason }));
        // A machine that was told has nothing more to send: the other direction ends as well.
        let other = &mut self.connections[connection].ends[to];
        if other.closing.is_none() {
            other.closing = Some(CloseReason::PeerClosed);
            self.finish_close(connection, to);
        }
    }

    fn note(&mut self, transport: Transport, from: SocketAddr, to: Option<SocketAddr>, bytes: &[u8]) {
        if let (Some(capture), Some(to)) = (&mut self.capture, to) {
            capture.note(self.now, transport, from, to, bytes);
        }
    }

    /// The address that a node's packets carry when they leave its NAT; its own without one.
    #[must_use]
    pub fn public_address(&self, id: NodeId) -> Option<IpAddr> {
        let place = self.places.get(id.0)?;
        place.nat.as_ref().map(Nat::public).or_else(|| place.endpoints.first().map(|e| e.address.ip()))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
