//! CANCEL, and the ACK of a refusal: the two requests an INVITE brings with it on its own branch.

use crate::api::Outbox;
use crate::counters;
use crate::exchange::{Cancel, Exchange, Incoming};
use crate::proxy::push_send;
use crate::shard::Edge;
use sip::transaction::{Effects, NonInviteClient};
use sip::{HeaderId, Message, Method};
use wire::bytes_class::push_decimal;
use wire::{Cause, ExchangeId, Instant, Realm, Span};

impl Edge {
    /// Takes in a CANCEL: answers it, and cancels what its INVITE started (RFC 3261 §16.10).
    ///
    /// # Errors
    /// `UnknownTransaction` if there is no such INVITE.
    pub(crate) fn on_cancel(&mut self, request: &Incoming<'_>, out: &mut Outbox) -> Result<(), Cause> {
        let key = request.key(self.secret);
        let id = self.exchanges.by_key(key, request.call_id);
        let mut x = id.and_then(|id| self.exchanges.lift(id)).ok_or(Cause::UnknownTransaction)?;
        self.reply(request.message, request.origin, 200, b"", out);
        self.begin_cancel(&mut x, request.now, out);
        self.settle(x, request.now, out);
        Ok(())
    }

    pub(crate) fn begin_cancel(&mut self, x: &mut Exchange, now: Instant, out: &mut Outbox) {
        if x.finished || x.method != Method::Invite || !matches!(x.cancel, Cancel::No) {
            return;
        }
        x.cancel = Cancel::Wanted;
        if x.answered {
            self.send_cancel(x, now, out);
        }
    }

    /// Ends an INVITE whose call ends for another reason: the far end is told by CANCEL, the near one by
    /// our answer. A 2xx that comes all the same is taken back (`decline_late`).
    pub(crate) fn abort_invite(&mut self, id: ExchangeId, cause: Cause, now: Instant, out: &mut Outbox) {
        let Some(mut x) = self.exchanges.lift(id) else { return };
        if !x.finished {
            self.begin_cancel(&mut x, now, out);
            let warning = self.warning(cause.into(), &x.requester);
            let status = if x.requester.realm == Realm::Access { 487 } else { 480 };
            self.answer(&mut x, status, &warning, now, out);
        }
        self.settle(x, now, out);
    }

    pub(super) fn send_cancel(&mut self, x: &mut Exchange, now: Instant, out: &mut Outbox) {
        let Some(span) = self.push_derived(x, Method::Cancel, None, out) else {
            return;
        };
        let timers = &self.derived.timers;
        x.cancel = Cancel::Sent {
            client: Some(NonInviteClient::new(x.target.transport.is_reliable(), now, timers)),
            give_up_at: now + timers.t1_64(),
        };
        x.ring_until = None;
        self.counters.requests_out[counters::index(x.target.realm)][Method::Cancel as usize] += 1;
        push_send(x.target.hop, span, out);
    }

    /// Sends the ACK to a refusal (RFC 3261 §17.1.1.3).
    pub(super) fn acknowledge(&mut self, x: &mut Exchange, refusal: Message<'_>, out: &mut Outbox) {
        let to = refusal.value(HeaderId::To);
        if let Some(span) = self.push_derived(x, Method::Ack, to, out) {
            self.counters.requests_out[counters::index(x.target.realm)][Method::Ack as usize] += 1;
            push_send(x.target.hop, span, out);
        }
    }

    /// Appends the CANCEL or ACK that belongs to the INVITE we sent: its Request-URI, our Via, From,
    /// Call-ID, Route and CSeq number; To as given.
    fn push_derived(
        &mut self,
        x: &Exchange,
        method: Method,
        to: Option<&[u8]>,
        out: &mut Outbox,
    ) -> Option<Span> {
        let limits = &self.derived.limits;
        let invite = sip::parse(&x.request, limits, &mut self.scratch.own_index).ok()?;
        let cseq = invite.cseq().ok()?.number;
        let start = out.bytes.len();
        let bytes = &mut out.bytes;
        bytes.extend_from_slice(method.as_str().as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(invite.uri());
        bytes.extend_from_slice(b" SIP/2.0\r\n");
        for field in invite.fields() {
            match field.id {
                HeaderId::To if to.is_some() => {
                    bytes.extend_from_slice(b"To: ");
                    bytes.extend_from_slice(to.unwrap_or_default());
                    bytes.extend_from_slice(b"\r\n");
                }
                HeaderId::Via | HeaderId::From | HeaderId::To | HeaderId::CallId | HeaderId::Route => {
                    bytes.extend_from_slice(field.line.of(&x.request));
                }
                _ => {}
            }
        }
        bytes.extend_from_slice(b"CSeq: ");
        push_decimal(u64::from(cseq), bytes);
        bytes.push(b' ');
        bytes.extend_from_slice(method.as_str().as_bytes());
        bytes.extend_from_slice(b"\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n");
        Some(Span::new(start, bytes.len()))
    }

    pub(super) fn on_cancel_deadline(&mut self, x: &mut Exchange, now: Instant, out: &mut Outbox) {
        let Cancel::Sent { client, give_up_at } = &mut x.cancel else {
            return;
        };
        let gave_up = *give_up_at <= now && (!x.finished || x.client.is_some());
        let effects = match client {
            Some(c) if c.next_deadline().is_some_and(|at| at <= now) => c.on_deadline(now),
            _ => Effects::NONE,
        };
        if effects.contains(Effects::ENDED) {
            *client = None;
        }
        if effects.contains(Effects::RESEND)
            && let Some(span) = self.push_derived(x, Method::Cancel, None, out)
        {
            self.counters.retransmissions_out[counters::index(x.target.realm)] += 1;
            push_send(x.target.hop, span, out);
        }
        if gave_up {
            // RFC 3261 §9.1: no final answer after 64·T1, so the INVITE counts as cancelled.
            x.client = None;
            if !x.finished {
                let warning = self.warning(Cause::Cancelled.into(), &x.requester);
                self.answer(x, 487, &warning, now, out);
            }
        }
    }
}

/// Takes in the answer to our CANCEL.
pub(super) fn on_cancel_response(x: &mut Exchange, status: u16, now: Instant) {
    if let Cancel::Sent { client, .. } = &mut x.cancel
        && let Some(machine) = client
        && machine.on_response(status, now).contains(Effects::ENDED)
    {
        *client = None;
    }
}
