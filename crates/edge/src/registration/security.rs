//! The security agreement between a UE and the edge: `tls-3gpp` (R18, RFC 3329, TS 24.229 §5.2.2).
//!
//! ```text
//! UE ── REGISTER, Security-Client ─────────▶ edge ── without them ──▶ core
//!    ◀── 401, Security-Server ── edge ◀── 401 ── core
//! UE ── REGISTER, Security-Client, Security-Verify ─▶ compared: 494, or on to the core
//! ```
//! What we answer follows from Security-Client, Call-ID and user by a keyed hash, so the second REGISTER
//! is checked without anything kept of the first, on any shard: a Security-Client that changed on the
//! way gives other SPIs than the UE verifies. Only what was agreed on stays with the stream, for a
//! re-registration verifies that and offers anew.

use crate::exchange::Incoming;
use crate::flow::Origin;
use crate::registration::credentials::auth_params;
use crate::shard::Edge;
use core::hash::Hasher;
use sip::items::{Item, same_mechanisms};
use sip::{HeaderId, Message};
use std::hash::DefaultHasher;
use wire::{Cause, Hop, Realm, Span, Transport};

/// The mechanism we know.
const MECHANISM: &str = "tls-3gpp";

/// What a REGISTER says of the agreement, once it was found good.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    /// The Security-Server value for a challenge; empty if the UE did not ask for an agreement.
    pub(crate) server: Box<[u8]>,
    /// The Security-Verify value that held; empty without one.
    pub(crate) verified: Box<[u8]>,
}

/// Reads and checks the agreement of a REGISTER.
///
/// # Errors
/// `SecurityAgreement` if the UE requires one and we share no mechanism, if what it verifies is not
/// what we said, or if it answers a challenge that came with an offer of ours and verifies nothing:
/// somebody in between took it out.
pub(crate) fn check(edge: &Edge, request: &Incoming<'_>) -> Result<Agreement, Cause> {
    if !edge.config.registrar.security_agreement {
        return Ok(Agreement::default());
    }
    let message = request.message;
    let server = offer(edge, message, request.origin).unwrap_or_default();
    let verified = joined(message, HeaderId::SecurityVerify);
    let stream = match request.origin.hop {
        Hop::Stream(id) => edge.flows.stream(id),
        _ => None,
    };
    let required =
        message.lists(HeaderId::Require, b"sec-agree") || message.lists(HeaderId::ProxyRequire, b"sec-agree");
    let same = |said: &[u8]| !said.is_empty() && same_mechanisms(&verified, said);
    let holds = match verified.is_empty() {
        true => {
            let offered = !server.is_empty() || stream.is_some_and(|s| s.security_offered);
            let stripped = offered && answers_challenge(message);
            let unknown = required && server.is_empty();
            !stripped && !unknown
        }
        false => same(&server) || stream.is_some_and(|s| same(&s.security_agreed)),
    };
    match holds {
        true => Ok(Agreement { server: server.into(), verified: verified.into() }),
        false => Err(Cause::SecurityAgreement),
    }
}

/// What a 494 says (RFC 3329 §2.3.1): what we would have agreed to.
pub(crate) fn line_for_refusal(edge: &Edge, message: Message<'_>, origin: &Origin) -> Vec<u8> {
    match offer(edge, message, origin).or_else(|| value(edge, message, origin, b"")) {
        Some(value) => line(&value),
        None => Vec::new(),
    }
}

/// A Security-Server line.
pub(crate) fn line(value: &[u8]) -> Vec<u8> {
    [b"Security-Server: ", value, b"\r\n"].concat()
}

/// The answer to the Security-Client of this REGISTER; `None` if it names no mechanism of ours.
fn offer(edge: &Edge, message: Message<'_>, origin: &Origin) -> Option<Vec<u8>> {
    let ours = message.elements(HeaderId::SecurityClient).find_map(|element| {
        Item::read(element.text, Span::new(0, element.text.len())).filter(|item| item.is(MECHANISM))
    })?;
    value(edge, message, origin, ours.params.value(b"alg").unwrap_or_default())
}

/// `tls-3gpp` with our SPIs and ports; `None` without a TLS address. The algorithm is the UE's: it
/// means nothing to TLS, and the figures repeat it (9-3).
fn value(edge: &Edge, message: Message<'_>, origin: &Origin, algorithm: &[u8]) -> Option<Vec<u8>> {
    let point = match origin.transport {
        Transport::Tls => origin.point,
        _ => edge.points.facing(Realm::Access, Transport::Tls, origin.source)?,
    };
    let point = edge.points.at(point);
    if point.transport != Transport::Tls {
        return None;
    }
    // We never open a connection to a UE: both ports are the one that it connects to.
    let port = point.bound.port();
    let bits = hash(edge, message);
    let (client, server) = ((bits >> 32) as u32, bits as u32);
    let mut text = format!("{MECHANISM};q=0.1").into_bytes();
    if !algorithm.is_empty() {
        text.extend_from_slice(b";alg=");
        text.extend_from_slice(algorithm);
    }
    let rest = format!(";spi-c={};spi-s={};port-c={port};port-s={port}", client.max(256), server.max(256));
    text.extend_from_slice(rest.as_bytes());
    Some(text)
}

/// Under the key of the node, so that each of its shards says the same.
fn hash(edge: &Edge, message: Message<'_>) -> u64 {
    let mut hasher = DefaultHasher::new(); // SipHash, keyed by what is written first
    hasher.write(&edge.context.token_key);
    let user = message.to().map(|to| to.uri).unwrap_or_default();
    let client = joined(message, HeaderId::SecurityClient);
    let client: Vec<u8> =
        client.iter().filter(|b| !b.is_ascii_whitespace()).map(u8::to_ascii_lowercase).collect();
    for part in [user, message.value(HeaderId::CallId).unwrap_or_default(), &client] {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.finish()
}

/// Whether the REGISTER bears the answer to a challenge.
fn answers_challenge(message: Message<'_>) -> bool {
    message.value(HeaderId::Authorization).is_some_and(|value| {
        auth_params(value).any(|p| p.name.eq_ignore_ascii_case(b"response") && !p.value.is_empty())
    })
}

fn joined(message: Message<'_>, id: HeaderId) -> Vec<u8> {
    let all: Vec<&[u8]> = message.elements(id).map(|element| element.text).collect();
    all.join(&b", "[..])
}

impl Edge {
    /// The challenge of a REGISTER went out over `origin`, or its 200.
    pub(crate) fn security_answered(&mut self, origin: &Origin, agreement: &Agreement, status: u16) {
        let Hop::Stream(id) = origin.hop else { return };
        let Some(stream) = self.flows.stream_mut(id) else { return };
        match status {
            401 => stream.security_offered |= !agreement.server.is_empty(),
            200..300 if !agreement.verified.is_empty() => {
                stream.security_agreed.clone_from(&agreement.verified);
                stream.security_offered = false;
            }
            _ => {}
        }
    }
}
