#![allow(clippy::unwrap_used)]

use super::*;
use crate::answer::Answerer;
use crate::plan::Share;
use sip::{Index, Limits, parse};

/// UEs and the answering core, face to face, with a network that loses what `lose` says.
struct Bench {
    ues: Ues,
    core: Answerer,
    out: Outbox,
    now: Instant,
    lose: fn(u64) -> bool,
    carried: u64,
}

impl Bench {
    fn new(plan: Plan) -> Self {
        let ues = Ues::new(plan, 0, Instant::ZERO);
        let core = Answerer::new("ims.example.net", "127.0.0.1:9");
        let mut bench =
            Self { ues, core, out: Outbox::default(), now: Instant::ZERO, lose: |_| false, carried: 0 };
        bench.ues.start(&mut bench.out);
        bench.act();
        bench
    }

    fn act(&mut self) {
        let mut at = 0;
        while let Some(action) = self.out.actions.get(at).cloned() {
            at += 1;
            match action {
                Action::Open(conn) => {
                    let local = SocketAddr::from((
                        [127, 0, 0, 1],
                        10_000 + u16::try_from(conn).unwrap_or(0) % 50_000,
                    ));
                    self.ues.handle_opened(conn, local, self.now, &mut self.out);
                }
                Action::Close(_) => {}
                Action::Send(conn, range) => {
                    let bytes = self.out.bytes[range].to_vec();
                    let mut index = Index::default();
                    let request = parse(&bytes, &Limits::default(), &mut index).unwrap();
                    let (mut answers, mut spans) = (Vec::new(), Vec::new());
                    self.core.answer(request, &mut answers, &mut spans);
                    self.carried += 1;
                    if (self.lose)(self.carried) {
                        continue;
                    }
                    for span in spans {
                        self.ues.handle_message(conn, span.of(&answers), self.now, &mut self.out);
                    }
                }
            }
        }
        self.out.actions.clear();
        self.out.bytes.clear();
    }

    /// Turns the clock to `end`, deadline by deadline.
    fn run_to(&mut self, end: Instant) {
        while let Some(at) = self.ues.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.ues.handle_deadline(self.now, &mut self.out);
            self.act();
        }
        self.now = end;
        self.ues.handle_deadline(end, &mut self.out);
        self.act();
    }

    fn load(mut self, lose: fn(u64) -> bool) -> (Series, usize) {
        let seconds = |n| Instant::ZERO + Duration::from_secs(n);
        self.run_to(seconds(5));
        assert!(self.ues.is_set_up());
        self.lose = lose;
        self.ues.begin(self.now);
        self.run_to(seconds(50));
        let left = self.ues.in_flight();
        (self.ues.finish(self.now), left)
    }
}

fn plan(work: Work) -> Plan {
    Plan {
        mix: vec![Share { work, weight: 1.0 }],
        pattern: Pattern::Constant { per_second: 100.0 },
        users: 20,
        connections: 4,
        warm_up: Duration::from_secs(1),
        steady: Duration::from_secs(2),
        ..Plan::default()
    }
}

use crate::Pattern;

#[test]
fn every_kind_of_work_is_done_at_the_rate_of_the_plan_and_nothing_is_left() {
    for work in Work::ALL {
        let (series, left) = Bench::new(plan(work)).load(|_| false);
        let tally = &series.tallies[work as usize];
        assert_eq!((tally.latency.answered(), tally.failed(), left), (200, 0, 0), "{work}");
        assert_eq!((series.starved, series.setup_failed, series.retransmissions), (0, 0, 0), "{work}");
        assert!(series.lateness.quantile(1.0) < Duration::from_millis(1), "{work}");
    }
}

#[test]
fn what_the_network_loses_is_sent_again_and_counted_from_when_it_was_due() {
    let (series, left) = Bench::new(plan(Work::Message)).load(|n| n % 10 == 0);
    let tally = &series.tallies[Work::Message as usize];
    assert_eq!((tally.latency.answered(), tally.failed(), left), (200, 0, 0));
    assert!(series.retransmissions >= 20, "{}", series.retransmissions);
    assert!(tally.latency.quantile(0.99) >= T1, "{:?}", tally.latency.quantile(0.99));
}

#[test]
fn what_is_never_answered_is_lost_after_64_t1() {
    let (series, left) = Bench::new(plan(Work::Message)).load(|_| true);
    let tally = &series.tallies[Work::Message as usize];
    assert_eq!((tally.latency.answered(), tally.latency.lost(), left), (0, 200, 0));
}

#[test]
fn a_closed_loop_keeps_so_many_under_way() {
    let pattern = Pattern::Closed { in_flight: 7 };
    let mut bench = Bench::new(Plan { pattern, ..plan(Work::Message) });
    bench.run_to(Instant::ZERO + Duration::from_secs(5));
    bench.lose = |_| true;
    bench.ues.begin(bench.now);
    bench.ues.handle_deadline(bench.now, &mut bench.out);
    assert_eq!(bench.ues.in_flight(), 7);
}

#[test]
fn a_lost_connection_cuts_its_work_and_is_opened_again() {
    let mut bench = Bench::new(Plan { hold: Duration::from_secs(9), ..plan(Work::Call) });
    bench.run_to(Instant::ZERO + Duration::from_secs(5));
    bench.ues.begin(bench.now);
    bench.run_to(Instant::ZERO + Duration::from_millis(6_500));
    let before = bench.ues.in_flight();
    bench.ues.handle_closed(0, bench.now, &mut bench.out);
    assert!(bench.out.actions.contains(&Action::Open(0)));
    assert!(bench.ues.in_flight() < before);
}
