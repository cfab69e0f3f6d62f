//! MSRP (RFC 4975): URIs, an incremental reader that never needs a whole chunk, and writers.
//!
//! ```text
//! bytes, split anywhere ──Reader──▶ Head ─▶ Body Body Body … ─▶ End($ + #)
//!                                    │       └ ranges of the very input, and < 50 withheld octets
//!                                    └ capped; spans of paths, ids and ranges
//! ```
//! The reader trusts the end-line and nothing else (R75): a body is as long as it is.

#[doc(hidden)]
pub mod fuzz;
mod head;
mod range;
mod reader;
mod tail;
pub mod uri;
pub mod write;
pub mod ws;

pub use head::{FailureReport, Head, HeaderId, Method, Start, Usual};
pub use range::ByteRange;
pub use reader::{Event, Flag, Piece, Reader, Scan};
pub use uri::Uri;
