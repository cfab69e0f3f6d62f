//! Every state × every input of the four machines, and every timer at both of its edges.

use super::{Effects, InviteClient, InviteServer, NonInviteClient, NonInviteServer, Timers};
use core::fmt::Write;
use core::time::Duration;
use wire::Instant;

const MICROSECOND: Duration = Duration::from_micros(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const START: Instant = Instant::from_micros(1_000_000);

/// What a machine can be told; not every machine knows every input.
#[derive(Clone, Copy, Debug)]
enum Input {
    Response(u16),
    Send(u16),
    Request,
    Ack,
    TransportError,
    /// Wake at the next deadline, if there is one.
    Deadline,
    /// Wake when the timer that ends the state is due, where another one comes before it.
    LastDeadline,
}
use Input::{Ack, Deadline, LastDeadline, Request, Response, Send, TransportError};

impl core::fmt::Display for Input {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Response(status) | Send(status) => write!(f, "{status}"),
            Request => f.write_str("request"),
            Ack => f.write_str("ACK"),
            TransportError => f.write_str("error"),
            Deadline => f.write_str("timer"),
            LastDeadline => f.write_str("last timer"),
        }
    }
}

trait Machine: Copy {
    fn start(reliable: bool, timers: &Timers) -> Self;
    fn take(&mut self, input: Input, now: Instant) -> Effects;
    fn wake(&mut self, now: Instant) -> Effects;
    fn deadline(&self) -> Option<Instant>;
    fn state(&self) -> &'static str;
    fn over(&self) -> bool;
}

macro_rules! machine {
    ($type:ty { $($input:pat => $call:expr),* $(,)? }) => {
        impl Machine for $type {
            fn start(reliable: bool, timers: &Timers) -> Self {
                Self::new(reliable, START, timers)
            }
            fn take(&mut self, input: Input, now: Instant) -> Effects {
                #[allow(clippy::redundant_closure_call)]
                match input {
                    $($input => $call(self, now),)*
                    TransportError => self.on_transport_error(now),
                    Deadline | LastDeadline => self.on_deadline(now),
                    other => unreachable!("{other} is not an input of this machine"),
                }
            }
            fn wake(&mut self, now: Instant) -> Effects {
                self.on_deadline(now)
            }
            fn deadline(&self) -> Option<Instant> {
                self.next_deadline()
            }
            fn state(&self) -> &'static str {
                self.state_name()
            }
            fn over(&self) -> bool {
                self.is_terminated()
            }
        }
    };
}

machine!(InviteClient { Response(status) => |m: &mut Self, now| m.on_response(status, now) });
machine!(NonInviteClient { Response(status) => |m: &mut Self, now| m.on_response(status, now) });
machine!(InviteServer {
    Request => |m: &mut Self, now| m.on_request(now),
    Ack => |m: &mut Self, now| m.on_ack(now),
    Send(status) => |m: &mut Self, now| m.on_send(status, now),
});
machine!(NonInviteServer {
    Request => |m: &mut Self, now| m.on_request(now),
    Send(status) => |m: &mut Self, now| m.on_send(status, now),
});

/// Runs the machine through `inputs`; deadlines are slept through, other inputs come at once.
fn run<M: Machine>(machine: &mut M, inputs: &[Input]) -> (Effects, Instant) {
    let mut now = START;
    let mut effects = Effects::NONE;
    for &input in inputs {
        match input {
            Deadline => now = machine.deadline().unwrap_or(now),
            LastDeadline => now = last_deadline(*machine).unwrap_or(now),
            _ => {}
        }
        effects = machine.take(input, now);
    }
    (effects, now)
}

/// When the state is left if only time passes.
fn last_deadline<M: Machine>(mut machine: M) -> Option<Instant> {
    let state = machine.state();
    let mut at = None;
    while machine.state() == state {
        at = Some(machine.deadline()?);
        let _ = machine.wake(at?);
    }
    at
}

/// One line for each state: `state transport | input effects > next state | ...`.
fn table<M: Machine>(routes: &[&[Input]], inputs: &[Input]) -> String {
    let mut out = String::new();
    for route in routes {
        for (reliable, transport) in [(false, "udp"), (true, "tcp")] {
            let mut before = M::start(reliable, &Timers::default());
            let (_, now) = run(&mut before, route);
            let mut line = format!("{} {transport}", before.state());
            for &input in inputs {
                let mut after = before;
                let at = match input {
                    Deadline => before.deadline(),
                    LastDeadline => last_deadline(before).filter(|&last| before.deadline() != Some(last)),
                    _ => Some(now),
                };
                let Some(at) = at else { continue };
                let effects = after.take(input, at);
                write!(line, " | {input} {effects:?}").expect("a string takes all");
                if after.state() != before.state() {
                    write!(line, " > {}", after.state()).expect("a string takes all");
                }
            }
            line.push('\n');
            if !out.contains(&line) {
                out.push_str(&line);
            }
        }
    }
    out
}

fn same(actual: &str, expected: &str) {
    let expected: String = expected.trim().lines().map(|line| format!("{}\n", line.trim())).collect();
    assert!(actual == expected, "the table is\n{actual}");
}

#[test]
fn invite_client_in_every_state_and_input() {
    let table = table::<InviteClient>(
        &[&[], &[Response(180)], &[Response(200)], &[Response(486)], &[LastDeadline]],
        &[Response(100), Response(200), Response(302), TransportError, Deadline, LastDeadline],
    );
    same(
        &table,
        "
        calling udp | 100 pass > proceeding | 200 pass > accepted | 302 pass+ack > completed | error failed+ended > terminated | timer resend | last timer timed_out+ended > terminated
        calling tcp | 100 pass > proceeding | 200 pass > accepted | 302 pass+ack+ended > terminated | error failed+ended > terminated | timer timed_out+ended > terminated
        proceeding udp | 100 pass | 200 pass > accepted | 302 pass+ack > completed | error -
        proceeding tcp | 100 pass | 200 pass > accepted | 302 pass+ack+ended > terminated | error -
        accepted udp | 100 - | 200 pass | 302 - | error - | timer ended > terminated
        accepted tcp | 100 - | 200 pass | 302 - | error - | timer ended > terminated
        completed udp | 100 - | 200 - | 302 ack | error failed+ended > terminated | timer ended > terminated
        terminated tcp | 100 - | 200 - | 302 - | error -
        terminated udp | 100 - | 200 - | 302 - | error -
        ",
    );
}

#[test]
fn non_invite_client_in_every_state_and_input() {
    let table = table::<NonInviteClient>(
        &[&[], &[Response(100)], &[Response(200)], &[LastDeadline]],
        &[Response(100), Response(200), Response(302), TransportError, Deadline, LastDeadline],
    );
    same(
        &table,
        "
        trying udp | 100 pass > proceeding | 200 pass > completed | 302 pass > completed | error failed+ended > terminated | timer resend | last timer timed_out+ended > terminated
        trying tcp | 100 pass > proceeding | 200 pass+ended > terminated | 302 pass+ended > terminated | error failed+ended > terminated | timer timed_out+ended > terminated
        proceeding udp | 100 pass | 200 pass > completed | 302 pass > completed | error failed+ended > terminated | timer resend | last timer timed_out+ended > terminated
        proceeding tcp | 100 pass | 200 pass+ended > terminated | 302 pass+ended > terminated | error failed+ended > terminated | timer timed_out+ended > terminated
        completed udp | 100 - | 200 - | 302 - | error - | timer ended > terminated
        terminated tcp | 100 - | 200 - | 302 - | error -
        terminated udp | 100 - | 200 - | 302 - | error -
        ",
    );
}

#[test]
fn invite_server_in_every_state_and_input() {
    let table = table::<InviteServer>(
        &[&[], &[Send(100)], &[Send(200)], &[Send(486)], &[Send(486), Ack], &[Send(486), LastDeadline]],
        &[Request, Ack, Send(180), Send(200), Send(404), TransportError, Deadline, LastDeadline],
    );
    same(
        &table,
        "
        proceeding udp | request - | ACK - | 180 pass | 200 pass > accepted | 404 pass > completed | error failed
        proceeding tcp | request - | ACK - | 180 pass | 200 pass > accepted | 404 pass > completed | error failed
        proceeding udp | request resend | ACK - | 180 pass | 200 pass > accepted | 404 pass > completed | error failed
        proceeding tcp | request resend | ACK - | 180 pass | 200 pass > accepted | 404 pass > completed | error failed
        accepted udp | request - | ACK pass | 180 - | 200 pass | 404 - | error failed | timer ended > terminated
        accepted tcp | request - | ACK pass | 180 - | 200 pass | 404 - | error failed | timer ended > terminated
        completed udp | request resend | ACK - > confirmed | 180 - | 200 - | 404 - | error failed | timer resend | last timer timed_out+ended > terminated
        completed tcp | request resend | ACK ended > terminated | 180 - | 200 - | 404 - | error failed | timer timed_out+ended > terminated
        confirmed udp | request - | ACK - | 180 - | 200 - | 404 - | error - | timer ended > terminated
        terminated tcp | request - | ACK - | 180 - | 200 - | 404 - | error -
        terminated udp | request - | ACK - | 180 - | 200 - | 404 - | error -
        ",
    );
}

#[test]
fn non_invite_server_in_every_state_and_input() {
    let table = table::<NonInviteServer>(
        &[&[], &[Send(100)], &[Send(200)], &[Send(200), LastDeadline]],
        &[Request, Send(100), Send(200), Send(404), TransportError, Deadline, LastDeadline],
    );
    same(
        &table,
        "
        trying udp | request - | 100 pass > proceeding | 200 pass > completed | 404 pass > completed | error -
        trying tcp | request - | 100 pass > proceeding | 200 pass+ended > terminated | 404 pass+ended > terminated | error -
        proceeding udp | request resend | 100 pass | 200 pass > completed | 404 pass > completed | error failed+ended > terminated
        proceeding tcp | request resend | 100 pass | 200 pass+ended > terminated | 404 pass+ended > terminated | error failed+ended > terminated
        completed udp | request resend | 100 - | 200 - | 404 - | error failed+ended > terminated | timer ended > terminated
        terminated tcp | request - | 100 - | 200 - | 404 - | error -
        terminated udp | request - | 100 - | 200 - | 404 - | error -
        ",
    );
}

/// Milliseconds after the last input at which the machine resends, and at which it ends.
fn schedule<M: Machine>(reliable: bool, timers: &Timers, inputs: &[Input]) -> (Vec<u64>, Option<u64>) {
    let mut machine = M::start(reliable, timers);
    let (_, begin) = run(&mut machine, inputs);
    let mut resends = Vec::new();
    while let Some(at) = machine.deadline() {
        let mut early = machine;
        assert_eq!(early.wake(Instant::from_micros(at.as_micros() - 1)), Effects::NONE, "1 µs early");
        assert_eq!(early.deadline(), Some(at), "an early wake-up moves nothing");
        let effects = machine.wake(at);
        let after = u64::try_from(at.since(begin).as_millis()).expect("short");
        if effects.contains(Effects::ENDED) {
            assert!(machine.over());
            return (resends, Some(after));
        }
        assert_eq!(effects, Effects::RESEND);
        resends.push(after);
    }
    (resends, None)
}

#[test]
fn every_timer_follows_the_schedule_of_table_4() {
    let rfc = Timers::default();
    let uni = Timers::UNI; // R79
    let none: &[u64] = &[];
    // A and B: doubling, no cap, 64·T1.
    let a = schedule::<InviteClient>(false, &rfc, &[]);
    assert_eq!(a, (vec![500, 1500, 3500, 7500, 15500, 31500], Some(32_000)));
    let a = schedule::<InviteClient>(false, &uni, &[]);
    assert_eq!(a, (vec![2000, 6000, 14000, 30000, 62000, 126_000], Some(128_000)));
    assert_eq!(schedule::<InviteClient>(true, &rfc, &[]), (none.into(), Some(32_000)));
    // Proceeding: Timer C is the proxy core's.
    assert_eq!(schedule::<InviteClient>(false, &rfc, &[Response(180)]), (none.into(), None));
    // D: 32 s at least, and as long as the peer may repeat.
    assert_eq!(schedule::<InviteClient>(false, &rfc, &[Response(486)]), (none.into(), Some(32_000)));
    assert_eq!(schedule::<InviteClient>(false, &uni, &[Response(486)]), (none.into(), Some(128_000)));
    let quick = Timers { t1: Duration::from_millis(10), ..rfc };
    assert_eq!(schedule::<InviteClient>(false, &quick, &[Response(486)]), (none.into(), Some(32_000)));
    // M and L: 64·T1 on every transport.
    for reliable in [false, true] {
        assert_eq!(schedule::<InviteClient>(reliable, &rfc, &[Response(200)]), (none.into(), Some(32_000)));
        assert_eq!(schedule::<InviteServer>(reliable, &uni, &[Send(200)]), (none.into(), Some(128_000)));
    }
    // E and F: doubling up to T2.
    let e = schedule::<NonInviteClient>(false, &rfc, &[]);
    let trying = vec![500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];
    assert_eq!(e, (trying, Some(32_000)));
    let e = schedule::<NonInviteClient>(false, &uni, &[]);
    let first: Vec<u64> = core::iter::once(2000).chain((6000..128_000).step_by(4000)).collect();
    assert_eq!(e, (first, Some(128_000)));
    // E in Proceeding: what runs is not touched, then T2.
    let e = schedule::<NonInviteClient>(false, &rfc, &[Response(100)]);
    let slow = vec![500, 4500, 8500, 12500, 16500, 20500, 24500, 28500];
    assert_eq!(e, (slow, Some(32_000)));
    assert_eq!(schedule::<NonInviteClient>(true, &rfc, &[]), (none.into(), Some(32_000)));
    // K: T4.
    assert_eq!(schedule::<NonInviteClient>(false, &rfc, &[Response(200)]), (none.into(), Some(5000)));
    // G and H: doubling up to T2, on datagrams only; the ACK is awaited everywhere.
    let g = schedule::<InviteServer>(false, &rfc, &[Send(486)]);
    let refusals = vec![500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500];
    assert_eq!(g, (refusals, Some(32_000)));
    assert_eq!(schedule::<InviteServer>(true, &rfc, &[Send(486)]), (none.into(), Some(32_000)));
    // I: T4.
    assert_eq!(schedule::<InviteServer>(false, &rfc, &[Send(486), Ack]), (none.into(), Some(5000)));
    // J: 64·T1.
    assert_eq!(schedule::<NonInviteServer>(false, &rfc, &[Send(200)]), (none.into(), Some(32_000)));
    // The TU has to answer.
    assert_eq!(schedule::<InviteServer>(false, &rfc, &[]), (none.into(), None));
    assert_eq!(schedule::<NonInviteServer>(false, &rfc, &[Send(100)]), (none.into(), None));
}

#[test]
fn the_long_timers_fire_at_64_t1_and_not_a_millisecond_before() {
    fn edges<M: Machine>(inputs: &[Input], length: Duration, ending: Effects) {
        for reliable in [false, true] {
            for early in [MICROSECOND, MILLISECOND] {
                let mut machine = M::start(reliable, &Timers::default());
                let (_, begin) = run(&mut machine, inputs);
                let before = begin + (length - early);
                let effects = machine.wake(before);
                assert!(!effects.contains(Effects::ENDED) && !machine.over());
                assert_eq!(machine.wake(begin + length), ending);
                assert!(machine.over());
                assert_eq!(machine.deadline(), None);
            }
        }
    }
    let t1_64 = Timers::default().t1 * 64;
    let silent = Effects::TIMED_OUT | Effects::ENDED;
    edges::<InviteClient>(&[], t1_64, silent);
    edges::<InviteClient>(&[Response(200)], t1_64, Effects::ENDED);
    edges::<NonInviteClient>(&[], t1_64, silent);
    edges::<NonInviteClient>(&[Response(100)], t1_64, silent);
    edges::<InviteServer>(&[Send(486)], t1_64, silent);
    edges::<InviteServer>(&[Send(200)], t1_64, Effects::ENDED);
}

#[test]
fn a_late_owner_resends_once_and_not_in_a_burst() {
    let mut machine = NonInviteClient::new(false, START, &Timers::default());
    let late = START + Duration::from_secs(20);
    assert_eq!(machine.on_deadline(late), Effects::RESEND);
    assert_eq!(machine.on_deadline(late), Effects::NONE);
    assert_eq!(machine.next_deadline(), Some(late + Duration::from_secs(1)));
    let end = START + Duration::from_secs(40);
    assert_eq!(machine.on_deadline(end), Effects::TIMED_OUT | Effects::ENDED);
}

#[test]
fn a_t2_below_t1_does_not_stop_time() {
    let timers = Timers { t2: Duration::ZERO, ..Timers::default() };
    let (resends, end) = schedule::<NonInviteClient>(false, &timers, &[Response(100)]);
    assert_eq!((resends.len(), end), (63, Some(32_000)));
    let (resends, end) = schedule::<InviteServer>(false, &timers, &[Send(600)]);
    assert_eq!((resends.len(), end), (63, Some(32_000)));
}

#[test]
fn queries_say_what_may_still_be_done() {
    let timers = Timers::default();
    let mut client = InviteClient::new(false, START, &timers);
    assert!(client.is_calling() && !client.is_proceeding());
    let _ = client.on_response(183, START);
    assert!(!client.is_calling() && client.is_proceeding());
    let _ = client.on_response(200, START);
    assert!(!client.is_calling() && !client.is_proceeding());

    let mut client = NonInviteClient::new(false, START, &timers);
    assert!(client.is_waiting());
    let _ = client.on_response(403, START);
    assert!(!client.is_waiting());

    let mut server = InviteServer::new(false, START, &timers);
    assert!(server.is_proceeding());
    let _ = server.on_send(487, START);
    assert!(!server.is_proceeding());

    let mut server = NonInviteServer::new(false, START, &timers);
    assert!(server.is_waiting());
    let _ = server.on_send(100, START);
    assert!(server.is_waiting());
    let _ = server.on_send(200, START);
    assert!(!server.is_waiting());
}

#[test]
fn effects_print_as_words() {
    assert_eq!(format!("{:?}", Effects::NONE), "-");
    let all = Effects::RESEND
        | Effects::PASS
        | Effects::ACK
        | Effects::TIMED_OUT
        | Effects::FAILED
        | Effects::ENDED;
    assert_eq!(format!("{all:?}"), "pass+ack+resend+timed_out+failed+ended");
    assert!(all.contains(Effects::ACK | Effects::PASS) && !all.is_empty());
    assert!(!Effects::ACK.contains(Effects::ACK | Effects::PASS));
}
