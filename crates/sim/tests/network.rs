//! The network itself: order, loss, NAT, close, replay.
#![allow(clippy::unwrap_used)]

use core::any::Any;
use core::net::SocketAddr;
use core::time::Duration;
use sim::{Endpoint, Link, Network, Node, NodeAction, NodeEvent, NodeId, NodeOutbox, Segment, nat::Nat};
use wire::{CloseReason, Hop, Instant, NetAction, NetEvent, Realm, SocketId, Span, StreamId, Transport};

type Heard = Vec<(u64, String)>;

/// Notes all it hears; answers datagrams with themselves if `echo`.
#[derive(Default)]
struct Ear {
    echo: bool,
    heard: Heard,
    bytes: Vec<u8>,
    streams: Vec<StreamId>,
    closed: Vec<CloseReason>,
}

impl Node for Ear {
    fn handle(&mut self, event: NodeEvent<'_>, now: Instant, out: &mut NodeOutbox) {
        self.heard.push((now.as_micros(), format!("{event:?}")));
        match event {
            NodeEvent::Net(NetEvent::Datagram { socket, source, bytes }) => {
                self.bytes.extend(bytes);
                if self.echo {
                    send(out, Hop::Datagram { socket, peer: source }, bytes);
                }
            }
            NodeEvent::Net(NetEvent::StreamOpened { stream, .. }) | NodeEvent::Dialled { stream, .. } => {
                self.streams.push(stream);
            }
            NodeEvent::Net(NetEvent::StreamBytes { bytes, .. }) => self.bytes.extend(bytes),
            NodeEvent::Net(NetEvent::StreamClosed { reason, .. }) => self.closed.push(reason),
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn handle_deadline(&mut self, _: Instant, _: &mut NodeOutbox) {}

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

fn send(out: &mut NodeOutbox, hop: Hop, bytes: &[u8]) {
    let start = out.bytes.len();
    out.bytes.extend_from_slice(bytes);
    out.actions.push(NodeAction::Net(NetAction::Send { hop, bytes: Span::new(start, out.bytes.len()) }));
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ear(network: &mut Network, echo: bool, address: &str, link: Link, nat: Option<Nat>) -> NodeId {
    let endpoint = |transport, socket| Endpoint {
        segment: Segment(0),
        realm: Realm::Access,
        transport,
        address: at(address),
        socket,
    };
    let endpoints = vec![endpoint(Transport::Udp, Some(SocketId(0))), endpoint(Transport::Tcp, None)];
    network.attach(Box::new(Ear { echo, ..Ear::default() }), endpoints, link, nat)
}

const A: &str = "10.0.0.2:5060";
const B: &str = "198.51.100.1:5060";

fn hop_udp() -> Hop {
    Hop::Datagram { socket: SocketId(0), peer: at(B) }
}

fn hop_tcp() -> Hop {
    Hop::Peer { realm: Realm::Access, transport: Transport::Tcp, peer: at(B) }
}

/// 200 datagrams and 100 kB over a stream on a bad link; what both sides heard, and when.
fn run(seed: u64) -> (Heard, Heard) {
    let mut network = Network::new(seed);
    let nat = Nat::new("203.0.113.1".parse().unwrap(), 40_000);
    let a = ear(&mut network, false, A, Link::LOSSY, Some(nat));
    let b = ear(&mut network, true, B, Link::CLEAN, None);
    for i in 0..200u8 {
        network.with(a, |_: &mut Ear, _, out| send(out, hop_udp(), &[i]));
    }
    let sent: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
    network.with(a, |_: &mut Ear, _, out| send(out, hop_tcp(), &sent));
    network.run_for(Duration::from_secs(60));
    let heard_a = network.with(a, |ear: &mut Ear, _, _| ear.heard.clone());
    let heard_b = network.with(b, |ear: &mut Ear, _, _| ear.heard.clone());
    (heard_a, heard_b)
}

#[test]
fn the_same_seed_replays_exactly_and_another_does_not() {
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_lossy_link_loses_and_reorders_datagrams() {
    let (a, b) = run(3);
    let got: Vec<_> = b.iter().filter(|(_, e)| e.contains("Datagram")).collect();
    assert!((170..205).contains(&got.len()), "{}", got.len()); // 5 % of 200 lost, 1 % doubled
    assert!(a.iter().any(|(_, e)| e.contains("Datagram")), "echoes come back through the NAT");
    assert!(got.iter().all(|(_, e)| e.contains("203.0.113.1")), "the NAT hides the private address");
}

#[test]
fn a_stream_arrives_whole_in_order_and_in_pieces() {
    for seed in 0..20 {
        let mut network = Network::new(seed);
        let a = ear(&mut network, false, A, Link::LOSSY, None);
        let b = ear(&mut network, false, B, Link::LOSSY, None);
        let sent: Vec<u8> = (0..50_000u32).map(|i| (i % 251) as u8).collect();
        network.with(a, |_: &mut Ear, _, out| send(out, hop_tcp(), &sent));
        network.run_for(Duration::from_secs(60));
        let (bytes, pieces) = network.with(b, |ear: &mut Ear, _, _| (ear.bytes.clone(), ear.heard.len()));
        assert!(bytes == sent, "seed {seed}");
        assert!(pieces > 50, "seed {seed}: {pieces} pieces");
    }
}

#[test]
fn a_close_comes_after_the_bytes_before_it() {
    let mut network = Network::new(5);
    let a = ear(&mut network, false, A, Link::LOSSY, None);
    let b = ear(&mut network, false, B, Link::LOSSY, None);
    network.with(a, |_: &mut Ear, _, out| send(out, hop_tcp(), &[7; 9_000]));
    network
        .run_until(Duration::from_secs(5), |n| n.with(a, |e: &mut Ear, _, _| !e.streams.is_empty()))
        .unwrap();
    network.with(a, |ear: &mut Ear, _, out| {
        out.actions.push(NodeAction::Net(NetAction::Close { stream: ear.streams[0] }));
    });
    network.run_for(Duration::from_secs(10));
    let (count, closed) = network.with(b, |ear: &mut Ear, _, _| (ear.bytes.len(), ear.closed.clone()));
    assert_eq!((count, closed), (9_000, vec![CloseReason::PeerClosed]));
    assert_eq!(network.with(a, |ear: &mut Ear, _, _| ear.closed.clone()), vec![CloseReason::Local]);
}

#[test]
fn nobody_listens_there() {
    let mut network = Network::new(6);
    let a = ear(&mut network, false, A, Link::CLEAN, None);
    network.with(a, |_: &mut Ear, _, out| send(out, hop_tcp(), b"x"));
    network.run_for(Duration::from_secs(5));
    let heard = network.with(a, |ear: &mut Ear, _, _| ear.heard.clone());
    assert!(heard.iter().any(|(_, e)| e.contains("PeerUnreachable")), "{heard:?}");
}

#[test]
fn a_paused_reader_hears_nothing_until_it_resumes() {
    let mut network = Network::new(7);
    let a = ear(&mut network, false, A, Link::CLEAN, None);
    let b = ear(&mut network, false, B, Link::CLEAN, None);
    network.with(a, |_: &mut Ear, _, out| send(out, hop_tcp(), b"first"));
    network.run_for(Duration::from_secs(1));
    let stream = network.with(b, |ear: &mut Ear, _, out| {
        out.actions.push(NodeAction::Pause { stream: ear.streams[0] });
        ear.streams[0]
    });
    network.with(a, |_: &mut Ear, _, out| send(out, hop_tcp(), b"second"));
    network.run_for(Duration::from_secs(1));
    assert_eq!(network.with(b, |ear: &mut Ear, _, _| ear.bytes.clone()), b"first");
    network.with(b, |_: &mut Ear, _, out| out.actions.push(NodeAction::Resume { stream }));
    network.run_for(Duration::from_secs(1));
    assert_eq!(network.with(b, |ear: &mut Ear, _, _| ear.bytes.clone()), b"firstsecond");
}
