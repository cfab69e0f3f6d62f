//! Emergency calls (TS 24.229 §5.2.10): recognised, marked, routed to their pool, and let through.

use crate::ue::{register, registered_udp};
use crate::world::{CORE, Sent, World, config, hop, response, to_core, udp};
use config::{Config, Pool, PoolMember};
use core::time::Duration;
use edge::Event;
use wire::{Cause, Realm};

const A: &str = "182.1.1.203:41200";
const ECSCF: &str = "182.1.1.90:5060";

fn with_pool() -> Config {
    let mut config = config();
    let member = |uri: &str, priority| PoolMember { uri: uri.parse().unwrap(), priority, weight: 1 };
    config.core.pools = vec![Pool {
        name: "ecscf".to_owned(),
        members: vec![member("sip:182.1.1.90", 1), member("sip:182.1.1.91", 2)],
    }];
    config.emergency.pool = "ecscf".to_owned();
    config
}

fn call(uri: &str, id: &str, more: &str) -> String {
    format!(
        "INVITE {uri} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {A};branch=z9hG4bK{id}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:anonymous@anonymous.invalid>;tag=f{id}\r\n\
         To: <{uri}>\r\n\
         Call-ID: {id}@{A}\r\n\
         CSeq: 1 INVITE\r\n\
         Contact: <sip:me@{A}>\r\n\
         {more}\
         Content-Length: 0\r\n\r\n"
    )
}

fn inside(request: &str, method: &str, cseq: u32, branch: &str, to_tag: &str) -> String {
    let uri = request.split(' ').nth(1).unwrap();
    let to = format!("To: <{uri}>");
    request
        .replace("INVITE", method)
        .replace("CSeq: 1 ", &format!("CSeq: {cseq} "))
        .replace("branch=z9hG4bK", &format!("branch=z9hG4bK{branch}"))
        .replace(&to, &format!("{to};tag={to_tag}"))
}

fn invite_of(sent: Vec<Sent>) -> Sent {
    let all: Vec<String> = sent.iter().map(Sent::text).collect();
    sent.into_iter().find(|s| s.text().starts_with("INVITE ")).unwrap_or_else(|| panic!("{all:#?}"))
}

#[test]
fn a_ue_that_is_not_registered_calls_from_invite_to_bye() {
    let mut world = World::with(with_pool());
    let text = call(
        "tel:110",
        "e1",
        "P-Preferred-Identity: <sip:boss@h>\r\nP-Asserted-Identity: <sip:boss@h>\r\nPriority: normal\r\n",
    );
    world.datagram(A, text.as_bytes());
    let request = invite_of(world.sent());
    assert_eq!(request.hop, to_core(ECSCF));
    assert!(request.text().starts_with("INVITE urn:service:sos.police SIP/2.0\r\n"), "{}", request.text());
    assert_eq!(request.header("To").as_deref(), Some("<tel:110>"), "as it was dialled");
    assert_eq!(request.header("Priority").as_deref(), Some("emergency"));
    assert_eq!(request.text().matches("Priority:").count(), 1);
    for untrusted in ["P-Preferred-Identity", "P-Asserted-Identity", "Route"] {
        assert_eq!(request.header(untrusted), None, "{untrusted}");
    }
    assert!(request.header("Record-Route").is_some());
    let c = world.edge.counters();
    assert_eq!((c.emergencies, c.guests, c.registrations), ([0, 1], 1, 0));
    let ok = response(&request, "200 OK", "Contact: <sip:psap@182.1.1.90>\r\n");
    world.core(&ok);
    let answer = world.sent().pop().unwrap();
    assert!(answer.text().starts_with("SIP/2.0 200 ") && answer.hop == udp(A));
    world.datagram(A, inside(&text, "ACK", 1, "ack", "far1").as_bytes());
    assert!(world.one().text().starts_with("ACK "));
    // The core finds the caller by our token, as in any dialog.
    let route = request.header("Record-Route").unwrap();
    let update = format!(
        "INFO sip:me@183.1.28.128:11065 SIP/2.0\r\nVia: SIP/2.0/UDP {ECSCF};branch=z9hG4bKc1\r\nRoute: {route}\r\n\
         From: <tel:110>;tag=far1\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 INFO\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        request.header("From").unwrap(),
        request.header("Call-ID").unwrap(),
    );
    world.core(update.as_bytes());
    assert_eq!(world.one().hop, udp(A));
    // It may do nothing else meanwhile.
    let other = call("tel:+8613900000001", "o1", "");
    world.datagram(A, other.as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 403 "));
    world.datagram(A, crate::messaging::message("me", A, "m1", "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 403 "));
    // It outlives the time of a guest, as long as the call stands.
    world.pass(Duration::from_secs(1_000));
    assert_eq!(world.edge.counters().guests, 1);
    world.sent();
    world.datagram(A, inside(&text, "BYE", 2, "bye", "far1").as_bytes());
    let bye = world.one();
    assert!(bye.text().starts_with("BYE "));
    world.core(&response(&bye, "200 OK", ""));
    assert!(world.one().text().starts_with("SIP/2.0 200 "));
    world.pass(Duration::from_secs(400));
    let c = world.edge.counters();
    assert_eq!((c.guests, c.calls, c.exchanges, c.registrations), (0, 0, 0, 0));
    world.datagram(A, inside(&text, "BYE", 3, "bye2", "far1").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 403 "), "the guest is gone");
}

#[test]
fn a_registered_ue_is_vouched_for_whatever_it_says_it_is() {
    let mut world = World::with(with_pool());
    registered_udp(&mut world, "user1", A);
    for (uri, id, sent_uri) in [
        ("urn:service:sos.fire", "e1", "urn:service:sos.fire"),
        ("sip:112@bj.ims.mnc000.mcc460.3gppnetwork.org;user=phone", "e2", "urn:service:sos"),
    ] {
        let text = call(uri, id, "Route: <sip:evil.example;lr>\r\n")
            .replace("sip:anonymous@anonymous.invalid", "sip:boss@h");
        world.datagram(A, text.as_bytes());
        let request = invite_of(world.sent());
        assert_eq!(request.hop, to_core(ECSCF), "not its Service-Route, and not its own Route");
        assert!(request.text().starts_with(&format!("INVITE {sent_uri} SIP/2.0\r\n")), "{}", request.text());
        assert_eq!(request.header("Route"), None);
        let identity = request.header("P-Asserted-Identity").unwrap();
        assert!(identity.contains("user1@"), "{identity}");
    }
    assert_eq!(world.edge.counters().emergencies, [2, 0]);
    assert_eq!(world.edge.counters().guests, 0);
}

#[test]
fn what_holds_others_up_does_not_hold_up_an_emergency() {
    // The caps.
    let mut config = with_pool();
    config.limits.transactions_max = 16;
    config.limits.dialogs_max = 16;
    config.emergency.reserve = 2;
    let mut world = World::with(config);
    registered_udp(&mut world, "user1", A);
    world.pass(Duration::from_secs(64));
    for n in 0..16 {
        world.datagram(A, crate::messaging::message("user1", A, &format!("m{n}"), "").as_bytes());
    }
    assert!(world.sent().iter().all(|s| s.text().starts_with("MESSAGE ")));
    world.datagram(A, crate::messaging::message("user1", A, "more", "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 503 "));
    for id in ["e1", "e2"] {
        world.datagram(A, call("tel:112", id, "").as_bytes());
        invite_of(world.sent());
    }
    world.datagram(A, call("tel:112", "e3", "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 503 "), "the reserve has an end too");
    // A drain.
    let mut world = World::with(with_pool());
    world.event(Event::Drain);
    world.datagram(A, register("user1", A, 1, "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 503 "));
    world.datagram(A, call("tel:119", "e1", "").as_bytes());
    invite_of(world.sent());
    let sos =
        register("user1", A, 2, "").replace(&format!("<sip:user1@{A}>"), &format!("<sip:user1@{A};sos>"));
    world.datagram(A, sos.as_bytes());
    assert!(world.one().text().starts_with("REGISTER "), "an emergency registration passes");
    // A member of its pool that is silent.
    let mut world = World::with(with_pool());
    world.datagram(A, call("tel:112", "e1", "").as_bytes());
    world.pass(Duration::from_secs(9));
    assert!(
        world
            .sent()
            .iter()
            .any(|s| s.hop == to_core("182.1.1.91:5060") && s.text().starts_with("INVITE urn:"))
    );
}

#[test]
fn the_operator_may_want_it_otherwise() {
    let mut config = config();
    config.core.next_hops = vec![hop(CORE)];
    config.emergency.urn_to_core = false;
    config.emergency.priority = String::new();
    config.emergency.resource_priority = "esnet.1".to_owned();
    config.emergency.guests_max = 1;
    let mut world = World::with(config.clone());
    world.datagram(A, call("tel:112", "e1", "").as_bytes());
    let request = invite_of(world.sent());
    assert_eq!(request.hop, to_core(CORE), "without a pool of its own, the one of all");
    assert!(request.text().starts_with("INVITE tel:112 SIP/2.0\r\n"));
    assert_eq!(request.header("Resource-Priority").as_deref(), Some("esnet.1"));
    assert_eq!(request.header("Priority"), None);
    world.datagram("182.1.1.204:41200", call("tel:112", "e2", "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 503 "), "guests_max");
    config.emergency.unregistered = false;
    let mut world = World::with(config);
    world.datagram(A, call("tel:112", "e1", "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 403 "));
    assert_eq!(world.edge.counters().rejects(Realm::Access, Cause::NotRegistered), 1);
}

#[test]
fn an_emergency_registration_leaves_the_others_alone() {
    let mut world = World::new();
    let contact =
        |params: &str| format!("Contact: <sip:user1@{A}{params}>;+sip.instance=\"<urn:gsma:imei:1>\"\r\n");
    for (cseq, params) in [(1, ""), (2, ";sos")] {
        let text = register("user1", A, cseq, "")
            .replace(&format!("Contact: <sip:user1@{A}>\r\n"), &contact(params));
        world.datagram(A, text.as_bytes());
        let request = world.one();
        crate::ue::accept(&mut world, &request, 3600);
        assert!(world.one().text().starts_with("SIP/2.0 200 "));
    }
    assert_eq!(world.edge.counters().registrations, 2);
}
