//! Call-IDs under their masks (R24): one form for each side, made by key, so that they survive us.
//!
//! ```text
//!   a UE's own Call-ID    N ── core sees asbcM = mask(owner, N) ── another UE sees asbcX = mask(asbcM)
//!   the core's own        C ── a UE sees asbcY = mask(C)
//! ```
//! Inside the edge a dialog has the name that the core knows it by. A UE gets its own name back only
//! where it is the owner: the same request may reach another UE of the same shard.

use crate::mask::{Kind, MaskKey, Owner};
use crate::shard::Edge;
use std::borrow::Cow;
use wire::{BindingId, EditList, Span};

/// What masked Call-IDs begin with, as in the figures.
const PREFIX: &[u8] = b"asbc";

/// The Call-ID the core knows for one that a UE says.
#[must_use]
pub(crate) fn for_core<'c>(masks: &MaskKey, on: bool, call_id: &'c [u8], owner: &Owner) -> Cow<'c, [u8]> {
    if let Some(own) = opened(masks, Kind::CallIdForAccess, call_id) {
        return Cow::Owned(own);
    }
    masked(masks, on, Kind::CallIdForCore, &[&owner[..], call_id].concat(), call_id)
}

/// The Call-ID that the UE of `owner` is told for one of the core.
#[must_use]
pub(crate) fn for_access<'c>(masks: &MaskKey, on: bool, call_id: &'c [u8], owner: &Owner) -> Cow<'c, [u8]> {
    let own = opened(masks, Kind::CallIdForCore, call_id);
    if let Some(own) = own.as_ref().and_then(|plain| plain.strip_prefix(&owner[..])) {
        return Cow::Owned(own.to_vec());
    }
    masked(masks, on, Kind::CallIdForAccess, call_id, call_id)
}

fn opened(masks: &MaskKey, kind: Kind, call_id: &[u8]) -> Option<Vec<u8>> {
    masks.open(kind, call_id.strip_prefix(PREFIX)?)
}

fn masked<'c>(masks: &MaskKey, on: bool, kind: Kind, plain: &[u8], call_id: &'c [u8]) -> Cow<'c, [u8]> {
    let mut text = PREFIX.to_vec();
    match on && masks.seal(kind, plain, &mut text) {
        true => Cow::Owned(text),
        false => Cow::Borrowed(call_id),
    }
}

/// Maps a Call-ID from one side to the other.
pub(crate) type Map<'m> = &'m dyn Fn(&[u8]) -> Vec<u8>;

/// Replaces the Call-ID that a value begins with: Replaces, Join, Target-Dialog.
pub(crate) fn edit_first(text: &[u8], value: Span, map: Map<'_>, edits: &mut EditList) {
    let bytes = value.of(text);
    let end = bytes.iter().position(|b| *b == b';' || b.is_ascii_whitespace()).unwrap_or(bytes.len());
    let start = value.start as usize;
    put(text, Span::new(start, start + end), map, edits);
}

/// Replaces each Call-ID of a list: In-Reply-To.
pub(crate) fn edit_list(text: &[u8], value: Span, map: Map<'_>, edits: &mut EditList) {
    for member in value.of(text).split(|&b| b == b',') {
        if let Some(span) = Span::within(text, wire::bytes_class::trim(member)) {
            put(text, span, map, edits);
        }
    }
}

/// Replaces the Call-ID in the headers part of a URI: `<sip:a@h?Replaces=id%40h%3Bto-tag%3D1>`.
pub(crate) fn edit_headers_part(text: &[u8], value: Span, map: Map<'_>, edits: &mut EditList) {
    let bytes = value.of(text);
    for name in HEADERS {
        let Some(at) = bytes.windows(name.len()).position(|w| w.eq_ignore_ascii_case(name)) else { continue };
        let from = at + name.len();
        let rest = bytes.get(from..).unwrap_or_default();
        let end = rest.iter().position(|b| matches!(b, b'&' | b'>' | b'"') || b.is_ascii_whitespace());
        let escaped = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let plain = unescape(escaped);
        let id_len = plain.iter().position(|&b| b == b';').unwrap_or(plain.len());
        let (id, params) = plain.split_at(id_len);
        if id.is_empty() {
            continue;
        }
        let new = escape(&[&map(id), params].concat());
        let start = value.start as usize + from;
        let span = Span::new(start, start + escaped.len());
        if new != escaped && !edits.touches(span) {
            edits.replace(span, &new);
        }
    }
}

const HEADERS: [&[u8]; 3] = [b"Replaces=", b"Join=", b"Target-Dialog="];

fn put(text: &[u8], span: Span, map: Map<'_>, edits: &mut EditList) {
    let old = span.of(text);
    let new = if old.is_empty() { Vec::new() } else { map(old) };
    if new != old && !edits.touches(span) {
        edits.replace(span, &new);
    }
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let hex = |at: usize| text.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// RFC 3261 §25.1: `hnv-unreserved / unreserved` stay.
fn escape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 16);
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()[]/?:+$".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

impl Edge {
    /// Whom the masks of a UE's names are made for.
    pub(crate) fn owner_of(&self, binding: BindingId) -> Owner {
        let aor_key = self.bindings.find(binding).map(|b| b.profile().aor_key).unwrap_or_default();
        self.masks.owner(aor_key)
    }

    /// The Call-ID the core knows for one that the UE of `binding` says.
    pub(crate) fn call_id_for_core<'c>(&self, call_id: &'c [u8], binding: BindingId) -> Cow<'c, [u8]> {
        let on = self.config.topology.mask_call_id;
        if !on && !call_id.starts_with(PREFIX) {
            return Cow::Borrowed(call_id);
        }
        for_core(&self.masks, on, call_id, &self.owner_of(binding))
    }

    /// The Call-ID that the UE of `binding` is told for one of the core.
    pub(crate) fn call_id_for_access<'c>(&self, call_id: &'c [u8], owner: &Owner) -> Cow<'c, [u8]> {
        for_access(&self.masks, self.config.topology.mask_call_id, call_id, owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_to_their_owner_and_to_nobody_else() {
        let masks = MaskKey::new(&[1; 32]);
        let (a, b) = (masks.owner(b"a@h"), masks.owner(b"b@h"));
        let own = b"N@192.168.1.5";
        let at_core = for_core(&masks, true, own, &a);
        assert!(at_core.starts_with(b"asbc") && !at_core.windows(3).any(|w| w == b"192"));
        assert_eq!(for_access(&masks, true, &at_core, &a), &own[..], "5-84: the UE keeps its own");
        let at_b = for_access(&masks, true, &at_core, &b);
        assert!(at_b.starts_with(b"asbc") && at_b != at_core);
        assert_eq!(for_core(&masks, true, &at_b, &b), at_core);
        let cores = for_access(&masks, true, b"X@182.1.1.64", &b);
        assert_eq!(for_core(&masks, true, &cores, &b), &b"X@182.1.1.64"[..]);
        assert_eq!(for_core(&masks, false, own, &a), &own[..], "transparent mode");
        assert_eq!(for_core(&masks, false, b"asbc1", &a), &b"asbc1"[..], "somebody else's prefix");
    }

    #[test]
    fn every_place_of_a_call_id_is_mapped() {
        let map = |id: &[u8]| [b"<", id, b">"].concat();
        type How = fn(&[u8], Span, Map<'_>, &mut EditList);
        for (text, how, expected) in [
            ("a@h;to-tag=1;from-tag=2", edit_first as How, "<a@h>;to-tag=1;from-tag=2"),
            ("a@h", edit_first, "<a@h>"),
            ("a@h, b@h,c", edit_list, "<a@h>, <b@h>,<c>"),
            (
                "<sip:x@h?Replaces=a%40h%3Bto-tag%3D1&Require=replaces>",
                edit_headers_part,
                "<sip:x@h?Replaces=%3Ca%40h%3E%3Bto-tag%3D1&Require=replaces>",
            ),
            ("<sip:x@h?join=a>;y", edit_headers_part, "<sip:x@h?join=%3Ca%3E>;y"),
            ("<sip:x@h>", edit_headers_part, "<sip:x@h>"),
        ] {
            let mut edits = EditList::new();
            how(text.as_bytes(), Span::new(0, text.len()), &map, &mut edits);
            let mut out = Vec::new();
            edits.gather(text.as_bytes(), &mut out).expect("no overlap");
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
