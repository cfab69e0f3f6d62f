//! Seeded randomness: the shell or the simulator draws the seed, the machines only stretch it.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A cryptographic generator with an explicit seed, so that a run is a pure function of it.
///
/// Tags and branches must be unguessable (RFC 3261 §19.3), hence ChaCha and not a faster toy.
#[derive(Clone, Debug)]
pub struct Random(ChaCha12Rng);

impl Random {
    /// Starts the sequence that belongs to `seed`.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// Starts the sequence of a small seed, as tests and simulations print it.
    #[must_use]
    pub fn from_u64(seed: u64) -> Self {
        Self(ChaCha12Rng::seed_from_u64(seed))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// A number in `0..bound`; 0 if `bound` is 0. The bias is below 2^-32 for bounds under 2^32.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// Appends `count` characters of `a-z2-7`: five random bits each, legal in every token.
    pub fn push_token(&mut self, count: usize, out: &mut Vec<u8>) {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut bits = 0;
        let mut left = 0;
        for _ in 0..count {
            if left < 5 {
                bits = self.next_u64();
                left = 64;
            }
            out.push(LETTERS[(bits & 31) as usize]);
            bits >>= 5;
            left -= 5;
        }
    }
}
