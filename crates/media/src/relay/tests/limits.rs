//! Limits of size, rate and time, and what is kept of a session that ended.

use super::*;
use wire::BindingId;

const SECOND: Duration = Duration::from_secs(1);

fn chunk(id: &str, message: &str, range: &str, flag: char) -> String {
    let head =
        format!("Message-ID: {message}\r\nByte-Range: {range}\r\nContent-Type: a/b\r\n\r\n0123456789\r\n");
    from_ue(id, &head).replace(&format!("-------{id}$"), &format!("-------{id}{flag}"))
}

/// A sender that takes turns between two messages, and says of each chunk that it is the first one.
#[test]
fn interleaved_messages_with_lying_ranges_do_not_slip_past_the_limit_of_size() {
    let (mut shell, ue, core) =
        connected_with(Limits::default(), MsrpSession { message_bytes_max: 35, ..usual() });
    for (turn, message) in ["ma", "mb", "ma", "mb", "ma"].into_iter().enumerate() {
        shell.bytes(ue, chunk(&format!("{message}.{turn}"), message, "1-10/10", '+'));
    }
    assert_eq!(shell.causes(), []);
    shell.take(core);
    shell.bytes(ue, chunk("over", "ma", "1-10/10", '+'));
    assert!(shell.take(ue).starts_with("MSRP over 413 "));
    assert!(shell.take(core).ends_with("-------over#\\r\\n"));
    // The other one still has room, and ends as it should.
    shell.bytes(ue, chunk("last", "mb", "1-5/5", '#'));
    assert!(shell.take(core).ends_with("-------last#\\r\\n"));
    shell.bytes(ue, chunk("next", "mb", "1-10/10", '$'));
    assert!(shell.take(core).ends_with("-------next$\\r\\n"));
    assert_eq!(shell.causes(), [("body_too_long", 1)]);
}

#[test]
fn who_begins_ever_more_messages_and_ends_none_is_stopped() {
    let (mut shell, ue, core) = connected();
    for n in 0..8 {
        shell.bytes(ue, chunk(&format!("id.{n}"), &format!("m{n}"), "1-*/*", '+'));
    }
    shell.take(core);
    shell.bytes(ue, chunk("nine", "m9", "1-*/*", '+'));
    assert!(shell.take(core).ends_with("-------nine#\\r\\n"), "the far side is told that it goes no further");
    assert!(shell.take(ue).starts_with("MSRP nine 413 "));
    // One in a single chunk is no burden.
    shell.bytes(ue, chunk("whole", "m10", "1-10/10", '$'));
    assert!(shell.take(core).ends_with("-------whole$\\r\\n"));
}

#[test]
fn a_session_over_its_rate_is_read_no_faster() {
    let limits = Limits { session_bytes_per_second_max: 1_000, ..Limits::default() };
    let (mut shell, ue, core) = connected_with(limits, usual());
    shell.pass(SECOND * 2);
    let head = from_ue("slow", &with_body(""));
    let head = &head[..head.find("\r\n\r\n").unwrap() + 4];
    shell.bytes(ue, head);
    shell.bytes(ue, vec![b'x'; 1_000 - head.len()]);
    assert!(shell.paused.is_empty(), "one second's worth at once");
    shell.bytes(ue, vec![b'x'; 250]);
    assert!(shell.paused.contains(&ue));
    shell.bytes(ue, vec![b'y'; 10]);
    assert!(shell.take(core).ends_with('x'), "what was read already waits");
    // The far side being free does not shorten the wait.
    shell.event(Event::Queued { conn: core, bytes: 1 << 20 });
    shell.event(Event::Drained { conn: core });
    shell.pass(Duration::from_millis(249));
    assert!(shell.paused.contains(&ue));
    shell.pass(Duration::from_millis(1));
    assert!(shell.take(core).ends_with('y'));
    // Other settings: nobody waits for a limit that is gone.
    shell.bytes(ue, vec![b'x'; 100_000]);
    assert!(shell.paused.contains(&ue));
    shell.relay.set_limits(Limits::default(), shell.now, &mut shell.out);
    shell.drain(&[]);
    shell.pass(Duration::from_millis(1));
    assert!(shell.paused.is_empty());
    shell.bytes(ue, "\r\n-------slow$\r\n");
    assert!(shell.take(core).ends_with("slow$\\r\\n"));
    assert!(shell.relay.counters().slowed >= 2);
    assert!(shell.relay.counters().paused_micros >= 250_000);
}

#[test]
fn a_rate_and_a_full_queue_at_one_time() {
    let limits = Limits { session_bytes_per_second_max: 1_000, ..Limits::default() };
    let (mut shell, ue, core) = connected_with(limits, usual());
    let whole = from_ue("both", &with_body(&"x".repeat(3_000)));
    shell.bytes(ue, &whole[..2_500]);
    assert!(shell.paused.contains(&ue));
    shell.event(Event::Queued { conn: core, bytes: 1 << 20 });
    shell.pass(SECOND * 3);
    assert!(shell.paused.contains(&ue), "its time came, but there is no room");
    shell.event(Event::Drained { conn: core });
    shell.bytes(ue, &whole[2_500..]);
    shell.pass(SECOND * 3);
    assert_eq!(shell.take(core), escaped(&to_core("both", &with_body(&"x".repeat(3_000)))));
}

#[test]
fn the_sessions_of_one_user_share_a_rate() {
    let user = |slot| Some(BindingId { slot, generation: 1 });
    let limits = Limits { user_bytes_per_second_max: 1_000, ..Limits::default() };
    let mut shell = Shell::with(limits);
    let ues = [(1, 1), (2, 1), (3, 2)].map(|(n, owner)| {
        let mut session = numbered(n);
        session.user = user(owner);
        session.core.opening = Opening::Listen;
        shell.session(session.clone());
        let text = |path: &Bytes| String::from_utf8(path.to_vec()).unwrap();
        let (core, ue) = (shell.open(10 + n, Realm::Core, CORE), shell.open(n, Realm::Access, UE));
        for (conn, side) in [(core, &session.core), (ue, &session.access)] {
            let remote = text(side.remote_path.as_ref().unwrap());
            shell.bytes(conn, message("bind", "SEND", &text(&side.local_path), &remote, ""));
        }
        let (to, from) =
            (text(&session.access.local_path), text(session.access.remote_path.as_ref().unwrap()));
        (ue, message("mess", "SEND", &to, &from, &with_body(&"x".repeat(500))))
    });
    assert_eq!(shell.relay.rates.users(), 2);
    shell.pass(SECOND * 3);
    for (at, slowed) in [(0, false), (1, true), (2, false)] {
        let (ue, text) = ues[at].clone();
        shell.bytes(ue, text);
        assert_eq!(shell.paused.contains(&ue), slowed, "{at}");
    }
    for n in 1..=3 {
        shell.end(numbered(n).id);
    }
    assert_eq!(shell.relay.rates.users(), 0, "nothing is kept of users without sessions");
}

#[test]
fn a_session_ends_after_its_longest_time_whatever_it_carries() {
    let limits = Limits { session_max: Some(SECOND * 100), ..Limits::default() };
    let (mut shell, ue, _) = connected_with(limits, usual());
    for _ in 0..99 {
        shell.pass(SECOND);
        shell.bytes(ue, from_ue("live", ""));
    }
    assert_eq!(shell.relay.session_count(), 1);
    shell.pass(SECOND);
    assert_eq!(shell.relay.session_count(), 0);
    assert_eq!(shell.causes(), [("msrp_expired", 1)]);
}

#[test]
fn a_shorter_time_counts_for_sessions_that_are_there() {
    let (mut shell, ..) = connected();
    shell.pass(SECOND * 50);
    let limits = Limits { session_max: Some(SECOND * 60), ..Limits::default() };
    shell.relay.set_limits(limits, shell.now, &mut shell.out);
    shell.pass(SECOND * 10);
    assert_eq!(shell.causes(), [("msrp_expired", 1)]);
}

#[test]
fn a_record_tells_both_ways_apart() {
    let (mut shell, ue, core) = connected();
    shell.pass(SECOND);
    let up = from_ue("mess", &with_body("hello"));
    shell.bytes(ue, &up);
    shell.bytes(core, message("mess", "200 OK", TO_CORE, CORE_PATH, ""));
    shell.bytes(core, message("down", "SEND", TO_CORE, CORE_PATH, &with_body("hi")));
    shell.bytes(core, message("dow2", "SEND", TO_CORE, CORE_PATH, &with_body("ho")));
    shell.pass(SECOND * 9);
    shell.end(ID);
    let [record] = &shell.records[..] else { panic!("one record") };
    assert_eq!((&*record.call_id, record.cause, record.duration), ("call-1@ue", Cause::Bye, SECOND * 10));
    assert_eq!(record.first_message_after, Some(SECOND));
    assert_eq!(record.peers, [UE, CORE].map(|peer| Some(peer.parse::<SocketAddr>().unwrap().ip())));
    assert_eq!((record.totals.access_messages, record.totals.core_messages), (1, 2));
    let bind = from_ue("bind", "Message-ID: m0\r\n").len();
    assert_eq!(record.totals.access_bytes as usize, bind + up.len());
    assert!(record.totals.core_bytes > 300);
}

/// The peer says that it sends nothing more: what was asked is still answered, then the connection goes.
#[test]
fn one_way_closed_and_the_other_drains() {
    let (mut shell, ue, core) = connected();
    shell.bytes(core, message("bind", "200 OK", TO_CORE, CORE_PATH, ""));
    shell.bytes(ue, from_ue("mess", &with_body("bye")));
    shell.bytes(ue, from_ue("torn", "Message-ID: x\r\nContent-Type: a/b\r\n\r\nto"));
    shell.event(Event::HalfClosed { conn: ue });
    assert!(shell.take(core).ends_with("-------torn#\\r\\n"), "a torn message is told as such");
    assert_eq!(shell.closed, []);
    shell.take(ue);
    shell.bytes(core, message("mess", "200 OK", TO_CORE, CORE_PATH, ""));
    assert!(shell.take(ue).starts_with("MSRP mess 200 OK"));
    shell.bytes(core, message("torn", "400 Torn", TO_CORE, CORE_PATH, ""));
    assert!(shell.take(ue).starts_with("MSRP torn 400"));
    assert_eq!(shell.closed, [ue]);
    // With nothing to wait for it goes at once, and with an answer that never comes after its time.
    let (mut shell, ue, core) = connected();
    shell.bytes(core, message("bind", "200 OK", TO_CORE, CORE_PATH, ""));
    shell.event(Event::HalfClosed { conn: ue });
    assert_eq!(shell.closed, [ue]);
    let (mut shell, ue, _) = connected();
    shell.event(Event::HalfClosed { conn: ue });
    shell.pass(Limits::default().drain_max - Duration::from_millis(1));
    assert_eq!(shell.closed, []);
    shell.pass(Duration::from_millis(1));
    assert_eq!(shell.closed, [ue]);
}

/// A UE that closed its way in and comes back does not wait for the old connection to go.
#[test]
fn a_half_closed_connection_gives_way_to_the_next() {
    let (mut shell, ue, core) = connected();
    shell.event(Event::HalfClosed { conn: ue });
    let again = shell.open(7, Realm::Access, UE);
    shell.bytes(again, from_ue("again", ""));
    assert_eq!(shell.closed, [ue]);
    assert!(shell.take(core).contains("MSRP again SEND"));
    shell.bytes(core, message("down", "SEND", TO_CORE, CORE_PATH, ""));
    assert!(shell.take(again).starts_with("MSRP down SEND"));
}
