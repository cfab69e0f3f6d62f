//! Datagrams of sockets bound to a wildcard: which local address each came to, and answers from there.
//!
//! A UE's NAT takes an answer from another address for somebody else's (RFC 3581 §4, RFC 3261 §18.2.2),
//! and the kernel picks the source of a wildcard socket by route alone. `IP_PKTINFO` says and sets it.
//!
//! Unsafe: the two system calls take pointers to memory that lives as long as the call.

#![allow(unsafe_code)]

use crate::bind::DatagramSocket;
use core::mem::{size_of, zeroed};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::{SockAddr, SockAddrStorage};
use std::io;

/// Room for one control message of either family, aligned as its head asks.
type Control = [u64; 8];

/// One datagram: its length, its source, and for a wildcard socket the address it came to. `None` for one
/// that is not from the internet.
pub(crate) fn take(
    socket: &DatagramSocket,
    hot: &mut [u8],
) -> Result<Option<(usize, SocketAddr, Option<IpAddr>)>, Errno> {
    if socket.wildcard {
        let taken = receive(&socket.socket, hot);
        return taken.map(Some).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
    }
    let (count, _, source) = rustix::net::recvfrom(&socket.socket, hot, RecvFlags::DONTWAIT)?;
    Ok(source.and_then(|source| Some((count, source.try_into().ok()?, None))))
}

/// Has the kernel say which address each datagram came to.
pub(crate) fn enable(socket: &OwnedFd, v6: bool) -> io::Result<()> {
    let (level, name) = match v6 {
        true => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        false => (libc::IPPROTO_IP, libc::IP_PKTINFO),
    };
    let on: libc::c_int = 1;
    // SAFETY: `on` lives through the call and its size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes one datagram: its length, its source, and the address it came to.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, Option<IpAddr>)> {
    let mut storage = SockAddrStorage::zeroed();
    let mut control: Control = [0; 8];
    let mut piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeros is a valid msghdr: no pointers, no lengths.
    let mut head: libc::msghdr = unsafe { zeroed() };
    head.msg_name = (&raw mut storage).cast();
    head.msg_namelen = storage.size_of();
    head.msg_iov = &raw mut piece;
    head.msg_iovlen = 1;
    head.msg_control = control.as_mut_ptr().cast();
    head.msg_controllen = size_of::<Control>();
    // SAFETY: every pointer in `head` is to a local that lives through the call, with its length.
    let count = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut head, libc::MSG_DONTWAIT) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel wrote an address of `msg_namelen` bytes into `storage`.
    let source = unsafe { SockAddr::new(storage, head.msg_namelen) };
    let source = source.as_socket().ok_or_else(|| io::Error::other("not an internet address"))?;
    Ok((count, source, local_of(&head)))
}

fn local_of(head: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: `head` is as the kernel left it: `msg_controllen` bytes of whole control messages, in memory
    // that is aligned for them; CMSG_FIRSTHDR and CMSG_NXTHDR stay within.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(head);
        while let Some(message) = at.as_ref() {
            let data = libc::CMSG_DATA(at);
            match (message.cmsg_level, message.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    return Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    return Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                }
                _ => at = libc::CMSG_NXTHDR(head, at),
            }
        }
    }
    None
}

/// Sends one datagram from a certain local address.
pub(crate) fn send(socket: &OwnedFd, bytes: &[u8], peer: SocketAddr, from: IpAddr) -> io::Result<usize> {
    let peer = SockAddr::from(peer);
    let mut control: Control = [0; 8];
    let mut piece = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all zeros is a valid msghdr.
    let mut head: libc::msghdr = unsafe { zeroed() };
    head.msg_name = peer.as_ptr().cast_mut().cast();
    head.msg_namelen = peer.len();
    head.msg_iov = &raw mut piece;
    head.msg_iovlen = 1;
    head.msg_control = control.as_mut_ptr().cast();
    // SAFETY: CMSG_SPACE and CMSG_LEN compute; the room of `control` (64 bytes) holds either message, so
    // CMSG_FIRSTHDR is within it and CMSG_DATA leaves room for the structure that is written; sendmsg reads
    // locals that live through the call.
    let count = unsafe {
        match from {
            IpAddr::V4(ip) => {
                let mut info: libc::in_pktinfo = zeroed();
                info.ipi_spec_dst.s_addr = u32::from(ip).to_be();
                head.msg_controllen = libc::CMSG_SPACE(size_of::<libc::in_pktinfo>() as u32) as usize;
                let message = libc::CMSG_FIRSTHDR(&raw const head);
                (*message).cmsg_level = libc::IPPROTO_IP;
                (*message).cmsg_type = libc::IP_PKTINFO;
                (*message).cmsg_len = libc::CMSG_LEN(size_of::<libc::in_pktinfo>() as u32) as usize;
                libc::CMSG_DATA(message).cast::<libc::in_pktinfo>().write_unaligned(info);
            }
            IpAddr::V6(ip) => {
                let mut info: libc::in6_pktinfo = zeroed();
                info.ipi6_addr.s6_addr = ip.octets();
                head.msg_controllen = libc::CMSG_SPACE(size_of::<libc::in6_pktinfo>() as u32) as usize;
                let message = libc::CMSG_FIRSTHDR(&raw const head);
                (*message).cmsg_level = libc::IPPROTO_IPV6;
                (*message).cmsg_type = libc::IPV6_PKTINFO;
                (*message).cmsg_len = libc::CMSG_LEN(size_of::<libc::in6_pktinfo>() as u32) as usize;
                libc::CMSG_DATA(message).cast::<libc::in6_pktinfo>().write_unaligned(info);
            }
        }
        libc::sendmsg(socket.as_raw_fd(), &raw const head, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// The local addresses that datagrams came to: an answer names one by its place.
///
/// As many as one byte tells; a host with more answers from its own choice on the others.
#[derive(Debug, Default)]
pub(crate) struct Locals(Vec<IpAddr>);

impl Locals {
    /// The number of an address, from 1; 0 if there is no room for it.
    pub(crate) fn number_of(&mut self, ip: IpAddr) -> u8 {
        let at = self.0.iter().position(|known| *known == ip).unwrap_or_else(|| {
            if self.0.len() < usize::from(u8::MAX) {
                self.0.push(ip);
            }
            self.0.iter().position(|known| *known == ip).unwrap_or(usize::from(u8::MAX))
        });
        u8::try_from(at + 1).unwrap_or(0)
    }

    /// The address of a number.
    pub(crate) fn at(&self, number: u8) -> Option<IpAddr> {
        self.0.get(usize::from(number).checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_numbered_and_capped() {
        let mut locals = Locals::default();
        let ip = |n: u32| IpAddr::from(Ipv4Addr::from(n));
        assert_eq!((locals.number_of(ip(1)), locals.number_of(ip(2)), locals.number_of(ip(1))), (1, 2, 1));
        assert_eq!((locals.at(2), locals.at(0), locals.at(3)), (Some(ip(2)), None, None));
        for n in 0..1_000 {
            locals.number_of(ip(n));
        }
        assert_eq!(locals.0.len(), 255);
        assert_eq!(locals.number_of(ip(999)), 0);
    }
}
