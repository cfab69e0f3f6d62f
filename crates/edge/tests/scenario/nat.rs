//! UEs behind NATs: RFC 3581, RFC 5626, RFC 6223, pings, and both families of addresses.

use crate::messaging::message;
use crate::ue::{accept, message_to_ue, register, registered_udp};
use crate::world::{CORE, Sent, World, addr, config, hop, response, udp};
use config::{Config, NatPing};
use core::time::Duration;
use edge::Event;
use edge::api::SipPoint;
use wire::{Hop, NetEvent, Realm, SocketId, Transport};

/// Where its datagrams come from.
const A: &str = "198.51.100.7:31000";
/// What it believes to be.
const INSIDE: &str = "192.168.1.20:5060";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn natted(user: &str, cseq: u32) -> String {
    register(user, INSIDE, cseq, "")
}

#[test]
fn received_and_rport_say_where_a_request_came_from() {
    // RFC 3581 §4 and RFC 3261 §18.2.1; v4 and v6.
    for (source, via, marks) in [
        (A, "192.168.1.20:5060;rport", ";received=198.51.100.7;rport=31000"),
        (A, "192.168.1.20:5060;rport=;x", ";received=198.51.100.7;rport=31000;x"),
        (A, "192.168.1.20:5060", ";received=198.51.100.7"),
        (A, "198.51.100.7:5060", ""),
        (A, "198.51.100.7:5060;rport", ";received=198.51.100.7;rport=31000"),
        (A, "ue.example;received=1.2.3.4", ";received=198.51.100.7"),
        ("[2001:db8::7]:31000", "[2001:db8::1]:5060;rport", ";received=2001:db8::7;rport=31000"),
        ("[2001:db8::7]:31000", "[2001:0db8:0::7]:5060", ""),
    ] {
        let mut world = World::new();
        let text = message("user1", "x", "b1", "").replace("UDP x;branch", &format!("UDP {via};branch"));
        world.datagram(source, text.as_bytes());
        let answer = world.one();
        assert_eq!(answer.hop, udp(source), "to the source, whatever the Via says (R6)");
        let got = answer.header("Via").unwrap().replace(";branch=z9hG4bKb1", "");
        let host = via.split(';').next().unwrap();
        assert!(got.starts_with(&format!("SIP/2.0/UDP {host}")), "{got}");
        let rest = &got[format!("SIP/2.0/UDP {host}").len()..];
        assert_eq!(rest.replace(";x", ""), marks.replace(";x", ""), "{via}");
    }
}

#[test]
fn the_contact_of_a_ue_behind_a_nat_is_corrected_and_its_flow_is_used() {
    let mut world = World::new();
    world.datagram(A, natted("user1", 1).as_bytes());
    let request = world.one();
    assert!(!request.header("Contact").unwrap().contains("192.168."), "{}", request.text());
    let registered = accept(&mut world, &request, 3600);
    assert!(world.one().header("Contact").unwrap().contains(INSIDE), "byte for byte, its own");
    world.core(message_to_ue(&registered.path, "m1", "").as_bytes());
    let delivered = world.one();
    assert_eq!(delivered.hop, udp(A));
    assert!(delivered.text().starts_with(&format!("MESSAGE sip:user1@{INSIDE} ")), "{}", delivered.text());
    // Its NAT gives it another address: the next REGISTER moves the flow.
    let moved = "198.51.100.7:40404";
    world.datagram(A, &response(&delivered, "200 OK", ""));
    world.sent();
    world.datagram(moved, natted("user1", 2).as_bytes());
    let request = world.one();
    let registered = accept(&mut world, &request, 3600);
    world.sent();
    world.core(message_to_ue(&registered.path, "m2", "").as_bytes());
    assert_eq!(world.one().hop, udp(moved));
    assert_eq!(world.edge.counters().registrations, 1);
}

#[test]
fn a_ue_that_offers_keep_alives_is_told_how_often_once_it_succeeds() {
    // RFC 6223 §4.3.
    let mut world = World::new();
    let keep = |text: String| text.replacen(";branch", ";keep;branch", 1);
    world.datagram(A, keep(natted("user1", 1)).as_bytes());
    let request = world.one();
    assert!(!request.header("Via").unwrap().contains("keep"), "between the UE and us");
    world.core(&response(
        &request,
        "401 Unauthorized",
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n",
    ));
    let answer = world.one().header("Via").unwrap();
    assert!(answer.contains(";keep;"), "{answer}");
    world.datagram(A, keep(natted("user1", 2)).as_bytes());
    let request = world.one();
    accept(&mut world, &request, 3600);
    let answer = world.one().header("Via").unwrap();
    assert!(answer.contains(";keep=120;"), "{answer}");
    // The value of a request is the UE's own; without `keep` there is nothing to say.
    for via in ["keep=7;branch", "branch"] {
        let cseq = via.len() as u32;
        world.datagram(A, natted("user1", cseq).replacen("branch", via, 1).as_bytes());
        let request = world.one();
        accept(&mut world, &request, 3600);
        assert!(!world.one().header("Via").unwrap().contains("keep=120"));
    }
    let mut config = config();
    config.nat.keep_seconds = 0;
    let mut world = World::with(config);
    world.datagram(A, keep(natted("user1", 1)).as_bytes());
    let request = world.one();
    accept(&mut world, &request, 3600);
    assert!(world.one().header("Via").unwrap().contains(";keep;"));
}

#[test]
fn outbound_is_offered_to_the_registrar_and_its_timer_to_the_ue() {
    // RFC 5626 §5.1, §5.4: `ob` in Path for a UE that registers several flows, Flow-Timer if it is used.
    let contact = |reg_id: u32| {
        format!("Contact: <sip:user1@{INSIDE}>;reg-id={reg_id};+sip.instance=\"<urn:uuid:1>\"\r\n")
    };
    let mut world = World::new();
    let mut paths = Vec::new();
    for (reg_id, source) in [(1, A), (2, "203.0.113.9:5060")] {
        let text =
            natted("user1", reg_id).replace(&format!("Contact: <sip:user1@{INSIDE}>\r\n"), &contact(reg_id));
        world.datagram(source, text.replace("reg-user1@", &format!("reg{reg_id}@")).as_bytes());
        let request = world.one();
        let path = request.header("Path").unwrap();
        assert!(path.ends_with(";lr;ob>"), "{path}");
        let contact = request.header("Contact").unwrap();
        world.core(&response(
            &request,
            "200 OK",
            &format!("Contact: {contact};expires=3600\r\nRequire: outbound\r\nFlow-Timer: 9\r\n"),
        ));
        let answer = world.one();
        assert_eq!(answer.header("Flow-Timer").as_deref(), Some("120"));
        assert_eq!(answer.text().matches("Flow-Timer").count(), 1);
        paths.push((path, source));
    }
    assert_eq!(world.edge.counters().registrations, 2, "two flows of one instance are two bindings");
    for (n, (path, source)) in paths.iter().enumerate() {
        world.core(message_to_ue(path, &format!("m{n}"), "").as_bytes());
        assert_eq!(world.one().hop, udp(source), "each over its own flow");
    }
    // A registrar that knows nothing of it, a UE that does not ask.
    world.datagram("198.51.100.8:1", natted("user2", 1).as_bytes());
    let request = world.one();
    assert!(request.header("Path").unwrap().ends_with(";lr>"));
    accept(&mut world, &request, 3600);
    assert_eq!(world.one().header("Flow-Timer"), None);
}

#[test]
fn crlf_and_stun_are_answered_on_their_flow() {
    let mut world = World::new();
    let stream = world.open(Realm::Access, Transport::Tcp, A);
    world.bytes(stream, b"\r\n\r\n");
    let pong = world.one();
    assert_eq!((pong.hop, &pong.bytes[..]), (Hop::Stream(stream), &b"\r\n"[..]));
    let mut stun = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    stun.extend_from_slice(&[7; 12]);
    world.datagram(A, &stun);
    let answer = world.one();
    assert_eq!(answer.hop, udp(A));
    assert_eq!(answer.bytes[..2], [1, 1]);
    assert_eq!(answer.bytes[26..28], [(31_000u16 >> 8) as u8 ^ 0x21, 31_000u16 as u8 ^ 0x12]);
    world.datagram(A, b"\r\n\r\n");
    world.none();
}

fn pinging() -> Config {
    let mut config = config();
    config.nat.ping = NatPing::Natted;
    config
}

/// The OPTIONS that were sent since the last look.
fn pings(world: &mut World) -> Vec<Sent> {
    world.sent().into_iter().filter(|s| s.text().starts_with("OPTIONS ")).collect()
}

fn registered_behind_nat(world: &mut World, user: &str, source: &str) -> String {
    world.datagram(source, natted(user, 1).as_bytes());
    let request = world.sent().pop().unwrap();
    let path = accept(world, &request, 36_000).path;
    world.sent();
    path
}

#[test]
fn a_silent_ue_behind_a_nat_is_pinged_and_lost_when_it_does_not_answer() {
    let mut world = World::with(pinging());
    let path = registered_behind_nat(&mut world, "user1", A);
    registered_udp(&mut world, "open", "203.0.113.5:5060");
    world.pass(seconds(28));
    assert!(pings(&mut world).is_empty());
    world.pass(seconds(4));
    let ping = pings(&mut world).remove(0);
    assert_eq!(ping.hop, udp(A), "the one without NAT is left alone");
    assert!(ping.text().starts_with(&format!("OPTIONS sip:user1@{INSIDE} ")), "{}", ping.text());
    assert_eq!(ping.text().matches("Via:").count(), 1);
    world.datagram(A, &response(&ping, "405 Method Not Allowed", ""));
    assert!(pings(&mut world).is_empty(), "any answer will do, and goes no further");
    // What it sends itself counts as well.
    world.pass(seconds(20));
    world.datagram(A, b"\r\n\r\n");
    world.pass(seconds(15));
    assert!(pings(&mut world).is_empty());
    // It is gone: three pings, each sent again by its transaction, and then nothing.
    world.pass(seconds(200));
    let branches: std::collections::BTreeSet<String> =
        pings(&mut world).iter().map(|p| p.header("Via").unwrap()).collect();
    assert_eq!(branches.len(), 3);
    assert_eq!(world.edge.counters().ue_pings, [4, 1, 3, 1]);
    world.core(message_to_ue(&path, "m1", "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 430 "), "at once (R7)");
    // It comes back.
    world.datagram(A, natted("user1", 2).as_bytes());
    let request = world.one();
    let path = accept(&mut world, &request, 3600).path;
    world.sent();
    world.core(message_to_ue(&path, "m2", "").as_bytes());
    assert_eq!(world.one().hop, udp(A));
}

#[test]
fn pings_are_spread_capped_and_leave_nothing_behind() {
    let mut config = pinging();
    config.nat.ping = NatPing::All;
    config.nat.pings_per_second_max = 20;
    config.nat.pings_lost_max = 100;
    let mut world = World::with(config);
    for n in 0..300 {
        registered_behind_nat(&mut world, &format!("u{n}"), &format!("198.51.100.7:{}", 20_000 + n));
    }
    let mut firsts = std::collections::BTreeSet::new();
    for second in 0..60 {
        world.pass(seconds(1));
        let new = pings(&mut world).iter().filter(|p| firsts.insert(p.header("Via").unwrap())).count();
        assert!(new <= 40, "{new} in second {second}");
    }
    assert!(firsts.len() >= 300, "{}", firsts.len());
    for n in 0..300 {
        let text = natted(&format!("u{n}"), 2).replace("Content-Length", "Expires: 0\r\nContent-Length");
        world.datagram(&format!("198.51.100.7:{}", 20_000 + n), text.as_bytes());
        let request = world.sent().into_iter().find(|s| s.text().starts_with("REGISTER")).unwrap();
        world.core(&response(&request, "200 OK", ""));
        world.sent();
    }
    assert_eq!(world.edge.counters().registrations, 0);
    world.pass(seconds(100));
    world.sent();
    assert_eq!(world.edge.counters().exchanges, 0);
    assert_eq!(world.edge.next_deadline(), None, "no alarm is left");
}

fn point(realm: Realm, socket: u16, at: &str) -> SipPoint {
    SipPoint {
        realm,
        transport: Transport::Udp,
        socket: Some(SocketId(socket)),
        bound: addr(at),
        advertised: at.into(),
    }
}

#[test]
fn a_ue_on_one_family_and_a_core_on_the_other_see_addresses_of_their_own() {
    for (ue, ours, core_side, core) in [
        ("[2001:db8:a::7]:5060", "[2001:db8::1]:5060", "198.51.100.1:5080", "198.51.100.9:5070"),
        ("198.51.100.7:5060", "198.51.100.1:5060", "[2001:db8:c::1]:5080", "[2001:db8:c::9]:5070"),
    ] {
        let mut config = config();
        config.core.next_hops = vec![hop(core)];
        let points = vec![point(Realm::Access, 0, ours), point(Realm::Core, 1, core_side)];
        let mut world = World::with_points(config, points);
        world.datagram(ue, register("user1", ue, 1, "").as_bytes());
        let request = world.one();
        assert_eq!(request.hop, crate::world::to_core(core));
        for field in ["Via", "Contact", "Path"] {
            let value = request.header(field).unwrap();
            assert!(value.contains(core_side) && !value.contains(ue), "{field}: {value}");
        }
        let from_core = |bytes: &[u8], world: &mut World| {
            let (socket, source) = (SocketId(1), addr(core));
            world.event(Event::Net(NetEvent::Datagram { socket, source, bytes }));
        };
        let contact = request.header("Contact").unwrap();
        from_core(&response(&request, "200 OK", &format!("Contact: {contact};expires=3600\r\n")), &mut world);
        let answer = world.one();
        assert_eq!(answer.hop, udp(ue));
        assert!(answer.header("Contact").unwrap().contains(ue));
        let path = request.header("Path").unwrap();
        from_core(
            message_to_ue(&path, "m1", "Contact: <sip:c@10.9.9.9>\r\n").replace(CORE, core).as_bytes(),
            &mut world,
        );
        let delivered = world.one();
        assert_eq!(delivered.hop, udp(ue));
        for field in ["Via", "Contact"] {
            let value = delivered.header(field).unwrap();
            assert!(value.contains(ours) && !value.contains(core_side), "{field}: {value}");
        }
    }
}
