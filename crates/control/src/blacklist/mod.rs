//! The blacklist that management pushes (R10): kept, audited, and put in force on every shard.
//!
//! ```text
//! api ─▶ write: check ─▶ what would be cut? ─▶ keep (synced) ─▶ in force on all shards ─▶ audit ─▶ answer
//! ```
//! A write is made as a whole or refused as a whole. The shards get a finished set, built here.

mod api;
mod audit;
mod store;
mod table;

pub use api::router;
pub use store::{Change, Journal, Memory, Store};
pub use table::{Entry, Table};

use audit::Audit;
use serde::Serialize;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telemetry::{Telemetry, node};
use wire::{Prefix, PrefixSet};

/// What some sources have on the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// Registrations.
    pub registrations: u64,
    /// Calls and sessions of these.
    pub calls: u64,
    /// Connections, registered or not.
    pub connections: u64,
}

/// The data plane, as far as the blacklist needs it.
pub trait Enforcer: Send + Sync {
    /// Puts a set in force; whether every shard has it.
    fn enforce(&self, set: &Arc<PrefixSet>) -> bool;
    /// What the sources in a set have; `None` if a shard did not say in time.
    fn holdings(&self, set: &Arc<PrefixSet>) -> Option<Cut>;
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Puts entries in, or in place of older ones.
    Add(Vec<(Prefix, Entry)>),
    /// Takes entries out; those that are not there are no fault.
    Remove(Vec<Prefix>),
    /// Puts these in place of all there are.
    Replace(Vec<(Prefix, Entry)>),
}

/// Who orders, and how sure they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consent {
    /// For the audit log.
    pub by: Box<str>,
    /// So much may be cut; unset: `blacklist.confirm_above`.
    pub confirm: Option<u64>,
    /// Only says what would happen.
    pub preview: bool,
}

/// What a write did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Nothing was changed: these are the figures of what would be.
    pub preview: bool,
    /// Prefixes that were not there before.
    pub added: usize,
    /// Prefixes that were there and have a new reason or end.
    pub changed: usize,
    /// Prefixes that are gone.
    pub removed: usize,
    /// Prefixes on the list after it.
    pub count: usize,
    /// What it cuts; unset if a shard was too busy to count.
    pub cut: Option<Cut>,
    /// Whether every shard has the list in force; one that has not takes it as soon as it comes to it.
    pub in_force: bool,
    /// Whether the change survives a restart.
    pub durable: bool,
}

/// Why a write was refused; nothing was changed.
#[derive(Debug)]
pub enum Refusal {
    /// More prefixes than `blacklist.prefixes_max`.
    Full {
        /// What the list would hold.
        count: usize,
        /// What it may.
        max: usize,
    },
    /// It would cut more than was confirmed.
    Unconfirmed {
        /// What it would cut.
        cut: Cut,
        /// What may be.
        confirmed: u64,
    },
    /// A shard is too busy to say what would be cut.
    Uncounted,
    /// It could not be made safe.
    Store(io::Error),
}

/// The blacklist of a node.
pub struct Blacklist {
    inner: Mutex<Inner>,
    telemetry: Arc<Telemetry>,
    prefixes_max: usize,
    confirm_above: u64,
}

struct Inner {
    table: Table,
    store: Box<dyn Store>,
    audit: Audit,
    enforcer: Option<Box<dyn Enforcer>>,
}

/// How often the list is searched for entries that have ended.
const EXPIRY_LOOK: Duration = Duration::from_millis(250);

impl core::fmt::Debug for Blacklist {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Blacklist").field("count", &self.lock().table.len()).finish_non_exhaustive()
    }
}

impl Blacklist {
    /// Reads the list back from `directory`; without one it is forgotten with the process.
    ///
    /// # Errors
    /// If it cannot be read, or another process has it.
    pub fn open(
        directory: Option<&Path>,
        config: &config::Blacklist,
        telemetry: Arc<Telemetry>,
    ) -> io::Result<Arc<Self>> {
        let store: Box<dyn Store> = match directory {
            Some(directory) => Box::new(Journal::open(directory)?),
            None => Box::new(Memory),
        };
        Self::with_store(store, Audit::open(directory)?, config, telemetry)
    }

    fn with_store(
        mut store: Box<dyn Store>,
        audit: Audit,
        config: &config::Blacklist,
        telemetry: Arc<Telemetry>,
    ) -> io::Result<Arc<Self>> {
        let mut table = store.load()?;
        table.expire(now());
        let blacklist = Self {
            inner: Mutex::new(Inner { table, store, audit, enforcer: None }),
            telemetry,
            prefixes_max: config.prefixes_max,
            confirm_above: config.confirm_above,
        };
        blacklist.note_count(&blacklist.lock());
        Ok(Arc::new(blacklist))
    }

    /// The list as the data plane takes it.
    #[must_use]
    pub fn set(&self) -> Arc<PrefixSet> {
        Arc::new(self.lock().table.set())
    }

    /// From here on, changes reach the data plane, and entries end when their time is up.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn attach(self: &Arc<Self>, enforcer: Box<dyn Enforcer>) -> io::Result<()> {
        let mut inner = self.lock();
        inner.enforcer = Some(enforcer);
        inner.enforce();
        drop(inner);
        let list = Arc::downgrade(self);
        let look = move || {
            while let Some(list) = list.upgrade() {
                list.expire(now());
                drop(list);
                std::thread::sleep(EXPIRY_LOOK);
            }
        };
        std::thread::Builder::new().name("blacklist".into()).spawn(look).map(drop)
    }

    /// Lets the data plane go.
    pub fn detach(&self) {
        self.lock().enforcer = None;
    }

    /// Carries out an order, or says why not.
    ///
    /// # Errors
    /// Nothing was changed then.
    pub fn write(&self, order: Order, consent: &Consent) -> Result<Outcome, Refusal> {
        let result = self.try_write(order, consent);
        let cell = match &result {
            Ok(outcome) if outcome.preview => return result,
            Ok(_) => 0,
            Err(Refusal::Store(_)) => 2,
            Err(_) => 1,
        };
        // The lock was given back; a lost count would be worse than a wait.
        let _one_writer = self.lock();
        if let Some(cell) = self.telemetry.node.row(&node::BLACKLIST_WRITES).get(cell) {
            cell.add(1);
        }
        result
    }

    fn try_write(&self, order: Order, consent: &Consent) -> Result<Outcome, Refusal> {
        let mut inner = self.lock();
        let mut plan = inner.plan(order);
        let (count, max) = (plan.outcome.count, self.prefixes_max);
        if count > max && plan.outcome.added > 0 {
            return Err(Refusal::Full { count, max });
        }
        plan.outcome.preview = consent.preview;
        plan.outcome.durable = inner.store.is_durable();
        plan.outcome.cut = match &inner.enforcer {
            Some(enforcer) if !plan.barred.is_empty() => enforcer.holdings(&plan.barred),
            _ => Some(Cut::default()),
        };
        if consent.preview {
            return match plan.outcome.cut {
                Some(_) => Ok(plan.outcome),
                None => Err(Refusal::Uncounted),
            };
        }
        let confirmed = consent.confirm.unwrap_or(self.confirm_above);
        match plan.outcome.cut {
            Some(cut) if cut.registrations.max(cut.connections) > confirmed => {
                return Err(Refusal::Unconfirmed { cut, confirmed });
            }
            None if consent.confirm.is_none() => return Err(Refusal::Uncounted),
            _ => {}
        }
        let safe = match &plan.change {
            Some(change) => inner.store.keep(change, &plan.after),
            None => inner.store.replace(&plan.after),
        };
        if let Err(error) = safe {
            tracing::error!(%error, "the blacklist cannot be kept: the change is refused");
            return Err(Refusal::Store(error));
        }
        inner.table = plan.after;
        plan.outcome.in_force = inner.enforce();
        self.note_count(&inner);
        inner.audit.write(plan.action, &consent.by, &plan.sample, &plan.outcome);
        Ok(plan.outcome)
    }

    /// Takes out what has ended.
    fn expire(&self, now: u64) {
        let mut inner = self.lock();
        let ended = inner.table.expire(now);
        if ended > 0 {
            let in_force = inner.enforce();
            self.note_count(&inner);
            let (count, durable) = (inner.table.len(), inner.store.is_durable());
            let outcome = Outcome { removed: ended, count, in_force, durable, ..Outcome::default() };
            inner.audit.write("expire", "gatehouse", &[], &outcome);
        }
    }

    fn note_count(&self, inner: &Inner) {
        self.telemetry.node.set(&node::BLACKLIST_PREFIXES, [inner.table.len() as u64]);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write, worked out and not yet made.
struct Plan {
    action: &'static str,
    outcome: Outcome,
    after: Table,
    /// What the journal gets; unset: the whole list anew.
    change: Option<Change>,
    /// Whom it bars, whether or not something else barred them before.
    barred: Arc<PrefixSet>,
    /// Some of its prefixes, for the audit log.
    sample: Vec<Prefix>,
}

/// Prefixes that the audit log names.
const SAMPLE: usize = 20;

impl Inner {
    fn plan(&self, order: Order) -> Plan {
        let mut outcome = Outcome::default();
        let set = |entries: &[(Prefix, Entry)]| Arc::new(entries.iter().map(|(p, _)| *p).collect());
        let sample = |entries: &[(Prefix, Entry)]| entries.iter().map(|(p, _)| *p).take(SAMPLE).collect();
        let (action, after, change, barred, sample) = match order {
            Order::Add(entries) => {
                let (barred, sample) = (set(&entries), sample(&entries));
                let change = Change::Add(entries);
                ("add", self.changed(&change), Some(change), barred, sample)
            }
            Order::Remove(prefixes) => {
                let sample = prefixes.iter().copied().take(SAMPLE).collect();
                let change = Change::Remove(prefixes);
                ("remove", self.changed(&change), Some(change), Arc::default(), sample)
            }
            Order::Replace(entries) => {
                let mut after = Table::default();
                let (barred, sample) = (set(&entries), sample(&entries));
                for (prefix, entry) in entries {
                    after.put(prefix, entry);
                }
                ("replace", after, None, barred, sample)
            }
        };
        for (prefix, entry) in after.page(None) {
            match self.table.get(*prefix) {
                None => outcome.added += 1,
                Some(old) => outcome.changed += usize::from(old != entry),
            }
        }
        outcome.count = after.len();
        outcome.removed = (self.table.len() + outcome.added).saturating_sub(after.len());
        Plan { action, outcome, after, change, barred, sample }
    }

    fn changed(&self, change: &Change) -> Table {
        let mut after = self.table.clone();
        change.apply(&mut after);
        after
    }

    fn enforce(&self) -> bool {
        let set = Arc::new(self.table.set());
        self.enforcer.as_ref().is_some_and(|enforcer| enforcer.enforce(&set))
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
