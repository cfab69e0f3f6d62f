//! The core's answer to a REGISTER (R17, R21, R22).

use super::{Registering, credentials, security};
use crate::address::Pieces;
use crate::api::{Action, Outbox, Record};
use crate::bindings::Profile;
use crate::deadlines::Alarm;
use crate::exchange::Exchange;
use crate::flow::Origin;
use crate::headers;
use crate::points::PointId;
use crate::route::{CONTACT_PARAM, Destination};
use crate::shard::Edge;
use core::time::Duration;
use sip::{HeaderId, Message, NameAddr};
use smallvec::SmallVec;
use wire::{BindingId, Cause, EditList, Hop, Instant, Realm, Span};

impl Edge {
    /// Edits the answer for the UE, and does what it says.
    pub(crate) fn registration_answered(
        &mut self,
        x: &Exchange,
        registering: &mut Registering,
        message: Message<'_>,
        now: Instant,
        edits: &mut EditList,
        out: &mut Outbox,
    ) {
        let status = message.status();
        match status {
            200..300 => {
                let granted = self.restore_contacts(registering, message, x.requester.point, edits);
                self.mask_service_route(x, message, edits);
                self.tell_flow_timer(message, edits);
                self.apply(x, registering, &granted, message, now, out);
            }
            _ => headers::strip_field(message, HeaderId::Contact, edits),
        }
        if status == 401 && !registering.agreement.server.is_empty() {
            let challenge = message.all(HeaderId::WwwAuthenticate).last();
            let at = challenge.map_or(message.fields_end(), |field| field.line.end as usize);
            edits.insert(at, &security::line(&registering.agreement.server));
        }
        self.security_answered(&x.requester, &registering.agreement, status);
        let (keys, aka) = credentials::take_keys(message, edits);
        let Some(flow) = x.requester.flow().filter(|_| status >= 200) else {
            return;
        };
        self.keyring.wipe(flow);
        if let Some(keys) = keys {
            let life = self.pending_timeout();
            self.keyring.keep(flow, keys, now, life);
        }
        self.arm_keys();
        if aka
            && let Hop::Stream(id) = x.requester.hop
            && let Some(stream) = self.flows.stream_mut(id)
        {
            stream.aka_challenged = true;
        }
    }

    /// Gives the UE its own Contacts back, byte for byte inside `<>`, with what the core says behind
    /// them; contacts that are not ours to show are left out (R21). Returns the lifetime of each claim.
    fn restore_contacts(
        &self,
        registering: &Registering,
        message: Message<'_>,
        point: PointId,
        edits: &mut EditList,
    ) -> SmallVec<[Option<u32>; 1]> {
        let mut granted: SmallVec<[Option<u32>; 1]> = registering.claims.iter().map(|_| None).collect();
        let mut line = Vec::new();
        let default = message.expires();
        for contact in message.name_addrs(HeaderId::Contact).flatten() {
            let own = self.claim_of(registering, &granted, &contact);
            let uri: &[u8] = match own {
                Some(at) => {
                    granted[at] =
                        Some(contact.expires().or(default).unwrap_or(registering.claims[at].wanted_seconds));
                    &registering.claims[at].contact_uri
                }
                None => match self.other_device(&contact) {
                    Some(id) => self.bindings.live(id).map_or(&b""[..], |b| b.profile().contact_uri),
                    None => continue,
                },
            };
            line.extend_from_slice(if line.is_empty() { b"Contact: " } else { b", " });
            let behind = Span::new(contact.uri_span.end as usize, contact.span.end as usize);
            let behind = self.hidden_value(message.text(behind), point);
            push_with_uri(message, &contact, uri, &behind, &mut line);
        }
        if !message.has(HeaderId::Contact) {
            // RFC 3261 §10.3 wants them listed; a registrar that lists none is taken by its Expires.
            for (granted, claim) in granted.iter_mut().zip(&registering.claims) {
                *granted = Some(default.unwrap_or(claim.wanted_seconds).min(claim.wanted_seconds));
            }
        }
        for (at, field) in message.all(HeaderId::Contact).enumerate() {
            edits.remove(field.line);
            if at == 0 && !line.is_empty() {
                line.extend_from_slice(b"\r\n");
                edits.insert(field.line.start as usize, &line);
            }
        }
        granted
    }

    /// Which claim a Contact of the core means: by our token; by the UE's own URI, from a core that
    /// kept it; else, where the parameters got lost on the way, by user and our address if that leaves
    /// no doubt.
    fn claim_of(
        &self,
        registering: &Registering,
        granted: &[Option<u32>],
        contact: &NameAddr<'_>,
    ) -> Option<usize> {
        let claims = &registering.claims;
        let pieces = Pieces::of(contact.uri)?;
        if let Some(token) = pieces.param(contact.uri, CONTACT_PARAM) {
            return claims.iter().position(|c| !c.token.is_empty() && *c.token == *token);
        }
        let open = |at: &usize| granted.get(*at).is_some_and(Option::is_none);
        let same = claims.iter().position(|c| *c.contact_uri == *contact.uri);
        if let Some(at) = same.filter(open) {
            return Some(at);
        }
        let ours = self.points.is_ours(Realm::Core, &contact.uri[pieces.host_port.clone()]);
        let user_of = |uri: &[u8]| Pieces::of(uri).map(|p| uri[p.user].to_vec());
        let mut alike =
            (0..claims.len()).filter(|at| user_of(&claims[*at].contact_uri) == user_of(contact.uri));
        match (ours, alike.next(), alike.next()) {
            (true, Some(at), None) => Some(at).filter(open),
            _ => None,
        }
    }

    /// Another contact of the same user that is registered through this shard.
    fn other_device(&self, contact: &NameAddr<'_>) -> Option<BindingId> {
        let token = Pieces::of(contact.uri)?.param(contact.uri, CONTACT_PARAM)?;
        match self.by_token(token) {
            Ok(Destination::Binding(id)) => Some(id),
            _ => None,
        }
    }

    /// The Service-Route goes to the UE as it came (R21), unless it shows an address of the core: then
    /// the UE gets ours. What it puts into Route is replaced from the binding anyway (R22).
    fn mask_service_route(&self, x: &Exchange, message: Message<'_>, edits: &mut EditList) {
        for route in message.name_addrs(HeaderId::ServiceRoute).flatten() {
            if headers::shows_ip_literal(route.uri) {
                edits.replace_with(route.uri_span, |out| {
                    headers::push_own_uri(b"", self.points.at(x.requester.point), out);
                    out.extend_from_slice(b";lr");
                });
            }
        }
    }

    /// Opens, refreshes and ends bindings as the 200 says.
    fn apply(
        &mut self,
        x: &Exchange,
        registering: &mut Registering,
        granted: &[Option<u32>],
        message: Message<'_>,
        now: Instant,
        out: &mut Outbox,
    ) {
        if registering.star {
            let ids: SmallVec<[BindingId; 2]> =
                self.bindings.of_user(&registering.aor_key).map(|b| b.id).collect();
            for id in ids {
                self.end_binding(id, Cause::Deregistered, now, out);
            }
        }
        let service_route = joined(message, HeaderId::ServiceRoute, b", ");
        self.learn_route(&service_route, now, out);
        let identities = joined(message, HeaderId::PAssociatedUri, b"\n");
        let Registering { aor, aor_key, claims, .. } = registering;
        for (claim, granted) in claims.iter_mut().zip(granted) {
            let Some(id) = claim.binding else { continue };
            let seconds = granted.filter(|_| claim.wanted_seconds > 0).unwrap_or(0);
            let seconds = seconds.min(self.config.registrar.expires_seconds_max);
            if seconds == 0 {
                self.end_binding(id, Cause::Deregistered, now, out);
                continue;
            }
            let profile = Profile {
                aor,
                aor_key,
                contact_uri: &claim.contact_uri,
                instance: &claim.instance,
                call_id: x.echo.call_id(),
                token: &claim.token,
                service_route: &service_route,
                identities: &identities,
            };
            self.bind(id, &x.requester, &profile, seconds, now, out);
        }
    }

    fn bind(
        &mut self,
        id: BindingId,
        origin: &Origin,
        profile: &Profile<'_>,
        seconds: u32,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(flow) = origin.flow() else { return };
        // Another REGISTER of the same contact may have been quicker: the later 200 wins.
        if let Some(twin) = self.bindings.same_contact(profile, flow).filter(|twin| *twin != id) {
            self.end_binding(twin, Cause::Deregistered, now, out);
        }
        let Some(binding) = self.bindings.find_mut(id) else { return };
        if binding.live && binding.flow != flow {
            self.flows.unbind(binding.flow, id);
        }
        binding.flow = flow;
        binding.point = origin.point;
        binding.source = origin.source;
        binding.expires_at = now + Duration::from_secs(u64::from(seconds));
        binding.describe(profile);
        let at = binding.expires_at;
        self.deadlines.arm(Alarm::Binding(id), &mut binding.armed, Some(at));
        if self.flows.is_open(flow) {
            self.flows.bind(flow, id);
        }
        self.start_pulse(id, now);
        match self.bindings.go_live(id) {
            true => self.counters.registrations_opened += 1,
            false => self.counters.registrations_refreshed += 1,
        }
        self.counters.registrations = self.registered_count();
        out.actions.push(Action::Record(Record::Registration {
            aor: String::from_utf8_lossy(profile.aor).into(),
            source: origin.source,
            expires_seconds: seconds,
            ended: None,
        }));
        self.watch_user(profile.aor, profile.aor_key, now, out);
    }
}

/// Appends one Contact of the core with another URI, and `behind` for what follows it.
fn push_with_uri(
    message: Message<'_>,
    contact: &NameAddr<'_>,
    uri: &[u8],
    behind: &[u8],
    line: &mut Vec<u8>,
) {
    let before = Span::new(contact.span.start as usize, contact.uri_span.start as usize);
    line.extend_from_slice(message.text(before));
    line.extend_from_slice(if contact.bracketed { b"" } else { b"<" });
    line.extend_from_slice(uri);
    line.extend_from_slice(if contact.bracketed { b"" } else { b">" });
    line.extend_from_slice(behind);
}

/// All values of a list header in one, unfolded.
fn joined(message: Message<'_>, id: HeaderId, between: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for element in message.elements(id) {
        if !text.is_empty() {
            text.extend_from_slice(between);
        }
        text.extend(element.text.iter().map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }));
    }
    text
}
