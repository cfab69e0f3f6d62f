//! R35, R64, R72: how calls end, orderly and otherwise, and what is lost on the way.

use crate::calls::{
    A, B, CORE_CONTACT, SECONDS, answer, assert_clean, body_of, chatting, core_sdp, ends, from_core, inside,
    inside_from_core, invited, ordered,
};
use crate::ue::{accept, register, registered_udp};
use crate::world::{World, header, response, vector_text};
use core::time::Duration;
use media::command::MediaNotice;
use wire::{Cause, Realm, Transport};

#[test]
fn a_cancelled_invite_leaves_nothing() {
    let mut world = World::new();
    let (invite, request) = invited(&mut world, "ft-01-invite-file.sip");
    world.core(&answer(&request, "180 Ringing", "far1", &format!("Contact: {CORE_CONTACT}\r\n"), ""));
    let ringing = world.one();
    assert_eq!(ringing.own_route(), "<sip:182.3.1.6:5060;transport=udp;lr>");
    let cancel = format!(
        "CANCEL sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org SIP/2.0\r\nVia: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 CANCEL\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        header(&invite, "Via").unwrap(),
        header(&invite, "From").unwrap(),
        header(&invite, "To").unwrap(),
        header(&invite, "Call-ID").unwrap(),
    );
    world.datagram(A, cancel.as_bytes());
    let sent = world.sent();
    assert!(sent[0].text().starts_with("SIP/2.0 200 ") && sent[1].text().starts_with("CANCEL "));
    world.core(&response(&sent[1], "200 OK", ""));
    world.none();
    world.core(&answer(&request, "487 Request Terminated", "far1", "", ""));
    let sent = world.sent();
    assert!(sent[0].text().starts_with("ACK ") && sent[1].text().starts_with("SIP/2.0 487 "));
    assert_clean(&mut world);
    assert_eq!(ends(&mut world), [], "there was no dialog yet");
}

#[test]
fn a_refused_or_unanswered_invite_releases_what_was_reserved() {
    for refused in [true, false] {
        let mut world = World::new();
        let registered = registered_udp(&mut world, "user2", B);
        world.core(from_core("ft-09-invite-file-to-ue.sip", &registered.path).as_bytes());
        let request = world.sent().remove(0);
        let (reserved, _) = ordered(&mut world);
        assert_eq!(world.edge.counters().media_sessions, 1);
        if refused {
            world.datagram(B, &response(&request, "486 Busy Here", ""));
        } else {
            world.pass(33 * SECONDS);
        }
        let last = world.sent().pop().unwrap();
        let status = if refused { "SIP/2.0 486" } else { "SIP/2.0 408" };
        assert!(last.text().starts_with(status), "{}", last.text());
        assert_eq!(ordered(&mut world).1, [reserved[0].id]);
        assert_clean(&mut world);
    }
}

/// Forking in the core: two early dialogs, the second is taken; a late 200 of the first would be one
/// more dialog (RFC 3261 §16.7 step 5).
#[test]
fn a_fork_makes_early_dialogs_and_the_losers_end_with_the_invite() {
    let mut world = World::new();
    let (invite, request) = invited(&mut world, "ft-01-invite-file.sip");
    let sdp = core_sdp("ft-08-200-invite-file.sip");
    let lines = format!("Contact: {CORE_CONTACT}\r\n");
    for (status, tag, session) in
        [("183 Progress", "t1", "s1"), ("183 Progress", "t2", "s2"), ("200 OK", "t2", "s2")]
    {
        let sdp = sdp.replace("hwuHovDNYnuvpx", session);
        world.core(&answer(&request, status, tag, &lines, &sdp));
        assert!(world.one().text().contains(&format!(":2855/{session};tcp")));
    }
    let (sessions, released) = ordered(&mut world);
    assert_eq!((sessions.len(), released.len()), (2, 0), "the 200 tells nothing new");
    // The 200 is repeated until the ACK gets through, and passed on each time (RFC 6026).
    let again = answer(&request, "200 OK", "t2", &lines, &sdp.replace("hwuHovDNYnuvpx", "s2"));
    world.core(&again);
    let ok = world.one();
    assert_eq!(ordered(&mut world).0.len(), 0);
    world.pass(40 * SECONDS);
    assert_eq!(ordered(&mut world).1, [sessions[0].id]);
    world.sent();
    world.datagram(A, inside(&invite, &ok, "BYE", 2, "").as_bytes());
    let bye = world.one();
    assert!(bye.text().starts_with("BYE sip:as@10.71.174.102:5061;transport=tcp"));
    world.core(&response(&bye, "200 OK", ""));
    assert_eq!(ordered(&mut world).1, [sessions[1].id]);
    assert_clean(&mut world);
}

#[test]
fn lost_datagrams_are_made_good() {
    let mut world = World::new();
    let (invite, request) = invited(&mut world, "lm-01-invite.sip");
    // Our INVITE got lost: it is sent again; the UE's own retransmission is answered from store.
    world.pass(600 * Duration::from_millis(1));
    assert_eq!(world.one().bytes, request.bytes);
    world.datagram(A, invite.as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 100 "));
    let lines = "Contact: <sip:10.71.174.102:5061>\r\n";
    let ok = answer(&request, "202 Accepted", "far1", lines, &body_of("lm-02-202-invite.sip"));
    world.core(&ok);
    let first = world.one();
    assert!(first.text().starts_with("SIP/2.0 202 "), "R35: 202 to INVITE is success");
    let (sessions, _) = ordered(&mut world);
    assert_eq!(sessions.len(), 1);
    // The 202 got lost behind us: the core repeats it, we pass it on as before.
    world.pass(SECONDS);
    world.none();
    world.core(&ok);
    assert_eq!(world.one().bytes, first.bytes);
    // A lost ACK: the UE repeats it for the repeated 202.
    for _ in 0..2 {
        world.datagram(A, inside(&invite, &first, "ACK", 1, "").as_bytes());
        assert!(world.one().text().starts_with("ACK "));
    }
    // A lost BYE is sent again; the UE's own is absorbed.
    let bye = inside(&invite, &first, "BYE", 2, "");
    world.datagram(A, bye.as_bytes());
    let passed = world.one();
    world.datagram(A, bye.as_bytes());
    world.none();
    world.pass(600 * Duration::from_millis(1));
    assert_eq!(world.one().bytes, passed.bytes);
    world.core(&response(&passed, "200 OK", ""));
    assert!(world.one().text().starts_with("SIP/2.0 200 "));
    // The 202 once more, late: it makes no new dialog and shows no address.
    world.core(&ok);
    let late = world.one().text();
    assert!(late.ends_with("Content-Length: 0\r\n\r\n") || !late.contains("10.71."), "{late}");
    assert_eq!(world.edge.counters().media_sessions, 0);
    assert_clean(&mut world);
}

/// RFC 3261 §15.1.1: the session is over with the BYE, answered or not.
#[test]
fn a_bye_that_nobody_answers_ends_the_dialog_too() {
    let mut world = World::new();
    let (invite, _, ok) = chatting(&mut world);
    world.datagram(A, inside(&invite, &ok, "BYE", 2, "").as_bytes());
    world.sent();
    world.pass(40 * SECONDS);
    let last = world.sent().pop().unwrap();
    assert!(last.text().starts_with("SIP/2.0 408 "));
    assert_eq!(ends(&mut world), [Cause::Bye]);
    world.pass(60 * SECONDS);
    assert_clean(&mut world);
}

/// R64: a session that is not refreshed in time is dropped; one that is, lives on.
#[test]
fn the_session_timer_ends_what_nobody_refreshes() {
    let mut world = World::new();
    let (invite, request) = invited(&mut world, "chat-01-invite.sip");
    let lines = format!("Contact: {CORE_CONTACT}\r\nSession-Expires: 1800;refresher=uac\r\n");
    world.core(&answer(&request, "200 OK", "far1", &lines, &core_sdp("chat-02-200.sip")));
    let ok = world.one();
    world.pass(1700 * SECONDS);
    world.datagram(A, inside(&invite, &ok, "UPDATE", 2, "Session-Expires: 1800\r\n").as_bytes());
    let update = world.one();
    world.core(&response(&update, "200 OK", "Session-Expires: 1800;refresher=uac\r\n"));
    world.one();
    world.pass(1800 * SECONDS);
    assert_eq!(world.edge.counters().calls, 1);
    ordered(&mut world);
    world.pass(40 * SECONDS);
    assert_eq!((ordered(&mut world).1.len(), ends(&mut world)), (1, vec![Cause::SessionTimeout]));
    assert_clean(&mut world);
}

/// R72: with the registration go its calls.
#[test]
fn the_end_of_the_registration_ends_its_calls() {
    let mut world = World::new();
    let (_, request, _) = chatting(&mut world);
    world.datagram(A, register("user1", A, 2, "Expires: 0\r\n").as_bytes());
    let deregister = world.one();
    world.core(&response(&deregister, "200 OK", ""));
    world.sent();
    assert_eq!((ordered(&mut world).1.len(), ends(&mut world)), (1, vec![Cause::Deregistered]));
    assert_clean(&mut world);
    world.sent();
    world.core(inside_from_core(&request, "BYE", 7, "").as_bytes());
    let refused = world.one();
    assert!(refused.text().starts_with("SIP/2.0 481 "), "{}", refused.text());
}

/// A UE that changes its network keeps its call, if it comes back in time (R7, R72).
#[test]
fn a_call_waits_for_its_ue_to_come_back() {
    for comes_back in [true, false] {
        let mut world = World::new();
        let first = world.open(Realm::Access, Transport::Tcp, A);
        world.bytes(first, register("user1", A, 1, "").as_bytes());
        let request = world.one();
        accept(&mut world, &request, 3600);
        world.sent();
        world.bytes(first, vector_text("chat-01-invite.sip").as_bytes());
        let request = world.sent().remove(0);
        world.core(&answer(
            &request,
            "200 OK",
            "far1",
            &format!("Contact: {CORE_CONTACT}\r\n"),
            &core_sdp("chat-02-200.sip"),
        ));
        world.sent();
        world.close(first);
        world.core(inside_from_core(&request, "INFO", 2, "").as_bytes());
        assert!(world.one().text().starts_with("SIP/2.0 430 "));
        if comes_back {
            world.pass(60 * SECONDS);
            let second = world.open(Realm::Access, Transport::Tcp, "182.1.1.203:50000");
            world.bytes(second, register("user1", A, 2, "").as_bytes());
            let again = world.one();
            accept(&mut world, &again, 3600);
            world.sent();
            world.pass(100 * SECONDS);
            world.core(inside_from_core(&request, "INFO", 3, "").as_bytes());
            assert_eq!(world.one().hop, wire::Hop::Stream(second));
        } else {
            world.pass(120 * SECONDS);
            assert_eq!(ends(&mut world), [Cause::FlowGone]);
            let sent = world.sent();
            let [ack, bye] = &sent[..] else { panic!("{sent:?}") };
            assert!(ack.text().starts_with("ACK sip:as@10.71.174.102:5061;transport=tcp SIP/2.0\r\n"));
            assert!(bye.text().starts_with("BYE sip:as@10.71.174.102:5061;transport=tcp SIP/2.0\r\n"));
            world.core(&response(bye, "200 OK", ""));
            world.none();
            assert_clean(&mut world);
        }
    }
}

/// R56, R72: the relay gives the last session up by itself, and both ends are told; or not, if the
/// operator leaves it to them.
#[test]
fn a_session_that_the_relay_ended_ends_its_call() {
    for end_calls in [true, false] {
        let mut config = crate::world::config();
        config.msrp.end_calls = end_calls;
        let mut world = World::with(config);
        let (invite, request, ok) = chatting(&mut world);
        world.datagram(A, inside(&invite, &ok, "ACK", 1, "").as_bytes());
        world.one();
        world.datagram(A, inside(&invite, &ok, "INFO", 4, "").as_bytes());
        let info = world.one();
        world.core(&response(&info, "200 OK", ""));
        world.one();
        let (sessions, _) = ordered(&mut world);
        let ended =
            MediaNotice::Ended { id: sessions[0].id, cause: Cause::MsrpIdle, totals: Default::default() };
        for _ in 0..2 {
            world.event(edge::Event::Media(ended.clone()));
        }
        assert_eq!(world.edge.counters().media_sessions, 0);
        let sent = world.sent();
        if !end_calls {
            assert!(sent.is_empty() && world.edge.counters().calls == 1);
            world.datagram(A, inside(&invite, &ok, "BYE", 5, "").as_bytes());
            let bye = world.one();
            world.core(&response(&bye, "200 OK", ""));
            assert_eq!(ordered(&mut world).1, [], "it is released already");
            assert_clean(&mut world);
            continue;
        }
        let [to_ue, to_core] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!(to_ue.hop, crate::world::udp(A));
        let target = header(&invite, "Contact").unwrap();
        let target = target.split(['<', '>']).nth(1).unwrap();
        assert!(to_ue.text().starts_with(&format!("BYE {target} SIP/2.0\r\n")), "{}", to_ue.text());
        assert!(to_core.text().starts_with("BYE sip:as@10.71.174.102:5061;transport=tcp SIP/2.0\r\n"));
        assert_eq!(to_core.header("Route").unwrap(), "<sip:182.1.1.65:5080;lr>, <sip:182.1.1.66;lr;x=1>");
        assert_eq!(to_core.hop, crate::world::to_core("182.1.1.65:5080"));
        // As the other end would have said it, with its next CSeq.
        assert_eq!(to_core.header("CSeq").unwrap(), "5 BYE");
        assert_eq!(to_ue.header("CSeq").unwrap(), "1 BYE");
        let tag = |value: Option<String>| value.unwrap().split("tag=").nth(1).unwrap().to_owned();
        let (from, to) = (tag(ok.header("From")), tag(ok.header("To")));
        for (sent, f, t) in [(to_core, &from, &to), (to_ue, &to, &from)] {
            assert_eq!((&tag(sent.header("From")), &tag(sent.header("To"))), (f, t));
            assert_eq!(sent.header("Call-ID"), request.header("Call-ID"));
            assert!(sent.header("Reason").unwrap().starts_with("SIP;cause=503;text=\""));
        }
        assert!(!to_ue.text().contains("182.1.1.6") && !to_ue.text().contains("10.71."), "{}", to_ue.text());
        // Lost and sent again; whatever is answered goes nowhere.
        world.pass(600 * Duration::from_millis(1));
        assert_eq!(world.sent().len(), 2);
        world.datagram(A, &response(to_ue, "481 Gone", ""));
        world.core(&response(to_core, "200 OK", ""));
        world.none();
        assert_eq!(ends(&mut world), [Cause::MsrpIdle]);
        assert_clean(&mut world);
        assert_eq!(world.edge.counters().exchanges, 0);
    }
}
