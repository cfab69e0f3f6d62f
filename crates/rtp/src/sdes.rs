//! Keys in SDP: `a=crypto` of RFC 4568, read, chosen from, written.
//!
//! ```text
//!   a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20
//!            tag suite                 key and salt                             lifetime
//! ```
//! Key material never leaves through `Debug`, and is wiped when dropped. What the far end asks for and we
//! do not do (MKI, FEC, unencrypted SRTCP, key derivation rates) makes a line unusable, not the call:
//! the next line may be fine.

use crate::base64;
use crate::srtp::{MasterKey, Suite};
use wire::Random;
use zeroize::Zeroize;

/// One usable `a=crypto` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// Names the line in offer and answer, 1..=999_999_999 (RFC 4568 §9.1; 0 is tolerated).
    pub tag: u32,
    /// Suite and key with which the writer of the line sends.
    pub key: MasterKey,
    /// Packets under this key before a new one must be agreed; `None` for the limit of the suite.
    pub lifetime_packets: Option<u64>,
}

/// Why a line cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Not of the form of RFC 4568 §9.1.
    Malformed,
    /// A suite that is not ours.
    UnknownSuite,
    /// The key is not `inline:`, is not base64, or does not have the suite's length.
    BadKey,
    /// A lifetime of zero or beyond the suite's limit of 2^48 packets.
    BadLifetime,
    /// A master key identifier: each packet would carry it.
    Mki,
    /// More than one key in the line, which needs an MKI.
    SeveralKeys,
    /// A session parameter that we do not obey, and that is not marked as safe to ignore (`-`).
    SessionParameter,
}

impl Crypto {
    /// Reads the value of an `a=crypto` line, what stands after `crypto:`.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn parse(value: &[u8]) -> Result<Self, Refusal> {
        let mut words = value.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty());
        let tag = words.next().and_then(|word| number(word, 9)).ok_or(Refusal::Malformed)?;
        let tag = u32::try_from(tag).map_err(|_| Refusal::Malformed)?;
        let suite = suite(words.next().ok_or(Refusal::Malformed)?).ok_or(Refusal::UnknownSuite)?;
        let key_params = words.next().ok_or(Refusal::Malformed)?;
        for parameter in words {
            check_session_parameter(parameter)?;
        }
        if key_params.contains(&b';') {
            return Err(Refusal::SeveralKeys);
        }
        let (key, lifetime_packets) = read_key(suite, key_params)?;
        Ok(Self { tag, key, lifetime_packets })
    }

    /// A line with a fresh key.
    #[must_use]
    pub fn generate(tag: u32, suite: Suite, random: &mut Random) -> Self {
        Self { tag, key: MasterKey::random(suite, random), lifetime_packets: None }
    }

    /// Appends the value of an `a=crypto` line, what stands after `crypto:`.
    ///
    /// The lifetime is left out: 2^48 and 2^31 packets are what every suite has by default, and phones
    /// were seen to stumble over one.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.tag.to_string().as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.key.suite().name().as_bytes());
        out.extend_from_slice(b" inline:");
        base64::encode(self.key.key_and_salt(), out);
    }
}

/// Chooses the line to answer: the first of `preference` that the offer holds, and of several lines with
/// that suite the first. A tag that stands twice would make the answer ambiguous: such lines are passed
/// over (RFC 4568 §5.1.1).
#[must_use]
pub fn choose<'a>(offer: &'a [Crypto], preference: &[Suite]) -> Option<&'a Crypto> {
    let is_unique = |line: &&Crypto| offer.iter().filter(|other| other.tag == line.tag).count() == 1;
    preference.iter().find_map(|suite| offer.iter().filter(is_unique).find(|line| line.key.suite() == *suite))
}

/// Finds what we offered in the line of the answer: tag and suite must both be of one of our lines
/// (RFC 4568 §5.1.3).
#[must_use]
pub fn accepted<'a>(offered: &'a [Crypto], answer: &Crypto) -> Option<&'a Crypto> {
    offered.iter().find(|line| line.tag == answer.tag && line.key.suite() == answer.key.suite())
}

fn suite(name: &[u8]) -> Option<Suite> {
    Suite::ALL.into_iter().find(|suite| suite.name().as_bytes().eq_ignore_ascii_case(name))
}

/// `inline:key[|lifetime]`, with `|MKI:length` refused.
fn read_key(suite: Suite, key_param: &[u8]) -> Result<(MasterKey, Option<u64>), Refusal> {
    let method_end = key_param.iter().position(|b| *b == b':').ok_or(Refusal::BadKey)?;
    let (method, info) = key_param.split_at(method_end);
    if !method.eq_ignore_ascii_case(b"inline") {
        return Err(Refusal::BadKey);
    }
    let mut fields = info[1..].split(|b| *b == b'|');
    let mut octets = [0u8; MasterKey::BYTES_MAX];
    let key = base64::decode(fields.next().unwrap_or_default(), &mut octets)
        .and_then(|used| octets.get(..used))
        .and_then(|used| MasterKey::new(suite, used));
    octets.zeroize();
    let key = key.ok_or(Refusal::BadKey)?;
    let mut lifetime_packets = None;
    for field in fields {
        if field.contains(&b':') {
            return Err(Refusal::Mki);
        }
        if lifetime_packets.is_some() {
            return Err(Refusal::Malformed);
        }
        lifetime_packets = Some(lifetime(field)?);
    }
    Ok((key, lifetime_packets))
}

/// `2^20` or `1048576`.
fn lifetime(field: &[u8]) -> Result<u64, Refusal> {
    const PACKETS_MAX: u64 = 1 << 48;
    let packets = match field.strip_prefix(b"2^") {
        Some(exponent) => number(exponent, 2).filter(|e| *e <= 48).map(|e| 1u64 << e),
        None => number(field, 15),
    };
    packets.filter(|packets| (1..=PACKETS_MAX).contains(packets)).ok_or(Refusal::BadLifetime)
}

/// RFC 4568 §6.3. `WSH` only sizes the replay window, and ours holds what it asks for by default.
fn check_session_parameter(parameter: &[u8]) -> Result<(), Refusal> {
    let upper = parameter.to_ascii_uppercase();
    let is_harmless = upper.starts_with(b"-") || upper.starts_with(b"WSH=") || upper == b"KDR=0";
    if is_harmless { Ok(()) } else { Err(Refusal::SessionParameter) }
}

/// Decimal digits, at most so many.
fn number(digits: &[u8], digits_max: usize) -> Option<u64> {
    if digits.is_empty() || digits.len() > digits_max || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The key of the examples of RFC 4568.
    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    fn refusal(value: &str) -> Option<Refusal> {
        Crypto::parse(value.as_bytes()).err()
    }

    #[test]
    fn lines_of_the_rfc_and_of_phones() {
        let table = [
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20"), Some(1 << 20)),
            (format!("1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}"), None),
            (format!("1  aes_cm_128_hmac_sha1_80  INLINE:{KEY}|1048576  WSH=64"), Some(1 << 20)),
            (format!("999999999 AES_CM_128_HMAC_SHA1_80 inline:{KEY} -EXTRA"), None),
            (format!("0 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^48 KDR=0"), Some(1 << 48)),
        ];
        for (value, lifetime) in table {
            let line = Crypto::parse(value.as_bytes()).expect(&value);
            assert_eq!(line.lifetime_packets, lifetime, "{value}");
            assert_eq!(line.key.key_and_salt().len(), 30);
        }
        let gcm = "2 AEAD_AES_128_GCM inline:AAECAwQFBgcICQoLDA0OD6ChoqOkpaanqKmqqw==";
        let line = Crypto::parse(gcm.as_bytes()).unwrap();
        assert_eq!((line.tag, line.key.suite()), (2, Suite::AeadAes128Gcm));
    }

    #[test]
    fn what_is_refused_and_why() {
        let table = [
            (String::new(), Refusal::Malformed),
            ("1".into(), Refusal::Malformed),
            (format!("x AES_CM_128_HMAC_SHA1_80 inline:{KEY}"), Refusal::Malformed),
            (format!("1234567890 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"), Refusal::Malformed),
            (format!("1 F8_128_HMAC_SHA1_80 inline:{KEY}"), Refusal::UnknownSuite),
            ("1 AES_CM_128_HMAC_SHA1_80".into(), Refusal::Malformed),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:".into(), Refusal::BadKey),
            (format!("1 AES_CM_128_HMAC_SHA1_80 prompt:{KEY}"), Refusal::BadKey),
            (format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}"), Refusal::BadKey),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}", &KEY[4..]), Refusal::BadKey),
            (format!("1 AEAD_AES_256_GCM inline:{KEY}"), Refusal::BadKey),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}{KEY}"), Refusal::BadKey),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4"), Refusal::Mki),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4"), Refusal::Mki),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|2^20"), Refusal::Malformed),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^49"), Refusal::BadLifetime),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|0"), Refusal::BadLifetime),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|"), Refusal::BadLifetime),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY};inline:{KEY}"), Refusal::SeveralKeys),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTCP"), Refusal::SessionParameter),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=1"), Refusal::SessionParameter),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} FEC_ORDER=FEC_SRTP"), Refusal::SessionParameter),
        ];
        for (value, expected) in table {
            assert_eq!(refusal(&value), Some(expected), "{value}");
        }
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let mut random = Random::from_u64(7);
        for (tag, suite) in (1..).zip(Suite::ALL) {
            let line = Crypto::generate(tag, suite, &mut random);
            let mut value = Vec::new();
            line.write(&mut value);
            assert_eq!(Crypto::parse(&value), Ok(line));
        }
    }

    #[test]
    fn our_preference_wins_and_doubled_tags_lose() {
        let mut random = Random::from_u64(7);
        let mut line = |tag, suite| Crypto::generate(tag, suite, &mut random);
        let offer = [
            line(1, Suite::AesCm128HmacSha1Tag32),
            line(2, Suite::AesCm128HmacSha1Tag80),
            line(3, Suite::AesCm128HmacSha1Tag80),
            line(4, Suite::AeadAes256Gcm),
            line(4, Suite::AeadAes128Gcm),
        ];
        assert_eq!(choose(&offer, &Suite::ALL).map(|line| line.tag), Some(2));
        assert_eq!(choose(&offer, &[Suite::AesCm128HmacSha1Tag32]).map(|line| line.tag), Some(1));
        assert_eq!(choose(&offer, &[Suite::AeadAes128Gcm]), None);
        assert_eq!(choose(&[], &Suite::ALL), None);
        let answer = line(2, Suite::AesCm128HmacSha1Tag80);
        assert_eq!(accepted(&offer, &answer).map(|line| line.tag), Some(2));
        assert_eq!(accepted(&offer, &line(1, Suite::AesCm128HmacSha1Tag80)), None);
        assert_eq!(accepted(&offer, &line(9, Suite::AesCm128HmacSha1Tag80)), None);
    }

    #[test]
    fn debug_shows_no_key() {
        let line = Crypto::parse(format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}").as_bytes()).unwrap();
        let printed = format!("{line:?}");
        assert!(
            printed.contains("secret") && !printed.contains("WVN") && !printed.contains("89, 83"),
            "{printed}"
        );
    }
}
