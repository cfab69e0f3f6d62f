//! The rows: printed, and written as JSON.

use crate::compare::target;
use std::fmt::Write as _;
use std::io;

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was done.
    pub work: String,
    /// Of both figures.
    pub unit: &'static str,
    /// Median of ours.
    pub ours: f64,
    /// What it was compared with.
    pub peer_name: String,
    /// Median of the peer, or what was promised.
    pub peer: f64,
    /// At most so many times the peer.
    pub target_ratio: f64,
    /// Rounds measured.
    pub rounds: usize,
    /// Distance of the second best and second worst of ours, as a part of the median.
    pub spread: f64,
}

impl Row {
    /// A figure against a promise.
    #[must_use]
    pub fn promise(work: &str, unit: &'static str, ours: f64, at_most: f64) -> Self {
        let (work, peer_name) = (work.to_owned(), "promise".to_owned());
        Self { work, unit, ours, peer_name, peer: at_most, target_ratio: 1.0, rounds: 1, spread: 0.0 }
    }

    /// Ours in terms of the peer.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.ours / self.peer
    }

    /// Whether what was promised held.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.ratio() <= self.target_ratio
    }
}

/// The middle one.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Distance of the second best and second worst, as a part of the median.
#[must_use]
pub fn spread(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let (low, high) = (sorted.get(1), sorted.iter().rev().nth(1));
    low.zip(high).map_or(0.0, |(low, high)| (high - low) / median(values))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Prints the table and writes `target/bench/NAME.json`.
///
/// # Errors
/// If the file cannot be written.
pub fn report(name: &str, rows: &[Row]) -> io::Result<()> {
    println!(
        "{:<46} {:>14} {:>8} {:>8} {:>7} {:>7} {:>7}  peer",
        "work", "unit", "ours", "peer", "ratio", "at most", "spread"
    );
    let mut json = String::from("[");
    for (at, row) in rows.iter().enumerate() {
        let (ratio, passes) = (row.ratio(), row.passes());
        println!(
            "{:<46} {:>14} {:>8.2} {:>8.2} {ratio:>7.2} {:>7.2} {:>6.1}%  {}{}",
            row.work,
            row.unit,
            row.ours,
            row.peer,
            row.target_ratio,
            row.spread * 100.0,
            row.peer_name,
            if passes { "" } else { "  FAILED" }
        );
        let _ = write!(
            json,
            "{}\n  {{\"work\": \"{}\", \"unit\": \"{}\", \"ours\": {:.3}, \"peer_name\": \"{}\", \"peer\": {:.3}, \
             \"ratio\": {ratio:.3}, \"target_ratio\": {:.3}, \"pass\": {passes}, \"rounds\": {}, \
             \"spread\": {:.3}}}",
            if at == 0 { "" } else { "," },
            row.work,
            row.unit,
            row.ours,
            row.peer_name,
            row.peer,
            row.target_ratio,
            row.rounds,
            row.spread
        );
    }
    json.push_str("\n]\n");
    let directory = target().join("bench");
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join(format!("{name}.json")), json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_promises() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert!((median(&values) - 3.0).abs() < 1e-9 && (spread(&values) - 2.0 / 3.0).abs() < 1e-9);
        assert!(Row::promise("w", "u", 10.0, 10.0).passes());
        assert!(!Row::promise("w", "u", 10.1, 10.0).passes());
    }
}
