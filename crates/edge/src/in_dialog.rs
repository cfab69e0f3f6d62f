//! Requests inside a dialog: found by Call-ID and tags, sent by the state of the call.
//!
//! ```text
//!   UE ── BYE sip:edge, Route: edge ──▶ find ── BYE remote target, Route: the core's route set ──▶ core
//!   UE ◀── BYE the UE's Contact, one Via ── find ◀── BYE sip:ue@edge, Route: our token ── core
//! ```
//! Any method goes this way. What is new in the dialog (a target, an offer) is taken in on the way.

use crate::api::Outbox;
use crate::dialog::{Names, Place, Way};
use crate::exchange::{Exchange, Incoming, Purpose, Target};
use crate::invite::contact_of;
use crate::shard::Edge;
use crate::subscription::Watch;
use crate::{counters, from_access, from_core, headers, identify, proxy};
use sip::{Message, Method};
use wire::{Cause, EditList, Instant, Realm};

/// What an exchange inside a dialog knows.
#[derive(Debug)]
pub struct Inside {
    /// The dialog.
    pub place: Place,
    /// The method.
    pub method: Method,
    /// Who sent the request.
    pub from: Realm,
    /// The sender's new remote target, once the request is accepted (RFC 3261 §12.2.1.2).
    pub target: Option<Box<[u8]>>,
    /// What it says of a subscription.
    pub watch: Option<Watch>,
}

/// Handles a request with a To tag; `false` if it belongs to no dialog that we know.
///
/// # Errors
/// What keeps it from being sent on.
pub(crate) fn request(
    edge: &mut Edge,
    request: &Incoming<'_>,
    edits: &mut EditList,
    out: &mut Outbox,
) -> Result<bool, Cause> {
    let place = match find(edge, request) {
        Some(place) => place,
        None if request.method() == Method::Notify => match edge.enter_by_notify(request)? {
            Some(place) => place,
            None => return Ok(false),
        },
        None => return Ok(false),
    };
    if negotiates(request.method()) && !has_session(edge, place) {
        return Ok(false);
    }
    let sent = match request.origin.realm {
        Realm::Access => to_core(edge, request, place, edits, out),
        Realm::Core => to_access(edge, request, place, edits, out),
    };
    if sent.is_err() && request.method() == Method::Bye {
        // Whoever says BYE is gone, whether or not the other end can be told.
        edge.end_dialog(place, Cause::Bye, request.now, out);
    }
    sent.map(|()| true)
}

/// What is part of a session: in a dialog that only a subscription uses it means nothing (RFC 5057 §5.1,
/// RFC 6665 §4.5.2), and media that it reserved would belong to nobody.
const fn negotiates(method: Method) -> bool {
    matches!(method, Method::Invite | Method::Ack | Method::Prack | Method::Update)
}

fn has_session(edge: &Edge, place: Place) -> bool {
    edge.calls.call(place.call).and_then(|call| call.dialog(place.dialog)).is_some_and(|d| d.session)
}

/// Whether a request of this method has no meaning without its dialog.
pub(crate) const fn needs_dialog(method: Method) -> bool {
    matches!(
        method,
        Method::Invite
            | Method::Ack
            | Method::Bye
            | Method::Prack
            | Method::Update
            | Method::Info
            | Method::Subscribe
            | Method::Notify
            | Method::Refer
    )
}

fn find(edge: &Edge, request: &Incoming<'_>) -> Option<Place> {
    with_names(edge, request, |names| edge.calls.find(names))
}

/// What `look` finds under the names of the dialog that a request claims to belong to. Dialogs are kept
/// by the Call-ID the core knows; what a UE's stands for depends on whose it is.
pub(crate) fn with_names<R>(
    edge: &Edge,
    request: &Incoming<'_>,
    look: impl Fn(&Names<'_>) -> Option<R>,
) -> Option<R> {
    let mut names = Names {
        from: request.origin.realm,
        call_id: request.call_id,
        from_tag: request.from.tag().unwrap_or_default(),
        to_tag: request.to.tag()?,
        owners: None,
    };
    if request.origin.realm == Realm::Core {
        return look(&names);
    }
    let owners = edge.flows.bindings(request.origin.flow()?);
    names.owners = Some(owners);
    owners.iter().find_map(|owner| {
        let call_id = edge.call_id_for_core(request.call_id, *owner);
        look(&Names { call_id: &call_id, ..names })
    })
}

fn to_core(
    edge: &mut Edge,
    request: &Incoming<'_>,
    place: Place,
    edits: &mut EditList,
    out: &mut Outbox,
) -> Result<(), Cause> {
    let message = request.message;
    let call = edge.calls.call(place.call).ok_or(Cause::UnknownDialog)?;
    let binding = call.binding;
    let way = call.way(place.dialog, Realm::Core).cloned().unwrap_or_default();
    let hop = first_hop(&way);
    edge.learn_route(&hop, request.now, out);
    let target = edge.target_by_route(&hop, request.now);
    let target = target.ok_or(Cause::NoNextHop)?;
    // A conference keeps its URI towards the UE (R26): then the UE's Request-URI is the target itself.
    if !way.target.is_empty() && edge.is_own_uri(Realm::Access, message.uri()) {
        edits.replace_with(message.uri_span(), |out| headers::push_as_request_uri(&way.target, out));
    }
    let caller = identify::in_dialog(edge, message, binding);
    from_access::normalise_inside(edge, message, &caller, edits);
    if request.method() == Method::Ack {
        headers::count_hop(message, edits)?;
        headers::strip(message, headers::REQUEST_TO_CORE, edits);
        headers::route(message, &way.routes, edits);
    } else {
        from_access::edit(edge, message, &caller, &way.routes, edits)?;
    }
    headers::contact_to_core(message, edge.points.at(target.point), edits);
    send(edge, request, place, target, edits, out)
}

fn to_access(
    edge: &mut Edge,
    request: &Incoming<'_>,
    place: Place,
    edits: &mut EditList,
    out: &mut Outbox,
) -> Result<(), Cause> {
    let call = edge.calls.call(place.call).ok_or(Cause::UnknownDialog)?;
    let target = edge.access_target(call.binding)?;
    let way = call.way(place.dialog, Realm::Access).cloned().unwrap_or_default();
    from_core::edit(edge, request.message, &way.target, &target, edits)?;
    headers::contact_to_access(request.message, edge.points.at(target.point), edits);
    send(edge, request, place, target, edits, out)
}

fn send(
    edge: &mut Edge,
    request: &Incoming<'_>,
    place: Place,
    target: Target,
    edits: &mut EditList,
    out: &mut Outbox,
) -> Result<(), Cause> {
    let (message, method, from) = (request.message, request.method(), request.origin.realm);
    if method == Method::Ack {
        edge.negotiate_answer(place.into(), message, from, edits, request.now, out);
        let binding = edge.calls.call(place.call).map(|call| call.binding).ok_or(Cause::UnknownDialog)?;
        let call = edge.calls.call_mut(place.call);
        if let Some(dialog) = call.and_then(|call| call.dialog_mut(place.dialog)) {
            dialog.acked = true;
        }
        return edge.forward_ack(request, target, binding, edits, out);
    }
    let call = edge.calls.call_mut(place.call);
    if let Some(dialog) = call.and_then(|call| call.dialog_mut(place.dialog)) {
        let highest = &mut dialog.cseq[counters::index(from)];
        *highest = request.cseq.number.max(*highest);
        dialog.leaving |= method == Method::Bye;
    }
    let contact = contact_of(message)?.filter(|_| method.refreshes_target());
    let watch = Watch::of_request(request);
    edge.record_route_of_notify(place, request, &target, edits);
    let inside = Inside { place, method, from, target: contact.map(Into::into), watch };
    edge.negotiate(place.into(), message, from, edits, request.now, out)?;
    let binding = edge.calls.call(place.call).map(|call| call.binding);
    let purpose = Purpose::Inside(Box::new(inside));
    let way = proxy::Way { target, purpose, binding, owner: None, tried: None };
    edge.forward(request, way, edits, out).map(drop)
}

impl Edge {
    /// Takes in a response inside a dialog and edits it for the requester.
    pub(crate) fn answered_inside(
        &mut self,
        x: &Exchange,
        inside: &mut Inside,
        message: Message<'_>,
        edits: &mut EditList,
        now: Instant,
        out: &mut Outbox,
    ) {
        let status = message.status();
        let (place, responder) = (inside.place, x.target.realm);
        self.negotiate_answer(place.into(), message, responder, edits, now, out);
        if !(200..300).contains(&status) {
            return;
        }
        if matches!(inside.method, Method::Invite | Method::Update) {
            self.refresh(place, message, now);
        }
        self.watch_accepted(inside, message, now);
        let Some(call) = self.calls.call_mut(place.call) else { return };
        if let (Some(target), Some(way)) = (inside.target.take(), call.way_mut(place.dialog, inside.from)) {
            way.target = target;
        }
        let contact = contact_of(message).ok().flatten().filter(|_| inside.method.refreshes_target());
        if let (Some(contact), Some(way)) = (contact, call.way_mut(place.dialog, responder)) {
            way.target = contact.into();
        }
    }

    /// The requester has its final answer to a request inside a dialog.
    pub(crate) fn inside_over(&mut self, inside: &Inside, status: u16, now: Instant, out: &mut Outbox) {
        let challenged = matches!(status, 401 | 407);
        let place = inside.place;
        match inside.method {
            Method::Bye if challenged => {
                if let Some(dialog) = self.calls.call_mut(place.call).and_then(|c| c.dialog_mut(place.dialog))
                {
                    dialog.leaving = false;
                }
            }
            // RFC 3261 §15.1.1: after its BYE a UA counts the session as over, whatever is answered.
            Method::Bye => self.end_dialog(inside.place, Cause::Bye, now, out),
            // RFC 5057 §5.1: these say that the far end knows no such dialog.
            Method::Invite | Method::Update if matches!(status, 408 | 481) => {
                if status == 408 {
                    // It did not answer, so it does not know that its peer gives up (RFC 3261 §14.1).
                    self.hang_up(inside.place, inside.from.other(), Cause::UnknownDialog, now, out);
                }
                self.end_dialog(inside.place, Cause::UnknownDialog, now, out);
            }
            Method::Invite | Method::Update if status >= 300 => {
                let call = self.calls.call_mut(inside.place.call);
                if let Some(dialog) = call.and_then(|c| c.dialog_mut(inside.place.dialog)) {
                    dialog.negotiation.on_refused(now, &mut self.media_ids, &mut self.rtp_ports);
                }
            }
            _ => self.watch_over(inside, status, now),
        }
    }
}

/// What the next hop is read from: the first route, else the remote target.
pub(crate) fn first_hop(way: &Way) -> Vec<u8> {
    if way.routes.is_empty() {
        return [b"<", &way.target[..], b">"].concat();
    }
    way.routes.to_vec()
}
