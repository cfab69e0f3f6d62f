//! What lives on the simulated network.

use core::net::SocketAddr;
use wire::{Instant, NetAction, NetEvent, StreamId, Transport};

/// A sans-IO machine on the network. Spans of its actions point into the outbox's `bytes`.
pub trait Node {
    /// Something happened.
    fn handle(&mut self, event: NodeEvent<'_>, now: Instant, out: &mut NodeOutbox);

    /// When the node wants to be woken.
    fn next_deadline(&self) -> Option<Instant>;

    /// The alarm rang.
    fn handle_deadline(&mut self, now: Instant, out: &mut NodeOutbox);

    /// For tests that look inside.
    fn as_any(&mut self) -> &mut dyn core::any::Any;
}

/// What reaches a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeEvent<'a> {
    /// The network's own events.
    Net(NetEvent<'a>),
    /// A `NodeAction::Dial` succeeded.
    Dialled {
        /// As in the action.
        ticket: u64,
        /// The open stream.
        stream: StreamId,
        /// Our end.
        local: SocketAddr,
        /// The far end.
        peer: SocketAddr,
    },
    /// A `NodeAction::Dial` failed: nobody listens there.
    DialFailed {
        /// As in the action.
        ticket: u64,
    },
    /// What was queued for a stream has gone out.
    Drained {
        /// The stream.
        stream: StreamId,
    },
}

/// What a node wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeAction {
    /// As every machine of ours says it.
    Net(NetAction),
    /// Open a stream of its own, not pooled.
    Dial {
        /// Comes back in the answer.
        ticket: u64,
        /// The local address family and host are taken from the endpoint with this index.
        endpoint: usize,
        /// TCP or TLS (the simulator carries the plain bytes either way).
        transport: Transport,
        /// Whom to dial.
        peer: SocketAddr,
    },
    /// Deliver nothing more from this stream.
    Pause {
        /// The stream.
        stream: StreamId,
    },
    /// Deliver again.
    Resume {
        /// The stream.
        stream: StreamId,
    },
}

/// Reused between calls.
#[derive(Debug, Default)]
pub struct NodeOutbox {
    /// In order.
    pub actions: Vec<NodeAction>,
    /// What the spans of the actions point into.
    pub bytes: Vec<u8>,
}

impl NodeOutbox {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.actions.clear();
        self.bytes.clear();
    }
}
