//! Side by side with a peer in one run: rounds of both in turn, medians, a ratio that must hold.
//!
//! Criterion tells how one function changed since last time; this tells whether a promise holds here.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What one comparison gave.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was done.
    pub work: String,
    /// Median of ours, nanoseconds per unit of work.
    pub ours_ns: f64,
    /// What it was compared with.
    pub peer_name: String,
    /// Median of the peer, nanoseconds.
    pub peer_ns: f64,
    /// How many times faster ours was.
    pub ratio: f64,
    /// The least ratio promised.
    pub target_ratio: f64,
    /// The most nanoseconds promised, if any.
    pub limit_ns: Option<f64>,
    /// Distance of the 10th and 90th percentile of ours, as a part of the median.
    pub spread: f64,
}

impl Row {
    /// Whether what was promised held.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.ratio >= self.target_ratio && self.limit_ns.is_none_or(|limit| self.ours_ns <= limit)
    }
}

/// What was promised.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// How many times faster than the peer, at least.
    pub ratio: f64,
    /// How many nanoseconds, at most.
    pub limit_ns: Option<f64>,
}

/// Rounds of each side. Odd, so that the median is a measured one.
///
/// Many and short: a round that another process interrupts is an outlier, not a part of every round.
pub const ROUNDS: usize = 301;

/// Times both, in turn, so that a noisy neighbour hits both alike.
pub fn compare<A, B>(
    work: &str,
    peer_name: &str,
    promise: Promise,
    mut ours: impl FnMut() -> A,
    mut peer: impl FnMut() -> B,
) -> Row {
    let (our_count, peer_count) = (calibrate(&mut ours), calibrate(&mut peer));
    let mut our_times = Vec::with_capacity(ROUNDS);
    let mut peer_times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        our_times.push(time(&mut ours, our_count));
        peer_times.push(time(&mut peer, peer_count));
    }
    our_times.sort_by(f64::total_cmp);
    peer_times.sort_by(f64::total_cmp);
    let (ours_ns, peer_ns) = (our_times[ROUNDS / 2], peer_times[ROUNDS / 2]);
    Row {
        work: work.to_owned(),
        ours_ns,
        peer_name: peer_name.to_owned(),
        peer_ns,
        ratio: peer_ns / ours_ns,
        target_ratio: promise.ratio,
        limit_ns: promise.limit_ns,
        spread: (our_times[ROUNDS * 9 / 10] - our_times[ROUNDS / 10]) / ours_ns,
    }
}

/// How many runs make a round of about a fifth of a millisecond.
fn calibrate<T>(work: &mut impl FnMut() -> T) -> u32 {
    let mut count = 1;
    loop {
        let start = Instant::now();
        (0..count).for_each(|_| drop(black_box(work())));
        let spent = start.elapsed();
        if spent > Duration::from_micros(200) || count > 1 << 24 {
            return count;
        }
        count *= 2;
    }
}

/// Nanoseconds of one run.
fn time<T>(work: &mut impl FnMut() -> T, count: u32) -> f64 {
    let start = Instant::now();
    (0..count).for_each(|_| drop(black_box(work())));
    start.elapsed().as_nanos() as f64 / f64::from(count)
}

/// Prints the table, writes `target/bench/NAME.json`, and fails if a promise did not hold.
///
/// # Panics
/// If a row does not pass.
pub fn report(name: &str, rows: &[Row]) {
    println!("{:<40} {:>10} {:>10} {:>8} {:>8}  peer", "work", "ours", "peer", "ratio", "spread");
    for row in rows {
        println!(
            "{:<40} {:>7.0} ns {:>7.0} ns {:>7.1}x {:>7.1}%  {}{}",
            row.work,
            row.ours_ns,
            row.peer_ns,
            row.ratio,
            row.spread * 100.0,
            row.peer_name,
            if row.passes() { "" } else { "  FAILED" }
        );
    }
    if let Err(error) = write_json(name, rows) {
        println!("the table could not be written: {error}");
    }
    let failed: Vec<_> = rows.iter().filter(|row| !row.passes()).collect();
    assert!(failed.is_empty(), "promises that did not hold: {failed:#?}");
}

fn write_json(name: &str, rows: &[Row]) -> std::io::Result<()> {
    let directory = target().join("bench");
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join(format!("{name}.json")), json(rows))
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")), PathBuf::from)
}

/// A list of objects; the texts are our own and need no escapes.
fn json(rows: &[Row]) -> String {
    let mut text = String::from("[");
    for (at, row) in rows.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let limit = row.limit_ns.map_or_else(|| "null".to_owned(), |limit| limit.to_string());
        let _ = write!(
            text,
            "{comma}\n  {{\"work\": \"{}\", \"unit\": \"ns\", \"ours\": {:.1}, \"peer_name\": \"{}\", \
             \"peer\": {:.1}, \"ratio\": {:.2}, \"target_ratio\": {}, \"limit\": {limit}, \"pass\": {}, \
             \"rounds\": {ROUNDS}, \"spread\": {:.3}}}",
            row.work,
            row.ours_ns,
            row.peer_name,
            row.peer_ns,
            row.ratio,
            row.target_ratio,
            row.passes(),
            row.spread
        );
    }
    text.push_str("\n]\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_passes_if_ratio_and_limit_hold() {
        let row = Row {
            work: "w".to_owned(),
            ours_ns: 100.0,
            peer_name: "p".to_owned(),
            peer_ns: 500.0,
            ratio: 5.0,
            target_ratio: 5.0,
            limit_ns: Some(100.0),
            spread: 0.0,
        };
        assert!(row.passes());
        assert!(!Row { limit_ns: Some(99.0), ..row.clone() }.passes());
        assert!(!Row { target_ratio: 5.1, ..row.clone() }.passes());
        assert!(json(&[row.clone(), row]).contains("\"limit\": 100, \"pass\": true"));
    }
}
