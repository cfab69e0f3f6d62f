//! One connection: a source of messages, and a place where messages of others are written.

use super::api::Limits;
use super::classic::Token;
use super::timers::Armed;
use core::net::SocketAddr;
use msrp::Reader;
use std::collections::VecDeque;
use wire::{Cause, CertificateDigests, Instant, MediaId, Realm, StreamId};

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) realm: Realm,
    pub(super) peer: SocketAddr,
    /// Whether it is under TLS.
    pub(super) secure: bool,
    /// What it showed in the TLS handshake.
    pub(super) certificate: Option<Box<CertificateDigests>>,
    pub(super) opened_at: Instant,
    /// What it was granted (RFC 4976), and until when at the latest.
    pub(super) grants: Vec<Token>,
    pub(super) granted_until: Option<Instant>,
    /// Wrong proofs it gave.
    pub(super) auth_failures: u8,
    /// Sessions bound to it, in the order of binding.
    pub(super) sessions: Vec<MediaId>,
    /// The session of its last message: most connections carry one.
    pub(super) last: Option<MediaId>,
    pub(super) armed: Armed,

    // As a source.
    pub(super) reader: Reader,
    pub(super) flow: Flow,
    pub(super) wait: Wait,
    /// Unread octets while it waits; `len <= held_bytes_max`. Begins with a head, or inside a body.
    pub(super) held: Vec<u8>,
    /// Its turn to write into that connection has come; only while it is resumed.
    pub(super) turn: Option<StreamId>,
    /// It waited long enough for a far side: answer 408 instead of waiting; only while it is resumed.
    pub(super) is_expired: bool,
    /// The shell was told to pause.
    pub(super) is_paused: bool,
    pub(super) last_bytes_at: Instant,
    /// A transaction of it that the relay answered while the far side knows it too: the far response
    /// must not follow.
    pub(super) answered: Option<Id>,

    // As a destination.
    /// Whose message is being written into it.
    pub(super) writer: Option<StreamId>,
    /// Who waits for it, in order.
    pub(super) waiting: VecDeque<StreamId>,
    /// Answers of our own that wait for the writer's message to end; capped by `answers_bytes_max`.
    pub(super) answers: Vec<u8>,
    /// Since when its send queue is over the mark.
    pub(super) full_since: Option<Instant>,
}

/// What becomes of the message being read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Flow {
    /// Between messages.
    #[default]
    None,
    /// It is passed on.
    Forward(Forward),
    /// It leads nowhere; its octets are swallowed.
    Discard,
}

/// A message on its way through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forward {
    pub(super) to: StreamId,
    pub(super) session: MediaId,
    pub(super) id: Id,
    pub(super) has_body: bool,
    /// A SEND, whose octets count for the size of a message.
    pub(super) is_send: bool,
    /// The sender wants to know of failure.
    pub(super) is_answerable: bool,
    /// Octet of the whole message that comes next.
    pub(super) position: u64,
}

/// Why a source does not go on. Each state carries what ends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wait {
    #[default]
    None,
    /// The far side of this session is not connected, or not known; 408 at `until`.
    Far { session: MediaId, until: Instant },
    /// Another source writes into this connection, or its queue is full. Ends with that source's
    /// message or with the queue, both of which have timers of their own.
    Turn { to: StreamId },
    /// In the middle of a message, and the queue of this connection is full.
    Queue { to: StreamId },
}

/// A transaction id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    len: u8,
    octets: [u8; 32],
}

impl Id {
    /// Keeps an id the reader found; it has 4..=32 octets.
    pub(super) fn new(id: &[u8]) -> Self {
        let mut octets = [0; 32];
        let len = id.len().min(32);
        octets[..len].copy_from_slice(&id[..len]);
        Self { len: len as u8, octets }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }
}

/// What a connection's alarm found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It carries no session.
    Unbound,
    /// Its message stands still.
    Chunk,
    /// It waited long enough.
    Far,
    /// It does not read.
    Stalled,
}

impl Conn {
    pub(super) fn new(realm: Realm, peer: SocketAddr, now: Instant, limits: &Limits) -> Self {
        // Ends announced by our own core may be believed; a UE could hide requests behind them.
        let scan = match realm {
            Realm::Access => msrp::Scan::Every,
            Realm::Core => msrp::Scan::Announced,
        };
        Self {
            realm,
            peer,
            secure: false,
            certificate: None,
            opened_at: now,
            grants: Vec::new(),
            granted_until: None,
            auth_failures: 0,
            sessions: Vec::new(),
            last: None,
            armed: None,
            reader: Reader::new(scan, limits.head_bytes_max),
            flow: Flow::None,
            wait: Wait::None,
            held: Vec::new(),
            turn: None,
            is_expired: false,
            is_paused: false,
            last_bytes_at: now,
            answered: None,
            writer: None,
            waiting: VecDeque::new(),
            answers: Vec::new(),
            full_since: None,
        }
    }

    /// The earliest clock that runs, and what it is for.
    pub(super) fn next_due(&self, limits: &Limits) -> Option<(Instant, Due)> {
        let unbound = self.sessions.is_empty().then(|| {
            let until = self.opened_at + limits.bind_max;
            (self.granted_until.map_or(until, |granted| granted.max(until)), Due::Unbound)
        });
        let waits = match self.wait {
            Wait::Far { until, .. } => Some((until, Due::Far)),
            // While we do not read, silence is ours.
            Wait::Turn { .. } | Wait::Queue { .. } => None,
            Wait::None if self.reader.is_between_messages() => None,
            Wait::None => Some((self.last_bytes_at + limits.chunk_max, Due::Chunk)),
        };
        let stalled = self.full_since.map(|since| (since + limits.stall_max, Due::Stalled));
        [unbound, waits, stalled].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Whether a source may begin a message into it.
    pub(super) fn takes_from(&self, source: StreamId, has_turn: bool) -> bool {
        let free = self.writer.is_none() && self.full_since.is_none();
        debug_assert!(self.writer != Some(source), "a message begins where another ended");
        free && (self.waiting.is_empty() || has_turn)
    }
}

/// The table of connections, by the slots of the shell, which reuses them and so keeps them few.
#[derive(Debug, Default)]
pub(super) struct Conns {
    slots: Vec<Option<Slot>>,
    count: usize,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    conn: Box<Conn>,
}

impl Conns {
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    pub(super) fn has(&self, id: StreamId) -> bool {
        self.of(id).is_some()
    }

    pub(super) fn of(&self, id: StreamId) -> Option<&Conn> {
        let slot = self.slots.get(id.slot as usize)?.as_ref()?;
        (slot.generation == id.generation).then_some(&*slot.conn)
    }

    pub(super) fn of_mut(&mut self, id: StreamId) -> Option<&mut Conn> {
        let slot = self.slots.get_mut(id.slot as usize)?.as_mut()?;
        (slot.generation == id.generation).then_some(&mut *slot.conn)
    }

    pub(super) fn insert(&mut self, id: StreamId, conn: Conn) {
        let at = id.slot as usize;
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, || None);
        }
        if let Some(place) = self.slots.get_mut(at) {
            let old = place.replace(Slot { generation: id.generation, conn: Box::new(conn) });
            self.count += usize::from(old.is_none());
        }
    }

    pub(super) fn remove(&mut self, id: StreamId) -> Option<Box<Conn>> {
        let slot = self.slots.get_mut(id.slot as usize)?.take_if(|slot| slot.generation == id.generation)?;
        self.count -= 1;
        Some(slot.conn)
    }
}

/// Why a message is refused by the relay, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) cause: Cause,
    pub(super) status: u16,
    /// The connection is closed if it carries no session (R77).
    pub(super) closes: bool,
}
