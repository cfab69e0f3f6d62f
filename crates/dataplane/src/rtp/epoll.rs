//! Packets by recv and send, one for each report of epoll.

use super::{Outgoing, Rtp};
use core::net::SocketAddr;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use wire::Instant;

/// What was queued before a socket was connected, read in one turn at most.
const QUEUED_MAX: usize = 64;

impl Rtp {
    /// A socket has something to read.
    pub(crate) fn on_readable(&mut self, at: u32, now: Instant) {
        let mut buffer = core::mem::take(&mut self.buffer);
        self.pace.on_packet();
        for _ in 0..QUEUED_MAX {
            let Some((source, len)) = self.receive(at, &mut buffer) else { break };
            if let Some(outgoing) = self.judge(at, source, &mut buffer, len, now) {
                self.send(&outgoing, &buffer);
            }
            // What came before the socket was connected must be gone before its source is taken for
            // granted.
            let is_settling = |s: &super::socket::MediaSocket| s.connected.is_some() && !s.is_settled;
            if !self.sockets.get(at).is_some_and(is_settling) {
                break;
            }
        }
        self.buffer = buffer;
    }

    /// Reads one datagram, with room behind it for what SRTP adds.
    fn receive(&mut self, at: u32, buffer: &mut [u8]) -> Option<(SocketAddr, usize)> {
        let socket = self.sockets.get_mut(at)?;
        let room = buffer.len().saturating_sub(super::TAIL_BYTES);
        let buffer = buffer.get_mut(..room)?;
        if let Some(peer) = socket.connected.filter(|_| socket.is_settled) {
            // An error of an earlier datagram (ICMP) is told here; it says nothing about the next.
            let (_, len) = rustix::net::recv(&socket.fd, buffer, RecvFlags::DONTWAIT).ok()?;
            return Some((peer, len));
        }
        match rustix::net::recvfrom(&socket.fd, buffer, RecvFlags::DONTWAIT) {
            Ok((_, len, Some(source))) => Some((source.try_into().ok()?, len)),
            Err(Errno::AGAIN) => {
                socket.is_settled = socket.connected.is_some();
                None
            }
            _ => None,
        }
    }

    /// Sends what sessions have to say of themselves: handshakes.
    pub(super) fn send_handshakes(&mut self) {
        for (id, sending) in self.relay.take_sendings() {
            let sockets = self.held(id).map(|held| held.sockets);
            let at = sockets.map(|sockets| sockets[sending.to as usize][sending.component as usize]);
            let Some(socket) = at.and_then(|at| self.sockets.get(at)) else {
                self.counters.unsendable += 1;
                continue;
            };
            let sent = match socket.connected == Some(sending.peer) {
                true => rustix::net::send(&socket.fd, &sending.bytes, SendFlags::DONTWAIT),
                false => rustix::net::sendto(&socket.fd, &sending.bytes, SendFlags::DONTWAIT, &sending.peer),
            };
            self.counters.unsendable += u64::from(sent.is_err());
        }
    }

    fn send(&mut self, outgoing: &Outgoing, buffer: &[u8]) {
        let bytes = match outgoing.len {
            Some(len) => buffer.get(..len).unwrap_or_default(),
            None => &self.reply,
        };
        let Some(socket) = self.sockets.get(outgoing.socket) else {
            self.counters.unsendable += 1;
            return;
        };
        let send = || match socket.connected == Some(outgoing.peer) {
            true => rustix::net::send(&socket.fd, bytes, SendFlags::DONTWAIT),
            false => rustix::net::sendto(&socket.fd, bytes, SendFlags::DONTWAIT, &outgoing.peer),
        };
        // The ICMP answer to an earlier packet is told in place of sending this one: once.
        let sent = match send() {
            Err(Errno::CONNREFUSED) => send(),
            sent => sent,
        };
        self.counters.unsendable += u64::from(sent.is_err());
    }
}
