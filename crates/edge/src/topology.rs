//! Topology hiding: the last look at everything that leaves, in header fields and bodies.
//!
//! ```text
//!   core → UE   sip:as@10.9.9.9:5061;x   ─▶  sip:as@edge:5060;gh=<mask>;x     in SIP URIs
//!               Server: as/1 (10.9.9.9)  ─▶  Server: as/1 (edge)              in text
//!   UE → core   sip:as@edge:5060;gh=<mask>;x  ─▶  sip:as@10.9.9.9:5061;x
//! ```
//! What the other stages rebuild (Via, routes, Contact, SDP) shows nothing of the core anyway; this stage
//! goes over the rest, and leaves alone what it does not understand to be an address. A host that a UE may
//! use again stands behind a mask in its URI, so that it routes; elsewhere our own host takes its place.
//! Call-IDs get their masks here too (`names`, R24).
//!
//! Untouched, because both ends compute or compare them: challenges and credentials, Conversation-ID and
//! Contribution-ID (R30), Subject, and the bodies of users.

mod hosts;
pub(crate) mod names;

use crate::api::SipPoint;
use crate::headers::{FieldSet, REQUEST_TO_ACCESS};
use crate::mask::{Kind, Owner};
use crate::points::PointId;
use crate::shard::Edge;
use core::cell::OnceCell;
use core::net::{IpAddr, SocketAddr};
use hosts::{Found, hosts};
use sip::{HeaderId, MediaType, Message, NameAddr, multipart};
use smallvec::SmallVec;
use wire::{EditList, Realm, Span};

/// Parameter of a URI whose host is ours and stands for another.
const PARAM: &[u8] = b";gh=";

/// What compares or computes with these values would fail if they changed.
const OPAQUE: FieldSet = FieldSet::of(&[
    HeaderId::Via,
    HeaderId::CallId,
    HeaderId::CSeq,
    HeaderId::RAck,
    HeaderId::RSeq,
    HeaderId::Event,
    HeaderId::Authorization,
    HeaderId::ProxyAuthorization,
    HeaderId::WwwAuthenticate,
    HeaderId::ProxyAuthenticate,
    HeaderId::AuthenticationInfo,
    HeaderId::ContentType,
    HeaderId::ContentLength,
    HeaderId::ConversationId,
    HeaderId::ContributionId,
    HeaderId::SessionId,
    HeaderId::SipEtag,
    HeaderId::SipIfMatch,
    HeaderId::Identity,
    HeaderId::Subject,
    HeaderId::Date,
    HeaderId::Replaces,
    HeaderId::Join,
    HeaderId::TargetDialog,
    HeaderId::InReplyTo,
]);

/// No stage lets these pass, in any message.
const GONE: FieldSet = FieldSet::of(&[
    HeaderId::Route,
    HeaderId::RecordRoute,
    HeaderId::Path,
    HeaderId::PAccessNetworkInfo,
    HeaderId::PVisitedNetworkId,
    HeaderId::SecurityClient,
    HeaderId::SecurityServer,
    HeaderId::SecurityVerify,
]);

/// Only the URI of these is looked at: their tags name the dialog.
const TAGGED: FieldSet = FieldSet::of(&[HeaderId::From, HeaderId::To]);

/// What shows where a message went inside the core.
const TRACES: FieldSet = FieldSet::of(&[
    HeaderId::Via,
    HeaderId::RecordRoute,
    HeaderId::Route,
    HeaderId::Path,
    HeaderId::ServiceRoute,
    HeaderId::Contact,
]);

/// What hiding needs of the edge.
#[derive(Debug)]
pub(crate) struct Hiding {
    domains: Vec<Box<[u8]>>,
    hidden: Vec<wire::Prefix>,
    /// Where core next hops and our own core side are.
    known: Vec<IpAddr>,
    /// The home domain, if it is an address: every UE knows it as its own.
    home: Option<IpAddr>,
}

impl Hiding {
    /// From the configuration and what is bound.
    #[must_use]
    pub(crate) fn new(config: &config::Config, points: &[SipPoint]) -> Self {
        let own = points.iter().filter(|p| p.realm == Realm::Core);
        let own = own.flat_map(|p| [address_of(p), Some(p.bound.ip())]).flatten();
        let hops = config.core.next_hops.iter().map(|hop| hop.address.ip());
        Self {
            domains: config
                .topology
                .hidden_domains
                .iter()
                .map(|d| d.to_ascii_lowercase().into_bytes().into())
                .collect(),
            hidden: config.topology.hidden.clone(),
            home: config.core.domain.trim_matches(['[', ']']).parse().ok(),
            known: own.chain(hops).filter(|ip| !ip.is_unspecified()).collect(),
        }
    }
}

/// The address that a point advertises, if it is one.
fn address_of(point: &SipPoint) -> Option<IpAddr> {
    let text: &str = &point.advertised;
    text.parse::<SocketAddr>().map(|a| a.ip()).ok().or_else(|| text.parse().ok())
}

impl Edge {
    /// Goes over a message that leaves towards `to`, where we are seen as `point`. `owner` is asked for
    /// the UE concerned only where a Call-ID is masked.
    pub(crate) fn hide(
        &self,
        message: Message<'_>,
        to: Realm,
        point: PointId,
        owner: &dyn Fn() -> Owner,
        edits: &mut EditList,
    ) {
        self.map_call_ids(message, to, owner, edits);
        match to {
            Realm::Access => {
                let screen = Screen::new(self, point, Some(message));
                screen.head(message, edits);
                screen.body(message, owner, edits);
            }
            Realm::Core if memchr::memmem::find(message.bytes(), PARAM).is_some() => {
                self.restore(message, edits);
            }
            Realm::Core => {}
        }
    }

    /// A value of the core in a message that we write ourselves for a UE.
    pub(crate) fn hidden_value(&self, value: &[u8], point: PointId) -> Vec<u8> {
        let mut edits = EditList::new();
        let screen = Screen::new(self, point, None);
        screen.text(value, Span::new(0, value.len()), Place::Field, &mut edits);
        let mut out = Vec::with_capacity(value.len());
        // One walk over one text: its edits cannot overlap.
        let _ = edits.gather(value, &mut out);
        out
    }

    /// Whether a URI's host stands for one that was hidden.
    pub(crate) fn is_hidden(uri: &[u8]) -> bool {
        memchr::memmem::find(uri, PARAM).is_some()
    }

    fn map_call_ids(&self, message: Message<'_>, to: Realm, owner: &dyn Fn() -> Owner, edits: &mut EditList) {
        if !self.config.topology.mask_call_id {
            return;
        }
        let owner = owner();
        let map = |id: &[u8]| match to {
            Realm::Access => self.call_id_for_access(id, &owner).into_owned(),
            Realm::Core => names::for_core(&self.masks, true, id, &owner).into_owned(),
        };
        let bytes = message.bytes();
        for field in message.fields() {
            match field.id {
                // A response bears the one that its request came with.
                HeaderId::CallId if message.is_request() => {
                    names::edit_first(bytes, field.value, &map, edits);
                }
                HeaderId::Replaces | HeaderId::Join | HeaderId::TargetDialog => {
                    names::edit_first(bytes, field.value, &map, edits);
                }
                HeaderId::InReplyTo => names::edit_list(bytes, field.value, &map, edits),
                HeaderId::ReferTo | HeaderId::Contact => {
                    names::edit_headers_part(bytes, field.value, &map, edits);
                }
                _ => {}
            }
        }
    }

    /// Gives hidden hosts back, wherever the UE put them.
    fn restore(&self, message: Message<'_>, edits: &mut EditList) {
        let bytes = message.bytes();
        let head = Span::new(0, message.head_span().end as usize);
        self.restore_in(bytes, head, edits);
        for part in texts(message, is_signalling) {
            self.restore_in(bytes, part.body, edits);
            part.fit(edits);
        }
    }

    fn restore_in(&self, bytes: &[u8], within: Span, edits: &mut EditList) {
        for at in memchr::memmem::find_iter(within.of(bytes), PARAM) {
            let at = within.start as usize + at;
            let Some((span, host)) = self.hidden_host(bytes, at) else { continue };
            if !edits.touches(span) {
                edits.replace(span, &host);
            }
        }
    }

    /// The host whose mask stands at `at`, and where it belongs.
    fn hidden_host(&self, bytes: &[u8], at: usize) -> Option<(Span, Vec<u8>)> {
        let from = at + PARAM.len();
        let rest = bytes.get(from..)?;
        let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).count();
        let host = self.masks.open(Kind::Host, rest.get(..len)?)?;
        let of_host = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
        let head = bytes.get(at.saturating_sub(HOST_CHARS_MAX)..at)?;
        let run = head.iter().rev().take_while(|b| of_host(b)).count();
        let own = head.get(head.len() - run..)?;
        let scheme = [&b"sips:"[..], b"sip:"]
            .into_iter()
            .find(|scheme| own.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)));
        let behind_user = head.get(..head.len() - run)?.last() == Some(&b'@');
        let skipped = match (behind_user, scheme) {
            (true, _) => 0,
            (false, Some(scheme)) => scheme.len(),
            // Somebody moved the parameter: which host it belongs to is anybody's guess.
            (false, None) => return None,
        };
        let start = at - run + skipped;
        Some((Span::new(start, from + len), host))
    }
}

/// A name, its port and a scheme.
const HOST_CHARS_MAX: usize = 272;

/// Where a text stands, which decides how a URI in it may be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A header value: the parameters behind an address without `<>` are the field's.
    Field,
    /// A product, with versions that look like addresses.
    Product,
    /// XML.
    Markup,
}

/// What one message is held against.
struct Screen<'e, 'm> {
    edge: &'e Edge,
    /// Who we are on that side.
    own: &'e SipPoint,
    message: Option<Message<'m>>,
    /// The addresses in the routes of the message itself.
    traces: OnceCell<SmallVec<[IpAddr; 8]>>,
}

impl<'e, 'm> Screen<'e, 'm> {
    fn new(edge: &'e Edge, point: PointId, message: Option<Message<'m>>) -> Self {
        Self { edge, own: edge.points.at(point), message, traces: OnceCell::new() }
    }

    fn head(&self, message: Message<'_>, edits: &mut EditList) {
        let bytes = message.bytes();
        match message.is_request() {
            true => self.text(bytes, message.uri_span(), Place::Markup, edits),
            false => self.text(bytes, message.start_span(), Place::Field, edits),
        }
        for field in message.fields() {
            if OPAQUE.has(field.id) || GONE.has(field.id) {
                continue;
            }
            if TAGGED.has(field.id) {
                if let Some(address) = NameAddr::read(bytes, field.value) {
                    let start = address.span.start as usize;
                    let end = address.uri_span.end as usize + usize::from(address.bracketed);
                    self.text(bytes, Span::new(start, end), Place::Field, edits);
                }
                continue;
            }
            let place = match field.id {
                HeaderId::Server | HeaderId::UserAgent => Place::Product,
                _ => Place::Field,
            };
            self.text(bytes, field.value, place, edits);
        }
    }

    fn body(&self, message: Message<'_>, owner: &dyn Fn() -> Owner, edits: &mut EditList) {
        for part in texts(message, is_signalling) {
            if edits.touches(part.body) {
                continue; // it is taken off
            }
            let bytes = message.bytes();
            if part.fragment {
                self.fragment(bytes, part.body, owner, edits);
            } else {
                self.text(bytes, part.body, Place::Markup, edits);
                self.call_ids_of_markup(bytes, part.body, owner, edits);
            }
            part.fit(edits);
        }
    }

    /// A message fragment (RFC 3420): what a NOTIFY of a REFER tells of its outcome.
    fn fragment(&self, bytes: &[u8], body: Span, owner: &dyn Fn() -> Owner, edits: &mut EditList) {
        let mut at = body.start as usize;
        for line in body.of(bytes).split_inclusive(|&b| b == b'\n') {
            let span = Span::new(at, at + line.len());
            at += line.len();
            let colon = memchr::memchr(b':', line);
            let id = colon.map(|colon| HeaderId::from_bytes(wire::bytes_class::trim(&line[..colon])));
            match id {
                Some(id) if id == HeaderId::Via || REQUEST_TO_ACCESS.has(id) => edits.remove(span),
                Some(HeaderId::CallId) if self.edge.config.topology.mask_call_id => {
                    let value = wire::bytes_class::trim(&line[colon.unwrap_or(0) + 1..]);
                    let Some(value) = Span::within(bytes, value) else { continue };
                    let owner = owner();
                    let map = |id: &[u8]| self.edge.call_id_for_access(id, &owner).into_owned();
                    names::edit_first(bytes, value, &map, edits);
                }
                Some(id) if OPAQUE.has(id) => {}
                _ => self.text(bytes, span, Place::Field, edits),
            }
        }
    }

    /// `call-id` in dialog-info (RFC 4235): what a UE names in Replaces.
    fn call_ids_of_markup(&self, bytes: &[u8], body: Span, owner: &dyn Fn() -> Owner, edits: &mut EditList) {
        if !self.edge.config.topology.mask_call_id {
            return;
        }
        let owner = owner();
        for at in memchr::memmem::find_iter(body.of(bytes), b"call-id=\"") {
            let from = body.start as usize + at + 9;
            let rest = bytes.get(from..body.end as usize).unwrap_or_default();
            let end = memchr::memchr(b'"', rest).unwrap_or(0);
            let new = self.edge.call_id_for_access(rest.get(..end).unwrap_or_default(), &owner);
            let span = Span::new(from, from + end);
            if end > 0 && !edits.touches(span) {
                edits.replace(span, &new);
            }
        }
    }

    /// Hides the hosts in one text.
    fn text(&self, bytes: &[u8], within: Span, place: Place, edits: &mut EditList) {
        let text = within.of(bytes);
        for found in hosts(text, &self.edge.hiding.domains) {
            if !self.is_inner(&found, place) || in_dialog_name(text, found.start) {
                continue;
            }
            let at = |offset: usize| within.start as usize + offset;
            let span = Span::new(at(found.start), at(found.end));
            let host = text.get(found.start..found.end).unwrap_or_default();
            let bare = found.uri.filter(|uri| place != Place::Markup && !is_bracketed(text, *uri));
            let whole = Span::new(at(bare.unwrap_or(found.start)), at(found.end));
            if edits.touches(whole) || edits.touches(span) {
                continue;
            }
            if let Some(uri) = bare {
                edits.insert(at(uri), b"<");
            }
            edits.replace_with(span, |out| {
                if found.uri.is_some() {
                    out.extend_from_slice(self.own.advertised.as_bytes());
                    out.extend_from_slice(PARAM);
                    self.edge.masks.seal(Kind::Host, host, out);
                } else {
                    out.extend_from_slice(self.own_host());
                }
                out.extend_from_slice(if bare.is_some() { b">" } else { b"" });
            });
        }
    }

    /// Our host without its port.
    fn own_host(&self) -> &[u8] {
        let text = self.own.advertised.as_bytes();
        match text.iter().rposition(|&b| b == b':') {
            Some(colon) if !text.ends_with(b"]") => &text[..colon],
            _ => text,
        }
    }

    fn is_inner(&self, found: &Found, place: Place) -> bool {
        let Some(address) = found.address else { return true };
        let own = |p: &SipPoint| {
            p.realm == Realm::Access && (p.bound.ip() == address || address_of(p) == Some(address))
        };
        let media = |p: &crate::api::MsrpPoint| p.realm == Realm::Access && p.advertised.ip() == address;
        let public = self.edge.hiding.home == Some(address);
        if public || self.edge.context.sip.iter().any(own) || self.edge.context.msrp.iter().any(media) {
            return false;
        }
        if found.uri.is_some() || self.edge.hiding.known.contains(&address) {
            return true;
        }
        let version = found.glued && place == Place::Product;
        let hidden = !version && self.edge.hiding.hidden.iter().any(|range| range.contains(address));
        hidden || self.traces().contains(&address)
    }

    /// Whoever stands in the routes of this message is of the core.
    fn traces(&self) -> &[IpAddr] {
        self.traces.get_or_init(|| {
            let Some(message) = self.message else { return SmallVec::new() };
            let fields = message.fields().filter(|field| TRACES.has(field.id));
            let all = fields.flat_map(|field| hosts(message.text(field.value), &[]));
            all.filter_map(|found| found.address).take(TRACES_MAX).collect()
        })
    }
}

const TRACES_MAX: usize = 64;

/// Whether the URI at `uri` stands in `<>` or quotes of its own.
fn is_bracketed(text: &[u8], uri: usize) -> bool {
    matches!(uri.checked_sub(1).and_then(|at| text.get(at)), Some(b'<' | b'"'))
        || text.get(..uri).is_some_and(|head| {
            let open = head.iter().rposition(|&b| b == b'<');
            open.is_some_and(|open| !head[open..].contains(&b'>'))
        })
}

/// Whether a place lies in the headers part of a URI that names a dialog: `?Replaces=id%4010.9.9.9`.
fn in_dialog_name(text: &[u8], at: usize) -> bool {
    let Some(head) = text.get(..at) else { return false };
    let from = head.iter().rposition(|b| matches!(b, b'<' | b'>' | b'"' | b'&' | b'?'));
    let part = from.and_then(|from| head.get(from + 1..)).unwrap_or_default();
    [&b"replaces="[..], b"join=", b"target-dialog=", b"call-id="]
        .iter()
        .any(|name| part.get(..name.len()).is_some_and(|p| p.eq_ignore_ascii_case(name)))
}

/// A body, or a part of one, that is read as text.
struct TextPart<'m> {
    body: Span,
    /// message/sipfrag, and not XML.
    fragment: bool,
    part: Option<multipart::Part<'m>>,
}

impl TextPart<'_> {
    /// Its own Content-Length, once its edits are made.
    fn fit(&self, edits: &mut EditList) {
        if let Some(part) = &self.part {
            part.fit_content_length(edits);
        }
    }
}

/// The parts of a body that are `wanted`.
fn texts(message: Message<'_>, wanted: impl Fn(&MediaType<'_>) -> bool) -> SmallVec<[TextPart<'_>; 2]> {
    let mut found = SmallVec::new();
    if message.body().is_empty() {
        return found;
    }
    let Ok(Some(media_type)) = message.content_type() else { return found };
    let fragment = |t: &MediaType<'_>| t.kind.eq_ignore_ascii_case(b"message");
    if wanted(&media_type) {
        let fragment = fragment(&media_type);
        found.push(TextPart { body: message.body_span(), fragment, part: None });
    } else if media_type.kind.eq_ignore_ascii_case(b"multipart") {
        let parts = multipart::parts(message).into_iter().flatten().map_while(Result::ok);
        for part in parts {
            if let Some(part_type) = part.content_type().filter(|t| wanted(t)) {
                let fragment = fragment(&part_type);
                found.push(TextPart { body: part.body_span, fragment, part: Some(part) });
            }
        }
    }
    found
}

/// The types that signalling itself writes; what users write to each other is not ours to read (R42, R48).
fn is_signalling(media_type: &MediaType<'_>) -> bool {
    let is = |main: &[u8], sub: &[u8]| {
        media_type.kind.eq_ignore_ascii_case(main) && media_type.subtype.eq_ignore_ascii_case(sub)
    };
    let subtype = media_type.subtype;
    let xml = subtype.len() > 4 && subtype[subtype.len() - 4..].eq_ignore_ascii_case(b"+xml");
    let of_users = [&b"vemoticon+xml"[..], b"cloudfile+xml", b"commonextension+xml"];
    let users = of_users.iter().any(|s| subtype.eq_ignore_ascii_case(s));
    is(b"message", b"sipfrag") || (media_type.kind.eq_ignore_ascii_case(b"application") && xml && !users)
}
