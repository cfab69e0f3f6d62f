//! The bodies of the fuzz targets, ordinary functions so that a crash becomes a test, and the naive
//! twin of the reader that they compare it with.

use crate::head::{HeadReader, Step};
use crate::{Event, Flag, Piece, Reader, Scan, Uri};
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
    for piece in bytes.chunks(size) {
        let mut at = 0;
        loop {
            match reader.next(piece, &mut at) {
                Event::Head(found) => head = found.bytes().to_vec(),
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
        let (head, end, flag) = match reader.read(&rest[..rest.len().min(HEAD_MAX)]) {
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
