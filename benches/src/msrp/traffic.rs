//! SENDs from a UE, 200s from the core end, in one thread; every frame is compared with what was sent.

use super::link::{Ue, or_zero, read_some};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A pattern of traffic.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// As the table names it.
    pub name: &'static str,
    /// Bytes of one body.
    pub body: usize,
    /// SENDs that may wait for their response.
    pub window: usize,
    /// SENDs a second, if that is limited.
    pub rate: Option<u32>,
    /// SENDs of one run.
    pub count: usize,
}

impl Work {
    /// Bytes of all bodies.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.body * self.count
    }
}

/// Both ends of one session.
#[derive(Debug)]
pub struct Session {
    ue: Ue,
    core: TcpStream,
    to_path: String,
    from_path: String,
    /// Of the last SEND; ids of different runs differ.
    serial: u64,
}

/// Hexadecimal digits of a transaction id.
const ID: usize = 16;

/// A run that moves nothing for so long failed.
const STALLED: Duration = Duration::from_secs(3);

impl Session {
    /// A session between these ends; the paths are those of the UE's requests.
    ///
    /// # Errors
    /// If the socket refuses its options.
    pub fn new(ue: Ue, core: TcpStream, to_path: String, from_path: String) -> io::Result<Self> {
        core.set_nodelay(true)?;
        core.set_nonblocking(true)?;
        Ok(Self { ue, core, to_path, from_path, serial: 0 })
    }

    /// Sends all of `work` and waits for the last response.
    ///
    /// # Errors
    /// If something is lost, changed or does not come.
    pub fn run(&mut self, work: &Work) -> io::Result<()> {
        let mut to_core = Frames::new(work.body);
        let mut to_ue = Frames::new(0);
        let (mut out, mut answers) = (Outgoing::default(), Outgoing::default());
        let mut sent = 0;
        let mut send = self.request(work.body);
        let (first, start) = (self.serial + 1, Instant::now());
        let mut moved_at = start;
        let mut input = vec![0; 262_144];
        let interval = work.rate.map(|rate| Duration::from_secs(1) / rate);
        // A relay that answers hop by hop (RFC 4976) does so before the frame arrives.
        while to_ue.count.min(to_core.count) < work.count {
            let due = |sent: usize| interval.map(|i| start + i * u32::try_from(sent).unwrap_or(u32::MAX));
            while sent < work.count
                && sent - to_ue.count < work.window
                && out.bytes.len() < 1 << 20
                && due(sent).is_none_or(|at| at <= Instant::now())
            {
                self.serial += 1;
                send.stamp(self.serial);
                out.bytes.extend_from_slice(&send.bytes);
                sent += 1;
            }
            out.flush(|bytes| self.ue.write(bytes))?;
            let wait = match due(sent) {
                Some(at) if sent < work.count && sent - to_ue.count < work.window => {
                    at.saturating_duration_since(Instant::now())
                }
                _ => STALLED,
            };
            let unsent = !out.bytes.is_empty() || self.ue.has_unsent();
            let mut polled = [
                PollFd::new(self.ue.socket(), interest(unsent)),
                PollFd::new(&self.core, interest(!answers.bytes.is_empty())),
            ];
            let timeout = Timespec::try_from(wait).map_err(io::Error::other)?;
            poll(&mut polled, Some(&timeout))?;
            let [ue, core] = polled.map(|p| p.revents());
            if core.contains(PollFlags::IN) {
                let read = read_some(&mut self.core, &mut input)?;
                to_core.take(&input[..read], first, |head, id| answer(head, id, &mut answers.bytes))?;
            }
            if !core.is_empty() {
                answers.flush(|bytes| or_zero(self.core.write(bytes)))?;
            }
            if ue.contains(PollFlags::IN) {
                let read = self.ue.read(&mut input)?;
                to_ue.take(&input[..read], first, |_, _| ())?;
            }
            if !(ue | core).is_empty() {
                moved_at = Instant::now();
            } else if moved_at.elapsed() >= STALLED {
                return Err(io::Error::other(format!(
                    "stalled: {sent} sent, {} arrived, {} answered",
                    to_core.count, to_ue.count
                )));
            }
        }
        Ok(())
    }

    /// What a UE sends, with ids still to be filled in.
    fn request(&self, body: usize) -> Request {
        let id = "0".repeat(ID);
        let head = format!(
            "MSRP {id} SEND\r\nTo-Path: {}\r\nFrom-Path: {}\r\nMessage-ID: {id}\r\n\
             Byte-Range: 1-{body}/{body}\r\nContent-Type: text/plain\r\n\r\n",
            self.to_path, self.from_path
        );
        let message_id = head.find("Message-ID: ").map_or(0, |at| at + 12);
        let mut bytes = head.into_bytes();
        fill(body, &mut bytes);
        bytes.extend_from_slice(format!("\r\n-------{id}$\r\n").as_bytes());
        let end = bytes.len() - 3 - ID;
        Request { bytes, ids: [5, message_id, end] }
    }
}

/// Chat is text in lines; larger bodies are files.
fn fill(body: usize, bytes: &mut Vec<u8>) {
    let mut noise = 1u32;
    bytes.extend((0..body).map(|at| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match at % 78 {
            76 if body < 4_096 => b'\r',
            77 if body < 4_096 => b'\n',
            _ if body < 4_096 => b'a' + (noise >> 24) as u8 % 26,
            _ => (noise >> 24) as u8,
        }
    }));
}

fn interest(write: bool) -> PollFlags {
    if write { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN }
}

struct Request {
    bytes: Vec<u8>,
    /// Where ids stand.
    ids: [usize; 3],
}

impl Request {
    fn stamp(&mut self, serial: u64) {
        let id = format!("{serial:0ID$x}");
        for at in self.ids {
            self.bytes[at..at + ID].copy_from_slice(id.as_bytes());
        }
    }
}

#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
}

impl Outgoing {
    fn flush(&mut self, write: impl FnOnce(&[u8]) -> io::Result<usize>) -> io::Result<()> {
        if !self.bytes.is_empty() {
            let taken = write(&self.bytes)?;
            self.bytes.drain(..taken);
        }
        Ok(())
    }
}

/// Cuts a stream into frames, all of which are as long as the first, and looks at each.
struct Frames {
    body: usize,
    /// Of the first frame: head with its empty line.
    head: Vec<u8>,
    length: usize,
    expected: Vec<u8>,
    rest: Vec<u8>,
    count: usize,
}

impl Frames {
    fn new(body: usize) -> Self {
        let mut expected = Vec::new();
        fill(body, &mut expected);
        Self { body, head: Vec::new(), length: 0, expected, rest: Vec::new(), count: 0 }
    }

    fn take(&mut self, input: &[u8], first: u64, mut each: impl FnMut(&[u8], &[u8])) -> io::Result<()> {
        if self.rest.is_empty() {
            let used = self.frames(input, first, &mut each)?;
            self.rest.extend_from_slice(&input[used..]);
        } else {
            let mut rest = core::mem::take(&mut self.rest);
            rest.extend_from_slice(input);
            let used = self.frames(&rest, first, &mut each)?;
            rest.drain(..used);
            self.rest = rest;
        }
        Ok(())
    }

    fn frames(&mut self, input: &[u8], first: u64, each: &mut impl FnMut(&[u8], &[u8])) -> io::Result<usize> {
        let mut at = 0;
        loop {
            let input = &input[at..];
            if self.length == 0 {
                let mark: &[u8] = if self.body > 0 { b"\r\n\r\n" } else { b"\r\n-------" };
                let Some(end) = input.windows(mark.len()).position(|w| w == mark) else { return Ok(at) };
                let head = if self.body > 0 { end + 4 } else { end };
                self.head = input[..head].to_vec();
                self.length = head + self.body + 9 + ID + 3;
            }
            if input.len() < self.length {
                return Ok(at);
            }
            let (frame, head) = (&input[..self.length], self.head.len());
            let id = format!("{:0ID$x}", first + self.count as u64);
            let is_right = frame.starts_with(b"MSRP ")
                && frame[5..].starts_with(id.as_bytes())
                && frame[5 + ID..].starts_with(if self.body > 0 { b" SEND\r\n" } else { b" 200" })
                && frame[head..head + self.body] == self.expected
                && frame.ends_with(format!("-------{id}$\r\n").as_bytes());
            if !is_right {
                let text = String::from_utf8_lossy(&frame[..frame.len().min(400)]).into_owned();
                return Err(io::Error::other(format!("frame {id} arrived changed: {text}")));
            }
            each(&self.head, id.as_bytes());
            self.count += 1;
            at += self.length;
        }
    }
}

/// The core end's 200, one hop back.
fn answer(head: &[u8], id: &[u8], out: &mut Vec<u8>) {
    let value = |name: &[u8]| {
        let at = head.windows(name.len()).position(|w| w == name).map_or(0, |at| at + name.len());
        let rest = &head[at..];
        let end = rest.iter().position(|b| matches!(b, b' ' | b'\r')).unwrap_or(rest.len());
        &rest[..end]
    };
    let parts: [&[u8]; 9] = [
        b"MSRP ",
        id,
        b" 200 OK\r\nTo-Path: ",
        value(b"From-Path: "),
        b"\r\nFrom-Path: ",
        value(b"To-Path: "),
        b"\r\n-------",
        id,
        b"$\r\n",
    ];
    parts.iter().for_each(|part| out.extend_from_slice(part));
}
