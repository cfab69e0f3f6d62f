//! What the relay says itself.

use super::MsrpRelay;
use super::api::Outbox;
use super::conn::{Conn, Forward, Refusal};
use msrp::{FailureReport, Head, Method, uri, write};
use wire::{Cause, Realm, StreamId};

impl Refusal {
    /// With the status that the table of causes gives.
    pub(super) fn new(cause: Cause) -> Self {
        Self { cause, status: cause.status().unwrap_or(400), closes: false }
    }

    /// The same, and the connection goes if nothing else is on it (R77).
    pub(super) fn closing(cause: Cause) -> Self {
        Self { closes: true, ..Self::new(cause) }
    }
}

/// Whether an error may be answered: REPORTs and responses never are, and SENDs as their sender wants.
pub(super) fn is_answerable(head: &Head<'_>) -> bool {
    match head.method() {
        Some(Method::Report) | None => false,
        Some(_) => head.failure_report() != FailureReport::No,
    }
}

impl MsrpRelay {
    /// Answers a request whose head is at hand. It needs a From-Path to go back along.
    pub(super) fn answer_head(&mut self, conn: StreamId, head: &Head<'_>, status: u16, out: &mut Outbox) {
        if is_answerable(head) && !head.from_path().is_empty() && !head.to_path().is_empty() {
            self.answer(conn, out, |out| write::response(head, status, write::comment(status), out));
        }
    }

    /// Answers a request whose head went on already, on the connection it came from.
    pub(super) fn answer_forwarded(
        &mut self,
        conn: StreamId,
        realm: Realm,
        forward: &Forward,
        cause: Cause,
        out: &mut Outbox,
    ) {
        let Some(session) = self.sessions.of(forward.session).filter(|_| forward.is_answerable) else {
            return;
        };
        let side = session.spec.side(realm);
        // Who writes to a relay of ours hears from that.
        let ours = side.relay_uri.as_ref().unwrap_or(&side.local_path);
        let (to, from) = (side.remote_path.clone().unwrap_or_default(), ours.clone());
        let status = cause.status().unwrap_or(400);
        self.answer(conn, out, |out| {
            write::response_parts(forward.id.as_bytes(), uri::first(&to), &from, status, out);
        });
        if let Some(conn) = self.conns.of_mut(conn) {
            conn.answered = Some(forward.id);
        }
    }

    /// Sends an answer, behind the message that is being written into the connection.
    pub(super) fn answer(&mut self, id: StreamId, out: &mut Outbox, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(conn) = self.conns.of_mut(id) else { return };
        if conn.writer.is_none() {
            self.counters.answers += 1;
            out.send_with(id, write);
            return;
        }
        let before = conn.answers.len();
        write(&mut conn.answers);
        if conn.answers.len() > self.limits.answers_bytes_max {
            conn.answers.truncate(before); // who asks that much without reading gets no answer
            self.count(Cause::TableFull);
        } else {
            self.counters.answers += 1;
        }
    }

    /// Sends the answers that waited for a message to end.
    pub(super) fn flush_answers(id: StreamId, conn: &mut Conn, out: &mut Outbox) {
        if !conn.answers.is_empty() {
            out.send_copy(id, &core::mem::take(&mut conn.answers));
        }
    }
}
