//! What a rule does to a message, as edits.

use super::compile::Matcher;
use config::{ActionKind, HeaderAction, Template, TemplatePart};
use core::ops::Range;
use sip::{Field, Message, Method};
use wire::EditList;
use wire::bytes_class::trim;

/// One action.
#[derive(Debug)]
pub(super) struct Act {
    pub(super) does: Does,
}

#[derive(Debug)]
pub(super) enum Does {
    Add { name: Box<[u8]>, value: Value },
    Set { name: Box<[u8]>, value: Value },
    Remove { name: Box<[u8]>, pattern: Option<Matcher> },
    Rename { name: Box<[u8]>, to: Box<[u8]> },
    Rewrite { name: Box<[u8]>, pattern: Matcher, value: Value },
    Reject { status: u16, reason: Box<str> },
}

/// What an action came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    Edits,
    Reject,
}

/// A value to be written.
#[derive(Debug)]
pub(super) struct Value(Box<[Part]>);

#[derive(Debug)]
enum Part {
    Text(Box<[u8]>),
    /// A group of the action's own pattern.
    Group(usize),
    /// A named group of one of the conditions.
    Slot(usize),
}

/// A value that reaches this fits no head and is not written: a pattern that matches everywhere must
/// not multiply a long value without end.
const VALUE_BYTES_MAX: usize = 65_536;

/// What the conditions of the rule at hand captured, and working room.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    text: Vec<u8>,
    slots: Vec<Range<usize>>,
    /// One folded value on one line.
    line: Vec<u8>,
    value: Vec<u8>,
}

impl Scratch {
    pub(super) fn clear(&mut self, slots: usize) {
        self.text.clear();
        self.slots.clear();
        self.slots.resize(slots, 0..0);
    }

    pub(super) fn keep(&mut self, slot: usize, captured: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(captured);
        if let Some(range) = self.slots.get_mut(slot) {
            *range = start..self.text.len();
        }
    }

    fn slot(&self, slot: usize) -> &[u8] {
        self.slots.get(slot).and_then(|range| self.text.get(range.clone())).unwrap_or_default()
    }
}

/// A value as patterns see it: without line ends, wherever it was folded (RFC 3261 §7.3.1).
pub(super) struct View(Vec<u8>);

impl View {
    pub(super) fn take(scratch: &mut Scratch) -> Self {
        Self(core::mem::take(&mut scratch.line))
    }

    pub(super) fn of<'v>(&'v mut self, value: &'v [u8]) -> &'v [u8] {
        if memchr::memchr(b'\n', value).is_none() {
            return value;
        }
        self.0.clear();
        self.0.extend(value.iter().filter(|b| **b != b'\r').map(|&b| if b == b'\n' { b' ' } else { b }));
        &self.0
    }

    pub(super) fn give_back(self, scratch: &mut Scratch) {
        scratch.line = self.0;
    }
}

impl Act {
    pub(super) fn new(action: &HeaderAction, names: &[String]) -> Self {
        let name = || Box::from(action.header.as_bytes());
        let pattern = || action.matches.as_ref().map(|pattern| Matcher::new(pattern, &mut Vec::new()));
        let own = action.matches.as_ref().filter(|_| action.action == ActionKind::Rewrite);
        let value = || Value::new(action.value.as_ref(), own, names);
        let does = match action.action {
            ActionKind::Add => Does::Add { name: name(), value: value() },
            ActionKind::Set => Does::Set { name: name(), value: value() },
            ActionKind::Rename => {
                Does::Rename { name: name(), to: action.to.as_deref().unwrap_or_default().as_bytes().into() }
            }
            ActionKind::Rewrite => match pattern() {
                Some(pattern) => Does::Rewrite { name: name(), pattern, value: value() },
                None => Does::Remove { name: Box::default(), pattern: None },
            },
            ActionKind::Remove => Does::Remove { name: name(), pattern: pattern() },
            ActionKind::Reject => Does::Reject {
                status: action.status.unwrap_or(403),
                reason: action.reason.as_deref().unwrap_or_default().into(),
            },
        };
        Self { does }
    }

    pub(super) fn on(&mut self, message: Message<'_>, scratch: &mut Scratch, edits: &mut EditList) -> Effect {
        match &mut self.does {
            Does::Add { name, value } => value.write(scratch, |text| append(message, name, text, edits)),
            Does::Set { name, value } => value.write(scratch, |text| set(message, name, text, edits)),
            Does::Remove { name, pattern } => {
                for field in message.unknown(name) {
                    let mut view = View::take(scratch);
                    let text = view.of(message.text(field.value));
                    if pattern.as_ref().is_none_or(|pattern| pattern.regex.is_match(text)) {
                        edits.remove(field.line);
                    }
                    view.give_back(scratch);
                }
            }
            Does::Rename { name, to } => {
                let fields = message.unknown(name).filter(|field| message.text(field.name) != &**to);
                fields.for_each(|field| edits.replace(field.name, to));
            }
            Does::Rewrite { name, pattern, value } => {
                for field in message.unknown(name) {
                    rewrite(message, field, pattern, value, scratch, edits);
                }
            }
            // Nothing answers an ACK, and a response cannot be refused any more.
            Does::Reject { .. } if message.is_request() && message.method() != Method::Ack => {
                return Effect::Reject;
            }
            Does::Reject { .. } => {}
        }
        if edits.is_empty() { Effect::Nothing } else { Effect::Edits }
    }
}

fn append(message: Message<'_>, name: &[u8], value: &[u8], edits: &mut EditList) {
    if value.is_empty() {
        return;
    }
    edits.insert_with(message.fields_end(), |out| {
        for part in [name, b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    });
}

/// Makes `value` the only one; an empty one takes the field out (R34).
fn set(message: Message<'_>, name: &[u8], value: &[u8], edits: &mut EditList) {
    let mut fields = message.unknown(name);
    match fields.next().filter(|_| !value.is_empty()) {
        Some(first) if message.text(first.value) == value => {}
        Some(first) => edits.replace(first.value, value),
        None if value.is_empty() => message.unknown(name).for_each(|field| edits.remove(field.line)),
        None => append(message, name, value, edits),
    }
    if !value.is_empty() {
        fields.for_each(|field| edits.remove(field.line));
    }
}

/// Replaces every match in one value; a value that becomes empty takes its field out.
fn rewrite(
    message: Message<'_>,
    field: Field,
    pattern: &mut Matcher,
    value: &Value,
    scratch: &mut Scratch,
    edits: &mut EditList,
) {
    let mut view = View::take(scratch);
    let mut fresh = core::mem::take(&mut scratch.value);
    fresh.clear();
    let text = view.of(message.text(field.value));
    let (mut copied, mut at, mut last_end) = (0, 0, None);
    while at <= text.len() && pattern.regex.captures_read_at(&mut pattern.found, text, at).is_some() {
        let Some((start, end)) = pattern.found.get(0) else { break };
        // An empty match right behind the last one belongs to it.
        if start == end && last_end == Some(start) {
            at = start + 1;
            continue;
        }
        push_clean(&text[copied..start], &mut fresh);
        for part in &value.0 {
            let group = |group: usize| {
                let range = pattern.found.get(group);
                range.and_then(|(start, end)| text.get(start..end)).unwrap_or_default()
            };
            push_clean(part.text(group, scratch), &mut fresh);
        }
        (copied, at, last_end) = (end, end, Some(end));
    }
    push_clean(&text[copied..], &mut fresh);
    let new = trim(&fresh);
    if last_end.is_some() && new != text && fits(&fresh) {
        match new.is_empty() {
            true => edits.remove(field.line),
            false => edits.replace(field.value, new),
        }
    }
    scratch.value = fresh;
    view.give_back(scratch);
}

impl Value {
    fn new(template: Option<&Template>, own: Option<&config::Pattern>, names: &[String]) -> Self {
        let part = |part: &TemplatePart| match part {
            TemplatePart::Text(text) => Some(Part::Text(text.as_bytes().into())),
            TemplatePart::Group(name) => match own.and_then(|pattern| pattern.group(name)) {
                Some(group) => Some(Part::Group(group)),
                None => names.iter().position(|known| known == name).map(Part::Slot),
            },
        };
        Self(template.into_iter().flat_map(|template| &template.parts).filter_map(part).collect())
    }

    /// Hands the value, as one line, to `write`; one that fits no head is not written at all.
    fn write(&self, scratch: &mut Scratch, write: impl FnOnce(&[u8])) {
        let mut text = core::mem::take(&mut scratch.value);
        text.clear();
        for part in &self.0 {
            push_clean(part.text(|_| b"", scratch), &mut text);
        }
        if fits(&text) {
            write(trim(&text));
        }
        scratch.value = text;
    }
}

impl Part {
    /// What it stands for; `group` finds what a group of the action's own pattern captured.
    fn text<'s>(&'s self, group: impl FnOnce(usize) -> &'s [u8], scratch: &'s Scratch) -> &'s [u8] {
        match self {
            Self::Text(literal) => literal,
            Self::Slot(slot) => scratch.slot(*slot),
            Self::Group(number) => group(*number),
        }
    }
}

/// Whether a value stayed below the cap.
fn fits(value: &[u8]) -> bool {
    value.len() < VALUE_BYTES_MAX
}

/// Appends what may stand in a value: no line end, and no other control character, gets through.
fn push_clean(text: &[u8], out: &mut Vec<u8>) {
    let room = VALUE_BYTES_MAX.saturating_sub(out.len());
    out.extend(text.iter().take(room).map(|&b| if b.is_ascii_control() && b != b'\t' { b' ' } else { b }));
}
