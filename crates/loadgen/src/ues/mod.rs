//! Many UEs in one machine, sans-IO: begins work when it is due and plays each exchange to its end.
//!
//! ```text
//! setup: open connections, register users      (paced, not counted)
//! load:  arrivals ──▶ job ──▶ requests ──▶ answers ──▶ series
//! ```
//! A job is found again by the branch of its Via, which carries its slot and generation.

mod job;
mod text;

use crate::arrivals::Arrivals;
use crate::plan::{Plan, Share, Work};
use crate::series::{End, Series};
use core::net::SocketAddr;
use core::ops::Range;
use core::time::Duration;
use job::{Job, Step};
use lab::auth::{Authenticator, Secret};
use slab::Slab;
use std::collections::VecDeque;
use wire::{Instant, Random};

/// Number of a connection; those below `Plan::connections` are the users', the others are opened by work.
pub type ConnId = u32;

/// What the shell shall do, in order; cleared by it.
#[derive(Debug, Default)]
pub struct Outbox {
    /// The actions.
    pub actions: Vec<Action>,
    /// What `Action::Send` names.
    pub bytes: Vec<u8>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open this connection to the target.
    Open(ConnId),
    /// Send one message.
    Send(ConnId, Range<usize>),
    /// Close it.
    Close(ConnId),
}

#[derive(Debug)]
struct User {
    authenticator: Authenticator,
    /// The value of Route in requests outside a dialog, from Service-Route.
    route: Box<[u8]>,
    registered: bool,
    /// Jobs under way.
    busy: u32,
    cseq: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Setup,
    Load,
    Over,
}

/// RFC 3261 T1 and T2, and 64 × T1.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const GIVEN_UP: Duration = Duration::from_secs(32);
/// Connections that are being opened at a time during the setup.
const OPENING_MAX: u32 = 64;

/// The UEs of one thread.
#[derive(Debug)]
pub struct Ues {
    plan: Plan,
    /// First user number of this thread.
    first_user: u64,
    users: Vec<User>,
    next_user: usize,
    /// Local address of each connection that is open.
    open: Vec<Option<SocketAddr>>,
    opening: u32,
    /// The next connection to open for the first time.
    open_next: ConnId,
    jobs: Slab<Job>,
    generation: u32,
    random: Random,
    index: sip::Index,
    arrivals: Arrivals,
    phase: Phase,
    setup_next: u32,
    setup_left: u32,
    /// Deadlines in the order of their time, one queue a length: (when, slot, generation).
    clocks: [VecDeque<(Instant, usize, u32)>; CLOCKS.len()],
    series: Series,
    totals: (u64, u64),
}

/// Lengths of the deadlines in use, so that each queue is in order by itself.
const CLOCKS: [Duration; 6] = [
    T1,
    Duration::from_secs(1),
    Duration::from_secs(2),
    T2,
    GIVEN_UP,
    // of the hold time, which is one and the same for all
    Duration::ZERO,
];
const GIVE_UP: usize = 4;
const HOLD: usize = 5;

impl Ues {
    /// The UEs of `plan`, whose users are numbered from `first_user` on.
    #[must_use]
    pub fn new(plan: Plan, first_user: u64, now: Instant) -> Self {
        let user = |n: u32| {
            let (name, password) = text::credentials(first_user + u64::from(n), &plan.domain);
            User {
                authenticator: Authenticator::new(&name, &plan.domain, Secret::Password(password)),
                route: Box::default(),
                registered: false,
                busy: 0,
                cseq: 0,
            }
        };
        let users: Vec<_> = (0..plan.users).map(user).collect();
        let setup_left = if plan.registers_first() { plan.users } else { 0 };
        Self {
            first_user,
            next_user: 0,
            open: vec![None; plan.connections as usize],
            opening: 0,
            open_next: 0,
            jobs: Slab::new(),
            generation: 0,
            random: Random::from_u64(plan.seed),
            index: sip::Index::default(),
            arrivals: Arrivals::new(
                crate::Pattern::Constant { per_second: plan.setup_per_second },
                now,
                plan.seed,
            ),
            phase: Phase::Setup,
            setup_next: 0,
            setup_left,
            clocks: Default::default(),
            series: Series::default(),
            totals: (0, 0),
            users,
            plan,
        }
    }

    /// Opens the connections; call once, before anything else.
    pub fn start(&mut self, out: &mut Outbox) {
        self.open_more(out);
    }

    /// Whether every connection stands and every user that shall is registered, or has failed to.
    #[must_use]
    pub fn is_set_up(&self) -> bool {
        self.setup_left == 0 && self.open.iter().all(Option::is_some)
    }

    /// Users that are registered.
    #[must_use]
    pub fn registered(&self) -> usize {
        self.users.iter().filter(|user| user.registered).count()
    }

    /// Jobs under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.jobs.len()
    }

    /// Begins the load.
    pub fn begin(&mut self, now: Instant) {
        self.phase = Phase::Load;
        self.series.begin(now, self.plan.warm_up, self.plan.steady);
        self.arrivals = Arrivals::new(self.plan.pattern, now, self.plan.seed);
    }

    /// What was seen so far.
    #[must_use]
    pub const fn series(&self) -> &Series {
        &self.series
    }

    /// Work that ended well, and badly, since the load began.
    #[must_use]
    pub const fn totals(&self) -> (u64, u64) {
        self.totals
    }

    /// Gives up what is still under way and returns what was seen.
    #[must_use]
    pub fn finish(mut self, now: Instant) -> Series {
        let slots: Vec<_> = self.jobs.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.end(slot, End::Lost, now);
        }
        self.series
    }

    /// When `handle_deadline` wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let clocks = self.clocks.iter().filter_map(|queue| queue.front().map(|(at, ..)| *at)).min();
        let due = if self.may_begin() { self.arrivals.next_due() } else { None };
        match (clocks, due) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        }
    }

    fn may_begin(&self) -> bool {
        match self.phase {
            Phase::Setup => self.setup_next < self.plan.users && self.plan.registers_first(),
            Phase::Load => {
                !self.plan.mix.is_empty()
                    && self.arrivals.in_flight_max().is_none_or(|max| self.jobs.len() < max as usize)
            }
            Phase::Over => false,
        }
    }

    /// Begins what is due, sends again what was not answered, gives up what never will be.
    pub fn handle_deadline(&mut self, now: Instant, out: &mut Outbox) {
        for clock in 0..CLOCKS.len() {
            while let Some(&(at, slot, generation)) = self.clocks[clock].front() {
                if at > now {
                    break;
                }
                self.clocks[clock].pop_front();
                if self.jobs.get(slot).is_some_and(|job| job.generation == generation) {
                    self.on_clock(clock, slot, now, out);
                }
            }
        }
        if self.phase == Phase::Load && now >= self.series.steady_to {
            self.phase = Phase::Over;
        }
        while self.may_begin() {
            let Some(due) = self.arrivals.take_due(now) else {
                break;
            };
            match self.phase {
                Phase::Setup => self.set_up_next(due, now, out),
                _ => self.begin_work(due, now, out),
            }
        }
    }

    fn set_up_next(&mut self, due: Instant, now: Instant, out: &mut Outbox) {
        let user = self.setup_next as usize;
        if self.open.get(self.connection_of(user) as usize).copied().flatten().is_none() {
            return; // its turn comes with the next due time
        }
        self.setup_next += 1;
        self.begin_job(user, Work::Register, due, now, out);
    }

    fn begin_work(&mut self, due: Instant, now: Instant, out: &mut Outbox) {
        let closed = self.arrivals.in_flight_max().is_some();
        let due = if closed { now } else { due };
        self.series.slice(due).begun += 1;
        if due >= self.series.steady_from {
            self.series.lateness.note(due, now);
        }
        let work = self.choose();
        match self.free_user(work) {
            Some(user) => self.begin_job(user, work, due, now, out),
            None => self.series.starved += 1,
        }
    }

    fn choose(&mut self) -> Work {
        let total: f64 = self.plan.mix.iter().map(|share| share.weight).sum();
        let mut point = (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 * total;
        let mut chosen = Work::Message;
        for Share { work, weight } in &self.plan.mix {
            chosen = *work;
            point -= weight;
            if point < 0.0 {
                break;
            }
        }
        chosen
    }

    /// The next user who may do this: users take turns, and none registers twice at a time.
    fn free_user(&mut self, work: Work) -> Option<usize> {
        let count = self.users.len();
        for step in 0..count.min(4_096) {
            let at = (self.next_user + step) % count;
            let user = &self.users[at];
            let alone = matches!(work, Work::Register | Work::Refresh);
            let connected = self.open.get(self.connection_of(at) as usize).is_some_and(Option::is_some);
            let fits = if alone { user.busy == 0 } else { user.busy < 64 };
            if fits && (connected || work == Work::Connect) && (user.registered || !work.wants_registration())
            {
                self.next_user = (at + 1) % count;
                return Some(at);
            }
        }
        None
    }

    fn connection_of(&self, user: usize) -> ConnId {
        u32::try_from(user).unwrap_or(0) % self.plan.connections
    }

    fn open_more(&mut self, out: &mut Outbox) {
        while self.opening < OPENING_MAX && self.open_next < self.plan.connections {
            out.actions.push(Action::Open(self.open_next));
            self.opening += 1;
            self.open_next += 1;
        }
    }

    /// A connection is open; for TLS its handshake is done.
    pub fn handle_opened(&mut self, conn: ConnId, local: SocketAddr, now: Instant, out: &mut Outbox) {
        if let Some(open) = self.open.get_mut(conn as usize) {
            *open = Some(local);
            self.opening = self.opening.saturating_sub(1);
            if self.phase == Phase::Setup {
                self.open_more(out);
            }
            return;
        }
        let slot = (conn - self.plan.connections) as usize;
        if self.jobs.get(slot).is_some_and(|job| job.work == Work::Connect) {
            out.actions.push(Action::Close(conn));
            self.end(slot, End::Done, now);
        }
    }

    /// A connection went away, or could not be opened.
    pub fn handle_closed(&mut self, conn: ConnId, now: Instant, out: &mut Outbox) {
        let Some(open) = self.open.get_mut(conn as usize) else {
            let slot = (conn - self.plan.connections) as usize;
            if self.jobs.get(slot).is_some_and(|job| job.work == Work::Connect) {
                self.end(slot, End::Cut, now);
            }
            return;
        };
        *open = None;
        let of_conn = |user: usize| u32::try_from(user).unwrap_or(0) % self.plan.connections == conn;
        let cut: Vec<_> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.work != Work::Connect && of_conn(job.user))
            .map(|(s, _)| s)
            .collect();
        for slot in cut {
            self.end(slot, End::Cut, now);
        }
        if self.phase != Phase::Over {
            out.actions.push(Action::Open(conn));
        }
    }

    /// What this thread does, for the shell.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    fn end(&mut self, slot: usize, end: End, now: Instant) {
        let Some(job) = self.jobs.try_remove(slot) else {
            return;
        };
        let user = &mut self.users[job.user];
        user.busy -= 1;
        if job.setup {
            self.setup_left -= 1;
            if end != End::Done {
                self.series.setup_failed += 1;
            }
            return;
        }
        // A call counts when it is answered; how it ends only counts if it ends badly.
        if job.step != Step::Bye || end != End::Done {
            self.note_end(job.work, job.due, now, end);
        }
    }

    fn note_end(&mut self, work: Work, due: Instant, now: Instant, end: End) {
        if end == End::Done {
            self.totals.0 += 1;
        } else {
            self.totals.1 += 1;
        }
        self.series.note_end(work, due, now, end);
    }
}

#[cfg(test)]
mod tests;
