//! Sessions and how they are found.

use super::classic::is_granted;
use super::timers::Armed;
use crate::command::{Matching, MediaTotals, MsrpSession, MsrpSide};
use ahash::RandomState;
use msrp::{Uri, uri};
use std::collections::HashMap;
use wire::{Instant, MediaId, Realm, StreamId};

#[derive(Debug)]
pub(super) struct Session {
    pub(super) spec: MsrpSession,
    sides: [SideState; 2],
    /// Connections that wait for a side of it to be known or connected.
    pub(super) waiters: Vec<StreamId>,
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
    /// The message whose chunks come from this side: hash of its Message-ID, octets so far.
    pub(super) message: (u64, u64),
}

impl Session {
    pub(super) fn new(spec: MsrpSession, now: Instant) -> Self {
        Self {
            spec,
            sides: [SideState::default(), SideState::default()],
            waiters: Vec::new(),
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

    pub(super) fn add_bytes(&mut self, from: Realm, bytes: u64, now: Instant) {
        self.last_activity_at = now;
        match from {
            Realm::Access => self.totals.access_bytes += bytes,
            Realm::Core => self.totals.core_bytes += bytes,
        }
    }

    pub(super) const fn add_message(&mut self, from: Realm) {
        match from {
            Realm::Access => self.totals.access_messages += 1,
            Realm::Core => self.totals.core_messages += 1,
        }
    }

    /// Where the next chunk from this side stands in its message, which begins at `start` by its own word.
    ///
    /// A sender that gives each chunk the same range, or none, does not get around the size limit.
    pub(super) fn message_position(&mut self, from: Realm, message_id: &[u8], start: u64) -> u64 {
        let hash = fnv1a(message_id);
        let (known, octets) = self.side(from).message;
        let position = if known == hash { start.max(octets) } else { start };
        self.side_mut(from).message = (hash, position);
        position
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

/// The table of sessions, and the one of their paths.
#[derive(Debug)]
pub(super) struct Sessions {
    by_id: HashMap<MediaId, Box<Session>, RandomState>,
    /// `side, session-id of ours, 0, canonical URI of the peer` to session; `/` and session-id of the peer
    /// where only that counts; nothing of it while pending.
    by_paths: HashMap<Box<[u8]>, MediaId, RandomState>,
}

impl Sessions {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            by_id: HashMap::with_hasher(RandomState::with_seeds(seed, 4, 5, 6)),
            by_paths: HashMap::with_hasher(RandomState::with_seeds(seed, 7, 8, 9)),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn of(&self, id: MediaId) -> Option<&Session> {
        self.by_id.get(&id).map(|session| &**session)
    }

    pub(super) fn of_mut(&mut self, id: MediaId) -> Option<&mut Session> {
        self.by_id.get_mut(&id).map(|session| &mut **session)
    }

    /// Whether a session of another id already has these paths.
    pub(super) fn collides(&self, spec: &MsrpSession, key: &mut Vec<u8>) -> bool {
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
        self.by_id.insert(session.spec.id, Box::new(session));
    }

    pub(super) fn remove(&mut self, id: MediaId, key: &mut Vec<u8>) -> Option<Box<Session>> {
        let session = self.by_id.remove(&id)?;
        self.remove_paths(&session.spec, key);
        Some(session)
    }

    /// Replaces what is known of a session; returns what was known before.
    pub(super) fn replace(&mut self, spec: &MsrpSession, key: &mut Vec<u8>) -> Option<MsrpSession> {
        let session = self.by_id.get_mut(&spec.id)?;
        let old = core::mem::replace(&mut session.spec, spec.clone());
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
            && is_between(session.spec.side(realm), to, from)
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

fn is_between(side: &MsrpSide, to: &[u8], from: &[u8]) -> bool {
    *side.local_path == *to && side.remote_path.as_deref().is_some_and(|path| uri::first(path) == from)
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

/// FNV-1a: tells one Message-ID of a sender from the next; a collision only merges their sizes.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
