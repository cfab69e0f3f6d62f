//! A port-rewriting NAT in front of a node (R1).

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};

/// One translator: private address and port on the inside, one public address outside.
///
/// Endpoint-independent mapping, as RFC 4787 asks; filtering is by address and port: only a peer that
/// was written to may write back, which is what most home routers do.
#[derive(Clone, Debug)]
pub struct Nat {
    public: IpAddr,
    port_next: u16,
    outward: BTreeMap<SocketAddr, u16>,
    inward: BTreeMap<u16, SocketAddr>,
    pinholes: BTreeSet<(u16, SocketAddr)>,
}

impl Nat {
    /// A fresh NAT with this public address; its first mapping gets `port_first`.
    #[must_use]
    pub fn new(public: IpAddr, port_first: u16) -> Self {
        Self {
            public,
            port_next: port_first,
            outward: BTreeMap::new(),
            inward: BTreeMap::new(),
            pinholes: BTreeSet::new(),
        }
    }

    /// The public source of a packet from `private` to `peer`; opens the mapping and the pinhole.
    pub fn outbound(&mut self, private: SocketAddr, peer: SocketAddr) -> SocketAddr {
        let port = *self.outward.entry(private).or_insert_with(|| {
            let port = self.port_next;
            self.port_next = self.port_next.wrapping_add(1).max(1_024);
            port
        });
        self.inward.insert(port, private);
        self.pinholes.insert((port, peer));
        SocketAddr::new(self.public, port)
    }

    /// Whom a packet from `peer` to `public` is for, if it may pass.
    #[must_use]
    pub fn inbound(&self, public: SocketAddr, peer: SocketAddr) -> Option<SocketAddr> {
        let open = public.ip() == self.public && self.pinholes.contains(&(public.port(), peer));
        open.then(|| self.inward.get(&public.port()).copied()).flatten()
    }

    /// Forgets every mapping, as a rebooted router does: the next packet out gets a new port.
    pub fn rebind(&mut self) {
        self.outward.clear();
        self.inward.clear();
        self.pinholes.clear();
    }

    /// Its public address.
    #[must_use]
    pub const fn public(&self) -> IpAddr {
        self.public
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_peer_that_was_written_to_may_write_back_and_a_reboot_moves_the_port() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (ue, edge, stranger) = (at("10.0.0.2:5060"), at("198.51.100.1:5060"), at("198.51.100.9:5060"));
        let mut nat = Nat::new("203.0.113.1".parse().unwrap(), 40_000);
        let public = nat.outbound(ue, edge);
        assert_eq!(public, at("203.0.113.1:40000"));
        assert_eq!(nat.outbound(ue, edge), public);
        assert_eq!(nat.inbound(public, edge), Some(ue));
        assert_eq!(nat.inbound(public, stranger), None);
        nat.rebind();
        assert_eq!(nat.inbound(public, edge), None);
        assert_eq!(nat.outbound(ue, edge), at("203.0.113.1:40001"));
    }
}
