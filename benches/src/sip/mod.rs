//! Signalling through a whole edge, beside Kamailio doing the same job and HAProxy passing bytes.

pub mod bench;
pub mod edges;
pub mod works;
