//! Where host names lead: what DNS said, as an immutable table. Whoever sends looks names up here and
//! never waits for DNS.

use crate::net::Transport;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use std::collections::BTreeMap;

/// A SIP host as a URI names it, and thus the question that RFC 3263 §4 answers.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostQuery {
    host: Box<str>,
    port: Option<u16>,
    transport: Option<Transport>,
    secure: bool,
}

/// RFC 1035 §2.3.4.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

impl HostQuery {
    /// The host of a URI; names lose their case and a final dot.
    ///
    /// `None` for what is neither an address nor a name, and for `sips:` over UDP (RFC 3261 §26.2.2).
    #[must_use]
    pub fn new(host: &str, port: Option<u16>, transport: Option<Transport>, secure: bool) -> Option<Self> {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let name = host.strip_suffix('.').unwrap_or(host);
        let host = match bare.unwrap_or(host).parse::<IpAddr>() {
            Ok(ip) if ip.is_ipv6() || bare.is_none() => ip.to_string(),
            _ if is_name(name) => name.to_ascii_lowercase(),
            _ => return None,
        };
        let transport = match (secure, transport) {
            (true, Some(Transport::Udp)) => return None,
            // RFC 3261 §26.2.1: over TCP it is TLS.
            (true, _) => Some(Transport::Tls),
            (false, transport) => transport,
        };
        (port != Some(0)).then_some(Self { host: host.into(), port, transport, secure })
    }

    /// The name or the address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if the URI names one.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The transport, if the URI names one; TLS for `sips:`.
    #[must_use]
    pub const fn transport(&self) -> Option<Transport> {
        self.transport
    }

    /// Whether the URI is `sips:`.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// The one target of an address, which needs no DNS (RFC 3263 §4.1, §4.2); `None` for a name.
    #[must_use]
    pub fn literal(&self) -> Option<(SocketAddr, Transport)> {
        let ip = self.host.parse().ok()?;
        let transport = self.transport.unwrap_or(Transport::Udp);
        Some((SocketAddr::new(ip, self.port.unwrap_or(default_port(transport))), transport))
    }
}

/// RFC 3261 §19.1.2.
#[must_use]
pub const fn default_port(transport: Transport) -> u16 {
    match transport {
        Transport::Tls => 5061,
        Transport::Udp | Transport::Tcp => 5060,
    }
}

fn is_name(name: &str) -> bool {
    let label = |l: &str| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        !l.is_empty() && l.len() <= LABEL_BYTES_MAX && l.bytes().all(legal) && !l.starts_with('-')
    };
    // `192.0.2.300` is a mistyped address, not a name.
    let digits = |l: &str| l.bytes().all(|b| b.is_ascii_digit());
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.split('.').all(label)
        && !name.rsplit('.').next().is_none_or(digits)
}

impl fmt::Display for HostQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match self.transport {
            Some(transport) if !self.secure => write!(f, ";transport={transport}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for HostQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not `sip:HOST[:PORT][;transport=udp|tcp|tls]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadHost;

impl FromStr for HostQuery {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        let (scheme, rest) = text.split_once(':').ok_or(BadHost)?;
        let secure = match scheme {
            "sip" => false,
            "sips" => true,
            _ => return Err(BadHost),
        };
        let mut parts = rest.split(';');
        let host_port = parts.next().ok_or(BadHost)?;
        let mut transport = None;
        for part in parts {
            transport = match part {
                "transport=udp" => Some(Transport::Udp),
                "transport=tcp" => Some(Transport::Tcp),
                "transport=tls" => Some(Transport::Tls),
                "lr" => transport,
                _ => return Err(BadHost),
            };
        }
        let (host, port) = split_port(host_port).ok_or(BadHost)?;
        Self::new(host, port, transport, secure).ok_or(BadHost)
    }
}

/// Splits `host[:port]`, `[v6][:port]`; `None` for a port that is none.
#[must_use]
pub fn split_port(host_port: &str) -> Option<(&str, Option<u16>)> {
    let behind_brackets = host_port.rfind(']').map_or(0, |at| at + 1);
    match host_port.get(behind_brackets..)?.rfind(':') {
        None => Some((host_port, None)),
        Some(at) => {
            let at = behind_brackets + at;
            let port = host_port.get(at + 1..)?;
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            Some((host_port.get(..at)?, Some(port.parse().ok().filter(|_| digits)?)))
        }
    }
}

/// One place a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Located {
    /// Of NAPTR order and preference, then SRV priority: the lowest is used first.
    pub rank: u16,
    /// The far end.
    pub address: SocketAddr,
    /// How to reach it.
    pub transport: Transport,
    /// Share of the traffic among those of the same rank (RFC 2782).
    pub weight: u32,
}

/// What is known of the names in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    entries: BTreeMap<HostQuery, Box<[Located]>>,
}

impl Directory {
    /// Puts the places of a name in, best first; none takes it out.
    pub fn set(&mut self, query: HostQuery, mut places: Vec<Located>) {
        places.sort_unstable();
        match places.is_empty() {
            true => self.entries.remove(&query),
            false => self.entries.insert(query, places.into()),
        };
    }

    /// The places of a name, best first; empty if it is not known.
    #[must_use]
    pub fn places(&self, query: &HostQuery) -> &[Located] {
        self.entries.get(query).map_or(&[], |places| places)
    }

    /// Every name that is known.
    pub fn names(&self) -> impl Iterator<Item = &HostQuery> {
        self.entries.keys()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_as_rfc_3263_takes_it() {
        for (text, expected) in [
            ("sip:Core.Example.NET", Some("sip:core.example.net")),
            ("sip:core.example.net.:5070;transport=tcp;lr", Some("sip:core.example.net:5070;transport=tcp")),
            ("sips:core.example.net;transport=tcp", Some("sips:core.example.net")),
            ("sips:core.example.net;transport=udp", None),
            ("sip:192.0.2.1:5070", Some("sip:192.0.2.1:5070")),
            ("sip:[2001:db8::1]:5070;transport=udp", Some("sip:[2001:db8::1]:5070;transport=udp")),
            ("sip:[2001:db8::1]", Some("sip:[2001:db8::1]")),
            ("sip:[192.0.2.1]", None),
            ("sip:192.0.2.300", None),
            ("sip:a..b", None),
            ("sip:-a.b", None),
            ("sip:", None),
            ("sip:a.b:0", None),
            ("sip:a.b:+1", None),
            ("sip:a.b:99999", None),
            ("sip:a.b;transport=sctp", None),
            ("tel:+86", None),
        ] {
            let got = text.parse::<HostQuery>().ok().map(|q| q.to_string());
            assert_eq!(got.as_deref(), expected, "{text}");
            if let Some(again) = got {
                assert_eq!(again.parse::<HostQuery>().unwrap().to_string(), again);
            }
        }
    }

    #[test]
    fn an_address_needs_no_dns() {
        let literal =
            |text: &str| text.parse::<HostQuery>().unwrap().literal().map(|(a, t)| format!("{a} {t}"));
        assert_eq!(literal("sip:192.0.2.1").as_deref(), Some("192.0.2.1:5060 udp"));
        assert_eq!(literal("sips:[2001:db8::1]").as_deref(), Some("[2001:db8::1]:5061 tls"));
        assert_eq!(literal("sip:a.b"), None);
    }

    #[test]
    fn names_are_found_whatever_their_case_and_emptied_ones_are_gone() {
        let place = Located {
            rank: 0,
            address: "192.0.2.1:5060".parse().unwrap(),
            transport: Transport::Udp,
            weight: 1,
        };
        let mut directory = Directory::default();
        let query = |text: &str| text.parse::<HostQuery>().unwrap();
        directory.set(query("sip:A.b"), vec![Located { rank: 1, ..place }, place]);
        assert_eq!(directory.places(&query("sip:a.B"))[0], place);
        assert!(directory.places(&query("sip:a.b:5060")).is_empty());
        directory.set(query("sip:a.b"), Vec::new());
        assert_eq!(directory.names().count(), 0);
    }
}
