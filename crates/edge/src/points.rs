//! Our own SIP addresses, and which of them faces whom.

use crate::api::SipPoint;
use core::net::SocketAddr;
use wire::{Hop, Realm, SocketId, Transport};

/// One of [`Points`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointId(u16);

/// The SIP addresses of this shard.
#[derive(Clone, Debug)]
pub struct Points {
    points: Vec<SipPoint>,
    /// The place of each among the listeners of its side, as the configuration lists them.
    listeners: Vec<u16>,
    /// What the operator calls it; empty if it has no name.
    names: Vec<Box<str>>,
}

impl Points {
    /// From what the shell has bound.
    #[must_use]
    pub fn new(points: &[SipPoint]) -> Self {
        Self::named(points, &config::Realms::default())
    }

    /// The same, with the names of the configuration that the addresses were bound from: each side
    /// lists its addresses in the order of its listeners.
    #[must_use]
    pub fn named(points: &[SipPoint], realms: &config::Realms) -> Self {
        let points: Vec<SipPoint> = points.iter().take(usize::from(u16::MAX)).cloned().collect();
        let mut next = [0; 2];
        let listeners: Vec<u16> = points
            .iter()
            .map(|point| {
                let next = &mut next[crate::counters::index(point.realm)];
                *next += 1;
                *next - 1
            })
            .collect();
        let name = |(point, at): (&SipPoint, &u16)| {
            let listener = realms.of(point.realm).sip.get(usize::from(*at))?;
            listener.name.as_deref().filter(|_| listener.transport == point.transport)
        };
        let names = points.iter().zip(&listeners).map(|p| name(p).unwrap_or_default().into()).collect();
        Self { points, listeners, names }
    }

    /// The address.
    #[must_use]
    pub fn at(&self, id: PointId) -> &SipPoint {
        &self.points[usize::from(id.0)]
    }

    /// What the operator calls it, if anything.
    #[must_use]
    pub fn name(&self, id: PointId) -> Option<&str> {
        self.names.get(usize::from(id.0)).map(|name| &**name).filter(|name| !name.is_empty())
    }

    /// Its listener in the configuration it was bound from.
    #[must_use]
    pub fn listener<'c>(&self, id: PointId, realms: &'c config::Realms) -> Option<&'c config::SipListener> {
        let at = self.listeners.get(usize::from(id.0))?;
        let point = self.at(id);
        let listener = realms.of(point.realm).sip.get(usize::from(*at))?;
        (listener.transport == point.transport).then_some(listener)
    }

    /// The address of a datagram socket.
    #[must_use]
    pub fn of_socket(&self, socket: SocketId) -> Option<PointId> {
        self.find(|p| p.socket.is_some_and(|s| s.bare() == socket.bare()))
    }

    /// The address that a stream belongs to: the one it was accepted on, or, where we opened it, the
    /// one the peer should be told.
    #[must_use]
    pub fn of_stream(&self, realm: Realm, transport: Transport, local: SocketAddr) -> Option<PointId> {
        let same = |p: &&SipPoint| p.realm == realm && p.transport == transport;
        self.find(|p| same(&p) && p.bound == local)
            .or_else(|| self.find(|p| same(&p) && p.bound.port() == local.port()))
            .or_else(|| self.facing(realm, transport, local))
    }

    /// The address to show to `peer`: same transport and family if there is one, else the nearest.
    #[must_use]
    pub fn facing(&self, realm: Realm, transport: Transport, peer: SocketAddr) -> Option<PointId> {
        let family = |p: &SipPoint| p.bound.is_ipv4() == peer.is_ipv4();
        self.find(|p| p.realm == realm && p.transport == transport && family(p))
            .or_else(|| self.find(|p| p.realm == realm && p.transport == transport))
            .or_else(|| self.find(|p| p.realm == realm && family(p)))
            .or_else(|| self.find(|p| p.realm == realm))
    }

    /// How to send to `peer`, and which address to show it; `None` without a socket for it.
    #[must_use]
    pub fn way_to(&self, realm: Realm, transport: Transport, peer: SocketAddr) -> Option<(Hop, PointId)> {
        let point = self.facing(realm, transport, peer)?;
        if transport.is_reliable() {
            let hop = Hop::Peer { realm, transport, peer };
            return Some((hop, point));
        }
        let at = self.at(point);
        let socket = at.socket.filter(|_| at.bound.is_ipv4() == peer.is_ipv4())?;
        Some((Hop::Datagram { socket, peer }, point))
    }

    /// Whether `host_port`, as it stands in a URI, is one of our addresses in this realm.
    #[must_use]
    pub fn is_ours(&self, realm: Realm, host_port: &[u8]) -> bool {
        let same = |p: &&SipPoint| same_host_port(p.advertised.as_bytes(), host_port);
        self.points.iter().filter(|p| p.realm == realm).any(|p| same(&p))
    }

    fn find(&self, wanted: impl Fn(&SipPoint) -> bool) -> Option<PointId> {
        let at = self.points.iter().position(wanted)?;
        u16::try_from(at).ok().map(PointId)
    }
}

/// Whether two `host[:port]` are the same; a missing port is 5060 (RFC 3261 §19.1.2).
fn same_host_port(a: &[u8], b: &[u8]) -> bool {
    fn strip(host_port: &[u8]) -> &[u8] {
        host_port.strip_suffix(b":5060").unwrap_or(host_port)
    }
    strip(a).eq_ignore_ascii_case(strip(b))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn points() -> Points {
        let point = |realm, transport, socket: Option<u16>, bound: &str| SipPoint {
            realm,
            transport,
            socket: socket.map(SocketId),
            bound: bound.parse().unwrap(),
            advertised: bound.into(),
        };
        Points::new(&[
            point(Realm::Access, Transport::Udp, Some(0), "192.0.2.1:5060"),
            point(Realm::Access, Transport::Tls, None, "192.0.2.1:5061"),
            point(Realm::Core, Transport::Udp, Some(1), "198.51.100.1:5080"),
            point(Realm::Core, Transport::Udp, Some(2), "[2001:db8::1]:5080"),
        ])
    }

    #[test]
    fn a_peer_is_shown_the_address_of_its_family() {
        let points = points();
        let way = |peer: &str| points.way_to(Realm::Core, Transport::Udp, peer.parse().unwrap());
        let socket = |peer: &str| match way(peer) {
            Some((Hop::Datagram { socket, .. }, _)) => socket.0,
            other => panic!("{other:?}"),
        };
        assert_eq!(socket("198.51.100.9:5060"), 1);
        assert_eq!(socket("[2001:db8::9]:5060"), 2);
    }

    #[test]
    fn our_own_address_is_known_with_and_without_the_default_port() {
        let points = points();
        assert!(points.is_ours(Realm::Access, b"192.0.2.1"));
        assert!(points.is_ours(Realm::Access, b"192.0.2.1:5060"));
        assert!(!points.is_ours(Realm::Access, b"192.0.2.1:5062"));
        assert!(!points.is_ours(Realm::Core, b"192.0.2.1:5060"));
    }
}
