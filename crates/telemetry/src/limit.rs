//! Keeps a flood of one kind of warning from drowning the log.

use wire::Instant;

/// Lets so many lines of each kind through in one second and counts the rest.
///
/// Keys are small numbers from closed enums; no clock is read here.
#[derive(Debug)]
pub struct Repeats {
    per_second_max: u32,
    kinds: Box<[Kind]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    second: u64,
    lines: u32,
    suppressed: u64,
}

/// What to do with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Write it; so many of its kind were left out since the last one written.
    Write {
        /// Left out since the last line of this kind.
        suppressed: u64,
    },
    /// Leave it out.
    Suppress,
}

impl Repeats {
    /// For `kinds` kinds of lines, numbered from 0.
    #[must_use]
    pub fn new(kinds: usize, per_second_max: u32) -> Self {
        Self { per_second_max, kinds: vec![Kind::default(); kinds].into() }
    }

    /// Decides on one line of `kind`; a kind out of range is always written.
    pub fn admit(&mut self, kind: usize, now: Instant) -> Verdict {
        let second = now.as_micros() / 1_000_000;
        let Some(kind) = self.kinds.get_mut(kind) else {
            return Verdict::Write { suppressed: 0 };
        };
        if kind.second != second {
            kind.second = second;
            kind.lines = 0;
        }
        if kind.lines >= self.per_second_max {
            kind.suppressed += 1;
            return Verdict::Suppress;
        }
        kind.lines += 1;
        Verdict::Write { suppressed: core::mem::take(&mut kind.suppressed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_summed_up_and_other_kinds_are_unharmed() {
        let mut repeats = Repeats::new(2, 3);
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        let verdicts: Vec<_> = (0..5).map(|i| repeats.admit(0, at(i))).collect();
        let write = Verdict::Write { suppressed: 0 };
        assert_eq!(verdicts, [write, write, write, Verdict::Suppress, Verdict::Suppress]);
        assert_eq!(repeats.admit(1, at(999)), write);
        assert_eq!(repeats.admit(0, at(1_000)), Verdict::Write { suppressed: 2 });
        assert_eq!(repeats.admit(7, at(1_000)), write, "an unknown kind is not limited");
    }
}
