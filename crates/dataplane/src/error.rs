//! Why a node does not start.

use core::fmt;
use core::net::SocketAddr;
use std::io;
use std::path::PathBuf;

/// What the data plane could not get; names the key of the configuration that asked for it.
#[derive(Debug)]
pub enum StartError {
    /// An address could not be bound.
    Bind {
        /// The key: `realm.access.sip[0].bind`.
        key: String,
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        error: io::Error,
    },
    /// TLS material could not be used.
    Tls(TlsError),
    /// `node.token_key_file` could not be used.
    TokenKey {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: io::Error,
    },
    /// `media.io` demands io_uring and the system does not allow it.
    IoUring(io::Error),
    /// The system refused a thread, an epoll instance or a mailbox.
    System(io::Error),
}

/// TLS material that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    /// The key: `realm.access.tls.certificate`.
    pub key: String,
    /// What is wrong.
    pub message: String,
}

impl StartError {
    /// The key of the configuration that cannot be satisfied, if it is one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Bind { key, .. } => Some(key),
            Self::Tls(error) => Some(&error.key),
            Self::TokenKey { .. } => Some("node.token_key_file"),
            Self::IoUring(_) => Some("media.io"),
            Self::System(_) => None,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { key, address, error } => write!(f, "`{key}`: cannot listen on {address}: {error}"),
            Self::Tls(error) => fmt::Display::fmt(error, f),
            Self::TokenKey { file, error } => write!(f, "`node.token_key_file`: {}: {error}", file.display()),
            Self::IoUring(error) => write!(f, "`media.io`: io_uring cannot be used here: {error}"),
            Self::System(error) => write!(f, "the system refused a thread or a descriptor: {error}"),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.key, self.message)
    }
}

impl std::error::Error for StartError {}
impl std::error::Error for TlsError {}

impl From<TlsError> for StartError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}
