//! What a packet suffers on its way.

use core::time::Duration;
use wire::Random;

/// The quality of the network between two nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Shortest one-way delay.
    pub latency_min: Duration,
    /// Longest one-way delay; datagrams overtake each other within the difference.
    pub latency_max: Duration,
    /// Share of datagrams that vanish, 0..=1.
    pub loss: f64,
    /// Share of datagrams that arrive twice, 0..=1.
    pub duplication: f64,
    /// Longest run of stream bytes delivered at once; runs are of random length from 1 up to it.
    pub chunk_max: usize,
}

impl Link {
    /// A good network: 1 to 3 ms, nothing lost, large chunks.
    pub const CLEAN: Self = Self {
        latency_min: Duration::from_millis(1),
        latency_max: Duration::from_millis(3),
        loss: 0.0,
        duplication: 0.0,
        chunk_max: 16_384,
    };

    /// A bad radio cell: 5 to 80 ms, 5 % lost, 1 % doubled, streams in small pieces.
    pub const LOSSY: Self = Self {
        latency_min: Duration::from_millis(5),
        latency_max: Duration::from_millis(80),
        loss: 0.05,
        duplication: 0.01,
        chunk_max: 700,
    };

    /// Draws one delay.
    pub(crate) fn delay(&self, random: &mut Random) -> Duration {
        let spread = self.latency_max.saturating_sub(self.latency_min).as_micros();
        let spread = u64::try_from(spread).unwrap_or(u64::MAX - 1);
        self.latency_min + Duration::from_micros(random.below(spread + 1))
    }

    /// Draws how many copies of a datagram arrive.
    pub(crate) fn copies(&self, random: &mut Random) -> usize {
        if chance(self.loss, random) {
            0
        } else if chance(self.duplication, random) {
            2
        } else {
            1
        }
    }

    /// Draws the length of the next run of stream bytes, 1..=`left`.
    pub(crate) fn run(&self, left: usize, random: &mut Random) -> usize {
        let most = left.min(self.chunk_max.max(1));
        1 + usize::try_from(random.below(most as u64)).unwrap_or(0)
    }
}

/// True with probability `share`.
fn chance(share: f64, random: &mut Random) -> bool {
    // Always draw, so that changing one share leaves the rest of the run alone.
    let drawn = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    drawn < share
}
