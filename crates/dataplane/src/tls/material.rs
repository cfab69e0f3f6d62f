//! Certificates, keys and trust, loaded from the files that the configuration names.

use super::crypto_provider;
use super::trust::{Announced, Trust, fingerprint};
use crate::bind::Protocol;
use crate::error::TlsError;
use config::{Config, TlsVersion};
use core::net::IpAddr;
use media::msrp_auth::Users;
use rustls::client::verify_server_name;
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::path::Path;
use std::sync::Arc;
use wire::{Fingerprint, HashFunction, Realm};

/// The TLS side of a configuration, and the other secrets that it names; replaced as a whole by a reload.
#[derive(Clone, Debug, Default)]
pub struct Material {
    access: RealmMaterial,
    core: RealmMaterial,
    /// Who may ask for an MSRP relay.
    users: Arc<Users>,
}

#[derive(Clone, Debug, Default)]
struct RealmMaterial {
    server: Option<Arc<ServerConfig>>,
    /// For media: asks for a certificate.
    media_server: Option<Arc<ServerConfig>>,
    client: Option<Arc<ClientConfig>>,
    /// For media whose certificate SDP announced.
    media_client: Option<Arc<ClientConfig>>,
    /// Of the certificate that both show.
    fingerprint: Option<Fingerprint>,
    /// Instead of the address of the peer.
    server_name: Option<ServerName<'static>>,
}

impl Material {
    /// Loads every file that `config` names.
    ///
    /// # Errors
    /// The first file that cannot be used, by its key.
    pub fn load(config: &Config) -> Result<Self, TlsError> {
        let users = Arc::new(users(config)?);
        Ok(Self { access: load(config, Realm::Access)?, core: load(config, Realm::Core)?, users })
    }

    /// How we answer as a server.
    pub(crate) fn server(&self, realm: Realm, protocol: Protocol) -> Option<Arc<ServerConfig>> {
        let realm = self.realm(realm);
        match protocol {
            Protocol::Sip => realm.server.clone(),
            Protocol::Msrp => realm.media_server.clone(),
        }
    }

    /// What SDP announces of the certificate we show, by realm.
    #[must_use]
    pub fn fingerprints(&self) -> [Option<Fingerprint>; 2] {
        [self.access.fingerprint, self.core.fingerprint]
    }

    /// How we call `peer`, and whom we expect there.
    pub(crate) fn client(
        &self,
        realm: Realm,
        peer: IpAddr,
        trust: media::relay::Trust,
    ) -> Option<(Arc<ClientConfig>, ServerName<'static>)> {
        let realm = self.realm(realm);
        let name = realm.server_name.clone().unwrap_or_else(|| ServerName::IpAddress(peer.into()));
        let client = match trust {
            media::relay::Trust::Authority => &realm.client,
            media::relay::Trust::Fingerprint => &realm.media_client,
        };
        client.clone().map(|client| (client, name))
    }

    /// Who may ask for an MSRP relay (RFC 4976).
    pub(crate) fn users(&self) -> Arc<Users> {
        Arc::clone(&self.users)
    }

    fn realm(&self, realm: Realm) -> &RealmMaterial {
        match realm {
            Realm::Access => &self.access,
            Realm::Core => &self.core,
        }
    }
}

fn users(config: &Config) -> Result<Users, TlsError> {
    let Some(file) = &config.msrp_relay.users_file else { return Ok(Users::default()) };
    let fault = |message: String| TlsError {
        key: "msrp_relay.users_file".to_owned(),
        message: format!("{}: {message}", file.display()),
    };
    let text = std::fs::read_to_string(file).map_err(|error| fault(error.to_string()))?;
    Users::read(&text, crate::brain::relay_realm(config)).map_err(fault)
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

    let unfit = |e: rustls::Error| fault("certificate", format!("certificate and key do not serve: {e}"));
    let mut server = ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(versions)
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain.clone(), key.clone_key()))
        .map_err(unfit)?;
    // TLS 1.2 tickets cut a handshake from 87 to 15 µs. TLS 1.3 resumption saves no server time with
    // P-256, so one ticket (and not two) is enough for clients that want one.
    server.send_tls13_tickets = 1;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.ticketer = rustls::crypto::ring::Ticketer::new()
        .map_err(|e| fault("certificate", format!("no ticket keys: {e}")))?;
    let mut media_server = ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(versions)
        .and_then(|builder| {
            let asking = builder.with_client_cert_verifier(Arc::new(Announced));
            asking.with_single_cert(chain.clone(), key.clone_key())
        })
        .map_err(unfit)?;
    media_server.send_tls13_tickets = server.send_tls13_tickets;
    media_server.session_storage = Arc::clone(&server.session_storage);
    // A ticket holds the certificate of the UE, and is sealed by a key of its own.
    media_server.ticketer = rustls::crypto::ring::Ticketer::new()
        .map_err(|e| fault("certificate", format!("no ticket keys: {e}")))?;

    let fingerprint = chain.first().and_then(|leaf| fingerprint(leaf, HashFunction::Sha256));
    let media_client = ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(versions)
        .and_then(|builder| {
            let believing = builder.dangerous().with_custom_certificate_verifier(Arc::new(Announced));
            believing.with_client_auth_cert(chain.clone(), key.clone_key())
        })
        .map_err(unfit)?;

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
                .map_err(unfit)?;
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
    Ok(RealmMaterial {
        server: Some(Arc::new(server)),
        media_server: Some(Arc::new(media_server)),
        client,
        media_client: Some(Arc::new(media_client)),
        fingerprint,
        server_name,
    })
}

pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
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
