//! The sockets of media ports: one for each port, because a far end sends from where it receives.

use core::net::SocketAddr;
use media::rtp::Component;
use rustix::fd::OwnedFd;
use rustix::net::sockopt;
use socket2::{Domain, Socket, Type};
use std::io;
use wire::{MediaId, Realm};

/// One bound port of a session.
#[derive(Debug)]
pub(crate) struct MediaSocket {
    pub(crate) fd: OwnedFd,
    pub(crate) local: SocketAddr,
    pub(crate) session: MediaId,
    pub(crate) realm: Realm,
    pub(crate) component: Component,
    /// The sockets of the other side, by component; `NONE` where there is none.
    pub(crate) far: [u32; 2],
    /// The kernel takes packets from here alone.
    pub(crate) connected: Option<SocketAddr>,
    /// Nothing is queued any more that came before it was connected: its source need not be asked for.
    pub(crate) is_settled: bool,
    /// The last source that was not on the blacklist, and which blacklist that was.
    pub(crate) vetted: Option<(SocketAddr, u32)>,
    pub(crate) is_tapped: bool,
    /// Tells it from others that had its place; given by `insert`.
    pub(crate) serial: u32,
    /// Its port has other sockets too, so it stays connected to the end that it is for.
    pub(crate) is_shared: bool,
}

/// No socket.
pub(crate) const NONE: u32 = u32::MAX;

impl MediaSocket {
    /// Lets packets of one source in and no others.
    pub(crate) fn connect(&mut self, peer: SocketAddr) {
        if rustix::net::connect(&self.fd, &peer).is_ok() {
            self.connected = Some(peer);
            self.is_settled = false;
        }
    }

    /// Lets packets of any source in.
    pub(crate) fn disconnect(&mut self) {
        if self.connected.take().is_some() {
            // It fails only for descriptors that are no sockets.
            let _ = rustix::net::connect_unspec(&self.fd);
        }
        self.is_settled = false;
    }
}

/// All media sockets of a shard, in numbered places.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    places: Vec<Option<MediaSocket>>,
    free: Vec<u32>,
    serial: u32,
}

impl Sockets {
    pub(crate) fn insert(&mut self, mut socket: MediaSocket) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        socket.serial = self.serial;
        if let Some(at) = self.free.pop() {
            self.places[at as usize] = Some(socket);
            return at;
        }
        self.places.push(Some(socket));
        // There are fewer descriptors than that.
        u32::try_from(self.places.len() - 1).unwrap_or(NONE)
    }

    pub(crate) fn remove(&mut self, at: u32) -> Option<MediaSocket> {
        let socket = self.places.get_mut(at as usize)?.take()?;
        self.free.push(at);
        Some(socket)
    }

    pub(crate) fn get(&self, at: u32) -> Option<&MediaSocket> {
        self.places.get(at as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut MediaSocket> {
        self.places.get_mut(at as usize)?.as_mut()
    }

    /// The first socket that is bound to this.
    pub(crate) fn bound_to(&self, local: SocketAddr) -> Option<&MediaSocket> {
        self.places.iter().flatten().find(|socket| socket.local == local)
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

/// Half a second of video, or two of audio with all that the kernel adds to a packet.
const BUFFER_BYTES: usize = 256 * 1024;

/// Binds a media port. `dscp` is 0..=63.
pub(crate) fn open(local: SocketAddr, dscp: u8) -> io::Result<OwnedFd> {
    open_as(local, dscp, false)
}

/// Binds a port once more that a socket of ours has: forks of one call were all told the same (RFC 3261
/// §13.2.2.4). The kernel gives a packet to the socket that is connected to its source before any other.
pub(crate) fn open_beside(
    other: &OwnedFd,
    local: SocketAddr,
    peer: SocketAddr,
    dscp: u8,
) -> io::Result<OwnedFd> {
    // Both must agree, and only while the second one is bound: nobody else gets in.
    sockopt::set_socket_reuseaddr(other, true)?;
    let opened = open_as(local, dscp, true);
    sockopt::set_socket_reuseaddr(other, false)?;
    let fd = opened?;
    sockopt::set_socket_reuseaddr(&fd, false)?;
    rustix::net::connect(&fd, &peer)?;
    Ok(fd)
}

fn open_as(local: SocketAddr, dscp: u8, is_shared: bool) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM.nonblocking().cloexec(), None)?;
    if local.is_ipv6() {
        // IPv4 has sockets of its own; mapped addresses would give one source two names.
        socket.set_only_v6(true)?;
    }
    // Best effort: the kernel caps it at net.core.rmem_max.
    let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
    socket.set_reuse_address(is_shared)?;
    socket.bind(&local.into())?;
    let fd = OwnedFd::from(socket);
    // RFC 2474: the upper six bits. Quality of service is no reason to have no call.
    let _ = match local {
        SocketAddr::V4(_) => sockopt::set_ip_tos(&fd, dscp << 2),
        SocketAddr::V6(_) => sockopt::set_ipv6_tclass(&fd, u32::from(dscp) << 2),
    };
    Ok(fd)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_marked_with_the_dscp() {
        let v4 = open("127.0.0.1:0".parse().unwrap(), 46).unwrap();
        assert_eq!(sockopt::ip_tos(&v4).unwrap(), 0xb8);
        let v6 = open("[::1]:0".parse().unwrap(), 34).unwrap();
        assert_eq!(sockopt::ipv6_tclass(&v6).unwrap(), 0x88);
        assert!(sockopt::ipv6_v6only(&v6).unwrap());
    }

    #[test]
    fn a_port_that_forks_share_tells_them_apart_by_their_source() {
        let first = open("127.0.0.1:0".parse().unwrap(), 0).unwrap();
        let local: SocketAddr = rustix::net::getsockname(&first).unwrap().try_into().unwrap();
        let fork = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let second = open_beside(&first, local, fork.local_addr().unwrap(), 0).unwrap();
        assert!(open(local, 0).is_err(), "nobody else gets in");
        let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for (from, to) in [(&fork, &second), (&other, &first), (&fork, &second)] {
            from.send_to(b"x", local).unwrap();
            let mut buffer = [0; 8];
            let flags = rustix::net::RecvFlags::DONTWAIT;
            assert!(rustix::net::recv(to, &mut buffer[..], flags).is_ok(), "loopback delivers at once");
        }
    }

    #[test]
    fn a_port_belongs_to_one_session() {
        let first = open("127.0.0.1:0".parse().unwrap(), 0).unwrap();
        let local: SocketAddr = rustix::net::getsockname(&first).unwrap().try_into().unwrap();
        assert!(open(local, 0).is_err(), "nobody else gets its packets");
        drop(first);
        assert!(open(local, 0).is_ok());
    }
}
