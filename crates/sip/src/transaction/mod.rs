//! The four transaction machines of RFC 3261 §17 with the corrections of RFC 6026, sans-IO.
//!
//! A machine holds states and deadlines and never a message. The owner keeps what was last sent,
//! tells the machine what happened (`on_*`), wakes it at [`next_deadline`](InviteClient::next_deadline)
//! and does what the returned [`Effects`] say. Matching messages to transactions (§17.1.3, §17.2.3),
//! building the ACK (§17.1.1.3) and Timer C (§16.6 step 11) belong to the owner as well.
//!
//! ```text
//!            TU (proxy core)
//!    on_send │ ▲ PASS, TIMED_OUT, FAILED
//!            ▼ │
//!        transaction ── ENDED: drop it, with what it had sent
//! on_response│ ▲ RESEND, ACK
//! on_request ▼ │
//!             wire
//! ```
//!
//! A retransmission that is due happens once however late the owner wakes: a stalled shard never
//! makes up for lost time with a burst.

mod invite_client;
mod invite_server;
mod non_invite_client;
mod non_invite_server;
#[cfg(test)]
mod tests;

pub use invite_client::InviteClient;
pub use invite_server::InviteServer;
pub use non_invite_client::NonInviteClient;
pub use non_invite_server::NonInviteServer;

use core::fmt;
use core::ops::BitOr;
use core::time::Duration;
use wire::Instant;

/// The base values from which every transaction timer is computed.
///
/// Source: RFC 3261 §17.1.1.1 and table 4; R79 for networks whose UEs use longer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timers {
    /// Estimate of the round trip: first retransmission interval; above zero.
    pub t1: Duration,
    /// Longest interval between retransmissions of a non-INVITE request or of an INVITE's final
    /// response; read as `t1` where it is shorter.
    pub t2: Duration,
    /// How long a message may linger in the network.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

impl Timers {
    /// What the UEs of this network are set to (R79: T1 2000, T2 4000, T4 5000 ms).
    pub const UNI: Self = Self {
        t1: Duration::from_millis(2000),
        t2: Duration::from_millis(4000),
        t4: Duration::from_millis(5000),
    };

    /// 64·T1: timers B, F, H, J, L and M.
    #[must_use]
    pub const fn t1_64(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// Timer D on datagrams: at least 32 s (§17.1.1.2), and as long as the peer's timer H may run.
    fn d(&self) -> Duration {
        self.t1_64().max(Duration::from_secs(32))
    }

    /// The interval that follows `interval` where T2 is the cap: timers E and G.
    fn next_capped(&self, interval: Duration) -> Duration {
        interval.saturating_mul(2).min(self.t2.max(self.t1))
    }
}

/// What the owner has to do after an input: a set, possibly empty.
///
/// To be done in the order of the constants below; a transaction may pass a response up and end in
/// one step.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct Effects(u8);

impl Effects {
    /// Nothing to do: the input was absorbed.
    pub const NONE: Self = Self(0);
    /// Hand the message over: a received one to the TU, one from the TU to the wire.
    ///
    /// A message that comes without `PASS` is not to be used: a retransmission absorbed, or a
    /// response that may not be sent any more.
    pub const PASS: Self = Self(2);
    /// Send the ACK for a final response other than 2xx, on this transaction's own branch.
    pub const ACK: Self = Self(4);
    /// Send again, unchanged, what this transaction sent last (request, or latest response).
    pub const RESEND: Self = Self(1);
    /// The peer stayed silent: to the TU as if 408 had come (client), or the ACK never came (server).
    pub const TIMED_OUT: Self = Self(8);
    /// The transport failed: to the TU as if 503 had come (client, §8.1.3.1), or for its notice (server).
    pub const FAILED: Self = Self(16);
    /// The transaction is over: forget it.
    pub const ENDED: Self = Self(32);

    const NAMES: [(Self, &'static str); 6] = [
        (Self::PASS, "pass"),
        (Self::ACK, "ack"),
        (Self::RESEND, "resend"),
        (Self::TIMED_OUT, "timed_out"),
        (Self::FAILED, "failed"),
        (Self::ENDED, "ended"),
    ];

    /// Whether all of `effects` are in this set.
    #[must_use]
    pub const fn contains(self, effects: Self) -> bool {
        self.0 & effects.0 == effects.0
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOr for Effects {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (effect, name) in Self::NAMES {
            if self.contains(effect) {
                f.write_str(if first { "" } else { "+" })?;
                f.write_str(name)?;
                first = false;
            }
        }
        f.write_str(if first { "-" } else { "" })
    }
}

/// A retransmission timer on datagrams: A, E or G.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Resend {
    at: Instant,
    /// How long ago the message went out when `at` comes.
    interval: Duration,
}

impl Resend {
    /// Starts after a message was first sent; reliable transports do it themselves.
    fn start(reliable: bool, now: Instant, timers: &Timers) -> Option<Self> {
        (!reliable).then(|| Self::after(timers.t1, now))
    }

    /// Counted from `now` and not from `at`, so that a late wake-up is not followed by a burst.
    fn after(interval: Duration, now: Instant) -> Self {
        Self { at: now + interval, interval }
    }

    /// The next deadline where the transaction also ends at `give_up_at`.
    fn or_end(resend: Option<Self>, give_up_at: Instant) -> Instant {
        resend.map_or(give_up_at, |resend| resend.at.min(give_up_at))
    }
}

/// The status classes that the machines tell apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Provisional,
    Success,
    Failure,
}

impl Class {
    /// Anything from 300 up refuses; below 100 nothing is final (parsers admit 100..=699 only).
    const fn of(status: u16) -> Self {
        match status {
            0..200 => Self::Provisional,
            200..300 => Self::Success,
            _ => Self::Failure,
        }
    }
}
