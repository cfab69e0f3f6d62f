//! INVITE transactions through the edge: 100, 1xx, refusal and ACK, CANCEL, timer C (RFC 3261 §16, §17).

use crate::ue::registered_udp;
use crate::world::{Sent, World, header, response, to_core, udp};
use core::time::Duration;
use wire::{Cause, Realm};

const A: &str = "182.1.1.203:41200";

pub fn invite(method: &str, branch: &str, to_tag: &str) -> String {
    format!(
        "{method} sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org SIP/2.0\r\n\
         Via: SIP/2.0/UDP {A};branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org>;tag=t1\r\n\
         To: <sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org>{to_tag}\r\n\
         Call-ID: call-1@{A}\r\n\
         CSeq: 1 {method}\r\n\
         Contact: <sip:user1@{A}>\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// A registered UE whose INVITE reached the core.
fn invited() -> (World, Sent) {
    let mut world = World::new();
    registered_udp(&mut world, "user1", A);
    world.datagram(A, invite("INVITE", "i1", "").as_bytes());
    let mut sent = world.sent();
    assert_eq!(sent.len(), 2, "{sent:?}");
    let (trying, request) = (sent.pop().unwrap(), sent.pop().unwrap());
    assert!(trying.text().starts_with("SIP/2.0 100 Trying\r\n"));
    assert_eq!(trying.hop, udp(A));
    assert_eq!(
        trying.header("To").unwrap(),
        "<sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org>",
        "no tag in 100"
    );
    assert!(request.text().starts_with("INVITE "));
    (world, request)
}

#[test]
fn a_repeated_invite_gets_the_latest_answer() {
    let (mut world, request) = invited();
    world.datagram(A, invite("INVITE", "i1", "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 100 "));
    world.core(&response(&request, "180 Ringing", ""));
    assert!(world.one().text().starts_with("SIP/2.0 180 "));
    world.datagram(A, invite("INVITE", "i1", "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 180 "));
    // the core's own 100 stays here
    world.core(&response(&request, "100 Trying", ""));
    world.none();
}

#[test]
fn a_refusal_is_acknowledged_to_the_core_and_repeated_to_the_ue_until_its_ack() {
    let (mut world, request) = invited();
    world.core(&response(&request, "486 Busy Here", ""));
    let sent = world.sent();
    let ack = sent.iter().find(|s| s.text().starts_with("ACK ")).unwrap();
    assert_eq!(ack.hop, to_core(crate::world::CORE));
    for name in ["Via", "From", "Call-ID", "Route"] {
        assert_eq!(ack.header(name), request.header(name), "{name}");
    }
    assert!(ack.header("To").unwrap().ends_with(";tag=far1"));
    assert_eq!(ack.header("CSeq").unwrap(), "1 ACK");
    let refusal = sent.iter().find(|s| s.text().starts_with("SIP/2.0 486 ")).unwrap();
    assert_eq!(refusal.hop, udp(A));
    world.pass(Duration::from_millis(500));
    assert_eq!(world.one().bytes, refusal.bytes, "timer G");
    // the core did not get the ACK
    world.core(&response(&request, "486 Busy Here", ""));
    assert!(world.one().text().starts_with("ACK "));
    let tag = header(&refusal.text(), "To").unwrap();
    let tag = &tag[tag.find(";tag=").unwrap()..];
    world.datagram(A, invite("ACK", "i1", tag).as_bytes());
    world.pass(Duration::from_secs(64));
    world.none();
    assert_eq!(world.edge.counters().exchanges, 0);
}

#[test]
fn a_cancel_waits_for_a_provisional_answer_and_is_answered_at_once() {
    let (mut world, request) = invited();
    world.datagram(A, invite("CANCEL", "i1", "").as_bytes());
    let answer = world.one();
    assert!(answer.text().starts_with("SIP/2.0 200 "), "{}", answer.text());
    assert_eq!(answer.header("CSeq").unwrap(), "1 CANCEL");
    world.core(&response(&request, "180 Ringing", ""));
    let sent = world.sent();
    let cancel = sent.iter().find(|s| s.text().starts_with("CANCEL ")).unwrap();
    for name in ["Via", "From", "To", "Call-ID", "Route"] {
        assert_eq!(cancel.header(name), request.header(name), "RFC 3261 §9.1 {name}");
    }
    // sent again until answered
    world.pass(Duration::from_millis(500));
    assert_eq!(world.one().text(), cancel.text());
    world.core(&response(cancel, "200 OK", ""));
    world.none();
    world.core(&response(&request, "487 Request Terminated", ""));
    let sent = world.sent();
    assert!(sent.iter().any(|s| s.text().starts_with("ACK ")));
    assert!(sent.iter().any(|s| s.text().starts_with("SIP/2.0 487 ") && s.hop == udp(A)));
}

#[test]
fn a_cancelled_invite_that_nobody_ends_is_ended_here() {
    let (mut world, request) = invited();
    world.core(&response(&request, "180 Ringing", ""));
    world.datagram(A, invite("CANCEL", "i1", "").as_bytes());
    world.sent();
    world.pass(Duration::from_millis(31_999));
    assert!(!world.sent().iter().any(|s| s.text().starts_with("SIP/2.0 487 ")));
    world.pass(Duration::from_millis(1));
    assert!(world.sent().iter().any(|s| s.text().starts_with("SIP/2.0 487 ")));
    world.pass(Duration::from_secs(128));
    assert_eq!(world.edge.counters().exchanges, 0);
}

#[test]
fn a_cancel_of_nothing_is_481() {
    let mut world = World::new();
    registered_udp(&mut world, "user1", A);
    world.datagram(A, invite("CANCEL", "i9", "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 481 "));
    assert_eq!(world.edge.counters().rejects(Realm::Access, Cause::UnknownTransaction), 1);
}

#[test]
fn ringing_without_end_is_cancelled_by_timer_c() {
    let (mut world, request) = invited();
    world.pass(Duration::from_secs(10));
    world.sent();
    world.core(&response(&request, "180 Ringing", ""));
    world.sent();
    world.pass(Duration::from_millis(184_999));
    world.none();
    world.pass(Duration::from_millis(1));
    assert!(world.one().text().starts_with("CANCEL "), "185 s after the last 18x");
}

#[test]
fn an_invite_that_nobody_answers_is_408() {
    let (mut world, _) = invited();
    world.pass(Duration::from_millis(31_999));
    assert!(world.sent().iter().all(|s| s.text().starts_with("INVITE ")));
    world.pass(Duration::from_millis(1));
    assert!(world.one().text().starts_with("SIP/2.0 408 "));
}

#[test]
fn the_ack_of_a_refusal_we_did_not_keep_is_no_fault() {
    let mut world = World::new();
    world.datagram(A, invite("INVITE", "i1", "").as_bytes());
    let refusal = world.one();
    assert!(refusal.text().starts_with("SIP/2.0 403 "));
    let to = refusal.header("To").unwrap();
    let rejects = world.records.len();
    world.datagram(A, invite("ACK", "i1", &to[to.find(";tag=").unwrap()..]).as_bytes());
    world.none();
    assert_eq!(world.records.len(), rejects);
    world.datagram(A, invite("ACK", "i1", ";tag=other").as_bytes());
    assert_eq!(world.records.len(), rejects + 1);
}
