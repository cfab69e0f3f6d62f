//! The habits of requirements §9 that RFC 3261's grammar does not allow, each told by its field.
//!
//! They pass as they came (R30); an operator whose UEs are all clean may refuse them. Looked for only
//! when the settings ask, since it takes a look at every byte of the head.

use crate::number;
use crate::validate::Reject;
use sip::uri::Scheme;
use sip::{HeaderId, Message, NameAddr};
use wire::{Cause, bytes_class};

/// Every habit that is found, in the order of the fields.
pub(super) fn faults(message: Message<'_>) -> impl Iterator<Item = Reject> + '_ {
    let lines = message.fields().filter_map(move |field| {
        let value = message.text(field.value);
        let odd = !FREE_TEXT.contains(&field.id)
            && field.id != HeaderId::Unknown
            && has_open_quote_or_odd_bytes(value);
        odd.then_some(Reject::at(Cause::BadSyntax, field.id))
    });
    let addresses = ADDRESSES.into_iter().flat_map(move |id| {
        let odd =
            move |address: &Result<NameAddr<'_>, Cause>| !address.as_ref().is_ok_and(|a| is_by_the_book(a));
        message.name_addrs(id).filter(odd).map(move |_| Reject::at(Cause::BadSyntax, id))
    });
    let twice = SINGLE.into_iter().filter(move |id| message.count(*id) > 1);
    lines.chain(addresses).chain(twice.map(|id| Reject::at(Cause::DuplicateHeader, id)))
}

/// q01, q04, q10, q11: a quote that is never closed, bytes above 127 outside quotes.
fn has_open_quote_or_odd_bytes(value: &[u8]) -> bool {
    let mut quoted = false;
    let mut bytes = value.iter();
    while let Some(b) = bytes.next() {
        match b {
            b'"' => quoted = !quoted,
            b'\\' if quoted => _ = bytes.next(),
            0x80.. if !quoted => return true,
            _ => {}
        }
    }
    quoted
}

/// q06, q08, q09, q12, q16: an address that is a URI with a scheme and a host, without blanks, in `<>`
/// if it bears a display name; or a bare number (R32).
fn is_by_the_book(address: &NameAddr<'_>) -> bool {
    if address.star || number::is_bare_number(address.uri) {
        return true;
    }
    let blank = address.uri.iter().any(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
    let host = sip::uri::parse(address.uri).is_ok_and(|uri| match uri.scheme {
        Scheme::Sip | Scheme::Sips => bytes_class::all(uri.host, bytes_class::HOST),
        Scheme::Bare => false,
        Scheme::Tel | Scheme::Other => true,
    });
    host && !blank && (address.bracketed || address.display.is_empty())
}

const ADDRESSES: [HeaderId; 9] = [
    HeaderId::From,
    HeaderId::To,
    HeaderId::Contact,
    HeaderId::ReferTo,
    HeaderId::ReferredBy,
    HeaderId::ReplyTo,
    HeaderId::PPreferredIdentity,
    HeaderId::PAssertedIdentity,
    HeaderId::HistoryInfo,
];

/// RFC 3261 §25.1: TEXT-UTF8-TRIM and comments may hold anything.
const FREE_TEXT: [HeaderId; 6] = [
    HeaderId::Subject,
    HeaderId::Organization,
    HeaderId::UserAgent,
    HeaderId::Server,
    HeaderId::Warning,
    HeaderId::RetryAfter,
];

/// q20: fields of one value each, beyond those without which nothing works.
const SINGLE: [HeaderId; 10] = [
    HeaderId::ConversationId,
    HeaderId::ContributionId,
    HeaderId::Expires,
    HeaderId::Date,
    HeaderId::Subject,
    HeaderId::SessionExpires,
    HeaderId::MinSe,
    HeaderId::Priority,
    HeaderId::MimeVersion,
    HeaderId::UserAgent,
];
