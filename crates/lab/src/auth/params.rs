//! The value of an Authorization or WWW-Authenticate header, read by the lab's own eyes.
//!
//! The edge reads these headers with the `sip` crate; the lab does not share that reader, so that a
//! mistake there cannot hide itself.

/// A scheme and its parameters, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthValue {
    /// `Digest`, as it came.
    pub scheme: String,
    params: Vec<Param>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Param {
    name: String,
    value: String,
    quoted: bool,
}

impl AuthValue {
    /// Reads `Digest name=value, name="value", …`; `None` if a parameter has no name or a quote stays open.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (scheme, mut rest) = text.split_once([' ', '\t'])?;
        let mut params = Vec::new();
        loop {
            rest = rest.trim_start_matches([' ', '\t', '\r', '\n', ',']);
            if rest.is_empty() {
                break;
            }
            let (name, after) = rest.split_once('=')?;
            let name = name.trim().to_owned();
            if name.is_empty() || name.contains([' ', ',', '"']) {
                return None;
            }
            let after = after.trim_start();
            let (value, quoted, left) = match after.strip_prefix('"') {
                Some(inside) => {
                    let (value, left) = unquote(inside)?;
                    (value, true, left)
                }
                None => {
                    let end = after.find(',').unwrap_or(after.len());
                    let (value, left) = after.split_at(end);
                    (value.trim().to_owned(), false, left)
                }
            };
            params.push(Param { name, value, quoted });
            rest = left;
        }
        Some(Self { scheme: scheme.to_owned(), params })
    }

    /// The value of the first parameter of this name, without its quotes.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.find(name).map(|p| p.value.as_str())
    }

    /// Whether the parameter stood in quotes; `None` if it is absent.
    #[must_use]
    pub fn is_quoted(&self, name: &str) -> Option<bool> {
        self.find(name).map(|p| p.quoted)
    }

    fn find(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|p| p.name.eq_ignore_ascii_case(name))
    }
}

/// Reads up to the closing quote; returns the value with `\x` undone, and what follows.
fn unquote(inside: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = inside.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, inside.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

/// Writes an authentication header value: name, value and whether to quote.
#[derive(Clone, Debug)]
pub struct AuthWriter(String);

impl AuthWriter {
    /// Starts with `Digest`.
    #[must_use]
    pub fn digest() -> Self {
        Self("Digest".to_owned())
    }

    /// Appends `name="value"`.
    #[must_use]
    pub fn quoted(self, name: &str, value: &str) -> Self {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
        self.push(name, &format!("\"{escaped}\""))
    }

    /// Appends `name=value`.
    #[must_use]
    pub fn token(self, name: &str, value: &str) -> Self {
        self.push(name, value)
    }

    /// The whole value.
    #[must_use]
    pub fn finish(self) -> String {
        self.0
    }

    fn push(mut self, name: &str, value: &str) -> Self {
        self.0.push_str(if self.0.len() == "Digest".len() { " " } else { ", " });
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(value);
        self
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_challenges_of_the_specification() {
        let value = AuthValue::parse(
            "Digest realm=\"bj.ims\", nonce=\"byBH+OPw=\", algorithm=AKAv1-SHA256, ik=\"3bb\" ,ck=\"10f\"",
        )
        .unwrap();
        for (name, expected) in [
            ("realm", Some("bj.ims")),
            ("NONCE", Some("byBH+OPw=")),
            ("algorithm", Some("AKAv1-SHA256")),
            ("ck", Some("10f")),
            ("qop", None),
        ] {
            assert_eq!(value.param(name), expected, "{name}");
        }
        assert_eq!(value.is_quoted("ik"), Some(true));
        assert_eq!(value.is_quoted("algorithm"), Some(false));
    }

    #[test]
    fn refuses_what_cannot_be_read() {
        for wrong in ["Digest", "Digest a=\"open", "Digest =x", "Digest a b=c", "Digest a=\"x\\"] {
            assert_eq!(AuthValue::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn reads_what_it_writes() {
        let text = AuthWriter::digest().quoted("username", "a\"b\\c").token("nc", "00000001").finish();
        let value = AuthValue::parse(&text).unwrap();
        assert_eq!(value.scheme, "Digest");
        assert_eq!(value.param("username"), Some("a\"b\\c"));
        assert_eq!(value.param("nc"), Some("00000001"));
    }
}
