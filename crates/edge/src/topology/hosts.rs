//! Hosts in a text: addresses and names of hidden domains, and whether they are the host of a SIP URI.
//!
//! Nothing here knows headers: a value, a line of a message fragment and an XML attribute read alike.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host that stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it begins.
    pub(crate) start: usize,
    /// Where it ends, its port included.
    pub(crate) end: usize,
    /// The address; `None` for a name.
    pub(crate) address: Option<IpAddr>,
    /// Where its SIP URI begins, if it is the host of one.
    pub(crate) uri: Option<usize>,
    /// It follows a letter or a slash: as likely a version as an address.
    pub(crate) glued: bool,
}

/// The hosts in `text`; names only if they end in one of `domains` (lower case).
pub(crate) fn hosts<'t>(text: &'t [u8], domains: &'t [Box<[u8]>]) -> impl Iterator<Item = Found> + 't {
    // Most values hold none, and are told at the speed of memchr.
    let mut at = if domains.is_empty() && !may_hold(text) { text.len() } else { 0 };
    core::iter::from_fn(move || {
        while let Some(&byte) = text.get(at) {
            let here = at;
            let found = match byte {
                b'[' => bracketed(text, here),
                b'0'..=b'9' => v6(text, here).or_else(|| v4(text, here)),
                b':' | b'a'..=b'f' | b'A'..=b'F' => v6(text, here),
                _ => None,
            };
            let found = found.or_else(|| name(text, here, domains));
            if let Some((host_end, address)) = found {
                let end = port_end(text, host_end);
                at = end;
                let glued = here.checked_sub(1).and_then(|before| text.get(before));
                let glued = glued.is_some_and(|b| b.is_ascii_alphabetic() || *b == b'/');
                return Some(Found { start: here, end, address, uri: uri_start(text, here), glued });
            }
            at = skip(text, here);
        }
        None
    })
}

/// Whether there may be an address: `1.2`, `[` or two colons close by.
fn may_hold(text: &[u8]) -> bool {
    let digit = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_digit);
    let v4 =
        || memchr::memchr_iter(b'.', text).any(|at| digit(at.checked_sub(1)) && digit(at.checked_add(1)));
    let v6 = || {
        let mut colons = memchr::memchr_iter(b':', text);
        let mut last = colons.next();
        colons.any(|at| last.replace(at).is_some_and(|before| at - before <= GROUP_CHARS_MAX + 1))
    };
    memchr::memchr(b'[', text).is_some() || v4() || v6()
}

/// Digits between two colons of an IPv6 address.
const GROUP_CHARS_MAX: usize = 4;

type End = (usize, Option<IpAddr>);

/// The next place where a host can begin.
fn skip(text: &[u8], at: usize) -> usize {
    let digits = |from: usize| from + run(text, from, |b| b.is_ascii_digit() || b == b'.');
    match text.get(at) {
        // `%40` before an address is no digit of it.
        Some(b'%') => at + 3,
        Some(b) if b.is_ascii_digit() => digits(at),
        Some(_) => at + 1,
        None => at,
    }
}

fn run(text: &[u8], from: usize, of: impl Fn(u8) -> bool) -> usize {
    text.get(from..).unwrap_or_default().iter().take_while(|&&b| of(b)).count()
}

fn before(text: &[u8], at: usize) -> u8 {
    at.checked_sub(1).and_then(|at| text.get(at)).copied().unwrap_or(b' ')
}

fn v4(text: &[u8], at: usize) -> Option<End> {
    if before(text, at) == b'.' {
        return None;
    }
    let len = run(text, at, |b| b.is_ascii_digit() || b == b'.').min(ADDRESS_CHARS_MAX);
    let digits = text.get(at..at + len)?;
    let dots = digits.iter().rev().take_while(|&&b| b == b'.').count();
    let digits = digits.get(..len - dots)?;
    let address: Ipv4Addr = core::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((at + digits.len(), Some(address.into())))
}

fn v6(text: &[u8], at: usize) -> Option<End> {
    let of = |b: u8| b.is_ascii_hexdigit() || b == b':' || b == b'.';
    if of(before(text, at)) || before(text, at).is_ascii_alphanumeric() {
        return None;
    }
    let len = run(text, at, of).min(ADDRESS_CHARS_MAX);
    let digits = text.get(at..at + len)?;
    if digits.iter().filter(|&&b| b == b':').count() < 2 {
        return None;
    }
    let rest = digits.iter().rev().take_while(|&&b| b == b'.' || b == b':').count();
    // `2001:db8::` ends in colons of its own.
    [len, len - rest].into_iter().find_map(|len| {
        let address: Ipv6Addr = core::str::from_utf8(text.get(at..at + len)?).ok()?.parse().ok()?;
        Some((at + len, Some(address.into())))
    })
}

fn bracketed(text: &[u8], at: usize) -> Option<End> {
    let inside = text.get(at + 1..)?;
    let len = memchr::memchr(b']', inside.get(..ADDRESS_CHARS_MAX.min(inside.len()))?)?;
    let address: Ipv6Addr = core::str::from_utf8(inside.get(..len)?).ok()?.parse().ok()?;
    Some((at + len + 2, Some(address.into())))
}

/// The longest text of an address.
const ADDRESS_CHARS_MAX: usize = 45;

fn name(text: &[u8], at: usize, domains: &[Box<[u8]>]) -> Option<End> {
    let of = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if domains.is_empty() || of(before(text, at)) {
        return None;
    }
    let host = text.get(at..at + run(text, at, of))?;
    let dots = host.iter().rev().take_while(|&&b| b == b'.').count();
    let host = host.get(..host.len() - dots)?;
    let hidden = domains.iter().any(|domain| {
        let Some((head, tail)) = host.len().checked_sub(domain.len()).and_then(|n| host.split_at_checked(n))
        else {
            return false;
        };
        tail.eq_ignore_ascii_case(domain) && (head.is_empty() || head.ends_with(b"."))
    });
    hidden.then_some((at + host.len(), None))
}

fn port_end(text: &[u8], end: usize) -> usize {
    match text.get(end) {
        Some(b':') => match run(text, end + 1, |b| b.is_ascii_digit()) {
            digits @ 1..=5 => end + 1 + digits,
            _ => end,
        },
        _ => end,
    }
}

/// Where the SIP URI begins whose host begins at `host`.
fn uri_start(text: &[u8], host: usize) -> Option<usize> {
    let first = host.saturating_sub(URI_CHARS_MAX);
    let head = text.get(first..host)?;
    let stop = |b: &u8| matches!(b, b'<' | b'>' | b'"' | b'\'') || b.is_ascii_whitespace();
    let from = head.iter().rposition(stop).map_or(0, |at| at + 1);
    let segment = head.get(from..)?;
    let scheme = |s: &[u8]| segment.windows(s.len()).rposition(|w| w.eq_ignore_ascii_case(s));
    let sip = scheme(b"sip:").map(|at| (at, 4));
    let (at, len) = scheme(b"sips:").map(|at| (at, 5)).max(sip)?;
    let rest = segment.get(at + len..)?;
    (rest.is_empty() || rest.last() == Some(&b'@')).then_some(first + from + at)
}

/// How far before its host a URI is looked for: a text of many hosts must not be read again for each.
const URI_CHARS_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(String, bool)> {
        let domains = [Box::from(&b"core.example"[..])];
        hosts(text.as_bytes(), &domains).map(|f| (text[f.start..f.end].to_owned(), f.uri.is_some())).collect()
    }

    #[test]
    fn hosts_are_found_wherever_they_stand() {
        for (text, expected) in [
            ("<sip:a@10.9.9.9:5060;lr>;tag=1", &[("10.9.9.9:5060", true)][..]),
            ("sip:10.9.9.9", &[("10.9.9.9", true)]),
            ("<sips:a;x=1@[2001:db8::1]:70>", &[("[2001:db8::1]:70", true)]),
            ("Box/10.9.9.9 (at 10.9.9.8)", &[("10.9.9.9", false), ("10.9.9.8", false)]),
            ("no way to 10.9.9.9.", &[("10.9.9.9", false)]),
            ("x%4010.9.9.9", &[("10.9.9.9", false)]),
            ("<sip:a@b>;maddr=10.9.9.9", &[("10.9.9.9", false)]),
            ("<sip:a@b>,<sip:c@10.9.9.9>", &[("10.9.9.9", true)]),
            ("from 2001:db8::1 at 12:30:45", &[("2001:db8::1", false)]),
            ("<sip:x@S1.Core.Example:5>; scorecore.example", &[("S1.Core.Example:5", true)]),
            ("http://10.9.9.9/p", &[("10.9.9.9", false)]),
            ("as-10.9.9.9-x 1.2.3 1.2.3.4.5 300.1.1.1", &[("10.9.9.9", false)]),
            ("h10.9.9.9", &[("10.9.9.9", false)]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(t, uri)| ((*t).to_owned(), *uri)).collect();
            assert_eq!(all(text), expected, "{text}");
        }
    }

    #[test]
    fn what_holds_no_address_is_passed_over() {
        for (text, may) in [
            ("<sip:user@h.example;lr>;tag=1.x", false),
            ("IM-client/OMA1.0", true),
            ("sip:alice@b:5060", false),
            ("fd00::9", true),
            ("a [x", true),
            ("1:2:3:4:5:6:7:8", true),
        ] {
            assert_eq!(may_hold(text.as_bytes()), may, "{text}");
        }
    }

    #[test]
    fn hostile_bytes_do_no_harm() {
        for len in 0..24 {
            for byte in [b'[', b':', b'.', b'1', b'%', b'@', b'f', 0xff] {
                let text = vec![byte; len];
                assert!(hosts(&text, &[Box::from(&b"a.b"[..])]).count() <= len);
            }
        }
    }
}
