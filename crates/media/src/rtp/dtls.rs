//! DTLS on the media path, for the keys of SRTP (RFC 5764): a machine beside the session.
//!
//! ```text
//!   datagram ──▶ Handshake ──▶ flights to the peer
//!                    │ certificate: one of the announced fingerprints? ── no ──▶ never any key
//!                    └ keys for both directions ──▶ the session's SRTP
//! ```
//! What does the handshake stands behind [`Handshake`]; it is `dimpl` here. It wants the time as an instant of
//! the system's clock: [`Dtls`] holds one that the shell gave it, and adds to it.

use super::api::DtlsRole;
use ::rtp::srtp::{MasterKey, Suite};
use core::fmt;
use core::time::Duration;
use dimpl::{DtlsCertificate, Output, SrtpProfile};
use std::sync::Arc;
use wire::Instant;

/// Our end of every handshake of a shard.
#[derive(Clone)]
pub struct Dtls {
    config: Arc<dimpl::Config>,
    certificate: DtlsCertificate,
    /// What [`Instant::ZERO`] is on the system's clock.
    epoch: std::time::Instant,
}

impl fmt::Debug for Dtls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dtls(secret)")
    }
}

impl Dtls {
    /// `certificate` and its `key` (PKCS#8) in DER, both of an elliptic curve; `epoch` is `Instant::ZERO` on the
    /// system's clock. `None` if there are none that can be used.
    #[must_use]
    pub fn new(certificate: Vec<u8>, key: Vec<u8>, epoch: std::time::Instant) -> Option<Self> {
        let config = dimpl::Config::builder()
            .with_crypto_provider(dimpl::crypto::rust_crypto::default_provider())
            .mtu(MTU_BYTES)
            // A stranger who asks for a handshake is answered less than it sent until it shows that it
            // hears us: no flights of certificates at somebody who never asked (RFC 6347 §4.2.1).
            .use_server_cookie(true)
            .require_client_certificate(true)
            .handshake_timeout(HANDSHAKE_MAX)
            .build()
            .ok()?;
        let certificate = DtlsCertificate { certificate, private_key: key };
        Some(Self { config: Arc::new(config), certificate, epoch })
    }

    /// Begins a handshake, or waits for one.
    #[must_use]
    pub fn begin(&self, role: DtlsRole, now: Instant) -> Box<dyn Handshake> {
        let (config, certificate) = (Arc::clone(&self.config), self.certificate.clone());
        let at = self.epoch + Duration::from_micros(now.as_micros());
        // DTLS 1.2 is what every phone speaks; its server part is the one that asks for a cookie.
        let mut machine = dimpl::Dtls::new_12(config, certificate, at);
        machine.set_active(role == DtlsRole::Client);
        Box::new(Running { machine, role, epoch: self.epoch, next_at: None, buffer: vec![0; 2 * MTU_BYTES] })
    }
}

/// One handshake.
pub trait Handshake: fmt::Debug + Send {
    /// Takes a datagram in.
    ///
    /// # Errors
    /// It failed for good.
    fn handle(&mut self, datagram: &[u8], now: Instant, out: &mut Flight) -> Result<(), Failed>;

    /// Begins, or sends again what may be lost.
    ///
    /// # Errors
    /// It failed for good, or took too long.
    fn handle_deadline(&mut self, now: Instant, out: &mut Flight) -> Result<(), Failed>;

    /// When to call `handle_deadline`.
    fn next_deadline(&self) -> Option<Instant>;
}

/// A handshake is over, and not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// What came out of a handshake.
#[derive(Debug, Default)]
pub struct Flight {
    /// Datagrams for the peer, in order.
    pub datagrams: Vec<Vec<u8>>,
    /// The peer's certificate in DER, once.
    pub certificate: Option<Vec<u8>>,
    /// The keys, once.
    pub keys: Option<Keys>,
}

/// What protects the media from here on.
#[derive(Debug)]
pub struct Keys {
    /// Ours.
    pub send: MasterKey,
    /// Theirs.
    pub receive: MasterKey,
}

struct Running {
    machine: dimpl::Dtls,
    role: DtlsRole,
    epoch: std::time::Instant,
    next_at: Option<Instant>,
    buffer: Vec<u8>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Running({:?})", self.role)
    }
}

impl Handshake for Running {
    fn handle(&mut self, datagram: &[u8], now: Instant, out: &mut Flight) -> Result<(), Failed> {
        self.machine.handle_timeout(self.at(now)).map_err(|_| Failed)?;
        self.drain(now, out)?;
        self.machine.handle_packet(datagram).map_err(|_| Failed)?;
        self.drain(now, out)
    }

    fn handle_deadline(&mut self, now: Instant, out: &mut Flight) -> Result<(), Failed> {
        self.machine.handle_timeout(self.at(now)).map_err(|_| Failed)?;
        self.drain(now, out)
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.next_at
    }
}

impl Running {
    fn at(&self, now: Instant) -> std::time::Instant {
        self.epoch + Duration::from_micros(now.as_micros())
    }

    fn drain(&mut self, now: Instant, out: &mut Flight) -> Result<(), Failed> {
        for _ in 0..OUTPUTS_MAX {
            match self.machine.poll_output(&mut self.buffer) {
                Output::Packet(bytes) => out.datagrams.push(bytes.to_vec()),
                Output::PeerCert(certificate) => out.certificate = Some(certificate.to_vec()),
                Output::KeyingMaterial(material, profile) => {
                    out.keys = Some(keys(&material, profile, self.role).ok_or(Failed)?);
                }
                Output::Timeout(at) => {
                    let after = at.saturating_duration_since(self.epoch);
                    let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
                    // Never at once again: whoever drives us would go round in circles.
                    self.next_at = Some(Instant::from_micros(micros).max(now + SOON));
                    return Ok(());
                }
                Output::BufferTooSmall { needed } if needed <= BUFFER_BYTES_MAX => {
                    self.buffer.resize(needed, 0);
                }
                Output::BufferTooSmall { .. } | Output::CloseNotify => return Err(Failed),
                // No application data is spoken here.
                _ => {}
            }
        }
        Err(Failed)
    }
}

/// RFC 5764 §4.2: client key, server key, client salt, server salt.
fn keys(material: &[u8], profile: SrtpProfile, role: DtlsRole) -> Option<Keys> {
    let (suite, key, salt) = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => (Suite::AesCm128HmacSha1Tag80, 16, 14),
        SrtpProfile::AEAD_AES_128_GCM => (Suite::AeadAes128Gcm, 16, 12),
        SrtpProfile::AEAD_AES_256_GCM => (Suite::AeadAes256Gcm, 32, 12),
        _ => return None,
    };
    let (keys, salts) = material.split_at_checked(2 * key)?;
    let of = |at: usize| {
        let (key, salt) = (keys.get(at * key..(at + 1) * key)?, salts.get(at * salt..(at + 1) * salt)?);
        MasterKey::new(suite, &[key, salt].concat())
    };
    let (client, server) = (of(0)?, of(1)?);
    Some(match role {
        DtlsRole::Client => Keys { send: client, receive: server },
        DtlsRole::Server => Keys { send: server, receive: client },
    })
}

/// What a path takes without fragments, tunnels included.
const MTU_BYTES: usize = 1_200;
/// Far below any time of retransmission.
const SOON: Duration = Duration::from_millis(5);
/// Longer than any flight of ours.
const BUFFER_BYTES_MAX: usize = 65_536;
/// Of one poll; a flight has less than ten.
const OUTPUTS_MAX: usize = 64;
/// Whoever talks has done it in a second; the call waits for no longer.
const HANDSHAKE_MAX: Duration = Duration::from_secs(30);
