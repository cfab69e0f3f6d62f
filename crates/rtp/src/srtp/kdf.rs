//! Session keys from a master key: AES_CM_PRF of RFC 3711 §4.3.3, with 256 bits of RFC 6188 §3.
//!
//! The key derivation rate is always zero: SDES here refuses `KDR`, DTLS-SRTP has none.

use aes::cipher::{InnerIvInit, KeyInit, StreamCipherCore};
use aes::{Aes128Enc, Aes256Enc};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;

/// What a session key is for, RFC 3711 §4.3.1 and §4.3.2.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// Fills `out` for `label`. A salt of 12 octets is padded with zeros at its end (RFC 7714 §11).
pub(super) fn derive(master_key: &[u8], master_salt: &[u8], label: Label, out: &mut [u8]) {
    let mut iv = [0u8; 16];
    for (to, from) in iv.iter_mut().zip(master_salt.iter().take(14)) {
        *to = *from;
    }
    // key_id = label || index / rate, which is zero: the label stands before the 48 bits of the index.
    iv[7] ^= label as u8;
    out.fill(0);
    if let Ok(cipher) = Aes128Enc::new_from_slice(master_key) {
        CtrCore::<_, Ctr128BE>::inner_iv_init(&cipher, &iv.into()).apply_keystream_partial(out.into());
    } else if let Ok(cipher) = Aes256Enc::new_from_slice(master_key) {
        CtrCore::<_, Ctr128BE>::inner_iv_init(&cipher, &iv.into()).apply_keystream_partial(out.into());
    } else {
        unreachable!("a master key has 16 or 32 octets");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::tests::hex;

    fn check(key: &str, salt: &str, label: Label, expected: &str) {
        let expected = hex(expected);
        let mut out = vec![0xff; expected.len()];
        derive(&hex(key), &hex(salt), label, &mut out);
        assert_eq!(out, expected, "{label:?}");
    }

    #[test]
    fn rfc_3711_appendix_b_3() {
        let (key, salt) = ("e1f97a0d3e018be0d64fa32c06de4139", "0ec675ad498afeebb6960b3aabe6");
        check(key, salt, Label::RtpEncryption, "c61e7a93744f39ee10734afe3ff7a087");
        check(key, salt, Label::RtpSalt, "30cbbc08863d8c85d49db34a9ae1");
        check(
            key,
            salt,
            Label::RtpAuthentication,
            "cebe321f6ff7716b6fd4ab49af256a156d38baa48f0a0acf3c34e2359e6cdbcee049646c43d9327ad175578ef72270986371c10c9a369ac2f94a8c5fbcdddc256d6e919a48b610ef17c2041e474035766b68642c59bbfc2f34db60dbdfb2",
        );
        // Not in the RFC; agreed on by independent implementations.
        check(key, salt, Label::RtcpEncryption, "4c1aa45a81f73d61c800bbb00fbb1eaa");
        check(key, salt, Label::RtcpAuthentication, "8d54534feb49ae8e7993a6bd0b844fc323a93dfd");
        check(key, salt, Label::RtcpSalt, "9581c7ad87b3e530bf3e4454a8b3");
    }

    #[test]
    fn rfc_6188_section_7_2() {
        let key = "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6";
        let salt = "3b04803de51ee7c96423ab5b78d2";
        check(
            key,
            salt,
            Label::RtpEncryption,
            "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
        );
        check(key, salt, Label::RtpSalt, "fa31791685ca444a9e07c6c64e93");
        check(key, salt, Label::RtpAuthentication, "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05");
    }

    /// The key stream of RFC 3711 appendix B.2: the PRF is the cipher itself.
    #[test]
    fn rfc_3711_appendix_b_2() {
        let mut out = [0u8; 48];
        let key = hex("2b7e151628aed2a6abf7158809cf4f3c");
        let mut salt = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd");
        salt[7] ^= Label::RtpAuthentication as u8;
        derive(&key, &salt, Label::RtpAuthentication, &mut out);
        let expected = "e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab41e95b3bb0a2e8dd477901e4fca894c0";
        assert_eq!(out.as_slice(), hex(expected));
    }
}
