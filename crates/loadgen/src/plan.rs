//! What a run does: whom it loads, with what, how fast and for how long.

use crate::arrivals::Pattern;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use wire::Transport;

/// One kind of work a UE gives the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// REGISTER, 401, REGISTER with Digest credentials, 200 (RFC 3261 §22).
    Register,
    /// REGISTER with the credentials of last time, 200.
    Refresh,
    /// A pager MESSAGE and its 2xx (RFC 3428).
    Message,
    /// INVITE, 180, 200, ACK, then BYE and 200.
    Call,
    /// A new connection, its TLS handshake if the transport has one, and its end.
    Connect,
}

impl Work {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Register, Self::Refresh, Self::Message, Self::Call, Self::Connect];

    /// As the command line and the reports name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Refresh => "refresh",
            Self::Message => "message",
            Self::Call => "invite",
            Self::Connect => "connect",
        }
    }

    /// Whether the user must be registered before.
    pub(crate) const fn wants_registration(self) -> bool {
        matches!(self, Self::Refresh | Self::Message | Self::Call)
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A part of a mix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The work.
    pub work: Work,
    /// Its weight against the others', > 0.
    pub weight: f64,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name in reports.
    pub name: String,
    /// What arrives. Empty: nothing does, connections and registrations are held only.
    pub mix: Vec<Share>,
    /// How it arrives.
    pub pattern: Pattern,
    /// The edge.
    pub target: SocketAddr,
    /// How UEs reach it.
    pub transport: Transport,
    /// Registered users.
    pub users: u32,
    /// Connections, or for UDP sockets, that the users share; 1..=users.
    pub connections: u32,
    /// Addresses that UEs come from, in turn.
    pub sources: Vec<IpAddr>,
    /// Home domain of the users.
    pub domain: String,
    /// Octets of the text of a MESSAGE.
    pub text_bytes: usize,
    /// How long a call lasts between ACK and BYE.
    pub hold: Duration,
    /// New connections and registrations a second before the load begins.
    pub setup_per_second: f64,
    /// Load that is not counted yet.
    pub warm_up: Duration,
    /// Load that counts.
    pub steady: Duration,
    /// How long answers are waited for afterwards.
    pub cool_down: Duration,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            name: Work::Message.name().to_owned(),
            mix: vec![Share { work: Work::Message, weight: 1.0 }],
            pattern: Pattern::Constant { per_second: 1_000.0 },
            target: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5060),
            transport: Transport::Udp,
            users: 200,
            connections: 200,
            sources: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            domain: "ims.example.net".to_owned(),
            text_bytes: 100,
            hold: Duration::ZERO,
            setup_per_second: 1_000.0,
            warm_up: Duration::from_secs(2),
            steady: Duration::from_secs(10),
            cool_down: Duration::from_secs(3),
            seed: 1,
        }
    }
}

impl Plan {
    /// Whether users register before the load begins.
    pub(crate) fn registers_first(&self) -> bool {
        self.mix.is_empty() || self.mix.iter().any(|share| share.work.wants_registration())
    }

    /// The part of thread `number` of `count`: its users, connections and rate.
    #[must_use]
    pub fn part(&self, number: u32, count: u32) -> Self {
        let split = |all: u32| all / count + u32::from(number < all % count);
        let pattern = match self.pattern {
            Pattern::Constant { per_second } => {
                Pattern::Constant { per_second: per_second / f64::from(count) }
            }
            Pattern::Poisson { per_second } => Pattern::Poisson { per_second: per_second / f64::from(count) },
            Pattern::Ramp { from, to, over } => {
                Pattern::Ramp { from: from / f64::from(count), to: to / f64::from(count), over }
            }
            Pattern::Storm { count: all } => Pattern::Storm {
                count: all / u64::from(count) + u64::from(u64::from(number) < all % u64::from(count)),
            },
            Pattern::Closed { in_flight } => Pattern::Closed { in_flight: split(in_flight).max(1) },
        };
        let users = split(self.users).max(1);
        Self {
            pattern,
            users,
            connections: split(self.connections).clamp(1, users),
            setup_per_second: self.setup_per_second / f64::from(count),
            seed: self.seed.wrapping_add(u64::from(number)),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_plan_make_the_whole() {
        let plan =
            Plan { users: 10, connections: 7, pattern: Pattern::Storm { count: 11 }, ..Plan::default() };
        let parts: Vec<_> = (0..3).map(|n| plan.part(n, 3)).collect();
        assert_eq!(parts.iter().map(|p| p.users).sum::<u32>(), 10);
        assert_eq!(parts.iter().map(|p| p.connections).sum::<u32>(), 7);
        let storms = parts.iter().map(|p| match p.pattern {
            Pattern::Storm { count } => count,
            _ => 0,
        });
        assert_eq!(storms.sum::<u64>(), 11);
    }
}
