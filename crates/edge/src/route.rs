//! Where a request goes: the way to the core, and the way from a token to a UE.

use crate::address::{Pieces, identity_key};
use crate::exchange::Target;
use crate::hops::{Place, Tried, host_of_route};
use crate::shard::Edge;
use crate::token::{FlowPath, FlowToken, Token, TokenRoom};
use core::net::SocketAddr;
use sip::{HeaderId, Message, NameAddr};
use wire::{BindingId, Cause, Hop, Instant, Realm, ShardId, Transport};

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
    pub(crate) fn next_core_target(&mut self, tried: &mut Tried, now: Instant) -> Option<Target> {
        let draw = self.random.next_u64();
        self.pick(tried, draw, now)
    }

    fn pick(&self, tried: &mut Tried, draw: u64, now: Instant) -> Option<Target> {
        let way = |(peer, transport): Place| self.points.way_to(Realm::Core, transport, peer).is_some();
        let (peer, transport) = self.hops.choose(tried, draw, now, way)?;
        self.core_target(transport, peer)
    }

    /// A target in the core; `None` without a socket of that family and transport.
    ///
    /// A peer that opened a connection to us and said `alias` is reached over it (RFC 5923 §5).
    pub(crate) fn core_target(&self, transport: Transport, peer: SocketAddr) -> Option<Target> {
        let (hop, point) = self.points.way_to(Realm::Core, transport, peer)?;
        let alias = || {
            let stream = self.flows.alias((peer, transport)).filter(|_| self.config.core.connection_reuse)?;
            self.flows.is_open(FlowPath::Stream(stream)).then_some(Hop::Stream(stream))
        };
        let hop = if transport.is_reliable() { alias().unwrap_or(hop) } else { hop };
        Some(Target { realm: Realm::Core, transport, hop, peer, point })
    }

    /// Whether a URI leads to one of our own addresses on this side.
    pub(crate) fn is_own_uri(&self, realm: Realm, uri: &[u8]) -> bool {
        Pieces::of(uri).is_some_and(|pieces| self.points.is_ours(realm, &uri[pieces.host_port]))
    }

    /// Where a request goes whose route begins with `route`: to that address, or to a place its name
    /// leads to; else to the pool of `tried`. The edge never waits for DNS: a name that is not known (yet)
    /// counts as none. `draw` is 64 random bits.
    ///
    /// An address that names no transport is reached as the pools reach it, if it is one of their hops:
    /// RFC 3263 §4.1 would say UDP, but a core that is configured to be spoken to over TCP means it. One
    /// that is known to fail is left out while the pool has something better.
    pub(crate) fn target_of_route(
        &self,
        route: &[u8],
        tried: &mut Tried,
        draw: u64,
        now: Instant,
    ) -> Option<Target> {
        let Some(query) = host_of_route(route) else {
            return self.pick(tried, draw, now);
        };
        if let Some((peer, transport)) = query.literal() {
            let known = self.hops.transport_of(peer).filter(|_| query.transport().is_none());
            let place = (peer, known.unwrap_or(transport));
            let sound = self.hops.is_ready(place, now) || self.hops.others(tried, now) == 0;
            if let Some(target) = self.core_target(place.1, peer).filter(|_| sound) {
                self.hops.goes_to(tried, place);
                return Some(target);
            }
        } else if let Some(pool) = self.hops.pool_of(&query) {
            tried.prefer(pool);
        }
        self.pick(tried, draw, now)
    }

    /// The same for a request that goes one way or fails.
    pub(crate) fn target_by_route(&mut self, route: &[u8], now: Instant) -> Option<Target> {
        let (mut tried, draw) = (Tried::of(self.hops.initial()), self.random.next_u64());
        self.target_of_route(route, &mut tried, draw, now)
    }

    /// The way to a UE over the flow of its binding.
    ///
    /// # Errors
    /// `FlowGone` if the flow is closed (R7, RFC 5626 §5.3).
    pub(crate) fn access_target(&self, binding: BindingId) -> Result<Target, Cause> {
        let binding = self.bindings.live(binding).ok_or(Cause::FlowGone)?;
        if binding.pulse.gone || !self.flows.is_open(binding.flow) {
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
