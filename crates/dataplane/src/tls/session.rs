//! One TLS connection without buffers of its own.
//!
//! ```text
//! socket ─▶ [pending | just read] ─ process ─▶ plain      whole records are taken in place
//!                    └─ tail ─▶ pending                   a part of a record waits, capped
//! plain ─ encrypt ─▶ sealed ─▶ socket
//! ```
//! rustls' unbuffered connections own neither an input nor an output buffer; an idle one costs its
//! keys and little more. The shard lends its large buffers for the time of a call.

use super::trust::digests;
use core::ops::DerefMut;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedConnectionCommon, UnbufferedStatus,
};
use rustls::{ClientConfig, Error, ProtocolVersion, ServerConfig};
use rustls_pki_types::ServerName;
use std::sync::Arc;
use wire::CertificateDigests;

/// A TLS connection, of either side.
pub(crate) struct Session {
    side: Side,
    /// Ciphertext that is not a whole record or handshake message yet.
    pending: Vec<u8>,
    open: bool,
}

enum Side {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

/// What a call brought about, beside bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The handshake ended with this call.
    pub(crate) opened: bool,
    /// The peer said that nothing more will come.
    pub(crate) peer_closed: bool,
}

/// Ciphertext that may wait for its rest: the largest handshake message that rustls takes (64 KiB)
/// would not fit, and none of ours comes near: certificate chains of peers have 2..8 KiB.
const PENDING_BYTES_MAX: usize = 48 * 1024;

impl core::fmt::Debug for Session {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Never the connection itself: it holds keys.
        f.debug_struct("Session").field("open", &self.open).field("pending", &self.pending.len()).finish()
    }
}

impl Session {
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Self { side: Side::Server(Box::new(connection)), pending: Vec::new(), open: false })
    }

    pub(crate) fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, Error> {
        let connection = UnbufferedClientConnection::new(config, name)?;
        Ok(Self { side: Side::Client(Box::new(connection)), pending: Vec::new(), open: false })
    }

    /// Ciphertext that waits for its rest; it belongs in front of what is read next.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// The version that was agreed on.
    pub(crate) fn version(&self) -> Option<ProtocolVersion> {
        match &self.side {
            Side::Server(connection) => connection.protocol_version(),
            Side::Client(connection) => connection.protocol_version(),
        }
    }

    /// What the far end showed of itself; `None` before the handshake is done, or if it showed nothing.
    pub(crate) fn peer_certificate(&self) -> Option<CertificateDigests> {
        let chain = match &self.side {
            Side::Server(connection) => connection.peer_certificates(),
            Side::Client(connection) => connection.peer_certificates(),
        };
        digests(chain?.first()?)
    }

    /// Takes in ciphertext, which starts with [`pending`](Self::pending). Plain bytes are appended to
    /// `plain`; what the peer must be sent (handshake, alerts, key updates) to `sealed`, also on error.
    pub(crate) fn process(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        sealed: &mut Vec<u8>,
    ) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        let result = match &mut self.side {
            Side::Server(connection) => drive(&mut **connection, incoming, plain, sealed, &mut outcome),
            Side::Client(connection) => drive(&mut **connection, incoming, plain, sealed, &mut outcome),
        };
        let (taken, writable) = result?;
        outcome.opened = writable && !self.open;
        self.open |= writable;
        let rest = incoming.get(taken..).unwrap_or_default();
        if rest.len() > PENDING_BYTES_MAX {
            return Err(Error::General("a handshake message is too long".to_owned()));
        }
        if rest.is_empty() {
            self.pending = Vec::new();
        } else {
            self.pending.clear();
            self.pending.extend_from_slice(rest);
        }
        Ok(outcome)
    }

    /// Appends `plain` as records to `sealed`.
    pub(crate) fn encrypt(&mut self, plain: &[u8], sealed: &mut Vec<u8>) -> Result<(), Error> {
        let pending = &mut self.pending;
        match &mut self.side {
            Side::Server(connection) => seal(&mut **connection, pending, Seal::Data(plain), sealed),
            Side::Client(connection) => seal(&mut **connection, pending, Seal::Data(plain), sealed),
        }
    }

    /// Appends the notice that nothing more will come to `sealed`.
    pub(crate) fn close_notify(&mut self, sealed: &mut Vec<u8>) -> Result<(), Error> {
        let pending = &mut self.pending;
        match &mut self.side {
            Side::Server(connection) => seal(&mut **connection, pending, Seal::Close, sealed),
            Side::Client(connection) => seal(&mut **connection, pending, Seal::Close, sealed),
        }
    }
}

/// The one call that differs between the sides.
trait Unbuffered {
    type Data;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Unbuffered for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        let common: &mut UnbufferedConnectionCommon<Self::Data> = self.deref_mut();
        common.process_tls_records(incoming)
    }
}

impl Unbuffered for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        let common: &mut UnbufferedConnectionCommon<Self::Data> = self.deref_mut();
        common.process_tls_records(incoming)
    }
}

/// Runs the connection until it needs more input; returns how much was taken, and whether data may be sent.
fn drive<C: Unbuffered>(
    connection: &mut C,
    incoming: &mut [u8],
    plain: &mut Vec<u8>,
    sealed: &mut Vec<u8>,
    outcome: &mut Outcome,
) -> Result<(usize, bool), Error> {
    let mut taken = 0;
    let mut failed = None;
    loop {
        let rest = incoming.get_mut(taken..).unwrap_or_default();
        let UnbufferedStatus { mut discard, state, .. } = connection.process(rest);
        let step: Option<Result<bool, Error>> = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    plain.extend_from_slice(record.payload);
                }
                None
            }
            // Never offered by us (`max_early_data_size` is 0), so rustls does not come here.
            Ok(ConnectionState::ReadEarlyData(_)) => Some(Err(Error::HandshakeNotComplete)),
            Ok(ConnectionState::EncodeTlsData(data)) => {
                encode(data, sealed);
                None
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                // Bytes in `sealed` are as good as sent: the caller writes or queues all of them.
                data.done();
                None
            }
            Ok(ConnectionState::PeerClosed) => {
                outcome.peer_closed = true;
                None
            }
            Ok(ConnectionState::WriteTraffic(_)) => Some(Ok(true)),
            Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => Some(Ok(false)),
            Ok(_) => Some(Ok(false)),
            Err(error) => {
                failed = Some(error);
                Some(Ok(false))
            }
        };
        taken += discard;
        if let Some(error) = failed {
            say_why(connection, incoming.get_mut(taken..).unwrap_or_default(), sealed);
            return Err(error);
        }
        if let Some(result) = step {
            return result.map(|writable| (taken, writable));
        }
    }
}

/// Lets out the alert that tells the peer what failed.
///
/// It is encoded before any input is looked at; a second call would stumble over the same input.
fn say_why<C: Unbuffered>(connection: &mut C, rest: &mut [u8], sealed: &mut Vec<u8>) {
    if let Ok(ConnectionState::EncodeTlsData(data)) = connection.process(rest).state {
        encode(data, sealed);
    }
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, sealed: &mut Vec<u8>) {
    fit(sealed, |room| match data.encode(room) {
        Ok(written) => Ok(written),
        Err(EncodeError::InsufficientSize(size)) => Err(Some(size)),
        Err(EncodeError::AlreadyEncoded) => Err(None),
    });
}

#[derive(Clone, Copy)]
enum Seal<'a> {
    Data(&'a [u8]),
    Close,
}

/// Brings the connection to where it can send, and sends.
fn seal<C: Unbuffered>(
    connection: &mut C,
    pending: &mut [u8],
    what: Seal<'_>,
    sealed: &mut Vec<u8>,
) -> Result<(), Error> {
    loop {
        // `pending` and not an empty slice: rustls remembers how far into it it has looked. It was
        // seen before and holds nothing complete, so nothing is taken from it.
        let UnbufferedStatus { state, .. } = connection.process(pending);
        match state? {
            ConnectionState::WriteTraffic(mut traffic) => {
                let mut exhausted = false;
                fit(sealed, |room| {
                    let result = match what {
                        Seal::Data(plain) => traffic.encrypt(plain, room),
                        Seal::Close => traffic.queue_close_notify(room),
                    };
                    match result {
                        Ok(written) => Ok(written),
                        Err(EncryptError::InsufficientSize(size)) => Err(Some(size)),
                        Err(EncryptError::EncryptExhausted) => {
                            exhausted = true;
                            Err(None)
                        }
                    }
                });
                return if exhausted { Err(Error::EncryptError) } else { Ok(()) };
            }
            // A key update, or the end of a handshake, goes first.
            ConnectionState::EncodeTlsData(data) => encode(data, sealed),
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::PeerClosed => {}
            _ => return Err(Error::HandshakeNotComplete),
        }
    }
}

/// Lets `write` append to `out`, with as much room as it asks for.
fn fit(out: &mut Vec<u8>, mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>) {
    let start = out.len();
    let mut room = 512;
    // The first answer names the size; a third attempt would be a bug of rustls, and writes nothing.
    for _ in 0..3 {
        out.resize(start + room, 0);
        match write(out.get_mut(start..).unwrap_or_default()) {
            Ok(written) => {
                out.truncate(start + written);
                return;
            }
            Err(Some(size)) => room = size.required_size,
            Err(None) => break,
        }
    }
    out.truncate(start);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;
    use crate::tls::crypto_provider;
    use rustls::RootCertStore;
    use rustls::version::{TLS12, TLS13};

    fn pair(version: &'static rustls::SupportedProtocolVersion) -> (Session, Session) {
        let issued = rcgen::generate_simple_self_signed(vec!["edge.example".to_owned()]).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
        let server = ServerConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![issued.cert.der().clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(issued.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("edge.example").unwrap();
        (Session::server(Arc::new(server)).unwrap(), Session::client(Arc::new(client), name).unwrap())
    }

    /// Gives `bytes` to `to` in pieces of `step`; returns what it decrypted and what it answers.
    fn give(to: &mut Session, bytes: &[u8], step: usize) -> (Vec<u8>, Vec<u8>, Outcome) {
        let (mut plain, mut sealed, mut all) = (Vec::new(), Vec::new(), Outcome::default());
        for piece in bytes.chunks(step) {
            let mut incoming = to.pending().to_vec();
            incoming.extend_from_slice(piece);
            let outcome = to.process(&mut incoming, &mut plain, &mut sealed).unwrap();
            all.opened |= outcome.opened;
            all.peer_closed |= outcome.peer_closed;
        }
        (plain, sealed, all)
    }

    fn shake(server: &mut Session, client: &mut Session, step: usize) {
        let mut to_server = Vec::new();
        client.process(&mut [], &mut Vec::new(), &mut to_server).unwrap();
        for _ in 0..6 {
            let (_, to_client, _) = give(server, &to_server, step);
            let (_, answer, _) = give(client, &to_client, step);
            to_server = answer;
            if server.open && client.open && to_server.is_empty() {
                return;
            }
        }
        panic!("no handshake in six flights");
    }

    #[test]
    fn handshake_and_data_pass_however_the_stream_is_cut() {
        for version in [&TLS12, &TLS13] {
            for step in [1, 7, 100, 1_400, 65_536] {
                let (mut server, mut client) = pair(version);
                shake(&mut server, &mut client, step);
                assert_eq!(server.version(), Some(version.version));
                assert!(server.pending().is_empty(), "an idle session holds no buffer");
                let text: Vec<u8> = (0..40_000u32).map(|n| n as u8).collect();
                let mut sealed = Vec::new();
                client.encrypt(&text, &mut sealed).unwrap();
                let (plain, _, _) = give(&mut server, &sealed, step);
                assert!(plain == text, "{version:?} cut at {step}");
                // And back, while half a record waits on the way in.
                let mut half = Vec::new();
                client.encrypt(b"second", &mut half).unwrap();
                let (first, last) = half.split_at(9);
                give(&mut server, first, step);
                let mut answer = Vec::new();
                server.encrypt(b"answer", &mut answer).unwrap();
                assert_eq!(give(&mut client, &answer, step).0, b"answer");
                assert_eq!(give(&mut server, last, step).0, b"second");
            }
        }
    }

    #[test]
    fn close_notify_is_told_once_and_half_close_still_sends() {
        for version in [&TLS12, &TLS13] {
            let (mut server, mut client) = pair(version);
            shake(&mut server, &mut client, 65_536);
            let mut sealed = Vec::new();
            client.encrypt(b"last words", &mut sealed).unwrap();
            client.close_notify(&mut sealed).unwrap();
            let (plain, _, outcome) = give(&mut server, &sealed, 65_536);
            assert_eq!(plain, b"last words");
            assert!(outcome.peer_closed);
            let mut answer = Vec::new();
            server.encrypt(b"heard", &mut answer).unwrap();
            assert_eq!(give(&mut client, &answer, 65_536).0, b"heard");
        }
    }

    #[test]
    fn garbage_is_an_error_with_an_alert_for_the_peer() {
        let (mut server, _) = pair(&TLS13);
        let mut sealed = Vec::new();
        let mut garbage = b"REGISTER sip:example.net SIP/2.0\r\n".to_vec();
        server.process(&mut garbage, &mut Vec::new(), &mut sealed).unwrap_err();
        assert!(sealed.first().is_none_or(|kind| *kind == 21), "an alert or nothing");
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut random = wire::Random::from_u64(7);
        for _ in 0..300 {
            let (mut server, mut client) = pair(&TLS13);
            let mut hello = Vec::new();
            client.process(&mut [], &mut Vec::new(), &mut hello).unwrap();
            for _ in 0..=random.below(4) {
                let at = random.below(hello.len() as u64) as usize;
                hello[at] = random.next_u64() as u8;
            }
            let _ = server.process(&mut hello, &mut Vec::new(), &mut Vec::new());
        }
    }
}
