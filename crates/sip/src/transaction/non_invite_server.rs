//! Non-INVITE server transaction: RFC 3261 §17.2.2.

use super::{Class, Effects, Timers};
use wire::Instant;

/// A request other than INVITE and ACK that came in: answers its retransmissions.
///
/// ```text
///                   |Request received
///                   |pass to TU
///                   V
///              +-----------+
///              |  Trying   |-------------+
///              +-----------+             |
///                   |                    |200-699 from TU
///                   |1xx from TU         |send response
///                   |send response       |
///  Request          V      1xx from TU   |
///  send response+-----------+send response
///     +--------|           |--------+    |
///     +------->| Proceeding|<-------+    |
///              |           |             |
///     +--------|           |             |
///     |Trns Err+-----------+             |
///     |Inform TU    |200-699 from TU     |
///     |             |send response       |
///     |  Request    V                    |
///     |  send  +-----------+             |
///     |  resp. |           |<------------+
///     |  +-----| Completed |
///     |  +---->|           |
///     |        |           |---+ Trns Err, Inform TU
///     |        +-----------+   |
///     |             |Timer J   |
///     |             V          |
///     |        +-----------+   |
///     +------->|Terminated |<--+
///              +-----------+
/// ```
///
/// Trying and Proceeding have no timer: the TU must answer in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonInviteServer {
    timers: Timers,
    reliable: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    Completed { end_at: Instant }, // timer J
    Terminated,
}

impl NonInviteServer {
    /// Starts with a request that has just been handed to the TU.
    #[must_use]
    pub fn new(reliable: bool, _now: Instant, timers: &Timers) -> Self {
        Self { timers: *timers, reliable, state: State::Trying }
    }

    /// Takes in a retransmission of the request.
    pub fn on_request(&mut self, _now: Instant) -> Effects {
        match self.state {
            State::Proceeding | State::Completed { .. } => Effects::RESEND,
            State::Trying | State::Terminated => Effects::NONE,
        }
    }

    /// Takes in a response that the TU wants to send; it may go out if the result has `PASS`.
    pub fn on_send(&mut self, status: u16, now: Instant) -> Effects {
        let provisional = Class::of(status) == Class::Provisional;
        let (state, effects) = match self.state {
            State::Trying | State::Proceeding if provisional => (State::Proceeding, Effects::PASS),
            State::Trying | State::Proceeding => self.completed(now),
            // A second final response is discarded (§17.2.2).
            state @ (State::Completed { .. } | State::Terminated) => (state, Effects::NONE),
        };
        self.state = state;
        effects
    }

    /// Takes in that a response could not be delivered.
    pub fn on_transport_error(&mut self, _now: Instant) -> Effects {
        match self.state {
            State::Proceeding | State::Completed { .. } => {
                self.state = State::Terminated;
                Effects::FAILED | Effects::ENDED
            }
            // Nothing was sent yet: the answer may still find another way (§18.2.2).
            State::Trying | State::Terminated => Effects::NONE,
        }
    }

    /// When [`on_deadline`](Self::on_deadline) wants to be called; `None` while nothing is timed.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Instant> {
        match self.state {
            State::Completed { end_at } => Some(end_at),
            State::Trying | State::Proceeding | State::Terminated => None,
        }
    }

    /// Fires what is due; nothing if `now` is before the deadline.
    pub fn on_deadline(&mut self, now: Instant) -> Effects {
        match self.state {
            State::Completed { end_at } if end_at <= now => {
                self.state = State::Terminated;
                Effects::ENDED
            }
            _ => Effects::NONE,
        }
    }

    /// Whether no final response was sent yet.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        matches!(self.state, State::Trying | State::Proceeding)
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
            State::Trying => "trying",
            State::Proceeding => "proceeding",
            State::Completed { .. } => "completed",
            State::Terminated => "terminated",
        }
    }

    /// Timer J is zero on a reliable transport: the state is left as it is entered.
    fn completed(&self, now: Instant) -> (State, Effects) {
        if self.reliable {
            return (State::Terminated, Effects::PASS | Effects::ENDED);
        }
        let end_at = now + self.timers.t1_64();
        (State::Completed { end_at }, Effects::PASS)
    }
}
