//! Shared helpers of the benches.

pub mod compare;
pub mod msrp;
