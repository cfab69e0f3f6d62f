//! What the plan did to a number and why, one sentence a step.

use super::dial::Special;
use core::fmt;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The text is no number, and nothing is done.
    NoNumberAtAll,
    /// It was read as a number.
    Read {
        /// What it looks like.
        shape: &'static str,
        /// Its digits, separators left out.
        digits: &'a [u8],
        /// Whether it bears a `+`.
        global: bool,
    },
    /// It is the address of a service.
    Psi {
        /// The pattern that says so.
        pattern: &'a [u8],
    },
    /// The place it was dialled at.
    Place {
        /// Why this one.
        source: PlaceSource<'a>,
        /// The plan's name.
        plan: &'a str,
        /// Without `+`.
        country_code: &'a [u8],
        /// Empty if there is none.
        area_code: &'a [u8],
    },
    /// A global number is complete.
    Global,
    /// A number that is never completed.
    Special {
        /// What it is.
        kind: Special,
        /// The pattern that says so.
        pattern: &'a [u8],
    },
    /// It says where it is valid.
    Context {
        /// The phone-context; digits of a global one.
        context: &'a [u8],
        /// Whether that is somebody else's.
        foreign: bool,
    },
    /// It begins with the international prefix.
    International {
        /// The prefix.
        prefix: &'a [u8],
    },
    /// It begins with the national prefix.
    National {
        /// The prefix.
        prefix: &'a [u8],
    },
    /// It is a national number without a prefix.
    NationalNumber {
        /// The pattern that says so.
        pattern: &'a [u8],
    },
    /// It has too few digits to be completed.
    TooShort {
        /// From how many on it would be.
        min: usize,
    },
    /// It is a local number.
    Area {
        /// The area code put before it.
        area: &'a [u8],
        /// Where that is from.
        source: AreaSource,
    },
    /// It is a local number, and no area is known.
    NoArea,
    /// What it would become is no E.164 number.
    NoNumber {
        /// Digits it would have.
        digits: usize,
        /// Digits it may have.
        max: usize,
    },
    /// The scheme is the other one of the plan.
    Converted {
        /// The scheme that is written.
        to: &'static str,
    },
}

/// Why a place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceSource<'a> {
    /// The pattern of users that the caller fits.
    User(&'a [u8]),
    /// The name of the access point that the caller came in through.
    AccessPoint(&'a str),
    /// No place is for this caller.
    Default,
}

/// Where an area code is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AreaSource {
    /// The caller's own number.
    Caller,
    /// The place.
    Place,
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match *self {
            Self::NoNumberAtAll => f.write_str("no number: left alone"),
            Self::Read { shape, digits, global } => {
                let kind = if global { "global" } else { "as dialled" };
                write!(f, "read as {shape}: {}{}, {kind}", if global { "+" } else { "" }, text(digits))
            }
            Self::Psi { pattern } => write!(f, "psi \"{}\": a service, left alone", text(pattern)),
            Self::Place { source, plan, country_code, area_code } => {
                match source {
                    PlaceSource::User(pattern) => write!(f, "place of users \"{}\"", text(pattern))?,
                    PlaceSource::AccessPoint(name) => write!(f, "place of access point \"{name}\"")?,
                    PlaceSource::Default => f.write_str("no place of its own")?,
                }
                write!(f, ": plan {plan}, country code {}", text(country_code))?;
                if area_code.is_empty() { Ok(()) } else { write!(f, ", area code {}", text(area_code)) }
            }
            Self::Global => f.write_str("a global number: complete"),
            Self::Special { kind, pattern } => {
                let (list, what) = match kind {
                    Special::Emergency => ("emergency", "an emergency number"),
                    Special::Service => ("services", "a service number"),
                    Special::ShortCode => ("special", "a short code"),
                };
                write!(f, "{list} \"{}\": {what}, never completed", text(pattern))
            }
            Self::Context { context, foreign: false } => write!(f, "phone-context {}", text(context)),
            Self::Context { context, foreign: true } => {
                write!(f, "phone-context {}: another network's number, left alone", text(context))
            }
            Self::International { prefix } => {
                write!(f, "international_prefix \"{}\": the country code follows", text(prefix))
            }
            Self::National { prefix } => {
                write!(f, "national_prefix \"{}\": the area code follows", text(prefix))
            }
            Self::NationalNumber { pattern } => {
                write!(f, "national_numbers \"{}\": the country code goes before it", text(pattern))
            }
            Self::TooShort { min } => {
                write!(f, "fewer than {min} digits (subscriber_digits_min): left alone")
            }
            Self::Area { area, source } => {
                let from = match source {
                    AreaSource::Caller => "of the caller's own number",
                    AreaSource::Place => "of the place",
                };
                write!(f, "a local number: area code {} {from} goes before it", text(area))
            }
            Self::NoArea => f.write_str("a local number, but no area code is known: left alone"),
            Self::NoNumber { digits, max } => {
                write!(f, "{digits} digits are no number (at most {max}): left alone")
            }
            Self::Converted { to } => write!(f, "convert: written as {to}:"),
        }
    }
}
