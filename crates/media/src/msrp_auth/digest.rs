//! The response to a challenge, RFC 7616 §3.4.1, with the method AUTH.

use super::params::Params;
use md5::Md5;
use sha2::{Digest, Sha256};

/// A hash function of Digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Algorithm {
    /// MD5: the only one of RFC 4976.
    #[default]
    Md5,
    /// SHA-256 (RFC 7616).
    Sha256,
}

impl Algorithm {
    /// The algorithm a client names; MD5 if it names none.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"" => Some(Self::Md5),
            name if name.eq_ignore_ascii_case(b"MD5") => Some(Self::Md5),
            name if name.eq_ignore_ascii_case(b"SHA-256") => Some(Self::Sha256),
            _ => None,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// Hexadecimal digits of a digest.
    pub(super) const fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 => 64,
        }
    }
}

/// The response that proves `secret`, which is H(user:realm:password) in hexadecimal digits.
pub(super) fn response(algorithm: Algorithm, secret: &[u8], params: &Params<'_>, target: &[u8]) -> Vec<u8> {
    let a2 = hash(algorithm, &[b"AUTH:", target]);
    let parts = [params.get(b"nonce"), params.get(b"nc"), params.get(b"cnonce"), params.get(b"qop")];
    let [nonce, count, client, qop] = parts;
    let all = [secret, b":", nonce, b":", count, b":", client, b":", qop, b":", &a2];
    hash(algorithm, &all)
}

fn hash(algorithm: Algorithm, parts: &[&[u8]]) -> Vec<u8> {
    fn of<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
        let mut hash = D::new();
        parts.iter().for_each(|part| hash.update(part));
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = |octet: &u8| [DIGITS[usize::from(octet >> 4)], DIGITS[usize::from(octet & 15)]];
        hash.finalize().iter().flat_map(digits).collect()
    }
    match algorithm {
        Algorithm::Md5 => of::<Md5>(parts),
        Algorithm::Sha256 => of::<Sha256>(parts),
    }
}

/// Compares in a time that does not tell where they differ.
pub(super) fn is_equal(expected: &[u8], given: &[u8]) -> bool {
    let differ = |(a, b): (&u8, &u8)| a ^ b.to_ascii_lowercase();
    expected.len() == given.len() && expected.iter().zip(given).map(differ).fold(0, |all, d| all | d) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 §3.9.1 with its own numbers, the method and the URI put in the place of ours.
    #[test]
    fn the_example_of_the_rfc() {
        for (algorithm, expected) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let secret = hash(algorithm, &[b"Mufasa:http-auth@example.org:Circle of Life"]);
            let a2 = hash(algorithm, &[b"GET:/dir/index.html"]);
            let all: [&[u8]; 4] = [
                &secret,
                b":7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v:00000001:",
                b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ:auth:",
                &a2,
            ];
            assert_eq!(hash(algorithm, &all), expected.as_bytes());
        }
    }

    #[test]
    fn comparing_ignores_case_and_nothing_else() {
        assert!(is_equal(b"0a1b", b"0A1b"));
        assert!(!is_equal(b"0a1b", b"0a1c"));
        assert!(!is_equal(b"0a1b", b"0a1"));
        assert!(!is_equal(b"0a1b", b""));
    }
}
