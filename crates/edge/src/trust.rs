//! The trust domain (RFC 3325 §2.3, TS 24.229 §4.4): what only elements inside it say to each other, and what
//! a UE may see of those who asked for privacy.

use crate::exchange::Incoming;
use crate::headers::{shows_ip_literal, strip_field};
use sip::{HeaderId, Message, NameAddr};
use wire::{EditList, Realm, Span};

/// Fields without a number of their own that stop at the boundary in both directions; a UE that sends one
/// asserts what is the network's to say.
const INSIDE: [&[u8]; 13] = [
    b"P-Served-User",                // RFC 5502
    b"P-Profile-Key",                // RFC 5002
    b"P-User-Database",              // RFC 4457
    b"P-Private-Network-Indication", // RFC 7316
    b"P-DCS-Trace-Party-ID",         // RFC 5503
    b"P-DCS-Billing-Info",
    b"P-DCS-LAES",
    b"P-DCS-Redirect",
    b"Relayed-Charge",        // TS 24.229 §7.2.12
    b"Service-Interact-Info", // TS 24.229 §7.2.14
    b"Cellular-Network-Info", // TS 24.229 §7.2.15
    b"Restoration-Info",      // TS 24.229 §7.2.11
    b"Attestation-Info",      // TS 24.229 §7.2.18
];

/// Fields that assert an identity and are older than P-Asserted-Identity: a UE may not say them (R29).
const ASSERTS: [&[u8]; 2] = [b"Remote-Party-ID", b"Origination-Id"];

/// Whether a field of this name stays inside the trust domain.
#[must_use]
pub fn is_inside(name: &[u8]) -> bool {
    INSIDE.iter().any(|inside| name.eq_ignore_ascii_case(inside))
}

/// Takes out what a UE asserts by older names.
pub fn strip_assertions(message: Message<'_>, edits: &mut EditList) {
    for field in message.fields().filter(|field| field.id == HeaderId::Unknown) {
        let name = message.text(field.name);
        if ASSERTS.iter().any(|asserts| name.eq_ignore_ascii_case(asserts)) {
            edits.remove(field.line);
        }
    }
}

/// What a UE may see of who was asked for (RFC 3325 §7, RFC 7044 §10.1: the UE is outside the trust
/// domain): no P-Asserted-Identity where its owner asked for `id`, no History-Info where `history` was
/// asked for, and no entry of either history that asks for privacy itself or shows an address of the core.
pub fn privacy_to_access(message: Message<'_>, edits: &mut EditList) {
    let asked =
        |what: &[u8]| message.all(HeaderId::Privacy).any(|field| wishes(message.text(field.value), what));
    if asked(b"id") {
        strip_field(message, HeaderId::PAssertedIdentity, edits);
    }
    match asked(b"history") {
        true => strip_field(message, HeaderId::HistoryInfo, edits),
        false => {
            sip::edit::remove_elements(message, HeaderId::HistoryInfo, is_private_entry, edits);
        }
    }
    sip::edit::remove_elements(message, HeaderId::Diversion, is_private_entry, edits);
}

fn wishes(value: &[u8], what: &[u8]) -> bool {
    let mut wishes = value.split(|&b| b == b';' || b == b',');
    wishes.any(|wish| wire::bytes_class::trim(wish).eq_ignore_ascii_case(what))
}

/// Whether an entry of a history is not for UEs.
fn is_private_entry(entry: &[u8]) -> bool {
    let Some(address) = NameAddr::read(entry, Span::new(0, entry.len())) else { return true };
    // RFC 7044 §10.1.1: `?Privacy=history` of one entry; RFC 5806 §5: `;privacy=full`.
    let headers = memchr::memchr(b'?', address.uri).and_then(|at| address.uri.get(at + 1..));
    let own = headers.unwrap_or_default().split(|&b| b == b'&').any(|header| {
        let Some((name, value)) = header.split_at_checked(PRIVACY.len()) else { return false };
        name.eq_ignore_ascii_case(PRIVACY) && !value.eq_ignore_ascii_case(b"none")
    });
    let diverted = address.param(b"privacy").is_some_and(|value| !value.eq_ignore_ascii_case(b"off"));
    own || diverted || shows_ip_literal(address.uri)
}

const PRIVACY: &[u8] = b"privacy=";

/// Whom the core called, as it says in P-Called-Party-ID (RFC 7315 §4.2); empty for a request of a UE.
pub(crate) fn called(request: &Incoming<'_>) -> Box<[u8]> {
    let from_core = request.origin.realm == Realm::Core;
    let called = request.message.name_addrs(HeaderId::PCalledPartyId).flatten().next();
    let fits = |uri: &&[u8]| uri.len() <= CALLED_BYTES_MAX && !uri.iter().any(u8::is_ascii_control);
    called.map(|called| called.uri).filter(|_| from_core).filter(fits).unwrap_or_default().into()
}

const CALLED_BYTES_MAX: usize = 512;
