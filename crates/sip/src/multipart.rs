//! multipart/mixed bodies (RFC 2046 §5.1), read without copying. Nested multiparts stay opaque.

use crate::items::Item;
use crate::text::span;
use crate::{MediaType, Message};
use memchr::memchr;
use wire::bytes_class::{self, BLANK, TOKEN, decimal};
use wire::{Cause, EditList, Span};

/// One part. Spans are offsets into the buffer given to `Parts::new`.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    bytes: &'a [u8],
    /// Head, empty line and body, between the delimiters.
    pub span: Span,
    /// Its header lines with the empty line.
    pub head_span: Span,
    /// Its body.
    pub body_span: Span,
}

/// One header field of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartField<'a> {
    /// Its name as written.
    pub name: &'a [u8],
    /// Its value without blanks at either end.
    pub value: &'a [u8],
    /// Where the value lies.
    pub value_span: Span,
}

impl<'a> Part<'a> {
    /// The body.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(self.body_span.range()).unwrap_or_default()
    }

    /// Its header fields. They were found well-formed when the part was read.
    #[must_use]
    pub fn fields(&self) -> PartFields<'a> {
        PartFields { bytes: self.bytes, at: self.head_span.start as usize, end: self.head_span.end as usize }
    }

    /// The first field with this name, in any case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<PartField<'a>> {
        self.fields().find(|f| f.name.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Content-Type; `None` if absent or no media type.
    #[must_use]
    pub fn content_type(&self) -> Option<MediaType<'a>> {
        MediaType::read(self.bytes, self.field("Content-Type")?.value_span)
    }

    /// Content-Disposition: `recipient-list`, `publicmsg`, ...
    #[must_use]
    pub fn disposition(&self) -> Option<Item<'a>> {
        Item::read(self.bytes, self.field("Content-Disposition")?.value_span)
    }

    /// Where the value of its Content-Length lies, if it has one (R42).
    #[must_use]
    pub fn content_length_span(&self) -> Option<Span> {
        self.field("Content-Length").map(|f| f.value_span)
    }

    /// Writes the length its body will have into its Content-Length, if it has one and it differs (R42).
    ///
    /// Call it after all edits inside `body_span`, and `edit::fit_content_length` after this.
    pub fn fit_content_length(&self, edits: &mut EditList) {
        let Some(value) = self.content_length_span() else {
            return;
        };
        let grown = edits.growth(self.body_span);
        let length = (self.body_span.len() as i64).saturating_add(grown).max(0) as u64;
        if decimal(value.of(self.bytes)).map(u64::from) != Some(length) {
            edits.replace_with(value, |out| bytes_class::push_decimal(length, out));
        }
    }
}

/// The walk over the header fields of a part.
#[derive(Clone, Debug)]
pub struct PartFields<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Iterator for PartFields<'a> {
    type Item = PartField<'a>;

    fn next(&mut self) -> Option<PartField<'a>> {
        let line_end = field_end(self.bytes, self.at, self.end)?;
        let line = self.bytes.get(self.at..line_end)?;
        let colon = colon(line)?;
        let name_len = line.iter().take_while(|&&b| bytes_class::is(b, TOKEN)).count();
        let value_span = span(self.bytes, self.at + colon + 1, line_end);
        self.at = (line_end + 2).min(self.end);
        Some(PartField { name: &line[..name_len], value: value_span.of(self.bytes), value_span })
    }
}

/// Offset of the CRLF that ends the field at `at`, folds included; `end` if a last line has none;
/// `None` at the empty line and at the end.
fn field_end(bytes: &[u8], at: usize, end: usize) -> Option<usize> {
    let mut line_end = crlf(bytes, at, end);
    if line_end <= at {
        return None;
    }
    while line_end + 2 < end && bytes.get(line_end + 2).is_some_and(|&b| bytes_class::is(b, BLANK)) {
        line_end = crlf(bytes, line_end + 2, end);
    }
    Some(line_end)
}

/// Offset of the first CRLF in `at..end`; `end` if there is none.
fn crlf(bytes: &[u8], at: usize, end: usize) -> usize {
    let rest = bytes.get(at..end).unwrap_or_default();
    memchr::memmem::find(rest, b"\r\n").map_or(end, |found| at + found)
}

/// Where the colon stands in `name *blank ":"`.
fn colon(line: &[u8]) -> Option<usize> {
    let name = line.iter().take_while(|&&b| bytes_class::is(b, TOKEN)).count();
    let blanks = line[name..].iter().take_while(|&&b| bytes_class::is(b, BLANK)).count();
    (name > 0 && line.get(name + blanks) == Some(&b':')).then_some(name + blanks)
}

/// The parts of a multipart body, in order. After an error comes nothing more.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    bytes: &'a [u8],
    boundary: &'a [u8],
    /// Where the next part begins; before the first delimiter, where the body begins.
    at: usize,
    end: usize,
    found: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Preamble,
    Part,
    Done,
}

/// More parts than this are refused: the specification knows three.
pub const PARTS_MAX: usize = 32;

/// Splits a body; spans are offsets into it.
#[must_use]
pub fn split<'a>(body: &'a [u8], boundary: &'a [u8]) -> Parts<'a> {
    Parts::new(body, Span::new(0, body.len()), boundary)
}

/// Splits the body of a message whose Content-Type is multipart; spans are offsets into the message.
///
/// # Errors
/// `MissingBoundary` without boundary (R37), and what `Message::content_type` reports.
pub fn parts(message: Message<'_>) -> Result<Parts<'_>, Cause> {
    let media_type = message.content_type()?.ok_or(Cause::MissingContentType)?;
    let boundary = media_type.boundary().ok_or(Cause::MissingBoundary)?;
    Ok(Parts::new(message.bytes(), message.body_span(), boundary))
}

impl<'a> Parts<'a> {
    /// The parts in this piece of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8], body: Span, boundary: &'a [u8]) -> Self {
        Self {
            bytes,
            boundary,
            at: body.start as usize,
            end: (body.end as usize).min(bytes.len()),
            found: 0,
            state: State::Preamble,
        }
    }

    /// # Errors
    /// `BadMultipart` if a delimiter is missing or stands behind a lone LF, where some read it and some
    /// do not; or a part has a malformed head; or there are too many parts.
    fn step(&mut self) -> Result<Option<Part<'a>>, Cause> {
        if self.boundary.is_empty() {
            return Err(Cause::MissingBoundary);
        }
        if self.state == State::Preamble {
            let first = self.delimiter()?;
            if first.closes {
                return Err(Cause::BadMultipart);
            }
            self.at = first.next;
            self.state = State::Part;
        }
        let start = self.at;
        let delimiter = self.delimiter()?;
        self.at = delimiter.next;
        self.state = if delimiter.closes { State::Done } else { State::Part };
        self.found += 1;
        if self.found > PARTS_MAX {
            return Err(Cause::BadMultipart);
        }
        // The CRLF before a delimiter belongs to it.
        let end = delimiter.start.saturating_sub(2).max(start);
        self.part(start, end).map(Some)
    }

    fn part(&self, start: usize, end: usize) -> Result<Part<'a>, Cause> {
        let mut at = start;
        while let Some(line_end) = field_end(self.bytes, at, end) {
            let line = self.bytes.get(at..line_end).unwrap_or_default();
            if colon(line).is_none() || has_lone_feed(line) {
                return Err(Cause::BadMultipart);
            }
            at = (line_end + 2).min(end);
        }
        let empty_line = self.bytes.get(at..end).is_some_and(|rest| rest.starts_with(b"\r\n"));
        let body = if empty_line { at + 2 } else { end };
        Ok(Part {
            bytes: self.bytes,
            span: Span::new(start, end),
            head_span: Span::new(start, body),
            body_span: Span::new(body, end),
        })
    }

    /// The next delimiter line from `at`, which is the start of a line.
    fn delimiter(&self) -> Result<Delimiter, Cause> {
        let mut start = self.at;
        loop {
            let rest = self.bytes.get(start..self.end).unwrap_or_default();
            if let Some((len, closes)) = delimiter_len(rest, self.boundary) {
                let before_feed = start.checked_sub(2).and_then(|at| self.bytes.get(at));
                let lone_feed = start > self.at && before_feed != Some(&b'\r');
                if lone_feed {
                    return Err(Cause::BadMultipart);
                }
                return Ok(Delimiter { start, next: start + len, closes });
            }
            let feed = memchr(b'\n', rest).ok_or(Cause::BadMultipart)?;
            start += feed + 1;
        }
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, Cause>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Done {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.state = State::Done;
        }
        step.transpose()
    }
}

struct Delimiter {
    start: usize,
    next: usize,
    closes: bool,
}

/// Length of the delimiter line that `line` begins with, its line end included, and whether it closes.
///
/// The whole line must be the delimiter, so that `BY` does not find `BY2` (RFC 2046 §5.1.2).
fn delimiter_len(line: &[u8], boundary: &[u8]) -> Option<(usize, bool)> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?;
    let (rest, closes) = match rest.strip_prefix(b"--") {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let blanks = rest.iter().take_while(|&&b| bytes_class::is(b, BLANK)).count();
    let len = line.len() - rest.len() + blanks;
    match &rest[blanks..] {
        [b'\r', b'\n', ..] => Some((len + 2, closes)),
        [] if closes => Some((len, true)),
        _ => None,
    }
}

/// Whether a LF stands without its CR: for some readers a new header begins there.
fn has_lone_feed(line: &[u8]) -> bool {
    let lone = |at: usize| at == 0 || line.get(at - 1) != Some(&b'\r');
    memchr::memchr_iter(b'\n', line).any(lone)
}

/// A body or part of one type.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Where its content lies in the message.
    pub span: Span,
    /// The part, if the body is a multipart.
    pub part: Option<Part<'a>>,
}

/// The first content of this type: the body itself, or a part of a multipart body wherever it stands
/// (R42). A body without Content-Type counts as SDP if it begins like one (R70, q17).
///
/// # Errors
/// `BadMultipart` and its kin if the parts cannot be told apart.
pub fn find<'a>(message: Message<'a>, kind: &str, subtype: &str) -> Result<Option<Found<'a>>, Cause> {
    let whole = Found { span: message.body_span(), part: None };
    if whole.span.is_empty() {
        return Ok(None);
    }
    let Some(media_type) = message.content_type()? else {
        let sdp = kind == "application" && subtype == "sdp" && message.body().starts_with(b"v=0");
        return Ok(sdp.then_some(whole));
    };
    if media_type.is(kind, subtype) {
        return Ok(Some(whole));
    }
    if !media_type.kind.eq_ignore_ascii_case(b"multipart") {
        return Ok(None);
    }
    for part in parts(message)? {
        let part = part?;
        if part.content_type().is_some_and(|t| t.is(kind, subtype)) {
            return Ok(Some(Found { span: part.body_span, part: Some(part) }));
        }
    }
    Ok(None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
