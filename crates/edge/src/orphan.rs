//! Requests inside dialogs that this process never knew: it was restarted, or stands in for another.
//!
//! What the core needs to reach the UE is in the token of our Record-Route: the UE's flow, its contact
//! and the life of the process that sealed it. The media of such a dialog are gone, so what negotiates
//! is answered 481 like any unknown dialog, and the core ends it; everything else, above all its BYE,
//! still reaches the UE.
//!
//! ```text
//!   route state = epoch (4) | the UE's contact
//! ```

use crate::address::identity_key;
use crate::api::Outbox;
use crate::exchange::{Incoming, Purpose, Target};
use crate::negotiation::strip_stray;
use crate::proxy::Way;
use crate::shard::Edge;
use crate::token::{FlowPath, ROUTE_BYTES_MAX, Token, TokenRoom};
use crate::{from_core, headers};
use sip::{HeaderId, Method, NameAddr};
use wire::{BindingId, Cause, EditList, Realm, Transport};

/// What the token of a dialog carries for a process that does not know it. A contact that is too long
/// is left out: then only a UE that has registered again is found.
pub(crate) fn route_state(epoch: u32, contact: &[u8]) -> Vec<u8> {
    let mut state = epoch.to_be_bytes().to_vec();
    if state.len() + contact.len() <= ROUTE_BYTES_MAX {
        state.extend_from_slice(contact);
    }
    state
}

/// Handles a request of the core in a dialog that another life of this node sealed the token of;
/// `false` if it is none.
///
/// # Errors
/// What keeps it from being sent on.
pub(crate) fn request(
    edge: &mut Edge,
    request: &Incoming<'_>,
    edits: &mut EditList,
    out: &mut Outbox,
) -> Result<bool, Cause> {
    if matches!(request.method(), Method::Invite | Method::Ack | Method::Prack | Method::Update) {
        return Ok(false);
    }
    let Some((target, contact, binding)) = find(edge, request) else { return Ok(false) };
    from_core::edit(edge, request.message, &contact, &target, edits)?;
    headers::contact_to_access(request.message, edge.points.at(target.point), edits);
    strip_stray(request.message, edits);
    edge.counters.orphans += 1;
    let way = Way { target, purpose: Purpose::Plain, binding, tried: None };
    edge.forward(request, way, edits, out).map(|_| true)
}

/// The UE: over the registration it has by now, else over the datagram flow of the token, which
/// outlives us.
fn find(edge: &Edge, request: &Incoming<'_>) -> Option<(Target, Vec<u8>, Option<BindingId>)> {
    let message = request.message;
    let route = message.elements(HeaderId::Route).next()?;
    let route = NameAddr::read(message.bytes(), route.span)?;
    let user = crate::address::Pieces::of(route.uri)?.user;
    let mut room = TokenRoom::default();
    let Ok(Token::Dialog(token)) = edge.tokens.open(route.uri.get(user)?, &mut room) else { return None };
    let (epoch, contact) = token.route.split_first_chunk()?;
    let elsewhere = token.flow.node == edge.node && token.flow.shard != edge.context.shard;
    if elsewhere || u32::from_be_bytes(*epoch) == edge.epoch {
        return None;
    }
    let key = identity_key(request.to.uri)?;
    let bindings = || edge.bindings.of_user(&key);
    let same = bindings().find(|b| b.profile().contact_uri == contact);
    let registered = same.or_else(|| bindings().next_back()).and_then(|binding| {
        let target = edge.access_target(binding.id).ok()?;
        Some((target, binding.profile().contact_uri.to_vec(), Some(binding.id)))
    });
    let over_flow = || {
        let FlowPath::Datagram { socket, peer } = token.flow.flow else { return None };
        let point = edge.points.of_socket(socket).filter(|_| token.flow.node == edge.node)?;
        let at = edge.points.at(point);
        let fits = at.realm == Realm::Access && at.bound.is_ipv4() == peer.is_ipv4() && !contact.is_empty();
        let hop = crate::flow::hop_of(token.flow.flow);
        let target = Target { realm: Realm::Access, transport: Transport::Udp, hop, peer, point };
        fits.then(|| (target, contact.to_vec(), None))
    };
    registered.or_else(over_flow)
}
