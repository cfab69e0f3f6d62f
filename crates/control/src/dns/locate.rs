//! RFC 3263: from a SIP host to addresses, ports and transports, in the order they are to be used.

use config::Config;
use core::future::Future;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use wire::directory::default_port;
use wire::{HostQuery, Located, Transport};

/// What a name server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// These, for so long.
    Records {
        /// At least one.
        records: Vec<T>,
        /// How long they may be used.
        ttl: Duration,
    },
    /// That there is nothing of the kind.
    None,
    /// Nothing, or that it does not know.
    Failed,
}

/// A NAPTR record (RFC 3403 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lowest first.
    pub order: u16,
    /// Lowest first among those of one order.
    pub preference: u16,
    /// `s`: the replacement is the name of SRV records.
    pub flags: String,
    /// Such as `SIP+D2U`.
    pub service: String,
    /// The name to go on with.
    pub replacement: String,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lowest first.
    pub priority: u16,
    /// Share of the traffic among those of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host.
    pub target: String,
}

/// Somebody who answers questions about names.
pub trait Ask: Sync {
    /// NAPTR records.
    fn naptr(&self, name: &str) -> impl Future<Output = Answer<Naptr>> + Send;
    /// SRV records.
    fn srv(&self, name: &str) -> impl Future<Output = Answer<Srv>> + Send;
    /// A records.
    fn v4(&self, name: &str) -> impl Future<Output = Answer<IpAddr>> + Send;
    /// AAAA records.
    fn v6(&self, name: &str) -> impl Future<Output = Answer<IpAddr>> + Send;
}

/// What we have sockets for: a place we cannot reach is no place (RFC 3263 §4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served([[bool; 2]; 3]);

impl Served {
    /// The listeners towards the core.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let mut served = Self::default();
        for listener in &config.realm.core.sip {
            served.0[listener.transport as usize][usize::from(listener.bind.is_ipv6())] = true;
        }
        served
    }

    fn any(self, transport: Transport) -> bool {
        self.0[transport as usize].contains(&true)
    }

    fn family(self, transport: Transport, v6: bool) -> bool {
        self.0[transport as usize][usize::from(v6)]
    }
}

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// In the order they are to be used.
    pub places: Vec<Located>,
    /// How long that is true.
    pub ttl: Duration,
    /// Whether a question on the way got no answer: there may be more places.
    pub failed: bool,
}

impl Default for Found {
    fn default() -> Self {
        Self { places: Vec::new(), ttl: Duration::MAX, failed: true }
    }
}

/// Longer lists are cut: no zone may make every request's choice slow.
const RECORDS_MAX: usize = 32;
const PLACES_MAX: usize = 64;

/// Looks a host up.
pub async fn locate(ask: &impl Ask, query: &HostQuery, served: &Served) -> Found {
    let mut walk = Walk { ask, served: *served, found: Found { failed: false, ..Found::default() } };
    if let Some((address, transport)) = query.literal() {
        walk.found.places.push(Located { rank: 0, address, transport, weight: 1 });
        return walk.found;
    }
    let host = query.host();
    let bare = if query.is_secure() { Transport::Tls } else { Transport::Udp };
    match (query.port(), query.transport()) {
        // RFC 3263 §4.2: a port leaves nothing to ask but the address.
        (Some(port), transport) => {
            walk.addresses(host, port, transport.unwrap_or(bare), 0, 1).await;
        }
        (None, Some(transport)) => {
            if !walk.services(&srv_name(host, transport), transport, 0).await {
                walk.addresses(host, default_port(transport), transport, 0, 1).await;
            }
        }
        (None, None) => walk.by_naptr(host, query.is_secure(), bare).await,
    }
    walk.found.places.truncate(PLACES_MAX);
    walk.found
}

struct Walk<'a, A> {
    ask: &'a A,
    served: Served,
    found: Found,
}

impl<A: Ask> Walk<'_, A> {
    /// RFC 3263 §4.1: NAPTR says which transports there are; without it, SRV does; without either, it
    /// is UDP, or TLS for `sips:`.
    async fn by_naptr(&mut self, host: &str, secure: bool, bare: Transport) {
        let mut naptrs = self.take(self.ask.naptr(host).await);
        naptrs.sort_by_key(|n| (n.order, n.preference));
        let usable = naptrs.into_iter().filter(|n| n.flags.eq_ignore_ascii_case("s")).filter_map(|n| {
            let transport = transport_of(&n.service).filter(|t| !secure || *t == Transport::Tls)?;
            self.served.any(transport).then_some((n.replacement, transport))
        });
        let usable: Vec<(String, Transport)> = usable.collect();
        let mut any = false;
        for (rank, (name, transport)) in (0u16..).zip(usable) {
            any |= self.services(&name, transport, rank).await;
        }
        let candidates = if secure { &[Transport::Tls][..] } else { &Transport::ALL };
        let served = self.served;
        for transport in candidates.iter().filter(|t| served.any(**t)) {
            // The first one that exists: the choice is ours.
            any = any || self.services(&srv_name(host, *transport), *transport, 0).await;
        }
        if !any {
            self.addresses(host, default_port(bare), bare, 0, 1).await;
        }
    }

    /// Whether there are SRV records of this name, or nobody could say.
    async fn services(&mut self, name: &str, transport: Transport, group: u16) -> bool {
        let mut records = self.take(self.ask.srv(name).await);
        records.sort_by_key(|r| r.priority);
        let any = !records.is_empty();
        let (mut rank, mut last) = (group.saturating_mul(RECORDS_MAX as u16), None);
        for record in records {
            if last.is_some_and(|priority| priority != record.priority) {
                rank = rank.saturating_add(1);
            }
            last = Some(record.priority);
            // RFC 2782: a target of `.` says that the service is decidedly not there.
            if !matches!(record.target.as_str(), "" | ".") && record.port != 0 {
                let weight = u32::from(record.weight);
                self.addresses(&record.target, record.port, transport, rank, weight).await;
            }
        }
        any
    }

    /// The addresses of a host share its weight.
    async fn addresses(&mut self, host: &str, port: u16, transport: Transport, rank: u16, weight: u32) {
        let mut ips = Vec::new();
        if self.served.family(transport, false) {
            ips.extend(self.take(self.ask.v4(host).await));
        }
        if self.served.family(transport, true) {
            ips.extend(self.take(self.ask.v6(host).await));
        }
        let count = ips.len() as u32;
        for ip in ips {
            let share = weight * SHARES / count.max(1);
            let weight = if weight == 0 { 0 } else { share.max(1) };
            let place = Located { rank, address: SocketAddr::new(ip, port), transport, weight };
            let known = |p: &&Located| (p.address, p.transport) == (place.address, transport);
            if !self.found.places.iter().any(|p| known(&p)) {
                self.found.places.push(place);
            }
        }
    }

    fn take<T>(&mut self, answer: Answer<T>) -> Vec<T> {
        match answer {
            Answer::Records { mut records, ttl } => {
                self.found.ttl = self.found.ttl.min(ttl);
                records.truncate(RECORDS_MAX);
                records
            }
            Answer::None => Vec::new(),
            Answer::Failed => {
                self.found.failed = true;
                Vec::new()
            }
        }
    }
}

/// So that a weight of 1 can be shared by several addresses.
const SHARES: u32 = 60;

/// RFC 3263 §4.1.
fn transport_of(service: &str) -> Option<Transport> {
    [("SIP+D2U", Transport::Udp), ("SIP+D2T", Transport::Tcp), ("SIPS+D2T", Transport::Tls)]
        .into_iter()
        .find_map(|(name, transport)| service.eq_ignore_ascii_case(name).then_some(transport))
}

fn srv_name(host: &str, transport: Transport) -> String {
    let service = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
    };
    format!("{service}.{host}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
