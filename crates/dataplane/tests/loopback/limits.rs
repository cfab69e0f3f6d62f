use crate::stand_in::*;
use std::io::Write;
use std::time::{Duration, Instant};
use wire::Transport;

#[test]
fn connections_beyond_the_cap_are_closed_and_counted() {
    let mut config = settings();
    config.limits.connections_max = 16;
    config.limits.connections_per_source_max = 16;
    let node = Node::start(config);
    let mut held: Vec<_> = (0..16).map(|_| node.tcp()).collect();
    node.log.wait("StreamOpened", 16);
    let mut one_more = node.tcp();
    assert_eq!(read_to_end(&mut one_more), b"");
    node.wait_metric("gatehouse_flow_connections_refused_total{cause=\"connections_max\"}", 1);
    held.iter_mut().for_each(|stream| round(stream, b"unharmed"));
    // A place that is given back can be taken again.
    held.pop();
    node.log.wait("StreamClosed", 1);
    round(&mut node.tcp(), b"in");
}

#[test]
fn one_source_cannot_take_all_places_unless_it_registers() {
    let mut config = settings();
    config.limits.connections_per_source_max = 3;
    let node = Node::start(config);
    let mut held: Vec<_> = (0..3).map(|_| node.tcp()).collect();
    node.log.wait("StreamOpened", 3);
    assert_eq!(read_to_end(&mut node.tcp()), b"");
    node.wait_metric("gatehouse_flow_connections_refused_total{cause=\"source_max\"}", 1);
    for stream in &mut held {
        stream.write_all(b"REGISTER").unwrap();
        std::io::Read::read_exact(stream, &mut [0; 2]).unwrap();
    }
    // Registered, they count no more against the NAT they share.
    let mut more: Vec<_> = (0..3).map(|_| node.tcp()).collect();
    more.iter_mut().for_each(|stream| round(stream, b"in"));
}

#[test]
fn who_does_not_register_is_closed_and_who_does_stays() {
    let mut config = settings();
    config.timers.unregistered_idle_seconds = 2;
    let node = Node::start(config);
    let (mut idler, mut registered) = (node.tcp(), node.tcp());
    registered.write_all(b"REGISTER").unwrap();
    let started = Instant::now();
    assert_eq!(read_to_end(&mut idler), b"");
    assert!(started.elapsed() > Duration::from_millis(1_900), "{:?}", started.elapsed());
    std::thread::sleep(Duration::from_millis(3_000));
    registered.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut ok = [0; 2];
    std::io::Read::read_exact(&mut registered, &mut ok).unwrap();
    round(&mut registered, b"still here");
    node.wait_metric("gatehouse_flow_connections_closed_total{reason=\"unregistered\"}", 1);
}

/// R4.
#[test]
fn silence_closes_a_link_and_traffic_or_a_promise_keeps_it() {
    let mut config = settings();
    // Far longer than the pauses below, so that a busy machine does not fail the test.
    config.timers.tls_idle_seconds = 3;
    config.timers.tcp_idle_seconds = 3;
    let node = Node::start(config);
    let certificate = node.config.realm.access.tls.as_ref().unwrap().certificate.clone();
    let tls = crate::tls::client(&certificate, rustls::DEFAULT_VERSIONS);
    let mut silent = crate::tls::open(&tls, node.sip(Transport::Tls));
    let mut busy = crate::tls::open(&tls, node.sip(Transport::Tls));
    let mut held = node.tcp();
    held.write_all(b"HOLD 60").unwrap();
    round(&mut silent, b"one message");
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        round(&mut busy, b"\r\n\r\n");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(read_to_end(&mut silent), b"");
    node.wait_metric("gatehouse_flow_connections_closed_total{reason=\"idle\"}", 1);
    round(&mut busy, b"alive");
    round(&mut held, b"alive");
}

#[test]
fn too_many_handshakes_at_once_are_refused() {
    let mut config = settings();
    config.limits.handshakes_max = 5;
    let node = Node::start(config);
    let held: Vec<_> = (0..5).map(|_| connect(node.sip(Transport::Tls))).collect();
    node.wait_metric("gatehouse_tls_handshakes_open", 5);
    assert_eq!(read_to_end(&mut connect(node.sip(Transport::Tls))), b"");
    node.wait_metric("gatehouse_flow_connections_refused_total{cause=\"handshakes_max\"}", 1);
    drop(held);
    node.wait_metric("gatehouse_tls_handshakes_open", 0);
}
