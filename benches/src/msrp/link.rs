//! The two ends of one way through a relay: a UE, over TCP or TLS, and the core end.

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

/// A UE's connection; never blocks once it is open.
#[derive(Debug)]
pub struct Ue {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Ue {
    /// Connects, with a TLS handshake if there is a configuration for it.
    ///
    /// # Errors
    /// If that fails.
    pub fn connect(relay: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let mut socket = TcpStream::connect(relay)?;
        socket.set_nodelay(true)?;
        let tls = match tls {
            None => None,
            Some(config) => {
                let name = ServerName::from(relay.ip());
                let mut connection =
                    ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                while connection.is_handshaking() {
                    connection.complete_io(&mut socket)?;
                }
                Some(Box::new(connection))
            }
        };
        socket.set_nonblocking(true)?;
        Ok(Self { socket, tls })
    }

    /// The socket, to poll.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether ciphertext waits for the socket.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Writes what fits; how much that was.
    ///
    /// # Errors
    /// If the connection failed.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return or_zero(self.socket.write(bytes)) };
        let taken = tls.writer().write(bytes)?;
        while tls.wants_write() {
            if or_zero(tls.write_tls(&mut self.socket))? == 0 {
                break;
            }
        }
        Ok(taken)
    }

    /// Reads what is there; 0 if that is nothing.
    ///
    /// # Errors
    /// If the connection failed or ended.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return read_some(&mut self.socket, buffer) };
        loop {
            match tls.reader().read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            match tls.read_tls(&mut self.socket) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => tls.process_new_packets().map_err(io::Error::other)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                Err(error) => return Err(error),
            };
        }
    }
}

/// Reads what is there; 0 if that is nothing.
///
/// # Errors
/// If the connection failed or ended.
pub fn read_some(socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    match socket.read(buffer) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

/// Nothing instead of "would block".
///
/// # Errors
/// All others.
pub fn or_zero(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

/// Writes a fresh certificate for the loopback into `directory`, in the forms the relays want.
///
/// # Errors
/// If a file cannot be written.
pub fn write_certificate(directory: &Path) -> io::Result<()> {
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).map_err(io::Error::other)?;
    let (certificate, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
    std::fs::create_dir_all(directory)?;
    std::fs::write(directory.join("both.pem"), format!("{certificate}{key}"))?;
    std::fs::write(directory.join("cert.pem"), certificate)?;
    std::fs::write(directory.join("key.pem"), key)
}

/// What UEs speak: TLS 1.3 with AES-128-GCM only, so that every relay uses the same cipher.
///
/// # Errors
/// If the certificate cannot be read.
pub fn tls_client(directory: &Path) -> io::Result<Arc<ClientConfig>> {
    let certificate = CertificateDer::from_pem_file(directory.join("cert.pem")).map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(io::Error::other)?;
    let provider = rustls::crypto::CryptoProvider {
        cipher_suites: vec![rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
        ..rustls::crypto::ring::default_provider()
    };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
