//! Certificates made for one test.

use crate::place::Place;
use rcgen::{KeyPair, SanType};
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
        let mut params = rcgen::CertificateParams::default();
        // mbedTLS 2, which linphone verifies with, knows no addresses: it compares names as text.
        let name_of_address = address.to_string().try_into().expect("an address is ASCII");
        params.subject_alt_names = vec![SanType::IpAddress(address), SanType::DnsName(name_of_address)];
        let pair = KeyPair::generate().expect("a P-256 key");
        let made = params.self_signed(&pair).expect("a certificate for an address");
        let (certificate, key) = (made.pem(), pair.serialize_pem());
        Self {
            both: place.write(&format!("{name}.both.pem"), format!("{certificate}{key}")),
            certificate: place.write(&format!("{name}.pem"), certificate),
            key: place.write(&format!("{name}.key.pem"), key),
        }
    }
}
