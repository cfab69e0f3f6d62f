//! Thin control plane: admin HTTP with health, metrics, the blacklist and captures, and the names of next
//! hops, each on a thread of its own. Never sees a packet.

pub mod admin;
pub mod blacklist;
pub mod captures;
pub mod dns;
mod listener;
mod problem;
mod query;
mod request;
pub mod state;

pub use admin::{Admin, AdminError};
pub use blacklist::Blacklist;
pub use captures::Captures;
pub use dns::Names;
pub use state::{NodeState, State};
