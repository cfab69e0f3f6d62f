//! The data plane over real sockets on loopback, with stand-in machines that echo.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod blacklist;
mod datagrams;
mod life;
mod limits;
mod msrp;
mod peers;
mod rtp;
mod stand_in;
mod streams;
mod tls;
mod websocket;
