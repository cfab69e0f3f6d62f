//! Every alarm of the relay in one ordered set.
//!
//! An owner has at most one alarm. Activity does not move it: when it rings too early, the owner looks
//! at its clocks and arms it again. So a chunk costs no timer, and a timer at most one early ring.

use super::api::Reason;
use std::collections::BTreeSet;
use wire::{Instant, MediaId, StreamId};

/// Who is to be looked at. The order breaks ties and is part of replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    Conn(StreamId),
    Session(MediaId),
}

/// Where an owner keeps the instant its alarm is set to.
pub(super) type Armed = Option<Instant>;

#[derive(Debug, Default)]
pub(super) struct Timers {
    set: BTreeSet<(Instant, Alarm)>,
}

impl Timers {
    /// Makes sure that the alarm rings no later than `at`.
    pub(super) fn arm(&mut self, alarm: Alarm, armed: &mut Armed, at: Instant) {
        if armed.is_some_and(|set| set <= at) {
            return;
        }
        self.disarm(alarm, armed);
        self.set.insert((at, alarm));
        *armed = Some(at);
    }

    /// Takes the alarm out.
    pub(super) fn disarm(&mut self, alarm: Alarm, armed: &mut Armed) {
        if let Some(set) = armed.take() {
            self.set.remove(&(set, alarm));
        }
    }

    pub(super) fn next(&self) -> Option<(Instant, Reason)> {
        self.set.first().map(|(at, alarm)| match alarm {
            Alarm::Conn(_) => (*at, Reason::Connection),
            Alarm::Session(_) => (*at, Reason::Session),
        })
    }

    /// Takes out the earliest alarm if it is due; its owner must forget that it was armed.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Alarm> {
        let (at, _) = self.set.first()?;
        if *at > now {
            return None;
        }
        self.set.pop_first().map(|(_, alarm)| alarm)
    }
}
