//! The annotated example is the operators' manual: it must name every key with the true range and default.
#![allow(clippy::unwrap_used)]

use config::Config;

const EXAMPLE: &str = include_str!("../../../config/gatehouse.toml");

#[test]
fn the_example_is_the_default_configuration() {
    let config = Config::from_toml(EXAMPLE, "gatehouse.toml").unwrap();
    assert_eq!(config, Config::default());
}

#[test]
fn an_empty_file_is_the_default_configuration() {
    assert_eq!(Config::from_toml("", "empty.toml").unwrap(), Config::default());
}

#[test]
fn what_is_commented_out_is_well_formed_too() {
    // Comments that hold a key or a table header become live; prose does not.
    let live: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if is_toml(rest) => rest,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let config = Config::from_toml(&live, "etc/gatehouse.toml").unwrap();
    let tls = config.realm.access.tls.unwrap();
    assert_eq!(tls.certificate.to_str(), Some("etc/tls/access.pem"), "relative to the file");
    assert_eq!(config.realm.access.sip.len(), 3);
    assert_eq!(config.header_rules.len(), 2);
}

#[test]
fn every_key_stands_there_with_range_and_default() {
    let entries = entries();
    let mut wrong = Vec::new();
    for key in Config::schema() {
        let Some((_, comment)) = entries.iter().find(|(path, _)| *path == key.path) else {
            wrong.push(format!("{} is missing", key.path));
            continue;
        };
        if !comment.contains(&format!("Default {}.", key.default)) {
            wrong.push(format!("{}: no `Default {}.` in: {comment}", key.path, key.default));
        }
        if !key.range.is_empty() && !comment.contains(&format!("Range {}.", key.range)) {
            wrong.push(format!("{}: no `Range {}.` in: {comment}", key.path, key.range));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn is_toml(text: &str) -> bool {
    text.starts_with('[')
        || text.split_once(" = ").is_some_and(|(key, _)| {
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        })
}

/// Each key with the comment above it, the first time it stands in the file.
fn entries() -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = Vec::new();
    let (mut table, mut comment) = (String::new(), String::new());
    let mut lists: Vec<String> = Vec::new();
    for line in EXAMPLE.lines() {
        let bare = line.strip_prefix("# ").filter(|rest| is_toml(rest)).unwrap_or(line);
        if let Some(name) = bare.strip_prefix("[[").and_then(|t| t.strip_suffix("]]")) {
            // `[[a.b]]` inside `[[a]]` is a list in each member of a list.
            let outer = lists.iter().find_map(|list| Some((list, name.strip_prefix(list.as_str())?)));
            table = match outer.filter(|(_, rest)| rest.starts_with('.')) {
                Some((list, rest)) => format!("{list}[]{rest}[]"),
                None => format!("{name}[]"),
            };
            lists.push(name.to_owned());
        } else if let Some(name) = bare.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            table = name.to_owned();
        } else if let Some(prose) = bare.strip_prefix('#') {
            comment.push_str(prose);
            continue;
        } else if let Some((key, _)) = bare.split_once(" = ") {
            let path = format!("{table}.{key}");
            if !entries.iter().any(|(known, _)| *known == path) {
                entries.push((path, comment.clone()));
            }
        }
        comment.clear();
    }
    entries
}
