//! The body rules of the specification (R36 to R42), and where in a body the SDP stands.
//!
//! Only what a rule names is looked at: inner lengths, CPIM syntax beyond repeated fields, DateTime
//! and XML are the end points' business (R42).

use crate::anchor::SdpPlace;
use crate::validate::{Group, Reject, Soft};
use config::{Checks, Level};
use sip::{HeaderId, MediaType, Message, Method, cpim, multipart};
use wire::{Cause, EditList};

/// Checks the body of a request, each group of rules as strictly as `checks` says.
///
/// # Errors
/// The rule that is broken, with the field at fault, if its group is strict.
pub(crate) fn check(message: Message<'_>, checks: &Checks, soft: &mut Soft) -> Result<(), Reject> {
    if message.body().is_empty() || (checks.bodies == Level::Off && checks.parts == Level::Off) {
        return Ok(());
    }
    let mut of_type = |cause| soft.judge(checks.bodies, Group::Bodies, at_type(cause));
    let media_type = match message.content_type() {
        Ok(Some(media_type)) => media_type,
        // An ACK cannot be answered; its body is tried as SDP (R70, quirk q17).
        Ok(None) if message.method() == Method::Ack => return Ok(()),
        Ok(None) => return of_type(Cause::MissingContentType), // R40
        Err(cause) => return of_type(cause),
    };
    if let Err(cause) = check_type(&media_type) {
        of_type(cause)?;
    }
    if checks.parts == Level::Off {
        return Ok(());
    }
    let fault = match is_mixed(&media_type) {
        true if media_type.boundary().is_none_or(<[u8]>::is_empty) => return Ok(()),
        true => check_parts(message),
        false => check_leaf(&media_type, message.body()),
    };
    fault.or_else(|fault| soft.judge(checks.parts, Group::Parts, fault))
}

fn at_type(cause: Cause) -> Reject {
    Reject::at(cause, HeaderId::ContentType)
}

/// Says what a body without Content-Type is, where the settings are lenient and it can be told: SDP (R70).
pub(crate) fn mend(message: Message<'_>, checks: &Checks, edits: &mut EditList) {
    let negotiates =
        matches!(message.method(), Method::Invite | Method::Update | Method::Prack | Method::Ack);
    let untold = !message.has(HeaderId::ContentType) && message.body().starts_with(b"v=0");
    if checks.bodies == Level::Lenient && negotiates && untold {
        edits.insert(message.fields_end(), b"Content-Type: application/sdp\r\n");
    }
}

/// Finds the SDP of `message`: the whole body, or one part of multipart/mixed wherever it stands.
///
/// # Errors
/// If the body cannot be split.
pub fn sdp_place(message: Message<'_>) -> Result<Option<SdpPlace>, Cause> {
    let body = message.body();
    if body.is_empty() {
        return Ok(None);
    }
    let whole = SdpPlace { body: message.body_span(), part_length: None };
    let Some(media_type) = message.content_type()? else {
        // R70: a body without a type is tried as SDP: whoever receives it may read it as such.
        return Ok(body.starts_with(b"v=0").then_some(whole));
    };
    if is(&media_type, b"application", b"sdp") {
        return Ok(Some(whole));
    }
    if !is_mixed(&media_type) {
        return Ok(None);
    }
    let mut found = None;
    for part in multipart::parts(message)? {
        let part = part?;
        if part.content_type().is_some_and(|t| is(&t, b"application", b"sdp")) {
            let place = SdpPlace { body: part.body_span, part_length: part.content_length_span() };
            // A second one would pass as it came, with addresses that are nobody's business (R36).
            if found.replace(place).is_some() {
                return Err(Cause::DuplicateBodyPart);
            }
        }
    }
    Ok(found)
}

/// R37, R38, R39.
fn check_type(media_type: &MediaType<'_>) -> Result<(), Cause> {
    match (is_mixed(media_type), media_type.boundary()) {
        (true, Some(boundary)) if !boundary.is_empty() => Ok(()),
        (true, _) => Err(Cause::MissingBoundary),
        (false, Some(_)) => Err(Cause::UnexpectedBoundary),
        (false, None) if SUPPORTED.iter().any(|(a, b)| is(media_type, a, b)) => Ok(()),
        (false, None) => Err(Cause::UnsupportedMediaType),
    }
}

/// R36, and R41 inside the parts.
fn check_parts(message: Message<'_>) -> Result<(), Reject> {
    let mut seen = [false; SINGLE.len()];
    for part in multipart::parts(message).map_err(at_type)? {
        let part = part.map_err(at_type)?;
        let Some(part_type) = part.content_type() else {
            continue;
        };
        if let Some(at) = SINGLE.iter().position(|(kind, subtype)| part_type.is(kind, subtype))
            && core::mem::replace(&mut seen[at], true)
        {
            return Err(at_type(Cause::DuplicateBodyPart).with(NAMES[at]));
        }
        check_leaf(&part_type, part.body())?;
    }
    Ok(())
}

fn check_leaf(media_type: &MediaType<'_>, body: &[u8]) -> Result<(), Reject> {
    match is(media_type, b"message", b"cpim") {
        true => cpim::check(body).map_err(at_type), // R41
        false => Ok(()),
    }
}

fn is_mixed(media_type: &MediaType<'_>) -> bool {
    is(media_type, b"multipart", b"mixed")
}

fn is(media_type: &MediaType<'_>, main: &[u8], sub: &[u8]) -> bool {
    media_type.kind.eq_ignore_ascii_case(main) && media_type.subtype.eq_ignore_ascii_case(sub)
}

/// The types of which a body has at most one part (R36).
const SINGLE: [(&str, &str); 5] = [
    ("message", "cpim"),
    ("application", "sdp"),
    ("application", "resource-lists+xml"),
    ("application", "xml"),
    ("application", "vemoticon+xml"),
];

/// The same, as a Warning names them.
const NAMES: [&str; SINGLE.len()] = [
    "message/cpim",
    "application/sdp",
    "application/resource-lists+xml",
    "application/xml",
    "application/vemoticon+xml",
];

/// The types that may stand alone (R39).
const SUPPORTED: [(&[u8], &[u8]); 12] = [
    (b"message", b"cpim"),
    (b"application", b"sdp"),
    (b"application", b"xml"),
    (b"application", b"vemoticon+xml"),
    (b"text", b"plain"),
    (b"message", b"imdn+xml"),
    (b"application", b"resource-lists+xml"),
    (b"application", b"grouplist-ver+xml"),
    (b"application", b"conference-info+xml"),
    (b"application", b"cloudfile"),
    (b"application", b"cloudfile+xml"),
    (b"application", b"commonextension+xml"),
];
