//! SRTP and SRTCP, in place: RFC 3711 with the suites of RFC 4568, RFC 6188 and RFC 7714.
//!
//! ```text
//!  RTP   | header | payload ~~~~~~ | tag |                 ~ encrypted
//!  RTCP  | 8 octets | rest ~~~~~~~ | E, index | tag |      AES-CM with HMAC-SHA1
//!  RTCP  | 8 octets | rest ~~~~~~~ | tag | E, index |      AES-GCM
//! ```
//! One [`Sender`] and one [`Receiver`] per direction of a session; each serves every source (SSRC) that
//! appears under its key. A warm call allocates nothing. There is no MKI: `sdes` refuses it.

mod kdf;
mod transform;
mod window;

#[cfg(test)]
pub(crate) mod tests;

use crate::Rtp;
use core::fmt;
use kdf::Label;
use transform::{RtcpKeys, Transform};
use window::Window;
use zeroize::Zeroize;

/// How packets are encrypted and authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Suite {
    /// RFC 7714. Cheapest on a processor with AES instructions, hence the first offered.
    AeadAes128Gcm,
    /// RFC 7714.
    AeadAes256Gcm,
    /// RFC 4568 §6.2: what every phone speaks.
    AesCm128HmacSha1Tag80,
    /// RFC 4568 §6.2: a tag of 32 bits on RTP, of 80 bits on RTCP.
    AesCm128HmacSha1Tag32,
    /// RFC 6188.
    AesCm256HmacSha1Tag80,
    /// RFC 6188.
    AesCm256HmacSha1Tag32,
}

impl Suite {
    /// Every suite, in the order of our preference.
    pub const ALL: [Self; 6] = [
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
        Self::AesCm128HmacSha1Tag80,
        Self::AesCm256HmacSha1Tag80,
        Self::AesCm128HmacSha1Tag32,
        Self::AesCm256HmacSha1Tag32,
    ];

    /// The name in `a=crypto`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Self::AesCm128HmacSha1Tag80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1Tag32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm256HmacSha1Tag80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256HmacSha1Tag32 => "AES_256_CM_HMAC_SHA1_32",
        }
    }

    /// Octets of the master key.
    #[must_use]
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AesCm128HmacSha1Tag80 | Self::AesCm128HmacSha1Tag32 => 16,
            Self::AeadAes256Gcm | Self::AesCm256HmacSha1Tag80 | Self::AesCm256HmacSha1Tag32 => 32,
        }
    }

    /// Octets of the master salt.
    #[must_use]
    pub const fn salt_bytes(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Octets that an RTP packet grows by.
    #[must_use]
    pub const fn rtp_growth_bytes(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
            Self::AesCm128HmacSha1Tag80 | Self::AesCm256HmacSha1Tag80 => 10,
            Self::AesCm128HmacSha1Tag32 | Self::AesCm256HmacSha1Tag32 => 4,
        }
    }

    /// Octets that an RTCP packet grows by: the tag, which RFC 4568 §6.2 never shortens, and the index.
    #[must_use]
    pub const fn rtcp_growth_bytes(self) -> usize {
        4 + if self.is_aead() { 16 } else { 10 }
    }

    const fn is_aead(self) -> bool {
        matches!(self, Self::AeadAes128Gcm | Self::AeadAes256Gcm)
    }
}

/// A master key and its salt; wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    /// `bytes[..suite.key_bytes()]` is the key, the salt follows, the rest is zero.
    bytes: [u8; Self::BYTES_MAX],
    suite: Suite,
}

impl MasterKey {
    /// The longest key with its salt.
    pub const BYTES_MAX: usize = 46;

    /// Takes a key followed by its salt, as `inline:` carries them; `None` if the length is not the suite's.
    #[must_use]
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Option<Self> {
        if key_and_salt.len() != suite.key_bytes() + suite.salt_bytes() {
            return None;
        }
        let mut bytes = [0; Self::BYTES_MAX];
        bytes.get_mut(..key_and_salt.len())?.copy_from_slice(key_and_salt);
        Some(Self { bytes, suite })
    }

    /// Draws a key.
    #[must_use]
    pub fn random(suite: Suite, random: &mut wire::Random) -> Self {
        let mut bytes = [0; Self::BYTES_MAX];
        let used = suite.key_bytes() + suite.salt_bytes();
        if let Some(used) = bytes.get_mut(..used) {
            random.fill(used);
        }
        Self { bytes, suite }
    }

    /// The suite it was made for.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Key and salt, to be written into `inline:` and nowhere else.
    #[must_use]
    pub fn key_and_salt(&self) -> &[u8] {
        &self.bytes[..self.suite.key_bytes() + self.suite.salt_bytes()]
    }

    fn key(&self) -> &[u8] {
        &self.bytes[..self.suite.key_bytes()]
    }

    fn salt(&self) -> &[u8] {
        &self.key_and_salt()[self.suite.key_bytes()..]
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({}, secret)", self.suite.name())
    }
}

/// Why a packet was not protected or not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Not an RTP or RTCP packet, or too short for its tag.
    Malformed,
    /// The tag is wrong: another key, a changed packet, or an attacker.
    BadTag,
    /// The index was used before.
    Replayed,
    /// The index lies behind the replay window.
    TooOld,
    /// SRTCP that is authenticated but not encrypted; `UNENCRYPTED_SRTCP` is never agreed to.
    Unencrypted,
    /// More sources than one key may serve.
    TooManySources,
    /// Every index of this key is used: a new key must be agreed (RFC 3711 §9.2).
    KeyExhausted,
    /// The buffer cannot hold the tag.
    NoRoom,
}

/// What is remembered of a source.
#[derive(Clone, Debug)]
struct Source {
    ssrc: u32,
    rtp: Window,
    rtcp: Window,
}

/// The sources under one key, few and rarely new.
///
/// None is ever forgotten: its indices would start again, which for a sender means to use a key stream
/// twice, and for a receiver to take old packets again.
#[derive(Clone, Debug, Default)]
struct Sources {
    list: Vec<Source>,
    /// Where the last packet's source stands.
    last: usize,
}

impl Sources {
    /// A call changes its source on transfer, on hold with some phones, or when a server takes over.
    const MAX: usize = 64;

    fn find(&mut self, ssrc: u32) -> Option<&mut Source> {
        if self.list.get(self.last).is_none_or(|source| source.ssrc != ssrc) {
            self.last = self.list.iter().position(|source| source.ssrc == ssrc)?;
        }
        self.list.get_mut(self.last)
    }

    fn is_full(&self) -> bool {
        self.list.len() >= Self::MAX
    }

    fn find_or_add(&mut self, ssrc: u32) -> Result<&mut Source, Error> {
        if self.find(ssrc).is_none() {
            if self.is_full() {
                return Err(Error::TooManySources);
            }
            // One is the rule: room for more is taken one at a time.
            self.list.reserve_exact(1);
            self.last = self.list.len();
            self.list.push(Source { ssrc, rtp: Window::default(), rtcp: Window::default() });
        }
        self.list.get_mut(self.last).ok_or(Error::TooManySources)
    }
}

/// Protects what goes out under one key.
#[derive(Debug)]
pub struct Sender {
    suite: Suite,
    rtp: Transform,
    rtcp: RtcpKeys,
    sources: Sources,
}

impl Sender {
    /// Starts with rollover counters and SRTCP indices at zero.
    #[must_use]
    pub fn new(key: &MasterKey) -> Self {
        let (rtp, rtcp) = transforms(key);
        Self { suite: key.suite(), rtp, rtcp, sources: Sources::default() }
    }

    /// The suite in use.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Protects the RTP packet `buffer[..len]`; returns its new length.
    ///
    /// A packet that came twice is refused, because two payloads under one index would give away both
    /// (RFC 3711 §9.1).
    ///
    /// # Errors
    /// See [`Error`]; the content of the buffer is then unspecified.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Error> {
        let header = buffer.get(..len).and_then(Rtp::read).ok_or(Error::Malformed)?;
        let grown = len + self.suite.rtp_growth_bytes();
        let packet = buffer.get_mut(..grown).ok_or(Error::NoRoom)?;
        let window = &mut self.sources.find_or_add(header.ssrc)?.rtp;
        let index = window.estimate(header.sequence)?;
        window.check(index)?;
        self.rtp.seal_rtp(packet, header.header_bytes, len, header.ssrc, index);
        window.accept(index);
        Ok(grown)
    }

    /// Protects the RTCP packet `buffer[..len]`, compound or not; returns its new length.
    ///
    /// # Errors
    /// See [`Error`]; the content of the buffer is then unspecified.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Error> {
        let ssrc = buffer.get(..len).and_then(rtcp_sender).ok_or(Error::Malformed)?;
        let grown = len + self.suite.rtcp_growth_bytes();
        let packet = buffer.get_mut(..grown).ok_or(Error::NoRoom)?;
        let window = &mut self.sources.find_or_add(ssrc)?.rtcp;
        let index = window.next_rtcp()?;
        self.rtcp.expand().seal_rtcp(packet, len, ssrc, index);
        window.accept(u64::from(index));
        Ok(grown)
    }
}

/// Opens what comes in under one key.
#[derive(Debug)]
pub struct Receiver {
    suite: Suite,
    rtp: Transform,
    rtcp: RtcpKeys,
    sources: Sources,
}

impl Receiver {
    /// Starts with rollover counters at zero and nothing seen.
    #[must_use]
    pub fn new(key: &MasterKey) -> Self {
        let (rtp, rtcp) = transforms(key);
        Self { suite: key.suite(), rtp, rtcp, sources: Sources::default() }
    }

    /// The suite in use.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Opens an SRTP packet; returns the length of the RTP packet at the start of `packet`.
    ///
    /// Only a packet with a valid tag changes anything: neither the window nor the list of sources moves
    /// for a forged one (RFC 3711 §3.3).
    ///
    /// # Errors
    /// See [`Error`]; the content of the packet is then unspecified.
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Error> {
        let header = Rtp::read(packet).ok_or(Error::Malformed)?;
        let len = packet.len().checked_sub(self.suite.rtp_growth_bytes()).ok_or(Error::Malformed)?;
        if len < header.header_bytes {
            return Err(Error::Malformed);
        }
        let fresh = Window::default();
        let is_full = self.sources.is_full();
        let window = match self.sources.find(header.ssrc) {
            Some(source) => &source.rtp,
            None if is_full => return Err(Error::TooManySources),
            None => &fresh,
        };
        let index = window.estimate(header.sequence)?;
        window.check(index)?;
        self.rtp.open_rtp(packet, header.header_bytes, len, header.ssrc, index)?;
        self.sources.find_or_add(header.ssrc)?.rtp.accept(index);
        Ok(len)
    }

    /// Opens an SRTCP packet; returns the length of the RTCP packet at the start of `packet`.
    ///
    /// # Errors
    /// See [`Error`]; the content of the packet is then unspecified.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Error> {
        let len = packet.len().checked_sub(self.suite.rtcp_growth_bytes()).ok_or(Error::Malformed)?;
        let ssrc = packet.get(..len).and_then(rtcp_sender).ok_or(Error::Malformed)?;
        let word = self.rtcp.index_word(packet).ok_or(Error::Malformed)?;
        let index = word & !ENCRYPTED;
        let is_full = self.sources.is_full();
        match self.sources.find(ssrc) {
            Some(source) => source.rtcp.check(u64::from(index))?,
            None if is_full => return Err(Error::TooManySources),
            None => {}
        }
        if word & ENCRYPTED == 0 {
            return Err(Error::Unencrypted);
        }
        self.rtcp.expand().open_rtcp(packet, len, ssrc, index)?;
        self.sources.find_or_add(ssrc)?.rtcp.accept(u64::from(index));
        Ok(len)
    }
}

/// The E flag before the SRTCP index.
const ENCRYPTED: u32 = 1 << 31;

/// Who sends an RTCP packet. Lengths are for the reader of the plain packet to judge: RFC 7714's own
/// example is four octets shorter than it says.
fn rtcp_sender(packet: &[u8]) -> Option<u32> {
    let fixed = packet.first_chunk::<8>()?;
    let [.., a, b, c, d] = *fixed;
    (fixed[0] >> 6 == 2).then(|| u32::from_be_bytes([a, b, c, d]))
}

fn transforms(key: &MasterKey) -> (Transform, RtcpKeys) {
    let rtp =
        RtcpKeys::derive(key, [Label::RtpEncryption, Label::RtpAuthentication, Label::RtpSalt]).expand();
    let rtcp = RtcpKeys::derive(key, [Label::RtcpEncryption, Label::RtcpAuthentication, Label::RtcpSalt]);
    (rtp, rtcp)
}
