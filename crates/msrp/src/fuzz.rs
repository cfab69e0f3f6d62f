//! The bodies of the fuzz targets, ordinary functions so that a crash becomes a test, and the naive
//! twin of the reader that they compare it with.

use crate::head::{HeadReader, Step};
use crate::{Event, Flag, Piece, Reader, Scan, Uri, Usual};
use wire::Cause;

/// Reads `bytes` as a stream, whole and torn into pieces of several sizes: always the same messages.
///
/// # Panics
/// If the way the stream is cut changes what is read.
pub fn stream(bytes: &[u8]) {
    let expected = naive(bytes);
    for size in [bytes.len().max(1), 1, 2, 3, 7, 44, 61] {
        assert_eq!(collect(bytes, size, Scan::Every), expected, "reads of {size}");
    }
    // May see other ends than a full scan if a range lies, but must not panic.
    let _ = collect(bytes, 97, Scan::Announced);
}

/// Reads `bytes` as a URI; its canonical form must be equal to it and read the same again.
///
/// # Panics
/// If it is not.
pub fn uri(bytes: &[u8]) {
    let Some(uri) = Uri::parse(bytes) else { return };
    let mut canonical = Vec::new();
    uri.write_canonical(&mut canonical);
    let again = Uri::parse(&canonical).expect("the canonical form is a URI");
    assert!(uri.equals(&again), "{} is not {}", bytes.escape_ascii(), canonical.escape_ascii());
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Up to the end-line or through the empty line.
    pub head: Vec<u8>,
    /// Between them.
    pub body: Vec<u8>,
    /// How it ended.
    pub flag: Flag,
    /// The end-line.
    pub end: Vec<u8>,
}

/// The complete messages of `bytes`, read in pieces of `size`, and why it broke off if it did.
#[must_use]
pub fn collect(bytes: &[u8], size: usize, scan: Scan) -> (Vec<Message>, Option<Cause>) {
    let mut reader = Reader::new(scan, HEAD_MAX);
    let mut messages = Vec::new();
    let (mut head, mut body) = (Vec::new(), Vec::new());
    // Guessed to be those of the message before, as a relay does.
    let (mut to, mut from) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(size) {
        let mut at = 0;
        loop {
            let usual = Usual { to: &to, from: &from };
            match reader.next_expecting(usual, piece, &mut at) {
                Event::Head(found) => {
                    head = found.bytes().to_vec();
                    to = found.to_path().to_vec();
                    from = found.from_path().to_vec();
                }
                Event::Body(octets) => append(&mut body, octets, piece),
                Event::End(flag, octets) => {
                    let mut end = Vec::new();
                    append(&mut end, octets, piece);
                    messages.push(Message {
                        head: core::mem::take(&mut head),
                        body: core::mem::take(&mut body),
                        flag,
                        end,
                    });
                }
                Event::Partial => break,
                Event::Broken(cause) => return (messages, Some(cause)),
            }
        }
        assert_eq!(at, piece.len(), "the reader takes everything");
    }
    (messages, None)
}

fn append(out: &mut Vec<u8>, piece: Piece<'_>, input: &[u8]) {
    out.extend_from_slice(piece.held);
    out.extend_from_slice(&input[piece.range()]);
}

/// The same, with everything in memory and one comparison per octet.
#[must_use]
pub fn naive(bytes: &[u8]) -> (Vec<Message>, Option<Cause>) {
    let mut messages = Vec::new();
    let mut rest = bytes;
    loop {
        while let [b'\r' | b'\n', after @ ..] = rest {
            rest = after;
        }
        if rest.is_empty() {
            return (messages, None);
        }
        let mut reader = HeadReader::default();
        let (head, end, flag) = match reader.read(&rest[..rest.len().min(HEAD_MAX)], Usual::default()) {
            Step::Partial if rest.len() >= HEAD_MAX => return (messages, Some(Cause::MsrpHeadTooLong)),
            Step::Partial => return (messages, None),
            Step::Broken(cause) => return (messages, Some(cause)),
            Step::End(head, end, flag) => (head, head..end, flag),
            Step::Body(head) => {
                let id = reader.id(rest);
                let found = (head - 2..rest.len()).find_map(|at| Some((at, end_line(&rest[at..], id)?)));
                let Some((at, (len, flag))) = found else {
                    return (messages, None);
                };
                (head, at..at + len, flag)
            }
        };
        messages.push(Message {
            head: rest[..head].to_vec(),
            body: rest[head.min(end.start)..end.start].to_vec(),
            flag,
            end: rest[end.start.max(head)..end.end].to_vec(),
        });
        rest = &rest[end.end..];
    }
}

fn end_line(text: &[u8], id: &[u8]) -> Option<(usize, Flag)> {
    [Flag::Last, Flag::More, Flag::Abort].into_iter().find_map(|flag| {
        let line = [b"\r\n-------", id, &[flag.byte()], b"\r\n"].concat();
        text.starts_with(&line).then_some((line.len(), flag))
    })
}

const HEAD_MAX: usize = 2_048;

/// A frame as a client sends it.
#[must_use]
pub fn client_frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().enumerate().map(|(n, octet)| octet ^ mask[n % 4]));
    frame
}

/// The messages in what a server sends; `None` if that is not WebSocket, or ends within a message.
#[must_use]
pub fn server_messages(mut stream: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut messages, mut open): (_, Option<Vec<u8>>) = (Vec::new(), None);
    while let [first, len, rest @ ..] = stream {
        let (len, rest) = match len {
            126 => (rest.get(..2)?.iter().fold(0, |sum, &o| sum << 8 | usize::from(o)), rest.get(2..)?),
            127 => (rest.get(..8)?.iter().fold(0, |sum, &o| sum << 8 | usize::from(o)), rest.get(8..)?),
            len => (usize::from(*len), rest),
        };
        let mut message = match (first & 15, open.take()) {
            (0, Some(begun)) => begun,
            (2, None) => Vec::new(),
            _ => return None,
        };
        message.extend_from_slice(rest.get(..len)?);
        stream = rest.get(len..)?;
        match first & 0x80 {
            0 => open = Some(message),
            _ => messages.push(message),
        }
    }
    (open.is_none() && stream.is_empty()).then_some(messages)
}

/// Reads `bytes` as what a WebSocket client sends after its upgrade, whole and in pieces: always the same
/// octets, answers and end. And frames them as what a relay sends: a client gets the same octets.
///
/// # Panics
/// If the way the stream is cut changes what is read, or octets are lost.
pub fn websocket(bytes: &[u8]) {
    let mut head = Vec::new();
    let whole = crate::ws::upgrade(bytes, 2_048, |_| true, &mut head);
    if let crate::ws::Upgrade::Done(len) = whole {
        let mut again = Vec::new();
        assert_eq!(crate::ws::upgrade(&bytes[..len], 2_048, |_| true, &mut again), whole);
        assert_eq!(head, again);
    }
    let expected = deframed(bytes, bytes.len().max(1));
    for size in [1, 2, 3, 7, 61] {
        assert_eq!(deframed(bytes, size), expected, "reads of {size}");
    }
    for size in [bytes.len().max(1), 1, 7, 61] {
        let mut framer = crate::ws::Framer::new(HEAD_MAX);
        let mut out = Vec::new();
        for piece in bytes.chunks(size) {
            framer.write(piece, &mut out);
        }
        assert_eq!(payload(&out), bytes, "pieces of {size}");
    }
}

type Deframed = (Vec<u8>, Vec<u8>, Option<crate::ws::Ended>);

fn deframed(bytes: &[u8], size: usize) -> Deframed {
    let mut deframer = crate::ws::Deframer::default();
    let (mut plain, mut replies) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(size) {
        let mut piece = piece.to_vec();
        let got = deframer.read(&mut piece, &mut replies);
        plain.extend_from_slice(&piece[..got.plain]);
        if got.ended.is_some() {
            return (plain, replies, got.ended);
        }
    }
    (plain, replies, None)
}

/// All payload of a server's frames, whichever messages they belong to.
fn payload(mut stream: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while let [_, len, rest @ ..] = stream {
        let (len, rest) = match len {
            126 => (rest[..2].iter().fold(0, |sum, &o| sum << 8 | usize::from(o)), &rest[2..]),
            127 => (rest[..8].iter().fold(0, |sum, &o| sum << 8 | usize::from(o)), &rest[8..]),
            len => (usize::from(*len), rest),
        };
        all.extend_from_slice(&rest[..len]);
        stream = &rest[len..];
    }
    all
}
