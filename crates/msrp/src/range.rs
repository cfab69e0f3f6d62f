//! `Byte-Range`, RFC 4975 §7.1.1: `range-start "-" range-end "/" total`, the latter two possibly `*`.

use wire::bytes_class::push_decimal;

/// Which octets of the message a chunk carries. Octets count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first octet, from 1.
    pub start: u64,
    /// The last octet; `None` for `*`: the chunk may be interrupted.
    pub end: Option<u64>,
    /// Octets of the whole message; `None` for `*`.
    pub total: Option<u64>,
}

impl ByteRange {
    /// Reads a header value; `None` if it is none.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (start, rest) = number(value)?;
        let (end, rest) = star_or_number(rest.strip_prefix(b"-")?)?;
        let (total, rest) = star_or_number(rest.strip_prefix(b"/")?)?;
        rest.is_empty().then_some(Self { start, end, total })
    }

    /// How many octets of body it announces. Never to be trusted for framing (R75).
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        // A chunk without a body ends one before it starts: `1-0/0`.
        self.end?.checked_add(1)?.checked_sub(self.start)
    }

    /// Whether it announces an empty body.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Appends it as a header value.
    pub fn write(&self, out: &mut Vec<u8>) {
        let star = |n: Option<u64>, out: &mut Vec<u8>| match n {
            Some(n) => push_decimal(n, out),
            None => out.push(b'*'),
        };
        push_decimal(self.start, out);
        out.push(b'-');
        star(self.end, out);
        out.push(b'/');
        star(self.total, out);
    }
}

/// What stands at the front, and what follows it.
fn star_or_number(text: &[u8]) -> Option<(Option<u64>, &[u8])> {
    match text.strip_prefix(b"*") {
        Some(rest) => Some((None, rest)),
        None => number(text).map(|(n, rest)| (Some(n), rest)),
    }
}

fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let (mut n, mut rest) = (0u64, text);
    while let [digit @ b'0'..=b'9', behind @ ..] = rest {
        n = n.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        rest = behind;
    }
    (rest.len() < text.len()).then_some((n, rest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_and_lengths() {
        let table: &[(&[u8], Option<Option<u64>>)] = &[
            (b"1-176/176", Some(Some(176))),
            (b"101-200/5000000000", Some(Some(100))),
            (b"1-*/*", Some(None)),
            (b"1-0/0", Some(Some(0))),
            (b"9-3/10", Some(None)),
            (b"1-18446744073709551615/*", Some(None)),
            (b"1-18446744073709551616/*", None),
            (b"*-1/1", None),
            (b"1-1", None),
            (b"1-1/1x", None),
            (b"1-1/*9", None),
            (b"1-/1", None),
            (b"1/1", None),
            (b"", None),
            (b"-/", None),
        ];
        for (text, len) in table {
            let range = ByteRange::parse(text);
            assert_eq!(range.map(|r| r.len()), *len, "{}", text.escape_ascii());
            if let Some(range) = range {
                let mut out = Vec::new();
                range.write(&mut out);
                assert_eq!(&out, text);
            }
        }
    }
}
