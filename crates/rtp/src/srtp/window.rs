//! Packet indices of one source: the rollover counter (RFC 3711 §3.3.1, appendix A) and the replay list.

use super::Error;

/// The highest index and which of those before it were seen.
///
/// ```text
///   top - 127 ........ top
///   seen: bit i set <=> top - i was accepted; bit 0 is top itself
/// ```
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    top: u64,
    /// Zero until the first packet.
    seen: u128,
}

impl Window {
    /// RFC 3711 §3.3.2 asks for 64 at least; twice as many cost a word.
    const SIZE: u64 = 128;
    /// 32 bits of rollover counter and 16 of sequence number.
    const INDEX_MAX: u64 = (1 << 48) - 1;
    const RTCP_INDEX_MAX: u64 = (1 << 31) - 1;

    /// The index that `sequence` most likely has: the nearest one to the highest.
    ///
    /// Before the first rollover a number far ahead is taken as just that, not as one of before the
    /// start: a phone that draws new numbers after a pause would be silent for ever otherwise.
    ///
    /// # Errors
    /// `KeyExhausted` where the rollover counter itself would roll over.
    pub(super) fn estimate(&self, sequence: u16) -> Result<u64, Error> {
        let sequence = u64::from(sequence);
        if self.seen == 0 {
            return Ok(sequence);
        }
        let (rollovers, highest) = (self.top >> 16, self.top & 0xffff);
        let rollovers = if highest < 0x8000 {
            if sequence > highest + 0x8000 { rollovers.saturating_sub(1) } else { rollovers }
        } else if sequence < highest - 0x8000 {
            rollovers + 1
        } else {
            rollovers
        };
        let index = rollovers << 16 | sequence;
        if index > Self::INDEX_MAX { Err(Error::KeyExhausted) } else { Ok(index) }
    }

    /// # Errors
    /// `Replayed` or `TooOld`.
    pub(super) fn check(&self, index: u64) -> Result<(), Error> {
        if self.seen == 0 || index > self.top {
            return Ok(());
        }
        match self.top - index {
            back if back >= Self::SIZE => Err(Error::TooOld),
            back if self.seen >> back & 1 == 1 => Err(Error::Replayed),
            _ => Ok(()),
        }
    }

    /// Notes an index that `check` let pass and whose packet is genuine.
    pub(super) fn accept(&mut self, index: u64) {
        if self.seen == 0 {
            (self.top, self.seen) = (index, 1);
        } else if index > self.top {
            let ahead = index - self.top;
            self.seen = if ahead >= Self::SIZE { 1 } else { self.seen << ahead | 1 };
            self.top = index;
        } else if self.top - index < Self::SIZE {
            self.seen |= 1 << (self.top - index);
        }
    }

    /// The index of the next SRTCP packet to send: 1, 2, ... (RFC 3711 §3.4).
    ///
    /// # Errors
    /// `KeyExhausted` after 2^31 - 1.
    pub(super) fn next_rtcp(&self) -> Result<u32, Error> {
        match self.top {
            Self::RTCP_INDEX_MAX.. => Err(Error::KeyExhausted),
            top => u32::try_from(top + 1).map_err(|_| Error::KeyExhausted),
        }
    }

    /// As if `top` were the last index seen.
    #[cfg(test)]
    pub(super) fn at(top: u64) -> Self {
        Self { top, seen: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rollover_both_ways() {
        let table: &[(u64, u16, u64)] = &[
            (0x0_fffe, 0xffff, 0x0_ffff),
            (0x0_ffff, 0x0000, 0x1_0000),
            (0x1_0000, 0xffff, 0x0_ffff), // a late one of before the rollover
            (0x1_0005, 0x0003, 0x1_0003),
            (0x1_7fff, 0x8000, 0x1_8000),
            (0x1_7fff, 0xffff, 0x1_ffff),
            (0x1_8000, 0x0000, 0x1_0000),
            (0x1_8001, 0x0000, 0x2_0000),
            (0x0_0005, 0xfff0, 0x0_fff0), // nothing lies before the start
        ];
        for (top, sequence, index) in table {
            assert_eq!(Window::at(*top).estimate(*sequence), Ok(*index), "{top:x} {sequence:x}");
        }
        assert_eq!(Window::default().estimate(0xffff), Ok(0xffff));
        assert_eq!(Window::at(Window::INDEX_MAX).estimate(0), Err(Error::KeyExhausted));
        assert_eq!(Window::at(Window::INDEX_MAX - 1).estimate(0xffff), Ok(Window::INDEX_MAX));
    }

    #[test]
    fn edges_of_the_replay_window() {
        let mut window = Window::at(1_000);
        assert_eq!(window.check(1_000), Err(Error::Replayed));
        assert_eq!(window.check(1_000 - 127), Ok(()));
        assert_eq!(window.check(1_000 - 128), Err(Error::TooOld));
        window.accept(1_000 - 127);
        assert_eq!(window.check(1_000 - 127), Err(Error::Replayed));
        window.accept(1_001);
        assert_eq!(window.check(1_000 - 127), Err(Error::TooOld));
        assert_eq!(window.check(1_000), Err(Error::Replayed));
        window.accept(9_000);
        assert_eq!(window.check(8_999), Ok(()));
        assert_eq!(window.check(9_000), Err(Error::Replayed));
    }

    #[test]
    fn rtcp_counts_from_one_and_ends() {
        let mut window = Window::default();
        assert_eq!(window.next_rtcp(), Ok(1));
        window.accept(1);
        assert_eq!(window.next_rtcp(), Ok(2));
        assert_eq!(Window::at(Window::RTCP_INDEX_MAX).next_rtcp(), Err(Error::KeyExhausted));
        assert_eq!(Window::at(Window::RTCP_INDEX_MAX - 1).next_rtcp(), Ok(0x7fff_ffff));
    }

    proptest! {
        /// The window agrees with a plain set of all that was accepted.
        #[test]
        fn window_is_a_set(steps in proptest::collection::vec(-200i64..200, 1..300)) {
            let mut window = Window::default();
            let mut naive = std::collections::BTreeSet::new();
            let mut at = 100_000i64;
            for step in steps {
                at += step;
                let index = u64::try_from(at).expect("stays positive");
                let top = naive.last().copied().unwrap_or(0);
                let expected = if naive.contains(&index) && top - index < Window::SIZE {
                    Err(Error::Replayed)
                } else if top >= index + Window::SIZE {
                    Err(Error::TooOld)
                } else {
                    Ok(())
                };
                prop_assert_eq!(window.check(index), expected);
                if expected.is_ok() {
                    window.accept(index);
                    naive.insert(index);
                }
            }
        }
    }
}
