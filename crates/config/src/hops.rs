//! Next hops beyond a plain list of addresses, and how names become addresses.

use crate::read::{section, words};
use core::net::SocketAddr;
use core::time::Duration;
use wire::HostQuery;

section! {
    /// `[[core.pools]]`: next hops that stand in for each other.
    Pool {
        /// Its name, for `core.pool`, logs and metrics.
        name: String = String::new();
        /// What it is made of.
        members: Vec<PoolMember> = Vec::new();
    }
}

section! {
    /// `[[core.pools.members]]`: one address or domain name.
    PoolMember {
        /// `sip:HOST[:PORT][;transport=…]`; a domain name is looked up as RFC 3263 says.
        uri: HostQuery = loopback_host();
        /// Members with the lowest number are used; the next ones as soon as none of these is usable.
        priority: u16 = 1, 0..=65_535;
        /// Share of the traffic among members of one priority.
        weight: u16 = 1, 0..=65_535;
    }
}

section! {
    /// `[core.probe]`: OPTIONS sent to every next hop, to know early which of them live.
    Probe {
        /// Between two probes of one next hop by one shard; 0 sends none.
        interval_seconds: u64 = 0, 0..=3_600;
        /// A probe without any answer for so long has failed.
        timeout_ms: u64 = 4_000, 100..=32_000;
        /// Failed probes in a row after which a next hop counts as down.
        failures: u32 = 3, 1..=100;
        /// Answered probes in a row after which it counts as up again.
        successes: u32 = 2, 1..=100;
    }
}

impl Probe {
    /// `interval_seconds`; `None` if nothing is probed.
    #[must_use]
    pub const fn interval(&self) -> Option<Duration> {
        match self.interval_seconds {
            0 => None,
            seconds => Some(Duration::from_secs(seconds)),
        }
    }

    /// `timeout_ms`.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

words! {
    /// What becomes of a redirection (3xx) by the core.
    Redirects {
        /// The UE gets it, without addresses of the core; 305 is never a UE's business and is refused.
        Pass = "pass",
        /// Where it leads to another member of the pool, the request goes there; else as `pass`.
        Follow = "follow",
        /// The UE is told that the request failed.
        Refuse = "refuse",
    }
}

section! {
    /// `[dns]`: how the names of next hops are looked up. Traffic never waits for it.
    Dns {
        /// Name servers; empty: those of /etc/resolv.conf.
        servers: Vec<SocketAddr> = Vec::new();
        /// One question to one server is given up after this.
        timeout_ms: u64 = 2_000, 50..=30_000;
        /// How often a question is asked.
        attempts: usize = 2, 1..=10;
        /// Answers are used at least so long, whatever their TTL.
        ttl_seconds_min: u32 = 5, 1..=3_600;
        /// Answers are asked for again after this at the latest.
        ttl_seconds_max: u32 = 3_600, 1..=86_400;
        /// A question that failed is asked again after this; the old answer is used meanwhile.
        retry_seconds: u64 = 10, 1..=3_600;
        /// An old answer that could not be renewed for so long is dropped.
        stale_seconds_max: u64 = 86_400, 0..=31_536_000;
        /// Looks up names in Service-Route and route sets of the core too, and sends there directly; otherwise the pool passes such requests on.
        follow_routes: bool = false;
        /// Names that are looked up, those learnt from Service-Route and Record-Route included.
        names_max: usize = 1_024, 1..=65_536;
    }
}

fn loopback_host() -> HostQuery {
    HostQuery::new("127.0.0.1", Some(5070), None, false).expect("an address is a host")
}
