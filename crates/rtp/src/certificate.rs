//! What SDP says of a certificate (RFC 8122 §5).

use ring::digest;
use wire::{Fingerprint, HashFunction};

/// The fingerprint of a certificate in DER; `None` never happens, as each digest has the length of its kind.
#[must_use]
pub fn fingerprint(hash: HashFunction, certificate: &[u8]) -> Option<Fingerprint> {
    let algorithm = match hash {
        HashFunction::Sha256 => &digest::SHA256,
        HashFunction::Sha384 => &digest::SHA384,
        HashFunction::Sha512 => &digest::SHA512,
    };
    Fingerprint::new(hash, digest::digest(algorithm, certificate).as_ref())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_well_known_one() {
        let text = fingerprint(HashFunction::Sha256, b"").unwrap().to_string();
        assert!(text.starts_with("sha-256 E3:B0:C4:42:98:FC:1C:14"), "{text}");
    }
}
