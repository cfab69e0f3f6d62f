//! Fingerprints of certificates, as SDP tells them (RFC 8122 §5).
//!
//! ```text
//! fingerprint = hash-func SP 2UHEX *(":" 2UHEX)      sha-256 4A:AD:B9:…
//! ```
//! Only hash functions that stand today are known: a digest by MD5 or SHA-1 proves nothing.

use crate::bytes_class::{BLANK, HEX, is};

/// A hash function, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashFunction {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashFunction {
    /// All of them, in the order of the enum.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The name as RFC 8122 writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// Octets of a digest.
    #[must_use]
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// The digest of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    hash: HashFunction,
    /// Zero behind `hash.digest_len()`.
    digest: [u8; 64],
}

/// What the value of an `a=fingerprint` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FingerprintText {
    /// One that can be checked.
    Known(Fingerprint),
    /// One by a hash function that is not trusted, or not known.
    Foreign,
    /// None at all.
    Malformed,
}

impl Fingerprint {
    /// A digest by `hash`; `None` if it has not the length of one.
    #[must_use]
    pub fn new(hash: HashFunction, digest: &[u8]) -> Option<Self> {
        if digest.len() != hash.digest_len() {
            return None;
        }
        let mut octets = [0; 64];
        octets.get_mut(..digest.len())?.copy_from_slice(digest);
        Some(Self { hash, digest: octets })
    }

    /// By which function.
    #[must_use]
    pub const fn hash(&self) -> HashFunction {
        self.hash
    }

    /// The octets.
    #[must_use]
    pub fn digest(&self) -> &[u8] {
        self.digest.get(..self.hash.digest_len()).unwrap_or_default()
    }

    /// Reads the value of an `a=fingerprint`; names and digits compare without case, as peers write them.
    #[must_use]
    pub fn read(text: &[u8]) -> FingerprintText {
        let mut words = text.split(|&b| is(b, BLANK)).filter(|word| !word.is_empty());
        let (Some(name), Some(digits), None) = (words.next(), words.next(), words.next()) else {
            return FingerprintText::Malformed;
        };
        let hash =
            HashFunction::ALL.into_iter().find(|hash| hash.name().as_bytes().eq_ignore_ascii_case(name));
        let Some(hash) = hash else { return FingerprintText::Foreign };
        let mut digest = [0; 64];
        let mut count = 0;
        for pair in digits.split(|&b| b == b':') {
            let ([high, low], Some(place)) = (pair, digest.get_mut(count)) else {
                return FingerprintText::Malformed;
            };
            if !is(*high, HEX) || !is(*low, HEX) {
                return FingerprintText::Malformed;
            }
            *place = nibble(*high) << 4 | nibble(*low);
            count += 1;
        }
        match Self::new(hash, digest.get(..count).unwrap_or_default()) {
            Some(fingerprint) => FingerprintText::Known(fingerprint),
            None => FingerprintText::Malformed,
        }
    }
}

/// As the value of an `a=fingerprint`: digits in upper case, as the grammar asks.
impl core::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.hash.name())?;
        for (at, octet) in self.digest().iter().enumerate() {
            write!(f, "{}{octet:02X}", if at == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

impl core::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// A certificate that a peer has shown, by its digests: what fingerprints are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateDigests {
    /// In the order of [`HashFunction::ALL`].
    digests: [Fingerprint; 3],
}

impl CertificateDigests {
    /// `digest` computes one over the DER form of the certificate; `None` if one has a wrong length.
    #[must_use]
    pub fn new(mut digest: impl FnMut(HashFunction) -> Option<Fingerprint>) -> Option<Self> {
        let [a, b, c] = HashFunction::ALL;
        let digests = [digest(a)?, digest(b)?, digest(c)?];
        let in_order = digests.iter().map(Fingerprint::hash).eq(HashFunction::ALL);
        in_order.then_some(Self { digests })
    }

    /// By one function.
    #[must_use]
    pub fn by(&self, hash: HashFunction) -> &Fingerprint {
        let [a, b, c] = &self.digests;
        match hash {
            HashFunction::Sha256 => a,
            HashFunction::Sha384 => b,
            HashFunction::Sha512 => c,
        }
    }

    /// Whether the certificate is one of those announced.
    ///
    /// Several fingerprints by one function name several certificates, and those by several functions
    /// the same ones: only those by the strongest function count, or a weak one would do (RFC 8122 §5.1).
    #[must_use]
    pub fn is_among(&self, announced: &[Fingerprint]) -> bool {
        let Some(strongest) = announced.iter().map(Fingerprint::hash).max() else { return false };
        announced.contains(self.by(strongest))
    }
}

const fn nibble(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { (digit | 32) - b'a' + 10 }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(hash: HashFunction, octet: u8) -> Fingerprint {
        Fingerprint::new(hash, &vec![octet; hash.digest_len()]).unwrap()
    }

    #[test]
    fn values_of_the_attribute() {
        let text = of(HashFunction::Sha256, 0xa5).to_string();
        assert_eq!(text, format!("sha-256 A5{}", ":A5".repeat(31)));
        for known in [text.clone(), text.to_lowercase(), text.replace(' ', " \t"), format!(" {text} ")] {
            let expected = FingerprintText::Known(of(HashFunction::Sha256, 0xa5));
            assert_eq!(Fingerprint::read(known.as_bytes()), expected, "{known}");
        }
        let long = of(HashFunction::Sha512, 1).to_string();
        assert_eq!(Fingerprint::read(long.as_bytes()), FingerprintText::Known(of(HashFunction::Sha512, 1)));
        for foreign in ["SHA-1 4A:AD", "md5 00", "sha-3 1"] {
            assert_eq!(Fingerprint::read(foreign.as_bytes()), FingerprintText::Foreign, "{foreign}");
        }
        let short = format!("sha-256 A5{}", ":A5".repeat(30));
        let longer = format!("sha-256 A5{}", ":A5".repeat(32));
        let endless = format!("sha-512 A5{}", ":A5".repeat(900));
        for malformed in
            ["", "sha-256", "sha-256 A5:", "sha-256 A5:G0", "sha-256 A", &short, &longer, &endless]
        {
            assert_eq!(Fingerprint::read(malformed.as_bytes()), FingerprintText::Malformed, "{malformed}");
        }
    }

    #[test]
    fn only_the_strongest_function_counts() {
        let shown = CertificateDigests::new(|hash| Some(of(hash, 7))).unwrap();
        let (sha256, sha512) = (HashFunction::Sha256, HashFunction::Sha512);
        assert!(shown.is_among(&[of(sha256, 7)]));
        assert!(shown.is_among(&[of(sha256, 1), of(sha256, 7)]), "one of several certificates");
        assert!(!shown.is_among(&[of(sha256, 7), of(sha512, 1)]), "the weaker one does not save it");
        assert!(shown.is_among(&[of(sha256, 1), of(sha512, 7)]));
        assert!(!shown.is_among(&[]));
        assert!(CertificateDigests::new(|_| Some(of(sha256, 7))).is_none());
    }
}
