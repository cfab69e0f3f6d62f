//! The registrar: RFC 3261 §10.3, RFC 3327 (Path), RFC 3608 (Service-Route), figures 5-8 to 5-15.

use super::Core;
use crate::auth::{AuthValue, Refusal};
use crate::layer::{Origin, ServerId};
use crate::node::LabOutbox;
use crate::strict::{NameAddr, SipMessage, SipWriter, Uri};
use core::time::Duration;
use wire::{Hop, Instant};

/// A registered contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    /// The contact URI.
    pub(super) uri: String,
    /// Its parameters, without expires.
    params: String,
    /// The Path URIs, nearest to the core first.
    pub(super) path: Vec<String>,
    /// Where the REGISTER came from: the way to the UE when there is no edge.
    pub(super) origin: Origin,
    expires_at: Instant,
}

impl Binding {
    /// Whether a contact is the same device's: same instance, same Path or same URI.
    fn is_of(&self, uri: &str, path: &[String]) -> bool {
        let instance = |uri: &str| Uri::parse(uri).and_then(|u| u.param("sip.instance").map(str::to_owned));
        match (instance(&self.uri), instance(uri)) {
            (Some(a), Some(b)) => a == b,
            _ => self.uri == uri || (!path.is_empty() && self.path == path),
        }
    }
}

impl Core {
    pub(super) fn on_register(
        &mut self,
        id: ServerId,
        origin: Origin,
        request: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let to = request.to().map(|n| n.uri).unwrap_or_default();
        let Some(user) = self.user_of(&to) else {
            self.respond(id, request, 404, now, out);
            return;
        };
        let given = match request.first("Authorization").map(AuthValue::parse) {
            Some(None) => {
                self.respond(id, request, 400, now, out);
                return;
            }
            given => given.flatten(),
        };
        self.check_register(user, request, given.as_ref(), now);
        let subscription = self.settings.subscribers[user].subscription.clone();
        let verdict = self.verifier.verify(&subscription, given.as_ref(), "REGISTER", request.uri(), now);
        match verdict {
            Ok(()) => self.accept(id, user, origin, request, now, out),
            Err(Refusal::Missing | Refusal::Stale | Refusal::Resynchronised) => {
                self.challenge(id, user, request, now, out);
            }
            Err(Refusal::Malformed) => self.respond(id, request, 400, now, out),
            Err(Refusal::Wrong) => self.respond(id, request, 403, now, out),
        }
    }

    fn challenge(
        &mut self,
        id: ServerId,
        user: usize,
        request: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        self.counts.challenges += 1;
        let challenge = self.verifier.challenge(&self.settings.subscribers[user].subscription, now);
        let mut value = challenge.value;
        if self.settings.topology.edge().is_some() {
            // figure 5-10: the keys are for the edge, which takes them off
            value.push_str(&challenge.keys);
        }
        let tag = self.token(8);
        let bytes = SipWriter::response(request, 401, &tag).field("WWW-Authenticate", &value).finish();
        self.layer.respond(id, 401, bytes, now, out);
    }

    fn accept(
        &mut self,
        id: ServerId,
        user: usize,
        origin: Origin,
        request: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let path: Vec<String> = request.name_addrs("Path").into_iter().map(|n| n.uri).collect();
        let mut bindings = self.bindings.remove(&user).unwrap_or_default();
        bindings.retain(|b| b.expires_at > now);
        let default = request.first("Expires").and_then(|e| e.parse().ok()).unwrap_or(3_600);
        if request.first("Contact") == Some("*") {
            self.violations.expect(default == 0, now, "RFC 3261 §10.2.2", || {
                format!("Contact: * with Expires {default}")
            });
            bindings.clear();
        }
        for contact in request.name_addrs("Contact").into_iter().filter(|c| c.uri != "*") {
            let asked: u32 = contact.param("expires").and_then(|e| e.parse().ok()).unwrap_or(default);
            let expires = asked.min(self.settings.expires_seconds_max);
            let before = bindings.len();
            bindings.retain(|b| !b.is_of(&contact.uri, &path));
            if expires == 0 {
                self.violations.expect(bindings.len() < before, now, "R22", || {
                    format!("de-registration of {}, which is not registered", contact.uri)
                });
                continue;
            }
            self.counts.registrations += 1;
            bindings.push(Binding {
                params: without_expires(&contact),
                uri: contact.uri,
                path: path.clone(),
                origin,
                expires_at: now + Duration::from_secs(u64::from(expires)),
            });
        }
        let has_edge = self.settings.topology.edge().is_some();
        let contacts: Vec<String> = bindings.iter().map(|b| contact_value(b, has_edge, now)).collect();
        if !bindings.is_empty() {
            self.bindings.insert(user, bindings);
        }
        let identities: Vec<String> =
            self.settings.subscribers[user].identities.iter().map(|i| format!("<{i}>")).collect();
        let tag = self.token(8);
        let bytes = SipWriter::response(request, 200, &tag)
            .field("Service-Route", &self.service_route())
            .field("P-Associated-URI", &identities.join(", "))
            .fields("Contact", contacts.iter().map(String::as_str))
            .fields("Path", request.all("Path"))
            .field("Accept-Resource-Priority", "wps.4")
            .field("Server", super::SERVER)
            .finish();
        self.layer.respond(id, 200, bytes, now, out);
    }

    /// The contacts of a user that are alive.
    pub(super) fn alive(&mut self, user: usize, now: Instant) -> Vec<Binding> {
        let Some(bindings) = self.bindings.get_mut(&user) else {
            return Vec::new();
        };
        bindings.retain(|b| b.expires_at > now);
        let alive = bindings.clone();
        if alive.is_empty() {
            self.bindings.remove(&user);
        }
        alive
    }

    /// The way to a contact: by its Path, or straight back when there is no edge.
    pub(super) fn hop_of(&self, binding: &Binding) -> Hop {
        let known = binding.origin.source.ip();
        binding.path.first().and_then(|path| self.hop_to(path, known)).unwrap_or(binding.origin.hop)
    }

    /// A contact that cannot be reached any more (RFC 5626 §5.3: 430).
    pub(super) fn forget_contact(&mut self, user: usize, uri: &str) {
        if let Some(bindings) = self.bindings.get_mut(&user) {
            bindings.retain(|b| b.uri != uri);
            if bindings.is_empty() {
                self.bindings.remove(&user);
            }
        }
    }
}

fn without_expires(contact: &NameAddr) -> String {
    crate::strict::uri::split_outside_quotes(&contact.params, ';')
        .into_iter()
        .filter(|p| !p.to_ascii_lowercase().starts_with("expires"))
        .map(|p| format!(";{p}"))
        .collect()
}

/// Behind an edge as in figure 5-14: `sip.instance` does not come back, and the edge restores it.
fn contact_value(binding: &Binding, has_edge: bool, now: Instant) -> String {
    let mut uri = binding.uri.clone();
    let instance = Uri::parse(&uri).and_then(|u| u.param("sip.instance").map(str::to_owned));
    if let Some(instance) = instance.filter(|_| has_edge) {
        uri = uri.replace(&format!(";sip.instance={instance}"), "");
    }
    let seconds = binding.expires_at.since(now).as_secs();
    format!("<{uri}>;q=1;expires={seconds}{}", binding.params)
}
