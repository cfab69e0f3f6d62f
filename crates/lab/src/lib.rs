//! An IMS core and UEs in a box, sans-IO, and the shell that puts them on sockets.

pub mod auth;
mod deadlines;
pub mod dialog;
pub mod layer;
pub mod msrp_end;
pub mod node;
pub mod strict;

pub use node::{LabOutbox, Node, Violation, Violations};
