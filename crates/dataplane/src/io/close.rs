//! Connections end: in good order with last words, or at once.

use super::Heard;
use super::{Hop, Io};
use crate::bind::Protocol;
use crate::conn::{OpenedBy, Stage};
use core::time::Duration;
use rustix::net::{Shutdown, shutdown};
use telemetry::flow;
use wire::{CloseReason, StreamId};

/// How long last words may take once a connection is closed by us.
const LINGER: Duration = Duration::from_secs(3);

impl Io {
    /// The machine is done with it: last words go out, then it is closed.
    pub(crate) fn close(&mut self, id: StreamId, reason: CloseReason) {
        self.close_as(id, reason, flow::reason_cell(reason));
    }

    pub(crate) fn close_as(&mut self, id: StreamId, reason: CloseReason, cell: usize) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        match conn.stage {
            Stage::Lingering { .. } => return,
            Stage::Connecting { .. } | Stage::Handshaking { .. } => {
                self.fail_as(id, reason, cell);
                return;
            }
            Stage::Upgrading { .. } | Stage::Open => {}
        }
        let was_known = conn.is_open();
        self.say_goodbye(id);
        self.counters.closed[cell] += 1;
        self.leave_pool(id);
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if was_known {
            self.heard.push_back(Heard::Closed(id, conn.kind.protocol, reason));
        }
        conn.stage = Stage::Lingering { due: self.now + LINGER };
        if conn.paused {
            conn.paused = false;
            self.counters.paused = self.counters.paused.saturating_sub(1);
        }
        if let Some(tls) = &mut conn.tls {
            let mut sealed = core::mem::take(&mut self.sealed);
            sealed.clear();
            if tls.close_notify(&mut sealed).is_ok() {
                self.write(id, &[&sealed]);
            }
            self.give_back_sealed(sealed);
        }
        self.arm(id);
        self.refresh_interest(id);
        self.linger_on(id);
    }

    /// The peer said that nothing more will come.
    ///
    /// The relay may still have something for it. To SIP a flow is both ways or nothing, so the machine hears that it is gone; what was queued
    /// for a peer that only closed its own half still reaches it.
    pub(crate) fn on_peer_closed(&mut self, id: StreamId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let was_closed = core::mem::replace(&mut conn.read_closed, true);
        let has_half = conn.kind.protocol == Protocol::Msrp && conn.websocket.is_none();
        match conn.stage {
            Stage::Lingering { .. } => self.linger_on(id),
            // It was told already: this time both ways are closed.
            Stage::Open if was_closed => self.fail(id, CloseReason::PeerClosed),
            Stage::Open if has_half => {
                self.refresh_interest(id);
                self.heard.push_back(Heard::HalfClosed(id));
            }
            Stage::Open => self.close(id, CloseReason::PeerClosed),
            _ => self.fail(id, CloseReason::PeerClosed),
        }
    }

    /// One step of the way out: flushed? then tell the peer; has it heard? then gone.
    pub(super) fn linger_on(&mut self, id: StreamId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if !matches!(conn.stage, Stage::Lingering { .. }) || !conn.queue.is_empty() {
            return;
        }
        if conn.read_closed {
            self.drop_conn(id);
        } else if !conn.write_closed {
            conn.write_closed = true;
            if shutdown(&conn.socket, Shutdown::Write).is_err() {
                self.drop_conn(id);
            }
        }
    }

    /// It broke: nothing more can or should be sent.
    pub(crate) fn fail(&mut self, id: StreamId, reason: CloseReason) {
        self.fail_as(id, reason, flow::reason_cell(reason));
    }

    pub(crate) fn fail_as(&mut self, id: StreamId, reason: CloseReason, cell: usize) {
        let Some(conn) = self.conns.get(id) else {
            return;
        };
        let (stage, kind, peer) = (conn.stage, conn.kind, conn.peer);
        self.leave_pool(id);
        match stage {
            Stage::Lingering { .. } => {}
            Stage::Upgrading { .. } => self.counters.closed[cell] += 1,
            Stage::Open => {
                self.counters.closed[cell] += 1;
                self.heard.push_back(Heard::Closed(id, kind.protocol, reason));
            }
            Stage::Connecting { .. } | Stage::Handshaking { .. } => {
                self.counters.closed[cell] += 1;
                if matches!(stage, Stage::Handshaking { .. }) {
                    self.counters.handshakes_open = self.counters.handshakes_open.saturating_sub(1);
                    let timed_out = cell == flow::REASON_HANDSHAKE_TIMEOUT;
                    self.counters.handshakes[if timed_out { 2 } else { 1 }] += 1;
                }
                if kind.opened_by != OpenedBy::Peer {
                    self.dial_failed(
                        Hop { realm: kind.realm, transport: kind.transport, peer },
                        kind.opened_by,
                    );
                }
            }
        }
        self.drop_conn(id);
    }

    fn leave_pool(&mut self, id: StreamId) {
        let Some(conn) = self.conns.get(id).filter(|conn| conn.kind.opened_by == OpenedBy::Hop) else {
            return;
        };
        let hop = Hop { realm: conn.kind.realm, transport: conn.kind.transport, peer: conn.peer };
        if let Some(ids) = self.pool.get_mut(&hop) {
            ids.retain(|known| *known != id);
            if ids.is_empty() {
                self.pool.remove(&hop);
            }
        }
    }

    fn drop_conn(&mut self, id: StreamId) {
        if let Some(conn) = self.conns.remove(id) {
            self.counters.on_gone(conn.kind);
            self.counters.queued_bytes = self.counters.queued_bytes.saturating_sub(conn.waiting() as u64);
            if conn.paused {
                self.counters.paused = self.counters.paused.saturating_sub(1);
            }
        }
    }
}
