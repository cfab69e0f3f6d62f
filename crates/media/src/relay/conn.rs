//! One connection: a source of messages, and a place where messages of others are written.

use super::api::Limits;
use super::classic::Token;
use super::session::Session;
use super::split::{Kept, Split};
use super::timers::Armed;
use core::net::IpAddr;
use msrp::{Head, Reader, Scan};
use smallvec::SmallVec;
use std::collections::VecDeque;
use wire::{Cause, CertificateDigests, Instant, MediaId, Realm, StreamId};

/// One connection. An idle one has no buffer, no reader and no message.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) realm: Realm,
    pub(super) peer: IpAddr,
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
    pub(super) sessions: SmallVec<[MediaId; 1]>,
    /// The session of its last message: most connections carry one.
    pub(super) last: Option<MediaId>,
    pub(super) armed: Armed,

    // As a source.
    /// Stands inside a message; between messages there is none, and while it runs it is with the relay.
    pub(super) reader: Option<Box<Reader>>,
    pub(super) flow: Flow,
    /// The id of what is passed on; written in place, because moving it about costs more than all else of it.
    pub(super) transaction: Id,
    pub(super) wait: Wait,
    /// Unread octets while it waits; `len <= held_bytes_max`. Begins with a head, or inside a body.
    pub(super) held: Vec<u8>,
    /// Its turn to write into that connection has come; only while it is resumed.
    pub(super) turn: Option<StreamId>,
    /// It waited long enough: answer instead of waiting on; only while it is resumed.
    pub(super) is_expired: bool,
    /// Since when the shell does not read from it.
    pub(super) paused_at: Option<Instant>,
    /// The peer sends nothing more; what others write into it still goes out.
    pub(super) ended_at: Option<Instant>,
    pub(super) last_bytes_at: Instant,
    /// Requests passed on whose sender waits for a response.
    pub(super) unanswered: u32,
    /// A transaction of it that the relay answered while the far side knows it too: the far response
    /// must not follow.
    pub(super) answered: Option<Box<Id>>,

    // As a destination.
    /// Whose message is being written into it.
    pub(super) writer: Option<StreamId>,
    /// Who waits for it, in order.
    pub(super) waiting: VecDeque<StreamId>,
    /// Answers of our own that wait for the writer's message to end; capped by `answers_bytes_max`.
    pub(super) answers: Vec<u8>,
    /// Since when its send queue is over the mark.
    pub(super) full_since: Option<Instant>,
    /// Chunks that the relay cut into parts, and whose responses are still to come.
    pub(super) splits: Vec<Split>,
}

/// What becomes of the message being read.
#[derive(Debug, Default)]
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
#[derive(Debug)]
pub(super) struct Forward {
    pub(super) to: StreamId,
    pub(super) session: MediaId,
    pub(super) has_body: bool,
    /// A SEND, whose octets count for the size of a message.
    pub(super) is_send: bool,
    /// The sender wants to know of failure.
    pub(super) is_answerable: bool,
    /// Of its Message-ID; 0 if it is no SEND with a body.
    pub(super) message: u64,
    /// Octet of the whole message that comes next, by what came before.
    pub(super) position: u64,
    /// Octets of this chunk that were passed on.
    pub(super) octets: u64,
    /// Its head, once it is clear that the chunk is longer than a read: it may have to be cut.
    pub(super) kept: Option<Box<Kept>>,
    /// A response to a part, which its receiver knows by this id.
    pub(super) alias: Option<Box<Id>>,
}

impl Forward {
    /// Whether it was interrupted and has not gone on yet.
    pub(super) fn is_cut(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.is_cut)
    }

    /// Keeps the head of a chunk that may have to be cut.
    pub(super) fn keep(&mut self, head: &Head<'_>, session: &Session, far: Realm) {
        if self.is_send && self.has_body && self.kept.is_none() {
            self.kept = Kept::new(head, session, far).map(Box::new);
        }
    }

    /// The id that the far side knows it by, if that is another one.
    pub(super) fn far_id(&self) -> Option<&Id> {
        let part = self.kept.as_ref().filter(|kept| kept.is_renamed).map(|kept| &kept.part);
        self.alias.as_deref().or(part)
    }
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
    /// Its session or its user had more than is allowed in a second.
    Rate { until: Instant },
}

/// A transaction id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Id {
    len: u8,
    octets: [u8; 32],
}

impl Id {
    /// Keeps an id the reader found; it has 4..=32 octets.
    pub(super) fn new(id: &[u8]) -> Self {
        let mut new = Self::default();
        new.set(id);
        new
    }

    /// Keeps another one.
    pub(super) fn set(&mut self, id: &[u8]) {
        let len = id.len().min(32);
        // What stands behind must not tell two equal ids apart.
        self.octets[len..].fill(0);
        self.octets[..len].copy_from_slice(&id[..len]);
        self.len = len as u8;
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
    /// It may go on.
    Rate,
    /// It does not read.
    Stalled,
    /// Its peer said that it sends nothing more, and had time to get what was on its way.
    Ended,
}

impl Conn {
    pub(super) fn new(realm: Realm, peer: IpAddr, now: Instant) -> Self {
        Self {
            realm,
            peer,
            secure: false,
            certificate: None,
            opened_at: now,
            grants: Vec::new(),
            granted_until: None,
            auth_failures: 0,
            sessions: SmallVec::new(),
            last: None,
            armed: None,
            reader: None,
            flow: Flow::None,
            transaction: Id::default(),
            wait: Wait::None,
            held: Vec::new(),
            turn: None,
            is_expired: false,
            paused_at: None,
            ended_at: None,
            last_bytes_at: now,
            unanswered: 0,
            answered: None,
            writer: None,
            waiting: VecDeque::new(),
            answers: Vec::new(),
            full_since: None,
            splits: Vec::new(),
        }
    }

    /// How its messages are searched for their ends: those announced by our own core may be believed; a
    /// UE could hide requests behind them.
    pub(super) const fn scan(&self) -> Scan {
        match self.realm {
            Realm::Access => Scan::Every,
            Realm::Core => Scan::Announced,
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
            Wait::Rate { until } => Some((until, Due::Rate)),
            // While we do not read, silence is ours.
            Wait::Turn { .. } | Wait::Queue { .. } => None,
            Wait::None if self.reader.is_none() => None,
            Wait::None => Some((self.last_bytes_at + limits.chunk_max, Due::Chunk)),
        };
        let stalled = self.full_since.map(|since| (since + limits.stall_max, Due::Stalled));
        let ended = self.ended_at.map(|at| (at + limits.drain_max, Due::Ended));
        [unbound, waits, stalled, ended].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Whether no clock of it runs: true of nearly all, nearly always.
    pub(super) fn is_timeless(&self) -> bool {
        self.reader.is_none()
            && self.wait == Wait::None
            && self.full_since.is_none()
            && self.ended_at.is_none()
            && !self.sessions.is_empty()
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

    /// Every connection, in the order of the slots.
    pub(super) fn ids(&self) -> Vec<StreamId> {
        let id = |(slot, place): (usize, &Option<Slot>)| {
            place.as_ref().map(|place| StreamId { slot: slot as u32, generation: place.generation })
        };
        self.slots.iter().enumerate().filter_map(id).collect()
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

/// Readers that stand between messages: as many as messages were under way at one time, up to a cap.
#[derive(Debug, Default)]
pub(super) struct Readers {
    // Boxed, because they travel between here and the connections.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Reader>>,
}

const SPARE_MAX: usize = 64;

impl Readers {
    pub(super) fn take(&mut self, scan: Scan, head_bytes_max: usize) -> Box<Reader> {
        let mut reader = self.spare.pop().unwrap_or_default();
        reader.renew(scan, head_bytes_max);
        reader
    }

    pub(super) fn give_back(&mut self, reader: Box<Reader>) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(reader);
        }
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
