//! A small MSRP end of its own: it shares no code with the product, so that both cannot err alike.

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// One end of a connection.
#[derive(Debug)]
pub struct End {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The start line and the header lines.
    pub head: String,
    /// What stands between the empty line and the end-line.
    pub body: Vec<u8>,
    /// `$`, `+` or `#`.
    pub flag: char,
}

impl Message {
    /// The transaction id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The method, or the status.
    #[must_use]
    pub fn word(&self) -> &str {
        self.head.lines().next().and_then(|line| line.split(' ').nth(2)).unwrap_or_default()
    }

    /// The value of a header field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl End {
    /// Connects from a certain address.
    ///
    /// # Panics
    /// If that cannot be done.
    #[must_use]
    pub fn connect(from: IpAddr, to: SocketAddr) -> Self {
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&fd, &SocketAddr::new(from, 0)).expect("an address of the loopback");
        connect(&fd, &to).expect("somebody listens");
        Self::over(TcpStream::from(fd))
    }

    /// Over a connection that was accepted.
    ///
    /// # Panics
    /// If the socket takes no options.
    #[must_use]
    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a TCP socket");
        Self { stream, unread: Vec::new() }
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// If the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the connection stands");
    }

    /// The next message; `None` when the peer closed.
    ///
    /// # Panics
    /// If nothing comes for ten seconds.
    pub fn read(&mut self) -> Option<Message> {
        loop {
            if let Some((message, len)) = split(&self.unread) {
                self.unread.drain(..len);
                return Some(message);
            }
            let mut part = [0; 65_536];
            match Read::read(&mut self.stream, &mut part) {
                Ok(0) => return None,
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Ok(count) => self.unread.extend_from_slice(&part[..count]),
                Err(error) => panic!("{error} after {}", self.unread.escape_ascii()),
            }
        }
    }
}

/// A SEND.
#[must_use]
pub fn send(id: &str, to: &str, from: &str, body: Option<&[u8]>) -> Vec<u8> {
    let head = format!("MSRP {id} SEND\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\nMessage-ID: m{id}\r\n");
    let end = format!("-------{id}$\r\n");
    match body {
        None => format!("{head}{end}").into_bytes(),
        Some(body) => {
            let head = format!("{head}Byte-Range: 1-{0}/{0}\r\nContent-Type: text/plain\r\n\r\n", body.len());
            [head.as_bytes(), body, b"\r\n", end.as_bytes()].concat()
        }
    }
}

/// The 200 to a request.
#[must_use]
pub fn ok(request: &Message) -> Vec<u8> {
    let id = request.id();
    let first = |name: &str| {
        let path = request.header(name).unwrap_or_default();
        path.split(' ').next().unwrap_or_default().to_owned()
    };
    let (to, from) = (first("From-Path"), first("To-Path"));
    format!("MSRP {id} 200 OK\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n-------{id}$\r\n").into_bytes()
}

fn split(bytes: &[u8]) -> Option<(Message, usize)> {
    let line = bytes.split(|&b| b == b'\r').next()?;
    let id = line.split(|&b| b == b' ').nth(1)?;
    // An end-line is a line: it follows another one.
    let end = [b"\r\n-------", id].concat();
    let is_end = |w: &[u8]| w.starts_with(&end) && b"$+#".contains(&w[end.len()]) && w.ends_with(b"\r\n");
    let at = 2 + bytes.windows(end.len() + 3).position(is_end)?;
    let end = &end[2..];
    let flag = char::from(*bytes.get(at + end.len())?);
    let text = &bytes[..at];
    let (head, body) = match text.windows(4).position(|w| w == b"\r\n\r\n") {
        Some(gap) => (&text[..gap], text[gap + 4..].strip_suffix(b"\r\n").unwrap_or_default()),
        None => (text, &b""[..]),
    };
    let head = String::from_utf8_lossy(head).into_owned();
    Some((Message { head, body: body.to_vec(), flag }, at + end.len() + 3))
}
