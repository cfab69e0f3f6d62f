//! Tests over real sockets and with real programs.
//!
//! Each test has loopback addresses of its own and ends every process that it started.

#![allow(missing_docs)]

mod bench;
mod calls;
mod flows;
mod harm;
mod hostile;
mod msrp;
mod network_end;
mod next_hops;
mod registrar;
mod srtp;
