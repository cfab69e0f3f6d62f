//! Next hops over real sockets: one of two cores is killed while traffic goes through it.

use gatehouse_tests::edge::{Edge, Settings};
use gatehouse_tests::place::Place;
use gatehouse_tests::process::{Process, find};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Answers every REGISTER and MESSAGE with 200.
const CORE: &str = r#"<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="core">
<recv request="REGISTER" optional="true" next="1"/>
<recv request="MESSAGE"/>
<send next="2"><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=core[call_number]
[last_Call-ID:]
[last_CSeq:]
Server: NAME
Content-Length: 0

]]></send>
<label id="1"/>
<send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=core[call_number]
[last_Call-ID:]
[last_CSeq:]
[last_Contact:]
Expires: 3600
Content-Length: 0

]]></send>
<label id="2"/>
</scenario>
"#;

fn core(place: &Place, name: &str, address: IpAddr) -> Process {
    let scenario = place.write(&format!("{name}.xml"), CORE.replace("NAME", name));
    let (scenario, address) = (scenario.to_string_lossy().into_owned(), address.to_string());
    let args = ["-sf", &scenario, "-i", &address, "-p", "5060", "-t", "u1", "-nostdin", "-timeout", "80s"];
    let process = Process::start(&find("sipp", "sip-tester"), &args, place.file(&format!("{name}.log")));
    let at: SocketAddr = format!("{address}:5060").parse().expect("an address");
    gatehouse_tests::eventually("SIPp's port", || UdpSocket::bind(at).is_err().then_some(()));
    process
}

struct Ue {
    socket: UdpSocket,
    at: SocketAddr,
    edge: SocketAddr,
}

impl Ue {
    fn send(&self, method: &str, id: &str, more: &str) {
        let (at, length) = (self.at, if method == "MESSAGE" { 2 } else { 0 });
        let body = if length == 2 { "hi" } else { "" };
        let text = format!(
            "{method} sip:ims.example.net SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{id};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:user1@ims.example.net>;tag=f{id}\r\nTo: <sip:user1@ims.example.net>\r\n\
             Call-ID: {id}\r\nCSeq: 1 {method}\r\n{more}Content-Length: {length}\r\n\r\n{body}"
        );
        self.socket.send_to(text.as_bytes(), self.edge).expect("loopback takes datagrams");
    }

    /// Takes in what has come: status and server of each Call-ID, final answers only.
    fn hear(&self, heard: &mut BTreeMap<String, Vec<(u16, String)>>) {
        let mut buffer = [0; 4_096];
        while let Ok((count, _)) = self.socket.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            let field = |name: &str| {
                text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).unwrap_or("").to_owned()
            };
            let status = text.get(8..11).and_then(|s| s.parse().ok()).unwrap_or_default();
            if status >= 200 {
                heard.entry(field("Call-ID")).or_default().push((status, field("Server")));
            }
        }
    }
}

const MESSAGES: usize = 300;
const KILLED_AT: usize = 100;

#[test]
fn no_transaction_is_lost_when_a_core_is_killed_under_load() {
    let place = Place::new("next-hop-killed");
    let cores = [place.address(), place.address()];
    let mut first = core(&place, "first", cores[0]);
    let _second = core(&place, "second", cores[1]);
    let sections = format!(
        "pool = \"cores\"\nretry_seconds = 60\n[[core.pools]]\nname = \"cores\"\n\
         [[core.pools.members]]\nuri = \"sip:{}\"\n[[core.pools.members]]\nuri = \"sip:{}\"\n",
        cores[0], cores[1]
    );
    let settings = Settings { sections: &sections, ..Settings::default() };
    let edge = Edge::start_with(&place, SocketAddr::new(cores[0], 5060), settings);
    let socket = UdpSocket::bind((place.address(), 5060)).expect("a free address");
    socket.set_read_timeout(Some(Duration::from_millis(1))).expect("a timeout");
    let at = socket.local_addr().expect("it is bound");
    let ue = Ue { socket, at, edge: edge.access("udp") };
    let mut heard = BTreeMap::new();
    ue.send("REGISTER", "register", &format!("Contact: <sip:user1@{at}>\r\n"));
    gatehouse_tests::eventually("the registration", || {
        ue.hear(&mut heard);
        (heard.get("register")?.first()?.0 == 200).then_some(())
    });
    for n in 0..MESSAGES {
        if n == KILLED_AT {
            first.signal(Signal::KILL);
        }
        ue.send("MESSAGE", &format!("m{n:04}"), "Content-Type: text/plain\r\n");
        std::thread::sleep(Duration::from_millis(10));
        ue.hear(&mut heard);
    }
    // Whoever was with the dead one waits its share of 64·T1, and no longer.
    let end = Instant::now() + Duration::from_secs(30);
    while heard.len() <= MESSAGES && Instant::now() < end {
        ue.hear(&mut heard);
    }
    let text = edge.metrics();
    let metric = |line: &str| -> u64 {
        let found = text.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no {line} in\n{text}"))
    };
    let answered = |server: &str| heard.values().flatten().filter(|(_, s)| s == server).count();
    let (by_first, by_second) = (answered("first"), answered("second"));
    assert_eq!(heard.len(), MESSAGES + 1, "every transaction has its answer: {by_first} {by_second}");
    for (id, answers) in &heard {
        assert_eq!(answers.len(), 1, "{id}: {answers:?}");
        assert_eq!(answers[0].0, 200, "{id}");
    }
    assert!(by_first > 20 && by_second > 150, "both had their share: {by_first}, {by_second}");
    assert!(metric("gatehouse_sip_failovers_total ") > 0);
    assert!(metric("gatehouse_next_hop_failures_total{cause=\"silent\"} ") > 0);
    let state = |core: IpAddr, state: &str| {
        metric(&format!(
            "gatehouse_next_hop_shards{{pool=\"cores\",hop=\"udp:{core}:5060\",state=\"{state}\"}} "
        ))
    };
    assert_eq!(state(cores[0], "resting"), 1, "for the shard that had the traffic");
    assert_eq!(state(cores[1], "up"), 2);
}
