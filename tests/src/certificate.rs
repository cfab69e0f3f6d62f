//! Certificates made for one test.

use crate::place::Place;
use std::net::IpAddr;
use std::path::PathBuf;

/// A self-signed certificate and its key as PEM files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Both in one file, as some programs want them.
    pub both: PathBuf,
}

impl Certificate {
    /// Makes an ECDSA P-256 certificate for `address`.
    ///
    /// # Panics
    /// If the library cannot make one.
    #[must_use]
    pub fn for_address(place: &Place, name: &str, address: IpAddr) -> Self {
        let made =
            rcgen::generate_simple_self_signed([address.to_string()]).expect("a certificate for an address");
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        Self {
            both: place.write(&format!("{name}.both.pem"), format!("{certificate}{key}")),
            certificate: place.write(&format!("{name}.pem"), certificate),
            key: place.write(&format!("{name}.key.pem"), key),
        }
    }
}
