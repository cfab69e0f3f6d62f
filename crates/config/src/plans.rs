//! The number plans that are known by name: how people of a country dial.
//!
//! They are a start and not the law: every key can be set on its own. Numbers are patterns of digits,
//! `x` for any digit; short codes may end in `*` for any further digits.

use crate::read::{section, words};
use crate::sections::NumberPlan;

words! {
    /// A number plan that is known by name.
    PlanName {
        /// +86: areas of two or three digits, mobile numbers dialled as they are.
        China = "china",
        /// +49: areas of two to five digits, `0` before every national number.
        Germany = "germany",
        /// +1: areas and numbers of fixed length, national numbers dialled as they are.
        NorthAmerica = "north-america",
    }
}

section! {
    /// `[[number_plan.places]]`: numbers that are dialled from here mean something else.
    NumberPlace {
        /// Names of access points that the UE came in through.
        access_points: Vec<String> = Vec::new();
        /// Who dials: `+8610*` (numbers that start so), `user@host`, `1xx@host`, `*@host`.
        users: Vec<String> = Vec::new();
        /// Dialling as in this plan; unset: as everywhere else.
        plan: Option<PlanName> = None;
        /// Country code without `+`; unset: that of the plan.
        country_code: Option<String> = None;
        /// Area code put before local numbers; unset: as everywhere else, if the country is the same.
        area_code: Option<String> = None;
    }
}

impl NumberPlan {
    /// How `name` dials; everything else is as by default.
    #[must_use]
    pub fn named(name: PlanName) -> Self {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let digits = str::to_owned;
        match name {
            PlanName::China => Self::default(),
            PlanName::Germany => Self {
                plan: name,
                country_code: digits("49"),
                // Where the codes of four and five digits cannot be told apart by their first digits
                // (03x, but for the cities), no area is known: set `area_code` there.
                area_codes: list(
                    "30 40 69 89 201 202 203 208 209 211 212 214 221 228 231 234 241 251 261 271 281 291 335 340 341 \
                     345 351 355 361 365 371 375 381 385 391 395 421 431 441 451 461 471 481 491 511 521 531 541 551 \
                     561 571 581 591 611 621 631 641 651 661 671 681 711 721 731 741 751 761 771 781 791 811 821 831 \
                     841 851 861 871 881 906 911 921 931 941 951 961 971 981 991 2xxx 4xxx 5xxx 6xxx 7xxx 8xxx 9xxx",
                ),
                national_numbers: Vec::new(),
                subscriber_digits_min: 4,
                emergency: list("110 112"),
                services: list("115 116xxx 118*"),
                special: list("010*"),
                psi: Vec::new(),
                ..Self::default()
            },
            PlanName::NorthAmerica => Self {
                plan: name,
                country_code: digits("1"),
                national_prefix: digits("1"),
                international_prefix: digits("011"),
                area_codes: list("xxx"),
                national_numbers: list("xxxxxxxxxx"),
                emergency: list("911 112"),
                services: list("211 311 411 511 611 711 811 988"),
                special: Vec::new(),
                psi: Vec::new(),
                ..Self::default()
            },
        }
    }

    /// Takes from the plan what the file leaves open; `is_set` tells which keys it sets.
    pub(crate) fn complete(&mut self, is_set: impl Fn(&str) -> bool) {
        let plan = Self::named(self.plan);
        macro_rules! take {
            ($($key:ident)*) => { $( if !is_set(stringify!($key)) { self.$key = plan.$key; } )* };
        }
        take!(country_code national_prefix international_prefix area_codes national_numbers subscriber_digits_min);
        take!(emergency services special psi);
    }

    /// The plan in force at one of the places, as a plan of its own.
    #[must_use]
    pub fn at(&self, place: &NumberPlace) -> Self {
        let mut here = match place.plan {
            None => self.clone(),
            Some(name) => {
                let named = Self::named(name);
                Self { area_code: String::new(), ..named }
            }
        };
        if let Some(code) = &place.country_code {
            here.country_code.clone_from(code);
        }
        // An area of one country means nothing in another.
        here.area_code = match &place.area_code {
            Some(code) => code.clone(),
            None if here.country_code == self.country_code => self.area_code.clone(),
            None => String::new(),
        };
        here.places = Vec::new();
        here
    }
}
