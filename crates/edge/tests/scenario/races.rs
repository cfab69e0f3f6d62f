//! R22, R49, R56, R64, R72: ends that cross, and INVITEs whose sender or call is gone when the answer comes.

use crate::calls::{
    A, B, CORE_CONTACT, SECONDS, answer, assert_clean, body_of, chatting, core_sdp, ends, from_core, inside,
    inside_from_core, invited, ordered,
};
use crate::ue::{accept, register};
use crate::world::{Sent, World, header, realm_of, response, to_core, udp, vector_text};
use wire::{Cause, Hop, Realm, Transport};

const CONTACT: &str = "Contact: <sip:as@10.71.174.102:5061;transport=tcp>\r\n";

fn cancel(invite: &str) -> String {
    let value = |name| header(invite, name).unwrap();
    format!(
        "CANCEL sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org SIP/2.0\r\nVia: {}\r\nFrom: {}\r\nTo: {}\r\n\
         Call-ID: {}\r\nCSeq: 1 CANCEL\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        value("Via"),
        value("From"),
        value("To"),
        value("Call-ID")
    )
}

fn deregister(world: &mut World) {
    world.datagram(A, register("user1", A, 2, "Expires: 0\r\n").as_bytes());
    let deregister = world.sent().pop().unwrap();
    world.core(&response(&deregister, "200 OK", ""));
}

fn starts(sent: &[Sent], with: &str) -> Vec<Sent> {
    sent.iter().filter(|s| s.text().starts_with(with)).cloned().collect()
}

/// With the registration go its calls, and both ends are told.
#[test]
fn the_end_of_a_registration_hangs_up_both_ways() {
    let mut world = World::new();
    let (invite, _, ok) = chatting(&mut world);
    world.datagram(A, inside(&invite, &ok, "ACK", 1, "").as_bytes());
    world.sent();
    deregister(&mut world);
    let sent = world.sent();
    let byes = starts(&sent, "BYE ");
    assert_eq!(byes.iter().map(|s| realm_of(s.hop)).collect::<Vec<_>>(), [Realm::Access, Realm::Core]);
    assert_eq!(byes[0].hop, udp(A));
    assert_eq!(
        (byes[1].hop, byes[1].header("CSeq").unwrap()),
        (to_core("182.1.1.65:5080"), "2 BYE".to_owned())
    );
    assert!(starts(&sent, "ACK ").is_empty(), "it was acknowledged");
    assert_eq!((ordered(&mut world).1.len(), ends(&mut world)), (1, vec![Cause::Deregistered]));
    world.datagram(A, &response(&byes[0], "200 OK", ""));
    world.core(&response(&byes[1], "481 Gone", ""));
    world.none();
    assert_clean(&mut world);
}

/// A BYE that is on its way is not sent a second time in the other one's name: the core had just ended the
/// dialog when the UE de-registered.
#[test]
fn a_bye_on_its_way_is_enough() {
    for from_core in [true, false] {
        let mut world = World::new();
        let (invite, request, ok) = chatting(&mut world);
        world.datagram(A, inside(&invite, &ok, "ACK", 1, "").as_bytes());
        match from_core {
            true => world.core(inside_from_core(&request, "BYE", 7, "").as_bytes()),
            false => world.datagram(A, inside(&invite, &ok, "BYE", 2, "").as_bytes()),
        }
        let passed = world.sent().pop().unwrap();
        deregister(&mut world);
        assert!(starts(&world.sent(), "BYE ").is_empty());
        match from_core {
            true => world.datagram(A, &response(&passed, "200 OK", "")),
            false => world.core(&response(&passed, "200 OK", "")),
        }
        let answered = world.one();
        assert!(
            answered.text().starts_with("SIP/2.0 200 ") && answered.header("CSeq").unwrap().ends_with("BYE")
        );
        assert_eq!(ends(&mut world).len(), 1);
        assert_clean(&mut world);
    }
}

/// Both ends hang up at once (RFC 3261 §15.1.2): each BYE passes, and each is answered.
#[test]
fn byes_cross() {
    let mut world = World::new();
    let (invite, request, ok) = chatting(&mut world);
    world.datagram(A, inside(&invite, &ok, "BYE", 2, "").as_bytes());
    let one = world.one();
    world.core(inside_from_core(&request, "BYE", 7, "").as_bytes());
    let other = world.one();
    assert_eq!((realm_of(one.hop), realm_of(other.hop)), (Realm::Core, Realm::Access));
    world.core(&response(&one, "200 OK", ""));
    world.datagram(A, &response(&other, "481 Gone", ""));
    let sent = world.sent();
    assert_eq!(sent.len(), 2);
    assert_eq!((ordered(&mut world).1.len(), ends(&mut world)), (1, vec![Cause::Bye]));
    assert_clean(&mut world);
}

/// RFC 3261 §9.1: the 200 crosses the CANCEL, and the caller ends the call as any other.
#[test]
fn a_200_crosses_the_cancel() {
    let mut world = World::new();
    let (invite, request) = invited(&mut world, "ft-01-invite-file.sip");
    world.core(&answer(&request, "180 Ringing", "far1", CONTACT, ""));
    world.datagram(A, cancel(&invite).as_bytes());
    let cancelled = starts(&world.sent(), "CANCEL ").remove(0);
    world.core(&answer(&request, "200 OK", "far1", CONTACT, &core_sdp("ft-08-200-invite-file.sip")));
    let ok = world.one();
    assert!(ok.text().starts_with("SIP/2.0 200 OK\r\n") && ok.hop == udp(A));
    world.core(&response(&cancelled, "200 OK", ""));
    world.datagram(A, inside(&invite, &ok, "ACK", 1, "").as_bytes());
    world.datagram(A, inside(&invite, &ok, "BYE", 2, "").as_bytes());
    let sent = world.sent();
    assert_eq!(sent.len(), 2, "ACK and BYE");
    world.core(&response(&sent[1], "200 OK", ""));
    world.sent();
    assert_clean(&mut world);
    assert_eq!(world.edge.counters().exchanges, 0);
}

/// A caller that de-registers while it rings: CANCEL to the far end, 487 to the near one; a 200 that comes
/// all the same is acknowledged as often as it comes, and ended once.
#[test]
fn a_2xx_that_nobody_waits_for_is_taken_back() {
    let mut world = World::new();
    let (_, request) = invited(&mut world, "ft-01-invite-file.sip");
    world.core(&answer(&request, "180 Ringing", "far1", CONTACT, ""));
    world.sent();
    deregister(&mut world);
    let sent = world.sent();
    assert_eq!(starts(&sent, "CANCEL ").len(), 1);
    assert_eq!(starts(&sent, "SIP/2.0 487 ").len(), 1);
    assert_eq!(world.edge.counters().media_sessions, 0, "R72");
    let own = request.header("Record-Route").unwrap();
    let lines = format!("Record-Route: <sip:182.1.1.65:5080;lr>, {own}\r\n{CONTACT}");
    let late = answer(&request, "200 OK", "far1", &lines, &core_sdp("ft-08-200-invite-file.sip"));
    for repeated in [false, true] {
        world.core(&late);
        let sent = world.sent();
        let (acks, byes) = (starts(&sent, "ACK "), starts(&sent, "BYE "));
        assert_eq!(
            (acks.len(), byes.len(), sent.len()),
            (1, usize::from(!repeated), 2 - usize::from(repeated))
        );
        for own in sent {
            assert_eq!(own.hop, to_core("182.1.1.65:5080"));
            assert!(own.text().contains(" sip:as@10.71.174.102:5061;transport=tcp SIP/2.0\r\n"));
            assert_eq!(own.header("Route").unwrap(), "<sip:182.1.1.65:5080;lr>");
            assert_eq!(own.header("Call-ID"), request.header("Call-ID"));
            assert_eq!(own.header("From"), request.header("From"));
            assert!(own.header("To").unwrap().ends_with(";tag=far1"));
        }
        assert!(byes.iter().all(|b| b.header("CSeq").unwrap() == "2 BYE"));
        assert!(acks.iter().all(|a| a.header("CSeq").unwrap() == "1 ACK"));
    }
    assert_clean(&mut world);
    world.pass(200 * SECONDS);
    assert_eq!(world.edge.counters().exchanges, 0);
}

/// The same towards a UE that is called: the binding expires while it rings.
#[test]
fn a_callee_whose_registration_ends_is_cancelled() {
    let mut world = World::new();
    world.datagram(B, register("user2", B, 1, "").as_bytes());
    let request = world.one();
    let ue = accept(&mut world, &request, 60);
    world.sent();
    world.pass(50 * SECONDS);
    world.core(from_core("ft-09-invite-file-to-ue.sip", &ue.path).as_bytes());
    let to_ue = world.sent().into_iter().find(|s| realm_of(s.hop) == Realm::Access).unwrap();
    let lines = format!("Contact: <sip:user2@{B}>\r\n");
    world.datagram(B, &answer(&to_ue, "180 Ringing", "tb", &lines, ""));
    world.sent();
    world.pass(10 * SECONDS);
    let sent = world.sent();
    let cancels = starts(&sent, "CANCEL ");
    assert_eq!((cancels.len(), cancels[0].hop), (1, udp(B)));
    assert_eq!(starts(&sent, "SIP/2.0 480 ").len(), 1);
    world.datagram(B, &answer(&to_ue, "200 OK", "tb", &lines, &body_of("ft-10-200-from-ue.sip")));
    let sent = world.sent();
    assert_eq!((starts(&sent, "ACK ").len(), starts(&sent, "BYE ").len(), sent.len()), (1, 1, 2));
    assert!(sent.iter().all(|s| s.hop == udp(B)));
    world.pass(200 * SECONDS);
    assert_clean(&mut world);
    assert_eq!(world.edge.counters().exchanges, 0);
}

/// The UE's connection broke, it is back over another one, and the 200 finds it there.
#[test]
fn an_answer_follows_the_ue_to_its_new_flow() {
    let mut world = World::new();
    let first = world.open(Realm::Access, Transport::Tcp, A);
    world.bytes(first, register("user1", A, 1, "").as_bytes());
    let request = world.one();
    accept(&mut world, &request, 3600);
    world.sent();
    let invite = vector_text("chat-01-invite.sip");
    world.bytes(first, invite.as_bytes());
    let request = world.sent().remove(0);
    world.core(&answer(&request, "180 Ringing", "far1", CONTACT, ""));
    world.sent();
    world.close(first);
    let second = world.open(Realm::Access, Transport::Tcp, "182.1.1.203:50000");
    world.bytes(second, register("user1", A, 2, "").as_bytes());
    let again = world.one();
    accept(&mut world, &again, 3600);
    world.sent();
    let lines = format!("Contact: {CORE_CONTACT}\r\n");
    world.core(&answer(&request, "200 OK", "far1", &lines, &core_sdp("chat-02-200.sip")));
    let ok = world.one();
    assert_eq!(ok.hop, Hop::Stream(second));
    world.bytes(second, inside(&invite, &ok, "ACK", 1, "").as_bytes());
    assert!(world.one().text().starts_with("ACK "));
    world.pass(200 * SECONDS);
    assert_eq!(world.edge.counters().calls, 1, "it came back in time");
}

/// The UE does not come back: an INVITE that rings is cancelled, one that was answered is acknowledged and
/// ended.
#[test]
fn a_caller_that_is_gone_for_good() {
    for answered in [true, false] {
        let mut world = World::new();
        let first = world.open(Realm::Access, Transport::Tcp, A);
        world.bytes(first, register("user1", A, 1, "").as_bytes());
        let request = world.one();
        accept(&mut world, &request, 3600);
        world.sent();
        world.bytes(first, vector_text("chat-01-invite.sip").as_bytes());
        let request = world.sent().remove(0);
        world.core(&answer(&request, "180 Ringing", "far1", CONTACT, ""));
        world.close(first);
        if answered {
            world.core(&answer(&request, "200 OK", "far1", CONTACT, &core_sdp("chat-02-200.sip")));
        }
        world.sent();
        world.pass(120 * SECONDS);
        let sent = world.sent();
        let count = |with| starts(&sent, with).len();
        match answered {
            true => assert_eq!((count("ACK "), count("BYE "), count("CANCEL ")), (1, 1, 0)),
            false => assert_eq!((count("ACK "), count("BYE "), count("CANCEL ")), (0, 0, 1)),
        }
        world.pass(200 * SECONDS);
        assert_clean(&mut world);
        assert_eq!(world.edge.counters().exchanges, 0);
    }
}

/// Glare (RFC 3261 §14.1): two new offers meet, both get their 491, and what was agreed stays.
#[test]
fn glare_leaves_everything_as_it_was() {
    let mut world = World::new();
    let (invite, request, ok) = chatting(&mut world);
    world.datagram(A, inside(&invite, &ok, "ACK", 1, "").as_bytes());
    world.sent();
    ordered(&mut world);
    let sdp =
        |text: &str| format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    let offer = body_of("chat-04-200-from-ue.sip");
    let ue = inside(&invite, &ok, "INVITE", 3, &format!("Contact: <sip:user1@{A}>\r\n"));
    world.datagram(A, ue.replace("Content-Length: 0\r\n\r\n", &sdp(&offer)).as_bytes());
    let sent = world.sent();
    assert!(sent[0].text().starts_with("INVITE "), "{}", sent[0].text());
    let by_ue = sent[0].clone();
    let core = inside_from_core(&request, "INVITE", 8, CONTACT);
    world.core(core.replace("Content-Length: 0\r\n\r\n", &sdp(&core_sdp("chat-02-200.sip"))).as_bytes());
    let by_core = starts(&world.sent(), "INVITE ").remove(0);
    world.core(&response(&by_ue, "491 Request Pending", ""));
    world.datagram(A, &response(&by_core, "491 Request Pending", ""));
    let sent = world.sent();
    assert_eq!(starts(&sent, "SIP/2.0 491 ").len(), 2);
    assert_eq!(starts(&sent, "ACK ").len(), 2, "each refusal is acknowledged hop by hop");
    assert_eq!(ordered(&mut world), (vec![], vec![]));
    assert_eq!(world.edge.counters().media_sessions, 1);
    // And one of them tries again.
    let ue = inside(&invite, &ok, "INVITE", 4, &format!("Contact: <sip:user1@{A}>\r\n"));
    world.datagram(A, ue.replace("Content-Length: 0\r\n\r\n", &sdp(&offer)).as_bytes());
    let by_ue = starts(&world.sent(), "INVITE ").remove(0);
    world.core(&answer(&by_ue, "200 OK", "far1", CONTACT, &core_sdp("chat-02-200.sip")));
    assert!(world.sent().pop().unwrap().text().contains("a=path:msrp://182.3.1.7:2855/"));
}

/// RFC 4028: 422 and Min-SE pass, an UPDATE refreshes, and the expired session is ended both ways.
#[test]
fn session_timers() {
    let mut world = World::new();
    let (_, request) = invited(&mut world, "chat-01-invite.sip");
    world.core(&response(&request, "422 Session Interval Too Small", "Min-SE: 900\r\n"));
    let sent = world.sent();
    assert_eq!(starts(&sent, "SIP/2.0 422 ")[0].header("Min-SE").unwrap(), "900");
    let mut world = World::new();
    let (invite, request) = invited(&mut world, "chat-01-invite.sip");
    let lines = format!("{CONTACT}Session-Expires: 1800;refresher=uac\r\n");
    world.core(&answer(&request, "200 OK", "far1", &lines, &core_sdp("chat-02-200.sip")));
    let ok = world.one();
    assert_eq!(ok.header("Session-Expires").unwrap(), "1800;refresher=uac");
    world.datagram(A, inside(&invite, &ok, "ACK", 1, "").as_bytes());
    world.pass(1_700 * SECONDS);
    world.sent();
    let update = inside(&invite, &ok, "UPDATE", 2, "Session-Expires: 1800;refresher=uac\r\n");
    world.datagram(A, update.as_bytes());
    let update = world.one();
    assert_eq!(update.header("Session-Expires").unwrap(), "1800;refresher=uac");
    world.core(&response(&update, "200 OK", "Session-Expires: 1800;refresher=uac\r\n"));
    world.sent();
    world.pass(1_800 * SECONDS);
    world.none();
    world.pass(33 * SECONDS);
    assert_eq!((ordered(&mut world).1.len(), ends(&mut world)), (1, vec![Cause::SessionTimeout]));
    let byes = starts(&world.sent(), "BYE ");
    assert!(byes.len() >= 2, "both ends are told, for their media are gone");
    assert_clean(&mut world);
}

/// A fork that two ends answer (RFC 3261 §13.2.2.4): two dialogs, each with its media; the UE keeps one.
#[test]
fn a_fork_of_two_answers() {
    let mut world = World::new();
    let (invite, request) = invited(&mut world, "chat-01-invite.sip");
    let mut oks = Vec::new();
    for (tag, host) in [("t1", "10.1.1.1"), ("t2", "10.2.2.2")] {
        let lines = format!("Contact: <sip:as@{host}:5061>\r\n");
        world.core(&answer(&request, "200 OK", tag, &lines, &core_sdp("chat-02-200.sip")));
        oks.push(world.one());
    }
    assert_eq!(world.edge.counters().media_sessions, 2);
    for ok in &oks {
        world.datagram(A, inside(&invite, ok, "ACK", 1, "").as_bytes());
    }
    let acks = world.sent();
    assert!(
        acks[0].text().starts_with("ACK sip:as@10.1.1.1:5061 ")
            && acks[1].text().starts_with("ACK sip:as@10.2.2.2:5061 ")
    );
    world.datagram(A, inside(&invite, &oks[0], "BYE", 2, "").as_bytes());
    let bye = world.one();
    assert!(
        bye.text().starts_with("BYE sip:as@10.1.1.1:5061 ") && bye.header("To").unwrap().ends_with("tag=t1")
    );
    world.core(&response(&bye, "200 OK", ""));
    world.sent();
    assert_eq!((world.edge.counters().media_sessions, ordered(&mut world).1.len()), (1, 1));
    // R58: capabilities inside the dialog that is left, both ways.
    world.datagram(A, inside(&invite, &oks[1], "OPTIONS", 3, "").as_bytes());
    let options = world.one();
    assert!(options.text().starts_with("OPTIONS sip:as@10.2.2.2:5061 "), "{}", options.text());
    world.core(&response(&options, "200 OK", "Accept: application/sdp\r\n"));
    assert_eq!(world.one().header("Accept").unwrap(), "application/sdp");
    world.core(inside_from_core(&request, "OPTIONS", 9, "").replace("tag=far1", "tag=t2").as_bytes());
    let options = world.one();
    assert_eq!(options.hop, udp(A));
    world.datagram(A, &response(&options, "200 OK", ""));
    assert!(world.one().text().starts_with("SIP/2.0 200 "));
    world.core(inside_from_core(&request, "BYE", 10, "").replace("tag=far1", "tag=t2").as_bytes());
    let bye = world.one();
    world.datagram(A, &response(&bye, "200 OK", ""));
    world.sent();
    assert_clean(&mut world);
}

/// A repeated 2xx is passed on each time, as it was first; so is its ACK; nothing is ordered twice.
#[test]
fn a_2xx_and_its_ack_are_repeated() {
    let mut world = World::new();
    let (invite, request, first) = chatting(&mut world);
    ordered(&mut world);
    let own = request.header("Record-Route").unwrap();
    let lines = format!(
        "Record-Route: <sip:182.1.1.66;lr;x=1>, <sip:182.1.1.65:5080;lr>, {own}\r\nContact: {CORE_CONTACT}\r\n"
    );
    let ok = answer(&request, "200 OK", "far1", &lines, &core_sdp("chat-02-200.sip"));
    for n in 0..3 {
        world.pass(SECONDS);
        world.core(&ok);
        assert_eq!(world.one().bytes, first.bytes, "{n}");
        world.datagram(A, inside(&invite, &first, "ACK", 1, "").as_bytes());
        assert!(world.one().text().starts_with("ACK "));
    }
    assert_eq!(ordered(&mut world), (vec![], vec![]));
    // Beyond 64·T1 it belongs to nothing.
    world.pass(40 * SECONDS);
    world.core(&ok);
    world.none();
    assert_eq!(world.edge.counters().calls, 1);
}
