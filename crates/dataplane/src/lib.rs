//! Shards: sockets, TLS and one armed timer each; drives the edge and the relays.
//!
//! ```text
//! Dataplane ── supervises ──▶ shard 0..n: epoll loop ── drives ──▶ Signalling (edge), Relaying (media)
//!      └── orders by mailbox: configuration, drain, stop
//! ```
//! It knows sockets and TLS and not one SIP rule.

mod alarm;
mod bind;
mod brain;
mod clock;
mod conn;
mod counters;
mod error;
mod identity;
mod io;
mod machine;
mod mailbox;
mod pktinfo;
mod plane;
mod quota;
mod records;
mod rtp;
mod shard;
pub mod tls;
mod token_key;
mod wheel;

pub use bind::Protocol;
pub use brain::Gatehouse;
pub use clock::Clock;
pub use error::{StartError, TlsError};
pub use machine::{Machines, Relaying, Signalling};
pub use plane::{Address, Dataplane, Holdings, raise_descriptor_limit};
pub use rtp::{RtpRecord, RtpSessionView, SideView};
