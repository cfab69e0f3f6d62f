//! Tables of figures beside a peer's or a limit, as text and as `target/bench/NAME.json`.

use crate::compare::target;
use std::fmt::Write as _;
use std::io;

/// A line of a table: ours beside a peer's, medians of the same rounds.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was done.
    pub work: String,
    /// Unit of both figures.
    pub unit: &'static str,
    /// Median of ours.
    pub ours: f64,
    /// Whom it is compared with; `promise` for a plain limit.
    pub peer_name: String,
    /// Median of the peer, or the limit.
    pub peer: f64,
    /// What ours over the peer's may be.
    pub target_ratio: f64,
    /// Whether more is better: then the ratio must be at least the target.
    pub more_is_better: bool,
    /// Rounds that the medians are of.
    pub rounds: usize,
    /// Distance of the second best and second worst of ours, as a part of the median.
    pub spread: f64,
}

impl Row {
    /// Ours over the peer's.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.ours / self.peer
    }

    /// Whether what was promised held.
    #[must_use]
    pub fn passes(&self) -> bool {
        if self.more_is_better {
            self.ratio() >= self.target_ratio
        } else {
            self.ratio() <= self.target_ratio
        }
    }
}

/// The middle value.
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
    low.zip(high).map_or(0.0, |(low, high)| (high - low).abs() / median(values))
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
        "{:<36} {:>18} {:>9} {:>9} {:>7} {:>8} {:>7}  peer",
        "work", "unit", "ours", "peer", "ratio", "promised", "spread"
    );
    let mut json = String::from("[");
    for (at, row) in rows.iter().enumerate() {
        println!(
            "{:<36} {:>18} {:>9.1} {:>9.1} {:>7.2} {:>8.2} {:>6.1}%  {}{}",
            row.work,
            row.unit,
            row.ours,
            row.peer,
            row.ratio(),
            row.target_ratio,
            row.spread * 100.0,
            row.peer_name,
            if row.passes() { "" } else { "  MISSED" }
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
    let directory = target().join("bench");
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join(format!("{name}.json")), json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_passes_on_the_right_side_of_its_promise() {
        let row = Row {
            work: "w".to_owned(),
            unit: "u",
            ours: 4.0,
            peer_name: "p".to_owned(),
            peer: 10.0,
            target_ratio: 0.4,
            more_is_better: false,
            rounds: 3,
            spread: spread(&[1.0, 2.0, 3.0]),
        };
        assert!(row.passes());
        assert!(!Row { ours: 4.1, ..row.clone() }.passes());
        assert!(!Row { more_is_better: true, ours: 3.9, ..row.clone() }.passes());
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
    }
}
