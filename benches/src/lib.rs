//! Shared helpers of the benches.

pub mod call;
pub mod compare;
pub mod msrp;
pub mod rtp;
