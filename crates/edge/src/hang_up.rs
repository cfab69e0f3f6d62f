//! Calls that the edge itself ends: BYE to an end that could not know (R56, R72).
//!
//! ```text
//!   the relay gave the session up ──▶ BYE to the UE and BYE to the core
//!   the UE is gone for good ────────▶ BYE to the core
//! ```
//! Each end gets the BYE as if the other had sent it, with the next CSeq of that one; what is answered
//! changes nothing (RFC 3261 §15.1.1).

use crate::api::Outbox;
use crate::dialog::{Call, Place};
use crate::exchange::{Branch, Cancel, Exchange, Purpose, Target};
use crate::flow::Origin;
use crate::in_dialog::first_hop;
use crate::shard::Edge;
use crate::{counters, headers};
use sip::Method;
use wire::bytes_class::push_decimal;
use wire::{BindingId, Cause, Instant, Realm, Span, Transport};

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
        let Some(mut request) = bye(call, place.dialog, side, cause) else { return };
        request.to_uri.extend_from_slice(&way.target);
        request.routes.extend_from_slice(&way.routes);
        self.originate(&request, target, binding, now, out);
    }

    /// Sends a request of our own; its transaction runs by itself.
    fn originate(
        &mut self,
        request: &Request,
        target: Target,
        binding: BindingId,
        now: Instant,
        out: &mut Outbox,
    ) {
        let key = self.random.next_u64();
        let requester = Origin {
            realm: target.realm.other(),
            transport: Transport::Udp,
            source: target.peer,
            hop: target.hop,
            point: target.point,
        };
        let spare = self.exchanges.buffers();
        let id = self.exchanges.insert_with(|id| Exchange {
            id,
            method: Method::Bye,
            requester,
            key,
            server: None,
            client: None,
            target,
            branch: Branch::none(),
            echo: crate::reply::Echo::default(),
            request: spare.request,
            response: spare.response,
            purpose: Purpose::Plain,
            fallback: None,
            binding: Some(binding),
            tried: 0,
            retryable: false,
            answered: false,
            // Nobody waits for an answer.
            finished: true,
            next_hop_by: None,
            ring_until: None,
            cancel: Cancel::No,
            armed: None,
        });
        let Some(mut x) = id.and_then(|id| self.exchanges.lift(id)) else {
            self.counters.reject(requester.realm, Cause::TableFull);
            return;
        };
        self.counters.exchanges_opened += 1;
        x.branch = Branch::new(x.id, &mut self.random);
        let start = out.bytes.len();
        let text = &mut out.bytes;
        text.extend_from_slice(b"BYE ");
        headers::push_as_request_uri(&request.to_uri, text);
        text.extend_from_slice(b" SIP/2.0\r\n");
        headers::push_via(self.points.at(target.point), target.transport, &x.branch, text);
        text.extend_from_slice(b"Max-Forwards: 70\r\n");
        if !request.routes.is_empty() {
            for part in [&b"Route: "[..], &request.routes, b"\r\n"] {
                text.extend_from_slice(part);
            }
        }
        text.extend_from_slice(&request.fields);
        text.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        let span = Span::new(start, out.bytes.len());
        if !target.transport.is_reliable() {
            x.request.extend_from_slice(span.of(&out.bytes));
        }
        self.launch(&mut x, span, now, out);
        self.settle(x, now, out);
    }
}

/// What is particular to one request of ours.
#[derive(Debug, Default)]
struct Request {
    to_uri: Vec<u8>,
    routes: Vec<u8>,
    /// Whole lines.
    fields: Vec<u8>,
}

/// The BYE that `side` gets.
fn bye(call: &Call, number: u32, side: Realm, cause: Cause) -> Option<Request> {
    let dialog = call.dialog(number)?;
    let address = |text: &[u8]| if text.is_empty() { NOBODY.to_vec() } else { text.to_vec() };
    let inviter = [&address(&call.inviter_address)[..], b";tag=", &call.inviter_tag].concat();
    let callee = [&address(&call.callee_address)[..], b";tag=", &dialog.tag].concat();
    let (from, to) = match side == call.inviter {
        true => (callee, inviter),
        false => (inviter, callee),
    };
    let mut request = Request::default();
    let text = &mut request.fields;
    for part in [b"From: ", &from[..], b"\r\nTo: ", &to, b"\r\nCall-ID: ", &call.call_id, b"\r\nCSeq: "] {
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
