//! What goes into the MSRP relay and what comes out.
//!
//! ```text
//! handle(event, now, &mut out)            connections, bytes, commands of the edge
//! next_deadline() -> (Instant, Reason)    when to wake it, and why
//! handle_deadline(now, &mut out)          the alarm rang
//! ```
//! The shell drains `out.actions` after each call while the bytes it gave are still there, because
//! `Segment::Input` points into them, then clears the outbox.

use crate::command::{MediaCommand, MediaNotice, MsrpRecord};
use crate::msrp_auth::Users;
use core::net::SocketAddr;
use core::ops::Range;
use core::time::Duration;
use std::sync::Arc;
use wire::{CertificateDigests, MediaId, Realm, Span, StreamId, Transport};

/// What happened outside.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A connection to an MSRP listener was accepted, or one that `Action::Dial` asked for is up
    /// (TLS handshake done).
    Opened {
        /// Its id, valid until `Closed`.
        conn: StreamId,
        /// The realm of the listener, or of the dial.
        realm: Realm,
        /// TCP or TLS; a WebSocket counts as what it runs over.
        transport: Transport,
        /// Our end.
        local: SocketAddr,
        /// The far end.
        peer: SocketAddr,
        /// The session whose `Action::Dial` this answers; `None` for an accepted connection.
        dialled_for: Option<MediaId>,
        /// What the far end showed in the TLS handshake; `None` without TLS, or if it showed none.
        certificate: Option<&'a CertificateDigests>,
    },
    /// Plain bytes came in, split anywhere. The relay takes all of them.
    Bytes {
        /// The connection.
        conn: StreamId,
        /// What came; never empty.
        bytes: &'a [u8],
    },
    /// After writing what `Action::Forward` asked for, so many bytes still wait to be sent.
    ///
    /// To be told whenever the queue is not empty after a write; a queue at zero needs no event.
    Queued {
        /// The connection.
        conn: StreamId,
        /// Bytes in its send queue.
        bytes: usize,
    },
    /// The send queue fell to `Limits::queue_low_bytes` or less, having been above it.
    Drained {
        /// The connection.
        conn: StreamId,
    },
    /// The peer sends nothing more, but may still read.
    ///
    /// Optional: a shell that cannot tell says `Closed`. What is on its way to the peer still goes there;
    /// then, or after `Limits::drain_max`, the relay closes the connection.
    HalfClosed {
        /// The connection.
        conn: StreamId,
    },
    /// The connection is gone, by the peer, by an error, or after `Action::Close`; the id is dead.
    Closed {
        /// The connection.
        conn: StreamId,
    },
    /// The connection that `Action::Dial` asked for cannot be opened.
    DialFailed {
        /// The session.
        id: MediaId,
        /// The side.
        realm: Realm,
    },
    /// The edge orders.
    Command(MediaCommand),
    /// Who may ask for a relay was replaced.
    Users(Arc<Users>),
}

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send these segments, in this order, in one write if possible.
    Forward {
        /// The connection.
        conn: StreamId,
        /// Range of `Outbox::segments`.
        segments: Range<usize>,
    },
    /// Open a connection; `Opened { dialled_for: Some(id) }` or `DialFailed` follows.
    Dial {
        /// The session it is for.
        id: MediaId,
        /// The realm to dial in.
        realm: Realm,
        /// TCP or TLS.
        transport: Transport,
        /// The peer.
        peer: SocketAddr,
        /// Whose certificate it must show.
        trust: Trust,
    },
    /// Close the connection once what was forwarded before is out; `Closed` follows.
    Close {
        /// The connection.
        conn: StreamId,
    },
    /// Stop reading from the connection: back-pressure. Bytes already read may still be given.
    PauseReading {
        /// The connection.
        conn: StreamId,
    },
    /// Read again.
    ResumeReading {
        /// The connection.
        conn: StreamId,
    },
    /// Tell the edge.
    Notice(MediaNotice),
    /// A session ended: keep this of it.
    Record(Box<MsrpRecord>),
}

/// Whose certificate is accepted from a peer that is dialled over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// One that an authority of the realm vouches for.
    Authority,
    /// Any: the relay compares it with the fingerprints of the session once it is open.
    Fingerprint,
}

/// A piece of what is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Of the very bytes given with `Event::Bytes`: nothing was copied.
    Input(Span),
    /// Of `Outbox::bytes`: rewritten heads, answers of our own, bytes that had to wait.
    Own(Span),
}

/// Reused between calls: warm, a call allocates nothing.
#[derive(Debug, Default)]
pub struct Outbox {
    /// In order.
    pub actions: Vec<Action>,
    /// What `Action::Forward` points into.
    pub segments: Vec<Segment>,
    /// What `Segment::Own` points into.
    pub bytes: Vec<u8>,
}

impl Outbox {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.actions.clear();
        self.segments.clear();
        self.bytes.clear();
    }

    /// The bytes of one segment, given the input of the call.
    #[must_use]
    pub fn segment<'a>(&'a self, segment: Segment, input: &'a [u8]) -> &'a [u8] {
        match segment {
            Segment::Input(span) => span.of(input),
            Segment::Own(span) => span.of(&self.bytes),
        }
    }
}

/// Why the relay asked to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A connection: it bound nothing, its chunk stands still, it waits too long, or it does not read.
    Connection,
    /// A session: idle, or its peer did not come back.
    Session,
}

/// Caps and times of one relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a message head before the connection is closed. Real heads have 200..600.
    pub head_bytes_max: usize,
    /// Sessions at one time.
    pub sessions_max: usize,
    /// Connections at one time.
    pub connections_max: usize,
    /// Sessions on one connection.
    pub sessions_per_connection_max: usize,
    /// Octets read but held back (far side not there yet, or busy with another chunk) per connection.
    ///
    /// Reading is paused as soon as the first one is held, so this must only cover what the shell had
    /// already read: a few read buffers.
    pub held_bytes_max: usize,
    /// Octets held over all connections; who would go over it is closed. A dead far side makes many
    /// sources wait at once, each with a read buffer at most.
    pub held_bytes_total_max: usize,
    /// Octets of answers of our own that wait for a chunk of another sender to end, per connection.
    pub answers_bytes_max: usize,
    /// Octets in a send queue above which those who fill it are paused.
    pub queue_high_bytes: usize,
    /// Octets in a send queue at or under which they resume. The shell sends `Drained` there.
    pub queue_low_bytes: usize,
    /// A connection that carries no session is closed after this.
    pub bind_max: Duration,
    /// A started head or chunk that gets no further octet is given up after this.
    pub chunk_max: Duration,
    /// Requests wait this long for a far side that is not connected, then get 408.
    pub wait_max: Duration,
    /// A connection whose queue stays over the low mark for this long does not read: it is closed.
    pub stall_max: Duration,
    /// A session ends after so long, whatever it carries; `None`: never.
    pub session_max: Option<Duration>,
    /// Octets a second of one session, both ways together; 0: as many as come. One second's worth may come
    /// at once.
    pub session_bytes_per_second_max: u64,
    /// The same for all sessions of one user.
    pub user_bytes_per_second_max: u64,
    /// A connection whose peer sends nothing more stays so long for what is on its way to it.
    pub drain_max: Duration,
    /// Seeds the hash of the session table, whose keys come from the network, and the ids that the relay
    /// gives to parts of chunks.
    pub hash_seed: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 8_192,
            sessions_max: 250_000,
            connections_max: 500_000,
            sessions_per_connection_max: 64,
            held_bytes_max: 262_144,
            held_bytes_total_max: 268_435_456,
            answers_bytes_max: 4_096,
            queue_high_bytes: 131_072,
            queue_low_bytes: 32_768,
            bind_max: Duration::from_secs(30),
            chunk_max: Duration::from_secs(30),
            // RFC 4975 §7.1.1: a sender gives a transaction up after 30 s, so an answer must come before.
            wait_max: Duration::from_secs(20),
            stall_max: Duration::from_secs(60),
            session_max: None,
            session_bytes_per_second_max: 0,
            user_bytes_per_second_max: 0,
            drain_max: Duration::from_secs(10),
            hash_seed: 0,
        }
    }
}

impl Limits {
    /// Whether anybody's octets a second are limited.
    pub(super) const fn has_rates(&self) -> bool {
        self.session_bytes_per_second_max > 0 || self.user_bytes_per_second_max > 0
    }
}
