//! When to wake, and for whom: every timer of the shard in one ordered set.
//!
//! An ordered set and not a heap with lazy deletion: registrations that are refreshed early leave
//! nothing behind, so the set is as large as the number of owners and its head is exact.

use crate::api::Reason;
use std::collections::BTreeSet;
use wire::{BindingId, DialogId, ExchangeId, Instant, StreamId, WatchId};

/// Who asked to be woken.
///
/// The order breaks ties between owners that are due at the same instant, and is part of replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// The machines of an exchange.
    Exchange(ExchangeId),
    /// A message that does not complete.
    PartialMessage(StreamId),
    /// A binding that expires, or was reserved and not completed.
    Binding(BindingId),
    /// Keys of registrations that were not completed.
    Keys,
    /// A dialog that was not refreshed.
    Dialog(DialogId),
    /// The search for what barred sources have.
    Blacklist,
    /// A subscription of our own.
    Watch(WatchId),
    /// Probes of next hops.
    Hops,
    /// A UE behind a NAT that may have been silent for too long.
    Ping(BindingId),
}

impl Alarm {
    /// What the shell is told.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Exchange(_) => Reason::Transaction,
            Self::PartialMessage(_) => Reason::PartialMessage,
            Self::Binding(_) | Self::Ping(_) | Self::Keys | Self::Watch(_) => Reason::Registration,
            Self::Dialog(_) => Reason::Dialog,
            Self::Blacklist => Reason::Blacklist,
            Self::Hops => Reason::NextHops,
        }
    }
}

/// All alarms of a shard. Each owner has at most one, and keeps the instant it is set to.
#[derive(Debug, Default)]
pub struct Deadlines {
    set: BTreeSet<(Instant, Alarm)>,
}

impl Deadlines {
    /// Moves the owner's alarm from where `armed` says it is to `to`.
    pub fn arm(&mut self, alarm: Alarm, armed: &mut Option<Instant>, to: Option<Instant>) {
        if *armed == to {
            return;
        }
        if let Some(at) = armed.take() {
            self.set.remove(&(at, alarm));
        }
        if let Some(at) = to {
            self.set.insert((at, alarm));
        }
        *armed = to;
    }

    /// How many are set.
    #[must_use]
    pub fn count(&self) -> usize {
        self.set.len()
    }

    /// The earliest alarm.
    #[must_use]
    pub fn first(&self) -> Option<(Instant, Alarm)> {
        self.set.first().copied()
    }

    /// Takes out the earliest alarm if it is due; its owner has none from here on.
    pub fn pop_due(&mut self, now: Instant) -> Option<Alarm> {
        let (at, _) = self.first()?;
        if at > now {
            return None;
        }
        self.set.pop_first().map(|(_, alarm)| alarm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::SlotId;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn an_alarm_that_is_moved_leaves_nothing_behind() {
        let mut deadlines = Deadlines::default();
        let (a, b) = (Alarm::Binding(BindingId::new(1, 0)), Alarm::Exchange(ExchangeId::new(1, 0)));
        let (mut armed_a, mut armed_b) = (None, None);
        deadlines.arm(a, &mut armed_a, Some(at(10)));
        deadlines.arm(b, &mut armed_b, Some(at(20)));
        deadlines.arm(a, &mut armed_a, Some(at(30)));
        assert_eq!(deadlines.first(), Some((at(20), b)));
        assert_eq!(deadlines.pop_due(at(19)), None);
        assert_eq!(deadlines.pop_due(at(25)), Some(b));
        deadlines.arm(a, &mut armed_a, None);
        assert_eq!(deadlines.first(), None);
    }
}
