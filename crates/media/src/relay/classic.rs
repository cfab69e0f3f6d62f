//! A relay that clients ask for (RFC 4976), beside sessions that SIP anchored.
//!
//! ```text
//! UE ── AUTH ──▶ 401 ── AUTH, proof ──▶ 200, Use-Path: G, Expires
//!
//! UE ── SEND  To: G P…   From: ue ──▶ [G] ── SEND  To: P…  From: G ue ──▶ P      P is dialled if allowed
//! UE ◀─ SEND  To: ue   From: G P ──── [G] ◀─ SEND  To: G ue  From: P ──── P      or comes by itself
//! ```
//! Our URI G is taken off To-Path and put before From-Path, and nothing else changes, so relays chain. Between
//! a grant and each peer a session of the relay is made as it is needed: what is said of sessions (one message
//! at a time, back-pressure, limits, timers) holds here too. Responses pass hop by hop: the sender gets what
//! the next hop answered, be it 200 or an error, and silence becomes 408; so a REPORT of our own, which says
//! the same to who already got a 200, is never owed (RFC 4976 §6.4.1).
//!
//! Only the holder of a grant sends through it, and only to it are others let through (RFC 4976 §6.3).

use super::MsrpRelay;
use super::api::Outbox;
use super::conn::{Id, Refusal};
use super::route::Route;
use super::session::Session;
use crate::command::{MsrpSession, MsrpSide, Opening};
use crate::msrp_auth::{Authenticator, Settings, Users, Verdict};
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use msrp::uri::Host;
use msrp::{Head, HeaderId, Method, Start, Uri, uri, write};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use wire::{Cause, Instant, MediaId, PrefixSet, Random, Realm, StreamId, Transport};

/// How the relay serves clients that ask for it.
#[derive(Clone, Debug)]
pub struct ClassicLimits {
    /// Whom it believes, and for how long.
    pub auth: Settings,
    /// What clients are told in Use-Path: `host:port` for TLS and for plain TCP.
    pub addresses: [Option<SocketAddr>; 2],
    /// Takes no AUTH over plain TCP (RFC 4976 §9.1).
    pub tls_only: bool,
    /// Grants at one time.
    pub grants_max: usize,
    /// Grants of one user.
    pub grants_per_user_max: usize,
    /// Whom it connects to for a client.
    pub next_hops: PrefixSet,
    /// As in [`MsrpSession`].
    pub idle_max: Duration,
    /// As in [`MsrpSession`].
    pub message_bytes_max: u64,
    /// Seeds tokens and nonces.
    pub seed: [u8; 32],
}

/// Grants, and the sessions that were made for them.
#[derive(Debug)]
pub(super) struct Classic {
    limits: ClassicLimits,
    auth: Authenticator,
    random: Random,
    /// By the session-id of their URI.
    grants: HashMap<Token, Grant, ahash::RandomState>,
    users: HashMap<Box<[u8]>, usize, ahash::RandomState>,
    /// By grant and canonical URI of the peer.
    sessions: HashMap<(Token, Box<[u8]>), MediaId, ahash::RandomState>,
    keys: HashMap<MediaId, (Token, Box<[u8]>), ahash::RandomState>,
    /// Slots of ended sessions with the generation to come; ids are beyond those of the edge.
    free: Vec<MediaId>,
    next_slot: u32,
}

/// The session-id of a granted URI.
pub(super) type Token = [u8; TOKEN_LEN];
const TOKEN_LEN: usize = 26; // 130 bits

#[derive(Debug)]
struct Grant {
    uri: Bytes,
    user: Box<[u8]>,
    /// The client's own URI, in canonical form and as it came.
    client: (Box<[u8]>, Bytes),
    conn: StreamId,
    expires_at: Instant,
    /// Requests that went to the client and will be answered to our URI alone: whose they are.
    asked: VecDeque<(Id, MediaId)>,
}

/// Requests to one client that are not answered; the oldest are forgotten beyond.
const ASKED_MAX: usize = 256;

/// Stands for our URI in a session of a grant: no message names it, so none is matched by it.
const NO_URI: &[u8] = b"grant";

impl Classic {
    pub(super) fn new(limits: ClassicLimits, first_slot: u32) -> Self {
        let mut random = Random::from_seed(limits.seed);
        let mut map_seed = || random.next_u64();
        let [a, b, c, d] = [map_seed(), map_seed(), map_seed(), map_seed()];
        let hasher = |n| ahash::RandomState::with_seeds(a, b, c, d ^ n);
        Self {
            auth: Authenticator::new(limits.auth.clone(), &mut random),
            random,
            grants: HashMap::with_hasher(hasher(1)),
            users: HashMap::with_hasher(hasher(2)),
            sessions: HashMap::with_hasher(hasher(3)),
            keys: HashMap::with_hasher(hasher(4)),
            free: Vec::new(),
            next_slot: first_slot,
            limits,
        }
    }

    pub(super) fn set_users(&mut self, users: Arc<Users>) {
        self.auth.set_users(users);
    }

    /// Whether the session is one of ours, of which the edge knows nothing.
    pub(super) fn owns(&self, id: MediaId) -> bool {
        self.keys.contains_key(&id)
    }

    /// Forgets an ended session; whether it was one of ours.
    pub(super) fn forget(&mut self, id: MediaId) -> bool {
        let Some(key) = self.keys.remove(&id) else { return false };
        self.sessions.remove(&key);
        self.free.push(MediaId { slot: id.slot, generation: id.generation.wrapping_add(1) });
        true
    }

    /// Takes a grant back: its connection is gone, or its time is over.
    fn revoke(&mut self, token: &Token) {
        let Some(grant) = self.grants.remove(token) else { return };
        if let Some(count) = self.users.get_mut(&grant.user) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(&grant.user);
            }
        }
    }

    /// Whether nothing is left of anything.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.grants.is_empty() && self.users.is_empty() && self.sessions.is_empty() && self.keys.is_empty()
    }

    fn next_id(&mut self) -> MediaId {
        self.free.pop().unwrap_or_else(|| {
            self.next_slot += 1;
            MediaId { slot: self.next_slot - 1, generation: 1 }
        })
    }

    fn may_dial(&self, ip: IpAddr) -> bool {
        self.limits.next_hops.contains(ip)
    }
}

impl MsrpRelay {
    /// A message whose To-Path begins with no session's URI: one of a grant's, or an AUTH.
    pub(super) fn route_classic(
        &mut self,
        id: StreamId,
        head: &Head<'_>,
        now: Instant,
        out: &mut Outbox,
    ) -> Route {
        let is_request = head.method().is_some();
        let unknown = |relay: &Self| match is_request {
            false => Route::Drop(Cause::StrayResponse),
            // Who holds a grant keeps its connection whatever it says.
            true if relay.has_grant(id, now) => Route::Refuse(Refusal::new(Cause::MsrpUnknownSession)),
            true => Route::Refuse(Refusal::closing(Cause::MsrpUnknownSession)),
        };
        let is_auth = head.method() == Some(Method::Auth);
        if self.classic.is_none() && is_auth {
            return Route::Refuse(Refusal { status: 501, ..Refusal::new(Cause::MethodNotAllowed) });
        }
        let mut hops = uri::list(head.to_path());
        let (first, next) = (hops.next().unwrap_or_default(), hops.next());
        if is_auth && next.is_none() {
            return self.on_auth(id, head, now, out);
        }
        let token = Uri::parse(first).and_then(|uri| Token::try_from(uri.session_id?).ok());
        let Some((token, classic)) = token.and_then(|token| Some((token, self.classic.as_mut()?))) else {
            return unknown(self);
        };
        let Some(grant) = classic.grants.get_mut(&token).filter(|grant| grant.expires_at > now) else {
            return unknown(self);
        };
        let is_owner = grant.conn == id;
        let from = uri::first(head.from_path());
        let session = match head.start() {
            Start::Response(_) if is_owner => {
                let asked = Id::new(head.id());
                let at = grant.asked.iter().position(|(id, _)| *id == asked);
                at.and_then(|at| grant.asked.remove(at)).map(|(_, session)| session)
            }
            Start::Response(_) => {
                canonical(from).and_then(|peer| classic.sessions.get(&(token, peer)).copied())
            }
            Start::Request(_) => {
                let Some(next) = next else { return unknown(self) };
                let is_client = canonical(next).is_some_and(|next| next == grant.client.0);
                let peer = match (is_owner, is_client) {
                    (true, false) => next,
                    (false, true) => from,
                    // Neither from the client nor to it (RFC 4976 §6.3), or from it to itself.
                    _ => {
                        return Route::Refuse(Refusal {
                            status: 403,
                            ..Refusal::new(Cause::MsrpWrongSource)
                        });
                    }
                };
                match self.classic_session(id, token, peer, is_owner, now, out) {
                    Ok(session) => Some(session),
                    Err(refusal) => return Route::Refuse(refusal),
                }
            }
        };
        let Some(session) = session else { return unknown(self) };
        if !is_owner && is_request {
            self.remember(token, head, session);
        }
        let Some(realm) = self.conns.of(id).map(|conn| conn.realm) else {
            return Route::Drop(Cause::Internal);
        };
        self.route_within(id, realm, session, head, now, out)
    }

    /// The session between a grant and a peer, made if there is none, with this connection on its side.
    fn classic_session(
        &mut self,
        id: StreamId,
        token: Token,
        peer: &[u8],
        is_owner: bool,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<MediaId, Refusal> {
        let unknown = Refusal::new(Cause::MsrpUnknownSession);
        let bad = Refusal::new(Cause::MsrpBadRequest);
        let (Some(key), Some(uri)) = (canonical(peer), Uri::parse(peer)) else { return Err(bad) };
        let full = Refusal { status: 481, ..Refusal::new(Cause::TableFull) };
        let realm = self.conns.of(id).map(|conn| conn.realm).ok_or(unknown)?;
        // Clients are UEs, and whom they talk to is met on the other side.
        if (realm == Realm::Access) != is_owner {
            return Err(unknown);
        }
        let classic = self.classic.as_mut().ok_or(unknown)?;
        let known = classic.sessions.get(&(token, key.clone())).copied();
        let session = match known {
            Some(session) => session,
            None => {
                if self.sessions.count() >= self.limits.sessions_max {
                    return Err(full);
                }
                let opening = match is_owner {
                    false => Opening::Listen,
                    true => dial_to(&uri).filter(|to| classic.may_dial(to.1.ip())).map_or(
                        Err(Refusal { status: 403, ..Refusal::new(Cause::MsrpPeerGone) }),
                        |(transport, peer)| Ok(Opening::Dial { transport, peer }),
                    )?,
                };
                let grant = classic.grants.get(&token).ok_or(unknown)?;
                let (owner, remote) = (grant.conn, grant.client.1.clone());
                let side = |remote_path: Bytes, opening| MsrpSide {
                    local_path: Bytes::from_static(NO_URI),
                    remote_path: Some(remote_path),
                    opening,
                    relay_uri: Some(grant.uri.clone()),
                    ..MsrpSide::default()
                };
                let (access, core) =
                    (side(remote, Opening::Listen), side(Bytes::copy_from_slice(peer), opening));
                let (idle_max, message_bytes_max) =
                    (classic.limits.idle_max, classic.limits.message_bytes_max);
                let session = classic.next_id();
                classic.sessions.insert((token, key.clone()), session);
                classic.keys.insert(session, (token, key));
                let content = [None, None];
                let spec = MsrpSession {
                    id: session,
                    access,
                    core,
                    idle_max,
                    message_bytes_max,
                    call_id: "".into(),
                    user: None,
                    content,
                };
                self.counters.sessions += 1;
                self.sessions.insert(Session::new(spec, now), &mut self.scratch);
                self.arm_session(session);
                self.join(owner, session, now, out);
                session
            }
        };
        if !is_owner {
            // A relay connects by itself though we did: it goes on where it speaks.
            let bound = self.sessions.of(session).and_then(|session| session.side(realm).conn);
            if let Some(bound) = bound.filter(|bound| *bound != id) {
                if let Some(session) = self.sessions.of_mut(session) {
                    session.side_mut(realm).conn = None;
                }
                self.unlink(bound, session, now, out);
            }
        }
        self.join(id, session, now, out);
        match self.sessions.of(session).is_some_and(|s| s.side(realm).conn == Some(id)) {
            true => Ok(session),
            false => Err(Refusal::new(Cause::MsrpAlreadyBound)),
        }
    }

    /// Puts a connection on its side of a session where none is.
    fn join(&mut self, id: StreamId, session: MediaId, now: Instant, out: &mut Outbox) {
        let Some(conn) = self.conns.of(id) else { return };
        let is_free = self.sessions.of(session).is_some_and(|s| s.side(conn.realm).conn.is_none());
        if is_free && conn.sessions.len() < self.limits.sessions_per_connection_max {
            self.link(id, session, now, out);
        }
    }

    fn remember(&mut self, token: Token, head: &Head<'_>, session: MediaId) {
        let grant = self.classic.as_mut().and_then(|classic| classic.grants.get_mut(&token));
        let Some(grant) = grant.filter(|_| head.method() != Some(Method::Report)) else { return };
        if grant.asked.len() >= ASKED_MAX {
            grant.asked.pop_front();
        }
        let asked = (Id::new(head.id()), session);
        // A request that is held comes by again.
        if grant.asked.back() != Some(&asked) {
            grant.asked.push_back(asked);
        }
    }

    /// An AUTH for us (RFC 4976 §5.1).
    fn on_auth(&mut self, id: StreamId, head: &Head<'_>, now: Instant, out: &mut Outbox) -> Route {
        let (Some(conn), Some(classic)) = (self.conns.of(id), self.classic.as_mut()) else {
            return Route::Drop(Cause::Internal);
        };
        if conn.realm != Realm::Access || classic.limits.tls_only && !conn.secure {
            return Route::Refuse(Refusal::closing(Cause::MsrpAuthRefused));
        }
        let secure = conn.secure;
        match classic.auth.judge(head, now) {
            Verdict::Challenge(value) => {
                self.answer_with(id, head, 401, &[(HeaderId::WwwAuthenticate, &value)], out);
                Route::Swallow
            }
            Verdict::Wrong(value) => {
                let wrongs = self.conns.of_mut(id).map_or(u8::MAX, |conn| {
                    conn.auth_failures = conn.auth_failures.saturating_add(1);
                    conn.auth_failures
                });
                if wrongs >= FAILURES_MAX {
                    return Route::Refuse(Refusal::closing(Cause::MsrpAuthRefused));
                }
                self.count(Cause::MsrpAuthRefused);
                self.answer_with(id, head, 401, &[(HeaderId::WwwAuthenticate, &value)], out);
                Route::Swallow
            }
            Verdict::Interval(min, max) => {
                let (min, max) = (min.to_string(), max.to_string());
                let fields = [(HeaderId::MinExpires, min.as_bytes()), (HeaderId::MaxExpires, max.as_bytes())];
                self.answer_with(id, head, 423, &fields, out);
                Route::Swallow
            }
            Verdict::Granted { user, expires } => match self.grant(id, head, user, expires, secure, now) {
                Ok(path) => {
                    let expires = expires.to_string();
                    let fields = [(HeaderId::UsePath, &path[..]), (HeaderId::Expires, expires.as_bytes())];
                    self.answer_with(id, head, 200, &fields, out);
                    Route::Swallow
                }
                Err(refusal) => Route::Refuse(refusal),
            },
        }
    }

    /// Grants a URI, or lengthens the grant that this client has on this connection.
    fn grant(
        &mut self,
        id: StreamId,
        head: &Head<'_>,
        user: Box<[u8]>,
        expires: u32,
        secure: bool,
        now: Instant,
    ) -> Result<Bytes, Refusal> {
        let full = Refusal { status: 403, ..Refusal::new(Cause::TableFull) };
        let bad = Refusal::new(Cause::MsrpBadRequest);
        let (Some(conn), Some(classic)) = (self.conns.of_mut(id), self.classic.as_mut()) else {
            return Err(bad);
        };
        // The client itself stands last, behind the relays between us.
        let own = uri::list(head.from_path()).last().unwrap_or_default();
        let client = canonical(own).ok_or(bad)?;
        let expires_at = now + Duration::from_secs(expires.into());
        for token in &conn.grants {
            if let Some(grant) = classic.grants.get_mut(token)
                && grant.user == user
                && grant.client.0 == client
            {
                grant.expires_at = expires_at;
                conn.granted_until = conn.granted_until.max(Some(expires_at));
                return Ok(grant.uri.clone());
            }
        }
        let of_user = classic.users.get(&user).copied().unwrap_or(0);
        if classic.grants.len() >= classic.limits.grants_max || of_user >= classic.limits.grants_per_user_max
        {
            // Those whose time is over on this connection make room; others go with theirs.
            let expired: Vec<Token> = conn
                .grants
                .iter()
                .copied()
                .filter(|token| classic.grants.get(token).is_none_or(|grant| grant.expires_at <= now))
                .collect();
            if expired.is_empty() {
                return Err(full);
            }
            expired.iter().for_each(|token| classic.revoke(token));
            conn.grants.retain(|token| !expired.contains(token));
        }
        let address = classic.limits.addresses[usize::from(!secure)].ok_or(full)?;
        let mut letters = Vec::with_capacity(TOKEN_LEN);
        classic.random.push_token(TOKEN_LEN, &mut letters);
        let Ok(token) = Token::try_from(letters.as_slice()) else { return Err(full) };
        let scheme = if secure { "msrps" } else { "msrp" };
        let name = String::from_utf8_lossy(&letters);
        let uri = Bytes::from(format!("{scheme}://{address}/{name};tcp"));
        *classic.users.entry(user.clone()).or_default() += 1;
        let client = (client, Bytes::copy_from_slice(own));
        let grant = Grant { uri: uri.clone(), user, client, conn: id, expires_at, asked: VecDeque::new() };
        classic.grants.insert(token, grant);
        conn.grants.push(token);
        conn.granted_until = conn.granted_until.max(Some(expires_at));
        Ok(uri)
    }

    /// The connection is gone, and what it was granted with it.
    pub(super) fn revoke_all(&mut self, tokens: &[Token]) {
        if let Some(classic) = &mut self.classic {
            tokens.iter().for_each(|token| classic.revoke(token));
        }
    }

    pub(super) fn has_grant(&self, id: StreamId, now: Instant) -> bool {
        self.conns.of(id).is_some_and(|conn| conn.granted_until.is_some_and(|until| until > now))
    }

    /// Answers with more than a status, along the whole path (RFC 4976 §5.1).
    fn answer_with(
        &mut self,
        id: StreamId,
        head: &Head<'_>,
        status: u16,
        fields: &[(HeaderId, &[u8])],
        out: &mut Outbox,
    ) {
        self.answer(id, out, |out| write::response_with(head, status, fields, out));
    }
}

/// Wrong proofs on one connection before it is closed.
const FAILURES_MAX: u8 = 5;

/// Where a URI leads, if it says so by address: nobody waits for a name to be looked up.
fn dial_to(uri: &Uri<'_>) -> Option<(Transport, SocketAddr)> {
    let Host::Address(ip) = uri.host else { return None };
    let transport = if uri.secure { Transport::Tls } else { Transport::Tcp };
    // RFC 4975 §6: the port of MSRP.
    Some((transport, SocketAddr::new(ip, uri.port.unwrap_or(2_855))))
}

fn canonical(text: &[u8]) -> Option<Box<[u8]>> {
    let mut key = Vec::new();
    Uri::parse(text)?.write_canonical(&mut key);
    Some(key.into())
}

/// Whether a side belongs to a grant: then nothing of From-Path is replaced.
pub(super) fn is_granted(side: &MsrpSide) -> bool {
    side.local_path == NO_URI
}
