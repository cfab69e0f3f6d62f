//! The query of a URI: every name must be known, and stand once.

use crate::problem::Problem;
use core::str::FromStr;

/// Names and values, decoded.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query that may hold these names.
    pub(crate) fn read(text: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for part in text.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if !known.contains(&name) {
                let name: String = name.chars().take(40).collect();
                return Err(Problem::of_field(&name, format!("unknown; known are {}", known.join(", "))));
            }
            if pairs.iter().any(|(other, _)| other == name) {
                return Err(Problem::of_field(name, "stands twice"));
            }
            let value = decode(value).ok_or_else(|| Problem::of_field(name, "badly encoded"))?;
            pairs.push((name.to_owned(), value));
        }
        Ok(Self(pairs))
    }

    /// The value of `name`, if it stands there; `what` says what it should be.
    pub(crate) fn get<T: FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, Problem> {
        let Some((_, value)) = self.0.iter().find(|(known, _)| known == name) else {
            return Ok(None);
        };
        value.parse().map(Some).map_err(|_| Problem::of_field(name, format!("not {what}")))
    }
}

/// Takes `%xx` out.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        let digits = str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_strictly() {
        let read = |text| Query::read(Some(text), &["a", "after"]);
        let query = read("a=5&after=2001%3adb8%3A%3A%2F32").unwrap();
        assert_eq!(query.get("a", "a number").unwrap(), Some(5));
        assert_eq!(query.get::<String>("after", "").unwrap().unwrap(), "2001:db8::/32");
        assert_eq!(query.get::<u8>("b", "").unwrap(), None);
        assert!(query.get::<u8>("after", "a number").is_err());
        for bad in ["b=1", "a=1&a=2", "a=%", "a=%4", "a=%+1", "a=%ff"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
