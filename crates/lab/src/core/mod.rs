//! The IMS core in one box: registrar and S-CSCF, HSS, and the messaging server, which is the MSRP
//! end point of large messages, files and 1-1 sessions.
//!
//! ```text
//!  REGISTER ─▶ register ─▶ auth::Verifier
//!  MESSAGE  ─▶ pager    ─▶ one MESSAGE to each contact of each recipient, by its Path
//!  INVITE   ─▶ session  ─▶ MSRP taken in, then an INVITE of its own to the recipient
//!  INVITE to the factory, REFER ▶ group ─▶ everybody of its list is called, each line told to all others
//!  SUBSCRIBE ▶ watch    ─▶ NOTIFY at once, and with each refresh
//! ```
//! It is honest: whatever reaches it is held against what an edge owes a core (see `check`).

mod check;
mod group;
mod pager;
mod register;
mod session;
mod settings;
mod watch;

pub use group::GROUP;
pub use settings::{CoreSettings, Subscriber};

use crate::auth::Verifier;
use crate::deadlines::earlier;
use crate::dialog::Ended;
use crate::layer::{ClientId, Incoming, Origin, ServerId, SipLayer};
use crate::msrp_end::{MsrpEnd, MsrpIncoming};
use crate::node::{LabOutbox, Node, Violation, Violations};
use crate::strict::{SipMessage, SipWriter, Uri};
use core::net::{IpAddr, SocketAddr};
use register::Binding;
use session::Leg;
use std::collections::BTreeMap;
use watch::Watcher;
use wire::{Hop, Instant, NetEvent, Random, Realm, Transport};

/// The core.
#[derive(Debug)]
pub struct Core {
    settings: CoreSettings,
    random: Random,
    verifier: Verifier,
    layer: SipLayer,
    msrp: MsrpEnd,
    violations: Violations,
    ended: Ended,
    counts: CoreCounts,
    /// Index of the subscriber by identity.
    users: BTreeMap<String, usize>,
    bindings: BTreeMap<usize, Vec<Binding>>,
    pending: BTreeMap<ClientId, Pending>,
    legs: BTreeMap<u64, Leg>,
    next_leg: u64,
    next_group: u64,
    watchers: BTreeMap<u64, Watcher>,
    next_watcher: u64,
}

/// What the core has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreCounts {
    /// REGISTERs that opened or refreshed a binding.
    pub registrations: u64,
    /// REGISTERs that were challenged.
    pub challenges: u64,
    /// MESSAGEs accepted.
    pub messages: u64,
    /// MESSAGEs sent to UEs.
    pub deliveries: u64,
    /// MESSAGEs, large messages and files that did not reach a contact.
    pub undelivered: u64,
    /// Large messages and files taken in.
    pub contents: u64,
    /// Octets of them.
    pub content_bytes: u64,
    /// 1-1 sessions that were answered.
    pub chats: u64,
    /// Messages carried inside them.
    pub chat_messages: u64,
    /// Groups created.
    pub groups: u64,
    /// SUBSCRIBEs that opened a subscription.
    pub subscriptions: u64,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Pending {
    purpose: Purpose,
    request: SipMessage,
}

#[derive(Clone, Debug)]
enum Purpose {
    Message { user: usize, contact: String },
    Invite { leg: u64 },
    Notify { watcher: u64 },
    Bye,
}

impl Core {
    /// Switches the core on.
    #[must_use]
    pub fn new(settings: CoreSettings) -> Self {
        let mut random = Random::from_u64(settings.seed);
        let verifier = Verifier::new(&settings.domain, Random::from_u64(random.next_u64()));
        let msrp = MsrpEnd::new(settings.msrp_settings, Random::from_u64(random.next_u64()));
        let mut users = BTreeMap::new();
        for (i, subscriber) in settings.subscribers.iter().enumerate() {
            for identity in &subscriber.identities {
                users.insert(identity.clone(), i);
            }
        }
        Self {
            layer: SipLayer::new(settings.timers),
            msrp,
            verifier,
            violations: Violations::new("core"),
            ended: Ended::default(),
            counts: CoreCounts::default(),
            users,
            bindings: BTreeMap::new(),
            pending: BTreeMap::new(),
            legs: BTreeMap::new(),
            next_leg: 0,
            next_group: 0,
            watchers: BTreeMap::new(),
            next_watcher: 0,
            random,
            settings,
        }
    }

    /// Replaces what is known of the edge, which may start after the core.
    pub fn set_topology(&mut self, topology: std::sync::Arc<crate::Topology>) {
        self.settings.topology = topology;
    }

    /// What the core received that it must never receive.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        self.violations.list()
    }

    /// What it has done so far.
    #[must_use]
    pub const fn counts(&self) -> CoreCounts {
        self.counts
    }

    /// How many contacts are registered for an identity.
    #[must_use]
    pub fn contacts(&self, identity: &str) -> usize {
        self.user_of(identity).and_then(|user| self.bindings.get(&user)).map_or(0, Vec::len)
    }

    /// Whether no transaction and no session is under way.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.layer.transactions() == 0
            && self.legs.is_empty()
            && self.watchers.is_empty()
            && self.msrp.sessions() == 0
    }

    fn on_incoming(&mut self, incoming: Vec<Incoming>, now: Instant, out: &mut LabOutbox) {
        for one in incoming {
            match one {
                Incoming::Request { id, origin, request, .. } => {
                    self.on_request(id, origin, &request, now, out);
                }
                Incoming::Response { id, response, .. } => self.on_response(id, &response, now, out),
                Incoming::NoAnswer { id } => self.on_no_answer(id, now, out),
                Incoming::Ack { id, request } => {
                    self.check_ack(&request, now);
                    self.on_ack(id);
                }
                Incoming::NoAck { id } => self.on_no_ack(id, now, out),
                Incoming::Cancelled { id } => self.on_cancelled(id, now, out),
                Incoming::Closed { .. } | Incoming::Pong => {}
                Incoming::Broken { rule, detail } => self.violations.record(now, rule, detail),
            }
        }
    }

    fn on_request(
        &mut self,
        id: ServerId,
        origin: Origin,
        request: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        self.check_request(request, now);
        match request.method() {
            "REGISTER" => self.on_register(id, origin, request, now, out),
            "MESSAGE" => self.on_message(id, request, now, out),
            "INVITE" => self.on_invite(id, origin, request, now, out),
            "BYE" => self.on_bye(id, request, now, out),
            "REFER" => self.on_refer(id, request, now, out),
            "SUBSCRIBE" => self.on_subscribe(id, origin, request, now, out),
            _ => self.respond(id, request, 405, now, out),
        }
    }

    fn on_response(&mut self, id: ClientId, response: &SipMessage, now: Instant, out: &mut LabOutbox) {
        let Some(pending) = self.pending.get(&id) else {
            return;
        };
        check::check_response(&self.settings, &pending.request, response, now, &mut self.violations);
        let status = response.status();
        match pending.purpose.clone() {
            Purpose::Invite { leg } => self.on_invite_response(leg, id, response, now, out),
            Purpose::Message { user, contact } if status >= 300 => self.undelivered(user, &contact, status),
            Purpose::Bye => {
                // 481: both hung up at once
                let known = status < 300 || status == 481;
                self.violations.expect(known, now, "R56", || format!("a BYE was answered {status}"));
            }
            Purpose::Notify { watcher } if status >= 200 => self.on_notify_answered(watcher, status, now),
            Purpose::Message { .. } | Purpose::Notify { .. } => {}
        }
        if status >= 200 {
            self.pending.remove(&id);
        }
    }

    fn on_no_answer(&mut self, id: ClientId, now: Instant, out: &mut LabOutbox) {
        let Some(pending) = self.pending.remove(&id) else {
            return;
        };
        match pending.purpose {
            Purpose::Message { user, contact } => self.undelivered(user, &contact, 408),
            Purpose::Invite { leg } => self.on_leg_refused(leg, 408, now, out),
            Purpose::Notify { watcher } => self.on_notify_answered(watcher, 408, now),
            Purpose::Bye => self.violations.record(now, "R56", "a BYE was not answered"),
        }
    }

    fn on_msrp(&mut self, incoming: Vec<MsrpIncoming>, now: Instant, out: &mut LabOutbox) {
        for one in incoming {
            if let MsrpIncoming::Broken { rule, detail } = one {
                self.violations.record(now, rule, detail);
            } else {
                self.on_leg_media(one, now, out);
            }
        }
    }

    fn respond(
        &mut self,
        id: ServerId,
        request: &SipMessage,
        status: u16,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let tag = self.token(8);
        let bytes = SipWriter::response(request, status, &tag).field("Server", SERVER).finish();
        self.layer.respond(id, status, bytes, now, out);
    }

    fn send(
        &mut self,
        purpose: Purpose,
        bytes: Vec<u8>,
        hop: Hop,
        now: Instant,
        out: &mut LabOutbox,
    ) -> ClientId {
        let request = SipMessage::parse(&bytes).expect("the lab writes well-formed requests");
        let id = self.layer.send_request(bytes, hop, now, out);
        self.pending.insert(id, Pending { purpose, request });
        id
    }

    fn via(&mut self, hop: Hop) -> String {
        let transport = match hop {
            Hop::Datagram { .. } => Transport::Udp,
            Hop::Peer { transport, .. } => transport,
            Hop::Stream(_) => Transport::Tcp,
        };
        let branch = self.token(16);
        format!("SIP/2.0/{} {};branch=z9hG4bK{branch};rport", transport.via_name(), self.settings.sip)
    }

    fn token(&mut self, count: usize) -> String {
        let mut out = Vec::with_capacity(count);
        self.random.push_token(count, &mut out);
        out.into_iter().map(char::from).collect()
    }

    /// The subscriber behind a SIP or tel URI, whatever parameters it has.
    fn user_of(&self, uri: &str) -> Option<usize> {
        let uri = Uri::parse(uri)?;
        let known = self.users.get(&uri.identity());
        // RFC 3261 §19.1.6: a SIP URI with a global number stands for the tel URI
        known.or_else(|| self.users.get(&format!("tel:{}", uri.user))).copied()
    }

    /// Who sent a request: the asserted identity behind an edge, the From without one.
    fn originator(&self, request: &SipMessage) -> Option<usize> {
        let name = if self.settings.topology.edge().is_some() {
            request.name_addrs("P-Asserted-Identity").into_iter().next()
        } else {
            request.from()
        };
        let user = self.user_of(&name?.uri)?;
        self.bindings.contains_key(&user).then_some(user)
    }

    /// The way to a URI of Path, Route or Contact; names are taken for the place `known` came from.
    fn hop_to(&self, uri: &str, known: IpAddr) -> Option<Hop> {
        let uri = Uri::parse(uri)?;
        let ip = uri.host.trim_matches(['[', ']']).parse().unwrap_or(known);
        let peer = SocketAddr::new(ip, uri.port.unwrap_or(5060));
        Some(match uri.param("transport") {
            Some(t) if t.eq_ignore_ascii_case("tcp") => {
                Hop::Peer { realm: Realm::Core, transport: Transport::Tcp, peer }
            }
            Some(t) if t.eq_ignore_ascii_case("tls") => {
                Hop::Peer { realm: Realm::Core, transport: Transport::Tls, peer }
            }
            _ => Hop::Datagram { socket: self.settings.udp, peer },
        })
    }

    fn service_route(&self) -> String {
        format!("<sip:orig@{};lr>", self.settings.domain)
    }
}

const SERVER: &str = "IM-serv/OMA1.0";

impl Node for Core {
    fn handle(&mut self, event: NetEvent<'_>, now: Instant, out: &mut LabOutbox) {
        let is_media = match event {
            // the messaging server only listens: whoever came in on its port speaks MSRP
            NetEvent::StreamOpened { local, .. } => local.port() == self.settings.msrp.port(),
            NetEvent::StreamBytes { stream, .. } | NetEvent::StreamClosed { stream, .. } => {
                self.msrp.owns(stream)
            }
            NetEvent::PeerUnreachable { .. } | NetEvent::Datagram { .. } => false,
        };
        if is_media {
            let incoming = self.msrp.handle(event, now, out);
            self.on_msrp(incoming, now, out);
        } else {
            let incoming = self.layer.handle(event, now, out);
            self.on_incoming(incoming, now, out);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        earlier(self.layer.next_deadline(), self.msrp.next_deadline())
    }

    fn handle_deadline(&mut self, now: Instant, out: &mut LabOutbox) {
        let incoming = self.layer.handle_deadline(now, out);
        self.on_incoming(incoming, now, out);
        let incoming = self.msrp.handle_deadline(now);
        self.on_msrp(incoming, now, out);
    }
}
