//! A strict SIP reader: RFC 3261 §7 and §25 without tolerance.

use super::uri::{NameAddr, param, split_host_port, split_outside_quotes};

/// One SIP message, taken apart and owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipMessage {
    /// Request line or status line.
    pub start: Start,
    /// Names as they came and trimmed values, in order.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A request.
    Request {
        /// The method.
        method: String,
        /// The Request-URI.
        uri: String,
    },
    /// A response.
    Response {
        /// Its code.
        status: u16,
        /// Its phrase.
        reason: String,
    },
}

/// One Via.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// `UDP`, `TCP`, `TLS`.
    pub transport: String,
    /// The host of the sent-by.
    pub host: String,
    /// The port of the sent-by.
    pub port: Option<u16>,
    /// With the leading `;`.
    pub params: String,
}

impl Via {
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("SIP/2.0/")?;
        let (transport, rest) = rest.split_once(' ')?;
        let end = rest.find(';').unwrap_or(rest.len());
        let (sent_by, params) = rest.split_at(end);
        let (host, port) = split_host_port(sent_by.trim())?;
        (!host.is_empty()).then(|| Self {
            transport: transport.to_owned(),
            host: host.to_owned(),
            port,
            params: params.to_owned(),
        })
    }

    /// A parameter; `Some("")` for one without value.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        param(&self.params, name)
    }

    /// The branch; empty if there is none.
    #[must_use]
    pub fn branch(&self) -> &str {
        self.param("branch").unwrap_or_default()
    }

    /// `host:port`, 5060 (5061 for TLS) when no port is given.
    #[must_use]
    pub fn sent_by(&self) -> String {
        let default = if self.transport.eq_ignore_ascii_case("TLS") { 5061 } else { 5060 };
        format!("{}:{}", self.host, self.port.unwrap_or(default))
    }
}

impl SipMessage {
    /// Reads exactly one message.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let end = find(bytes, b"\r\n\r\n").ok_or("no empty line after the head")?;
        let head = bytes.get(..end).unwrap_or_default();
        let body = bytes.get(end + 4..).unwrap_or_default();
        let head = core::str::from_utf8(head).map_err(|_| "the head is not UTF-8")?;
        let mut lines = head.split("\r\n");
        let start = Start::parse(lines.next().unwrap_or_default())?;
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.contains(['\r', '\n']) {
                return Err(format!("a bare CR or LF in {line:?}"));
            }
            if let Some(folded) = line.strip_prefix([' ', '\t']) {
                let last = fields.last_mut().ok_or("a fold before any header")?;
                last.1.push(' ');
                last.1.push_str(folded.trim());
                continue;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| format!("no colon in {line:?}"))?;
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(format!("{name:?} is no header name"));
            }
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        let message = Self { start, fields, body: body.to_vec() };
        if message.content_length()?.is_some_and(|n| n != body.len()) {
            return Err(format!(
                "Content-Length {:?} but {} octets of body",
                message.first("Content-Length"),
                body.len()
            ));
        }
        Ok(message)
    }

    /// Whether it is a request.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// The method of the request line, or of CSeq in a response.
    #[must_use]
    pub fn method(&self) -> &str {
        match &self.start {
            Start::Request { method, .. } => method,
            Start::Response { .. } => self.cseq().map_or("", |(_, method)| method),
        }
    }

    /// The Request-URI; empty for a response.
    #[must_use]
    pub fn uri(&self) -> &str {
        match &self.start {
            Start::Request { uri, .. } => uri,
            Start::Response { .. } => "",
        }
    }

    /// The status; 0 for a request.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self.start {
            Start::Request { .. } => 0,
            Start::Response { status, .. } => status,
        }
    }

    /// Values of every field of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The value of the first field of this name.
    #[must_use]
    pub fn first<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Whether a field of this name is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// The comma-separated elements of every field of this name.
    #[must_use]
    pub fn list<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        self.all(name).flat_map(|v| split_outside_quotes(v, ',')).collect()
    }

    /// Every Via, topmost first; empty if one cannot be read.
    #[must_use]
    pub fn vias(&self) -> Vec<Via> {
        let parsed: Option<Vec<Via>> = self.list("Via").into_iter().map(Via::parse).collect();
        parsed.unwrap_or_default()
    }

    /// Number and method of CSeq.
    #[must_use]
    pub fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.first("CSeq")?.split_once(' ')?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// The From.
    #[must_use]
    pub fn from(&self) -> Option<NameAddr> {
        self.first("From").and_then(NameAddr::parse)
    }

    /// The To.
    #[must_use]
    pub fn to(&self) -> Option<NameAddr> {
        self.first("To").and_then(NameAddr::parse)
    }

    /// The Call-ID; empty if there is none.
    #[must_use]
    pub fn call_id(&self) -> &str {
        self.first("Call-ID").unwrap_or_default()
    }

    /// Elements of a header as name-addrs; those that cannot be read are left out.
    #[must_use]
    pub fn name_addrs(&self, name: &str) -> Vec<NameAddr> {
        self.list(name).into_iter().filter_map(NameAddr::parse).collect()
    }

    fn content_length(&self) -> Result<Option<usize>, String> {
        let mut seen = None;
        for value in self.all("Content-Length") {
            let n: usize = value.parse().map_err(|_| format!("Content-Length {value:?}"))?;
            if seen.is_some_and(|s| s != n) {
                return Err("two different Content-Lengths".to_owned());
            }
            seen = Some(n);
        }
        Ok(seen)
    }
}

impl Start {
    fn parse(line: &str) -> Result<Self, String> {
        let wrong = || format!("start line {line:?}");
        if let Some(rest) = line.strip_prefix("SIP/2.0 ") {
            let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
            let status: u16 = status.parse().map_err(|_| wrong())?;
            if !(100..700).contains(&status) {
                return Err(wrong());
            }
            let reason = reason.to_owned();
            return Ok(Self::Response { status, reason });
        }
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [method, uri, "SIP/2.0"]
                if !method.is_empty() && method.bytes().all(is_token) && !uri.is_empty() =>
            {
                Ok(Self::Request { method: method.to_owned(), uri: uri.to_owned() })
            }
            _ => Err(wrong()),
        }
    }
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b)
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

/// Cuts a stream into messages by Content-Length.
#[derive(Debug, Default)]
pub struct SipFramer {
    pending: Vec<u8>,
}

/// What a stream holds next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framed {
    /// One whole message.
    Message(Vec<u8>),
    /// CRLF CRLF: wants a pong (RFC 5626 §4.4.1).
    Ping,
    /// CRLF: a pong.
    Pong,
}

impl SipFramer {
    /// Takes in what the stream brought.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next piece, if it is whole.
    ///
    /// # Errors
    /// When the stream cannot be cut any further, in words.
    pub fn next_piece(&mut self) -> Result<Option<Framed>, String> {
        if self.pending.starts_with(b"\r\n\r\n") {
            self.pending.drain(..4);
            return Ok(Some(Framed::Ping));
        }
        if let [b'\r', b'\n', next, ..] = self.pending[..]
            && next != b'\r'
        {
            self.pending.drain(..2);
            return Ok(Some(Framed::Pong));
        }
        if self.pending == b"\r\n" {
            self.pending.clear();
            return Ok(Some(Framed::Pong));
        }
        let Some(end) = find(&self.pending, b"\r\n\r\n") else {
            if self.pending.len() > HEAD_BYTES_MAX {
                return Err("a head without end".to_owned());
            }
            return Ok(None);
        };
        let head = String::from_utf8_lossy(self.pending.get(..end).unwrap_or_default()).into_owned();
        let length = head
            .split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| matches!(name.trim().to_ascii_lowercase().as_str(), "content-length" | "l"))
            .and_then(|(_, value)| value.trim().parse::<usize>().ok())
            .ok_or_else(|| format!("no Content-Length on a stream: {}", first_line(&head)))?;
        let whole = (end + 4).saturating_add(length);
        if self.pending.len() < whole {
            return Ok(None);
        }
        Ok(Some(Framed::Message(self.pending.drain(..whole).collect())))
    }
}

fn first_line(head: &str) -> &str {
    head.split("\r\n").next().unwrap_or_default()
}

const HEAD_BYTES_MAX: usize = 65_536;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MESSAGE: &str = "MESSAGE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bK1, \
        SIP/2.0/TLS h;branch=z9hG4bK2\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: x\r\n\
        CSeq: 7 MESSAGE\r\nContent-Length: 2\r\n\r\nhi";

    #[test]
    fn a_message_is_taken_apart() {
        let m = SipMessage::parse(MESSAGE.as_bytes()).unwrap();
        assert_eq!((m.method(), m.uri(), m.cseq()), ("MESSAGE", "sip:b@h", Some((7, "MESSAGE"))));
        let vias = m.vias();
        assert_eq!(vias.len(), 2);
        assert_eq!(vias[0].param("rport"), Some(""));
        assert_eq!((vias[0].branch(), vias[1].sent_by().as_str()), ("z9hG4bK1", "h:5061"));
        assert_eq!(m.from().unwrap().tag(), Some("1"));
        assert_eq!(m.body, b"hi");
    }

    #[test]
    fn strict_means_strict() {
        for (from, to) in [
            ("Content-Length: 2", "Content-Length: 3"),
            ("Content-Length: 2", "Content-Length: x"),
            ("Content-Length: 2", "Content-Length: 2\r\nContent-Length: 3"),
            ("Call-ID: x", "Call-ID x"),
            ("Call-ID: x", "Call ID: x"),
            ("Call-ID: x", "Call-ID: x\nY: z"),
            ("MESSAGE sip:b@h", "MESSAGE sip: b@h"),
            (" SIP/2.0\r\n", " SIP/3.0\r\n"),
        ] {
            let text = MESSAGE.replacen(from, to, 1);
            assert!(SipMessage::parse(text.as_bytes()).is_err(), "{to}");
        }
    }

    #[test]
    fn a_stream_is_cut_the_same_way_however_it_arrives() {
        let stream = format!("{MESSAGE}\r\n\r\n{MESSAGE}\r\n{MESSAGE}");
        for step in [1, 2, 3, 7, 100, stream.len()] {
            let mut framer = SipFramer::default();
            let mut messages = 0;
            for part in stream.as_bytes().chunks(step) {
                framer.push(part);
                while let Some(piece) = framer.next_piece().unwrap() {
                    messages +=
                        usize::from(matches!(piece, Framed::Message(ref m) if m == MESSAGE.as_bytes()));
                }
            }
            assert_eq!(messages, 3, "step {step}");
        }
    }
}
