//! Machines that echo and do what a few magic words say, and a node that runs them.

use config::{Config, MsrpListener, RealmConfig, SipListener, Tls};
use dataplane::{Dataplane, Machines, Protocol, Relaying, Signalling, StartError};
use edge::api::{Action, Event, Outbox, ShardContext};
use media::command::MediaCommand;
use media::relay;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Clock};
use telemetry::{Bank, Telemetry};
use wire::{Hop, Instant, NetAction, NetEvent, PrefixSet, Realm, Span, StreamId, Transport};

/// What the machines heard, one line each.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn push(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    pub fn count(&self, part: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|line| line.contains(part)).count()
    }

    /// Waits until `part` was heard `count` times.
    pub fn wait(&self, part: &str, count: usize) {
        let heard = eventually(|| self.count(part) >= count);
        assert!(heard, "{part} was not heard {count} times: {:?}", self.0.lock().unwrap());
    }
}

/// Whether `holds` becomes true within ten seconds.
pub fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let end = Clock::now() + Duration::from_secs(10);
    loop {
        if holds() {
            return true;
        }
        if Clock::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the next `ORDER` gives to the relays.
pub type Orders = Arc<Mutex<Vec<MediaCommand>>>;

pub struct Echo {
    log: Log,
    orders: Orders,
    shard: u16,
    registered: Vec<StreamId>,
}

impl Echo {
    fn send(hop: Hop, bytes: &[u8], out: &mut Outbox) {
        let start = out.bytes.len();
        out.bytes.extend_from_slice(bytes);
        let bytes = Span::new(start, out.bytes.len());
        out.actions.push(Action::Net(NetAction::Send { hop, bytes }));
    }

    fn on_words(&mut self, stream: StreamId, bytes: &[u8], out: &mut Outbox) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            ["PANIC"] => panic!("told to"),
            ["CLOSE"] => {
                Self::send(Hop::Stream(stream), b"bye", out);
                out.actions.push(Action::Net(NetAction::Close { stream }));
            }
            ["REGISTER"] => {
                self.registered.push(stream);
                Self::send(Hop::Stream(stream), b"ok", out);
            }
            ["ORDER"] => {
                out.actions.extend(self.orders.lock().unwrap().drain(..).map(Action::Media));
                Self::send(Hop::Stream(stream), b"ok", out);
            }
            ["HOLD", seconds] => {
                let at_least = Duration::from_secs(seconds.parse().unwrap());
                out.actions.push(Action::HoldOpen { stream, at_least });
            }
            ["FLOOD", count] => {
                for _ in 0..count.parse::<usize>().unwrap() {
                    Self::send(Hop::Stream(stream), &[b'x'; 65_536], out);
                }
            }
            ["PEER", transport, peer, word] => {
                let transport = Transport::ALL.into_iter().find(|t| t.label() == transport).unwrap();
                let hop = Hop::Peer { realm: Realm::Core, transport, peer: peer.parse().unwrap() };
                Self::send(hop, word.as_bytes(), out);
                Self::send(Hop::Stream(stream), b"ok", out);
            }
            ["HANDOVER", shard] => out.actions.push(Action::Handover {
                shard: wire::ShardId(shard.parse().unwrap()),
                realm: Realm::Access,
                transport: Transport::Tcp,
                source: "192.0.2.1:5060".parse().unwrap(),
                bytes: Span::new(0, 0),
            }),
            // In pieces, which must leave in one write and in order.
            _ => bytes.chunks(1_000).for_each(|part| Self::send(Hop::Stream(stream), part, out)),
        }
    }
}

impl Signalling for Echo {
    fn handle(&mut self, event: Event<'_>, _now: Instant, out: &mut Outbox) {
        match event {
            Event::Net(NetEvent::StreamBytes { stream, bytes }) => self.on_words(stream, bytes, out),
            Event::Net(NetEvent::Datagram { socket, source, bytes }) => {
                Self::send(Hop::Datagram { socket, peer: source }, bytes, out);
            }
            Event::Net(other) => self.log.push(format!("{other:?}")),
            Event::Handover { .. } => self.log.push(format!("handover to shard {}", self.shard)),
            Event::Config(_) => self.log.push("config".to_owned()),
            Event::Drain => self.log.push("drain".to_owned()),
            Event::NextHops(_) => {}
            Event::Blacklist(set) if set.is_empty() => {}
            Event::Blacklist(_) => self.log.push("blacklist".to_owned()),
            Event::Media(notice) => self.log.push(format!("{notice:?}")),
            Event::Certificates(_) => {}
        }
    }
    fn next_deadline(&self) -> Option<Instant> {
        None
    }
    fn handle_deadline(&mut self, _now: Instant, _out: &mut Outbox) {}
    fn is_registered(&self, stream: StreamId) -> bool {
        self.registered.contains(&stream)
    }
    fn holdings(&self, _set: &PrefixSet) -> edge::Holdings {
        edge::Holdings { registrations: self.registered.len() as u64, calls: 0 }
    }
    fn publish(&self, _bank: &Bank) {}
}

/// Pairs connections in the order they come: what one sends, the other gets; the first echoes alone.
pub struct Pipe {
    log: Log,
    high: usize,
    conns: Vec<StreamId>,
    paused: HashMap<StreamId, StreamId>,
}

impl Relaying for Pipe {
    fn configure(&mut self, _: &Config, _: Instant, _: &mut relay::Outbox) {}
    fn handle(&mut self, event: relay::Event<'_>, _now: Instant, out: &mut relay::Outbox) {
        match event {
            relay::Event::Opened { conn, realm, certificate, .. } => {
                self.conns.push(conn);
                if let Some(shown) = certificate {
                    self.log.push(format!("shown {}", shown.by(wire::HashFunction::Sha256)));
                }
                self.log.push(format!("msrp opened {realm:?}"));
            }
            relay::Event::Bytes { conn, bytes } => {
                let to = self.conns.iter().copied().find(|c| *c != conn).unwrap_or(conn);
                let half = bytes.len() / 2;
                let start = out.segments.len();
                out.segments.push(relay::Segment::Input(Span::new(0, half)));
                out.segments.push(relay::Segment::Input(Span::new(half, bytes.len())));
                out.actions.push(relay::Action::Forward { conn: to, segments: start..out.segments.len() });
            }
            relay::Event::Queued { conn, bytes } if bytes > self.high && !self.paused.contains_key(&conn) => {
                if let Some(from) = self.conns.iter().copied().find(|c| *c != conn) {
                    self.paused.insert(conn, from);
                    self.log.push("msrp paused".to_owned());
                    out.actions.push(relay::Action::PauseReading { conn: from });
                }
            }
            relay::Event::Drained { conn } => {
                if let Some(from) = self.paused.remove(&conn) {
                    self.log.push("msrp resumed".to_owned());
                    out.actions.push(relay::Action::ResumeReading { conn: from });
                }
            }
            relay::Event::HalfClosed { conn } => {
                // A last word, which the peer can still read.
                self.log.push("msrp half closed".to_owned());
                let start = out.bytes.len();
                out.bytes.extend_from_slice(b"bye");
                let segment = out.segments.len();
                out.segments.push(relay::Segment::Own(Span::new(start, start + 3)));
                out.actions.push(relay::Action::Forward { conn, segments: segment..segment + 1 });
                out.actions.push(relay::Action::Close { conn });
            }
            relay::Event::Closed { conn } => {
                self.conns.retain(|c| *c != conn);
                self.log.push("msrp closed".to_owned());
            }
            _ => {}
        }
    }
    fn next_deadline(&self) -> Option<Instant> {
        None
    }
    fn handle_deadline(&mut self, _now: Instant, _out: &mut relay::Outbox) {}
    fn publish(&self, _bank: &Bank) {}
}

struct StandIns(Log, Orders);

impl Machines for StandIns {
    type Signalling = Echo;
    type Relaying = Pipe;
    fn build(&self, config: &Arc<Config>, context: ShardContext) -> (Echo, Pipe) {
        let log = self.0.clone();
        log.push(format!("built shard {}", context.shard.0));
        let orders = Arc::clone(&self.1);
        let echo = Echo { log: log.clone(), orders, shard: context.shard.0, registered: Vec::new() };
        let high = config.msrp.queue_high_bytes;
        (echo, Pipe { log, high, conns: Vec::new(), paused: HashMap::new() })
    }
}

/// A running node; stopped when dropped.
pub struct Node {
    pub plane: Option<Dataplane>,
    pub log: Log,
    pub telemetry: Arc<Telemetry>,
    pub config: Config,
    orders: Orders,
}

impl Node {
    pub fn start(config: Config) -> Self {
        Self::try_start(config).unwrap()
    }

    pub fn try_start(config: Config) -> Result<Self, StartError> {
        let (log, telemetry) = (Log::default(), Arc::new(Telemetry::default()));
        let orders = Orders::default();
        let machines = StandIns(log.clone(), Arc::clone(&orders));
        let plane = Dataplane::start_with(Arc::new(config.clone()), Arc::clone(&telemetry), machines)?;
        Ok(Self { plane: Some(plane), log, telemetry, config, orders })
    }

    /// Gives orders to the relays of the shard, which has carried them out on return.
    pub fn order(&self, commands: impl IntoIterator<Item = MediaCommand>) {
        self.orders.lock().unwrap().extend(commands);
        let mut stream = self.tcp();
        stream.write_all(b"ORDER").unwrap();
        stream.read_exact(&mut [0; 2]).unwrap();
        // The answer left before the orders were looked at, and this one after.
        round(&mut stream, b"done");
    }

    pub fn plane(&self) -> &Dataplane {
        self.plane.as_ref().unwrap()
    }

    pub fn sip(&self, transport: Transport) -> SocketAddr {
        self.plane().address(Protocol::Sip, Realm::Access, transport).unwrap()
    }

    pub fn sip_v6(&self, transport: Transport) -> SocketAddr {
        let fits = |a: &&dataplane::Address| {
            a.realm == Realm::Access
                && a.transport == transport
                && a.bound.is_ipv6()
                && a.protocol == Protocol::Sip
        };
        self.plane().addresses().iter().find(fits).unwrap().bound
    }

    pub fn msrp(&self, realm: Realm, transport: Transport) -> SocketAddr {
        self.plane().address(Protocol::Msrp, realm, transport).unwrap()
    }

    /// Where MSRP is served in WebSocket messages.
    pub fn websocket(&self, transport: Transport) -> SocketAddr {
        let fits = |a: &&dataplane::Address| {
            a.realm == Realm::Access && a.transport == transport && a.protocol == Protocol::Msrp
        };
        self.plane().addresses().iter().filter(fits).nth(1).unwrap().bound
    }

    pub fn tcp(&self) -> TcpStream {
        connect(self.sip(Transport::Tcp))
    }

    /// The value of a line of the exported text.
    pub fn metric(&self, series: &str) -> u64 {
        let text = self.telemetry.render();
        let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
        text.lines().find_map(value).unwrap_or_else(|| panic!("no {series} in {text}"))
    }

    /// Waits for a series to reach a value: shards publish ten times a second.
    pub fn wait_metric(&self, series: &str, value: u64) {
        let reached = eventually(|| self.metric(series) == value);
        assert!(reached, "{series} is {} and not {value}", self.metric(series));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(plane) = self.plane.take() {
            plane.stop();
            plane.join();
        }
    }
}

/// One shard on free ports: TCP, UDP and TLS on both families, MSRP over TCP and TLS on both sides.
pub fn settings() -> Config {
    let mut config = Config::default();
    config.node.shards = 1;
    config.realm.access = realm(&["127.0.0.1:0", "[::1]:0"]);
    config.realm.core = realm(&["127.0.0.1:0"]);
    config
}

fn realm(binds: &[&str]) -> RealmConfig {
    let tls = certificate();
    let sip = |bind: &&str| {
        Transport::ALL.map(|transport| SipListener {
            bind: bind.parse().unwrap(),
            transport,
            ..SipListener::default()
        })
    };
    let msrp =
        |transport, websocket| MsrpListener { bind: "127.0.0.1:0".parse().unwrap(), transport, websocket };
    RealmConfig {
        sip: binds.iter().flat_map(sip).collect(),
        msrp: [false, true]
            .into_iter()
            .flat_map(|ws| [msrp(Transport::Tcp, ws), msrp(Transport::Tls, ws)])
            .collect(),
        tls: Some(Tls {
            ca: Some(tls.join("cert.pem")),
            certificate: tls.join("cert.pem"),
            key: tls.join("key.pem"),
            ..Tls::default()
        }),
        ..RealmConfig::default()
    }
}

/// A directory with a fresh self-signed certificate for 127.0.0.1.
pub fn certificate() -> PathBuf {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let directory =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    write_certificate(&directory);
    directory
}

pub fn write_certificate(directory: &std::path::Path) {
    let names = ["127.0.0.1", "::1", "edge.example"].map(str::to_owned);
    let issued = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(directory.join("cert.pem"), issued.cert.pem()).unwrap();
    std::fs::write(directory.join("key.pem"), issued.signing_key.serialize_pem()).unwrap();
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Sends `bytes` and reads as many back.
pub fn round(stream: &mut (impl Read + Write), bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    stream.flush().unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == bytes, "{} bytes came back changed", bytes.len());
}

/// Reads until the other side closes; a reset counts as closed.
pub fn read_to_end(stream: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    let mut part = [0; 65_536];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return all,
            Ok(count) => all.extend_from_slice(&part[..count]),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return all,
            Err(e) => panic!("not closed: {e}"),
        }
    }
}
