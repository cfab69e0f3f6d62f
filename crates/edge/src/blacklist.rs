//! Barred sources (R10): they are turned away, and what they already have here ends.
//!
//! ```text
//! Event::Blacklist ─▶ new set in force at once ─▶ sweep: a stretch of the binding table for each wake
//! ```
//! The sweep is an alarm like any other, so a table of any size never holds up a turn. Whatever a sweep
//! has passed already cannot come back: a REGISTER that is under way ends in 403 and not in a binding.

use crate::api::Outbox;
use crate::bindings::Binding;
use crate::deadlines::Alarm;
use crate::exchange::Exchange;
use crate::flow::Origin;
use crate::shard::Edge;
use core::time::Duration;
use sip::Method;
use std::sync::Arc;
use wire::{Cause, Instant, PrefixSet, Realm};

/// The set in force, and how far the binding table was searched for it.
#[derive(Debug, Default)]
pub(crate) struct Blacklist {
    set: Arc<PrefixSet>,
    /// The place to go on at.
    next_place: u32,
    armed: Option<Instant>,
}

/// What somebody has here, counted before it is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Registrations.
    pub registrations: u64,
    /// Calls and sessions of these.
    pub calls: u64,
}

/// Places searched in one wake: some tens of microseconds.
const PLACES_PER_WAKE: usize = 2_048;
/// Registrations ended in one wake: each may end calls and send orders to the relay.
const ENDED_PER_WAKE: usize = 64;
/// Between two wakes the shard gets to everything else that is ready.
const WAKE_PAUSE: Duration = Duration::from_micros(1);

impl Edge {
    /// The blacklist was replaced.
    pub(crate) fn on_blacklist(&mut self, set: Arc<PrefixSet>, now: Instant) {
        let at = (!set.is_empty()).then_some(now);
        self.blacklist.set = set;
        self.blacklist.next_place = 0;
        self.deadlines.arm(Alarm::Blacklist, &mut self.blacklist.armed, at);
    }

    /// Whether nothing from this source is served. The core is trusted.
    pub(crate) fn is_barred(&self, origin: &Origin) -> bool {
        origin.realm == Realm::Access && self.blacklist.set.contains(origin.source.ip())
    }

    /// Whether these bytes of a barred source go no further, not even into the parser: all but a
    /// REGISTER, which is told why (R10).
    pub(crate) fn drops_barred(&mut self, bytes: &[u8], origin: &Origin, out: &mut Outbox) -> bool {
        let dropped = self.is_barred(origin) && !bytes.starts_with(b"REGISTER ");
        if dropped {
            self.note_reject(Cause::Blacklisted, origin, b"", out);
        }
        dropped
    }

    /// Answers in place of the far side if the requester was barred meanwhile; whether it did.
    pub(crate) fn answers_barred(
        &mut self,
        x: &mut Exchange,
        status: u16,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        let origin = x.requester;
        if !self.is_barred(&origin) {
            return false;
        }
        if status < 200 {
            if x.method == Method::Invite {
                self.begin_cancel(x, now, out);
            }
            return true;
        }
        let cause = Cause::Blacklisted;
        self.note_reject(cause, &origin, x.echo.call_id(), out);
        let warning = self.warning(cause.into(), &origin);
        self.answer(x, cause.status().unwrap_or(403), &warning, now, out);
        true
    }

    /// Goes on through the binding table.
    pub(crate) fn on_blacklist_deadline(&mut self, now: Instant, out: &mut Outbox) {
        self.blacklist.armed = None;
        let set = Arc::clone(&self.blacklist.set);
        let barred = |binding: &Binding| binding.live && set.contains(binding.source.ip());
        let first = self.blacklist.next_place;
        let (ids, next) = self.bindings.search(first, PLACES_PER_WAKE, ENDED_PER_WAKE, barred);
        for id in ids {
            self.end_binding(id, Cause::Blacklisted, now, out);
        }
        self.blacklist.next_place = next.unwrap_or(0);
        let at = next.map(|_| now + WAKE_PAUSE);
        self.deadlines.arm(Alarm::Blacklist, &mut self.blacklist.armed, at);
    }

    /// What the sources in `set` have here: what a blacklist with it would cut.
    #[must_use]
    pub fn holdings(&self, set: &PrefixSet) -> Holdings {
        let mut holdings = Holdings::default();
        for binding in self.bindings.iter().filter(|b| b.live && set.contains(b.source.ip())) {
            holdings.registrations += 1;
            holdings.calls += self.calls.of_binding(binding.id).len() as u64;
        }
        holdings
    }
}
