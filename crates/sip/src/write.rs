//! Writing messages: responses to a request, header lines, start lines.

use crate::{HeaderId, Message, NameAddr, Via, uri};
use core::net::{IpAddr, SocketAddr};
use wire::bytes_class::push_decimal;
use wire::{Cause, Span};

/// What a response says beside what it copies from the request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Response<'a> {
    /// 100..=699.
    pub status: u16,
    /// The reason phrase; if empty, the usual one.
    pub reason: &'a str,
    /// Added to To if that has no tag. None for 100.
    pub to_tag: Option<&'a [u8]>,
    /// Where the request came from, noted in the topmost Via (R6). `None` leaves the Via as it is.
    pub source: Option<SocketAddr>,
    /// Further fields, in order.
    pub extra: &'a [(&'a str, &'a [u8])],
    /// Its type and the body.
    pub body: Option<(&'a [u8], &'a [u8])>,
}

impl Response<'_> {
    /// Appends the response to `request` and returns where in `out` it lies.
    ///
    /// All Via values in order, From, To, Call-ID and CSeq as in the request, Timestamp in a 100, the
    /// extra fields, Content-Length (RFC 3261 §8.2.6).
    pub fn write(&self, request: Message<'_>, out: &mut Vec<u8>) -> Span {
        let start = out.len();
        status_line(self.status, self.reason, out);
        self.vias(request, out);
        copy_first(request, HeaderId::From, out);
        self.to(request, out);
        copy_first(request, HeaderId::CallId, out);
        copy_first(request, HeaderId::CSeq, out);
        if self.status == 100 {
            copy_first(request, HeaderId::Timestamp, out);
        }
        for (name, value) in self.extra {
            header(name, value, out);
        }
        let (kind, body) = self.body.unwrap_or_default();
        if !kind.is_empty() {
            header("Content-Type", kind, out);
        }
        content_length(body.len() as u64, out);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
        Span::new(start, out.len())
    }

    fn vias(&self, request: Message<'_>, out: &mut Vec<u8>) {
        let top = request.top_via().ok();
        for (at, field) in request.all(HeaderId::Via).enumerate() {
            out.extend_from_slice(b"Via: ");
            let value = request.text(field.value);
            match (self.source, &top) {
                (Some(source), Some(via)) if at == 0 => {
                    stamped_via(request.bytes(), via, source, out);
                    let rest = Span { start: via.span.end, end: field.value.end.max(via.span.end) };
                    out.extend_from_slice(request.text(rest));
                }
                _ => out.extend_from_slice(value),
            }
            out.extend_from_slice(b"\r\n");
        }
    }

    fn to(&self, request: Message<'_>, out: &mut Vec<u8>) {
        let Some(field) = request.first(HeaderId::To) else {
            return;
        };
        // The tag goes right behind the address: further on, a quote left open might swallow it, or an
        // empty `tag=` come first.
        let untagged = NameAddr::read(request.bytes(), field.value).filter(|to| to.tag().is_none());
        let cut = untagged.map_or(field.value.end, |to| to.params_span.start);
        let (front, rest) = (Span { end: cut, ..field.value }, Span { start: cut, ..field.value });
        out.extend_from_slice(b"To: ");
        out.extend_from_slice(request.text(front));
        if let Some(tag) = self.to_tag.filter(|_| untagged.is_some()) {
            out.extend_from_slice(b";tag=");
            out.extend_from_slice(tag);
        }
        out.extend_from_slice(request.text(rest));
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends a response without body and returns where in `out` it lies; see `Response::write`.
pub fn response(
    request: Message<'_>,
    status: u16,
    reason: &str,
    to_tag: Option<&[u8]>,
    extra: &[(&str, &[u8])],
    out: &mut Vec<u8>,
) -> Span {
    let response = Response { status, reason, to_tag, extra, ..Response::default() };
    response.write(request, out)
}

fn copy_first(request: Message<'_>, id: HeaderId, out: &mut Vec<u8>) {
    if let Some(value) = request.value(id) {
        header(id.name(), value, out);
    }
}

/// Appends `SIP/2.0 status reason`; an empty reason is replaced by the usual one.
pub fn status_line(status: u16, reason: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"SIP/2.0 ");
    push_decimal(u64::from(status), out);
    out.push(b' ');
    let phrase = if reason.is_empty() { reason_phrase(status) } else { reason };
    out.extend_from_slice(phrase.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends `method uri SIP/2.0`.
pub fn request_line(method: &[u8], uri: &[u8], out: &mut Vec<u8>) {
    for piece in [method, b" ", uri, b" SIP/2.0\r\n"] {
        out.extend_from_slice(piece);
    }
}

/// Appends `name: value`. Folds of `value` stay; a line end that would begin a new field becomes a
/// blank, so that no value can smuggle one in.
pub fn header(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    if memchr::memchr3(b'\r', b'\n', 0, value).is_none() {
        out.extend_from_slice(value);
    } else {
        push_folded(value, out);
    }
    out.extend_from_slice(b"\r\n");
}

#[cold]
fn push_folded(mut value: &[u8], out: &mut Vec<u8>) {
    while let Some((&byte, rest)) = value.split_first() {
        if let [b'\r', b'\n', blank @ (b' ' | b'\t'), tail @ ..] = value {
            out.extend_from_slice(b"\r\n");
            out.push(*blank);
            value = tail;
            continue;
        }
        out.push(if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { byte });
        value = rest;
    }
}

/// Appends `name: number`.
pub fn header_number(name: &str, number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    push_decimal(number, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends Content-Length.
pub fn content_length(length: u64, out: &mut Vec<u8>) {
    header_number("Content-Length", length, out);
}

/// Appends the value of a Via: `SIP/2.0/transport sent-by;branch=...`, and what `params` holds,
/// first `;` included.
pub fn via(transport: &str, sent_by: &[u8], branch: &[u8], params: &[u8], out: &mut Vec<u8>) {
    for piece in [b"SIP/2.0/", transport.as_bytes(), b" ", sent_by, b";branch=", branch, params] {
        out.extend_from_slice(piece);
    }
}

/// Appends a Via value with `received` and `rport` as RFC 3261 §18.2.1 and RFC 3581 §4 want them.
///
/// `bytes` is what `via` was read from. Without `rport`, `received` is written only if the sent-by is
/// not the source address. What the peer wrote as `received` or as value of `rport` is replaced.
pub fn stamped_via(bytes: &[u8], via: &Via<'_>, source: SocketAddr, out: &mut Vec<u8>) {
    let params = via.params.span();
    let front = Span { start: via.span.start, end: params.start };
    out.extend_from_slice(front.of(bytes));
    let mut stamped = uri::ip(via.host) != Some(source.ip().to_canonical());
    for param in via.params.entries() {
        if param.name.eq_ignore_ascii_case(b"received") {
            continue;
        }
        if param.name.eq_ignore_ascii_case(b"rport") {
            stamped = true;
            out.extend_from_slice(b";rport=");
            push_decimal(u64::from(source.port()), out);
            continue;
        }
        out.extend_from_slice(param.span.of(bytes));
    }
    if stamped {
        out.extend_from_slice(b";received=");
        push_ip(source.ip(), out);
    }
}

/// Appends an address, IPv6 without brackets.
pub fn push_ip(ip: IpAddr, out: &mut Vec<u8>) {
    use std::io::Write as _;
    // Writing into a Vec cannot fail.
    let _ = write!(out, "{}", ip.to_canonical());
}

/// Appends an address as a host of a URI: IPv6 in brackets.
pub fn push_host(ip: IpAddr, out: &mut Vec<u8>) {
    match ip.to_canonical() {
        IpAddr::V4(_) => push_ip(ip, out),
        IpAddr::V6(_) => {
            out.push(b'[');
            push_ip(ip, out);
            out.push(b']');
        }
    }
}

/// Appends `host:port`, IPv6 in brackets.
pub fn push_host_port(address: SocketAddr, out: &mut Vec<u8>) {
    push_host(address.ip(), out);
    out.push(b':');
    push_decimal(u64::from(address.port()), out);
}

/// Appends the value of a Warning that names a cause: `399 agent "text"` (RFC 3261 §20.43).
///
/// 399 is for texts of our own; `agent` is a host or a token.
pub fn warning(agent: &str, cause: Cause, out: &mut Vec<u8>) {
    out.extend_from_slice(b"399 ");
    out.extend_from_slice(agent.as_bytes());
    out.push(b' ');
    crate::text::push_quoted(cause.text().as_bytes(), out);
}

/// The usual reason phrase (RFC 3261 §21 and its extensions); by class if the status is unknown.
#[must_use]
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        199 => "Early Dialog Terminated",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        430 => "Flow Failed",
        439 => "First Hop Lacks Outbound Support",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        494 => "Security Agreement Required",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        unknown => class_phrase(unknown),
    }
}

fn class_phrase(status: u16) -> &'static str {
    match status / 100 {
        1 => "Session Progress",
        2 => "OK",
        3 => "Multiple Choices",
        4 => "Bad Request",
        5 => "Server Internal Error",
        _ => "Busy Everywhere",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Index, Limits, parse, salvage};

    const REQUEST: &str = "INVITE sip:b@h SIP/2.0\r\n\
        v: SIP/2.0/UDP 1.1.1.1:5060;rport;branch=z1, SIP/2.0/UDP x;branch=z2\r\n\
        Max-Forwards: 70\r\n\
        i: c@1\r\n\
        t: <sip:b@h>\r\n\
        f: <sip:a@h>;tag=1\r\n\
        Via: SIP/2.0/TCP y\r\n ;branch=z3\r\n\
        Timestamp: 54\r\n\
        CSeq: 1 INVITE\r\n\
        l: 4\r\n\r\nbody";

    fn answered(request: &str, response: &Response<'_>) -> String {
        let mut index = Index::default();
        let request = parse(request.as_bytes(), &Limits::default(), &mut index).unwrap();
        let mut out = b"before".to_vec();
        let span = response.write(request, &mut out);
        assert_eq!(span, Span::new(6, out.len()));
        let text = String::from_utf8(out.split_off(6)).unwrap();
        parse(text.as_bytes(), &Limits::default(), &mut Index::default()).unwrap();
        text
    }

    #[test]
    fn a_response_copies_what_the_rfc_says() {
        let text = answered(
            REQUEST,
            &Response {
                status: 403,
                to_tag: Some(b"t9"),
                extra: &[("Warning", b"399 e \"x\"")],
                ..Response::default()
            },
        );
        assert_eq!(
            text,
            "SIP/2.0 403 Forbidden\r\n\
             Via: SIP/2.0/UDP 1.1.1.1:5060;rport;branch=z1, SIP/2.0/UDP x;branch=z2\r\n\
             Via: SIP/2.0/TCP y\r\n ;branch=z3\r\n\
             From: <sip:a@h>;tag=1\r\n\
             To: <sip:b@h>;tag=t9\r\n\
             Call-ID: c@1\r\n\
             CSeq: 1 INVITE\r\n\
             Warning: 399 e \"x\"\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn the_source_is_noted_and_a_100_has_the_timestamp_and_no_tag() {
        let source = Some("9.9.9.9:77".parse().unwrap());
        let text = answered(REQUEST, &Response { status: 100, source, ..Response::default() });
        assert!(text.contains(
            "Via: SIP/2.0/UDP 1.1.1.1:5060;rport=77;branch=z1;received=9.9.9.9, SIP/2.0/UDP x;branch=z2\r\n"
        ));
        assert!(text.contains("\r\nTimestamp: 54\r\n"));
        assert!(text.contains("\r\nTo: <sip:b@h>\r\n"));
    }

    #[test]
    fn a_tag_is_kept_and_a_body_is_measured() {
        let tagged = REQUEST.replace("t: <sip:b@h>", "t: <sip:b@h>;tag=old");
        let text = answered(
            &tagged,
            &Response {
                status: 200,
                reason: "Fine",
                to_tag: Some(b"new"),
                body: Some((b"text/plain", "gr\u{fc}n".as_bytes())),
                ..Response::default()
            },
        );
        assert!(text.starts_with("SIP/2.0 200 Fine\r\n"));
        assert!(text.contains("To: <sip:b@h>;tag=old\r\n"));
        assert!(text.ends_with("Content-Type: text/plain\r\nContent-Length: 5\r\n\r\ngr\u{fc}n"));
    }

    #[test]
    fn what_could_be_salvaged_is_answered() {
        let broken = "INVITE sip: x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=1\r\nTo: <sip:b\r\n\r\n";
        let mut index = Index::default();
        let request = salvage(broken.as_bytes(), &Limits::default(), &mut index).unwrap();
        let mut out = Vec::new();
        response(request, 400, "", Some(b"t"), &[], &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP h;branch=1\r\nTo: <sip:b\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn no_value_smuggles_a_field_in() {
        let mut out = Vec::new();
        header("X", b"a\r\n b\r\nEvil: 1\nc\0d\r", &mut out);
        assert_eq!(out, b"X: a\r\n b  Evil: 1 c d \r\n");
    }

    #[test]
    fn hosts_and_warnings() {
        let mut out = Vec::new();
        for address in ["1.2.3.4:5", "[2001:db8::1]:6", "[::ffff:1.2.3.4]:7"] {
            push_host_port(address.parse().unwrap(), &mut out);
            out.push(b' ');
        }
        warning("edge.example", Cause::BadVia, &mut out);
        assert_eq!(out, b"1.2.3.4:5 [2001:db8::1]:6 1.2.3.4:7 399 edge.example \"missing or malformed Via\"");
    }

    #[test]
    fn every_status_of_the_cause_table_has_a_phrase() {
        for status in Cause::ALL.iter().filter_map(|cause| cause.status()) {
            assert!(!reason_phrase(status).is_empty());
        }
        assert_eq!(reason_phrase(477), "Bad Request");
    }
}
