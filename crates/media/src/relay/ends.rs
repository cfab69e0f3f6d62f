//! Connections and sessions: how they come, how they go, and what time does to them.

use super::MsrpRelay;
use super::api::{Action, Limits, Outbox};
use super::conn::{Conn, Due, Flow, Wait};
use super::route::Demand;
use super::session::{SIDES, Session};
use super::timers::Alarm;
use crate::command::{MediaNotice, MsrpRecord, MsrpSession, MsrpSide, Opening};
use wire::{Cause, Instant, MediaId, Realm, StreamId};

impl MsrpRelay {
    pub(super) fn on_opened(
        &mut self,
        id: StreamId,
        conn: Conn,
        dialled_for: Option<MediaId>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let realm = conn.realm;
        // The session may have ended, or its peer have connected by itself, while the dial was under way.
        let is_wanted = dialled_for.is_none_or(|session| {
            let session = self.sessions.of(session);
            session.is_some_and(|session| session.side(realm).conn.is_none())
        });
        let is_full = self.conns.count() >= self.limits.connections_max;
        if is_full {
            self.count(Cause::TooManyConnections);
        }
        if is_full || !is_wanted {
            out.actions.push(Action::Close { conn: id });
            if let Some(session) = dialled_for {
                self.on_dial_over(session, realm);
            }
            return;
        }
        if let Some(session) = dialled_for
            && !self.shows_certificate(&conn, session)
        {
            // RFC 8122 §5: what was announced is not what is there.
            self.count(Cause::MsrpBadCertificate);
            out.actions.push(Action::Close { conn: id });
            return self.on_dial_failed(session, realm, Cause::MsrpBadCertificate, now, out);
        }
        self.counters.connections += 1;
        self.conns.insert(id, conn);
        if let Some(session) = dialled_for {
            self.link(id, session, now, out);
        }
        self.arm_conn(id);
    }

    fn on_dial_over(&mut self, session: MediaId, realm: Realm) {
        if let Some(session) = self.sessions.of_mut(session) {
            session.side_mut(realm).is_dialling = false;
        }
    }

    pub(super) fn on_dial_failed(
        &mut self,
        id: MediaId,
        realm: Realm,
        cause: Cause,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.of_mut(id) else { return };
        let side = session.side_mut(realm);
        if side.conn.is_some() {
            side.is_dialling = false;
            return; // the peer connected by itself meanwhile
        }
        for waiter in session.waiters.clone() {
            self.expire(waiter);
        }
        self.run_ready(now, out); // they are answered 408 while the session still is there
        self.end_session(id, cause, now, out);
    }

    /// Opens a session, or replaces what is known of one.
    pub(super) fn on_session(&mut self, spec: MsrpSession, now: Instant, out: &mut Outbox) {
        let id = spec.id;
        if self.sessions.collides(&spec, &mut self.scratch) {
            self.refuse_session(id, Cause::MsrpSessionCollision, now, out);
        } else if self.sessions.of(id).is_some() {
            self.update_session(&spec, now, out);
        } else if self.sessions.count() >= self.limits.sessions_max {
            self.refuse_session(id, Cause::TableFull, now, out);
        } else {
            self.counters.sessions += 1;
            self.rates.enter(spec.user);
            self.sessions.insert(Session::new(spec, now), &mut self.scratch);
            self.arm_session(id);
        }
        for realm in SIDES {
            self.dial(id, realm, Demand::BySession, out);
        }
    }

    fn refuse_session(&mut self, id: MediaId, cause: Cause, now: Instant, out: &mut Outbox) {
        self.count(cause);
        if self.sessions.of(id).is_some() {
            return self.end_session(id, cause, now, out);
        }
        let totals = crate::command::MediaTotals::default();
        out.actions.push(Action::Notice(MediaNotice::Ended { id, cause, totals }));
    }

    fn update_session(&mut self, spec: &MsrpSession, now: Instant, out: &mut Outbox) {
        let id = spec.id;
        let Some(old) = self.sessions.replace(spec, &mut self.scratch) else { return };
        for realm in SIDES {
            let Some(session) = self.sessions.of_mut(id) else { return };
            if has_moved(old.side(realm), session.spec.side(realm)) {
                // The peer announced another place: what is bound must not keep the new connection out.
                let side = session.side_mut(realm);
                side.is_dialling = false;
                side.lost_at = None;
                if let Some(conn) = side.conn.take() {
                    self.unlink(conn, id, now, out);
                }
            }
        }
        if let Some(session) = self.sessions.of_mut(id) {
            session.last_activity_at = now;
            self.ready.extend(session.waiters.drain(..));
        }
        self.arm_session(id);
    }

    /// Ends a session; its connections go if they carry no other.
    pub(super) fn end_session(&mut self, id: MediaId, cause: Cause, now: Instant, out: &mut Outbox) {
        let Some(mut session) = self.sessions.remove(id, &mut self.scratch) else { return };
        self.rates.leave(session.spec.user);
        self.timers.disarm(Alarm::Session(id), &mut session.armed);
        let peers =
            SIDES.map(|realm| session.side(realm).conn.and_then(|conn| Some(self.conns.of(conn)?.peer)));
        for realm in SIDES {
            if let Some(conn) = session.side(realm).conn {
                self.unlink(conn, id, now, out);
            }
        }
        self.ready.append(&mut session.waiters.drain(..).collect());
        if self.classic.as_mut().is_some_and(|classic| classic.forget(id)) {
            return; // the edge knows nothing of it
        }
        let totals = session.totals;
        out.actions.push(Action::Record(Box::new(MsrpRecord {
            id,
            call_id: session.spec.call_id,
            cause,
            duration: now.since(session.opened_at),
            first_message_after: session.first_message_at.map(|at| at.since(session.opened_at)),
            peers,
            totals,
        })));
        out.actions.push(Action::Notice(MediaNotice::Ended { id, cause, totals }));
    }

    /// Takes a session off a connection, which is closed when that was the last.
    pub(super) fn unlink(&mut self, id: StreamId, session: MediaId, now: Instant, out: &mut Outbox) {
        let Some(conn) = self.conns.of_mut(id) else { return };
        conn.sessions.retain(|bound| *bound != session);
        if conn.last == Some(session) {
            conn.last = None;
        }
        if matches!(&conn.flow, Flow::Forward(forward) if forward.session == session)
            && let Flow::Forward(forward) = core::mem::take(&mut conn.flow)
        {
            self.abandon(id, &forward, out);
        }
        if self.conns.of(id).is_some_and(|conn| conn.sessions.is_empty()) && !self.has_grant(id, now) {
            self.remove_conn(id, By::Us, now, out);
        }
    }

    /// Closes a connection for a fault of its own.
    pub(super) fn close(&mut self, id: StreamId, cause: Cause, now: Instant, out: &mut Outbox) {
        self.count(cause);
        self.remove_conn(id, By::Us, now, out);
    }

    /// The peer sends nothing more: what it began is torn, what it waits for may still come.
    pub(super) fn on_half_closed(&mut self, id: StreamId, now: Instant, out: &mut Outbox) {
        let Some(conn) = self.conns.of_mut(id) else { return };
        conn.ended_at = Some(now);
        if conn.wait == Wait::None {
            self.end_input(id, now, out);
        }
        self.arm_conn(id);
    }

    /// All that the peer of a half-closed connection sent was looked at.
    pub(super) fn end_input(&mut self, id: StreamId, now: Instant, out: &mut Outbox) {
        let Some(conn) = self.conns.of_mut(id) else { return };
        conn.reader = None;
        if let Flow::Forward(forward) = core::mem::take(&mut conn.flow) {
            self.abandon(id, &forward, out);
        }
        self.set_flow(id, Flow::None);
        self.close_if_drained(id, now, out);
    }

    /// Closes a connection whose peer sends nothing more, once nothing is on its way to it.
    pub(super) fn close_if_drained(&mut self, id: StreamId, now: Instant, out: &mut Outbox) {
        let is_drained = self.conns.of(id).is_some_and(|conn| {
            let is_quiet = conn.writer.is_none() && conn.waiting.is_empty() && conn.full_since.is_none();
            conn.ended_at.is_some() && conn.wait == Wait::None && conn.unanswered == 0 && is_quiet
        });
        if is_drained {
            self.remove_conn(id, By::Us, now, out);
        }
    }

    pub(super) fn on_closed(&mut self, id: StreamId, now: Instant, out: &mut Outbox) {
        self.remove_conn(id, By::Peer, now, out);
    }

    /// Forgets a connection that is gone, or that we close.
    pub(super) fn remove_conn(&mut self, id: StreamId, by: By, now: Instant, out: &mut Outbox) {
        let Some(mut conn) = self.conns.remove(id) else { return };
        self.timers.disarm(Alarm::Conn(id), &mut conn.armed);
        self.held_bytes -= conn.held.len();
        self.revoke_all(&conn.grants);
        self.leave_source(id, &mut conn, out);
        self.leave_destination(&conn, out);
        if by == By::Us {
            out.actions.push(Action::Close { conn: id });
        }
        for session_id in conn.sessions {
            let Some(session) = self.sessions.of_mut(session_id) else { continue };
            let side = session.side_mut(conn.realm);
            if side.conn == Some(id) {
                side.conn = None;
                side.lost_at = Some(now);
                self.arm_session(session_id);
            }
        }
    }

    /// A source goes: its message ends where it stands, and nobody waits for it.
    fn leave_source(&mut self, id: StreamId, conn: &mut Conn, out: &mut Outbox) {
        if let Flow::Forward(forward) = core::mem::take(&mut conn.flow) {
            self.end_abandoned(id, conn.realm, conn.transaction, &forward, out);
        }
        self.stop_waiting(id, conn.wait);
        if let Wait::Turn { to } | Wait::Queue { to } = conn.wait {
            self.wake_next(to);
        }
    }

    /// A destination goes: the message that was being written is lost, and who waited looks again.
    fn leave_destination(&mut self, conn: &Conn, out: &mut Outbox) {
        self.ready.extend(&conn.waiting);
        if let Some(source) = conn.writer {
            self.give_up(source, Cause::MsrpPeerGone, out);
        }
    }

    /// The shell wrote, and so much waits: those who fill the connection pause at the high mark.
    pub(super) fn on_queued(&mut self, id: StreamId, bytes: usize, now: Instant, out: &mut Outbox) {
        let Some(conn) = self.conns.of_mut(id) else { return };
        if bytes < self.limits.queue_high_bytes || conn.full_since.is_some() {
            return;
        }
        conn.full_since = Some(now);
        if let Some(source) = conn.writer
            && self.conns.of(source).is_some_and(|conn| conn.wait == Wait::None)
        {
            self.hold(source, Wait::Queue { to: id }, Vec::new(), now, out);
        }
        self.arm_conn(id);
    }

    pub(super) fn on_drained(&mut self, id: StreamId, out: &mut Outbox) {
        let Some(conn) = self.conns.of_mut(id) else { return };
        conn.full_since = None;
        match conn.writer {
            Some(source) => {
                self.interrupt(id, out);
                self.ready.push_back(source);
            }
            None => self.wake_next(id),
        }
    }

    /// Lets a connection that waits for a far side go on with 408 for its message.
    fn expire(&mut self, id: StreamId) {
        if let Some(conn) = self.conns.of_mut(id) {
            conn.is_expired = true;
            self.ready.push_back(id);
        }
    }

    /// Makes sure the connection is looked at when its next clock runs out.
    pub(super) fn arm_conn(&mut self, id: StreamId) {
        let Some(conn) = self.conns.of_mut(id) else { return };
        if let Some((at, _)) = conn.next_due(&self.limits) {
            self.timers.arm(Alarm::Conn(id), &mut conn.armed, at);
        }
    }

    pub(super) fn arm_session(&mut self, id: MediaId) {
        let Some(session) = self.sessions.of_mut(id) else { return };
        let (at, _) = session.next_due(&self.limits);
        self.timers.arm(Alarm::Session(id), &mut session.armed, at);
    }

    pub(super) fn on_alarm(&mut self, alarm: Alarm, now: Instant, out: &mut Outbox) {
        match alarm {
            Alarm::Conn(id) => self.on_conn_alarm(id, now, out),
            Alarm::Session(id) => self.on_session_alarm(id, now, out),
        }
    }

    fn on_conn_alarm(&mut self, id: StreamId, now: Instant, out: &mut Outbox) {
        let Some(conn) = self.conns.of_mut(id) else { return };
        conn.armed = None;
        match conn.next_due(&self.limits) {
            Some((at, due)) if at <= now => match due {
                Due::Unbound => self.close(id, Cause::MsrpUnbound, now, out),
                Due::Chunk => self.close(id, Cause::MsrpChunkTimeout, now, out),
                Due::Stalled => self.close(id, Cause::PeerNotReading, now, out),
                Due::Far => self.expire(id),
                Due::Rate => self.ready.push_back(id),
                Due::Ended => self.remove_conn(id, By::Us, now, out),
            },
            _ => self.arm_conn(id),
        }
    }

    fn on_session_alarm(&mut self, id: MediaId, now: Instant, out: &mut Outbox) {
        let Some(session) = self.sessions.of_mut(id) else { return };
        session.armed = None;
        match session.next_due(&self.limits) {
            (at, cause) if at <= now => {
                self.count(cause);
                self.end_session(id, cause, now, out);
            }
            _ => self.arm_session(id),
        }
    }
}

impl Session {
    /// When it ends if nothing happens, and why.
    fn next_due(&self, limits: &Limits) -> (Instant, Cause) {
        let idle = (self.last_activity_at + self.spec.idle_max, Cause::MsrpIdle);
        let lost = SIDES.into_iter().filter_map(|realm| {
            // A peer that we dial may be dialled again as long as the session lives; one that dials us
            // either comes back soon or never.
            let listens = self.spec.side(realm).opening == Opening::Listen;
            let at = self.side(realm).lost_at.filter(|_| listens)?;
            Some((at + limits.bind_max, Cause::MsrpPeerGone))
        });
        let expired = limits.session_max.map(|max| (self.opened_at + max, Cause::MsrpExpired));
        lost.chain(expired).chain([idle]).min_by_key(|(at, _)| *at).unwrap_or(idle)
    }
}

/// Who ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The relay: the shell is told to close it.
    Us,
    /// The peer or the network: it is closed already.
    Peer,
}

/// Whether a peer that was known before is to be found elsewhere.
fn has_moved(old: &MsrpSide, new: &MsrpSide) -> bool {
    let known = old.remote_path.is_some();
    known
        && (old.remote_path != new.remote_path
            || old.opening != new.opening
            || old.expect_source != new.expect_source)
}
