//! The cells of one writer.

use crate::FAMILIES;
use crate::family::Family;
use core::sync::atomic::{AtomicU64, Ordering};

/// One cell for each series of each family, written by one thread and read by the exporter.
///
/// A store costs 0.3 ns where `fetch_add` on a shared cell costs 5: hence one bank for each shard.
#[derive(Debug)]
pub struct Bank {
    cells: Box<[Cell]>,
}

/// One number with one writer.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Puts the total in place.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds; only the one writer may call it.
    pub fn add(&self, by: u64) {
        self.set(self.value().wrapping_add(by));
    }

    /// What stands there.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for Bank {
    fn default() -> Self {
        let count = FAMILIES.iter().flat_map(|area| area.iter()).map(|f| f.len()).sum();
        Self { cells: core::iter::repeat_with(Cell::default).take(count).collect() }
    }
}

impl Bank {
    /// The cells of `family`, in the order of its labels.
    #[must_use]
    pub fn row(&self, family: &'static Family) -> &[Cell] {
        let mut start = 0;
        for known in FAMILIES.iter().flat_map(|area| area.iter()) {
            if core::ptr::eq(*known, family) {
                return &self.cells[start..start + known.len()];
            }
            start += known.len();
        }
        &[]
    }

    /// Puts totals in place, in the order of the family's labels.
    pub fn set(&self, family: &'static Family, values: impl IntoIterator<Item = u64>) {
        for (cell, value) in self.row(family).iter().zip(values) {
            cell.set(value);
        }
    }

    pub(crate) fn cells(&self) -> &[Cell] {
        &self.cells
    }
}
