//! A chunk that others wait behind is cut into parts, so that no chat line waits for a file.
//!
//! Senders must be ready for their chunks to end early (RFC 4975 §5.1 and §7.1.1: what is longer than 2048
//! octets is interruptible), so a relay in between may do it for them:
//! ```text
//! UE file  ══ SEND f1 1-*/2e9 ═══════════════════════════▶         one chunk, one transaction
//! UE chat  ═════════════ SEND c1 ══▶
//!                              far side: SEND f1 1-*/2e9 … -------f1+
//!                                        SEND c1 … -------c1$
//!                                        SEND r7 65537-*/2e9 … -------r7$
//! far side answers f1, c1, r7      the UE hears 200 to c1, then 200 to f1 (which was r7's)
//! ```
//! Message-ID, the octets and all other fields stay; only where the far connection is shared, and somebody
//! waits, do Byte-Range and the transaction id of the later parts differ (R74 holds for everything else).
//! The response to the last part, or the first that is an error, is the response to the whole; reports
//! name ranges of the message and need nothing.

use super::MsrpRelay;
use super::api::Outbox;
use super::chunk::write_paths;
use super::conn::{Flow, Forward, Id, Wait};
use super::session::Session;
use msrp::{ByteRange, Flag, Head, HeaderId, write};
use wire::{Cause, Realm, Span, StreamId};

/// What is needed to go on with a chunk under another id.
#[derive(Debug)]
pub(super) struct Kept {
    /// As the far side got it.
    head: Box<[u8]>,
    /// Where From-Path ends in it.
    from_end: u32,
    /// The value of Byte-Range in it; `None`: it has none, and gets one.
    range: Option<Span>,
    start: u64,
    total: Option<u64>,
    /// The id that the far side knows the part by that is being written, or was last.
    pub(super) part: Id,
    /// That is not the id of the sender: it is a later part.
    pub(super) is_renamed: bool,
    /// Octets of the chunk when that part began.
    began_at: u64,
    /// The part ended; the next octets need a head before them.
    pub(super) is_cut: bool,
    /// The sender was told that it failed: nothing more is to be told.
    is_refused: bool,
}

/// A part whose response is to come.
#[derive(Debug)]
pub(super) struct Split {
    part: Id,
    original: Id,
    source: StreamId,
    awaited: Awaited,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// More parts follow: success means nothing yet.
    More,
    /// It was the last part.
    Last,
    /// The whole failed already.
    Nothing,
}

/// What a response to a part is to the sender of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is not about a part.
    Plain,
    /// Nothing yet.
    Nothing,
    /// The response to this transaction.
    Of(Id),
}

/// Octets that a part has at least (RFC 4975 §7.1.1: so many may be sent without being ready to stop).
const PART_MIN: u64 = 2_048;
/// Parts of one connection whose responses are outstanding; where more are, the oldest are forgotten.
const SPLITS_MAX: usize = 256;

impl Kept {
    /// `None` for a head in an order that nobody writes: such a chunk is not cut.
    pub(super) fn new(head: &Head<'_>, session: &Session, far: Realm) -> Option<Self> {
        let mut text = Vec::with_capacity(head.bytes().len() + 64);
        write_paths(head, None, session, far, &mut text);
        let (from_end, from) = (text.len() as u32, head.span(HeaderId::FromPath));
        text.extend_from_slice(head.bytes().get(from.end as usize..)?);
        let value = head.span(HeaderId::ByteRange);
        let moved = |at: u32| Some(at.checked_sub(from.end)? + from_end);
        let range = match value.is_empty() {
            true => None,
            false => Some(Span { start: moved(value.start)?, end: moved(value.end)? }),
        };
        let said = head.byte_range();
        Some(Self {
            head: text.into(),
            from_end,
            range,
            start: said.map_or(1, |range| range.start.max(1)),
            total: said.and_then(|range| range.total),
            part: Id::new(head.id()),
            is_renamed: false,
            began_at: 0,
            is_cut: false,
            is_refused: false,
        })
    }

    /// Whether a part of it may end here, after so many octets of the chunk.
    fn may_end(&self, octets: u64) -> bool {
        let next = self.start.saturating_add(octets);
        // What lacks only its end-line is as good as over.
        let is_over = self.total.is_some_and(|total| next > total);
        !self.is_cut && octets.saturating_sub(self.began_at) >= PART_MIN && !is_over
    }

    /// Appends the head of the next part, which begins behind `octets` of the chunk.
    fn write_head(&self, octets: u64, out: &mut Vec<u8>) {
        let range = ByteRange { start: self.start.saturating_add(octets), end: None, total: self.total };
        let text = |start: u32, end: u32| Span { start, end }.of(&self.head);
        let line = memchr::memchr(b'\n', &self.head).map_or(0, |at| at + 1) as u32;
        out.extend_from_slice(b"MSRP ");
        out.extend_from_slice(self.part.as_bytes());
        out.extend_from_slice(b" SEND\r\n");
        let rest = match self.range {
            Some(value) => {
                out.extend_from_slice(text(line, value.start));
                value.end
            }
            None => {
                out.extend_from_slice(text(line, self.from_end));
                out.extend_from_slice(b"\r\nByte-Range: ");
                self.from_end
            }
        };
        range.write(out);
        out.extend_from_slice(text(rest, self.head.len() as u32));
    }
}

impl MsrpRelay {
    /// Ends the part that is being written into a connection, if others wait for it and it may end.
    pub(super) fn interrupt(&mut self, to: StreamId, out: &mut Outbox) {
        let Some(far) = self.conns.of(to).filter(|far| !far.waiting.is_empty() && far.full_since.is_none())
        else {
            return;
        };
        let Some(source) = far.writer else { return };
        let Some(conn) = self.conns.of_mut(source) else { return };
        let Flow::Forward(forward) = &mut conn.flow else { return };
        let octets = forward.octets;
        let Some(kept) = forward.kept.as_mut().filter(|kept| kept.may_end(octets)) else { return };
        kept.is_cut = true;
        let awaited = if kept.is_refused { Awaited::Nothing } else { Awaited::More };
        let split = Split { part: kept.part, original: conn.transaction, source, awaited };
        let is_awaited = forward.is_answerable;
        out.send_with(to, |out| write::end_of_body(split.part.as_bytes(), Flag::More, out));
        self.counters.interruptions += 1;
        if let Wait::Queue { .. } = conn.wait {
            // It was to go on first; it goes last.
            conn.wait = Wait::Turn { to };
            if let Some(far) = self.conns.of_mut(to) {
                far.waiting.push_back(source);
            }
        }
        if is_awaited {
            self.expect_part(to, split);
        }
        self.release(to, source, out);
    }

    /// A chunk that was cut goes on, if its far side is free; else says what it waits for.
    pub(super) fn reopen(&mut self, id: StreamId, out: &mut Outbox) -> Option<Wait> {
        let conn = self.conns.of(id)?;
        let Flow::Forward(forward) = &conn.flow else { return None };
        let (to, turn) = (forward.to, conn.turn);
        let far = self.conns.of(to).filter(|_| self.sessions.of(forward.session).is_some());
        let Some(far) = far else {
            self.give_up(id, Cause::MsrpPeerGone, out);
            return None;
        };
        if !far.takes_from(id, turn == Some(to)) {
            return Some(Wait::Turn { to });
        }
        let part = self.new_id();
        let conn = self.conns.of_mut(id)?;
        let Flow::Forward(forward) = &mut conn.flow else { return None };
        let octets = forward.octets;
        let kept = forward.kept.as_mut()?;
        kept.part = part;
        kept.is_renamed = true;
        kept.is_cut = false;
        kept.began_at = octets;
        out.send_with(to, |out| kept.write_head(octets, out));
        self.conns.of_mut(to)?.writer = Some(id);
        None
    }

    /// A cut chunk is over: the response to its last part is the response to the whole.
    pub(super) fn expect_last(&mut self, source: StreamId, forward: &Forward) {
        if let Some(kept) = forward.kept.as_ref().filter(|kept| kept.is_renamed)
            && forward.is_answerable
            && let Some(conn) = self.conns.of(source)
        {
            let awaited = if kept.is_refused { Awaited::Nothing } else { Awaited::Last };
            let split = Split { part: kept.part, original: conn.transaction, source, awaited };
            self.expect_part(forward.to, split);
        }
    }

    fn expect_part(&mut self, to: StreamId, split: Split) {
        let Some(far) = self.conns.of_mut(to) else { return };
        if far.splits.len() >= SPLITS_MAX {
            far.splits.remove(0);
        }
        far.splits.push(split);
    }

    /// What a response that came in on `id` means, and forgets the part it is about.
    pub(super) fn meaning(&mut self, id: StreamId, transaction: &[u8], status: u16) -> Meaning {
        let Some(conn) = self.conns.of_mut(id).filter(|conn| !conn.splits.is_empty()) else {
            return Meaning::Plain;
        };
        let Some(at) = conn.splits.iter().position(|split| split.part.as_bytes() == transaction) else {
            return Meaning::Plain;
        };
        let split = conn.splits.remove(at);
        if conn.splits.is_empty() {
            conn.splits = Vec::new();
        }
        match split.awaited {
            Awaited::Last => return Meaning::Of(split.original),
            Awaited::Nothing => return Meaning::Nothing,
            Awaited::More if status == 200 => return Meaning::Nothing,
            Awaited::More => {}
        }
        // The first error is the answer to the whole; nothing that is said to other parts follows it.
        for other in &mut conn.splits {
            if other.source == split.source && other.original == split.original {
                other.awaited = Awaited::Nothing;
            }
        }
        if let Some(source) = self.conns.of_mut(split.source)
            && source.transaction == split.original
            && let Flow::Forward(forward) = &mut source.flow
            && let Some(kept) = &mut forward.kept
        {
            kept.is_refused = true;
        }
        Meaning::Of(split.original)
    }

    /// A transaction id that stands in no body: nobody can foresee it.
    fn new_id(&mut self) -> Id {
        let mut text = Vec::new();
        self.random.push_token(20, &mut text);
        Id::new(&text)
    }
}
