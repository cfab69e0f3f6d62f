//! `msrp://` and `msrps://` URIs, RFC 4975 §6 and §9.
//!
//! ```text
//! MSRP-URI   = scheme "://" authority ["/" session-id] ";" transport *(";" URI-parameter)
//! authority  = [ userinfo "@" ] host [ ":" port ]
//! session-id = 1*( unreserved / "+" / "=" / "/" )
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::io::Write as _;
use wire::bytes_class::{BLANK, DIGIT, HEX, TOKEN, all, decimal, is};

/// A URI in its parts; the text stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// Whether the scheme is `msrps`.
    pub secure: bool,
    /// What stands before `@`; not part of the identity of the URI.
    pub userinfo: Option<&'a [u8]>,
    /// The host.
    pub host: Host<'a>,
    /// The port, if written.
    pub port: Option<u16>,
    /// The session-id, if there is one.
    pub session_id: Option<&'a [u8]>,
    /// `tcp` or another transport; `None` if left out, which the grammar forbids and some senders do.
    pub transport: Option<&'a [u8]>,
    /// Further parameters, each with its `;`.
    pub params: &'a [u8],
}

/// A host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// An IPv4 address, or an IPv6 one written in brackets.
    Address(IpAddr),
    /// A name.
    Name(&'a [u8]),
}

impl<'a> Uri<'a> {
    /// Reads a URI; `None` if it is not one.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let colon = memchr::memchr(b':', text)?;
        let (scheme, rest) = (&text[..colon], text[colon..].strip_prefix(b"://")?);
        let secure = scheme.eq_ignore_ascii_case(b"msrps");
        if !secure && !scheme.eq_ignore_ascii_case(b"msrp") {
            return None;
        }
        let end = rest.iter().position(|b| matches!(b, b'/' | b';')).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (session_id, rest) = match rest.strip_prefix(b"/") {
            Some(rest) => split_at_semicolon(rest),
            None => (&b""[..], rest),
        };
        let (transport, params) = match rest.strip_prefix(b";") {
            Some(rest) => split_at_semicolon(rest),
            None => (&b""[..], rest),
        };
        let (userinfo, host_port) = match memchr::memrchr(b'@', authority) {
            Some(at) => (Some(&authority[..at]), &authority[at + 1..]),
            None => (None, authority),
        };
        let (host, port) = host_and_port(host_port)?;
        let legal = session_id.iter().all(|&b| is_session_id(b))
            && (transport.is_empty() || all(transport, TOKEN))
            && params.iter().chain(userinfo.unwrap_or_default()).all(|&b| b > b' ' && b < 127);
        legal.then_some(Self {
            secure,
            userinfo,
            host,
            port,
            session_id: (!session_id.is_empty()).then_some(session_id),
            transport: (!transport.is_empty()).then_some(transport),
            params,
        })
    }

    /// Whether both name the same resource (RFC 4975 §6.1).
    ///
    /// Scheme, host and transport compare without case, addresses by value, port and session-id
    /// exactly; a written port never equals a missing one. Userinfo and parameters do not count.
    #[must_use]
    pub fn equals(&self, other: &Uri<'_>) -> bool {
        let hosts = match (self.host, other.host) {
            (Host::Address(a), Host::Address(b)) => a == b,
            (Host::Name(a), Host::Name(b)) => {
                Decoded(a).map(|b| b.to_ascii_lowercase()).eq(Decoded(b).map(|b| b.to_ascii_lowercase()))
            }
            _ => false,
        };
        hosts
            && self.secure == other.secure
            && self.port == other.port
            && self.session_id == other.session_id
            && self.transport().eq_ignore_ascii_case(other.transport())
    }

    /// Appends a form that is the same bytes for every URI that `equals` this one: a table key.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.secure { b"msrps://" } else { b"msrp://" });
        // Writing into a Vec cannot fail.
        let _ = match self.host {
            Host::Address(IpAddr::V4(address)) => write!(out, "{address}"),
            Host::Address(IpAddr::V6(address)) => write!(out, "[{address}]"),
            Host::Name(name) => {
                out.extend(Decoded(name).map(|b| b.to_ascii_lowercase()));
                Ok(())
            }
        };
        if let Some(port) = self.port {
            let _ = write!(out, ":{port}");
        }
        if let Some(id) = self.session_id {
            out.push(b'/');
            out.extend_from_slice(id);
        }
        out.push(b';');
        out.extend(self.transport().iter().map(u8::to_ascii_lowercase));
    }

    /// The transport; `tcp` if left out: there is no other one.
    #[must_use]
    pub fn transport(&self) -> &'a [u8] {
        self.transport.unwrap_or(b"tcp")
    }
}

/// The URIs of a To-Path, From-Path, Use-Path or `a=path` value, as text, in order.
pub fn list(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&b| is(b, BLANK)).filter(|uri| !uri.is_empty())
}

/// The first URI of a path value: the next hop of To-Path, the last hop of From-Path.
#[must_use]
pub fn first(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|&b| !is(b, BLANK)).unwrap_or(path.len());
    let path = &path[start..];
    &path[..memchr::memchr2(b' ', b'\t', path).unwrap_or(path.len())]
}

fn split_at_semicolon(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(memchr::memchr(b';', text).unwrap_or(text.len()))
}

/// `session-id = 1*( unreserved / "+" / "=" / "/" )`; percent and the rest of sub-delims are tolerated.
const fn is_session_id(byte: u8) -> bool {
    byte > b' ' && byte < 127 && byte != b'"' && byte != b'<' && byte != b'>'
}

fn host_and_port(text: &[u8]) -> Option<(Host<'_>, Option<u16>)> {
    let (host, rest) = if text.first() == Some(&b'[') {
        let close = memchr::memchr(b']', text)?;
        let address: Ipv6Addr = core::str::from_utf8(&text[1..close]).ok()?.parse().ok()?;
        (Host::Address(IpAddr::V6(address)), &text[close + 1..])
    } else {
        let (host, rest) = text.split_at(memchr::memchr(b':', text).unwrap_or(text.len()));
        (name_or_v4(host)?, rest)
    };
    let port = match rest {
        [] => None,
        [b':', digits @ ..] => Some(u16::try_from(decimal(digits)?).ok()?),
        _ => return None,
    };
    Some((host, port))
}

fn name_or_v4(host: &[u8]) -> Option<Host<'_>> {
    if let Some(address) = v4(host) {
        return Some(Host::Address(IpAddr::V4(address)));
    }
    let clean = host.iter().all(|&b| is(b, TOKEN)) && Decoded(host).all(|b| is(b, TOKEN));
    (!host.is_empty() && clean && escapes_are_whole(host)).then_some(Host::Name(host))
}

/// An IPv4 address, also an escaped one: it is equal to the plain one.
fn v4(host: &[u8]) -> Option<Ipv4Addr> {
    let mut plain = [0; "255.255.255.255".len()];
    let mut length = 0;
    for byte in Decoded(host) {
        *plain.get_mut(length)? = byte;
        length += 1;
    }
    core::str::from_utf8(&plain[..length]).ok()?.parse().ok()
}

/// Whether each `%` begins an escape (RFC 3986 §2.1): otherwise decoding one could complete another,
/// and the canonical form would change when it is read again.
fn escapes_are_whole(host: &[u8]) -> bool {
    let whole = |at: usize| host.get(at + 1..at + 3).is_some_and(|digits| all(digits, HEX));
    memchr::memchr_iter(b'%', host).all(whole)
}

/// Bytes with `%41` read as `A` where the result is unreserved (RFC 3986 §6.2.2.2).
struct Decoded<'a>(&'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if let [b'%', high, low, rest @ ..] = self.0
            && is(*high, HEX)
            && is(*low, HEX)
        {
            let byte = nibble(*high) << 4 | nibble(*low);
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                self.0 = rest;
                return Some(byte);
            }
        }
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }
}

const fn nibble(digit: u8) -> u8 {
    if is(digit, DIGIT) { digit - b'0' } else { (digit | 32) - b'a' + 10 }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_full_uri() {
        let uri = Uri::parse(b"msrps://bob@Chat.example.net:2855/hwK3z=/B+;tcp;x=y").unwrap();
        assert!(uri.secure);
        assert_eq!(uri.userinfo, Some(&b"bob"[..]));
        assert_eq!(uri.host, Host::Name(b"Chat.example.net"));
        assert_eq!(uri.port, Some(2855));
        assert_eq!(uri.session_id, Some(&b"hwK3z=/B+"[..]));
        assert_eq!(uri.transport, Some(&b"tcp"[..]));
        assert_eq!(uri.params, b";x=y");
    }

    #[test]
    fn verdicts() {
        let table: &[(&[u8], bool)] = &[
            (b"msrp://182.3.1.7:40410/hwK3zBbqenxBFB;tcp", true),
            (b"msrp://[2001:db8::1]:9/x;tcp", true),
            (b"msrp://h;tcp", true),
            (b"msrp://h/x", true),
            (b"msrp://h%2Dx:1/x;tcp", true),
            (b"msrp://h%2:1/x;tcp", false),
            // Found by fuzzing: decoded once it is another URI than decoded twice.
            (b"msrp://%%%36516+/x;tcp", false),
            (b"msrp://h:65536/x;tcp", false),
            (b"msrp://h:/x;tcp", false),
            (b"msrp://[::1/x;tcp", false),
            (b"msrp://[::1]x/x;tcp", false),
            (b"msrp:///x;tcp", false),
            (b"msrp://h/x y;tcp", false),
            (b"msrp://h/x;t cp", false),
            (b"http://h/x;tcp", false),
            (b"msrp:/h/x;tcp", false),
            (b"msrp", false),
            (b"", false),
        ];
        for (text, legal) in table {
            assert_eq!(Uri::parse(text).is_some(), *legal, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn equality_of_rfc_4975_6_1() {
        let base: &[u8] = b"msrp://host.example.com:8493/asfd34;tcp";
        let table: &[(&[u8], &[u8], bool)] = &[
            (base, b"MSRP://Host.Example.COM:8493/asfd34;TCP", true),
            (base, b"msrp://bob@host.example.com:8493/asfd34;tcp;x=1", true),
            (base, b"msrp://%68ost.example.com:8493/asfd34;tcp", true),
            (base, b"msrps://host.example.com:8493/asfd34;tcp", false),
            (base, b"msrp://host.example.com:8493/ASFD34;tcp", false),
            (base, b"msrp://host.example.com:8493;tcp", false),
            (base, b"msrp://host.example.com/asfd34;tcp", false),
            (base, b"msrp://host.example.com:8494/asfd34;tcp", false),
            (base, b"msrp://host.example.com:8493/asfd34;sctp", false),
            (b"msrp://[2001:DB8:0::1]:1/a;tcp", b"msrp://[2001:db8::1]:1/a;tcp", true),
            (b"msrp://10.0.0.1:1/a;tcp", b"msrp://10.0.0.2:1/a;tcp", false),
            (b"msrp://10.0.0.1:1/a;tcp", b"msrp://%310.0.0.%31:1/a;tcp", true),
        ];
        for (a, b, equal) in table {
            let (one, two) = (Uri::parse(a).unwrap(), Uri::parse(b).unwrap());
            assert_eq!(one.equals(&two), *equal, "{} {}", a.escape_ascii(), b.escape_ascii());
            assert_eq!(two.equals(&one), *equal);
            let (mut key_one, mut key_two) = (Vec::new(), Vec::new());
            one.write_canonical(&mut key_one);
            two.write_canonical(&mut key_two);
            assert_eq!(key_one == key_two, *equal, "keys agree with equality");
            crate::fuzz::uri(a);
            crate::fuzz::uri(b);
        }
    }

    #[test]
    fn lists_split_at_blanks() {
        let path = b"msrp://a:1/x;tcp  msrp://b:2/y;tcp ";
        assert_eq!(list(path).count(), 2);
        assert_eq!(first(path), b"msrp://a:1/x;tcp");
        assert_eq!(first(b" "), b"");
    }
}
