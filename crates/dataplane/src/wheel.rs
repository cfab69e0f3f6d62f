//! The timers of connections: many, coarse, and nearly always moved before they ring.
//!
//! ```text
//! slot  now+0  now+1  …  now+511        one slot = 2^18 µs ≈ 262 ms, 134 s around
//!       [ids]  [ids]  …  [ids]          later deadlines wait in the last slot and move on from there
//! ```
//! A connection stands in the wheel at most once as far as it knows (`armed_at`); traffic only moves
//! its deadline, and whoever fires early is put back. So a byte received costs no timer work at all.

use wire::{Instant, StreamId};

const TICK_BITS: u32 = 18;
const SLOTS: u64 = 512;

/// One alarm that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub(crate) id: StreamId,
    /// When it was asked for; an alarm whose owner asked for another time since is stale.
    pub(crate) at: Instant,
}

#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Vec<Vec<Alarm>>,
    /// The first tick that was not fired.
    tick: u64,
    /// No alarm stands in a slot before this tick; `u64::MAX` when there is none.
    first: u64,
}

impl Wheel {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            tick: now.as_micros() >> TICK_BITS,
            first: u64::MAX,
        }
    }

    /// Sets an alarm; it rings at `at` or up to one tick later.
    pub(crate) fn insert(&mut self, alarm: Alarm) {
        let due = (alarm.at.as_micros() >> TICK_BITS) + 1;
        let tick = due.clamp(self.tick, self.tick + SLOTS - 1);
        if let Some(slot) = self.slots.get_mut((tick % SLOTS) as usize) {
            slot.push(alarm);
        }
        self.first = self.first.min(tick);
    }

    /// When to look again.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        (self.first != u64::MAX).then(|| Instant::from_micros(self.first << TICK_BITS))
    }

    /// Moves every alarm that is due into `due`.
    pub(crate) fn expire(&mut self, now: Instant, due: &mut Vec<Alarm>) {
        let end = now.as_micros() >> TICK_BITS;
        if end < self.first {
            self.tick = self.tick.max(end);
            return;
        }
        let mut waiting = Vec::new();
        // After a long pause (a stopped process) one round visits every slot.
        let last = end.min(self.tick + SLOTS - 1);
        for tick in self.tick..=last {
            if let Some(slot) = self.slots.get_mut((tick % SLOTS) as usize) {
                for alarm in slot.drain(..) {
                    if alarm.at > now { waiting.push(alarm) } else { due.push(alarm) }
                }
                slot.shrink_to(64);
            }
        }
        self.tick = end + 1;
        for alarm in waiting {
            self.insert(alarm);
        }
        let ahead = (self.tick..self.tick + SLOTS)
            .find(|tick| self.slots.get((tick % SLOTS) as usize).is_some_and(|slot| !slot.is_empty()));
        self.first = ahead.unwrap_or(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    fn id(slot: u32) -> StreamId {
        StreamId { slot, generation: 1 }
    }

    #[test]
    fn alarms_ring_at_their_time_or_one_tick_later_near_and_far() {
        let start = at(5_000);
        for ms in [0, 1, 261, 262, 263, 1_000, 10_000, 133_000, 134_300, 600_000, 86_400_000] {
            let mut wheel = Wheel::new(start);
            let alarm = Alarm { id: id(1), at: start + Duration::from_millis(ms) };
            wheel.insert(alarm);
            let (mut now, mut due) = (start, Vec::new());
            while due.is_empty() {
                let next = wheel.next_deadline();
                assert!(next.is_some(), "{ms} ms was lost");
                now = next.unwrap_or_default().max(now);
                wheel.expire(now, &mut due);
            }
            assert!(now >= alarm.at && now.since(alarm.at) < Duration::from_millis(263), "{ms}: {now}");
            assert_eq!(wheel.next_deadline(), None, "{ms}");
        }
    }

    #[test]
    fn a_long_pause_loses_nothing() {
        let mut wheel = Wheel::new(at(0));
        for slot in 0..1_000u32 {
            wheel.insert(Alarm { id: id(slot), at: at(u64::from(slot) * 100) });
        }
        let mut due = Vec::new();
        wheel.expire(at(10_000_000), &mut due);
        assert_eq!(due.len(), 1_000);
        assert_eq!(wheel.next_deadline(), None);
    }

    #[test]
    fn what_is_not_due_stays() {
        let mut wheel = Wheel::new(at(0));
        wheel.insert(Alarm { id: id(1), at: at(1_000) });
        wheel.insert(Alarm { id: id(2), at: at(3_000) });
        let mut due = Vec::new();
        wheel.expire(at(2_000), &mut due);
        assert_eq!(due, [Alarm { id: id(1), at: at(1_000) }]);
        assert!(wheel.next_deadline().is_some_and(|next| next >= at(3_000)));
    }
}
