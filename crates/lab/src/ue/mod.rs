//! A UE: registers, sends and receives messages, holds MSRP sessions, and does what a script says.
//!
//! It is honest: whatever reaches it is held against what an edge may show a UE, and every fault is
//! recorded (see `check`).

mod check;
pub mod command;
mod message;
mod register;
mod session;
mod settings;
mod watch;

pub use command::{AnswerPolicy, Command, INCOMING_TAGS, UeEvent};
pub use settings::UeSettings;

use crate::auth::Authenticator;
use crate::deadlines::earlier;
use crate::dialog::Ended;
use crate::layer::{ClientId, Incoming, SipLayer};
use crate::msrp_end::{MsrpEnd, MsrpIncoming};
use crate::node::{LabOutbox, Node, Violation, Violations};
use crate::strict::SipMessage;
use core::net::SocketAddr;
use register::Registration;
use session::Session;
use std::collections::{BTreeMap, VecDeque};
use watch::Watch;
use wire::{Hop, Instant, NetEvent, Random, Realm, StreamId, Transport};

/// One simulated UE.
#[derive(Debug)]
pub struct Ue {
    settings: UeSettings,
    random: Random,
    layer: SipLayer,
    msrp: MsrpEnd,
    violations: Violations,
    ended: Ended,
    events: VecDeque<UeEvent>,
    auth: Authenticator,
    registration: Registration,
    pending: BTreeMap<ClientId, Pending>,
    sessions: BTreeMap<u64, Session>,
    watches: BTreeMap<u64, Watch>,
    next_incoming_tag: u64,
    ping_at: Option<Instant>,
    /// The connection to the edge.
    stream: Option<StreamId>,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Pending {
    purpose: Purpose,
    request: SipMessage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Register,
    Message { tag: u64 },
    Notification,
    Invite { tag: u64 },
    Bye { tag: u64 },
    Subscribe { tag: u64 },
    Refer { tag: u64 },
}

impl Ue {
    /// Switches a UE on.
    #[must_use]
    pub fn new(settings: UeSettings) -> Self {
        let mut random = Random::from_u64(settings.seed);
        let msrp_random = Random::from_u64(random.next_u64());
        let auth = Authenticator::new(&settings.username, &settings.domain, settings.secret.clone());
        Self {
            layer: SipLayer::new(settings.timers),
            msrp: MsrpEnd::new(settings.msrp, msrp_random),
            violations: Violations::new(&settings.name),
            ended: Ended::default(),
            events: VecDeque::new(),
            auth,
            registration: Registration::new(&mut random),
            pending: BTreeMap::new(),
            sessions: BTreeMap::new(),
            watches: BTreeMap::new(),
            next_incoming_tag: INCOMING_TAGS,
            ping_at: None,
            stream: None,
            random,
            settings,
        }
    }

    /// Carries out an order.
    pub fn command(&mut self, command: Command, now: Instant, out: &mut LabOutbox) {
        match command {
            Command::Register => self.register(register::Goal::Register, now, out),
            Command::Deregister => self.register(register::Goal::Deregister, now, out),
            Command::DeregisterAll => self.register(register::Goal::DeregisterAll, now, out),
            Command::Message { tag, to, text, dispositions } => {
                self.send_message(tag, &to, &text, &dispositions, now, out);
            }
            Command::MessageToMany { tag, to, text } => self.send_to_many(tag, &to, &text, now, out),
            Command::KeepAlive { tag, seconds } => self.send_keep_alive(tag, seconds, now, out),
            Command::Ping => out.send(self.hop(), b"\r\n\r\n"),
            Command::SendLarge { tag, to, text } => self.send_large(tag, &to, &text, now, out),
            Command::SendFile { tag, to, name, content } => {
                self.send_file(tag, &to, &name, content, now, out);
            }
            Command::StartChat { tag, to, first } => self.start_chat(tag, &to, &first, now, out),
            Command::Chat { tag, text } => self.say(tag, &text, now, out),
            Command::CreateGroup { tag, to, members } => self.create_group(tag, &to, &members, now, out),
            Command::Refer { tag, to } => self.refer(tag, &to, now, out),
            Command::Subscribe { tag, to, event, seconds } => {
                self.subscribe(tag, &to, &event, seconds, now, out);
            }
            Command::Resubscribe { tag, seconds } => self.resubscribe(tag, seconds, now, out),
            Command::Cancel { tag } => self.cancel(tag, now, out),
            Command::HangUp { tag } => self.hang_up(tag, now, out),
            Command::Disconnect => {
                if let Some(stream) = self.stream.take() {
                    out.close(stream);
                }
            }
            Command::Answer(policy) => self.settings.answer = policy,
        }
    }

    /// Takes the oldest event.
    pub fn next_event(&mut self) -> Option<UeEvent> {
        self.events.pop_front()
    }

    /// What this UE received that it must never receive.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        self.violations.list()
    }

    /// How it was set up.
    #[must_use]
    pub const fn settings(&self) -> &UeSettings {
        &self.settings
    }

    /// Whether it is registered.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.registration.is_registered()
    }

    /// Whether no transaction and no session is under way.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.layer.transactions() == 0
            && self.sessions.is_empty()
            && self.watches.is_empty()
            && self.msrp.sessions() == 0
    }

    fn hop(&self) -> Hop {
        let peer = self.settings.edge;
        match self.settings.transport {
            Transport::Udp => Hop::Datagram { socket: self.settings.socket, peer },
            transport => Hop::Peer { realm: Realm::Access, transport, peer },
        }
    }

    fn send(&mut self, purpose: Purpose, bytes: Vec<u8>, now: Instant, out: &mut LabOutbox) -> ClientId {
        let request = SipMessage::parse(&bytes).expect("the lab writes well-formed requests");
        let id = self.layer.send_request(bytes, self.hop(), now, out);
        self.pending.insert(id, Pending { purpose, request });
        id
    }

    fn via(&mut self) -> String {
        self.via_with("")
    }

    fn via_with(&mut self, params: &str) -> String {
        let branch = self.token(16);
        let Self { settings, .. } = self;
        format!(
            "SIP/2.0/{} {}{params};branch=z9hG4bK{branch};rport",
            settings.transport.via_name(),
            settings.claimed
        )
    }

    fn token(&mut self, count: usize) -> String {
        let mut out = Vec::with_capacity(count);
        self.random.push_token(count, &mut out);
        out.into_iter().map(char::from).collect()
    }

    /// The Contact URI, without brackets: `sip.instance` of a native UE inside it as in figure 5-8.
    fn contact_uri(&self) -> String {
        let s = &self.settings;
        let user = s.identity.trim_start_matches("sip:").split('@').next().unwrap_or_default();
        let mut uri = format!("sip:{user}@{}", s.claimed);
        if s.transport != Transport::Udp {
            uri.push_str(&format!(";transport={}", s.transport.label()));
        }
        if let Some(imei) = &s.imei {
            uri.push_str(&format!(";sip.instance=urn:gsma:imei:{imei}"));
        }
        uri
    }

    fn on_incoming(&mut self, incoming: Vec<Incoming>, now: Instant, out: &mut LabOutbox) {
        for one in incoming {
            match one {
                Incoming::Request { id, request, bytes, .. } => {
                    self.check_request(&request, &bytes, now);
                    match request.method() {
                        "MESSAGE" => self.on_message(id, &request, now, out),
                        "INVITE" => self.on_invite(id, &request, now, out),
                        "BYE" => self.on_bye(id, &request, now, out),
                        "NOTIFY" => self.on_notify(id, &request, now, out),
                        _ => self.respond(id, &request, 405, now, out),
                    }
                }
                Incoming::Response { id, response, bytes } => {
                    self.on_response(id, &response, &bytes, now, out);
                }
                Incoming::NoAnswer { id } => self.on_no_answer(id, now, out),
                Incoming::Ack { id, request } => {
                    self.check_ack(&request, now);
                    self.on_ack(id, now, out);
                }
                Incoming::NoAck { id } => self.on_no_ack(id, now, out),
                Incoming::Cancelled { id } => self.on_cancelled(id, now, out),
                Incoming::Closed { .. } => self.events.push_back(UeEvent::Disconnected),
                Incoming::Broken { rule, detail } => self.violations.record(now, rule, detail),
                Incoming::Pong => self.events.push_back(UeEvent::Pong),
            }
        }
    }

    fn on_response(
        &mut self,
        id: ClientId,
        response: &SipMessage,
        bytes: &[u8],
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let Some(pending) = self.pending.get(&id) else {
            return;
        };
        check::check_response(&self.settings, pending, response, bytes, now, &mut self.violations);
        let purpose = pending.purpose;
        let status = response.status();
        match purpose {
            Purpose::Invite { tag } => self.on_invite_response(tag, id, response, now, out),
            _ if status < 200 => return,
            Purpose::Register => self.on_register_response(response, now, out),
            Purpose::Message { tag } | Purpose::Refer { tag } => {
                self.events.push_back(UeEvent::Answered { tag, status });
            }
            Purpose::Notification => {
                let accepted = (200..300).contains(&status);
                self.violations
                    .expect(accepted, now, "R46", || format!("a notification was answered {status}"));
            }
            Purpose::Subscribe { tag } => {
                let request = pending.request.clone();
                self.on_subscribe_response(tag, &request, response);
            }
            Purpose::Bye { tag } => {
                let known = (200..300).contains(&status);
                self.violations.expect(known, now, "R56", || format!("a BYE was answered {status}"));
                self.events.push_back(UeEvent::Ended { tag });
            }
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
            Purpose::Register => self.registration_failed(408, "no answer"),
            Purpose::Message { tag } | Purpose::Refer { tag } => {
                self.events.push_back(UeEvent::Answered { tag, status: 408 });
            }
            Purpose::Invite { tag } => self.refused(tag, 408, out),
            Purpose::Notification => {
                self.violations.record(now, "R46", "a notification was not answered");
            }
            Purpose::Subscribe { tag } => {
                self.watches.remove(&tag);
                self.events.push_back(UeEvent::Refused { tag, status: 408 });
            }
            Purpose::Bye { tag } => {
                self.violations.record(now, "R56", "a BYE was not answered");
                self.events.push_back(UeEvent::Ended { tag });
            }
        }
    }

    fn on_msrp(&mut self, incoming: Vec<MsrpIncoming>, now: Instant, out: &mut LabOutbox) {
        for one in incoming {
            if let MsrpIncoming::Broken { rule, detail } = one {
                self.violations.record(now, rule, detail);
            } else {
                self.on_session_media(one, now, out);
            }
        }
    }

    /// A connection that nobody asked for any more.
    fn is_stray(&self, transport: Transport, peer: SocketAddr) -> bool {
        (transport, peer) != (self.settings.transport, self.settings.edge)
    }

    fn opened(&mut self, event: NetEvent<'_>, stream: StreamId, now: Instant, out: &mut LabOutbox) {
        let NetEvent::StreamOpened { transport, peer, .. } = event else {
            return;
        };
        if self.msrp.has_dialled(transport, peer) {
            let incoming = self.msrp.handle(event, now, out);
            self.on_msrp(incoming, now, out);
        } else if self.is_stray(transport, peer) {
            out.close(stream);
        } else {
            self.stream = Some(stream);
            let incoming = self.layer.handle(event, now, out);
            self.on_incoming(incoming, now, out);
        }
    }
}

impl Node for Ue {
    fn handle(&mut self, event: NetEvent<'_>, now: Instant, out: &mut LabOutbox) {
        let is_media = match event {
            NetEvent::StreamOpened { stream, .. } => return self.opened(event, stream, now, out),
            NetEvent::StreamBytes { stream, .. } | NetEvent::StreamClosed { stream, .. } => {
                self.msrp.owns(stream)
            }
            NetEvent::PeerUnreachable { transport, peer, .. } => self.msrp.has_dialled(transport, peer),
            NetEvent::Datagram { .. } => false,
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
        let layers = earlier(self.layer.next_deadline(), self.msrp.next_deadline());
        earlier(layers, earlier(self.registration.refresh_at(), self.ping_at))
    }

    fn handle_deadline(&mut self, now: Instant, out: &mut LabOutbox) {
        let incoming = self.layer.handle_deadline(now, out);
        self.on_incoming(incoming, now, out);
        let incoming = self.msrp.handle_deadline(now);
        self.on_msrp(incoming, now, out);
        if self.registration.refresh_at().is_some_and(|at| at <= now) {
            self.register(register::Goal::Register, now, out);
        }
        if self.ping_at.is_some_and(|at| at <= now) {
            out.send(self.hop(), b"\r\n\r\n");
            self.ping_at = self.settings.ping_interval.map(|interval| now + interval);
        }
    }
}
