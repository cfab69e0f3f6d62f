//! Shards: sockets, TLS and one armed timer each; drives the edge and the relays
