//! The incremental reader: heads, ranges of body, end-lines.
//!
//! ```text
//! input of one read   [head][head|body ...........................|CRLF -------id$ CRLF][next head ..]
//! events               Head        Body(range of the input)         End('$')              (gathered)
//!
//! an end-line cut by the border between two reads:
//!   read 1  [... body ... | CRLF ----]   Body, and the 6 octets are withheld
//!   read 2  [---id$ CRLF ...]            End: withheld ++ range of this input
//!        or [more body ...]              Body: withheld, then Body(range of this input)
//! ```

use crate::head::{Head, HeadReader, Step, Usual};
use crate::tail::{Compared, NEEDLE, Tail, find_needle};
use core::ops::Range;
use wire::Cause;

/// How a chunk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flag {
    /// `$`: the last chunk of the message.
    Last,
    /// `+`: more chunks follow.
    More,
    /// `#`: the message is abandoned.
    Abort,
}

impl Flag {
    /// As it stands on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Last => b'$',
            Self::More => b'+',
            Self::Abort => b'#',
        }
    }

    /// Reads exactly one flag.
    #[must_use]
    pub const fn read(text: &[u8]) -> Option<Self> {
        match text {
            b"$" => Some(Self::Last),
            b"+" => Some(Self::More),
            b"#" => Some(Self::Abort),
            _ => None,
        }
    }
}

/// How the end of a chunk is searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scan {
    /// Look at every octet of the body: for peers that are not trusted. Were the announced end
    /// believed, an end-line hidden before it would let a peer smuggle requests to whoever scans.
    #[default]
    Every,
    /// Look first where Byte-Range announces the end; if it is inside this read and an end-line stands
    /// there, take it, else scan. For our own core: saves the scan on small chunks.
    Announced,
}

/// Octets of the stream: some withheld from earlier reads, then a range of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Withheld earlier; at most 43.
    pub held: &'a [u8],
    /// Start of the range of the input.
    pub start: usize,
    /// End of the range of the input.
    pub end: usize,
}

impl Piece<'_> {
    /// How many octets it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.held.len() + self.end - self.start
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The range of the input.
    #[must_use]
    pub const fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// What was read.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A head.
    Head(Head<'a>),
    /// Octets of the body; never empty.
    Body(Piece<'a>),
    /// The end of the message. The piece is the end-line, with the CRLF that precedes it after a body.
    End(Flag, Piece<'a>),
    /// The input is used up.
    Partial,
    /// The stream cannot be framed any further; every later call says the same.
    Broken(Cause),
}

/// Reads the messages of one stream. Between messages it holds no buffer.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    scan: Scan,
    head_bytes_max: u32,
    state: State,
    head: HeadReader,
    /// A head that came in several reads, with its end-line if it has no body; `len <= head_bytes_max`.
    gathered: Vec<u8>,
    /// Where the head that was returned last began in its input; `None` if it was gathered, or if that
    /// input is gone.
    head_at: Option<usize>,
    head_len: usize,
    /// Octets of body that Byte-Range announces and that did not come yet.
    announced: Option<u64>,
    tail: Tail,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between messages, or in a head.
    #[default]
    Head,
    /// In a body.
    Body,
    /// An end-line of so many octets comes next in the input.
    EndInInput(Flag, usize),
    /// An end-line stands in `gathered` from there on.
    EndGathered(Flag, usize),
    Broken(Cause),
}

impl Reader {
    /// A reader at the start of a stream.
    ///
    /// A head of more than `head_bytes_max` octets breaks the stream (`Cause::MsrpHeadTooLong`).
    #[must_use]
    pub fn new(scan: Scan, head_bytes_max: usize) -> Self {
        Self { scan, head_bytes_max: u32::try_from(head_bytes_max).unwrap_or(u32::MAX), ..Self::default() }
    }

    /// Makes it the reader of another stream; allowed between messages only.
    ///
    /// A relay needs a reader for each message under way, not for each connection.
    pub fn renew(&mut self, scan: Scan, head_bytes_max: usize) {
        debug_assert!(self.is_between_messages(), "a message would be torn");
        self.scan = scan;
        self.head_bytes_max = u32::try_from(head_bytes_max).unwrap_or(u32::MAX);
    }

    /// Whether the stream stands between two messages.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.state == State::Head && self.head.is_fresh()
    }

    /// Octets held from earlier reads.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        if self.is_between_messages() {
            return 0;
        }
        self.gathered.len() + self.tail.len()
    }

    /// The id of the message whose body is being read: what an end-line must name.
    #[must_use]
    pub fn id(&self) -> &[u8] {
        self.tail.id()
    }

    /// The head of the message whose body is being read, if it stands in `input`: the one given last.
    #[must_use]
    pub fn head<'r>(&'r self, input: &'r [u8]) -> Option<Head<'r>> {
        let at = self.head_at.filter(|_| self.state == State::Body)?;
        let bytes = input.get(at..at + self.head_len)?;
        Some(Head { bytes, fields: &self.head.fields, has_body: true, input_at: Some(at) })
    }

    /// Goes on at `input[*at..]` and moves `at` behind what was read.
    ///
    /// Call it until it says `Partial`; then everything up to the end of `input` is taken.
    pub fn next<'r>(&'r mut self, input: &'r [u8], at: &mut usize) -> Event<'r> {
        self.next_expecting(Usual::default(), input, at)
    }

    /// The same, faster if a head comes next and its paths are the `usual` ones.
    pub fn next_expecting<'r>(&'r mut self, usual: Usual<'_>, input: &'r [u8], at: &mut usize) -> Event<'r> {
        match self.state {
            State::Head => self.next_head(input, at, usual),
            State::Body => self.next_body(input, at),
            State::EndInInput(flag, len) => {
                let start = *at;
                *at += len;
                self.between_messages();
                Event::End(flag, Piece { held: &[], start, end: *at })
            }
            State::EndGathered(flag, from) => {
                self.state = State::Head;
                self.head = HeadReader::default();
                // `gathered` is emptied when the next head begins.
                Event::End(flag, Piece { held: &self.gathered[from..], start: *at, end: *at })
            }
            State::Broken(cause) => Event::Broken(cause),
        }
    }

    /// Takes back the head that `next` returned just before: appends its octets and all input behind it
    /// to `out`, and stands where it stood before that head.
    pub fn unread(&mut self, input: &[u8], at: usize, out: &mut Vec<u8>) {
        match self.head_at {
            Some(start) => out.extend_from_slice(&input[start..]),
            None => {
                out.extend_from_slice(&self.gathered);
                out.extend_from_slice(&input[at..]);
            }
        }
        self.between_messages();
    }

    fn between_messages(&mut self) {
        self.state = State::Head;
        self.head = HeadReader::default();
        self.gathered = Vec::new(); // an idle connection must cost nothing
        self.tail.clear();
    }

    fn next_head<'r>(&'r mut self, input: &'r [u8], at: &mut usize, usual: Usual<'_>) -> Event<'r> {
        if self.head.is_fresh() {
            // What the end of the last message stood in.
            self.tail.clear();
            if self.gathered.capacity() > 0 {
                self.gathered = Vec::new();
            }
            // Blank lines between messages are a keep-alive of some terminals, not MSRP.
            *at += input[*at..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            if *at == input.len() {
                return Event::Partial;
            }
        }
        let before = self.gathered.len();
        let max = self.head_bytes_max as usize;
        let rest = &input[*at..];
        let step = if before == 0 {
            self.head.read(&rest[..rest.len().min(max)], usual)
        } else {
            self.gathered.extend_from_slice(&rest[..rest.len().min(max - before)]);
            self.head.read(&self.gathered, usual)
        };
        match step {
            Step::Partial => self.partial_head(rest, before, at),
            Step::Broken(cause) => self.break_off(cause),
            Step::Body(len) => self.head_ends(input, at, before, len, len, None),
            Step::End(len, end, flag) => self.head_ends(input, at, before, len, end, Some(flag)),
        }
    }

    fn partial_head(&mut self, rest: &[u8], before: usize, at: &mut usize) -> Event<'_> {
        let max = self.head_bytes_max as usize;
        if before == 0 {
            self.gathered.extend_from_slice(&rest[..rest.len().min(max)]);
        }
        *at += rest.len();
        if self.gathered.len() >= max {
            return self.break_off(Cause::MsrpHeadTooLong);
        }
        Event::Partial
    }

    fn break_off(&mut self, cause: Cause) -> Event<'_> {
        self.between_messages();
        self.state = State::Broken(cause);
        Event::Broken(cause)
    }

    /// The head has `len` octets; its end-line, if it has no body, reaches to `end`.
    fn head_ends<'r>(
        &'r mut self,
        input: &'r [u8],
        at: &mut usize,
        before: usize,
        len: usize,
        end: usize,
        flag: Option<Flag>,
    ) -> Event<'r> {
        let gathered = before > 0;
        let start = *at;
        *at += if gathered { end - before } else { len };
        self.gathered.truncate(end);
        let bytes = if gathered { &self.gathered[..len] } else { &input[start..start + len] };
        let head = Head {
            bytes,
            fields: &self.head.fields,
            has_body: flag.is_none(),
            input_at: (!gathered).then_some(start),
        };
        self.head_at = head.input_at;
        self.head_len = len;
        self.state = match flag {
            None => State::Body,
            Some(flag) if gathered => State::EndGathered(flag, len),
            Some(flag) => State::EndInInput(flag, end - len),
        };
        if flag.is_none() {
            self.tail.begin(head.id());
            self.announced = match self.scan {
                Scan::Announced => head.byte_range().and_then(|range| range.len()),
                Scan::Every => None,
            };
        }
        Event::Head(head)
    }

    fn next_body<'r>(&'r mut self, input: &[u8], at: &mut usize) -> Event<'r> {
        if *at == 0 {
            self.head_at = None; // another input than that of the head
        }
        if self.gathered.capacity() > 0 {
            self.gathered = Vec::new(); // the head was looked at; the body is not gathered
        }
        while !self.tail.is_empty() {
            let Some(&byte) = input.get(*at) else {
                return Event::Partial;
            };
            if self.tail.expects(byte) {
                *at += 1;
                if let Some(flag) = self.tail.push(byte) {
                    self.state = State::Head;
                    self.head = HeadReader::default();
                    let held = self.tail.unsent();
                    return Event::End(flag, Piece { held, start: *at, end: *at });
                }
                continue;
            }
            let octets = self.tail.give_up();
            self.announced = self.announced.and_then(|n| n.checked_sub(octets.len() as u64));
            if !octets.is_empty() {
                let held = self.tail.octets(octets);
                return Event::Body(Piece { held, start: *at, end: *at });
            }
            break;
        }
        self.scan_body(input, at)
    }

    /// No candidate is open: the body goes on at `input[*at]`.
    fn scan_body<'r>(&mut self, input: &[u8], at: &mut usize) -> Event<'r> {
        let start = *at;
        let rest = &input[start..];
        if rest.is_empty() {
            return Event::Partial;
        }
        let found = self.announced_end(rest).unwrap_or_else(|| self.find_end(rest));
        let body = match found {
            Found::End(body, flag, len) => {
                self.state = State::EndInInput(flag, len);
                *at = start + body;
                body
            }
            Found::Candidate(body) => {
                self.tail.open(&rest[body..]);
                *at = input.len();
                body
            }
            Found::Nothing => {
                *at = input.len();
                rest.len()
            }
        };
        self.announced = self.announced.and_then(|n| n.checked_sub(body as u64));
        if body > 0 {
            return Event::Body(Piece { held: &[], start, end: start + body });
        }
        match self.state {
            State::EndInInput(flag, len) => {
                *at += len;
                self.between_messages();
                Event::End(flag, Piece { held: &[], start, end: *at })
            }
            _ => Event::Partial,
        }
    }

    /// An end-line where Byte-Range announces it, if that lies in this read and may be believed.
    fn announced_end(&self, rest: &[u8]) -> Option<Found> {
        let body = usize::try_from(self.announced?).ok()?;
        match self.tail.compare(rest.get(body..)?) {
            Compared::End(flag, len) => Some(Found::End(body, flag, len)),
            _ => None,
        }
    }

    fn find_end(&self, rest: &[u8]) -> Found {
        let mut from = 0;
        while let Some(hit) = find_needle(&rest[from..]) {
            let at = from + hit;
            match self.tail.compare(&rest[at..]) {
                Compared::End(flag, len) => return Found::End(at, flag, len),
                Compared::Cut => return Found::Candidate(at),
                // CR stands only at the front of the needle, so the next hit cannot begin inside this one.
                Compared::No => from = at + NEEDLE.len(),
            }
        }
        // A needle cut by the end of the input: for the same reason only the last CR can begin it.
        let window = rest.len().saturating_sub(NEEDLE.len() - 1).max(from);
        match memchr::memrchr(b'\r', &rest[window..]) {
            Some(hit) if NEEDLE.starts_with(&rest[window + hit..]) => Found::Candidate(window + hit),
            _ => Found::Nothing,
        }
    }
}

enum Found {
    /// Body octets before it, its flag, its length.
    End(usize, Flag, usize),
    /// Body octets before something that may become an end-line.
    Candidate(usize),
    Nothing,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
