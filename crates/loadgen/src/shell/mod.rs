//! The machines on sockets: one thread each, level for level the same loop.

mod core_side;
mod stream;
mod ue_side;

pub use core_side::CoreShell;
pub use ue_side::{Handle, drive};

use std::io;
use std::os::fd::OwnedFd;
use wire::Instant;

/// Monotonic time since a fixed start, so that all threads of a run share one clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock(std::time::Instant);

impl Clock {
    /// A clock that starts at zero here.
    #[must_use]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Time since then.
    #[must_use]
    pub fn now(self) -> Instant {
        Instant::from_micros(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// An alarm that is exact to microseconds: the timeout of a poll is rounded up to whole milliseconds,
/// which a load of thousands a second would feel.
#[derive(Debug)]
struct Alarm(OwnedFd);

impl Alarm {
    fn new() -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, flags)?))
    }

    /// Rings in `micros` microseconds, at least one.
    fn set(&self, micros: u64) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        let value = Timespec {
            tv_sec: i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(micros.max(1) % 1_000_000 * 1_000).unwrap_or(0),
        };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(
            &self.0,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: zero, it_value: value },
        )?;
        Ok(())
    }
}
