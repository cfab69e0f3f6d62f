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
    /// The first of the set: asked after every wake-up.
    first: Option<(Instant, Alarm)>,
}

impl Timers {
    /// Makes sure that the alarm rings no later than `at`.
    pub(super) fn arm(&mut self, alarm: Alarm, armed: &mut Armed, at: Instant) {
        if armed.is_some_and(|set| set <= at) {
            return;
        }
        self.disarm(alarm, armed);
        self.set.insert((at, alarm));
        if self.first.is_none_or(|first| (at, alarm) < first) {
            self.first = Some((at, alarm));
        }
        *armed = Some(at);
    }

    /// Takes the alarm out.
    pub(super) fn disarm(&mut self, alarm: Alarm, armed: &mut Armed) {
        if let Some(set) = armed.take() {
            self.set.remove(&(set, alarm));
            if self.first == Some((set, alarm)) {
                self.first = self.set.first().copied();
            }
        }
    }

    pub(super) fn next(&self) -> Option<(Instant, Reason)> {
        self.first.map(|(at, alarm)| match alarm {
            Alarm::Conn(_) => (at, Reason::Connection),
            Alarm::Session(_) => (at, Reason::Session),
        })
    }

    /// Takes out the earliest alarm if it is due; its owner must forget that it was armed.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Alarm> {
        let (_, alarm) = self.set.first().copied().filter(|(at, _)| *at <= now)?;
        self.set.pop_first();
        self.first = self.set.first().copied();
        Some(alarm)
    }
}
