//! Encryption and authentication of one packet, given its index.

use super::kdf::{self, Label};
use super::{ENCRYPTED, Error, MasterKey, Suite};
use aes::cipher::typenum::U16;
use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipherCore};
use aes::{Aes128Enc, Aes256Enc};
use core::fmt;
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use hmac::{Hmac, Mac};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use sha1::Sha1;
use zeroize::Zeroize;

/// Expanded session keys of RTP or of RTCP.
///
/// Boxed by variant: a suite pays for its own key schedule only.
pub(super) enum Transform {
    Cm128(Box<Cm<Aes128Enc>>),
    Cm256(Box<Cm<Aes256Enc>>),
    Gcm(Box<Gcm>),
}

/// AES in counter mode with HMAC-SHA1.
pub(super) struct Cm<C> {
    cipher: C,
    /// Keyed once; cloned for each packet, which is cheaper than to hash the key again.
    mac: Hmac<Sha1>,
    salt: [u8; 14],
    rtp_tag_bytes: usize,
}

pub(super) struct Gcm {
    key: LessSafeKey,
    salt: [u8; 12],
}

/// Session keys in their short form.
///
/// RTCP comes every few seconds: its key schedules are made when needed and do not wait in memory, where
/// they would take as much as those of RTP.
pub(super) struct RtcpKeys {
    suite: Suite,
    key: [u8; 32],
    authentication: [u8; 20],
    salt: [u8; 14],
}

impl RtcpKeys {
    /// Labels of the encryption key, the authentication key and the salt.
    pub(super) fn derive(master: &MasterKey, labels: [Label; 3]) -> Self {
        let suite = master.suite();
        let mut keys = Self { suite, key: [0; 32], authentication: [0; 20], salt: [0; 14] };
        kdf::derive(master.key(), master.salt(), labels[0], &mut keys.key[..suite.key_bytes()]);
        kdf::derive(master.key(), master.salt(), labels[1], &mut keys.authentication);
        kdf::derive(master.key(), master.salt(), labels[2], &mut keys.salt[..suite.salt_bytes()]);
        keys
    }

    /// Session keys given outright, as the vectors of RFC 7714 give them.
    #[cfg(test)]
    pub(super) fn from_session(suite: Suite, session_key: &[u8], session_salt: &[u8]) -> Self {
        let mut keys = Self { suite, key: [0; 32], authentication: [0; 20], salt: [0; 14] };
        keys.key[..session_key.len()].copy_from_slice(session_key);
        keys.salt[..session_salt.len()].copy_from_slice(session_salt);
        keys
    }

    pub(super) fn expand(&self) -> Transform {
        let rtp_tag_bytes = self.suite.rtp_growth_bytes();
        match self.suite {
            Suite::AesCm128HmacSha1Tag80 | Suite::AesCm128HmacSha1Tag32 => {
                let key = self.key.first_chunk::<16>().expect("32 octets begin with 16");
                Transform::Cm128(Box::new(self.cm(Aes128Enc::new(key.into()), rtp_tag_bytes)))
            }
            Suite::AesCm256HmacSha1Tag80 | Suite::AesCm256HmacSha1Tag32 => {
                Transform::Cm256(Box::new(self.cm(Aes256Enc::new((&self.key).into()), rtp_tag_bytes)))
            }
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => {
                let algorithm = if self.suite.key_bytes() == 16 { &AES_128_GCM } else { &AES_256_GCM };
                let key = UnboundKey::new(algorithm, &self.key[..self.suite.key_bytes()])
                    .expect("the key has the length of the algorithm");
                let salt = self.salt.first_chunk().expect("14 octets begin with 12");
                Transform::Gcm(Box::new(Gcm { key: LessSafeKey::new(key), salt: *salt }))
            }
        }
    }

    fn cm<C>(&self, cipher: C, rtp_tag_bytes: usize) -> Cm<C> {
        let mac = Hmac::new_from_slice(&self.authentication).expect("HMAC takes keys of any length");
        Cm { cipher, mac, salt: self.salt, rtp_tag_bytes }
    }

    /// The E flag and the index of a received SRTCP packet.
    pub(super) fn index_word(&self, packet: &[u8]) -> Option<u32> {
        let after = if self.suite.is_aead() { 0 } else { RTCP_TAG_BYTES };
        let end = packet.len().checked_sub(after)?;
        packet.get(..end)?.last_chunk().map(|word| u32::from_be_bytes(*word))
    }
}

impl Drop for RtcpKeys {
    fn drop(&mut self) {
        self.key.zeroize();
        self.authentication.zeroize();
        self.salt.zeroize();
    }
}

impl fmt::Debug for RtcpKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RtcpKeys(secret)")
    }
}

impl fmt::Debug for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transform(secret)")
    }
}

/// HMAC-SHA1 tags of SRTCP are never shortened below this (RFC 4568 §6.2).
const RTCP_TAG_BYTES: usize = 10;
const GCM_TAG_BYTES: usize = 16;
const RTCP_HEADER_BYTES: usize = 8;

impl Transform {
    /// `packet[..len]` becomes `packet`.
    pub(super) fn seal_rtp(&self, packet: &mut [u8], header: usize, len: usize, ssrc: u32, index: u64) {
        match self {
            Self::Cm128(cm) => cm.seal_rtp(packet, header, len, ssrc, index),
            Self::Cm256(cm) => cm.seal_rtp(packet, header, len, ssrc, index),
            Self::Gcm(gcm) => gcm.seal_rtp(packet, header, len, ssrc, index),
        }
    }

    /// `packet` becomes `packet[..len]`.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header: usize,
        len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<(), Error> {
        match self {
            Self::Cm128(cm) => cm.open_rtp(packet, header, len, ssrc, index),
            Self::Cm256(cm) => cm.open_rtp(packet, header, len, ssrc, index),
            Self::Gcm(gcm) => gcm.open_rtp(packet, header, ssrc, index),
        }
    }

    /// `packet[..len]` becomes `packet`.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], len: usize, ssrc: u32, index: u32) {
        match self {
            Self::Cm128(cm) => cm.seal_rtcp(packet, len, ssrc, index),
            Self::Cm256(cm) => cm.seal_rtcp(packet, len, ssrc, index),
            Self::Gcm(gcm) => gcm.seal_rtcp(packet, len, ssrc, index),
        }
    }

    /// `packet` becomes `packet[..len]`.
    pub(super) fn open_rtcp(
        &self,
        packet: &mut [u8],
        len: usize,
        ssrc: u32,
        index: u32,
    ) -> Result<(), Error> {
        match self {
            Self::Cm128(cm) => cm.open_rtcp(packet, len, ssrc, index),
            Self::Cm256(cm) => cm.open_rtcp(packet, len, ssrc, index),
            Self::Gcm(gcm) => gcm.open_rtcp(packet, len, ssrc, index),
        }
    }
}

impl<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>> Cm<C> {
    fn seal_rtp(&self, packet: &mut [u8], header: usize, len: usize, ssrc: u32, index: u64) {
        let (body, tag) = packet.split_at_mut(len);
        self.crypt(&mut body[header..], ssrc, index);
        put_tag(self.rtp_mac(body, index), tag);
    }

    fn open_rtp(
        &self,
        packet: &mut [u8],
        header: usize,
        len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<(), Error> {
        let (body, tag) = packet.split_at_mut(len);
        debug_assert_eq!(tag.len(), self.rtp_tag_bytes);
        self.rtp_mac(body, index).verify_truncated_left(tag).map_err(|_| Error::BadTag)?;
        self.crypt(&mut body[header..], ssrc, index);
        Ok(())
    }

    fn seal_rtcp(&self, packet: &mut [u8], len: usize, ssrc: u32, index: u32) {
        let (signed, tag) = packet.split_at_mut(len + 4);
        let (body, word) = signed.split_at_mut(len);
        self.crypt(&mut body[RTCP_HEADER_BYTES..], ssrc, u64::from(index));
        word.copy_from_slice(&(index | ENCRYPTED).to_be_bytes());
        put_tag(self.mac.clone().chain_update(signed), tag);
    }

    fn open_rtcp(&self, packet: &mut [u8], len: usize, ssrc: u32, index: u32) -> Result<(), Error> {
        let (signed, tag) = packet.split_at_mut(len + 4);
        let mac = self.mac.clone().chain_update(&*signed);
        mac.verify_truncated_left(tag).map_err(|_| Error::BadTag)?;
        self.crypt(&mut signed[RTCP_HEADER_BYTES..len], ssrc, u64::from(index));
        Ok(())
    }

    /// RFC 3711 §4.2: over the packet and the rollover counter.
    fn rtp_mac(&self, body: &[u8], index: u64) -> Hmac<Sha1> {
        let rollovers = (index >> 16) as u32;
        self.mac.clone().chain_update(body).chain_update(rollovers.to_be_bytes())
    }

    /// RFC 3711 §4.1.1: IV = (salt * 2^16) XOR (SSRC * 2^64) XOR (index * 2^16).
    fn crypt(&self, bytes: &mut [u8], ssrc: u32, index: u64) {
        let mut iv = [0u8; 16];
        iv[..14].copy_from_slice(&self.salt);
        xor(&mut iv[4..8], &ssrc.to_be_bytes());
        xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
        CtrCore::<_, Ctr128BE>::inner_iv_init(&self.cipher, &iv.into()).apply_keystream_partial(bytes.into());
    }
}

impl Gcm {
    fn seal_rtp(&self, packet: &mut [u8], header: usize, len: usize, ssrc: u32, index: u64) {
        let (body, tag) = packet.split_at_mut(len);
        let (header, payload) = body.split_at_mut(header);
        self.seal(self.nonce(ssrc, index), header, payload, tag);
    }

    fn open_rtp(&self, packet: &mut [u8], header: usize, ssrc: u32, index: u64) -> Result<(), Error> {
        let (header, sealed) = packet.split_at_mut(header);
        self.key
            .open_in_place(self.nonce(ssrc, index), Aad::from(&*header), sealed)
            .map(drop)
            .map_err(|_| Error::BadTag)
    }

    fn seal_rtcp(&self, packet: &mut [u8], len: usize, ssrc: u32, index: u32) {
        let (sealed, word) = packet.split_at_mut(len + GCM_TAG_BYTES);
        word.copy_from_slice(&(index | ENCRYPTED).to_be_bytes());
        let aad = rtcp_aad(sealed, index);
        let (body, tag) = sealed.split_at_mut(len);
        self.seal(self.nonce(ssrc, u64::from(index)), &aad, &mut body[RTCP_HEADER_BYTES..], tag);
    }

    fn open_rtcp(&self, packet: &mut [u8], len: usize, ssrc: u32, index: u32) -> Result<(), Error> {
        let aad = rtcp_aad(packet, index);
        let sealed = &mut packet[RTCP_HEADER_BYTES..len + GCM_TAG_BYTES];
        self.key
            .open_in_place(self.nonce(ssrc, u64::from(index)), Aad::from(aad), sealed)
            .map(drop)
            .map_err(|_| Error::BadTag)
    }

    fn seal(&self, nonce: Nonce, aad: &[u8], plain: &mut [u8], tag: &mut [u8]) {
        let made: Tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(aad), plain)
            .expect("a datagram is shorter than what GCM can take");
        tag.copy_from_slice(made.as_ref());
    }

    /// RFC 7714 §8.1 and §9.1: 16 zero bits, SSRC, 48 bits of index, XOR the salt.
    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let mut nonce = self.salt;
        xor(&mut nonce[2..6], &ssrc.to_be_bytes());
        xor(&mut nonce[6..], &index.to_be_bytes()[2..]);
        Nonce::assume_unique_for_key(nonce)
    }
}

/// RFC 7714 §9.2: the first 8 octets and the word with the index.
fn rtcp_aad(packet: &[u8], index: u32) -> [u8; 12] {
    let mut aad = [0; 12];
    aad[..RTCP_HEADER_BYTES].copy_from_slice(&packet[..RTCP_HEADER_BYTES]);
    aad[RTCP_HEADER_BYTES..].copy_from_slice(&(index | ENCRYPTED).to_be_bytes());
    aad
}

fn put_tag(mac: Hmac<Sha1>, tag: &mut [u8]) {
    let full = mac.finalize().into_bytes();
    tag.copy_from_slice(&full[..tag.len()]);
}

fn xor(to: &mut [u8], with: &[u8]) {
    for (to, with) in to.iter_mut().zip(with) {
        *to ^= with;
    }
}
