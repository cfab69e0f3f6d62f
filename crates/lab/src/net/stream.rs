//! One connection: bytes in both directions at once, through TLS if asked.

use super::{dial, tls};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use rustls::ClientConnection;
use std::io::{self, Read as _, Write as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use wire::{CloseReason, Transport};

/// What happened to a connection.
pub(super) enum News {
    Up { local: SocketAddr, peer: SocketAddr },
    Bytes(Vec<u8>),
    Down(CloseReason),
}

/// How a connection comes to be.
pub(super) enum Opening {
    Accepted(TcpStream),
    Dial(Transport, SocketAddr),
}

/// What the task of a connection works with.
pub(super) struct Work {
    pub(super) ip: IpAddr,
    pub(super) tls: Option<tls::Trust>,
    /// What is to be sent; its end means close.
    pub(super) queued: mpsc::UnboundedReceiver<Vec<u8>>,
    pub(super) tell: Box<dyn Fn(News) + Send + Sync>,
}

const READ_BYTES: usize = 65_536;
/// Above this nothing more is taken from the queue.
const PENDING_BYTES_MAX: usize = 1 << 20;
const OPENING_MAX: Duration = Duration::from_secs(10);

impl Work {
    pub(super) async fn run(mut self, opening: Opening) {
        let opened = tokio::time::timeout(OPENING_MAX, self.open(opening)).await;
        let reason = match opened {
            Ok(Ok((tcp, mut codec))) => match self.carry(&tcp, &mut codec).await {
                Ok(reason) => {
                    let mut tcp = tcp;
                    // closing in good order; the peer may be gone already
                    let _ = tcp.shutdown().await;
                    reason
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => CloseReason::TlsFailed,
                Err(_) => CloseReason::Failed,
            },
            Ok(Err(_)) | Err(_) => CloseReason::Failed,
        };
        (self.tell)(News::Down(reason));
    }

    async fn open(&self, opening: Opening) -> io::Result<(TcpStream, Codec)> {
        let (tcp, codec) = match opening {
            Opening::Accepted(tcp) => (tcp, Codec::Plain),
            Opening::Dial(Transport::Tls, peer) => {
                let trust = self.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?;
                (dial(self.ip, peer).await?, Codec::Tls(Box::new(trust.connect()?)))
            }
            Opening::Dial(_, peer) => (dial(self.ip, peer).await?, Codec::Plain),
        };
        tcp.set_nodelay(true)?;
        Ok((tcp, codec))
    }

    async fn carry(&mut self, tcp: &TcpStream, codec: &mut Codec) -> io::Result<CloseReason> {
        let mut pending = Vec::new();
        let mut buffer = vec![0; READ_BYTES];
        let mut up = false;
        let mut closing = false;
        codec.flush(&mut pending)?;
        loop {
            if !up && codec.is_ready() {
                up = true;
                (self.tell)(News::Up { local: tcp.local_addr()?, peer: tcp.peer_addr()? });
            }
            if closing && pending.is_empty() {
                return Ok(CloseReason::Local);
            }
            let takes_more = up && !closing && pending.len() < PENDING_BYTES_MAX;
            tokio::select! {
                ready = tcp.readable() => {
                    ready?;
                    match tcp.try_read(&mut buffer) {
                        Ok(0) => return Ok(CloseReason::PeerClosed),
                        Ok(n) => {
                            let plain = codec.take(buffer.get(..n).unwrap_or_default())?;
                            codec.flush(&mut pending)?;
                            if !up && codec.is_ready() {
                                up = true;
                                (self.tell)(News::Up { local: tcp.local_addr()?, peer: tcp.peer_addr()? });
                            }
                            if !plain.is_empty() {
                                (self.tell)(News::Bytes(plain));
                            }
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
                ready = tcp.writable(), if !pending.is_empty() => {
                    ready?;
                    match tcp.try_write(&pending) {
                        Ok(n) => drop(pending.drain(..n)),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
                item = self.queued.recv(), if takes_more => {
                    match item {
                        Some(bytes) => codec.give(&bytes, &mut pending)?,
                        None => {
                            closing = true;
                            codec.finish(&mut pending)?;
                        }
                    }
                }
            }
        }
    }
}

/// Between the plain bytes of the node and the bytes on the wire.
enum Codec {
    Plain,
    Tls(Box<ClientConnection>),
}

impl Codec {
    fn is_ready(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Tls(tls) => !tls.is_handshaking(),
        }
    }

    /// Bytes from the wire; returns the plain ones.
    fn take(&mut self, mut bytes: &[u8]) -> io::Result<Vec<u8>> {
        let Self::Tls(tls) = self else {
            return Ok(bytes.to_vec());
        };
        let mut plain = Vec::new();
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes)?;
            let state = tls
                .process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let start = plain.len();
            plain.resize(start + state.plaintext_bytes_to_read(), 0);
            if let Some(room) = plain.get_mut(start..) {
                tls.reader().read_exact(room)?;
            }
        }
        Ok(plain)
    }

    /// Plain bytes from the node.
    fn give(&mut self, bytes: &[u8], pending: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Plain => pending.extend_from_slice(bytes),
            Self::Tls(tls) => {
                // in pieces, because rustls caps what it buffers
                for part in bytes.chunks(READ_BYTES / 4) {
                    tls.writer().write_all(part)?;
                    while tls.wants_write() {
                        tls.write_tls(pending)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self, pending: &mut Vec<u8>) -> io::Result<()> {
        if let Self::Tls(tls) = self {
            while tls.wants_write() {
                tls.write_tls(pending)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, pending: &mut Vec<u8>) -> io::Result<()> {
        if let Self::Tls(tls) = self {
            tls.send_close_notify();
        }
        self.flush(pending)
    }
}
