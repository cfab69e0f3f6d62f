//! Peers that break off, stall or shout: their own flows end, and nobody else notices.

use gatehouse_tests::edge::Edge;
use gatehouse_tests::mini_core::MiniCore;
use gatehouse_tests::place::Place;
use gatehouse_tests::raw_ue::RawUe;
use gatehouse_tests::script::{Answer, Script, ue_sends};
use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// The value of a series of the metrics page, once it holds.
fn eventually_is(edge: &Edge, series: &str, holds: impl Fn(f64) -> bool) {
    gatehouse_tests::eventually(series, || {
        let metrics = edge.metrics();
        let sum: f64 = metrics
            .lines()
            .filter(|line| line.starts_with(series))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        holds(sum).then_some(())
    });
}

/// What everybody else sees: a UE of its own registers, writes, and gets its answer.
fn a_bystander_is_served(edge: &Edge, core: &MiniCore) {
    let (mut ue, way) = RawUe::registered(edge, core);
    ue.send("MESSAGE", "sip:friend@ims.example.net", "hello");
    let (message, from) = core.receive();
    assert_eq!(message.method(), "MESSAGE");
    core.answer(&message, from, 202);
    assert_eq!(ue.receive().status(), 202);
    core.write_to(&way, "bystander", 10);
    assert_eq!(ue.receive().method(), "MESSAGE");
}

/// R7: a UE resets its connection while its request is at the core: the late answer harms nobody, and what the
/// core sends from there on is told that the flow is gone.
#[test]
fn a_reset_in_the_middle_of_a_transaction() {
    let place = Place::new("harm-reset");
    let core = MiniCore::open(place.address());
    let edge = Edge::start(&place, core.address());
    let (mut ue, way) = RawUe::registered(&edge, &core);
    ue.send("MESSAGE", "sip:friend@ims.example.net", "hello");
    let (message, from) = core.receive();
    ue.reset();
    eventually_is(
        &edge,
        "gatehouse_flow_connections{protocol=\"sip\",realm=\"access\",transport=\"tcp\"}",
        |n| n == 0.0,
    );
    core.answer(&message, from, 202);
    core.write_to(&way, "after-the-reset", 10);
    let (refusal, _) = core.receive();
    assert_eq!((refusal.status(), refusal.call_id()), (430, "after-the-reset"));
    a_bystander_is_served(&edge, &core);
}

/// A UE that has said all it will ever say (FIN) still gets its answer, or its connection is closed; it is not
/// kept for good.
#[test]
fn a_half_closed_connection_ends() {
    let place = Place::new("harm-half-closed");
    let core = MiniCore::open(place.address());
    let edge = Edge::start(&place, core.address());
    let (mut ue, _) = RawUe::registered(&edge, &core);
    ue.send("MESSAGE", "sip:friend@ims.example.net", "hello");
    ue.half_close();
    let (message, from) = core.receive();
    core.answer(&message, from, 202);
    while let Some(answer) = ue.try_receive() {
        assert_eq!(answer.status(), 202);
    }
    eventually_is(
        &edge,
        "gatehouse_flow_connections{protocol=\"sip\",realm=\"access\",transport=\"tcp\"}",
        |n| n == 0.0,
    );
    a_bystander_is_served(&edge, &core);
}

/// A UE that never reads: the queue towards it is bounded, then its connection goes.
#[test]
fn a_peer_that_never_reads_is_let_go() {
    const SIZE: usize = 40_000;
    let place = Place::new("harm-never-reads");
    let core = MiniCore::open(place.address());
    let edge = Edge::start(&place, core.address());
    let (ue, way) = RawUe::registered(&edge, &core);
    let mut count = 0;
    gatehouse_tests::eventually("the end of the connection that is not read", || {
        for _ in 0..20 {
            count += 1;
            core.write_to(&way, &format!("flood{count}"), SIZE);
        }
        let closed = "gatehouse_flow_connections_closed_total{reason=\"queue_full\"}";
        let metrics = edge.metrics();
        let value = metrics.lines().find_map(|l| l.strip_prefix(closed)?.trim().parse::<f64>().ok());
        value.filter(|n| *n >= 1.0)
    });
    drop(ue);
    // What is left of the flood is answered or given up; the bystander has a core of its own to listen to.
    while !core.is_silent_for(Duration::from_millis(300)) {}
    a_bystander_is_served_amid_leftovers(&edge, &core);
}

/// As [`a_bystander_is_served`], while answers to the flood may still come in.
fn a_bystander_is_served_amid_leftovers(edge: &Edge, core: &MiniCore) {
    let mut ue = RawUe::connected(edge);
    ue.send("REGISTER", "sip:ims.example.net", "");
    loop {
        let (request, from) = core.receive();
        if request.is_request() && request.method() == "REGISTER" {
            core.answer(&request, from, 403);
            break;
        }
    }
    assert_eq!(ue.receive().status(), 403);
}

/// Ten thousand datagrams of rubbish from sixteen sockets, and rubbish over TCP, while a UE of SIPp does its
/// work: every one of its messages is answered and crosses as it must.
#[test]
fn ten_thousand_datagrams_of_rubbish_beside_a_ue() {
    let mut script = Script::registered("beside");
    for n in 0..40 {
        let request =
            ue_sends("pager-01-message-cpim").replace("pager-01-message-cpim", &format!("beside{n}"));
        script = script.ue_asks(&request, &Answer::new(202, "Accepted"));
        script.ue = script.ue.pause(25);
    }
    for transport in ["udp", "tcp"] {
        let ran = script.run_beside("beside", transport, |edge| {
            rubbish_over_udp(edge);
            rubbish_over_tcp(edge);
        });
        let answered = ran.ue.iter().filter(|m| m.inbound && m.status() == Some(202)).count();
        assert!(answered >= 40, "{answered}");
        eventually_is(&ran.edge, "gatehouse_sip_rejects_total{realm=\"access\"", |n| n >= 1_000.0);
    }
}

fn rubbish_over_udp(edge: SocketAddr) {
    let mut random = wire::Random::from_u64(1);
    let sockets: Vec<UdpSocket> =
        (0..16).map(|_| UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port")).collect();
    // No REGISTER: one that is bent and still good would go to the core, as it must.
    let options = b"OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKr\r\nFrom: <sip:a@h>;tag=1\r\n\
        To: <sip:a@h>\r\nCall-ID: r\r\nCSeq: 1 OPTIONS\r\nContact: <sip:a@h>\r\nMax-Forwards: 70\r\n\r\n";
    for n in 0..10_000_usize {
        let mut bytes = vec![0; random.below(1_400) as usize];
        random.fill(&mut bytes);
        match n % 4 {
            // Cut and bent requests.
            0 => {
                bytes = options[..options.len().min(n % 250)].to_vec();
                let at = random.below(bytes.len().max(1) as u64) as usize;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (n % 8);
                }
            }
            // What looks like STUN.
            1 => bytes.splice(..0, [0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42]).for_each(drop),
            // Responses that nobody waits for.
            2 => bytes.splice(..0, *b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n").for_each(drop),
            _ => {}
        }
        let _ = sockets[n % sockets.len()].send_to(&bytes, edge);
        // As fast as two cores may read it beside everything else: what the kernel drops hits nobody.
        if n % 50 == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn rubbish_over_tcp(edge: SocketAddr) {
    let mut random = wire::Random::from_u64(2);
    for _ in 0..200 {
        let mut bytes = vec![0; 1 + random.below(5_000) as usize];
        random.fill(&mut bytes);
        if let Ok(mut stream) = TcpStream::connect(edge) {
            let _ = stream.write_all(&bytes);
        }
    }
}
