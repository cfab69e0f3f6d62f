//! A strict MSRP reader and writer (RFC 4975 §9), which holds one whole chunk at a time.

use super::sip::find;
use super::uri::split_host_port;
use core::net::{IpAddr, SocketAddr};
use wire::Transport;

/// One request or response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MsrpFrame {
    /// The transaction id.
    pub id: String,
    /// `SEND`, `REPORT` …; empty for a response.
    pub method: String,
    /// The code of a response; 0 for a request.
    pub status: u16,
    /// Headers as they came, in order.
    pub fields: Vec<(String, String)>,
    /// `None` when there is not even the empty line of a body.
    pub body: Option<Vec<u8>>,
    /// `$`, `+` or `#`.
    pub flag: u8,
}

impl MsrpFrame {
    /// The value of the first header of this name (RFC 4975 §9: names are case-insensitive in ABNF).
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        field.map(|(_, v)| v.as_str())
    }

    /// The To-Path; the reader accepts no frame without it.
    #[must_use]
    pub fn to_path(&self) -> &str {
        self.first("To-Path").unwrap_or_default()
    }

    /// The From-Path; the reader accepts no frame without it.
    #[must_use]
    pub fn from_path(&self) -> &str {
        self.first("From-Path").unwrap_or_default()
    }

    /// Start, end and total of Byte-Range; `None` for a `*`.
    #[must_use]
    pub fn byte_range(&self) -> Option<(u64, Option<u64>, Option<u64>)> {
        let (range, total) = self.first("Byte-Range")?.split_once('/')?;
        let (start, end) = range.split_once('-')?;
        let number = |text: &str| {
            if text == "*" { Some(None) } else { text.parse().ok().map(Some) }
        };
        Some((start.parse().ok()?, number(end)?, number(total)?))
    }

    /// Writes it.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = match self.status {
            0 => format!("MSRP {} {}\r\n", self.id, self.method),
            200 => format!("MSRP {} 200 OK\r\n", self.id),
            status => format!("MSRP {} {status}\r\n", self.id),
        };
        for (name, value) in &self.fields {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut out = out.into_bytes();
        if let Some(body) = &self.body {
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(body);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("-------{}", self.id).as_bytes());
        out.push(self.flag);
        out.extend_from_slice(b"\r\n");
        out
    }
}

/// Cuts a stream into frames.
#[derive(Debug, Default)]
pub struct MsrpReader {
    pending: Vec<u8>,
    /// No end-line of the frame under way ends before this place.
    scanned: usize,
}

impl MsrpReader {
    /// Takes in what the stream brought.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next frame, if it is whole.
    ///
    /// # Errors
    /// When the stream is not MSRP, in words.
    pub fn next_frame(&mut self) -> Result<Option<MsrpFrame>, String> {
        let Some(line_end) =
            find(self.pending.get(..LINE_BYTES_MAX.min(self.pending.len())).unwrap_or_default(), b"\r\n")
        else {
            if self.pending.len() >= LINE_BYTES_MAX || !self.is_start() {
                return Err(format!("no MSRP start line in {:?}", excerpt(&self.pending)));
            }
            return Ok(None);
        };
        let line = self.pending.get(..line_end).unwrap_or_default().to_vec();
        let line = String::from_utf8(line).map_err(|_| "an MSRP start line is not UTF-8")?;
        let (id, rest) = start_line(&line).ok_or_else(|| format!("MSRP start line {line:?}"))?;
        let marker = format!("\r\n-------{id}");
        let from = self.scanned.max(line_end);
        let Some((end, flag)) = self.end_line(from, marker.as_bytes()) else {
            self.scanned = self.pending.len().saturating_sub(marker.len() + 3).max(line_end);
            if self.pending.len() > CHUNK_BYTES_MAX {
                return Err(format!("chunk {id} has no end-line"));
            }
            return Ok(None);
        };
        let inside = self.pending.get(line_end..end).unwrap_or_default();
        let frame = frame(id, rest, inside, flag)?;
        self.pending.drain(..end + marker.len() + 3);
        self.scanned = 0;
        Ok(Some(frame))
    }

    fn is_start(&self) -> bool {
        let n = self.pending.len().min(5);
        self.pending.get(..n) == b"MSRP ".get(..n)
    }

    fn end_line(&self, mut from: usize, marker: &[u8]) -> Option<(usize, u8)> {
        loop {
            let at = from + find(self.pending.get(from..)?, marker)?;
            match self.pending.get(at + marker.len()..at + marker.len() + 3) {
                Some(&[flag @ (b'$' | b'+' | b'#'), b'\r', b'\n']) => return Some((at, flag)),
                Some(_) => from = at + 1,
                None => return None,
            }
        }
    }
}

fn start_line(line: &str) -> Option<(&str, &str)> {
    let (id, rest) = line.strip_prefix("MSRP ")?.split_once(' ')?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || b".-+%=".contains(&b);
    // R75: 4 to 32 characters
    ((4..=32).contains(&id.len()) && id.bytes().all(legal)).then_some((id, rest))
}

/// `inside` reaches from the CRLF of the start line to the CRLF before the end-line.
fn frame(id: &str, rest: &str, inside: &[u8], flag: u8) -> Result<MsrpFrame, String> {
    let (head, body) = match find(inside, b"\r\n\r\n") {
        Some(at) => (inside.get(..at), Some(inside.get(at + 4..).unwrap_or_default().to_vec())),
        // an empty body: head CRLF CRLF end-line, where the last CRLF belongs to the end-line
        None if inside.ends_with(b"\r\n") && inside.len() > 2 => {
            (inside.get(..inside.len() - 2), Some(Vec::new()))
        }
        None => (Some(inside), None),
    };
    let head = core::str::from_utf8(head.unwrap_or_default()).map_err(|_| "an MSRP head is not UTF-8")?;
    let mut fields = Vec::new();
    for line in head.split("\r\n").skip(1) {
        let (name, value) = line.split_once(": ").ok_or_else(|| format!("MSRP header {line:?}"))?;
        fields.push((name.to_owned(), value.to_owned()));
    }
    let code = rest.split(' ').next().unwrap_or_default();
    let status = if code.len() == 3 { code.parse().unwrap_or(0) } else { 0 };
    let frame = MsrpFrame {
        id: id.to_owned(),
        method: if status == 0 { rest.to_owned() } else { String::new() },
        status,
        fields,
        body,
        flag,
    };
    // RFC 4975 §7.1: To-Path first, From-Path second
    let names: Vec<&str> = frame.fields.iter().take(2).map(|(n, _)| n.as_str()).collect();
    if names != ["To-Path", "From-Path"] {
        return Err(format!("MSRP {id} does not begin with To-Path and From-Path but {names:?}"));
    }
    Ok(frame)
}

fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..40).unwrap_or(bytes)).into_owned()
}

const LINE_BYTES_MAX: usize = 256;
/// The lab sends chunks of at most 64 KiB; anything much larger is not ours.
const CHUNK_BYTES_MAX: usize = 1 << 20;

/// An MSRP URI taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MsrpUri {
    /// `msrp` is TCP, `msrps` is TLS.
    pub transport: Transport,
    /// Host and port, when the host is an address.
    pub address: Option<SocketAddr>,
    /// The session id.
    pub session: String,
}

impl MsrpUri {
    /// Reads `msrp://host:port/session;tcp`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let transport = match scheme {
            "msrp" => Transport::Tcp,
            "msrps" => Transport::Tls,
            _ => return None,
        };
        let (place, rest) = rest.split_once('/')?;
        let (session, params) = rest.split_once(';')?;
        let (host, port) = split_host_port(place)?;
        let ip: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let legal = params.split(';').next() == Some("tcp") && !session.is_empty() && !host.is_empty();
        legal.then(|| Self {
            transport,
            address: ip.zip(port).map(|(ip, port)| SocketAddr::new(ip, port)),
            session: session.to_owned(),
        })
    }

    /// Writes the URI of a session at `address`.
    #[must_use]
    pub fn write(transport: Transport, address: SocketAddr, session: &str) -> String {
        let scheme = if transport == Transport::Tls { "msrps" } else { "msrp" };
        format!("{scheme}://{address}/{session};tcp")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn send(body: Option<&[u8]>, flag: u8) -> MsrpFrame {
        MsrpFrame {
            id: "msrprequest4951".to_owned(),
            method: "SEND".to_owned(),
            fields: vec![
                ("To-Path".to_owned(), "msrp://182.3.1.7:40410/hwK3;tcp".to_owned()),
                ("From-Path".to_owned(), "msrp://182.1.1.203:10110/10110;tcp".to_owned()),
                ("Byte-Range".to_owned(), "1-*/294".to_owned()),
            ],
            body: body.map(<[u8]>::to_vec),
            flag,
            ..MsrpFrame::default()
        }
    }

    #[test]
    fn frames_survive_any_split() {
        let frames = [
            send(Some(b"hello"), b'+'),
            send(Some(b""), b'$'),
            send(None, b'$'),
            send(Some(b"-------msrprequest4951\r\n-------msrprequest4951!\r\n\r\n"), b'#'),
            MsrpFrame { status: 200, method: String::new(), body: None, ..send(None, b'$') },
        ];
        let stream: Vec<u8> = frames.iter().flat_map(MsrpFrame::write).collect();
        for step in [1, 2, 5, 64, stream.len()] {
            let mut reader = MsrpReader::default();
            let mut seen = Vec::new();
            for part in stream.chunks(step) {
                reader.push(part);
                while let Some(frame) = reader.next_frame().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, frames, "step {step}");
        }
        assert_eq!(frames[0].byte_range(), Some((1, None, Some(294))));
    }

    #[test]
    fn strict_means_strict() {
        let good = String::from_utf8(send(Some(b"x"), b'$').write()).unwrap();
        for (from, to) in [
            ("MSRP msrp", "MSRQ msrp"),
            ("MSRP msrprequest4951", "MSRP x"),
            ("To-Path: ", "To-Path:"),
            ("To-Path", "Message-ID"),
        ] {
            let mut reader = MsrpReader::default();
            reader.push(good.replacen(from, to, 1).as_bytes());
            assert!(reader.next_frame().is_err(), "{to}");
        }
    }

    #[test]
    fn uris_of_the_specification() {
        for (text, transport, session) in [
            ("msrp://182.3.1.7:40410/hwK3zBbqenxBFB;tcp", Transport::Tcp, "hwK3zBbqenxBFB"),
            ("msrps://[2001:db8::7]:2855/x;tcp", Transport::Tls, "x"),
        ] {
            let uri = MsrpUri::parse(text).unwrap();
            assert_eq!((uri.transport, uri.session.as_str()), (transport, session));
            assert_eq!(MsrpUri::write(transport, uri.address.unwrap(), session), text);
        }
        for wrong in ["msrp:/x", "msrp://h:1/;tcp", "msrp://h:1/x", "sip://h:1/x;tcp", "msrp://h:1/x;udp"] {
            assert_eq!(MsrpUri::parse(wrong), None, "{wrong}");
        }
    }
}
