//! Where one message ends and the next begins: streams (RFC 3261 §18.3, RFC 5626 §3.5.1) and datagrams.

mod scan;

use crate::Limits;
use scan::{Scan, Step};
use wire::Cause;

/// Cuts a byte stream into messages.
///
/// ```text
/// Idle ──CR──▶ half a CRLF ──LF──▶ Pong, and Ping for the second in a row
///  │ other byte
///  ▼
/// Head ──empty line──▶ Body ──Content-Length bytes──▶ Message, Idle
/// ```
/// A message that lies whole in one read is handed out without a copy. Otherwise its bytes are
/// collected here; the scan goes on where it stopped, and the buffer is given back as soon as the
/// message was taken, so that an idle connection costs no memory for it.
#[derive(Debug, Default)]
pub struct Framer {
    /// The bytes of one message so far. Empty between messages.
    buffer: Vec<u8>,
    scan: Scan,
    /// Length of the message, known from the end of its head on.
    total: Option<usize>,
    /// `buffer` was handed out whole by the last call.
    taken: bool,
    /// A CR came, its LF did not yet.
    half_line: bool,
    /// One CRLF came just before: the next one completes a ping.
    one_line: bool,
    broken: Option<Cause>,
}

/// What stands next in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// One whole message.
    Message(&'a [u8]),
    /// The second CRLF in a row: a keep-alive that wants a CRLF back (RFC 5626 §3.5.1, R5).
    Ping,
    /// One CRLF: the answer to a ping, or the first half of one. Reported at once, for the other half
    /// may never come, and a pong must not wait for the next message.
    Pong,
    /// All input was taken and no message is complete.
    Partial,
    /// The stream cannot be framed any further: answer if the head can be read, then close.
    /// The head is given as far as it came.
    Broken(Cause, Option<&'a [u8]>),
}

impl Framer {
    /// A framer at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next frame off `input`. Call until it returns `Partial` or `Broken`.
    ///
    /// The result does not depend on how the stream was split into reads. `Broken` comes again at each
    /// later call, without head.
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8], limits: &Limits) -> Frame<'s> {
        if let Some(cause) = self.broken {
            self.release();
            *input = &[];
            return Frame::Broken(cause, None);
        }
        if self.taken {
            self.release();
        }
        if self.buffer.is_empty() {
            if let Some(frame) = self.between(input) {
                return frame;
            }
            return self.whole(input, limits);
        }
        self.collect(input, limits)
    }

    /// Bytes held of a message that is not complete: what the message timer watches.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        if self.taken { 0 } else { self.buffer.len() + usize::from(self.half_line) }
    }

    /// Bytes of memory held; 0 when idle.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    fn release(&mut self) {
        self.buffer = Vec::new();
        self.scan = Scan::default();
        self.total = None;
        self.taken = false;
    }

    fn refuse<'s>(&mut self, cause: Cause, head: Option<&'s [u8]>) -> Frame<'s> {
        self.broken = Some(cause);
        Frame::Broken(cause, head)
    }

    /// CRLFs between messages. `None` when a message begins.
    fn between<'s>(&mut self, input: &mut &[u8]) -> Option<Frame<'s>> {
        loop {
            let Some((&byte, rest)) = input.split_first() else {
                return Some(Frame::Partial);
            };
            match (self.half_line, byte) {
                (false, b'\r') => self.half_line = true,
                (true, b'\n') => {
                    *input = rest;
                    self.half_line = false;
                    self.one_line = !self.one_line;
                    return Some(if self.one_line { Frame::Pong } else { Frame::Ping });
                }
                (true, _) => return Some(self.refuse(Cause::NotSip, None)),
                (false, _) => {
                    self.one_line = false;
                    return None;
                }
            }
            *input = rest;
        }
    }

    /// The message begins with `input`.
    fn whole<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8], limits: &Limits) -> Frame<'s> {
        let bytes = *input;
        match self.scan.advance(bytes, limits) {
            Step::More => {}
            Step::Broken(cause) => return self.refuse(cause, scan::head_so_far(bytes, limits)),
            Step::Head { head, length } => match total(head, length, limits) {
                Err(cause) => return self.refuse(cause, bytes.get(..head)),
                Ok(total) => {
                    if let Some((message, rest)) = bytes.split_at_checked(total) {
                        *input = rest;
                        self.scan = Scan::default();
                        return Frame::Message(message);
                    }
                    self.total = Some(total);
                }
            },
        }
        self.buffer.extend_from_slice(bytes);
        *input = &[];
        Frame::Partial
    }

    /// The message began in an earlier read.
    fn collect<'s>(&'s mut self, input: &mut &[u8], limits: &Limits) -> Frame<'s> {
        loop {
            if self.total == Some(self.buffer.len()) {
                self.taken = true;
                return Frame::Message(&self.buffer);
            }
            if input.is_empty() {
                return Frame::Partial;
            }
            // While the end is unknown, small bites: what belongs to later messages is given back.
            let bite = self.total.map_or(HEAD_BITE_BYTES, |total| total - self.buffer.len());
            let (taken, rest) = input.split_at(bite.min(input.len()));
            self.buffer.extend_from_slice(taken);
            if self.total.is_some() {
                *input = rest;
                continue;
            }
            match self.scan.advance(&self.buffer, limits) {
                Step::More => *input = rest,
                Step::Broken(cause) => {
                    self.broken = Some(cause);
                    return Frame::Broken(cause, scan::head_so_far(&self.buffer, limits));
                }
                Step::Head { head, length } => match total(head, length, limits) {
                    Err(cause) => {
                        self.broken = Some(cause);
                        return Frame::Broken(cause, self.buffer.get(..head));
                    }
                    Ok(total) => {
                        // The head ends inside `taken`, so no more than `taken` is given back.
                        let excess = self.buffer.len().saturating_sub(total);
                        self.buffer.truncate(total);
                        *input = input.get(taken.len() - excess..).unwrap_or_default();
                        self.total = Some(total);
                    }
                },
            }
        }
    }
}

const HEAD_BITE_BYTES: usize = 2048;

/// Length of a message on a stream, where Content-Length is mandatory (R5, R33).
fn total(head: usize, length: Option<u32>, limits: &Limits) -> Result<usize, Cause> {
    let body = length.ok_or(Cause::BadContentLength)? as usize;
    if body > limits.body_bytes_max {
        return Err(Cause::BodyTooLong);
    }
    Ok(head + body)
}

/// What a datagram holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// One message, cut to its Content-Length: bytes behind it are discarded (RFC 3261 §18.3).
    Message(&'a [u8]),
    /// Nothing but line ends, blanks or NULs: keeps a NAT binding open, wants no answer.
    Keepalive,
    /// A STUN packet (RFC 5389 §6), the other keep-alive of RFC 5626.
    Stun,
    /// No whole message. `salvage` tells whether it was a request that can be answered.
    Broken(Cause),
}

/// Reads what a datagram on a SIP socket holds.
///
/// Without Content-Length the body reaches to the end of the datagram; a body shorter than
/// Content-Length is `Truncated` (q13).
#[must_use]
pub fn datagram<'a>(bytes: &'a [u8], limits: &Limits) -> Datagram<'a> {
    if is_stun(bytes) {
        return Datagram::Stun;
    }
    let mut message = bytes;
    while let Some(rest) = message.strip_prefix(b"\r\n") {
        message = rest; // RFC 3261 §7.5
    }
    if message.iter().all(|b| matches!(b, b'\r' | b'\n' | b' ' | b'\t' | 0)) {
        return Datagram::Keepalive;
    }
    match Scan::default().advance(message, limits) {
        Step::More => Datagram::Broken(Cause::Truncated),
        Step::Broken(cause) => Datagram::Broken(cause),
        Step::Head { head, length } => cut(message, head, length, limits),
    }
}

fn cut<'a>(message: &'a [u8], head: usize, length: Option<u32>, limits: &Limits) -> Datagram<'a> {
    let body = length.map_or(message.len() - head, |length| length as usize);
    if body > limits.body_bytes_max {
        return Datagram::Broken(Cause::BodyTooLong);
    }
    match message.get(..head + body) {
        Some(whole) => Datagram::Message(whole),
        None => Datagram::Broken(Cause::Truncated),
    }
}

/// RFC 5389 §6: two zero bits, the magic cookie, a length that is a multiple of four.
fn is_stun(bytes: &[u8]) -> bool {
    bytes.len() >= 20
        && bytes.first().is_some_and(|b| b & 0xC0 == 0)
        && bytes.get(4..8) == Some(&[0x21, 0x12, 0xA4, 0x42])
        && bytes.get(3).is_some_and(|b| b & 3 == 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
