//! A request from a UE, stage by stage (twin of `from_core`).
//!
//! ```text
//! frame → parse → absorb → admit → keep-alive → validate → REGISTER ─▶ registration
//!                                                   └─▶ identify → normalise → route → edit → send
//! ```

use crate::api::Outbox;
use crate::emergency;
use crate::exchange::{Incoming, Purpose};
use crate::flow::Origin;
use crate::hops::Tried;
use crate::identify::Caller;
use crate::proxy::Way;
use crate::shard::Edge;
use crate::validate::{Reject, request_from_access};
use crate::{
    admit, bodies, headers, identify, in_dialog, keepalive, network, orphan, refuse, registration, trust,
};
use sip::{HeaderId, Message, Method};
use wire::{Cause, EditList, Instant, Realm};

/// Handles one request; whatever stops it is counted, recorded and answered.
pub(crate) fn request(
    edge: &mut Edge,
    message: Message<'_>,
    origin: &Origin,
    now: Instant,
    out: &mut Outbox,
) {
    if let Err(reject) = stages(edge, message, origin, now, out) {
        edge.refuse(message, origin, reject, out);
    }
}

fn stages(
    edge: &mut Edge,
    message: Message<'_>,
    origin: &Origin,
    now: Instant,
    out: &mut Outbox,
) -> Result<(), Reject> {
    admit::source(edge, origin)?;
    let request = Incoming::read(message, origin, now).map_err(Reject::line)?;
    if edge.absorb(&request, out) || edge.is_ack_of_refusal(&request) {
        return Ok(());
    }
    admit::from_access(edge, &request)?;
    if keepalive::is_rkeep(&request) && !edge.config.registrar.rkeep_forward {
        keepalive::on_rkeep(edge, &request, out);
        return Ok(());
    }
    let verdict = request_from_access(message, &edge.config.validation.access.checks())?;
    edge.counters.soften(&verdict.soft);
    let mut edits = core::mem::take(&mut edge.scratch.edits);
    edits.clear();
    let result = dispatch(edge, &request, &mut edits, out);
    edge.scratch.edits = edits;
    result.map_err(Reject::from)
}

fn dispatch(
    edge: &mut Edge,
    request: &Incoming<'_>,
    edits: &mut EditList,
    out: &mut Outbox,
) -> Result<(), Cause> {
    let (message, origin) = (request.message, request.origin);
    match request.method() {
        Method::Register => registration::request(edge, request, edits, out),
        Method::Cancel => edge.on_cancel(request, out),
        _ if request.in_dialog() && in_dialog::request(edge, request, edits, out)? => Ok(()),
        _ if request.in_dialog() && orphan::request_of_ue(edge, request, edits, out)? => Ok(()),
        Method::Ack => Err(Cause::StrayAck),
        method if request.in_dialog() && in_dialog::needs_dialog(method) => Err(Cause::UnknownDialog),
        Method::Options if is_for_edge(edge, message) => {
            edge.reply(message, origin, 200, refuse::ALLOW, out);
            Ok(())
        }
        Method::Invite if emergency::is_urgent(edge, request) => {
            emergency::forward(edge, request, edits, out)
        }
        _ => {
            let caller = identify::caller(edge, request)?;
            forward(edge, request, &caller, edits, out)
        }
    }
}

fn forward(
    edge: &mut Edge,
    request: &Incoming<'_>,
    caller: &Caller<'_>,
    edits: &mut EditList,
    out: &mut Outbox,
) -> Result<(), Cause> {
    let message = request.message;
    normalise(edge, message, caller, edits);
    let draw = edge.random.next_u64();
    let binding = edge.bindings.live(caller.binding).ok_or(Cause::NotRegistered)?;
    let route = binding.profile().service_route;
    let mut tried = Tried::of(edge.hops.initial());
    let target = edge.target_of_route(route, &mut tried, draw, request.now).ok_or(Cause::NoNextHop)?;
    edit(edge, message, caller, route, edits)?;
    headers::contact_to_core(message, edge.points.at(target.point), edits);
    network::charge(edge, message, edits);
    let purpose = match request.method() {
        Method::Invite => Purpose::Invite(edge.open_call(request, caller.binding, &target, edits, out)?),
        Method::Subscribe | Method::Refer => {
            Purpose::Subscribe(edge.open_subscription(request, caller.binding, &target, edits)?)
        }
        _ => Purpose::Plain,
    };
    let way = Way {
        target,
        purpose,
        binding: Some(caller.binding),
        owner: None,
        tried: (!request.in_dialog()).then_some(tried),
    };
    edge.forward(request, way, edits, out).map(drop)
}

/// Completes the numbers of Request-URI and To; the echo gives the UE its own To back (R32).
fn normalise(edge: &mut Edge, message: Message<'_>, caller: &Caller<'_>, edits: &mut EditList) {
    let mut text = core::mem::take(&mut edge.scratch.text);
    let who = identify::who(edge, caller.binding);
    edge.derived.numbers.complete_request(message, &who, &mut text, edits);
    edge.scratch.text = text;
}

/// The same inside a dialog, where the Request-URI is the remote target and stays.
pub(crate) fn normalise_inside(
    edge: &mut Edge,
    message: Message<'_>,
    caller: &Caller<'_>,
    edits: &mut EditList,
) {
    let mut text = core::mem::take(&mut edge.scratch.text);
    let who = identify::who(edge, caller.binding);
    edge.derived.numbers.complete_inside(message, &who, &mut text, edits);
    edge.scratch.text = text;
}

/// The header policy of an initial request towards the core.
///
/// The UE's own Route is replaced by the Service-Route of its registration (R22).
pub(crate) fn edit(
    edge: &Edge,
    message: Message<'_>,
    caller: &Caller<'_>,
    route: &[u8],
    edits: &mut EditList,
) -> Result<(), Cause> {
    headers::count_hop(message, edits)?;
    bodies::mend(message, &edge.config.validation.access.checks(), edits);
    identify::assert_identity(edge, message, caller, edits);
    headers::strip(message, headers::REQUEST_TO_CORE, edits);
    trust::strip_assertions(message, edits);
    headers::strip_option(message, HeaderId::Require, b"sec-agree", edits);
    headers::strip_option(message, HeaderId::ProxyRequire, b"sec-agree", edits);
    headers::route(message, route, edits);
    let point = edge.bindings.live(caller.binding).map(|binding| binding.point);
    network::access_info(edge, message, point, edits);
    Ok(())
}

/// Whether a request is addressed to the edge itself: our address, and no user (R58).
pub(crate) fn is_for_edge(edge: &Edge, message: Message<'_>) -> bool {
    let uri = message.uri();
    crate::address::Pieces::of(uri).is_some_and(|pieces| {
        let host_port = &uri[pieces.host_port];
        pieces.user.is_empty()
            && (edge.points.is_ours(Realm::Access, host_port) || edge.points.is_ours(Realm::Core, host_port))
    })
}
