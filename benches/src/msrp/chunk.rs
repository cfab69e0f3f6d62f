//! One chunk of any size through a relay: cut-through, compared octet for octet, with a pause of the reader.

use super::link::{Ue, or_zero, read_some};
use std::io::{self, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Bodies repeat these octets; the length is no divisor of any buffer size.
const PERIOD: usize = 65_521;
const HEAD_END: &[u8] = b"\r\n\r\n";
/// Written before anything is expected at the far end; the second 64 KiB have not begun.
const FIRST: usize = 40_000;

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Octets of the body at the core end while the UE had written the first 40,000.
    pub early: usize,
}

/// Sends one chunk of `total` octets; `paused` is called while the core end does not read.
///
/// # Errors
/// If something is lost, changed or does not come.
pub fn send(
    ue: &mut Ue,
    core: &mut TcpStream,
    (to, from): (&str, &str),
    total: usize,
    mut paused: impl FnMut(),
) -> io::Result<Seen> {
    core.set_nonblocking(true)?;
    let pattern = noise();
    let head = format!(
        "MSRP big00000 SEND\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\nMessage-ID: big\r\n\
         Byte-Range: 1-{total}/{total}\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    let mut source =
        Source { parts: vec![head.into_bytes(), b"\r\n-------big00000$\r\n".to_vec()], sent: 0, total };
    let mut sink = Sink { head: Vec::new(), body: 0, tail: Vec::new(), total };
    let mut input = vec![0; 262_144];
    source.write(ue, &pattern, FIRST)?;
    let mut moved_at = Instant::now();
    while sink.body == 0 && moved_at.elapsed() < Duration::from_secs(5) {
        let read = read_some(core, &mut input)?;
        sink.take(&input[..read], &pattern)?;
        sleep(Duration::from_millis(1));
    }
    let early = sink.body;
    let mut pause_at = total / 4;
    loop {
        let written = source.write(ue, &pattern, usize::MAX)?;
        if sink.body >= pause_at {
            pause_at = usize::MAX;
            let end = Instant::now() + Duration::from_millis(400);
            while Instant::now() < end {
                source.write(ue, &pattern, usize::MAX)?;
                paused();
                sleep(Duration::from_millis(1));
            }
        }
        let read = read_some(core, &mut input)?;
        sink.take(&input[..read], &pattern)?;
        if sink.tail.ends_with(b"-------big00000$\r\n") {
            break;
        }
        if written + read > 0 {
            moved_at = Instant::now();
        } else if moved_at.elapsed() > Duration::from_secs(5) {
            return Err(io::Error::other(format!("stalled: {} of {total} octets arrived", sink.body)));
        } else {
            sleep(Duration::from_micros(50));
        }
    }
    answer(core, ue, to)?;
    Ok(Seen { early })
}

/// The 200 goes back to the UE.
fn answer(core: &mut TcpStream, ue: &mut Ue, to: &str) -> io::Result<()> {
    // The relay finds the session by the paths; both bear the session-ids of the request.
    let number = to.split("/core").nth(1).and_then(|rest| rest.split(';').next()).unwrap_or("0");
    let (relay, own) = (core.peer_addr()?, core.local_addr()?);
    let text = format!(
        "MSRP big00000 200 OK\r\nTo-Path: msrp://{relay}/ue{number};tcp\r\n\
         From-Path: msrp://{own}/core{number};tcp\r\n-------big00000$\r\n"
    );
    or_zero(core.write(text.as_bytes()))?;
    let (mut got, mut part) = (Vec::new(), [0; 4_096]);
    let start = Instant::now();
    while !got.ends_with(b"-------big00000$\r\n") {
        if start.elapsed() > Duration::from_secs(5) {
            return Err(io::Error::other(format!("no answer: {}", String::from_utf8_lossy(&got))));
        }
        let read = ue.read(&mut part)?;
        got.extend_from_slice(&part[..read]);
        sleep(Duration::from_micros(50));
    }
    match got.starts_with(b"MSRP big00000 200") {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&got).into_owned())),
    }
}

fn noise() -> Vec<u8> {
    let mut state = 7u32;
    let mut octets: Vec<u8> = (0..PERIOD)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    // What a body may hold to confuse a relay.
    octets[30_000..30_017].copy_from_slice(b"\r\n-------big00001");
    octets.extend_from_within(..);
    octets
}

struct Source {
    /// Head and end-line.
    parts: Vec<Vec<u8>>,
    sent: usize,
    total: usize,
}

impl Source {
    /// Writes what fits of the head, the body up to its octet `until`, and the end-line.
    fn write(&mut self, ue: &mut Ue, pattern: &[u8], until: usize) -> io::Result<usize> {
        let before = self.sent;
        loop {
            let (head, body) = (self.parts[0].len(), self.sent.saturating_sub(self.parts[0].len()));
            let part = if self.sent < head {
                &self.parts[0][self.sent..]
            } else if body < self.total {
                let at = body % PERIOD;
                &pattern[at..at + PERIOD.min(self.total - body).min(until.saturating_sub(body))]
            } else {
                &self.parts[1][body - self.total..]
            };
            let taken = if part.is_empty() { 0 } else { ue.write(part)? };
            self.sent += taken;
            if taken == 0 {
                // Ciphertext that waits goes out as well.
                ue.write(&[])?;
                return Ok(self.sent - before);
            }
        }
    }
}

struct Sink {
    head: Vec<u8>,
    body: usize,
    tail: Vec<u8>,
    total: usize,
}

impl Sink {
    fn take(&mut self, input: &[u8], pattern: &[u8]) -> io::Result<()> {
        let mut rest = input;
        if !self.head.ends_with(HEAD_END) {
            let before = self.head.len();
            self.head.extend_from_slice(input);
            let Some(end) = self.head.windows(4).position(|w| w == HEAD_END) else { return Ok(()) };
            self.head.truncate(end + 4);
            rest = &input[self.head.len() - before..];
        }
        while self.body < self.total && !rest.is_empty() {
            let at = self.body % PERIOD;
            let count = rest.len().min(PERIOD).min(self.total - self.body);
            if rest[..count] != pattern[at..at + count] {
                return Err(io::Error::other(format!("changed at octet {} or behind", self.body)));
            }
            self.body += count;
            rest = &rest[count..];
        }
        self.tail.extend_from_slice(rest);
        Ok(())
    }
}
