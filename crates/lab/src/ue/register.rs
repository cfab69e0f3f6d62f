//! Registration: figures 5-8 to 5-15, RFC 3261 §10.2, TS 24.229 §5.1.1.

use super::{Purpose, Ue, UeEvent};
use crate::auth::AnswerError;
use crate::node::LabOutbox;
use crate::service::Service;
use crate::strict::{SipMessage, SipWriter};
use core::time::Duration;
use wire::{Instant, Random, Transport};

/// What the latest REGISTER is to achieve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    Register,
    Deregister,
    DeregisterAll,
}

#[derive(Debug)]
pub(super) struct Registration {
    call_id: String,
    cseq: u32,
    goal: Goal,
    attempts: u32,
    state: State,
    /// P-Associated-URI of the latest 200.
    pub(super) identities: Vec<String>,
    /// Service-Route of the latest 200.
    pub(super) service_route: Vec<String>,
    /// What we offer in Security-Client, by its SPIs.
    spi: [u32; 2],
    /// Security-Server of the latest challenge: what Security-Verify repeats (RFC 3329 §2.3.1).
    security_server: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Off,
    On { refresh_at: Instant },
    Asking { was_on: bool },
}

/// A challenge may be stale once and out of step once (AKA), no more.
const ATTEMPTS_MAX: u32 = 4;

impl Registration {
    pub(super) fn new(random: &mut Random) -> Self {
        let mut call_id = Vec::new();
        random.push_token(20, &mut call_id);
        Self {
            call_id: String::from_utf8_lossy(&call_id).into_owned(),
            cseq: 0,
            goal: Goal::Register,
            attempts: 0,
            state: State::Off,
            identities: Vec::new(),
            service_route: Vec::new(),
            spi: [0; 2].map(|_: u32| 256 + random.below(1 << 24) as u32),
            security_server: None,
        }
    }

    pub(super) const fn is_registered(&self) -> bool {
        matches!(self.state, State::On { .. } | State::Asking { was_on: true })
    }

    pub(super) const fn refresh_at(&self) -> Option<Instant> {
        match self.state {
            State::On { refresh_at } => Some(refresh_at),
            State::Off | State::Asking { .. } => None,
        }
    }
}

impl Ue {
    pub(super) fn register(&mut self, goal: Goal, now: Instant, out: &mut LabOutbox) {
        self.registration.goal = goal;
        self.registration.attempts = 0;
        let was_on = self.registration.is_registered();
        self.registration.state = State::Asking { was_on };
        let authorization = self.auth.unasked("REGISTER", &self.registrar());
        self.send_register(authorization.as_deref(), now, out);
    }

    pub(super) fn on_register_response(&mut self, response: &SipMessage, now: Instant, out: &mut LabOutbox) {
        match response.status() {
            401 if self.registration.attempts < ATTEMPTS_MAX => {
                self.on_security_server(response, now);
                self.on_challenge(response, now, out);
            }
            // what was agreed on is not known there any more: agree again
            494 if self.registration.attempts < ATTEMPTS_MAX && self.agrees() => {
                self.on_security_server(response, now);
                self.auth.forget();
                let authorization = self.auth.unasked("REGISTER", &self.registrar());
                self.send_register(authorization.as_deref(), now, out);
            }
            200 => self.on_registered(response, now),
            status => self.registration_failed(status, "refused"),
        }
    }

    pub(super) fn registration_failed(&mut self, status: u16, detail: &str) {
        self.registration.state = State::Off;
        self.auth.forget();
        self.events.push_back(UeEvent::RegistrationFailed { status, detail: detail.to_owned() });
    }

    fn on_challenge(&mut self, response: &SipMessage, now: Instant, out: &mut LabOutbox) {
        let challenge = response.first("WWW-Authenticate").unwrap_or_default();
        let registrar = self.registrar();
        match self.auth.answer(challenge, "REGISTER", &registrar, &mut self.random) {
            Ok(authorization) => self.send_register(Some(&authorization), now, out),
            Err(error) => {
                if error == AnswerError::KeysVisible {
                    self.violations.record(now, "R17", "CK or IK reached the UE");
                }
                self.registration_failed(0, &format!("{error:?}"));
            }
        }
    }

    fn on_registered(&mut self, response: &SipMessage, now: Instant) {
        self.ping_at = None;
        if self.registration.goal != Goal::Register {
            self.registration.state = State::Off;
            self.registration.identities.clear();
            self.registration.service_route.clear();
            self.events.push_back(UeEvent::Deregistered);
            return;
        }
        let own = self.contact_uri();
        let contacts = response.name_addrs("Contact");
        // R21: the own Contact comes back byte for byte
        let Some(contact) = contacts.iter().find(|c| c.uri == own) else {
            let seen = response.list("Contact").join(", ");
            self.violations.record(now, "R21", format!("own Contact <{own}> not given back: {seen}"));
            self.registration_failed(0, "own Contact missing");
            return;
        };
        let Some(expires_seconds) = contact.param("expires").and_then(|e| e.parse().ok()) else {
            self.violations.record(now, "R21", format!("no expires in {}", contact.params));
            self.registration_failed(0, "expires missing");
            return;
        };
        let uris = |name| -> Vec<String> { response.name_addrs(name).into_iter().map(|n| n.uri).collect() };
        self.registration.identities = uris("P-Associated-URI");
        self.registration.service_route =
            response.list("Service-Route").into_iter().map(str::to_owned).collect();
        let known = self.registration.identities.contains(&self.settings.identity);
        self.violations.expect(known, now, "R21", || {
            format!("P-Associated-URI {:?} lacks the own identity", uris("P-Associated-URI"))
        });
        let has_route = !self.registration.service_route.is_empty();
        self.violations.expect(has_route, now, "R21", || "no Service-Route in the 200".to_owned());
        let refresh_at = now + Duration::from_secs(u64::from(expires_seconds).max(2) / 2);
        self.registration.state = State::On { refresh_at };
        if self.settings.transport != Transport::Udp {
            self.ping_at = self.settings.ping_interval.map(|interval| now + interval);
        }
        self.events.push_back(UeEvent::Registered {
            expires_seconds,
            identities: self.registration.identities.clone(),
        });
    }

    /// Whether this UE asks for a security agreement: a native one over TLS, of an edge (R18).
    fn agrees(&self) -> bool {
        let s = &self.settings;
        s.imei.is_some() && s.transport == Transport::Tls && s.topology.edge().is_some()
    }

    fn on_security_server(&mut self, response: &SipMessage, now: Instant) {
        let value = response.first("Security-Server").map(str::to_owned);
        if !self.agrees() {
            let none = value.is_none();
            self.violations.expect(none, now, "R18", || format!("an offer nobody asked for: {value:?}"));
            return;
        }
        let good = value.as_deref().is_some_and(|v| v.starts_with("tls-3gpp") && v.contains("spi-s="));
        self.violations.expect(good, now, "R18", || format!("Security-Server {value:?}"));
        self.registration.security_server = value;
    }

    fn registrar(&self) -> String {
        format!("sip:{}", self.settings.domain)
    }

    fn send_register(&mut self, authorization: Option<&str>, now: Instant, out: &mut LabOutbox) {
        self.registration.attempts += 1;
        self.registration.cseq += 1;
        let via = self.via();
        let tag = self.token(8);
        let identity = self.settings.identity.clone();
        let (contact, expires) = match self.registration.goal {
            Goal::DeregisterAll => ("*".to_owned(), Some("0")),
            Goal::Deregister => (format!("<{}>;expires=0", self.contact_uri()), None),
            Goal::Register => (self.contact(), None),
        };
        let access =
            self.settings.imei.as_ref().map(|_| "3GPP-E-UTRAN-TDD;utran-cell-id-3gpp=4600800000000001");
        let [client, server] = self.registration.spi;
        // figure 9-2
        let offer = self.agrees().then(|| {
            format!("tls-3gpp; alg=hmac-sha-256-96; spi-c={client}; spi-s={server}; port-c=2468; port-s=1357")
        });
        let required = offer.as_ref().map(|_| "sec-agree");
        let verify = self.registration.security_server.clone();
        let bytes = SipWriter::request("REGISTER", &self.registrar())
            .field("Via", &via)
            .field("Call-ID", &self.registration.call_id)
            .field("From", &format!("<{identity}>;tag={tag}"))
            .field("To", &format!("<{identity}>"))
            .field("CSeq", &format!("{} REGISTER", self.registration.cseq))
            .field("Allow", ALLOW)
            .maybe("Authorization", authorization)
            .field("Supported", "100rel, path")
            .field("User-Agent", super::message::USER_AGENT)
            .maybe("P-Access-Network-Info", access)
            .maybe("Security-Client", offer.as_deref())
            .maybe("Security-Verify", verify.as_deref())
            .maybe("Require", required)
            .maybe("Proxy-Require", required)
            .field("Contact", &contact)
            .maybe("Expires", expires)
            .field("Max-Forwards", "70")
            .finish();
        self.send(Purpose::Register, bytes, now, out);
    }

    /// Contact with the services as feature tags (figures 5-8 and 5-9).
    fn contact(&self) -> String {
        let mut contact = format!("<{}>;expires={}", self.contact_uri(), self.settings.expires_seconds);
        for service in [Service::Pager, Service::Large, Service::File, Service::Chat] {
            contact.push(';');
            contact.push_str(&service.feature_tag());
        }
        contact
    }
}

pub(super) const ALLOW: &str =
    "INVITE, ACK, BYE, CANCEL, REGISTER, INFO, PRACK, SUBSCRIBE, NOTIFY, MESSAGE, REFER, PUBLISH";
