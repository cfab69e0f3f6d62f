//! One simulated connection: two directions of bytes, each in order, each cut into random runs.

use crate::network::NodeId;
use core::net::SocketAddr;
use std::collections::VecDeque;
use wire::{CloseReason, Instant, Realm, StreamId, Transport};

/// One end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) node: NodeId,
    pub(crate) stream: StreamId,
    pub(crate) realm: Realm,
    /// Its own address as it sees it (private behind a NAT).
    pub(crate) local: SocketAddr,
    /// The far end as it sees it (public if that one is behind a NAT).
    pub(crate) peer: SocketAddr,
    /// Sent by this end, not yet delivered to the other.
    pub(crate) queue: VecDeque<u8>,
    /// When the last byte or close of this direction arrives at the earliest: keeps the order.
    pub(crate) last_arrival: Instant,
    /// Whether a delivery of this direction is scheduled.
    pub(crate) moving: bool,
    /// This end does not take bytes at present.
    pub(crate) paused: bool,
    /// This end will send no more; the other end is told once its queue is empty.
    pub(crate) closing: Option<CloseReason>,
    /// This end has been told that the connection is over.
    pub(crate) told_closed: bool,
    /// The node asked to be told when the queue is empty: it sent something since.
    pub(crate) owes_drained: bool,
}

/// A connection; index 0 dialled, index 1 accepted.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) transport: Transport,
    pub(crate) ends: [End; 2],
    pub(crate) open: bool,
}

impl Connection {
    /// Which end is `node`'s `stream`.
    pub(crate) fn side(&self, node: NodeId, stream: StreamId) -> Option<usize> {
        self.ends.iter().position(|e| e.node == node && e.stream == stream)
    }
}
