//! Whose certificates are believed, and what is kept of them.

use super::crypto_provider;
use super::material::read_chain;
use ring::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::path::Path;
use std::sync::Arc;
use wire::{CertificateDigests, Fingerprint, HashFunction};

/// The digests that fingerprints are compared with (RFC 8122 §5).
pub(super) fn digests(certificate: &CertificateDer<'_>) -> Option<CertificateDigests> {
    CertificateDigests::new(|hash| fingerprint(certificate, hash))
}

/// One digest of a certificate in its DER form.
pub(super) fn fingerprint(certificate: &CertificateDer<'_>, hash: HashFunction) -> Option<Fingerprint> {
    let algorithm = match hash {
        HashFunction::Sha256 => &digest::SHA256,
        HashFunction::Sha384 => &digest::SHA384,
        HashFunction::Sha512 => &digest::SHA512,
    };
    Fingerprint::new(hash, digest::digest(algorithm, certificate).as_ref())
}

/// A peer must prove that it has the key, whoever vouches for it.
macro_rules! checked_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &crypto_provider().signature_verification_algorithms;
            rustls::crypto::verify_tls12_signature(message, cert, signature, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &crypto_provider().signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, cert, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            crypto_provider().signature_verification_algorithms.supported_schemes()
        }
    };
}

/// Believes any certificate whose key the peer has: the relay compares it with what SDP announced.
///
/// A UE signs its certificate itself (RFC 4975 §14.4), and which session a connection is for is known
/// only from its first message, long after the handshake. So nobody is turned away here, with or without
/// a certificate, and nobody gets at a session whose fingerprint the certificate does not match.
#[derive(Debug)]
pub(super) struct Announced;

impl ClientCertVerifier for Announced {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    checked_signatures!();
}

impl ServerCertVerifier for Announced {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    checked_signatures!();
}

/// Whom we believe: whatever the authorities of the file signed, and the very certificates in the file.
///
/// The second serves a core with a self-signed certificate: pinning it is stricter than any authority.
#[derive(Debug)]
pub(super) struct Trust {
    authorities: Option<Arc<WebPkiServerVerifier>>,
    pinned: Vec<CertificateDer<'static>>,
}

impl Trust {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let pinned = read_chain(path)?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(pinned.iter().cloned());
        let authorities = (!roots.is_empty())
            .then(|| WebPkiServerVerifier::builder_with_provider(Arc::new(roots), crypto_provider()).build())
            .transpose()
            .map_err(|e| format!("authorities of {} cannot be used: {e}", path.display()))?;
        Ok(Self { authorities, pinned })
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.pinned.iter().any(|known| known.as_ref() == end_entity.as_ref()) {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.authorities {
            Some(verifier) => {
                verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(rustls::CertificateError::UnknownIssuer.into()),
        }
    }

    checked_signatures!();
}
