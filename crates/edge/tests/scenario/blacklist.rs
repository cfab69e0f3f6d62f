//! R10: who is barred can neither register nor use anything, and loses what it has.

use crate::ue::{accept, message_to_ue, register, registered_udp};
use crate::world::{World, addr, response, udp};
use core::time::Duration;
use edge::{Event, Holdings, Record};
use std::sync::Arc;
use wire::{Cause, NetEvent, PrefixSet, Realm, Transport};

const BARRED: &str = "50.51.120.82:16891";
const NEIGHBOUR: &str = "50.51.121.82:16891";

fn set(prefixes: &[&str]) -> PrefixSet {
    prefixes.iter().map(|text| text.parse().unwrap()).collect()
}

fn bar(world: &mut World, prefixes: &[&str]) {
    world.event(Event::Blacklist(Arc::new(set(prefixes))));
    world.pass(Duration::from_millis(10));
}

fn rejected(world: &World) -> u64 {
    world.edge.counters().rejects[Realm::Access as usize][Cause::Blacklisted as usize]
}

#[test]
fn a_barred_source_is_answered_403_to_register_and_nothing_else() {
    let mut world = World::new();
    bar(&mut world, &["50.51.120.0/24"]);
    world.datagram(BARRED, register("a", BARRED, 1, "").as_bytes());
    let refusal = world.one();
    assert_eq!(refusal.hop, udp(BARRED));
    assert!(refusal.text().starts_with("SIP/2.0 403 Forbidden\r\n"), "{}", refusal.text());
    assert!(refusal.header("Warning").unwrap().contains(Cause::Blacklisted.text()));
    let options = register("a", BARRED, 2, "").replace("REGISTER", "OPTIONS");
    for bytes in
        [options.as_bytes(), b"\r\n\r\n", b"\x00\x01\x00\x00\x21\x12\xa4\x42aaaaaaaaaaaa", b"rubbish"]
    {
        world.datagram(BARRED, bytes);
        world.none();
    }
    assert_eq!(rejected(&world), 5);
    registered_udp(&mut world, "b", NEIGHBOUR);
    bar(&mut world, &[]);
    registered_udp(&mut world, "a", BARRED);
}

#[test]
fn a_stream_of_a_barred_source_gets_403_until_the_shell_closes_it() {
    let mut world = World::new();
    let stream = world.open(Realm::Access, Transport::Tcp, BARRED);
    bar(&mut world, &["50.51.120.82"]);
    world.bytes(stream, register("a", BARRED, 1, "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 403 "));
}

#[test]
fn what_a_barred_source_has_ends_and_its_neighbours_stay() {
    let mut world = World::new();
    let barred = registered_udp(&mut world, "a", BARRED);
    let neighbour = registered_udp(&mut world, "b", NEIGHBOUR);
    assert_eq!(world.edge.holdings(&set(&["50.51.120.0/23"])), Holdings { registrations: 2, calls: 0 });
    assert_eq!(world.edge.holdings(&set(&["50.51.120.0/24"])), Holdings { registrations: 1, calls: 0 });
    world.records.clear();
    bar(&mut world, &["50.51.120.0/24"]);
    assert_eq!(world.edge.counters().registrations, 1);
    assert!(
        matches!(&world.records[..], [Record::Registration { ended: Some(Cause::Blacklisted), source, .. }]
            if *source == addr(BARRED)),
        "{:?}",
        world.records
    );
    world.core(message_to_ue(&barred.path, "m1", "").as_bytes());
    let answer = world.one();
    assert!(answer.text().starts_with("SIP/2.0 4"), "nothing reaches it: {}", answer.text());
    world.core(message_to_ue(&neighbour.path, "m2", "").as_bytes());
    assert_eq!(world.one().hop, udp(NEIGHBOUR));
}

#[test]
fn a_register_under_way_ends_in_403_and_not_in_a_binding() {
    let mut world = World::new();
    world.datagram(BARRED, register("a", BARRED, 1, "").as_bytes());
    let request = world.one();
    bar(&mut world, &["50.51.120.82"]);
    accept(&mut world, &request, 3600);
    assert!(world.one().text().starts_with("SIP/2.0 403 "));
    assert_eq!(world.edge.counters().registrations, 0);
    assert_eq!(world.edge.holdings(&set(&["0.0.0.0/0"])), Holdings::default());
}

#[test]
fn answers_of_a_barred_ue_go_nowhere() {
    let mut world = World::new();
    let registered = registered_udp(&mut world, "a", BARRED);
    world.core(message_to_ue(&registered.path, "m1", "").as_bytes());
    let request = world.one();
    bar(&mut world, &["50.51.120.82"]);
    world.sent();
    world.datagram(BARRED, &response(&request, "200 OK", ""));
    world.none();
}

#[test]
fn thousands_are_cut_well_within_a_second_and_never_in_one_turn() {
    let mut world = World::new();
    let ues: Vec<String> = (0..3_000).map(|n| format!("50.51.{}.{}:5060", n / 250, n % 250)).collect();
    for (n, source) in ues.iter().enumerate() {
        registered_udp(&mut world, &format!("u{n}"), source);
    }
    world.event(Event::Blacklist(Arc::new(set(&["50.51.0.0/21"]))));
    let (turns, started) = (&mut 0, world.now);
    while world.edge.next_deadline().is_some_and(|(at, _)| at <= started + Duration::from_millis(100)) {
        let before = world.edge.counters().registrations_ended;
        world.pass(Duration::from_micros(1));
        assert!(world.edge.counters().registrations_ended - before <= 128);
        *turns += 1;
    }
    assert!(*turns >= 15, "{turns}");
    assert_eq!(world.edge.counters().registrations, 1_000);
}

#[test]
fn the_core_is_never_barred() {
    let mut world = World::new();
    let registered = registered_udp(&mut world, "a", BARRED);
    bar(&mut world, &["182.0.0.0/8"]);
    world.core(message_to_ue(&registered.path, "m1", "").as_bytes());
    assert_eq!(world.one().hop, udp(BARRED));
    let keepalive =
        NetEvent::Datagram { socket: crate::world::ACCESS_UDP, source: addr(BARRED), bytes: b"\r\n\r\n" };
    world.event(Event::Net(keepalive));
}
