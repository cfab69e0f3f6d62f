//! Frames, RFC 6455 §5.
//!
//! ```text
//! FIN RSV×3 opcode×4 | MASK length×7 | length 16 or 64 | mask×32 | payload ⊕ mask
//! ```

use crate::reader::{Event, Reader, Scan};

/// Why a WebSocket is closed (RFC 6455 §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// All is well.
    Normal,
    /// We go away.
    GoingAway,
    /// What came is no WebSocket.
    ProtocolError,
}

impl CloseCode {
    const fn code(self) -> u16 {
        match self {
            Self::Normal => 1_000,
            Self::GoingAway => 1_001,
            Self::ProtocolError => 1_002,
        }
    }
}

/// Appends a close frame, the last one of our half.
pub fn push_close(code: CloseCode, out: &mut Vec<u8>) {
    out.extend_from_slice(&[FIN | CLOSE, 2]);
    out.extend_from_slice(&code.code().to_be_bytes());
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unframed {
    /// So many octets of MSRP stand at the start of the buffer.
    pub plain: usize,
    /// No more will come, if it says why.
    pub ended: Option<Ended>,
}

/// How the peer's half ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By a close frame.
    Closed,
    /// By a fault; a close frame with this code is owed.
    Broken(CloseCode),
}

/// Takes the frames of a client apart.
#[derive(Clone, Debug, Default)]
pub struct Deframer {
    state: State,
    /// A message was begun and not ended: only its continuations may follow, and control frames.
    is_fragmented: bool,
    /// The head of a frame that is not complete yet; `head_len <= 14`.
    head: [u8; HEAD_MAX],
    head_len: u8,
    /// The payload of a control frame; `control_len <= 125`.
    control: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before or in the head of a frame.
    #[default]
    Head,
    /// In a payload: so many octets are to come, the next one of this place in the mask.
    Payload { left: u64, mask: [u8; 4], at: u8, opcode: u8 },
    /// After a close or a fault nothing counts any more.
    Ended,
}

impl Deframer {
    /// Takes in what was read: the octets of MSRP in it are moved to the front of `bytes`; what the client
    /// must be answered (pongs, the answer to its close) is appended to `replies`.
    ///
    /// `replies` grows by no more than `bytes.len()` and one frame.
    pub fn read(&mut self, bytes: &mut [u8], replies: &mut Vec<u8>) -> Unframed {
        let (mut read, mut plain) = (0, 0);
        while read < bytes.len() {
            match self.state {
                State::Ended => break,
                State::Head => {
                    let Some(&octet) = bytes.get(read) else { break };
                    read += 1;
                    if let Err(code) = self.push_head(octet) {
                        self.state = State::Ended;
                        return Unframed { plain, ended: Some(Ended::Broken(code)) };
                    }
                }
                State::Payload { left, mask, at, opcode } => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - read);
                    let here = read..read + count;
                    if opcode >= CLOSE {
                        let taken = bytes.get(here).unwrap_or_default();
                        let place = |n: usize| mask.get((usize::from(at) + n) % 4).copied().unwrap_or(0);
                        self.control.extend(taken.iter().enumerate().map(|(n, octet)| octet ^ place(n)));
                    } else {
                        bytes.copy_within(here, plain);
                        unmask(bytes.get_mut(plain..plain + count).unwrap_or_default(), mask, at);
                        plain += count;
                    }
                    read += count;
                    let at = (usize::from(at) + count) % 4;
                    self.state = State::Payload { left: left - count as u64, mask, at: at as u8, opcode };
                }
            }
            if let State::Payload { left: 0, opcode, .. } = self.state {
                self.state = State::Head;
                if let Some(ended) = self.end_frame(opcode, replies) {
                    self.state = State::Ended;
                    return Unframed { plain, ended: Some(ended) };
                }
            }
        }
        Unframed { plain, ended: None }
    }

    /// Takes one octet of a head; turns to the payload when the head is complete.
    fn push_head(&mut self, octet: u8) -> Result<(), CloseCode> {
        let len = usize::from(self.head_len);
        let Some(place) = self.head.get_mut(len) else { return Err(CloseCode::ProtocolError) };
        *place = octet;
        self.head_len += 1;
        let [first, second, ..] = self.head;
        if len == 0 {
            return self.check_opcode(first);
        }
        let extended = match second & 127 {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if len == 1 {
            // RFC 6455 §5.1: a client masks. §5.5: control frames are short.
            let is_legal = second & MASKED != 0 && (first & OPCODE < CLOSE || extended == 0);
            return if is_legal { Ok(()) } else { Err(CloseCode::ProtocolError) };
        }
        if len + 1 < 2 + extended + 4 {
            return Ok(());
        }
        let (length, rest) = self.head.get(2..).unwrap_or_default().split_at(extended);
        let left = match length {
            [] => u64::from(second & 127),
            _ => length.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet)),
        };
        // RFC 6455 §5.2: the shortest form that holds it, and never the highest bit.
        let least = match extended {
            0 => 0,
            2 => 126,
            _ => 65_536,
        };
        if left < least || left > i64::MAX as u64 {
            return Err(CloseCode::ProtocolError);
        }
        let mask = [0, 1, 2, 3].map(|n: usize| rest.get(n).copied().unwrap_or(0));
        self.head_len = 0;
        let opcode = first & OPCODE;
        if opcode < CLOSE {
            self.is_fragmented = first & FIN == 0;
        }
        self.state = State::Payload { left, mask, at: 0, opcode };
        Ok(())
    }

    /// RFC 6455 §5.2 and §5.4: no reserved bits, known opcodes, fragments in order.
    fn check_opcode(&self, first: u8) -> Result<(), CloseCode> {
        let is_legal = first & RESERVED == 0
            && match first & OPCODE {
                CONTINUATION => self.is_fragmented,
                TEXT | BINARY => !self.is_fragmented,
                CLOSE | PING | PONG => first & FIN != 0,
                _ => false,
            };
        if is_legal { Ok(()) } else { Err(CloseCode::ProtocolError) }
    }

    /// Answers a control frame that is complete.
    fn end_frame(&mut self, opcode: u8, replies: &mut Vec<u8>) -> Option<Ended> {
        if opcode < CLOSE {
            return None;
        }
        let payload = core::mem::take(&mut self.control);
        let answer = match opcode {
            PING => PONG,
            CLOSE => CLOSE,
            _ => return None,
        };
        let is_code = match payload.get(..2) {
            Some([high, low]) => is_close_code(u16::from_be_bytes([*high, *low])),
            _ => payload.is_empty(),
        };
        if opcode == CLOSE && !is_code {
            return Some(Ended::Broken(CloseCode::ProtocolError));
        }
        // A close is answered with its code alone (RFC 6455 §5.5.1).
        let said = if opcode == CLOSE { payload.get(..2).unwrap_or_default() } else { &payload };
        replies.extend_from_slice(&[FIN | answer, said.len() as u8]); // 125 at most
        replies.extend_from_slice(said);
        (opcode == CLOSE).then_some(Ended::Closed)
    }
}

/// RFC 6455 §7.4: what may stand in a close frame.
const fn is_close_code(code: u16) -> bool {
    matches!(code, 1_000..=1_003 | 1_007..=1_014 | 3_000..=4_999)
}

/// XORs the mask in, beginning with its octet `at`, eight octets at a time.
fn unmask(octets: &mut [u8], mask: [u8; 4], at: u8) {
    let place = |n: usize| mask.get((usize::from(at) + n) % 4).copied().unwrap_or(0);
    let wide: [u8; 8] = core::array::from_fn(place);
    let mut words = octets.chunks_exact_mut(8);
    for word in &mut words {
        for (octet, mask) in word.iter_mut().zip(wide) {
            *octet ^= mask;
        }
    }
    for (octet, mask) in words.into_remainder().iter_mut().zip(wide) {
        *octet ^= mask;
    }
}

/// Puts a stream of MSRP messages into WebSocket messages, one for each (RFC 7977 §4.2).
///
/// A message that comes in pieces goes out in fragments, so none is held back.
#[derive(Clone, Debug)]
pub struct Framer {
    /// Finds where messages end.
    reader: Reader,
    /// A WebSocket message was begun.
    is_begun: bool,
}

impl Framer {
    /// A framer for what a relay sends, whose heads have `head_bytes_max` octets at most.
    #[must_use]
    pub fn new(head_bytes_max: usize) -> Self {
        Self { reader: Reader::new(Scan::Every, head_bytes_max), is_begun: false }
    }

    /// Appends `octets`, the next of the stream, as frames.
    pub fn write(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let (mut at, mut from) = (0, 0);
        loop {
            match self.reader.next(octets, &mut at) {
                Event::Head(_) | Event::Body(_) => {}
                Event::End(..) => {
                    self.push(octets.get(from..at).unwrap_or_default(), FIN, out);
                    from = at;
                }
                Event::Partial => break,
                // The relay sends nothing that cannot be read. If it did, the client would have to say so.
                Event::Broken(_) => {
                    at = octets.len();
                    break;
                }
            }
        }
        self.push(octets.get(from..at).unwrap_or_default(), 0, out);
    }

    fn push(&mut self, octets: &[u8], fin: u8, out: &mut Vec<u8>) {
        if octets.is_empty() && fin == 0 {
            return;
        }
        let opcode = if core::mem::replace(&mut self.is_begun, fin == 0) { CONTINUATION } else { BINARY };
        out.push(fin | opcode);
        match u16::try_from(octets.len()) {
            Ok(len @ 0..=125) => out.push(len as u8),
            Ok(len) => {
                out.push(126);
                out.extend_from_slice(&len.to_be_bytes());
            }
            Err(_) => {
                out.push(127);
                out.extend_from_slice(&(octets.len() as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(octets);
    }
}

const HEAD_MAX: usize = 2 + 8 + 4;
const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
