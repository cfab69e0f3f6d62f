//! Calls that the edge itself ends: BYE to an end that could not know (R56, R72).
//!
//! ```text
//!   the relay gave the session up ──▶ BYE to the UE and BYE to the core
//!   the UE is gone for good ────────▶ BYE to the core
//! ```
//! Each end gets the BYE as if the other had sent it, with the next CSeq of that one; what is answered
//! changes nothing (RFC 3261 §15.1.1).

use crate::api::Outbox;
use crate::counters;
use crate::dialog::{Call, Place};
use crate::exchange::Purpose;
use crate::in_dialog::first_hop;
use crate::originate::OwnRequest;
use crate::shard::Edge;
use sip::Method;
use wire::bytes_class::push_decimal;
use wire::{Cause, Instant, Realm, Span};

/// Whether a dialog that ends for this reason ends behind the core's back (TS 24.229 §5.2.8.1.2): the
/// registrar ends the sessions of a registration itself, and session timers are the ends' own.
pub(crate) const fn is_unknown_to_core(cause: Cause) -> bool {
    matches!(cause, Cause::FlowGone)
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
        let Some(call) = self.calls.call(place.call) else { return };
        let confirmed = call.dialog(place.dialog).is_some_and(|d| d.confirmed && d.session && !d.ended);
        let way = call.way(place.dialog, side).cloned().unwrap_or_default();
        let binding = call.binding;
        let target = match side {
            Realm::Access => self.access_target(binding).ok(),
            Realm::Core => self.target_of_route(&first_hop(&way), &mut 0, now),
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
        let _ = self.originate(&request, target, (Purpose::Plain, Some(binding)), None, now, out);
    }
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
    push_decimal(u64::from(cseq.saturating_add(1).min(i32::MAX as u32)), text);
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
