//! Requests inside dialogs that this process never knew: it was restarted, or stands in for another.
//!
//! What the core needs to reach the UE is in the token of our Record-Route: the UE's flow, its contact
//! and the life of the process that sealed it. What the UE needs to reach the core is in the one that it
//! was given: the core's route set and target. The media of such a dialog are gone, so what negotiates is
//! answered 481 like any unknown dialog, and its sender ends it; everything else, above all a BYE, still
//! reaches the other end.
//!
//! ```text
//!   for the core   epoch (4) | owner (8) | the UE's contact                     in a token
//!   for a UE       epoch (4) | owner (8) | length (2) | target | route set      in a mask
//! ```

use crate::address::{Pieces, identity_key};
use crate::api::Outbox;
use crate::dialog::Way as Dialogue;
use crate::exchange::{Incoming, Purpose, Target};
use crate::in_dialog::first_hop;
use crate::mask::{Kind, Owner};
use crate::negotiation::strip_stray;
use crate::proxy::Way;
use crate::shard::Edge;
use crate::token::{FlowPath, ROUTE_BYTES_MAX, Token, TokenRoom};
use crate::{from_access, from_core, headers, identify};
use sip::{HeaderId, Method, NameAddr};
use wire::{BindingId, Cause, EditList, Realm, Transport};

/// What the token of a dialog carries for a process that does not know it. A contact that is too long
/// is left out: then only a UE that has registered again is found.
pub(crate) fn route_state(epoch: u32, owner: &Owner, contact: &[u8]) -> Vec<u8> {
    let mut state = epoch.to_be_bytes().to_vec();
    state.extend_from_slice(owner);
    if state.len() + contact.len() <= ROUTE_BYTES_MAX {
        state.extend_from_slice(contact);
    }
    state
}

/// What a UE's Route says; longer ones are not given out, and their dialogs end with the process.
const WAY_BYTES_MAX: usize = 512;

/// The UE that a dialog of another life belongs to.
struct Found {
    target: Target,
    contact: Vec<u8>,
    binding: Option<BindingId>,
    owner: Owner,
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
    if negotiates(request.method()) {
        return Ok(false);
    }
    let Some(Found { target, contact, binding, owner }) = find(edge, request) else { return Ok(false) };
    from_core::edit(edge, request.message, &contact, &target, edits)?;
    headers::contact_to_access(request.message, edge.points.at(target.point), edits);
    strip_stray(request.message, edits);
    edge.counters.orphans += 1;
    let way = Way { target, purpose: Purpose::Plain, binding, owner: Some(owner), tried: None };
    edge.forward(request, way, edits, out).map(|_| true)
}

/// The same for a request of a UE, by the Record-Route that it was given.
///
/// # Errors
/// What keeps it from being sent on.
pub(crate) fn request_of_ue(
    edge: &mut Edge,
    request: &Incoming<'_>,
    edits: &mut EditList,
    out: &mut Outbox,
) -> Result<bool, Cause> {
    if negotiates(request.method()) {
        return Ok(false);
    }
    let Some((binding, way)) = open_way(edge, request) else { return Ok(false) };
    let message = request.message;
    let target = edge.target_by_route(&first_hop(&way), request.now);
    let target = target.ok_or(Cause::NoNextHop)?;
    if !way.target.is_empty() && edge.is_own_uri(Realm::Access, message.uri()) {
        edits.replace_with(message.uri_span(), |out| headers::push_as_request_uri(&way.target, out));
    }
    let caller = identify::in_dialog(edge, message, binding);
    from_access::normalise_inside(edge, message, &caller, edits);
    from_access::edit(edge, message, &caller, &way.routes, edits)?;
    headers::contact_to_core(message, edge.points.at(target.point), edits);
    strip_stray(message, edits);
    edge.counters.orphans += 1;
    let way = Way { target, purpose: Purpose::Plain, binding: Some(binding), owner: None, tried: None };
    edge.forward(request, way, edits, out).map(|_| true)
}

/// What has no meaning without the media that were lost.
const fn negotiates(method: Method) -> bool {
    matches!(method, Method::Invite | Method::Ack | Method::Prack | Method::Update)
}

/// The UE: over the registration it has by now, else over the datagram flow of the token, which
/// outlives us.
fn find(edge: &Edge, request: &Incoming<'_>) -> Option<Found> {
    let user = own_route(request)?;
    let mut room = TokenRoom::default();
    let Ok(Token::Dialog(token)) = edge.tokens.open(user, &mut room) else { return None };
    let (epoch, rest) = token.route.split_first_chunk()?;
    let (owner, contact) = rest.split_first_chunk()?;
    let elsewhere = token.flow.node == edge.node && token.flow.shard != edge.context.shard;
    if elsewhere || u32::from_be_bytes(*epoch) == edge.epoch {
        return None;
    }
    let key = identity_key(request.to.uri)?;
    let bindings = || edge.bindings.of_user(&key);
    let same = bindings().find(|b| b.profile().contact_uri == contact);
    let registered = same.or_else(|| bindings().next_back()).and_then(|binding| {
        let target = edge.access_target(binding.id).ok()?;
        let contact = binding.profile().contact_uri.to_vec();
        Some(Found { target, contact, binding: Some(binding.id), owner: *owner })
    });
    let over_flow = || {
        let FlowPath::Datagram { socket, peer } = token.flow.flow else { return None };
        let point = edge.points.of_socket(socket).filter(|_| token.flow.node == edge.node)?;
        let at = edge.points.at(point);
        let fits = at.realm == Realm::Access && at.bound.is_ipv4() == peer.is_ipv4() && !contact.is_empty();
        let hop = crate::flow::hop_of(token.flow.flow);
        let target = Target { realm: Realm::Access, transport: Transport::Udp, hop, peer, point };
        fits.then(|| Found { target, contact: contact.to_vec(), binding: None, owner: *owner })
    };
    registered.or_else(over_flow)
}

/// The user part of the first Route.
fn own_route<'m>(request: &Incoming<'m>) -> Option<&'m [u8]> {
    let message = request.message;
    let route = message.elements(HeaderId::Route).next()?;
    let route = NameAddr::read(message.bytes(), route.span)?;
    route.uri.get(Pieces::of(route.uri)?.user)
}

/// The way to the core that a UE's Route stands for, and the registration it was given to: a Route that
/// another UE learned leads nowhere.
fn open_way(edge: &Edge, request: &Incoming<'_>) -> Option<(BindingId, Dialogue)> {
    let plain = edge.masks.open(Kind::Route, own_route(request)?)?;
    let (epoch, rest) = plain.split_first_chunk()?;
    let (owner, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (target, routes) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    if u32::from_be_bytes(*epoch) == edge.epoch {
        return None; // it would be known here: it has ended
    }
    let bindings = edge.flows.bindings(request.origin.flow()?);
    let binding = *bindings.iter().find(|id| edge.owner_of(**id) == *owner)?;
    Some((binding, Dialogue { target: target.into(), routes: routes.into() }))
}

impl Edge {
    /// What stands in our Record-Route for the UE of `binding`; nothing if it would be too long.
    pub(crate) fn seal_way(&self, binding: BindingId, way: &Dialogue) -> Vec<u8> {
        let mut text = Vec::new();
        let length = u16::try_from(way.target.len()).unwrap_or(u16::MAX);
        if way.target.is_empty() || way.target.len() + way.routes.len() > WAY_BYTES_MAX {
            return text;
        }
        let owner = self.owner_of(binding);
        let epoch = self.epoch.to_be_bytes();
        let plain = [&epoch[..], &owner, &length.to_be_bytes(), &way.target, &way.routes].concat();
        self.masks.seal(Kind::Route, &plain, &mut text);
        text
    }
}
