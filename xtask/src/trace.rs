//! `docs/conformance.md`: each requirement with the tests that name it.
//!
//! A test names a requirement by writing its number, as `R12` or `R43 to R47`, anywhere in its text or
//! in the comment above it; a number in the head of a file of tests counts for the file as a whole. A
//! requirement without a test fails the task, unless the table of open ones names the issue it waits for.

use crate::step::{Failure, root};
use crate::tidy::rust_files;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Where the table stands.
const PATH: &str = "docs/conformance.md";

/// Each requirement in a few words, in the order of its number: `R1` is the first.
const STATEMENTS: [&str; 80] = [
    "one element for SIP access and media, UEs behind NAT",
    "SIP over UDP, TCP, TLS; IPv4 and IPv6; MSRP, RTP",
    "TLS on its own port with the edge's certificate",
    "TLS idle timer, restarted by traffic",
    "stream framing, CRLF pings, size limits",
    "answers go to the source; received and rport",
    "requests to a UE go over its flow; 430 when it is lost",
    "rkeep keep-alive answered by the edge",
    "only registered flows, only as themselves",
    "barred addresses and ranges, in real time",
    "state and load for management",
    "emergency orders shut off by region, range, user, service",
    "overload: 503 with Retry-After for new requests",
    "REGISTER gets Path, P-Visited-Network-ID, own Contact",
    "P-Access-Network-Info kept, added, never to UEs",
    "integrity-protected is the edge's to say",
    "ck and ik are taken from the 401 and kept secret",
    "security agreement tls-3gpp, 494 on mismatch",
    "credentials are opaque",
    "AKA and Digest share one flow",
    "answers to REGISTER as the UE must see them",
    "bindings: life, refresh, end; Service-Route enforced",
    "one Via and no inner route towards UEs",
    "Call-ID and tags stable for the dialog",
    "Record-Route keeps the edge in dialogs",
    "Contact: the edge's towards UEs, parameters kept",
    "P-Preferred-Identity becomes P-Asserted-Identity",
    "services asserted and preferred; private fields removed",
    "what a UE asserts of itself is a wish",
    "everything else unchanged end to end",
    "Max-Forwards counted, 483 at 0",
    "numbers completed in Request-URI and To",
    "mandatory fields: hard and soft",
    "empty optional fields are illegal",
    "responses follow Via; To gains only a tag",
    "two parts of one type: 400",
    "multipart without boundary: 400",
    "boundary on another type: 400",
    "unsupported type: 400",
    "body without Content-Type: 400",
    "CPIM field repeated: 400",
    "what is not checked; only SDP parts are edited",
    "pager MESSAGE from a UE",
    "recipient lists are never expanded",
    "requests to a UE: AoR or contact, over its flow",
    "disposition notifications untouched",
    "the edge does not judge message sizes at 900 octets",
    "emoticon, cloud file, extensions opaque",
    "INVITE for large messages and files",
    "file selectors never altered",
    "burn after reading passes",
    "one-to-one sessions",
    "groups are created; the focus keeps its URI",
    "REFER verbatim; its subscription only if asked for",
    "group INVITE to a UE; gpmanage kept",
    "BYE: kicked, left, ended; media released",
    "SUBSCRIBE and NOTIFY, in either order",
    "OPTIONS with capability sets, on and off line",
    "public accounts",
    "spam reports to a bare number",
    "VoWiFi calls",
    "multi-party calls",
    "any associated identity may be used",
    "100rel, timers, UPDATE, PRACK, re-INVITE pass",
    "SDP anchored on each side",
    "a=path: host and port replaced, session kept",
    "a=setup: the edge listens to UEs and dials the core",
    "all other SDP lines pass in order",
    "port 0 stays 0; each m= its own relay",
    "INVITE without offer",
    "RTP and SRTP relayed with RTCP, latched",
    "ports freed at every end",
    "MSRP paths rewritten, nothing else",
    "every other octet identical",
    "framing by end-line only",
    "MSRP responses and the relay's own 481, 408",
    "a connection is bound by its first SEND",
    "media bypass only by configuration",
    "timers and their defaults",
    "status codes",
];

/// Requirements that wait for an issue.
const OPEN: &[(usize, u32)] = &[(11, 6), (12, 6), (13, 6)];

/// A test and the requirements it names.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    test: String,
    numbers: BTreeSet<usize>,
}

/// Writes the document, and fails if a requirement has no test.
pub(crate) fn write() -> Result<(), Failure> {
    let by_number = tests_by_number()?;
    std::fs::write(root().join(PATH), document(&by_number))?;
    complete(&by_number)
}

/// Fails if a requirement has no test; part of `cargo xtask lint`.
pub(crate) fn check() -> Result<(), Failure> {
    complete(&tests_by_number()?)
}

fn tests_by_number() -> Result<BTreeMap<usize, Vec<String>>, Failure> {
    let mut by_number: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    // This task's own tests speak of numbers, not of requirements.
    for file in rust_files()?.into_iter().filter(|f| !f.starts_with("xtask")) {
        let text = std::fs::read_to_string(root().join(&file))?;
        let mut note = |number, test: String| by_number.entry(number).or_default().push(test);
        let tests = tests_of(&text);
        let named: BTreeSet<usize> = tests.iter().flat_map(|t| t.numbers.iter().copied()).collect();
        if !tests.is_empty() {
            for number in head_of(&text).difference(&named) {
                note(*number, format!("`{}`", file.display()));
            }
        }
        for test in tests {
            for number in test.numbers {
                note(number, format!("`{}`: {}", file.display(), test.test));
            }
        }
    }
    Ok(by_number)
}

fn complete(by_number: &BTreeMap<usize, Vec<String>>) -> Result<(), Failure> {
    let without = |n: &usize| !by_number.contains_key(n) && !OPEN.iter().any(|(open, _)| open == n);
    let missing: Vec<String> = (1..=STATEMENTS.len()).filter(without).map(|n| format!("R{n}")).collect();
    if missing.is_empty() {
        println!("== trace: ok");
        return Ok(());
    }
    Err(Failure(format!("no test names {} (write one, or list it as open)", missing.join(", "))))
}

fn document(by_number: &BTreeMap<usize, Vec<String>>) -> String {
    let mut out = String::from(
        "# Conformance\n\n\
         Each requirement on the access control function with the tests that name it. All of them are run by\n\
         `cargo xtask test`, which stops at the first that fails. Written from the tests by `cargo xtask trace`.\n\n\
         | | requirement | tests | result |\n|---|---|---|---|\n",
    );
    for (at, statement) in STATEMENTS.iter().enumerate() {
        let number = at + 1;
        let tests = by_number.get(&number).map(Vec::as_slice).unwrap_or_default();
        let open = OPEN.iter().find(|(open, _)| *open == number);
        let result = match (tests.is_empty(), open) {
            (_, Some((_, issue))) => format!("open: issue {issue}"),
            (false, None) => "run by `cargo xtask test`".to_owned(),
            (true, None) => "**no test**".to_owned(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| R{number} | {statement} | {} | {result} |", tests.join("<br>"));
    }
    out
}

/// The tests of a file, in order.
fn tests_of(text: &str) -> Vec<Named> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let is_test = matches!(line.trim(), "#[test]" | "#[tokio::test]");
        if !is_test {
            continue;
        }
        let rest = lines.get(at..).unwrap_or_default();
        let name =
            rest.iter().find_map(|l| l.trim().strip_prefix("fn ").or(l.trim().strip_prefix("async fn ")));
        let Some(name) = name.and_then(|n| n.split('(').next()) else { continue };
        let before = lines.get(..at).unwrap_or_default().iter().rev();
        let comment: Vec<&str> = before.take_while(|l| l.trim_start().starts_with("//")).copied().collect();
        // As far as the closing brace at the indentation of the attribute.
        let indent = line.len() - line.trim_start().len();
        let close = format!("{}}}", " ".repeat(indent));
        let body: Vec<&str> = rest.iter().take_while(|l| **l != close).copied().collect();
        let mut numbers = numbers_in(&comment.join("\n"));
        numbers.extend(numbers_in(&body.join("\n")));
        found.push(Named { test: name.to_owned(), numbers });
    }
    found
}

/// What the head of a file names, if the file holds tests and nothing else.
fn head_of(text: &str) -> BTreeSet<usize> {
    if text.contains("#[cfg(test)]") {
        return BTreeSet::new();
    }
    let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
    numbers_in(&head.join("\n"))
}

/// `R12`, `R43 to R47`, `R65–R77`, `R23-R35`: all the numbers that are meant.
fn numbers_in(text: &str) -> BTreeSet<usize> {
    let mut numbers = BTreeSet::new();
    let mut before: Option<(usize, usize)> = None; // the number before, and where it ended
    for (at, _) in text.match_indices('R') {
        let own_word = text
            .get(..at)
            .and_then(|t| t.chars().next_back())
            .is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let rest = text.get(at + 1..).unwrap_or_default();
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let ends = rest.chars().nth(digits.len()).is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let number = digits.parse().ok().filter(|n| own_word && ends && (1..=STATEMENTS.len()).contains(n));
        let Some(number) = number else { continue };
        numbers.insert(number);
        if let Some((first, end)) = before
            && matches!(text.get(end..at), Some(" to " | "-" | "–"))
        {
            numbers.extend(first..number);
        }
        before = Some((number, at + 1 + digits.len()));
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges_are_read_and_look_alikes_are_not() {
        for (text, numbers) in [
            ("R3, R5", &[3, 5][..]),
            ("R3 to R6 and R80", &[3, 4, 5, 6, 80]),
            ("R7–R9 R11-R12", &[7, 8, 9, 11, 12]),
            ("CR1 R81 R0 R1x SR3 R", &[]),
        ] {
            assert_eq!(numbers_in(text), numbers.iter().copied().collect(), "{text}");
        }
    }

    #[test]
    fn a_test_is_found_with_what_stands_above_and_inside() {
        let text =
            ["/// R", "9.\n#", "[test]\nfn a() {\n    x(\"R", "10\");\n}\n\nfn b() {\n    // R", "11\n}\n"]
                .concat();
        let found = tests_of(&text);
        assert_eq!(found, [Named { test: "a".into(), numbers: [9, 10].into() }]);
    }
}
