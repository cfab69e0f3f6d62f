//! INVITE server transaction: RFC 3261 §17.2.1 as corrected by RFC 6026 §7.1 and §8.7.

use super::{Class, Effects, Resend, Timers};
use wire::Instant;

/// An INVITE that came in: answers its retransmissions, repeats refusals until the ACK comes.
///
/// ```text
///                                   |INVITE
///                                   |pass INV to TU
///                INVITE             V send 100 if TU won't in 200 ms
///                send response+------------+
///                    +--------|            |--------+ 101-199 from TU
///                    +------->| Proceeding |<-------+ send response
///                             |            |--------+ Transport Err.
///                             |            |<-------+ Inform TU
///                             +------------+
///            300-699 from TU     |      |  2xx from TU
///            send response       |      |  send response
///             +------------------+      +-------------+
/// INVITE      V         Timer G fires                 |
/// send  +-----------+   send response      INVITE     |  Transport Err.
/// resp. |           |--------+                -       |  Inform TU
///  +----|           |<-------+              +-----+   |  +---+
///  +--->| Completed |                       |     v   v  |   v
///       |           |--------+             +------------------+
///       |           |<-------+             |                  |---+ ACK
///       +-----------+ Transport Err.       |     Accepted     |<--+ to TU
///         |      | ACK  Inform TU          |                  |
///  Timer H|      | -                       +------------------+
///  fires  |      V                            |  ^         |
///  Inform |  +-----------+                    +--+         |
///  TU     |  | Confirmed |            2xx from TU          | Timer L fires
///         |  +-----------+            send response        | -
///         |      | Timer I fires                           |
///         V      V                                         V
///      +--------------------------------------------------------+
///      |                       Terminated                       |
///      +--------------------------------------------------------+
/// ```
///
/// Proceeding has no timer: the TU must answer in the end. Errors of the transport never end the
/// transaction (RFC 6026 §8.7): the client may come back over another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InviteServer {
    timers: Timers,
    reliable: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Proceeding { answered: bool },
    Accepted { end_at: Instant },                              // timer L, RFC 6026
    Completed { resend: Option<Resend>, give_up_at: Instant }, // timers G, H
    Confirmed { end_at: Instant },                             // timer I
    Terminated,
}

impl InviteServer {
    /// Starts with an INVITE that has just been handed to the TU.
    #[must_use]
    pub fn new(reliable: bool, _now: Instant, timers: &Timers) -> Self {
        Self { timers: *timers, reliable, state: State::Proceeding { answered: false } }
    }

    /// Takes in a retransmission of the INVITE.
    pub fn on_request(&mut self, _now: Instant) -> Effects {
        match self.state {
            State::Proceeding { answered: true } | State::Completed { .. } => Effects::RESEND,
            // A 2xx is repeated by whoever made it, end to end (§13.3.1.4).
            State::Proceeding { answered: false }
            | State::Accepted { .. }
            | State::Confirmed { .. }
            | State::Terminated => Effects::NONE,
        }
    }

    /// Takes in an ACK with this transaction's branch: the one for a refusal.
    ///
    /// In Accepted it is handed to the TU (RFC 6026 §7.1): some UAs acknowledge a 2xx on the old branch.
    pub fn on_ack(&mut self, now: Instant) -> Effects {
        let (state, effects) = match self.state {
            // Timer I is zero on a reliable transport.
            State::Completed { .. } if self.reliable => (State::Terminated, Effects::ENDED),
            State::Completed { .. } => {
                let end_at = now + self.timers.t4;
                (State::Confirmed { end_at }, Effects::NONE)
            }
            state @ State::Accepted { .. } => (state, Effects::PASS),
            state @ (State::Proceeding { .. } | State::Confirmed { .. } | State::Terminated) => {
                (state, Effects::NONE)
            }
        };
        self.state = state;
        effects
    }

    /// Takes in a response that the TU wants to send; it may go out if the result has `PASS`.
    pub fn on_send(&mut self, status: u16, now: Instant) -> Effects {
        use Class::{Failure, Provisional, Success};
        let (state, effects) = match (self.state, Class::of(status)) {
            (State::Proceeding { .. }, Provisional) => (State::Proceeding { answered: true }, Effects::PASS),
            (State::Proceeding { .. }, Success) => (self.accepted(now), Effects::PASS),
            (State::Proceeding { .. }, Failure) => (self.completed(now), Effects::PASS),
            (state @ State::Accepted { .. }, Success) => (state, Effects::PASS),
            (state, _) => (state, Effects::NONE),
        };
        self.state = state;
        effects
    }

    /// Takes in that a response could not be delivered.
    pub fn on_transport_error(&mut self, _now: Instant) -> Effects {
        match self.state {
            State::Proceeding { .. } | State::Accepted { .. } | State::Completed { .. } => Effects::FAILED,
            State::Confirmed { .. } | State::Terminated => Effects::NONE,
        }
    }

    /// When [`on_deadline`](Self::on_deadline) wants to be called; `None` while nothing is timed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.state {
            State::Completed { resend, give_up_at } => Some(Resend::or_end(resend, give_up_at)),
            State::Accepted { end_at } | State::Confirmed { end_at } => Some(end_at),
            State::Proceeding { .. } | State::Terminated => None,
        }
    }

    /// Fires what is due; nothing if `now` is before the deadline.
    pub fn on_deadline(&mut self, now: Instant) -> Effects {
        let (state, effects) = match self.state {
            State::Completed { give_up_at, .. } if give_up_at <= now => {
                (State::Terminated, Effects::TIMED_OUT | Effects::ENDED)
            }
            State::Completed { resend: Some(Resend { at, interval }), give_up_at } if at <= now => {
                let resend = Some(Resend::after(self.timers.next_capped(interval), now));
                (State::Completed { resend, give_up_at }, Effects::RESEND)
            }
            State::Accepted { end_at } | State::Confirmed { end_at } if end_at <= now => {
                (State::Terminated, Effects::ENDED)
            }
            state => (state, Effects::NONE),
        };
        self.state = state;
        effects
    }

    /// Whether no final response was sent yet: the INVITE can be answered, or cancelled (§9.2).
    #[must_use]
    pub const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
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
            State::Proceeding { .. } => "proceeding",
            State::Accepted { .. } => "accepted",
            State::Completed { .. } => "completed",
            State::Confirmed { .. } => "confirmed",
            State::Terminated => "terminated",
        }
    }

    fn accepted(&self, now: Instant) -> State {
        State::Accepted { end_at: now + self.timers.t1_64() }
    }

    /// Timer H waits for the ACK on every transport, timer G repeats on datagrams only.
    fn completed(&self, now: Instant) -> State {
        State::Completed {
            resend: Resend::start(self.reliable, now, &self.timers),
            give_up_at: now + self.timers.t1_64(),
        }
    }
}
