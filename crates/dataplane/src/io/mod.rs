//! The sockets of one shard: sends, reads, opens and closes, and notes what the machines must hear.
//!
//! Nothing here calls a machine. What happened is put into `heard`; the shard tells the machines when
//! no outbox is being drained, so that nothing is ever re-entered.

mod blacklist;
mod close;
mod open;
mod receive;
mod send;
mod timers;
mod ws;

use self::blacklist::Blacklist;
pub(crate) use self::ws::WebSocket;
use crate::bind::{DatagramSocket, Protocol};
use crate::conn::{Conns, Kind};
use crate::counters::Counters;
use crate::pktinfo::Locals;
use crate::quota::Quota;
use crate::tls::Material;
use crate::wheel::Wheel;
use config::Config;
use core::net::SocketAddr;
use rustix::event::epoll::{self, EventData};
use rustix::fd::OwnedFd;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use wire::{CloseReason, Instant, MediaId, Realm, StreamId, Transport};

/// What the machines must hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Opened(StreamId),
    Closed(StreamId, Protocol, CloseReason),
    /// The peer of a connection of the relay sends nothing more.
    HalfClosed(StreamId),
    Unreachable(Hop),
    DialFailed {
        id: MediaId,
        realm: Realm,
    },
    /// Something is left in the queue after a write, of a connection of the relay.
    Queued(StreamId),
    /// The queue fell to the relay's low mark.
    Drained(StreamId),
}

/// A peer of the outbound pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Hop {
    pub(crate) realm: Realm,
    pub(crate) transport: Transport,
    pub(crate) peer: SocketAddr,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Nothing,
    /// So many bytes at the start of the read buffer.
    Raw(usize),
    /// The same, and the peer will send no more: close once they are delivered.
    LastRaw(usize),
    /// The plain buffer was filled.
    Plain,
    /// The plain buffer was filled, and the peer will send no more: close once it is delivered.
    Last,
}

/// The read buffer: one for the shard, so it stays in the cache.
pub(crate) const READ_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) epoll: OwnedFd,
    pub(crate) conns: Conns,
    pub(crate) datagrams: Vec<DatagramSocket>,
    /// Of the wildcard sockets.
    pub(crate) locals: Locals,
    pub(crate) config: Arc<Config>,
    pub(crate) material: Arc<Material>,
    pub(crate) quota: Arc<Quota>,
    pub(crate) counters: Counters,
    pub(crate) wheel: Wheel,
    pub(crate) heard: VecDeque<Heard>,
    /// Streams we opened, by peer.
    pool: HashMap<Hop, Vec<StreamId>>,
    sealed: Vec<u8>,
    gathered: Vec<u8>,
    framed: Vec<u8>,
    blacklist: Blacklist,
    pub(crate) now: Instant,
}

impl Io {
    pub(crate) fn new(
        config: Arc<Config>,
        material: Arc<Material>,
        quota: Arc<Quota>,
        datagrams: Vec<DatagramSocket>,
        now: Instant,
    ) -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            conns: Conns::default(),
            datagrams,
            locals: Locals::default(),
            config,
            material,
            quota,
            counters: Counters::default(),
            wheel: Wheel::new(now),
            heard: VecDeque::new(),
            pool: HashMap::new(),
            sealed: Vec::new(),
            gathered: Vec::new(),
            framed: Vec::new(),
            blacklist: Blacklist::default(),
            now,
        })
    }
}

/// Only UEs have to earn their connection, and only by SIP.
pub(crate) fn must_register(kind: &Kind) -> bool {
    kind.protocol == Protocol::Sip && kind.realm == Realm::Access
}

pub(crate) fn local_of(socket: &OwnedFd) -> Option<SocketAddr> {
    rustix::net::getsockname(socket).ok()?.try_into().ok()
}

pub(crate) fn word(id: StreamId) -> EventData {
    EventData::new_u64(u64::from(id.generation) << 32 | u64::from(id.slot))
}
