//! INVITE client transaction: RFC 3261 §17.1.1 as corrected by RFC 6026 §8.4.

use super::{Class, Effects, Resend, Timers};
use wire::Instant;

/// An INVITE that was sent: retransmits it, acknowledges refusals, lets every 2xx through.
///
/// ```text
///                   |INVITE from TU
///  Timer A fires    |INVITE sent      Timer B fires or Transport Err.
///  Reset A,         V                 inform TU
///  INVITE sent +-----------+
///    +---------|  Calling  |-------------------------------------+
///    +-------->|           |--------------+                      |
///              +-----------+ 2xx          |                      |
/// 300-699        |   |       2xx to TU    |                      |
/// ACK sent       |   |1xx                 |                      |
/// resp. to TU    |   |1xx to TU           |                      |
///  +-------------+   V                    |                      |
///  |  1xx      +-----------+              |                      |
///  |  to TU +--| Proceeding|              |                      |
///  |        +->|           |-----------+  |                      |
///  |           +-----------+ 2xx       |  |                      |
///  |             |           2xx to TU |  |                      |
///  |   300-699   |                     V  V                      |
///  |   ACK sent, |               +-----------+ 2xx               |
///  |   to TU     |               | Accepted  |---+               |
///  |             V               |           |<--+ 2xx to TU     |
///  |           +-----------+     +-----------+                   |
///  +---------->| Completed |           |                         |
///    300-699+--|           |--------+  |Timer M fires            |
///    ACK    +->|           |        |  |                         |
///    sent      +-----------+        |  |                         |
///                | Timer D fires    |  |                         |
///                |  Transport Err.  |  |                         |
///                |  inform TU       |  |                         |
///                V                  V  V                         |
///              +-----------------------------+                   |
///              |         Terminated          |<------------------+
///              +-----------------------------+
/// ```
///
/// Proceeding has no timer of its own: the proxy core watches it with Timer C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InviteClient {
    timers: Timers,
    reliable: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Calling { resend: Option<Resend>, give_up_at: Instant }, // timers A, B
    Proceeding,
    Accepted { end_at: Instant },  // timer M, RFC 6026
    Completed { end_at: Instant }, // timer D
    Terminated,
}

impl InviteClient {
    /// Starts with an INVITE that has just been sent; nothing is retransmitted if `reliable`.
    #[must_use]
    pub fn new(reliable: bool, now: Instant, timers: &Timers) -> Self {
        Self {
            timers: *timers,
            reliable,
            state: State::Calling {
                resend: Resend::start(reliable, now, timers),
                give_up_at: now + timers.t1_64(),
            },
        }
    }

    /// Takes in a response that matches this transaction.
    pub fn on_response(&mut self, status: u16, now: Instant) -> Effects {
        use Class::{Failure, Provisional, Success};
        let (state, effects) = match (self.state, Class::of(status)) {
            (State::Calling { .. } | State::Proceeding, Provisional) => (State::Proceeding, Effects::PASS),
            (State::Calling { .. } | State::Proceeding, Success) => (self.accepted(now), Effects::PASS),
            (State::Calling { .. } | State::Proceeding, Failure) => self.completed(now),
            // Every 2xx goes up: another fork, or a retransmission that wants its ACK again.
            (state @ State::Accepted { .. }, Success) => (state, Effects::PASS),
            (state @ State::Completed { .. }, Failure) => (state, Effects::ACK),
            (state, _) => (state, Effects::NONE),
        };
        self.state = state;
        effects
    }

    /// Takes in that the transport could not deliver the INVITE or the ACK.
    pub fn on_transport_error(&mut self, _now: Instant) -> Effects {
        match self.state {
            State::Calling { .. } | State::Completed { .. } => {
                self.state = State::Terminated;
                Effects::FAILED | Effects::ENDED
            }
            State::Proceeding | State::Accepted { .. } | State::Terminated => Effects::NONE,
        }
    }

    /// When [`on_deadline`](Self::on_deadline) wants to be called; `None` while nothing is timed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.state {
            State::Calling { resend, give_up_at } => Some(Resend::or_end(resend, give_up_at)),
            State::Accepted { end_at } | State::Completed { end_at } => Some(end_at),
            State::Proceeding | State::Terminated => None,
        }
    }

    /// Fires what is due; nothing if `now` is before the deadline.
    pub fn on_deadline(&mut self, now: Instant) -> Effects {
        let (state, effects) = match self.state {
            State::Calling { give_up_at, .. } if give_up_at <= now => {
                (State::Terminated, Effects::TIMED_OUT | Effects::ENDED)
            }
            State::Calling { resend: Some(Resend { at, interval }), give_up_at } if at <= now => {
                // Timer A doubles without a cap (§17.1.1.2); timer B ends it.
                let resend = Some(Resend::after(interval.saturating_mul(2), now));
                (State::Calling { resend, give_up_at }, Effects::RESEND)
            }
            State::Accepted { end_at } | State::Completed { end_at } if end_at <= now => {
                (State::Terminated, Effects::ENDED)
            }
            state => (state, Effects::NONE),
        };
        self.state = state;
        effects
    }

    /// Whether no response has come yet, so that a CANCEL has to wait (§9.1).
    #[must_use]
    pub const fn is_calling(&self) -> bool {
        matches!(self.state, State::Calling { .. })
    }

    /// Whether a provisional response came and no final one: a CANCEL makes sense (§9.1).
    #[must_use]
    pub const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding)
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
            State::Calling { .. } => "calling",
            State::Proceeding => "proceeding",
            State::Accepted { .. } => "accepted",
            State::Completed { .. } => "completed",
            State::Terminated => "terminated",
        }
    }

    fn accepted(&self, now: Instant) -> State {
        State::Accepted { end_at: now + self.timers.t1_64() }
    }

    /// Timer D is zero on a reliable transport: the state is left as it is entered.
    fn completed(&self, now: Instant) -> (State, Effects) {
        let effects = Effects::PASS | Effects::ACK;
        if self.reliable {
            return (State::Terminated, effects | Effects::ENDED);
        }
        let end_at = now + self.timers.d();
        (State::Completed { end_at }, effects)
    }
}
