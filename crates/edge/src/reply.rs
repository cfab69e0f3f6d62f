//! What a response must echo of its request, and the responses we make ourselves.

use crate::flow::Origin;
use core::net::IpAddr;
use sip::{HeaderId, Message, Method, Via};
use wire::bytes_class::push_decimal;
use wire::{Hop, Realm, Span, Transport};

/// The fields of a request that every response to it carries, ready to be written (RFC 3261 §8.2.6.2).
///
/// This, and not the whole request, is what an exchange keeps of what it received: responses that come
/// back get these bytes in the place of their own (R21, R35), whatever the far side made of them.
#[derive(Clone, Debug, Default)]
pub struct Echo {
    text: Vec<u8>,
    vias: Span,
    from: Span,
    to: Span,
    call_id: Span,
    cseq: Span,
    to_tagged: bool,
    /// Where the value of a `keep` belongs that the UE put into its Via (RFC 6223 §4.3).
    keep: Option<Keep>,
}

#[derive(Clone, Copy, Debug)]
struct Keep {
    /// Behind the parameter's name.
    at: usize,
    seconds: u32,
    /// An INVITE is answered by provisional responses too.
    early: bool,
}

impl Echo {
    /// Reads the fields of `request`; a missing one stays empty. The top Via gets `received` and
    /// `rport` as RFC 3261 §18.2.1 and RFC 3581 §4 ask (R6).
    ///
    /// `keep_seconds` is what a UE is told that asks for it by `keep`; 0 for nothing (RFC 6223).
    pub fn read(&mut self, request: Message<'_>, origin: &Origin, keep_seconds: u32) {
        self.text.clear();
        self.keep = None;
        let keeps = matches!(request.method(), Method::Register | Method::Invite);
        let keeps = keeps && keep_seconds > 0 && origin.realm == Realm::Access;
        let mut keep_at = None;
        self.vias = self.keep(|text| {
            for (at, via) in request.elements(HeaderId::Via).enumerate() {
                text.extend_from_slice(b"Via: ");
                match Via::read(request.bytes(), via.span) {
                    Some(top) if at == 0 => {
                        keep_at = push_marked(&top, request.bytes(), origin, text).filter(|_| keeps);
                    }
                    _ => text.extend_from_slice(via.text),
                }
                text.extend_from_slice(b"\r\n");
            }
        });
        let early = request.method() == Method::Invite;
        self.keep = keep_at.map(|at| Keep { at, seconds: keep_seconds, early });
        let mut field = |id| {
            let value = request.value(id).unwrap_or_default();
            self.keep(|text| text.extend_from_slice(value))
        };
        let (from, to) = (field(HeaderId::From), field(HeaderId::To));
        let (call_id, cseq) = (field(HeaderId::CallId), field(HeaderId::CSeq));
        (self.from, self.to, self.call_id, self.cseq) = (from, to, call_id, cseq);
        self.to_tagged = request.to().is_ok_and(|to| to.tag().is_some());
    }

    /// The Via lines, each with its line end.
    #[must_use]
    pub fn vias(&self) -> &[u8] {
        self.vias.of(&self.text)
    }

    /// Appends the Via lines for a response: a UE that offered to send keep-alives is told how often,
    /// once it is known that its request succeeds (RFC 6223 §4.3).
    pub fn push_vias(&self, status: u16, out: &mut Vec<u8>) {
        let told = |keep: &Keep| (200..300).contains(&status) || keep.early && (101..200).contains(&status);
        let Some(keep) = self.keep.filter(told) else {
            out.extend_from_slice(self.vias());
            return;
        };
        let (head, rest) = self.vias().split_at(keep.at.min(self.vias().len()));
        out.extend_from_slice(head);
        out.push(b'=');
        push_decimal(u64::from(keep.seconds), out);
        out.extend_from_slice(rest);
    }

    /// The From value.
    #[must_use]
    pub fn from(&self) -> &[u8] {
        self.from.of(&self.text)
    }

    /// The To value, with the tag it had.
    #[must_use]
    pub fn to(&self) -> &[u8] {
        self.to.of(&self.text)
    }

    /// Whether the request already had a To tag: it belongs to a dialog.
    #[must_use]
    pub fn to_tagged(&self) -> bool {
        self.to_tagged
    }

    /// The Call-ID.
    #[must_use]
    pub fn call_id(&self) -> &[u8] {
        self.call_id.of(&self.text)
    }

    /// The CSeq value.
    #[must_use]
    pub fn cseq(&self) -> &[u8] {
        self.cseq.of(&self.text)
    }

    /// Appends a response without body. `to_tag` is added unless the request had one; `extra` holds
    /// whole header lines.
    pub fn write(&self, status: u16, to_tag: &[u8], extra: &[u8], out: &mut Vec<u8>) -> Span {
        self.write_because(status, reason_phrase(status), to_tag, extra, out)
    }

    /// The same with a reason phrase of its own.
    pub fn write_because(
        &self,
        status: u16,
        reason: &str,
        to_tag: &[u8],
        extra: &[u8],
        out: &mut Vec<u8>,
    ) -> Span {
        let start = out.len();
        out.extend_from_slice(b"SIP/2.0 ");
        push_decimal(u64::from(status), out);
        out.push(b' ');
        out.extend_from_slice(reason.as_bytes());
        out.extend_from_slice(b"\r\n");
        self.push_vias(status, out);
        push_field("From", self.from(), out);
        if !self.to().is_empty() {
            out.extend_from_slice(b"To: ");
            self.push_to(to_tag, out);
            out.extend_from_slice(b"\r\n");
        }
        push_field("Call-ID", self.call_id(), out);
        push_field("CSeq", self.cseq(), out);
        out.extend_from_slice(extra);
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        Span::new(start, out.len())
    }

    /// Appends the To value for a response: the request's own, with `tag` unless it has one (R35).
    pub fn push_to(&self, tag: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(self.to());
        if !self.to_tagged && !tag.is_empty() {
            out.extend_from_slice(b";tag=");
            out.extend_from_slice(tag);
        }
    }

    fn keep(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Span {
        let start = self.text.len();
        write(&mut self.text);
        Span::new(start, self.text.len())
    }
}

/// Where a response goes: to the source, or for a core peer that did not ask for `rport`, to the port
/// of its Via (RFC 3261 §18.2.2). A UE is behind a NAT and always gets it at its source (R6).
#[must_use]
pub fn answer_hop(origin: &Origin, top: &Via<'_>) -> Hop {
    match origin.hop {
        Hop::Datagram { socket, mut peer } if origin.realm == Realm::Core && top.rport().is_none() => {
            peer.set_port(top.port.unwrap_or(5060));
            Hop::Datagram { socket, peer }
        }
        Hop::Peer { .. } => peer_hop(origin, top),
        hop => hop,
    }
}

/// Where a response to the core goes when the stream of its request is gone; `None` for a UE, which
/// cannot be reached behind its NAT.
#[must_use]
pub fn fallback_hop(origin: &Origin, top: &Via<'_>) -> Option<Hop> {
    let stream = matches!(origin.hop, Hop::Stream(_)) && origin.realm == Realm::Core;
    stream.then(|| peer_hop(origin, top))
}

/// A connection to the port of the Via (RFC 3261 §18.2.2).
fn peer_hop(origin: &Origin, top: &Via<'_>) -> Hop {
    let default = if origin.transport == Transport::Tls { 5061 } else { 5060 };
    let mut peer = origin.source;
    peer.set_port(top.port.unwrap_or(default));
    Hop::Peer { realm: origin.realm, transport: origin.transport, peer }
}

/// Appends the top Via; where a `keep` without value ends in `text`, if there is one.
fn push_marked(via: &Via<'_>, bytes: &[u8], origin: &Origin, text: &mut Vec<u8>) -> Option<usize> {
    let mut keep = None;
    let asked = via.rport().is_some();
    let host = via.host.strip_prefix(b"[").and_then(|h| h.strip_suffix(b"]")).unwrap_or(via.host);
    let source = origin.source.ip().to_canonical();
    let said = core::str::from_utf8(host).ok().and_then(|h| h.parse::<IpAddr>().ok());
    let mark = |text: &mut Vec<u8>| {
        text.extend_from_slice(format!(";received={source}").as_bytes());
    };
    let mut marked = false;
    text.extend_from_slice(&bytes[via.span.start as usize..via.params.span().start as usize]);
    for param in via.params.entries() {
        if param.name.eq_ignore_ascii_case(b"received") {
            continue; // ours to say
        }
        if param.name.eq_ignore_ascii_case(b"rport") {
            if !marked {
                mark(text);
                text.extend_from_slice(b";rport=");
                push_decimal(u64::from(origin.source.port()), text);
                marked = true;
            }
            continue;
        }
        text.extend_from_slice(param.span.of(bytes));
        if param.name.eq_ignore_ascii_case(b"keep") && param.value.is_none() {
            keep = Some(text.len());
        }
    }
    if !marked && !asked && said != Some(source) {
        mark(text);
    }
    keep
}

fn push_field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

/// The phrase of RFC 3261 §21 and its relatives; the class's own word for the rest.
#[must_use]
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Request Entity Too Large",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        423 => "Interval Too Brief",
        430 => "Flow Failed",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        494 => "Security Agreement Required",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        0..200 => "Progress",
        201..300 => "Accepted",
        300..400 => "Redirected",
        401..500 => "Refused",
        _ => "Failed",
    }
}
