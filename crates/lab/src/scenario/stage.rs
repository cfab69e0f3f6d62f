//! What a flow script holds on to: the driver, and events that nobody has asked for yet.

use super::{Driver, Person};
use crate::node::Violation;
use crate::ue::{Command, INCOMING_TAGS, UeEvent};
use core::time::Duration;
use std::collections::{BTreeSet, VecDeque};
use wire::Instant;

/// The stage on which flows run, one after the other.
pub struct Stage<'a> {
    driver: &'a mut dyn Driver,
    people: &'a [Person],
    heard: VecDeque<(usize, UeEvent)>,
    next_tag: u64,
    /// Tags below belong to earlier flows: what becomes of them fails no later one.
    first_tag: u64,
    /// Sessions that came in during this flow, by UE.
    incoming: BTreeSet<(usize, u64)>,
}

/// Longer than a transaction may take: 64·T1 of RFC 3261 and some more.
const PATIENCE: Duration = Duration::from_secs(40);
/// Events that no flow ever asked for are dropped, oldest first.
const HEARD_MAX: usize = 1_000;

impl<'a> Stage<'a> {
    /// An empty stage.
    pub fn new(driver: &'a mut dyn Driver, people: &'a [Person]) -> Self {
        Self { driver, people, heard: VecDeque::new(), next_tag: 0, first_tag: 0, incoming: BTreeSet::new() }
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
            if let UeEvent::Incoming { tag, .. } = event {
                self.incoming.insert((ue, tag));
            }
            if ue == who
                && let Some(picked) = pick(&event)
            {
                return Ok(picked);
            }
            if let Some(failure) = self.failure(ue, &event) {
                return Err(format!("{}: {failure}, while {what} was expected", self.people[ue].name));
            }
            self.heard.push_back((ue, event));
            if self.heard.len() > HEARD_MAX {
                self.heard.pop_front();
            }
        }
    }

    /// Begins a flow: what earlier ones left behind is not heard any more.
    pub fn begin(&mut self) {
        while self.driver.next_event(Duration::ZERO).is_some() {}
        self.heard.clear();
        self.incoming.clear();
        self.first_tag = self.next_tag + 1;
    }

    /// Why waiting makes no sense any more, unless this is what is waited for.
    fn failure(&self, ue: usize, event: &UeEvent) -> Option<String> {
        let tag = match event {
            UeEvent::RegistrationFailed { .. } | UeEvent::Disconnected => None,
            UeEvent::Refused { tag, .. } | UeEvent::SendFailed { tag, .. } => Some(*tag),
            UeEvent::Answered { tag, status } if *status >= 300 => Some(*tag),
            _ => return None,
        };
        let ours = match tag {
            Some(tag) if tag >= INCOMING_TAGS => self.incoming.contains(&(ue, tag)),
            Some(tag) => tag >= self.first_tag,
            None => true,
        };
        ours.then(|| format!("{event:?}"))
    }

    fn heard_of(&self, who: usize) -> String {
        let events: Vec<String> =
            self.heard.iter().filter(|(ue, _)| *ue == who).map(|(_, e)| format!("{e:?}")).collect();
        if events.is_empty() { String::new() } else { format!("; heard {}", events.join(", ")) }
    }
}
