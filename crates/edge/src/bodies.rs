//! The body rules of the specification (R36 to R42), and where in a body the SDP stands.
//!
//! Only what a rule names is looked at: inner lengths, CPIM syntax beyond repeated fields, DateTime
//! and XML are the end points' business (R42).

use crate::anchor::SdpPlace;
use crate::validate::Reject;
use sip::{HeaderId, MediaType, Message, Method, cpim, multipart};
use wire::Cause;

/// Checks the body of a request from a UE.
///
/// # Errors
/// The rule that is broken; the field named is the one at fault.
pub fn check(message: Message<'_>) -> Result<(), Reject> {
    let at_type = |cause| Reject::at(cause, HeaderId::ContentType);
    if message.body().is_empty() {
        return Ok(());
    }
    let Some(media_type) = message.content_type().map_err(at_type)? else {
        // An ACK cannot be answered; its body is tried as SDP (R70, quirk q17).
        return match message.method() {
            Method::Ack => Ok(()),
            _ => Err(at_type(Cause::MissingContentType)), // R40
        };
    };
    check_type(&media_type).map_err(at_type)?;
    if is_mixed(&media_type) {
        return check_parts(message).map_err(at_type);
    }
    check_leaf(&media_type, message.body()).map_err(at_type)
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
        // R70: an ACK body without a type is tried as SDP.
        let is_sdp = message.method() == Method::Ack && body.starts_with(b"v=0");
        return Ok(is_sdp.then_some(whole));
    };
    if is(&media_type, b"application", b"sdp") {
        return Ok(Some(whole));
    }
    if !is_mixed(&media_type) {
        return Ok(None);
    }
    for part in multipart::parts(message)? {
        let part = part?;
        if part.content_type().is_some_and(|t| is(&t, b"application", b"sdp")) {
            return Ok(Some(SdpPlace { body: part.body_span, part_length: part.content_length_span() }));
        }
    }
    Ok(None)
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
fn check_parts(message: Message<'_>) -> Result<(), Cause> {
    let mut seen = [false; SINGLE.len()];
    for part in multipart::parts(message)? {
        let part = part?;
        let Some(part_type) = part.content_type() else {
            continue;
        };
        if let Some(at) = SINGLE.iter().position(|(a, b)| is(&part_type, a, b))
            && core::mem::replace(&mut seen[at], true)
        {
            return Err(Cause::DuplicateBodyPart);
        }
        check_leaf(&part_type, part.body())?;
    }
    Ok(())
}

fn check_leaf(media_type: &MediaType<'_>, body: &[u8]) -> Result<(), Cause> {
    match is(media_type, b"message", b"cpim") {
        true => cpim::check(body), // R41
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
const SINGLE: [(&[u8], &[u8]); 5] = [
    (b"message", b"cpim"),
    (b"application", b"sdp"),
    (b"application", b"resource-lists+xml"),
    (b"application", b"xml"),
    (b"application", b"vemoticon+xml"),
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
