//! What arrives on a media socket: which protocol a datagram is of, and the fixed headers of RTP
//! (RFC 3550 §5.1) and RTCP (§6.4). Views only; nothing is copied.

mod base64;
pub mod certificate;
pub mod fuzz;
pub mod quality;
pub mod rtcp;
pub mod sdes;
pub mod srtp;
pub mod stun;

/// Which protocol a datagram is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// STUN, RFC 8489.
    Stun,
    /// ZRTP, RFC 6189.
    Zrtp,
    /// DTLS.
    Dtls,
    /// TURN channel data.
    TurnChannel,
    /// RTP or SRTP.
    Rtp,
    /// RTCP or SRTCP on the same port (RFC 5761).
    Rtcp,
    /// None of them, or too short to be what it claims.
    Unknown,
}

/// Tells protocols on one socket apart by the first octets (RFC 7983 §7, RFC 5761 §4).
///
/// ```text
///   0..=3 STUN   16..=19 ZRTP   20..=63 DTLS   64..=79 TURN channel   128..=191 RTP/RTCP
/// ```
#[must_use]
pub fn classify(datagram: &[u8]) -> Kind {
    let (Some(&first), second) = (datagram.first(), datagram.get(1)) else { return Kind::Unknown };
    match first {
        // The magic cookie keeps other traffic that begins with small octets apart.
        0..=3 if datagram.len() >= 20 && datagram[4..8] == STUN_COOKIE => Kind::Stun,
        16..=19 => Kind::Zrtp,
        20..=63 if datagram.len() >= DTLS_RECORD_BYTES => Kind::Dtls,
        64..=79 if datagram.len() >= 4 => Kind::TurnChannel,
        128..=191 => match second {
            Some(192..=223) if datagram.len() >= Rtcp::BYTES_MIN => Kind::Rtcp,
            Some(192..=223) | None => Kind::Unknown,
            Some(_) if datagram.len() >= Rtp::BYTES_MIN => Kind::Rtp,
            Some(_) => Kind::Unknown,
        },
        _ => Kind::Unknown,
    }
}

const STUN_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const DTLS_RECORD_BYTES: usize = 13;

/// The header of an RTP packet; of an SRTP packet too, where it is not encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtp {
    /// Marker bit.
    pub marker: bool,
    /// Payload type, 0..=127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Media timestamp.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
    /// Octets up to the payload: fixed header, CSRC list and extension.
    pub header_bytes: usize,
    /// Whether the last octet of the packet counts padding (before encryption).
    pub is_padded: bool,
}

impl Rtp {
    const BYTES_MIN: usize = 12;

    /// Reads a header; `None` if it is not version 2 or does not fit the packet.
    #[must_use]
    pub fn read(packet: &[u8]) -> Option<Self> {
        let (fixed, rest) = packet.split_first_chunk::<{ Self::BYTES_MIN }>()?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let csrc_bytes = usize::from(fixed[0] & 0x0f) * 4;
        let extension = rest.get(csrc_bytes..)?;
        let extension_bytes = match fixed[0] & 0x10 {
            0 => 0,
            _ => 4 + usize::from(u16::from_be_bytes([*extension.get(2)?, *extension.get(3)?])) * 4,
        };
        let header_bytes = Self::BYTES_MIN + csrc_bytes + extension_bytes;
        (header_bytes <= packet.len()).then(|| Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7f,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            header_bytes,
            is_padded: fixed[0] & 0x20 != 0,
        })
    }
}

/// The first packet of an RTCP datagram; the rest of a compound one may be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtcp {
    /// 200 SR, 201 RR, 202 SDES, 203 BYE, 204 APP, 205 RTPFB, 206 PSFB.
    pub packet_type: u8,
    /// Report count, source count or subtype.
    pub count: u8,
    /// Octets of this packet.
    pub bytes: usize,
    /// Who sends.
    pub ssrc: u32,
}

impl Rtcp {
    const BYTES_MIN: usize = 8;

    /// Reads a header; `None` if it is not version 2 or longer than the datagram.
    #[must_use]
    pub fn read(packet: &[u8]) -> Option<Self> {
        let fixed = packet.first_chunk::<{ Self::BYTES_MIN }>()?;
        let bytes = (usize::from(u16::from_be_bytes([fixed[2], fixed[3]])) + 1) * 4;
        (fixed[0] >> 6 == 2 && (Self::BYTES_MIN..=packet.len()).contains(&bytes)).then(|| Self {
            packet_type: fixed[1],
            count: fixed[0] & 0x1f,
            bytes,
            ssrc: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A datagram of `len` octets that begins with `start`.
    fn datagram(start: &[u8], len: usize) -> Vec<u8> {
        let mut bytes = start.to_vec();
        bytes.resize(len, 0);
        bytes
    }

    #[test]
    fn first_octets_tell_protocols_apart() {
        let stun = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        let table: &[(&[u8], usize, Kind)] = &[
            (&stun, 20, Kind::Stun),
            (&stun, 19, Kind::Unknown),
            (&[0, 1], 20, Kind::Unknown),
            (&[4], 20, Kind::Unknown),
            (&[15], 20, Kind::Unknown),
            (&[16], 20, Kind::Zrtp),
            (&[20], 13, Kind::Dtls),
            (&[63], 13, Kind::Dtls),
            (&[22], 12, Kind::Unknown),
            (&[64], 4, Kind::TurnChannel),
            (&[80], 20, Kind::Unknown),
            (&[127], 20, Kind::Unknown),
            (&[128, 0], 12, Kind::Rtp),
            (&[191, 191], 12, Kind::Rtp),
            (&[128, 224], 12, Kind::Rtp),
            (&[128, 0], 11, Kind::Unknown),
            (&[128, 192], 8, Kind::Rtcp),
            (&[129, 200], 8, Kind::Rtcp),
            (&[128, 223], 8, Kind::Rtcp),
            (&[128, 200], 7, Kind::Unknown),
            (&[128], 1, Kind::Unknown),
            (&[192], 20, Kind::Unknown),
            (&[], 0, Kind::Unknown),
        ];
        for (start, len, kind) in table {
            assert_eq!(classify(&datagram(start, *len)), *kind, "{start:?} of {len}");
        }
    }

    #[test]
    fn hostile_lengths_never_panic() {
        for first in 0..=255u8 {
            for len in 0..=64 {
                let bytes = datagram(&[first, 200, 255, 255][..len.min(4)], len);
                let _ = (classify(&bytes), Rtp::read(&bytes), Rtcp::read(&bytes));
            }
        }
    }

    #[test]
    fn headers_with_csrc_and_extension() {
        let mut packet = vec![0xb2, 0xe0, 0x12, 0x34, 0, 0, 0, 160, 0xde, 0xad, 0xbe, 0xef];
        packet.extend_from_slice(&[0; 8]); // two contributing sources
        packet.extend_from_slice(&[0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        packet.extend_from_slice(b"voice");
        let rtp = Rtp::read(&packet).expect("a whole packet");
        assert_eq!((rtp.marker, rtp.payload_type, rtp.sequence), (true, 96, 0x1234));
        assert_eq!((rtp.timestamp, rtp.ssrc, rtp.is_padded), (160, 0xdead_beef, true));
        assert_eq!(&packet[rtp.header_bytes..], b"voice");
        assert_eq!(Rtp::read(&packet[..rtp.header_bytes - 1]), None);
    }

    #[test]
    fn receiver_reports() {
        let packet = [0x81, 201, 0, 7, 1, 2, 3, 4].into_iter().chain([0; 24]).collect::<Vec<u8>>();
        let rtcp = Rtcp::read(&packet).expect("a whole packet");
        assert_eq!((rtcp.packet_type, rtcp.count, rtcp.bytes, rtcp.ssrc), (201, 1, 32, 0x0102_0304));
        assert_eq!(Rtcp::read(&packet[..31]), None);
        assert_eq!(Rtcp::read(&[0x80, 200, 0, 0, 0, 0, 0, 0]), None, "shorter than its own header");
    }
}
