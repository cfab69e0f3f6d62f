//! The view of a parsed message.

use crate::text::Members;
use crate::values::{CSeq, MediaType};
use crate::{Field, HeaderId, Index, Limits, Method, NameAddr, ParseError, Via, parse};
use bytes::Bytes;
use wire::bytes_class::{BLANK, decimal, is};
use wire::{Cause, Span};

/// A view of one message: its bytes and their index.
///
/// Typed views are read on demand and borrow from the bytes; every span is an offset into `bytes()`,
/// so it can feed a `wire::EditList`.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    index: &'a Index,
}

/// One member of a comma-separated header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Ordinal of its field in the message, as `fields()` counts.
    pub field: usize,
    /// Where it lies, without blanks at either end.
    pub span: Span,
    /// Its text.
    pub text: &'a [u8],
    /// Whether it is the first of its field.
    pub first: bool,
    /// Whether it is the last of its field.
    pub last: bool,
}

impl<'a> Message<'a> {
    pub(crate) fn new(bytes: &'a [u8], index: &'a Index) -> Self {
        Self { bytes, index }
    }

    /// The whole message.
    #[inline]
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The text of a span of this message.
    #[inline]
    #[must_use]
    pub fn text(self, span: Span) -> &'a [u8] {
        self.bytes.get(span.range()).unwrap_or_default()
    }

    /// From the start line to the empty line, both included.
    #[inline]
    #[must_use]
    pub fn head_span(self) -> Span {
        Span { start: 0, end: self.index.body_start }
    }

    /// Offset of the empty line: where a header field is appended.
    #[inline]
    #[must_use]
    pub fn fields_end(self) -> usize {
        self.index.fields_end as usize
    }

    /// What follows the empty line.
    #[inline]
    #[must_use]
    pub fn body(self) -> &'a [u8] {
        self.text(self.body_span())
    }

    /// Where the body lies.
    #[inline]
    #[must_use]
    pub fn body_span(self) -> Span {
        Span::new((self.index.body_start as usize).min(self.bytes.len()), self.bytes.len())
    }

    /// The start line with its CRLF.
    #[inline]
    #[must_use]
    pub fn start_span(self) -> Span {
        self.index.start.line
    }

    /// Whether it is a request.
    #[inline]
    #[must_use]
    pub fn is_request(self) -> bool {
        self.index.start.status == 0
    }

    /// The method of the request line; in a response that of CSeq (`Other` if it cannot be read).
    #[inline]
    #[must_use]
    pub fn method(self) -> Method {
        if self.is_request() {
            self.index.start.method
        } else {
            self.cseq().map_or(Method::Other, |cseq| cseq.method)
        }
    }

    /// The text of `method()`.
    #[must_use]
    pub fn method_text(self) -> &'a [u8] {
        if self.is_request() {
            self.text(self.index.start.method_text)
        } else {
            self.cseq().map_or(b"", |cseq| cseq.method_text)
        }
    }

    /// The Request-URI; empty in a response.
    #[inline]
    #[must_use]
    pub fn uri(self) -> &'a [u8] {
        self.text(self.index.start.uri)
    }

    /// Where the Request-URI lies.
    #[inline]
    #[must_use]
    pub fn uri_span(self) -> Span {
        self.index.start.uri
    }

    /// The status code; 0 in a request.
    #[inline]
    #[must_use]
    pub fn status(self) -> u16 {
        self.index.start.status
    }

    /// The reason phrase of a response.
    #[must_use]
    pub fn reason(self) -> &'a [u8] {
        self.text(self.index.start.reason)
    }

    /// All header fields, in order.
    #[inline]
    pub fn fields(self) -> impl ExactSizeIterator<Item = Field> + DoubleEndedIterator + Clone + use<'a> {
        self.index.fields.iter().copied()
    }

    /// The header field with this ordinal.
    #[must_use]
    pub fn field(self, ordinal: usize) -> Option<Field> {
        self.index.fields.get(ordinal).copied()
    }

    /// The first field with this id.
    #[inline]
    #[must_use]
    pub fn first(self, id: HeaderId) -> Option<Field> {
        self.field(self.index.first(id)?)
    }

    /// Whether a field with this id is there.
    #[inline]
    #[must_use]
    pub fn has(self, id: HeaderId) -> bool {
        self.index.first(id).is_some()
    }

    /// All fields with this id, in order.
    #[inline]
    pub fn all(self, id: HeaderId) -> impl Iterator<Item = Field> + Clone + use<'a> {
        self.ordinals(id).map(|(_, field)| field)
    }

    #[inline]
    fn ordinals(self, id: HeaderId) -> impl Iterator<Item = (usize, Field)> + Clone + use<'a> {
        let from = self.index.first(id).unwrap_or(self.index.fields.len());
        let rest = self.index.fields.get(from..).unwrap_or_default();
        let named = move |(at, field): (usize, &Field)| (field.id == id).then_some((from + at, *field));
        rest.iter().enumerate().filter_map(named)
    }

    /// How many fields have this id.
    #[inline]
    #[must_use]
    pub fn count(self, id: HeaderId) -> usize {
        self.all(id).count()
    }

    /// The value of the first field with this id, without blanks at either end.
    #[inline]
    #[must_use]
    pub fn value(self, id: HeaderId) -> Option<&'a [u8]> {
        Some(self.text(self.first(id)?.value))
    }

    /// All fields of this name, in any case, known by number or not.
    pub fn unknown<'n>(self, name: &'n [u8]) -> impl Iterator<Item = Field> + use<'a, 'n> {
        let id = HeaderId::from_bytes(name);
        let same =
            move |field: &Field| id != HeaderId::Unknown || self.text(field.name).eq_ignore_ascii_case(name);
        self.all(id).filter(same)
    }

    /// The members of all fields with this id, which must be a comma-separated one.
    ///
    /// Commas inside quoted strings, `<>` and comments do not part members; empty members are left out.
    #[inline]
    #[must_use]
    pub fn elements(self, id: HeaderId) -> Elements<'a> {
        Elements { message: self, id, next_field: self.index.first(id), field: 0, members: None, first: true }
    }

    /// Whether a comma-separated field with this id holds `tag`, in any case: option tags, methods.
    #[must_use]
    pub fn lists(self, id: HeaderId, tag: &[u8]) -> bool {
        self.elements(id).any(|e| e.text.eq_ignore_ascii_case(tag))
    }

    /// The only field with this id.
    ///
    /// # Errors
    /// `DuplicateHeader` if there is more than one.
    pub fn single(self, id: HeaderId) -> Result<Option<Field>, Cause> {
        let mut fields = self.all(id);
        let field = fields.next();
        match fields.next() {
            Some(_) => Err(Cause::DuplicateHeader),
            None => Ok(field),
        }
    }

    /// The topmost Via value.
    ///
    /// # Errors
    /// `BadVia` if there is none or it cannot be read.
    #[inline]
    pub fn top_via(self) -> Result<Via<'a>, Cause> {
        let top = self.elements(HeaderId::Via).next().ok_or(Cause::BadVia)?;
        Via::read(self.bytes, top.span).ok_or(Cause::BadVia)
    }

    /// All Via values, topmost first.
    pub fn vias(self) -> impl Iterator<Item = Result<Via<'a>, Cause>> + use<'a> {
        self.elements(HeaderId::Via).map(move |e| Via::read(self.bytes, e.span).ok_or(Cause::BadVia))
    }

    /// CSeq.
    ///
    /// # Errors
    /// `BadCseq` if it is missing, malformed or names another method than the request line;
    /// `DuplicateHeader` if it stands twice.
    #[inline]
    pub fn cseq(self) -> Result<CSeq<'a>, Cause> {
        let field = self.single(HeaderId::CSeq)?.ok_or(Cause::BadCseq)?;
        let cseq = CSeq::read(self.text(field.value)).ok_or(Cause::BadCseq)?;
        if self.is_request() && cseq.method_text != self.text(self.index.start.method_text) {
            return Err(Cause::BadCseq);
        }
        Ok(cseq)
    }

    /// From.
    ///
    /// # Errors
    /// `BadFrom` if it is missing or malformed, `DuplicateHeader` if it stands twice.
    #[inline]
    pub fn from(self) -> Result<NameAddr<'a>, Cause> {
        self.address(HeaderId::From, Cause::BadFrom)
    }

    /// To.
    ///
    /// # Errors
    /// `BadTo` if it is missing or malformed, `DuplicateHeader` if it stands twice.
    #[inline]
    pub fn to(self) -> Result<NameAddr<'a>, Cause> {
        self.address(HeaderId::To, Cause::BadTo)
    }

    /// The only value of a field that holds one address: From, To, Refer-To, Referred-By, Reply-To.
    ///
    /// # Errors
    /// `cause` if it is missing or malformed, `DuplicateHeader` if it stands twice.
    pub fn address(self, id: HeaderId, cause: Cause) -> Result<NameAddr<'a>, Cause> {
        let field = self.single(id)?.ok_or(cause)?;
        NameAddr::read(self.bytes, field.value).ok_or(cause)
    }

    /// Call-ID: visible ASCII without blanks.
    ///
    /// # Errors
    /// `BadCallId` if it is missing or malformed, `DuplicateHeader` if it stands twice.
    #[inline]
    pub fn call_id(self) -> Result<&'a [u8], Cause> {
        let field = self.single(HeaderId::CallId)?.ok_or(Cause::BadCallId)?;
        let id = self.text(field.value);
        if id.is_empty() || !id.iter().all(u8::is_ascii_graphic) {
            return Err(Cause::BadCallId);
        }
        Ok(id)
    }

    /// Max-Forwards, 0..=255; `None` if absent (R33: then 70 is added).
    ///
    /// # Errors
    /// `BadMaxForwards` if it is no such number, `DuplicateHeader` if it stands twice.
    pub fn max_forwards(self) -> Result<Option<u8>, Cause> {
        let Some(field) = self.single(HeaderId::MaxForwards)? else {
            return Ok(None);
        };
        let number = decimal(self.text(field.value)).and_then(|n| u8::try_from(n).ok());
        number.map(Some).ok_or(Cause::BadMaxForwards)
    }

    /// Content-Type; `None` if absent.
    ///
    /// # Errors
    /// `UnsupportedMediaType` if it is no media type, `DuplicateHeader` if it stands twice.
    pub fn content_type(self) -> Result<Option<MediaType<'a>>, Cause> {
        let Some(field) = self.single(HeaderId::ContentType)? else {
            return Ok(None);
        };
        let media_type = MediaType::read(self.bytes, field.value);
        media_type.map(Some).ok_or(Cause::UnsupportedMediaType)
    }

    /// Content-Length; `None` if absent.
    ///
    /// # Errors
    /// `BadContentLength` if it is no number or stands twice with two values.
    pub fn content_length(self) -> Result<Option<u32>, Cause> {
        let mut length = None;
        for field in self.all(HeaderId::ContentLength) {
            let number = decimal(self.text(field.value)).ok_or(Cause::BadContentLength)?;
            if length.is_some_and(|before| before != number) {
                return Err(Cause::BadContentLength);
            }
            length = Some(number);
        }
        Ok(length)
    }

    /// The Expires header field in seconds; `None` if absent or no number. Too large saturates.
    #[must_use]
    pub fn expires(self) -> Option<u32> {
        crate::text::leading_digits(self.value(HeaderId::Expires)?)
    }

    /// The addresses of Contact, Route, Record-Route, Path, Service-Route, P-Associated-URI,
    /// P-Asserted-Identity and the like, over all fields of that id.
    ///
    /// Each that cannot be read is an error of its own: `BadContact` for Contact, else `BadHeaderLine`.
    /// A Contact with `?` must stand in brackets (RFC 3261 §20); without them nobody can say whether
    /// what follows belongs to the URI (RFC 4475 §3.1.2.13).
    pub fn name_addrs(self, id: HeaderId) -> impl Iterator<Item = Result<NameAddr<'a>, Cause>> + use<'a> {
        let cause = match id {
            HeaderId::Contact => Cause::BadContact,
            HeaderId::From => Cause::BadFrom,
            HeaderId::To => Cause::BadTo,
            _ => Cause::BadHeaderLine,
        };
        let clear = move |a: &NameAddr<'_>| id != HeaderId::Contact || a.bracketed || !a.uri.contains(&b'?');
        self.elements(id).map(move |e| NameAddr::read(self.bytes, e.span).filter(clear).ok_or(cause))
    }
}

impl core::fmt::Debug for Message<'_> {
    /// The start line only: bodies and identities stay out of logs.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Message({}, {} bytes)", self.text(self.start_span()).escape_ascii(), self.bytes.len())
    }
}

/// The walk over the members of a comma-separated header field.
#[derive(Clone)]
pub struct Elements<'a> {
    message: Message<'a>,
    id: HeaderId,
    next_field: Option<usize>,
    field: usize,
    members: Option<Members<'a>>,
    first: bool,
}

impl<'a> Elements<'a> {
    fn open_next_field(&mut self) -> Option<()> {
        let ordinal = self.next_field?;
        let field = self.message.field(ordinal)?;
        self.field = ordinal;
        self.first = true;
        self.members = Some(Members::new(self.message.bytes, field.value));
        let rest = self.message.index.fields.get(ordinal + 1..).unwrap_or_default();
        let next = rest.iter().position(|f| f.id == self.id);
        self.next_field = next.map(|at| ordinal + 1 + at);
        Some(())
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        loop {
            if let Some(members) = &mut self.members {
                if let Some(span) = members.next() {
                    let first = core::mem::replace(&mut self.first, false);
                    return Some(Element {
                        field: self.field,
                        span,
                        text: self.message.text(span),
                        first,
                        last: members.is_done(),
                    });
                }
                self.members = None;
            }
            self.open_next_field()?;
        }
    }
}

/// A message that owns its bytes and its index.
#[derive(Clone, Debug, Default)]
pub struct MessageBuf {
    bytes: Bytes,
    index: Index,
}

impl MessageBuf {
    /// Parses `bytes`, which is exactly one message.
    ///
    /// # Errors
    /// As `parse`.
    pub fn parse(bytes: Bytes, limits: &Limits) -> Result<Self, ParseError> {
        let mut index = Index::default();
        parse(&bytes, limits, &mut index)?;
        Ok(Self { bytes, index })
    }

    /// The view. Of a default `MessageBuf`, an empty message.
    #[inline]
    #[must_use]
    pub fn message(&self) -> Message<'_> {
        Message::new(&self.bytes, &self.index)
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl Message<'_> {
    /// An owned copy.
    #[must_use]
    pub fn to_buf(self) -> MessageBuf {
        MessageBuf { bytes: Bytes::copy_from_slice(self.bytes), index: self.index.clone() }
    }
}

/// Whether a value holds nothing but blanks (R34).
#[must_use]
pub fn is_blank(value: &[u8]) -> bool {
    value.iter().all(|&b| is(b, BLANK) || matches!(b, b'\r' | b'\n'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
