//! Rules as the operator wrote them become rules as messages meet them.

use super::act::{Act, Scratch, View};
use super::{Passing, Rules};
use config::{HeaderCondition, HeaderRule, RuleDirection, RuleKind, StatusRange};
use regex::bytes::{CaptureLocations, Regex};
use sip::{Message, Method};
use wire::{Prefix, Realm};

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: Box<str>,
    /// How often all its conditions held.
    pub(super) matches: u64,
    pub(super) then: Box<[Act]>,
    from: Option<Realm>,
    kind: RuleKind,
    methods: Box<[Box<[u8]>]>,
    statuses: Box<[StatusRange]>,
    access_points: Box<[Box<str>]>,
    sources: Box<[Prefix]>,
    when: Box<[Condition]>,
    /// How many named groups its conditions have.
    slots: usize,
}

#[derive(Debug)]
struct Condition {
    /// `None`: the Request-URI.
    header: Option<Box<[u8]>>,
    pattern: Option<Matcher>,
    absent: bool,
}

/// A pattern with the room that a search needs.
#[derive(Debug)]
pub(super) struct Matcher {
    pub(super) regex: Regex,
    pub(super) found: CaptureLocations,
    /// `(group, slot)` of the named groups that later values may use.
    slots: Box<[(usize, usize)]>,
}

impl Matcher {
    pub(super) fn new(pattern: &config::Pattern, names: &mut Vec<String>) -> Self {
        let regex = pattern.regex().clone();
        let named = regex.capture_names().enumerate().filter_map(|(group, name)| Some((group, name?)));
        let slots = named
            .map(|(group, name)| {
                names.push(name.to_owned());
                (group, names.len() - 1)
            })
            .collect();
        Self { found: regex.capture_locations(), regex, slots }
    }
}

impl Rules {
    /// Compiles the rules of `config`, which were checked when it was read.
    #[must_use]
    pub fn new(config: &config::Config) -> Self {
        Self { list: config.header_rules.iter().map(Rule::new).collect(), ..Self::default() }
    }

    /// Puts the rules of another configuration in place; those that keep their name keep their count.
    pub fn replace(&mut self, config: &config::Config) {
        let old = core::mem::replace(&mut self.list, config.header_rules.iter().map(Rule::new).collect());
        for rule in &mut self.list {
            rule.matches = old.iter().find(|known| known.name == rule.name).map_or(0, |known| known.matches);
        }
    }
}

impl Rule {
    fn new(rule: &HeaderRule) -> Self {
        let mut names = Vec::new();
        let when = rule.when.iter().map(|condition| Condition::new(condition, &mut names)).collect();
        Self {
            name: rule.name.as_str().into(),
            matches: 0,
            from: match rule.direction {
                RuleDirection::Any => None,
                RuleDirection::FromAccess => Some(Realm::Access),
                RuleDirection::FromCore => Some(Realm::Core),
            },
            kind: rule.kind,
            methods: rule.methods.iter().map(|method| method.as_bytes().into()).collect(),
            statuses: rule.statuses.clone().into(),
            access_points: rule.access_points.iter().map(|name| name.as_str().into()).collect(),
            sources: rule.sources.clone().into(),
            when,
            then: rule.then.iter().map(|action| Act::new(action, &names)).collect(),
            slots: names.len(),
        }
    }

    /// Whether it may be about a message that goes this way: what needs no look at the message.
    pub(super) fn concerns(&self, passing: &Passing<'_>) -> bool {
        self.from.is_none_or(|from| from == passing.from)
            && (self.sources.is_empty() || self.sources.iter().any(|range| range.contains(passing.source)))
            && (self.access_points.is_empty()
                || passing.access_point.is_some_and(|name| self.access_points.iter().any(|n| **n == *name)))
    }

    /// Whether it is about this message; what its conditions capture is in `scratch` then.
    pub(super) fn holds(&mut self, message: Message<'_>, scratch: &mut Scratch) -> bool {
        let kind = match self.kind {
            RuleKind::Any => true,
            RuleKind::Request => message.is_request(),
            RuleKind::Response => !message.is_request(),
        };
        kind && self.is_of_method(message) && self.is_of_status(message) && {
            scratch.clear(self.slots);
            self.when.iter_mut().all(|condition| condition.holds(message, scratch))
        }
    }

    fn is_of_method(&self, message: Message<'_>) -> bool {
        // A CANCEL is made on each side from its INVITE; no rule sees one.
        self.methods.is_empty()
            || (message.method() != Method::Cancel
                && self.methods.iter().any(|method| **method == *message.method_text()))
    }

    fn is_of_status(&self, message: Message<'_>) -> bool {
        let status = message.status();
        self.statuses.is_empty()
            || (!message.is_request() && self.statuses.iter().any(|s| (s.first..=s.last).contains(&status)))
    }
}

impl Condition {
    fn new(condition: &HeaderCondition, names: &mut Vec<String>) -> Self {
        let is_uri = condition.header.eq_ignore_ascii_case("Request-URI");
        // What does not match captures nothing.
        let mut none = Vec::new();
        let names = if condition.absent { &mut none } else { names };
        let mut pattern = condition.matches.as_ref().map(|pattern| Matcher::new(pattern, names));
        if condition.absent
            && let Some(pattern) = &mut pattern
        {
            pattern.slots = Box::default();
        }
        Self {
            header: (!is_uri).then(|| condition.header.as_bytes().into()),
            pattern,
            absent: condition.absent,
        }
    }

    fn holds(&mut self, message: Message<'_>, scratch: &mut Scratch) -> bool {
        let pattern = &mut self.pattern;
        let found = match &self.header {
            None => message.is_request() && matches(pattern, message.uri(), scratch),
            Some(name) => message.unknown(name).any(|field| {
                let mut view = View::take(scratch);
                let text = view.of(message.text(field.value));
                let found = matches(pattern, text, scratch);
                view.give_back(scratch);
                found
            }),
        };
        found != self.absent
    }
}

fn matches(pattern: &mut Option<Matcher>, text: &[u8], scratch: &mut Scratch) -> bool {
    let Some(Matcher { regex, found, slots }) = pattern else {
        return true;
    };
    if slots.is_empty() {
        return regex.is_match(text);
    }
    if regex.captures_read(found, text).is_none() {
        return false;
    }
    for (group, slot) in slots.iter() {
        let captured = found.get(*group).and_then(|(start, end)| text.get(start..end));
        scratch.keep(*slot, captured.unwrap_or_default());
    }
    true
}
