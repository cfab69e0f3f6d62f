//! Next hops through the whole edge: who gets a request when one of them dies, refuses, redirects, or
//! is a name (RFC 3263 §4.3, RFC 3261 §16.7, §18.1.1, §21.3, §21.5.4, RFC 5923).

use crate::messaging::message;
use crate::ue::{accept, message_to_ue, register, registered_udp};
use crate::world::{CORE, Sent, World, addr, config, header, hop, response, tcp_hop, to_core, udp};
use config::{Config, Pool, PoolMember, Redirects};
use core::time::Duration;
use edge::hops::health::State;
use edge::{Action, Event};
use std::sync::Arc;
use wire::{Cause, Directory, Hop, Located, NetEvent, Realm, Transport};

const A: &str = "182.1.1.203:41200";
const SECOND: &str = "182.1.1.65:5070";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn two() -> Config {
    let mut config = config();
    config.core.next_hops = vec![hop(CORE), hop(SECOND)];
    config
}

fn tcp(peer: &str) -> Hop {
    Hop::Peer { realm: Realm::Core, transport: Transport::Tcp, peer: addr(peer) }
}

fn unreachable(world: &mut World, peer: &str) {
    let (realm, transport, peer) = (Realm::Core, Transport::Tcp, addr(peer));
    world.event(Event::Net(NetEvent::PeerUnreachable { realm, transport, peer }));
}

#[track_caller]
fn assert_status(answer: &Sent, status: u16) {
    assert!(answer.text().starts_with(&format!("SIP/2.0 {status} ")), "{}", answer.text());
}

fn warning(answer: &Sent) -> String {
    answer.header("Warning").unwrap()
}

#[test]
fn a_member_that_dies_in_the_middle_of_a_call_attempt_is_left_within_the_callers_time() {
    let mut config = two();
    config.core.next_hops.push(hop("182.1.1.66:5070"));
    let mut world = World::with(config);
    registered_udp(&mut world, "user1", A);
    world.pass(seconds(1));
    let start = world.now;
    world.datagram(A, crate::invites::invite("INVITE", "inv1", "").as_bytes());
    let first = world.sent().remove(0);
    assert_eq!(first.hop, to_core(CORE));
    let mut hops = Vec::new();
    while world.now.since(start) < seconds(33) {
        world.pass(Duration::from_millis(100));
        for sent in world.sent().into_iter().filter(|s| s.text().starts_with("INVITE")) {
            if hops.last().is_none_or(|(_, s): &(Duration, Sent)| s.hop != sent.hop) {
                hops.push((world.now.since(start), sent));
            }
        }
        if hops.iter().any(|(_, s)| s.hop == to_core("182.1.1.66:5070")) {
            break;
        }
    }
    let (when, third) = hops.pop().unwrap();
    assert!(when < seconds(17), "two shares of 8 s: {when:?}");
    assert_eq!(third.header("Call-ID"), first.header("Call-ID"));
    assert_eq!(third.header("CSeq"), first.header("CSeq"));
    assert_ne!(third.header("Via"), first.header("Via"));
    world.core(&response(&third, "486 Busy Here", ""));
    let answers: Vec<Sent> = world.sent().into_iter().filter(|s| s.hop == udp(A)).collect();
    assert_eq!(answers.len(), 1);
    assert_status(&answers[0], 486);
    assert_eq!(world.edge.counters().failovers, 2);
    assert_eq!(world.edge.counters().hop_failures[0], 2);
    world.pass(seconds(200));
    assert_eq!(world.edge.counters().exchanges, 0);
}

#[test]
fn the_time_of_the_requester_bounds_all_attempts() {
    let mut config = two();
    config.core.next_hops = (64..74).map(|n| hop(&format!("182.1.1.{n}:5070"))).collect();
    config.core.attempts_max = 32;
    let mut world = World::with(config);
    registered_udp(&mut world, "user1", A);
    world.pass(seconds(1));
    world.datagram(A, register("user1", A, 2, "").as_bytes());
    let start = world.now;
    let mut last = Duration::ZERO;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..1_200 {
        world.pass(Duration::from_millis(100));
        for sent in world.sent().into_iter().filter(|s| s.text().starts_with("REGISTER")) {
            if seen.insert(sent.header("Via").unwrap()) {
                last = world.now.since(start);
            }
        }
    }
    assert!(last < seconds(32), "nobody waits for an answer later: {last:?}");
    assert_eq!(seen.len(), 10);
    assert_eq!(world.edge.counters().exchanges, 0);
}

#[test]
fn a_slow_answer_from_far_away_is_waited_for_while_the_next_hop_answers_others() {
    let mut world = World::with(two());
    registered_udp(&mut world, "user1", A);
    world.pass(seconds(1));
    world.datagram(A, message("user1", A, "slow", "").as_bytes());
    let slow = world.one();
    assert_eq!(slow.hop, to_core(CORE));
    world.pass(seconds(2));
    world.sent();
    world.datagram(A, message("user1", A, "quick", "").as_bytes());
    let quick = world.one();
    world.core(&response(&quick, "200 OK", ""));
    assert_status(&world.one(), 200);
    world.pass(seconds(25));
    assert!(world.sent().iter().all(|s| s.bytes == slow.bytes), "only its own retransmissions");
    world.core(&response(&slow, "200 OK", ""));
    assert_status(&world.one(), 200);
    assert_eq!(world.edge.counters().failovers, 0);
    // An INVITE gets its 100 from the next hop itself: one that does not is sent elsewhere.
    world.datagram(A, crate::invites::invite("INVITE", "inv1", "").as_bytes());
    world.sent();
    world.datagram(A, message("user1", A, "quick2", "").as_bytes());
    let quick = world.one();
    world.core(&response(&quick, "200 OK", ""));
    world.pass(seconds(16));
    assert!(world.sent().iter().any(|s| s.hop == to_core(SECOND) && s.text().starts_with("INVITE")));
}

#[test]
fn a_refusal_is_no_business_of_the_ue_and_the_member_gets_its_rest() {
    let mut world = World::with(two());
    registered_udp(&mut world, "user1", A);
    world.pass(seconds(1));
    world.datagram(A, message("user1", A, "b1", "").as_bytes());
    let first = world.one();
    world.core(&response(&first, "503 Service Unavailable", "Retry-After: 20 (upgrade);duration=60\r\n"));
    let second = world.one();
    assert_eq!(second.hop, to_core(SECOND));
    world.core(&response(&second, "200 OK", ""));
    assert_status(&world.one(), 200);
    world.pass(seconds(18));
    world.datagram(A, message("user1", A, "b2", "").as_bytes());
    assert_eq!(world.one().hop, to_core(SECOND), "it rests");
    world.pass(seconds(3));
    world.sent();
    world.datagram(A, message("user1", A, "b3", "").as_bytes());
    assert_eq!(world.one().hop, to_core(CORE), "it has rested");
}

#[test]
fn when_every_member_asked_for_a_rest_the_ue_hears_503_with_the_soonest_end_and_nothing_is_sent() {
    let mut world = World::with(two());
    registered_udp(&mut world, "user1", A);
    world.pass(seconds(1));
    world.datagram(A, message("user1", A, "b1", "").as_bytes());
    let first = world.one();
    world.core(&response(&first, "503 Service Unavailable", "Retry-After: 20\r\nServer: scscf1\r\n"));
    let second = world.one();
    world.core(&response(&second, "503 Service Unavailable", "Retry-After: 9\r\n"));
    let answer = world.one();
    assert_status(&answer, 503);
    assert_eq!(answer.header("Retry-After").as_deref(), Some("9"));
    assert_eq!(answer.header("Server"), None, "ours, not the core's");
    assert!(warning(&answer).contains(Cause::NoNextHop.text()), "{}", warning(&answer));
    world.datagram(A, message("user1", A, "b2", "").as_bytes());
    let answer = world.one();
    assert_eq!(answer.hop, udp(A));
    assert_status(&answer, 503);
    assert_eq!(world.edge.counters().rejects(Realm::Access, Cause::NoNextHop), 2);
    let states: Vec<State> = world.edge.next_hops(world.now).iter().map(|s| s.state).collect();
    assert_eq!(states, [State::Resting, State::Resting]);
    world.pass(seconds(10));
    world.sent();
    world.datagram(A, message("user1", A, "b3", "").as_bytes());
    assert_eq!(world.one().hop, to_core(SECOND));
}

#[test]
fn a_503_that_says_nothing_of_others_becomes_500() {
    // The one next hop there is, without Retry-After (RFC 3261 §21.5.4: as if it were 500).
    let mut world = World::new();
    let registered = registered_udp(&mut world, "user1", A);
    world.pass(seconds(1));
    world.datagram(A, message("user1", A, "b1", "").as_bytes());
    let request = world.one();
    world.core(&response(&request, "503 Service Unavailable", ""));
    let answer = world.one();
    assert_status(&answer, 500);
    assert!(warning(&answer).contains(Cause::FarEndUnavailable.text()));
    world.datagram(A, message("user1", A, "b2", "").as_bytes());
    assert_eq!(world.one().hop, to_core(CORE), "the only one is tried all the same");
    // A UE that says 503 must not shut us off at the core.
    world.core(message_to_ue(&registered.path, "m1", "").as_bytes());
    let request = world.one();
    world.datagram(A, &response(&request, "503 Service Unavailable", "Retry-After: 3600\r\n"));
    let answer = world.one();
    assert_status(&answer, 500);
    assert_eq!(answer.header("Retry-After"), None);
}

#[test]
fn an_invite_that_is_refused_by_all_is_acknowledged_to_each_and_leaves_nothing() {
    let mut world = World::with(two());
    registered_udp(&mut world, "user1", A);
    world.pass(seconds(1));
    world.datagram(A, crate::invites::invite("INVITE", "inv1", "").as_bytes());
    let first = world.sent().remove(0);
    world.core(&response(&first, "503 Service Unavailable", "Retry-After: 5\r\n"));
    let sent = world.sent();
    assert!(sent[0].text().starts_with("ACK ") && sent[0].hop == to_core(CORE));
    let second = sent.iter().find(|s| s.text().starts_with("INVITE ")).unwrap().clone();
    world.core(&response(&second, "503 Service Unavailable", "Retry-After: 5\r\n"));
    let sent = world.sent();
    assert!(sent[0].text().starts_with("ACK ") && sent[0].hop == to_core(SECOND));
    assert_status(sent.last().unwrap(), 503);
    world.pass(seconds(120));
    assert_eq!((world.edge.counters().exchanges, world.edge.counters().calls), (0, 0));
}

// ---- probes

#[test]
fn probes_find_the_dead_before_a_ue_does() {
    let mut config = two();
    config.core.probe.interval_seconds = 10;
    config.core.probe.failures = 2;
    config.core.probe.successes = 1;
    let mut world = World::with(config);
    let mut sent = Vec::new();
    // SECOND answers, the first does not.
    for _ in 0..600 {
        world.pass(Duration::from_millis(100));
        for probe in world.sent() {
            assert!(probe.text().starts_with("OPTIONS sip:182.1.1.6"), "{}", probe.text());
            if probe.hop == to_core(SECOND) {
                let answer = response(&probe, "404 Not Found", "");
                world.event(Event::Net(NetEvent::Datagram {
                    socket: crate::world::CORE_UDP,
                    source: addr(SECOND),
                    bytes: &answer,
                }));
            }
            sent.push(probe);
        }
    }
    let first = &sent[0];
    assert!(first.header("Max-Forwards").is_some() && first.header("CSeq").unwrap() == "1 OPTIONS");
    let states: Vec<State> = world.edge.next_hops(world.now).iter().map(|s| s.state).collect();
    assert_eq!(states, [State::Down, State::Up]);
    let c = world.edge.counters();
    assert!(c.probes[0] >= 8 && c.probes[1] >= 4 && c.probes[2] >= 2, "{:?}", c.probes);
    assert_eq!(c.hop_failures[3], 1);
    world.datagram(A, register("user1", A, 1, "").as_bytes());
    let request = world.sent().into_iter().find(|s| s.text().starts_with("REGISTER")).unwrap();
    assert_eq!(request.hop, to_core(SECOND));
    accept(&mut world, &request, 3600);
    world.sent();
    // It comes back: one answered probe is enough here.
    for _ in 0..200 {
        world.pass(Duration::from_millis(100));
        for probe in world.sent().into_iter().filter(|s| s.text().starts_with("OPTIONS")) {
            world.core(&response(&probe, "200 OK", ""));
        }
    }
    assert!(world.edge.next_hops(world.now).iter().all(|s| s.state == State::Up));
    assert_eq!(world.edge.counters().rejects(Realm::Core, Cause::StrayResponse), 0);
}

#[test]
fn with_every_member_down_a_request_is_refused_at_once() {
    let mut config = two();
    config.core.probe.interval_seconds = 5;
    config.core.probe.timeout_ms = 500;
    config.core.probe.failures = 2;
    let mut world = World::with(config);
    world.pass(seconds(20));
    world.sent();
    assert!(world.edge.next_hops(world.now).iter().all(|s| s.state == State::Down));
    world.datagram(A, register("user1", A, 1, "").as_bytes());
    let answer = world.sent().into_iter().find(|s| s.hop == udp(A)).unwrap();
    assert_status(&answer, 503);
    assert!(warning(&answer).contains(Cause::NoNextHop.text()));
    assert!(answer.header("Retry-After").is_some());
    world.pass(seconds(40));
    // Nothing of any probe is left beyond those under way.
    assert!(world.edge.counters().exchanges <= 4, "{}", world.edge.counters().exchanges);
}

// ---- names

fn named() -> Config {
    let mut config = config();
    config.core.pool = "icscf".to_owned();
    config.dns.follow_routes = true;
    let member = |uri: &str, priority| PoolMember { uri: uri.parse().unwrap(), priority, weight: 1 };
    config.core.pools = vec![Pool {
        name: "icscf".to_owned(),
        members: vec![member("sip:icscf.example", 1), member("sip:182.1.1.69:5070", 2)],
    }];
    config
}

fn tell(world: &mut World, names: &[(&str, &[&str])]) {
    let mut directory = Directory::default();
    for (name, places) in names {
        let places = places.iter().zip(0..).map(|(p, rank)| {
            let (address, transport) = p.parse::<wire::HostQuery>().unwrap().literal().unwrap();
            Located { rank, address, transport, weight: 1 }
        });
        directory.set(name.parse().unwrap(), places.collect());
    }
    world.event(Event::NextHops(Arc::new(directory)));
}

#[test]
fn what_dns_says_counts_for_the_next_request_and_what_is_under_way_stays() {
    let mut world = World::with(named());
    world.datagram(A, register("user1", A, 1, "").as_bytes());
    assert_eq!(world.one().hop, to_core("182.1.1.69:5070"), "the name is not known yet");
    tell(&mut world, &[("sip:icscf.example", &["sip:182.1.1.64:5070"])]);
    world.datagram(A, register("user1", A, 2, "").as_bytes());
    let request = world.one();
    assert_eq!(request.hop, to_core(CORE));
    tell(&mut world, &[("sip:icscf.example", &["sip:182.1.1.65:5070"])]);
    accept(&mut world, &request, 3600);
    assert_status(&world.one(), 200);
    world.datagram(A, message("user1", A, "b1", "").as_bytes());
    assert_eq!(world.one().hop, to_core(SECOND));
}

#[test]
fn a_request_that_was_under_way_when_dns_changed_fails_over_to_the_new_places() {
    let mut world = World::with(named());
    tell(&mut world, &[("sip:icscf.example", &["sip:182.1.1.64:5070", "sip:182.1.1.65:5070"])]);
    world.datagram(A, register("user1", A, 1, "").as_bytes());
    assert_eq!(world.one().hop, to_core(CORE));
    tell(&mut world, &[("sip:icscf.example", &["sip:182.1.1.66:5070"])]);
    world.pass(seconds(9));
    assert_eq!(world.sent().pop().unwrap().hop, to_core("182.1.1.66:5070"));
}

#[test]
fn a_registration_sticks_to_its_service_route_by_name() {
    let mut world = World::with(named());
    tell(&mut world, &[("sip:icscf.example", &["sip:182.1.1.64:5070"])]);
    registered_udp(&mut world, "user1", A);
    // The name of the Service-Route is asked for, once.
    let asked: Vec<String> = world
        .actions
        .iter()
        .filter_map(|a| match a {
            Action::Resolve(query) => Some(query.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(asked, ["sip:cmcc.rcs.com"]);
    world.datagram(A, message("user1", A, "b1", "").as_bytes());
    assert_eq!(world.one().hop, to_core(CORE), "not known yet: the pool passes it on");
    let names: &[(&str, &[&str])] =
        &[("sip:icscf.example", &["sip:182.1.1.64:5070"]), ("sip:cmcc.rcs.com", &["sip:182.1.1.80:5060"])];
    tell(&mut world, names);
    world.datagram(A, message("user1", A, "b2", "").as_bytes());
    let request = world.one();
    assert_eq!(request.hop, to_core("182.1.1.80:5060"));
    assert_eq!(request.header("Route").as_deref(), Some(crate::ue::SERVICE_ROUTE));
    world.core(&response(&request, "503 Service Unavailable", "Retry-After: 60\r\n"));
    assert_eq!(world.one().hop, to_core(CORE), "its pool stands in for it");
    world.datagram(A, register("user1", A, 2, "").as_bytes());
    assert_eq!(world.one().hop, to_core(CORE), "registrations go to the pool");
    assert!(world.edge.next_hops(world.now).iter().all(|s| s.pool.as_ref() != "sip:cmcc.rcs.com"));
}

// ---- long messages

fn long(id: &str) -> String {
    message("user1", A, id, &format!("Subject: {}\r\n", "x".repeat(1_300)))
}

#[test]
fn a_long_request_goes_over_tcp_and_over_udp_where_connections_are_refused() {
    let mut config = config();
    config.core.udp_bytes_max = Config::default().core.udp_bytes_max;
    let mut world = World::with(config);
    registered_udp(&mut world, "user1", A);
    world.datagram(A, long("b1").as_bytes());
    let request = world.one();
    assert_eq!(request.hop, tcp(CORE));
    let via = request.header("Via").unwrap();
    assert!(via.starts_with("SIP/2.0/TCP ") && via.ends_with(";alias"), "{via}");
    assert_eq!(request.text().matches("Via:").count(), 1);
    unreachable(&mut world, CORE);
    let again = world.one();
    assert_eq!(again.hop, to_core(CORE), "RFC 3261 §18.1.1: over UDP after all");
    assert!(again.header("Via").unwrap().starts_with("SIP/2.0/UDP "));
    assert!(again.bytes.len() > 1_300);
    world.core(&response(&again, "200 OK", ""));
    assert_status(&world.one(), 200);
    assert_eq!(world.edge.counters().oversize, [1, 1]);
    world.datagram(A, long("b2").as_bytes());
    assert_eq!(world.one().hop, to_core(CORE), "not tried again so soon");
    world.datagram(A, message("user1", A, "short", "").as_bytes());
    assert_eq!(world.one().hop, to_core(CORE), "and the next hop is as healthy as before");
    world.pass(seconds(31));
    world.sent();
    world.datagram(A, long("b3").as_bytes());
    assert_eq!(world.one().hop, tcp(CORE));
}

#[test]
fn the_length_that_counts_is_that_of_what_is_sent() {
    let max = 900;
    let mut config = config();
    config.core.udp_bytes_max = max;
    let mut world = World::with(config);
    registered_udp(&mut world, "user1", A);
    let mut lens = Vec::new();
    for pad in 0..600 {
        let more = format!("Subject: {}\r\n", "y".repeat(pad));
        world.datagram(A, message("user1", A, &format!("c{pad:03}"), &more).as_bytes());
        let sent = world.one();
        lens.push((sent.bytes.len(), sent.hop == tcp(CORE)));
        world.core(&response(&sent, "200 OK", ""));
        world.sent();
    }
    assert!(lens.iter().any(|(_, tcp)| *tcp) && lens.iter().any(|(_, tcp)| !*tcp), "{lens:?}");
    // `;alias` in the Via over TCP makes it six bytes longer than over UDP.
    let fits = |(len, tcp): &(usize, bool)| if *tcp { *len > max + 6 } else { *len <= max };
    assert!(lens.iter().all(fits), "{lens:?}");
}

// ---- redirections

fn redirected(policy: Redirects, status: &str, contact: &str) -> (World, Vec<Sent>) {
    let mut config = two();
    config.core.redirects = policy;
    let mut world = World::with(config);
    registered_udp(&mut world, "user1", A);
    world.pass(seconds(1));
    world.datagram(A, message("user1", A, "b1", "").as_bytes());
    let request = world.one();
    world.core(&response(&request, status, &format!("Contact: {contact}\r\n")));
    let sent = world.sent();
    (world, sent)
}

#[test]
fn redirections_are_passed_without_inner_addresses_followed_within_the_pool_or_refused() {
    let both = "<sip:b@other.example>, <sip:b@10.9.9.9:5060>";
    let (_, sent) = redirected(Redirects::Pass, "302 Moved Temporarily", both);
    assert_status(&sent[0], 302);
    assert_eq!(sent[0].header("Contact").as_deref(), Some("<sip:b@other.example>"));
    let (_, sent) = redirected(Redirects::Refuse, "302 Moved Temporarily", both);
    assert_status(&sent[0], 500);
    assert!(warning(&sent[0]).contains(Cause::Redirected.text()));
    assert!(!sent[0].text().contains("other.example"));
    // 305 is a matter between proxies, whatever the policy; 380 is always the UE's.
    for policy in [Redirects::Pass, Redirects::Refuse] {
        let (_, sent) = redirected(policy, "305 Use Proxy", "<sip:182.1.1.65:5070>");
        assert_status(&sent[0], 500);
        let (_, sent) = redirected(policy, "380 Alternative Service", "<urn:service:sos>");
        assert_status(&sent[0], 380);
    }
    let (_, sent) = redirected(Redirects::Follow, "305 Use Proxy", "<sip:182.1.1.65:5070>");
    assert_eq!(sent[0].hop, to_core(SECOND));
    assert!(sent[0].text().starts_with("MESSAGE "));
    let (_, sent) = redirected(Redirects::Follow, "305 Use Proxy", "<sip:10.9.9.9:5060>");
    assert_status(&sent[0], 500);
    let (_, sent) =
        redirected(Redirects::Follow, "302 Moved Temporarily", "<sip:b@10.9.9.9>, <sip:c@182.1.1.65:5070>");
    assert_eq!(sent[0].hop, to_core(SECOND));
    assert!(sent[0].text().starts_with("MESSAGE sip:c@182.1.1.65:5070 SIP/2.0\r\n"), "{}", sent[0].text());
    let (_, sent) = redirected(Redirects::Follow, "302 Moved Temporarily", both);
    assert_status(&sent[0], 302);
}

#[test]
fn two_members_that_redirect_to_each_other_do_not_keep_a_request_going() {
    let (mut world, sent) = redirected(Redirects::Follow, "305 Use Proxy", "<sip:182.1.1.65:5070>");
    world.core(&response(&sent[0], "305 Use Proxy", "Contact: <sip:182.1.1.64:5070>\r\n"));
    assert_status(&world.one(), 500);
}

// ---- connection reuse

#[test]
fn a_peer_that_offers_its_connection_is_reached_over_it() {
    let mut config = config();
    config.core.next_hops = vec![tcp_hop(CORE)];
    let mut world = World::with(config);
    world.datagram(A, register("user1", A, 1, "").as_bytes());
    let request = world.one();
    assert_eq!(request.hop, tcp(CORE));
    assert!(request.header("Via").unwrap().ends_with(";alias"));
    let path = accept(&mut world, &request, 3600).path;
    world.sent();
    // The core opens a connection of its own, from any port, and says what it is to be known as.
    let stream = world.open(Realm::Core, Transport::Tcp, "182.1.1.64:40001");
    let plain = message_to_ue(&path, "m1", "").replace("SIP/2.0/UDP 182.1.1.64", "SIP/2.0/TCP 182.1.1.64");
    world.bytes(stream, plain.as_bytes());
    world.sent();
    world.datagram(A, message("user1", A, "b1", "").as_bytes());
    assert_eq!(world.one().hop, tcp(CORE), "it did not say so");
    let text = plain.replace("m1", "m2").replace(":5070;branch", ":5070;alias;branch");
    world.bytes(stream, text.as_bytes());
    world.sent();
    world.datagram(A, message("user1", A, "b2", "").as_bytes());
    let request = world.one();
    assert_eq!(request.hop, Hop::Stream(stream));
    world.bytes(stream, &response(&request, "200 OK", ""));
    assert_status(&world.one(), 200);
    // A Via that names somebody else's address changes nothing there.
    let other = world.open(Realm::Core, Transport::Tcp, "182.1.1.99:40002");
    world.bytes(other, text.replace("m2", "m3").as_bytes());
    world.sent();
    world.datagram(A, message("user1", A, "b3", "").as_bytes());
    let waiting = world.one();
    assert_eq!(waiting.hop, Hop::Stream(stream));
    // It closes with a request under way, which has nowhere else to go.
    world.close(stream);
    let answer = world.one();
    assert_eq!(answer.hop, udp(A));
    assert!(header(&answer.text(), "Warning").unwrap().contains("next hop"));
    world.datagram(A, message("user1", A, "b4", "").as_bytes());
    assert_eq!(world.one().hop, tcp(CORE));
}
