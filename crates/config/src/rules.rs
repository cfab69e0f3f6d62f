//! `[[header_rules]]`: what an operator may want changed in header fields, and what nobody may change.
//!
//! A rule says which messages it means (`direction`, `kind`, `methods`, ... and all of `when`) and what
//! happens to them (`then`, in order). Patterns are compiled while the file is read, so that a fault
//! stands at its line.

use crate::read::{Bounded, Node, Reader, Value, section, words};
use core::fmt;
use core::str::FromStr;
use regex::bytes::{Regex, RegexBuilder};
use wire::Prefix;

section! {
    /// `[[header_rules]]`: one rule.
    HeaderRule {
        /// Names it in metrics, logs and the dry run.
        name: String = String::new();
        /// Messages from UEs (`from-access`), from the core (`from-core`), or both.
        direction: RuleDirection = RuleDirection::Any;
        /// Requests, responses, or both.
        kind: RuleKind = RuleKind::Any;
        /// Methods, of a response that of its CSeq; empty: all.
        methods: Vec<String> = Vec::new();
        /// Status codes or ranges of responses; empty: all.
        statuses: Vec<StatusRange> = Vec::new();
        /// Names of access points that the UE came in through or is reached through; empty: all.
        access_points: Vec<String> = Vec::new();
        /// Addresses that the message came from; empty: all.
        sources: Vec<Prefix> = Vec::new();
        /// Conditions on header fields; all must hold.
        when: Vec<HeaderCondition> = Vec::new();
        /// What is done, in order.
        then: Vec<HeaderAction> = Vec::new();
    }
}

section! {
    /// `[[header_rules.when]]`: a condition on one header field.
    HeaderCondition {
        /// Its name, long or compact; `Request-URI` means the one of the request line.
        header: String = String::new();
        /// What one of its values must match; unset: it need only be there.
        matches: Option<Pattern> = None;
        /// Turns it round: holds if there is no such field (with `matches`: none that matches).
        absent: bool = false;
    }
}

section! {
    /// `[[header_rules.then]]`: one thing that is done.
    HeaderAction {
        /// What.
        action: ActionKind = ActionKind::Remove;
        /// Of which header field.
        header: String = String::new();
        /// `rewrite`: what is replaced; `remove`: only fields with a value that matches.
        matches: Option<Pattern> = None;
        /// `add`, `set`, `rewrite`: the new value; `$1` and `${name}` stand for what was captured, `$$` for a dollar sign.
        value: Option<Template> = None;
        /// `rename`: the new name.
        to: Option<String> = None;
        /// `reject`: the status code of the answer.
        status: Option<u16> = None, Some(400)..=Some(699);
        /// `reject`: the reason phrase of the answer; unset: the usual one of the status.
        reason: Option<String> = None;
    }
}

words! {
    /// Which way a message goes.
    RuleDirection {
        /// Either way.
        Any = "any",
        /// From a UE to the core.
        FromAccess = "from-access",
        /// From the core to a UE.
        FromCore = "from-core",
    }
}

words! {
    /// What kind of message.
    RuleKind {
        /// Both kinds.
        Any = "any",
        /// Requests.
        Request = "request",
        /// Responses.
        Response = "response",
    }
}

words! {
    /// What a rule can do to a header field.
    ActionKind {
        /// Appends a field.
        Add = "add",
        /// Makes the value the only one of the field.
        Set = "set",
        /// Takes the field out.
        Remove = "remove",
        /// Gives the field another name.
        Rename = "rename",
        /// Replaces what a pattern finds in the value.
        Rewrite = "rewrite",
        /// Refuses the request.
        Reject = "reject",
    }
}

/// A regular expression over the bytes of a value; ASCII classes, linear time.
#[derive(Clone)]
pub struct Pattern(Regex);

/// Longer ones are programs, not patterns.
const PATTERN_BYTES_MAX: usize = 1_024;
/// What one compiled pattern may take; the largest sane pattern takes some kilobytes.
const COMPILED_BYTES_MAX: usize = 256 * 1_024;

impl Pattern {
    /// The compiled pattern.
    #[must_use]
    pub const fn regex(&self) -> &Regex {
        &self.0
    }

    /// Whether it has a group of this number or name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<usize> {
        match name.parse() {
            Ok(number) => Some(number).filter(|n| *n < self.0.captures_len()),
            Err(_) => self.0.capture_names().position(|known| known == Some(name)),
        }
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("longer than {PATTERN_BYTES_MAX} bytes"));
        }
        let built = RegexBuilder::new(text)
            .unicode(false)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(COMPILED_BYTES_MAX)
            .build();
        built.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(max) => format!("takes more than {max} bytes when compiled"),
            // The last line says what; the lines before it draw where, which one line cannot.
            other => other.to_string().lines().last().unwrap_or_default().trim().replacen("error: ", "", 1),
        })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.as_str(), f)
    }
}

impl Bounded for Pattern {}
impl Value for Pattern {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        reader.explained(node, "a regular expression")
    }
    fn show(&self) -> String {
        format!("{self:?}")
    }
}

/// A new value: text and what was captured.
#[derive(Clone, PartialEq)]
pub struct Template {
    /// In order.
    pub parts: Vec<TemplatePart>,
}

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// As it stands.
    Text(String),
    /// What the group of this number or name captured.
    Group(String),
}

const TEMPLATE_BYTES_MAX: usize = 1_024;

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(format!("longer than {TEMPLATE_BYTES_MAX} bytes"));
        }
        if text.bytes().any(|b| b.is_ascii_control()) {
            return Err("holds a control character: a line end would start another header field".to_owned());
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            literal.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix('$') {
                literal.push('$');
                rest = behind;
                continue;
            }
            let (name, behind) =
                group_name(rest).ok_or("`$` names no group; write `$$` for a dollar sign")?;
            if !literal.is_empty() {
                parts.push(TemplatePart::Text(core::mem::take(&mut literal)));
            }
            parts.push(TemplatePart::Group(name.to_owned()));
            rest = behind;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(TemplatePart::Text(literal));
        }
        Ok(Self { parts })
    }
}

/// The name behind a `$`: digits, or anything in braces.
fn group_name(text: &str) -> Option<(&str, &str)> {
    if let Some(inside) = text.strip_prefix('{') {
        return inside.split_once('}').filter(|(name, _)| !name.is_empty());
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fmt(f)
    }
}

impl Bounded for Template {}
impl Value for Template {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        reader.explained(node, "a value")
    }
    fn show(&self) -> String {
        format!("{self:?}")
    }
}

/// Status codes from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl FromStr for StatusRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let code = |text: &str| text.trim().parse::<u16>().ok().filter(|code| (100..700).contains(code));
        let class = text.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok());
        let range = match (class, text.split_once('-')) {
            (Some(class), _) if (1..=6).contains(&class) => Some((class * 100, class * 100 + 99)),
            (None, Some((first, last))) => code(first).zip(code(last)).filter(|(first, last)| first <= last),
            (None, None) => code(text).map(|only| (only, only)),
            _ => None,
        };
        let (first, last) = range.ok_or("write \"404\", \"4xx\" or \"400-499\"")?;
        Ok(Self { first, last })
    }
}

impl Bounded for StatusRange {}
impl Value for StatusRange {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        reader.explained(node, "a status code")
    }
    fn show(&self) -> String {
        format!("\"{}-{}\"", self.first, self.last)
    }
}

/// Why the fields of one group are not a rule's to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protected {
    /// Their names, long and compact.
    pub names: &'static [&'static str],
    /// Said to the operator.
    pub why: &'static str,
}

/// Header fields that no rule may add, change or take out.
///
/// What frames a message, routes it, hides the topology, names its dialog and transaction, or is what
/// the edge itself keeps state by: a rule that changed these would make the edge and its peers disagree
/// about what was said.
pub const PROTECTED: &[Protected] = &[
    Protected {
        names: &["Content-Length", "l", "Content-Type", "c", "Content-Encoding", "e", "MIME-Version"],
        why: "it says where the body ends and how it is read",
    },
    Protected {
        names: &["Via", "v", "Route", "Record-Route", "Path", "Service-Route", "Max-Forwards", "Max-Breadth"],
        why: "messages are routed by it, and topology hiding depends on it",
    },
    Protected {
        names: &[
            "From",
            "f",
            "To",
            "t",
            "Call-ID",
            "i",
            "CSeq",
            "RAck",
            "RSeq",
            "Replaces",
            "Join",
            "Target-Dialog",
        ],
        why: "it names the dialog or the transaction",
    },
    Protected { names: &["Contact", "m"], why: "the edge puts its own address there and finds the UE by it" },
    Protected {
        names: &[
            "Event",
            "o",
            "Subscription-State",
            "Refer-Sub",
            "Session-Expires",
            "x",
            "Min-SE",
            "SIP-ETag",
            "SIP-If-Match",
        ],
        why: "the edge keeps subscriptions and session timers by it",
    },
    Protected {
        names: &[
            "Authorization",
            "WWW-Authenticate",
            "Proxy-Authorization",
            "Proxy-Authenticate",
            "Authentication-Info",
            "Security-Client",
            "Security-Server",
            "Security-Verify",
        ],
        why: "credentials and keys pass as they are, or not at all",
    },
];

/// The reason why no rule may touch the field of this name; `None` if one may.
#[must_use]
pub fn protected(name: &str) -> Option<&'static str> {
    let group = PROTECTED.iter().find(|group| group.names.iter().any(|n| n.eq_ignore_ascii_case(name)));
    group.map(|group| group.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let text = |t: &str| TemplatePart::Text(t.to_owned());
        let group = |n: &str| TemplatePart::Group(n.to_owned());
        for (template, expected) in [
            ("", Some(vec![])),
            ("plain", Some(vec![text("plain")])),
            ("a$1b${name}c", Some(vec![text("a"), group("1"), text("b"), group("name"), text("c")])),
            ("$12", Some(vec![group("12")])),
            ("${1}2", Some(vec![group("1"), text("2")])),
            ("5$$ $$1", Some(vec![text("5$ $1")])),
            ("$", None),
            ("$name", None),
            ("${}", None),
            ("${open", None),
            ("a\r\nVia: x", None),
            ("a\tb", None),
        ] {
            assert_eq!(template.parse::<Template>().ok().map(|t| t.parts), expected, "{template:?}");
        }
    }

    #[test]
    fn status_ranges() {
        for (text, expected) in [
            ("404", Some((404, 404))),
            ("4xx", Some((400, 499))),
            ("180-199", Some((180, 199))),
            ("99", None),
            ("700", None),
            ("7xx", None),
            ("200-100", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<StatusRange>().ok().map(|r| (r.first, r.last)), expected, "{text}");
        }
    }

    #[test]
    fn patterns_are_bounded() {
        assert!("^a+$".parse::<Pattern>().is_ok());
        assert!("x".repeat(1_025).parse::<Pattern>().is_err());
        assert!("(a{1000}){1000}".parse::<Pattern>().is_err());
        assert_eq!("a(".parse::<Pattern>().err().as_deref(), Some("unclosed group"));
        assert!(r"\w(?i)x".parse::<Pattern>().is_ok(), "classes are ASCII");
    }
}
