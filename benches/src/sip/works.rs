//! What is compared, and what was promised for it.

use super::edges::Kind;
use core::time::Duration;
use loadgen::{Outcome, Pattern, Plan, Share, Work};
use std::net::SocketAddr;
use wire::Transport;

/// What is read off a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// CPU-µs of the edge for each piece of work.
    Cpu,
    /// Pieces of work a second.
    Rate,
    /// Bytes of the edge for each connection with its registered user.
    PerConnection,
    /// Bytes under load above those before it, for each piece of work a second.
    PerRate,
}

impl Figure {
    /// As the table has it.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Cpu => "CPU-us each",
            Self::Rate => "each second",
            Self::PerConnection => "bytes a connection",
            Self::PerRate => "bytes per each/s",
        }
    }

    /// The figure of a run; `None` if nothing was measured.
    #[must_use]
    pub fn of(self, outcome: &Outcome) -> Option<f64> {
        match self {
            Self::Cpu => outcome.cpu_micros_each(),
            Self::Rate => Some(outcome.rate()),
            Self::PerConnection => outcome.bytes_per_connection(),
            Self::PerRate => {
                let cost = outcome.cost?;
                let held = cost.memory_loaded.saturating_sub(cost.memory_set_up);
                Some(held as f64 / outcome.rate().max(1e-9))
            }
        }
    }
}

/// What ours is held against.
#[derive(Clone, Copy, Debug)]
pub enum Against {
    /// At most (for a rate: at least) so many times the peer's figure.
    Peer(Kind, f64),
    /// At most this figure.
    Limit(f64),
}

/// One line of work.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// As the table names it.
    pub name: &'static str,
    /// What UEs do; `None`: nothing.
    pub work: Option<Work>,
    /// How they reach the edge.
    pub transport: Transport,
    /// How the edge reaches the core.
    pub core: Transport,
    /// How much of it.
    pub pattern: Pattern,
    /// Users, each with a connection of its own.
    pub users: u32,
    /// How long it counts.
    pub steady: Duration,
    /// What is read off.
    pub figure: Figure,
    /// What was promised.
    pub against: &'static [Against],
}

const fn at(per_second: f64) -> Pattern {
    Pattern::Constant { per_second }
}

const SHORT: Duration = Duration::from_secs(3);

/// Every line, in the order of the table.
pub const LINES: &[Line] = {
    use Against::{Limit, Peer};
    use Figure::{Cpu, PerConnection, PerRate, Rate};
    use Kind::{Haproxy, Kamailio};
    use Transport::{Tcp, Tls, Udp};
    const MESSAGE: Line = Line {
        name: "MESSAGE, tcp to udp",
        work: Some(Work::Message),
        transport: Tcp,
        core: Udp,
        pattern: at(1_500.0),
        users: 200,
        steady: SHORT,
        figure: Cpu,
        against: &[Peer(Kamailio, 0.4)],
    };
    const REGISTER: Line = Line {
        name: "REGISTER pair, udp",
        work: Some(Work::Register),
        transport: Udp,
        pattern: at(700.0),
        against: &[Peer(Kamailio, 0.35)],
        ..MESSAGE
    };
    const CALL: Line = Line {
        name: "call, udp",
        work: Some(Work::Call),
        transport: Udp,
        pattern: at(300.0),
        against: &[Peer(Kamailio, 0.45)],
        ..MESSAGE
    };
    &[
        MESSAGE,
        Line { name: "MESSAGE, tcp to tcp", core: Tcp, against: &[Peer(Haproxy, 1.5)], ..MESSAGE },
        Line { name: "MESSAGE, tls to udp", transport: Tls, against: &[Peer(Kamailio, 0.42)], ..MESSAGE },
        Line {
            name: "MESSAGE, tls to tcp",
            transport: Tls,
            core: Tcp,
            against: &[Peer(Haproxy, 1.35)],
            ..MESSAGE
        },
        Line { name: "MESSAGE, udp to udp", transport: Udp, against: &[Peer(Kamailio, 0.4)], ..MESSAGE },
        Line {
            name: "MESSAGE peak, tcp to udp",
            pattern: Pattern::Closed { in_flight: 200 },
            figure: Rate,
            against: &[Peer(Kamailio, 4.0)],
            ..MESSAGE
        },
        REGISTER,
        Line { name: "REGISTER pair, tcp", transport: Tcp, ..REGISTER },
        Line { name: "REGISTER pair, tls", transport: Tls, ..REGISTER },
        CALL,
        Line { name: "call, tcp", transport: Tcp, ..CALL },
        Line { name: "call, tls", transport: Tls, ..CALL },
        Line {
            name: "new TLS 1.3 connection",
            work: Some(Work::Connect),
            transport: Tls,
            pattern: at(200.0),
            against: &[Peer(Kamailio, 0.4), Peer(Haproxy, 0.4)],
            ..MESSAGE
        },
        Line {
            name: "MESSAGE, 8,000 tls connections",
            transport: Tls,
            pattern: at(800.0),
            users: 8_000,
            against: &[Peer(Kamailio, 0.3)],
            ..MESSAGE
        },
        Line {
            name: "memory of a MESSAGE a second, udp",
            transport: Udp,
            pattern: at(2_000.0),
            steady: Duration::from_secs(36),
            figure: PerRate,
            against: &[Limit(10_240.0)],
            ..MESSAGE
        },
        Line {
            name: "idle registered UE, tcp",
            work: None,
            users: 4_000,
            figure: PerConnection,
            against: &[Limit(3_072.0)],
            ..MESSAGE
        },
        Line {
            name: "idle registered UE, tls",
            work: None,
            transport: Tls,
            users: 4_000,
            figure: PerConnection,
            against: &[Limit(8_192.0)],
            ..MESSAGE
        },
    ]
};

impl Line {
    /// The peers it is held against.
    pub fn peers(&self) -> impl Iterator<Item = Kind> + use<> {
        self.against.iter().filter_map(|against| match against {
            Against::Peer(kind, _) => Some(*kind),
            Against::Limit(_) => None,
        })
    }

    /// The run of this line against an edge.
    #[must_use]
    pub fn plan(&self, target: SocketAddr, seed: u64) -> Plan {
        Plan {
            name: self.name.to_owned(),
            mix: self.work.into_iter().map(|work| Share { work, weight: 1.0 }).collect(),
            pattern: self.pattern,
            target,
            transport: self.transport,
            users: self.users,
            connections: self.users,
            setup_per_second: 2_000.0,
            warm_up: Duration::from_secs(1),
            steady: if self.work.is_none() { Duration::from_millis(200) } else { self.steady },
            cool_down: Duration::from_secs(5),
            seed,
            ..Plan::default()
        }
    }
}
