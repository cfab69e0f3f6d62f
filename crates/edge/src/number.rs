//! The number plan (R32): what a UE dialled becomes a URI that the core can route.
//!
//! ```text
//! +861008699999, <+8610...>              bare, global       -> tel:+86...  or sip:+86...@domain;user=phone
//! 28880001, 075528880001, 0085223456789  bare, as dialled   -> completed, same forms
//! tel:28880001, tel:...;phone-context=   local              -> completed, same forms
//! sip:28880001@d;user=phone              local in a SIP URI -> the number in place, the rest kept
//! tel:+86..., sip:+86...@d               global             -> untouched, or by `convert` in the other scheme
//! sip:125XX001XX@as1..., sip:user1@d     no number          -> untouched
//! 110, 10086, 125…                       emergency, services, short codes: never completed
//! ```
//! Completion is idempotent: what it wrote, it leaves alone.

mod dial;
mod dialled;
mod lists;
mod pattern;
mod trace;

pub use dial::Special;
pub use trace::{AreaSource, PlaceSource, Step};

use crate::address::Pieces;
use crate::shard::Edge;
use config::{NumberOutput, NumberPlan as Settings};
use dial::{Dial, Here, Place};
use dialled::{Dialled, Shape, bare};
use sip::{HeaderId, Message, NameAddr};
use wire::EditList;

/// A plan, compiled from its settings.
#[derive(Clone, Debug)]
pub struct NumberPlan {
    base: Dial,
    places: Box<[Place]>,
    output: NumberOutput,
    convert: bool,
    refer_to: bool,
    preferred_identity: bool,
    resource_lists: bool,
    domain: Box<[u8]>,
}

/// Who dials: what tells the place.
#[derive(Clone, Copy, Debug, Default)]
pub struct Who<'a> {
    /// The caller's own number, as a URI: its area code completes a subscriber number.
    pub number: Option<&'a [u8]>,
    /// The caller's address of record.
    pub user: Option<&'a [u8]>,
    /// The name of the access point it came in through.
    pub access_point: Option<&'a str>,
}

/// Whether a URI was left as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Completion {
    /// Nothing was written: the URI stands as it is.
    Untouched,
    /// The completed URI was appended.
    Completed,
}

impl NumberPlan {
    /// Compiles `settings`; `domain` is the host of completed SIP URIs.
    #[must_use]
    pub fn new(settings: &Settings, domain: &str) -> Self {
        Self {
            base: Dial::new(settings),
            places: settings.places.iter().map(|place| Place::new(settings, place)).collect(),
            output: settings.output,
            convert: settings.convert,
            refer_to: settings.refer_to,
            preferred_identity: settings.preferred_identity,
            resource_lists: settings.resource_lists,
            domain: domain.as_bytes().into(),
        }
    }

    /// Appends the completed form of `uri` to `out`, if it is a number that wants completion.
    pub fn complete(&self, uri: &[u8], who: &Who<'_>, out: &mut Vec<u8>) -> Completion {
        self.complete_watched(uri, who, out, &mut |_| {})
    }

    /// The same, telling `step` which rule does what.
    pub fn complete_watched(
        &self,
        uri: &[u8],
        who: &Who<'_>,
        out: &mut Vec<u8>,
        step: &mut impl FnMut(Step<'_>),
    ) -> Completion {
        let Some(dialled) = Dialled::read(uri) else {
            step(Step::NoNumberAtAll);
            return Completion::Untouched;
        };
        let global = dialled.number.global;
        step(Step::Read { shape: dialled.shape.name(), digits: &dialled.number.digits, global });
        let here = dial::here(&self.base, &self.places, who, step);
        if let Shape::Sip { .. } = dialled.shape
            && let Some(pattern) = psi(here.dial, bare(uri))
        {
            step(Step::Psi { pattern });
            return Completion::Untouched;
        }
        if global {
            step(Step::Global);
            return self.global(&dialled, out, step);
        }
        match (here.e164(&dialled, who, &self.domain, step), dialled.is_bare()) {
            (Some(digits), _) => self.write_global(&digits, &dialled, out, step),
            // A bare short code is left alone as a number, but it must become a URI (RFC 3966 §5.1.5).
            (None, true) => self.write_local(&dialled, &here, out),
            (None, false) => return Completion::Untouched,
        }
        Completion::Completed
    }

    /// A number that is complete: bare digits become a URI, a URI changes its scheme if the plan says so.
    fn global(
        &self,
        dialled: &Dialled<'_>,
        out: &mut Vec<u8>,
        step: &mut impl FnMut(Step<'_>),
    ) -> Completion {
        let other = match dialled.shape {
            Shape::Bare => true,
            Shape::Tel => self.convert && self.output == NumberOutput::Sip,
            Shape::Sip { .. } => self.becomes_tel(dialled),
        };
        if !other {
            return Completion::Untouched;
        }
        self.write_global(&dialled.number.digits, dialled, out, step);
        Completion::Completed
    }

    /// What a number is that no rule completes: an emergency number above all.
    #[must_use]
    pub fn special(&self, uri: &[u8], who: &Who<'_>) -> Option<Special> {
        let dialled = Dialled::read(uri).filter(|dialled| !dialled.number.global)?;
        let here = dial::here(&self.base, &self.places, who, &mut |_| {});
        here.dial.special(&dialled.number.digits).map(|(kind, _)| kind)
    }

    /// Completes the Request-URI, the To and, by option, what else a request from a UE names; `scratch`
    /// is working room.
    ///
    /// Whoever sends the response on gives the UE its own To back (R32).
    pub fn complete_request(
        &self,
        message: Message<'_>,
        who: &Who<'_>,
        scratch: &mut Vec<u8>,
        edits: &mut EditList,
    ) {
        if self.completes(message.uri(), who, scratch) {
            edits.replace(message.uri_span(), scratch);
        }
        self.complete_inside(message, who, scratch, edits);
    }

    /// The same without the Request-URI: inside a dialog that is the remote target, and the core knows
    /// the UE's peer by the completed To.
    pub fn complete_inside(
        &self,
        message: Message<'_>,
        who: &Who<'_>,
        scratch: &mut Vec<u8>,
        edits: &mut EditList,
    ) {
        if let Ok(to) = message.to() {
            self.complete_address(&to, who, scratch, edits);
        }
        // R54: a Refer-To passes verbatim unless the operator says otherwise.
        if self.refer_to
            && let Ok(address) = message.address(HeaderId::ReferTo, wire::Cause::MissingHeader)
        {
            self.complete_address(&address, who, scratch, edits);
        }
        if self.resource_lists {
            self.complete_list(message, who, scratch, edits);
        }
    }

    /// Puts the completed form of a URI of a message into `scratch`, if there is one.
    fn completes(&self, uri: &[u8], who: &Who<'_>, scratch: &mut Vec<u8>) -> bool {
        scratch.clear();
        // What the core named and we hid is no dialled number.
        !Edge::is_hidden(uri) && self.complete(uri, who, scratch) == Completion::Completed
    }

    fn complete_address(
        &self,
        address: &NameAddr<'_>,
        who: &Who<'_>,
        scratch: &mut Vec<u8>,
        edits: &mut EditList,
    ) {
        if self.completes(address.uri, who, scratch) {
            // Outside <> the parameters of a URI would become those of the header field (RFC 3261 §20).
            edits.replace_with(address.uri_span, |out| {
                out.extend_from_slice(if address.bracketed { b"" } else { b"<" });
                out.extend_from_slice(scratch);
                out.extend_from_slice(if address.bracketed { b"" } else { b">" });
            });
        }
    }

    /// The completed form of an identity that a UE prefers; `None` to take it as it is.
    #[must_use]
    pub fn preferred_identity(&self, uri: &[u8], who: &Who<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let wanted = self.preferred_identity && self.complete(uri, who, &mut out) == Completion::Completed;
        wanted.then_some(out)
    }

    /// Whether a SIP URI becomes `tel:` without losing anything that routes it: its host is ours.
    fn becomes_tel(&self, dialled: &Dialled<'_>) -> bool {
        self.convert
            && self.output == NumberOutput::Tel
            && dialled.shape.plain_host().is_some_and(|host| host.eq_ignore_ascii_case(&self.domain))
    }

    fn write_global(
        &self,
        digits: &[u8],
        dialled: &Dialled<'_>,
        out: &mut Vec<u8>,
        step: &mut impl FnMut(Step<'_>),
    ) {
        if let Shape::Sip { before, after } = dialled.shape
            && !self.becomes_tel(dialled)
        {
            out.extend_from_slice(before);
            write_number(b"+", digits, dialled, out);
            out.extend_from_slice(after);
            return;
        }
        if !dialled.is_bare() && dialled.shape.name() != self.output.word() {
            step(Step::Converted { to: self.output.word() });
        }
        match self.output {
            NumberOutput::Tel => {
                out.extend_from_slice(b"tel:");
                write_number(b"+", digits, dialled, out);
            }
            NumberOutput::Sip => {
                out.extend_from_slice(b"sip:");
                write_number(b"+", digits, dialled, out);
                self.write_host(out);
            }
        }
    }

    fn write_local(&self, dialled: &Dialled<'_>, here: &Here<'_>, out: &mut Vec<u8>) {
        match self.output {
            NumberOutput::Tel => {
                out.extend_from_slice(b"tel:");
                write_number(b"", &dialled.number.digits, dialled, out);
                out.extend_from_slice(b";phone-context=");
                if here.dial.country_code.is_empty() {
                    out.extend_from_slice(&self.domain);
                } else {
                    out.push(b'+');
                    out.extend_from_slice(&here.dial.country_code);
                }
            }
            NumberOutput::Sip => {
                out.extend_from_slice(b"sip:");
                write_number(b"", &dialled.number.digits, dialled, out);
                self.write_host(out);
            }
        }
    }

    fn write_host(&self, out: &mut Vec<u8>) {
        out.push(b'@');
        out.extend_from_slice(&self.domain);
        out.extend_from_slice(b";user=phone");
    }
}

/// RFC 3966 §3: parameters of the number other than phone-context go along.
fn write_number(sign: &[u8], digits: &[u8], dialled: &Dialled<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(sign);
    out.extend_from_slice(digits);
    for param in dialled.kept_params() {
        out.push(b';');
        out.extend_from_slice(param);
    }
}

fn psi<'d>(dial: &'d Dial, uri: &[u8]) -> Option<&'d [u8]> {
    let pieces = Pieces::of(uri)?;
    dial.psi(uri.get(pieces.user)?, uri.get(pieces.host_port)?)
}

/// Whether a name is the home domain or lies below it.
fn is_own(domain: &[u8], name: &[u8]) -> bool {
    match name.len().checked_sub(domain.len()) {
        Some(0) => name.eq_ignore_ascii_case(domain),
        Some(at) => name[at - 1] == b'.' && name[at..].eq_ignore_ascii_case(domain),
        None => false,
    }
}

/// Whether `uri` is a number without a scheme, which R32 lets stand where a URI should.
#[must_use]
pub fn is_bare_number(uri: &[u8]) -> bool {
    Dialled::read(uri).is_some_and(|dialled| dialled.is_bare())
}

#[cfg(test)]
mod tests;
