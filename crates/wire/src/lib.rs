//! What every protocol crate needs and no protocol: spans into a buffer, byte classes, a
//! case-insensitive name table, the edit list, ids, the virtual-time instant, the network
//! vocabulary of the sans-IO machines, sets of address ranges, where names lead, and the one table of
//! causes.
//!
//! Nothing here opens a socket, reads a clock or draws randomness.

pub mod bytes_class;
pub mod cause;
pub mod directory;
pub mod edit;
pub mod fingerprint;
pub mod ids;
pub mod names;
pub mod net;
pub mod prefix;
pub mod random;
pub mod span;
pub mod time;

pub use cause::Cause;
pub use directory::{Directory, HostQuery, Located};
pub use edit::EditList;
pub use fingerprint::{CertificateDigests, Fingerprint, FingerprintText, HashFunction};
pub use ids::{BindingId, DialogId, ExchangeId, MediaId, ShardId, SlotId, SocketId, StreamId, WatchId};
pub use names::NameTable;
pub use net::{CloseReason, Hop, NetAction, NetEvent, Realm, Transport};
pub use prefix::{Prefix, PrefixError, PrefixSet};
pub use random::Random;
pub use span::Span;
pub use time::Instant;
