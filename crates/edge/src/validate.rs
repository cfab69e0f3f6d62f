//! Is this a request we can serve (R33, R34, R31)? The hard faults, each with its field, and the soft ones.
//!
//! The specification marks fields as mandatory that its own examples leave out, hence two sets: what
//! nothing works without is hard (400); the rest is soft: counted, and rejected only in strict mode.

use crate::{bodies, number};
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
        Self {
            cause,
            field: Some(field),
        }
    }

    /// A fault of the start line.
    #[must_use]
    pub const fn line(cause: Cause) -> Self {
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
    pub max_forwards: Option<u32>,
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
    method_fields(message)?;
    empty_fields(message, mode)?;
    bodies::check(message)?;
    let soft_faults = soft(message, mode)?;
    Ok(Verdict {
        max_forwards,
        soft_faults,
    })
}

/// Checks a request from the core: only what the edge itself cannot do without. Body rules are the
/// core's own business; a fault is there to be logged (R42).
///
/// # Errors
/// The first hard fault.
pub fn request_from_core(message: Message<'_>) -> Result<Verdict, Reject> {
    let max_forwards = basics(message)?;
    Ok(Verdict {
        max_forwards,
        soft_faults: u32::from(bodies::check(message).is_err()),
    })
}

/// RFC 3261 §8.1.1: the fields that no request works without, each once.
fn basics(message: Message<'_>) -> Result<Option<u32>, Reject> {
    for field in ONCE {
        if message.count(field) > 1 {
            return Err(Reject::at(Cause::DuplicateHeader, field));
        }
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

/// R33: what one method cannot do without.
fn method_fields(message: Message<'_>) -> Result<(), Reject> {
    let field = match message.method() {
        Method::Refer => HeaderId::ReferTo,
        Method::Subscribe | Method::Notify => HeaderId::Event,
        _ => return Ok(()),
    };
    match message.count(field) {
        0 => Err(Reject::at(Cause::MissingHeader, field)),
        1 => Ok(()),
        _ => Err(Reject::at(Cause::DuplicateHeader, field)),
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
    let mut missing = wanted(message)
        .iter()
        .filter(|&&field| message.count(field) == 0);
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
        Method::Refer if is_messaging(message) => &[
            HeaderId::Contact,
            HeaderId::AcceptContact,
            HeaderId::ConversationId,
            HeaderId::ContributionId,
        ],
        Method::Refer => &[HeaderId::Contact],
        Method::Subscribe | Method::Options => &[HeaderId::Contact, HeaderId::AcceptContact],
        _ => &[],
    }
}

/// Messaging requests name a service; calls (section 6 of the source) name none.
fn is_messaging(message: Message<'_>) -> bool {
    message.count(HeaderId::AcceptContact) + message.count(HeaderId::PPreferredService) > 0
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
    match parsed.scheme {
        sip::uri::Scheme::Sip | sip::uri::Scheme::Sips => match bytes_class::all(parsed.host, bytes_class::HOST) {
            true => Ok(()),
            false => Err(Reject::line(Cause::BadRequestUri)), // quirk q05
        },
        sip::uri::Scheme::Tel | sip::uri::Scheme::Urn => Ok(()),
        _ => Err(Reject::line(Cause::BadUriScheme)),
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
