//! A request from the core, stage by stage (twin of `from_access`).
//!
//! ```text
//! frame → parse → absorb → validate → admit → route (token → binding → flow) → edit → send
//! ```
//! The core is trusted: it is not identified, and its bodies are its own business (R42).

use crate::api::{Action, Outbox};
use crate::exchange::{Incoming, Purpose, Target};
use crate::flow::Origin;
use crate::negotiation::strip_stray;
use crate::proxy::{Way, push_bytes};
use crate::registration::credentials;
use crate::route::Destination;
use crate::shard::Edge;
use crate::validate::{Reject, request_from_core};
use crate::{admit, bodies, from_access, headers, in_dialog, orphan, refuse, trust};
use sip::{Message, Method};
use wire::{BindingId, Cause, EditList, Hop, Instant, ShardId};

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
    let request = Incoming::read(message, origin, now).map_err(Reject::line)?;
    if edge.absorb(&request, out) || edge.is_ack_of_refusal(&request) {
        return Ok(());
    }
    note_alias(edge, &request);
    let verdict = request_from_core(message, &edge.config.validation.core.checks())?;
    edge.counters.soften(&verdict.soft);
    admit::from_core(edge, &request)?;
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
        Method::Cancel => edge.on_cancel(request, out),
        _ if let Some(watch) = edge.watch_of(request) => edge.on_watch_notify(watch, request, out),
        _ if request.in_dialog() && in_dialog::request(edge, request, edits, out)? => Ok(()),
        _ if request.in_dialog() && orphan::request(edge, request, edits, out)? => Ok(()),
        Method::Register => Err(Cause::MethodNotAllowed),
        Method::Options if from_access::is_for_edge(edge, message) => {
            edge.reply(message, origin, 200, refuse::ALLOW, out);
            Ok(())
        }
        method => match edge.destination(message) {
            Ok(Destination::Shard(shard)) => {
                hand_over(edge, message, origin, shard, out);
                Ok(())
            }
            _ if method == Method::Ack => Err(Cause::StrayAck),
            _ if request.in_dialog() && in_dialog::needs_dialog(method) => Err(Cause::UnknownDialog),
            Ok(Destination::Binding(binding)) => forward(edge, request, binding, edits, out),
            Err(cause) => Err(cause),
        },
    }
}

fn forward(
    edge: &mut Edge,
    request: &Incoming<'_>,
    binding: BindingId,
    edits: &mut EditList,
    out: &mut Outbox,
) -> Result<(), Cause> {
    let message = request.message;
    let target = edge.access_target(binding)?;
    let uri = edge.bindings.live(binding).ok_or(Cause::FlowGone)?.profile().contact_uri;
    edit(edge, message, uri, &target, edits)?;
    headers::contact_to_access(message, edge.points.at(target.point), edits);
    let purpose = match request.method() {
        Method::Invite => Purpose::Invite(edge.open_call(request, binding, &target, edits, out)?),
        Method::Subscribe | Method::Refer => {
            strip_stray(message, edits);
            Purpose::Subscribe(edge.open_subscription(request, binding, &target, edits)?)
        }
        _ => {
            strip_stray(message, edits);
            Purpose::Plain
        }
    };
    let way = Way { target, purpose, binding: Some(binding), owner: None, tried: None };
    edge.forward(request, way, edits, out).map(drop)
}

/// The header policy of a request towards a UE: its own Contact (`uri`) as Request-URI (R45), and
/// nothing of the core's inner routes (R23).
pub(crate) fn edit(
    edge: &Edge,
    message: Message<'_>,
    uri: &[u8],
    target: &Target,
    edits: &mut EditList,
) -> Result<(), Cause> {
    if !uri.is_empty() {
        edits.replace_with(message.uri_span(), |out| headers::push_as_request_uri(uri, out));
    }
    headers::count_hop(message, edits)?;
    bodies::mend(message, &edge.config.validation.core.checks(), edits);
    headers::strip(message, headers::REQUEST_TO_ACCESS, edits);
    trust::privacy_to_access(message, edits);
    credentials::take_keys(message, edits); // R17: whatever the message is
    headers::warnings_to_access(message, edge.points.at(target.point), edits);
    Ok(())
}

/// A peer that says `alias` is reached over this very stream from here on, at the port of its Via and the
/// address it comes from: a Via could name anybody (RFC 5923 §9.3).
fn note_alias(edge: &mut Edge, request: &Incoming<'_>) {
    let Hop::Stream(id) = request.origin.hop else { return };
    if edge.config.core.connection_reuse && request.via.param(b"alias").is_some() {
        let transport = request.origin.transport;
        let port = request.via.port.unwrap_or(wire::directory::default_port(transport));
        let mut at = request.origin.source;
        at.set_port(port);
        edge.flows.set_alias(id, at);
    }
}

/// Gives the message to the shard whose UE it is for: the core followed an old port of ours.
fn hand_over(edge: &mut Edge, message: Message<'_>, origin: &Origin, shard: ShardId, out: &mut Outbox) {
    let bytes = push_bytes(message.bytes(), out);
    edge.counters.handovers += 1;
    out.actions.push(Action::Handover {
        shard,
        realm: origin.realm,
        transport: origin.transport,
        source: origin.source,
        bytes,
    });
}
