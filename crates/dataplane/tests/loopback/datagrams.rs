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

/// A UE's NAT knows the address it sent to, and no other (RFC 3581 §4).
#[test]
fn a_wildcard_socket_answers_from_the_address_a_datagram_came_to() {
    let mut config = settings();
    config.realm.access.sip.retain(|l| l.transport == Transport::Udp);
    for (listener, any) in config.realm.access.sip.iter_mut().zip(["0.0.0.0:0", "[::]:0"]) {
        listener.bind = any.parse().unwrap();
    }
    let node = Node::start(config);
    let port = node.sip(Transport::Udp).port();
    for (ours, own) in [("127.77.0.5", "127.0.0.1:0"), ("127.77.0.6", "127.77.0.9:0")] {
        let socket = UdpSocket::bind(own).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // A connected socket hears from this very address only.
        socket.connect((ours, port)).unwrap();
        for size in [0, 900, 65_000] {
            socket.send(&vec![7; size]).unwrap();
            let mut back = vec![0; 65_536];
            assert_eq!(socket.recv(&mut back).unwrap(), size);
        }
    }
    let socket = UdpSocket::bind("[::1]:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let address = node.sip_v6(Transport::Udp);
    socket.connect(("::1", address.port())).unwrap();
    socket.send(b"x").unwrap();
    assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 1);
}
