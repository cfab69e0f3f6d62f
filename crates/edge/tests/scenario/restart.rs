//! R25: what the token in our Record-Route carries: the core's requests still route after a restart.

use crate::calls::{A, CORE_CONTACT, SECONDS, answer, chatting, core_sdp, inside_from_core};
use crate::ue::{accept, register};
use crate::world::{CORE, Sent, World, header, response, to_core, udp, vector_text};
use wire::{Hop, Realm, Transport};

/// The BYE of the core, and whether the UE got it with its own Contact as Request-URI.
fn bye_arrives(world: &mut World, request: &Sent, cseq: u32) -> Sent {
    world.core(inside_from_core(request, "BYE", cseq, "").as_bytes());
    let got = world.one();
    let contact = header(&vector_text("chat-01-invite.sip"), "Contact").unwrap();
    let contact = contact.split(['<', '>']).nth(1).unwrap();
    assert!(
        got.text().starts_with(&format!("BYE {contact} SIP/2.0\r\n"))
            || got.text().starts_with("BYE sip:user1@"),
        "{}",
        got.text()
    );
    assert_eq!(got.text().matches("Via:").count(), 1, "R23");
    assert!(!got.text().contains("Route:") && !got.text().contains("182.1.1.64"), "{}", got.text());
    got
}

#[test]
fn a_bye_of_the_core_reaches_a_ue_over_udp() {
    let mut before = World::new();
    let (_, request, _) = chatting(&mut before);
    let mut after = World::restarted();
    let got = bye_arrives(&mut after, &request, 7);
    assert_eq!(got.hop, udp(A));
    after.datagram(A, &response(&got, "200 OK", ""));
    let back = after.one();
    assert_eq!(back.hop, to_core(CORE));
    assert!(back.text().starts_with("SIP/2.0 200 "));
    assert_eq!(after.edge.counters().orphans, 1);
    // Its media are gone: a new offer has nothing to be anchored in.
    after.core(inside_from_core(&request, "INVITE", 8, "").as_bytes());
    assert!(after.one().text().starts_with("SIP/2.0 481 "));
    after.pass(40 * SECONDS);
    assert_eq!(after.edge.counters().exchanges, 0);
}

/// A UE on a stream is found once it has registered again.
#[test]
fn a_bye_of_the_core_reaches_a_ue_that_came_back() {
    let mut before = World::new();
    let stream = before.open(Realm::Access, Transport::Tcp, A);
    before.bytes(stream, register("user1", A, 1, "").as_bytes());
    let first = before.one();
    accept(&mut before, &first, 3600);
    before.sent();
    before.bytes(stream, vector_text("chat-01-invite.sip").as_bytes());
    let request = before.sent().remove(0);
    let lines = format!("Contact: {CORE_CONTACT}\r\n");
    before.core(&answer(&request, "200 OK", "far1", &lines, &core_sdp("chat-02-200.sip")));

    let mut after = World::restarted();
    // Another UE takes the stream's place: it gets nothing that is not for it.
    let other = after.open(Realm::Access, Transport::Tcp, "198.51.100.9:7000");
    after.bytes(other, register("user3", "198.51.100.9:7000", 1, "").as_bytes());
    let third = after.one();
    accept(&mut after, &third, 3600);
    after.sent();
    after.core(inside_from_core(&request, "BYE", 7, "").as_bytes());
    assert!(after.one().text().starts_with("SIP/2.0 481 "));

    let stream = after.open(Realm::Access, Transport::Tcp, "182.1.1.203:50000");
    after.bytes(stream, register("user1", A, 2, "").as_bytes());
    let again = after.one();
    accept(&mut after, &again, 3600);
    after.sent();
    let got = bye_arrives(&mut after, &request, 8);
    assert_eq!(got.hop, Hop::Stream(stream));
}
