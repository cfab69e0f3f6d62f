//! When two URIs are the same: RFC 3261 §19.1.4, RFC 3966 §4.

use super::{Scheme, Uri, ip, is_stray, is_visual_separator, parse};
use crate::unquote;

/// Whether two URIs are equivalent.
///
/// SIP and SIPS: RFC 3261 §19.1.4. tel: RFC 3966 §4. No scheme counts as `sip:`, or as `tel:` before a
/// number. Other schemes and what cannot be read: the same bytes but for the case of the scheme. The
/// relation is not transitive (RFC 3261's own example), so it makes no hash key; `Uri::push_key` does.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true; // also what repeats a parameter with two values, and is equal to nothing else
    }
    let (Ok(left), Ok(right)) = (parse(a), parse(b)) else {
        return false;
    };
    match (kind(&left), kind(&right)) {
        (Scheme::Tel, Scheme::Tel) => same_tel(&left, &right),
        (Scheme::Sip, Scheme::Sip) | (Scheme::Sips, Scheme::Sips) => same_sip(&left, &right),
        (Scheme::Other, Scheme::Other) => {
            left.scheme_text.eq_ignore_ascii_case(right.scheme_text)
                && a.get(left.scheme_text.len()..) == b.get(right.scheme_text.len()..)
        }
        _ => false,
    }
}

fn kind(uri: &Uri<'_>) -> Scheme {
    match uri.scheme {
        Scheme::Bare if uri.number.is_some() => Scheme::Tel,
        Scheme::Bare => Scheme::Sip,
        scheme => scheme,
    }
}

/// More members than this are not compared: no honest URI has them, and comparing is quadratic.
const MEMBERS_MAX: usize = 32;

fn same_sip(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    same_optional(a.user, b.user, Case::Matters)
        && same_optional(a.password, b.password, Case::Matters)
        && same_host(a.host, b.host)
        && a.port == b.port
        && a.params.entries().count() <= MEMBERS_MAX
        && b.params.entries().count() <= MEMBERS_MAX
        && covers(a, b)
        && covers(b, a)
        && same_headers(a.headers, b.headers)
}

/// Parameters that must match even if only one of the two URIs has them.
const WEIGHTY: [&[u8]; 5] = [b"user", b"ttl", b"method", b"maddr", b"transport"];

/// Whether each parameter of `a` agrees with `b`; others than the weighty ones may be missing there.
fn covers(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    a.params.iter().all(|(name, value)| {
        let twin = b.params.iter().find(|(other, _)| same_text(name, other, Case::Ignored));
        match twin {
            Some((_, other)) => same_optional(value.map(unquote), other.map(unquote), Case::Ignored),
            None => !WEIGHTY.iter().any(|weighty| same_text(name, weighty, Case::Ignored)),
        }
    })
}

/// Header components are never ignored: the same set, in any order.
fn same_headers(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    let split = |headers: Option<&'_ [u8]>| headers.unwrap_or_default().split(|&b| b == b'&').count();
    if a.is_none() || b.is_none() {
        return a.unwrap_or_default() == b.unwrap_or_default();
    }
    let (a_count, b_count) = (split(a), split(b));
    if a_count != b_count || a_count > MEMBERS_MAX {
        return false;
    }
    let inside = |of: Option<&[u8]>, within: Option<&[u8]>| {
        let mut members = of.unwrap_or_default().split(|&b| b == b'&');
        members.all(|member| {
            let mut others = within.unwrap_or_default().split(|&b| b == b'&');
            others.any(|other| same_header(member, other))
        })
    };
    inside(a, b) && inside(b, a)
}

fn same_header(a: &[u8], b: &[u8]) -> bool {
    let cut = |text: &[u8]| memchr::memchr(b'=', text).unwrap_or(text.len());
    let (a_name, a_value) = a.split_at(cut(a));
    let (b_name, b_value) = b.split_at(cut(b));
    same_text(a_name, b_name, Case::Ignored) && same_text(a_value, b_value, Case::Matters)
}

fn same_host(a: &[u8], b: &[u8]) -> bool {
    match (ip(a), ip(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a.eq_ignore_ascii_case(b),
    }
}

fn same_tel(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    let (Some(left), Some(right)) = (a.number, b.number) else {
        return false;
    };
    same_number(left, right)
        && a.params.entries().count() == b.params.entries().count()
        && a.params.entries().count() <= MEMBERS_MAX
        && same_tel_params(a, b)
        && same_tel_params(b, a)
}

fn same_tel_params(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    a.params.iter().all(|(name, value)| {
        let twin = b.params.iter().find(|(other, _)| name.eq_ignore_ascii_case(other));
        twin.is_some_and(|(_, other)| match (value, other) {
            (Some(value), Some(other)) if is_number_param(name, value) => same_number(value, other),
            _ => same_optional(value, other, Case::Ignored),
        })
    })
}

/// `ext`, `isub` and a `phone-context` that is a number are compared digit by digit.
fn is_number_param(name: &[u8], value: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"ext")
        || name.eq_ignore_ascii_case(b"phone-context") && value.first() == Some(&b'+')
}

/// The same digits without visual separators, and both global or both local.
fn same_number(a: &[u8], b: &[u8]) -> bool {
    digits(a).eq(digits(b))
}

fn digits(number: &[u8]) -> impl Iterator<Item = u8> {
    let bare = number.iter().filter(|&&b| !is_visual_separator(b));
    bare.map(u8::to_ascii_lowercase)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Matters,
    Ignored,
}

fn same_optional(a: Option<&[u8]>, b: Option<&[u8]>, case: Case) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same_text(a, b, case),
        (None, None) => true,
        _ => false,
    }
}

/// Equal once escapes are undone; an escaped reserved character is another than the bare one.
fn same_text(a: &[u8], b: &[u8], case: Case) -> bool {
    let fold = move |unit: Unit| match case {
        Case::Matters => unit,
        Case::Ignored => Unit { byte: unit.byte.to_ascii_lowercase(), ..unit },
    };
    units(a).map(fold).eq(units(b).map(fold))
}

/// One character of a URI.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Unit {
    byte: u8,
    /// It was written as an escape and means something else without it.
    escaped: bool,
}

fn units(text: &[u8]) -> impl Iterator<Item = Unit> {
    let mut rest = text;
    core::iter::from_fn(move || {
        let (unit, tail) = next_unit(rest)?;
        rest = tail;
        Some(unit)
    })
}

fn next_unit(text: &[u8]) -> Option<(Unit, &[u8])> {
    if let [b'%', high, low, rest @ ..] = text
        && let (Some(high), Some(low)) = (hex(*high), hex(*low))
    {
        let byte = high << 4 | low;
        let escaped = is_reserved(byte);
        return Some((Unit { byte, escaped }, rest));
    }
    let (&byte, rest) = text.split_first()?;
    // A `%` that begins no escape means `%`: left bare in a key, it could make one with what follows
    // (found by fuzzing).
    Some((Unit { byte, escaped: byte == b'%' }, rest))
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|n| n as u8)
}

/// RFC 2396 `reserved`, and what would change the meaning of the text if it stood unescaped.
fn is_reserved(byte: u8) -> bool {
    matches!(byte, b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b',' | b'%')
}

/// Appends `text` with each escape undone that is not needed, the others in upper case.
pub(super) fn push_unescaped(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    for unit in units(text) {
        // `<` comes only from an escape; undone, the key would be no URI (found by fuzzing).
        if unit.escaped || is_stray(unit.byte) {
            let (high, low) = (unit.byte >> 4, unit.byte & 15);
            out.extend([b'%', DIGITS[high as usize], DIGITS[low as usize]]);
        } else {
            out.push(unit.byte);
        }
    }
}
