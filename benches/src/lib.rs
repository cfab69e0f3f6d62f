//! Shared helpers of the benches.

pub mod call;
pub mod compare;
pub mod figures;
pub mod msrp;
pub mod rtp;
pub mod sip;
