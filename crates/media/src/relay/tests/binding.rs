//! Who may use a session, over which connection (R76, R77).

use super::*;

#[test]
fn both_roles_of_setup() {
    // We dial the core: the usual case, in `connected`. Here the core connects to us, and binds likewise.
    let mut session = usual();
    session.core.opening = Opening::Listen;
    session.core.expect_source = Some("198.51.100.1".parse().unwrap());
    let mut shell = Shell::new();
    shell.session(session);
    assert_eq!(shell.dials, []);
    let core = shell.open(2, Realm::Core, "198.51.100.1:5555");
    let ue = shell.open(1, Realm::Access, UE);
    shell.bytes(core, message("fromcore", "SEND", TO_CORE, CORE_PATH, ""));
    shell.bytes(ue, from_ue("fromue", ""));
    assert_eq!(shell.take(core), escaped(&to_core("fromue", "")));
    assert_eq!(shell.take(ue), escaped(&message("fromcore", "SEND", UE_PATH, TO_UE, "")));
    let bound = |realm| MediaNotice::Bound { id: ID, realm };
    assert_eq!(shell.notices, [bound(Realm::Core), bound(Realm::Access)]);
    assert_eq!(shell.causes(), []);
}

#[test]
fn a_spoofed_source_is_refused_and_closed() {
    let mut shell = Shell::new();
    shell.session(usual());
    let thief = shell.open(1, Realm::Access, "203.0.113.10:40000");
    shell.bytes(thief, from_ue("steal", &with_body("x")));
    assert_eq!(shell.take(thief), escaped(&message("steal", "481 No Such Session", UE_PATH, TO_UE, "")));
    assert_eq!(shell.closed, [thief]);
    assert_eq!(shell.causes(), [("msrp_wrong_source", 1)]);
    // The session is not harmed, and the address may be written as an IPv6 one.
    let ue = shell.open(2, Realm::Access, "[::ffff:203.0.113.9]:1");
    shell.bytes(ue, from_ue("mine", ""));
    assert_eq!(shell.notices.len(), 1);
}

#[test]
fn verdicts_on_a_new_connection() {
    let stranger = "msrp://10.9.9.9:9/other;tcp";
    let table: &[(&str, String, Option<&str>, bool, &str)] = &[
        (
            "unknown session-id",
            message("abcd", "SEND", "msrp://192.0.2.1:2855/nope;tcp", UE_PATH, ""),
            Some("481 No Such Session"),
            true,
            "msrp_unknown_session",
        ),
        (
            "foreign From-Path",
            message("abcd", "SEND", TO_UE, stranger, ""),
            Some("481 No Such Session"),
            true,
            "msrp_unknown_session",
        ),
        (
            "session-id of the other side",
            message("abcd", "SEND", TO_CORE, CORE_PATH, ""),
            Some("481 No Such Session"),
            true,
            "msrp_unknown_session",
        ),
        (
            "Failure-Report: no",
            message("abcd", "SEND", "msrp://h:1/nope;tcp", UE_PATH, "Failure-Report: no\r\n"),
            None,
            true,
            "msrp_unknown_session",
        ),
        (
            "REPORT of nothing",
            message("abcd", "REPORT", "msrp://h:1/nope;tcp", UE_PATH, ""),
            None,
            true,
            "msrp_unknown_session",
        ),
        (
            "binding by something else than SEND",
            message("abcd", "NICKNAME", TO_UE, UE_PATH, ""),
            Some("481 No Such Session"),
            true,
            "msrp_unknown_session",
        ),
        (
            "response of nothing",
            message("abcd", "200 OK", TO_UE, UE_PATH, ""),
            None,
            false,
            "msrp_unknown_session",
        ),
        (
            "AUTH",
            message("abcd", "AUTH", "msrp://192.0.2.1:2855;tcp", UE_PATH, ""),
            Some("501 Not Implemented"),
            false,
            "method_not_allowed",
        ),
        (
            "no URI",
            message("abcd", "SEND", "nonsense", UE_PATH, ""),
            Some("400 Bad Request"),
            false,
            "msrp_bad_request",
        ),
        ("not MSRP", "GET / HTTP/1.1\r\n".to_owned(), None, true, "msrp_bad_request"),
    ];
    for (name, input, answer, closes, cause) in table {
        let mut shell = Shell::new();
        shell.session(usual());
        let conn = shell.open(1, Realm::Access, UE);
        shell.bytes(conn, input);
        let sent = shell.take(conn);
        match answer {
            Some(answer) => assert!(sent.contains(answer), "{name}: {sent}"),
            None => assert_eq!(sent, "", "{name}"),
        }
        assert_eq!(shell.closed, if *closes { vec![conn] } else { vec![] }, "{name}");
        assert_eq!(shell.causes(), [(*cause, 1)], "{name}");
    }
}

#[test]
fn a_bound_session_takes_no_second_connection() {
    let (mut shell, ue, core) = connected();
    let second = shell.open(3, Realm::Access, UE);
    shell.bytes(second, from_ue("second", ""));
    assert_eq!(
        shell.take(second),
        escaped(&message("second", "506 Session Already Bound", UE_PATH, TO_UE, ""))
    );
    assert_eq!(shell.closed, [second]);
    shell.bytes(ue, from_ue("first", ""));
    assert_eq!(shell.take(core), escaped(&to_core("first", "")));
    // Once the first one is gone, the UE may come back.
    shell.event(Event::Closed { conn: ue });
    let third = shell.open(4, Realm::Access, UE);
    shell.bytes(third, from_ue("third", ""));
    assert_eq!(shell.take(core), escaped(&to_core("third", "")));
}

#[test]
fn an_unknown_session_on_a_bound_connection_leaves_it_open() {
    let (mut shell, ue, core) = connected();
    let unknown = message("abcd", "SEND", "msrp://h:1/nope;tcp", UE_PATH, &with_body("lost"));
    shell.bytes(ue, unknown + &from_ue("next", &with_body("kept")));
    assert!(shell.take(ue).contains("481"));
    assert_eq!(shell.take(core), escaped(&to_core("next", &with_body("kept"))));
    assert_eq!(shell.closed, []);
}

#[test]
fn a_ue_that_is_faster_than_its_200_waits() {
    let mut early = usual();
    early.access.remote_path = None;
    let mut shell = Shell::new();
    shell.session(early);
    assert_eq!(shell.dials, [], "nothing to say to the core yet");
    let ue = shell.open(1, Realm::Access, UE);
    shell.bytes(ue, from_ue("early", ""));
    assert_eq!(shell.take(ue), "");
    assert!(shell.paused.contains(&ue));
    let thief = shell.open(3, Realm::Access, "203.0.113.10:1");
    shell.bytes(thief, from_ue("steal", ""));
    assert_eq!(shell.closed, [thief], "waiting is for the signalled address only");
    shell.session(usual());
    let core = shell.opened(2, Realm::Core, CORE, Some(ID));
    assert_eq!(shell.take(core), escaped(&to_core("early", "")));
    assert!(shell.paused.is_empty());
}

#[test]
fn sessions_that_share_a_connection_end_one_by_one() {
    let mut shell = Shell::new();
    let ue = shell.open(9, Realm::Access, UE);
    let mut cores = Vec::new();
    for n in 1..=2 {
        let session = numbered(n);
        shell.session(session.clone());
        cores.push(shell.opened(n, Realm::Core, CORE, Some(session.id)));
        let to = core::str::from_utf8(&session.access.local_path).unwrap().to_owned();
        let from = core::str::from_utf8(session.access.remote_path.as_ref().unwrap()).unwrap().to_owned();
        shell.bytes(ue, message("bind", "SEND", &to, &from, ""));
    }
    shell.end(numbered(1).id);
    assert_eq!(shell.closed, [cores[0]], "the UE's connection still carries the second");
    shell.end(numbered(2).id);
    assert_eq!(shell.closed[1..], [ue, cores[1]]);
    assert_eq!((shell.relay.session_count(), shell.relay.connection_count()), (0, 0));
}

#[test]
fn bye_closes_both_sides_and_reports_what_went_through() {
    let (mut shell, ue, core) = connected();
    let (chunk, answer) =
        (from_ue("data", &with_body("hello")), message("data", "200 OK", TO_CORE, CORE_PATH, ""));
    shell.bytes(ue, &chunk);
    shell.bytes(core, &answer);
    shell.notices.clear();
    shell.end(ID);
    assert_eq!(shell.closed, [ue, core]);
    let [MediaNotice::Ended { id: ID, cause: Cause::Bye, totals }] = &shell.notices[..] else {
        panic!("{:?}", shell.notices)
    };
    assert_eq!(totals.access_bytes, (from_ue("bind", "Message-ID: m0\r\n").len() + chunk.len()) as u64);
    assert_eq!(totals.core_bytes, answer.len() as u64);
    assert_eq!((totals.access_messages, totals.core_messages), (1, 0));
    assert_eq!(shell.relay.next_deadline(), None);
    // Late bytes and a late close are nobody's.
    shell.bytes(ue, "MSRP late");
    shell.event(Event::Closed { conn: ue });
    shell.end(ID);
    assert_eq!(shell.notices.len(), 1);
}

#[test]
fn a_peer_that_moved_binds_anew() {
    let (mut shell, ue, core) = connected();
    let mut moved = usual();
    moved.access.expect_source = Some("203.0.113.77".parse().unwrap());
    shell.session(moved);
    assert_eq!(shell.closed, [ue]);
    let again = shell.open(5, Realm::Access, "203.0.113.77:2");
    shell.bytes(again, from_ue("again", ""));
    assert_eq!(shell.take(core), escaped(&to_core("again", "")));
    // The same description again changes nothing.
    let mut same = usual();
    same.access.expect_source = Some("203.0.113.77".parse().unwrap());
    shell.session(same);
    assert_eq!(shell.closed, [ue]);
    assert_eq!(shell.dials.len(), 1);
}

#[test]
fn dial_results_that_nobody_wants_any_longer() {
    let mut shell = Shell::new();
    shell.session(usual());
    shell.end(ID);
    let late = shell.opened(2, Realm::Core, CORE, Some(ID));
    assert_eq!(shell.closed, [late]);
    shell.event(Event::DialFailed { id: ID, realm: Realm::Core });
    assert_eq!(shell.relay.connection_count(), 0);
}

#[test]
fn a_core_that_cannot_be_reached_ends_the_session_with_408() {
    let mut shell = Shell::new();
    shell.session(usual());
    let ue = shell.open(1, Realm::Access, UE);
    shell.bytes(ue, from_ue("wait", &with_body("x")));
    shell.event(Event::DialFailed { id: ID, realm: Realm::Core });
    assert_eq!(shell.take(ue), escaped(&message("wait", "408 Timeout", UE_PATH, TO_UE, "")));
    assert_eq!(shell.closed, [ue]);
    assert_eq!(shell.dials.len(), 1, "it is not dialled again");
    assert!(matches!(shell.notices.last(), Some(MediaNotice::Ended { cause: Cause::MsrpPeerGone, .. })));
    assert_eq!(shell.relay.held_bytes(), 0);
}

#[test]
fn a_core_that_closed_is_dialled_when_there_is_something_to_say() {
    let (mut shell, ue, core) = connected();
    shell.event(Event::Closed { conn: core });
    assert_eq!(shell.dials.len(), 1);
    shell.bytes(ue, from_ue("again", &with_body("x")));
    assert_eq!(shell.dials.len(), 2);
    let core = shell.opened(7, Realm::Core, CORE, Some(ID));
    assert_eq!(shell.take(core), escaped(&to_core("again", &with_body("x"))));
    assert!(shell.paused.is_empty());
}

#[test]
fn tables_are_capped() {
    let limits =
        Limits { sessions_max: 2, connections_max: 2, sessions_per_connection_max: 1, ..Limits::default() };
    let mut shell = Shell::with(limits);
    for n in 1..=3 {
        shell.session(numbered(n));
    }
    let full = MediaNotice::Ended {
        id: numbered(3).id,
        cause: Cause::TableFull,
        totals: crate::command::MediaTotals::default(),
    };
    assert_eq!(shell.notices, [full]);
    let ue = shell.open(1, Realm::Access, UE);
    for n in 1..=2 {
        let session = numbered(n);
        let to = core::str::from_utf8(&session.access.local_path).unwrap().to_owned();
        let from = core::str::from_utf8(session.access.remote_path.as_ref().unwrap()).unwrap().to_owned();
        shell.bytes(ue, message("bind", "SEND", &to, &from, ""));
    }
    shell.end(numbered(1).id);
    shell.session(MsrpSession { id: ID, ..numbered(2) });
    assert!(matches!(
        shell.notices.last(),
        Some(MediaNotice::Ended { cause: Cause::MsrpSessionCollision, .. })
    ));
    shell.open(2, Realm::Access, UE);
    shell.open(3, Realm::Access, UE);
    let crowd = shell.open(4, Realm::Access, UE);
    assert_eq!(shell.closed.last(), Some(&crowd));
}
