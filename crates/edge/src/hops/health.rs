//! How one next hop does.
//!
//! ```text
//!                 probe fails n times                     probe answered m times
//!      ┌────────────────────────────────▶  down  ─────────────────────────────────┐
//!      up                                                                         up
//!      └──▶ resting: no answer, no way there (until anything is heard of it) ──────┤
//!      └──▶ resting: it asked for it by 503 and Retry-After (until that is over) ──┘
//! ```

use core::time::Duration;
use wire::Instant;

/// What the configuration says about health.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a next hop is left alone after a failure.
    pub rest: Duration,
    /// The longest rest it may ask for.
    pub rest_max: Duration,
    /// Between two probes; `None` if there are none.
    pub probe: Option<Duration>,
    /// How long a probe waits for an answer.
    pub probe_timeout: Duration,
    failures: u32,
    successes: u32,
}

impl Settings {
    /// As the file says.
    #[must_use]
    pub const fn of(core: &config::Core) -> Self {
        Self {
            rest: Duration::from_secs(core.retry_seconds),
            rest_max: Duration::from_secs(core.retry_after_seconds_max),
            probe: core.probe.interval(),
            probe_timeout: core.probe.timeout(),
            failures: core.probe.failures,
            successes: core.probe.successes,
        }
    }
}

/// How a next hop failed a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It did not answer.
    Silent,
    /// It could not be reached, or its connection broke.
    Unreachable,
    /// It answered 503 (RFC 3261 §21.5.4), and said for how long, or not.
    Refused(Option<Duration>),
}

impl Failure {
    pub(super) fn until(self, now: Instant, settings: &Settings) -> Instant {
        match self {
            Self::Refused(Some(asked)) => now + asked.clamp(REST_MIN, settings.rest_max.max(REST_MIN)),
            _ => now + settings.rest,
        }
    }
}

/// `Retry-After: 0` asks for nothing, and yet the request was refused.
const REST_MIN: Duration = Duration::from_secs(1);

/// How a next hop does, as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Used.
    Up,
    /// Left alone after a failure, or because it asked for it.
    Resting,
    /// Found dead by probes.
    Down,
}

#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Instant,
    /// It asked for it: nothing that is heard of it ends the rest.
    asked: bool,
}

/// What is known of one next hop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Health {
    down: bool,
    rest: Option<Rest>,
    /// Probes in a row.
    failures: u32,
    successes: u32,
    heard_at: Option<Instant>,
}

impl Health {
    /// Whether it is used like any other.
    #[must_use]
    pub fn is_ready(&self, now: Instant) -> bool {
        self.state(now) == State::Up
    }

    /// As operators see it.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        match (self.down, self.rest) {
            (true, _) => State::Down,
            (false, Some(rest)) if rest.until > now => State::Resting,
            _ => State::Up,
        }
    }

    /// Until when it rests after a failure, if it is not known to be down: it may be tried as a last resort.
    #[must_use]
    pub fn rests_after_failure(&self) -> Option<Instant> {
        self.rest.filter(|rest| !self.down && !rest.asked).map(|rest| rest.until)
    }

    /// Until when it rests.
    #[must_use]
    pub fn rests_until(&self) -> Option<Instant> {
        self.rest.map(|rest| rest.until).filter(|_| !self.down)
    }

    /// Whether anything was heard of it since.
    #[must_use]
    pub fn heard_since(&self, then: Instant) -> bool {
        self.heard_at.is_some_and(|at| at >= then)
    }

    /// Something came from it: it lives.
    pub fn on_heard(&mut self, now: Instant) {
        self.heard_at = Some(now);
        if self.rest.is_some_and(|rest| !rest.asked || rest.until <= now) {
            self.rest = None;
        }
    }

    /// A request failed.
    pub fn on_failure(&mut self, why: Failure, now: Instant, settings: &Settings) {
        let rest = Rest { until: why.until(now, settings), asked: matches!(why, Failure::Refused(Some(_))) };
        // A failure does not shorten the rest it asked for.
        let asked_longer = self.rest.is_some_and(|old| old.asked && old.until > rest.until);
        if !asked_longer {
            self.rest = Some(rest);
        }
    }

    /// A probe was answered by anything but 503.
    pub fn on_probe_answered(&mut self, now: Instant, settings: &Settings) {
        self.on_heard(now);
        self.failures = 0;
        self.successes = self.successes.saturating_add(1);
        if self.successes >= settings.successes {
            self.down = false;
        }
    }

    /// A probe was not answered; whether the next hop went down with it.
    pub fn on_probe_lost(&mut self, settings: &Settings) -> bool {
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        let goes_down = !self.down && self.failures >= settings.failures;
        self.down |= goes_down;
        goes_down
    }

    /// Nothing probes it any longer: what probes found does not count.
    pub fn forget_probes(&mut self) {
        (self.down, self.failures, self.successes) = (false, 0, 0);
    }
}
