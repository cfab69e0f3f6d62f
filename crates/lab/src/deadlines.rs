//! One set of deadlines for many small machines.

use std::collections::{BTreeMap, BTreeSet};
use wire::Instant;

/// Deadlines by key, and keys by deadline.
#[derive(Clone, Debug)]
pub(crate) struct Deadlines<K> {
    by_time: BTreeSet<(Instant, K)>,
    by_key: BTreeMap<K, Instant>,
}

impl<K: Ord + Clone> Default for Deadlines<K> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), by_key: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Deadlines<K> {
    /// Sets, moves or (with `None`) removes the deadline of `key`.
    pub(crate) fn set(&mut self, key: &K, at: Option<Instant>) {
        if let Some(old) = self.by_key.remove(key) {
            self.by_time.remove(&(old, key.clone()));
        }
        if let Some(at) = at {
            self.by_key.insert(key.clone(), at);
            self.by_time.insert((at, key.clone()));
        }
    }

    /// The earliest.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out one key that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (at, key) = self.by_time.first()?.clone();
        if at > now {
            return None;
        }
        self.set(&key, None);
        Some(key)
    }
}

/// The earlier of two optional instants.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order_and_move() {
        let at = Instant::from_micros;
        let mut d = Deadlines::default();
        d.set(&1, Some(at(30)));
        d.set(&2, Some(at(20)));
        d.set(&1, Some(at(10)));
        d.set(&3, Some(at(5)));
        d.set(&3, None);
        assert_eq!(d.next(), Some(at(10)));
        assert_eq!(d.pop_due(at(9)), None);
        assert_eq!((d.pop_due(at(20)), d.pop_due(at(20)), d.pop_due(at(99))), (Some(1), Some(2), None));
        assert_eq!(earlier(Some(at(3)), None), Some(at(3)));
    }
}
