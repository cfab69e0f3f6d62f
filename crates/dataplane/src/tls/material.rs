//! Certificates, keys and trust, loaded from the files that the configuration names.

use super::crypto_provider;
use crate::error::TlsError;
use config::{Config, TlsVersion};
use core::net::IpAddr;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, client::danger::ServerCertVerified,
    client::danger::ServerCertVerifier,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::path::Path;
use std::sync::Arc;
use wire::Realm;

/// The TLS side of a configuration; replaced as a whole by a reload.
#[derive(Clone, Debug, Default)]
pub struct Material {
    access: RealmMaterial,
    core: RealmMaterial,
}

#[derive(Clone, Debug, Default)]
struct RealmMaterial {
    server: Option<Arc<ServerConfig>>,
    client: Option<Arc<ClientConfig>>,
    /// Instead of the address of the peer.
    server_name: Option<ServerName<'static>>,
}

impl Material {
    /// Loads every file that `config` names.
    ///
    /// # Errors
    /// The first file that cannot be used, by its key.
    pub fn load(config: &Config) -> Result<Self, TlsError> {
        Ok(Self { access: load(config, Realm::Access)?, core: load(config, Realm::Core)? })
    }

    /// How we answer as a server.
    pub(crate) fn server(&self, realm: Realm) -> Option<Arc<ServerConfig>> {
        self.realm(realm).server.clone()
    }

    /// How we call `peer`, and whom we expect there.
    pub(crate) fn client(
        &self,
        realm: Realm,
        peer: IpAddr,
    ) -> Option<(Arc<ClientConfig>, ServerName<'static>)> {
        let realm = self.realm(realm);
        let name = realm.server_name.clone().unwrap_or_else(|| ServerName::IpAddress(peer.into()));
        realm.client.clone().map(|client| (client, name))
    }

    fn realm(&self, realm: Realm) -> &RealmMaterial {
        match realm {
            Realm::Access => &self.access,
            Realm::Core => &self.core,
        }
    }
}

fn load(config: &Config, realm: Realm) -> Result<RealmMaterial, TlsError> {
    let Some(tls) = &config.realm.of(realm).tls else {
        return Ok(RealmMaterial::default());
    };
    let key_of = |name: &str| format!("realm.{}.tls.{name}", realm.label());
    let fault = |name: &str, message: String| TlsError { key: key_of(name), message };
    let versions: &[&SupportedProtocolVersion] = match tls.min_version {
        TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V1_3 => &[&rustls::version::TLS13],
    };
    let chain = read_chain(&tls.certificate).map_err(|m| fault("certificate", m))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .map_err(|e| fault("key", format!("no usable private key in {}: {e}", tls.key.display())))?;

    let mut server = ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(versions)
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain.clone(), key.clone_key()))
        .map_err(|e| fault("certificate", format!("certificate and key do not serve: {e}")))?;
    // TLS 1.2 tickets cut a handshake from 87 to 15 µs. TLS 1.3 resumption saves no server time with
    // P-256, so one ticket (and not two) is enough for clients that want one.
    server.send_tls13_tickets = 1;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.ticketer = rustls::crypto::ring::Ticketer::new()
        .map_err(|e| fault("certificate", format!("no ticket keys: {e}")))?;

    let client = match &tls.ca {
        None => None,
        Some(path) => {
            let trust = Trust::read(path).map_err(|m| fault("ca", m))?;
            let client = ClientConfig::builder_with_provider(crypto_provider())
                .with_protocol_versions(versions)
                .and_then(|builder| {
                    // The core may ask for our certificate; we show the one we serve with.
                    builder
                        .dangerous()
                        .with_custom_certificate_verifier(Arc::new(trust))
                        .with_client_auth_cert(chain, key)
                })
                .map_err(|e| fault("certificate", format!("certificate and key do not serve: {e}")))?;
            Some(Arc::new(client))
        }
    };
    let server_name = match &tls.verify_server_name {
        None => None,
        Some(name) => Some(
            ServerName::try_from(name.clone())
                .map_err(|e| fault("verify_server_name", format!("not a server name: {e}")))?,
        ),
    };
    Ok(RealmMaterial { server: Some(Arc::new(server)), client, server_name })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unusable =
        |e: rustls_pki_types::pem::Error| format!("no usable certificate in {}: {e}", path.display());
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(unusable)?.collect::<Result<_, _>>().map_err(unusable)?;
    if chain.is_empty() {
        return Err(format!("no certificate in {}", path.display()));
    }
    Ok(chain)
}

/// Realms whose certificate does not bear the name that peers are told (R3).
#[must_use]
pub fn foreign_names(config: &Config) -> Vec<TlsError> {
    [Realm::Access, Realm::Core].into_iter().filter_map(|realm| foreign_name(config, realm)).collect()
}

fn foreign_name(config: &Config, realm: Realm) -> Option<TlsError> {
    let settings = config.realm.of(realm);
    let chain = read_chain(&settings.tls.as_ref()?.certificate).ok()?;
    let certificate = ParsedCertificate::try_from(chain.first()?).ok()?;
    let host = settings.host.trim_matches(['[', ']']);
    let bears = ServerName::try_from(host).is_ok_and(|name| verify_server_name(&certificate, &name).is_ok());
    (!bears).then(|| TlsError {
        key: format!("realm.{}.tls.certificate", realm.label()),
        message: format!("the certificate does not bear `realm.{}.host` \"{host}\"", realm.label()),
    })
}

/// Whom we believe: whatever the authorities of the file signed, and the very certificates in the file.
///
/// The second serves a core with a self-signed certificate: pinning it is stricter than any authority.
#[derive(Debug)]
struct Trust {
    authorities: Option<Arc<WebPkiServerVerifier>>,
    pinned: Vec<CertificateDer<'static>>,
}

impl Trust {
    fn read(path: &Path) -> Result<Self, String> {
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

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &crypto_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &crypto_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        crypto_provider().signature_verification_algorithms.supported_schemes()
    }
}
