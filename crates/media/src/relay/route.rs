//! What becomes of a message, by its head: which session it belongs to, and whether it may pass.

use super::MsrpRelay;
use super::answer::is_answerable;
use super::api::{Action, Outbox, Trust};
use super::conn::{Conn, Forward, Refusal, Wait};
use super::content;
use super::session::Found;
use super::split::Meaning;
use crate::command::{MediaNotice, Opening};
use msrp::{Head, Method, Start};
use wire::{Cause, Instant, MediaId, Realm, StreamId};

/// What is to be done with a message, by its head.
pub(super) enum Route {
    /// Pass it on.
    To(Forward),
    /// Not yet.
    Hold(Wait),
    /// Answer it ourselves and swallow it.
    Refuse(Refusal),
    /// Swallow it, as a fault.
    Drop(Cause),
    /// Swallow it: it is the relay's own business.
    Swallow,
}

impl MsrpRelay {
    pub(super) fn route(&mut self, id: StreamId, head: &Head<'_>, now: Instant, out: &mut Outbox) -> Route {
        let Some(conn) = self.conns.of(id) else { return Route::Drop(Cause::Internal) };
        let (realm, last) = (conn.realm, conn.last);
        if !head.has_clear_paths() {
            return Route::Refuse(Refusal::new(Cause::MsrpBadRequest));
        }
        let found = match last {
            Some(last) if head.is_usual() => Found::Session(last),
            _ => self.sessions.find(realm, head.to_path(), head.from_path(), last, &mut self.scratch),
        };
        let is_request = head.method().is_some();
        let session = match found {
            Found::Session(session) => session,
            Found::Malformed => return Route::Refuse(Refusal::new(Cause::MsrpBadRequest)),
            Found::Unknown => return self.route_classic(id, head, now, out),
            _ if !is_request => return Route::Drop(Cause::StrayResponse),
            Found::Pending(session) if !self.is_expected(conn, session) => {
                return Route::Refuse(Refusal::closing(Cause::MsrpWrongSource));
            }
            Found::Pending(session) => return self.await_far(conn, session, now),
        };
        if let Err(refusal) = self.bind(id, session, head, now, out) {
            return match is_request {
                true => Route::Refuse(refusal),
                false => Route::Drop(refusal.cause),
            };
        }
        self.route_within(id, realm, session, head, now, out)
    }

    /// The message belongs to this session and came over its connection.
    pub(super) fn route_within(
        &mut self,
        id: StreamId,
        realm: Realm,
        session: MediaId,
        head: &Head<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> Route {
        match head.start() {
            Start::Request(method) => self.route_request(id, realm, session, method, head, now, out),
            Start::Response(status) => self.route_response(id, realm, session, status, head),
        }
    }

    /// The request belongs to this session and came over its connection.
    #[allow(clippy::too_many_arguments)] // a head, where it came from, and the world
    fn route_request(
        &mut self,
        id: StreamId,
        realm: Realm,
        session_id: MediaId,
        method: Method,
        head: &Head<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> Route {
        let Some(session) = self.sessions.of(session_id) else { return Route::Drop(Cause::Internal) };
        let far = session.side(realm.other()).conn.and_then(|to| Some((to, self.conns.of(to)?)));
        let Some(conn) = self.conns.of(id) else { return Route::Drop(Cause::Internal) };
        let Some((to, far)) = far else {
            let route = self.await_far(conn, session_id, now);
            self.dial(session_id, realm.other(), Demand::ByMessage, out);
            return route;
        };
        let is_send = method == Method::Send && head.has_body();
        let range = head.byte_range().filter(|_| is_send);
        let total = range.and_then(|range| range.total).unwrap_or(0);
        if total > session.spec.message_bytes_max(realm) {
            return Route::Refuse(Refusal::new(Cause::BodyTooLong));
        }
        if is_send && let Some(cause) = content::refused(head, &session.spec, realm) {
            return Route::Refuse(Refusal::new(cause));
        }
        if !far.takes_from(id, conn.turn == Some(to)) {
            return Route::Hold(Wait::Turn { to });
        }
        let start = range.map_or(0, |range| range.start.saturating_sub(1));
        let message = if is_send { self.sessions.hash(head.message_id()) } else { 0 };
        Route::To(Forward {
            to,
            session: session_id,
            has_body: head.has_body(),
            is_send,
            is_answerable: is_answerable(head),
            message,
            position: if is_send { session.side(realm).sizes.position(message, start) } else { 0 },
            octets: 0,
            kept: None,
            alias: None,
        })
    }

    /// The response belongs to this session and came over its connection.
    fn route_response(
        &mut self,
        id: StreamId,
        realm: Realm,
        session_id: MediaId,
        status: u16,
        head: &Head<'_>,
    ) -> Route {
        let to = self.sessions.of(session_id).and_then(|session| session.side(realm.other()).conn);
        let Some((to, far)) = to.and_then(|to| Some((to, self.conns.of_mut(to)?))) else {
            return Route::Drop(Cause::MsrpPeerGone);
        };
        if far.answered.as_ref().is_some_and(|id| id.as_bytes() == head.id()) {
            far.answered = None; // the relay answered this one when it gave the message up
            return Route::Drop(Cause::StrayResponse);
        }
        let Some(conn) = self.conns.of(id) else { return Route::Drop(Cause::Internal) };
        let turn = conn.turn == Some(to);
        if self.conns.of(to).is_some_and(|far| !far.takes_from(id, turn)) {
            return Route::Hold(Wait::Turn { to });
        }
        let alias = match self.meaning(id, head.id(), status) {
            Meaning::Plain => None,
            Meaning::Nothing => return Route::Swallow,
            Meaning::Of(original) => Some(Box::new(original)),
        };
        if let Some(far) = self.conns.of_mut(to) {
            far.unanswered = far.unanswered.saturating_sub(1);
        }
        Route::To(Forward {
            to,
            session: session_id,
            has_body: head.has_body(),
            is_send: false,
            is_answerable: false,
            message: 0,
            position: 0,
            octets: 0,
            kept: None,
            alias,
        })
    }

    /// Waits for the far side of a session to be known and connected, unless it did for long enough.
    fn await_far(&self, conn: &Conn, session: MediaId, now: Instant) -> Route {
        let waiters = self.sessions.of(session).map_or(0, |session| session.waiters.len());
        if conn.is_expired || waiters >= WAITERS_MAX {
            return Route::Refuse(Refusal::new(Cause::MsrpPeerGone));
        }
        let until = now + self.limits.wait_max;
        Route::Hold(Wait::Far { session, until })
    }

    /// Checks that `session` is bound to this connection, or binds it (R77).
    fn bind(
        &mut self,
        id: StreamId,
        session_id: MediaId,
        head: &Head<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        let unknown = Refusal::closing(Cause::MsrpUnknownSession);
        let (Some(conn), Some(session)) = (self.conns.of(id), self.sessions.of(session_id)) else {
            return Err(unknown);
        };
        let replaced = match session.side(conn.realm).conn {
            Some(bound) if bound == id => {
                if conn.last != Some(session_id)
                    && let Some(conn) = self.conns.of_mut(id)
                {
                    conn.last = Some(session_id);
                }
                return Ok(());
            }
            // A connection whose peer said that it sends nothing more gives way to the next one.
            Some(bound) if self.conns.of(bound).is_none_or(|bound| bound.ended_at.is_some()) => Some(bound),
            Some(_) => return Err(Refusal::closing(Cause::MsrpAlreadyBound)),
            None => None,
        };
        if !self.is_expected(conn, session_id) {
            return Err(Refusal::closing(Cause::MsrpWrongSource));
        }
        if !self.shows_certificate(conn, session_id) {
            return Err(Refusal::closing(Cause::MsrpBadCertificate));
        }
        if head.method() != Some(Method::Send) {
            return Err(unknown);
        }
        if conn.sessions.len() >= self.limits.sessions_per_connection_max {
            return Err(Refusal { status: 481, ..Refusal::new(Cause::TableFull) });
        }
        if let Some(replaced) = replaced {
            self.unlink(replaced, session_id, now, out);
        }
        self.link(id, session_id, now, out);
        Ok(())
    }

    /// Whether the connection comes from the address that was signalled for this side (R77).
    fn is_expected(&self, conn: &Conn, session: MediaId) -> bool {
        let expected =
            self.sessions.of(session).and_then(|session| session.spec.side(conn.realm).expect_source);
        expected.is_none_or(|ip| ip.to_canonical() == conn.peer.to_canonical())
    }

    /// Binds a session to a connection and wakes who waited for that.
    pub(super) fn link(&mut self, id: StreamId, session_id: MediaId, now: Instant, out: &mut Outbox) {
        let (Some(conn), Some(session)) = (self.conns.of_mut(id), self.sessions.of_mut(session_id)) else {
            return;
        };
        let realm = conn.realm;
        conn.sessions.push(session_id);
        conn.last = Some(session_id);
        let side = session.side_mut(realm);
        side.conn = Some(id);
        side.is_dialling = false;
        side.lost_at = None;
        session.last_activity_at = now;
        self.ready.extend(session.waiters.drain(..));
        if self.classic.as_ref().is_none_or(|classic| !classic.owns(session_id)) {
            out.actions.push(Action::Notice(MediaNotice::Bound { id: session_id, realm }));
        }
    }

    /// Dials the peer of a side, if that is ours to do and was not done.
    pub(super) fn dial(&mut self, id: MediaId, realm: Realm, demand: Demand, out: &mut Outbox) {
        let Some(session) = self.sessions.of_mut(id).filter(|session| session.is_complete()) else { return };
        let Opening::Dial { transport, peer } = session.spec.side(realm).opening else { return };
        let side = session.side_mut(realm);
        // A core that closed the connection is dialled again only when there is something to say.
        let was_there = side.lost_at.is_some();
        if side.conn.is_none() && !side.is_dialling && (demand == Demand::ByMessage || !was_there) {
            side.is_dialling = true;
            let announced = !session.spec.side(realm).fingerprints.is_empty();
            let trust = if announced { Trust::Fingerprint } else { Trust::Authority };
            out.actions.push(Action::Dial { id, realm, transport, peer, trust });
        }
    }
}

/// Why a peer is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// Its session became complete.
    BySession,
    /// There is a message for it.
    ByMessage,
}

/// Connections that may wait for one session: its own two, and one that is to replace one of them.
const WAITERS_MAX: usize = 3;
