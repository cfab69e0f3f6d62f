//! REGISTER towards the core (R14–R20, R22).
//!
//! ```text
//! UE ──REGISTER──▶ claim a binding for each Contact ─▶ Path, Contact, P-Visited-Network-ID ─▶ core
//!    ◀──401──── without ck/ik ◀────────────────────────────────────────────────────────────── 401
//!    ◀──200──── own Contacts restored, bindings live ◀─────────────────────────────────────── 200
//! ```
//! Nothing changes before the core's 200: a stranger who sends a REGISTER for somebody else moves no
//! flow and ends no binding.

pub(crate) mod credentials;
mod response;
pub(crate) mod security;

use crate::address::{Pieces, identity_key};
use crate::api::{Action, Outbox, Record, SipPoint};
use crate::bindings::Profile;
use crate::deadlines::Alarm;
use crate::emergency;
use crate::exchange::{Incoming, Purpose};
use crate::flow::Origin;
use crate::hops::Tried;
use crate::proxy::Way;
use crate::route::CONTACT_PARAM;
use crate::shard::Edge;
use crate::token::{FlowPath, FlowToken, Token};
use crate::{headers, network};
use core::time::Duration;
use sip::{HeaderId, Message, NameAddr, unquote};
use smallvec::SmallVec;
use wire::{BindingId, Cause, EditList, Instant, Span};

/// What a REGISTER under way wants.
#[derive(Debug)]
pub struct Registering {
    /// The address of record as written in To.
    pub(crate) aor: Box<[u8]>,
    /// The same as `identity_key` writes it.
    pub(crate) aor_key: Box<[u8]>,
    /// One for each Contact.
    pub(crate) claims: SmallVec<[Claim; 1]>,
    /// `Contact: *`: all bindings of the user end.
    pub(crate) star: bool,
    /// What stands in Path where no claim has a token: `Contact: *`, a query, an unknown contact (R14).
    pub(crate) bare_token: Box<[u8]>,
    /// What it says of the security agreement (R18).
    pub(crate) agreement: security::Agreement,
}

/// One Contact of a REGISTER.
#[derive(Debug)]
pub(crate) struct Claim {
    /// The binding it would open or refresh; `None` where an unknown contact is to be removed.
    pub(crate) binding: Option<BindingId>,
    /// Its URI, byte for byte (R21).
    pub(crate) contact_uri: Box<[u8]>,
    /// Its `sip.instance`, wherever it stands; empty if there is none.
    pub(crate) instance: Box<[u8]>,
    /// What stands in our Path and Contact for it.
    pub(crate) token: Box<[u8]>,
    /// How long it asks to live.
    pub(crate) wanted_seconds: u32,
}

/// RFC 3261 §10.2.1.1: what is meant where no lifetime is given.
const EXPIRES_SECONDS: u32 = 3_600;

/// Sends a REGISTER on.
///
/// # Errors
/// The cause of the refusal; nothing is reserved then.
pub(crate) fn request(
    edge: &mut Edge,
    request: &Incoming<'_>,
    edits: &mut EditList,
    out: &mut Outbox,
) -> Result<(), Cause> {
    let origin = request.origin;
    let flow = origin.flow().ok_or(Cause::Internal)?;
    let mut tried = Tried::of(edge.hops.initial());
    let target = edge.next_core_target(&mut tried, request.now).ok_or(Cause::NoNextHop)?;
    let registering = claim_all(edge, request, flow)?;
    let at = edge.points.at(target.point);
    let edited = edit(edge, request.message, origin, &registering, at, edits);
    if let Err(cause) = edited {
        edge.abandon(Purpose::Register(Box::new(registering)));
        return Err(cause);
    }
    network::charge(edge, request.message, edits);
    let purpose = Purpose::Register(Box::new(registering));
    let way = Way { target, binding: None, owner: None, purpose, tried: Some(tried) };
    edge.forward(request, way, edits, out).map(drop)
}

/// Finds or reserves a binding for each Contact.
fn claim_all(edge: &mut Edge, request: &Incoming<'_>, flow: FlowPath) -> Result<Registering, Cause> {
    let message = request.message;
    let mut registering = Registering {
        aor: request.to.uri.into(),
        aor_key: identity_key(request.to.uri).ok_or(Cause::BadTo)?.into_boxed_slice(),
        claims: SmallVec::new(),
        star: false,
        bare_token: Box::default(),
        agreement: security::check(edge, request)?,
    };
    let header = message.expires();
    for (count, contact) in message.name_addrs(HeaderId::Contact).enumerate() {
        let claimed = contact.and_then(|contact| {
            if contact.star {
                // RFC 3261 §10.2.2: only alone, and only to remove.
                registering.star =
                    count == 0 && header == Some(0) && message.elements(HeaderId::Contact).count() == 1;
                return if registering.star { Ok(None) } else { Err(Cause::BadContact) };
            }
            if count >= edge.config.registrar.bindings_per_user_max {
                return Err(Cause::TableFull);
            }
            let wanted = contact.expires().or(header).unwrap_or(EXPIRES_SECONDS);
            claim(edge, &registering.aor_key, request, &contact, wanted, flow).map(Some)
        });
        match claimed {
            Ok(claim) => registering.claims.extend(claim),
            Err(cause) => {
                edge.abandon(Purpose::Register(Box::new(registering)));
                return Err(cause);
            }
        }
    }
    if registering.claims.iter().all(|c| c.token.is_empty()) {
        registering.bare_token = seal(edge, NO_BINDING, flow);
    }
    Ok(registering)
}

/// Stands in a token that belongs to no binding: it finds nothing.
const NO_BINDING: BindingId = BindingId { slot: u32::MAX, generation: u32::MAX };

fn claim(
    edge: &mut Edge,
    aor_key: &[u8],
    request: &Incoming<'_>,
    contact: &NameAddr<'_>,
    wanted_seconds: u32,
    flow: FlowPath,
) -> Result<Claim, Cause> {
    // It becomes a Request-URI: a folded one would break the request line.
    if Pieces::of(contact.uri).is_none() || contact.uri.iter().any(u8::is_ascii_control) {
        return Err(Cause::BadContact);
    }
    let device = device_of(contact);
    let instance = &device[..];
    let wanted = Profile {
        aor_key,
        contact_uri: contact.uri,
        instance,
        call_id: request.call_id,
        ..Profile::default()
    };
    let known = edge.bindings.same_contact(&wanted, flow);
    let full = edge.bindings.of_user(aor_key).count() >= edge.config.registrar.bindings_per_user_max;
    let binding = match known {
        Some(id) => {
            edge.bindings.claim(id);
            Some(id)
        }
        None if wanted_seconds == 0 => None,
        None if full => return Err(Cause::TableFull),
        None => {
            let id = edge.bindings.reserve(flow, request.origin.point, request.origin.source, &wanted);
            Some(id.ok_or(Cause::TableFull)?)
        }
    };
    Ok(Claim {
        binding,
        contact_uri: contact.uri.into(),
        instance: instance.into(),
        token: binding.map(|id| token(edge, id, flow)).unwrap_or_default(),
        wanted_seconds,
    })
}

/// The token of a binding over `flow`: the one it has, so that a refresh leaves Path and Contact as
/// they are, or a fresh one for a new flow. A contact that is removed keeps the token the core knows.
fn token(edge: &mut Edge, id: BindingId, flow: FlowPath) -> Box<[u8]> {
    if let Some(binding) = edge.bindings.live(id)
        && binding.flow == flow
    {
        return binding.profile().token.into();
    }
    seal(edge, id, flow)
}

fn seal(edge: &mut Edge, id: BindingId, flow: FlowPath) -> Box<[u8]> {
    let mut text = Vec::with_capacity(72);
    let token = Token::Flow(FlowToken { node: edge.node, shard: edge.context.shard, flow, binding: id });
    edge.tokens.seal(&token, &mut edge.random, &mut text);
    text.into()
}

/// What tells one contact of a user from another: its instance, the flow of several that it registers
/// (`reg-id`, RFC 5626 §6), and whether it is for emergencies only: such a registration leaves the
/// others alone (TS 24.229 §5.1.6.2).
fn device_of(contact: &NameAddr<'_>) -> SmallVec<[u8; 64]> {
    let mut device = SmallVec::from_slice(instance_of(contact));
    if let Some(flow) = contact.params.value(b"reg-id").filter(|_| !device.is_empty()) {
        device.extend_from_slice(b";reg-id=");
        device.extend_from_slice(flow);
    }
    if emergency::is_contact(contact.uri) {
        device.extend_from_slice(b";sos");
    }
    device
}

/// `sip.instance` of a contact: a feature tag (RFC 5626 §4.1), or a URI parameter as in 5-8.
fn instance_of<'a>(contact: &NameAddr<'a>) -> &'a [u8] {
    let pieces = Pieces::of(contact.uri);
    [&b"+sip.instance"[..], b"sip.instance"]
        .into_iter()
        .find_map(|name| {
            let inside = || pieces.as_ref().and_then(|p| p.param(contact.uri, name));
            contact.params.value(name).or_else(inside)
        })
        .map_or(&b""[..], |value| {
            let value = unquote(value);
            value.strip_prefix(b"<").and_then(|v| v.strip_suffix(b">")).unwrap_or(value)
        })
}

fn edit(
    edge: &Edge,
    message: Message<'_>,
    origin: &Origin,
    registering: &Registering,
    at: &SipPoint,
    edits: &mut EditList,
) -> Result<(), Cause> {
    headers::count_hop(message, edits)?;
    headers::strip(message, headers::REQUEST_TO_CORE, edits);
    headers::strip_option(message, HeaderId::Require, b"sec-agree", edits);
    headers::strip_option(message, HeaderId::ProxyRequire, b"sec-agree", edits);
    edit_contacts(message, registering, at, edits);
    credentials::edit_authorization(message, challenged_over_tls(edge, origin), edits);
    network::access_info(edge, message, Some(origin.point), edits);
    // Behind the Contact, as the figures have them.
    let contact = message.all(HeaderId::Contact).last();
    let end = contact.map_or(message.fields_end(), |field| field.line.end as usize);
    // RFC 5626 §5.1: the UE asks for several flows, and this is one of them.
    let outbound = message.name_addrs(HeaderId::Contact).flatten().any(|c| c.params.has(b"reg-id"));
    let claimed = registering.claims.iter().map(|c| &c.token).find(|token| !token.is_empty());
    edits.insert_with(end, |out| {
        out.extend_from_slice(b"Path: <");
        headers::push_own_uri(claimed.unwrap_or(&registering.bare_token), at, out);
        out.extend_from_slice(if outbound { b";lr;ob>\r\n" } else { b";lr>\r\n" });
    });
    // RFC 3327 §5.1: the registrar must know that the UE knows of Path.
    if !message.lists(HeaderId::Supported, b"path") && !message.lists(HeaderId::Require, b"path") {
        edits.insert(end, b"Supported: path\r\n");
    }
    edits.insert_with(end, |out| {
        out.extend_from_slice(b"P-Visited-Network-ID: ");
        sip::text::push_quoted(edge.config.registrar.visited_network_id.as_bytes(), out);
        out.extend_from_slice(b"\r\n");
    });
    Ok(())
}

/// Puts our host, port and token into each Contact; parameters stay byte for byte (R14).
fn edit_contacts(message: Message<'_>, registering: &Registering, at: &SipPoint, edits: &mut EditList) {
    let contacts = message.name_addrs(HeaderId::Contact).flatten();
    for (contact, claim) in contacts.zip(&registering.claims) {
        let Some(pieces) = Pieces::of(contact.uri) else { continue };
        if !contact.bracketed {
            edits.insert(contact.uri_span.start as usize, b"<");
        }
        headers::own_host_port(&contact, &pieces, at, edits);
        let start = contact.uri_span.start as usize;
        let params = contact.uri.get(pieces.params.clone()).unwrap_or_default();
        for (text, range) in crate::address::params(params) {
            // A parameter of our name is not the UE's to set.
            if text.split(|&b| b == b'=').next().is_some_and(|n| n.eq_ignore_ascii_case(CONTACT_PARAM)) {
                let from = start + pieces.params.start;
                edits.remove(Span::new(from + range.start, from + range.end));
            }
        }
        if !claim.token.is_empty() {
            edits.insert_with(start + pieces.params.end, |out| {
                out.push(b';');
                out.extend_from_slice(CONTACT_PARAM);
                out.push(b'=');
                out.extend_from_slice(&claim.token);
            });
        }
        if !contact.bracketed {
            edits.insert(contact.uri_span.end as usize, b">");
        }
    }
}

/// Whether an AKA challenge went out over this very TLS flow (R16).
fn challenged_over_tls(edge: &Edge, origin: &Origin) -> bool {
    let wire::Hop::Stream(id) = origin.hop else { return false };
    let stream = edge.flows.stream(id);
    stream.is_some_and(|s| s.transport == wire::Transport::Tls && s.aka_challenged)
}

impl Edge {
    /// Gives back what a REGISTER had claimed.
    pub(crate) fn abandon(&mut self, purpose: Purpose) {
        if let Purpose::Register(registering) = purpose {
            for claim in registering.claims {
                if let Some(id) = claim.binding {
                    self.bindings.release(id);
                }
            }
        }
    }

    /// A binding ran out (R22).
    pub(crate) fn on_binding_deadline(&mut self, id: BindingId, now: Instant, out: &mut Outbox) {
        let Some(binding) = self.bindings.find_mut(id) else { return };
        binding.armed = None;
        if binding.expires_at <= now && self.keeps_guest(id, now) {
            return;
        }
        let Some(binding) = self.bindings.find_mut(id) else { return };
        if binding.expires_at <= now {
            self.end_binding(id, Cause::RegistrationExpired, now, out);
        } else {
            let at = binding.expires_at;
            self.deadlines.arm(Alarm::Binding(id), &mut binding.armed, Some(at));
        }
    }

    /// Ends a live binding.
    pub(crate) fn end_binding(&mut self, id: BindingId, cause: Cause, now: Instant, out: &mut Outbox) {
        self.stop_pulse(id);
        self.end_calls_of(id, cause, now, out);
        let Some(binding) = self.bindings.find_mut(id).filter(|b| b.live) else { return };
        self.deadlines.arm(Alarm::Binding(id), &mut binding.armed, None);
        self.flows.unbind(binding.flow, id);
        if binding.is_guest() {
            self.bindings.end(id);
            self.counters.guests = self.counters.guests.saturating_sub(1);
            self.counters.registrations = self.registered_count();
            return;
        }
        out.actions.push(Action::Record(Record::Registration {
            aor: String::from_utf8_lossy(binding.profile().aor).into(),
            source: binding.source,
            expires_seconds: 0,
            ended: Some(cause),
        }));
        let aor_key = Box::<[u8]>::from(binding.profile().aor_key);
        self.bindings.end(id);
        self.unwatch_user(&aor_key, now);
        self.counters.registrations_ended += 1;
        self.counters.registrations = self.registered_count();
    }

    /// A flow closed. Its bindings stay until they expire: the UE comes back over another flow, with
    /// its dialogs; until then requests for it are answered 430.
    pub(crate) fn on_flow_lost(&mut self, flow: FlowPath, now: Instant) {
        self.keyring.wipe(flow);
        let ids: SmallVec<[BindingId; 1]> = self.flows.bindings(flow).into();
        for id in ids {
            self.flows.unbind(flow, id);
            self.calls_lost_flow(id, now);
        }
    }

    pub(crate) fn on_keys_deadline(&mut self, now: Instant) {
        self.keyring.armed = None;
        self.keyring.expire(now);
        self.arm_keys();
    }

    fn arm_keys(&mut self) {
        let next = self.keyring.next_end();
        self.deadlines.arm(Alarm::Keys, &mut self.keyring.armed, next);
    }

    fn pending_timeout(&self) -> Duration {
        Duration::from_secs(self.config.registrar.pending_timeout_seconds)
    }
}
