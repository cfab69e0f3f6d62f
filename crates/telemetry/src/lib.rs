//! What operators see: metric names with their help texts, the counters behind them, and logs.
//!
//! ```text
//! shard 0: plain u64s ──flush──▶ Bank 0 (atomics, one writer) ─┐
//! shard 1: plain u64s ──flush──▶ Bank 1                       ─┼─ sum ─▶ metrics ─▶ /metrics
//! a shard that died:              folded into `carried`       ─┘
//! ```
//! Every metric is declared in the module of its area: name, help, labels and their closed value
//! sets. The bank of a shard has one cell for each combination of label values.

pub mod bank;
pub mod capture;
pub mod cdr;
pub mod export;
pub mod family;
pub mod flow;
pub mod hops;
pub mod limit;
pub mod logs;
pub mod msrp;
pub mod node;
pub mod rtp;
pub mod sip;

pub use bank::Bank;
pub use export::Telemetry;
pub use family::{Family, Kind, Label};

/// Every family, in the order of the banks.
pub static FAMILIES: &[&[&Family]] =
    &[sip::FAMILIES, msrp::FAMILIES, rtp::FAMILIES, flow::FAMILIES, hops::FAMILIES, node::FAMILIES];
