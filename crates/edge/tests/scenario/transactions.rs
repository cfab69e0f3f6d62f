//! RFC 3261 §17 and §16 through the edge: retransmissions, timers, fail-over, cancellation.

use crate::messaging::message;
use crate::ue::{message_to_ue, register, registered_udp};
use crate::world::{Sent, World, config, hop, response, tcp_hop, to_core, udp};
use core::time::Duration;
use wire::{Cause, Hop, NetEvent, Realm, Transport};

const A: &str = "182.1.1.203:41200";

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_retransmitted_request_is_absorbed_and_then_answered_from_store() {
    let mut world = World::new();
    registered_udp(&mut world, "user1", A);
    let text = message("user1", A, "b1", "");
    world.datagram(A, text.as_bytes());
    let request = world.one();
    world.datagram(A, text.as_bytes());
    world.none();
    world.core(&response(&request, "200 OK", ""));
    let answer = world.one();
    world.datagram(A, text.as_bytes());
    assert_eq!(world.one().bytes, answer.bytes);
    assert_eq!(world.edge.counters().retransmissions_in[0], 2);
    // the same answer again is absorbed
    world.core(&response(&request, "200 OK", ""));
    world.none();
}

#[test]
fn one_branch_for_everything_still_makes_one_exchange_for_each_request() {
    // The specification's own examples use z9hG4bK1392970087646 throughout.
    let mut world = World::new();
    registered_udp(&mut world, "user1", A);
    let text = message("user1", A, "same", "");
    world.datagram(A, text.as_bytes());
    world.one();
    world.datagram(A, text.replace("same@", "other@").as_bytes());
    assert!(world.one().text().starts_with("MESSAGE "));
}

#[test]
fn the_request_is_sent_again_by_timer_e_and_given_up_by_timer_f() {
    let mut world = World::new();
    registered_udp(&mut world, "user1", A);
    world.pass(Duration::from_secs(64));
    world.sent();
    world.datagram(A, message("user1", A, "b1", "").as_bytes());
    let request = world.one();
    let start = world.now;
    let mut times = Vec::new();
    for _ in 0..32_000 {
        world.pass(ms(1));
        for sent in world.sent() {
            match sent.text().starts_with("MESSAGE") {
                true => {
                    assert_eq!(sent.bytes, request.bytes);
                    times.push(world.now.since(start).as_millis());
                }
                false => {
                    assert!(sent.text().starts_with("SIP/2.0 408 "), "{}", sent.text());
                    assert_eq!(world.now.since(start), Duration::from_secs(32));
                    times.push(0);
                }
            }
        }
    }
    assert_eq!(times, [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500, 0]);
    assert_eq!(world.edge.counters().rejects(Realm::Access, Cause::NextHopTimeout), 1);
    world.pass(Duration::from_secs(64));
    assert_eq!(world.edge.counters().exchanges, 0);
}

#[test]
fn a_silent_next_hop_is_left_for_the_next_one_and_avoided_afterwards() {
    let mut config = config();
    config.core.next_hops = vec![hop("182.1.1.64:5070"), hop("182.1.1.65:5070")];
    let mut world = World::with(config);
    world.datagram(A, register("user1", A, 1, "").as_bytes());
    let first = world.one();
    assert_eq!(first.hop, to_core("182.1.1.64:5070"));
    world.pass(Duration::from_secs(8));
    let second = world.sent().pop().unwrap();
    assert_eq!(second.hop, to_core("182.1.1.65:5070"));
    assert_ne!(second.header("Via"), first.header("Via"), "another hop, another branch");
    assert_eq!(second.header("Path"), first.header("Path"));
    let rest = |s: &Sent| s.text().split_once("Call-ID").unwrap().1.to_owned();
    assert_eq!(rest(&second), rest(&first));
    // a late answer of the first is nobody's
    world.core(&response(&first, "200 OK", ""));
    world.none();
    crate::ue::accept(&mut world, &second, 3600);
    assert!(world.one().text().starts_with("SIP/2.0 200 "));
    assert_eq!(world.edge.counters().failovers, 1);
    world.datagram(A, message("user1", A, "b1", "").as_bytes());
    assert_eq!(world.one().hop, to_core("182.1.1.65:5070"));
}

#[test]
fn an_unreachable_next_hop_and_a_503_are_left_at_once() {
    let mut config = config();
    config.core.next_hops = vec![tcp_hop("182.1.1.64:5070"), hop("182.1.1.65:5070"), hop("182.1.1.66:5070")];
    let mut world = World::with(config);
    registered_via_second(&mut world);
    let peer = "182.1.1.64:5070".parse().unwrap();
    world.pass(Duration::from_secs(31));
    world.sent();
    world.datagram(A, message("user1", A, "b1", "").as_bytes());
    assert_eq!(world.one().hop, Hop::Peer { realm: Realm::Core, transport: Transport::Tcp, peer });
    world.event(edge::Event::Net(NetEvent::PeerUnreachable {
        realm: Realm::Core,
        transport: Transport::Tcp,
        peer,
    }));
    let second = world.one();
    assert_eq!(second.hop, to_core("182.1.1.65:5070"));
    assert!(second.header("Via").unwrap().starts_with("SIP/2.0/UDP "));
    world.core(&response(&second, "503 Service Unavailable", ""));
    let third = world.one();
    assert_eq!(third.hop, to_core("182.1.1.66:5070"));
    world.core(&response(&third, "503 Service Unavailable", "Retry-After: 7\r\n"));
    let answer = world.one();
    assert_eq!(answer.hop, udp(A));
    assert_eq!(answer.header("Retry-After").unwrap(), "7");
}

fn registered_via_second(world: &mut World) {
    world.datagram(A, register("user1", A, 1, "").as_bytes());
    world.one();
    let peer = "182.1.1.64:5070".parse().unwrap();
    world.event(edge::Event::Net(NetEvent::PeerUnreachable {
        realm: Realm::Core,
        transport: Transport::Tcp,
        peer,
    }));
    let request = world.one();
    crate::ue::accept(world, &request, 3600);
    world.one();
}

#[test]
fn without_any_hop_that_answers_the_ue_is_told() {
    let mut config = config();
    config.core.next_hops = vec![tcp_hop("182.1.1.64:5070")];
    let mut world = World::with(config);
    world.datagram(A, register("user1", A, 1, "").as_bytes());
    world.one();
    let peer = "182.1.1.64:5070".parse().unwrap();
    world.event(edge::Event::Net(NetEvent::PeerUnreachable {
        realm: Realm::Core,
        transport: Transport::Tcp,
        peer,
    }));
    assert!(world.one().text().starts_with("SIP/2.0 503 "));
}

#[test]
fn a_ue_that_goes_away_before_it_answers_gives_430() {
    let mut world = World::new();
    let stream = world.open(Realm::Access, Transport::Tcp, A);
    world.bytes(stream, register("user2", A, 1, "").as_bytes());
    let request = world.one();
    let registered = crate::ue::accept(&mut world, &request, 3600);
    world.sent();
    world.core(message_to_ue(&registered.path, "m1", "").as_bytes());
    assert_eq!(world.one().hop, Hop::Stream(stream));
    world.close(stream);
    let answer = world.one();
    assert!(answer.text().starts_with("SIP/2.0 430 "), "{}", answer.text());
    assert_eq!(answer.hop, to_core("182.1.1.64:5070"));
}

#[test]
fn nobody_but_the_target_can_answer() {
    let mut world = World::new();
    let registered = registered_udp(&mut world, "user2", A);
    let evil = "192.0.2.66:4000";
    registered_udp(&mut world, "evil", evil);
    world.core(message_to_ue(&registered.path, "m1", "").as_bytes());
    let request = world.one();
    world.datagram(evil, &response(&request, "200 OK", ""));
    world.none();
    assert_eq!(world.edge.counters().rejects(Realm::Access, Cause::StrayResponse), 1);
    world.datagram(A, &response(&request, "200 OK", ""));
    assert!(world.one().text().starts_with("SIP/2.0 200"));
}

#[test]
fn the_table_of_exchanges_has_a_cap() {
    let mut config = config();
    config.limits.transactions_max = 2;
    let mut world = World::with(config);
    registered_udp(&mut world, "user1", A);
    world.datagram(A, message("user1", A, "b1", "").as_bytes());
    world.one();
    world.datagram(A, message("user1", A, "b2", "").as_bytes());
    let answer = world.one();
    assert!(answer.text().starts_with("SIP/2.0 503 "), "{}", answer.text());
    world.pass(Duration::from_secs(128));
    world.sent();
    world.datagram(A, message("user1", A, "b3", "").as_bytes());
    assert!(world.one().text().starts_with("MESSAGE "));
}

#[test]
fn max_forwards_is_counted_and_ends() {
    let mut world = World::new();
    registered_udp(&mut world, "user1", A);
    for (value, expected) in
        [("Max-Forwards: 1\r\n", "MESSAGE "), ("Max-Forwards: 0\r\n", "SIP/2.0 483 "), ("", "MESSAGE ")]
    {
        let text = message("user1", A, &format!("b{}", value.len() + expected.len()), "");
        world.datagram(A, text.replace("Max-Forwards: 70\r\n", value).as_bytes());
        let got = world.one();
        assert!(got.text().starts_with(expected), "{value}: {}", got.text());
        if expected == "MESSAGE " {
            let left = if value.is_empty() { "70" } else { "0" };
            assert_eq!(got.header("Max-Forwards").unwrap(), left);
        }
    }
}

#[test]
fn answers_follow_rport_and_the_via_of_the_core() {
    let mut world = World::new();
    let registered = registered_udp(&mut world, "user2", A);
    for (branch, via, port) in [
        ("m1", "182.1.1.64:6000;branch=z9hG4bKm1", 6000),
        ("m2", "182.1.1.64;branch=z9hG4bKm2", 5060),
        ("m3", "182.1.1.64:6000;rport;branch=z9hG4bKm3", 5070),
    ] {
        let text = message_to_ue(&registered.path, branch, "");
        let text = text.replace(&format!("182.1.1.64:5070;branch=z9hG4bK{branch}"), via);
        world.core(text.as_bytes());
        let request = world.one();
        world.datagram(A, &response(&request, "200 OK", ""));
        assert_eq!(world.one().hop, to_core(&format!("182.1.1.64:{port}")), "{via}");
    }
}

#[test]
fn an_answer_for_a_core_stream_that_closed_takes_a_new_one() {
    let mut world = World::new();
    let registered = registered_udp(&mut world, "user2", A);
    let stream = world.open(Realm::Core, Transport::Tcp, "182.1.1.64:40001");
    world.bytes(stream, message_to_ue(&registered.path, "m1", "").as_bytes());
    let request = world.one();
    world.close(stream);
    world.datagram(A, &response(&request, "200 OK", ""));
    let peer = "182.1.1.64:5070".parse().unwrap();
    assert_eq!(world.one().hop, Hop::Peer { realm: Realm::Core, transport: Transport::Tcp, peer });
}

#[test]
fn a_core_stream_that_closes_idle_harms_nobody() {
    let mut config = config();
    config.core.next_hops = vec![tcp_hop("182.1.1.64:5070"), hop("182.1.1.65:5070")];
    let mut world = World::with(config);
    let peer: core::net::SocketAddr = "182.1.1.64:5070".parse().unwrap();
    let stream = world.open(Realm::Core, Transport::Tcp, "182.1.1.64:5070");
    world.datagram(A, register("user1", A, 1, "").as_bytes());
    let request = world.one();
    let answer = response(&request, "403 Forbidden", "");
    world.bytes(stream, &answer);
    world.one();
    world.close(stream);
    world.datagram(A, register("user1", A, 2, "").as_bytes());
    assert_eq!(world.one().hop, Hop::Peer { realm: Realm::Core, transport: Transport::Tcp, peer });
    // but one that closes before the answer is left
    let stream = world.open(Realm::Core, Transport::Tcp, "182.1.1.64:5070");
    world.close(stream);
    assert_eq!(world.one().hop, to_core("182.1.1.65:5070"));
}
