//! Answers we give ourselves without keeping state: refusals above all.
//!
//! A refused request is worth no memory (RFC 3261 §8.2.7 stateless UAS): its retransmission is refused
//! again, with the same To tag, because that is a keyed hash of the request.

use crate::api::{Outbox, Record};
use crate::counters;
use crate::exchange::Incoming;
use crate::flow::Origin;
use crate::proxy::push_send;
use crate::registration::security;
use crate::reply::{Echo, answer_hop, reason_phrase};
use crate::shard::Edge;
use crate::validate::{Reject, unknown_extensions};
use core::hash::Hasher;
use sip::{HeaderId, Message, Method};
use std::hash::DefaultHasher;
use wire::Cause;
use wire::bytes_class::push_decimal;

/// Seconds after which a UE that was turned away may come back.
const RETRY_AFTER_SECONDS: u64 = 5;

/// Methods we pass on, for 405 and for OPTIONS.
pub(crate) const ALLOW: &[u8] = b"Allow: INVITE, ACK, BYE, CANCEL, REGISTER, OPTIONS, MESSAGE, SUBSCRIBE, NOTIFY, REFER, PUBLISH, PRACK, UPDATE, INFO\r\n";

impl Edge {
    /// Counts and records a message that goes no further, and answers it if it is a request.
    pub(crate) fn refuse(&mut self, message: Message<'_>, origin: &Origin, reject: Reject, out: &mut Outbox) {
        self.note_reject(reject.cause, origin, message.value(HeaderId::CallId).unwrap_or_default(), out);
        let Some(mut status) = reject.cause.status() else { return };
        let rejection = self.rejection.take().filter(|_| reject.cause == Cause::HeaderRule);
        if message.is_request() && message.method() != Method::Ack {
            let mut extra = self.warning(reject, origin);
            if reject.cause == Cause::SecurityAgreement {
                extra.extend_from_slice(&security::line_for_refusal(self, message, origin));
            }
            if reject.cause == Cause::BadExtension {
                for tag in unknown_extensions(message) {
                    extra.extend_from_slice(b"Unsupported: ");
                    extra.extend_from_slice(tag);
                    extra.extend_from_slice(b"\r\n");
                }
            }
            let mut reason = "";
            let rules = core::mem::take(&mut self.rules);
            if let Some(rejection) = rejection {
                (status, reason) = rules.answer(rejection);
            }
            self.reply_because(message, origin, (status, reason), &extra, out);
            self.rules = rules;
        }
    }

    /// Answers a request without keeping anything of it. `extra` holds whole header lines.
    pub(crate) fn reply(
        &mut self,
        request: Message<'_>,
        origin: &Origin,
        status: u16,
        extra: &[u8],
        out: &mut Outbox,
    ) {
        self.reply_because(request, origin, (status, ""), extra, out);
    }

    /// The same with a reason phrase of its own; empty: the usual one.
    fn reply_because(
        &mut self,
        request: Message<'_>,
        origin: &Origin,
        (status, reason): (u16, &str),
        extra: &[u8],
        out: &mut Outbox,
    ) {
        let reason = if reason.is_empty() { reason_phrase(status) } else { reason };
        // Without a Via the answer could not be matched by anyone.
        let Ok(via) = request.top_via() else { return };
        let mut echo = core::mem::take(&mut self.scratch.echo);
        echo.read(request, origin, self.config.nat.keep_seconds);
        let span = echo.write_because(status, reason, &self.tag_of(&echo), extra, &mut out.bytes);
        self.scratch.echo = echo;
        self.counters.responses_out[counters::index(origin.realm)][usize::from(status / 100).min(6)] += 1;
        push_send(answer_hop(origin, &via), span, out);
    }

    /// Whether an ACK acknowledges a refusal of ours that we did not keep: it bears the tag we gave.
    pub(crate) fn is_ack_of_refusal(&mut self, request: &Incoming<'_>) -> bool {
        if request.method() != Method::Ack {
            return false;
        }
        let mut echo = core::mem::take(&mut self.scratch.echo);
        echo.read(request.message, request.origin, 0);
        let ours = request.to.tag() == Some(&self.tag_of(&echo));
        self.scratch.echo = echo;
        ours
    }

    /// Counts and records.
    pub(crate) fn note_reject(&mut self, cause: Cause, origin: &Origin, call_id: &[u8], out: &mut Outbox) {
        self.counters.reject(origin.realm, cause);
        let call_id = call_id.get(..CALL_ID_BYTES_MAX).unwrap_or(call_id);
        out.actions.push(crate::api::Action::Record(Record::Rejected {
            cause,
            realm: origin.realm,
            source: origin.source,
            call_id: String::from_utf8_lossy(call_id).into(),
        }));
    }

    /// The header lines that explain a refusal.
    pub(crate) fn warning(&self, reject: Reject, origin: &Origin) -> Vec<u8> {
        let mut lines = Vec::with_capacity(160);
        let agent = self.points.at(origin.point).advertised.as_bytes();
        for part in [b"Warning: 399 ", agent, b" \"", reject.cause.text().as_bytes()] {
            lines.extend_from_slice(part);
        }
        if let Some(field) = reject.field.filter(|f| !f.name().is_empty()) {
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(field.name().as_bytes());
        }
        if !reject.detail.is_empty() {
            lines.extend_from_slice(b" ");
            lines.extend_from_slice(reject.detail.as_bytes());
        }
        lines.extend_from_slice(b"\"\r\n");
        match reject.cause.status() {
            Some(405) => lines.extend_from_slice(ALLOW),
            Some(503) => {
                lines.extend_from_slice(b"Retry-After: ");
                push_decimal(RETRY_AFTER_SECONDS, &mut lines);
                lines.extend_from_slice(b"\r\n");
            }
            _ => {}
        }
        lines
    }

    /// The To tag of what we answer ourselves: unguessable, the same for the same request.
    pub(crate) fn tag_of(&self, echo: &Echo) -> [u8; TAG_LEN] {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.secret);
        // The number of CSeq only, so that the ACK of a refused INVITE hashes alike.
        let number = echo.cseq().split(|b| b.is_ascii_whitespace()).next().unwrap_or_default();
        for part in [echo.call_id(), number, echo.from(), echo.vias()] {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        let bits = hasher.finish();
        core::array::from_fn(|i| b"abcdefghijklmnopqrstuvwxyz234567"[(bits >> (5 * i)) as usize & 31])
    }
}

/// 60 of the 64 bits.
const TAG_LEN: usize = 12;
const CALL_ID_BYTES_MAX: usize = 128;
