//! The list itself: prefixes with reason, author and end.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;
use wire::{Prefix, PrefixSet};

/// What is known about one prefix; times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Why.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub reason: Box<str>,
    /// Who put it there.
    pub by: Box<str>,
    /// When it was put there.
    pub added_at: u64,
    /// When it ends, if it does by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// All entries, and in which order they end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    entries: BTreeMap<Prefix, Entry>,
    ends: BTreeSet<(u64, Prefix)>,
}

impl Table {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of exactly this prefix.
    #[must_use]
    pub fn get(&self, prefix: Prefix) -> Option<&Entry> {
        self.entries.get(&prefix)
    }

    /// Puts an entry in; whether the prefix was there already.
    pub fn put(&mut self, prefix: Prefix, entry: Entry) -> bool {
        if let Some(end) = entry.expires_at {
            self.ends.insert((end, prefix));
        }
        let end = entry.expires_at;
        let old = self.entries.insert(prefix, entry);
        if let Some(old_end) = old.as_ref().and_then(|old| old.expires_at).filter(|old| Some(*old) != end) {
            self.ends.remove(&(old_end, prefix));
        }
        old.is_some()
    }

    /// Takes an entry out; whether it was there.
    pub fn remove(&mut self, prefix: Prefix) -> bool {
        let old = self.entries.remove(&prefix);
        if let Some(end) = old.as_ref().and_then(|old| old.expires_at) {
            self.ends.remove(&(end, prefix));
        }
        old.is_some()
    }

    /// Takes out what has ended; how many that were.
    pub fn expire(&mut self, now: u64) -> usize {
        let before = self.len();
        while let Some((_, prefix)) = self.ends.first().copied().filter(|(end, _)| *end <= now) {
            self.remove(prefix);
        }
        before - self.len()
    }

    /// The entries behind `after`, in order.
    pub fn page(&self, after: Option<Prefix>) -> impl Iterator<Item = (&Prefix, &Entry)> {
        self.entries.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded))
    }

    /// The entries that bar `address`, widest first.
    pub fn covering(&self, address: IpAddr) -> impl Iterator<Item = (&Prefix, &Entry)> {
        let host = Prefix::from(address);
        (0..=host.length()).filter_map(move |length| self.entries.get_key_value(&host.shortened(length)))
    }

    /// What the data plane looks into.
    #[must_use]
    pub fn set(&self) -> PrefixSet {
        self.entries.keys().copied().collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entry(expires_at: Option<u64>) -> Entry {
        Entry { reason: "".into(), by: "test".into(), added_at: 1, expires_at }
    }

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn an_entry_ends_when_it_said_last() {
        let mut table = Table::default();
        let (a, b) = (prefix("10.0.0.0/8"), prefix("2001:db8::/32"));
        assert!(!table.put(a, entry(Some(10))));
        assert!(!table.put(b, entry(Some(20))));
        assert!(table.put(a, entry(Some(30))), "prolonged");
        assert_eq!(table.expire(20), 1);
        assert!(table.get(a).is_some() && table.get(b).is_none());
        assert!(table.put(a, entry(None)));
        assert_eq!(table.expire(u64::MAX), 0);
        assert!(table.put(a, entry(Some(40))) && table.remove(a));
        assert!(table.ends.is_empty() && table.is_empty());
    }

    #[test]
    fn an_address_is_found_in_every_range_around_it() {
        let mut table = Table::default();
        for text in ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "10.2.0.0/16", "2001:db8::/32"] {
            table.put(prefix(text), entry(None));
        }
        let covering = |address: &str| -> Vec<String> {
            table.covering(address.parse().unwrap()).map(|(p, _)| p.to_string()).collect()
        };
        assert_eq!(covering("10.1.2.3"), ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3"]);
        assert_eq!(covering("2001:db8::1"), ["2001:db8::/32"]);
        assert!(covering("11.0.0.1").is_empty());
    }
}
