//! A TCP connection, with or without TLS, that messages are written to and framed from.

use mio::net::TcpStream;
use rustls::ClientConnection;
use sip::Limits;
use sip::frame::{Frame, Framer};
use std::io::{self, Read, Write};

/// Output that a peer does not take is kept up to here; then the connection is given up.
const PENDING_MAX: usize = 1 << 20;

/// One connection.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    framer: Framer,
    pending: Vec<u8>,
}

/// A frame that came, without keep-alives.
pub(super) enum Incoming<'a> {
    Message(&'a [u8]),
    Ping,
}

impl Stream {
    pub(super) fn new(socket: TcpStream, tls: Option<ClientConnection>) -> Self {
        Self { socket, tls: tls.map(Box::new), framer: Framer::new(), pending: Vec::new() }
    }

    /// Whether messages can be sent: connected, and for TLS past the handshake.
    pub(super) fn is_ready(&self) -> bool {
        self.socket.peer_addr().is_ok() && self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking())
    }

    /// Writes as much as goes, keeps the rest.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(bytes)?;
            return self.flush();
        }
        let mut rest = bytes;
        while self.pending.is_empty() && !rest.is_empty() {
            match self.socket.write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if self.pending.len() + rest.len() > PENDING_MAX {
            return Err(io::Error::other("the peer does not read"));
        }
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    /// Writes what is left over.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let result = match &mut self.tls {
            Some(tls) => {
                while tls.wants_write() {
                    match tls.write_tls(&mut self.socket) {
                        Ok(_) => {}
                        Err(error) => return ignore_block(error),
                    }
                }
                return Ok(());
            }
            None if self.pending.is_empty() => return Ok(()),
            None => self.socket.write(&self.pending),
        };
        match result {
            Ok(count) => {
                self.pending.drain(..count.min(self.pending.len()));
                Ok(())
            }
            Err(error) => ignore_block(error),
        }
    }

    /// Reads once and hands out what came; `Ok(false)` when nothing more is there.
    pub(super) fn read(&mut self, buffer: &mut [u8], mut take: impl FnMut(Incoming<'_>)) -> io::Result<bool> {
        if let Some(tls) = &mut self.tls {
            match tls.read_tls(&mut self.socket) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) => return ignore_block(error).map(|()| false),
            }
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            let mut left = state.plaintext_bytes_to_read();
            while left > 0 {
                let count = tls.reader().read(buffer)?;
                left = left.saturating_sub(count);
                deliver(&mut self.framer, buffer.get(..count).unwrap_or_default(), &mut take)?;
            }
            self.flush()?;
            return Ok(true);
        }
        match self.socket.read(buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                deliver(&mut self.framer, buffer.get(..count).unwrap_or_default(), &mut take)?;
                // A short read means that the socket is empty: the next event says when it is not.
                Ok(count == buffer.len())
            }
            Err(error) => ignore_block(error).map(|()| false),
        }
    }
}

fn deliver(framer: &mut Framer, mut input: &[u8], take: &mut impl FnMut(Incoming<'_>)) -> io::Result<()> {
    loop {
        match framer.next(&mut input, &Limits::default()) {
            Frame::Message(bytes) => take(Incoming::Message(bytes)),
            Frame::Ping => take(Incoming::Ping),
            Frame::Pong => {}
            Frame::Partial => return Ok(()),
            Frame::Broken(cause, _) => return Err(io::Error::other(cause.text())),
        }
    }
}

fn ignore_block(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::WouldBlock { Ok(()) } else { Err(error) }
}
