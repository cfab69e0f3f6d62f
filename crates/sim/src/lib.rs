//! Deterministic network simulator: a virtual clock, latency, loss, duplication, reordering, NATs,
//! streams cut at random points, and a seed that replays the whole run exactly.
//!
//! Nodes are sans-IO machines behind the [`Node`] trait. Everything runs in one thread; the order of
//! events is a pure function of the seed and of the nodes.
//!
//! ```text
//!  node ──NodeAction──▶ Network ──latency, loss, chunks──▶ queue by (time, number) ──NodeEvent──▶ node
//! ```
//! With `GATEHOUSE_SIM_PCAP=FILE` each delivered packet is written to a pcap file, stamped with virtual time.

pub mod link;
pub mod nat;
pub mod network;
pub mod node;
pub mod nodes;
pub mod pcap;
mod stream;
pub mod world;

pub use link::Link;
pub use network::{Endpoint, Network, NodeId, Segment};
pub use node::{Node, NodeAction, NodeEvent, NodeOutbox};
pub use world::{Weather, World, light_flows};
