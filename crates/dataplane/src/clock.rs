//! The one clock of the process, in the terms of the sans-IO machines.

use std::time;
use wire::Instant;

/// Turns the monotonic clock of the system into [`Instant`]s; the same for every shard of a node.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: time::Instant,
}

impl Clock {
    /// A clock that starts here.
    #[must_use]
    pub fn start() -> Self {
        Self { start: time::Instant::now() }
    }

    /// What `Instant::ZERO` is on the clock of the system.
    #[must_use]
    pub fn zero(self) -> time::Instant {
        self.start.checked_sub(time::Duration::from_secs(1)).unwrap_or(self.start)
    }

    /// This moment.
    #[must_use]
    pub fn now(self) -> Instant {
        let micros = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        // Zero means "never" in places; real time starts a second later.
        Instant::from_micros(micros.saturating_add(1_000_000))
    }
}
