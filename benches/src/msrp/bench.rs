//! The comparison: rounds of all relays in turn, medians, and what was promised.

use super::anchor::{self, Anchors};
use super::chunk;
use super::link::{Ue, tls_client, write_certificate};
use super::process::pin;
use super::relays::{Kind, Place, Relay};
use super::sessions::{count_that_fits, idle_bytes};
use super::traffic::{Session, Work};
use crate::compare::target;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use wire::Transport;

/// Rounds; odd, so that the median is a measured one.
const ROUNDS: usize = 7;
const MEGABYTES_100: f64 = 1e8;

/// SENDs that a UE has under way where they are pipelined: what senders of files do.
const UNANSWERED: usize = 8;

const TEN: Work = Work { name: "10 KB chunks", body: 10_240, window: UNANSWERED, rate: None, count: 4_000 };
const SIXTY: Work = Work { name: "60 KB chunks", body: 61_440, window: UNANSWERED, rate: None, count: 1_000 };
const PIPELINED: Work =
    Work { name: "2 KB pipelined", body: 2_048, window: UNANSWERED, rate: None, count: 8_000 };
const SINGLE: Work = Work { name: "2 KB one at a time", body: 2_048, window: 1, rate: None, count: 3_000 };
const PACED: Work =
    Work { name: "2 KB at 5,000/s", body: 2_048, window: 64, rate: Some(5_000), count: 2_000 };

/// One promise: ours at most `ratio` times the peer's.
struct Promise {
    work: Work,
    access: Transport,
    peers: &'static [(Kind, f64)],
}

const PROMISES: &[Promise] = {
    use Kind::{Bare, Haproxy, Kamailio};
    use Transport::{Tcp, Tls};
    const THIRD: f64 = 1.0 / 3.0;
    &[
        Promise { work: TEN, access: Tcp, peers: &[(Haproxy, 1.3), (Kamailio, THIRD)] },
        Promise { work: SIXTY, access: Tcp, peers: &[(Haproxy, 1.3)] },
        Promise { work: PIPELINED, access: Tcp, peers: &[(Kamailio, 0.3), (Bare, 1.5)] },
        Promise { work: SINGLE, access: Tcp, peers: &[(Kamailio, 0.75), (Bare, 1.15)] },
        Promise { work: PACED, access: Tcp, peers: &[(Kamailio, 0.75), (Bare, 1.15)] },
        Promise { work: TEN, access: Tls, peers: &[(Haproxy, 1.2)] },
        Promise { work: SIXTY, access: Tls, peers: &[(Haproxy, 1.2)] },
        Promise { work: PIPELINED, access: Tls, peers: &[(Haproxy, 1.2)] },
        Promise { work: SINGLE, access: Tls, peers: &[(Haproxy, 1.2)] },
        Promise { work: PACED, access: Tls, peers: &[(Haproxy, 1.2)] },
    ]
};

/// A line of the table.
struct Row {
    work: String,
    unit: &'static str,
    ours: f64,
    peer_name: String,
    peer: f64,
    target_ratio: f64,
    rounds: usize,
    spread: f64,
}

impl Row {
    fn ratio(&self) -> f64 {
        self.ours / self.peer
    }
    fn passes(&self) -> bool {
        self.ratio() <= self.target_ratio
    }
}

/// Runs everything, prints the table and writes `target/bench/msrp.json`; whether all promises held.
///
/// `words` choose among the works by name; none of them takes all.
///
/// # Errors
/// If a relay does not start or does not relay.
pub fn run(words: &[String]) -> io::Result<bool> {
    let directory = target().join("bench/msrp");
    write_certificate(&directory)?;
    let place = Place { tls: tls_client(&directory)?, directory };
    let chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    pin();
    let control = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default();
    println!("congestion control: {}", control.trim());
    let mut rows = Vec::new();
    costs(&place, &chosen, &mut rows)?;
    for access in [Transport::Tcp, Transport::Tls] {
        if chosen(&format!("idle {}", access.label())) {
            rows.push(idle(access, &place)?);
        }
    }
    if chosen("gigabyte") {
        rows.extend(gigabyte()?);
    }
    report(&rows)?;
    Ok(rows.iter().all(Row::passes))
}

/// One relay, its session, and what it took in each round.
struct Entry {
    relay: Relay,
    session: Session,
    access: Transport,
    kind: Kind,
}

fn costs(place: &Place, chosen: &dyn Fn(&str) -> bool, rows: &mut Vec<Row>) -> io::Result<()> {
    let promises: Vec<&Promise> = PROMISES.iter().filter(|p| chosen(&title(p))).collect();
    let mut entries = Vec::new();
    for access in [Transport::Tcp, Transport::Tls] {
        for kind in [Kind::Gatehouse, Kind::Bare, Kind::Haproxy, Kind::Kamailio] {
            let of_access = promises.iter().filter(|p| p.access == access);
            let wanted = of_access
                .clone()
                .any(|p| kind == Kind::Gatehouse || p.peers.iter().any(|(peer, _)| *peer == kind));
            if !wanted {
                continue;
            }
            if !kind.is_installed() {
                println!("{} is not installed: its lines are left out", kind.name());
                continue;
            }
            let mut relay = Relay::start(kind, access, 1, place)?;
            let session = relay.session(place)?;
            relay.process.learn_idle()?;
            entries.push(Entry { relay, session, access, kind });
        }
    }
    // [promise][entry]: CPU-ms per 100 MB of each round.
    let mut taken = vec![vec![Vec::new(); entries.len()]; promises.len()];
    for round in 0..=ROUNDS {
        for (promise, taken) in promises.iter().zip(&mut taken) {
            for turn in 0..entries.len() {
                let at = (turn + round) % entries.len();
                let Entry { relay, session, access, kind } = &mut entries[at];
                let is_compared = *kind == Kind::Gatehouse || promise.peers.iter().any(|(p, _)| p == kind);
                if *access != promise.access || !is_compared {
                    continue;
                }
                let nanos = relay.process.cost_of(|| session.run(&promise.work)).map_err(|error| {
                    io::Error::other(format!("{} through {}: {error}", title(promise), kind.name()))
                })?;
                // The first round warms up.
                if round > 0 {
                    taken[at].push(nanos / 1e6 * MEGABYTES_100 / promise.work.bytes() as f64);
                }
            }
        }
    }
    for (promise, taken) in promises.iter().zip(&taken) {
        let of = |kind| {
            let at = entries.iter().position(|e| e.kind == kind && e.access == promise.access)?;
            Some(&taken[at][..])
        };
        let Some(ours) = of(Kind::Gatehouse) else { continue };
        for (kind, target_ratio) in promise.peers {
            let Some(peer) = of(*kind) else { continue };
            rows.push(Row {
                work: title(promise),
                unit: "CPU-ms per 100 MB",
                ours: median(ours),
                peer_name: kind.name().to_owned(),
                peer: median(peer),
                target_ratio: *target_ratio,
                rounds: ROUNDS,
                spread: spread(ours),
            });
        }
    }
    Ok(())
}

fn title(promise: &Promise) -> String {
    format!("{}, {}", promise.work.name, promise.access.label())
}

fn idle(access: Transport, place: &Place) -> io::Result<Row> {
    let count = count_that_fits(8_000);
    Ok(Row {
        work: format!("memory of {count} idle sessions, {}", access.label()),
        unit: "bytes a session",
        ours: idle_bytes(access, count, place)?,
        peer_name: "promise".to_owned(),
        peer: if access == Transport::Tls { 8_192.0 } else { 4_096.0 },
        target_ratio: 1.0,
        rounds: 1,
        spread: 0.0,
    })
}

/// One chunk of 1 GiB: what waits in memory while the core end pauses, and how much had left before the
/// second 64 KiB came.
fn gigabyte() -> io::Result<[Row; 2]> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let access = Transport::Tcp;
    let anchors = Anchors { sessions: 1, access, core: listener.local_addr()? };
    let telemetry = Arc::default();
    let plane = anchor::start(anchors, None, Arc::clone(&telemetry))
        .map_err(|error| io::Error::other(error.to_string()))?;
    let address = anchor::access_address(&plane, access).ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut core = listener.accept()?.0;
    let mut ue = Ue::connect(address, None)?;
    let (to, from) = (anchor::access_path(access, address, 0), anchor::ue_path(access, 0));
    let mut waiting = 0;
    let seen = chunk::send(&mut ue, &mut core, (&to, &from), 1 << 30, || {
        waiting = waiting.max(anchor::queued_bytes(&telemetry));
    })?;
    plane.stop();
    plane.join();
    let row = |work: &str, unit, ours, peer| Row {
        work: work.to_owned(),
        unit,
        ours,
        peer_name: "promise".to_owned(),
        peer,
        target_ratio: 1.0,
        rounds: 1,
        spread: 0.0,
    };
    Ok([
        row("1 GiB in one chunk: most that waited", "bytes", waiting as f64, 262_144.0),
        // 40,000 octets were written; all but a possible end-line's worth must have left.
        row("1 GiB in one chunk: first octets held", "bytes", 40_000.0 - seen.early as f64, 256.0),
    ])
}

fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Distance of the second best and second worst, as a part of the median.
fn spread(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let (low, high) = (sorted.get(1), sorted.iter().rev().nth(1));
    low.zip(high).map_or(0.0, |(low, high)| (high - low) / median(values))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn report(rows: &[Row]) -> io::Result<()> {
    println!(
        "{:<40} {:>18} {:>8} {:>8} {:>7} {:>7} {:>7}  peer",
        "work", "unit", "ours", "peer", "ratio", "at most", "spread"
    );
    let mut json = String::from("[");
    for (at, row) in rows.iter().enumerate() {
        println!(
            "{:<40} {:>18} {:>8.1} {:>8.1} {:>7.2} {:>7.2} {:>6.1}%  {}{}",
            row.work,
            row.unit,
            row.ours,
            row.peer,
            row.ratio(),
            row.target_ratio,
            row.spread * 100.0,
            row.peer_name,
            if row.passes() { "" } else { "  FAILED" }
        );
        let _ = write!(
            json,
            "{}\n  {{\"work\": \"{}\", \"unit\": \"{}\", \"ours\": {:.2}, \"peer_name\": \"{}\", \"peer\": {:.2}, \
             \"ratio\": {:.3}, \"target_ratio\": {:.3}, \"pass\": {}, \"rounds\": {}, \"spread\": {:.3}}}",
            if at == 0 { "" } else { "," },
            row.work,
            row.unit,
            row.ours,
            row.peer_name,
            row.peer,
            row.ratio(),
            row.target_ratio,
            row.passes(),
            row.rounds,
            row.spread
        );
    }
    json.push_str("\n]\n");
    std::fs::write(target().join("bench/msrp.json"), json)
}
