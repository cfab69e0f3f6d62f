//! The number plan (R32): what a UE dialled becomes a URI that the core can route.
//!
//! ```text
//! +861008699999, <+8610...>              bare, global       -> tel:+86...  or sip:+86...@domain;user=phone
//! 28880001, 075528880001, 0085223456789  bare, as dialled   -> completed, same forms
//! tel:28880001, tel:...;phone-context=   local              -> completed, same forms
//! sip:28880001@d;user=phone              local in a SIP URI -> the number in place, the rest kept
//! tel:+86..., sip:+86...@d               global             -> untouched
//! sip:125XX001XX@as1..., sip:user1@d     no number          -> untouched
//! 110, 10086, whatever `special` lists   short codes, emergency: never completed
//! ```
//! Completion is idempotent: what it wrote, it leaves alone.

use config::{NumberOutput, NumberPlan as Settings};
use sip::Message;
use smallvec::SmallVec;
use wire::EditList;
use wire::bytes_class::trim;

/// A plan, compiled from its settings.
#[derive(Clone, Debug)]
pub struct NumberPlan {
    country_code: Box<[u8]>,
    area_code: Box<[u8]>,
    national_prefix: Box<[u8]>,
    international_prefix: Box<[u8]>,
    area_codes: Patterns,
    national_numbers: Patterns,
    special: Patterns,
    subscriber_digits_min: usize,
    output: NumberOutput,
    domain: Box<[u8]>,
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
        let bytes = |text: &str| Box::from(text.as_bytes());
        Self {
            country_code: bytes(&settings.country_code),
            area_code: bytes(&settings.area_code),
            national_prefix: bytes(&settings.national_prefix),
            international_prefix: bytes(&settings.international_prefix),
            area_codes: Patterns::new(&settings.area_codes),
            national_numbers: Patterns::new(&settings.national_numbers),
            special: Patterns::new(&settings.special),
            subscriber_digits_min: settings.subscriber_digits_min,
            output: settings.output,
            domain: bytes(domain),
        }
    }

    /// Appends the completed form of `uri` to `out`, if it is a number that wants completion.
    ///
    /// `caller` is the caller's own URI: its area code completes a subscriber number (R32); without
    /// one the configured area code does.
    pub fn complete(&self, uri: &[u8], caller: Option<&[u8]>, out: &mut Vec<u8>) -> Completion {
        let Some(dialled) = Dialled::read(uri) else {
            return Completion::Untouched;
        };
        let global = match dialled.number.global {
            true => dialled.is_bare().then(|| dialled.number.digits.clone()),
            false => self.e164(&dialled, caller),
        };
        match (global, dialled.is_bare()) {
            (Some(digits), _) => self.write_global(&digits, &dialled, out),
            // A bare short code is left alone as a number, but it must become a URI (RFC 3966 §5.1.5).
            (None, true) => self.write_local(&dialled, out),
            (None, false) => return Completion::Untouched,
        }
        Completion::Completed
    }

    /// Completes the Request-URI and the To of a request from a UE; `scratch` is working room.
    ///
    /// Whoever sends the response on gives the UE its own To back (R32).
    pub fn complete_request(
        &self,
        message: Message<'_>,
        caller: Option<&[u8]>,
        scratch: &mut Vec<u8>,
        edits: &mut EditList,
    ) {
        scratch.clear();
        if self.complete(message.uri(), caller, scratch) == Completion::Completed {
            edits.replace(message.uri_span(), scratch);
        }
        self.complete_to(message, caller, scratch, edits);
    }

    /// Completes the To alone: inside a dialog the core knows the UE's peer by the completed one.
    pub fn complete_to(
        &self,
        message: Message<'_>,
        caller: Option<&[u8]>,
        scratch: &mut Vec<u8>,
        edits: &mut EditList,
    ) {
        let Ok(to) = message.to() else { return };
        scratch.clear();
        if self.complete(to.uri, caller, scratch) == Completion::Completed {
            // Outside <> the parameters of a URI would become those of the header field (RFC 3261 §20).
            edits.replace_with(to.uri_span, |out| {
                out.extend_from_slice(if to.bracketed { b"" } else { b"<" });
                out.extend_from_slice(scratch);
                out.extend_from_slice(if to.bracketed { b"" } else { b">" });
            });
        }
    }

    /// The digits of the E.164 number that `dialled` means; `None` to leave it alone.
    fn e164(&self, dialled: &Dialled<'_>, caller: Option<&[u8]>) -> Option<Digits> {
        let digits = &dialled.number.digits[..];
        // Short codes first: 112 reads as an ordinary number to every later rule.
        if self.special.matches(digits) {
            return None;
        }
        if let Some(number) = after_prefix(digits, &self.international_prefix) {
            return self.joined(&[number]);
        }
        match dialled.context() {
            Context::None => self.national(digits, caller),
            Context::Global(context) if *context == *self.country_code => self.national(digits, caller),
            Context::Global(context) => {
                let ours = context.starts_with(&self.country_code);
                match after_prefix(digits, &self.national_prefix).filter(|_| ours) {
                    Some(number) => self.joined(&[&self.country_code, number]),
                    None if digits.len() < self.subscriber_digits_min => None,
                    None => self.joined(&[&context, digits]),
                }
            }
            Context::Domain(domain) if self.is_own(domain) => self.national(digits, caller),
            Context::Domain(_) => None,
        }
    }

    /// A number dialled inside the country.
    fn national(&self, digits: &[u8], caller: Option<&[u8]>) -> Option<Digits> {
        if self.country_code.is_empty() {
            return None;
        }
        if let Some(number) = after_prefix(digits, &self.national_prefix) {
            return self.joined(&[&self.country_code, number]);
        }
        if self.national_numbers.matches(digits) {
            return self.joined(&[&self.country_code, digits]);
        }
        if digits.len() < self.subscriber_digits_min {
            return None;
        }
        let area = self.area_of(caller);
        let area = area.as_deref().unwrap_or(&self.area_code);
        if area.is_empty() {
            return None;
        }
        self.joined(&[&self.country_code, area, digits])
    }

    /// The area code at the head of the caller's own number.
    fn area_of(&self, caller: Option<&[u8]>) -> Option<Digits> {
        let number = number_of(caller?)?;
        let national = number.strip_prefix(&*self.country_code)?;
        let len = self.area_codes.longest_prefix(national)?;
        Some(Digits::from_slice(&national[..len]))
    }

    /// `parts` as one number, if it can be one: E.164 has at most 15 digits.
    fn joined(&self, parts: &[&[u8]]) -> Option<Digits> {
        let mut number = Digits::new();
        parts.iter().for_each(|part| number.extend_from_slice(part));
        let whole = self.subscriber_digits_min..=E164_DIGITS_MAX;
        whole.contains(&number.len()).then_some(number)
    }

    fn is_own(&self, domain: &[u8]) -> bool {
        let own = self.domain.len();
        match domain.len().checked_sub(own) {
            Some(0) => domain.eq_ignore_ascii_case(&self.domain),
            Some(at) => domain[at - 1] == b'.' && domain[at..].eq_ignore_ascii_case(&self.domain),
            None => false,
        }
    }

    fn write_global(&self, digits: &[u8], dialled: &Dialled<'_>, out: &mut Vec<u8>) {
        if let Shape::Sip { before, after, .. } = dialled.shape {
            out.extend_from_slice(before);
            write_number(b"+", digits, dialled, out);
            out.extend_from_slice(after);
            return;
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

    fn write_local(&self, dialled: &Dialled<'_>, out: &mut Vec<u8>) {
        match self.output {
            NumberOutput::Tel => {
                out.extend_from_slice(b"tel:");
                write_number(b"", &dialled.number.digits, dialled, out);
                out.extend_from_slice(b";phone-context=");
                if self.country_code.is_empty() {
                    out.extend_from_slice(&self.domain);
                } else {
                    out.push(b'+');
                    out.extend_from_slice(&self.country_code);
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
    for param in dialled.params().filter(|p| context_in(p).is_none()) {
        out.push(b';');
        out.extend_from_slice(param);
    }
}

const E164_DIGITS_MAX: usize = 15;

/// Whether `uri` is a number without a scheme, which R32 lets stand where a URI should.
#[must_use]
pub fn is_bare_number(uri: &[u8]) -> bool {
    Dialled::read(uri).is_some_and(|dialled| dialled.is_bare())
}

/// What the digits of a number are kept in while it is worked on.
type Digits = SmallVec<[u8; 32]>;

/// A URI read as a number.
struct Dialled<'a> {
    shape: Shape<'a>,
    number: Number,
    /// What follows the number, from the first `;`.
    params: &'a [u8],
}

enum Shape<'a> {
    Bare,
    Tel,
    /// `before` ends with the colon, `after` starts with the `@`.
    Sip {
        before: &'a [u8],
        after: &'a [u8],
    },
}

struct Number {
    digits: Digits,
    /// Written with a `+`.
    global: bool,
}

enum Context<'a> {
    None,
    Global(Digits),
    Domain(&'a [u8]),
}

impl<'a> Dialled<'a> {
    fn read(uri: &'a [u8]) -> Option<Self> {
        let uri = trim(uri);
        let uri = match uri {
            [b'<', inner @ .., b'>'] => trim(inner),
            _ => uri,
        };
        if let Some(rest) = after_scheme(uri, b"tel:") {
            let (number, params) = split_at_byte(rest, b';');
            return Self::of(Shape::Tel, number, params);
        }
        let sip = after_scheme(uri, b"sip:").or_else(|| after_scheme(uri, b"sips:"));
        let Some(rest) = sip else {
            return Self::of(Shape::Bare, uri, b"");
        };
        let (user, after) = split_at_byte(rest, b'@');
        if !is_phone(after) {
            return None;
        }
        let before = &uri[..uri.len() - rest.len()];
        let (number, params) = split_at_byte(user, b';');
        Self::of(Shape::Sip { before, after }, number, params)
    }

    fn of(shape: Shape<'a>, number: &[u8], params: &'a [u8]) -> Option<Self> {
        Some(Self { shape, number: Number::read(number)?, params })
    }

    fn is_bare(&self) -> bool {
        matches!(self.shape, Shape::Bare)
    }

    fn params(&self) -> impl Iterator<Item = &'a [u8]> {
        self.params.split(|&b| b == b';').map(trim).filter(|p| !p.is_empty())
    }

    fn context(&self) -> Context<'a> {
        let Some(context) = self.params().find_map(context_in) else {
            return Context::None;
        };
        match Number::read(context) {
            Some(number) if number.global => Context::Global(number.digits),
            _ => Context::Domain(context),
        }
    }
}

impl Number {
    /// Reads `+` and digits; visual separators of RFC 3966 §5.1.1 fall away.
    fn read(text: &[u8]) -> Option<Self> {
        let (global, rest) = match text {
            [b'+', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let mut digits = Digits::new();
        for &b in rest {
            match b {
                b'0'..=b'9' if digits.len() < digits.inline_size() => digits.push(b),
                b'-' | b'.' | b'(' | b')' => {}
                _ => return None,
            }
        }
        (!digits.is_empty()).then_some(Self { digits, global })
    }
}

/// The global number in a URI, as its digits without the `+`.
fn number_of(uri: &[u8]) -> Option<Digits> {
    let uri = trim(uri);
    let rest = [&b"tel:"[..], b"sip:", b"sips:"].iter().find_map(|scheme| after_scheme(uri, scheme))?;
    let (user, _) = split_at_byte(rest, b'@');
    let (number, _) = split_at_byte(user, b';');
    let number = Number::read(number)?;
    number.global.then_some(number.digits)
}

fn after_scheme<'a>(uri: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = uri.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn after_prefix<'a>(digits: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    digits.strip_prefix(prefix).filter(|_| !prefix.is_empty())
}

/// `text` up to `byte`, and from it on.
fn split_at_byte(text: &[u8], byte: u8) -> (&[u8], &[u8]) {
    text.split_at(memchr::memchr(byte, text).unwrap_or(text.len()))
}

/// Whether what follows the user part says `user=phone`; without it the user is a name (RFC 3261 §19.1.1).
fn is_phone(after: &[u8]) -> bool {
    after.split(|&b| b == b';').skip(1).any(|param| trim(param).eq_ignore_ascii_case(b"user=phone"))
}

fn context_in(param: &[u8]) -> Option<&[u8]> {
    after_scheme(param, b"phone-context=")
}

/// Digits, `x` for any digit, and a last `*` for any further ones.
#[derive(Clone, Debug, Default)]
struct Patterns(Box<[Box<[u8]>]>);

impl Patterns {
    fn new(patterns: &[String]) -> Self {
        Self(patterns.iter().map(|p| p.as_bytes().into()).collect())
    }

    fn matches(&self, digits: &[u8]) -> bool {
        self.0.iter().any(|pattern| match pattern.strip_suffix(b"*") {
            Some(head) => head_matches(head, digits),
            None => pattern.len() == digits.len() && head_matches(pattern, digits),
        })
    }

    fn longest_prefix(&self, digits: &[u8]) -> Option<usize> {
        let fits = self.0.iter().filter(|p| head_matches(p, digits));
        fits.map(|p| p.len()).max()
    }
}

fn head_matches(pattern: &[u8], digits: &[u8]) -> bool {
    pattern.len() <= digits.len()
        && pattern.iter().zip(digits).all(|(p, d)| p == d || matches!(p, b'x' | b'X'))
}

#[cfg(test)]
mod tests;
