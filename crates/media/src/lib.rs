//! MSRP relay sessions, sans-IO. The relay owns no socket and reads no clock.

pub mod command;
pub mod relay;
