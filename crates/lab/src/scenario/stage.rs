//! What a flow script holds on to: the driver, and events that nobody has asked for yet.

use super::{Driver, Person};
use crate::node::Violation;
use crate::ue::{Command, UeEvent};
use core::time::Duration;
use std::collections::VecDeque;
use wire::Instant;

/// The stage on which flows run, one after the other.
pub struct Stage<'a> {
    driver: &'a mut dyn Driver,
    people: &'a [Person],
    heard: VecDeque<(usize, UeEvent)>,
    next_tag: u64,
}

/// Longer than a transaction may take: 64·T1 of RFC 3261 and some more.
const PATIENCE: Duration = Duration::from_secs(40);
/// Events that no flow ever asked for are dropped, oldest first.
const HEARD_MAX: usize = 1_000;

impl<'a> Stage<'a> {
    /// An empty stage.
    pub fn new(driver: &'a mut dyn Driver, people: &'a [Person]) -> Self {
        Self { driver, people, heard: VecDeque::new(), next_tag: 0 }
    }

    /// The time of the nodes' clock.
    pub fn now(&mut self) -> Instant {
        self.driver.now()
    }

    /// Every violation so far.
    pub fn violations(&mut self) -> Vec<Violation> {
        self.driver.violations()
    }

    /// The index of the person of this name.
    ///
    /// # Errors
    /// If nobody is called so.
    pub fn who(&self, name: &str) -> Result<usize, String> {
        let at = self.people.iter().position(|p| p.name == name);
        at.ok_or_else(|| format!("nobody is called {name}"))
    }

    /// The person with this index.
    ///
    /// # Panics
    /// If there is none; indices come from [`Self::who`].
    #[must_use]
    pub fn person(&self, who: usize) -> &'a Person {
        &self.people[who]
    }

    /// A tag that no earlier order had.
    pub fn tag(&mut self) -> u64 {
        self.next_tag += 1;
        self.next_tag
    }

    /// Gives an order.
    pub fn order(&mut self, who: usize, command: Command) {
        self.driver.command(who, command);
    }

    /// Waits until `who` reports what `pick` picks.
    ///
    /// # Errors
    /// If it does not come in time; says what came instead.
    pub fn expect<T>(
        &mut self,
        who: usize,
        what: &str,
        mut pick: impl FnMut(&UeEvent) -> Option<T>,
    ) -> Result<T, String> {
        let found = self.heard.iter().enumerate().find_map(|(i, (ue, event))| {
            let picked = (*ue == who).then(|| pick(event)).flatten()?;
            Some((i, picked))
        });
        if let Some((i, picked)) = found {
            self.heard.remove(i);
            return Ok(picked);
        }
        let deadline = self.driver.now() + PATIENCE;
        loop {
            let left = deadline.since(self.driver.now());
            let next = if left.is_zero() { None } else { self.driver.next_event(left) };
            let Some((ue, event)) = next else {
                return Err(format!(
                    "{} waited for {what} in vain{}",
                    self.people[who].name,
                    self.heard_of(who)
                ));
            };
            if ue == who
                && let Some(picked) = pick(&event)
            {
                return Ok(picked);
            }
            if let Some(failure) = failure(&event) {
                return Err(format!("{}: {failure}, while {what} was expected", self.people[ue].name));
            }
            self.heard.push_back((ue, event));
            if self.heard.len() > HEARD_MAX {
                self.heard.pop_front();
            }
        }
    }

    /// Drops what was heard so far: a flow begins with a clean slate.
    pub fn forget(&mut self) {
        self.heard.clear();
    }

    fn heard_of(&self, who: usize) -> String {
        let events: Vec<String> =
            self.heard.iter().filter(|(ue, _)| *ue == who).map(|(_, e)| format!("{e:?}")).collect();
        if events.is_empty() { String::new() } else { format!("; heard {}", events.join(", ")) }
    }
}

/// Events after which waiting makes no sense, unless they are what is waited for.
fn failure(event: &UeEvent) -> Option<String> {
    match event {
        UeEvent::RegistrationFailed { .. }
        | UeEvent::Refused { .. }
        | UeEvent::SendFailed { .. }
        | UeEvent::Disconnected => Some(format!("{event:?}")),
        UeEvent::Answered { status, .. } if *status >= 300 => Some(format!("{event:?}")),
        _ => None,
    }
}
