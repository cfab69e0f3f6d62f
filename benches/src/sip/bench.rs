//! The comparison: every line against all its edges in turn, round by round, and the medians.

use super::edges::{Edge, Kind, Place};
use super::works::{Against, Figure, LINES, Line};
use crate::compare::target;
use crate::figures::{Row, median, report, spread};
use crate::msrp::link::{tls_client, write_certificate};
use loadgen::run::Means;
use loadgen::shell::CoreShell;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use wire::Transport;

/// Rounds; odd, so that the median is a measured one.
const ROUNDS: usize = 5;

/// Runs all lines, or those whose names contain one of `words`; prints the table and writes
/// `target/bench/sip.json`. Whether all promises held.
///
/// # Errors
/// If an edge does not start, or work through it fails.
pub fn run(words: &[String]) -> io::Result<bool> {
    let directory = target().join("bench/sip");
    write_certificate(&directory)?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let generator = pin_generator(processors);
    println!("edge on processor {}, generator and core on {generator}", processors - 1);
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let tls = (tls_client(&directory)?, ServerName::from(ip));
    let chosen =
        |line: &&Line| words.is_empty() || words.iter().any(|word| line.name.contains(word.as_str()));
    let mut rows = Vec::new();
    for line in LINES.iter().filter(chosen) {
        let core = CoreShell::start(SocketAddr::new(ip, 0), "ims.example.net")?;
        let place = Place {
            directory: &directory,
            core: core.address(),
            core_transport: line.core,
            processor: processors - 1,
        };
        let installed = |kind: &Kind| {
            if !kind.is_installed() {
                println!("{} is not installed: left out of {}", kind.name(), line.name);
            }
            kind.is_installed()
        };
        let kinds: Vec<Kind> =
            core::iter::once(Kind::Gatehouse).chain(line.peers().filter(installed)).collect();
        let mut figures = vec![Vec::new(); kinds.len()];
        // Where one run takes long or memory counts, the noise of the machine matters little.
        let rounds = if matches!(line.figure, Figure::Cpu | Figure::Rate) { ROUNDS } else { 1 };
        for round in 0..rounds {
            for turn in 0..kinds.len() {
                let at = (turn + round) % kinds.len();
                figures[at].push(measure(line, kinds[at], &place, &tls, round)?);
            }
        }
        rows.extend(compared(line, &kinds, &figures));
        if let Some(row) = rows.last() {
            println!("{}: {:.1} {}", row.work, row.ours, row.unit);
        }
    }
    report("sip", &rows)?;
    Ok(rows.iter().all(Row::passes))
}

type Tls = (std::sync::Arc<rustls::ClientConfig>, ServerName<'static>);

/// A fresh edge each time, so that no run pays for what an earlier one left.
fn measure(line: &Line, kind: Kind, place: &Place<'_>, tls: &Tls, round: usize) -> io::Result<f64> {
    let edge = Edge::start(kind, place)?;
    let plan = line.plan(edge.address(line.transport), round as u64 + 1);
    let means = Means {
        threads: 1,
        tls: (line.transport == Transport::Tls).then(|| tls.clone()),
        measured_pid: Some(edge.pid()),
        shows_progress: false,
    };
    let through = |what: &str| io::Error::other(format!("{} through {}: {what}", line.name, kind.name()));
    let outcome = loadgen::run(&plan, &means).map_err(|error| through(&error.to_string()))?;
    if outcome.failed() > 0 || outcome.series.setup_failed > 0 {
        println!("{}", loadgen::report::text(&outcome));
        return Err(through("work failed"));
    }
    for doubt in &outcome.doubts {
        println!("{} through {}: {doubt}", line.name, kind.name());
    }
    line.figure.of(&outcome).ok_or_else(|| through("nothing was measured"))
}

fn compared(line: &Line, kinds: &[Kind], figures: &[Vec<f64>]) -> Vec<Row> {
    let ours = &figures[0];
    let row = |peer_name: &str, peer: f64, target_ratio: f64| Row {
        work: line.name.to_owned(),
        unit: line.figure.unit(),
        ours: median(ours),
        peer_name: peer_name.to_owned(),
        peer,
        target_ratio,
        more_is_better: line.figure == Figure::Rate,
        rounds: ours.len(),
        spread: spread(ours),
    };
    let against = line.against.iter().filter_map(|against| match against {
        Against::Limit(limit) => Some(row("promise", *limit, 1.0)),
        Against::Peer(kind, ratio) => {
            let at = kinds.iter().position(|known| known == kind)?;
            Some(row(kind.name(), median(&figures[at]), *ratio))
        }
    });
    against.collect()
}

/// Keeps the generator and the core off the processor of the edge; says where they are.
fn pin_generator(processors: usize) -> String {
    if processors < 2 {
        return "the same one: figures will be noisier".to_owned();
    }
    let mut set = rustix::thread::CpuSet::new();
    (0..processors - 1).for_each(|processor| set.set(processor));
    match rustix::thread::sched_setaffinity(None, &set) {
        Ok(()) => format!("0 to {}", processors - 2),
        Err(error) => format!("any ({error})"),
    }
}
