//! R10 on real sockets: the kernel lets a UE bind any address of 127.0.0.0/8.

use crate::stand_in::*;
use dataplane::{Dataplane, Gatehouse, Holdings, Protocol};
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};
use telemetry::Telemetry;
use wire::{PrefixSet, Realm, Transport};

const BARRED: Ipv4Addr = Ipv4Addr::new(127, 66, 0, 7);

fn set(prefixes: &[&str]) -> Arc<PrefixSet> {
    Arc::new(prefixes.iter().map(|text| text.parse().unwrap()).collect())
}

fn connect_from(source: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.into()
}

#[test]
fn open_connections_are_cut_within_a_second_and_new_ones_closed_at_once() {
    let mut config = settings();
    config.node.shards = 2;
    let node = Node::start(config);
    let sip = node.sip(Transport::Tcp);
    let mut registered = connect_from(BARRED, sip);
    registered.write_all(b"REGISTER").unwrap();
    std::io::Read::read_exact(&mut registered, &mut [0; 2]).unwrap();
    let mut barred: Vec<_> = (0..40).map(|_| connect_from(BARRED, sip)).collect();
    barred.push(connect_from(BARRED, node.msrp(Realm::Access, Transport::Tcp)));
    let shaking = connect_from(BARRED, node.sip(Transport::Tls));
    let mut others: Vec<_> = (0..4).map(|_| node.tcp()).collect();
    barred.iter_mut().take(40).chain(&mut others).for_each(|stream| round(stream, b"up"));
    node.log.wait("msrp opened Access", 1);
    barred.extend([registered, shaking]);
    // From the core's side the very same address is trusted.
    let mut core =
        connect_from(BARRED, node.plane().address(Protocol::Sip, Realm::Core, Transport::Tcp).unwrap());
    round(&mut core, b"up");

    let range = set(&["127.66.0.0/24"]);
    let held = Holdings { registrations: 1, calls: 0, connections: barred.len() as u64 };
    assert!(
        eventually(|| node.plane().holdings(&range) == Some(held)),
        "{:?}",
        node.plane().holdings(&range)
    );
    let started = Instant::now();
    assert!(node.plane().set_blacklist(&range));
    for stream in &mut barred {
        assert_eq!(read_to_end(stream), b"");
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    node.wait_metric("gatehouse_flow_connections_closed_total{reason=\"blacklisted\"}", barred.len() as u64);
    node.log.wait("StreamClosed", 41);
    node.log.wait("msrp closed", 1);
    for to in [sip, node.sip(Transport::Tls), node.msrp(Realm::Access, Transport::Tcp)] {
        assert_eq!(read_to_end(&mut connect_from(BARRED, to)), b"");
    }
    node.wait_metric("gatehouse_flow_connections_refused_total{cause=\"blacklisted\"}", 3);
    others.iter_mut().chain([&mut core]).for_each(|stream| round(stream, b"unharmed"));

    assert!(node.plane().set_blacklist(&set(&[])));
    round(&mut connect_from(BARRED, sip), b"back");
}

#[test]
fn a_shard_that_starts_again_bars_whom_it_barred() {
    let node = Node::start(settings());
    assert!(node.plane().set_blacklist(&set(&["127.66.0.0/24"])));
    let mut stream = node.tcp();
    stream.write_all(b"PANIC").unwrap();
    node.log.wait("built shard", 2);
    node.log.wait("blacklist", 2);
    assert_eq!(read_to_end(&mut connect_from(BARRED, node.sip(Transport::Tcp))), b"");
}

#[test]
fn a_register_by_datagram_is_answered_403_from_the_first_moment_on() {
    let telemetry = Arc::new(Telemetry::default());
    let blacklist = set(&["127.66.0.7"]);
    let plane =
        Dataplane::start_barring(Arc::new(settings()), Arc::clone(&telemetry), Gatehouse, blacklist).unwrap();
    let to = plane.address(Protocol::Sip, Realm::Access, Transport::Udp).unwrap();
    let ask = |source: Ipv4Addr, method: &str, wait: u64| {
        let socket = UdpSocket::bind((source, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(wait))).unwrap();
        let request = format!(
            "{method} sip:ims.example.net SIP/2.0\r\nVia: SIP/2.0/UDP {source}:5060;rport;branch=z9hG4bKa\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@ims.example.net>;tag=1\r\nTo: <sip:a@ims.example.net>\r\n\
             Call-ID: c\r\nCSeq: 1 {method}\r\nContact: <sip:a@{source}>\r\nContent-Length: 0\r\n\r\n"
        );
        socket.send_to(request.as_bytes(), to).unwrap();
        let mut answer = [0; 2_000];
        let count = socket.recv(&mut answer).unwrap_or(0);
        String::from_utf8_lossy(&answer[..count]).into_owned()
    };
    let refusal = ask(BARRED, "REGISTER", 10_000);
    assert!(refusal.starts_with("SIP/2.0 403 ") && refusal.contains("barred"), "{refusal}");
    assert_eq!(ask(BARRED, "OPTIONS", 200), "");
    let series = "gatehouse_sip_rejects_total{realm=\"access\",cause=\"blacklisted\"} 2";
    assert!(eventually(|| telemetry.render().lines().any(|line| line == series)));
    assert!(plane.set_blacklist(&set(&[])));
    let answer = ask(BARRED, "OPTIONS", 10_000);
    assert!(answer.contains("not registered"), "served like anybody else: {answer}");
    plane.stop();
    plane.join();
}
