//! Bytes go out: written at once as far as the socket takes them, queued up to a cap beyond.

use super::{Heard, Hop, Io, READ_BYTES};
use crate::bind::Protocol;
use crate::conn::{OpenedBy, Stage};
use crate::counters::Way;
use crate::pktinfo;
use config::Config;
use core::net::SocketAddr;
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::net::{SendFlags, send, sendto};
use std::io::IoSlice;
use telemetry::flow;
use wire::{CloseReason, Realm, SocketId, StreamId};

/// Pieces given to one `writev`: few, or all that a read buffer of small messages makes. A write is a
/// segment, and a wake-up of the far end, of its own.
const PIECES_FEW: usize = 8;
const PIECES_MANY: usize = 128;

impl Io {
    /// Sends over any stream to `hop`, opening one if there is none.
    pub(crate) fn send_to_peer(&mut self, hop: Hop, bytes: &[u8]) {
        let max = self.config.limits.core_connections_per_peer;
        let least = self
            .pool
            .get(&hop)
            .and_then(|ids| ids.iter().filter_map(|id| Some((self.conns.get(*id)?.waiting(), *id))).min());
        let id = match least {
            Some((waiting, id)) => {
                // One more is opened for the traffic to come; this message does not wait for it.
                let count = self.pool.get(&hop).map_or(0, Vec::len);
                if waiting > 0 && count < max {
                    self.dial(hop, OpenedBy::Hop);
                }
                Some(id)
            }
            None => self.dial(hop, OpenedBy::Hop),
        };
        if let Some(id) = id {
            self.send(id, &[bytes]);
        }
    }

    /// Sends the parts in order; what the socket does not take is queued up to the cap.
    pub(crate) fn send(&mut self, id: StreamId, parts: &[&[u8]]) {
        let Some(conn) = self.conns.get_mut(id) else {
            return; // gone: swallowed, as the machine will hear or has heard
        };
        let total: usize = parts.iter().map(|part| part.len()).sum();
        match conn.stage {
            Stage::Lingering { .. } => return,
            Stage::Connecting { .. } | Stage::Handshaking { .. } | Stage::Upgrading { .. } => {
                if conn.waiting() + total > queue_max(&self.config, conn.kind.protocol) {
                    self.fail(id, CloseReason::QueueFull);
                    return;
                }
                let early = conn.early.get_or_insert_default();
                parts.iter().for_each(|part| early.push(part));
                self.counters.queued_bytes += total as u64;
                return;
            }
            Stage::Open => {}
        }
        match conn.websocket {
            None => self.transmit(id, parts),
            Some(_) => self.send_framed(id, parts),
        }
    }

    /// Sends what the layer below MSRP and SIP is to carry: the socket, or TLS over it.
    pub(super) fn transmit(&mut self, id: StreamId, parts: &[&[u8]]) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let total: usize = parts.iter().map(|part| part.len()).sum();
        self.counters.on_bytes(Way::Out, conn.kind.realm, conn.kind.transport, total);
        if conn.kind.realm == Realm::Core {
            conn.active_at = self.now;
        }
        let Some(tls) = &mut conn.tls else {
            self.write(id, parts);
            return;
        };
        let mut sealed = core::mem::take(&mut self.sealed);
        sealed.clear();
        let result = match parts {
            [part] => tls.encrypt(part, &mut sealed),
            _ => {
                // One record for head, body and end-line instead of three.
                self.gathered.clear();
                parts.iter().for_each(|part| self.gathered.extend_from_slice(part));
                tls.encrypt(&self.gathered, &mut sealed)
            }
        };
        match result {
            Ok(()) => self.write(id, &[&sealed]),
            Err(_) => self.fail(id, CloseReason::TlsFailed),
        }
        self.give_back_sealed(sealed);
    }

    pub(super) fn give_back_sealed(&mut self, mut sealed: Vec<u8>) {
        sealed.clear();
        // One huge message must not hold its memory for ever.
        sealed.shrink_to(4 * READ_BYTES);
        self.gathered.clear();
        self.gathered.shrink_to(4 * READ_BYTES);
        self.sealed = sealed;
    }

    /// Gives bytes to the socket as they are, after those that wait.
    pub(super) fn write(&mut self, id: StreamId, parts: &[&[u8]]) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let taken = if conn.queue.is_empty() { write_some(&conn.socket, parts) } else { Ok(0) };
        let Ok(mut taken) = taken else {
            self.fail(id, CloseReason::Failed);
            return;
        };
        let total: usize = parts.iter().map(|part| part.len()).sum();
        if taken == total {
            return;
        }
        let rest = total - taken;
        if conn.queue.len() + rest > queue_max(&self.config, conn.kind.protocol) {
            self.fail(id, CloseReason::QueueFull);
            return;
        }
        for part in parts {
            let skip = taken.min(part.len());
            taken -= skip;
            conn.queue.push(part.get(skip..).unwrap_or_default());
        }
        self.counters.queued_bytes += rest as u64;
        if conn.kind.protocol == Protocol::Msrp && conn.is_open() {
            conn.was_high |= conn.queue.len() > self.config.msrp.queue_low_bytes;
            self.heard.push_back(Heard::Queued(id));
        }
        self.refresh_interest(id);
    }

    /// The socket takes bytes again.
    pub(crate) fn on_writable(&mut self, id: StreamId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if !conn.queue.is_empty() {
            match write_some(&conn.socket, &[conn.queue.front()]) {
                Ok(taken) => {
                    conn.queue.advance(taken);
                    self.counters.queued_bytes = self.counters.queued_bytes.saturating_sub(taken as u64);
                }
                Err(_) => {
                    self.fail(id, CloseReason::Failed);
                    return;
                }
            }
            if conn.was_high && conn.queue.len() <= self.config.msrp.queue_low_bytes {
                conn.was_high = false;
                self.heard.push_back(Heard::Drained(id));
            }
        }
        self.refresh_interest(id);
        self.linger_on(id);
    }

    /// Sends one datagram; a full kernel drops it as the network would.
    pub(crate) fn send_datagram(&mut self, socket: SocketId, peer: SocketAddr, bytes: &[u8]) {
        let Some(out) = self.datagrams.get(usize::from(socket.bare().0)) else {
            self.counters.drop_datagram(flow::Drop::UnknownSocket);
            return;
        };
        let sent = match self.locals.at(socket.local()).filter(|from| from.is_ipv4() == peer.is_ipv4()) {
            Some(from) => pktinfo::send(&out.socket, bytes, peer, from)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO)),
            None => sendto(&out.socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL, &peer),
        };
        match sent {
            Ok(_) => self.counters.on_datagram(Way::Out, out.realm, bytes.len()),
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => {
                self.counters.drop_datagram(flow::Drop::BuffersFull);
            }
            Err(Errno::MSGSIZE) => self.counters.drop_datagram(flow::Drop::TooLong),
            Err(_) => self.counters.drop_datagram(flow::Drop::Unreachable),
        }
    }
}

/// The cap of one send queue.
///
/// The relay stops reading at its high mark; what was read by then, and one more buffer of each
/// session on the connection, must still fit.
fn queue_max(config: &Config, protocol: Protocol) -> usize {
    match protocol {
        Protocol::Sip => config.limits.send_queue_bytes_max,
        Protocol::Msrp => {
            config.limits.send_queue_bytes_max.max(2 * config.msrp.queue_high_bytes + 8 * READ_BYTES)
        }
    }
}

/// Writes until the socket is full or everything is out; how much it took.
fn write_some(socket: impl AsFd, parts: &[&[u8]]) -> Result<usize, Errno> {
    match parts {
        [part] => match send(&socket, part, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            written => written,
        },
        _ if parts.len() <= PIECES_FEW => write_pieces::<PIECES_FEW>(socket, parts),
        _ => write_pieces::<PIECES_MANY>(socket, parts),
    }
}

fn write_pieces<const N: usize>(socket: impl AsFd, parts: &[&[u8]]) -> Result<usize, Errno> {
    let mut taken = 0;
    for group in parts.chunks(N) {
        let mut pieces = [IoSlice::new(&[]); N];
        let mut wanted = 0;
        for (piece, part) in pieces.iter_mut().zip(group) {
            *piece = IoSlice::new(part);
            wanted += part.len();
        }
        match rustix::io::writev(&socket, pieces.get(..group.len()).unwrap_or_default()) {
            Ok(written) => {
                taken += written;
                if written < wanted {
                    break;
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}
