//! INVITE: opening a call, what its answers make of it, and how calls end.
//!
//! ```text
//!   UE ── INVITE ──▶ open_call ── Record-Route with token, anchored offer ──▶ core
//!   UE ◀── one Record-Route, our Contact ── invite_answered ◀── 1xx, 2xx ── core
//! ```
//! and the same the other way round. What one side must not see of the other (route set, remote
//! target, media address) stays in the call.

use crate::address::Pieces;
use crate::anchor::rtp::RtpTerms;
use crate::api::{Action, Outbox, Record, SipPoint};
use crate::deadlines::Alarm;
use crate::dialog::{Call, Opening, Place, Way};
use crate::emergency;
use crate::exchange::{Exchange, Incoming, Target};
use crate::hang_up::{address_of, unaware};
use crate::headers;
use crate::negotiation::{Workbench, strip_body};
use crate::orphan::route_state;
use crate::shard::Edge;
use crate::subscription::Subscribing;
use crate::token::{DialogToken, FlowToken, Token};
use core::time::Duration;
use media::command::MediaCommand;
use sip::{HeaderId, Message, NameAddr};
use std::sync::Arc;
use wire::{BindingId, Cause, DialogId, EditList, Instant, Realm};

/// Whose SDP a message carries: that of one dialog, or of the INVITE before there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) call: DialogId,
    pub(crate) dialog: Option<u32>,
}

impl From<Place> for Spot {
    fn from(place: Place) -> Self {
        Self { call: place.call, dialog: Some(place.dialog) }
    }
}

/// A dialog without session timer ends after this: both ends may have vanished without a word.
const DIALOG_LIFE: Duration = Duration::from_secs(12 * 3_600);

/// Beyond Session-Expires: a refresh that was lost is sent again within 64·T1 (RFC 4028 §10).
const SESSION_GRACE: Duration = Duration::from_secs(32);

/// How long a UE whose connection broke may take to register over another one before its calls end:
/// long enough for a change of network, short enough not to hold media for the dead (R72).
const FLOW_BACK_MAX: Duration = Duration::from_secs(120);

impl Edge {
    /// Opens the call of an INVITE outside a dialog, and edits it for the other side: Record-Route,
    /// a missing Contact (R33), the offer.
    ///
    /// # Errors
    /// `TableFull`, `BadContact` if the core gave none, and what keeps an offer from being anchored.
    pub(crate) fn open_call(
        &mut self,
        request: &Incoming<'_>,
        binding: BindingId,
        target: &Target,
        edits: &mut EditList,
        out: &mut Outbox,
    ) -> Result<DialogId, Cause> {
        let id = self.open(request, binding, target, None, edits)?;
        self.counters.calls_opened += 1;
        let anchored = self.negotiate(
            Spot { call: id, dialog: None },
            request.message,
            request.origin.realm,
            edits,
            request.now,
            out,
        );
        anchored.inspect_err(|cause| self.end_call(id, *cause, request.now, out))?;
        Ok(id)
    }

    /// Opens what a request outside a dialog makes, and edits it for the other side: Record-Route, a
    /// missing Contact (R33).
    ///
    /// # Errors
    /// As [`open_call`](Self::open_call), but for the offer.
    pub(crate) fn open(
        &mut self,
        request: &Incoming<'_>,
        binding: BindingId,
        target: &Target,
        subscribing: Option<Subscribing>,
        edits: &mut EditList,
    ) -> Result<DialogId, Cause> {
        let (message, inviter) = (request.message, request.origin.realm);
        let ue = self.bindings.live(binding).ok_or(Cause::FlowGone)?;
        let contact = contact_of(message)?;
        let inviter_tag = request.from.tag().unwrap_or_default();
        if request.call_id.len() + inviter_tag.len() > NAMES_BYTES_MAX {
            return Err(Cause::BadCallId);
        }
        let inviter_way = match inviter {
            Realm::Access => {
                Way { target: contact.unwrap_or(ue.profile().contact_uri).into(), routes: Box::default() }
            }
            Realm::Core => Way {
                target: contact.ok_or(Cause::BadContact)?.into(),
                routes: self.routes_of_request(message),
            },
        };
        let flow = ue.flow;
        let call_id = match inviter {
            Realm::Access => self.call_id_for_core(request.call_id, binding),
            Realm::Core => request.call_id.into(),
        };
        let call_id = &*call_id;
        let opening = Opening { inviter, call_id, inviter_tag, binding, flow, inviter_way, subscribing };
        if self.calls.count() >= self.config.limits.dialogs_max && !emergency::is_urgent(self, request) {
            return Err(Cause::TableFull);
        }
        let id = self.calls.open(opening, request.now).ok_or(Cause::TableFull)?;
        if let Some(call) = self.calls.call_mut(id) {
            let address = |id| address_of(message.value(id).unwrap_or_default(), TARGET_BYTES_MAX);
            call.inviter_address = address(HeaderId::From);
            call.callee_address = address(HeaderId::To);
            call.inviter_cseq = request.cseq.number;
        }
        self.seal_token(id);
        if inviter == Realm::Access && contact.is_none() {
            self.fill_contact(message, binding, target, edits);
        }
        self.record_route(id, None, message, target, edits);
        Ok(id)
    }

    /// Takes in a response to the INVITE of a call and edits it for the inviter (R24 to R26, R70).
    pub(crate) fn invite_answered(
        &mut self,
        x: &Exchange,
        id: DialogId,
        message: Message<'_>,
        edits: &mut EditList,
        now: Instant,
        out: &mut Outbox,
    ) {
        let status = message.status();
        if !(101..300).contains(&status) {
            self.negotiate_answer(Spot { call: id, dialog: None }, message, x.target.realm, edits, now, out);
            return;
        }
        let own_tag = self.tag_of(&x.echo);
        let tag = headers::response_tag(message, &x.echo);
        // A 2xx makes a dialog even if it forgot its tag (q16): the inviter sees the one we add.
        let tag = tag.or((status >= 200).then_some(&own_tag[..]));
        let responder = x.target.realm;
        let routes = match responder {
            Realm::Core => self.routes_of_response(message),
            Realm::Access => Box::default(),
        };
        let tag = tag.filter(|tag| tag.len() <= NAMES_BYTES_MAX);
        let dialog = self.calls.call_mut(id).and_then(|call| call.enter(tag?)).filter(|d| d.session);
        let number = dialog.map(|dialog| {
            if let Ok(Some(contact)) = contact_of(message) {
                dialog.callee_way = Way { target: contact.into(), routes };
            }
            if status >= 200 {
                self.counters.dialogs_confirmed += u64::from(!dialog.confirmed);
                dialog.confirmed = true;
                dialog.expires_at = Some(now + life(message));
            }
            dialog.number
        });
        self.record_route_answer(id, number, x, message, edits);
        if tag.is_some() && number.is_none() {
            // It has ended, or is one fork too many: its media are not anchored, so not shown.
            strip_body(message, edits);
        } else {
            self.negotiate_answer(Spot { call: id, dialog: number }, message, responder, edits, now, out);
        }
        self.arm_call(id);
    }

    /// The INVITE of a call has its end; `status` is what the inviter was told, 0 for a 2xx long ago.
    /// Early dialogs end with it (RFC 3261 §12.3).
    pub(crate) fn invite_over(&mut self, id: DialogId, status: u16, now: Instant, out: &mut Outbox) {
        let cause = match status {
            487 => Cause::Cancelled,
            430 => Cause::FlowGone,
            408 => Cause::NextHopTimeout,
            _ => Cause::InviteRefused,
        };
        let Some(call) = self.calls.call_mut(id) else { return };
        call.inviting = false;
        let mut commands = Vec::new();
        call.negotiation.release(cause, now, &mut self.media_ids, &mut self.rtp_ports, &mut commands);
        call.dialogs.retain(|dialog| {
            let stays = dialog.confirmed && !dialog.ended;
            if !stays {
                dialog.negotiation.release(
                    cause,
                    now,
                    &mut self.media_ids,
                    &mut self.rtp_ports,
                    &mut commands,
                );
                dialog.session = false;
                dialog.expires_at = None;
            }
            stays || !dialog.subscriptions.is_empty()
        });
        self.order(commands, out);
        self.close_if_over(id);
    }

    /// Ends the session of a dialog: its media are released (R72). The dialog goes with it, unless
    /// something else uses it (RFC 5057 §4), and the call with its last dialog.
    pub(crate) fn end_dialog(&mut self, place: Place, cause: Cause, now: Instant, out: &mut Outbox) {
        for side in unaware(cause) {
            self.hang_up(place, *side, cause, now, out);
        }
        let Some(call) = self.calls.call_mut(place.call) else { return };
        let Some(dialog) = call.dialog_mut(place.dialog).filter(|d| d.session && !d.ended) else {
            return;
        };
        dialog.session = false;
        dialog.expires_at = None;
        dialog.ended = dialog.subscriptions.is_empty();
        let mut commands = Vec::new();
        dialog.negotiation.release(cause, now, &mut self.media_ids, &mut self.rtp_ports, &mut commands);
        if core::mem::take(&mut dialog.confirmed) {
            record_end(call, cause, now, out);
        }
        call.sweep();
        self.order(commands, out);
        self.close_if_over(place.call);
    }

    /// Ends a call with all its dialogs.
    pub(crate) fn end_call(&mut self, id: DialogId, cause: Cause, now: Instant, out: &mut Outbox) {
        if let Some(exchange) = self.calls.call(id).filter(|call| call.inviting).and_then(|c| c.exchange) {
            self.abort_invite(exchange, cause, now, out);
        }
        for side in unaware(cause) {
            let dialogs = self.calls.call(id).map(|call| &call.dialogs[..]).unwrap_or_default();
            let numbers: Vec<u32> = dialogs.iter().map(|d| d.number).collect();
            for dialog in numbers {
                self.hang_up(Place { call: id, dialog }, *side, cause, now, out);
            }
        }
        let Some(call) = self.calls.call_mut(id) else { return };
        let mut commands = Vec::new();
        call.negotiation.release(cause, now, &mut self.media_ids, &mut self.rtp_ports, &mut commands);
        let mut confirmed = 0;
        for mut dialog in call.dialogs.drain(..) {
            dialog.negotiation.release(cause, now, &mut self.media_ids, &mut self.rtp_ports, &mut commands);
            confirmed += usize::from(dialog.confirmed && !dialog.ended);
        }
        for _ in 0..confirmed {
            record_end(call, cause, now, out);
        }
        call.inviting = false;
        self.order(commands, out);
        self.close_if_over(id);
    }

    /// A registration ended, and with it every call of the UE (R22, R72).
    pub(crate) fn end_calls_of(&mut self, binding: BindingId, cause: Cause, now: Instant, out: &mut Outbox) {
        for id in self.calls.of_binding(binding).to_vec() {
            self.end_call(id, cause, now, out);
        }
    }

    /// The flow of a UE closed: its calls wait for it to come back over another one.
    pub(crate) fn calls_lost_flow(&mut self, binding: BindingId, now: Instant) {
        for id in self.calls.of_binding(binding).to_vec() {
            if let Some(call) = self.calls.call_mut(id) {
                call.back_by = Some(now + FLOW_BACK_MAX);
            }
            self.arm_call(id);
        }
    }

    /// A call is due: a session was not refreshed, or its UE had time to come back.
    pub(crate) fn on_call_deadline(&mut self, id: DialogId, now: Instant, out: &mut Outbox) {
        let Some(call) = self.calls.call_mut(id) else { return };
        call.armed = None;
        let binding = call.binding;
        if call.back_by.take_if(|by| *by <= now).is_some() && self.access_target(binding).is_err() {
            self.end_call(id, Cause::FlowGone, now, out);
            return;
        }
        let dialogs = self.calls.call(id).map(|call| &call.dialogs[..]);
        let due = dialogs.unwrap_or_default().iter();
        let due = due.filter(|d| d.expires_at.is_some_and(|at| at <= now));
        let numbers: Vec<u32> = due.map(|d| d.number).collect();
        for dialog in numbers {
            self.end_dialog(Place { call: id, dialog }, Cause::SessionTimeout, now, out);
        }
        self.expire_subscriptions(id, now);
        self.arm_call(id);
    }

    /// Anchors the SDP of a message of a call: of one dialog, or of the INVITE before there is one.
    pub(crate) fn negotiate(
        &mut self,
        at: Spot,
        message: Message<'_>,
        from: Realm,
        edits: &mut EditList,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), Cause> {
        let id = at.call;
        let call = self.calls.call_mut(id).ok_or(Cause::UnknownDialog)?;
        let ue = self.bindings.live(call.binding).ok_or(Cause::FlowGone)?;
        let (binding, call_id) = (call.binding, printed(&call.call_id));
        let negotiation = match at.dialog {
            Some(number) => &mut call.dialog_mut(number).ok_or(Cause::UnknownDialog)?.negotiation,
            None => &mut call.negotiation,
        };
        let mut commands = Vec::new();
        let realms = &self.config.realm;
        let both = [(Realm::Access, &realms.access), (Realm::Core, &realms.core)];
        let mut bench = Workbench {
            terms: crate::anchor::Terms {
                points: &self.context.msrp,
                ue: ue.source.ip(),
                ue_transport: self.points.at(ue.point).transport,
                ue_websocket: false,
                msrp: &self.config.msrp,
                policies: &self.derived.policies,
                content: &[None, None],
                user: Some(binding),
                idle_max: Duration::from_secs(self.config.msrp.idle_seconds),
                message_bytes_max: self.config.msrp.message_bytes_max,
                rtp: RtpTerms {
                    srtp: both.map(|(realm, settings)| settings.srtp(realm)),
                    keying: both.map(|(_, settings)| settings.srtp_keying),
                    latching: both.map(|(realm, settings)| settings.latching(realm)),
                    suites: &self.derived.suites,
                    fingerprint: self.fingerprint.as_deref(),
                    call_id: &call_id,
                },
            },
            ids: &mut self.media_ids,
            ports: &mut self.rtp_ports,
            random: &mut self.random,
            now,
            edits,
            commands: &mut commands,
        };
        let result = match message.is_request() {
            true => negotiation.on_request(message, from, id, &mut bench),
            false => negotiation.on_response(message, from, id, &mut bench),
        };
        self.order(commands, out);
        result
    }

    /// The same for a message that can no longer be refused: what cannot be anchored is taken off, so
    /// that no address crosses over, and counted.
    pub(crate) fn negotiate_answer(
        &mut self,
        at: Spot,
        message: Message<'_>,
        from: Realm,
        edits: &mut EditList,
        now: Instant,
        out: &mut Outbox,
    ) {
        let before = edits.checkpoint();
        if let Err(cause) = self.negotiate(at, message, from, edits, now, out) {
            edits.rewind(before);
            if !message.body().is_empty() {
                self.counters.reject(from, cause);
                strip_body(message, edits);
            }
        }
    }

    /// How long a dialog lives from this 2xx on.
    pub(crate) fn refresh(&mut self, place: Place, message: Message<'_>, now: Instant) {
        let dialog = self.calls.call_mut(place.call).and_then(|c| c.dialog_mut(place.dialog));
        if let Some(dialog) = dialog {
            dialog.expires_at = Some(now + life(message));
        }
        self.arm_call(place.call);
    }

    /// R25 towards the callee: what stands in it brings us back to the dialog, even if we forgot it.
    pub(crate) fn record_route(
        &self,
        id: DialogId,
        dialog: Option<u32>,
        message: Message<'_>,
        target: &Target,
        edits: &mut EditList,
    ) {
        let Some(call) = self.calls.call(id) else { return };
        let user = self.own_user(call, dialog, target.realm);
        let at = self.points.at(target.point);
        edits.insert_with(behind_vias(message), |out| {
            out.extend_from_slice(b"Record-Route: ");
            push_own_route(&user, at, out);
            out.extend_from_slice(b"\r\n");
        });
    }

    /// The same towards the inviter: the core gets its own route set back with ours on top, a UE only ours.
    pub(crate) fn record_route_answer(
        &self,
        id: DialogId,
        dialog: Option<u32>,
        x: &Exchange,
        message: Message<'_>,
        edits: &mut EditList,
    ) {
        let Some(call) = self.calls.call(id) else { return };
        let user = self.own_user(call, dialog, x.requester.realm);
        let at = self.points.at(x.requester.point);
        edits.insert_with(behind_vias(message), |out| {
            out.extend_from_slice(b"Record-Route: ");
            push_own_route(&user, at, out);
            if x.requester.realm == Realm::Core && !call.inviter_way.routes.is_empty() {
                out.extend_from_slice(b", ");
                out.extend_from_slice(&call.inviter_way.routes);
            }
            out.extend_from_slice(b"\r\n");
        });
    }

    /// R33: an INVITE without Contact gets the one that is registered, with our host as always (R26).
    fn fill_contact(&self, message: Message<'_>, binding: BindingId, target: &Target, edits: &mut EditList) {
        let Some(binding) = self.bindings.live(binding) else { return };
        let uri = binding.profile().contact_uri;
        let Some(pieces) = Pieces::of(uri) else { return };
        let at = self.points.at(target.point);
        edits.insert_with(message.fields_end(), |out| {
            out.extend_from_slice(b"Contact: <");
            out.extend_from_slice(&uri[..pieces.host_port.start]);
            out.extend_from_slice(at.advertised.as_bytes());
            out.extend_from_slice(b">\r\n");
        });
    }

    fn seal_token(&mut self, id: DialogId) {
        let Some(call) = self.calls.call(id) else { return };
        let flow =
            FlowToken { node: self.node, shard: self.context.shard, flow: call.flow, binding: call.binding };
        let own = self.bindings.live(call.binding).map_or(&b""[..], |b| b.profile().contact_uri);
        let contact = if call.inviter == Realm::Access { &call.inviter_way.target[..] } else { own };
        let route = route_state(self.epoch, &self.owner_of(call.binding), contact);
        let token = Token::Dialog(DialogToken { flow, dialog: id, route: &route });
        let mut text = Vec::with_capacity(crate::token::TOKEN_CHARS_MAX);
        self.tokens.seal(&token, &mut self.random, &mut text);
        if let Some(call) = self.calls.call_mut(id) {
            call.token = text.into();
        }
    }

    /// The user part of our Record-Route on one side: for the core the token of the call; for a UE the
    /// way to the other end as it is by then, in case we are restarted.
    fn own_user(&self, call: &Call, dialog: Option<u32>, side: Realm) -> Vec<u8> {
        let way = match (side, call.inviter) {
            (Realm::Core, _) => return call.token.to_vec(),
            (Realm::Access, Realm::Core) => Some(&call.inviter_way),
            (Realm::Access, Realm::Access) => {
                dialog.and_then(|dialog| call.dialog(dialog)).map(|dialog| &dialog.callee_way)
            }
        };
        way.map(|way| self.seal_way(call.binding, way)).unwrap_or_default()
    }

    /// The route set towards an inviter in the core: its Record-Routes in their order (RFC 3261 §12.1.1).
    pub(crate) fn routes_of_request(&self, message: Message<'_>) -> Box<[u8]> {
        let routes: Vec<&[u8]> = message.elements(HeaderId::RecordRoute).map(|e| e.text).collect();
        routes.join(&b", "[..]).into()
    }

    /// The route set towards a callee in the core: its Record-Routes in reverse order, without ours
    /// (RFC 3261 §12.1.2).
    pub(crate) fn routes_of_response(&self, message: Message<'_>) -> Box<[u8]> {
        let ours = |route: &NameAddr<'_>| {
            let host_port = Pieces::of(route.uri).map(|p| &route.uri[p.host_port]);
            host_port.is_some_and(|h| self.points.is_ours(Realm::Core, h))
        };
        let routes = message.name_addrs(HeaderId::RecordRoute).flatten();
        let mut routes: Vec<&[u8]> = routes.filter(|r| !ours(r)).map(|r| message.text(r.span)).collect();
        routes.reverse();
        routes.join(&b", "[..]).into()
    }

    fn order(&mut self, commands: Vec<MediaCommand>, out: &mut Outbox) {
        out.actions.extend(commands.into_iter().map(Action::Media));
        self.counters.media_sessions = self.media_ids.count() as u64;
    }

    pub(crate) fn arm_call(&mut self, id: DialogId) {
        if let Some(call) = self.calls.call_mut(id) {
            let next = call.next_deadline();
            self.deadlines.arm(Alarm::Dialog(id), &mut call.armed, next);
        }
        self.counters.calls = self.calls.count() as u64;
    }

    pub(crate) fn close_if_over(&mut self, id: DialogId) {
        if self.calls.call(id).is_some_and(Call::is_over) {
            let mut call = self.calls.remove(id).expect("it was just found");
            self.deadlines.arm(Alarm::Dialog(id), &mut call.armed, None);
        }
        self.arm_call(id);
    }
}

/// The first Contact URI of a message: a remote target, and so a Request-URI to come.
///
/// # Errors
/// `BadContact` for one that could not stand in a request line, or is too long to be kept.
pub(crate) fn contact_of(message: Message<'_>) -> Result<Option<&[u8]>, Cause> {
    let contact = message.name_addrs(HeaderId::Contact).flatten().find(|contact| !contact.star);
    match contact.map(|contact| contact.uri) {
        Some(uri) if uri.len() > TARGET_BYTES_MAX || uri.iter().any(u8::is_ascii_control) => {
            Err(Cause::BadContact)
        }
        uri => Ok(uri),
    }
}

/// A dialog lives for hours: what it keeps of its messages is capped far below a message's own limits.
/// The longest Contact of the specification has 140 bytes.
const TARGET_BYTES_MAX: usize = 1_024;

/// Call-ID and tag; likewise.
pub(crate) const NAMES_BYTES_MAX: usize = 512;

/// Appends `<sip:[user@]host:port;transport=...;lr>` (R25).
fn push_own_route(user: &[u8], at: &SipPoint, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<sip:");
    if !user.is_empty() {
        out.extend_from_slice(user);
        out.push(b'@');
    }
    for part in [at.advertised.as_bytes(), b";transport=", at.transport.label().as_bytes(), b";lr>"] {
        out.extend_from_slice(part);
    }
}

/// Where the line behind the Vias begins.
fn behind_vias(message: Message<'_>) -> usize {
    let last = message.all(HeaderId::Via).last();
    last.map_or(message.start_span().end, |via| via.line.end) as usize
}

/// R64: the interval that both ends agreed on, and what a lost refresh needs; else the longest life.
fn life(message: Message<'_>) -> Duration {
    let field = message.first(HeaderId::SessionExpires);
    let agreed = field.and_then(|f| sip::items::SessionExpires::read(message.bytes(), f.value));
    agreed.map_or(DIALOG_LIFE, |s| Duration::from_secs(u64::from(s.seconds)).min(DIALOG_LIFE) + SESSION_GRACE)
}

fn record_end(call: &Call, cause: Cause, now: Instant, out: &mut Outbox) {
    out.actions.push(Action::Record(Record::DialogEnded {
        call_id: (*printed(&call.call_id)).into(),
        cause,
        duration: now.since(call.opened_at),
    }));
}

/// A Call-ID for people.
fn printed(call_id: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(call_id.get(..CALL_ID_BYTES_MAX).unwrap_or(call_id)).into()
}

const CALL_ID_BYTES_MAX: usize = 128;
