//! What keeps a flow open: `rkeep` requests and STUN (CRLF is the framer's).

use crate::api::{Action, Outbox};
use crate::exchange::Incoming;
use crate::flow::Origin;
use crate::proxy::{push_bytes, push_send};
use crate::shard::Edge;
use core::net::IpAddr;
use core::time::Duration;
use sip::Method;
use wire::{Hop, bytes_class};

/// Whether the request is a link keep-alive: a MESSAGE whose top Via bears `rkeep` (R8).
#[must_use]
pub(crate) fn is_rkeep(request: &Incoming<'_>) -> bool {
    request.method() == Method::Message && request.via.param(b"rkeep").is_some()
}

/// Answers it: 200, the Via echoed with its `rkeep`, the link held for as long as it asks (R8).
///
/// Its body is not looked at, and it is not sent on.
pub(crate) fn on_rkeep(edge: &mut Edge, request: &Incoming<'_>, out: &mut Outbox) {
    let origin = request.origin;
    let asked = request.via.param(b"rkeep").and_then(bytes_class::decimal);
    let at_least = asked.map_or(edge.config.timers.rkeep(), |s| Duration::from_secs(u64::from(s)));
    if let Hop::Stream(stream) = origin.hop {
        out.actions.push(Action::HoldOpen { stream, at_least: at_least.min(HOLD_MAX) });
    }
    edge.counters.rkeeps += 1;
    edge.reply(request.message, origin, 200, b"", out);
}

/// A day: a UE that asks for more is silent for longer than any NAT remembers it.
const HOLD_MAX: Duration = Duration::from_secs(86_400);

const BINDING_REQUEST: &[u8] = &[0x00, 0x01];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// Answers a STUN binding request with the source as seen (RFC 5626 §4.4.2, RFC 8489 §14.2).
///
/// The answer is at most 44 bytes for 20 or more: no amplifier worth the name.
pub(crate) fn on_stun(edge: &mut Edge, packet: &[u8], origin: &Origin, out: &mut Outbox) {
    if packet.get(..2) != Some(BINDING_REQUEST) {
        return;
    }
    let Some(cookie_and_id) = packet.get(4..20) else { return };
    let xor = |bytes: &[u8]| -> Vec<u8> { bytes.iter().zip(cookie_and_id).map(|(a, b)| a ^ b).collect() };
    let (family, address) = match origin.source.ip().to_canonical() {
        IpAddr::V4(ip) => (1u8, xor(&ip.octets())),
        IpAddr::V6(ip) => (2u8, xor(&ip.octets())),
    };
    let port = xor(&origin.source.port().to_be_bytes());
    let value_len = 4 + address.len();
    let mut answer = Vec::with_capacity(44);
    answer.extend_from_slice(&[0x01, 0x01]);
    answer.extend_from_slice(&(value_len as u16 + 4).to_be_bytes());
    answer.extend_from_slice(cookie_and_id);
    answer.extend_from_slice(&[0x00, 0x20]); // XOR-MAPPED-ADDRESS
    answer.extend_from_slice(&(value_len as u16).to_be_bytes());
    answer.extend_from_slice(&[0, family]);
    answer.extend_from_slice(&port);
    answer.extend_from_slice(&address);
    debug_assert_eq!(cookie_and_id[..4], COOKIE, "the framer tells STUN by its cookie");
    edge.counters.stuns += 1;
    let span = push_bytes(&answer, out);
    push_send(origin.hop, span, out);
}
