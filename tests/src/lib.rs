//! Tests over real sockets; see `tests/it/main.rs`.
