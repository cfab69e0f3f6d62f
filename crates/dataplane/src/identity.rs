//! Who we are on media paths: a certificate of this life of the process, known by its fingerprint in SDP.

use media::rtp::Dtls;
use rtp::certificate::fingerprint;
use std::sync::Arc;
use std::time::Instant;
use wire::{Fingerprint, HashFunction};

/// The certificate for DTLS-SRTP, the same for every shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct MediaIdentity {
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) dtls: Option<Arc<Dtls>>,
}

impl MediaIdentity {
    /// Draws a key and signs a certificate with it (RFC 5763 §5: it proves nothing but that it is the one of
    /// the SDP). Without one there is no DTLS-SRTP, and everything else; `epoch` is `Instant::ZERO`.
    pub(crate) fn make(epoch: Instant) -> Self {
        match Self::try_make(epoch) {
            Ok(identity) => identity,
            Err(error) => {
                tracing::error!(%error, "no certificate for DTLS-SRTP");
                Self::default()
            }
        }
    }

    fn try_make(epoch: Instant) -> Result<Self, rcgen::Error> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let certificate = rcgen::CertificateParams::default().self_signed(&key)?;
        let der = certificate.der().to_vec();
        let fingerprint = fingerprint(HashFunction::Sha256, &der);
        let dtls = Dtls::new(der, key.serialize_der(), epoch).map(Arc::new);
        Ok(Self { fingerprint: fingerprint.filter(|_| dtls.is_some()), dtls })
    }
}
