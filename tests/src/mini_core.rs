//! A core of a few lines, for tests that look at single messages: it grants every REGISTER, answers what it is
//! told to answer, and sends requests to the UE.

use lab::strict::{SipMessage, SipWriter};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// A core on one UDP socket.
#[derive(Debug)]
pub struct MiniCore {
    socket: UdpSocket,
}

/// How a request reaches the UE that registered.
#[derive(Clone, Debug)]
pub struct WayToUe {
    /// Where the edge takes it.
    pub edge: SocketAddr,
    /// The contact that was registered.
    pub contact: String,
    /// The Path.
    pub path: String,
}

impl MiniCore {
    /// Opens it at port 5060.
    ///
    /// # Panics
    /// If the address is not free.
    #[must_use]
    pub fn open(address: IpAddr) -> Self {
        let socket = UdpSocket::bind((address, 5060)).expect("the address is this test's own");
        socket.set_read_timeout(Some(crate::PATIENCE)).expect("a timeout");
        Self { socket }
    }

    /// Where it stands.
    ///
    /// # Panics
    /// Never: it is bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    /// Takes the next message.
    ///
    /// # Panics
    /// If none comes, or one that is not well-formed.
    #[must_use]
    pub fn receive(&self) -> (SipMessage, SocketAddr) {
        let mut buffer = [0; 65_536];
        let (length, from) = self.socket.recv_from(&mut buffer).expect("the edge sends something");
        let message = SipMessage::parse(&buffer[..length]).unwrap_or_else(|e| panic!("from the edge: {e}"));
        (message, from)
    }

    /// Whether nothing comes for so long.
    ///
    /// # Panics
    /// If the socket fails.
    #[must_use]
    pub fn is_silent_for(&self, time: Duration) -> bool {
        self.socket.set_read_timeout(Some(time)).expect("a timeout");
        let silent = self.socket.recv(&mut [0; 65_536]).is_err();
        self.socket.set_read_timeout(Some(crate::PATIENCE)).expect("a timeout");
        silent
    }

    /// Answers a request.
    ///
    /// # Panics
    /// If the socket fails.
    pub fn answer(&self, request: &SipMessage, to: SocketAddr, status: u16) {
        let bytes = SipWriter::response(request, status, "core").finish();
        self.socket.send_to(&bytes, to).expect("loopback takes it");
    }

    /// Grants the REGISTER that comes next, for this identity.
    #[must_use]
    pub fn register(&self, identity: &str) -> WayToUe {
        let (request, edge) = self.receive();
        assert_eq!(request.method(), "REGISTER");
        let address = self.address();
        let bytes = SipWriter::response(&request, 200, "core")
            .field("Service-Route", &format!("<sip:orig@{address};lr>"))
            .field("P-Associated-URI", &format!("<{identity}>"))
            .fields("Contact", request.all("Contact"))
            .fields("Path", request.all("Path"))
            .finish();
        self.socket.send_to(&bytes, edge).expect("loopback takes it");
        let uri = |name| request.name_addrs(name).into_iter().next().map(|n| n.uri).unwrap_or_default();
        WayToUe { edge, contact: uri("Contact"), path: uri("Path") }
    }

    /// Sends a MESSAGE of this size to the UE.
    ///
    /// # Panics
    /// If the socket fails.
    pub fn write_to(&self, ue: &WayToUe, call_id: &str, size: usize) {
        let address = self.address();
        let bytes = SipWriter::request("MESSAGE", &ue.contact)
            .field("Via", &format!("SIP/2.0/UDP {address};branch=z9hG4bK{call_id};rport"))
            .field("Route", &format!("<{}>", ue.path))
            .field("From", "<sip:friend@ims.example.net>;tag=1")
            .field("To", "<sip:alice@ims.example.net>")
            .field("Call-ID", call_id)
            .field("CSeq", "1 MESSAGE")
            .field("Max-Forwards", "70")
            .finish_with("text/plain", &vec![b'x'; size]);
        self.socket.send_to(&bytes, ue.edge).expect("loopback takes it");
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// If the socket fails.
    pub fn send(&self, bytes: &[u8], to: SocketAddr) {
        self.socket.send_to(bytes, to).expect("loopback takes it");
    }
}
