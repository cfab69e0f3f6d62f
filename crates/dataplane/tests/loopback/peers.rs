use crate::stand_in::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use wire::Transport;

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn expect(stream: &mut impl Read, text: &str) {
    let mut got = vec![0; text.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(String::from_utf8_lossy(&got), text);
}

/// Tells the machine to do something and waits until it did.
fn order(ue: &mut TcpStream, words: &str) {
    ue.write_all(words.as_bytes()).unwrap();
    expect(ue, "ok");
}

#[test]
fn one_connection_to_a_peer_is_opened_and_used_again() {
    let node = Node::start(settings());
    let core = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = core.local_addr().unwrap();
    let mut ue = node.tcp();
    for _ in 0..3 {
        // Before it is up, and after.
        order(&mut ue, &format!("PEER tcp {peer} one"));
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut stream = accept(&core);
    expect(&mut stream, "oneoneone");
    assert!(stream.peer_addr().unwrap().ip().is_loopback());
    // What the core sends back on it reaches the machine.
    stream.write_all(b"echo me").unwrap();
    expect(&mut stream, "echo me");
    node.wait_metric("gatehouse_flow_connections{protocol=\"sip\",realm=\"core\",transport=\"tcp\"}", 1);
    // The peer goes and comes back: the next message opens a new connection.
    drop(stream);
    node.log.wait("PeerClosed", 1);
    order(&mut ue, &format!("PEER tcp {peer} again"));
    expect(&mut accept(&core), "again");
}

#[test]
fn a_peer_that_is_not_there_is_reported() {
    let node = Node::start(settings());
    let peer = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut ue = node.tcp();
    order(&mut ue, &format!("PEER tcp {peer} hello"));
    node.log.wait("PeerUnreachable", 1);
    node.wait_metric("gatehouse_flow_dials_failed_total{realm=\"core\"}", 1);
    round(&mut ue, b"and nothing else happens");
}

#[test]
fn tls_to_a_peer_works_and_a_stranger_is_not_believed() {
    // The core side of one node calls the access side of another.
    let stranger = Node::start(settings());
    let mut config = settings();
    let known = Node::start(settings());
    config.realm.core.tls.as_mut().unwrap().ca =
        known.config.realm.access.tls.clone().map(|tls| tls.certificate);
    let node = Node::start(config);
    let mut ue = node.tcp();
    order(&mut ue, &format!("PEER tls {} REGISTER", known.sip(Transport::Tls)));
    known.log.wait("StreamOpened", 1);
    node.log.wait("realm: Core, transport: Tls", 1);
    order(&mut ue, &format!("PEER tls {} REGISTER", stranger.sip(Transport::Tls)));
    node.log.wait("PeerUnreachable", 1);
    assert_eq!(stranger.log.count("StreamOpened"), 0);
}

#[test]
fn a_peer_that_never_answers_is_given_up() {
    let mut config = settings();
    config.timers.handshake_seconds = 1;
    let node = Node::start(config);
    // Accepts and stays silent: the TLS handshake never ends.
    let core = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = core.local_addr().unwrap();
    order(&mut node.tcp(), &format!("PEER tls {peer} hello"));
    node.log.wait("PeerUnreachable", 1);
}

#[test]
fn several_connections_to_a_busy_peer_when_allowed() {
    let mut config = settings();
    config.limits.core_connections_per_peer = 2;
    let node = Node::start(config);
    let core = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = core.local_addr().unwrap();
    let mut ue = node.tcp();
    // TLS to a peer that never answers: the first message waits, so the second wants another way.
    for _ in 0..3 {
        order(&mut ue, &format!("PEER tls {peer} word"));
    }
    let (_one, _two) = (accept(&core), accept(&core));
    core.set_nonblocking(true).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    core.accept().unwrap_err();
}
