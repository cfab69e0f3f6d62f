//! Small typed views of single header fields.

use crate::text::span;
use crate::{Method, Params};
use wire::Span;
use wire::bytes_class::{self, TOKEN, trim};

/// CSeq (RFC 3261 §20.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// The sequence number.
    pub number: u32,
    /// The method.
    pub method: Method,
    /// The method as written.
    pub method_text: &'a [u8],
}

impl<'a> CSeq<'a> {
    /// Reads `1*DIGIT LWS Method`.
    #[inline]
    #[must_use]
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let digits = value.iter().position(|b| !b.is_ascii_digit())?;
        let (number, rest) = value.split_at_checked(digits)?;
        let method_text = trim(rest);
        if method_text.len() == rest.len() || !bytes_class::all(method_text, TOKEN) {
            return None;
        }
        Some(Self {
            number: bytes_class::decimal(number)?,
            method: Method::from_bytes(method_text),
            method_text,
        })
    }
}

/// A media type: Content-Type and the members of Accept.
#[derive(Clone, Copy, Debug)]
pub struct MediaType<'a> {
    /// Before the slash, as written.
    pub kind: &'a [u8],
    /// Behind the slash, as written.
    pub subtype: &'a [u8],
    /// Type and subtype with the slash, as written.
    pub text: &'a [u8],
    /// boundary, charset, ...
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Reads `type "/" subtype *(";" parameter)`; blanks around the slash are legal (RFC 3261 §25.1).
    #[must_use]
    pub fn read(bytes: &'a [u8], within: Span) -> Option<Self> {
        let (start, end) = (within.start as usize, (within.end as usize).min(bytes.len()));
        let whole = bytes.get(start..end)?;
        let stop = memchr::memchr(b';', whole).unwrap_or(whole.len());
        let text = trim(&whole[..stop]);
        let slash = memchr::memchr(b'/', text)?;
        let (kind, subtype) = (trim(&text[..slash]), trim(&text[slash + 1..]));
        if !bytes_class::all(kind, TOKEN) || !bytes_class::all(subtype, TOKEN) {
            return None;
        }
        Some(Self { kind, subtype, text, params: Params::new(bytes, span(bytes, start + stop, end)) })
    }

    /// Whether it is this type; types compare case-insensitively (R39).
    #[inline]
    #[must_use]
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind.as_bytes())
            && self.subtype.eq_ignore_ascii_case(subtype.as_bytes())
    }

    /// The boundary without quotes (R38); `None` if absent or empty.
    #[must_use]
    pub fn boundary(&self) -> Option<&'a [u8]> {
        self.params.value(b"boundary").filter(|b| !b.is_empty())
    }
}
