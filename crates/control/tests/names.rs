//! Names over real sockets: a name server in a thread that answers from a table, changes its mind, and
//! dies.

#![allow(clippy::unwrap_used)]

use config::{Config, Pool, PoolMember};
use control::Names;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};
use std::net::{SocketAddr, UdpSocket};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use telemetry::Telemetry;
use wire::{Directory, HostQuery, Transport};

type Records = Vec<(&'static str, u32, RData)>;

/// What the server does.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Answers,
    Fails,
    IsSilent,
}

struct Server {
    address: SocketAddr,
    zone: Arc<Mutex<(Records, Mood)>>,
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(records: Records) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::new(Mutex::new((records, Mood::Answers)));
        let (asked, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let parts = (Arc::clone(&zone), Arc::clone(&asked), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let (zone, asked, stop) = parts;
            let mut buffer = [0; 1_500];
            while !stop.load(Ordering::Relaxed) {
                let Ok((count, peer)) = socket.recv_from(&mut buffer) else { continue };
                asked.fetch_add(1, Ordering::Relaxed);
                let query = Message::from_vec(&buffer[..count]).unwrap();
                let (records, mood) = zone.lock().unwrap().clone();
                if let Some(answer) = answer(&query, &records, mood) {
                    let _ = socket.send_to(&answer, peer);
                }
            }
        });
        Self { address, zone, asked, stop, thread: Some(thread) }
    }

    fn set(&self, records: Records) {
        self.zone.lock().unwrap().0 = records;
    }

    fn feel(&self, mood: Mood) {
        self.zone.lock().unwrap().1 = mood;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

fn answer(query: &Message, records: &Records, mood: Mood) -> Option<Vec<u8>> {
    let question = query.queries.first()?.clone();
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.metadata.recursion_available = true;
    answer.metadata.recursion_desired = true;
    answer.add_query(question.clone());
    match mood {
        Mood::IsSilent => return None,
        Mood::Fails => answer.metadata.response_code = ResponseCode::ServFail,
        Mood::Answers => {
            let name = question.name().to_ascii().to_lowercase();
            let of_name = |n: &str| format!("{n}.") == name;
            for (_, ttl, data) in
                records.iter().filter(|(n, _, d)| of_name(n) && d.record_type() == question.query_type())
            {
                answer.add_answer(Record::from_rdata(question.name().clone(), *ttl, data.clone()));
            }
            if !records.iter().any(|(n, ..)| of_name(n)) {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
        }
    }
    Some(answer.to_vec().unwrap())
}

fn name(text: &str) -> Name {
    Name::from_str(&format!("{text}.")).unwrap()
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, weight, port, name(target)))
}

fn v4(ip: &str) -> RData {
    RData::A(A(ip.parse().unwrap()))
}

fn naptr(order: u16, service: &str, replacement: &str) -> RData {
    let [flags, service] = ["s", service].map(|t| t.as_bytes().to_vec().into_boxed_slice());
    RData::NAPTR(NAPTR::new(order, 1, flags, service, Box::default(), name(replacement)))
}

fn core(ttl: u32) -> Records {
    vec![
        ("ims.example", ttl, naptr(1, "SIP+D2T", "_sip._tcp.ims.example")),
        ("ims.example", ttl, naptr(2, "SIP+D2U", "_sip._udp.ims.example")),
        ("_sip._tcp.ims.example", ttl, srv(0, 10, 5070, "cscf1.ims.example")),
        ("_sip._udp.ims.example", ttl, srv(0, 10, 5060, "cscf2.ims.example")),
        ("cscf1.ims.example", ttl, v4("192.0.2.1")),
        ("cscf2.ims.example", ttl, v4("192.0.2.2")),
        ("cscf2.ims.example", ttl, RData::AAAA(AAAA("2001:db8::2".parse().unwrap()))),
    ]
}

struct Running {
    names: Names,
    heard: Receiver<Arc<Directory>>,
    telemetry: Arc<Telemetry>,
}

fn start(server: &Server, members: &[&str], change: impl Fn(&mut Config)) -> Running {
    let mut config = Config::default();
    let member = |uri: &&str| PoolMember { uri: uri.parse().unwrap(), priority: 1, weight: 1 };
    config.core.pools = vec![Pool { name: "p".to_owned(), members: members.iter().map(member).collect() }];
    config.dns.servers = vec![server.address];
    config.dns.ttl_seconds_min = 1;
    config.dns.retry_seconds = 1;
    config.dns.timeout_ms = 200;
    config.dns.attempts = 1;
    change(&mut config);
    let (push, heard) = channel();
    let telemetry = Arc::new(Telemetry::default());
    let tell = Box::new(move |directory: &Arc<Directory>| push.send(Arc::clone(directory)).unwrap());
    let names = Names::start(Arc::new(config), Arc::clone(&telemetry), tell).unwrap();
    Running { names, heard, telemetry }
}

fn places(directory: &Directory, query: &str) -> Vec<String> {
    let query: HostQuery = query.parse().unwrap();
    directory.places(&query).iter().map(|p| format!("{} {} {}", p.rank, p.transport, p.address)).collect()
}

const LONG: Duration = Duration::from_secs(10);

/// The state of `gatehouse_dns_names`.
fn counts(telemetry: &Telemetry) -> [u64; 3] {
    [0, 1, 2].map(|cell| telemetry.sum(&telemetry::hops::NAMES, cell))
}

fn eventually(telemetry: &Telemetry, wanted: [u64; 3]) {
    let end = Instant::now() + LONG;
    while counts(telemetry) != wanted {
        assert!(Instant::now() < end, "{:?} is not {wanted:?}", counts(telemetry));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn naptr_srv_and_addresses_are_asked_for_and_asked_for_again_when_they_change() {
    let server = Server::start(core(1));
    let running = start(&server, &["sip:ims.example"], |_| {});
    let directory = running.heard.recv_timeout(LONG).unwrap();
    // No listener on IPv6: its address is no use.
    assert_eq!(places(&directory, "sip:ims.example"), ["0 tcp 192.0.2.1:5070", "32 udp 192.0.2.2:5060"]);
    let mut records = core(1);
    records.retain(|(n, ..)| *n != "cscf1.ims.example");
    records.push(("cscf1.ims.example", 1, v4("192.0.2.77")));
    server.set(records);
    let directory = running.heard.recv_timeout(LONG).unwrap();
    assert_eq!(places(&directory, "sip:ims.example")[0], "0 tcp 192.0.2.77:5070");
    assert_eq!(counts(&running.telemetry), [1, 0, 0]);
    assert!(running.telemetry.sum(&telemetry::hops::LOOKUPS, 0) >= 2);
}

#[test]
fn the_ttl_is_honoured() {
    let server = Server::start(core(3_600));
    let running = start(&server, &["sip:ims.example"], |_| {});
    running.heard.recv_timeout(LONG).unwrap();
    let asked = server.asked.load(Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(server.asked.load(Ordering::Relaxed), asked, "an hour is not over");
}

#[test]
fn a_name_server_that_fails_or_dies_takes_nothing_away() {
    let server = Server::start(core(1));
    let running = start(&server, &["sip:ims.example"], |_| {});
    running.heard.recv_timeout(LONG).unwrap();
    for mood in [Mood::Fails, Mood::IsSilent] {
        server.feel(mood);
        eventually(&running.telemetry, [0, 1, 0]);
        server.feel(Mood::Answers);
        eventually(&running.telemetry, [1, 0, 0]);
    }
    server.set(Vec::new());
    eventually(&running.telemetry, [0, 1, 0]);
    assert!(running.heard.try_recv().is_err(), "the shards were never told anything else");
    assert!(running.telemetry.sum(&telemetry::hops::LOOKUPS, 2) >= 2);
    assert!(running.telemetry.sum(&telemetry::hops::LOOKUPS, 1) >= 1);
}

#[test]
fn names_that_shards_want_are_looked_up_and_a_reload_takes_new_members_in() {
    let server = Server::start(core(60));
    let running = start(&server, &["sip:192.0.2.9"], |_| {});
    let wanted: HostQuery = "sip:cscf2.ims.example:5090;transport=tcp".parse().unwrap();
    assert!(running.names.wisher().want(wanted.clone()));
    let directory = running.heard.recv_timeout(LONG).unwrap();
    assert_eq!(directory.places(&wanted)[0].transport, Transport::Tcp);
    let mut config = Config::default();
    let member = PoolMember { uri: "sip:cscf1.ims.example".parse().unwrap(), priority: 1, weight: 1 };
    config.core.pools = vec![Pool { name: "p".to_owned(), members: vec![member] }];
    config.dns.servers = vec![server.address];
    running.names.configure(Arc::new(config));
    let directory = running.heard.recv_timeout(LONG).unwrap();
    assert_eq!(places(&directory, "sip:cscf1.ims.example"), ["0 udp 192.0.2.1:5060"]);
    assert_eq!(directory.places(&wanted).len(), 1, "what was learnt stays");
    let wisher = running.names.wisher();
    drop(running.names);
    assert!(!wisher.want(wanted), "nobody is left to ask");
}
