//! The network as the sans-IO machines speak of it.

use crate::ids::{SocketId, StreamId};
use crate::span::Span;
use core::fmt;
use core::net::SocketAddr;

/// A transport under SIP or MSRP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A plain stream.
    Tcp,
    /// A stream under TLS.
    Tls,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];

    /// Whether the transport delivers or fails, so that nobody retransmits (RFC 3261 §17).
    #[must_use]
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// As it stands in a Via header (RFC 3261 §20.42).
    #[must_use]
    pub const fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// As it stands in a URI's `transport` parameter and in metric labels.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// A side of the edge: where trust ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Realm {
    /// UEs: nothing from here is trusted.
    Access,
    /// The operator's own network.
    Core,
}

impl Realm {
    /// The opposite side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Access => Self::Core,
            Self::Core => Self::Access,
        }
    }

    /// As it stands in metric labels and configuration.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Core => "core",
        }
    }
}

/// Where a machine wants bytes to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hop {
    /// Over this open connection, or nowhere.
    Stream(StreamId),
    /// As one datagram from this socket.
    Datagram {
        /// The socket to send from.
        socket: SocketId,
        /// The address to send to.
        peer: SocketAddr,
    },
    /// Over any stream to this peer: the shell reuses one or opens one, and queues (capped) meanwhile.
    Peer {
        /// The realm whose addresses and TLS material are used.
        realm: Realm,
        /// TCP or TLS.
        transport: Transport,
        /// The peer.
        peer: SocketAddr,
    },
}

/// Why a stream ended, as the shell saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The peer closed in good order.
    PeerClosed,
    /// Reset, unreachable, or another socket error.
    Failed,
    /// The TLS handshake or a TLS record failed.
    TlsFailed,
    /// Idle for longer than configured (R4).
    Idle,
    /// The peer did not read and its queue is full.
    QueueFull,
    /// We closed it, on the machine's own request.
    Local,
}

/// One event of the network, as every sans-IO node (edge, lab core, lab UE) takes it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetEvent<'a> {
    /// A stream was accepted, or one that a `Hop::Peer` asked for is up (TLS handshake done).
    StreamOpened {
        /// Its id, valid until `StreamClosed`.
        stream: StreamId,
        /// The realm of the listener, or of the hop that asked for it.
        realm: Realm,
        /// TCP or TLS.
        transport: Transport,
        /// Our end.
        local: SocketAddr,
        /// The far end.
        peer: SocketAddr,
    },
    /// Plain bytes came in, split anywhere.
    StreamBytes {
        /// The stream.
        stream: StreamId,
        /// What came; never empty.
        bytes: &'a [u8],
    },
    /// The stream is gone; the id is dead from here on.
    StreamClosed {
        /// The stream.
        stream: StreamId,
        /// Why.
        reason: CloseReason,
    },
    /// No stream to this peer could be opened; what was queued for it is lost.
    PeerUnreachable {
        /// As in `Hop::Peer`.
        realm: Realm,
        /// As in `Hop::Peer`.
        transport: Transport,
        /// As in `Hop::Peer`.
        peer: SocketAddr,
    },
    /// One datagram came in.
    Datagram {
        /// The socket it came in on.
        socket: SocketId,
        /// Whom it came from.
        source: SocketAddr,
        /// The whole datagram.
        bytes: &'a [u8],
    },
}

/// One wish of a sans-IO node. Ranges point into the `bytes` of the outbox that carries the action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetAction {
    /// Send these bytes; a stream that is closing swallows them.
    Send {
        /// Where to.
        hop: Hop,
        /// Range of the outbox's `bytes`.
        bytes: Span,
    },
    /// Close the stream once what was sent before is out; `StreamClosed { Local }` follows.
    Close {
        /// The stream.
        stream: StreamId,
    },
}
