use crate::stand_in::*;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;
use wire::Transport;

#[test]
fn bytes_come_back_over_both_families_whatever_their_number() {
    let node = Node::start(settings());
    for address in [node.sip(Transport::Tcp), node.sip_v6(Transport::Tcp)] {
        let mut stream = connect(address);
        for size in [1, 999, 1_001, 65_536, 65_537, 300_000] {
            round(&mut stream, &vec![size as u8; size]);
        }
    }
    let text = node.telemetry.render();
    assert!(text.contains("gatehouse_flow_connections_opened_total"), "{text}");
    node.log.wait("StreamOpened", 2);
    node.log.wait("PeerClosed", 2);
    node.wait_metric("gatehouse_flow_connections{protocol=\"sip\",realm=\"access\",transport=\"tcp\"}", 0);
}

#[test]
fn a_peer_that_closes_its_half_gets_the_rest() {
    let node = Node::start(settings());
    let mut stream = node.tcp();
    stream.write_all(b"FLOOD 10").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut stream).len(), 10 * 65_536);
    node.log.wait("PeerClosed", 1);
}

#[test]
fn last_words_arrive_before_the_close_even_if_more_was_on_its_way_in() {
    let node = Node::start(settings());
    for count in 1..=20 {
        let mut stream = node.tcp();
        stream.write_all(b"CLOSE").unwrap();
        node.log.wait("Local", count);
        // Unread input would turn the close into a reset that destroys the answer.
        let _ = stream.write_all(&[b'x'; 100_000]);
        assert_eq!(read_to_end(&mut stream), b"bye");
    }
}

#[test]
fn a_peer_that_does_not_read_is_cut_off_and_others_are_unharmed() {
    let node = Node::start(settings());
    let mut deaf = node.tcp();
    let mut other = node.tcp();
    let kernel = 64; // 64 KiB pieces that loopback buffers take, and more
    deaf.write_all(format!("FLOOD {}", kernel + 64).as_bytes()).unwrap();
    node.log.wait("QueueFull", 1);
    round(&mut other, b"still here");
    node.wait_metric("gatehouse_flow_connections_closed_total{reason=\"queue_full\"}", 1);
    node.wait_metric("gatehouse_flow_queued_bytes", 0);
}

#[test]
fn a_slow_reader_gets_everything_in_order() {
    let node = Node::start(settings());
    let mut stream = node.tcp();
    stream.write_all(b"FLOOD 14").unwrap();
    let mut total = 0;
    let mut part = [0; 30_000];
    while total < 14 * 65_536 {
        std::thread::sleep(Duration::from_millis(1));
        total += stream.read(&mut part).unwrap();
    }
    round(&mut stream, b"and on");
}

#[test]
fn mail_reaches_the_other_shard() {
    let mut config = settings();
    config.node.shards = 2;
    let node = Node::start(config);
    let mut stream = node.tcp();
    stream.write_all(b"HANDOVER 0").unwrap();
    node.log.wait("handover to shard 0", 1);
    stream.write_all(b"HANDOVER 1").unwrap();
    node.log.wait("handover to shard 1", 1);
    stream.write_all(b"HANDOVER 7").unwrap();
    node.wait_metric("gatehouse_shard_mailbox_dropped_total", 1);
}
