//! Next hops in the core: pools, their members, how each of them does, and which one is next.
//!
//! ```text
//!   configuration ─┐
//!                  ├─▶ pools: members by rank ─▶ choose: lowest rank that is ready, by weight
//!   directory ─────┘              │
//!   (what DNS said)               ▼
//!                    health of each address: probes, failures, rests it asked for
//! ```
//! A pool is a list of the file, or a name that a Service-Route or route set named. Health belongs to
//! address and transport, whichever pools lead there. Nothing here waits: a name that is not known yet
//! has no members.

pub mod health;
mod names;
mod probe;

use crate::hops::health::{Failure, Health, Settings, State};
use config::Config;
use core::net::SocketAddr;
use core::time::Duration;
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use wire::{Directory, HostQuery, Instant, Transport};

pub(crate) use names::{host_of_route, host_of_uri};
pub use probe::Probe;
pub(crate) use probe::retry_after;

/// Where a next hop is and how it is reached.
pub type Place = (SocketAddr, Transport);

/// A next hop in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HopId(u16);

/// A pool. Slots are reused for names that come and go, hence the generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolId {
    slot: u16,
    generation: u16,
}

/// What one request may use, and what it has used up.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// Its pools, the second for when the first is used up.
    pools: [Option<PoolId>; 2],
    hops: SmallVec<[HopId; 4]>,
    attempts: u8,
}

impl Tried {
    /// Nothing tried yet of this pool.
    #[must_use]
    pub fn of(pool: PoolId) -> Self {
        Self { pools: [Some(pool), None], hops: SmallVec::new(), attempts: 0 }
    }

    /// Whether anything else may be tried at all.
    #[must_use]
    pub fn has_pool(&self) -> bool {
        self.pools.iter().any(Option::is_some)
    }

    /// Puts a pool before those it has.
    pub(crate) fn prefer(&mut self, pool: PoolId) {
        self.pools = [Some(pool), self.pools[0]];
    }
}

#[derive(Debug)]
struct Hop {
    place: Place,
    health: Health,
    /// Pools that lead here.
    uses: u32,
    /// When it is probed next.
    probe_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    rank: u32,
    hop: HopId,
    weight: u64,
}

#[derive(Debug)]
struct Pool {
    name: Box<str>,
    generation: u16,
    /// Made from the file, and not from a name that was learnt.
    configured: bool,
    used: bool,
    /// By rank.
    members: Vec<Member>,
}

/// A member as the file has it: host, priority, weight.
type Listed = (HostQuery, u16, u16);

/// How a next hop of the file does, for those who look at the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopStatus {
    /// The pool; `next_hops` for the plain list.
    pub pool: Box<str>,
    /// Where it is.
    pub place: Place,
    /// How it does.
    pub state: State,
}

/// All next hops of a shard.
#[derive(Debug)]
pub(crate) struct Hops {
    table: Vec<Hop>,
    places: HashMap<Place, HopId, ahash::RandomState>,
    pools: Vec<Pool>,
    by_name: BTreeMap<Box<str>, u16>,
    /// Hosts of routes, each with the pool it leads to.
    hosts: BTreeMap<HostQuery, PoolId>,
    initial: PoolId,
    emergency: PoolId,
    directory: Arc<Directory>,
    settings: Settings,
    attempts_max: u8,
    /// Those outside all pools that failed lately, until when.
    strangers: HashMap<SocketAddr, Instant, ahash::RandomState>,
    /// UDP next hops that took no connection, until when.
    without_tcp: HashMap<SocketAddr, Instant, ahash::RandomState>,
    pub(crate) armed: Option<Instant>,
    /// Names that were asked for, and when.
    asked: HashMap<HostQuery, Instant, ahash::RandomState>,
    names_max: usize,
}

/// The name of the pool that `core.next_hops` makes.
const PLAIN_LIST: &str = "next_hops";
/// Next hops in all pools together.
const HOPS_MAX: usize = 16_384;
/// What is remembered of addresses outside the table.
const STRANGERS_MAX: usize = 1_024;

impl Hops {
    /// From the configuration; all of them count as up.
    #[must_use]
    pub(crate) fn new(config: &Config, seed: [u64; 4]) -> Self {
        let hasher = || ahash::RandomState::with_seeds(seed[0], seed[1], seed[2], seed[3]);
        let nowhere = PoolId { slot: 0, generation: 0 };
        let mut hops = Self {
            table: Vec::new(),
            places: HashMap::with_hasher(hasher()),
            pools: Vec::new(),
            by_name: BTreeMap::new(),
            hosts: BTreeMap::new(),
            initial: nowhere,
            emergency: nowhere,
            directory: Arc::default(),
            settings: Settings::of(&config.core),
            attempts_max: 0,
            strangers: HashMap::with_hasher(hasher()),
            without_tcp: HashMap::with_hasher(hasher()),
            armed: None,
            asked: HashMap::with_hasher(hasher()),
            names_max: 0,
        };
        hops.configure(config);
        hops
    }

    /// The configuration was replaced; what is known of a next hop that stays is kept.
    pub(crate) fn configure(&mut self, config: &Config) {
        let core = &config.core;
        self.settings = Settings::of(core);
        self.attempts_max = core.attempts_max;
        self.names_max = config.dns.names_max;
        if self.settings.probe.is_none() {
            for hop in &mut self.table {
                hop.probe_at = None;
                hop.health.forget_probes();
            }
        }
        let plain = core.next_hops.iter().zip(0u16..).map(|(hop, at)| {
            let (ip, port) = (hop.address.ip().to_string(), hop.address.port());
            (HostQuery::new(&ip, Some(port), Some(hop.transport), false), at, 1)
        });
        let mut lists: Vec<(&str, Vec<Listed>)> =
            vec![(PLAIN_LIST, plain.filter_map(|(q, p, w)| Some((q?, p, w))).collect())];
        for pool in &core.pools {
            let members = pool.members.iter().map(|m| (m.uri.clone(), m.priority, m.weight));
            lists.push((&pool.name, members.collect()));
        }
        for pool in &mut self.pools {
            (pool.used, pool.configured) = (false, false);
        }
        let directory = Arc::clone(&self.directory);
        for (name, list) in lists {
            let members = self.members_of(&list, &directory);
            let id = self.pool_named(name);
            let pool = &mut self.pools[usize::from(id.slot)];
            (pool.used, pool.configured, pool.members) = (true, true, members);
        }
        self.initial = self.pool_named(if core.pool.is_empty() { PLAIN_LIST } else { &core.pool });
        let emergency = &*config.emergency.pool;
        self.emergency = if emergency.is_empty() { self.initial } else { self.pool_named(emergency) };
        self.learn_names(&directory);
        self.sweep();
    }

    /// DNS says something else.
    pub(crate) fn resolved(&mut self, directory: Arc<Directory>, config: &Config) {
        self.directory = directory;
        self.configure(config);
    }

    /// Every name of the directory is a pool of its own: routes may name it.
    fn learn_names(&mut self, directory: &Directory) {
        self.hosts.clear();
        for query in directory.names() {
            let members = self.members_of(&[(query.clone(), 0, 1)], directory);
            let id = self.pool_named(&query.to_string());
            let pool = &mut self.pools[usize::from(id.slot)];
            (pool.used, pool.members) = (true, members);
            self.hosts.insert(query.clone(), id);
        }
    }

    fn pool_named(&mut self, name: &str) -> PoolId {
        if let Some(&slot) = self.by_name.get(name) {
            return PoolId { slot, generation: self.pools[usize::from(slot)].generation };
        }
        let free = self.pools.iter().position(|p| p.name.is_empty());
        let at = free.unwrap_or(self.pools.len());
        let Ok(slot) = u16::try_from(at) else {
            return self.initial; // names_max keeps the table far below this
        };
        let generation = self.pools.get(at).map_or(0, |p| p.generation.wrapping_add(1));
        let pool = Pool { name: name.into(), generation, configured: false, used: true, members: Vec::new() };
        match self.pools.get_mut(at) {
            Some(place) => *place = pool,
            None => self.pools.push(pool),
        }
        self.by_name.insert(name.into(), slot);
        PoolId { slot, generation }
    }

    fn members_of(&mut self, list: &[Listed], directory: &Directory) -> Vec<Member> {
        let mut members: Vec<Member> = Vec::new();
        for (query, priority, weight) in list {
            let literal = query.literal().map(|(address, transport)| wire::Located {
                rank: 0,
                address,
                transport,
                weight: 1,
            });
            for place in literal.iter().chain(directory.places(query)) {
                let rank = u32::from(*priority) << 16 | u32::from(place.rank);
                let weight = u64::from(*weight) * u64::from(place.weight);
                let Some(hop) = self.hop_at((place.address, place.transport)) else { continue };
                if !members.iter().any(|m| m.hop == hop) {
                    members.push(Member { rank, hop, weight });
                }
            }
        }
        members.sort_by_key(|m| m.rank);
        members
    }

    fn hop_at(&mut self, place: Place) -> Option<HopId> {
        if let Some(&id) = self.places.get(&place) {
            return Some(id);
        }
        let hop = Hop { place, health: Health::default(), uses: 0, probe_at: None };
        let free = self.table.iter().position(|h| h.uses == 0 && !self.places.contains_key(&h.place));
        let at = free.unwrap_or(self.table.len());
        let id = HopId(u16::try_from(at).ok().filter(|_| at < HOPS_MAX)?);
        match self.table.get_mut(at) {
            Some(slot) => *slot = hop,
            None => self.table.push(hop),
        }
        self.places.insert(place, id);
        Some(id)
    }

    /// Gives free what no pool leads to any longer.
    fn sweep(&mut self) {
        for pool in self.pools.iter_mut().filter(|p| !p.used) {
            self.by_name.remove(&pool.name);
            pool.name = Box::default();
            pool.members.clear();
        }
        self.table.iter_mut().for_each(|h| h.uses = 0);
        for member in self.pools.iter().flat_map(|p| &p.members) {
            if let Some(hop) = self.table.get_mut(usize::from(member.hop.0)) {
                hop.uses += 1;
            }
        }
        for hop in self.table.iter_mut().filter(|h| h.uses == 0) {
            self.places.remove(&hop.place);
            hop.probe_at = None;
        }
    }

    /// The pool of initial requests.
    #[must_use]
    pub(crate) const fn initial(&self) -> PoolId {
        self.initial
    }

    /// The pool of emergency calls.
    #[must_use]
    pub(crate) const fn emergency(&self) -> PoolId {
        self.emergency
    }

    fn members(&self, id: PoolId) -> &[Member] {
        let pool = self.pools.get(usize::from(id.slot));
        pool.filter(|p| p.generation == id.generation).map_or(&[], |p| &p.members)
    }

    fn hop(&self, id: HopId) -> Option<&Hop> {
        self.table.get(usize::from(id.0))
    }

    fn hop_mut(&mut self, place: Place) -> Option<&mut Hop> {
        let id = *self.places.get(&place)?;
        self.table.get_mut(usize::from(id.0))
    }

    /// Takes the next hop for a request: of the lowest rank that has a ready one that was not tried, by
    /// weight (RFC 2782). If none is ready, the one whose rest after a failure ends first: it may well
    /// live. One that probes found down, or that asked for its rest, is left alone.
    ///
    /// `draw` is 64 random bits; `reachable` says whether we have a socket for a place.
    pub(crate) fn choose(
        &self,
        tried: &mut Tried,
        draw: u64,
        now: Instant,
        reachable: impl Fn(Place) -> bool,
    ) -> Option<Place> {
        if tried.attempts >= self.attempts_max {
            return None;
        }
        let found = {
            let hops = &tried.hops;
            let open = |m: &Member| {
                let hop = self.hop(m.hop)?;
                (!hops.contains(&m.hop) && reachable(hop.place)).then_some((*m, hop))
            };
            let pools = || tried.pools.iter().flatten().map(|pool| self.members(*pool));
            let ready = |members: &[Member]| {
                let mut ready: SmallVec<[Member; 8]> = SmallVec::new();
                for (member, _) in members.iter().filter_map(open).filter(|(_, h)| h.health.is_ready(now)) {
                    if ready.first().is_some_and(|first| first.rank < member.rank) {
                        break;
                    }
                    ready.push(member);
                }
                by_weight(&ready, draw)
            };
            let least_bad = |members: &[Member]| {
                let resting = members.iter().filter_map(open);
                let until = resting.filter_map(|(m, h)| Some((h.health.rests_after_failure()?, m)));
                until.min_by_key(|(until, m)| (*until, m.rank)).map(|(_, m)| m.hop)
            };
            pools().find_map(ready).or_else(|| pools().find_map(least_bad))
        }?;
        tried.hops.push(found);
        tried.attempts += 1;
        Some(self.hop(found)?.place)
    }

    /// Notes that a request goes to this place, which no pool chose for it.
    pub(crate) fn goes_to(&self, tried: &mut Tried, place: Place) {
        tried.attempts = tried.attempts.saturating_add(1);
        if let Some(id) = self.places.get(&place) {
            tried.hops.push(*id);
        }
    }

    /// Whether this place is a member of one of the request's pools, and not tried yet.
    #[must_use]
    pub(crate) fn may_follow_to(&self, tried: &Tried, place: Place) -> bool {
        let Some(id) = self.places.get(&place) else { return false };
        let pools = tried.pools.iter().flatten();
        tried.attempts < self.attempts_max
            && !tried.hops.contains(id)
            && pools.flat_map(|p| self.members(*p)).any(|m| m.hop == *id)
    }

    /// The best place a name leads to.
    #[must_use]
    pub(crate) fn best_of(&self, query: &HostQuery, now: Instant) -> Option<Place> {
        let members = self.members(self.pool_of(query)?);
        let ready = members.iter().filter_map(|m| self.hop(m.hop)).find(|h| h.health.is_ready(now));
        ready.map(|hop| hop.place)
    }

    /// How many are left that could be tried with some hope.
    #[must_use]
    pub(crate) fn others(&self, tried: &Tried, now: Instant) -> u32 {
        let pools = tried.pools.iter().flatten();
        let ready = |m: &&Member| {
            !tried.hops.contains(&m.hop) && self.hop(m.hop).is_some_and(|h| h.health.is_ready(now))
        };
        let count = pools.flat_map(|p| self.members(*p)).filter(ready).count();
        (count as u32).min(u32::from(self.attempts_max.saturating_sub(tried.attempts)))
    }

    /// How long until one of the request's next hops may be used again, if none may now; and whether it
    /// is certain that nobody else's request would be served either: all are down, or asked for a rest.
    #[must_use]
    pub(crate) fn all_rest_for(&self, tried: &Tried, now: Instant) -> Option<(Duration, bool)> {
        let members = tried.pools.iter().flatten().flat_map(|p| self.members(*p));
        let hops: SmallVec<[&Hop; 8]> = members.filter_map(|m| self.hop(m.hop)).collect();
        if hops.iter().any(|hop| hop.health.is_ready(now)) {
            return None;
        }
        let certain = hops.iter().all(|hop| hop.health.rests_after_failure().is_none());
        let until = |hop: &&Hop| hop.health.rests_until().unwrap_or(now + self.settings.rest);
        let soonest = hops.iter().map(until).min()?;
        Some((soonest.since(now), certain))
    }

    /// How the hop with this address is reached, if there is one.
    #[must_use]
    pub(crate) fn transport_of(&self, peer: SocketAddr) -> Option<Transport> {
        [Transport::Udp, Transport::Tcp, Transport::Tls]
            .into_iter()
            .find(|transport| self.places.contains_key(&(peer, *transport)))
    }

    /// Whether it makes sense to send there rather than elsewhere.
    #[must_use]
    pub(crate) fn is_ready(&self, place: Place, now: Instant) -> bool {
        match self.places.get(&place).and_then(|id| self.hop(*id)) {
            Some(hop) => hop.health.is_ready(now),
            None => self.strangers.get(&place.0).is_none_or(|until| *until <= now),
        }
    }

    /// Something came from there.
    pub(crate) fn heard(&mut self, place: Place, now: Instant) {
        if let Some(hop) = self.hop_mut(place) {
            hop.health.on_heard(now);
        } else if !self.strangers.is_empty() {
            self.strangers.remove(&place.0);
        }
    }

    /// Whether anything came from there since `then`.
    #[must_use]
    pub(crate) fn heard_since(&self, place: Place, then: Instant) -> bool {
        let hop = self.places.get(&place).and_then(|id| self.hop(*id));
        hop.is_some_and(|hop| hop.health.heard_since(then))
    }

    /// A request failed there: others go first for a while.
    pub(crate) fn failed(&mut self, place: Place, why: Failure, now: Instant) {
        let settings = self.settings;
        match self.hop_mut(place) {
            Some(hop) => {
                hop.health.on_failure(why, now, &settings);
                if settings.probe.is_some() && hop.probe_at.is_some() {
                    // Whether it lives is asked at once.
                    hop.probe_at = Some(now);
                }
            }
            None => remember(&mut self.strangers, place.0, why.until(now, &settings), now),
        }
    }

    /// Whether a long message should be tried over a connection there.
    #[must_use]
    pub(crate) fn takes_tcp(&self, peer: SocketAddr, now: Instant) -> bool {
        self.without_tcp.get(&peer).is_none_or(|until| *until <= now)
    }

    /// It took no connection.
    pub(crate) fn takes_no_tcp(&mut self, peer: SocketAddr, now: Instant) {
        remember(&mut self.without_tcp, peer, now + self.settings.rest, now);
    }

    /// How the next hops of the file do.
    pub(crate) fn status(&self, now: Instant) -> Vec<HopStatus> {
        let configured = self.pools.iter().filter(|p| p.configured && p.used);
        let rows = configured.flat_map(|pool| pool.members.iter().map(move |m| (pool, m)));
        rows.filter_map(|(pool, member)| {
            let hop = self.hop(member.hop)?;
            Some(HopStatus { pool: pool.name.clone(), place: hop.place, state: hop.health.state(now) })
        })
        .collect()
    }
}

/// RFC 2782: those of weight 0 have a small chance beside others.
fn by_weight(members: &[Member], draw: u64) -> Option<HopId> {
    let weight = |m: &Member| m.weight.saturating_mul(ZERO_SHARE).max(1);
    let sum: u64 = members.iter().map(weight).fold(0, u64::saturating_add);
    let mut at = draw % sum.max(1);
    for member in members {
        match at.checked_sub(weight(member)) {
            Some(rest) => at = rest,
            None => return Some(member.hop),
        }
    }
    members.last().map(|m| m.hop)
}

/// One part in a thousand of what weight 1 gets.
const ZERO_SHARE: u64 = 1_000;

/// Puts a mark in a table that forgets what has passed before it forgets to take new ones.
fn remember(
    table: &mut HashMap<SocketAddr, Instant, ahash::RandomState>,
    key: SocketAddr,
    until: Instant,
    now: Instant,
) {
    if table.len() >= STRANGERS_MAX {
        table.retain(|_, until| *until > now);
    }
    if table.len() < STRANGERS_MAX {
        table.insert(key, until);
    }
}

#[cfg(test)]
mod tests;
