//! Is this a request we can serve (R33, R34, R31)? The hard faults, each with its field, and the soft ones.
//!
//! The specification marks fields as mandatory that its own examples leave out, hence two sets: what
//! nothing works without is hard (400); the rest comes in groups of checks, each of them off, lenient
//! (counted, and mended where that is safe) or strict (400, with a Warning that names the field).

mod matrix;
mod syntax;

pub use matrix::Kind;

use crate::{bodies, number};
use config::{Checks, Level};
use sip::uri::Scheme;
use sip::{HeaderId, Message, Method};
use wire::{Cause, Realm, bytes_class};

/// A refusal: why, and which field is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub cause: Cause,
    /// The field at fault; `None` if it is the start line.
    pub field: Option<HeaderId>,
    /// What in it, if that can be said: a media type. Never a peer's text.
    pub detail: &'static str,
}

impl Reject {
    /// A fault of one field.
    #[must_use]
    pub const fn at(cause: Cause, field: HeaderId) -> Self {
        Self { cause, field: Some(field), detail: "" }
    }

    /// A fault of the start line.
    #[must_use]
    pub const fn line(cause: Cause) -> Self {
        Self { cause, field: None, detail: "" }
    }

    /// The same, with what in the field it is.
    #[must_use]
    pub const fn with(self, detail: &'static str) -> Self {
        Self { detail, ..self }
    }
}

impl From<Cause> for Reject {
    fn from(cause: Cause) -> Self {
        Self::line(cause)
    }
}

/// The groups of checks that can be switched, in the order of [`Soft`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// R33: the tables of mandatory fields.
    Mandatory,
    /// R34: empty fields.
    EmptyFields,
    /// R37 to R40: types, boundaries, missing types.
    Bodies,
    /// R36, R41: the parts of a body.
    Parts,
    /// Requirements §9: habits that the grammar does not allow.
    Syntax,
}

/// How many groups there are.
pub const GROUPS: usize = Group::Syntax as usize + 1;

/// Faults that were let pass, by group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Soft(pub [u32; GROUPS]);

impl Soft {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }

    /// Judges a fault by the level of its group.
    ///
    /// # Errors
    /// The fault, if the level is strict.
    pub(crate) fn judge(&mut self, level: Level, group: Group, fault: Reject) -> Result<(), Reject> {
        match level {
            Level::Strict => Err(fault),
            Level::Lenient => {
                self.0[group as usize] += 1;
                Ok(())
            }
            Level::Off => Ok(()),
        }
    }
}

/// What passed, and with which soft faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Hops left; `None` if the field is absent and the default stands for it (R33).
    pub max_forwards: Option<u8>,
    /// What was let pass although a rule forbids it.
    pub soft: Soft,
}

/// Checks a request from a UE.
///
/// # Errors
/// The first fault that nothing works with, or whose group is strict.
pub fn request_from_access(message: Message<'_>, checks: &Checks) -> Result<Verdict, Reject> {
    request_uri(message.uri())?;
    let max_forwards = basics(message)?;
    // What stands below the top is not ours to judge, but it must be a list (RFC 4475 §3.1.2.1).
    message.vias().try_for_each(|via| via.map(drop)).map_err(|cause| Reject::at(cause, HeaderId::Via))?;
    if unknown_extensions(message).next().is_some() {
        return Err(Reject::at(Cause::BadExtension, HeaderId::ProxyRequire));
    }
    method_fields(message)?;
    let soft = groups(message, checks, Realm::Access)?;
    Ok(Verdict { max_forwards, soft })
}

/// Checks a request from the core: only what the edge itself cannot do without, and what the settings
/// ask. By default the body rules are the core's own business; a fault is there to be counted (R42).
///
/// # Errors
/// As for a UE.
pub fn request_from_core(message: Message<'_>, checks: &Checks) -> Result<Verdict, Reject> {
    let max_forwards = basics(message)?;
    let soft = groups(message, checks, Realm::Core)?;
    Ok(Verdict { max_forwards, soft })
}

/// The checks that can be switched.
fn groups(message: Message<'_>, checks: &Checks, from: Realm) -> Result<Soft, Reject> {
    let mut soft = Soft::default();
    empty_fields(message, checks.empty_fields)?;
    bodies::check(message, checks, &mut soft)?;
    if checks.mandatory != Level::Off {
        mandatory(message, checks.mandatory, from, &mut soft)?;
    }
    if checks.syntax != Level::Off {
        for fault in syntax::faults(message) {
            soft.judge(checks.syntax, Group::Syntax, fault)?;
        }
    }
    Ok(soft)
}

/// R33: the tables of requirements §10.
fn mandatory(message: Message<'_>, level: Level, from: Realm, soft: &mut Soft) -> Result<(), Reject> {
    let wanted = Kind::of(message, from).mandatory(from);
    for &field in [HeaderId::MaxForwards].iter().chain(wanted) {
        if !message.has(field) {
            soft.judge(level, Group::Mandatory, Reject::at(Cause::MissingHeader, field))?;
        }
    }
    Ok(())
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

/// R34. Unless by the letter, a field may be empty where the grammar of RFC 3261 itself lets it be.
fn empty_fields(message: Message<'_>, level: Level) -> Result<(), Reject> {
    if level == Level::Off {
        return Ok(());
    }
    for field in message.fields() {
        if !field.value.is_empty() || field.id == HeaderId::Unknown {
            continue;
        }
        if level == Level::Strict || !MAY_BE_EMPTY.contains(&field.id) {
            return Err(Reject::at(Cause::EmptyHeader, field.id));
        }
    }
    Ok(())
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
mod tests;
