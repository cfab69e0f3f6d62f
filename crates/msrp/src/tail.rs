//! The end-line: what it looks like, where it may begin, and one that is cut by the end of a read.

use crate::reader::Flag;
use core::ops::Range;
use memchr::memmem::Finder;
use std::sync::LazyLock;

/// Before every end-line after a body, whatever its id: one searcher for all chunks, built once.
pub(crate) const NEEDLE: &[u8] = b"\r\n-------";
static NEEDLE_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(NEEDLE));

/// Where the next needle stands.
pub(crate) fn find_needle(text: &[u8]) -> Option<usize> {
    NEEDLE_FINDER.find(text)
}

/// Longest end-line with its CRLFs: `CRLF ------- id(32) flag CRLF`.
const END_MAX: usize = 2 + 7 + 32 + 1 + 2;

/// The beginning of what may become an end-line, seen at the end of a read.
///
/// `sent <= len`: the first `sent` octets must not be given out, they belong to the head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tail {
    octets: Octets,
    len: u8,
    sent: u8,
    id_len: u8,
}

#[derive(Clone, Copy, Debug)]
struct Octets {
    tail: [u8; END_MAX],
    id: [u8; 32],
}

impl Default for Octets {
    fn default() -> Self {
        Self { tail: [0; END_MAX], id: [0; 32] }
    }
}

/// What stands at a needle.
pub(crate) enum Compared {
    End(Flag, usize),
    /// Like an end-line as far as the input reaches.
    Cut,
    No,
}

impl Tail {
    /// The id an end-line must name.
    pub(crate) fn id(&self) -> &[u8] {
        &self.octets.id[..usize::from(self.id_len)]
    }

    /// Octets withheld.
    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether no candidate is open.
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Starts the search for the end-line of this id behind the empty line of a head.
    ///
    /// The CRLF of the empty line counts as the one before the end-line, so that a body of nothing at
    /// all ends as it does for a reader that works by lines.
    pub(crate) fn begin(&mut self, id: &[u8]) {
        self.id_len = id.len() as u8; // checked to be 4..=32
        self.octets.id[..id.len()].copy_from_slice(id);
        self.open(b"\r\n");
        self.sent = 2;
    }

    /// Closes what is open.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.sent = 0;
    }

    pub(crate) fn open(&mut self, octets: &[u8]) {
        self.octets.tail[..octets.len()].copy_from_slice(octets);
        self.len = octets.len() as u8; // a candidate is shorter than END_MAX
        self.sent = 0;
    }

    fn end_len(&self) -> usize {
        NEEDLE.len() + usize::from(self.id_len) + 3
    }

    /// Whether `byte` carries the candidate on.
    pub(crate) fn expects(&self, byte: u8) -> bool {
        self.matches(usize::from(self.len), byte)
    }

    fn matches(&self, place: usize, byte: u8) -> bool {
        let id_end = NEEDLE.len() + usize::from(self.id_len);
        match place {
            _ if place < NEEDLE.len() => NEEDLE[place] == byte,
            _ if place < id_end => self.octets.id[place - NEEDLE.len()] == byte,
            _ if place == id_end => matches!(byte, b'$' | b'+' | b'#'),
            _ if place == id_end + 1 => byte == b'\r',
            _ => byte == b'\n',
        }
    }

    /// Takes an expected byte; the flag if the end-line is complete.
    pub(crate) fn push(&mut self, byte: u8) -> Option<Flag> {
        self.octets.tail[usize::from(self.len)] = byte;
        self.len += 1;
        let end = self.end_len();
        if usize::from(self.len) < end {
            return None;
        }
        Flag::read(&self.octets.tail[end - 3..end - 2])
    }

    /// The candidate was none after all: closes it; `octets` of the returned range must be given out.
    ///
    /// No other candidate can begin inside it. Only CR begins one, and the one CR further inside, that of
    /// the last CRLF, would need the LF that completes this very end-line.
    pub(crate) fn give_up(&mut self) -> Range<usize> {
        let octets = usize::from(self.sent)..usize::from(self.len);
        self.len = 0;
        self.sent = 0;
        octets
    }

    /// Octets of the candidate.
    pub(crate) fn octets(&self, range: Range<usize>) -> &[u8] {
        &self.octets.tail[range]
    }

    pub(crate) fn unsent(&self) -> &[u8] {
        &self.octets.tail[usize::from(self.sent)..usize::from(self.len)]
    }

    /// Compares what begins with a needle, or reaches only so far.
    ///
    /// By slices, because a hostile body may be made of candidates.
    pub(crate) fn compare(&self, text: &[u8]) -> Compared {
        let begins = |text: &[u8], with: &[u8]| {
            let seen = text.len().min(with.len());
            text[..seen] == with[..seen]
        };
        let (needle, rest) = text.split_at(text.len().min(NEEDLE.len()));
        let (id, rest) = rest.split_at(rest.len().min(self.id().len()));
        let same = begins(needle, NEEDLE) && begins(id, self.id());
        match rest {
            _ if !same => Compared::No,
            [flag, b'\r', b'\n', ..] => match Flag::read(&[*flag]) {
                Some(flag) => Compared::End(flag, self.end_len()),
                None => Compared::No,
            },
            [] => Compared::Cut,
            [flag] | [flag, b'\r'] if Flag::read(&[*flag]).is_some() => Compared::Cut,
            _ => Compared::No,
        }
    }
}
