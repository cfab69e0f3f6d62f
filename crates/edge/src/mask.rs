//! Masks: texts that stand for other texts, made and undone by a key of the node and by no table.
//!
//! ```text
//! text = base64url(nonce (12) | ciphertext | tag (16))     nonce = HMAC(key, kind | plain), cut
//! ```
//! The same text has the same mask for as long as the key lives, on every shard and after a restart: what
//! names a dialog must not change with each message. A peer can neither read nor make one; what no key of
//! ours made opens to nothing. A mask of one kind does not open as another.

use crate::token::{decode, encode};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;

/// What a mask stands for; sealed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The Call-ID of a UE, as the core sees it.
    CallIdForCore = 1,
    /// The Call-ID of the core, as a UE sees it.
    CallIdForAccess = 2,
    /// A host of the core in a URI.
    Host = 3,
    /// The route set and target of a dialog, in our Record-Route towards a UE.
    Route = 4,
}

/// The key that masks are made with.
#[derive(Debug)]
pub struct MaskKey {
    nonces: hmac::Key,
    cipher: LessSafeKey,
    owners: hmac::Key,
}

/// A text for whom a mask is made: a keyed hash of the address of record.
pub type Owner = [u8; 8];

/// The longest text that is masked, in bytes: no field of a message is longer.
pub const PLAIN_BYTES_MAX: usize = 65_536;

const TAG: usize = 16;

impl MaskKey {
    /// Derived from the key that seals the tokens of the node.
    #[must_use]
    pub fn new(token_key: &[u8; 32]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, token_key);
        let derived = |label: &[u8]| hmac::sign(&root, label);
        let cipher = derived(b"gatehouse mask cipher");
        let cipher = UnboundKey::new(&CHACHA20_POLY1305, cipher.as_ref()).expect("SHA-256 gives 32 bytes");
        let nonces = hmac::Key::new(hmac::HMAC_SHA256, derived(b"gatehouse mask nonces").as_ref());
        let owners = hmac::Key::new(hmac::HMAC_SHA256, derived(b"gatehouse mask owners").as_ref());
        Self { nonces, cipher: LessSafeKey::new(cipher), owners }
    }

    /// Who this address of record is, without saying so.
    #[must_use]
    pub fn owner(&self, aor_key: &[u8]) -> Owner {
        first(hmac::sign(&self.owners, aor_key).as_ref())
    }

    /// Appends the mask of `plain`; `false`, and nothing appended, if it is longer than [`PLAIN_BYTES_MAX`].
    pub fn seal(&self, kind: Kind, plain: &[u8], out: &mut Vec<u8>) -> bool {
        if plain.len() > PLAIN_BYTES_MAX {
            return false;
        }
        let nonce = self.nonce(kind, plain);
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + TAG);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let tag = self
            .cipher
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from([kind as u8]),
                &mut sealed[NONCE_LEN..],
            )
            .expect("a mask is far below the limit of the cipher");
        sealed.extend_from_slice(tag.as_ref());
        encode(&sealed, out);
        true
    }

    /// What a mask of this kind stands for; `None` if it is none.
    #[must_use]
    pub fn open(&self, kind: Kind, text: &[u8]) -> Option<Vec<u8>> {
        let bytes_max = PLAIN_BYTES_MAX + NONCE_LEN + TAG;
        if text.len() > bytes_max.div_ceil(3) * 4 {
            return None;
        }
        let mut room = vec![0; text.len()];
        let len = decode(text, &mut room)?.len();
        room.truncate(len);
        let (nonce, sealed) = room.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = *nonce;
        let plain = self
            .cipher
            .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from([kind as u8]), sealed)
            .ok()?;
        Some(plain.to_vec())
    }

    /// Follows from what is sealed: two texts never share one, and one text always has the same.
    fn nonce(&self, kind: Kind, plain: &[u8]) -> [u8; NONCE_LEN] {
        let mut context = hmac::Context::with_key(&self.nonces);
        context.update(&[kind as u8]);
        context.update(plain);
        first(context.sign().as_ref())
    }
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    core::array::from_fn(|at| bytes.get(at).copied().unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed(key: &MaskKey, kind: Kind, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(key.seal(kind, plain, &mut out));
        out
    }

    #[test]
    fn a_text_keeps_its_mask_and_only_its_own_key_and_kind_open_it() {
        let (key, other) = (MaskKey::new(&[1; 32]), MaskKey::new(&[2; 32]));
        let mask = sealed(&key, Kind::Host, b"10.9.9.9:5060");
        assert_eq!(mask, sealed(&MaskKey::new(&[1; 32]), Kind::Host, b"10.9.9.9:5060"));
        assert_ne!(mask, sealed(&key, Kind::Host, b"10.9.9.9:5061"));
        assert_eq!(key.open(Kind::Host, &mask).unwrap(), b"10.9.9.9:5060");
        assert_eq!(key.open(Kind::Route, &mask), None);
        assert_eq!(other.open(Kind::Host, &mask), None);
        assert!(wire::bytes_class::all(&mask, wire::bytes_class::TOKEN));
        assert_ne!(key.owner(b"a@h"), key.owner(b"b@h"));
    }

    #[test]
    fn what_is_too_long_has_no_mask() {
        let key = MaskKey::new(&[1; 32]);
        let mut out = Vec::new();
        assert!(!key.seal(Kind::Host, &vec![b'x'; PLAIN_BYTES_MAX + 1], &mut out));
        assert!(out.is_empty());
        let longest = sealed(&key, Kind::Host, &vec![b'x'; PLAIN_BYTES_MAX]);
        assert!(key.open(Kind::Host, &longest).is_some());
        assert_eq!(key.open(Kind::Host, &vec![b'A'; 2 * PLAIN_BYTES_MAX]), None);
    }

    proptest! {
        #[test]
        fn any_text_comes_back_and_no_altered_mask_opens(
            plain in prop::collection::vec(any::<u8>(), 0..80), at in any::<usize>(), with in any::<u8>(),
        ) {
            let key = MaskKey::new(&[3; 32]);
            let mut mask = sealed(&key, Kind::Route, &plain);
            prop_assert_eq!(key.open(Kind::Route, &mask).unwrap(), plain);
            let at = at % mask.len();
            if mask[at] != with {
                mask[at] = with;
                prop_assert_eq!(key.open(Kind::Route, &mask), None);
            }
            prop_assert_eq!(key.open(Kind::Route, &mask[..at]), None);
        }
    }
}
