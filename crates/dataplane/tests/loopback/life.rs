use crate::stand_in::*;
use std::io::{Read, Write};
use std::sync::Arc;
use wire::Transport;

#[test]
fn a_shard_that_panics_is_started_again_and_the_other_goes_on() {
    let mut config = settings();
    config.node.shards = 2;
    let node = Node::start(config);
    // One connection on each shard, found by the kernel's own choice.
    let mut streams: Vec<_> = (0..32).map(|_| node.tcp()).collect();
    streams.iter_mut().for_each(|stream| round(stream, b"up"));
    streams[0].write_all(b"PANIC").unwrap();
    assert_eq!(read_to_end(&mut streams[0]), b"", "its sockets close");
    node.log.wait("built shard", 3);
    let mut alive = 0;
    for stream in streams.iter_mut().skip(1) {
        alive += usize::from(stream.write_all(b"x").is_ok() && stream.read(&mut [0]).is_ok_and(|n| n == 1));
    }
    assert!(alive > 0, "the other shard's connections are unharmed");
    // The listeners were never closed, so that nobody was refused meanwhile.
    for _ in 0..16 {
        round(&mut node.tcp(), b"served again");
    }
    node.wait_metric("gatehouse_shard_restarts_total", 1);
    node.wait_metric("gatehouse_shards", 2);
}

/// R3.
#[test]
fn a_reload_changes_the_certificate_and_leaves_connections_alone() {
    let node = Node::start(settings());
    let tls = node.config.realm.access.tls.clone().unwrap();
    let old = crate::tls::client(&tls.certificate, rustls::DEFAULT_VERSIONS);
    let mut before = crate::tls::open(&old, node.sip(Transport::Tls));
    round(&mut before, b"before");
    write_certificate(tls.certificate.parent().unwrap());
    let mut config = node.config.clone();
    config.realm.access.host = "edge.example".to_owned();
    assert_eq!(node.plane().reload(Arc::new(config)).unwrap(), ["realm.access.host"]);
    node.log.wait("config", 1);
    round(&mut before, b"after");
    let new = crate::tls::client(&tls.certificate, rustls::DEFAULT_VERSIONS);
    round(&mut crate::tls::open(&new, node.sip(Transport::Tls)), b"new");
    crate::tls::open(&old, node.sip(Transport::Tls)).write_all(b"x").unwrap_err();
    node.wait_metric("gatehouse_config_reloads_total{result=\"ok\"}", 1);
}

#[test]
fn a_reload_that_cannot_be_loaded_changes_nothing() {
    let node = Node::start(settings());
    let mut config = node.config.clone();
    config.realm.access.tls.as_mut().unwrap().key = "/nowhere/key.pem".into();
    let error = node.plane().reload(Arc::new(config)).unwrap_err();
    assert_eq!(error.key(), Some("realm.access.tls.key"));
    assert_eq!(node.log.count("config"), 0);
    node.wait_metric("gatehouse_config_reloads_total{result=\"failed\"}", 1);
    round(&mut node.tcp(), b"goes on");
}

#[test]
fn drain_and_stop_are_heard_by_every_shard() {
    let mut config = settings();
    config.node.shards = 2;
    let mut node = Node::start(config);
    let mut stream = node.tcp();
    round(&mut stream, b"up");
    node.plane().drain();
    node.log.wait("drain", 2);
    node.wait_metric("gatehouse_draining", 2);
    let plane = node.plane.take().unwrap();
    plane.stop();
    plane.join();
    assert_eq!(read_to_end(&mut stream), b"");
}

#[test]
fn an_address_that_is_taken_is_named_by_its_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = settings();
    config.realm.access.sip[1].bind = taken.local_addr().unwrap();
    let telemetry = Arc::new(telemetry::Telemetry::default());
    let error = dataplane::Dataplane::start(Arc::new(config), telemetry).unwrap_err();
    assert_eq!(error.key(), Some("realm.access.sip[1].bind"));
    assert!(error.to_string().contains("cannot listen on"), "{error}");
}
