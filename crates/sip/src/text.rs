//! The small words of SIP grammar: quoted strings, lists, blanks.

use wire::Span;
use wire::bytes_class::trim;

/// One past the end of the quoted string that opens at `open`; `end` if it is never closed.
///
/// A quote left open ends with the line it stands on (vector q01), so it never eats the next field.
#[inline]
pub(crate) fn quoted_end(bytes: &[u8], open: usize, end: usize) -> usize {
    let mut at = open + 1;
    while at < end {
        match bytes.get(at) {
            Some(b'\\') => at += 2,
            Some(b'"') => return at + 1,
            Some(_) => at += 1,
            None => return end,
        }
    }
    end
}

/// Offset of the first of `stops` in `bytes[at..end]` outside quoted strings; `end` if there is none.
#[inline]
pub(crate) fn find_unquoted(bytes: &[u8], mut at: usize, end: usize, stops: &[u8]) -> usize {
    while at < end {
        match bytes.get(at) {
            Some(b'"') => at = quoted_end(bytes, at, end),
            Some(b) if stops.contains(b) => return at,
            Some(_) => at += 1,
            None => return end,
        }
    }
    end
}

/// Offset of the comma that ends the list member at `at`; `end` if it is the last.
///
/// Commas inside quoted strings, `<>` and comments do not count. A `<` or `(` that is never closed is
/// an ordinary byte: otherwise one stray byte would glue all later members together.
#[inline]
pub(crate) fn member_end(bytes: &[u8], mut at: usize, end: usize) -> usize {
    while at < end {
        match bytes.get(at) {
            Some(b',') => return at,
            Some(b'"') => at = quoted_end(bytes, at, end),
            Some(b'<') => at = closing(bytes, at, end, b'>').map_or(at + 1, |close| close + 1),
            Some(b'(') => at = comment_end(bytes, at, end).unwrap_or(at + 1),
            Some(_) => at += 1,
            None => return end,
        }
    }
    end
}

/// Offset of the first `close` behind `open`. URIs hold no `>`, not even quoted.
#[inline]
pub(crate) fn closing(bytes: &[u8], open: usize, end: usize, close: u8) -> Option<usize> {
    let inside = bytes.get(open + 1..end)?;
    memchr::memchr(close, inside).map(|at| open + 1 + at)
}

/// One past the parenthesis that closes the comment at `open`; comments nest (RFC 3261 §25.1).
fn comment_end(bytes: &[u8], open: usize, end: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = open;
    while at < end {
        match bytes.get(at)? {
            b'\\' => at += 1,
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + 1),
            b')' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// The content of a quoted string, escapes left as they are; other text as it is.
///
/// A string that was left open loses its opening quote only.
#[inline]
#[must_use]
pub fn unquote(text: &[u8]) -> &[u8] {
    match trim(text) {
        [b'"', inside @ .., b'"'] => inside,
        [b'"', inside @ ..] => inside,
        plain => plain,
    }
}

/// Appends `text` as a quoted string, with `"` and `\` escaped and control bytes left out.
pub fn push_quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        if byte >= b' ' && byte != 0x7f {
            out.push(byte);
        }
    }
    out.push(b'"');
}

/// The digits that `text` begins with, as a number; saturates (vector q03: `3600+g...` is 3600).
#[inline]
#[must_use]
pub fn leading_digits(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let number = |n: u32, b: &u8| n.saturating_mul(10).saturating_add(u32::from(b - b'0'));
    (digits > 0).then(|| text[..digits].iter().fold(0, number))
}

/// `start..end` as a span without blanks at either end; offsets are inside a parsed message.
#[inline]
pub(crate) fn span(bytes: &[u8], start: usize, end: usize) -> Span {
    crate::index::trimmed(bytes, start, end)
}

/// The list members in `bytes[at..end]`, empty ones left out.
#[derive(Clone, Debug)]
pub(crate) struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Members<'a> {
    /// Whether no member follows.
    pub(crate) fn is_done(&self) -> bool {
        self.clone().next().is_none()
    }

    pub(crate) fn new(bytes: &'a [u8], within: Span) -> Self {
        Self { bytes, at: within.start as usize, end: (within.end as usize).min(bytes.len()) }
    }
}

impl Iterator for Members<'_> {
    type Item = Span;

    #[inline]
    fn next(&mut self) -> Option<Span> {
        while self.at < self.end {
            let comma = member_end(self.bytes, self.at, self.end);
            let member = span(self.bytes, self.at, comma);
            self.at = comma + 1;
            if !member.is_empty() {
                return Some(member);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Vec<&str> {
        let bytes = text.as_bytes();
        Members::new(bytes, Span::new(0, bytes.len()))
            .map(|s| core::str::from_utf8(s.of(bytes)).expect("the input is text"))
            .collect()
    }

    #[test]
    fn commas_part_members_outside_quotes_brackets_and_comments() {
        for (text, expected) in [
            ("a, b ,c", &["a", "b", "c"][..]),
            ("\"a,b\" <sip:x,y@h>;p=\",\", d", &["\"a,b\" <sip:x,y@h>;p=\",\"", "d"]),
            ("a (x, (y,) z), b", &["a (x, (y,) z)", "b"]),
            ("a (x, b", &["a (x", "b"]),
            ("<sip:a, b", &["<sip:a", "b"]),
            (",, a,,", &["a"]),
            ("", &[]),
            ("\"open, quote", &["\"open, quote"]),
            ("\"esc\\\", aped\", b", &["\"esc\\\", aped\"", "b"]),
            ("<sip:u@h;x=\"open>, b", &["<sip:u@h;x=\"open>", "b"]),
        ] {
            assert_eq!(members(text), expected, "{text}");
        }
    }

    #[test]
    fn unquote_takes_one_pair_off() {
        assert_eq!(unquote(b" \"x y\" "), b"x y");
        assert_eq!(unquote(b"\"open"), b"open");
        assert_eq!(unquote(b"plain"), b"plain");
        assert_eq!(unquote(b"\"\""), b"");
        assert_eq!(unquote(b"\""), b"");
    }

    #[test]
    fn leading_digits_stop_at_the_first_other_byte() {
        assert_eq!(leading_digits(b"3600+g.3gpp"), Some(3600));
        assert_eq!(leading_digits(b"99999999999"), Some(u32::MAX));
        assert_eq!(leading_digits(b"x1"), None);
        assert_eq!(leading_digits(b""), None);
    }

    #[test]
    fn push_quoted_escapes() {
        let mut out = Vec::new();
        push_quoted(b"a\"b\\c\r\nd", &mut out);
        assert_eq!(out, b"\"a\\\"b\\\\cd\"");
    }
}
