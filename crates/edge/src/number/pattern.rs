//! Patterns of digits, of addresses and of users.

use wire::bytes_class::trim;

/// Digits, `x` for any digit, and a last `*` for any further ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns(Box<[Box<[u8]>]>);

impl Patterns {
    pub(super) fn new(patterns: &[String]) -> Self {
        Self(patterns.iter().map(|p| p.as_bytes().into()).collect())
    }

    /// The first pattern that all of `digits` fit.
    pub(super) fn find(&self, digits: &[u8]) -> Option<&[u8]> {
        let fits = |pattern: &&[u8]| match pattern.strip_suffix(b"*") {
            Some(head) => head_matches(head, digits),
            None => pattern.len() == digits.len() && head_matches(pattern, digits),
        };
        self.0.iter().map(|pattern| &**pattern).find(fits)
    }

    /// How many digits the area code at the head of `digits` has: of the forms that fit, the one with
    /// the most fixed digits says it, and the longest of those (`351` before `3xxxx`).
    pub(super) fn area_len(&self, digits: &[u8]) -> Option<usize> {
        let fits = self.0.iter().filter(|p| head_matches(p, digits));
        let fixed = |pattern: &[u8]| pattern.iter().filter(|b| b.is_ascii_digit()).count();
        fits.map(|p| (fixed(p), p.len())).max().map(|(_, len)| len)
    }
}

fn head_matches(pattern: &[u8], digits: &[u8]) -> bool {
    pattern.len() <= digits.len()
        && pattern.iter().zip(digits).all(|(p, d)| p == d || (matches!(p, b'x' | b'X') && d.is_ascii_digit()))
}

/// `user@host`: in the user part `x` is any digit and a last `*` anything; the host may be `*`, or
/// begin with `*.` for any name below.
#[derive(Clone, Debug)]
pub(super) struct AddressPattern {
    text: Box<[u8]>,
    at: usize,
}

impl AddressPattern {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.as_bytes().into(), at: text.find('@').unwrap_or(text.len()) }
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// `host_port` may bear a port, which says nothing about whose the address is.
    pub(super) fn fits(&self, user: &[u8], host_port: &[u8]) -> bool {
        let (user_pattern, rest) = self.text.split_at(self.at);
        let host_pattern = rest.get(1..).unwrap_or_default();
        let user = trim(user);
        let user_fits = match user_pattern.strip_suffix(b"*") {
            Some(head) => head_matches(head, user),
            None => user_pattern.len() == user.len() && head_matches(user_pattern, user),
        };
        user_fits && host_fits(host_pattern, trim(without_port(host_port)))
    }
}

fn host_fits(pattern: &[u8], host: &[u8]) -> bool {
    match pattern {
        b"*" => true,
        [b'*', suffix @ ..] => {
            let head = host.len().checked_sub(suffix.len()).filter(|head| *head > 0);
            head.is_some_and(|head| host[head..].eq_ignore_ascii_case(suffix))
        }
        _ => host.eq_ignore_ascii_case(pattern),
    }
}

/// `host` of `host:port`; an IPv6 address keeps its brackets.
pub(super) fn without_port(host_port: &[u8]) -> &[u8] {
    let from = memchr::memchr(b']', host_port).unwrap_or(0);
    let colon = memchr::memchr(b':', host_port.get(from..).unwrap_or_default());
    colon.and_then(|at| host_port.get(..from + at)).unwrap_or(host_port)
}

/// Who a place of the plan is for.
#[derive(Clone, Debug)]
pub(super) enum UserPattern {
    /// `+8610*`: numbers in the form of `identity_key`.
    Number(Box<[u8]>),
    /// `user@host`.
    Address(AddressPattern),
}

impl UserPattern {
    pub(super) fn new(text: &str) -> Self {
        match text.starts_with('+') {
            true => Self::Number(text.as_bytes().into()),
            false => Self::Address(AddressPattern::new(text)),
        }
    }

    pub(super) fn text(&self) -> &[u8] {
        match self {
            Self::Number(text) => text,
            Self::Address(address) => address.text(),
        }
    }

    /// Whether it means the user whose address has this `identity_key`.
    pub(super) fn fits(&self, key: &[u8]) -> bool {
        match self {
            Self::Number(pattern) => match pattern.strip_suffix(b"*") {
                Some(head) => head_matches(head, key),
                None => pattern.len() == key.len() && head_matches(pattern, key),
            },
            Self::Address(address) => {
                let at = memchr::memchr(b'@', key);
                at.is_some_and(|at| address.fits(&key[..at], &key[at + 1..]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (pattern, user, host, expected) in [
            ("125*@*", "125XX001XX", "as1.gc.rcs.chinamobile.com", true),
            ("125*@*.rcs.chinamobile.com", "1250", "as1.gc.RCS.chinamobile.com:5060", true),
            ("125*@*.rcs.chinamobile.com", "1250", "rcs.chinamobile.com", false),
            ("125xx@h", "12512", "H", true),
            ("125xx@h", "1251a", "h", false),
            ("125xx@h", "1251", "h", false),
            ("*@h", "anyone", "h", true),
            ("*@h", "", "h", true),
            ("a@[::1]", "a", "[::1]:5060", true),
            ("a@h", "a", "i", false),
        ] {
            let fits = AddressPattern::new(pattern).fits(user.as_bytes(), host.as_bytes());
            assert_eq!(fits, expected, "{pattern} {user}@{host}");
        }
    }

    #[test]
    fn users() {
        for (pattern, key, expected) in [
            ("+8610*", "+861028880001", true),
            ("+8610*", "+8613900000001", false),
            ("+861028880001", "+861028880001", true),
            ("+8610xxxxxxxx", "+861028880001", true),
            ("user1@h", "user1@h", true),
            ("*@h", "user1@h", true),
            ("+86*", "user1@h", false),
            ("user1@h", "+861028880001", false),
        ] {
            assert_eq!(UserPattern::new(pattern).fits(key.as_bytes()), expected, "{pattern} {key}");
        }
    }

    #[test]
    fn the_most_fixed_form_of_an_area_code_counts() {
        let areas =
            |forms: &[&str]| Patterns::new(&forms.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>());
        let germany = areas(&["30", "351", "35xxx", "89", "8xxx", "2xxx"]);
        for (digits, len) in [
            ("301234567", Some(2)),
            ("3511234567", Some(3)),
            ("352011234", Some(5)),
            ("891234567", Some(2)),
            ("86711234", Some(4)),
            ("1711234567", None),
        ] {
            assert_eq!(germany.area_len(digits.as_bytes()), len, "{digits}");
        }
    }
}
