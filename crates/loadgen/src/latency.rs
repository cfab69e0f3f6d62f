//! Latency from due time to answer.

use core::time::Duration;
use hdrhistogram::Histogram;
use wire::Instant;

/// A histogram of latencies up to 1 h, three significant digits; grows to 200 KB at most.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
    lost: u64,
}

const MICROS_MAX: u64 = 3_600_000_000;

impl Default for Latency {
    fn default() -> Self {
        let mut histogram = Histogram::new(3).expect("the precision is a constant and legal");
        histogram.auto(true);
        Self { histogram, lost: 0 }
    }
}

impl Latency {
    /// Notes one answer. `due` is the scheduled time, not the time of sending.
    pub fn note(&mut self, due: Instant, answered: Instant) {
        let micros = u64::try_from(answered.since(due).as_micros()).unwrap_or(MICROS_MAX);
        self.histogram.record(micros.clamp(1, MICROS_MAX)).expect("the histogram grows as it must");
    }

    /// Notes a request that was never answered.
    pub fn note_lost(&mut self) {
        self.lost += 1;
    }

    /// How many were answered.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.histogram.len()
    }

    /// How many were not.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// The latency that `share` (0..=1) of the answers did not exceed; zero without answers.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.histogram.value_at_quantile(share))
    }

    /// Adds another generator's answers.
    pub fn merge(&mut self, other: &Self) {
        self.lost += other.lost;
        self.histogram.add(&other.histogram).expect("the histogram grows as it must");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_shows_in_the_tail_although_only_one_send_was_late() {
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        let mut latency = Latency::default();
        // Due every 10 ms; the system stalls from 100 ms to 600 ms and then answers everything.
        for i in 0..100 {
            latency.note(at(i * 10), at((i * 10).max(if (10..60).contains(&i) { 600 } else { 0 }) + 1));
        }
        assert_eq!(latency.answered(), 100);
        assert!(latency.quantile(0.5) >= Duration::from_millis(1));
        assert!(latency.quantile(0.99) >= Duration::from_millis(480), "{:?}", latency.quantile(0.99));
    }

    #[test]
    fn merging_adds_answers_and_losses() {
        let mut a = Latency::default();
        let mut b = Latency::default();
        a.note(Instant::ZERO, Instant::from_micros(5));
        b.note(Instant::ZERO, Instant::from_micros(50));
        b.note_lost();
        a.merge(&b);
        assert_eq!((a.answered(), a.lost()), (2, 1));
        assert_eq!(a.quantile(1.0), Duration::from_micros(50));
    }
}
