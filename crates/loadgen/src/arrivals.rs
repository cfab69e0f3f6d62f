//! When the next request is due.

use core::time::Duration;
use wire::{Instant, Random};

/// How requests arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    /// Evenly spaced, `per_second` > 0.
    Constant {
        /// Requests a second.
        per_second: f64,
    },
    /// Independent users: exponential gaps around the same mean rate.
    Poisson {
        /// Requests a second, on average.
        per_second: f64,
    },
    /// The rate grows linearly from one value to another, then stays.
    Ramp {
        /// Requests a second at the start.
        from: f64,
        /// Requests a second at the end.
        to: f64,
        /// How long it grows.
        over: Duration,
    },
    /// Everybody at once: `count` requests due at the start.
    Storm {
        /// How many.
        count: u64,
    },
    /// Not open loop: the next request waits until fewer than `in_flight` are unanswered. Finds the peak
    /// rate; its latencies say nothing about users, who do not wait for each other.
    Closed {
        /// Unanswered requests at a time.
        in_flight: u32,
    },
}

/// The schedule of one generator: an endless (or, for a storm, finite) list of due times.
#[derive(Clone, Debug)]
pub struct Arrivals {
    pattern: Pattern,
    start: Instant,
    /// Seconds since `start` of the next arrival.
    next: f64,
    given: u64,
    random: Random,
}

impl Arrivals {
    /// Starts the schedule at `start`; the same seed gives the same schedule.
    #[must_use]
    pub fn new(pattern: Pattern, start: Instant, seed: u64) -> Self {
        Self { pattern, start, next: 0.0, given: 0, random: Random::from_u64(seed) }
    }

    /// How many requests may be unanswered at a time, if that is limited.
    #[must_use]
    pub const fn in_flight_max(&self) -> Option<u32> {
        match self.pattern {
            Pattern::Closed { in_flight } => Some(in_flight),
            _ => None,
        }
    }

    /// When the next request is due; `None` when there are no more.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        if matches!(self.pattern, Pattern::Storm { count } if self.given >= count) {
            return None;
        }
        Some(self.start + Duration::from_secs_f64(self.next.clamp(0.0, 1e9)))
    }

    /// Takes the next request if it is due at `now`, and returns the time it was due.
    ///
    /// Call it until it returns `None`: a generator that was late then sends everything it owes, and
    /// each latency still counts from the due time.
    pub fn take_due(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next_due().filter(|due| *due <= now)?;
        self.given += 1;
        self.next += self.gap();
        Some(due)
    }

    fn gap(&mut self) -> f64 {
        match self.pattern {
            Pattern::Constant { per_second } => 1.0 / per_second.max(1e-9),
            Pattern::Poisson { per_second } => -self.uniform().ln() / per_second.max(1e-9),
            Pattern::Ramp { from, to, over } => {
                let share = (self.next / over.as_secs_f64().max(1e-9)).min(1.0);
                1.0 / (from + (to - from) * share).max(1e-9)
            }
            Pattern::Storm { .. } | Pattern::Closed { .. } => 0.0,
        }
    }

    /// In (0, 1], never 0, so that its logarithm is finite.
    fn uniform(&mut self) -> f64 {
        let bits = self.random.next_u64() >> 11;
        (bits + 1) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(pattern: Pattern, seconds: u64) -> usize {
        let end = Instant::ZERO + Duration::from_secs(seconds);
        let mut arrivals = Arrivals::new(pattern, Instant::ZERO, 7);
        std::iter::from_fn(|| arrivals.take_due(end)).take(1_000_000).count()
    }

    #[test]
    fn constant_is_even_and_exact() {
        assert_eq!(within(Pattern::Constant { per_second: 100.0 }, 10), 1_001);
    }

    #[test]
    fn poisson_keeps_its_mean_rate() {
        let count = within(Pattern::Poisson { per_second: 1_000.0 }, 20);
        assert!((19_000..21_000).contains(&count), "{count}"); // 7 standard deviations
    }

    #[test]
    fn ramp_gives_the_area_under_its_line() {
        let count = within(Pattern::Ramp { from: 100.0, to: 300.0, over: Duration::from_secs(10) }, 10);
        assert!((1_990..2_010).contains(&count), "{count}");
    }

    #[test]
    fn storm_is_everybody_at_once_and_then_nobody() {
        assert_eq!(within(Pattern::Storm { count: 500 }, 0), 500);
    }

    #[test]
    fn a_late_generator_owes_every_request_at_its_own_due_time() {
        let mut arrivals = Arrivals::new(Pattern::Constant { per_second: 10.0 }, Instant::ZERO, 1);
        let late = Instant::ZERO + Duration::from_secs(1);
        let due: Vec<_> = std::iter::from_fn(|| arrivals.take_due(late)).collect();
        assert_eq!(due.len(), 11);
        assert_eq!(due[1].as_micros(), 100_000);
    }
}
