//! Whether the header rules can do what they say, and nothing that no rule may do.

use crate::check::{LABEL_HINT, is_label};
use crate::read::Reader;
use crate::rules::{ActionKind, HeaderAction, HeaderRule, RuleKind, TemplatePart, protected};
use crate::sections::Config;
use wire::bytes_class::{self, TOKEN};

/// More are a program.
const RULES_MAX: usize = 256;
const MEMBERS_MAX: usize = 16;

/// The pseudo field that conditions may look at.
const REQUEST_URI: &str = "Request-URI";

pub(crate) fn check(config: &Config, reader: &mut Reader) {
    let mut checks = Checks { config, reader };
    let rules = &config.header_rules;
    if rules.len() > RULES_MAX {
        checks.fault("header_rules", "too many header rules", &format!("at most {RULES_MAX}"));
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = format!("header_rules[{i}]");
        if let Some(first) =
            rules[..i].iter().position(|r| r.name == rule.name).filter(|_| is_label(&rule.name))
        {
            let message = format!("the name \"{}\" is taken by header_rules[{first}]", rule.name);
            checks.fault(&format!("{path}.name"), &message, "each rule has its own counter");
        }
        checks.rule(&path, rule);
    }
}

struct Checks<'a> {
    config: &'a Config,
    reader: &'a mut Reader,
}

impl Checks<'_> {
    fn fault(&mut self, path: &str, message: &str, hint: &str) {
        let error = self.reader.positions.error(path, message, hint);
        self.reader.errors.push(error);
    }

    /// Whether the file sets a key: what could not be read is reported already.
    fn set(&self, path: &str) -> bool {
        self.reader.positions.has(path)
    }

    fn rule(&mut self, path: &str, rule: &HeaderRule) {
        if !is_label(&rule.name) {
            self.fault(&format!("{path}.name"), "a rule needs a name", LABEL_HINT);
        }
        self.messages(path, rule);
        if rule.when.len() > MEMBERS_MAX || rule.then.len() > MEMBERS_MAX {
            self.fault(path, "too many conditions or actions", &format!("at most {MEMBERS_MAX} of each"));
        }
        let mut names: Vec<&str> = Vec::new();
        for (i, condition) in rule.when.iter().enumerate() {
            let path = format!("{path}.when[{i}]");
            if !condition.header.eq_ignore_ascii_case(REQUEST_URI) {
                self.name(&format!("{path}.header"), &condition.header);
            }
            let groups = condition.matches.iter().flat_map(|p| p.regex().capture_names().flatten());
            for name in groups.filter(|_| !condition.absent) {
                if names.contains(&name) {
                    let message = format!("two conditions capture `{name}`");
                    self.fault(&format!("{path}.matches"), &message, "give each group its own name");
                }
                names.push(name);
            }
        }
        if rule.then.is_empty() && !self.set(&format!("{path}.then[0]")) {
            self.fault(path, "the rule does nothing", "add a [[header_rules.then]] table");
        }
        for (i, action) in rule.then.iter().enumerate() {
            self.action(&format!("{path}.then[{i}]"), rule, action, &names, i + 1 == rule.then.len());
        }
    }

    fn messages(&mut self, path: &str, rule: &HeaderRule) {
        for (i, method) in rule.methods.iter().enumerate() {
            let path = format!("{path}.methods[{i}]");
            if !is_token(method) {
                self.fault(&path, &format!("{method:?} is not a method"), "for example \"INVITE\"");
            }
            if method == "CANCEL" {
                let hint = "each side has its own CANCEL, made from the INVITE that the rules have seen";
                self.fault(&path, "no rule sees a CANCEL", hint);
            }
        }
        if rule.kind == RuleKind::Request && !rule.statuses.is_empty() {
            self.fault(
                &format!("{path}.statuses"),
                "a request has no status",
                "take out `kind` or `statuses`",
            );
        }
        let known: Vec<&str> =
            self.config.realm.access.sip.iter().filter_map(|listener| listener.name.as_deref()).collect();
        for (i, name) in rule.access_points.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let message = format!("no access point is named \"{name}\"");
                let hint = match known.is_empty() {
                    true => "give a [[realm.access.sip]] table a `name`".to_owned(),
                    false => format!("known: {}", known.join(", ")),
                };
                self.fault(&format!("{path}.access_points[{i}]"), &message, &hint);
            }
        }
    }

    fn action(&mut self, path: &str, rule: &HeaderRule, action: &HeaderAction, names: &[&str], last: bool) {
        let at = |key: &str| format!("{path}.{key}");
        if !self.set(&at("action")) {
            self.fault(path, "`action` is missing", "add, set, remove, rename, rewrite or reject");
            return;
        }
        let wants = wants(action.action);
        for (key, given) in [
            ("header", self.set(&at("header"))),
            ("matches", self.set(&at("matches"))),
            ("value", self.set(&at("value"))),
            ("to", self.set(&at("to"))),
            ("status", self.set(&at("status"))),
            ("reason", self.set(&at("reason"))),
        ] {
            let word = action.action.word();
            match (wants.iter().find(|(name, _)| *name == key), given) {
                (None, true) => {
                    let message = format!("`{key}` means nothing for `{word}`");
                    self.fault(&at(key), &message, "take it out");
                }
                (Some((_, true)), false) => self.fault(path, &format!("`{word}` needs `{key}`"), ""),
                _ => {}
            }
        }
        if action.action == ActionKind::Reject {
            return self.reject(path, rule, action, last);
        }
        self.changeable(&at("header"), &action.header);
        if let Some(to) = &action.to {
            self.changeable(&at("to"), to);
        }
        for part in action.value.iter().flat_map(|template| &template.parts) {
            let TemplatePart::Group(name) = part else { continue };
            let own = action.matches.as_ref().is_some_and(|pattern| pattern.group(name).is_some());
            if !own && !names.contains(&name.as_str()) {
                let hint = match action.action {
                    ActionKind::Rewrite => "a group of `matches`, or a named group of a condition",
                    _ => "a named group of a condition: `(?<name>...)`",
                };
                self.fault(&at("value"), &format!("nothing captures `{name}`"), hint);
            }
        }
    }

    fn reject(&mut self, path: &str, rule: &HeaderRule, action: &HeaderAction, last: bool) {
        if !last {
            self.fault(path, "nothing is done after `reject`", "put it last");
        }
        if rule.kind == RuleKind::Response || !rule.statuses.is_empty() {
            self.fault(
                path,
                "only requests can be rejected",
                "the far side has done its work when it answers",
            );
        }
        if !rule.methods.is_empty() && rule.methods.iter().all(|method| method == "ACK") {
            self.fault(path, "an ACK cannot be rejected", "nothing answers an ACK");
        }
        let reason = action.reason.as_deref().unwrap_or_default();
        if reason.len() > 64 || !reason.bytes().all(|b| (32..127).contains(&b) && b != b'"' && b != b'\\') {
            let hint = "at most 64 printable ASCII characters, no quotes or backslashes";
            self.fault(&format!("{path}.reason"), "`reason` is not a reason phrase", hint);
        }
    }

    fn name(&mut self, path: &str, name: &str) {
        if !is_token(name) {
            self.fault(
                path,
                &format!("{name:?} is not the name of a header field"),
                "for example \"User-Agent\"",
            );
        }
    }

    /// A field that a rule may change.
    fn changeable(&mut self, path: &str, name: &str) {
        self.name(path, name);
        if name.eq_ignore_ascii_case(REQUEST_URI) {
            self.fault(
                path,
                "no rule may change the Request-URI",
                "numbers are the number plan's, routes the core's",
            );
        } else if let Some(why) = protected(name) {
            self.fault(path, &format!("no rule may change {name}"), why);
        }
    }
}

/// The keys that an action takes, and whether it needs them.
const fn wants(action: ActionKind) -> &'static [(&'static str, bool)] {
    match action {
        ActionKind::Add | ActionKind::Set => &[("header", true), ("value", true)],
        ActionKind::Remove => &[("header", true), ("matches", false)],
        ActionKind::Rename => &[("header", true), ("to", true)],
        ActionKind::Rewrite => &[("header", true), ("matches", true), ("value", true)],
        ActionKind::Reject => &[("status", true), ("reason", false)],
    }
}

fn is_token(text: &str) -> bool {
    (1..=64).contains(&text.len()) && bytes_class::all(text.as_bytes(), TOKEN)
}
