//! Emergency calls (TS 24.229 §5.2.10): they go to their own pool, marked, and past what holds others up.
//!
//! ```text
//!   112, urn:service:sos ─▶ registered UE: its identity asserted ─┐
//!                       └─▶ anybody else: a guest, nobody's word ─┴─▶ URN, Priority ─▶ emergency pool
//! ```
//! A guest is a binding that no core knows of: it lets the dialog find its UE, admits nothing but that
//! dialog and further emergency calls, and ends when its calls have.

use crate::address::Pieces;
use crate::api::Outbox;
use crate::bindings::Profile;
use crate::deadlines::Alarm;
use crate::exchange::{Incoming, Purpose};
use crate::hops::Tried;
use crate::identify::Caller;
use crate::invite::contact_of;
use crate::proxy::Way;
use crate::shard::Edge;
use crate::token::{FlowPath, FlowToken, Token};
use crate::{from_access, headers, identify};
use core::time::Duration;
use sip::{HeaderId, Message, Method};
use wire::{BindingId, Cause, EditList, Instant};

/// A number, and the URN it means.
type Number = (Box<[u8]>, Box<[u8]>);

/// What is an emergency, and which service it means.
#[derive(Debug, Default)]
pub(crate) struct EmergencyPlan {
    numbers: Vec<Number>,
    urns: Vec<Box<[u8]>>,
}

impl EmergencyPlan {
    pub(crate) fn new(settings: &config::Emergency) -> Self {
        let bytes = |text: &str| Box::<[u8]>::from(text.as_bytes());
        Self {
            numbers: settings.numbers.iter().map(|n| (bytes(&n.number), bytes(&n.urn))).collect(),
            urns: settings.urns.iter().map(|urn| bytes(urn)).collect(),
        }
    }

    /// The service that a Request-URI asks for: a service URN or one of its sub-services as it stands,
    /// or what a number means, dialled as `tel:`, `sip:`, or bare.
    #[must_use]
    pub(crate) fn service<'a>(&'a self, uri: &'a [u8]) -> Option<&'a [u8]> {
        // RFC 5031 §3: compared without case; `.` begins a sub-service.
        let listed = |urn: &[u8]| {
            let (head, rest) = uri.split_at_checked(urn.len())?;
            let ends = rest.is_empty() || rest[0] == b'.';
            (head.eq_ignore_ascii_case(urn) && ends).then_some(uri)
        };
        let by_urn = || self.urns.iter().find_map(|urn| listed(urn));
        let by_number = || {
            let dialled = dialled(uri)?;
            let of_number = |number: &[u8]| {
                let digits = dialled.iter().filter(|b| !b"-.() ".contains(b));
                digits.eq(number.iter())
            };
            self.numbers.iter().find(|(number, _)| of_number(number)).map(|(_, urn)| &**urn)
        };
        if uri.len() > 4 && uri[..4].eq_ignore_ascii_case(b"urn:") { by_urn() } else { by_number() }
    }
}

/// What was dialled: the number of `tel:`, the user of `sip:`, without parameters. A number with `+` is
/// somebody's, not a service.
fn dialled(uri: &[u8]) -> Option<&[u8]> {
    let tel = uri.split_at_checked(4).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"tel:"));
    let text = match tel {
        Some((_, rest)) => rest,
        None => {
            let pieces = Pieces::of(uri)?;
            // Bare digits have no host: what stands in its place was dialled.
            uri.get(if pieces.user.is_empty() { pieces.host_port } else { pieces.user })?
        }
    };
    text.split(|&b| b == b';').next().filter(|number| !number.is_empty() && number.len() <= 64)
}

/// Whether a request begins an emergency call, or registers for one.
#[must_use]
pub(crate) fn is_urgent(edge: &Edge, request: &Incoming<'_>) -> bool {
    if request.in_dialog() || request.origin.realm != wire::Realm::Access {
        return false;
    }
    let message = request.message;
    match request.method() {
        Method::Invite => edge.derived.emergency.service(message.uri()).is_some(),
        Method::Register => message.name_addrs(HeaderId::Contact).flatten().any(|c| is_contact(c.uri)),
        _ => false,
    }
}

/// Whether a Contact is registered for emergency calls: `sos` in its URI (TS 24.229 §5.1.6.2).
#[must_use]
pub(crate) fn is_contact(uri: &[u8]) -> bool {
    Pieces::of(uri).is_some_and(|pieces| pieces.param(uri, b"sos").is_some())
}

/// Whether an unregistered flow may send this all the same: what belongs to its emergency call.
#[must_use]
pub(crate) fn is_of_guest(edge: &Edge, request: &Incoming<'_>) -> bool {
    let known = request.origin.flow().is_some_and(|flow| !edge.flows.bindings(flow).is_empty());
    known && (request.in_dialog() || matches!(request.method(), Method::Cancel | Method::Ack))
}

/// Sends an emergency call on.
///
/// # Errors
/// `NotRegistered` where guests are not served, `TableFull` if there are too many, and what keeps any
/// call from being sent on.
pub(crate) fn forward(
    edge: &mut Edge,
    request: &Incoming<'_>,
    edits: &mut EditList,
    out: &mut Outbox,
) -> Result<(), Cause> {
    let message = request.message;
    let caller = match registered(edge, request) {
        Some(caller) => caller,
        None => Caller { binding: guest(edge, request)?, wish: None },
    };
    let guest = edge.bindings.live(caller.binding).is_some_and(|b| b.is_guest());
    let mut tried = Tried::of(edge.hops.emergency());
    let target = edge.next_core_target(&mut tried, request.now).ok_or(Cause::NoNextHop)?;
    from_access::edit(edge, message, &caller, b"", edits)?;
    headers::contact_to_core(message, edge.points.at(target.point), edits);
    mark(edge, message, edits);
    let call = edge.open_call(request, caller.binding, &target, edits, out)?;
    edge.counters.emergencies[usize::from(guest)] += 1;
    let way = Way {
        target,
        purpose: Purpose::Invite(call),
        binding: Some(caller.binding),
        owner: None,
        tried: Some(tried),
    };
    edge.forward(request, way, edits, out).map(drop)
}

/// The caller, if its flow is registered. Whatever it says of itself, its call goes on: a wrong From is
/// no reason to let somebody die, and the identity that is asserted is its own.
fn registered<'a>(edge: &Edge, request: &Incoming<'a>) -> Option<Caller<'a>> {
    let flow = request.origin.flow()?;
    let bindings = edge.flows.bindings(flow).iter().copied();
    let own = bindings.filter(|id| edge.bindings.live(*id).is_some_and(|b| !b.is_guest()));
    let first = own.clone().next()?;
    let identified = identify::caller(edge, request).ok().filter(|c| own.clone().any(|id| id == c.binding));
    Some(identified.unwrap_or(Caller { binding: first, wish: None }))
}

/// The binding of a caller that is not registered: the one it has, or a new one.
fn guest(edge: &mut Edge, request: &Incoming<'_>) -> Result<BindingId, Cause> {
    let origin = request.origin;
    let flow = origin.flow().ok_or(Cause::Internal)?;
    if !edge.config.emergency.unregistered {
        return Err(Cause::NotRegistered);
    }
    if let Some(id) = edge.flows.bindings(flow).first() {
        return Ok(*id);
    }
    if edge.counters.guests >= edge.config.emergency.guests_max as u64 {
        return Err(Cause::TableFull);
    }
    // A key of its own, which no address of record has.
    let key = format!("\0{}", origin.source);
    let contact_uri = contact_of(request.message)?.unwrap_or(request.from.uri);
    let profile =
        Profile { aor_key: key.as_bytes(), contact_uri, call_id: request.call_id, ..Profile::default() };
    let reserved = edge.bindings.reserve(flow, origin.point, origin.source, &profile);
    let id = reserved.ok_or(Cause::TableFull)?;
    let token = seal(edge, id, flow);
    let expires_at = request.now + Duration::from_secs(edge.config.emergency.guest_seconds);
    if let Some(binding) = edge.bindings.find_mut(id) {
        binding.describe(&Profile { token: &token, ..profile });
        binding.expires_at = expires_at;
        edge.deadlines.arm(Alarm::Binding(id), &mut binding.armed, Some(expires_at));
    }
    edge.bindings.go_live(id);
    edge.bindings.release(id);
    edge.flows.bind(flow, id);
    edge.counters.guests += 1;
    Ok(id)
}

fn seal(edge: &mut Edge, binding: BindingId, flow: FlowPath) -> Vec<u8> {
    let mut text = Vec::with_capacity(72);
    let token = Token::Flow(FlowToken { node: edge.node, shard: edge.context.shard, flow, binding });
    edge.tokens.seal(&token, &mut edge.random, &mut text);
    text
}

/// What tells the core that somebody is in need (TS 24.229 §5.2.10.2, RFC 3261 §20.26, RFC 7135).
fn mark(edge: &Edge, message: Message<'_>, edits: &mut EditList) {
    let settings = &edge.config.emergency;
    let uri = message.uri();
    if let Some(urn) = edge.derived.emergency.service(uri).filter(|urn| settings.urn_to_core && *urn != uri) {
        edits.replace(message.uri_span(), urn);
    }
    for (id, value) in
        [(HeaderId::Priority, &settings.priority), (HeaderId::ResourcePriority, &settings.resource_priority)]
    {
        if value.is_empty() {
            continue;
        }
        headers::strip_field(message, id, edits);
        edits.insert_with(message.fields_end(), |out| {
            for part in [id.name().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                out.extend_from_slice(part);
            }
        });
    }
}

impl Edge {
    /// Bindings that the core knows of.
    pub(crate) fn registered_count(&self) -> u64 {
        self.bindings.live_count().saturating_sub(self.counters.guests)
    }

    /// Whether a guest whose time is up still has a call: then it stays.
    pub(crate) fn keeps_guest(&mut self, id: BindingId, now: Instant) -> bool {
        let life = Duration::from_secs(self.config.emergency.guest_seconds);
        let calls = !self.calls.of_binding(id).is_empty();
        let Some(binding) = self.bindings.find_mut(id).filter(|b| calls && b.is_guest()) else {
            return false;
        };
        binding.expires_at = now + life;
        self.deadlines.arm(Alarm::Binding(id), &mut binding.armed, Some(now + life));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emergency_is_told_by_its_number_or_its_urn() {
        let plan = EmergencyPlan::new(&config::Emergency::default());
        for (uri, service) in [
            ("tel:112", Some("urn:service:sos")),
            ("TEL:1-1-0;phone-context=+86", Some("urn:service:sos.police")),
            ("sip:119@ims.example.net;user=phone", Some("urn:service:sos.fire")),
            (
                "sip:120;phone-context=ims.example.net@ims.example.net;user=phone",
                Some("urn:service:sos.ambulance"),
            ),
            ("112", Some("urn:service:sos")),
            ("urn:service:sos", Some("urn:service:sos")),
            ("URN:Service:SOS.animal-control", Some("URN:Service:SOS.animal-control")),
            ("urn:service:sosx", None),
            ("urn:service:counseling", None),
            ("urn:", None),
            ("tel:+112", None),
            ("tel:1120", None),
            ("tel:", None),
            ("sip:user112@h", None),
            ("sip:10.0.0.112", None),
            ("", None),
        ] {
            let got = plan.service(uri.as_bytes()).map(String::from_utf8_lossy);
            assert_eq!(got.as_deref(), service, "{uri}");
        }
    }

    #[test]
    fn hostile_uris_do_no_harm() {
        let plan = EmergencyPlan::new(&config::Emergency::default());
        for len in 0..80 {
            for byte in [b'1', b'@', b':', b';', b'-', b' ', 0xff] {
                assert!(plan.service(&vec![byte; len]).is_none());
            }
        }
        assert!(is_contact(b"sip:a@h;sos") && !is_contact(b"sip:sos@h") && !is_contact(b"tel:1;sos"));
    }
}
