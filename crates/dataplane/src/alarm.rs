//! The timer of the kernel that wakes a shard in time.
//!
//! A timeout given to every wait would be set up and torn down with every wake-up, which costs as much as
//! a small message; this one is touched only when it would ring too late.

use crate::clock::Clock;
use core::time::Duration;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;
use wire::Instant;

#[derive(Debug)]
pub(crate) struct AlarmClock {
    timer: OwnedFd,
    /// When it rings; `None` once it rang.
    set_to: Option<Instant>,
}

impl AlarmClock {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self { timer: timerfd_create(TimerfdClockId::Monotonic, flags)?, set_to: None })
    }

    /// Sees to it that it rings at `at` or before; an early ring is harmless.
    pub(crate) fn ring_by(&mut self, at: Instant, clock: &Clock) -> io::Result<()> {
        if self.set_to.is_some_and(|set_to| set_to <= at) {
            return Ok(());
        }
        // Zero would switch it off, where the deadline passed meanwhile.
        let left = at.since(clock.now()).max(Duration::from_nanos(1));
        let it_value = Timespec::try_from(left).unwrap_or_default();
        let spec = Itimerspec { it_interval: Timespec::default(), it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
        self.set_to = Some(at);
        Ok(())
    }

    /// It rang; watched edge-triggered, so nothing needs to be read.
    pub(crate) fn on_ring(&mut self) {
        self.set_to = None;
    }
}

impl AsFd for AlarmClock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}
