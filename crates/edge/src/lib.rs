//! The signalling brain of one shard: P-CSCF and SBC, sans-IO.

pub mod address;
mod admit;
pub mod anchor;
mod answers;
pub mod api;
pub mod bindings;
pub mod bodies;
pub mod counters;
pub mod deadlines;
pub mod dialog;
pub mod exchange;
pub mod flow;
mod from_access;
mod from_core;
pub mod headers;
mod identify;
pub mod in_dialog;
mod inbound;
mod invite;
mod keepalive;
pub mod keys;
pub mod negotiation;
pub mod number;
pub mod points;
mod proxy;
mod refuse;
pub mod registration;
pub mod reply;
mod route;
mod shard;
pub mod slots;
pub mod token;
pub mod validate;

pub use api::{Action, Event, Outbox, Reason, Record, ShardContext};
pub use counters::Counters;
pub use shard::Edge;
