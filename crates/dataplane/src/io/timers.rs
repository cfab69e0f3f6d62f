//! What epoll watches for, and when a connection's time is up.

use super::{Io, must_register, word};
use crate::bind::Protocol;
use crate::conn::{Kind, Stage};
use crate::wheel::Alarm;
use core::time::Duration;
use rustix::event::epoll;
use wire::{CloseReason, Instant, Realm, StreamId, Transport};

impl Io {
    /// Reads, or stops reading, a connection of the relay.
    pub(crate) fn set_paused(&mut self, id: StreamId, paused: bool) {
        let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.is_open() && conn.paused != paused) else {
            return;
        };
        conn.paused = paused;
        self.counters.paused =
            if paused { self.counters.paused + 1 } else { self.counters.paused.saturating_sub(1) };
        self.refresh_interest(id);
    }

    pub(crate) fn refresh_interest(&mut self, id: StreamId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let wanted = conn.wanted();
        if wanted != conn.interest {
            conn.interest = wanted;
            if epoll::modify(&self.epoll, &conn.socket, word(id), wanted).is_err() {
                self.fail(id, CloseReason::Failed);
            }
        }
    }

    /// Keeps a silent connection for so long, whatever its idle timer says (R8).
    pub(crate) fn hold_open(&mut self, id: StreamId, at_least: Duration) {
        let until = self.now + at_least;
        if let Some(conn) = self.conns.get_mut(id) {
            conn.hold_until = conn.hold_until.max(until);
        }
    }

    /// Sees to it that the wheel rings no later than the connection's next deadline.
    pub(crate) fn arm(&mut self, id: StreamId) {
        let Some(at) = self.due(id) else {
            return;
        };
        if let Some(conn) = self.conns.get_mut(id)
            && conn.armed_at.is_none_or(|armed| at < armed)
        {
            conn.armed_at = Some(at);
            self.wheel.insert(Alarm { id, at });
        }
    }

    /// When something must be done about a connection that stays as it is.
    fn due(&self, id: StreamId) -> Option<Instant> {
        let conn = self.conns.get(id)?;
        match conn.stage {
            Stage::Connecting { due }
            | Stage::Handshaking { due }
            | Stage::Upgrading { due }
            | Stage::Lingering { due } => Some(due),
            Stage::Open => {
                let idle = self.idle_max(&conn.kind).map(|max| (conn.active_at + max).max(conn.hold_until));
                let proof = must_register(&conn.kind)
                    .then(|| conn.trusted_at + self.config.timers.unregistered_idle());
                [idle, proof].into_iter().flatten().min()
            }
        }
    }

    /// R4; the relay looks after its connections itself.
    pub(crate) fn idle_max(&self, kind: &Kind) -> Option<Duration> {
        let timers = &self.config.timers;
        match (kind.protocol, kind.realm, kind.transport) {
            (Protocol::Msrp, ..) => None,
            (Protocol::Sip, Realm::Core, _) => Some(timers.core_idle()),
            (Protocol::Sip, Realm::Access, Transport::Tls) => Some(timers.tls_idle()),
            (Protocol::Sip, Realm::Access, _) => Some(timers.tcp_idle()),
        }
    }

    /// The alarms that rang and still mean something.
    pub(crate) fn rung(&mut self, due: &mut Vec<Alarm>) {
        due.clear();
        self.wheel.expire(self.now, due);
        let conns = &mut self.conns;
        due.retain(|alarm| match conns.get_mut(alarm.id) {
            Some(conn) if conn.armed_at == Some(alarm.at) => {
                conn.armed_at = None;
                true
            }
            _ => false,
        });
    }

    /// Whether the connection's deadline passed; if not, its alarm is set again.
    pub(crate) fn is_due(&mut self, id: StreamId) -> bool {
        match self.due(id) {
            Some(at) if at <= self.now => true,
            _ => {
                self.arm(id);
                false
            }
        }
    }

    /// Everything closes: the shard ends.
    pub(crate) fn close_all(&mut self) {
        for id in self.conns.ids() {
            self.close(id, CloseReason::Local);
        }
        self.heard.clear();
    }
}
