//! What stands between UEs and core, and how it shows.

use crate::strict::Uri;
use core::net::IpAddr;

/// Max-Forwards of the core's requests outside dialogs; a UE behind an edge sees one less (R31).
pub const INITIAL_MAX_FORWARDS: u8 = 68;

/// A header that no standard knows. Both sides put it into their requests outside dialogs and look
/// for it in the other's: it must come through as it is (R30).
pub const UNKNOWN_HEADER: (&str, &str) = ("App_Type", "lab/1.0;;  x=\"as it is\" , ,");

/// What stands between UEs and core.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Topology {
    /// Nothing: UEs speak to the core itself. What only an edge can do right is not checked.
    #[default]
    Direct,
    /// An edge, which both sides know by these facts and hold to its duties.
    Edge(Box<EdgeFacts>),
}

/// What both sides know of the edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeFacts {
    /// Hosts, or `host:port`s, that the edge calls itself in SIP towards UEs.
    pub access_sip: Vec<String>,
    /// Addresses of its media towards UEs.
    pub access_media: Vec<IpAddr>,
    /// Hosts, or `host:port`s, that the edge calls itself in SIP towards the core.
    pub core_sip: Vec<String>,
    /// Addresses of its media towards the core.
    pub core_media: Vec<IpAddr>,
    /// The P-Visited-Network-ID it writes, without quotes.
    pub visited_network_id: String,
    /// What a UE must never see: addresses of the core, of the edge's core side.
    pub hidden_from_ues: Vec<String>,
    /// What the core must never see outside `received`-marked Vias: private addresses of UEs.
    pub hidden_from_core: Vec<String>,
}

impl Topology {
    /// The edge, if there is one.
    #[must_use]
    pub fn edge(&self) -> Option<&EdgeFacts> {
        match self {
            Self::Direct => None,
            Self::Edge(facts) => Some(facts),
        }
    }
}

/// Whether `host_port` is one of `names`, which are hosts or `host:port`s.
#[must_use]
pub fn is_named(names: &[String], host_port: &str) -> bool {
    let host = crate::strict::uri::split_host_port(host_port).map_or(host_port, |(host, _)| host);
    names.iter().any(|n| n.eq_ignore_ascii_case(host_port) || n.eq_ignore_ascii_case(host))
}

/// Whether a SIP URI leads to one of `names`.
#[must_use]
pub fn leads_to(names: &[String], uri: &str) -> bool {
    Uri::parse(uri).is_some_and(|uri| is_named(names, &uri.host_port()))
}

/// The first of `hidden` that shows in `bytes`.
#[must_use]
pub fn shows<'a>(hidden: &'a [String], bytes: &[u8]) -> Option<&'a str> {
    let found = hidden.iter().find(|h| {
        memchr::memmem::find_iter(bytes, h.as_bytes()).any(|at| {
            // 10.0.0.1 does not show in 10.0.0.10 or 110.0.0.1
            let digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_digit);
            let before = at.checked_sub(1).and_then(|i| bytes.get(i));
            !digit(before) && !digit(bytes.get(at + h.len()))
        })
    });
    found.map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_only_as_a_whole() {
        let hidden = ["10.0.0.1".to_owned()];
        for (text, seen) in [
            ("c=IN IP4 10.0.0.1\r\n", true),
            ("10.0.0.1", true),
            ("<sip:a@10.0.0.1:5060>", true),
            ("10.0.0.10", false),
            ("110.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(shows(&hidden, text.as_bytes()).is_some(), seen, "{text}");
        }
    }

    #[test]
    fn names_are_hosts_or_hosts_with_ports() {
        let names = ["edge.example".to_owned(), "192.0.2.1:5070".to_owned()];
        for (uri, expected) in [
            ("sip:t@edge.example:99;lr", true),
            ("sip:192.0.2.1:5070", true),
            ("sip:192.0.2.1:5071", false),
            ("sip:192.0.2.1", false),
            ("tel:+86", false),
        ] {
            assert_eq!(leads_to(&names, uri), expected, "{uri}");
        }
    }
}
