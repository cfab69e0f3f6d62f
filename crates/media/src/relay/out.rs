//! Putting segments into the outbox.

use super::api::{Action, Outbox, Segment};
use core::ops::Range;
use wire::{Span, StreamId};

/// Octets of the input that are copied rather than pointed to: a short message then leaves as one piece,
/// which costs the kernel less than two, by more than copying takes.
const COPIED_MAX: usize = 4_096;

/// Segments of one `Forward`: what one `writev` takes on every system (IOV_MAX is 1024 or more).
const SEGMENTS_MAX: usize = 512;

/// The bytes being read, and whether the outbox may point into them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a> {
    pub(super) bytes: &'a [u8],
    /// They are those of the event, which the shell keeps until it drained the outbox. Held bytes are not.
    pub(super) is_lent: bool,
}

impl Outbox {
    /// Sends a range of the input: by reference if it is lent, else copied.
    pub(super) fn send_input(&mut self, conn: StreamId, input: Input<'_>, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        if input.is_lent && (range.len() > COPIED_MAX || self.ends_at(conn, range.start)) {
            self.send(conn, Segment::Input(Span::new(range.start, range.end)));
        } else {
            self.send_copy(conn, input.bytes.get(range).unwrap_or_default());
        }
    }

    /// Whether what was sent last on a connection is the input up to `at`.
    fn ends_at(&self, conn: StreamId, at: usize) -> bool {
        let is_last =
            matches!(self.actions.last(), Some(Action::Forward { conn: last, .. }) if *last == conn);
        is_last && matches!(self.segments.last(), Some(Segment::Input(span)) if span.end as usize == at)
    }

    /// Sends a copy of `bytes`.
    pub(super) fn send_copy(&mut self, conn: StreamId, bytes: &[u8]) {
        self.send_with(conn, |out| out.extend_from_slice(bytes));
    }

    /// Sends what `write` appends.
    pub(super) fn send_with(&mut self, conn: StreamId, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        if self.bytes.len() > start {
            self.send(conn, Segment::Own(Span::new(start, self.bytes.len())));
        }
    }

    /// Adds to the last action if it goes to the same connection, and to its last segment if they touch.
    fn send(&mut self, conn: StreamId, segment: Segment) {
        let count = self.segments.len();
        if let Some(Action::Forward { conn: last, segments }) = self.actions.last_mut()
            && *last == conn
            && segments.len() < SEGMENTS_MAX
        {
            if let Some(joined) = self.segments.last_mut()
                && let Some(whole) = join(*joined, segment)
            {
                *joined = whole;
                return;
            }
            segments.end = count + 1;
        } else {
            self.actions.push(Action::Forward { conn, segments: count..count + 1 });
        }
        self.segments.push(segment);
    }
}

fn join(first: Segment, second: Segment) -> Option<Segment> {
    let touch = |a: Span, b: Span| (a.end == b.start).then_some(Span { start: a.start, end: b.end });
    match (first, second) {
        (Segment::Input(a), Segment::Input(b)) => touch(a, b).map(Segment::Input),
        (Segment::Own(a), Segment::Own(b)) => touch(a, b).map(Segment::Own),
        _ => None,
    }
}
