//! Thin control plane: admin HTTP with health, metrics and the blacklist, on a thread of its own. Never
//! sees a packet.

pub mod admin;
pub mod blacklist;
mod listener;
mod problem;
mod query;
pub mod state;

pub use admin::{Admin, AdminError};
pub use blacklist::Blacklist;
pub use state::{NodeState, State};
