//! Whether the number plan can be dialled with.

use crate::plans::NumberPlace;
use crate::read::Reader;
use crate::sections::{Config, NumberPlan};

pub(crate) fn check(config: &Config, reader: &mut Reader) {
    let mut checks = Checks { config, reader };
    let plan = &config.number_plan;
    checks.plan(plan);
    for (i, place) in plan.places.iter().enumerate() {
        checks.place(&format!("number_plan.places[{i}]"), place);
    }
}

struct Checks<'a> {
    config: &'a Config,
    reader: &'a mut Reader,
}

impl Checks<'_> {
    fn fault(&mut self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        let error = self.reader.positions.error(path, message, hint);
        self.reader.errors.push(error);
    }

    fn plan(&mut self, plan: &NumberPlan) {
        self.country_code("number_plan.country_code", &plan.country_code);
        for (key, value) in [
            ("area_code", &plan.area_code),
            ("national_prefix", &plan.national_prefix),
            ("international_prefix", &plan.international_prefix),
        ] {
            self.prefix(&format!("number_plan.{key}"), key, value);
        }
        for (key, forms) in [("area_codes", &plan.area_codes), ("national_numbers", &plan.national_numbers)] {
            for (i, form) in forms.iter().enumerate() {
                if form.is_empty() || !form.bytes().all(|b| b.is_ascii_digit() || b == b'x') {
                    let message = format!("\"{form}\" is not the form of a number");
                    self.fault(&format!("number_plan.{key}[{i}]"), message, "digits, and `x` for any digit");
                }
            }
        }
        for (key, codes) in
            [("emergency", &plan.emergency), ("services", &plan.services), ("special", &plan.special)]
        {
            for (i, code) in codes.iter().enumerate() {
                let body = code.strip_suffix('*').unwrap_or(code);
                if body.is_empty() || !body.bytes().all(|b| b.is_ascii_digit() || b"x*#".contains(&b)) {
                    let message = format!("\"{code}\" is not a short code");
                    let hint = "digits, `x` for any digit, `*`, `#`; a final `*` is any digits";
                    self.fault(&format!("number_plan.{key}[{i}]"), message, hint);
                }
            }
        }
        for (i, psi) in plan.psi.iter().enumerate() {
            self.address(
                &format!("number_plan.psi[{i}]"),
                psi,
                "the pattern of a PSI",
                "for example \"125*@*\"",
            );
        }
    }

    fn place(&mut self, path: &str, place: &NumberPlace) {
        if place.access_points.is_empty() && place.users.is_empty() {
            self.fault(path, "nobody dials from this place", "set `access_points` or `users`");
        }
        if place.plan.is_none() && place.country_code.is_none() && place.area_code.is_none() {
            self.fault(
                path,
                "this place is like everywhere else",
                "set `plan`, `country_code` or `area_code`",
            );
        }
        if let Some(code) = &place.country_code {
            self.country_code(&format!("{path}.country_code"), code);
        }
        if let Some(code) = &place.area_code {
            self.prefix(&format!("{path}.area_code"), "area_code", code);
        }
        let known: Vec<&str> =
            self.config.realm.access.sip.iter().filter_map(|listener| listener.name.as_deref()).collect();
        for (i, name) in place.access_points.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let message = format!("no access point is named {name:?}");
                let hint = match known.is_empty() {
                    true => "give a [[realm.access.sip]] table a `name`".to_owned(),
                    false => format!("known: {}", known.join(", ")),
                };
                self.fault(&format!("{path}.access_points[{i}]"), message, hint);
            }
        }
        for (i, user) in place.users.iter().enumerate() {
            let path = format!("{path}.users[{i}]");
            let number = user.strip_prefix('+').map(|rest| rest.strip_suffix('*').unwrap_or(rest));
            match number {
                Some(digits) if digits.bytes().all(|b| b.is_ascii_digit() || b == b'x') => {}
                _ => {
                    self.address(
                        &path,
                        user,
                        "a user",
                        "for example \"+8610*\" or \"user1@ims.example.net\"",
                    );
                }
            }
        }
    }

    fn address(&mut self, path: &str, text: &str, what: &str, hint: &str) {
        let sides = text.split_once('@').filter(|(user, host)| !user.is_empty() && !host.is_empty());
        if sides.is_none() || text.bytes().any(|b| !b.is_ascii_graphic() || b"<>\"".contains(&b)) {
            self.fault(path, format!("{text:?} is not {what}"), hint);
        }
    }

    fn country_code(&mut self, path: &str, code: &str) {
        if code.is_empty() || code.len() > 3 || !code.bytes().all(|b| b.is_ascii_digit()) {
            let message = format!("`country_code` is not a country code: \"{code}\"");
            self.fault(path, message, "1 to 3 digits without `+`");
        }
    }

    fn prefix(&mut self, path: &str, key: &str, value: &str) {
        if value.len() > 8 || !value.bytes().all(|b| b.is_ascii_digit()) {
            let message = format!("`{key}` is not a run of digits: \"{value}\"");
            self.fault(path, message, "0 to 8 digits");
        }
    }
}
