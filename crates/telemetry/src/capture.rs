//! Packets of one call for a person to look at, as a pcap file in memory, bounded in time and size.
//!
//! The shard that has the call writes, the admin server reads; whoever finds the other one busy gives way,
//! so that a shard never waits.

use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Mutex, PoisonError, TryLockError};

/// Where packets are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// As they come from and go to the network: what is encrypted stays so, and what is dropped is seen.
    Wire,
    /// What was accepted, between opening and sealing: heard by whoever reads it.
    Plain,
}

/// A capture of one call.
#[derive(Debug)]
pub struct Capture {
    /// The Call-ID.
    pub call_id: Box<str>,
    /// Where packets are looked at.
    pub side: Side,
    /// Since 1970.
    ends_at: Duration,
    is_ended: AtomicBool,
    bytes_max: usize,
    file: Mutex<Vec<u8>>,
    packets: AtomicU64,
    missed: AtomicU64,
}

/// What a capture holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Packets in it.
    pub packets: u64,
    /// Packets left out: no room, or the file was being read.
    pub missed: u64,
    /// Bytes of the file.
    pub bytes: usize,
}

/// Link type 101: the packet begins with its IP head.
const RAW: u32 = 101;
/// Longer datagrams are cut: no media packet is longer.
const SNAP: usize = 2_048;

impl Capture {
    /// An empty file, open until `ends_at` (since 1970) or until it has `bytes_max` bytes.
    #[must_use]
    pub fn new(call_id: &str, side: Side, ends_at: Duration, bytes_max: usize) -> Self {
        let mut file = Vec::new();
        // Magic with microseconds, version 2.4, no time zone, no accuracy.
        for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, SNAP as u32, RAW] {
            file.extend_from_slice(&u32::to_le_bytes(word));
        }
        Self {
            call_id: call_id.into(),
            side,
            ends_at,
            is_ended: AtomicBool::new(false),
            bytes_max,
            file: Mutex::new(file),
            packets: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        }
    }

    /// Whether its time is up at `now` (since 1970), or it was ended.
    #[must_use]
    pub fn is_over(&self, now: Duration) -> bool {
        now >= self.ends_at || self.is_ended.load(Ordering::Relaxed)
    }

    /// Nothing more is written.
    pub fn end(&self) {
        self.is_ended.store(true, Ordering::Relaxed);
    }

    /// Appends a datagram; true if it was taken.
    pub fn write(&self, now: Duration, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> bool {
        let is_written = match self.file.try_lock() {
            Ok(mut file) => !self.is_over(now) && append(&mut file, self.bytes_max, now, from, to, payload),
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => false,
        };
        let count = if is_written { &self.packets } else { &self.missed };
        count.fetch_add(1, Ordering::Relaxed);
        is_written
    }

    /// What it holds.
    #[must_use]
    pub fn held(&self) -> Held {
        Held {
            packets: self.packets.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
            bytes: self.file.lock().unwrap_or_else(PoisonError::into_inner).len(),
        }
    }

    /// The pcap file so far.
    #[must_use]
    pub fn file(&self) -> Vec<u8> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn append(
    file: &mut Vec<u8>,
    bytes_max: usize,
    now: Duration,
    from: SocketAddr,
    to: SocketAddr,
    payload: &[u8],
) -> bool {
    let udp_bytes = 8 + payload.len();
    let ip_bytes = if from.is_ipv4() { 20 } else { 40 };
    let Ok(udp_field) = u16::try_from(udp_bytes) else { return false };
    let kept = payload.len().min(SNAP - 48);
    let captured = ip_bytes + 8 + kept;
    if from.is_ipv4() != to.is_ipv4() || file.len() + 16 + captured > bytes_max {
        return false;
    }
    let seconds = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
    let lengths = [captured, ip_bytes + udp_bytes].map(|length| length as u32);
    for word in [seconds, now.subsec_micros(), lengths[0], lengths[1]] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    let mut udp = [0; 8];
    udp[..2].copy_from_slice(&from.port().to_be_bytes());
    udp[2..4].copy_from_slice(&to.port().to_be_bytes());
    udp[4..6].copy_from_slice(&udp_field.to_be_bytes());
    match (from.ip(), to.ip()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            // Version 4, no options; not to be fragmented, 64 hops, UDP (17).
            let mut head = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            let total = udp_field.saturating_add(20);
            head[2..4].copy_from_slice(&total.to_be_bytes());
            head[12..16].copy_from_slice(&a.octets());
            head[16..].copy_from_slice(&b.octets());
            let sum = !folded(&[&head]);
            head[10..12].copy_from_slice(&sum.to_be_bytes());
            file.extend_from_slice(&head);
            // A checksum of zero is none (RFC 768).
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let mut head = [0; 40];
            head[0] = 0x60;
            head[4..6].copy_from_slice(&udp_field.to_be_bytes());
            head[6..8].copy_from_slice(&[17, 64]);
            head[8..24].copy_from_slice(&a.octets());
            head[24..].copy_from_slice(&b.octets());
            let pseudo = [0, 0, udp[4], udp[5], 0, 0, 0, 17];
            // RFC 8200 §8.1: over IPv6 it must be there, and zero is written as its complement.
            let sum = match !folded(&[&head[8..], &pseudo, &udp, payload]) {
                0 => u16::MAX,
                sum => sum,
            };
            udp[6..].copy_from_slice(&sum.to_be_bytes());
            file.extend_from_slice(&head);
        }
        _ => return false,
    }
    file.extend_from_slice(&udp);
    file.extend_from_slice(payload.get(..kept).unwrap_or_default());
    true
}

/// The one's complement sum of RFC 1071; every part but the last has an even length.
fn folded(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_micros(1_700_000_000_000_123);

    fn capture(bytes_max: usize) -> Capture {
        Capture::new("a@b", Side::Wire, NOW + Duration::from_secs(1), bytes_max)
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_packet_stands_in_the_file_with_correct_checksums() {
        let capture = capture(10_000);
        assert!(capture.write(NOW, at("192.0.2.1:4000"), at("192.0.2.2:5000"), &[1, 2, 3]));
        let file = capture.file();
        assert_eq!(file[..4], [0xd4, 0xc3, 0xb2, 0xa1]);
        assert_eq!(file[24 + 4..24 + 12], [123, 0, 0, 0, 31, 0, 0, 0]);
        let ip = &file[40..60];
        assert_eq!((folded(&[ip]), ip[3]), (0xffff, 31));
        assert_eq!(file[60..], [0x0f, 0xa0, 0x13, 0x88, 0, 11, 0, 0, 1, 2, 3]);

        assert!(capture.write(NOW, at("[2001:db8::1]:4000"), at("[2001:db8::2]:5000"), &[1, 2, 3]));
        let file = capture.file();
        let packet = &file[71 + 16..];
        assert_eq!(packet.len(), 51);
        let pseudo = [0, 0, 0, 11, 0, 0, 0, 17];
        assert_eq!(folded(&[&packet[8..40], &pseudo, &packet[40..]]), 0xffff);
        assert_eq!(capture.held(), Held { packets: 2, missed: 0, bytes: file.len() });
    }

    #[test]
    fn it_is_bounded_in_time_and_size_and_never_waits() {
        let capture = capture(24 + 16 + 28 + 10);
        let (a, b) = (at("192.0.2.1:4000"), at("192.0.2.2:5000"));
        assert!(!capture.write(NOW, a, b, &[0; 11]), "no room");
        assert!(!capture.write(NOW + Duration::from_secs(1), a, b, &[0; 10]), "over");
        assert!(!capture.write(NOW, a, at("[::1]:5"), &[0; 10]), "no such packet exists");
        let reading = capture.file.lock().unwrap();
        assert!(!capture.write(NOW, a, b, &[0; 10]), "it is being read");
        drop(reading);
        assert!(capture.write(NOW, a, b, &[0; 10]));
        capture.end();
        assert!(!capture.write(NOW, a, b, &[]));
        assert_eq!(capture.held(), Held { packets: 1, missed: 5, bytes: 78 });
        // What is longer than any media packet is cut, and says so.
        let capture = Capture::new("a@b", Side::Wire, NOW + Duration::from_secs(1), 1 << 20);
        assert!(capture.write(NOW, a, b, &[0; 9_000]));
        assert_eq!(capture.file().len(), 24 + 16 + 28 + 2_000);
        assert_eq!(capture.file()[32..40], [0xec, 7, 0, 0, 0x44, 0x23, 0, 0]);
    }
}
