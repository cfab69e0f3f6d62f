//! The header policy: what is taken out, put in and rewritten on each of the four ways.
//!
//! ```text
//!                     request                                response
//!   access → core     Via, identity, Contact host:port       Via and the echo, Contact host:port
//!   core → access     one Via, no inner routes, our Contact  Via and the echo, our Contact, no hosts
//! ```
//! Everything else leaves as it came, in its order (R30).

use crate::address::{Pieces, is_ip_literal};
use crate::api::SipPoint;
use crate::exchange::Branch;
use crate::reply::Echo;
use crate::trust;
use sip::{HeaderId, Message, NameAddr};
use wire::bytes_class::push_decimal;
use wire::{Cause, EditList, Span, Transport};

/// A set of header fields.
#[derive(Clone, Copy, Debug)]
pub struct FieldSet(u128);

impl FieldSet {
    /// The set of `ids`.
    #[must_use]
    pub const fn of(ids: &[HeaderId]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < ids.len() {
            bits |= 1 << ids[i] as u8;
            i += 1;
        }
        Self(bits)
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `id` is in it.
    #[must_use]
    pub const fn has(self, id: HeaderId) -> bool {
        self.0 >> id as u8 & 1 == 1
    }
}

/// What only the network may say or see, on every way (R14, R28).
const NETWORK: FieldSet = FieldSet::of(&[
    HeaderId::Route,
    HeaderId::RecordRoute,
    HeaderId::Path,
    HeaderId::PVisitedNetworkId,
    HeaderId::PChargingVector,
    HeaderId::PChargingFunctionAddresses,
    HeaderId::SecurityClient,
    HeaderId::SecurityServer,
    HeaderId::SecurityVerify,
]);

/// Of a UE's request: it may not assert who it is or what it may do (R28, R29).
pub const REQUEST_TO_CORE: FieldSet = NETWORK.and(FieldSet::of(&[
    HeaderId::PAssertedIdentity,
    HeaderId::PPreferredIdentity,
    HeaderId::PAssertedService,
    HeaderId::PAssociatedUri,
    HeaderId::PCalledPartyId,
    HeaderId::ServiceRoute,
    // Only who passes a request on may tell its history.
    HeaderId::HistoryInfo,
    HeaderId::Diversion,
]));

/// Of a UE's response.
pub const RESPONSE_TO_CORE: FieldSet = NETWORK.and(FieldSet::of(&[
    HeaderId::PAssertedIdentity,
    HeaderId::PPreferredIdentity,
    HeaderId::PAssertedService,
    HeaderId::ServiceRoute,
]));

/// Of the core's request (R15, R23, R28).
pub const REQUEST_TO_ACCESS: FieldSet =
    NETWORK.and(FieldSet::of(&[HeaderId::PAccessNetworkInfo, HeaderId::ServiceRoute]));

/// Of the core's response; the Service-Route of a registration is put back by its stage (R21).
pub const RESPONSE_TO_ACCESS: FieldSet = REQUEST_TO_ACCESS;

/// Of the core's response to REGISTER: its Service-Route is the UE's to have (R21).
pub const REGISTER_TO_ACCESS: FieldSet = NETWORK.and(FieldSet::of(&[HeaderId::PAccessNetworkInfo]));

/// Takes the fields of `set`, every `P-Charging-*`, what stays inside the trust domain and all Via out.
pub fn strip(message: Message<'_>, set: FieldSet, edits: &mut EditList) {
    for field in message.fields() {
        let inside = || {
            let name = message.text(field.name);
            let charging = name.get(..CHARGING.len()).is_some_and(|n| n.eq_ignore_ascii_case(CHARGING));
            charging || trust::is_inside(name)
        };
        if field.id == HeaderId::Via || set.has(field.id) || (field.id == HeaderId::Unknown && inside()) {
            edits.remove(field.line);
        }
    }
}

const CHARGING: &[u8] = b"P-Charging-";

/// Puts our Via where the first one stood.
pub fn own_via(
    message: Message<'_>,
    point: &SipPoint,
    transport: Transport,
    branch: &Branch,
    alias: Alias,
    edits: &mut EditList,
) {
    edits.insert_with(vias_at(message), |out| push_via(point, transport, branch, alias, out));
}

/// Whether the far end may send its own requests back over the same connection (RFC 5923 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alias {
    /// It may not.
    No,
    /// It may: `alias` stands in our Via.
    Offered,
}

/// Appends our Via line.
pub fn push_via(point: &SipPoint, transport: Transport, branch: &Branch, alias: Alias, out: &mut Vec<u8>) {
    for part in [
        &b"Via: SIP/2.0/"[..],
        transport.via_name().as_bytes(),
        b" ",
        point.advertised.as_bytes(),
        b";branch=",
        branch.text(),
        if alias == Alias::Offered { b";alias" } else { b"" },
        b"\r\n",
    ] {
        out.extend_from_slice(part);
    }
}

fn vias_at(message: Message<'_>) -> usize {
    message.first(HeaderId::Via).map_or(message.start_span().end as usize, |via| via.line.start as usize)
}

/// Counts the hop (R31); 70 is assumed where the field is missing (R33).
///
/// # Errors
/// `TooManyHops` if none is left.
pub fn count_hop(message: Message<'_>, edits: &mut EditList) -> Result<(), Cause> {
    match (message.max_forwards()?, message.first(HeaderId::MaxForwards)) {
        (Some(0), _) => return Err(Cause::TooManyHops),
        (Some(hops), Some(field)) => {
            edits.replace_with(field.value, |out| push_decimal(u64::from(hops) - 1, out));
        }
        _ => edits.insert(message.fields_end(), b"Max-Forwards: 70\r\n"),
    }
    Ok(())
}

/// Puts a route set before everything else; nothing if it is empty.
pub fn route(message: Message<'_>, routes: &[u8], edits: &mut EditList) {
    if !routes.is_empty() {
        sip::edit::prepend(message, "Route", routes, edits);
    }
}

/// Takes the option tag `sec-agree` out of Require and Proxy-Require, and the field when empty (R18).
pub fn strip_option(message: Message<'_>, id: HeaderId, tag: &[u8], edits: &mut EditList) {
    if !message.lists(id, tag) {
        return;
    }
    let kept = || message.elements(id).filter(|e| !e.text.eq_ignore_ascii_case(tag));
    for (at, field) in message.all(id).enumerate() {
        if at > 0 || kept().next().is_none() {
            edits.remove(field.line);
            continue;
        }
        edits.replace_with(field.value, |out| {
            for (at, element) in kept().enumerate() {
                out.extend_from_slice(if at == 0 { b"" } else { b", " });
                out.extend_from_slice(element.text);
            }
        });
    }
}

/// Puts our host and port into each Contact of a UE, and our transport where it named one (R26).
/// User, parameters and what follows the address stay byte for byte.
pub fn contact_to_core(message: Message<'_>, point: &SipPoint, edits: &mut EditList) {
    for contact in message.name_addrs(HeaderId::Contact).flatten() {
        if let Some(pieces) = Pieces::of(contact.uri) {
            own_host_port(&contact, &pieces, point, edits);
        }
    }
}

/// Edits host, port and transport of one address.
pub fn own_host_port(contact: &NameAddr<'_>, pieces: &Pieces, point: &SipPoint, edits: &mut EditList) {
    let at = contact.uri_span.start as usize;
    let span = |range: &core::ops::Range<usize>| Span::new(at + range.start, at + range.end);
    edits.replace(span(&pieces.host_port), point.advertised.as_bytes());
    let params = contact.uri.get(pieces.params.clone()).unwrap_or_default();
    for (text, range) in crate::address::params(params) {
        let named = text.split(|&b| b == b'=').next().unwrap_or_default();
        if wire::bytes_class::trim(named).eq_ignore_ascii_case(b"transport") {
            let start = pieces.params.start;
            edits.replace_with(span(&(start + range.start..start + range.end)), |out| {
                out.extend_from_slice(b";transport=");
                out.extend_from_slice(point.transport.label().as_bytes());
            });
        }
    }
}

/// Puts our address into each Contact from the core; a conference keeps its URI (R26). The Contacts of
/// a redirection are where others are reached (RFC 3261 §21.3): they stay, unless they show an address
/// of the core.
pub fn contact_to_access(message: Message<'_>, point: &SipPoint, edits: &mut EditList) {
    if (300..400).contains(&message.status()) {
        let inner = |entry: &[u8]| {
            let address = NameAddr::read(entry, Span::new(0, entry.len()));
            address.is_none_or(|address| shows_ip_literal(address.uri))
        };
        sip::edit::remove_elements(message, HeaderId::Contact, inner, edits);
        return;
    }
    for contact in message.name_addrs(HeaderId::Contact).flatten() {
        let focus = Pieces::of(contact.uri).is_some_and(|p| p.param(contact.uri, b"isfocus").is_some());
        if focus || contact.star || contact.params.has(b"isfocus") {
            continue;
        }
        edits.replace_with(contact.uri_span, |out| {
            out.extend_from_slice(if contact.bracketed { b"" } else { b"<" });
            push_own_uri(b"", point, out);
            out.extend_from_slice(if contact.bracketed { b"" } else { b">" });
        });
    }
}

/// Appends `sip:[user@]host:port[;transport=...]`.
pub fn push_own_uri(user: &[u8], point: &SipPoint, out: &mut Vec<u8>) {
    out.extend_from_slice(b"sip:");
    if !user.is_empty() {
        out.extend_from_slice(user);
        out.push(b'@');
    }
    out.extend_from_slice(point.advertised.as_bytes());
    if point.transport != Transport::Udp {
        out.extend_from_slice(b";transport=");
        out.extend_from_slice(point.transport.label().as_bytes());
    }
}

/// Gives the requester back what it sent: its Vias, From, To (with the tag of the response), Call-ID
/// and CSeq, whatever the responder made of them (R21, R35, q07, q08, q16).
pub fn restore(response: Message<'_>, echo: &Echo, fallback_tag: &[u8], edits: &mut EditList) {
    edits.insert_with(vias_at(response), |out| echo.push_vias(response.status(), out));
    let tag =
        if response.status() == 100 { b"" } else { response_tag(response, echo).unwrap_or(fallback_tag) };
    for (id, value) in
        [(HeaderId::From, echo.from()), (HeaderId::CallId, echo.call_id()), (HeaderId::CSeq, echo.cseq())]
    {
        put_once(response, id, edits, |out| out.extend_from_slice(value));
    }
    put_once(response, HeaderId::To, edits, |out| echo.push_to(tag, out));
}

/// The tag that the responder gave itself: that of To, unless it is the requester's own because From
/// and To came back exchanged (q07).
pub fn response_tag<'a>(response: Message<'a>, echo: &Echo) -> Option<&'a [u8]> {
    let tag_of = |id| {
        let field = response.first(id)?;
        NameAddr::read(response.bytes(), field.value)?.tag()
    };
    let to = tag_of(HeaderId::To).filter(|tag| !ends_with_tag(echo.from(), tag));
    to.or_else(|| tag_of(HeaderId::From).filter(|tag| !ends_with_tag(echo.from(), tag)))
}

fn ends_with_tag(value: &[u8], tag: &[u8]) -> bool {
    NameAddr::read(value, Span::new(0, value.len())).is_some_and(|a| a.tag() == Some(tag))
}

/// Puts `write` in the place of the value of `id`; adds the field if it is missing, removes seconds.
fn put_once(message: Message<'_>, id: HeaderId, edits: &mut EditList, write: impl FnOnce(&mut Vec<u8>)) {
    let mut fields = message.all(id);
    match fields.next() {
        Some(field) => edits.replace_with(field.value, write),
        None => edits.insert_with(message.fields_end(), |out| {
            out.extend_from_slice(id.name().as_bytes());
            out.extend_from_slice(b": ");
            write(out);
            out.extend_from_slice(b"\r\n");
        }),
    }
    for field in fields {
        edits.remove(field.line);
    }
}

/// Puts our host into each Warning from the core: its agent is a host of the core (design: topology).
pub fn warnings_to_access(message: Message<'_>, point: &SipPoint, edits: &mut EditList) {
    for warning in message.elements(HeaderId::Warning) {
        // warning-value = warn-code SP warn-agent SP warn-text
        let blank = |from: usize| {
            let rest = warning.text.get(from..)?;
            Some(from + rest.iter().position(|&b| b == b' ')?)
        };
        let Some(code_end) = blank(0) else { continue };
        let Some(agent_end) = blank(code_end + 1) else { continue };
        let at = warning.span.start as usize;
        edits.replace(Span::new(at + code_end + 1, at + agent_end), point.advertised.as_bytes());
    }
}

/// Whether a header value of addresses shows an address instead of a name.
#[must_use]
pub fn shows_ip_literal(value: &[u8]) -> bool {
    Pieces::of(value).is_some_and(|p| is_ip_literal(&value[p.host_port]))
}

/// Takes every field of one name out.
pub fn strip_field(message: Message<'_>, id: HeaderId, edits: &mut EditList) {
    for field in message.all(id) {
        edits.remove(field.line);
    }
}

/// Appends an address as a Request-URI: without blanks (`sip: user@h`) and without `?headers`, which
/// may not stand there (RFC 3261 §19.1.1).
pub fn push_as_request_uri(uri: &[u8], out: &mut Vec<u8>) {
    let end = memchr::memchr(b'?', uri).unwrap_or(uri.len());
    out.extend(uri[..end].iter().filter(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n')));
}
