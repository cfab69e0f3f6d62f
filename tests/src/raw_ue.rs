//! A UE on one TCP connection, for tests that look at single messages.

use crate::edge::Edge;
use crate::mini_core::{MiniCore, WayToUe};
use lab::strict::{SipMessage, SipWriter};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Its identity.
pub const IDENTITY: &str = "sip:alice@ims.example.net";

/// A UE on one TCP connection, byte by byte under the test's control.
#[derive(Debug)]
pub struct RawUe {
    stream: TcpStream,
    inbox: Vec<u8>,
    sent: u32,
}

impl RawUe {
    /// Connects.
    ///
    /// # Panics
    /// If the edge does not accept.
    #[must_use]
    pub fn connected(edge: &Edge) -> Self {
        let stream = TcpStream::connect(edge.access("tcp")).expect("the edge accepts");
        stream.set_read_timeout(Some(crate::PATIENCE)).expect("a timeout");
        Self { stream, inbox: Vec::new(), sent: 0 }
    }

    /// Connects and registers with a core that grants everything.
    ///
    /// # Panics
    /// If the registration is not granted.
    #[must_use]
    pub fn registered(edge: &Edge, core: &MiniCore) -> (Self, WayToUe) {
        let mut ue = Self::connected(edge);
        ue.send("REGISTER", "sip:ims.example.net", "");
        let way = core.register(IDENTITY);
        assert_eq!(ue.receive().status(), 200);
        (ue, way)
    }

    /// Sends a request outside any dialog.
    ///
    /// # Panics
    /// If the connection is gone.
    pub fn send(&mut self, method: &str, uri: &str, body: &str) {
        self.sent += 1;
        let n = self.sent;
        let local = self.stream.local_addr().expect("connected");
        let head = SipWriter::request(method, uri)
            .field("Via", &format!("SIP/2.0/TCP {local};branch=z9hG4bKraw{n}x{};rport", local.port()))
            .field("From", &format!("<{IDENTITY}>;tag=raw"))
            .field("To", &format!("<{}>", if method == "REGISTER" { IDENTITY } else { uri }))
            .field("Call-ID", &format!("raw{n}@{local}"))
            .field("CSeq", &format!("{n} {method}"))
            .field("Contact", &format!("<sip:alice@{local};transport=tcp>;expires=3600"))
            .field("Max-Forwards", "70");
        let bytes =
            if body.is_empty() { head.finish() } else { head.finish_with("text/plain", body.as_bytes()) };
        self.stream.write_all(&bytes).expect("the edge reads");
    }

    /// The next message; 100 Trying is passed over.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn receive(&mut self) -> SipMessage {
        self.try_receive().expect("the edge sends something before it closes")
    }

    /// The next message, or that the edge has closed.
    ///
    /// # Panics
    /// If neither happens, or if a message is not well-formed.
    #[must_use]
    pub fn try_receive(&mut self) -> Option<SipMessage> {
        loop {
            let head = self.inbox.windows(4).position(|w| w == b"\r\n\r\n");
            if let Some(head) = head {
                let text = String::from_utf8_lossy(&self.inbox[..head]).into_owned();
                let length = text
                    .lines()
                    .find_map(|l| l.strip_prefix("Content-Length:")?.trim().parse::<usize>().ok());
                let end = head + 4 + length.unwrap_or(0);
                if self.inbox.len() >= end {
                    let bytes: Vec<u8> = self.inbox.drain(..end).collect();
                    let message = SipMessage::parse(&bytes).unwrap_or_else(|e| panic!("from the edge: {e}"));
                    if message.status() == 100 {
                        continue;
                    }
                    return Some(message);
                }
            }
            let mut buffer = [0; 16_384];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(n) => self.inbox.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return None,
                Err(e) => panic!("the edge neither answers nor closes: {e}"),
            }
        }
    }

    /// Says that nothing more will be sent (FIN).
    ///
    /// # Panics
    /// If the connection is gone.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("connected");
    }

    /// Closes with a reset: whatever is under way is gone.
    ///
    /// # Panics
    /// Never: it is a TCP socket.
    pub fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).expect("a TCP socket");
    }
}
