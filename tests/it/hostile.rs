//! Bad input over sockets: answered or cut off, counted, and nobody else is harmed.

use gatehouse_tests::edge::Edge;
use gatehouse_tests::place::Place;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};

mod expected {
    #![allow(dead_code, unreachable_pub)]
    include!("../torture/expected.rs");
}

/// A connection that does nothing wrong: whatever others send, its keep-alives are answered.
struct Bystander {
    stream: TcpStream,
}

impl Bystander {
    fn new(at: SocketAddr) -> Self {
        let stream = TcpStream::connect(at).expect("the edge accepts");
        stream.set_read_timeout(Some(gatehouse_tests::PATIENCE)).expect("a timeout");
        Self { stream }
    }

    /// RFC 5626 §3.5.1: CRLF CRLF is answered by CRLF.
    fn is_served(&mut self, after: &str) {
        self.stream.write_all(b"\r\n\r\n").unwrap_or_else(|e| panic!("after {after}: {e}"));
        let mut pong = [0; 2];
        self.stream.read_exact(&mut pong).unwrap_or_else(|e| panic!("after {after}: {e}"));
        assert_eq!(&pong, b"\r\n", "after {after}");
    }
}

/// What a peer gets for its bytes until it is told no more.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Status(u16),
    Closed,
    Silence,
}

fn status_of(bytes: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(bytes.get(..11)?).into_owned();
    text.strip_prefix("SIP/2.0 ")?.parse().ok()
}

/// Sends over a fresh TCP connection and closes its own half.
fn over_tcp(at: SocketAddr, bytes: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(at).expect("the edge accepts");
    stream.set_read_timeout(Some(gatehouse_tests::PATIENCE)).expect("a timeout");
    // The edge may cut the connection while we still write.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut got = Vec::new();
    match stream.read_to_end(&mut got) {
        Err(e) if e.kind() == ErrorKind::WouldBlock => panic!("the edge keeps a half-closed connection"),
        _ => status_of(&got).map_or(Reply::Closed, Reply::Status),
    }
}

/// A request of a stranger that is always answered: with its answer in hand, all that was sent before
/// it from the same socket is dealt with, however slow the machine.
const LAST: &[u8] = b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKlast\r\nFrom: <sip:a@h>;tag=1\r\n\
    To: <sip:a@h>\r\nCall-ID: the-last-one\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n";

fn over_udp(at: SocketAddr, from: SocketAddr, bytes: &[u8]) -> Reply {
    let socket = UdpSocket::bind(from).expect("a socket on our own address");
    socket.set_read_timeout(Some(gatehouse_tests::PATIENCE)).expect("a timeout");
    socket.send_to(bytes, at).expect("loopback takes it");
    socket.send_to(LAST, at).expect("loopback takes it");
    let mut buffer = [0; 65_536];
    let mut reply = Reply::Silence;
    loop {
        let length = socket.recv(&mut buffer).expect("the last request is answered");
        let answer = &buffer[..length];
        if answer.windows(12).any(|bytes| bytes == b"the-last-one") {
            return reply;
        }
        assert_eq!(reply, Reply::Silence, "one answer at most");
        reply = Reply::Status(status_of(answer).expect("an answer is a response"));
    }
}

fn torture() -> Vec<(&'static str, Vec<u8>)> {
    let file = |case: &expected::Case| format!("{}/torture/{}.sip", env!("CARGO_MANIFEST_DIR"), case.file);
    expected::CASES
        .iter()
        .map(|case| (case.file, std::fs::read(file(case)).expect("a file for each case")))
        .collect()
}

/// A core that nobody needs to reach: strangers are stopped before it.
fn nowhere(place: &Place) -> SocketAddr {
    SocketAddr::new(place.address(), 5060)
}

/// Requests of strangers are refused (R9) but for REGISTER, responses and rubbish get no answer.
#[test]
fn torture_messages_of_strangers_are_refused_and_harm_nobody() {
    let place = Place::new("hostile-torture");
    let core = UdpSocket::bind(nowhere(&place)).expect("our own address");
    let edge = Edge::start(&place, core.local_addr().expect("bound"));
    let mut bystander = Bystander::new(edge.access("tcp"));
    for (name, bytes) in torture() {
        let from = SocketAddr::new(place.address(), 5060);
        let reply = over_udp(edge.access("udp"), from, &bytes);
        let is_request = !bytes.starts_with(b"SIP/2.0");
        let is_register = bytes.starts_with(b"REGISTER");
        match reply {
            Reply::Status(status) => {
                assert!(is_request, "{name}: a response was answered with {status}");
                assert!((400..600).contains(&status), "{name}: {status}");
            }
            _ => assert!(!is_request || is_register, "{name}: {reply:?}"),
        }
        bystander.is_served(name);
        let reply = over_tcp(edge.access("tcp"), &bytes);
        assert!(reply != Reply::Silence, "{name}");
        bystander.is_served(name);
    }
}

/// Bytes that no framer can follow close the connection that they came on, and are counted.
#[test]
fn rubbish_closes_its_own_connection_only() {
    let place = Place::new("hostile-rubbish");
    let edge = Edge::start(&place, nowhere(&place));
    let mut bystander = Bystander::new(edge.access("tcp"));
    let head = "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
                To: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n";
    let bomb = format!("{head}{}Content-Length: 0\r\n\r\n", "X: y\r\n".repeat(500));
    let long = format!("{head}X: {}\r\nContent-Length: 0\r\n\r\n", "y".repeat(100_000));
    let huge = format!("{head}Content-Length: 4000000000\r\n\r\n");
    let negative = format!("{head}Content-Length: -1\r\n\r\n");
    let without = format!("{head}\r\n");
    let binary: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let http = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec();
    let nested = nested_multipart(head, 300);
    for (name, bytes) in [
        ("a header bomb", bomb.into_bytes()),
        ("a long header", long.into_bytes()),
        ("a huge Content-Length", huge.into_bytes()),
        ("a negative Content-Length", negative.into_bytes()),
        ("no Content-Length", without.into_bytes()),
        ("binary", binary),
        ("HTTP", http),
        ("nested multipart", nested.into_bytes()),
        ("a head that never ends", b"OPTIONS sip:x SIP/2.0\r\nX: ".to_vec()),
        ("NULs", vec![0; 5000]),
        ("line feeds", vec![b'\n'; 5000]),
    ] {
        for transport in ["tcp", "tls"] {
            // Into the TLS port it is no TLS: a handshake that fails.
            let reply = over_tcp(edge.access(transport), &bytes);
            let refused = matches!(reply, Reply::Closed | Reply::Status(400..=599));
            assert!(refused, "{name} over {transport}: {reply:?}");
            bystander.is_served(name);
        }
        let datagram = &bytes[..bytes.len().min(60_000)];
        let from = SocketAddr::new(place.address(), 5060);
        let reply = over_udp(edge.access("udp"), from, datagram);
        assert!(matches!(reply, Reply::Silence | Reply::Status(400..=599)), "{name} over udp: {reply:?}");
        bystander.is_served(name);
    }
    for cause in ["too_many_headers", "head_too_long", "body_too_long", "bad_content_length", "not_sip"] {
        let line = format!("gatehouse_sip_rejects_total{{realm=\"access\",cause=\"{cause}\"}} ");
        // Shards hand their counts over from time to time.
        gatehouse_tests::eventually(&format!("{cause} in the metrics"), || {
            let metrics = edge.metrics();
            let value = metrics.lines().find_map(|l| l.strip_prefix(&line)?.parse::<f64>().ok());
            value.filter(|value| *value >= 1.0)
        });
    }
}

fn nested_multipart(head: &str, depth: usize) -> String {
    let open = |n: usize| format!("--b{n}\r\nContent-Type: multipart/mixed;boundary=b{}\r\n\r\n", n + 1);
    let body: String = (0..depth).map(open).collect();
    let length = body.len();
    format!("{head}Content-Type: multipart/mixed;boundary=b0\r\nContent-Length: {length}\r\n\r\n{body}")
}
