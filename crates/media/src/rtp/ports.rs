//! The ports of one realm and shard: pairs of an even one for RTP and the odd one above for RTCP.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::VecDeque;
use wire::{Instant, Random};

/// Pairs that are free, in use, or in quarantine.
///
/// A port that was just used still gets packets of the old call, so it rests before it is given out again.
/// The order is drawn at the start: who knows one port of a call does not know the next.
#[derive(Debug)]
pub struct PortPool {
    first: u16,
    free: VecDeque<u16>,
    resting: VecDeque<(Instant, u16)>,
    is_used: Vec<bool>,
    in_use: usize,
    quarantine: Duration,
    /// Requests that found none.
    exhausted: u64,
}

impl PortPool {
    /// All pairs that lie in `ports` as a whole.
    #[must_use]
    pub fn new(ports: &RangeInclusive<u16>, quarantine: Duration, random: &mut Random) -> Self {
        let first = ports.start().saturating_add(ports.start() % 2);
        let mut free: Vec<u16> = (first..=*ports.end())
            .step_by(2)
            .filter(|even| even % 2 == 0 && even.checked_add(1).is_some_and(|odd| odd <= *ports.end()))
            .collect();
        for i in (1..free.len()).rev() {
            let j = random.below(i as u64 + 1) as usize;
            free.swap(i, j);
        }
        let is_used = vec![false; free.len()];
        Self {
            first,
            free: free.into(),
            resting: VecDeque::new(),
            is_used,
            in_use: 0,
            quarantine,
            exhausted: 0,
        }
    }

    /// The even port of a pair; `None` if all are in use or resting.
    pub fn allocate(&mut self, now: Instant) -> Option<u16> {
        while let Some((_, port)) = self.resting.pop_front_if(|(until, _)| *until <= now) {
            self.free.push_back(port);
        }
        let Some(port) = self.free.pop_front() else {
            self.exhausted += 1;
            return None;
        };
        self.mark(port, true);
        self.in_use += 1;
        Some(port)
    }

    /// Gives a pair back. What is not in use is left alone, so that giving back twice harms nobody.
    pub fn release(&mut self, port: u16, now: Instant) {
        if self.mark(port, false) {
            self.in_use -= 1;
            self.resting.push_back((now + self.quarantine, port));
        }
    }

    /// Takes back a pair that was allocated and never used: it is the next one to be given out.
    pub fn give_back(&mut self, port: u16) {
        if self.mark(port, false) {
            self.in_use -= 1;
            self.free.push_front(port);
        }
    }

    /// Pairs in use.
    #[must_use]
    pub const fn in_use(&self) -> usize {
        self.in_use
    }

    /// Pairs that are not in use, resting ones included.
    #[must_use]
    pub fn unused(&self) -> usize {
        self.free.len() + self.resting.len()
    }

    /// Requests that found none.
    #[must_use]
    pub const fn exhausted(&self) -> u64 {
        self.exhausted
    }

    /// Sets the mark; true if it changed.
    fn mark(&mut self, port: u16, is_used: bool) -> bool {
        let place =
            port.checked_sub(self.first).filter(|ahead| ahead % 2 == 0).map(|ahead| usize::from(ahead / 2));
        match place.and_then(|place| self.is_used.get_mut(place)) {
            Some(mark) if *mark != is_used => {
                *mark = is_used;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(10);

    fn pool(ports: RangeInclusive<u16>) -> PortPool {
        PortPool::new(&ports, REST, &mut Random::from_u64(1))
    }

    #[test]
    fn only_whole_pairs_are_given_out() {
        for (ports, pairs) in [
            (100..=103, &[100, 102][..]),
            (101..=105, &[102, 104]),
            (100..=100, &[]),
            (101..=102, &[]),
            (65_533..=65_535, &[65_534]),
            (65_535..=65_535, &[]),
        ] {
            let mut pool = pool(ports.clone());
            let mut given: Vec<_> = core::iter::from_fn(|| pool.allocate(Instant::ZERO)).collect();
            given.sort_unstable();
            assert_eq!(given, pairs, "{ports:?}");
            assert_eq!((pool.in_use(), pool.unused(), pool.exhausted()), (pairs.len(), 0, 1));
        }
    }

    #[test]
    fn a_used_pair_rests() {
        let mut pool = pool(100..=101);
        let start = Instant::from_micros(1_000_000);
        let port = pool.allocate(start);
        assert_eq!(port, Some(100));
        pool.release(100, start);
        assert_eq!(pool.allocate(start + (REST - Duration::from_micros(1))), None);
        assert_eq!(pool.allocate(start + REST), Some(100));
    }

    #[test]
    fn nothing_is_given_back_twice_or_that_was_not_given() {
        let mut pool = pool(100..=103);
        let port = pool.allocate(Instant::ZERO).expect("two are free");
        for stray in [port, port, port + 1, 0, 50, 104, 65_535] {
            pool.release(stray, Instant::ZERO);
        }
        assert_eq!((pool.in_use(), pool.unused()), (0, 2));
    }

    #[test]
    fn five_thousand_calls_leak_nothing() {
        let mut pool = pool(10_000..=19_999);
        for round in 0..5u64 {
            let now = Instant::from_micros(round * 60_000_000);
            let given: Vec<_> = core::iter::from_fn(|| pool.allocate(now)).collect();
            assert_eq!(given.len(), 5_000);
            assert!(given.windows(2).any(|w| w[0] > w[1]), "not in order");
            given.iter().for_each(|port| pool.release(*port, now));
            assert_eq!((pool.in_use(), pool.unused()), (0, 5_000));
        }
    }
}
