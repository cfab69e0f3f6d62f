//! MSRP in WebSocket messages (RFC 7977, RFC 6455), the server's half, sans-IO.
//!
//! ```text
//! stream ──upgrade──▶ 101 or a refusal         capped head, subprotocol `msrp`
//!        ──Deframer─▶ octets of MSRP           unmasked in place, in the buffer they were read into
//! octets of MSRP ──Framer──▶ stream            one WebSocket message for one of MSRP, in fragments as they come
//! ```
//! Nothing is buffered but a head that is not complete and one control frame (125 octets at most): a chunk
//! of any size passes in fragments. Text and binary messages are both octets to MSRP.

mod frame;
mod upgrade;

pub use frame::{CloseCode, Deframer, Ended, Framer, Unframed, push_close};
pub use upgrade::{Refusal, Upgrade, upgrade};
