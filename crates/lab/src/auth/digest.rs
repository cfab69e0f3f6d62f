//! The Digest computation: RFC 2617 §3.2.2, RFC 7616 §3.4.1, RFC 8760; AKAv1 by RFC 3310 §3.3.

use super::text::hex;
use md5::{Digest as _, Md5};
use sha2::Sha256;

/// How a response is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 2617.
    Md5,
    /// RFC 2617, with a session key in A1.
    Md5Sess,
    /// RFC 7616 and RFC 8760.
    Sha256,
    /// RFC 7616, with a session key in A1.
    Sha256Sess,
    /// RFC 3310: the password is RES.
    AkaV1Md5,
    /// As `AkaV1Md5` with SHA-256; the specification's figures 5-10 and 5-12 use it.
    AkaV1Sha256,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 6] =
        [Self::Md5, Self::Md5Sess, Self::Sha256, Self::Sha256Sess, Self::AkaV1Md5, Self::AkaV1Sha256];

    /// As it stands in the `algorithm` parameter.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::AkaV1Md5 => "AKAv1-MD5",
            Self::AkaV1Sha256 => "AKAv1-SHA256",
        }
    }

    /// Reads the `algorithm` parameter; its absence means MD5 (RFC 2617 §3.2.1).
    #[must_use]
    pub fn parse(text: Option<&str>) -> Option<Self> {
        let Some(text) = text else {
            return Some(Self::Md5);
        };
        Self::ALL.into_iter().find(|a| a.label().eq_ignore_ascii_case(text))
    }

    /// Whether the password comes out of a SIM card.
    #[must_use]
    pub const fn is_aka(self) -> bool {
        matches!(self, Self::AkaV1Md5 | Self::AkaV1Sha256)
    }

    fn hash(self, text: &[u8]) -> String {
        match self {
            Self::Md5 | Self::Md5Sess | Self::AkaV1Md5 => hex(&Md5::digest(text)),
            Self::Sha256 | Self::Sha256Sess | Self::AkaV1Sha256 => hex(&Sha256::digest(text)),
        }
    }

    const fn is_session(self) -> bool {
        matches!(self, Self::Md5Sess | Self::Sha256Sess)
    }
}

/// What goes into a response besides the algorithm.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The private identity.
    pub username: &'a str,
    /// The realm of the challenge.
    pub realm: &'a str,
    /// The password; for AKA the bytes of RES.
    pub password: &'a [u8],
    /// The method of the request.
    pub method: &'a str,
    /// The `uri` parameter.
    pub uri: &'a str,
    /// The `nonce` parameter.
    pub nonce: &'a str,
    /// `qop=auth`, or none as in the specification's figures.
    pub qop: Option<QopAuth<'a>>,
    /// The client nonce, which the `-sess` algorithms hash into A1 even without qop.
    pub session_cnonce: &'a str,
}

/// The parameters that come with `qop=auth`.
#[derive(Clone, Copy, Debug)]
pub struct QopAuth<'a> {
    /// Eight hexadecimal digits.
    pub nc: &'a str,
    /// The client nonce.
    pub cnonce: &'a str,
}

/// Computes the `response` parameter.
#[must_use]
pub fn response(algorithm: Algorithm, i: &Inputs<'_>) -> String {
    let mut a1 = format!("{}:{}:", i.username, i.realm).into_bytes();
    a1.extend_from_slice(i.password);
    let mut ha1 = algorithm.hash(&a1);
    if algorithm.is_session() {
        ha1 = algorithm.hash(format!("{ha1}:{}:{}", i.nonce, i.session_cnonce).as_bytes());
    }
    let ha2 = algorithm.hash(format!("{}:{}", i.method, i.uri).as_bytes());
    let last = match i.qop {
        Some(q) => format!("{ha1}:{}:{}:{}:auth:{ha2}", i.nonce, q.nc, q.cnonce),
        None => format!("{ha1}:{}:{ha2}", i.nonce),
    };
    algorithm.hash(last.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC_2617: Inputs<'static> = Inputs {
        username: "Mufasa",
        realm: "testrealm@host.com",
        password: b"Circle Of Life",
        method: "GET",
        uri: "/dir/index.html",
        nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        qop: Some(QopAuth { nc: "00000001", cnonce: "0a4f113b" }),
        session_cnonce: "0a4f113b",
    };
    const RFC_7616: Inputs<'static> = Inputs {
        username: "Mufasa",
        realm: "http-auth@example.org",
        password: b"Circle of Life",
        method: "GET",
        uri: "/dir/index.html",
        nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        qop: Some(QopAuth { nc: "00000001", cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ" }),
        session_cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    };

    macro_rules! responses {
        ($($name:ident: $algorithm:ident, $inputs:expr => $expected:literal;)*) => {
            $(#[test] fn $name() { assert_eq!(response(Algorithm::$algorithm, &$inputs), $expected); })*
        };
    }

    // The first three are printed in the RFCs; the others were computed with Python's hashlib.
    responses! {
        rfc_2617_section_3_5: Md5, RFC_2617 => "6629fae49393a05397450978507c4ef1";
        rfc_7616_section_3_9_1_md5: Md5, RFC_7616 => "8ca523f5e9506fed4657c9700eebdbec";
        rfc_7616_section_3_9_1_sha256: Sha256, RFC_7616
            => "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        md5_without_qop: Md5, Inputs { qop: None, ..RFC_2617 } => "670fd8c2df070c60b045671b8b24ff02";
        md5_sess: Md5Sess, RFC_2617 => "8e3825c57e897f5a0dec6c2d4e5059d0";
        sha256_sess: Sha256Sess, RFC_7616 => "2fd51b3a77ad75bad6afad6003e818d767133c46d9e2749e7f5232ae1ea3efd7";
        sha256_without_qop: Sha256, Inputs { qop: None, ..RFC_7616 } => "a1306b0595a6c7fe96c448631fb5cfbd5107bd1fe1da729d978dd7446b812363";
        aka_hashes_the_raw_bytes_of_res: AkaV1Md5, Inputs {
            password: &[0xa5, 0x42, 0x11, 0xd5, 0xe3, 0xba, 0x50, 0xbf], qop: None, ..RFC_2617
        } => "9d9964fcb8f8f971dd57aa3e8e1a89c9";
    }

    #[test]
    fn labels_read_back_in_any_case_and_absence_is_md5() {
        for algorithm in Algorithm::ALL {
            let shouted = algorithm.label().to_ascii_uppercase();
            assert_eq!(Algorithm::parse(Some(&shouted)), Some(algorithm));
        }
        assert_eq!(Algorithm::parse(None), Some(Algorithm::Md5));
        assert_eq!(Algorithm::parse(Some("SHA-512-256")), None);
    }
}
