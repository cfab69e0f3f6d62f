//! Messages through the relay: find, hold, rewrite, pass on.

use super::MsrpRelay;
use super::answer::is_answerable;
use super::api::{Action, Outbox, Trust};
use super::conn::{Conn, Flow, Forward, Id, Refusal, Wait};
use super::content;
use super::ends::By;
use super::out::Input;
use super::paths::{behind_relay, push_own, push_path};
use super::session::Found;
use crate::command::{MediaNotice, Opening};
use msrp::{Event, Flag, Head, HeaderId, Method, Piece, Start, uri};
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
    /// Swallow it: it was the relay's own business.
    Swallow,
}

impl MsrpRelay {
    pub(super) fn on_bytes(&mut self, id: StreamId, bytes: &[u8], now: Instant, out: &mut Outbox) {
        let Some(conn) = self.conns.of_mut(id) else { return };
        conn.last_bytes_at = now;
        if conn.wait == Wait::None {
            return self.run(id, Input { bytes, is_lent: true }, now, out);
        }
        let (held, total) = (conn.held.len() + bytes.len(), self.held_bytes + bytes.len());
        if held > self.limits.held_bytes_max || total > self.limits.held_bytes_total_max {
            // The shell was told to stop reading long ago; this only guards our memory.
            return self.close(id, Cause::Overloaded, now, out);
        }
        conn.held.extend_from_slice(bytes);
        self.held_bytes += bytes.len();
    }

    /// Goes on with what is held of a connection whose obstacle may be gone.
    pub(super) fn resume(&mut self, id: StreamId, now: Instant, out: &mut Outbox) {
        let Some(conn) = self.conns.of_mut(id) else { return };
        let wait = core::mem::take(&mut conn.wait);
        let to = match wait {
            Wait::None => return, // it was in the list twice
            Wait::Far { .. } => None,
            Wait::Turn { to } | Wait::Queue { to } => Some(to),
        };
        let held = core::mem::take(&mut conn.held);
        conn.turn = to;
        conn.last_bytes_at = now;
        self.held_bytes -= held.len();
        self.stop_waiting(id, wait);
        let input = Input { bytes: &held, is_lent: false };
        self.run(id, input, now, out);
        if let Some(conn) = self.conns.of_mut(id) {
            conn.turn = None;
            conn.is_expired = false;
            if conn.wait == Wait::None && core::mem::take(&mut conn.is_paused) {
                out.actions.push(Action::ResumeReading { conn: id });
            }
        }
        if let Some(to) = to {
            self.wake_next(to); // it may not have used its turn
        }
    }

    /// Reads `input` to its end, or until a message must wait or the connection is gone.
    fn run(&mut self, id: StreamId, input: Input<'_>, now: Instant, out: &mut Outbox) {
        let Some(conn) = self.conns.of_mut(id) else { return };
        // Out of the table, so that a head can be looked at while other connections are changed.
        let mut reader = core::mem::take(&mut conn.reader);
        let mut at = 0;
        loop {
            match reader.next(input.bytes, &mut at) {
                Event::Head(head) => {
                    let Some(wait) = self.on_head(id, &head, input, now, out) else {
                        if self.conns.has(id) {
                            continue;
                        }
                        return; // refused and closed
                    };
                    let mut held = Vec::new();
                    reader.unread(input.bytes, at, &mut held);
                    self.hold(id, wait, held, now, out);
                    break;
                }
                Event::Body(piece) => self.on_body(id, piece, input, now, out),
                Event::End(flag, piece) => self.on_end(id, flag, piece, input, now, out),
                Event::Partial => break,
                Event::Broken(cause) => return self.close(id, cause, now, out),
            }
        }
        if let Some(conn) = self.conns.of_mut(id) {
            conn.reader = reader;
            self.arm_conn(id);
        }
    }

    /// Begins a message; says what it must wait for, if it must.
    fn on_head(
        &mut self,
        id: StreamId,
        head: &Head<'_>,
        input: Input<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> Option<Wait> {
        match self.route(id, head, now, out) {
            Route::To(forward) => self.begin(id, head, forward, input, now, out),
            Route::Hold(wait) => return Some(wait),
            Route::Refuse(refusal) => {
                self.count(refusal.cause);
                self.answer_head(id, head, refusal.status, out);
                self.set_flow(id, Flow::Discard);
                if refusal.closes && self.conns.of(id).is_some_and(|conn| conn.sessions.is_empty()) {
                    self.remove_conn(id, By::Us, now, out);
                }
            }
            Route::Swallow => self.set_flow(id, Flow::Discard),
            Route::Drop(cause) => {
                self.count(cause);
                self.set_flow(id, Flow::Discard);
            }
        }
        None
    }

    fn route(&mut self, id: StreamId, head: &Head<'_>, now: Instant, out: &mut Outbox) -> Route {
        let Some(conn) = self.conns.of(id) else { return Route::Drop(Cause::Internal) };
        let (realm, last) = (conn.realm, conn.last);
        if !head.has_clear_paths() {
            return Route::Refuse(Refusal::new(Cause::MsrpBadRequest));
        }
        let found = self.sessions.find(realm, head.to_path(), head.from_path(), last, &mut self.scratch);
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
        session_id: MediaId,
        head: &Head<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> Route {
        self.dial(session_id, realm.other(), Demand::ByMessage, out);
        let (Some(conn), Some(session)) = (self.conns.of(id), self.sessions.of_mut(session_id)) else {
            return Route::Drop(Cause::Internal);
        };
        let far = session.side(realm.other()).conn;
        let Some((to, far)) = far.and_then(|to| Some((to, self.conns.of(to)?))) else {
            return match head.start() {
                Start::Response(_) => Route::Drop(Cause::MsrpPeerGone),
                Start::Request(_) => self.await_far(conn, session_id, now),
            };
        };
        let transaction = Id::new(head.id());
        if head.method().is_none() && far.answered == Some(transaction) {
            if let Some(far) = self.conns.of_mut(to) {
                far.answered = None; // the relay answered this one when it gave the message up
            }
            return Route::Drop(Cause::StrayResponse);
        }
        let is_send = head.method() == Some(Method::Send) && head.has_body();
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
        Route::To(Forward {
            to,
            session: session_id,
            id: transaction,
            has_body: head.has_body(),
            is_send,
            is_answerable: is_answerable(head),
            position: match is_send {
                true => session.message_position(realm, head.message_id(), start),
                false => 0,
            },
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
        match session.side(conn.realm).conn {
            Some(bound) if bound == id => {
                if conn.last != Some(session_id)
                    && let Some(conn) = self.conns.of_mut(id)
                {
                    conn.last = Some(session_id);
                }
                return Ok(());
            }
            Some(_) => return Err(Refusal::closing(Cause::MsrpAlreadyBound)),
            None => {}
        }
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
        self.link(id, session_id, now, out);
        Ok(())
    }

    /// Whether the connection comes from the address that was signalled for this side (R77).
    fn is_expected(&self, conn: &Conn, session: MediaId) -> bool {
        let expected =
            self.sessions.of(session).and_then(|session| session.spec.side(conn.realm).expect_source);
        expected.is_none_or(|ip| ip.to_canonical() == conn.peer.ip().to_canonical())
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

    /// Keeps a connection's unread octets and stops reading from it.
    pub(super) fn hold(&mut self, id: StreamId, wait: Wait, held: Vec<u8>, now: Instant, out: &mut Outbox) {
        if self.held_bytes + held.len() > self.limits.held_bytes_total_max {
            return self.close(id, Cause::Overloaded, now, out);
        }
        let Some(conn) = self.conns.of_mut(id) else { return };
        self.held_bytes += held.len();
        conn.held = held;
        conn.wait = wait;
        if !core::mem::replace(&mut conn.is_paused, true) {
            self.counters.pauses += 1;
            out.actions.push(Action::PauseReading { conn: id });
        }
        match wait {
            Wait::Far { session, .. } => {
                if let Some(session) = self.sessions.of_mut(session) {
                    session.waiters.push(id);
                }
            }
            Wait::Turn { to } => {
                if let Some(far) = self.conns.of_mut(to) {
                    far.waiting.push_back(id);
                }
            }
            Wait::Queue { .. } | Wait::None => {}
        }
    }

    /// Writes a head into the far connection, with the paths of that side (R73).
    fn begin(
        &mut self,
        id: StreamId,
        head: &Head<'_>,
        forward: Forward,
        input: Input<'_>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let (Some(far), Some(session)) =
            (self.conns.of_mut(forward.to), self.sessions.of_mut(forward.session))
        else {
            return;
        };
        far.writer = Some(id);
        let from = far.realm.other();
        let side = session.spec.side(far.realm);
        let remote = side.remote_path.as_deref().unwrap_or_default();
        let to_path = behind_relay(session.spec.side(from), head.to_path());
        let (bytes, to_span, from_span) =
            (head.bytes(), head.span(HeaderId::ToPath), head.span(HeaderId::FromPath));
        out.send_with(forward.to, |out| {
            out.extend_from_slice(&bytes[..to_span.start as usize]);
            push_path(to_path, next_hops(head, to_path, remote), out);
            out.extend_from_slice(&bytes[to_span.end as usize..from_span.start as usize]);
            push_own(head, side, out);
        });
        let rest = from_span.end as usize;
        match head.input_at() {
            Some(at) => out.send_input(forward.to, input, at + rest..at + bytes.len()),
            None => out.send_copy(forward.to, &bytes[rest..]),
        }
        session.add_bytes(from, bytes.len() as u64, now);
        self.counters.add_bytes(from, bytes.len() as u64);
        match head.method() {
            Some(Method::Send) => self.counters.sends += 1,
            Some(_) => self.counters.other_requests += 1,
            None => self.counters.responses += 1,
        }
        self.set_flow(id, Flow::Forward(forward));
    }

    fn on_body(&mut self, id: StreamId, piece: Piece<'_>, input: Input<'_>, now: Instant, out: &mut Outbox) {
        let Some((realm, Flow::Forward(mut forward))) = self.conns.of(id).map(|conn| (conn.realm, conn.flow))
        else {
            return;
        };
        forward.position = forward.position.saturating_add(piece.len() as u64);
        let Some(session) = self.sessions.of_mut(forward.session) else { return };
        if forward.is_send {
            session.side_mut(realm).message.1 = forward.position;
        }
        if forward.is_send && forward.position > session.spec.message_bytes_max(realm) {
            self.count(Cause::BodyTooLong);
            self.answer_forwarded(id, realm, &forward, Cause::BodyTooLong, out);
            return self.abandon(id, &forward, out);
        }
        session.add_bytes(realm, piece.len() as u64, now);
        self.counters.add_bytes(realm, piece.len() as u64);
        out.send_copy(forward.to, piece.held);
        out.send_input(forward.to, input, piece.range());
        self.set_flow(id, Flow::Forward(forward));
    }

    fn on_end(
        &mut self,
        id: StreamId,
        flag: Flag,
        piece: Piece<'_>,
        input: Input<'_>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(conn) = self.conns.of_mut(id) else { return };
        let (realm, flow) = (conn.realm, core::mem::take(&mut conn.flow));
        let Flow::Forward(forward) = flow else { return };
        out.send_copy(forward.to, piece.held);
        out.send_input(forward.to, input, piece.range());
        self.counters.add_bytes(realm, piece.len() as u64);
        if let Some(session) = self.sessions.of_mut(forward.session) {
            session.add_bytes(realm, piece.len() as u64, now);
            if forward.is_send && flag != Flag::More {
                session.side_mut(realm).message = (0, 0);
            }
            if forward.is_send && flag == Flag::Last {
                session.add_message(realm);
                self.counters.messages += 1;
            }
        }
        self.release(forward.to, out);
    }

    /// Ends a message that will not be complete: the far connection gets an end-line that says so, and
    /// stays in frame for other sessions. The rest of the message is swallowed.
    pub(super) fn abandon(&mut self, id: StreamId, forward: &Forward, out: &mut Outbox) {
        if self.conns.has(forward.to) {
            out.send_with(forward.to, |out| match forward.has_body {
                true => msrp::write::end_of_body(forward.id.as_bytes(), Flag::Abort, out),
                false => msrp::write::end_line(forward.id.as_bytes(), Flag::Abort, out),
            });
        }
        self.set_flow(id, Flow::Discard);
        self.go_on(id);
        self.release(forward.to, out);
    }

    /// Resumes a source that was paused in the middle of a message which goes nowhere any longer.
    pub(super) fn go_on(&mut self, id: StreamId) {
        if self.conns.of(id).is_some_and(|conn| matches!(conn.wait, Wait::Queue { .. })) {
            self.ready.push_back(id);
        }
    }

    /// Takes a source off the list it waits in.
    pub(super) fn stop_waiting(&mut self, id: StreamId, wait: Wait) {
        match wait {
            Wait::Far { session, .. } => {
                if let Some(session) = self.sessions.of_mut(session) {
                    session.waiters.retain(|waiting| *waiting != id);
                }
            }
            Wait::Turn { to } | Wait::Queue { to } => {
                if let Some(far) = self.conns.of_mut(to) {
                    far.waiting.retain(|waiting| *waiting != id);
                }
            }
            Wait::None => {}
        }
    }

    /// No message is being written into the connection from here on.
    pub(super) fn release(&mut self, to: StreamId, out: &mut Outbox) {
        let Some(far) = self.conns.of_mut(to) else { return };
        far.writer = None;
        Self::flush_answers(to, far, out);
        self.wake_next(to);
    }

    /// Lets the first source that waits for a free connection go on.
    pub(super) fn wake_next(&mut self, to: StreamId) {
        let Some(far) = self.conns.of(to) else { return };
        if far.writer.is_none() && far.full_since.is_none() {
            self.ready.extend(far.waiting.front());
        }
    }

    pub(super) fn set_flow(&mut self, id: StreamId, flow: Flow) {
        if let Some(conn) = self.conns.of_mut(id) {
            conn.flow = flow;
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

/// What stands for our own URI in To-Path.
///
/// A request goes along the whole path of the peer, unless the sender wrote the hops behind us itself
/// (R66). A response goes one hop back (RFC 4975 §7.2).
fn next_hops<'a>(head: &Head<'_>, to_path: &[u8], remote: &'a [u8]) -> &'a [u8] {
    let is_request = head.method().is_some();
    match is_request && uri::list(to_path).nth(1).is_none() {
        true => remote,
        false => uri::first(remote),
    }
}
