use crate::stand_in::*;
use std::net::UdpSocket;
use std::time::Duration;
use wire::Transport;

#[test]
fn datagrams_come_back_from_the_socket_they_went_to() {
    let node = Node::start(settings());
    for (address, own) in
        [(node.sip(Transport::Udp), "127.0.0.1:0"), (node.sip_v6(Transport::Udp), "[::1]:0")]
    {
        let socket = UdpSocket::bind(own).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        for size in [0, 1, 1_300, 9_000, 65_000] {
            socket.send_to(&vec![7; size], address).unwrap();
            let mut back = vec![0; 65_536];
            let (count, from) = socket.recv_from(&mut back).unwrap();
            assert_eq!((count, from), (size, address));
        }
    }
}

#[test]
fn a_burst_is_taken_at_once_and_a_vanished_peer_does_no_harm() {
    let node = Node::start(settings());
    let address = node.sip(Transport::Udp);
    for _ in 0..20 {
        // Gone before the answer: the kernel may report that on the node's socket.
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", address).unwrap();
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for n in 0..200u8 {
        socket.send_to(&[n], address).unwrap();
    }
    let mut back = [0];
    for n in 0..200u8 {
        socket.recv_from(&mut back).unwrap();
        assert_eq!(back[0], n);
    }
    node.wait_metric("gatehouse_flow_datagrams_total{direction=\"in\",realm=\"access\"}", 220);
}
