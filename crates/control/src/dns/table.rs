//! The names in use: what each leads to, and when it is to be asked for again.

use super::Found;
use config::{Config, Dns};
use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;
use wire::{Directory, HostQuery, Located};

/// How a lookup went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It leads somewhere.
    Good,
    /// There is nothing of that name, or nothing we can reach.
    Empty,
    /// Nobody could say.
    Failed,
}

#[derive(Debug)]
struct Entry {
    places: Vec<Located>,
    /// When it is asked for; `None` while that is under way.
    due_at: Option<Instant>,
    /// Since when it could not be renewed.
    stale_since: Option<Instant>,
    /// When a shard wanted it last; `None` for names of the file.
    wanted_at: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Table {
    entries: BTreeMap<HostQuery, Entry>,
    settings: Dns,
}

impl Table {
    pub(super) fn new(config: &Config) -> Self {
        let mut table = Self { entries: BTreeMap::new(), settings: config.dns.clone() };
        table.configure(config, Instant::now());
        table
    }

    /// The names of the file are in use as long as they stand there.
    pub(super) fn configure(&mut self, config: &Config, now: Instant) {
        self.settings = config.dns.clone();
        for entry in self.entries.values_mut() {
            // One that the file names no longer stays as if a shard had wanted it.
            entry.wanted_at.get_or_insert(now);
        }
        let members = config.core.pools.iter().flat_map(|pool| &pool.members);
        for query in members.map(|m| &m.uri).filter(|uri| uri.literal().is_none()) {
            let entry = self.entries.entry(query.clone()).or_insert_with(|| Entry::new(now, None));
            entry.wanted_at = None;
            // Other name servers, other answers.
            if entry.due_at.is_some() {
                entry.due_at = Some(now);
            }
        }
    }

    /// A shard uses this name. The one that was wanted longest ago makes room for it.
    pub(super) fn want(&mut self, query: HostQuery, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&query) {
            entry.wanted_at = entry.wanted_at.map(|_| now);
            return;
        }
        if self.entries.len() >= self.settings.names_max {
            let wanted = self.entries.iter().filter_map(|(q, e)| Some((e.wanted_at?, q)));
            let Some(oldest) = wanted.min().map(|(_, q)| q.clone()) else { return };
            self.entries.remove(&oldest);
        }
        self.entries.insert(query, Entry::new(now, Some(now)));
    }

    /// Takes a name that is to be asked for.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<HostQuery> {
        let due = |e: &Entry| e.due_at.is_some_and(|at| at <= now);
        let (query, entry) = self.entries.iter_mut().find(|(_, e)| due(e))?;
        entry.due_at = None;
        Some(query.clone())
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.entries.values().filter_map(|e| e.due_at).min()
    }

    pub(super) fn answered(&mut self, query: &HostQuery, found: Found, now: Instant) -> Outcome {
        let Some(entry) = self.entries.get_mut(query) else {
            return Outcome::Empty; // dropped meanwhile
        };
        let s = &self.settings;
        let retry = Duration::from_secs(s.retry_seconds);
        let outcome = match (found.places.is_empty(), found.failed) {
            (false, _) => Outcome::Good,
            (true, false) => Outcome::Empty,
            (true, true) => Outcome::Failed,
        };
        if outcome == Outcome::Good {
            let [min, max] = [s.ttl_seconds_min, s.ttl_seconds_max].map(|s| Duration::from_secs(s.into()));
            let ttl = found.ttl.clamp(min, max.max(min));
            // Half an answer is better than none, and asked for again soon.
            entry.due_at = Some(now + if found.failed { ttl.min(retry) } else { ttl });
            entry.stale_since = None;
            entry.places = found.places;
            return outcome;
        }
        entry.due_at = Some(now + retry);
        let since = *entry.stale_since.get_or_insert(now);
        if now.duration_since(since) >= Duration::from_secs(s.stale_seconds_max) {
            entry.places.clear();
        }
        outcome
    }

    pub(super) fn directory(&self) -> Directory {
        let mut directory = Directory::default();
        for (query, entry) in self.entries.iter().filter(|(_, e)| !e.places.is_empty()) {
            directory.set(query.clone(), entry.places.clone());
        }
        directory
    }

    /// Names that are fresh, stale, unknown.
    pub(super) fn counts(&self) -> [u64; 3] {
        let mut counts = [0; 3];
        for entry in self.entries.values() {
            let cell = match (entry.places.is_empty(), entry.stale_since) {
                (true, _) => 2,
                (false, Some(_)) => 1,
                (false, None) => 0,
            };
            counts[cell] += 1;
        }
        counts
    }
}

impl Entry {
    fn new(now: Instant, wanted_at: Option<Instant>) -> Self {
        Self { places: Vec::new(), due_at: Some(now), stale_since: None, wanted_at }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use config::{Pool, PoolMember};
    use wire::Transport;

    fn query(text: &str) -> HostQuery {
        text.parse().unwrap()
    }

    fn config(names: &[&str]) -> Config {
        let mut config = Config::default();
        let member = |name: &&str| PoolMember { uri: query(name), priority: 1, weight: 1 };
        config.core.pools = vec![Pool { name: "p".to_owned(), members: names.iter().map(member).collect() }];
        config.dns.stale_seconds_max = 100;
        config
    }

    fn good(ip: &str, ttl: u64) -> Found {
        let address = ip.parse().unwrap();
        let place = Located { rank: 0, address, transport: Transport::Udp, weight: 1 };
        Found { places: vec![place], ttl: Duration::from_secs(ttl), failed: false }
    }

    #[test]
    fn a_name_is_asked_for_again_when_its_time_is_over_within_the_limits() {
        let start = Instant::now();
        let mut table = Table::new(&config(&["sip:a.example", "sip:192.0.2.1"]));
        let a = query("sip:a.example");
        assert_eq!(table.take_due(start + Duration::from_secs(1)), Some(a.clone()), "addresses need no DNS");
        assert_eq!((table.take_due(start), table.next_due()), (None, None), "under way");
        let at = |seconds| start + Duration::from_secs(seconds);
        for (ttl, due) in [(60, 160), (1, 105), (1_000_000, 3_700)] {
            assert_eq!(table.answered(&a, good("192.0.2.7:5060", ttl), at(100)), Outcome::Good);
            assert_eq!(table.next_due(), Some(at(due)), "ttl {ttl}");
        }
        let half = Found { failed: true, ..good("192.0.2.7:5060", 60) };
        assert_eq!(table.answered(&a, half, at(100)), Outcome::Good);
        assert_eq!(table.next_due(), Some(at(110)));
        assert_eq!(table.counts(), [1, 0, 0]);
    }

    #[test]
    fn an_old_answer_is_used_until_it_is_too_old() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut table = Table::new(&config(&["sip:a.example"]));
        let a = query("sip:a.example");
        assert_eq!(table.answered(&a, Found::default(), at(0)), Outcome::Failed);
        assert_eq!(table.counts(), [0, 0, 1]);
        table.answered(&a, good("192.0.2.7:5060", 60), at(10));
        let empty = || Found { failed: false, ..Found::default() };
        for (found, outcome, seconds) in [
            (Found::default(), Outcome::Failed, 70),
            (empty(), Outcome::Empty, 80),
            (empty(), Outcome::Empty, 169),
        ] {
            assert_eq!(table.answered(&a, found, at(seconds)), outcome);
            assert_eq!(table.counts(), [0, 1, 0], "at {seconds}");
            assert_eq!(table.directory().places(&a).len(), 1);
            assert_eq!(table.next_due(), Some(at(seconds + 10)));
        }
        table.answered(&a, Found::default(), at(170));
        assert_eq!(table.counts(), [0, 0, 1]);
        assert!(table.directory().places(&a).is_empty());
        table.answered(&a, good("192.0.2.8:5060", 60), at(180));
        assert_eq!(table.counts(), [1, 0, 0]);
    }

    #[test]
    fn names_that_shards_want_are_capped_and_the_oldest_goes() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut config = config(&["sip:a.example"]);
        config.dns.names_max = 3;
        let mut table = Table::new(&config);
        for (n, name) in
            ["sip:b.example", "sip:c.example", "sip:b.example", "sip:d.example"].iter().enumerate()
        {
            table.want(query(name), at(n as u64));
        }
        let names: Vec<String> = table.entries.keys().map(|q| q.host().to_owned()).collect();
        assert_eq!(names, ["a.example", "b.example", "d.example"]);
        config.dns.names_max = 1;
        config.core.pools.clear();
        table.configure(&config, at(9));
        table.want(query("sip:e.example"), at(10));
        assert!(table.entries.contains_key(&query("sip:e.example")));
        assert_eq!(table.answered(&query("sip:zzz.example"), Found::default(), at(10)), Outcome::Empty);
    }
}
