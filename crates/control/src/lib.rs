//! Thin control plane: admin HTTP with health and metrics, on a thread of its own. Never sees a packet.

pub mod admin;
mod listener;
pub mod state;

pub use admin::{Admin, AdminError};
pub use state::{NodeState, State};
