//! The comparison: rounds of all relays in turn, medians, and what was promised.

use super::load::{Load, Pattern, upper};
use super::relays::{Kind, Relay};
use super::rtpengine;
use super::table::{Row, median, report, spread};
use crate::compare::target;
use crate::msrp::process::pin;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Rounds; odd, so that the median is a measured one.
const ROUNDS: usize = 7;
/// Calls: each has a packet every 20 ms in both directions.
const STREAMS: u32 = 500;
const ROUND: Duration = Duration::from_millis(800);

/// What is offered to every relay.
struct Work {
    name: &'static str,
    is_secure: bool,
    group: usize,
    /// At most so many times the peer.
    peers: &'static [(Kind, f64)],
    /// CPU-µs per packet, at most, of us.
    limit: f64,
}

const WORKS: &[Work] = {
    use Kind::{Bare, Rtpengine};
    &[
        Work {
            name: "RTP, bursts of 64",
            is_secure: false,
            group: 64,
            peers: &[(Rtpengine, 0.42), (Bare, 1.3)],
            limit: 2.2,
        },
        Work {
            name: "RTP, one by one",
            is_secure: false,
            group: 1,
            peers: &[(Rtpengine, 0.42), (Bare, 1.3)],
            limit: 2.2,
        },
        Work {
            name: "SRTP to RTP, bursts of 64",
            is_secure: true,
            group: 64,
            peers: &[(Rtpengine, 0.40)],
            limit: 3.0,
        },
        Work {
            name: "SRTP to RTP, one by one",
            is_secure: true,
            group: 1,
            peers: &[(Rtpengine, 0.40)],
            limit: 3.0,
        },
    ]
};

const CPU: &str = "CPU-us a packet";

/// Runs everything, prints the table and writes `target/bench/rtp.json`; whether all promises held.
///
/// `words` choose among the works by name; none of them takes all.
///
/// # Errors
/// If a relay does not start or does not relay.
pub fn run(words: &[String]) -> io::Result<bool> {
    let directory = target().join("bench/rtp");
    std::fs::create_dir_all(&directory)?;
    let chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    dataplane::raise_descriptor_limit();
    let mut rows = Vec::new();
    if chosen("memory") {
        rows.push(memory(&directory)?);
    }
    if chosen("latency") {
        rows.extend(latency(&directory)?);
    }
    // From here on load and relay share a core, so that both see the same wake-ups in every run.
    pin();
    costs(&directory, &chosen, &mut rows)?;
    report("rtp", &rows)?;
    Ok(rows.iter().all(Row::passes))
}

fn costs(directory: &Path, chosen: &dyn Fn(&str) -> bool, rows: &mut Vec<Row>) -> io::Result<()> {
    for is_secure in [false, true] {
        let works: Vec<&Work> =
            WORKS.iter().filter(|work| work.is_secure == is_secure && chosen(work.name)).collect();
        let mut kinds = vec![Kind::Epoll, Kind::IoUring];
        if works.is_empty() {
            continue;
        }
        kinds.extend((!is_secure).then_some(Kind::Bare));
        match rtpengine::is_installed() {
            true => kinds.push(Kind::Rtpengine),
            false => println!("rtpengine is not installed: its lines are left out"),
        }
        // [work][relay]: CPU-µs a packet of each round. One relay at a time: they have the same ports.
        let mut taken = vec![vec![Vec::new(); kinds.len()]; works.len()];
        let mut lost = vec![0u64; kinds.len()];
        for round in 0..=ROUNDS {
            for turn in 0..kinds.len() {
                let at = (turn + round) % kinds.len();
                let mut relay = Relay::start(kinds[at], STREAMS, is_secure, directory)?;
                // Sources are learnt, and caches warm.
                relay.load.run(Pattern { group: 64, duration: Duration::from_millis(200) })?;
                relay.process.learn_idle()?;
                for (work, taken) in works.iter().zip(&mut taken) {
                    let pattern = Pattern { group: work.group, duration: ROUND };
                    let mut sent = (0, 0);
                    let Relay { process, load, .. } = &mut relay;
                    let nanos = process.cost_of(|| {
                        sent = load.run(pattern)?;
                        Ok(())
                    })?;
                    if round > 0 {
                        taken[at].push(nanos / 1e3 / sent.0 as f64);
                        lost[at] += sent.0 - sent.1;
                    }
                }
            }
        }
        for (work, taken) in works.iter().zip(&taken) {
            let of = |kind| kinds.iter().position(|k| *k == kind).map(|at| &taken[at][..]);
            let Some(epoll) = of(Kind::Epoll) else { continue };
            let row = |peer: Kind, values: &[f64], target_ratio| Row {
                work: work.name.to_owned(),
                unit: CPU,
                ours: median(epoll),
                peer_name: peer.name().to_owned(),
                peer: median(values),
                target_ratio,
                rounds: ROUNDS,
                spread: spread(epoll),
            };
            for (kind, target_ratio) in work.peers {
                rows.extend(of(*kind).map(|values| row(*kind, values, *target_ratio)));
            }
            // No promise: which of our two ways is the better one here.
            if let Some(values) = of(Kind::IoUring) {
                println!("{}: io_uring {:.2}, epoll {:.2} {CPU}", work.name, median(values), median(epoll));
            }
            rows.push(Row { rounds: ROUNDS, ..Row::promise(work.name, CPU, median(epoll), work.limit) });
        }
        for (at, kind) in kinds.iter().enumerate() {
            println!("{}: {} packets lost", kind.name(), lost[at]);
        }
        let name = if is_secure { "packets lost, SRTP to RTP" } else { "packets lost, RTP" };
        rows.push(Row::promise(name, "packets", lost[0] as f64, 0.5));
    }
    Ok(())
}

/// From end to end through a relay that is half busy: more than what the relay adds.
fn latency(directory: &Path) -> io::Result<[Row; 3]> {
    let mut streams = 1_000;
    loop {
        let mut relay = Relay::start(Kind::Epoll, streams, false, directory)?;
        relay.load.run(Pattern { group: 8, duration: Duration::from_millis(400) })?;
        relay.process.learn_idle()?;
        relay.load.clear();
        let duration = Duration::from_secs(3);
        let mut sent = (0, 0);
        let Relay { process, load, .. } = &mut relay;
        let nanos = process.cost_of(|| {
            sent = load.run(Pattern { group: 8, duration })?;
            Ok(())
        })?;
        let busy = nanos / duration.as_nanos() as f64;
        println!("{streams} calls, {} packets/s: relay {:.0} % busy", sent.0 / 3, busy * 100.0);
        if busy < 0.45 && streams < 8_000 {
            streams = ((f64::from(streams) * 0.5 / busy) as u32).clamp(streams + 100, 8_000);
            continue;
        }
        histogram(load);
        let row = |name: &str, unit, ours, at_most| {
            Row::promise(&format!("{name}, half busy"), unit, ours, at_most)
        };
        return Ok([
            row("latency p50", "us", load.quantile(0.5) / 1e3, 1_000.0),
            row("latency p99", "us", load.quantile(0.99) / 1e3, 1_000.0),
            row("packets lost", "packets", (sent.0 - sent.1) as f64, 0.5),
        ]);
    }
}

fn histogram(load: &Load) {
    let total: u64 = load.latencies.iter().sum();
    println!("latency from end to end:");
    for (at, count) in load.latencies.iter().enumerate().filter(|(_, count)| **count > 0) {
        let part = *count as f64 / total as f64;
        println!(
            "  up to {:>9.1} us {:>7.3} % {}",
            upper(at) / 1e3,
            part * 100.0,
            "#".repeat((part * 60.0) as usize)
        );
    }
}

/// What the process grows by, kernel sockets left out.
fn memory(directory: &Path) -> io::Result<Row> {
    const SESSIONS: u32 = 5_000;
    let bytes = |streams, is_secure| {
        let mut relay = Relay::start(Kind::Epoll, streams, is_secure, directory)?;
        relay.load.run(Pattern { group: 64, duration: Duration::from_millis(100) })?;
        relay.process.memory_bytes()
    };
    let each = bytes(SESSIONS, true)?.saturating_sub(bytes(1, true)?) as f64 / f64::from(SESSIONS);
    Ok(Row::promise("memory of 5,000 sessions, SRTP to RTP", "bytes a session", each, 8_192.0))
}
