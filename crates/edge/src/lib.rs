//! The signalling brain of one shard: P-CSCF and SBC, sans-IO.

pub mod anchor;
pub mod api;
pub mod bodies;
pub mod counters;
pub mod deadlines;
pub mod dialog;
pub mod negotiation;
pub mod number;
mod shard;
pub mod slots;
pub mod token;
pub mod validate;

pub use api::{Action, Event, Outbox, Reason, Record, ShardContext};
pub use counters::Counters;
pub use shard::Edge;
