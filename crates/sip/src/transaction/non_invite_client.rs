//! Non-INVITE client transaction: RFC 3261 §17.1.2.

use super::{Class, Effects, Resend, Timers};
use wire::Instant;

/// A request other than INVITE and ACK that was sent: retransmits it, absorbs repeated answers.
///
/// ```text
///                   |Request from TU
///  Timer E          |send request     Timer F or Transport Err.
///  send request     V                 inform TU
///              +-----------+
///     +--------|  Trying   |---------------------+
///     +------->|           |------------+        |
///              +-----------+ 200-699    |        |
///                   |        resp. to TU|        |
///                   |1xx                |        |
///  Timer E          |resp. to TU        |        |
///  send request     V                   |        |
///              +-----------+            |        |
///     +--------|           |--------------------+|  Timer F or Transport Err.
///     +------->| Proceeding|            |       ||  inform TU
///     +--------|           |            |       ||
///     | 1xx    |           |            |       ||
///     +------->+-----------+            |       ||
///  resp. to TU      |200-699            |       ||
///                   |resp. to TU        |       ||
///                   V                   |       ||
///              +-----------+            |       ||
///              | Completed |<-----------+       ||
///              +-----------+                    ||
///                   |Timer K fires              ||
///                   V                           ||
///              +-----------+                    ||
///              |Terminated |<-------------------++
///              +-----------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonInviteClient {
    timers: Timers,
    reliable: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying { resend: Option<Resend>, give_up_at: Instant }, // timers E, F
    Proceeding { resend: Option<Resend>, give_up_at: Instant }, // timers E, F
    Completed { end_at: Instant },                          // timer K
    Terminated,
}

impl NonInviteClient {
    /// Starts with a request that has just been sent; nothing is retransmitted if `reliable`.
    #[must_use]
    pub fn new(reliable: bool, now: Instant, timers: &Timers) -> Self {
        Self {
            timers: *timers,
            reliable,
            state: State::Trying {
                resend: Resend::start(reliable, now, timers),
                give_up_at: now + timers.t1_64(),
            },
        }
    }

    /// Takes in a response that matches this transaction.
    pub fn on_response(&mut self, status: u16, now: Instant) -> Effects {
        let provisional = Class::of(status) == Class::Provisional;
        let (state, effects) = match self.state {
            // Timer E keeps its running interval; it is slowed when it fires next (§17.1.2.2).
            State::Trying { resend, give_up_at } | State::Proceeding { resend, give_up_at }
                if provisional =>
            {
                (State::Proceeding { resend, give_up_at }, Effects::PASS)
            }
            State::Trying { .. } | State::Proceeding { .. } => self.completed(now),
            state @ (State::Completed { .. } | State::Terminated) => (state, Effects::NONE),
        };
        self.state = state;
        effects
    }

    /// Takes in that the transport could not deliver the request.
    pub fn on_transport_error(&mut self, _now: Instant) -> Effects {
        match self.state {
            State::Trying { .. } | State::Proceeding { .. } => {
                self.state = State::Terminated;
                Effects::FAILED | Effects::ENDED
            }
            State::Completed { .. } | State::Terminated => Effects::NONE,
        }
    }

    /// When [`on_deadline`](Self::on_deadline) wants to be called; `None` once it is over.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.state {
            State::Trying { resend, give_up_at } | State::Proceeding { resend, give_up_at } => {
                Some(Resend::or_end(resend, give_up_at))
            }
            State::Completed { end_at } => Some(end_at),
            State::Terminated => None,
        }
    }

    /// Fires what is due; nothing if `now` is before the deadline.
    pub fn on_deadline(&mut self, now: Instant) -> Effects {
        let (state, effects) = match self.state {
            State::Trying { give_up_at, .. } | State::Proceeding { give_up_at, .. } if give_up_at <= now => {
                (State::Terminated, Effects::TIMED_OUT | Effects::ENDED)
            }
            State::Trying { resend: Some(due), give_up_at } if due.at <= now => {
                let resend = Some(Resend::after(self.timers.next_capped(due.interval), now));
                (State::Trying { resend, give_up_at }, Effects::RESEND)
            }
            // The server is alive: from here on the slow pace (§17.1.2.2).
            State::Proceeding { resend: Some(due), give_up_at } if due.at <= now => {
                let resend = Some(Resend::after(self.timers.t2.max(self.timers.t1), now));
                (State::Proceeding { resend, give_up_at }, Effects::RESEND)
            }
            State::Completed { end_at } if end_at <= now => (State::Terminated, Effects::ENDED),
            state => (state, Effects::NONE),
        };
        self.state = state;
        effects
    }

    /// Whether a final response is still awaited.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        matches!(self.state, State::Trying { .. } | State::Proceeding { .. })
    }

    /// Whether the transaction is over.
    #[must_use]
    pub const fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// The state's name in the RFC, in lower case, for logs.
    #[must_use]
    pub const fn state_name(&self) -> &'static str {
        match self.state {
            State::Trying { .. } => "trying",
            State::Proceeding { .. } => "proceeding",
            State::Completed { .. } => "completed",
            State::Terminated => "terminated",
        }
    }

    /// Timer K is zero on a reliable transport: the state is left as it is entered.
    fn completed(&self, now: Instant) -> (State, Effects) {
        if self.reliable {
            return (State::Terminated, Effects::PASS | Effects::ENDED);
        }
        let end_at = now + self.timers.t4;
        (State::Completed { end_at }, Effects::PASS)
    }
}
