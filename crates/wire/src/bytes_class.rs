//! Byte classes as 256-entry tables, and the small byte helpers built on them.

/// Is a `token` character: RFC 3261 §25.1
/// `token = 1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~")`.
pub const TOKEN: u8 = 1;
/// Is `DIGIT`.
pub const DIGIT: u8 = 2;
/// Is `HEXDIG`.
pub const HEX: u8 = 4;
/// Is linear white space on one line: SP or HTAB.
pub const BLANK: u8 = 8;
/// Is allowed in an MSRP `ident`: RFC 4975 §9 `alphanum / "." / "-" / "+" / "%" / "="`.
pub const MSRP_IDENT: u8 = 16;
/// Is `ALPHA`.
pub const ALPHA: u8 = 32;
/// May stand in a host: alphanum, `-`, `.`, `_` (seen in the field) and IPv6 reference characters.
pub const HOST: u8 = 64;

/// The classes of every byte.
pub const CLASSES: [u8; 256] = build();

const fn build() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        let mut class = 0;
        if b.is_ascii_alphanumeric() {
            class |= TOKEN | MSRP_IDENT | HOST;
        }
        if b.is_ascii_alphabetic() {
            class |= ALPHA;
        }
        if b.is_ascii_digit() {
            class |= DIGIT;
        }
        if b.is_ascii_hexdigit() {
            class |= HEX;
        }
        if matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~') {
            class |= TOKEN;
        }
        if matches!(b, b'.' | b'-' | b'+' | b'%' | b'=') {
            class |= MSRP_IDENT;
        }
        if matches!(b, b'-' | b'.' | b'_' | b'[' | b']' | b':') {
            class |= HOST;
        }
        if matches!(b, b' ' | b'\t') {
            class |= BLANK;
        }
        table[i] = class;
        i += 1;
    }
    table
}

/// Whether `byte` belongs to any of `classes`.
#[inline]
#[must_use]
pub const fn is(byte: u8, classes: u8) -> bool {
    CLASSES[byte as usize] & classes != 0
}

/// Whether every byte of a non-empty `bytes` belongs to `classes`.
#[inline]
#[must_use]
pub fn all(bytes: &[u8], classes: u8) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| is(b, classes))
}

/// `bytes` without SP, HTAB, CR and LF at either end: header values, folded or not.
#[inline]
#[must_use]
pub fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t' | b'\r' | b'\n'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Reads a run of digits that is the whole of `bytes`; `None` if empty, not digits, or over `u32`.
#[inline]
#[must_use]
pub fn decimal(bytes: &[u8]) -> Option<u32> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0u32, |n, &b| {
        if !b.is_ascii_digit() {
            return None;
        }
        n.checked_mul(10)?.checked_add(u32::from(b - b'0'))
    })
}

/// Appends `n` in decimal.
pub fn push_decimal(mut n: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_reads_whole_runs_within_u32() {
        for (text, value) in [
            (&b"0"[..], Some(0)),
            (b"4294967295", Some(u32::MAX)),
            (b"4294967296", None),
            (b"", None),
            (b"12a", None),
            (b"-1", None),
        ] {
            assert_eq!(decimal(text), value, "{text:?}");
        }
    }

    #[test]
    fn push_decimal_writes_what_decimal_reads() {
        for n in [0u64, 7, 10, 65_535, 4_294_967_295] {
            let mut out = Vec::new();
            push_decimal(n, &mut out);
            assert_eq!(decimal(&out).map(u64::from), Some(n));
        }
    }

    #[test]
    fn trim_takes_folding_white_space_off_both_ends() {
        assert_eq!(trim(b"\r\n \tx y\t\r\n"), b"x y");
        assert_eq!(trim(b" \t"), b"");
    }
}
