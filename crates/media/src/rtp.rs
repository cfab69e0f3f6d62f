//! RTP relay sessions, sans-IO: two sides, one stream of media each way, changed in place.
//!
//! ```text
//!             access                    session                        core
//!   UE ─ SRTP ─▶ known source? ─ open ─ check ─ measure ─ seal ─▶ plain RTP ─▶ media server
//!                     │ no: only with proof (R71)
//!                     ▼
//!              dropped and counted
//! ```
//! - A side's source is where packets are taken from and sent to. It is learnt from packets of the hosts
//!   that signalled, and moves only with proof: a packet authenticated by SRTP, a STUN check that knows
//!   the password, or packets that go on exactly where the stream stopped. So a stranger who sprays
//!   packets at our ports neither hears (RTP bleed) nor speaks (injection).
//! - Each side is plain, or SRTP with keys from SDP or from DTLS, with RTCP on the same port or on its own, independent of the other.
//! - The session neither opens sockets nor knows ports: the shell tells on which side and component a
//!   datagram came, and gets told where it goes. A relayed packet allocates nothing.

pub mod api;
pub mod dtls;
#[doc(hidden)]
pub mod fuzz;
#[doc(hidden)]
pub mod handshake_fuzz;
mod latch;
pub mod ports;
mod session;
mod shake;
pub mod table;

#[cfg(test)]
mod tests;

pub use api::{
    Component, Datagram, Drop, DtlsRole, Ice, Latching, Limits, Notice, Outbox, Protection, RtcpPort,
    RtpSession, RtpSide, Sending, SideTotals, Verdict,
};
pub use dtls::Dtls;
pub use ports::PortPool;
pub use session::Session;
pub use table::{RtpNotice, RtpRelay};
