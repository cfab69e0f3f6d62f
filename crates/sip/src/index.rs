//! The one pass over a message: start line and header index.

use crate::{HeaderId, Message, Method};
use memchr::memchr3;
use wire::bytes_class::{self, BLANK, TOKEN};
use wire::{Cause, Span};

/// How large a message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes from the start line to the empty line, both included.
    pub head_bytes_max: usize,
    /// Header fields.
    pub headers_max: usize,
    /// Bytes of the body.
    pub body_bytes_max: usize,
}

impl Default for Limits {
    /// 16 KiB, 128 fields, 256 KiB: a UDP datagram of any size fits, and conference NOTIFY bodies (R57).
    fn default() -> Self {
        Self { head_bytes_max: 16 * 1024, headers_max: 128, body_bytes_max: 256 * 1024 }
    }
}

/// Why a message cannot be read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub cause: Cause,
    /// Offset of the byte at which it was seen.
    pub offset: usize,
}

/// One header field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Which one.
    pub id: HeaderId,
    /// Its name as written.
    pub name: Span,
    /// Its value without blanks at either end; folds stay inside.
    pub value: Span,
    /// The whole line, or lines if folded, with the last CRLF.
    pub line: Span,
}

/// Where the pieces of one message lie. Reuse it: a new `parse` keeps the memory.
#[derive(Clone, Debug)]
pub struct Index {
    pub(crate) start: Start,
    pub(crate) fields: Vec<Field>,
    /// Ordinal of the first field of each id, `NONE` if there is none.
    first: [u16; HeaderId::COUNT],
    /// Offset of the empty line; `start line end <= fields_end <= body_start`.
    pub(crate) fields_end: u32,
    /// Offset behind the empty line.
    pub(crate) body_start: u32,
}

/// The start line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// 0 for requests.
    pub(crate) status: u16,
    pub(crate) method: Method,
    pub(crate) method_text: Span,
    pub(crate) uri: Span,
    pub(crate) reason: Span,
    /// With its CRLF.
    pub(crate) line: Span,
}

const NONE: u16 = u16::MAX;

impl Default for Index {
    fn default() -> Self {
        let empty = Span::default();
        Self {
            start: Start {
                status: 0,
                method: Method::Other,
                method_text: empty,
                uri: empty,
                reason: empty,
                line: empty,
            },
            fields: Vec::new(),
            first: [NONE; HeaderId::COUNT],
            fields_end: 0,
            body_start: 0,
        }
    }
}

/// Reads one framed message: start line and header index, in one pass over the head.
///
/// `bytes` is exactly one message (`frame` cuts it out); the body is what follows the empty line, and
/// Content-Length is not compared here. Line ends are CRLF: a lone CR, a lone LF or a NUL (but for an
/// escaped one) in the head is refused, because the next hop might end the line there and see a header
/// field that we did not. 8-bit bytes are accepted in values (requirements §9).
///
/// # Errors
/// A `ParseError` with the cause and the offset; `salvage` may still read enough to answer it.
/// Source: RFC 3261 §7, R33.
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits, index: &'a mut Index) -> Result<Message<'a>, ParseError> {
    index.read(bytes, limits)?;
    Ok(Message::new(bytes, index))
}

/// Reads what can be read of a message that `parse` or the framer refused, to answer or to log it.
///
/// The fields before the first fault are indexed, the rest counts as body. Never forward the result.
pub fn salvage<'a>(bytes: &'a [u8], limits: &Limits, index: &'a mut Index) -> Option<Message<'a>> {
    match index.read(bytes, limits) {
        Ok(()) => {}
        Err(error)
            if matches!(error.cause, Cause::BadStartLine | Cause::BadRequestUri | Cause::BadVersion) =>
        {
            // If the method could be told apart all the same, 400 and 505 can be answered.
            let end = line_end(bytes, 0, limits).ok()?;
            let start = read_start(&bytes[..end]).unwrap_or_else(|refused| refused.start);
            if start.method_text.is_empty() {
                return None;
            }
            index.start = start;
            let rest = index.read_fields(bytes, end + 2, limits);
            index.stop_at_fault(rest);
        }
        Err(_) if index.start.line.is_empty() => return None,
        fault => index.stop_at_fault(fault),
    }
    Some(Message::new(bytes, index))
}

impl Index {
    fn clear(&mut self) {
        self.fields.clear();
        self.first = [NONE; HeaderId::COUNT];
        self.start.line = Span::default();
    }

    fn stop_at_fault(&mut self, outcome: Result<(), ParseError>) {
        if outcome.is_err() {
            let end = self.fields.last().map_or(self.start.line.end, |f| f.line.end);
            self.fields_end = end;
            self.body_start = end;
        }
    }

    /// The first field with this id.
    #[inline]
    pub(crate) fn first(&self, id: HeaderId) -> Option<usize> {
        let ordinal = self.first[id as usize];
        (ordinal != NONE).then_some(ordinal as usize)
    }

    fn read(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), ParseError> {
        self.clear();
        // Spans are 32 bits wide; every framer cap is far below.
        if bytes.len() >= u32::MAX as usize {
            return error(Cause::BodyTooLong, limits.head_bytes_max);
        }
        let end = line_end(bytes, 0, limits)?;
        self.start = read_start(&bytes[..end]).map_err(|refused| refused.error)?;
        self.read_fields(bytes, end + 2, limits)
    }

    fn read_fields(&mut self, bytes: &[u8], mut at: usize, limits: &Limits) -> Result<(), ParseError> {
        loop {
            let end = line_end(bytes, at, limits)?;
            if end == at {
                break;
            }
            if bytes_class::is(bytes[at], BLANK) {
                self.fold(bytes, at, end)?;
            } else {
                self.push(bytes, at, end, limits)?;
            }
            at = end + 2;
        }
        self.fields_end = at as u32;
        self.body_start = at as u32 + 2;
        if bytes.len() - (at + 2) > limits.body_bytes_max {
            return error(Cause::BodyTooLong, at + 2);
        }
        Ok(())
    }

    /// `name *blank ":" value`, the line being `bytes[at..end]`.
    #[inline]
    fn push(&mut self, bytes: &[u8], at: usize, end: usize, limits: &Limits) -> Result<(), ParseError> {
        let line = &bytes[at..end];
        let Some(colon) = colon(line) else {
            return error(Cause::BadHeaderLine, at + name_len(line));
        };
        let mut name = colon;
        while name > 0 && bytes_class::is(line[name - 1], BLANK) {
            name -= 1;
        }
        let id = HeaderId::from_bytes(&line[..name]);
        // The names we know are tokens; only others need a look at every byte.
        if id == HeaderId::Unknown && !bytes_class::all(&line[..name], TOKEN) {
            return error(Cause::BadHeaderLine, at + name_len(line));
        }
        let ordinal = self.fields.len();
        if ordinal >= limits.headers_max.min(NONE as usize) {
            return error(Cause::TooManyHeaders, at);
        }
        let first = &mut self.first[id as usize];
        if *first == NONE {
            *first = ordinal as u16;
        }
        self.fields.push(Field {
            id,
            name: narrow(at, at + name),
            value: trimmed(bytes, at + colon + 1, end),
            line: narrow(at, end + 2),
        });
        Ok(())
    }

    /// A line that begins with a blank continues the field above (RFC 3261 §7.3.1).
    #[cold]
    fn fold(&mut self, bytes: &[u8], at: usize, end: usize) -> Result<(), ParseError> {
        let Some(field) = self.fields.last_mut() else {
            return error(Cause::BadHeaderLine, at);
        };
        let value = trimmed(bytes, at, end);
        if !value.is_empty() {
            if field.value.is_empty() {
                field.value.start = value.start;
            }
            field.value.end = value.end;
        }
        field.line.end = end as u32 + 2;
        Ok(())
    }
}

/// Where a header name ends that breaks off before its colon: the offset to report.
#[cold]
fn name_len(line: &[u8]) -> usize {
    let token = line.iter().take_while(|&&b| bytes_class::is(b, TOKEN)).count();
    let blanks = line[token..].iter().take_while(|&&b| bytes_class::is(b, BLANK)).count();
    token + blanks
}

/// Offset of the first colon of a line. It stands within the first three words of nearly every line,
/// where a call to `memchr` costs more than it saves.
#[inline]
fn colon(line: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let (words, rest) = line.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        // A byte of `x` is zero where the word has a colon; the lowest such byte is found exactly.
        let x = u64::from_le_bytes(*word) ^ (ONES * b':' as u64);
        let zeros = x.wrapping_sub(ONES) & !x & HIGHS;
        if zeros != 0 {
            return Some(at * 8 + zeros.trailing_zeros() as usize / 8);
        }
    }
    let in_rest = rest.iter().position(|&b| b == b':')?;
    Some(words.len() * 8 + in_rest)
}

/// Offset of the CRLF that ends the line at `at`.
#[inline]
fn line_end(bytes: &[u8], at: usize, limits: &Limits) -> Result<usize, ParseError> {
    let cap = bytes.len().min(limits.head_bytes_max);
    let mut from = at;
    let end = loop {
        let Some(found) = bytes.get(from..cap).and_then(|rest| memchr3(b'\r', b'\n', 0, rest)) else {
            return unfinished(bytes, limits);
        };
        let end = from + found;
        // A quoted string may hold an escaped NUL (RFC 4475 §3.1.1.2).
        if end == at || bytes.get(end - 1..=end) != Some(b"\\\0") {
            break end;
        }
        from = end + 1;
    };
    match bytes.get(end..end + 2) {
        Some(b"\r\n") if end + 2 <= cap => Ok(end),
        Some(b"\r\n") => unfinished(bytes, limits),
        None if bytes.get(end) == Some(&b'\r') => unfinished(bytes, limits),
        _ => error(Cause::BadHeaderLine, end),
    }
}

#[cold]
fn unfinished<T>(bytes: &[u8], limits: &Limits) -> Result<T, ParseError> {
    if bytes.len() > limits.head_bytes_max {
        error(Cause::HeadTooLong, limits.head_bytes_max)
    } else {
        error(Cause::Truncated, bytes.len())
    }
}

#[cold]
fn error<T>(cause: Cause, offset: usize) -> Result<T, ParseError> {
    Err(ParseError { cause, offset })
}

/// A request line whose URI is no URI, but whose method and URI could be told apart.
struct Refused {
    error: ParseError,
    start: Start,
}

fn read_start(line: &[u8]) -> Result<Start, Refused> {
    let mut start = Start {
        status: 0,
        method: Method::Other,
        method_text: Span::default(),
        uri: Span::default(),
        reason: Span::default(),
        line: narrow(0, line.len() + 2),
    };
    let fault = match line.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case(b"SIP/") => read_status_line(line, &mut start),
        _ => read_request_line(line, &mut start),
    };
    match fault {
        Ok(()) => Ok(start),
        Err((cause, offset)) => Err(Refused { error: ParseError { cause, offset }, start }),
    }
}

/// `SIP/2.0 SP 3DIGIT SP reason`; a missing reason, and the blank before it, are let pass.
fn read_status_line(line: &[u8], start: &mut Start) -> Result<(), (Cause, usize)> {
    let Some((version, rest)) = line.split_at_checked(8) else {
        return Err((Cause::BadStartLine, 0));
    };
    if !version.eq_ignore_ascii_case(b"SIP/2.0 ") {
        return Err((Cause::BadVersion, 4));
    }
    let status = rest.get(..3).and_then(bytes_class::decimal).unwrap_or_default();
    let reason = match rest.get(3) {
        Some(b' ') => 12,
        None => 11,
        Some(_) => return Err((Cause::BadStartLine, 11)),
    };
    if !(100..=699).contains(&status) {
        return Err((Cause::BadStartLine, 8));
    }
    start.status = status as u16;
    start.reason = narrow(reason, line.len());
    Ok(())
}

/// `Method SP Request-URI SP SIP/2.0`, one SP each (RFC 4475 §3.1.2.9: more is malformed).
fn read_request_line(line: &[u8], start: &mut Start) -> Result<(), (Cause, usize)> {
    let method = line.iter().position(|&b| !bytes_class::is(b, TOKEN)).unwrap_or(line.len());
    if method == 0 || line.get(method) != Some(&b' ') {
        return Err((Cause::BadStartLine, method));
    }
    let uri = method + 1;
    let uri_end = memchr::memrchr(b' ', &line[uri..]).map(|at| uri + at);
    let Some(uri_end) = uri_end.filter(|&end| end > uri) else {
        return Err((Cause::BadStartLine, uri));
    };
    start.method = Method::from_bytes(&line[..method]);
    start.method_text = narrow(0, method);
    start.uri = narrow(uri, uri_end);
    let version = &line[uri_end + 1..];
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        let looks_like_sip = version.get(..4).is_some_and(|v| v.eq_ignore_ascii_case(b"SIP/"));
        let cause = if looks_like_sip { Cause::BadVersion } else { Cause::BadStartLine };
        return Err((cause, uri_end + 1));
    }
    // Blanks mean a URI that was broken in two, <> belong to header fields (RFC 4475 §3.1.2.11, .12).
    // Looking at every byte, without a way out, lets the compiler take many at a time.
    let stray = |bad, &b: &u8| bad | (b <= b' ') | (b == b'<') | (b == b'>') | (b == 0x7f);
    if line[uri..uri_end].iter().fold(false, stray) {
        return Err((Cause::BadRequestUri, uri));
    }
    Ok(())
}

/// A span whose ends are known to fit: `Index::read` refuses longer buffers.
#[inline]
fn narrow(start: usize, end: usize) -> Span {
    Span { start: start as u32, end: end as u32 }
}

/// `start..end` without blanks and line ends at either side; empty at `end` if nothing is left.
#[inline]
pub(crate) fn trimmed(bytes: &[u8], mut start: usize, mut end: usize) -> Span {
    let blank = |at: usize| matches!(bytes.get(at), Some(b' ' | b'\t' | b'\r' | b'\n'));
    while start < end && blank(start) {
        start += 1;
    }
    while start < end && blank(end - 1) {
        end -= 1;
    }
    narrow(start, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_colon_is_the_naive_one() {
        for length in 0..40 {
            for place in 0..=length {
                for filler in [b'a', b';', b'9', 0xba, 0xff, 0x3b, 0] {
                    let mut line = vec![filler; length];
                    if let Some(byte) = line.get_mut(place) {
                        *byte = b':';
                    }
                    line.push(b':');
                    for line in [&line[..], &line[..length]] {
                        assert_eq!(colon(line), line.iter().position(|&b| b == b':'), "{line:?}");
                    }
                }
            }
        }
    }
}
