//! Certificates made in memory, and the trust of a TLS client (R3: the UE checks the edge's identity).

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A certificate authority of its own and one certificate signed by it, all as PEM.
#[derive(Clone, Debug)]
pub struct Authority {
    /// The authority's certificate: what clients trust.
    pub ca: String,
    /// The server's certificate.
    pub certificate: String,
    /// The server's private key.
    pub key: String,
}

impl Authority {
    /// Makes an authority and a certificate for these names and addresses.
    ///
    /// # Errors
    /// If a name is not one, or the system has no randomness.
    pub fn new(names: &[&str]) -> io::Result<Self> {
        let ca_key = KeyPair::generate().map_err(io::Error::other)?;
        let mut ca = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        ca.distinguished_name.push(rcgen::DnType::CommonName, "Gatehouse lab authority");
        let ca_certificate = ca.self_signed(&ca_key).map_err(io::Error::other)?;
        let issuer = Issuer::from_params(&ca, &ca_key);
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
        let params = CertificateParams::new(names).map_err(io::Error::other)?;
        let certificate = params.signed_by(&key, &issuer).map_err(io::Error::other)?;
        Ok(Self { ca: ca_certificate.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Writes certificate and key into `directory`, as a configuration names them.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write_to(&self, directory: &Path) -> io::Result<(PathBuf, PathBuf)> {
        let (certificate, key) = (directory.join("edge.pem"), directory.join("edge.key.pem"));
        std::fs::write(&certificate, &self.certificate)?;
        std::fs::write(&key, &self.key)?;
        Ok((certificate, key))
    }
}

/// Whom a client trusts, and which name it expects.
#[derive(Clone, Debug)]
pub struct Trust {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
}

impl Trust {
    /// Trusts servers that show a certificate for `server_name` signed by the authority in `ca`.
    ///
    /// # Errors
    /// If the PEM text or the name cannot be read.
    pub fn new(ca: &str, server_name: &str) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(ca.as_bytes()).map_err(io::Error::other)?;
        roots.add(ca).map_err(io::Error::other)?;
        // named, because the process-wide default may not be set
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server_name = ServerName::try_from(server_name.to_owned()).map_err(io::Error::other)?;
        Ok(Self { config: Arc::new(config), server_name })
    }

    pub(super) fn connect(&self) -> io::Result<ClientConnection> {
        ClientConnection::new(Arc::clone(&self.config), self.server_name.clone()).map_err(io::Error::other)
    }
}
