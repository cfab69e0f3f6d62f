//! Calls that the edge itself ends: BYE to an end that could not know (R56, R72).
//!
//! ```text
//!   the relay gave the session up, the registration
//!   or the session timer ended ─────────────────────▶ BYE to the UE and BYE to the core
//!   the UE is gone for good, or barred ─────────────▶ BYE to the core
//!   a 2xx comes when nobody waits for it ───────────▶ ACK and BYE to whoever sent it
//! ```
//! Each end gets the BYE as if the other had sent it, with the next CSeq of that one; what is answered
//! changes nothing (RFC 3261 §15.1.1).

use crate::api::Outbox;
use crate::counters;
use crate::dialog::{Call, Place, Way};
use crate::exchange::{Branch, Exchange, Purpose, Target};
use crate::headers;
use crate::hops::Tried;
use crate::in_dialog::first_hop;
use crate::invite::contact_of;
use crate::originate::OwnRequest;
use crate::proxy::{NO_EXCHANGE, alias_to, push_send};
use crate::shard::Edge;
use sip::{HeaderId, Message, Method};
use wire::bytes_class::push_decimal;
use wire::{Cause, Instant, Realm, Span};

/// Which ends cannot know that a dialog is over when it ends for this reason (TS 24.229 §5.2.8.1): its
/// media are gone, so they are told, unless a BYE of one of them is on its way.
pub(crate) const fn unaware(cause: Cause) -> &'static [Realm] {
    match cause {
        Cause::FlowGone | Cause::Blacklisted => &[Realm::Core],
        Cause::Deregistered
        | Cause::NetworkDeregistered
        | Cause::RegistrationExpired
        | Cause::SessionTimeout => &[Realm::Access, Realm::Core],
        _ => &[],
    }
}

/// Stands for an address that was too long to be kept; tags tell dialogs (RFC 3261 §12.2.2).
const NOBODY: &[u8] = b"<sip:anonymous@anonymous.invalid>";

impl Edge {
    /// Tells `side` that a confirmed dialog is over.
    pub(crate) fn hang_up(
        &mut self,
        place: Place,
        side: Realm,
        cause: Cause,
        now: Instant,
        out: &mut Outbox,
    ) {
        let (mut tried, draw) = (Tried::of(self.hops.initial()), self.random.next_u64());
        let Some(call) = self.calls.call(place.call) else { return };
        let Some(dialog) = call.dialog(place.dialog) else { return };
        let confirmed = dialog.confirmed && dialog.session && !dialog.ended && !dialog.leaving;
        let unacknowledged = side != call.inviter && !dialog.acked;
        let way = call.way(place.dialog, side).cloned().unwrap_or_default();
        let binding = call.binding;
        let target = match side {
            Realm::Access => self.access_target(binding).ok(),
            Realm::Core => self.target_of_route(&first_hop(&way), &mut tried, draw, now),
        };
        let Some(target) = target.filter(|_| confirmed && !way.target.is_empty()) else { return };
        let call_id = match side {
            Realm::Access => self.call_id_for_access(&call.call_id, &self.owner_of(binding)),
            Realm::Core => (&*call.call_id).into(),
        };
        let shown = |address: &[u8]| match side {
            Realm::Access => self.hidden_value(address, target.point),
            Realm::Core => address.to_vec(),
        };
        let Some(mut request) = bye(call, place.dialog, side, cause, &call_id, &shown) else { return };
        request.uri.extend_from_slice(&way.target);
        request.routes.extend_from_slice(&way.routes);
        if unacknowledged {
            // RFC 3261 §13.2.2.4: its 2xx would come again and again.
            let cseq = call.inviter_cseq;
            let fields = names_of(&request.fields).to_vec();
            self.acknowledge_2xx(&request, &fields, cseq, target, out);
        }
        let _ = self.originate(&request, target, (Purpose::Plain, Some(binding)), None, now, out);
    }

    /// Takes back a 2xx that nobody waits for: the INVITE was refused or cancelled here, or its sender is
    /// gone. Each repetition is acknowledged, and the dialog ended once (RFC 3261 §13.2.2.4, §15).
    pub(crate) fn decline_late(
        &mut self,
        x: &mut Exchange,
        message: Message<'_>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let mut request = OwnRequest::new(Method::Bye);
        let Ok(Some(contact)) = contact_of(message) else { return };
        request.uri.extend_from_slice(contact);
        if x.target.realm == Realm::Core {
            request.routes.extend_from_slice(&self.routes_of_response(message));
        }
        let mut fields = Vec::new();
        for id in [HeaderId::From, HeaderId::To, HeaderId::CallId] {
            let Some(value) = message.value(id) else { return };
            for part in [id.name().as_bytes(), b": ", value, b"\r\n"] {
                fields.extend_from_slice(part);
            }
        }
        let Ok(cseq) = message.cseq() else { return };
        let way = Way { target: contact.into(), routes: request.routes.clone().into() };
        let target = match x.target.realm {
            Realm::Core => self.target_by_route(&first_hop(&way), now).unwrap_or(x.target),
            Realm::Access => x.target,
        };
        self.acknowledge_2xx(&request, &fields, cseq.number, target, out);
        // A new offer that came too late changes nothing, and the dialog stands.
        if core::mem::replace(&mut x.declined, true) || x.echo.to_tagged() {
            return;
        }
        request.fields = fields;
        request.fields.extend_from_slice(b"CSeq: ");
        push_decimal(u64::from(next_cseq(cseq.number)), &mut request.fields);
        request.fields.extend_from_slice(b" BYE\r\n");
        let _ = self.originate(&request, target, (Purpose::Plain, x.binding), None, now, out);
    }

    /// Sends the ACK of a 2xx; `fields` are From, To and Call-ID.
    fn acknowledge_2xx(
        &mut self,
        request: &OwnRequest,
        fields: &[u8],
        cseq: u32,
        target: Target,
        out: &mut Outbox,
    ) {
        let branch = Branch::new(NO_EXCHANGE, &mut self.random);
        let start = out.bytes.len();
        let text = &mut out.bytes;
        text.extend_from_slice(b"ACK ");
        headers::push_as_request_uri(&request.uri, text);
        text.extend_from_slice(b" SIP/2.0\r\n");
        let alias = alias_to(&target, &self.config);
        headers::push_via(self.points.at(target.point), target.transport, &branch, alias, text);
        if !request.routes.is_empty() {
            for part in [&b"Route: "[..], &request.routes, b"\r\n"] {
                text.extend_from_slice(part);
            }
        }
        text.extend_from_slice(fields);
        text.extend_from_slice(b"CSeq: ");
        push_decimal(u64::from(cseq), text);
        text.extend_from_slice(b" ACK\r\nMax-Forwards: 69\r\nContent-Length: 0\r\n\r\n");
        let span = Span::new(start, text.len());
        self.counters.requests_out[counters::index(target.realm)][Method::Ack as usize] += 1;
        push_send(target.hop, span, out);
    }
}

/// Those lines of a BYE's that its ACK has too: all before CSeq.
fn names_of(fields: &[u8]) -> &[u8] {
    let end = memchr::memmem::find(fields, b"\r\nCSeq: ").map_or(fields.len(), |at| at + 2);
    fields.get(..end).unwrap_or(fields)
}

const fn next_cseq(cseq: u32) -> u32 {
    let next = cseq.saturating_add(1);
    if next > i32::MAX as u32 { i32::MAX as u32 } else { next }
}

/// The BYE that `side` gets.
fn bye(
    call: &Call,
    number: u32,
    side: Realm,
    cause: Cause,
    call_id: &[u8],
    shown: &dyn Fn(&[u8]) -> Vec<u8>,
) -> Option<OwnRequest> {
    let dialog = call.dialog(number)?;
    let address = |text: &[u8]| if text.is_empty() { NOBODY.to_vec() } else { shown(text) };
    let inviter = [&address(&call.inviter_address)[..], b";tag=", &call.inviter_tag].concat();
    let callee = [&address(&call.callee_address)[..], b";tag=", &dialog.tag].concat();
    let (from, to) = match side == call.inviter {
        true => (callee, inviter),
        false => (inviter, callee),
    };
    let mut request = OwnRequest::new(Method::Bye);
    let text = &mut request.fields;
    for part in [b"From: ", &from[..], b"\r\nTo: ", &to, b"\r\nCall-ID: ", call_id, b"\r\nCSeq: "] {
        text.extend_from_slice(part);
    }
    let cseq = dialog.cseq.get(counters::index(side.other())).copied().unwrap_or_default();
    push_decimal(u64::from(next_cseq(cseq)), text);
    // As a P-CSCF says that it released a session (TS 24.229 §5.2.8.1.1).
    text.extend_from_slice(b" BYE\r\nReason: SIP;cause=503;text=");
    sip::text::push_quoted(cause.text().as_bytes(), text);
    text.extend_from_slice(b"\r\n");
    Some(request)
}

/// An address without its tag, unfolded; nothing if it is too long to be kept for hours.
pub(crate) fn address_of(value: &[u8], bytes_max: usize) -> Box<[u8]> {
    let Some(address) = sip::NameAddr::read(value, Span::new(0, value.len())) else { return Box::default() };
    if address.uri.len() + address.display.len() > bytes_max || address.uri.is_empty() {
        return Box::default();
    }
    let mut text = Vec::with_capacity(address.uri.len() + 2);
    text.push(b'<');
    text.extend(address.uri.iter().filter(|b| !b.is_ascii_whitespace()));
    text.push(b'>');
    text.into()
}
