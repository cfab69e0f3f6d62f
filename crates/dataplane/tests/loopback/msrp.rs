use crate::stand_in::*;
use std::io::{Read, Write};
use std::time::Duration;
use wire::{Realm, Transport};

#[test]
fn a_fast_sender_waits_for_a_slow_reader_and_nothing_is_lost() {
    let node = Node::start(settings());
    let mut reader = connect(node.msrp(Realm::Core, Transport::Tcp));
    node.log.wait("msrp opened Core", 1);
    let mut sender = connect(node.msrp(Realm::Access, Transport::Tcp));
    node.log.wait("msrp opened Access", 1);
    let total: usize = 40 << 20;
    let writing = std::thread::spawn(move || {
        let mut n = 0u32;
        let mut left = total;
        while left > 0 {
            let piece: Vec<u8> = (0..16_384)
                .map(|_| {
                    n = n.wrapping_add(1);
                    (n >> 8) as u8
                })
                .collect();
            sender.write_all(&piece[..left.min(16_384)]).unwrap();
            left -= left.min(16_384);
        }
        sender
    });
    node.log.wait("msrp paused", 1);
    std::thread::sleep(Duration::from_millis(300));
    let queued = node.metric("gatehouse_flow_queued_bytes") as usize;
    assert!(queued < 2 << 20, "{queued} bytes wait in our memory");
    let (mut n, mut got) = (0u32, 0);
    let mut part = vec![0; 100_000];
    while got < total {
        let count = reader.read(&mut part).unwrap();
        assert!(count > 0);
        for byte in &part[..count] {
            n = n.wrapping_add(1);
            assert_eq!(*byte, (n >> 8) as u8, "at {got}");
        }
        got += count;
    }
    node.log.wait("msrp resumed", 1);
    drop(writing.join().unwrap());
    node.log.wait("msrp closed", 1);
    node.wait_metric("gatehouse_flow_queued_bytes", 0);
    node.wait_metric("gatehouse_flow_paused_connections", 0);
}

#[test]
fn tls_on_one_side_and_tcp_on_the_other() {
    let node = Node::start(settings());
    let certificate = node.config.realm.access.tls.as_ref().unwrap().certificate.clone();
    let config = crate::tls::client(&certificate, rustls::DEFAULT_VERSIONS);
    let mut core = connect(node.msrp(Realm::Core, Transport::Tcp));
    node.log.wait("msrp opened Core", 1);
    let mut ue = crate::tls::open(&config, node.msrp(Realm::Access, Transport::Tls));
    let chunk: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
    ue.write_all(b"").unwrap();
    let sent = chunk.clone();
    let writing = std::thread::spawn(move || {
        ue.write_all(&sent).unwrap();
        ue.flush().unwrap();
        ue
    });
    let mut got = vec![0; chunk.len()];
    core.read_exact(&mut got).unwrap();
    assert!(got == chunk);
    let mut ue = writing.join().unwrap();
    core.write_all(&chunk[..100_000]).unwrap();
    let mut back = vec![0; 100_000];
    ue.read_exact(&mut back).unwrap();
    assert!(back == chunk[..100_000]);
}

#[test]
fn a_peer_that_closed_one_way_still_gets_the_last_word() {
    let node = Node::start(settings());
    let mut peer = connect(node.msrp(Realm::Core, Transport::Tcp));
    node.log.wait("msrp opened Core", 1);
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    let mut word = Vec::new();
    peer.read_to_end(&mut word).unwrap();
    assert_eq!(word, b"bye");
    node.log.wait("msrp half closed", 1);
    node.log.wait("msrp closed", 1);
    // One that went altogether is not waited for.
    let peer = connect(node.msrp(Realm::Core, Transport::Tcp));
    node.log.wait("msrp opened Core", 2);
    drop(peer);
    node.log.wait("msrp closed", 2);
    node.wait_metric("gatehouse_flow_queued_bytes", 0);
}
