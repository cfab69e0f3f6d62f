//! Messages through the relay: hold, rewrite, pass on.

use super::MsrpRelay;
use super::api::{Action, Outbox};
use super::conn::{Flow, Forward, Id, Wait};
use super::ends::By;
use super::out::Input;
use super::paths::{behind_relay, push_own, push_path};
use super::route::Route;
use super::session::Session;
use msrp::{Event, FailureReport, Flag, Head, HeaderId, Method, Piece, Usual, uri, write};
use wire::{Cause, Instant, Realm, StreamId};

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
        if matches!(conn.wait, Wait::Rate { until } if until > now) {
            return; // what it would write into is free, but its time has not come
        }
        if let (Wait::Rate { .. }, Flow::Forward(forward)) = (conn.wait, &conn.flow) {
            let to = forward.to;
            if self.conns.of(to).is_some_and(|far| far.writer == Some(id) && far.full_since.is_some()) {
                // Its time came, but there is no room.
                return self.set_wait(id, Wait::Queue { to });
            }
        }
        let Some(conn) = self.conns.of_mut(id) else { return };
        let wait = core::mem::take(&mut conn.wait);
        let to = match wait {
            Wait::None => return, // it was in the list twice
            Wait::Far { .. } | Wait::Rate { .. } => None,
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
            if conn.wait == Wait::None {
                if let Some(since) = conn.paused_at.take() {
                    self.counters.paused_micros += now.since(since).as_micros() as u64;
                    out.actions.push(Action::ResumeReading { conn: id });
                }
                if conn.ended_at.is_some() {
                    self.end_input(id, now, out);
                }
            }
        }
        if let Some(to) = to {
            self.wake_next(to); // it may not have used its turn
        }
    }

    /// Reads `input` to its end, or until a message must wait or the connection is gone.
    fn run(&mut self, id: StreamId, input: Input<'_>, now: Instant, out: &mut Outbox) {
        let Some(conn) = self.conns.of_mut(id) else { return };
        let (realm, scan) = (conn.realm, conn.scan());
        // Out of the table, so that a head can be looked at while other connections are changed.
        let mut reader = match conn.reader.take() {
            Some(reader) => reader,
            None => self.readers.take(scan, self.limits.head_bytes_max),
        };
        if matches!(&conn.flow, Flow::Forward(forward) if forward.is_cut())
            && let Some(wait) = self.reopen(id, out)
        {
            if let Some(conn) = self.conns.of_mut(id) {
                conn.reader = Some(reader);
            }
            return self.hold(id, wait, input.bytes.to_vec(), now, out);
        }
        let mut at = 0;
        loop {
            let usual = match reader.is_between_messages() {
                true => self.usual(id, realm),
                false => Usual::default(),
            };
            match reader.next_expecting(usual, input.bytes, &mut at) {
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
        let Some(conn) = self.conns.of_mut(id) else { return };
        if reader.is_between_messages() {
            self.readers.give_back(reader);
        } else {
            let mut into = None;
            if let Flow::Forward(forward) = &mut conn.flow {
                into = Some(forward.to);
                if let Some(head) = reader.head(input.bytes)
                    && let Some(session) = self.sessions.of(forward.session)
                {
                    forward.keep(&head, session, realm.other());
                }
            }
            conn.reader = Some(reader);
            if let Some(to) = into {
                self.interrupt(to, out);
            }
        }
        if self.limits.has_rates() {
            self.slow_down(id, input.bytes.len(), now, out);
        }
        if self.conns.of(id).is_some_and(|conn| !conn.is_timeless()) {
            self.arm_conn(id);
        }
    }

    /// The paths that the next head of a connection will probably have.
    fn usual(&self, id: StreamId, realm: Realm) -> Usual<'_> {
        let last = self.conns.of(id).and_then(|conn| self.sessions.of(conn.last?));
        last.map(|session| session.usual(realm)).unwrap_or_default()
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
            Route::Drop(cause) => {
                self.count(cause);
                self.set_flow(id, Flow::Discard);
            }
            Route::Swallow => self.set_flow(id, Flow::Discard),
        }
        None
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
        if conn.paused_at.is_none() {
            conn.paused_at = Some(now);
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
                self.interrupt(to, out);
            }
            Wait::Queue { .. } | Wait::Rate { .. } | Wait::None => {}
        }
    }

    /// Writes a head into the far connection, with the paths of that side (R73).
    fn begin(
        &mut self,
        id: StreamId,
        head: &Head<'_>,
        mut forward: Forward,
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
        let realm = far.realm;
        let (bytes, from_span) = (head.bytes(), head.span(HeaderId::FromPath));
        out.send_with(forward.to, |out| write_paths(head, forward.alias.as_deref(), session, realm, out));
        let rest = from_span.end as usize;
        match head.input_at() {
            Some(at) => out.send_input(forward.to, input, at + rest..at + bytes.len()),
            None => {
                out.send_copy(forward.to, &bytes[rest..]);
                forward.keep(head, session, realm); // the reader forgets it with the first octet of the body
            }
        }
        session.add_bytes(realm.other(), bytes.len() as u64, now);
        self.counters.add_bytes(realm.other(), bytes.len() as u64);
        let is_awaited = forward.is_answerable && head.failure_report() == FailureReport::Yes;
        match head.method() {
            Some(Method::Send) => self.counters.sends += 1,
            Some(_) => self.counters.other_requests += 1,
            None => self.counters.responses += 1,
        }
        if let Some(conn) = self.conns.of_mut(id) {
            conn.unanswered = conn.unanswered.saturating_add(u32::from(is_awaited));
            conn.transaction.set(head.id());
            conn.flow = Flow::Forward(forward);
        }
    }

    fn on_body(&mut self, id: StreamId, piece: Piece<'_>, input: Input<'_>, now: Instant, out: &mut Outbox) {
        let Some(conn) = self.conns.of_mut(id) else { return };
        let Flow::Forward(forward) = &mut conn.flow else { return };
        let Some(session) = self.sessions.of_mut(forward.session) else { return };
        forward.position = forward.position.saturating_add(piece.len() as u64);
        if forward.is_send && forward.position > session.spec.message_bytes_max(conn.realm) {
            return self.give_up(id, Cause::BodyTooLong, out);
        }
        forward.octets = forward.octets.saturating_add(piece.len() as u64);
        session.add_bytes(conn.realm, piece.len() as u64, now);
        self.counters.add_bytes(conn.realm, piece.len() as u64);
        out.send_copy(forward.to, piece.held);
        out.send_input(forward.to, input, piece.range());
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
        let realm = conn.realm;
        let Flow::Forward(forward) = core::mem::take(&mut conn.flow) else { return };
        let Some(session) = self.sessions.of_mut(forward.session) else { return };
        session.add_bytes(realm, piece.len() as u64, now);
        self.counters.add_bytes(realm, piece.len() as u64);
        if forward.is_send {
            let sizes = &mut session.side_mut(realm).sizes;
            if flag == Flag::More && !sizes.keep(forward.message, forward.position, now) {
                // Who begins ever more messages and ends none would slip past the limit of their size.
                conn.flow = Flow::Forward(forward);
                self.give_up(id, Cause::BodyTooLong, out);
                return self.set_flow(id, Flow::None);
            }
            if flag != Flag::More {
                sizes.end(forward.message);
            }
            if flag == Flag::Last {
                session.add_message(realm);
                self.counters.messages += 1;
            }
        }
        match forward.far_id() {
            Some(far) => {
                out.send_with(forward.to, |out| write::end(far.as_bytes(), flag, forward.has_body, out));
            }
            None => {
                out.send_copy(forward.to, piece.held);
                out.send_input(forward.to, input, piece.range());
            }
        }
        self.expect_last(id, &forward);
        self.release(forward.to, id, out);
        self.close_if_drained(forward.to, now, out);
    }

    /// Ends a message that will not be complete, and tells its sender why, if it wants to know.
    pub(super) fn give_up(&mut self, id: StreamId, cause: Cause, out: &mut Outbox) {
        let Some(conn) = self.conns.of_mut(id) else { return };
        let Flow::Forward(forward) = core::mem::take(&mut conn.flow) else { return };
        self.count(cause);
        self.answer_forwarded(id, &forward, cause, out);
        self.abandon(id, &forward, out);
    }

    /// Ends a message that will not be complete: the far connection gets an end-line that says so, and
    /// stays in frame for other sessions. The rest of the message is swallowed.
    pub(super) fn abandon(&mut self, id: StreamId, forward: &Forward, out: &mut Outbox) {
        if let Some(conn) = self.conns.of(id) {
            self.end_abandoned(id, conn.realm, conn.transaction, forward, out);
        }
        self.set_flow(id, Flow::Discard);
        self.go_on(id);
    }

    /// The same for a connection that is out of the table already.
    pub(super) fn end_abandoned(
        &mut self,
        id: StreamId,
        realm: Realm,
        transaction: Id,
        forward: &Forward,
        out: &mut Outbox,
    ) {
        if self.conns.of(forward.to).is_some_and(|far| far.writer == Some(id)) {
            let far = forward.far_id().unwrap_or(&transaction);
            out.send_with(forward.to, |out| write::end(far.as_bytes(), Flag::Abort, forward.has_body, out));
        }
        if let Some(session) = self.sessions.of_mut(forward.session) {
            session.side_mut(realm).sizes.end(forward.message);
        }
        self.release(forward.to, id, out);
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
            Wait::Rate { .. } | Wait::None => {}
        }
    }

    /// `by` writes nothing more into the connection, if it was the one who did.
    pub(super) fn release(&mut self, to: StreamId, by: StreamId, out: &mut Outbox) {
        let Some(far) = self.conns.of_mut(to).filter(|far| far.writer == Some(by)) else { return };
        far.writer = None;
        if !far.answers.is_empty() {
            Self::flush_answers(to, far, out);
        }
        self.wake_next(to);
    }

    /// Lets the first source that waits for a free connection go on.
    pub(super) fn wake_next(&mut self, to: StreamId) {
        let Some(far) = self.conns.of(to) else { return };
        if far.writer.is_none() && far.full_since.is_none() {
            self.ready.extend(far.waiting.front());
        }
    }

    fn set_wait(&mut self, id: StreamId, wait: Wait) {
        if let Some(conn) = self.conns.of_mut(id) {
            conn.wait = wait;
        }
    }

    pub(super) fn set_flow(&mut self, id: StreamId, flow: Flow) {
        if let Some(conn) = self.conns.of_mut(id) {
            conn.flow = flow;
        }
    }
}

/// Appends a head up to its From-Path as the far side gets it, which is on the side of `realm`.
pub(super) fn write_paths(
    head: &Head<'_>,
    alias: Option<&Id>,
    session: &Session,
    realm: Realm,
    out: &mut Vec<u8>,
) {
    let (bytes, to, from) = (head.bytes(), head.span(HeaderId::ToPath), head.span(HeaderId::FromPath));
    match alias {
        None => out.extend_from_slice(&bytes[..to.start as usize]),
        Some(alias) => {
            let id = head.id_span();
            out.extend_from_slice(&bytes[..id.start as usize]);
            out.extend_from_slice(alias.as_bytes());
            out.extend_from_slice(&bytes[id.end as usize..to.start as usize]);
        }
    }
    let to_path = behind_relay(session.spec.side(realm.other()), head);
    match head.is_usual() {
        // Both paths are one URI long: nothing of them is kept.
        true => out.extend_from_slice(next_hops(head, to_path, session, realm)),
        false => push_path(to_path, next_hops(head, to_path, session, realm), out),
    }
    out.extend_from_slice(&bytes[to.end as usize..from.start as usize]);
    push_own(head, session.spec.side(realm), out);
}

/// What stands for our own URI in To-Path.
///
/// A request goes along the whole path of the peer, unless the sender wrote the hops behind us itself
/// (R66). A response goes one hop back (RFC 4975 §7.2).
fn next_hops<'a>(head: &Head<'_>, to_path: &[u8], session: &'a Session, realm: Realm) -> &'a [u8] {
    let is_alone = || head.is_usual() || uri::list(to_path).nth(1).is_none();
    match head.method().is_some() && is_alone() {
        true => session.remote(realm),
        false => session.remote_hop(realm),
    }
}
