//! Header rules: what the operator wants changed in messages, after the edge's own edits.
//!
//! ```text
//! edge's edits ─▶ head ─▶ rule 1 ─▶ rule 2 ─▶ … ─▶ head' ─▶ sent
//!                          └ reads what rule 1 left
//! ```
//! Rules read the message as it would leave, so they see nothing of what the edge hides, and each of
//! them sees what those before it did. The body is not looked at and not touched. Whatever a rule
//! writes is a single line by construction, and each changed head is read again before it counts: a
//! rule set cannot make a message that is none. Without rules a message costs one comparison.

mod act;
mod apply;
mod compile;
#[doc(hidden)]
pub mod fuzz;

use act::Effect;
use compile::Rule;
use core::net::IpAddr;
use core::ops::Range;
use sip::{Index, Limits, Message};
use wire::{EditList, Realm};

/// The rules of a shard, compiled, with their counters and working room.
#[derive(Debug, Default)]
pub struct Rules {
    list: Box<[Rule]>,
    failures: u64,
    room: Room,
}

/// What a rule may ask about a message beside its text.
#[derive(Clone, Copy, Debug)]
pub struct Passing<'a> {
    /// The side it came from.
    pub from: Realm,
    /// Who sent it.
    pub source: IpAddr,
    /// The access point of the UE concerned, if it has a name.
    pub access_point: Option<&'a str>,
}

/// What became of a message that went through the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// No rule changed it.
    Unchanged,
    /// It was changed in place.
    Changed,
    /// The rule with this ordinal refuses the request; it was left as it was.
    Rejected(Rejection),
    /// It cannot be read: nothing may be sent that the rules have not seen.
    Unreadable,
}

/// Which action of which rule refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    rule: usize,
    action: usize,
}

/// What happened on the way, for the dry run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// All conditions of the rule hold.
    Matched {
        /// Its ordinal.
        rule: usize,
        /// Its name.
        name: &'a str,
    },
    /// The action changed the message.
    Applied {
        /// Its ordinal in the rule.
        action: usize,
    },
    /// The action found nothing to change.
    Idle {
        /// Its ordinal in the rule.
        action: usize,
    },
    /// The change would have made the head larger than any may be, and was left out.
    Failed {
        /// Its ordinal in the rule.
        action: usize,
    },
}

/// Working room, kept warm.
#[derive(Debug, Default)]
struct Room {
    head: Vec<u8>,
    next: Vec<u8>,
    index: Index,
    edits: EditList,
    scratch: act::Scratch,
}

/// Where in the list we are.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    rule: usize,
    /// Next action of the rule once its conditions hold.
    action: Option<usize>,
}

/// How far one step went.
enum Advance {
    /// `next` holds a changed head.
    Changed,
    /// All rules are through.
    Done,
    Rejected(Rejection),
}

impl Rules {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How often each rule matched since the start, by name.
    pub fn matches(&self) -> impl Iterator<Item = (&str, u64)> {
        self.list.iter().map(|rule| (&*rule.name, rule.matches))
    }

    /// Changes that were left out because the head would have become too large.
    #[must_use]
    pub const fn failures(&self) -> u64 {
        self.failures
    }

    /// Status code and reason phrase (empty: the usual one) of a refusal.
    #[must_use]
    pub fn answer(&self, rejection: Rejection) -> (u16, &str) {
        let act = self.list.get(rejection.rule).and_then(|rule| rule.then.get(rejection.action));
        match act.map(|act| &act.does) {
            Some(act::Does::Reject { status, reason }) => (*status, reason),
            _ => (403, ""),
        }
    }

    /// Takes the message at `bytes[start..]` through the rules.
    #[inline]
    pub fn pass(
        &mut self,
        passing: &Passing<'_>,
        limits: &Limits,
        bytes: &mut Vec<u8>,
        start: usize,
    ) -> Passed {
        match self.list.iter().any(|rule| rule.concerns(passing)) {
            true => self.pass_watched(passing, limits, bytes, start, &mut |_| {}),
            false => Passed::Unchanged,
        }
    }

    /// The same, telling `watch` what happens.
    pub fn pass_watched(
        &mut self,
        passing: &Passing<'_>,
        limits: &Limits,
        bytes: &mut Vec<u8>,
        start: usize,
        watch: &mut dyn FnMut(Step<'_>),
    ) -> Passed {
        let Some(head) = head_of(bytes, start) else {
            return Passed::Unreadable;
        };
        self.room.head.clear();
        self.room.head.extend_from_slice(&bytes[head.clone()]);
        let limits = with_slack(limits);
        let mut cursor = Cursor::default();
        let mut changed = false;
        loop {
            let Room { head, next, index, edits, scratch } = &mut self.room;
            let message = match sip::parse(head, &limits, index) {
                Ok(message) => message,
                // The head that the last action left cannot be read, or is too large.
                Err(_) if changed => {
                    core::mem::swap(head, next);
                    self.failures += 1;
                    let action = cursor.action.unwrap_or_default().saturating_sub(1);
                    watch(Step::Failed { action });
                    continue;
                }
                Err(_) => return Passed::Unreadable,
            };
            let mut walk = Walk { list: &mut self.list, cursor: &mut cursor, edits, scratch, next, watch };
            match walk.on(message, passing) {
                Advance::Changed => {
                    core::mem::swap(head, next);
                    changed = true;
                }
                Advance::Done => break,
                Advance::Rejected(rejection) => return Passed::Rejected(rejection),
            }
        }
        if !changed || self.room.head == bytes[head.clone()] {
            return Passed::Unchanged;
        }
        bytes.splice(head, self.room.head.iter().copied());
        Passed::Changed
    }
}

struct Walk<'r> {
    list: &'r mut [Rule],
    cursor: &'r mut Cursor,
    edits: &'r mut EditList,
    scratch: &'r mut act::Scratch,
    next: &'r mut Vec<u8>,
    watch: &'r mut dyn FnMut(Step<'_>),
}

impl Walk<'_> {
    /// Goes on from the cursor until something changes or all rules are through.
    fn on(&mut self, message: Message<'_>, passing: &Passing<'_>) -> Advance {
        while let Some(rule) = self.list.get_mut(self.cursor.rule) {
            let from = match self.cursor.action {
                Some(action) => action,
                None if rule.concerns(passing) && rule.holds(message, self.scratch) => {
                    rule.matches += 1;
                    (self.watch)(Step::Matched { rule: self.cursor.rule, name: &rule.name });
                    0
                }
                None => {
                    self.cursor.rule += 1;
                    continue;
                }
            };
            for (action, act) in rule.then.iter_mut().enumerate().skip(from) {
                self.edits.clear();
                match act.on(message, self.scratch, self.edits) {
                    Effect::Reject => {
                        return Advance::Rejected(Rejection { rule: self.cursor.rule, action });
                    }
                    Effect::Nothing => (self.watch)(Step::Idle { action }),
                    Effect::Edits => {
                        self.cursor.action = Some(action + 1);
                        self.next.clear();
                        // One action never edits the same bytes twice; were it so, nothing is changed.
                        if self.edits.gather(message.bytes(), self.next).is_ok() {
                            (self.watch)(Step::Applied { action });
                            return Advance::Changed;
                        }
                    }
                }
            }
            *self.cursor = Cursor { rule: self.cursor.rule + 1, action: None };
        }
        Advance::Done
    }
}

/// Where the head of the message at `bytes[start..]` lies, with its empty line.
fn head_of(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let rest = bytes.get(start..)?;
    let end = memchr::memmem::find(rest, b"\r\n\r\n")?;
    Some(start..start + end + 4)
}

/// What the edge itself adds to a message must not carry it past the rules: a UE could choose the size.
fn with_slack(limits: &Limits) -> Limits {
    Limits {
        head_bytes_max: limits.head_bytes_max.saturating_add(HEAD_BYTES_SLACK),
        headers_max: limits.headers_max.saturating_add(HEADERS_SLACK),
        ..*limits
    }
}

/// Routes and tokens of ours, and what the rules add.
const HEAD_BYTES_SLACK: usize = 16_384;
const HEADERS_SLACK: usize = 64;

#[cfg(test)]
mod tests;
