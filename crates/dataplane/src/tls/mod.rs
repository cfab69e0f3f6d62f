//! TLS: one cryptography provider, the material of a node, and a thin session over it.

mod material;
mod session;
mod trust;

pub use material::{Material, foreign_names};
pub(crate) use session::Session;

use rustls::crypto::CryptoProvider;
use std::sync::{Arc, OnceLock};

/// The one place that names a cryptography provider: swapping it is a change of this line.
#[must_use]
pub fn crypto_provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}
