//! A run as text, as JSON and as one HTML page. Terms follow RFC 7501 §3 where it has them.

mod html;

pub use html::html;

use crate::plan::Work;
use crate::run::Outcome;
use crate::series::Tally;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The quantiles that are reported.
const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];

impl Outcome {
    /// Work done well while it counted.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.series.tallies.iter().map(|tally| tally.latency.answered()).sum()
    }

    /// Work that failed while it counted.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.series.tallies.iter().map(Tally::failed).sum()
    }

    /// Work done well per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.done() as f64 / self.series.steady().as_secs_f64().max(1e-9)
    }

    /// CPU microseconds of the edge for each piece of work done, idle cost subtracted.
    #[must_use]
    pub fn cpu_micros_each(&self) -> Option<f64> {
        let cost = self.cost?;
        let idle = cost.idle_nanos_per_second * self.series.steady().as_secs_f64();
        (self.done() > 0).then(|| (cost.cpu_nanos as f64 - idle) / 1e3 / self.done() as f64)
    }

    /// Bytes of the edge for each connection and its users, before the load.
    #[must_use]
    pub fn bytes_per_connection(&self) -> Option<f64> {
        let cost = self.cost?;
        let held = cost.memory_set_up.saturating_sub(cost.memory_before);
        Some(held as f64 / f64::from(self.plan.connections.max(1)))
    }

    fn worked(&self) -> impl Iterator<Item = (Work, &Tally)> {
        let had_any = |(_, tally): &(Work, &Tally)| tally.latency.answered() + tally.failed() > 0;
        Work::ALL.into_iter().zip(&self.series.tallies).filter(had_any)
    }
}

/// The run as a table for people.
#[must_use]
pub fn text(outcome: &Outcome) -> String {
    let (plan, series) = (&outcome.plan, &outcome.series);
    let mut text = format!(
        "{}: {} users, {} {} connections, {:?}, {:?} after {:?} of warm-up\n",
        plan.name,
        plan.users,
        plan.connections,
        plan.transport.label(),
        plan.pattern,
        plan.steady,
        plan.warm_up
    );
    let _ = writeln!(
        text,
        "{:<10} {:>10} {:>10} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "work", "done/s", "done", "failed", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"
    );
    for (work, tally) in outcome.worked() {
        let rate = tally.latency.answered() as f64 / series.steady().as_secs_f64().max(1e-9);
        let _ =
            write!(text, "{work:<10} {rate:>10.1} {:>10} {:>8}", tally.latency.answered(), tally.failed());
        for (_, share) in QUANTILES {
            let _ = write!(text, " {:>9.2}", tally.latency.quantile(share).as_secs_f64() * 1e3);
        }
        text.push('\n');
        for (status, count) in &tally.refused {
            let _ = writeln!(text, "           {count} answered {status}");
        }
        if tally.latency.lost() + tally.cut > 0 {
            let _ = writeln!(text, "           {} unanswered, {} cut off", tally.latency.lost(), tally.cut);
        }
    }
    if series.setup_failed > 0 {
        let _ = writeln!(text, "{} users could not register before the load", series.setup_failed);
    }
    if series.retransmissions > 0 {
        let _ = writeln!(text, "{} requests were sent again", series.retransmissions);
    }
    if let Some(cost) = outcome.cost {
        if let Some(each) = outcome.cpu_micros_each() {
            let _ = writeln!(text, "edge: {each:.1} CPU-µs each, idle cost subtracted");
        }
        let _ = writeln!(
            text,
            "edge: {:.1} MB at first, {:.1} MB set up ({:.1} KB a connection), {:.1} MB under load",
            cost.memory_before as f64 / 1e6,
            cost.memory_set_up as f64 / 1e6,
            outcome.bytes_per_connection().unwrap_or(0.0) / 1e3,
            cost.memory_loaded as f64 / 1e6
        );
    }
    let late = series.lateness.quantile(0.99).as_secs_f64() * 1e3;
    let share = outcome.generator_share * 100.0;
    let _ = writeln!(text, "generator: {share:.0} % of its threads busy, p99 sent {late:.2} ms after due");
    for doubt in &outcome.doubts {
        let _ = writeln!(text, "the generator may have been the bottleneck: {doubt}");
    }
    text
}

/// The run for machines; `version` changes when a field changes its meaning.
#[must_use]
pub fn json(outcome: &Outcome) -> Value {
    let (plan, series) = (&outcome.plan, &outcome.series);
    let works: Vec<_> = outcome
        .worked()
        .map(|(work, tally)| {
            let quantiles: serde_json::Map<_, _> = QUANTILES
                .iter()
                .map(|(name, share)| {
                    ((*name).to_owned(), json!(tally.latency.quantile(*share).as_micros() as u64))
                })
                .collect();
            json!({
                "work": work.name(), "done": tally.latency.answered(), "lost": tally.latency.lost(),
                "cut": tally.cut, "refused": tally.refused, "latency_micros": quantiles,
            })
        })
        .collect();
    let slices: Vec<_> = series
        .slices
        .iter()
        .map(|slice| {
            let at = |share| slice.latency.as_ref().map(|latency| latency.quantile(share).as_micros() as u64);
            json!({
                "begun": slice.begun, "done": slice.done, "failed": slice.failed,
                "p50_micros": at(0.5), "p99_micros": at(0.99), "max_micros": at(1.0),
            })
        })
        .collect();
    let cost = outcome.cost.map(|cost| {
        json!({
            "cpu_micros_each": outcome.cpu_micros_each(), "cpu_nanos": cost.cpu_nanos,
            "idle_nanos_per_second": cost.idle_nanos_per_second, "memory_before_bytes": cost.memory_before,
            "memory_set_up_bytes": cost.memory_set_up, "memory_loaded_bytes": cost.memory_loaded,
            "bytes_per_connection": outcome.bytes_per_connection(),
        })
    });
    json!({
        "version": 1, "name": plan.name, "target": plan.target.to_string(),
        "transport": plan.transport.label(), "users": plan.users, "connections": plan.connections,
        "pattern": format!("{:?}", plan.pattern), "seed": plan.seed,
        "steady_seconds": series.steady().as_secs_f64(), "done_per_second": outcome.rate(),
        "works": works, "retransmissions": series.retransmissions, "setup_failed": series.setup_failed,
        "edge": cost, "slice_seconds": series.slice.as_secs_f64(), "slices": slices,
        "samples": outcome.samples,
        "generator": {
            "share": outcome.generator_share,
            "late_p99_micros": series.lateness.quantile(0.99).as_micros() as u64,
            "doubts": outcome.doubts,
        },
    })
}
