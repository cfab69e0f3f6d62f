//! Bytes come in, one buffer at a time.

use super::{Got, Io, READ_BYTES};
use crate::conn::Stage;
use crate::counters::Way;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use wire::{CloseReason, StreamId};

impl Io {
    /// Reads once. Fairness: a busy connection gets one buffer a turn, like every other.
    pub(crate) fn read(&mut self, id: StreamId, hot: &mut [u8], plain: &mut Vec<u8>) -> Got {
        let Some(conn) = self.conns.get_mut(id) else {
            return Got::Nothing;
        };
        let lingering = matches!(conn.stage, Stage::Lingering { .. });
        let pending = conn.tls.as_ref().map_or(&[][..], |tls| tls.pending());
        let kept = if lingering { 0 } else { pending.len() };
        let Some((front, room)) = hot.split_at_mut_checked(kept) else {
            return Got::Nothing;
        };
        let room = room.get_mut(..READ_BYTES).unwrap_or_default();
        if !lingering {
            front.copy_from_slice(pending);
        }
        let read = match recv(&conn.socket, room, RecvFlags::DONTWAIT) {
            Ok((0, _)) => {
                self.on_peer_closed(id);
                return Got::Nothing;
            }
            Ok((read, _)) => read,
            Err(Errno::AGAIN | Errno::INTR) => return Got::Nothing,
            Err(_) => {
                self.fail(id, CloseReason::Failed);
                return Got::Nothing;
            }
        };
        if lingering {
            return Got::Nothing;
        }
        if conn.tls.is_some() {
            let all = hot.get_mut(..kept + read).unwrap_or_default();
            let mut peer_closed = self.decrypt(id, all, plain);
            if !plain.is_empty() {
                let left = self.unframe(id, plain);
                plain.truncate(left.plain);
                peer_closed |= left.is_last;
            }
            return match (plain.is_empty(), peer_closed) {
                (false, true) => Got::Last,
                (false, false) => Got::Plain,
                (true, true) => {
                    self.on_peer_closed(id);
                    Got::Nothing
                }
                (true, false) => Got::Nothing,
            };
        }
        conn.active_at = self.now;
        self.counters.on_bytes(Way::In, conn.kind.realm, conn.kind.transport, read);
        if conn.websocket.is_none() {
            return Got::Raw(read);
        }
        let left = self.unframe(id, hot.get_mut(..read).unwrap_or_default());
        match (left.plain, left.is_last) {
            (0, true) => {
                self.on_peer_closed(id);
                Got::Nothing
            }
            (0, false) => Got::Nothing,
            (count, false) => Got::Raw(count),
            (count, true) => Got::LastRaw(count),
        }
    }

    /// Runs TLS over what came in; whether the peer said that this was all.
    pub(super) fn decrypt(&mut self, id: StreamId, incoming: &mut [u8], plain: &mut Vec<u8>) -> bool {
        let Some(conn) = self.conns.get_mut(id) else {
            return false;
        };
        let Some(tls) = &mut conn.tls else {
            return false;
        };
        let mut sealed = core::mem::take(&mut self.sealed);
        sealed.clear();
        let result = tls.process(incoming, plain, &mut sealed);
        let version = tls.version();
        if !plain.is_empty() {
            // Only what the peer says counts as life: a handshake or a key update does not (R4).
            conn.active_at = self.now;
            self.counters.on_bytes(Way::In, conn.kind.realm, conn.kind.transport, plain.len());
        }
        if !sealed.is_empty() {
            self.write(id, &[&sealed]);
        }
        self.give_back_sealed(sealed);
        match result {
            Ok(outcome) => {
                if outcome.opened {
                    self.counters.handshakes_open = self.counters.handshakes_open.saturating_sub(1);
                    self.counters.handshakes[0] += 1;
                    let new = usize::from(version == Some(rustls::ProtocolVersion::TLSv1_3));
                    self.counters.versions[new] += 1;
                    self.open(id);
                }
                outcome.peer_closed
            }
            Err(error) => {
                tracing::debug!(%id, %error, "TLS failed");
                self.fail(id, CloseReason::TlsFailed);
                false
            }
        }
    }
}
