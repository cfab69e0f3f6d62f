//! What passes, how, and what holds it back.

use super::*;

#[test]
fn requests_responses_and_reports_both_ways() {
    let (mut shell, ue, core) = connected();
    let report = "Message-ID: m1\r\nByte-Range: 1-5/5\r\nStatus: 000 200 OK\r\n";
    for (start, rest) in [
        ("REPORT", report),
        ("NICKNAME", "Use-Nickname: \"x\"\r\n"),
        ("200 OK", ""),
        ("413 Too Big", "Message-ID: q\r\n"),
        ("FUTURE", "X: y\r\n"),
    ] {
        shell.bytes(ue, message("up.1", start, TO_UE, UE_PATH, rest));
        assert_eq!(shell.take(core), escaped(&message("up.1", start, CORE_PATH, TO_CORE, rest)));
        shell.bytes(core, message("down", start, TO_CORE, CORE_PATH, rest));
        assert_eq!(shell.take(ue), escaped(&message("down", start, UE_PATH, TO_UE, rest)));
    }
    let counters = shell.relay.counters();
    assert_eq!((counters.sends, counters.other_requests, counters.responses), (1, 6, 4));
}

#[test]
fn only_the_hop_next_to_us_changes_in_longer_paths() {
    let mut session = usual();
    let (ue, core) = ("msrp://r1:1/q1;tcp msrp://10.0.0.7:9/ue;tcp", "msrp://r2:2/q2;tcp msrp://c:3/z;tcp");
    session.access.remote_path = Some(path(ue));
    session.core.remote_path = Some(path(core));
    let mut shell = Shell::new();
    shell.session(session);
    let at_core = shell.opened(2, Realm::Core, CORE, Some(ID));
    let at_ue = shell.open(1, Realm::Access, UE);
    // The sender knows only us: the whole path of the peer is ours to write.
    shell.bytes(at_ue, message("abcd", "SEND", TO_UE, ue, ""));
    let from = format!("{TO_CORE} msrp://10.0.0.7:9/ue;tcp");
    assert_eq!(shell.take(at_core), escaped(&message("abcd", "SEND", core, &from, "")));
    // The sender wrote the hops behind us itself.
    shell.bytes(at_ue, message("abcd", "SEND", &format!("{TO_UE} msrp://c:3/z;tcp"), ue, ""));
    assert_eq!(shell.take(at_core), escaped(&message("abcd", "SEND", core, &from, "")));
    // A response goes one hop back.
    shell.bytes(at_core, message("abcd", "200 OK", TO_CORE, "msrp://r2:2/q2;tcp", ""));
    assert_eq!(shell.take(at_ue), escaped(&message("abcd", "200 OK", "msrp://r1:1/q1;tcp", TO_UE, "")));
}

#[test]
fn a_chunk_of_a_gibibyte_in_constant_memory() {
    const BLOCK: usize = 65_536;
    const BLOCKS: usize = 16_384;
    let (mut shell, ue, core) = connected();
    shell.own_bytes_max = 0;
    let head = "MSRP bigone SEND\r\nTo-Path: ".to_owned()
        + TO_UE
        + "\r\nFrom-Path: "
        + UE_PATH
        + "\r\nMessage-ID: big\r\nByte-Range: 1-1073741824/1073741824\r\nContent-Type: application/octet-stream\r\n\r\n";
    shell.bytes(ue, &head);
    assert!(shell.take(core).starts_with("MSRP bigone SEND"), "the head goes out before the body is there");
    // Each block ends like the beginning of an end-line, so that something is withheld each time.
    let mut block = vec![b'x'; BLOCK];
    block[BLOCK - 9..].copy_from_slice(b"\r\n-------");
    let mut octets = 0;
    for _ in 0..BLOCKS {
        shell.relay.handle(Event::Bytes { conn: ue, bytes: &block }, shell.now, &mut shell.out);
        for segment in &shell.out.segments {
            octets += shell.out.segment(*segment, &block).len();
        }
        shell.own_bytes_max = shell.own_bytes_max.max(shell.out.bytes.len());
        assert_eq!(shell.relay.held_bytes(), 0);
        shell.out.clear();
    }
    shell.bytes(ue, "\r\n-------bigone$\r\n");
    octets += shell.sent[&core].len();
    assert_eq!(octets, BLOCK * BLOCKS + "\r\n-------bigone$\r\n".len());
    assert!(shell.own_bytes_max < 600, "{} octets were copied in one turn", shell.own_bytes_max);
    assert_eq!(shell.relay.counters().messages, 1);
}

#[test]
fn back_pressure_from_a_full_queue() {
    let (mut shell, ue, core) = connected();
    let whole = from_ue("flow", &with_body("0123456789"));
    let (first, second) = whole.split_at(whole.len() - 20);
    shell.bytes(ue, first);
    shell.event(Event::Queued { conn: core, bytes: Limits::default().queue_high_bytes - 1 });
    assert!(shell.paused.is_empty(), "one under the mark");
    shell.event(Event::Queued { conn: core, bytes: Limits::default().queue_high_bytes });
    assert!(shell.paused.contains(&ue));
    // What was read already is kept, in order.
    shell.bytes(ue, second);
    shell.bytes(ue, from_ue("next", ""));
    let before = shell.take(core);
    assert_eq!(shell.relay.held_bytes(), 20 + from_ue("next", "").len());
    shell.event(Event::Drained { conn: core });
    assert!(shell.paused.is_empty());
    assert_eq!(
        before + &shell.take(core),
        escaped(&(to_core("flow", &with_body("0123456789")) + &to_core("next", "")))
    );
    assert_eq!(shell.relay.held_bytes(), 0);
    assert_eq!(shell.relay.counters().pauses, 1);
}

#[test]
fn a_queue_that_fills_between_messages_holds_the_next_one() {
    let (mut shell, ue, core) = connected();
    shell.event(Event::Queued { conn: core, bytes: 1 << 20 });
    assert!(shell.paused.is_empty(), "nothing is on its way");
    shell.bytes(ue, from_ue("next", ""));
    assert!(shell.paused.contains(&ue));
    assert_eq!(shell.take(core), "");
    shell.event(Event::Drained { conn: core });
    assert_eq!(shell.take(core), escaped(&to_core("next", "")));
}

#[test]
fn a_shell_that_goes_on_reading_is_cut_off() {
    let limits = Limits { held_bytes_max: 1_000, ..Limits::default() };
    let (mut shell, ue, core) = connected_with(limits, usual());
    shell.bytes(ue, from_ue("flow", "").split_at(30).0);
    shell.event(Event::Queued { conn: core, bytes: 1 << 20 });
    shell.bytes(ue, from_ue("flow", "").split_at(30).1);
    shell.bytes(ue, from_ue("next", &with_body(&"x".repeat(500))));
    assert_eq!(shell.closed, []);
    shell.bytes(ue, "x".repeat(500));
    assert_eq!(shell.closed, [ue]);
    assert_eq!(shell.relay.held_bytes(), 0);
}

#[test]
fn what_is_held_over_all_is_capped() {
    let message = from_ue("wait", &with_body("0123456789"));
    let limits = Limits { held_bytes_total_max: message.len() * 2, ..Limits::default() };
    let mut shell = Shell::with(limits);
    let mut conns = Vec::new();
    for n in 1..=3 {
        shell.session(numbered(n));
        conns.push(shell.open(n, Realm::Access, UE));
        let with_body = with_body("0123456789");
        shell.bytes(conns[n as usize - 1], towards(n, Realm::Access, "wait", &with_body));
    }
    assert_eq!(shell.closed, [conns[2]], "the core of all three is not there, and two fill the room");
    assert_eq!(shell.relay.held_bytes(), message.len() * 2);
    assert_eq!(shell.causes(), [("overloaded", 1)]);
}

/// Two core connections feed one connection of the UE.
fn shared() -> (Shell, StreamId, [StreamId; 2]) {
    let mut shell = Shell::new();
    let ue = shell.open(9, Realm::Access, UE);
    let mut cores = Vec::new();
    for n in 1..=2 {
        shell.session(numbered(n));
        cores.push(shell.opened(n, Realm::Core, CORE, Some(numbered(n).id)));
        shell.bytes(ue, towards(n, Realm::Access, "bind", ""));
    }
    for core in &cores {
        shell.take(*core);
    }
    (shell, ue, [cores[0], cores[1]])
}

/// A SEND of the n-th session as it comes in from `realm`.
fn towards(n: u32, realm: Realm, id: &str, rest: &str) -> String {
    let session = numbered(n);
    let side = session.side(realm);
    let text = |p: &Bytes| core::str::from_utf8(p).unwrap().to_owned();
    message(id, "SEND", &text(&side.local_path), &text(side.remote_path.as_ref().unwrap()), rest)
}

/// The same as it goes out on the other side.
fn away(n: u32, from: Realm, id: &str, rest: &str) -> String {
    let session = numbered(n);
    let side = session.side(from.other());
    let text = |p: &Bytes| core::str::from_utf8(p).unwrap().to_owned();
    message(id, "SEND", &text(side.remote_path.as_ref().unwrap()), &text(&side.local_path), rest)
}

#[test]
fn messages_of_two_sources_do_not_mix() {
    let (mut shell, ue, [one, two]) = shared();
    let long = towards(1, Realm::Core, "long", &with_body("a long file"));
    let (first, second) = long.split_at(long.len() - 25);
    shell.bytes(one, first);
    shell.bytes(two, towards(2, Realm::Core, "chat", &with_body("hi")));
    assert!(shell.paused.contains(&two));
    // The first source has more to say, but the second waited.
    shell.bytes(one, second.to_owned() + &towards(1, Realm::Core, "more", ""));
    let expected = away(1, Realm::Core, "long", &with_body("a long file"))
        + &away(2, Realm::Core, "chat", &with_body("hi"))
        + &away(1, Realm::Core, "more", "");
    assert_eq!(shell.take(ue), escaped(&expected));
    assert!(shell.paused.is_empty());
}

#[test]
fn answers_of_our_own_do_not_break_into_a_message() {
    let (mut shell, ue, [one, _]) = shared();
    let long = towards(1, Realm::Core, "long", &with_body("a long file"));
    let (first, second) = long.split_at(long.len() - 25);
    shell.bytes(one, first);
    let nowhere = "msrp://h:1/nope;tcp";
    shell.bytes(ue, message("lost", "SEND", nowhere, UE_PATH, ""));
    shell.bytes(one, second);
    let answer = message("lost", "481 No Such Session", UE_PATH, nowhere, "");
    assert_eq!(shell.take(ue), escaped(&(away(1, Realm::Core, "long", &with_body("a long file")) + &answer)));
}

#[test]
fn a_source_that_dies_leaves_the_shared_connection_in_frame() {
    let (mut shell, ue, [one, two]) = shared();
    let long = towards(1, Realm::Core, "long", &with_body("a long file"));
    shell.bytes(one, long.split_at(long.len() - 25).0);
    shell.bytes(two, towards(2, Realm::Core, "chat", ""));
    shell.event(Event::Closed { conn: one });
    let sent = shell.take(ue);
    assert!(
        sent.ends_with(&(escaped("\r\n-------long#\r\n") + &escaped(&away(2, Realm::Core, "chat", "")))),
        "{sent}"
    );
    let session_two_lives = shell.relay.session_count() == 2;
    assert!(session_two_lives && shell.closed.is_empty());
}

#[test]
fn a_session_that_ends_in_mid_chunk_abandons_it() {
    let (mut shell, ue, [one, two]) = shared();
    let long = towards(1, Realm::Core, "long", &with_body("a long file"));
    shell.bytes(one, long.split_at(long.len() - 25).0);
    shell.event(Event::Queued { conn: ue, bytes: 1 << 20 });
    shell.bytes(two, towards(2, Realm::Core, "chat", ""));
    shell.end(numbered(1).id);
    assert_eq!(shell.closed, [one]);
    shell.event(Event::Drained { conn: ue });
    let sent = shell.take(ue);
    assert!(
        sent.ends_with(&(escaped("\r\n-------long#\r\n") + &escaped(&away(2, Realm::Core, "chat", "")))),
        "{sent}"
    );
}

#[test]
fn a_destination_that_dies_is_answered_408() {
    let (mut shell, ue, [one, two]) = shared();
    let long = towards(1, Realm::Access, "long", &with_body("a long file"));
    let (first, second) = long.split_at(long.len() - 25);
    shell.bytes(ue, first);
    shell.event(Event::Closed { conn: one });
    let answer = shell.take(ue);
    assert!(answer.starts_with("MSRP long 408 Timeout"), "{answer}");
    // The rest of it is swallowed, and the connection serves the other session.
    shell.bytes(ue, second.to_owned() + &towards(2, Realm::Access, "chat", ""));
    assert_eq!(shell.take(two), escaped(&away(2, Realm::Access, "chat", "")));
}

#[test]
fn a_message_over_the_limit_is_stopped() {
    let limited = || {
        let mut session = usual();
        session.message_bytes_max = 100;
        connected_with(Limits::default(), session)
    };
    // Announced: nothing of it goes out.
    let (mut shell, ue, core) = limited();
    let announced = "Message-ID: m1\r\nByte-Range: 1-9/101\r\nContent-Type: a/b\r\n\r\n123456789\r\n";
    shell.bytes(ue, from_ue("big1", announced));
    assert_eq!(shell.take(core), "");
    assert_eq!(shell.take(ue), escaped(&message("big1", "413 Message Too Large", UE_PATH, TO_UE, "")));
    // Not announced, in one chunk.
    let (mut shell, ue, core) = limited();
    shell.bytes(ue, from_ue("big2", &with_body(&"x".repeat(100))));
    assert!(shell.take(core).ends_with(&escaped("x\r\n-------big2$\r\n")), "100 are allowed");
    let long = from_ue("big3", &with_body(&"x".repeat(90)));
    shell.bytes(ue, &long[..long.len() - 20]);
    shell.bytes(ue, "y".repeat(50) + "\r\n-------big3$\r\n");
    assert!(shell.take(core).ends_with(&escaped("x\r\n-------big3#\r\n")), "the rest is abandoned");
    assert_eq!(shell.take(ue), escaped(&message("big3", "413 Message Too Large", UE_PATH, TO_UE, "")));
    // The core answers what it got; the UE has its answer.
    shell.bytes(core, message("big3", "200 OK", TO_CORE, CORE_PATH, ""));
    assert_eq!(shell.take(ue), "");
    // Chunk by chunk, each with the same range.
    let (mut shell, ue, core) = limited();
    for id in ["chk1", "chk2"] {
        shell.bytes(
            ue,
            from_ue(id, &with_body(&"x".repeat(60))).replace(&format!("{id}$"), &format!("{id}+")),
        );
    }
    assert!(shell.take(core).ends_with(&escaped("\r\n-------chk2#\r\n")));
    assert_eq!(shell.causes(), [("body_too_long", 1)]);
}

#[test]
fn quirks_of_the_field_pass_untouched_in_their_bodies() {
    // q22 and q24: wrong lengths and odd CPIM inside, framed by the end-line alone.
    let (mut shell, ue, core) = connected();
    let body = "From: <a >\r\nContent-Length:112\r\n\r\nbnVtYmVyMQ==\r\n-----quirk$\r\n------quirk$";
    shell.bytes(ue, from_ue("quirk", &with_body(body)));
    assert_eq!(shell.take(core), escaped(&to_core("quirk", &with_body(body))));
}
