//! One edge, a clock that is turned by hand, and eyes on everything that leaves.

use config::{Config, NextHop};
use core::net::SocketAddr;
use core::time::Duration;
use edge::api::{MsrpPoint, RtpPoint, SipPoint};
use edge::{Action, Edge, Event, Outbox, Record, ShardContext};
use media::command::{MediaCommand, MediaNotice};
use media::rtp::RtpNotice;
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::{
    CloseReason, Hop, Instant, MediaId, NetAction, NetEvent, Realm, ShardId, SocketId, StreamId, Transport,
};

pub const ACCESS_UDP: SocketId = SocketId(0);
pub const CORE_UDP: SocketId = SocketId(1);
/// Where the core's next hop listens.
pub const CORE: &str = "182.1.1.64:5070";
/// What the core is told of the edge; as in the specification's figures.
pub const EDGE_CORE: &str = "183.1.28.128:11065";
/// What UEs are told.
pub const EDGE_ACCESS: &str = "182.3.1.6:5060";

pub struct World {
    pub edge: Edge,
    pub now: Instant,
    pub records: Vec<Record>,
    pub actions: Vec<Action>,
    /// RTP sessions that the relay has.
    rtp: BTreeSet<MediaId>,
    sent: Vec<Sent>,
    streams: u32,
    /// Every byte that went to the access side.
    pub seen_by_access: Vec<u8>,
}

/// One message that left.
#[derive(Clone, Debug)]
pub struct Sent {
    pub hop: Hop,
    pub bytes: Vec<u8>,
}

impl Sent {
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.text(), name)
    }

    /// Record-Route without what stands before the `@`.
    #[track_caller]
    pub fn own_route(&self) -> String {
        let route = self.header("Record-Route").unwrap();
        let (mask, host) = route.strip_prefix("<sip:").unwrap().split_once('@').unwrap();
        assert!(mask.len() > 60 && !mask.contains(','), "{route}");
        format!("<sip:{host}")
    }
}

/// The value of the first header of this name.
pub fn header(message: &str, name: &str) -> Option<String> {
    let head = message.split("\r\n\r\n").next()?;
    head.lines().skip(1).find_map(|line| {
        let (n, v) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then(|| v.trim().to_owned())
    })
}

/// Room for eight RTP sessions.
fn rtp_point(realm: Realm, address: &str, first: u16) -> RtpPoint {
    let address = address.parse().unwrap();
    RtpPoint { realm, bound: address, advertised: address, ports: first..=first + 15 }
}

pub fn config() -> Config {
    let mut config = Config::default();
    config.core.next_hops = vec![hop(CORE)];
    // What the specification prints is longer than a datagram should be; `next_hops` tests the switch.
    config.core.udp_bytes_max = 0;
    config
}

pub fn hop(address: &str) -> NextHop {
    NextHop { address: address.parse().unwrap(), transport: Transport::Udp }
}

pub fn tcp_hop(address: &str) -> NextHop {
    NextHop { address: address.parse().unwrap(), transport: Transport::Tcp }
}

impl World {
    pub fn new() -> Self {
        Self::with(config())
    }

    pub fn with(config: Config) -> Self {
        Self::shard(config, 0)
    }

    pub fn shard(config: Config, shard: u16) -> Self {
        Self::seeded(config, shard, shard as u8 + 1)
    }

    /// The node after a restart: the same keys, nothing remembered.
    pub fn restarted() -> Self {
        Self::restarted_with(config())
    }

    pub fn restarted_with(config: Config) -> Self {
        Self::seeded(config, 0, 99)
    }

    /// With other addresses of its own.
    pub fn with_points(config: Config, points: Vec<SipPoint>) -> Self {
        Self::built(config, 0, 1, points)
    }

    fn seeded(config: Config, shard: u16, seed: u8) -> Self {
        let point = |realm, transport, socket: Option<SocketId>, advertised: &str| SipPoint {
            realm,
            transport,
            socket,
            bound: advertised.parse().unwrap(),
            advertised: advertised.into(),
        };
        let points = vec![
            point(Realm::Access, Transport::Udp, Some(ACCESS_UDP), EDGE_ACCESS),
            point(Realm::Access, Transport::Tcp, None, EDGE_ACCESS),
            point(Realm::Access, Transport::Tls, None, "182.3.1.6:5061"),
            point(Realm::Core, Transport::Udp, Some(CORE_UDP), EDGE_CORE),
            point(Realm::Core, Transport::Tcp, None, EDGE_CORE),
        ];
        Self::built(config, shard, seed, points)
    }

    fn built(config: Config, shard: u16, seed: u8, points: Vec<SipPoint>) -> Self {
        let context = ShardContext {
            shard: ShardId(shard),
            sip: points,
            msrp: vec![
                MsrpPoint {
                    realm: Realm::Access,
                    transport: Transport::Tcp,
                    advertised: "182.3.1.7:2855".parse().unwrap(),
                    websocket: false,
                    fingerprint: None,
                },
                MsrpPoint {
                    realm: Realm::Core,
                    transport: Transport::Tcp,
                    advertised: "182.2.1.4:2855".parse().unwrap(),
                    websocket: false,
                    fingerprint: None,
                },
            ],
            rtp: vec![
                rtp_point(Realm::Access, "182.3.1.7", 16_000),
                rtp_point(Realm::Core, "182.2.1.4", 26_000),
            ],
            rtp_fingerprint: None,
            token_key: [7; 32],
            seed: [seed; 32],
        };
        Self {
            edge: Edge::new(Arc::new(config), context),
            now: Instant::from_micros(1_000_000),
            records: Vec::new(),
            actions: Vec::new(),
            rtp: BTreeSet::new(),
            sent: Vec::new(),
            streams: 0,
            seen_by_access: Vec::new(),
        }
    }

    pub fn event(&mut self, event: Event<'_>) {
        let mut out = Outbox::default();
        self.edge.handle(event, self.now, &mut out);
        self.drain(out);
    }

    fn drain(&mut self, out: Outbox) {
        let mut ended = Vec::new();
        for action in out.actions {
            match action {
                Action::Net(NetAction::Send { hop, bytes }) => {
                    let bytes = bytes.of(&out.bytes).to_vec();
                    if realm_of(hop) == Realm::Access {
                        self.seen_by_access.extend_from_slice(&bytes);
                    }
                    self.sent.push(Sent { hop, bytes });
                }
                Action::Record(record) => self.records.push(record),
                Action::Handover { bytes, .. } => {
                    let bytes = bytes.of(&out.bytes).to_vec();
                    self.actions.push(action);
                    self.sent
                        .push(Sent { hop: Hop::Datagram { socket: SocketId(99), peer: addr(CORE) }, bytes });
                }
                // The relay closes the sockets at once, and says so.
                Action::Media(MediaCommand::Release { id, cause }) => {
                    self.actions.push(action);
                    if self.rtp.remove(&id) {
                        let (access, core) = (Box::default(), Box::default());
                        let duration = Duration::ZERO;
                        ended.push(RtpNotice::Ended { id, cause, duration, access, core });
                    }
                }
                Action::Media(MediaCommand::Rtp(order)) => {
                    self.rtp.insert(order.id);
                    self.actions.push(Action::Media(MediaCommand::Rtp(order)));
                }
                other => self.actions.push(other),
            }
        }
        for notice in ended {
            self.event(Event::Media(MediaNotice::Rtp(notice)));
        }
    }

    /// Lets time pass, waking the edge at each of its deadlines.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some((at, _)) = self.edge.next_deadline().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            let mut out = Outbox::default();
            self.edge.handle_deadline(self.now, &mut out);
            self.drain(out);
        }
        self.now = end;
    }

    pub fn open(&mut self, realm: Realm, transport: Transport, peer: &str) -> StreamId {
        let stream = StreamId { slot: self.streams, generation: 0 };
        self.streams += 1;
        let local = match (realm, transport) {
            (Realm::Access, Transport::Tls) => "182.3.1.6:5061",
            (Realm::Access, _) => EDGE_ACCESS,
            (Realm::Core, _) => EDGE_CORE,
        };
        self.event(Event::Net(NetEvent::StreamOpened {
            stream,
            realm,
            transport,
            local: addr(local),
            peer: addr(peer),
        }));
        stream
    }

    pub fn close(&mut self, stream: StreamId) {
        self.event(Event::Net(NetEvent::StreamClosed { stream, reason: CloseReason::PeerClosed }));
    }

    pub fn bytes(&mut self, stream: StreamId, bytes: &[u8]) {
        self.event(Event::Net(NetEvent::StreamBytes { stream, bytes }));
    }

    pub fn datagram(&mut self, source: &str, bytes: &[u8]) {
        self.event(Event::Net(NetEvent::Datagram { socket: ACCESS_UDP, source: addr(source), bytes }));
    }

    pub fn core(&mut self, bytes: &[u8]) {
        self.event(Event::Net(NetEvent::Datagram { socket: CORE_UDP, source: addr(CORE), bytes }));
    }

    /// Everything that was sent since the last look.
    pub fn sent(&mut self) -> Vec<Sent> {
        core::mem::take(&mut self.sent)
    }

    /// The one message that was sent since the last look.
    #[track_caller]
    pub fn one(&mut self) -> Sent {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{:#?}", sent.iter().map(Sent::text).collect::<Vec<_>>());
        sent.remove(0)
    }

    #[track_caller]
    pub fn none(&mut self) {
        let sent = self.sent();
        assert!(sent.is_empty(), "{:#?}", sent.iter().map(Sent::text).collect::<Vec<_>>());
    }
}

pub fn realm_of(hop: Hop) -> Realm {
    match hop {
        Hop::Stream(_) => Realm::Access, // tests open core streams only to take from them
        Hop::Datagram { socket, .. } if socket == ACCESS_UDP => Realm::Access,
        Hop::Datagram { .. } => Realm::Core,
        Hop::Peer { realm, .. } => realm,
    }
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The UE's datagram hop.
pub fn udp(peer: &str) -> Hop {
    Hop::Datagram { socket: ACCESS_UDP, peer: addr(peer) }
}

/// The datagram hop to the core.
pub fn to_core(peer: &str) -> Hop {
    Hop::Datagram { socket: CORE_UDP, peer: addr(peer) }
}

/// A response to what the edge sent, as the core or a UE would make it; `lines` each end in CRLF.
pub fn response(request: &Sent, status: &str, lines: &str) -> Vec<u8> {
    let text = request.text();
    let mut out = format!("SIP/2.0 {status}\r\n");
    for line in text.split("\r\n\r\n").next().unwrap().lines().skip(1) {
        let name = line.split(':').next().unwrap().trim().to_ascii_lowercase();
        match name.as_str() {
            "via" | "from" | "call-id" | "cseq" => out += &format!("{line}\r\n"),
            "to" if line.contains(";tag=") => out += &format!("{line}\r\n"),
            "to" => out += &format!("{line};tag=far1\r\n"),
            _ => {}
        }
    }
    out += lines;
    out += "Content-Length: 0\r\n\r\n";
    out.into_bytes()
}

pub fn vector(name: &str) -> Vec<u8> {
    let path = format!("{}/../../tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn vector_text(name: &str) -> String {
    String::from_utf8(vector(name)).unwrap()
}
