//! Next hops: what happens to them in all, and how each one of the configuration does.
//!
//! The gauge of single next hops is the one metric whose labels are not known beforehand: they come from
//! the operator's file and its DNS, never from traffic, and are capped.

use crate::family::{Label, families};
use std::collections::BTreeMap;
use std::fmt::Write;

const FAILURE: Label = Label { name: "cause", values: &["silent", "unreachable", "refused", "probes"] };
const PROBE: Label = Label { name: "event", values: &["sent", "answered", "lost"] };
const CARRIER: Label = Label { name: "event", values: &["over_tcp", "back_to_udp"] };
const LOOKUP: Label = Label { name: "result", values: &["ok", "empty", "failed"] };
const NAME: Label = Label { name: "state", values: &["fresh", "stale", "unknown"] };

families! {
    FAILURES = Counter, "gatehouse_next_hop_failures_total", [FAILURE],
        "Failures of next hops: no answer, no way there, 503, found down by probes.";
    PROBES = Counter, "gatehouse_next_hop_probes_total", [PROBE],
        "OPTIONS sent to next hops, answered and lost.";
    OVERSIZE = Counter, "gatehouse_sip_oversize_requests_total", [CARRIER],
        "Requests too long for UDP that went over TCP, and those that went over UDP after all.";
    LOOKUPS = Counter, "gatehouse_dns_lookups_total", [LOOKUP],
        "Names looked up: with an answer, with none that leads anywhere, without a usable answer.";
    NAMES = Gauge, "gatehouse_dns_names", [NAME],
        "Names in use: with a fresh answer, with an old one that could not be renewed, with none.";
}

/// The name of the gauge of single next hops.
pub const HOPS: &str = "gatehouse_next_hop_shards";
/// What it says.
pub const HOPS_HELP: &str = "Shards that see a next hop of the configuration in this state.";

/// How a next hop does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HopState {
    /// Used.
    Up,
    /// Left alone for a while.
    Resting,
    /// Found dead by probes.
    Down,
}

/// The states, in the order of [`HopState`].
pub const HOP_STATES: [&str; 3] = ["up", "resting", "down"];

/// One next hop as one shard sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopRow {
    /// The pool of the configuration.
    pub pool: Box<str>,
    /// `udp:192.0.2.1:5060`
    pub hop: String,
    /// How it does.
    pub state: HopState,
}

/// Next hops that are shown; the rest of a huge configuration is left out.
const ROWS_MAX: usize = 1_024;

/// What the shards said last.
#[derive(Debug, Default)]
pub struct Board(BTreeMap<u16, Vec<HopRow>>);

impl Board {
    /// A shard's view; none for a shard that ended.
    pub fn set(&mut self, shard: u16, rows: Vec<HopRow>) {
        match rows.is_empty() {
            true => self.0.remove(&shard),
            false => self.0.insert(shard, rows),
        };
    }

    /// Appends the gauge as Prometheus text.
    pub fn render(&self, text: &mut String) {
        let mut counts: BTreeMap<(&str, &str), [u64; 3]> = BTreeMap::new();
        for row in self.0.values().flatten() {
            let key = (&*row.pool, row.hop.as_str());
            if counts.len() < ROWS_MAX || counts.contains_key(&key) {
                counts.entry(key).or_default()[row.state as usize] += 1;
            }
        }
        let _ = write!(text, "# HELP {HOPS} {HOPS_HELP}\n# TYPE {HOPS} gauge\n");
        for ((pool, hop), states) in counts {
            for (state, count) in HOP_STATES.iter().zip(states) {
                // Names of pools and addresses hold nothing that would need quoting.
                let _ = writeln!(text, "{HOPS}{{pool=\"{pool}\",hop=\"{hop}\",state=\"{state}\"}} {count}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_summed_up_for_each_next_hop() {
        let row = |hop: &str, state| HopRow { pool: "p".into(), hop: hop.to_owned(), state };
        let mut board = Board::default();
        board.set(0, vec![row("udp:192.0.2.1:5060", HopState::Up), row("tcp:[::1]:5060", HopState::Down)]);
        board.set(1, vec![row("udp:192.0.2.1:5060", HopState::Resting)]);
        board.set(2, vec![row("udp:192.0.2.1:5060", HopState::Up)]);
        let mut text = String::new();
        board.render(&mut text);
        for line in [
            "gatehouse_next_hop_shards{pool=\"p\",hop=\"udp:192.0.2.1:5060\",state=\"up\"} 2",
            "gatehouse_next_hop_shards{pool=\"p\",hop=\"udp:192.0.2.1:5060\",state=\"resting\"} 1",
            "gatehouse_next_hop_shards{pool=\"p\",hop=\"tcp:[::1]:5060\",state=\"down\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        board.set(2, vec![]);
        text.clear();
        board.render(&mut text);
        assert!(text.contains("state=\"up\"} 1\n"), "{text}");
    }

    #[test]
    fn a_huge_configuration_does_not_make_a_huge_page() {
        let mut board = Board::default();
        let rows =
            (0..5_000).map(|n| HopRow { pool: "p".into(), hop: format!("udp:{n}"), state: HopState::Up });
        board.set(0, rows.collect());
        let mut text = String::new();
        board.render(&mut text);
        assert_eq!(text.lines().count(), 2 + 3 * ROWS_MAX);
    }
}
