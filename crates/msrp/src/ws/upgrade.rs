//! The opening handshake, RFC 6455 §4.2.

use sha1::{Digest as _, Sha1};
use wire::bytes_class::{BLANK, TOKEN, all, is, trim};

/// What becomes of the head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// It is not complete.
    Partial,
    /// It was accepted: the answer is written, and so many octets of the input were the head.
    Done(usize),
    /// It was refused: the answer is written, and the connection is to be closed.
    Refused(Refusal),
}

/// Why an upgrade is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no request for a WebSocket, or malformed: 400.
    BadRequest,
    /// Another version of the protocol: 426.
    Version,
    /// It does not offer the subprotocol `msrp` (RFC 7977 §4.1): 400.
    Subprotocol,
    /// It comes from a page that may not: 403.
    Origin,
    /// Its head is too long: 431.
    TooLong,
}

/// Reads the head of a request at the start of `input`, and appends the answer to `out`.
///
/// `is_allowed` is asked about the value of `Origin`, where there is one; a head of more than
/// `head_bytes_max` octets is refused.
pub fn upgrade(
    input: &[u8],
    head_bytes_max: usize,
    is_allowed: impl FnOnce(&[u8]) -> bool,
    out: &mut Vec<u8>,
) -> Upgrade {
    let seen = input.get(..head_bytes_max).unwrap_or(input);
    // What is not HTTP (a TLS hello, MSRP) is refused at its first octets, not at a timer.
    let common = seen.len().min(METHOD.len());
    if seen.get(..common) != METHOD.get(..common) {
        return refuse(Refusal::BadRequest, out);
    }
    let Some(end) = memchr::memmem::find(seen, b"\r\n\r\n") else {
        return match input.len() >= head_bytes_max {
            true => refuse(Refusal::TooLong, out),
            false => Upgrade::Partial,
        };
    };
    match read(seen.get(..end).unwrap_or_default(), is_allowed) {
        Err(refusal) => refuse(refusal, out),
        Ok(key) => {
            out.extend_from_slice(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
Sec-WebSocket-Protocol: msrp\r\nSec-WebSocket-Accept: ",
            );
            push_accept(key, out);
            out.extend_from_slice(b"\r\n\r\n");
            Upgrade::Done(end + 4)
        }
    }
}

/// The key of a request that may be accepted.
fn read(head: &[u8], is_allowed: impl FnOnce(&[u8]) -> bool) -> Result<&[u8], Refusal> {
    let mut lines = head.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let request = lines.next().unwrap_or_default();
    let target = request.strip_prefix(METHOD).and_then(|rest| rest.strip_suffix(b" HTTP/1.1"));
    if !target.is_some_and(|target| target.starts_with(b"/") && !target.iter().any(|&b| is(b, BLANK))) {
        return Err(Refusal::BadRequest);
    }
    let (mut host, mut key, mut version, mut origin) = (None, None, None, None);
    let (mut upgrades, mut connects, mut msrp) = (false, false, false);
    for line in lines {
        let colon = memchr::memchr(b':', line).ok_or(Refusal::BadRequest)?;
        let (name, value) =
            (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default());
        if name.is_empty() || !all(name, TOKEN) || line.iter().any(|&b| b < b' ' && b != b'\t') {
            return Err(Refusal::BadRequest);
        }
        let value = trim(value);
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("Host") {
            // Two are none (RFC 9112 §3.2).
            host = Some(if host.is_some() { &b""[..] } else { value });
        } else if is("Sec-WebSocket-Key") {
            if key.replace(value).is_some() {
                return Err(Refusal::BadRequest);
            }
        } else if is("Sec-WebSocket-Version") {
            version = Some(value);
        } else if is("Origin") {
            origin = Some(value);
        } else if is("Upgrade") {
            upgrades |= has(value, b"websocket");
        } else if is("Connection") {
            connects |= has(value, b"upgrade");
        } else if is("Sec-WebSocket-Protocol") {
            msrp |= has(value, b"msrp");
        }
    }
    // RFC 6455 §4.1: 16 octets in base64.
    let key = key.filter(|key| key.len() == 24 && key.ends_with(b"==") && key.iter().all(|&b| is_base64(b)));
    if host.is_none_or(<[u8]>::is_empty) || !upgrades || !connects {
        return Err(Refusal::BadRequest);
    }
    if version != Some(b"13") {
        return Err(Refusal::Version);
    }
    let key = key.ok_or(Refusal::BadRequest)?;
    if !msrp {
        return Err(Refusal::Subprotocol);
    }
    if origin.is_some_and(|origin| !is_allowed(origin)) {
        return Err(Refusal::Origin);
    }
    Ok(key)
}

/// Whether a list of tokens has `token`.
fn has(list: &[u8], token: &[u8]) -> bool {
    list.split(|&b| b == b',').any(|word| trim(word).eq_ignore_ascii_case(token))
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

fn refuse(refusal: Refusal, out: &mut Vec<u8>) -> Upgrade {
    let (status, more): (&str, &str) = match refusal {
        Refusal::BadRequest => ("400 Bad Request", ""),
        Refusal::Version => ("426 Upgrade Required", "Sec-WebSocket-Version: 13\r\n"),
        Refusal::Subprotocol => ("400 Bad Request", "Sec-WebSocket-Protocol: msrp\r\n"),
        Refusal::Origin => ("403 Forbidden", ""),
        Refusal::TooLong => ("431 Request Header Fields Too Large", ""),
    };
    for piece in ["HTTP/1.1 ", status, "\r\nConnection: close\r\nContent-Length: 0\r\n", more, "\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
    Upgrade::Refused(refusal)
}

/// Appends the proof that the key was read (RFC 6455 §4.2.2): SHA-1 of key and a fixed word, in base64.
fn push_accept(key: &[u8], out: &mut Vec<u8>) {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    push_base64(&hash.finalize(), out);
}

fn push_base64(octets: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in octets.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, &octet| bits << 8 | u32::from(octet)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) & 63;
            out.push(if place <= group.len() { DIGITS[digit as usize] } else { b'=' });
        }
    }
}

const METHOD: &[u8] = b"GET ";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ASKED: &str = "GET /chat HTTP/1.1\r\nHost: edge.example.net\r\nUpgrade: websocket\r\n\
Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
Origin: https://app.example.net\r\nSec-WebSocket-Protocol: sip, msrp\r\nSec-WebSocket-Version: 13\r\n\r\n";

    fn ask(text: &str) -> (Upgrade, String) {
        let mut out = Vec::new();
        let got = upgrade(text.as_bytes(), 1_024, |origin| origin.ends_with(b".example.net"), &mut out);
        (got, String::from_utf8(out).unwrap())
    }

    /// RFC 6455 §1.3: the sample key and its answer.
    #[test]
    fn the_sample_of_the_rfc_is_accepted() {
        let (got, answer) = ask(&format!("{ASKED}rest"));
        assert_eq!(got, Upgrade::Done(ASKED.len()));
        assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
        assert!(answer.contains("Sec-WebSocket-Protocol: msrp\r\n"), "{answer}");
        for end in 0..ASKED.len() {
            assert_eq!(ask(&ASKED[..end]), (Upgrade::Partial, String::new()), "{end}");
        }
    }

    #[test]
    fn what_is_refused_and_how() {
        for (from, to, refusal, status) in [
            ("GET /chat", "POST /chat", Refusal::BadRequest, "400"),
            ("HTTP/1.1", "HTTP/1.0", Refusal::BadRequest, "400"),
            ("GET /chat", "GET chat", Refusal::BadRequest, "400"),
            ("GET /chat", "GET /chat x", Refusal::BadRequest, "400"),
            ("Host: edge.example.net\r\n", "", Refusal::BadRequest, "400"),
            ("Host: edge.example.net", "Host: a\r\nHost: b", Refusal::BadRequest, "400"),
            ("Host:", "Host :", Refusal::BadRequest, "400"),
            ("Host:", "Host", Refusal::BadRequest, "400"),
            ("Upgrade: websocket", "Upgrade: h2c", Refusal::BadRequest, "400"),
            ("Connection: keep-alive, Upgrade", "Connection: close", Refusal::BadRequest, "400"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", Refusal::BadRequest, "400"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhl\u{1}HNhbXBsZSBub25jZQ==", Refusal::BadRequest, "400"),
            ("Origin", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin", Refusal::BadRequest, "400"),
            ("Version: 13", "Version: 8", Refusal::Version, "426"),
            ("sip, msrp", "sip", Refusal::Subprotocol, "400"),
            ("app.example.net", "app.example.com", Refusal::Origin, "403"),
        ] {
            let (got, answer) = ask(&ASKED.replace(from, to));
            assert_eq!(got, Upgrade::Refused(refusal), "{to}");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        }
        assert_eq!(ask("MSRP abcd SEND\r\n").0, Upgrade::Refused(Refusal::BadRequest), "at the first octets");
        assert_eq!(ask("\u{16}\u{3}\u{1}").0, Upgrade::Refused(Refusal::BadRequest));
        let endless = ASKED.replace("Origin", &format!("X: {}\r\nOrigin", "x".repeat(1_024)));
        assert_eq!(ask(&endless).0, Upgrade::Refused(Refusal::TooLong));
        assert_eq!(ask(&ASKED.replace("Origin", "X-Origin")).0, Upgrade::Done(ASKED.len() + 2), "no browser");
    }

    #[test]
    fn base64_of_every_rest() {
        for (octets, text) in
            [(&b""[..], ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"foob", "Zm9vYg==")]
        {
            let mut out = Vec::new();
            push_base64(octets, &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }
}
