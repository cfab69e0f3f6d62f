//! Where a request goes: the core pool with its health, and the way from a token to a UE.

use crate::address::{Pieces, identity_key};
use crate::exchange::Target;
use crate::shard::Edge;
use crate::token::{FlowToken, Token, TokenRoom};
use core::net::SocketAddr;
use core::time::Duration;
use sip::{HeaderId, Message, NameAddr};
use wire::{BindingId, Cause, Instant, Realm, ShardId, Span, Transport};

/// The core next hops, best first, and which of them failed lately.
#[derive(Debug)]
pub(crate) struct CorePool {
    hops: Vec<(config::NextHop, Instant)>,
    retry: Duration,
}

/// `tried` is a set of bits.
const HOPS_MAX: usize = 32;

impl CorePool {
    /// From the configuration; all of them count as usable.
    #[must_use]
    pub(crate) fn new(core: &config::Core) -> Self {
        let hops = core.next_hops.iter().take(HOPS_MAX);
        Self {
            hops: hops.map(|hop| (*hop, Instant::ZERO)).collect(),
            retry: Duration::from_secs(core.retry_seconds),
        }
    }

    /// Takes the best hop that was not tried: the first that did not fail lately, else the first.
    pub(crate) fn choose(&self, tried: &mut u32, now: Instant) -> Option<config::NextHop> {
        let untried = || self.hops.iter().enumerate().filter(|(at, _)| *tried >> at & 1 == 0);
        let (at, (hop, _)) = untried().find(|(_, (_, until))| *until <= now).or_else(|| untried().next())?;
        let hop = *hop;
        *tried |= 1 << at;
        Some(hop)
    }

    /// How the hop with this address is reached, if there is one.
    #[must_use]
    pub(crate) fn transport_of(&self, peer: SocketAddr) -> Option<Transport> {
        let hop = self.hops.iter().find(|(hop, _)| hop.address == peer);
        hop.map(|(hop, _)| hop.transport)
    }

    /// How many are left to try.
    #[must_use]
    pub(crate) fn others(&self, tried: u32) -> u32 {
        (self.hops.len() as u32).saturating_sub(tried.count_ones())
    }

    /// This hop did not answer or cannot be reached: others go first for a while.
    pub(crate) fn failed(&mut self, peer: SocketAddr, transport: Transport, now: Instant) {
        let until = now + self.retry;
        self.mark(peer, transport, until);
    }

    /// This hop answers.
    pub(crate) fn works(&mut self, peer: SocketAddr, transport: Transport) {
        self.mark(peer, transport, Instant::ZERO);
    }

    fn mark(&mut self, peer: SocketAddr, transport: Transport, until: Instant) {
        for (hop, failed_until) in &mut self.hops {
            if hop.address == peer && hop.transport == transport {
                *failed_until = until;
            }
        }
    }
}

/// Where a request from the core belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// The UE of this live binding.
    Binding(BindingId),
    /// A UE of another shard.
    Shard(ShardId),
}

/// URI parameter of the Contact we register for a UE: its token (R14: the user part stays the UE's).
pub(crate) const CONTACT_PARAM: &[u8] = b"gw";

impl Edge {
    /// The next core hop for a request that has used up those in `tried`.
    pub(crate) fn next_core_target(&self, tried: &mut u32, now: Instant) -> Option<Target> {
        loop {
            let hop = self.pool.choose(tried, now)?;
            if let Some(target) = self.core_target(hop.transport, hop.address) {
                return Some(target);
            }
        }
    }

    /// A target in the core; `None` without a socket of that family and transport.
    pub(crate) fn core_target(&self, transport: Transport, peer: SocketAddr) -> Option<Target> {
        let (hop, point) = self.points.way_to(Realm::Core, transport, peer)?;
        Some(Target { realm: Realm::Core, transport, hop, peer, point })
    }

    /// Whether a URI leads to one of our own addresses on this side.
    pub(crate) fn is_own_uri(&self, realm: Realm, uri: &[u8]) -> bool {
        Pieces::of(uri).is_some_and(|pieces| self.points.is_ours(realm, &uri[pieces.host_port]))
    }

    /// Where an initial request of a UE goes first: to the address its Service-Route begins with, if
    /// that is an address, else to the pool. Names are the pool's to resolve: the edge never waits for DNS.
    ///
    /// An address that names no transport is reached as the pool reaches it, if it is one of its hops:
    /// RFC 3263 §4.1 would say UDP, but a core that is configured to be spoken to over TCP means it.
    pub(crate) fn target_of_route(&self, route: &[u8], tried: &mut u32, now: Instant) -> Option<Target> {
        address_of_route(route)
            .and_then(|(transport, peer)| {
                let transport = transport.or_else(|| self.pool.transport_of(peer));
                self.core_target(transport.unwrap_or(Transport::Udp), peer)
            })
            .or_else(|| self.next_core_target(tried, now))
    }

    /// The way to a UE over the flow of its binding.
    ///
    /// # Errors
    /// `FlowGone` if the flow is closed (R7, RFC 5626 §5.3).
    pub(crate) fn access_target(&self, binding: BindingId) -> Result<Target, Cause> {
        let binding = self.bindings.live(binding).ok_or(Cause::FlowGone)?;
        if !self.flows.is_open(binding.flow) {
            return Err(Cause::FlowGone);
        }
        let transport = self.points.at(binding.point).transport;
        Ok(Target {
            realm: Realm::Access,
            transport,
            hop: crate::flow::hop_of(binding.flow),
            peer: binding.source,
            point: binding.point,
        })
    }

    /// Finds the UE a request from the core is for: by the token in our Route, else by the one in our
    /// Contact, else by its address of record.
    ///
    /// # Errors
    /// `BadFlowToken` for a token we did not make, `FlowGone` for one whose flow is dead,
    /// `UnknownTarget` for an address that is not registered here.
    pub(crate) fn destination(&self, request: Message<'_>) -> Result<Destination, Cause> {
        if let Some(route) = request.elements(HeaderId::Route).next() {
            let route = NameAddr::read(request.bytes(), route.span).ok_or(Cause::BadFlowToken)?;
            let pieces = Pieces::of(route.uri).ok_or(Cause::BadFlowToken)?;
            return self.by_token(&route.uri[pieces.user]);
        }
        let pieces = Pieces::of(request.uri());
        if let Some(token) = pieces.and_then(|p| p.param(request.uri(), CONTACT_PARAM)) {
            return self.by_token(token);
        }
        let key = identity_key(request.uri()).ok_or(Cause::UnknownTarget)?;
        let newest = self.bindings.of_user(&key).next_back();
        newest.map(|binding| Destination::Binding(binding.id)).ok_or(Cause::UnknownTarget)
    }

    /// The UE a sealed text names.
    pub(crate) fn by_token(&self, text: &[u8]) -> Result<Destination, Cause> {
        let mut room = TokenRoom::default();
        let flow = match self.tokens.open(text, &mut room)? {
            Token::Flow(flow) => flow,
            Token::Dialog(dialog) => dialog.flow,
        };
        self.by_flow_token(&flow)
    }

    /// The UE a flow token names. A binding that moved to another flow is followed there.
    pub(crate) fn by_flow_token(&self, flow: &FlowToken) -> Result<Destination, Cause> {
        if flow.node == self.node && flow.shard != self.context.shard {
            return Ok(Destination::Shard(flow.shard));
        }
        match self.bindings.live(flow.binding) {
            Some(binding) => Ok(Destination::Binding(binding.id)),
            None => Err(Cause::FlowGone),
        }
    }
}

/// The address a route value begins with, if it is one and not a name.
fn address_of_route(route: &[u8]) -> Option<(Option<Transport>, SocketAddr)> {
    let end = memchr::memchr(b'>', route).map_or(route.len(), |at| at + 1);
    let first = NameAddr::read(route, Span::new(0, end))?;
    let pieces = Pieces::of(first.uri)?;
    let transport = match pieces.param(first.uri, b"transport") {
        Some(t) if t.eq_ignore_ascii_case(b"tcp") => Some(Transport::Tcp),
        Some(t) if t.eq_ignore_ascii_case(b"tls") => Some(Transport::Tls),
        Some(_) => Some(Transport::Udp),
        None => None,
    };
    let host = core::str::from_utf8(&first.uri[pieces.host_port]).ok()?;
    let port = if transport == Some(Transport::Tls) { 5061 } else { 5060 };
    let with_port = || {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        bare.parse().ok().map(|ip| SocketAddr::new(ip, port))
    };
    let peer = host.parse().ok().or_else(with_port)?;
    Some((transport, peer))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_begins_with_an_address_is_followed_a_name_is_not() {
        for (route, expected) in [
            ("<sip:orig@192.0.2.1:5070;lr>, <sip:x;lr>", Some("- 192.0.2.1:5070")),
            ("<sip:orig@192.0.2.1;transport=tcp;lr>", Some("tcp 192.0.2.1:5060")),
            ("<sip:[2001:db8::1];lr;transport=TLS>", Some("tls [2001:db8::1]:5061")),
            ("<sip:orig@cmcc.rcs.com;lr;Dpt=75e4_4858e246;ca=5>", None),
            ("", None),
        ] {
            let got = address_of_route(route.as_bytes()).map(|(t, a)| {
                let transport = t.map_or("-", Transport::label);
                format!("{transport} {a}")
            });
            assert_eq!(got.as_deref(), expected, "{route}");
        }
    }

    #[test]
    fn the_pool_prefers_the_order_of_the_file_and_then_whoever_works() {
        let hop = |port| config::NextHop {
            address: SocketAddr::from(([192, 0, 2, 1], port)),
            transport: Transport::Udp,
        };
        let core =
            config::Core { next_hops: vec![hop(1), hop(2)], retry_seconds: 30, ..config::Core::default() };
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        let mut pool = CorePool::new(&core);
        let first = |pool: &CorePool, now| pool.choose(&mut 0, now).map(|h| h.address.port());
        assert_eq!(first(&pool, at(1)), Some(1));
        pool.failed(hop(1).address, Transport::Udp, at(1));
        assert_eq!(first(&pool, at(2)), Some(2));
        assert_eq!(first(&pool, at(31)), Some(1));
        pool.failed(hop(1).address, Transport::Udp, at(31));
        pool.works(hop(1).address, Transport::Udp);
        assert_eq!(first(&pool, at(32)), Some(1));
        let mut tried = 0;
        assert!(pool.choose(&mut tried, at(40)).is_some() && pool.choose(&mut tried, at(40)).is_some());
        assert_eq!((pool.choose(&mut tried, at(40)), pool.others(tried)), (None, 0));
    }
}
