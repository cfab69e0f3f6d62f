//! The head of a request or response: read line by line as it arrives, into a fixed struct of spans.

use crate::range::ByteRange;
use crate::reader::Flag;
use wire::bytes_class::{MSRP_IDENT, decimal, is, trim};
use wire::{Cause, Span};

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `SEND`, RFC 4975.
    Send,
    /// `REPORT`, RFC 4975.
    Report,
    /// `AUTH`, RFC 4976.
    Auth,
    /// `NICKNAME`, RFC 7701.
    Nickname,
    /// Anything else; its name stands in the start line.
    Other,
}

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A request.
    Request(Method),
    /// A response with its status.
    Response(u16),
}

/// Whether failures of a SEND are to be told (RFC 4975 §7.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureReport {
    /// Respond always; the default.
    #[default]
    Yes,
    /// Respond only to errors.
    Partial,
    /// Never respond.
    No,
}

macro_rules! headers {
    ($( $(#[$doc:meta])* $name:ident = $text:literal, )*) => {
        /// The header fields whose place is remembered; all others pass unseen.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum HeaderId { $( $(#[$doc])* $name, )* }

        impl HeaderId {
            /// All of them, in the order of the enum.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )* ];

            const NAMES: &'static [&'static str] = &[ $( $text, )* ];

            /// The name as RFCs write it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$name => $text, )* }
            }
        }
    };
}

headers! {
    /// Where the request goes, the next hop first.
    ToPath = "To-Path",
    /// Where it came from, the last hop first.
    FromPath = "From-Path",
    /// Names the message that the chunk is of.
    MessageId = "Message-ID",
    /// Which octets of the message.
    ByteRange = "Byte-Range",
    /// Whether success is to be reported.
    SuccessReport = "Success-Report",
    /// Whether failure is to be reported.
    FailureReport = "Failure-Report",
    /// What a REPORT reports.
    Status = "Status",
    /// The path that a relay grants (RFC 4976).
    UsePath = "Use-Path",
    /// How long it is granted.
    Expires = "Expires",
    /// The least that may be asked for.
    MinExpires = "Min-Expires",
    /// The most that may be asked for.
    MaxExpires = "Max-Expires",
    /// The type of the body.
    ContentType = "Content-Type",
    /// Challenge of a relay.
    WwwAuthenticate = "WWW-Authenticate",
    /// Credentials for a relay.
    Authorization = "Authorization",
    /// A name in a chat room (RFC 7701).
    UseNickname = "Use-Nickname",
}

const HEADERS: usize = HeaderId::ALL.len();

/// Spans into the head; `id` is not empty once the start line was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields {
    start: Start,
    id: Span,
    word: Span, // the method, or the status and its comment
    values: [Span; HEADERS],
    /// Whether a field that decides where the message goes stands twice.
    ambiguous: bool,
    usual: bool,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            start: Start::Response(0),
            id: Span::default(),
            word: Span::default(),
            values: [Span::default(); HEADERS],
            ambiguous: false,
            usual: false,
        }
    }
}

/// The paths that the next head is expected to have, word for word: those of the last one.
///
/// A guess that holds saves looking for four ends of lines and comparing four texts; one that does not
/// changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usual<'a> {
    /// To-Path; empty: nothing is expected.
    pub to: &'a [u8],
    /// From-Path.
    pub from: &'a [u8],
}

/// A head that was read: its bytes up to and with the last header line (and the empty line, if a body
/// follows), and where things are.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) fields: &'a Fields,
    pub(crate) has_body: bool,
    pub(crate) input_at: Option<usize>,
}

impl<'a> Head<'a> {
    /// The bytes of the head, without the end-line.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where these bytes start in the input of this read; `None` if they were gathered over reads.
    #[must_use]
    pub const fn input_at(&self) -> Option<usize> {
        self.input_at
    }

    /// Whether a body follows, possibly an empty one.
    #[must_use]
    pub const fn has_body(&self) -> bool {
        self.has_body
    }

    /// Request or response.
    #[must_use]
    pub const fn start(&self) -> Start {
        self.fields.start
    }

    /// The method, if it is a request.
    #[must_use]
    pub const fn method(&self) -> Option<Method> {
        match self.fields.start {
            Start::Request(method) => Some(method),
            Start::Response(_) => None,
        }
    }

    /// The name of the method, or status and comment.
    #[must_use]
    pub fn word(&self) -> &'a [u8] {
        self.fields.word.of(self.bytes)
    }

    /// The transaction id: 4..=32 octets, case counts (R75).
    #[must_use]
    pub fn id(&self) -> &'a [u8] {
        self.fields.id.of(self.bytes)
    }

    /// Where the transaction id stands in `bytes`.
    #[must_use]
    pub const fn id_span(&self) -> Span {
        self.fields.id
    }

    /// Where the trimmed value of a field stands in `bytes`; empty if the field is missing or empty.
    #[must_use]
    pub const fn span(&self, id: HeaderId) -> Span {
        self.fields.values[id as usize]
    }

    /// The trimmed value of a field; empty if the field is missing.
    #[must_use]
    pub fn value(&self, id: HeaderId) -> &'a [u8] {
        self.span(id).of(self.bytes)
    }

    /// The whole To-Path value.
    #[must_use]
    pub fn to_path(&self) -> &'a [u8] {
        self.value(HeaderId::ToPath)
    }

    /// The whole From-Path value.
    #[must_use]
    pub fn from_path(&self) -> &'a [u8] {
        self.value(HeaderId::FromPath)
    }

    /// Whether To-Path and From-Path stand exactly once and are not empty, To-Path first
    /// (RFC 4975 §7.1). A head where they do not is read on, but leads nowhere.
    #[must_use]
    pub const fn has_clear_paths(&self) -> bool {
        let (to, from) = (self.span(HeaderId::ToPath), self.span(HeaderId::FromPath));
        !self.fields.ambiguous && !to.is_empty() && !from.is_empty() && to.end < from.start
    }

    /// Whether the paths are those that were expected.
    #[must_use]
    pub const fn is_usual(&self) -> bool {
        self.fields.usual
    }

    /// The Message-ID, empty if missing.
    #[must_use]
    pub fn message_id(&self) -> &'a [u8] {
        self.value(HeaderId::MessageId)
    }

    /// The Byte-Range, if it can be read.
    #[must_use]
    pub fn byte_range(&self) -> Option<ByteRange> {
        ByteRange::parse(self.value(HeaderId::ByteRange))
    }

    /// Whether success is to be reported; `no` unless it says `yes`.
    #[must_use]
    pub fn success_report(&self) -> bool {
        self.value(HeaderId::SuccessReport).eq_ignore_ascii_case(b"yes")
    }

    /// Whether failure is to be told; `yes` unless it says otherwise.
    #[must_use]
    pub fn failure_report(&self) -> FailureReport {
        let value = self.value(HeaderId::FailureReport);
        if value.eq_ignore_ascii_case(b"no") {
            FailureReport::No
        } else if value.eq_ignore_ascii_case(b"partial") {
            FailureReport::Partial
        } else {
            FailureReport::Yes
        }
    }

    /// The status code a REPORT carries: `Status: 000 200 OK` (namespace 000 only, RFC 4975 §7.1.2).
    #[must_use]
    pub fn report_status(&self) -> Option<u16> {
        let mut words = self.value(HeaderId::Status).split(|&b| b == b' ').filter(|w| !w.is_empty());
        let namespace = words.next()?;
        let code = u16::try_from(decimal(words.next()?)?).ok()?;
        (namespace == b"000").then_some(code)
    }

    /// Every header line in order, known or not: name and trimmed value.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let lines = self.bytes.split(|&b| b == b'\n').skip(1);
        lines.filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            Some((&line[..colon], trim(&line[colon + 1..])))
        })
    }
}

/// Reads a head as its bytes arrive; offsets count from its first byte, so the bytes may move between.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadReader {
    pub(crate) fields: Fields,
    /// `line_at <= scanned`: where the line that is not complete yet starts, and how far it was searched.
    line_at: usize,
    scanned: usize,
}

/// Where reading a head stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// More bytes are needed.
    Partial,
    /// An empty line: the head is so long, a body follows.
    Body(usize),
    /// An end-line: the head is so long, the end-line reaches from there to the second offset.
    End(usize, usize, Flag),
    /// It is not MSRP, or malformed.
    Broken(Cause),
}

impl HeadReader {
    /// Whether nothing was read yet.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.scanned == 0
    }

    /// The transaction id, once the start line was read.
    pub(crate) fn id<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.fields.id.of(bytes)
    }

    /// Goes on with `bytes`, which start where the head starts and have grown since the last call.
    pub(crate) fn read(&mut self, bytes: &[u8], usual: Usual<'_>) -> Step {
        // What is not MSRP (a TLS hello, HTTP) is refused at its first octets, not at a timer.
        let seen = bytes.len().min(START.len());
        if bytes[..seen] != START[..seen] {
            return Step::Broken(Cause::MsrpBadRequest);
        }
        loop {
            let Some(at) = memchr::memchr(b'\n', &bytes[self.scanned..]) else {
                self.scanned = bytes.len();
                return Step::Partial;
            };
            let (line_at, next) = (self.line_at, self.scanned + at + 1);
            // Only CRLF ends a line: a reader behind us that takes a bare LF would see other headers.
            let Some(line) = bytes[line_at..next].strip_suffix(b"\r\n") else {
                return Step::Broken(Cause::MsrpBadRequest);
            };
            self.line_at = next;
            self.scanned = next;
            if line_at == 0 {
                if !self.start_line(line) {
                    return Step::Broken(Cause::MsrpBadRequest);
                }
                self.usual_paths(bytes, usual);
            } else if line.is_empty() {
                return Step::Body(next);
            } else if let Some(rest) = line.strip_prefix(DASHES) {
                let flag = rest.strip_prefix(self.fields.id.of(bytes)).and_then(Flag::read);
                return match flag {
                    Some(flag) => Step::End(line_at, next, flag),
                    None => Step::Broken(Cause::MsrpBadRequest),
                };
            } else if !self.header_line(line, line_at) {
                return Step::Broken(Cause::MsrpBadRequest);
            }
        }
    }

    /// Takes both paths at once if they stand where every sender writes them and are the expected ones.
    fn usual_paths(&mut self, bytes: &[u8], usual: Usual<'_>) {
        let rest = bytes[self.scanned..].strip_prefix(TO_PATH).filter(|_| !usual.to.is_empty());
        let rest = rest.and_then(|rest| rest.strip_prefix(usual.to)?.strip_prefix(FROM_PATH));
        if rest
            .is_none_or(|rest| !rest.strip_prefix(usual.from).is_some_and(|rest| rest.starts_with(b"\r\n")))
        {
            return;
        }
        let to = self.scanned + TO_PATH.len();
        let from = to + usual.to.len() + FROM_PATH.len();
        let end = from + usual.from.len();
        self.fields.values[HeaderId::ToPath as usize] = Span::new(to, to + usual.to.len());
        self.fields.values[HeaderId::FromPath as usize] = Span::new(from, end);
        self.fields.usual = true;
        self.line_at = end + 2;
        self.scanned = end + 2;
    }

    /// `MSRP SP transact-id SP ( method / status-code [SP comment] )`
    fn start_line(&mut self, line: &[u8]) -> bool {
        let Some(rest) = line.strip_prefix(START) else {
            return false;
        };
        let Some(len) = rest.iter().position(|&b| !is(b, MSRP_IDENT)) else {
            return false;
        };
        if rest[len] != b' ' || !(4..=32).contains(&len) {
            return false;
        }
        let word = &rest[len + 1..];
        let id_end = START.len() + len;
        self.fields.id = Span::new(START.len(), id_end);
        self.fields.word = Span::new(id_end + 1, line.len());
        let start = match word {
            [a, b, c] | [a, b, c, b' ', ..] if [a, b, c].into_iter().all(u8::is_ascii_digit) => {
                let digit = |d: &u8| u16::from(d - b'0');
                Some(Start::Response(digit(a) * 100 + digit(b) * 10 + digit(c)))
            }
            b"SEND" => Some(Start::Request(Method::Send)),
            b"REPORT" => Some(Start::Request(Method::Report)),
            b"AUTH" => Some(Start::Request(Method::Auth)),
            b"NICKNAME" => Some(Start::Request(Method::Nickname)),
            // method = 1*UPALPHA
            _ if !word.is_empty() && word.iter().all(u8::is_ascii_uppercase) => {
                Some(Start::Request(Method::Other))
            }
            _ => None,
        };
        if let Some(start) = start {
            self.fields.start = start;
        }
        start.is_some()
    }

    /// `name ":" SP value`; the blank is optional in the field.
    fn header_line(&mut self, line: &[u8], at: usize) -> bool {
        let Some(colon) = line.iter().position(|&b| !is(b, wire::bytes_class::TOKEN)) else {
            return false;
        };
        if colon == 0 || line[colon] != b':' || has_cr_or_nul(line) {
            return false;
        }
        let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
        let Some(id) = header_id(name) else { return true };
        let place = &mut self.fields.values[id as usize];
        let is_path = matches!(id, HeaderId::ToPath | HeaderId::FromPath);
        self.fields.ambiguous |= is_path && (value.is_empty() || !place.is_empty());
        if !place.is_empty() {
            return true; // the first one counts, as for a reader that stops there
        }
        let start = at + value.as_ptr() as usize - line.as_ptr() as usize;
        *place = if value.is_empty() { Span::default() } else { Span::new(start, start + value.len()) };
        true
    }
}

/// By sixteen octets: lines are short, and a call for each costs more than looking at it.
fn has_cr_or_nul(line: &[u8]) -> bool {
    let has = |octets: &[u8; 16]| octets.iter().fold(false, |has, &b| has | (b == b'\r') | (b == 0));
    match line.last_chunk::<16>() {
        Some(end) => has(end) || line.as_chunks::<16>().0.iter().any(has),
        None => line.iter().any(|b| matches!(b, b'\r' | 0)),
    }
}

fn header_id(name: &[u8]) -> Option<HeaderId> {
    HeaderId::ALL.get(usize::from(NAMES.find(name)?)).copied()
}

static NAMES: wire::NameTable = wire::NameTable::new(HeaderId::NAMES);

const START: &[u8] = b"MSRP ";
const DASHES: &[u8] = b"-------";
const TO_PATH: &[u8] = b"To-Path: ";
const FROM_PATH: &[u8] = b"\r\nFrom-Path: ";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (HeadReader, Step) {
        let mut reader = HeadReader::default();
        let step = reader.read(bytes, Usual::default());
        (reader, step)
    }

    #[test]
    fn all_fields_of_a_send() {
        let bytes: &[u8] = b"MSRP d93k.s+w SEND\r\nTo-Path: msrp://b:1/y;tcp msrp://c:2/z;tcp\r\n\
from-path:msrp://a:1/x;tcp\r\nMessage-ID: 12339sdqwer\r\nByte-Range: 1-16/16\r\nX-Odd:\r\n\
Success-Report: YES\r\nFailure-Report: partial\r\nContent-Type: text/plain\r\n\r\nHi";
        let (reader, step) = read(bytes);
        assert_eq!(step, Step::Body(bytes.len() - 2));
        let head = Head {
            bytes: &bytes[..bytes.len() - 2],
            fields: &reader.fields,
            has_body: true,
            input_at: Some(0),
        };
        assert_eq!(head.start(), Start::Request(Method::Send));
        assert_eq!(head.id(), b"d93k.s+w");
        assert_eq!(head.word(), b"SEND");
        assert_eq!(crate::uri::list(head.to_path()).count(), 2);
        assert_eq!(head.from_path(), b"msrp://a:1/x;tcp");
        assert!(head.has_clear_paths());
        assert_eq!(head.message_id(), b"12339sdqwer");
        assert_eq!(head.byte_range().unwrap().len(), Some(16));
        assert!(head.success_report());
        assert_eq!(head.failure_report(), FailureReport::Partial);
        assert_eq!(head.value(HeaderId::ContentType), b"text/plain");
        assert_eq!(head.headers().count(), 8);
        assert_eq!(head.headers().nth(4), Some((&b"X-Odd"[..], &b""[..])));
    }

    #[test]
    fn starts_and_ends() {
        let end = |n| Step::End(n, n + 14, Flag::Last);
        let broken = || Step::Broken(Cause::MsrpBadRequest);
        let table: &[(&str, &[u8], Step)] = &[
            ("response", b"MSRP abcd 200 OK\r\n-------abcd$\r\n", end(18)),
            ("response without comment", b"MSRP abcd 200\r\n-------abcd$\r\n", end(15)),
            ("other method", b"MSRP abcd DANCE\r\n-------abcd$\r\n", end(17)),
            ("cut in the method", b"MSRP abcd SE", Step::Partial),
            ("nothing yet", b"", Step::Partial),
            ("cut after the id of the end-line", b"MSRP abcd SEND\r\n-------abcd", Step::Partial),
            ("four digits", b"MSRP abcd 2000 OK\r\n", broken()),
            ("lower case method", b"MSRP abcd send\r\n", broken()),
            ("no method", b"MSRP abcd \r\n", broken()),
            ("id too short", b"MSRP abc SEND\r\n", broken()),
            ("id too long", b"MSRP 123456789012345678901234567890123 SEND\r\n", broken()),
            ("id with a foreign letter", b"MSRP ab_cd SEND\r\n", broken()),
            ("another protocol", b"GET ", broken()),
            ("TLS", b"\x16\x03\x01", broken()),
            ("bare LF", b"MSRP abcd SEND\n", broken()),
            ("bare CR", b"MSRP abcd SEND\r\nA: b\rc\r\n", broken()),
            ("no colon", b"MSRP abcd SEND\r\nTo-Path\r\n", broken()),
            ("folded", b"MSRP abcd SEND\r\nA: b\r\n c: d\r\n", broken()),
            ("end-line of another id", b"MSRP abcd SEND\r\n-------abcD$\r\n", broken()),
            ("end-line without flag", b"MSRP abcd SEND\r\n-------abcd\r\n", broken()),
        ];
        for (name, bytes, step) in table {
            assert_eq!(read(bytes).1, *step, "{name}");
        }
    }

    #[test]
    fn unclear_paths() {
        let table: &[(&[u8], bool)] = &[
            (b"To-Path: a\r\nFrom-Path: b\r\n", true),
            (b"From-Path: b\r\nTo-Path: a\r\n", false),
            (b"To-Path: a\r\n", false),
            (b"To-Path:\r\nFrom-Path: b\r\n", false),
            (b"To-Path: a\r\nTo-Path: c\r\nFrom-Path: b\r\n", false),
            (b"To-Path: a\r\nFrom-Path: b\r\nfrom-path: c\r\n", false),
        ];
        for (lines, clear) in table {
            let bytes = [b"MSRP abcd SEND\r\n", *lines, b"-------abcd$\r\n"].concat();
            let (reader, step) = read(&bytes);
            assert!(matches!(step, Step::End(..)));
            let head = Head { bytes: &bytes, fields: &reader.fields, has_body: false, input_at: None };
            assert_eq!(head.has_clear_paths(), *clear, "{}", lines.escape_ascii());
        }
    }

    #[test]
    fn expected_paths_change_nothing_but_the_way() {
        let usual = Usual { to: b"msrp://b:1/y;tcp", from: b"msrp://a:1/x;tcp" };
        let table: &[(&[u8], bool)] = &[
            (b"To-Path: msrp://b:1/y;tcp\r\nFrom-Path: msrp://a:1/x;tcp\r\n", true),
            (b"To-Path: msrp://b:1/y;tcp\r\nFrom-Path: msrp://a:1/x;tcp\r\nTo-Path: z\r\n", true),
            (b"To-Path: msrp://b:1/y;tcp\r\nFrom-Path: msrp://a:1/x;tcp msrp://c:1/z;tcp\r\n", false),
            (b"To-Path:msrp://b:1/y;tcp\r\nFrom-Path: msrp://a:1/x;tcp\r\n", false),
            (b"To-Path: msrp://b:1/y;tcp\r\nX: y\r\nFrom-Path: msrp://a:1/x;tcp\r\n", false),
            (b"From-Path: msrp://a:1/x;tcp\r\nTo-Path: msrp://b:1/y;tcp\r\n", false),
            (b"", false),
        ];
        for (lines, is_usual) in table {
            let bytes = [b"MSRP abcd SEND\r\n", *lines, b"Byte-Range: 1-2/2\r\n\r\n"].concat();
            let (plain, expected) = read(&bytes);
            for cut in 0..=bytes.len() {
                let mut reader = HeadReader::default();
                if reader.read(&bytes[..cut], usual) != Step::Partial {
                    continue;
                }
                assert_eq!(reader.read(&bytes, usual), expected, "cut at {cut}");
                assert_eq!(reader.fields.values, plain.fields.values, "cut at {cut}");
                assert_eq!(reader.fields.ambiguous, plain.fields.ambiguous, "cut at {cut}");
            }
            let mut whole = HeadReader::default();
            assert_eq!(whole.read(&bytes, usual), expected);
            assert_eq!(whole.fields.usual, *is_usual, "{}", lines.escape_ascii());
        }
    }

    #[test]
    fn report_status_reads_namespace_000_only() {
        for (value, code) in
            [("000 200 OK", Some(200)), ("000 413", Some(413)), ("001 200", None), ("", None)]
        {
            let bytes = format!("MSRP abcd REPORT\r\nStatus: {value}\r\n-------abcd$\r\n").into_bytes();
            let (reader, _) = read(&bytes);
            let head = Head { bytes: &bytes, fields: &reader.fields, has_body: false, input_at: None };
            assert_eq!(head.report_status(), code, "{value}");
        }
    }
}
