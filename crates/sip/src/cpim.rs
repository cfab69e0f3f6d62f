//! message/cpim header blocks (RFC 3862), read only as far as R41 asks.
//!
//! ```text
//! From: <sip:a>            message headers
//! imdn.Message-ID: x1
//!
//! Content-Type: text/plain content headers
//!
//! hello
//! ```
//! DateTime, Content-Length and missing empty lines are not checked (R42).

use wire::Cause;
use wire::bytes_class::{self, BLANK, TOKEN, trim};

/// Checks that no field stands twice in one header block (R41).
///
/// Names compare in any case. `NS` may stand once for each prefix it declares: RFC 3862 §3.4 has no
/// other way to declare two.
///
/// # Errors
/// `DuplicateCpimHeader`; `TooManyHeaders` if a block has more than 64.
pub fn check(content: &[u8]) -> Result<(), Cause> {
    let mut message_headers = Headers { rest: content };
    no_duplicates(&mut message_headers)?;
    let mut content_headers = Headers { rest: message_headers.behind_empty_line() };
    no_duplicates(&mut content_headers)
}

/// The fields of the first block: name and value.
pub fn headers(content: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    Headers { rest: content }
}

/// Walks one header block and stops at the first line that is no header.
#[derive(Clone)]
struct Headers<'a> {
    rest: &'a [u8],
}

/// More fields than this are refused, for comparing is quadratic; honest blocks have about eight.
const HEADERS_MAX: usize = 64;

fn no_duplicates(headers: &mut Headers<'_>) -> Result<(), Cause> {
    let block = headers.clone();
    for (at, (name, value)) in headers.by_ref().enumerate() {
        if at >= HEADERS_MAX {
            return Err(Cause::TooManyHeaders);
        }
        let mut before = block.clone().take(at);
        if before.any(|(other, other_value)| {
            name.eq_ignore_ascii_case(other) && !declare_two_prefixes(name, value, other_value)
        }) {
            return Err(Cause::DuplicateCpimHeader);
        }
    }
    Ok(())
}

fn declare_two_prefixes(name: &[u8], a: &[u8], b: &[u8]) -> bool {
    let prefix = |value: &'_ [u8]| memchr::memchr(b'<', value).unwrap_or(value.len());
    name.eq_ignore_ascii_case(b"NS") && trim(&a[..prefix(a)]) != trim(&b[..prefix(b)])
}

impl<'a> Headers<'a> {
    fn behind_empty_line(&self) -> &'a [u8] {
        match self.rest {
            [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] => rest,
            _ => b"",
        }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let name_len = self.rest.iter().take_while(|&&b| bytes_class::is(b, TOKEN)).count();
        let (name, after_name) = self.rest.split_at(name_len);
        let blanks = after_name.iter().take_while(|&&b| bytes_class::is(b, BLANK)).count();
        let value = after_name.get(blanks..)?.strip_prefix(b":")?;
        if name.is_empty() {
            return None;
        }
        let end = value_end(value);
        self.rest = &value[end..];
        Some((name, trim(&value[..end])))
    }
}

/// One past the line end of a value, folded lines included.
fn value_end(value: &[u8]) -> usize {
    let mut at = 0;
    while let Some(feed) = memchr::memchr(b'\n', &value[at..]) {
        at += feed + 1;
        if !value.get(at).is_some_and(|&b| bytes_class::is(b, BLANK)) {
            return at;
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_may_stand_once_in_each_block() {
        for (content, verdict) in [
            ("From: a\r\nTo: b\r\n\r\nContent-Type: x/y\r\nContent-ID: 1\r\n\r\nFrom: a\r\nFrom: a", Ok(())),
            ("From: a\r\n\r\nFrom: a\r\n\r\n", Ok(())),
            ("NS: imdn<urn:a>\r\nNS: x <urn:b>\r\n\r\n", Ok(())),
            ("", Ok(())),
            ("\r\nContent-Type: x/y\r\n\r\n", Ok(())),
            ("<?xml?>\r\nA: 1\r\nA: 1\r\n", Ok(())),
            ("A: 1\r\n<imdn>\r\nA: 1\r\n", Ok(())),
            ("imdn.Message-ID: a\r\nTo: x\r\nimdn.Message-ID: a\r\n\r\n", Err(Cause::DuplicateCpimHeader)),
            ("IMDN.message-id: a\r\nimdn.Message-ID: b\r\n\r\n", Err(Cause::DuplicateCpimHeader)),
            ("NS: imdn<urn:a>\r\nNS: imdn<urn:a>\r\n\r\n", Err(Cause::DuplicateCpimHeader)),
            ("A: 1\r\n folded\r\nA : 2\r\n\r\n", Err(Cause::DuplicateCpimHeader)),
            ("A: 1\r\n\r\nContent-Type: x/y\r\nContent-Type: x/y\r\n\r\n", Err(Cause::DuplicateCpimHeader)),
            ("A: 1\nA: 2\n\n", Err(Cause::DuplicateCpimHeader)),
            ("A: 1\r\nA: 2", Err(Cause::DuplicateCpimHeader)),
        ] {
            assert_eq!(check(content.as_bytes()), verdict, "{content:?}");
        }
    }

    #[test]
    fn fields_are_read() {
        let all: Vec<_> = headers(b"From: <sip: a >\r\nNS:imdn<u>\r\n x\r\n\r\nno: more").collect();
        assert_eq!(all, [(&b"From"[..], &b"<sip: a >"[..]), (b"NS", b"imdn<u>\r\n x")]);
    }
}
