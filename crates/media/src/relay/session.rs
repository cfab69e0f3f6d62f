//! Sessions and how they are found.

use super::classic::is_granted;
use super::rates::Paid;
use super::sizes::Sizes;
use super::timers::Armed;
use crate::command::{Matching, MediaTotals, MsrpSession, MsrpSide};
use ahash::RandomState;
use bytes::Bytes;
use msrp::{Uri, Usual, uri};
use std::collections::HashMap;
use wire::{Instant, MediaId, Realm, StreamId};

#[derive(Debug)]
pub(super) struct Session {
    pub(super) spec: MsrpSession,
    /// Length of the first URI of each remote path.
    hops: [u32; 2],
    sides: [SideState; 2],
    /// Connections that wait for a side of it to be known or connected.
    pub(super) waiters: Vec<StreamId>,
    pub(super) opened_at: Instant,
    pub(super) first_message_at: Option<Instant>,
    pub(super) paid: Paid,
    pub(super) last_activity_at: Instant,
    pub(super) armed: Armed,
    pub(super) totals: MediaTotals,
}

#[derive(Debug, Default)]
pub(super) struct SideState {
    /// The one connection bound to this side (R77).
    pub(super) conn: Option<StreamId>,
    /// `Action::Dial` was given and not answered yet.
    pub(super) is_dialling: bool,
    /// Since when a peer that connects by itself is away, after it had been there.
    pub(super) lost_at: Option<Instant>,
    /// How long the messages are whose chunks come from this side.
    pub(super) sizes: Sizes,
}

impl Session {
    pub(super) fn new(mut spec: MsrpSession, now: Instant) -> Self {
        pack(&mut spec);
        Self {
            hops: hops(&spec),
            spec,
            sides: [SideState::default(), SideState::default()],
            waiters: Vec::new(),
            opened_at: now,
            first_message_at: None,
            paid: Paid::default(),
            last_activity_at: now,
            armed: None,
            totals: MediaTotals::default(),
        }
    }

    pub(super) const fn side(&self, realm: Realm) -> &SideState {
        &self.sides[realm as usize]
    }

    pub(super) const fn side_mut(&mut self, realm: Realm) -> &mut SideState {
        &mut self.sides[realm as usize]
    }

    /// Whether both ends are known, so that messages can be addressed.
    pub(super) fn is_complete(&self) -> bool {
        [Realm::Access, Realm::Core].into_iter().all(|realm| {
            let side = self.spec.side(realm);
            side.remote_path.is_some() && !side.local_path.is_empty()
        })
    }

    /// Our URI towards a side; empty while unknown.
    pub(super) fn local(&self, realm: Realm) -> &[u8] {
        &self.spec.side(realm).local_path
    }

    /// The path of the peer of a side; empty while unknown.
    pub(super) fn remote(&self, realm: Realm) -> &[u8] {
        self.spec.side(realm).remote_path.as_deref().unwrap_or_default()
    }

    /// The first URI of that path: the hop next to us.
    pub(super) fn remote_hop(&self, realm: Realm) -> &[u8] {
        self.remote(realm).get(..self.hops[realm as usize] as usize).unwrap_or_default()
    }

    /// What requests and responses from a side bear, as a rule.
    pub(super) fn usual(&self, realm: Realm) -> Usual<'_> {
        match is_granted(self.spec.side(realm)) {
            // All sessions of a grant have the same URI of ours.
            true => Usual::default(),
            false => Usual { to: self.local(realm), from: self.remote_hop(realm) },
        }
    }

    /// Takes over what is known now; returns what was known before.
    fn replace(&mut self, mut spec: MsrpSession) -> MsrpSession {
        pack(&mut spec);
        self.hops = hops(&spec);
        core::mem::replace(&mut self.spec, spec)
    }

    pub(super) const fn add_bytes(&mut self, from: Realm, bytes: u64, now: Instant) {
        self.last_activity_at = now;
        match from {
            Realm::Access => self.totals.access_bytes += bytes,
            Realm::Core => self.totals.core_bytes += bytes,
        }
    }

    pub(super) fn add_message(&mut self, from: Realm) {
        self.first_message_at = self.first_message_at.or(Some(self.last_activity_at));
        match from {
            Realm::Access => self.totals.access_messages += 1,
            Realm::Core => self.totals.core_messages += 1,
        }
    }
}

fn hops(spec: &MsrpSession) -> [u32; 2] {
    SIDES.map(|realm| uri::first(spec.side(realm).remote_path.as_deref().unwrap_or_default()).len() as u32)
}

/// Puts the paths of a session, which stay as long as it does, into one allocation of their size: as they
/// come, each is a slice of a larger one.
fn pack(spec: &mut MsrpSession) {
    let paths = |spec: &MsrpSession| {
        [&spec.access, &spec.core]
            .map(|side| (side.local_path.len(), side.remote_path.as_ref().map(Bytes::len)))
    };
    let lengths = paths(spec);
    let mut text =
        Vec::with_capacity(lengths.iter().map(|(local, remote)| local + remote.unwrap_or(0)).sum());
    for side in [&spec.access, &spec.core] {
        text.extend_from_slice(&side.local_path);
        text.extend_from_slice(side.remote_path.as_deref().unwrap_or_default());
    }
    let mut text = Bytes::from(text);
    for (side, (local, remote)) in [&mut spec.access, &mut spec.core].into_iter().zip(lengths) {
        side.local_path = text.split_to(local);
        side.remote_path = remote.map(|remote| text.split_to(remote));
    }
}

/// What a message's paths lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This session.
    Session(MediaId),
    /// To-Path is of this session, whose peer on this side is not known yet.
    Pending(MediaId),
    /// None.
    Unknown,
    /// A path holds no URI.
    Malformed,
}

/// The table of sessions by the slots of the edge, which reuses them and so keeps them few, and the one of
/// their paths.
#[derive(Debug)]
pub(super) struct Sessions {
    slots: Vec<Option<Box<Session>>>,
    count: usize,
    /// `side, session-id of ours, 0, canonical URI of the peer` to session; `/` and session-id of the peer
    /// where only that counts; nothing of it while pending.
    by_paths: HashMap<Box<[u8]>, MediaId, RandomState>,
}

impl Sessions {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            count: 0,
            by_paths: HashMap::with_hasher(RandomState::with_seeds(seed, 7, 8, 9)),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Every session, in the order of the slots.
    pub(super) fn ids(&self) -> Vec<MediaId> {
        self.slots.iter().flatten().map(|session| session.spec.id).collect()
    }

    /// A number for a Message-ID that nobody outside can foresee.
    pub(super) fn hash(&self, message_id: &[u8]) -> u64 {
        self.by_paths.hasher().hash_one(message_id)
    }

    pub(super) fn of(&self, id: MediaId) -> Option<&Session> {
        let session = self.slots.get(id.slot as usize)?.as_deref()?;
        (session.spec.id == id).then_some(session)
    }

    pub(super) fn of_mut(&mut self, id: MediaId) -> Option<&mut Session> {
        let session = self.slots.get_mut(id.slot as usize)?.as_deref_mut()?;
        (session.spec.id == id).then_some(session)
    }

    /// Whether a session of another id already has these paths, or this place.
    pub(super) fn collides(&self, spec: &MsrpSession, key: &mut Vec<u8>) -> bool {
        let slot = spec.id.slot as usize;
        let there = self.slots.get(slot).and_then(|place| place.as_deref());
        if slot >= SLOTS_MAX || there.is_some_and(|session| session.spec.id != spec.id) {
            return true;
        }
        [Realm::Access, Realm::Core].into_iter().any(|realm| {
            let side = spec.side(realm);
            own_uris(side).any(|ours| {
                let known = side.remote_path.is_some() && write_key(realm, ours, side, key);
                known && self.by_paths.get(&key[..]).is_some_and(|&id| id != spec.id)
            })
        })
    }

    pub(super) fn insert(&mut self, session: Session, key: &mut Vec<u8>) {
        self.add_paths(&session.spec, key);
        let at = session.spec.id.slot as usize;
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, || None);
        }
        if let Some(place) = self.slots.get_mut(at) {
            let old = place.replace(Box::new(session));
            self.count += usize::from(old.is_none());
        }
    }

    pub(super) fn remove(&mut self, id: MediaId, key: &mut Vec<u8>) -> Option<Box<Session>> {
        let place = self.slots.get_mut(id.slot as usize)?;
        let session = place.take_if(|session| session.spec.id == id)?;
        self.count -= 1;
        self.remove_paths(&session.spec, key);
        Some(session)
    }

    /// Replaces what is known of a session; returns what was known before.
    pub(super) fn replace(&mut self, spec: &MsrpSession, key: &mut Vec<u8>) -> Option<MsrpSession> {
        let old = self.of_mut(spec.id)?.replace(spec.clone());
        self.remove_paths(&old, key);
        self.add_paths(spec, key);
        Some(old)
    }

    fn add_paths(&mut self, spec: &MsrpSession, key: &mut Vec<u8>) {
        for realm in [Realm::Access, Realm::Core] {
            let side = spec.side(realm);
            for ours in own_uris(side) {
                if write_key(realm, ours, side, key) {
                    self.by_paths.entry(key[..].into()).or_insert(spec.id);
                }
            }
        }
    }

    fn remove_paths(&mut self, spec: &MsrpSession, key: &mut Vec<u8>) {
        for realm in [Realm::Access, Realm::Core] {
            let side = spec.side(realm);
            for ours in own_uris(side) {
                let written = write_key(realm, ours, side, key);
                if written && self.by_paths.get(&key[..]) == Some(&spec.id) {
                    self.by_paths.remove(&key[..]);
                }
            }
        }
    }

    /// The session of a message that came in on `realm` with these paths; `last` is tried first.
    pub(super) fn find(
        &self,
        realm: Realm,
        to_path: &[u8],
        from_path: &[u8],
        last: Option<MediaId>,
        key: &mut Vec<u8>,
    ) -> Found {
        let (to, from) = (uri::first(to_path), uri::first(from_path));
        // Nearly every message of a connection belongs to the session of the one before, word for word.
        if let Some(id) = last
            && let Some(session) = self.of(id)
            && session.usual(realm) == (Usual { to, from })
        {
            return Found::Session(id);
        }
        let (Some(to), Some(from)) = (Uri::parse(to), Uri::parse(from)) else { return Found::Malformed };
        let Some(session_id) = to.session_id else { return Found::Unknown };
        begin_key(realm, session_id, key);
        let pending = key.len();
        from.write_canonical(key);
        if let Some(&id) = self.by_paths.get(&key[..]) {
            return Found::Session(id);
        }
        key.truncate(pending);
        if let Some(id) = from.session_id {
            push_session_id(id, key);
            if let Some(&id) = self.by_paths.get(&key[..]) {
                return Found::Session(id);
            }
            key.truncate(pending);
        }
        self.by_paths.get(&key[..]).map_or(Found::Unknown, |&id| Found::Pending(id))
    }
}

/// The URIs that a side has for us: the one we wrote, and that of a relay of ours before its peer.
fn own_uris(side: &MsrpSide) -> impl Iterator<Item = &[u8]> {
    // The URI of a grant is that of all its sessions, and finds none of them.
    let ours = core::iter::once(&side.local_path).chain(&side.relay_uri);
    ours.filter(|_| !is_granted(side)).map(|uri| &uri[..])
}

/// Writes the key that a side is found by under one of its URIs; false if it has none yet.
fn write_key(realm: Realm, ours: &[u8], side: &MsrpSide, key: &mut Vec<u8>) -> bool {
    let Some(session_id) = Uri::parse(ours).and_then(|uri| uri.session_id) else { return false };
    begin_key(realm, session_id, key);
    if let Some(path) = &side.remote_path {
        let Some(uri) = Uri::parse(uri::first(path)) else { return false };
        match (side.matching, uri.session_id) {
            (Matching::SessionId, Some(id)) => push_session_id(id, key),
            _ => uri.write_canonical(key),
        }
    }
    true
}

/// Stands where a canonical URI would, and is none.
fn push_session_id(id: &[u8], key: &mut Vec<u8>) {
    key.push(b'/');
    key.extend_from_slice(id);
}

fn begin_key(realm: Realm, session_id: &[u8], key: &mut Vec<u8>) {
    key.clear();
    key.push(realm as u8);
    key.extend_from_slice(session_id);
    key.push(0);
}

pub(super) const SIDES: [Realm; 2] = [Realm::Access, Realm::Core];

/// The edge gives slots out densely; one beyond is a fault of it, not a reason to run out of memory.
const SLOTS_MAX: usize = 1 << 24;
