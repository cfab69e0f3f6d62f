//! The MSRP relay of one shard: cut-through, sans-IO.

pub mod api;

pub use api::{Action, Event, Limits, Outbox, Reason, Segment};
