//! MSRP relay and RTP sessions, sans-IO. They own no socket and read no clock.

pub mod command;
#[doc(hidden)]
pub mod fuzz;
pub mod msrp_auth;
pub mod relay;
pub mod rtp;
