//! Is this a request we can serve (R33, R34, R31)? The hard faults, each with its field, and the soft ones.
//!
//! The specification marks fields as mandatory that its own examples leave out, hence two sets: what
//! nothing works without is hard (400); the rest is soft: counted, and rejected only in strict mode.

use crate::{bodies, number};
use sip::uri::Scheme;
use sip::{HeaderId, Message, Method};
use wire::{Cause, bytes_class};

/// A refusal: why, and which field is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub cause: Cause,
    /// The field at fault; `None` if it is the start line.
    pub field: Option<HeaderId>,
}

impl Reject {
    /// A fault of one field.
    #[must_use]
    pub const fn at(cause: Cause, field: HeaderId) -> Self {
        Self { cause, field: Some(field) }
    }

    /// A fault of the start line.
    #[must_use]
    pub const fn line(cause: Cause) -> Self {
        Self { cause, field: None }
    }
}

impl From<Cause> for Reject {
    fn from(cause: Cause) -> Self {
        Self { cause, field: None }
    }
}

/// How strictly soft faults are taken (R33).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are counted.
    Lenient,
    /// They are rejected.
    Strict,
}

/// What passed, and with how many soft faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Hops left; `None` if the field is absent and the default stands for it (R33).
    pub max_forwards: Option<u8>,
    /// Fields that the tables want and that are missing.
    pub soft_faults: u32,
}

/// Checks a request from a UE.
///
/// # Errors
/// The first hard fault; in strict mode also the first soft one.
pub fn request_from_access(message: Message<'_>, mode: Mode) -> Result<Verdict, Reject> {
    request_uri(message.uri())?;
    let max_forwards = basics(message)?;
    // What stands below the top is not ours to judge, but it must be a list (RFC 4475 §3.1.2.1).
    message.vias().try_for_each(|via| via.map(drop)).map_err(|cause| Reject::at(cause, HeaderId::Via))?;
    if unknown_extensions(message).next().is_some() {
        return Err(Reject::at(Cause::BadExtension, HeaderId::ProxyRequire));
    }
    method_fields(message)?;
    empty_fields(message, mode)?;
    bodies::check(message)?;
    let soft_faults = soft(message, mode)?;
    Ok(Verdict { max_forwards, soft_faults })
}

/// Checks a request from the core: only what the edge itself cannot do without. Body rules are the
/// core's own business; a fault is there to be logged (R42).
///
/// # Errors
/// The first hard fault.
pub fn request_from_core(message: Message<'_>) -> Result<Verdict, Reject> {
    let max_forwards = basics(message)?;
    Ok(Verdict { max_forwards, soft_faults: u32::from(bodies::check(message).is_err()) })
}

/// RFC 3261 §8.1.1: the fields that no request works without, each once.
fn basics(message: Message<'_>) -> Result<Option<u8>, Reject> {
    for field in ONCE {
        message.single(field).map_err(|cause| Reject::at(cause, field))?;
    }
    let fault = |field: HeaderId| move |cause: Cause| Reject::at(cause, field);
    message.top_via().map_err(fault(HeaderId::Via))?;
    message.from().map_err(fault(HeaderId::From))?;
    message.to().map_err(fault(HeaderId::To))?;
    message.call_id().map_err(fault(HeaderId::CallId))?;
    let cseq = message.cseq().map_err(fault(HeaderId::CSeq))?;
    if cseq.method_text != message.method_text() {
        return Err(Reject::at(Cause::BadCseq, HeaderId::CSeq));
    }
    let max_forwards = message.max_forwards().map_err(fault(HeaderId::MaxForwards))?;
    match max_forwards {
        // R31. An ACK is never answered; without hops it just ends here.
        Some(0) => Err(Reject::at(Cause::TooManyHops, HeaderId::MaxForwards)),
        hops => Ok(hops),
    }
}

/// What Proxy-Require asks for and we do not do: for the Unsupported field of a 420 (RFC 3261 §16.3).
pub(crate) fn unknown_extensions(message: Message<'_>) -> impl Iterator<Item = &[u8]> {
    let known = |tag: &[u8]| PROXY_EXTENSIONS.iter().any(|known| tag.eq_ignore_ascii_case(known));
    message.elements(HeaderId::ProxyRequire).map(|e| e.text).filter(move |tag| !tag.is_empty() && !known(tag))
}

/// R18.
const PROXY_EXTENSIONS: [&[u8]; 1] = [b"sec-agree"];

/// R33: what one method cannot do without.
fn method_fields(message: Message<'_>) -> Result<(), Reject> {
    let field = match message.method() {
        Method::Refer => HeaderId::ReferTo,
        Method::Subscribe | Method::Notify => HeaderId::Event,
        _ => return Ok(()),
    };
    match message.single(field) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Reject::at(Cause::MissingHeader, field)),
        Err(cause) => Err(Reject::at(cause, field)),
    }
}

/// R34, except where the grammar of RFC 3261 itself lets the value be empty: such a field is soft.
fn empty_fields(message: Message<'_>, mode: Mode) -> Result<(), Reject> {
    for field in message.fields() {
        if !field.value.is_empty() || field.id == HeaderId::Unknown {
            continue;
        }
        if mode == Mode::Strict || !MAY_BE_EMPTY.contains(&field.id) {
            return Err(Reject::at(Cause::EmptyHeader, field.id));
        }
    }
    Ok(())
}

/// R33: the tables of requirements §10, for requests outside a dialog.
fn soft(message: Message<'_>, mode: Mode) -> Result<u32, Reject> {
    let mut missing = wanted(message).iter().filter(|&&field| !message.has(field));
    match (mode, missing.next()) {
        (_, None) => Ok(0),
        (Mode::Strict, Some(&field)) => Err(Reject::at(Cause::MissingHeader, field)),
        (Mode::Lenient, Some(_)) => Ok(1 + missing.count() as u32),
    }
}

fn wanted(message: Message<'_>) -> &'static [HeaderId] {
    let in_dialog = message.to().is_ok_and(|to| to.tag().is_some());
    match message.method() {
        Method::Register => &[HeaderId::Contact],
        // Table "IMDN": a report bears none of the fields of a message.
        Method::Message if is_imdn(message) => &[],
        Method::Message => &[
            HeaderId::AcceptContact,
            HeaderId::UserAgent,
            HeaderId::PPreferredService,
            HeaderId::ConversationId,
            HeaderId::ContributionId,
            HeaderId::ContentType,
        ],
        Method::Invite if in_dialog => &[HeaderId::Contact],
        Method::Invite if is_messaging(message) => &[
            HeaderId::Contact,
            HeaderId::AcceptContact,
            HeaderId::UserAgent,
            HeaderId::PPreferredService,
            HeaderId::ConversationId,
            HeaderId::ContributionId,
            HeaderId::ContentType,
        ],
        Method::Invite => &[HeaderId::ContentType],
        Method::Refer if is_messaging(message) => {
            &[HeaderId::Contact, HeaderId::AcceptContact, HeaderId::ConversationId, HeaderId::ContributionId]
        }
        Method::Refer => &[HeaderId::Contact],
        Method::Subscribe | Method::Options => &[HeaderId::Contact, HeaderId::AcceptContact],
        _ => &[],
    }
}

/// Messaging requests name a service; calls (section 6 of the source) name none.
fn is_messaging(message: Message<'_>) -> bool {
    message.has(HeaderId::AcceptContact) || message.has(HeaderId::PPreferredService)
}

fn is_imdn(message: Message<'_>) -> bool {
    memchr::memmem::find(message.body(), b"message/imdn+xml").is_some()
}

/// A URI of a scheme we serve, or a bare number (R32).
fn request_uri(uri: &[u8]) -> Result<(), Reject> {
    if number::is_bare_number(uri) {
        return Ok(());
    }
    let parsed = sip::uri::parse(uri).map_err(Reject::line)?;
    if parsed.headers.is_some() {
        // RFC 3261 §19.1.1 forbids them here; passed on, they would become fields at the next hop.
        return Err(Reject::line(Cause::BadRequestUri));
    }
    match parsed.scheme {
        // Quirk q05: a placeholder is no host.
        Scheme::Sip | Scheme::Sips => match bytes_class::all(parsed.host, bytes_class::HOST) {
            true => Ok(()),
            false => Err(Reject::line(Cause::BadRequestUri)),
        },
        Scheme::Tel => Ok(()),
        Scheme::Other if parsed.scheme_text.eq_ignore_ascii_case(b"urn") => Ok(()), // RFC 5031: emergency
        Scheme::Bare => Err(Reject::line(Cause::BadRequestUri)),
        Scheme::Other => Err(Reject::line(Cause::BadUriScheme)),
    }
}

/// Fields that name the message or its transaction: two of them are two messages in one.
const ONCE: [HeaderId; 6] = [
    HeaderId::From,
    HeaderId::To,
    HeaderId::CallId,
    HeaderId::CSeq,
    HeaderId::MaxForwards,
    HeaderId::ContentType,
];

/// RFC 3261 §25.1: `Supported = ... HCOLON [option-tag ...]`, `Subject = ... [TEXT-UTF8-TRIM]` and so on.
const MAY_BE_EMPTY: [HeaderId; 7] = [
    HeaderId::Supported,
    HeaderId::Allow,
    HeaderId::Accept,
    HeaderId::AcceptEncoding,
    HeaderId::AcceptLanguage,
    HeaderId::Subject,
    HeaderId::Organization,
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/");

    fn vector(name: &str) -> Vec<u8> {
        std::fs::read(format!("{VECTORS}{name}")).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn verdict(bytes: &[u8], mode: Mode) -> Result<Verdict, Reject> {
        let mut index = sip::Index::default();
        let message =
            sip::parse(bytes, &sip::Limits::default(), &mut index).map_err(|e| Reject::line(e.cause))?;
        request_from_access(message, mode)
    }

    /// Every request of the specification that a UE sends is served, whatever its figures leave out.
    #[test]
    fn every_printed_request_of_a_ue_passes() {
        let index = String::from_utf8(vector("index.tsv")).unwrap();
        let mut seen = 0;
        for line in index.lines() {
            let mut columns = line.split('\t');
            let (name, direction) = (columns.next().unwrap(), columns.next());
            let quirk = name.starts_with("quirks/");
            if direction != Some("UE->edge") || quirk || !name.ends_with(".sip") {
                continue;
            }
            let bytes = vector(name);
            if bytes.starts_with(b"SIP/2.0") {
                continue;
            }
            let got = verdict(&bytes, Mode::Lenient);
            assert!(got.is_ok(), "{name}: {got:?}");
            seen += 1;
        }
        assert!(seen > 30, "the index lists {seen} requests");
    }

    #[test]
    fn quirks_are_judged_as_the_index_says() {
        let at = |cause, field| Some(Reject::at(cause, field));
        for (name, expected) in [
            ("n01-dup-cpim-part", at(Cause::DuplicateBodyPart, HeaderId::ContentType)),
            ("n02-no-boundary-multipart", at(Cause::MissingBoundary, HeaderId::ContentType)),
            ("n03-boundary-on-other-type", at(Cause::UnexpectedBoundary, HeaderId::ContentType)),
            ("n04-unsupported-type", at(Cause::UnsupportedMediaType, HeaderId::ContentType)),
            ("n05-body-without-content-type", at(Cause::MissingContentType, HeaderId::ContentType)),
            ("n06-dup-cpim-header", at(Cause::DuplicateCpimHeader, HeaderId::ContentType)),
            ("n07-empty-optional-header", at(Cause::EmptyHeader, HeaderId::PPreferredIdentity)),
            ("n08-missing-cseq", at(Cause::BadCseq, HeaderId::CSeq)),
            ("n09-dup-sdp-part", at(Cause::DuplicateBodyPart, HeaderId::ContentType)),
            ("q01-unterminated-quote", None),
            ("q04-double-accept-contact", None),
            ("q06-to-without-scheme", None),
            ("q09-refer-to-no-brackets", None),
            ("q11-curly-quotes-missing-semicolon", None),
            ("q14-multipart-broken-public-account", at(Cause::BadMultipart, HeaderId::ContentType)),
            ("q15-multipart-without-boundaries", at(Cause::BadMultipart, HeaderId::ContentType)),
            ("q19-unquoted-nonce-expression", None),
            ("q20-duplicate-contribution-id", None),
        ] {
            let got = verdict(&vector(&format!("quirks/{name}.sip")), Mode::Lenient);
            assert_eq!(got.err(), expected, "{name}");
        }
        // A blank inside the Request-URI is found by the parser already.
        let q05 = verdict(&vector("quirks/q05-request-uri-space-placeholder.sip"), Mode::Lenient);
        assert_eq!(q05.unwrap_err().cause.status(), Some(400));
    }

    const HEAD: &str = "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n\
                        Call-ID: c@h\r\nCSeq: 1 ";

    fn judged(method: &str, uri: &str, rest: &str, mode: Mode) -> Result<Verdict, Reject> {
        let text = format!("{method} {uri} SIP/2.0\r\n{HEAD}{method}\r\n{rest}\r\n");
        verdict(text.as_bytes(), mode)
    }

    #[test]
    fn the_hard_set_names_its_field() {
        let at = |cause, field| Some(Reject::at(cause, field));
        for (method, rest, expected) in [
            ("OPTIONS", "", None),
            ("REFER", "", at(Cause::MissingHeader, HeaderId::ReferTo)),
            ("REFER", "Refer-To: <sip:x>\r\nr: <sip:y>\r\n", at(Cause::DuplicateHeader, HeaderId::ReferTo)),
            ("SUBSCRIBE", "", at(Cause::MissingHeader, HeaderId::Event)),
            ("NOTIFY", "", at(Cause::MissingHeader, HeaderId::Event)),
            ("NOTIFY", "o: conference\r\n", None),
            ("OPTIONS", "t: <sip:c@h>\r\n", at(Cause::DuplicateHeader, HeaderId::To)),
            ("OPTIONS", "Max-Forwards: 0\r\n", at(Cause::TooManyHops, HeaderId::MaxForwards)),
            ("OPTIONS", "Max-Forwards: x\r\n", at(Cause::BadMaxForwards, HeaderId::MaxForwards)),
            ("OPTIONS", "Max-Forwards: 1\r\n", None),
            ("OPTIONS", "Event:\r\n", at(Cause::EmptyHeader, HeaderId::Event)),
            ("OPTIONS", "Supported:\r\nSubject: \r\nX-Unknown:\r\n", None),
            ("OPTIONS", "Proxy-Require: Sec-Agree\r\n", None),
            ("OPTIONS", "Proxy-Require: sec-agree, x\r\n", at(Cause::BadExtension, HeaderId::ProxyRequire)),
            ("OPTIONS", "Via: SIP/2.0/UDP h, ;;\r\n", at(Cause::BadVia, HeaderId::Via)),
        ] {
            let got = judged(method, "sip:b@h", rest, Mode::Lenient);
            assert_eq!(got.err(), expected, "{method} {rest}");
        }
    }

    #[test]
    fn request_uris_are_judged_by_scheme_and_host() {
        for (uri, cause) in [
            ("sip:b@h", None),
            ("sips:b@[2001:db8::1]:5061", None),
            ("tel:+861008699999", None),
            ("+861008699999", None),
            ("10086", None),
            ("urn:service:sos", None),
            ("http://h/", Some(Cause::BadUriScheme)),
            ("sip:b@as(1..n).h", Some(Cause::BadRequestUri)),
            ("sip:", Some(Cause::BadRequestUri)),
            ("sip:b@h?Route=%3Csip:x%3E", Some(Cause::BadRequestUri)),
        ] {
            let got = judged("OPTIONS", uri, "", Mode::Lenient);
            assert_eq!(got.err().map(|r| r.cause), cause, "{uri}");
        }
    }

    /// R33: what is only mandatory on paper is counted, and rejected in strict mode.
    #[test]
    fn soft_faults_are_counted_or_rejected() {
        let rest = "Contact: <sip:a@h>\r\nMax-Forwards: 70\r\n";
        let lenient = judged("SUBSCRIBE", "sip:b@h", &format!("{rest}Event: x\r\n"), Mode::Lenient);
        assert_eq!(lenient.map(|v| v.soft_faults), Ok(1));
        let strict = judged("SUBSCRIBE", "sip:b@h", &format!("{rest}Event: x\r\n"), Mode::Strict);
        assert_eq!(strict, Err(Reject::at(Cause::MissingHeader, HeaderId::AcceptContact)));
        let strict = judged("INFO", "sip:b@h", &format!("{rest}Supported:\r\n"), Mode::Strict);
        assert_eq!(strict, Err(Reject::at(Cause::EmptyHeader, HeaderId::Supported)));
    }

    /// R42: from the core a body fault is only counted.
    #[test]
    fn the_core_is_not_held_to_the_body_rules() {
        let bytes = vector("quirks/q14-multipart-broken-public-account.sip");
        let mut index = sip::Index::default();
        let message = sip::parse(&bytes, &sip::Limits::default(), &mut index).unwrap();
        assert_eq!(request_from_core(message).map(|v| v.soft_faults), Ok(1));
    }

    #[test]
    fn an_ack_without_content_type_is_no_fault() {
        let bytes = vector("quirks/q17-ack-body-without-content-type.sip");
        let got = verdict(&bytes, Mode::Lenient);
        assert_eq!(got.map(|v| v.soft_faults), Ok(0));
    }
}
