//! One stream connection, and the table of them.

use crate::bind::Protocol;
use crate::io::WebSocket;
use crate::quota::Permit;
use crate::tls::Session;
use core::net::SocketAddr;
use media::relay::Trust;
use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;
use wire::{Instant, MediaId, Realm, StreamId, Transport};

/// What a connection is for; fixed for its life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) protocol: Protocol,
    pub(crate) realm: Realm,
    pub(crate) transport: Transport,
    pub(crate) opened_by: OpenedBy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenedBy {
    /// Accepted from a listener.
    Peer,
    /// By us, because signalling named a peer.
    Hop,
    /// By us, for a media session, with that trust in its certificate.
    Media(MediaId, Trust),
}

/// ```text
/// dialled ─▶ Connecting ─▶ Handshaking ─▶ Open ─▶ Lingering ─▶ gone
/// accepted ────────────────┘ (TLS)  └ (TCP)┘   (WebSocket: Upgrading before Open)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The kernel is connecting; given up at `due`.
    Connecting { due: Instant },
    /// TLS is shaking hands; given up at `due`.
    Handshaking { due: Instant },
    /// The request for a WebSocket is awaited; given up at `due`.
    Upgrading { due: Instant },
    /// The machine knows it.
    Open,
    /// The machine does not know it any more: what is queued goes out, what comes in is thrown away,
    /// so that the kernel does not answer with a reset that destroys our last words.
    Lingering { due: Instant },
}

/// One connection. An idle one should cost little: no buffer is held while nothing waits.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) socket: OwnedFd,
    pub(crate) kind: Kind,
    pub(crate) peer: SocketAddr,
    pub(crate) stage: Stage,
    pub(crate) tls: Option<Box<Session>>,
    /// MSRP comes in WebSocket messages.
    pub(crate) websocket: Option<WebSocket>,
    /// What the socket has not taken yet: ciphertext under TLS.
    pub(crate) queue: Queue,
    /// Plain bytes that wait for the connection to open.
    pub(crate) early: Option<Box<Queue>>,
    /// What epoll watches for.
    pub(crate) interest: EventFlags,
    /// The relay asked not to read.
    pub(crate) paused: bool,
    /// The queue was above the relay's low mark.
    pub(crate) was_high: bool,
    /// The peer will send nothing more.
    pub(crate) read_closed: bool,
    /// Our end was told to the peer as closed.
    pub(crate) write_closed: bool,
    /// When something last came in (or, on the core side, went out).
    pub(crate) active_at: Instant,
    /// The machine asked not to close it for idleness before.
    pub(crate) hold_until: Instant,
    /// When it last carried a registration.
    pub(crate) trusted_at: Instant,
    /// The time of its alarm in the wheel.
    pub(crate) armed_at: Option<Instant>,
    pub(crate) permit: Permit,
}

impl Conn {
    /// Whether the machine may use it.
    pub(crate) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Bytes of it that wait in our memory.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len() + self.early.as_ref().map_or(0, |early| early.len())
    }

    /// What epoll should watch for.
    pub(crate) fn wanted(&self) -> EventFlags {
        let mut flags = EventFlags::empty();
        let connecting = matches!(self.stage, Stage::Connecting { .. });
        if connecting || !self.queue.is_empty() {
            flags |= EventFlags::OUT;
        }
        if !connecting && !self.paused && !self.read_closed {
            flags |= EventFlags::IN;
        }
        flags
    }
}

/// Bytes in order; gives its memory back when it runs empty.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    bytes: Vec<u8>,
    /// `sent <= bytes.len()`
    sent: usize,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn front(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    pub(crate) fn push(&mut self, part: &[u8]) {
        // Moving the rest to the front costs less than growing, once half of the memory is behind us.
        if self.sent > 0 && self.sent >= self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(part);
    }

    pub(crate) fn advance(&mut self, by: usize) {
        self.sent = (self.sent + by).min(self.bytes.len());
        if self.is_empty() {
            *self = Self::default();
        }
    }

    pub(crate) fn take(&mut self) -> Vec<u8> {
        let queue = core::mem::take(self);
        let mut bytes = queue.bytes;
        bytes.drain(..queue.sent);
        bytes
    }
}

/// Connections by id; a slot is reused with the next generation, so a stale id finds nothing.
#[derive(Debug, Default)]
pub(crate) struct Conns {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    /// Starts at 1: a word with generation 0 is never a connection.
    generation: u32,
    conn: Option<Box<Conn>>,
}

impl Conns {
    pub(crate) fn insert(&mut self, conn: Conn) -> StreamId {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(Slot { generation: 1, conn: None });
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let place = &mut self.slots[slot as usize];
        place.conn = Some(Box::new(conn));
        StreamId { slot, generation: place.generation }
    }

    pub(crate) fn get(&self, id: StreamId) -> Option<&Conn> {
        let slot = self.slots.get(id.slot as usize)?;
        if slot.generation == id.generation { slot.conn.as_deref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, id: StreamId) -> Option<&mut Conn> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation == id.generation { slot.conn.as_deref_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, id: StreamId) -> Option<Conn> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let conn = slot.conn.take()?;
        // Generation 0 is kept free; after four billion uses a stale id could come back to life.
        slot.generation = slot.generation.wrapping_add(1).max(1);
        self.free.push(id.slot);
        Some(*conn)
    }

    /// The connections in `count` slots from `first` on that `fits`, and where to go on, unless the
    /// table ends here.
    pub(crate) fn search(
        &self,
        first: usize,
        count: usize,
        fits: impl Fn(&Conn) -> bool,
    ) -> (Vec<StreamId>, Option<usize>) {
        let found = |(slot, place): (usize, &Slot)| {
            place.conn.as_deref().filter(|conn| fits(conn))?;
            Some(StreamId { slot: slot as u32, generation: place.generation })
        };
        let ids = self.slots.iter().enumerate().skip(first).take(count).filter_map(found).collect();
        let next = first + count;
        (ids, (next < self.slots.len()).then_some(next))
    }

    /// All connections.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Conn> {
        self.slots.iter().filter_map(|slot| slot.conn.as_deref())
    }

    pub(crate) fn ids(&self) -> Vec<StreamId> {
        let id = |(slot, place): (usize, &Slot)| {
            place.conn.as_ref().map(|_| StreamId { slot: slot as u32, generation: place.generation })
        };
        self.slots.iter().enumerate().filter_map(id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_keeps_order_and_gives_memory_back() {
        let mut queue = Queue::default();
        queue.push(b"abc");
        queue.push(b"def");
        queue.advance(4);
        assert_eq!(queue.front(), b"ef");
        queue.push(b"ghi");
        assert_eq!(queue.front(), b"efghi");
        queue.advance(1);
        assert_eq!(queue.take(), b"fghi");
        queue.push(b"x");
        queue.advance(99);
        assert!(queue.is_empty());
        assert_eq!(queue.bytes.capacity(), 0);
    }
}
