//! The signalling brain of one shard: P-CSCF and SBC, sans-IO.

pub mod anchor;
pub mod api;
pub mod counters;
pub mod deadlines;
pub mod number;
mod shard;
pub mod slots;
pub mod token;

pub use api::{Action, Event, Outbox, Reason, Record, ShardContext};
pub use counters::Counters;
pub use shard::Edge;
