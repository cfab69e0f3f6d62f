//! The signalling brain of one shard: P-CSCF and SBC, sans-IO.

pub mod api;
pub mod number;
pub mod token;

pub use api::{Action, Event, Outbox, Reason, Record, ShardContext};
