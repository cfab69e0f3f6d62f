//! How one place dials, and which place a caller is at.

use super::dialled::{Context, Dialled, Digits, number_of};
use super::pattern::{AddressPattern, Patterns, UserPattern};
use super::trace::{AreaSource, PlaceSource, Step};
use super::{Who, is_own};
use crate::address::identity_key;
use config::{NumberPlace, NumberPlan as Settings};

/// E.164 §6.2.1.
const E164_DIGITS_MAX: usize = 15;

/// The rules of one place.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    pub(super) plan: &'static str,
    pub(super) country_code: Box<[u8]>,
    area_code: Box<[u8]>,
    national_prefix: Box<[u8]>,
    international_prefix: Box<[u8]>,
    area_codes: Patterns,
    national_numbers: Patterns,
    emergency: Patterns,
    services: Patterns,
    special: Patterns,
    psi: Box<[AddressPattern]>,
    subscriber_digits_min: usize,
}

/// A place of the plan.
#[derive(Clone, Debug)]
pub(super) struct Place {
    access_points: Box<[Box<str>]>,
    users: Box<[UserPattern]>,
    dial: Dial,
    /// Whether it says the area code itself.
    says_area: bool,
}

/// What a number that is not completed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// An emergency number.
    Emergency,
    /// A service number.
    Service,
    /// A short code.
    ShortCode,
}

/// The rules that hold for one caller.
#[derive(Clone, Copy)]
pub(super) struct Here<'p> {
    pub(super) dial: &'p Dial,
    /// The area code of the place goes before that of the caller's own number: it was set for this very user.
    place_area_first: bool,
}

impl Dial {
    pub(super) fn new(settings: &Settings) -> Self {
        let bytes = |text: &str| Box::from(text.as_bytes());
        Self {
            plan: settings.plan.word(),
            country_code: bytes(&settings.country_code),
            area_code: bytes(&settings.area_code),
            national_prefix: bytes(&settings.national_prefix),
            international_prefix: bytes(&settings.international_prefix),
            area_codes: Patterns::new(&settings.area_codes),
            national_numbers: Patterns::new(&settings.national_numbers),
            emergency: Patterns::new(&settings.emergency),
            services: Patterns::new(&settings.services),
            special: Patterns::new(&settings.special),
            psi: settings.psi.iter().map(|pattern| AddressPattern::new(pattern)).collect(),
            subscriber_digits_min: settings.subscriber_digits_min,
        }
    }

    /// The pattern that makes an address one of a service, which no number rule is about.
    pub(super) fn psi(&self, user: &[u8], host_port: &[u8]) -> Option<&[u8]> {
        self.psi.iter().find(|psi| psi.fits(user, host_port)).map(AddressPattern::text)
    }

    /// What digits are that no rule completes, and the pattern that says so.
    pub(super) fn special(&self, digits: &[u8]) -> Option<(Special, &[u8])> {
        [
            (Special::Emergency, &self.emergency),
            (Special::Service, &self.services),
            (Special::ShortCode, &self.special),
        ]
        .into_iter()
        .find_map(|(kind, patterns)| Some((kind, patterns.find(digits)?)))
    }
}

impl Place {
    pub(super) fn new(settings: &Settings, place: &NumberPlace) -> Self {
        Self {
            access_points: place.access_points.iter().map(|name| name.as_str().into()).collect(),
            users: place.users.iter().map(|user| UserPattern::new(user)).collect(),
            dial: Dial::new(&settings.at(place)),
            says_area: place.area_code.is_some(),
        }
    }
}

/// The rules that hold for `who`: those of its own place, else of its access point's, else the general ones.
pub(super) fn here<'p>(
    base: &'p Dial,
    places: &'p [Place],
    who: &Who<'_>,
    step: &mut impl FnMut(Step<'_>),
) -> Here<'p> {
    let mut found = None;
    if !places.is_empty() {
        let keys = [who.user, who.number].map(|uri| uri.and_then(identity_key));
        found = places.iter().find_map(|place| {
            let fits = |user: &&UserPattern| keys.iter().flatten().any(|key| user.fits(key));
            Some((place, PlaceSource::User(place.users.iter().find(fits)?.text())))
        });
        if let (None, Some(name)) = (found, who.access_point) {
            let at = places.iter().find(|place| place.access_points.iter().any(|n| **n == *name));
            found = at.map(|place| (place, PlaceSource::AccessPoint(name)));
        }
    }
    let (here, source) = match found {
        Some((place, source)) => {
            let of_user = matches!(source, PlaceSource::User(_));
            (Here { dial: &place.dial, place_area_first: of_user && place.says_area }, source)
        }
        None => (Here { dial: base, place_area_first: false }, PlaceSource::Default),
    };
    let Dial { plan, country_code, area_code, .. } = here.dial;
    step(Step::Place { source, plan, country_code, area_code });
    here
}

impl Here<'_> {
    /// The digits of the E.164 number that `dialled` means; `None` to leave it alone.
    pub(super) fn e164(
        &self,
        dialled: &Dialled<'_>,
        who: &Who<'_>,
        domain: &[u8],
        step: &mut impl FnMut(Step<'_>),
    ) -> Option<Digits> {
        let dial = self.dial;
        let digits = &dialled.number.digits[..];
        // Short codes first: 112 reads as an ordinary number to every later rule.
        if let Some((kind, pattern)) = dial.special(digits) {
            step(Step::Special { kind, pattern });
            return None;
        }
        if let Some(number) = after_prefix(digits, &dial.international_prefix) {
            step(Step::International { prefix: &dial.international_prefix });
            return self.joined(&[number], step);
        }
        match dialled.context() {
            Context::None => self.national(digits, who, step),
            Context::Global(context) if *context == *dial.country_code => {
                step(Step::Context { context: &context, foreign: false });
                self.national(digits, who, step)
            }
            Context::Global(context) => {
                step(Step::Context { context: &context, foreign: false });
                let ours = context.starts_with(&dial.country_code);
                match after_prefix(digits, &dial.national_prefix).filter(|_| ours) {
                    Some(number) => {
                        step(Step::National { prefix: &dial.national_prefix });
                        self.joined(&[&dial.country_code, number], step)
                    }
                    None if digits.len() < dial.subscriber_digits_min => self.too_short(step),
                    None => self.joined(&[&context, digits], step),
                }
            }
            Context::Domain(context) => {
                let foreign = !is_own(domain, context);
                step(Step::Context { context, foreign });
                if foreign { None } else { self.national(digits, who, step) }
            }
        }
    }

    /// A number dialled inside the country.
    fn national(&self, digits: &[u8], who: &Who<'_>, step: &mut impl FnMut(Step<'_>)) -> Option<Digits> {
        let dial = self.dial;
        if dial.country_code.is_empty() {
            return None;
        }
        if let Some(number) = after_prefix(digits, &dial.national_prefix) {
            step(Step::National { prefix: &dial.national_prefix });
            return self.joined(&[&dial.country_code, number], step);
        }
        if let Some(pattern) = dial.national_numbers.find(digits) {
            step(Step::NationalNumber { pattern });
            return self.joined(&[&dial.country_code, digits], step);
        }
        if digits.len() < dial.subscriber_digits_min {
            return self.too_short(step);
        }
        let own = if self.place_area_first { None } else { self.area_of(who.number) };
        let (area, source) = match &own {
            Some(own) => (&own[..], AreaSource::Caller),
            None => (&dial.area_code[..], AreaSource::Place),
        };
        if area.is_empty() {
            step(Step::NoArea);
            return None;
        }
        step(Step::Area { area, source });
        self.joined(&[&dial.country_code, area, digits], step)
    }

    fn too_short(&self, step: &mut impl FnMut(Step<'_>)) -> Option<Digits> {
        step(Step::TooShort { min: self.dial.subscriber_digits_min });
        None
    }

    /// The area code at the head of the caller's own number.
    fn area_of(&self, caller: Option<&[u8]>) -> Option<Digits> {
        let number = number_of(caller?)?;
        let national = number.strip_prefix(&*self.dial.country_code)?;
        let len = self.dial.area_codes.area_len(national)?;
        Some(Digits::from_slice(&national[..len]))
    }

    /// `parts` as one number, if it can be one: E.164 has at most 15 digits.
    fn joined(&self, parts: &[&[u8]], step: &mut impl FnMut(Step<'_>)) -> Option<Digits> {
        let mut number = Digits::new();
        parts.iter().for_each(|part| number.extend_from_slice(part));
        if (self.dial.subscriber_digits_min..=E164_DIGITS_MAX).contains(&number.len()) {
            return Some(number);
        }
        step(Step::NoNumber { digits: number.len(), max: E164_DIGITS_MAX });
        None
    }
}

fn after_prefix<'a>(digits: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    digits.strip_prefix(prefix).filter(|_| !prefix.is_empty())
}
