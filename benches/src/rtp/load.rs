//! Streams of 20 ms packets through a relay, both ways, and what became of them.

use super::anchor::key;
use rtp::srtp::Sender;
use rustix::net::{RecvFlags, SendFlags, sockopt};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// 12 octets of header and 20 ms of G.711.
pub const PACKET_BYTES: usize = 172;
/// HMAC-SHA1-80.
const TAG_BYTES: usize = 10;

/// Both ends of all streams.
#[derive(Debug)]
pub struct Load {
    ends: [UdpSocket; 2],
    streams: Vec<Stream>,
    start: Instant,
    /// Packets that came, and what they took.
    pub came: u64,
    /// Nanoseconds by powers of 2^(1/4): see `bucket`.
    pub latencies: Vec<u64>,
}

#[derive(Debug)]
struct Stream {
    /// Where the relay takes packets of the UE and of the core.
    relay: [SocketAddr; 2],
    phone: Option<Sender>,
    sequence: u16,
}

/// How packets are spread over the 20 ms.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// Packets sent at once.
    pub group: usize,
    /// How long.
    pub duration: Duration,
}

const FRAME: Duration = Duration::from_millis(20);

impl Load {
    /// Two sockets with room for bursts.
    ///
    /// # Errors
    /// If they cannot be opened.
    pub fn new() -> io::Result<Self> {
        let end = || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_nonblocking(true)?;
            // Needs a privilege; without it the kernel's cap holds.
            let _ = sockopt::set_socket_recv_buffer_size_force(&socket, 16 << 20)
                .or_else(|_| sockopt::set_socket_recv_buffer_size(&socket, 4 << 20));
            io::Result::Ok(socket)
        };
        let ends = [end()?, end()?];
        Ok(Self { ends, streams: Vec::new(), start: Instant::now(), came: 0, latencies: vec![0; BUCKETS] })
    }

    /// Where UEs and servers are.
    ///
    /// # Errors
    /// If a socket is gone.
    pub fn ends(&self) -> io::Result<[SocketAddr; 2]> {
        Ok([self.ends[0].local_addr()?, self.ends[1].local_addr()?])
    }

    /// Adds a stream with its ports of the relay, the UE's side first.
    pub fn add(&mut self, relay: [SocketAddr; 2], is_secure: bool) {
        let phone = is_secure.then(|| Sender::new(&key(true)));
        self.streams.push(Stream { relay, phone, sequence: 0 });
    }

    /// Sends for `pattern.duration`; how many packets were sent and how many of them came.
    ///
    /// # Errors
    /// If a socket fails.
    pub fn run(&mut self, pattern: Pattern) -> io::Result<(u64, u64)> {
        let came_before = self.came;
        let packets = 2 * self.streams.len();
        let groups = packets.div_ceil(pattern.group);
        let frames = (pattern.duration.as_nanos() / FRAME.as_nanos()) as u32;
        let begin = Instant::now();
        let mut sent = 0;
        for frame in 0..frames {
            for group in 0..groups {
                let due = FRAME * frame + FRAME * group as u32 / groups as u32;
                self.wait_until(begin + due)?;
                let first = group * pattern.group;
                for packet in first..(first + pattern.group).min(packets) {
                    self.send(packet / 2, packet % 2)?;
                    sent += 1;
                }
            }
        }
        let end = Instant::now() + Duration::from_millis(500);
        while self.came - came_before < sent && Instant::now() < end {
            self.receive()?;
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok((sent, self.came - came_before))
    }

    fn wait_until(&mut self, due: Instant) -> io::Result<()> {
        self.receive()?;
        let rest = due.saturating_duration_since(Instant::now());
        if !rest.is_zero() {
            std::thread::sleep(rest);
            self.receive()?;
        }
        Ok(())
    }

    fn send(&mut self, stream: usize, side: usize) -> io::Result<()> {
        let now = self.start.elapsed().as_nanos() as u64;
        let Stream { relay, phone, sequence } = &mut self.streams[stream];
        if side == 0 {
            *sequence = sequence.wrapping_add(1);
        }
        let mut bytes = [0x5a; PACKET_BYTES + 32];
        bytes[..2].copy_from_slice(&[0x80, 8]);
        bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&(u32::from(*sequence) * 160).to_be_bytes());
        bytes[8..12].copy_from_slice(&(stream as u32 * 2 + side as u32 + 1).to_be_bytes());
        bytes[12..20].copy_from_slice(&now.to_be_bytes());
        let len = match phone {
            Some(phone) if side == 0 => phone.protect_rtp(&mut bytes, PACKET_BYTES).unwrap_or_default(),
            _ => PACKET_BYTES,
        };
        rustix::net::sendto(&self.ends[side], &bytes[..len], SendFlags::DONTWAIT, &relay[side])?;
        Ok(())
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut bytes = [0; 512];
        let is_secure = self.streams.first().is_some_and(|stream| stream.phone.is_some());
        // What a relay does not open and seal as it should does not count, nor reports that it makes.
        let expected = [PACKET_BYTES + if is_secure { TAG_BYTES } else { 0 }, PACKET_BYTES];
        for (end, expected) in self.ends.iter().zip(expected) {
            loop {
                let len = match rustix::net::recv(end, &mut bytes[..], RecvFlags::DONTWAIT) {
                    Ok((_, len)) => len,
                    Err(rustix::io::Errno::AGAIN) => break,
                    Err(error) => return Err(error.into()),
                };
                self.came += u64::from(len == expected);
                if len == expected && len == PACKET_BYTES {
                    let sent = bytes[12..20].try_into().map_or(0, u64::from_be_bytes);
                    let took = (self.start.elapsed().as_nanos() as u64).saturating_sub(sent);
                    self.latencies[bucket(took)] += 1;
                }
            }
        }
        Ok(())
    }

    /// Forgets the latencies.
    pub fn clear(&mut self) {
        self.latencies.fill(0);
    }

    /// The latency in nanoseconds that `part` (0..=1) of the packets did not exceed.
    #[must_use]
    pub fn quantile(&self, part: f64) -> f64 {
        let total: u64 = self.latencies.iter().sum();
        let mut rest = (total as f64 * part).ceil();
        for (at, count) in self.latencies.iter().enumerate() {
            rest -= *count as f64;
            if rest <= 0.0 {
                return upper(at);
            }
        }
        f64::NAN
    }
}

/// Quarters of an octave from one nanosecond to minutes.
const BUCKETS: usize = 160;

fn bucket(nanos: u64) -> usize {
    let at = (nanos.max(1) as f64).log2() * 4.0;
    (at as usize).min(BUCKETS - 1)
}

/// The nanoseconds at which a bucket ends.
#[must_use]
pub fn upper(bucket: usize) -> f64 {
    ((bucket + 1) as f64 / 4.0).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_fall_into_their_buckets() {
        for nanos in [1, 2, 3, 999, 1_000_000, 123_456_789] {
            let at = bucket(nanos);
            assert!(upper(at) > nanos as f64 && upper(at) <= nanos as f64 * 1.2, "{nanos}");
        }
    }
}
