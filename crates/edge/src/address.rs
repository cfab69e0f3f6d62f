//! What the edge needs of an address: where host and port stand, and whose it is.
//!
//! Lenient where requirements §9 is: a missing or doubled scheme, blanks, quoted parameters inside
//! `<>`. Strict parsing happens where something depends on it.

use core::ops::Range;
use wire::bytes_class::trim;

/// The pieces of a SIP URI, as ranges of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// The user part; empty if there is none.
    pub user: Range<usize>,
    /// `host[:port]`.
    pub host_port: Range<usize>,
    /// `;name=value...` up to the `?` or the end.
    pub params: Range<usize>,
}

impl Pieces {
    /// Finds the pieces of a `sip:` or `sips:` URI, or of one that lost its scheme; `None` for other schemes.
    #[must_use]
    pub fn of(uri: &[u8]) -> Option<Self> {
        let start = after_scheme(uri)?;
        // `@` cannot stand in a parameter unless quoted there (RFC 3261 §25.1 paramchar).
        let quote = find(uri, start, b"\"").unwrap_or(uri.len());
        let at = find(&uri[..quote], start, b"@");
        let host_start = at.map_or(start, |at| at + 1);
        let user_end = at.unwrap_or(start);
        let host_end = find(uri, host_start, b";?").unwrap_or(uri.len());
        let params_end = match uri.get(host_end) {
            Some(b';') => find(uri, host_end, b"?").unwrap_or(uri.len()),
            _ => host_end,
        };
        (host_end > host_start).then_some(Self {
            user: start..user_end,
            host_port: host_start..host_end,
            params: host_end..params_end,
        })
    }

    /// The value of a URI parameter; empty if it has none.
    #[must_use]
    pub fn param<'a>(&self, uri: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        params(uri.get(self.params.clone())?).find_map(|(text, _)| {
            let equals = text.iter().position(|&b| b == b'=').unwrap_or(text.len());
            let (key, value) = text.split_at(equals);
            trim(key).eq_ignore_ascii_case(name).then(|| trim(value.get(1..).unwrap_or_default()))
        })
    }
}

/// The parameters of `;a;b=c`, each with the range from its `;` to its end.
pub fn params(text: &[u8]) -> impl Iterator<Item = (&[u8], Range<usize>)> {
    let mut at = 0;
    core::iter::from_fn(move || {
        let start = at;
        let rest = text.get(start + 1..)?;
        let mut quoted = false;
        let len = rest
            .iter()
            .position(|&b| {
                quoted ^= b == b'"';
                b == b';' && !quoted
            })
            .unwrap_or(rest.len());
        at = start + 1 + len;
        Some((&rest[..len], start..at))
    })
}

/// What `identity_key` writes.
pub type Key = smallvec::SmallVec<[u8; 80]>;

/// Whose an address is: the same bytes for every way to write it.
///
/// `user@host` with the host in lower case; `+number` for `tel:` and for SIP URIs whose user part is
/// a global number, so that both forms of one number are one identity. `None` if nothing can be made of it.
#[must_use]
pub fn identity_key(uri: &[u8]) -> Option<Key> {
    let uri = trim(uri);
    if let Some(number) = strip_scheme(uri, b"tel:") {
        let digits: Key = number
            .iter()
            .take_while(|&&b| b != b';')
            .filter(|b| b.is_ascii_digit() || **b == b'+')
            .copied()
            .collect();
        return (!digits.is_empty()).then_some(digits);
    }
    let pieces = Pieces::of(uri)?;
    let user = trim(&uri[pieces.user]);
    if let [b'+', digits @ ..] = user
        && !digits.is_empty()
        && digits.iter().all(u8::is_ascii_digit)
    {
        return Some(Key::from_slice(user));
    }
    let host_port = trim(&uri[pieces.host_port]);
    let host = host_port.split(|&b| b == b':').next().filter(|_| host_port.first() != Some(&b'['));
    let mut key = Key::from_slice(user);
    key.push(b'@');
    key.extend(host.unwrap_or(host_port).iter().map(u8::to_ascii_lowercase));
    Some(key)
}

/// Whether two addresses are the same identity.
#[must_use]
pub fn same_identity(a: &[u8], b: &[u8]) -> bool {
    a == b || identity_key(a).is_some_and(|key| identity_key(b) == Some(key))
}

/// Whether the address is nobody's (RFC 3323 §4.1.1.3).
#[must_use]
pub fn is_anonymous(uri: &[u8]) -> bool {
    Pieces::of(uri).is_some_and(|p| {
        let host = trim(&uri[p.host_port]);
        let invalid = host.len().checked_sub(INVALID.len()).map(|at| &host[at..]);
        trim(&uri[p.user]).eq_ignore_ascii_case(b"anonymous")
            || invalid.is_some_and(|end| end.eq_ignore_ascii_case(INVALID))
    })
}

const INVALID: &[u8] = b".invalid";

/// Whether a host is an address and not a name.
#[must_use]
pub fn is_ip_literal(host_port: &[u8]) -> bool {
    let host = match host_port {
        [b'[', ..] => return true,
        _ => host_port.split(|&b| b == b':').next().unwrap_or_default(),
    };
    core::str::from_utf8(host).is_ok_and(|h| h.parse::<core::net::Ipv4Addr>().is_ok())
}

/// Offset behind the scheme (doubled schemes and blanks skipped, q08); `None` for a scheme that is not SIP.
fn after_scheme(uri: &[u8]) -> Option<usize> {
    let mut rest = trim(uri);
    loop {
        let next = strip_scheme(rest, b"sip:").or_else(|| strip_scheme(rest, b"sips:"));
        match next {
            Some(behind) => rest = trim(behind),
            None => break,
        }
    }
    let scheme = rest.iter().position(|&b| b == b':').unwrap_or(rest.len());
    if [&b"tel"[..], b"urn", b"mailto", b"http", b"https", b"im", b"pres"]
        .iter()
        .any(|s| rest[..scheme].eq_ignore_ascii_case(s))
    {
        return None;
    }
    wire::Span::within(uri, rest).map(|span| span.start as usize)
}

fn strip_scheme<'a>(uri: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = uri.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn find(bytes: &[u8], from: usize, stops: &[u8]) -> Option<usize> {
    let at = bytes.get(from..)?.iter().position(|b| stops.contains(b))?;
    Some(from + at)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pieces_stand_where_they_stand() {
        for (uri, user, host_port, params) in [
            ("sip:a@h:5060;x=1?h=v", "a", "h:5060", ";x=1"),
            ("sip:[2001:db8::1]:1357;comp=sigcomp", "", "[2001:db8::1]:1357", ";comp=sigcomp"),
            ("sip:+861@182.1.1.203:41200;+g=\"a@b;c\"", "+861", "182.1.1.203:41200", ";+g=\"a@b;c\""),
            ("sip: sip:user2@h", "user2", "h", ""),
            ("125@as1.gc", "125", "as1.gc", ""),
            ("SIPS:h", "", "h", ""),
        ] {
            let uri = uri.as_bytes();
            let p = Pieces::of(uri).unwrap();
            assert_eq!(&uri[p.user], user.as_bytes());
            assert_eq!(&uri[p.host_port], host_port.as_bytes());
            assert_eq!(&uri[p.params], params.as_bytes());
        }
        assert_eq!(Pieces::of(b"tel:+86"), None);
        assert_eq!(Pieces::of(b"sip:"), None);
        assert_eq!(Pieces::of(b""), None);
    }

    #[test]
    fn parameters_are_found_in_any_case() {
        let uri = b"sip:a@h;Gw=tok;lr;q=\"x;y\"";
        let p = Pieces::of(uri).unwrap();
        assert_eq!(p.param(uri, b"gw"), Some(&b"tok"[..]));
        assert_eq!(p.param(uri, b"LR"), Some(&b""[..]));
        assert_eq!(p.param(uri, b"y\""), None);
    }

    #[test]
    fn one_identity_has_one_key() {
        for (a, b, same) in [
            ("sip:user1@Home.net", "sip:user1@home.net;user=phone", true),
            ("sip: user1@home.net ", "user1@home.net", true),
            ("tel:+86-10 1234", "sip:+86101234@home.net;user=phone", true),
            ("sip:User1@home.net", "sip:user1@home.net", false),
            ("sip:a@h:5060", "sip:a@h", true),
            ("sip:a@[::1]:5060", "sip:a@[::2]:5060", false),
        ] {
            assert_eq!(same_identity(a.as_bytes(), b.as_bytes()), same, "{a} {b}");
        }
    }

    #[test]
    fn hostile_bytes_do_no_harm() {
        for len in 0..12 {
            for byte in [b'@', b':', b';', b'"', b'?', b' ', b'[', 0xff] {
                let uri = vec![byte; len];
                let _ = (Pieces::of(&uri), identity_key(&uri), is_anonymous(&uri), is_ip_literal(&uri));
            }
        }
    }
}
