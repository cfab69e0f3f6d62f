//! Where in the file something is wrong, and how to put it right.

use core::fmt;
use core::ops::Range;
use std::collections::BTreeMap;

/// One fault of the configuration, printed as `file:line:col: message (hint)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, as it was named on the command line.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, " ({})", self.hint) }
    }
}

impl std::error::Error for ConfigError {}

/// Where each key of a file stands, so that faults found after reading (a certificate that does not
/// load, a port that is taken) still point at their line.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    pub(crate) file: String,
    pub(crate) text: String,
    /// Byte range of each value by path: `realm.access.sip[0].bind`.
    pub(crate) values: BTreeMap<String, Range<usize>>,
}

impl Positions {
    /// Makes an error at the value of `path`, or at its nearest enclosing table if it is not set.
    #[must_use]
    pub fn error(&self, path: &str, message: impl Into<String>, hint: impl Into<String>) -> ConfigError {
        let mut path = path;
        let at = loop {
            if let Some(range) = self.values.get(path) {
                break range.start;
            }
            match path.rfind(['.', '[']) {
                Some(cut) => path = &path[..cut],
                None => break 0,
            }
        };
        self.error_at(at, message, hint)
    }

    /// Whether the file sets `path`.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.values.contains_key(path)
    }

    pub(crate) fn error_at(
        &self,
        at: usize,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> ConfigError {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |n| n + 1);
        ConfigError {
            file: self.file.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// The candidate that `word` was probably meant to be, if one is near enough.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|c| (distance(word, c), *c))
        .filter(|(d, c)| *d <= (c.len().max(word.len()) / 3).max(1))
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// Levenshtein distance in bytes, with `_` and `-` alike.
fn distance(a: &str, b: &str) -> usize {
    let fold = |s: &str| s.to_ascii_lowercase().replace('-', "_").into_bytes();
    let (a, b) = (fold(a), fold(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_need_a_near_candidate() {
        let known = ["t1_ms", "tls_idle_seconds", "handshake_seconds"];
        assert_eq!(did_you_mean("tls_idle_second", &known), Some("tls_idle_seconds"));
        assert_eq!(did_you_mean("tls-idle-seconds", &known), Some("tls_idle_seconds"));
        assert_eq!(did_you_mean("t2ms", &known), None);
        assert_eq!(did_you_mean("certificate", &known), None);
    }

    #[test]
    fn an_unset_path_points_at_what_encloses_it() {
        let positions = Positions {
            file: "f".into(),
            text: "a = 1\nb = { c = 2 }\n".into(),
            values: BTreeMap::from([("b".to_owned(), 10..17)]),
        };
        let e = positions.error("b.d", "d is missing", "set it");
        assert_eq!(e.to_string(), "f:2:5: d is missing (set it)");
        assert_eq!(positions.error("z", "m", "").to_string(), "f:1:1: m");
    }
}
