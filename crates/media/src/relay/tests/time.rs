//! Every timer at both edges.

use super::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn an_unbound_connection_is_closed() {
    let mut shell = Shell::new();
    let conn = shell.open(1, Realm::Access, UE);
    shell.pass(Limits::default().bind_max - MS);
    assert_eq!(shell.closed, []);
    shell.pass(MS);
    assert_eq!(shell.closed, [conn]);
    assert_eq!(shell.causes(), [("msrp_unbound", 1)]);
    assert_eq!(shell.relay.next_deadline(), None);
}

#[test]
fn a_bound_connection_may_be_silent() {
    let (mut shell, ..) = connected();
    shell.pass(Duration::from_secs(599));
    assert_eq!(shell.closed, []);
}

#[test]
fn a_chunk_that_stands_still_is_given_up() {
    // q21, q23: an end-line that never comes; no reply is possible.
    let (mut shell, ue, core) = connected();
    shell.pass(Duration::from_secs(100));
    let never = from_ue("stop", &with_body("x")).replace("-------stop", "-----stop");
    shell.bytes(ue, never);
    let chunk_max = Limits::default().chunk_max;
    shell.pass(chunk_max - MS);
    shell.bytes(ue, "y");
    shell.pass(chunk_max - MS);
    assert_eq!(shell.closed, [], "each octet starts the clock anew");
    shell.pass(MS);
    assert_eq!(shell.closed, [ue]);
    assert!(shell.take(core).ends_with(&escaped("y\r\n-------stop#\r\n")));
    assert_eq!(shell.causes(), [("msrp_chunk_timeout", 1)]);
}

#[test]
fn a_chunk_that_we_hold_back_is_not_late() {
    let (mut shell, ue, core) = connected();
    let whole = from_ue("hold", &with_body("x"));
    shell.bytes(ue, &whole[..whole.len() - 5]);
    shell.event(Event::Queued { conn: core, bytes: 1 << 20 });
    shell.pass(Limits::default().stall_max - MS);
    shell.event(Event::Drained { conn: core });
    shell.bytes(ue, &whole[whole.len() - 5..]);
    assert_eq!(shell.take(core), escaped(&to_core("hold", &with_body("x"))));
    assert_eq!(shell.causes(), []);
}

#[test]
fn a_peer_that_does_not_read_is_closed() {
    let (mut shell, _, core) = connected();
    shell.event(Event::Queued { conn: core, bytes: 1 << 20 });
    shell.pass(Limits::default().stall_max - MS);
    assert_eq!(shell.closed, []);
    shell.pass(MS);
    assert_eq!(shell.closed, [core]);
    assert_eq!(shell.causes(), [("peer_not_reading", 1)]);
}

#[test]
fn a_message_for_a_far_side_that_does_not_come_gets_408() {
    let mut shell = Shell::new();
    shell.session(usual());
    let core = shell.opened(2, Realm::Core, CORE, Some(ID));
    shell.bytes(core, message("down", "SEND", TO_CORE, CORE_PATH, &with_body("x")));
    shell.bytes(core, message("dow2", "SEND", TO_CORE, CORE_PATH, "Failure-Report: no\r\n"));
    shell.pass(Limits::default().wait_max - MS);
    assert_eq!(shell.take(core), "");
    shell.pass(MS);
    assert_eq!(shell.take(core), escaped(&message("down", "408 Timeout", CORE_PATH, TO_CORE, "")));
    assert!(shell.paused.is_empty());
    assert_eq!(shell.causes(), [("msrp_peer_gone", 2)]);
    // When it comes after all, the next message passes.
    let ue = shell.open(1, Realm::Access, UE);
    shell.bytes(ue, from_ue("bind", ""));
    shell.bytes(core, message("dow3", "SEND", TO_CORE, CORE_PATH, ""));
    assert_eq!(shell.take(ue), escaped(&message("dow3", "SEND", UE_PATH, TO_UE, "")));
}

#[test]
fn a_session_without_traffic_ends() {
    let (mut shell, ue, core) = connected();
    shell.pass(Duration::from_secs(599));
    shell.bytes(ue, from_ue("live", ""));
    shell.pass(Duration::from_secs(600) - MS);
    assert_eq!(shell.closed, []);
    shell.pass(MS);
    assert_eq!(shell.closed, [ue, core]);
    assert!(matches!(shell.notices.last(), Some(MediaNotice::Ended { cause: Cause::MsrpIdle, .. })));
}

#[test]
fn a_ue_that_does_not_come_back_ends_the_session() {
    let (mut shell, ue, core) = connected();
    shell.event(Event::Closed { conn: ue });
    shell.pass(Limits::default().bind_max - MS);
    assert_eq!(shell.closed, []);
    shell.pass(MS);
    assert_eq!(shell.closed, [core]);
    assert!(matches!(shell.notices.last(), Some(MediaNotice::Ended { cause: Cause::MsrpPeerGone, .. })));
}

#[test]
fn a_ue_that_comes_back_in_time_keeps_it() {
    let (mut shell, ue, core) = connected();
    shell.event(Event::Closed { conn: ue });
    shell.bytes(core, message("wait", "SEND", TO_CORE, CORE_PATH, ""));
    assert!(shell.paused.contains(&core));
    shell.pass(Duration::from_secs(5));
    let ue = shell.open(5, Realm::Access, UE);
    shell.bytes(ue, from_ue("back", ""));
    assert_eq!(shell.take(ue), escaped(&message("wait", "SEND", UE_PATH, TO_UE, "")));
    shell.pass(Duration::from_secs(100));
    assert_eq!(shell.closed, []);
}

#[test]
fn many_alarms_are_worked_off_in_turns() {
    let mut shell = Shell::new();
    for n in 0..1_000 {
        shell.open(n, Realm::Access, UE);
    }
    shell.now = Instant::ZERO + Limits::default().bind_max;
    let mut turns = 0;
    while shell.relay.next_deadline().is_some() {
        shell.relay.handle_deadline(shell.now, &mut shell.out);
        shell.drain(&[]);
        turns += 1;
    }
    assert_eq!((turns, shell.closed.len()), (4, 1_000));
}
