//! The paths of a message as they go on (R66, R73).

use super::classic::is_granted;
use crate::command::MsrpSide;
use msrp::{Head, uri};

/// Appends a path with its first URI replaced.
pub(super) fn push_path(path: &[u8], first: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(first);
    // The value is trimmed, so the path begins with its first URI.
    out.extend_from_slice(path.get(uri::first(path).len()..).unwrap_or_default());
}

/// To-Path without the URI of a relay of ours that the sender put before itself (RFC 4976 §6).
///
/// A response names only that one: nothing is behind it, and the far end's URI takes its place.
pub(super) fn behind_relay<'a>(side: &MsrpSide, head: &Head<'a>) -> &'a [u8] {
    let to_path = head.to_path();
    let Some(hop) = side.relay_uri.as_deref() else { return to_path };
    let has_hop = *hop == *uri::first(to_path);
    let rest = to_path.get(uri::first(to_path).len()..).unwrap_or_default().trim_ascii_start();
    if has_hop && !rest.is_empty() { rest } else { to_path }
}

/// Appends From-Path as this side knows us: its relay of ours, if it has one, and behind it our URI.
pub(super) fn push_own(head: &Head<'_>, side: &MsrpSide, out: &mut Vec<u8>) {
    match &side.relay_uri {
        None if head.is_usual() => out.extend_from_slice(&side.local_path),
        None => push_path(head.from_path(), &side.local_path, out),
        // It sent its request to the relay, so the relay answers; what is answered along the whole path says
        // which way it came.
        Some(hop) if head.method().is_none() && !(is_granted(side) && has_more(head.to_path())) => {
            out.extend_from_slice(hop);
        }
        Some(hop) => {
            out.extend_from_slice(hop);
            out.push(b' ');
            match is_granted(side) {
                true => out.extend_from_slice(head.from_path()),
                false => push_path(head.from_path(), &side.local_path, out),
            }
        }
    }
}

fn has_more(path: &[u8]) -> bool {
    uri::list(path).nth(1).is_some()
}
