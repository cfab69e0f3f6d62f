//! Binds every address before anything runs: a node serves all of its addresses or does not start.

use crate::error::StartError;
use crate::pktinfo;
use config::{Config, RealmConfig};
use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use edge::api::{MsrpPoint, RtpPoint, SipPoint};
use rustix::fd::OwnedFd;
use socket2::{Domain, Protocol as IpProtocol, Socket, Type};
use std::io;
use wire::{Realm, SocketId, Transport};

/// What is spoken on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Signalling.
    Sip,
    /// Message sessions.
    Msrp,
}

/// A socket that streams are accepted from.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: OwnedFd,
    pub(crate) protocol: Protocol,
    pub(crate) realm: Realm,
    pub(crate) transport: Transport,
    /// MSRP in WebSocket messages.
    pub(crate) websocket: bool,
    pub(crate) bound: SocketAddr,
}

/// A socket for datagrams.
#[derive(Debug)]
pub(crate) struct DatagramSocket {
    pub(crate) socket: OwnedFd,
    pub(crate) realm: Realm,
    /// Bound to a wildcard: answers leave from where each datagram came to.
    pub(crate) wildcard: bool,
}

/// Everything one shard is bound to.
#[derive(Debug, Default)]
pub(crate) struct ShardSockets {
    pub(crate) listeners: Vec<Listener>,
    /// Indexed by `SocketId`.
    pub(crate) datagrams: Vec<DatagramSocket>,
    pub(crate) sip: Vec<SipPoint>,
    pub(crate) msrp: Vec<MsrpPoint>,
    /// Not bound yet: the edge gives ports out, and their sockets are opened for one session.
    pub(crate) rtp: Vec<RtpPoint>,
}

/// Binds the addresses of all shards.
pub(crate) fn bind_all(config: &Config) -> Result<Vec<ShardSockets>, StartError> {
    let count = config.node.shard_count();
    let mut shards: Vec<ShardSockets> = (0..count).map(|_| ShardSockets::default()).collect();
    for realm in [Realm::Access, Realm::Core] {
        let settings = config.realm.of(realm);
        for i in 0..settings.sip.len() {
            bind_sip(config, realm, i, &mut shards)?;
        }
        for i in 0..settings.msrp.len() {
            bind_msrp(config, realm, i, &mut shards)?;
        }
        for (at, shard) in (0u16..).zip(&mut shards) {
            shard.rtp.extend(rtp_points(settings, realm, at, count));
        }
    }
    Ok(shards)
}

fn bind_sip(config: &Config, realm: Realm, i: usize, shards: &mut [ShardSockets]) -> Result<(), StartError> {
    let settings = config.realm.of(realm);
    let Some(listener) = settings.sip.get(i) else {
        return Ok(());
    };
    let mut address = listener.bind;
    for (at, shard) in shards.iter_mut().enumerate() {
        let place = match realm {
            // All shards share the address; the first one settles a port that was left open.
            Realm::Access => address,
            Realm::Core => offset(listener.bind, at),
        };
        let failed = |error| StartError::Bind {
            key: format!("realm.{}.sip[{i}].bind", realm.label()),
            address: place,
            error,
        };
        let (socket, bound) = open(place, listener.transport, 0).map_err(failed)?;
        address = bound;
        let socket_id = if listener.transport == Transport::Udp {
            let id = SocketId(u16::try_from(shard.datagrams.len()).unwrap_or(u16::MAX));
            let wildcard = bound.ip().is_unspecified();
            if wildcard {
                pktinfo::enable(&socket, bound.is_ipv6()).map_err(failed)?;
            }
            shard.datagrams.push(DatagramSocket { socket, realm, wildcard });
            Some(id)
        } else {
            let (protocol, transport) = (Protocol::Sip, listener.transport);
            let websocket = false;
            shard.listeners.push(Listener { socket, protocol, realm, transport, websocket, bound });
            None
        };
        shard.sip.push(SipPoint {
            realm,
            transport: listener.transport,
            socket: socket_id,
            bound,
            advertised: advertised(settings, listener.host.as_deref(), bound).into(),
        });
    }
    Ok(())
}

fn bind_msrp(config: &Config, realm: Realm, i: usize, shards: &mut [ShardSockets]) -> Result<(), StartError> {
    let settings = config.realm.of(realm);
    let Some(listener) = settings.msrp.get(i) else {
        return Ok(());
    };
    for (at, shard) in shards.iter_mut().enumerate() {
        let place = offset(listener.bind, at);
        let (socket, bound) =
            open(place, listener.transport, config.msrp.socket_buffer_bytes).map_err(|error| {
                StartError::Bind {
                    key: format!("realm.{}.msrp[{i}].bind", realm.label()),
                    address: place,
                    error,
                }
            })?;
        let ip = match settings.media_address_v6 {
            Some(v6) if bound.is_ipv6() => IpAddr::V6(v6),
            _ => IpAddr::V4(settings.media_address),
        };
        let transport = listener.transport;
        let (protocol, websocket) = (Protocol::Msrp, listener.websocket);
        shard.listeners.push(Listener { socket, protocol, realm, transport, websocket, bound });
        shard.msrp.push(MsrpPoint {
            realm,
            transport,
            advertised: SocketAddr::new(ip, bound.port()),
            websocket,
            fingerprint: None,
        });
    }
    Ok(())
}

/// Where shard `at` of `count` relays RTP: every address of the side, with its own share of the ports.
fn rtp_points(settings: &RealmConfig, realm: Realm, at: u16, count: u16) -> impl Iterator<Item = RtpPoint> {
    let ports = share(&settings.media_ports(realm), at, count);
    let v4 = IpAddr::V4(settings.media_address);
    let v6 = settings.media_address_v6.map(IpAddr::V6);
    let bind_v4 = settings.media_bind.map_or(v4, IpAddr::V4);
    let bind_v6 = settings.media_bind_v6.map(IpAddr::V6).or(v6);
    [Some((bind_v4, v4)), bind_v6.zip(v6)].into_iter().flatten().map(move |(bound, advertised)| RtpPoint {
        realm,
        bound,
        advertised,
        ports: ports.clone(),
    })
}

/// The pairs of ports of shard `at` of `count`: all have the same number, and the last one what is left.
fn share(ports: &RangeInclusive<u16>, at: u16, count: u16) -> RangeInclusive<u16> {
    let first = u32::from(*ports.start()).next_multiple_of(2);
    let pairs = (u32::from(*ports.end()) + 1).saturating_sub(first) / 2;
    let each = pairs / u32::from(count.max(1));
    let start = first + 2 * each * u32::from(at);
    let end = if at + 1 == count { first + 2 * pairs } else { start + 2 * each };
    let port = |port: u32| u16::try_from(port).unwrap_or(u16::MAX);
    // The configuration was checked to leave a pair for each.
    port(start)..=port(end.saturating_sub(1))
}

/// The address of shard `at`: port + at, and any port stays any port.
fn offset(address: SocketAddr, at: usize) -> SocketAddr {
    let port = match address.port() {
        0 => 0,
        // The configuration was checked to leave room.
        first => first.saturating_add(u16::try_from(at).unwrap_or(u16::MAX)),
    };
    SocketAddr::new(address.ip(), port)
}

/// What peers are told: `host:port`.
fn advertised(realm: &RealmConfig, host: Option<&str>, bound: SocketAddr) -> String {
    let host = match host {
        Some(host) => host.to_owned(),
        None => match realm.host.parse::<IpAddr>() {
            // An address of the other family would lead peers astray.
            Ok(ip) if ip.is_ipv4() != bound.is_ipv4() && !bound.ip().is_unspecified() => {
                bound.ip().to_string()
            }
            _ => realm.host.clone(),
        },
    };
    let port = bound.port();
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// The kernel cuts it to `net.core.somaxconn`; a registration storm fills any smaller one.
const BACKLOG: i32 = 4_096;
/// A burst of one datagram from each of many UEs must fit while a shard is busy for some milliseconds.
const DATAGRAM_BUFFER_BYTES: usize = 4 << 20;

fn open(address: SocketAddr, transport: Transport, buffer_bytes: usize) -> io::Result<(OwnedFd, SocketAddr)> {
    let kind = if transport == Transport::Udp { Type::DGRAM } else { Type::STREAM };
    let socket = Socket::new(Domain::for_address(address), kind.nonblocking().cloexec(), None)?;
    if address.is_ipv6() {
        // IPv4 has sockets of its own; mapped addresses would give one UE two names.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(true)?;
    if transport == Transport::Udp {
        // Best effort: the kernel caps it at net.core.rmem_max.
        let _ = socket.set_recv_buffer_size(DATAGRAM_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(DATAGRAM_BUFFER_BYTES);
        socket.bind(&address.into())?;
    } else {
        socket.set_reuse_address(true)?;
        if buffer_bytes > 0 {
            // Accepted connections inherit them.
            let _ = socket.set_recv_buffer_size(buffer_bytes);
            let _ = socket.set_send_buffer_size(buffer_bytes);
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
    }
    let bound =
        socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an internet address"))?;
    Ok((socket.into(), bound))
}

/// A connection to `peer` that is being set up, from `source` if given.
pub(crate) fn connect(peer: SocketAddr, source: Option<IpAddr>, buffer_bytes: usize) -> io::Result<OwnedFd> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(peer), kind, Some(IpProtocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(true)?;
    if buffer_bytes > 0 {
        let _ = socket.set_recv_buffer_size(buffer_bytes);
        let _ = socket.set_send_buffer_size(buffer_bytes);
    }
    if let Some(source) = source.filter(|s| s.is_ipv4() == peer.is_ipv4()) {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match socket.connect(&peer.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_told_a_host_of_the_family_they_reached() {
        let mut realm = RealmConfig { host: "192.0.2.7".to_owned(), ..RealmConfig::default() };
        for (host, bound, expected) in [
            (None, "0.0.0.0:5060", "192.0.2.7:5060"),
            (None, "[2001:db8::7]:5060", "[2001:db8::7]:5060"),
            (Some("v6.example.net"), "[2001:db8::7]:5060", "v6.example.net:5060"),
            (Some("2001:db8::9"), "[::]:5060", "[2001:db8::9]:5060"),
        ] {
            assert_eq!(advertised(&realm, host, bound.parse().unwrap()), expected);
        }
        realm.host = "pcscf.example.net".to_owned();
        assert_eq!(advertised(&realm, None, "[::1]:5061".parse().unwrap()), "pcscf.example.net:5061");
    }

    #[test]
    fn every_shard_has_rtp_ports_of_its_own() {
        for (ports, count, expected) in [
            (16_384..=24_575, 2, vec![16_384..=20_479, 20_480..=24_575]),
            (10_001..=10_011, 2, vec![10_002..=10_005, 10_006..=10_011]),
            (65_530..=65_535, 3, vec![65_530..=65_531, 65_532..=65_533, 65_534..=65_535]),
            (10_000..=10_001, 1, vec![10_000..=10_001]),
        ] {
            let shares: Vec<_> = (0..count).map(|at| share(&ports, at, count)).collect();
            assert_eq!(shares, expected, "{ports:?}");
        }
        let mut settings =
            RealmConfig { media_ports_first: 10_000, media_ports_last: 10_007, ..Default::default() };
        settings.media_address = "192.0.2.7".parse().unwrap();
        settings.media_bind = Some("10.0.0.7".parse().unwrap());
        settings.media_address_v6 = Some("2001:db8::7".parse().unwrap());
        let points: Vec<_> = rtp_points(&settings, Realm::Core, 1, 2).collect();
        let point = |bound: &str, advertised: &str| RtpPoint {
            realm: Realm::Core,
            bound: bound.parse().unwrap(),
            advertised: advertised.parse().unwrap(),
            ports: 10_004..=10_007,
        };
        assert_eq!(points, [point("10.0.0.7", "192.0.2.7"), point("2001:db8::7", "2001:db8::7")]);
    }

    #[test]
    fn shards_share_access_ports_and_own_core_ports() {
        let mut config = Config::default();
        config.node.shards = 3;
        for realm in [&mut config.realm.access, &mut config.realm.core] {
            realm.sip.iter_mut().for_each(|l| l.bind.set_port(0));
            realm.msrp.iter_mut().for_each(|l| l.bind.set_port(0));
        }
        let shards = bind_all(&config).unwrap();
        let port = |shard: usize, realm, transport| {
            let point = |p: &&SipPoint| p.realm == realm && p.transport == transport;
            shards[shard].sip.iter().find(point).unwrap().bound.port()
        };
        for transport in [Transport::Udp, Transport::Tcp] {
            assert_eq!(port(0, Realm::Access, transport), port(2, Realm::Access, transport));
            assert_ne!(port(0, Realm::Core, transport), port(2, Realm::Core, transport));
        }
        assert_ne!(shards[0].msrp[0].advertised.port(), shards[1].msrp[0].advertised.port());
        assert_ne!(shards[0].msrp[0].advertised.port(), 0);
    }
}
