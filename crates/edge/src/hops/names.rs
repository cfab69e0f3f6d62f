//! Hosts of routes: the pool that a name leads to, and names that have yet to be looked up.

use super::{Hops, PoolId};
use crate::address::Pieces;
use crate::api::{Action, Outbox};
use crate::shard::Edge;
use core::time::Duration;
use sip::NameAddr;
use wire::{HostQuery, Instant, Span, Transport};

/// A name is asked for again after this, so that whoever looks it up knows that it is still used.
const ASK_AGAIN: Duration = Duration::from_secs(600);

impl Hops {
    /// The pool that a host leads to, if its name is known.
    #[must_use]
    pub(crate) fn pool_of(&self, query: &HostQuery) -> Option<PoolId> {
        self.hosts.get(query).copied()
    }

    /// Whether this name should be asked for now.
    fn wants(&mut self, query: &HostQuery, now: Instant) -> bool {
        if self.asked.get(query).is_some_and(|at| now.since(*at) < ASK_AGAIN) {
            return false;
        }
        if self.asked.len() >= self.names_max {
            self.asked.retain(|_, at| now.since(*at) < ASK_AGAIN);
        }
        let fits = self.asked.len() < self.names_max;
        if fits {
            self.asked.insert(query.clone(), now);
        }
        fits
    }
}

impl Edge {
    /// Asks for the name that a route of the core begins with, so that later requests go there
    /// directly; nothing waits for it.
    pub(crate) fn learn_route(&mut self, route: &[u8], now: Instant, out: &mut Outbox) {
        if !self.config.dns.follow_routes {
            return;
        }
        let Some(query) = host_of_route(route).filter(|q| q.literal().is_none()) else { return };
        if self.hops.wants(&query, now) {
            out.actions.push(Action::Resolve(query));
        }
    }
}

/// The host a route value begins with.
#[must_use]
pub(crate) fn host_of_route(route: &[u8]) -> Option<HostQuery> {
    let end = memchr::memchr(b'>', route).map_or(route.len(), |at| at + 1);
    host_of_uri(NameAddr::read(route, Span::new(0, end))?.uri)
}

/// The host of a SIP URI.
#[must_use]
pub(crate) fn host_of_uri(uri: &[u8]) -> Option<HostQuery> {
    let pieces = Pieces::of(uri)?;
    let secure = uri.get(..5).is_some_and(|s| s.eq_ignore_ascii_case(b"sips:"));
    let transport = match pieces.param(uri, b"transport") {
        Some(t) if t.eq_ignore_ascii_case(b"tcp") => Some(Transport::Tcp),
        Some(t) if t.eq_ignore_ascii_case(b"tls") => Some(Transport::Tls),
        Some(t) if t.eq_ignore_ascii_case(b"udp") => Some(Transport::Udp),
        // One we do not speak: the far end knows better which other it has.
        _ => None,
    };
    let host_port = core::str::from_utf8(&uri[pieces.host_port]).ok()?;
    let (host, port) = wire::directory::split_port(host_port.trim())?;
    HostQuery::new(host.trim(), port, transport, secure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_route_is_an_address_or_a_name() {
        for (route, expected) in [
            ("<sip:orig@192.0.2.1:5070;lr>, <sip:x;lr>", Some("sip:192.0.2.1:5070")),
            ("<sip:orig@192.0.2.1;transport=tcp;lr>", Some("sip:192.0.2.1;transport=tcp")),
            ("<sip:[2001:db8::1];lr;transport=TLS>", Some("sip:[2001:db8::1];transport=tls")),
            ("<sip:orig@CMCC.rcs.com;lr;Dpt=75e4_4858e246;ca=5>", Some("sip:cmcc.rcs.com")),
            ("<sips:orig@s.example:5070;lr>", Some("sips:s.example:5070")),
            ("<sip:orig@s.example;transport=sctp>", Some("sip:s.example")),
            ("<tel:+86>", None),
            ("<sip:as(1..n)>", None),
            ("", None),
        ] {
            let got = host_of_route(route.as_bytes()).map(|q| q.to_string());
            assert_eq!(got.as_deref(), expected, "{route}");
        }
    }

    #[test]
    fn hostile_routes_do_no_harm() {
        for len in 0..16 {
            for byte in [b'<', b'>', b'@', b':', b';', b'[', b']', b'"', 0xff] {
                let _ = (host_of_route(&vec![byte; len]), host_of_uri(&vec![byte; len]));
            }
        }
    }
}
