//! One edge on the bench: no sockets, no core, one UE.

use config::{Config, NextHop};
use core::net::{IpAddr, SocketAddr};
use edge::api::{MsrpPoint, RtpPoint, SipPoint};
use edge::{Action, Edge, Event, Outbox, Record, ShardContext};
use sip::{HeaderId, Message};
use std::sync::Arc;
use wire::{Hop, Instant, NetAction, NetEvent, Realm, ShardId, SocketId, StreamId, Transport};

pub(super) struct Bench {
    edge: Edge,
    ue: Ue,
    domain: String,
    now: Instant,
}

/// How the UE is connected.
struct Ue {
    source: SocketAddr,
    /// `None` over UDP.
    stream: Option<StreamId>,
    transport: Transport,
}

/// What came of a request.
pub(super) enum Out {
    /// It was sent on.
    Forwarded { to: String, bytes: Vec<u8> },
    /// The edge answered it itself.
    Answered { status: u16, line: String, warning: String },
    /// Neither.
    Nothing { why: String },
}

const UE_SOCKET: SocketId = SocketId(0);
const CORE_SOCKET: SocketId = SocketId(1);
const STREAM: StreamId = StreamId { slot: 0, generation: 0 };

impl Bench {
    /// An edge as the configuration makes it, but that header rules are left to be shown one by one, and
    /// that the core is one address over UDP.
    pub(super) fn new(
        config: &Config,
        access_point: Option<&str>,
        source: SocketAddr,
    ) -> Result<Self, String> {
        let listeners = &config.realm.access.sip;
        let at = match access_point {
            None => 0,
            Some(name) => listeners
                .iter()
                .position(|listener| listener.name.as_deref() == Some(name))
                .ok_or_else(|| format!("no access point is named {name:?}"))?,
        };
        let listener = listeners.get(at).ok_or("no access point")?;
        let mut sip: Vec<SipPoint> = Vec::new();
        for (i, listener) in listeners.iter().enumerate() {
            let socket = (i == at && listener.transport == Transport::Udp).then_some(UE_SOCKET);
            let host = listener.host.as_deref().unwrap_or(&config.realm.access.host);
            sip.push(point(Realm::Access, listener.transport, socket, listener.bind, host));
        }
        let core: SocketAddr = SocketAddr::from(([192, 0, 2, 254], 5060));
        let near: SocketAddr = SocketAddr::from(([192, 0, 2, 253], 5060));
        sip.push(point(Realm::Core, Transport::Udp, Some(CORE_SOCKET), near, &config.realm.core.host));
        let mut quiet = config.clone();
        quiet.header_rules.clear();
        quiet.core.pools.clear();
        quiet.core.pool.clear();
        quiet.core.next_hops = vec![NextHop { address: core, transport: Transport::Udp }];
        quiet.core.udp_bytes_max = 0;
        quiet.registrar.reg_event = false;
        let context = ShardContext {
            shard: ShardId(0),
            sip,
            msrp: msrp_points(config),
            rtp: [Realm::Access, Realm::Core].map(|realm| rtp_point(config, realm)).into(),
            rtp_fingerprint: None,
            token_key: [1; 32],
            seed: [2; 32],
        };
        let bound = context.sip[at].bound;
        let mut edge = Edge::new(Arc::new(quiet), context);
        let now = Instant::from_micros(1_000_000);
        let transport = listener.transport;
        let stream = transport.is_reliable().then_some(STREAM);
        if let Some(stream) = stream {
            let opened = NetEvent::StreamOpened {
                stream,
                realm: Realm::Access,
                transport,
                local: bound,
                peer: source,
            };
            edge.handle(Event::Net(opened), now, &mut Outbox::default());
        }
        let ue = Ue { source, stream, transport };
        Ok(Self { edge, ue, domain: config.core.domain.clone(), now })
    }

    /// Registers the UE that the request is from or for; says as whom.
    pub(super) fn register(&mut self, message: Message<'_>, from: Realm) -> Result<String, String> {
        let party = match from {
            Realm::Access => message.from(),
            Realm::Core => message.to(),
        };
        let party = party.map_err(|cause| cause.text().to_owned())?;
        let uri = String::from_utf8_lossy(party.uri).into_owned();
        let aor = match uri.get(..4) {
            Some(scheme) if scheme.eq_ignore_ascii_case("sip:") && !uri.contains("anonymous") => uri.clone(),
            _ => format!("sip:explain@{}", self.domain),
        };
        let mut identities = vec![aor.clone(), uri];
        if from == Realm::Access {
            for id in [HeaderId::PPreferredIdentity, HeaderId::PAssertedIdentity] {
                let named = message.name_addrs(id).flatten();
                identities.extend(named.map(|address| String::from_utf8_lossy(address.uri).into_owned()));
            }
        }
        let source = self.ue.source;
        let text = format!(
            "REGISTER sip:{} SIP/2.0\r\nVia: SIP/2.0/{} {source};branch=z9hG4bKexplain;rport\r\nMax-Forwards: 70\r\n\
             From: <{aor}>;tag=explain\r\nTo: <{aor}>\r\nCall-ID: explain\r\nCSeq: 1 REGISTER\r\n\
             Contact: <sip:ue@{source}>\r\nContent-Length: 0\r\n\r\n",
            self.domain,
            self.ue.transport.via_name(),
        );
        let request = match self.send(text.as_bytes(), Realm::Access) {
            Out::Forwarded { bytes, .. } => String::from_utf8_lossy(&bytes).into_owned(),
            Out::Answered { line, .. } => return Err(line),
            Out::Nothing { why } => return Err(format!("dropped{why}")),
        };
        let associated: Vec<String> = identities.iter().map(|uri| format!("<{uri}>")).collect();
        let answer = accepted(&request, &associated.join(", "));
        self.take(answer.as_bytes(), Realm::Core);
        Ok(aor)
    }

    /// Hands a request in and sees what comes of it.
    pub(super) fn send(&mut self, bytes: &[u8], from: Realm) -> Out {
        let out = self.take(bytes, from);
        let mut answered = None;
        let mut why = String::new();
        for action in &out.actions {
            match action {
                Action::Net(NetAction::Send { hop, bytes }) => {
                    let sent = bytes.of(&out.bytes);
                    let to = realm_of(*hop);
                    if to != from && !sent.starts_with(b"SIP/2.0 ") {
                        let to = match to {
                            Realm::Access => "the UE".to_owned(),
                            Realm::Core => "the core".to_owned(),
                        };
                        return Out::Forwarded { to, bytes: sent.to_vec() };
                    }
                    answered = Some(String::from_utf8_lossy(sent).into_owned());
                }
                Action::Record(Record::Rejected { cause, .. }) => why = format!(": {}", cause.text()),
                _ => {}
            }
        }
        match answered {
            Some(text) => {
                let line = text.lines().next().unwrap_or_default().to_owned();
                let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
                let warning = text.lines().find(|line| line.starts_with("Warning: "));
                let warning = warning.map_or_else(String::new, |line| format!(" ({line})"));
                Out::Answered { status, line, warning }
            }
            None => Out::Nothing { why },
        }
    }

    fn take(&mut self, bytes: &[u8], from: Realm) -> Outbox {
        let mut out = Outbox::default();
        let event = match (from, self.ue.stream) {
            (Realm::Access, Some(stream)) => NetEvent::StreamBytes { stream, bytes },
            (Realm::Access, None) => NetEvent::Datagram { socket: UE_SOCKET, source: self.ue.source, bytes },
            (Realm::Core, _) => {
                let source = SocketAddr::from(([192, 0, 2, 254], 5060));
                NetEvent::Datagram { socket: CORE_SOCKET, source, bytes }
            }
        };
        self.edge.handle(Event::Net(event), self.now, &mut out);
        out
    }
}

/// The core's 200 to the REGISTER of the bench.
fn accepted(request: &str, associated: &str) -> String {
    let mut text = "SIP/2.0 200 OK\r\n".to_owned();
    for line in request.lines().skip(1) {
        let name = line.split(':').next().unwrap_or_default();
        match name {
            "Via" | "From" | "Call-ID" | "CSeq" | "Path" => text += &format!("{line}\r\n"),
            "To" => text += &format!("{line};tag=explain\r\n"),
            "Contact" => text += &format!("{line};expires=3600\r\n"),
            _ => {}
        }
    }
    text + &format!("P-Associated-URI: {associated}\r\nContent-Length: 0\r\n\r\n")
}

fn point(
    realm: Realm,
    transport: Transport,
    socket: Option<SocketId>,
    bind: SocketAddr,
    host: &str,
) -> SipPoint {
    let port = if bind.port() == 0 { 5060 } else { bind.port() };
    let bound = SocketAddr::new(bind.ip(), port);
    let advertised = match host.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    };
    SipPoint { realm, transport, socket, bound, advertised: advertised.into() }
}

fn msrp_points(config: &Config) -> Vec<MsrpPoint> {
    let mut points = Vec::new();
    for realm in [Realm::Access, Realm::Core] {
        let settings = config.realm.of(realm);
        for listener in &settings.msrp {
            let ip = match settings.media_address_v6 {
                Some(v6) if listener.bind.is_ipv6() => IpAddr::V6(v6),
                _ => IpAddr::V4(settings.media_address),
            };
            points.push(MsrpPoint {
                realm,
                transport: listener.transport,
                advertised: SocketAddr::new(ip, listener.bind.port()),
                websocket: listener.websocket,
                fingerprint: None,
            });
        }
    }
    points
}

fn rtp_point(config: &Config, realm: Realm) -> RtpPoint {
    let settings = config.realm.of(realm);
    let address = IpAddr::V4(settings.media_address);
    RtpPoint { realm, bound: address, advertised: address, ports: settings.media_ports(realm) }
}

fn realm_of(hop: Hop) -> Realm {
    match hop {
        Hop::Datagram { socket, .. } if socket == CORE_SOCKET => Realm::Core,
        Hop::Datagram { .. } | Hop::Stream(_) => Realm::Access,
        Hop::Peer { realm, .. } => realm,
    }
}
