//! Flows: what a UE is reached over, and the streams that are open.
//!
//! A flow is a stream the UE opened, or for UDP the pair of our socket and its source address. A
//! stream is known from its opening on; a datagram flow exists only as the place a binding points to,
//! so that spoofed datagrams leave nothing behind.

use crate::hops::Place;
use crate::points::PointId;
use crate::token::FlowPath;
use core::net::SocketAddr;
use smallvec::SmallVec;
use std::collections::HashMap;
use wire::{BindingId, ExchangeId, Hop, Instant, Realm, SocketId, StreamId, Transport};

/// Where a message came from, and the way its answer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The side.
    pub realm: Realm,
    /// What the socket is, whatever the Via says (9-2).
    pub transport: Transport,
    /// The source as seen.
    pub source: SocketAddr,
    /// The same connection, or the source by datagram (R6).
    pub hop: Hop,
    /// Our address it came in on.
    pub point: PointId,
}

impl Origin {
    /// The flow, if the answer goes over one.
    #[must_use]
    pub const fn flow(&self) -> Option<FlowPath> {
        flow_of(self.hop)
    }
}

/// The flow of a hop: none for one that has yet to be opened.
#[must_use]
pub const fn flow_of(hop: Hop) -> Option<FlowPath> {
    match hop {
        Hop::Stream(stream) => Some(FlowPath::Stream(stream)),
        Hop::Datagram { socket, peer } => Some(FlowPath::Datagram { socket, peer }),
        Hop::Peer { .. } => None,
    }
}

/// The hop of a flow.
#[must_use]
pub const fn hop_of(flow: FlowPath) -> Hop {
    match flow {
        FlowPath::Stream(stream) => Hop::Stream(stream),
        FlowPath::Datagram { socket, peer } => Hop::Datagram { socket, peer },
    }
}

/// The bindings of one flow: nearly always one.
pub type FlowBindings = SmallVec<[BindingId; 1]>;

/// An open stream.
#[derive(Debug)]
pub struct Stream {
    /// The shell's id.
    pub id: StreamId,
    /// The side.
    pub realm: Realm,
    /// TCP or TLS.
    pub transport: Transport,
    /// The far end.
    pub peer: SocketAddr,
    /// Our address it belongs to.
    pub point: PointId,
    /// What came in and is not yet a whole message.
    pub framer: sip::frame::Framer,
    /// Exchanges whose request went out over it.
    pub awaiting: SmallVec<[ExchangeId; 2]>,
    /// When the message that is coming in must be complete.
    pub complete_by: Option<Instant>,
    /// Whether an AKA challenge went out over it (R16).
    pub aka_challenged: bool,
    /// Whether a challenge with our Security-Server went out over it (R18).
    pub security_offered: bool,
    /// The Security-Verify value that its registration agreed on; empty if there is none.
    pub security_agreed: Box<[u8]>,
    /// We asked the shell to close it: what still comes in is ignored.
    pub closing: bool,
    /// What a peer in the core that opened it wants to be reached at over it (RFC 5923).
    pub alias: Option<SocketAddr>,
}

/// The open streams of a shard and the flows that carry bindings.
#[derive(Debug)]
pub struct Flows {
    /// By the slot of the shell's id: the shell reuses slots, so the vector stays as long as the
    /// largest number of streams at a time.
    streams: Vec<Option<Box<Stream>>>,
    registered: HashMap<FlowPath, FlowBindings, ahash::RandomState>,
    /// Peers in the core that are reached over streams they opened: at most one for each stream.
    aliases: HashMap<Place, StreamId, ahash::RandomState>,
}

impl Flows {
    /// No flows; `seed` keys the map, for its keys come from the network.
    #[must_use]
    pub fn new(seed: [u64; 4]) -> Self {
        let hasher = ahash::RandomState::with_seeds(seed[0], seed[1], seed[2], seed[3]);
        Self {
            streams: Vec::new(),
            registered: HashMap::with_hasher(hasher.clone()),
            aliases: HashMap::with_hasher(hasher),
        }
    }

    /// Takes in a stream that was opened; returns the one whose place it took, which the shell forgot to close.
    pub fn open(&mut self, stream: Box<Stream>) -> Option<Box<Stream>> {
        let slot = stream.id.slot as usize;
        if slot >= self.streams.len() {
            self.streams.resize_with(slot + 1, || None);
        }
        self.streams[slot].replace(stream)
    }

    /// Takes out a stream that was closed.
    pub fn close(&mut self, id: StreamId) -> Option<Box<Stream>> {
        let place = self.streams.get_mut(id.slot as usize)?;
        place.take_if(|s| s.id == id)
    }

    /// An open stream.
    #[must_use]
    pub fn stream(&self, id: StreamId) -> Option<&Stream> {
        let stream = self.streams.get(id.slot as usize)?.as_deref()?;
        (stream.id == id).then_some(stream)
    }

    /// An open stream, to change it.
    pub fn stream_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        let stream = self.streams.get_mut(id.slot as usize)?.as_deref_mut()?;
        (stream.id == id).then_some(stream)
    }

    /// The stream that a peer in the core opened and wants to be reached over.
    #[must_use]
    pub fn alias(&self, place: Place) -> Option<StreamId> {
        // Nearly always empty: a core that uses no `alias` costs no hashing.
        if self.aliases.is_empty() { None } else { self.aliases.get(&place).copied() }
    }

    /// A peer in the core said `alias` on a stream it opened (RFC 5923 §6): the latest one counts.
    pub fn set_alias(&mut self, id: StreamId, at: SocketAddr) {
        let Some(stream) = self.stream_mut(id) else { return };
        let transport = stream.transport;
        let old = stream.alias.replace(at);
        if let Some(old) = old.filter(|old| *old != at) {
            self.forget_alias((old, transport), id);
        }
        self.aliases.insert((at, transport), id);
    }

    /// The stream is gone.
    pub fn forget_alias(&mut self, place: Place, id: StreamId) {
        if self.aliases.get(&place) == Some(&id) {
            self.aliases.remove(&place);
        }
    }

    /// Whether bytes for this flow would get anywhere: datagrams always leave.
    #[must_use]
    pub fn is_open(&self, flow: FlowPath) -> bool {
        match flow {
            FlowPath::Stream(id) => self.stream(id).is_some_and(|s| !s.closing),
            FlowPath::Datagram { .. } => true,
        }
    }

    /// The bindings that were registered over this flow.
    #[must_use]
    pub fn bindings(&self, flow: FlowPath) -> &[BindingId] {
        self.registered.get(&flow).map_or(&[], |ids| ids.as_slice())
    }

    /// How many flows carry bindings, and how many exchanges wait for streams.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        let awaiting = self.streams.iter().flatten().map(|stream| stream.awaiting.len()).sum();
        (self.registered.len(), awaiting)
    }

    /// Ties a binding to a flow.
    pub fn bind(&mut self, flow: FlowPath, binding: BindingId) {
        let ids = self.registered.entry(flow).or_default();
        if !ids.contains(&binding) {
            ids.push(binding);
        }
    }

    /// Unties it.
    pub fn unbind(&mut self, flow: FlowPath, binding: BindingId) {
        if let Some(ids) = self.registered.get_mut(&flow) {
            ids.retain(|id| *id != binding);
            if ids.is_empty() {
                self.registered.remove(&flow);
            }
        }
    }
}

/// The socket of a datagram flow.
#[must_use]
pub const fn socket_of(flow: FlowPath) -> Option<SocketId> {
    match flow {
        FlowPath::Datagram { socket, .. } => Some(socket),
        FlowPath::Stream(_) => None,
    }
}
