//! SIP: read, index, edit, write; URIs; the RFC 3261 transaction machines
pub mod transaction;
