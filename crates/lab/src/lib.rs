//! An IMS core and UEs in a box, sans-IO, and the shell that puts them on sockets.

pub mod auth;
pub mod strict;
