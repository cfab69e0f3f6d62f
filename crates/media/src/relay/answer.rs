//! What the relay says itself.

use super::MsrpRelay;
use super::api::Outbox;
use super::conn::{Conn, Forward, Refusal};
use msrp::{FailureReport, Head, Method, write};
use wire::{Cause, StreamId};

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
        id: StreamId,
        forward: &Forward,
        cause: Cause,
        out: &mut Outbox,
    ) {
        let (Some(conn), Some(session)) = (self.conns.of_mut(id), self.sessions.of(forward.session)) else {
            return;
        };
        if !forward.is_answerable {
            return;
        }
        let mut text = Vec::new();
        // Who writes to a relay of ours hears from that.
        let ours = session.spec.side(conn.realm).relay_uri.as_deref();
        let (to, from) = (session.remote_hop(conn.realm), ours.unwrap_or(session.local(conn.realm)));
        let status = cause.status().unwrap_or(400);
        write::response_parts(conn.transaction.as_bytes(), to, from, status, &mut text);
        // The far side may answer what it got of it: that must not follow.
        conn.answered = Some(Box::new(conn.transaction));
        conn.unanswered = conn.unanswered.saturating_sub(1);
        self.answer(id, out, |out| out.extend_from_slice(&text));
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
