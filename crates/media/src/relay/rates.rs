//! Octets a second of a session and of a user: who had too many is not read for a while.
//!
//! Nothing is dropped: the sender feels it as back-pressure, like a slow network.

use super::MsrpRelay;
use super::api::Outbox;
use super::conn::{Flow, Wait};
use ahash::RandomState;
use core::time::Duration;
use std::collections::HashMap;
use wire::{BindingId, Instant, StreamId};

/// One second's worth may come at once: a photo is not slowed down, a film is.
const BURST: Duration = Duration::from_secs(1);

/// Up to when what came is paid for (a virtual clock, as in the leaky bucket of ITU-T I.371).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Paid {
    until: Instant,
}

impl Paid {
    /// Pays for so many octets; says when to go on, if that is later.
    fn pay(&mut self, octets: usize, per_second: u64, now: Instant) -> Option<Instant> {
        if per_second == 0 {
            return None;
        }
        let micros = (octets as u64).saturating_mul(1_000_000) / per_second;
        let since = Instant::from_micros(now.as_micros().saturating_sub(BURST.as_micros() as u64));
        self.until = self.until.max(since) + Duration::from_micros(micros);
        (self.until > now).then_some(self.until)
    }
}

/// Users who have sessions.
#[derive(Debug)]
pub(super) struct Rates {
    users: HashMap<BindingId, User, RandomState>,
}

#[derive(Debug, Default)]
struct User {
    sessions: u32,
    paid: Paid,
}

impl Rates {
    pub(super) fn new(seed: u64) -> Self {
        Self { users: HashMap::with_hasher(RandomState::with_seeds(seed, 1, 2, 3)) }
    }

    /// A session of this user was opened.
    pub(super) fn enter(&mut self, user: Option<BindingId>) {
        if let Some(user) = user {
            self.users.entry(user).or_default().sessions += 1;
        }
    }

    /// A session of this user ended.
    pub(super) fn leave(&mut self, user: Option<BindingId>) {
        let Some(id) = user else { return };
        if let Some(user) = self.users.get_mut(&id) {
            user.sessions = user.sessions.saturating_sub(1);
            if user.sessions == 0 {
                self.users.remove(&id);
            }
        }
    }

    /// How many users have sessions.
    #[cfg(test)]
    pub(super) fn users(&self) -> usize {
        self.users.len()
    }
}

impl MsrpRelay {
    /// Pays for what was read; stops reading for a while if that was too much.
    pub(super) fn slow_down(&mut self, id: StreamId, octets: usize, now: Instant, out: &mut Outbox) {
        let Some(conn) = self.conns.of(id).filter(|conn| conn.wait == Wait::None) else { return };
        let session = match &conn.flow {
            Flow::Forward(forward) => Some(forward.session),
            _ => conn.last,
        };
        let Some(session) = session.and_then(|session| self.sessions.of_mut(session)) else { return };
        let own = session.paid.pay(octets, self.limits.session_bytes_per_second_max, now);
        let user = session.spec.user.and_then(|user| self.rates.users.get_mut(&user));
        let all = user.and_then(|user| user.paid.pay(octets, self.limits.user_bytes_per_second_max, now));
        if let Some(until) = own.max(all) {
            self.counters.slowed += 1;
            self.hold(id, Wait::Rate { until }, Vec::new(), now, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_second_at_once_and_then_the_rate() {
        let at = |ms: u64| Instant::from_micros(10_000_000 + ms * 1_000);
        let mut paid = Paid::default();
        assert_eq!(paid.pay(1_000, 1_000, at(0)), None);
        assert_eq!(paid.pay(500, 1_000, at(0)), Some(at(500)));
        assert_eq!(paid.pay(0, 1_000, at(500)), None);
        assert_eq!(paid.pay(1, 1_000, at(500)), Some(at(501)));
        assert_eq!(paid.pay(1_000, 1_000, at(9_000)), None, "a pause earns one second and no more");
        assert_eq!(paid.pay(1_000_000, 0, at(9_000)), None, "no limit");
    }
}
