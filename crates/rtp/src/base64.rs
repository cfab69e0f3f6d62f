//! Base64 (RFC 4648 §4) of keys: strict, fixed buffers, so that no copy of a key is left behind.

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Decodes into `out`; returns how many octets. `None` for a foreign letter, a wrong length, bits that
/// belong to no octet, or an `out` too small. Padding may be left out, as some phones do.
pub(crate) fn decode(text: &[u8], out: &mut [u8]) -> Option<usize> {
    let letters = match text {
        [head @ .., b'=', b'='] if text.len().is_multiple_of(4) => head,
        [head @ .., b'='] if text.len().is_multiple_of(4) => head,
        _ => text,
    };
    let (mut bits, mut held, mut used) = (0u32, 0u32, 0usize);
    for letter in letters {
        bits = bits << 6 | value(*letter)?;
        held += 6;
        if held >= 8 {
            held -= 8;
            *out.get_mut(used)? = (bits >> held) as u8;
            used += 1;
        }
        bits &= (1 << held) - 1;
    }
    (held < 6 && bits == 0).then_some(used)
}

/// Appends the letters of `bytes`, padded.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= chunk.len() { letter } else { b'=' });
        }
    }
}

const fn value(letter: u8) -> Option<u32> {
    Some(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    } as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_4648_section_10() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let (mut encoded, mut out) = (Vec::new(), [0; 16]);
            encode(plain.as_bytes(), &mut encoded);
            assert_eq!(encoded, text.as_bytes());
            assert_eq!(decode(text.as_bytes(), &mut out), Some(plain.len()));
            assert_eq!(&out[..plain.len()], plain.as_bytes());
            let bare = text.trim_end_matches('=');
            assert_eq!(decode(bare.as_bytes(), &mut out), Some(plain.len()), "without padding");
        }
        for wrong in ["Z", "Zg=", "Zh==", "Zm9=v", "Zm 9", "Zm9v=", "===="] {
            assert_eq!(decode(wrong.as_bytes(), &mut [0; 16]), None, "{wrong}");
        }
        assert_eq!(decode(b"Zm9v", &mut [0; 2]), None);
    }
}
