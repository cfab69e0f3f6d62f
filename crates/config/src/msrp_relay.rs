//! `[msrp_relay]`: clients that ask for an MSRP relay themselves.

use crate::read::section;
use core::net::SocketAddr;
use std::path::PathBuf;
use wire::Prefix;

section! {
    /// `[msrp_relay]`: clients that ask for an MSRP relay themselves (RFC 4976).
    MsrpRelay {
        /// Who may ask: `user:realm:digest` lines as `htdigest` writes them. Unset: nobody, AUTH gets 501.
        users_file: Option<PathBuf> = None;
        /// Realm of the challenge and of the file; empty: `core.domain`.
        realm: String = String::new();
        /// A relay is granted for so many seconds at least; who asks for less gets 423.
        expires_seconds_min: u32 = 60, 1..=86_400;
        /// And at most; who asks for more gets 423, who asks for nothing gets this.
        expires_seconds_max: u32 = 3_600, 1..=86_400;
        /// Takes no AUTH over plain TCP, as RFC 4976 wants it.
        tls_only: bool = true;
        /// Told in Use-Path instead of the address of the listener: where peers of the core reach this node.
        address: Option<SocketAddr> = None;
        /// Addresses that are connected to for a client; empty: none.
        next_hops: Vec<Prefix> = Vec::new();
        /// Grants of one shard.
        grants_max: usize = 10_000, 1..=1_000_000;
        /// Grants of one user on one shard.
        grants_per_user_max: usize = 16, 1..=10_000;
    }
}
