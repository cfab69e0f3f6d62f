//! Packets that share a wake-up.
//!
//! To be woken costs more than to relay a packet (3.5 µs against 1.6 where 64 packets share it). A shard
//! with many streams sleeps a moment before it looks for more, and finds a handful instead of one.

use config::Config;
use core::time::Duration;
use wire::Instant;

/// Decides when to nap.
#[derive(Debug)]
pub(crate) struct Pace {
    nap: Duration,
    /// Packets since `since`, and in this turn.
    packets: u32,
    in_turn: u32,
    since: Instant,
    is_worth_it: bool,
}

/// How often the rate is looked at.
const WINDOW: Duration = Duration::from_millis(20);
/// A nap must bring at least so many packets on average.
const PACKETS_MIN: u64 = 3;
/// With so many in a turn the wake-up costs next to nothing for each.
const PACKETS_ENOUGH: u32 = 32;

impl Pace {
    pub(crate) fn new(config: &Config) -> Self {
        let nap = Duration::from_micros(config.media.coalesce_microseconds);
        Self { nap, packets: 0, in_turn: 0, since: Instant::ZERO, is_worth_it: false }
    }

    pub(crate) fn on_packet(&mut self) {
        self.in_turn += 1;
    }

    /// At the end of a turn: how long to sleep, if it pays.
    pub(crate) fn nap(&mut self, now: Instant) -> Option<Duration> {
        let in_turn = core::mem::take(&mut self.in_turn);
        self.packets = self.packets.saturating_add(in_turn);
        let elapsed = now.since(self.since);
        if elapsed >= WINDOW {
            let expected = u128::from(self.packets) * self.nap.as_nanos();
            self.is_worth_it = expected >= u128::from(PACKETS_MIN) * elapsed.as_nanos();
            (self.packets, self.since) = (0, now);
        }
        let naps = self.is_worth_it && !self.nap.is_zero() && (1..PACKETS_ENOUGH).contains(&in_turn);
        naps.then_some(self.nap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of a turn every `every` microseconds for a second; how often a nap followed.
    fn naps(pace: &mut Pace, every: u64, packets: u32) -> usize {
        let turns = (0..1_000_000).step_by(every as usize);
        let naps = turns.filter(|at| {
            (0..packets).for_each(|_| pace.on_packet());
            pace.nap(Instant::from_micros(1_000_000 + at)).is_some()
        });
        naps.count()
    }

    #[test]
    fn a_nap_is_for_the_busy_and_not_for_the_overloaded() {
        let pace = || Pace::new(&Config::default());
        let (few, many, flood) =
            (naps(&mut pace(), 1_000, 1), naps(&mut pace(), 50, 1), naps(&mut pace(), 500, 64));
        assert_eq!((few, flood), (0, 0));
        assert!(many > 19_000, "{many}");
        let mut config = Config::default();
        config.media.coalesce_microseconds = 0;
        assert_eq!(naps(&mut Pace::new(&config), 50, 1), 0);
        let mut idle = pace();
        naps(&mut idle, 50, 1);
        assert_eq!(naps(&mut idle, 1_000, 0), 0, "no packet, no nap");
    }
}
