//! CK and IK between the challenge and the end of the registration it belongs to (R17).
//!
//! They are taken out of the 401 and never go on, never appear in a log (no `Debug`), and are
//! overwritten when they are dropped: when the second REGISTER is answered, a new challenge replaces
//! them, the flow closes, or the time for the answer is over.

use crate::token::FlowPath;
use core::fmt;
use core::hint::black_box;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use wire::Instant;

/// The keys of one challenge, as the core wrote them.
#[derive(PartialEq, Eq)]
pub struct AkaKeys {
    /// Cipher key, hexadecimal.
    pub ck: Secret,
    /// Integrity key, hexadecimal.
    pub ik: Secret,
}

impl fmt::Debug for AkaKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AkaKeys(..)")
    }
}

/// Bytes that are overwritten when they are dropped.
#[derive(PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes a copy.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for whoever protects the access side with them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        black_box(&self.0); // the compiler may not leave the overwriting out
    }
}

/// The keys of all registrations that are under way.
#[derive(Debug)]
pub struct Keyring {
    by_flow: HashMap<FlowPath, (Instant, AkaKeys), ahash::RandomState>,
    /// All lives are equally long, so they end in the order in which they began.
    ends: VecDeque<(Instant, FlowPath)>,
    pub(crate) armed: Option<Instant>,
}

/// Keys of one shard at a time: a registration storm beyond it goes on without kept keys.
const KEYS_MAX: usize = 65_536;

impl Keyring {
    /// How many flows have keys.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_flow.len().max(self.ends.len())
    }

    /// No keys; `seed` keys the map.
    #[must_use]
    pub fn new(seed: [u64; 4]) -> Self {
        Self {
            by_flow: HashMap::with_hasher(ahash::RandomState::with_seeds(seed[0], seed[1], seed[2], seed[3])),
            ends: VecDeque::new(),
            armed: None,
        }
    }

    /// Keeps the keys of the challenge that goes out over `flow`.
    pub fn keep(&mut self, flow: FlowPath, keys: AkaKeys, now: Instant, life: Duration) {
        if self.ends.len() >= KEYS_MAX {
            return;
        }
        let end = now + life;
        self.by_flow.insert(flow, (end, keys));
        self.ends.push_back((end, flow));
    }

    /// The keys that belong to `flow`.
    #[must_use]
    pub fn of(&self, flow: FlowPath) -> Option<&AkaKeys> {
        self.by_flow.get(&flow).map(|(_, keys)| keys)
    }

    /// Wipes the keys of a flow.
    pub fn wipe(&mut self, flow: FlowPath) {
        self.by_flow.remove(&flow);
    }

    /// When the oldest keys are due.
    #[must_use]
    pub fn next_end(&self) -> Option<Instant> {
        self.ends.front().map(|(at, _)| *at)
    }

    /// Wipes what is due.
    pub fn expire(&mut self, now: Instant) {
        while let Some(&(at, flow)) = self.ends.front()
            && at <= now
        {
            self.ends.pop_front();
            if self.by_flow.get(&flow).is_some_and(|(end, _)| *end <= now) {
                self.by_flow.remove(&flow);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::StreamId;

    fn flow(slot: u32) -> FlowPath {
        FlowPath::Stream(StreamId { slot, generation: 0 })
    }

    fn keys() -> AkaKeys {
        AkaKeys { ck: Secret::new(b"aa"), ik: Secret::new(b"bb") }
    }

    #[test]
    fn keys_live_until_wiped_replaced_or_due() {
        let life = Duration::from_secs(64);
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        let mut ring = Keyring::new([0; 4]);
        ring.keep(flow(1), keys(), at(0), life);
        ring.keep(flow(2), keys(), at(0), life);
        ring.keep(flow(1), keys(), at(10), life);
        ring.wipe(flow(2));
        assert!(ring.of(flow(2)).is_none());
        ring.expire(at(64));
        assert!(ring.of(flow(1)).is_some(), "the second challenge counts");
        assert_eq!(ring.next_end(), Some(at(74)));
        ring.expire(at(74));
        assert!(ring.of(flow(1)).is_none());
    }

    #[test]
    fn keys_are_never_printed() {
        assert_eq!(format!("{:?}", keys()), "AkaKeys(..)");
    }
}
