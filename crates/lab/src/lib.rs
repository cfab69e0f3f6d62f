//! An IMS core and UEs in a box, sans-IO, and the shell that puts them on sockets.

pub mod auth;
pub mod core;
mod deadlines;
pub mod dialog;
pub mod file;
pub mod layer;
pub mod msrp_end;
pub mod net;
pub mod node;
pub mod scenario;
pub mod service;
pub mod strict;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
pub mod topology;
pub mod ue;

pub use self::core::{Core, CoreCounts, CoreSettings, Subscriber};
pub use node::{LabOutbox, Node, Violation, Violations};
pub use service::Service;
pub use topology::{EdgeFacts, Topology};
pub use ue::{Ue, UeSettings};
