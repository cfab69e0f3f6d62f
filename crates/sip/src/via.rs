//! Via values.

use crate::Params;
use crate::text::{find_unquoted, span};
use wire::Span;
use wire::bytes_class::{self, HOST, TOKEN};

/// One Via value (RFC 3261 §20.42).
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// The whole value.
    pub span: Span,
    /// `UDP`, `TCP`, `TLS`, ... as written.
    pub transport: &'a [u8],
    /// Where the transport lies.
    pub transport_span: Span,
    /// Host of the sent-by; IPv6 with its brackets.
    pub host: &'a [u8],
    /// Port of the sent-by.
    pub port: Option<u16>,
    /// Where host and port lie.
    pub sent_by: Span,
    /// branch, received, rport, ...
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Reads the value that is the whole of `within`; `None` if it is none.
    ///
    /// Blanks around `/`, around the `:` of the port and before `;` are let pass (requirements §9),
    /// 8-bit bytes before the parameters are not.
    #[must_use]
    pub fn read(bytes: &'a [u8], within: Span) -> Option<Self> {
        let whole = span(bytes, within.start as usize, (within.end as usize).min(bytes.len()));
        let end = whole.end as usize;
        let mut at = whole.start as usize;
        let protocol = word(bytes, &mut at, end, TOKEN)?;
        slash(bytes, &mut at, end)?;
        // The version is a token of the sender's. That of the start line is judged, and answered with 505,
        // for which this Via is needed.
        word(bytes, &mut at, end, TOKEN)?;
        slash(bytes, &mut at, end)?;
        let transport_start = at;
        let transport = word(bytes, &mut at, end, TOKEN)?;
        let transport_span = Span { start: transport_start as u32, end: at as u32 };
        if !protocol.eq_ignore_ascii_case(b"SIP") {
            return None;
        }
        let blank = at;
        skip_blanks(bytes, &mut at, end);
        if at == blank {
            return None;
        }
        let params = find_unquoted(bytes, at, end, b";");
        let sent_by = span(bytes, at, params);
        let (host, port) = host_port(bytes, sent_by)?;
        Some(Self {
            span: whole,
            transport,
            transport_span,
            host,
            port,
            sent_by,
            params: Params::new(bytes, Span { start: params as u32, end: whole.end }),
        })
    }

    /// The branch; with the magic cookie it names the transaction (RFC 3261 §17.2.3).
    #[inline]
    #[must_use]
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.params.get(b"branch").flatten().filter(|b| !b.is_empty())
    }

    /// `None` without `rport`, `Some(None)` if it asks, `Some(port)` if it was filled (RFC 3581).
    #[must_use]
    pub fn rport(&self) -> Option<Option<u16>> {
        let value = self.params.get(b"rport")?;
        Some(value.and_then(port_number))
    }

    /// The address that `received` names.
    #[inline]
    #[must_use]
    pub fn received(&self) -> Option<&'a [u8]> {
        self.params.get(b"received").flatten()
    }

    /// A parameter: `None` if absent, empty if it has no value.
    #[inline]
    #[must_use]
    pub fn param(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.params.get(name).map(Option::unwrap_or_default)
    }
}

/// Reads `host [":" port]`, blanks allowed around the colon. IPv6 keeps its brackets.
pub(crate) fn host_port(bytes: &[u8], within: Span) -> Option<(&[u8], Option<u16>)> {
    let (start, end) = (within.start as usize, within.end as usize);
    let text = bytes.get(start..end)?;
    let host_len = match text.first()? {
        b'[' => memchr::memchr(b']', text)? + 1,
        _ => memchr::memchr(b':', text).unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at_checked(host_len)?;
    let host = bytes_class::trim(host);
    if !is_host(host) {
        return None;
    }
    match bytes_class::trim(rest) {
        [] => Some((host, None)),
        [b':', port @ ..] => Some((host, Some(port_number(bytes_class::trim(port))?))),
        _ => None,
    }
}

/// A name or IPv4 address of host bytes, or an IPv6 address in brackets.
fn is_host(host: &[u8]) -> bool {
    match host {
        [b'[', inside @ .., b']'] => {
            core::str::from_utf8(inside).is_ok_and(|text| text.parse::<core::net::Ipv6Addr>().is_ok())
        }
        name => bytes_class::all(name, HOST) && !name.iter().any(|b| matches!(b, b'[' | b']' | b':')),
    }
}

fn port_number(digits: &[u8]) -> Option<u16> {
    bytes_class::decimal(digits).and_then(|n| u16::try_from(n).ok())
}

fn word<'a>(bytes: &'a [u8], at: &mut usize, end: usize, class: u8) -> Option<&'a [u8]> {
    let text = bytes.get(*at..end)?;
    let len = text.iter().position(|&b| !bytes_class::is(b, class)).unwrap_or(text.len());
    *at += len;
    text.get(..len).filter(|word| !word.is_empty())
}

fn slash(bytes: &[u8], at: &mut usize, end: usize) -> Option<()> {
    skip_blanks(bytes, at, end);
    if bytes.get(*at) != Some(&b'/') {
        return None;
    }
    *at += 1;
    skip_blanks(bytes, at, end);
    Some(())
}

fn skip_blanks(bytes: &[u8], at: &mut usize, end: usize) {
    while *at < end && matches!(bytes.get(*at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        *at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_with_the_habits_of_the_field() {
        for (text, transport, host, port, branch) in [
            (
                "SIP/2.0/UDP 182.1.1.203:41200;branch=z9hG4bK1",
                "UDP",
                "182.1.1.203",
                Some(41200),
                Some("z9hG4bK1"),
            ),
            ("SIP / 2.0 / TCP h.example ;branch=a", "TCP", "h.example", None, Some("a")),
            ("SIP/2.0/TCP 182.1.1.218: 43500;branch=b", "TCP", "182.1.1.218", Some(43500), Some("b")),
            (
                "SIP/2.0/UDP [5555::aaa:bbb:ccc:ddd]:1357;comp=sigcomp;branch=c",
                "UDP",
                "[5555::aaa:bbb:ccc:ddd]",
                Some(1357),
                Some("c"),
            ),
            ("SIP/2.0/UDP [5555::1]", "UDP", "[5555::1]", None, None),
            ("sip/2.0/udp h_1:5060 ;TRC=x;branch=", "udp", "h_1", Some(5060), None),
        ] {
            let via = Via::read(text.as_bytes(), Span::new(0, text.len())).expect(text);
            assert_eq!(via.transport, transport.as_bytes(), "{text}");
            assert_eq!(via.host, host.as_bytes(), "{text}");
            assert_eq!(via.port, port, "{text}");
            assert_eq!(via.branch(), branch.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_via_is_refused() {
        for text in [
            "",
            "SIP/2.0",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP;branch=x",
            "SIP/2.0/UDP ;branch=x",
            "SIP/ /UDP h",
            "HTTP/2.0/TCP h",
            "SIP/2.0/UDP h:port",
            "SIP/2.0/UDP h:70000",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP [h]",
            "SIP/2.0/UDP h\u{e9}",
            "SIP/2.0/UDP h h2",
        ] {
            assert!(Via::read(text.as_bytes(), Span::new(0, text.len())).is_none(), "{text}");
        }
    }

    #[test]
    fn rport_tells_asking_from_filled() {
        let read = |text: &'static str| Via::read(text.as_bytes(), Span::new(0, text.len())).expect(text);
        assert_eq!(read("SIP/2.0/UDP h;branch=x").rport(), None);
        assert_eq!(read("SIP/2.0/UDP h;rport").rport(), Some(None));
        assert_eq!(read("SIP/2.0/UDP h;rport=5;received=1.2.3.4").rport(), Some(Some(5)));
        assert_eq!(read("SIP/2.0/UDP h;rkeep=600").param(b"rkeep"), Some(&b"600"[..]));
        assert_eq!(read("SIP/2.0/UDP h;keep").param(b"keep"), Some(&b""[..]));
    }
}
