//! Responses on their way back, side by side: what the UE may see of the core, and the other way round.

use crate::api::Outbox;
use crate::exchange::{Exchange, Purpose};
use crate::flow::Stream;
use crate::negotiation::strip_stray;
use crate::registration::credentials;
use crate::shard::Edge;
use crate::{headers, network, trust};
use sip::Message;
use wire::{EditList, Hop, Instant};

impl Edge {
    /// Core → UE (R21, R23, R26).
    pub(crate) fn response_to_access(
        &mut self,
        x: &mut Exchange,
        message: Message<'_>,
        now: Instant,
        edits: &mut EditList,
        out: &mut Outbox,
    ) {
        let at = self.points.at(x.requester.point);
        headers::warnings_to_access(message, at, edits);
        trust::privacy_to_access(message, edits);
        match core::mem::take(&mut x.purpose) {
            Purpose::Plain | Purpose::Probe(_) | Purpose::Ping(_) => {
                headers::strip(message, headers::RESPONSE_TO_ACCESS, edits);
                headers::contact_to_access(message, at, edits);
                credentials::take_keys(message, edits);
                strip_stray(message, edits);
            }
            Purpose::Register(mut registering) => {
                headers::strip(message, headers::REGISTER_TO_ACCESS, edits);
                strip_stray(message, edits);
                self.registration_answered(x, &mut registering, message, now, edits, out);
                x.purpose = Purpose::Register(registering);
            }
            Purpose::Invite(call) => {
                headers::strip(message, headers::RESPONSE_TO_ACCESS, edits);
                headers::contact_to_access(message, at, edits);
                credentials::take_keys(message, edits);
                self.invite_answered(x, call, message, edits, now, out);
                x.purpose = Purpose::Invite(call);
            }
            Purpose::Subscribe(call) => {
                headers::strip(message, headers::RESPONSE_TO_ACCESS, edits);
                headers::contact_to_access(message, at, edits);
                credentials::take_keys(message, edits);
                strip_stray(message, edits);
                self.subscribe_answered(x, call, message, edits, now);
                x.purpose = Purpose::Subscribe(call);
            }
            // Of our own: nobody waits for it.
            own @ Purpose::Watch(_) => x.purpose = own,
            Purpose::Inside(mut inside) => {
                headers::strip(message, headers::RESPONSE_TO_ACCESS, edits);
                headers::contact_to_access(message, at, edits);
                credentials::take_keys(message, edits);
                self.answered_inside(x, &mut inside, message, edits, now, out);
                x.purpose = Purpose::Inside(inside);
            }
        }
    }

    /// UE → core (R26, R29).
    pub(crate) fn response_to_core(
        &mut self,
        x: &mut Exchange,
        message: Message<'_>,
        now: Instant,
        edits: &mut EditList,
        out: &mut Outbox,
    ) {
        headers::strip(message, headers::RESPONSE_TO_CORE, edits);
        trust::strip_assertions(message, edits);
        assert_called(x, message, edits);
        headers::contact_to_core(message, self.points.at(x.requester.point), edits);
        network::answer_charge(self, x, message, edits);
        match core::mem::take(&mut x.purpose) {
            Purpose::Invite(call) => {
                self.invite_answered(x, call, message, edits, now, out);
                x.purpose = Purpose::Invite(call);
            }
            Purpose::Subscribe(call) => {
                self.subscribe_answered(x, call, message, edits, now);
                x.purpose = Purpose::Subscribe(call);
            }
            Purpose::Inside(mut inside) => {
                self.answered_inside(x, &mut inside, message, edits, now, out);
                x.purpose = Purpose::Inside(inside);
            }
            other => x.purpose = other,
        }
    }

    /// A stream with the core closed: what waits for an answer over it must not wait for a timer.
    pub(crate) fn on_core_stream_closed(&mut self, stream: &Stream, now: Instant, out: &mut Outbox) {
        let Stream { id, realm, transport, peer, alias, .. } = *stream;
        if let Some(alias) = alias {
            self.flows.forget_alias((alias, transport), id);
            self.on_hop_lost(Hop::Stream(id), now, out);
        }
        self.on_hop_lost(Hop::Peer { realm, transport, peer }, now, out);
    }
}

/// A UE answers as whom it was called (TS 24.229 §5.2.6.4.4): what the core said in P-Called-Party-ID.
fn assert_called(x: &Exchange, message: Message<'_>, edits: &mut EditList) {
    if !x.called.is_empty() && (101..300).contains(&message.status()) {
        edits.insert_with(message.fields_end(), |out| {
            for part in [&b"P-Asserted-Identity: <"[..], &x.called, b">\r\n"] {
                out.extend_from_slice(part);
            }
        });
    }
}
