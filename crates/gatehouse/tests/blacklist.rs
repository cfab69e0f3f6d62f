//! R10 with the binary: pushed over HTTP, in force within a second, there again after kill -9.
#![allow(clippy::unwrap_used)]

mod node;

use node::Node;
use std::io::Read;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const KEPT: &str = "[blacklist]\ndirectory = \"state\"\n";

fn post(node: &Node, prefix: &str) -> String {
    node.ask("POST", "/v1/blacklist", &format!(r#"{{"entries":[{{"prefix":"{prefix}","reason":"test"}}]}}"#))
}

/// The status of the answer to a REGISTER from an address of ours; `None` without one.
fn register(node: &Node, source: &str) -> Option<String> {
    let socket = UdpSocket::bind((source, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let request = format!(
        "REGISTER sip:ims.example.net SIP/2.0\r\nVia: SIP/2.0/UDP {source}:5060;rport;branch=z9hG4bKa\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@ims.example.net>;tag=1\r\nTo: <sip:a@ims.example.net>\r\n\
         Call-ID: c\r\nCSeq: 1 REGISTER\r\nContact: <sip:a@{source}>\r\nContent-Length: 0\r\n\r\n"
    );
    socket.send_to(request.as_bytes(), node.sip("udp")).unwrap();
    let mut answer = [0; 2_000];
    let count = socket.recv(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer[..count]).split(' ').nth(1)?.to_owned())
}

fn is_closed(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0]), Ok(1..))
}

#[test]
fn a_pushed_range_is_cut_within_a_second_and_removal_restores() {
    let node = Node::start("blacklist-cut", "");
    let mut stream = node.tcp();
    let started = Instant::now();
    let answer = post(&node, "127.0.0.0/8");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"in_force\":true"), "{answer}");
    assert!(answer.contains("\"connections\":1"), "{answer}");
    assert!(is_closed(&mut stream));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(is_closed(&mut node.tcp()));
    assert_eq!(register(&node, "127.0.0.1").as_deref(), Some("403"));
    let answer = node.ask("DELETE", "/v1/blacklist", r#"{"prefixes":["127.0.0.0/8"]}"#);
    assert!(answer.contains("\"removed\":1"), "{answer}");
    assert_ne!(register(&node, "127.0.0.1").as_deref(), Some("403"));
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let node = Node::start("blacklist-kill", KEPT);
    assert!(post(&node, "127.66.0.0/16").contains("\"durable\":true"));
    let admin: SocketAddr = node.admin();
    let writer = std::thread::spawn(move || {
        let written = |n: &u32| {
            let body = format!(r#"{{"entries":[{{"prefix":"10.0.{}.{}"}}]}}"#, n / 250, n % 250);
            Node::ask_at(admin, "POST", "/v1/blacklist", &body).starts_with("HTTP/1.1 200")
        };
        (0..50_000).take_while(written).count()
    });
    std::thread::sleep(Duration::from_millis(500));
    node.signal("KILL");
    let acknowledged = writer.join().unwrap();
    assert!(acknowledged > 0);
    drop(node);
    let node = Node::start("blacklist-kill", KEPT);
    assert_eq!(register(&node, "127.66.0.7").as_deref(), Some("403"), "in force from the first moment on");
    let count = node.metric("gatehouse_blacklist_prefixes") as usize;
    // The write that was under way may have been made and not answered.
    assert!(
        (acknowledged + 1..=acknowledged + 2).contains(&count),
        "{acknowledged} acknowledged, {count} there"
    );
}
