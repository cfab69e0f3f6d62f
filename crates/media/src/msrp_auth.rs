//! AUTH: a client proves itself to the relay by Digest (RFC 4976 §5.1, RFC 7616), sans-IO.
//!
//! ```text
//! AUTH ─▶ 401 nonce ─▶ AUTH with response ─▶ Granted(user, seconds)
//!                          ├ wrong, stale or used nonce ─▶ 401 again
//!                          └ Expires out of bounds ─▶ 423
//! ```
//! A nonce is a time and a keyed hash over it, so that a challenge costs no memory; only those that were
//! answered rightly are remembered, until they expire, so that none is answered twice with the same count.

mod digest;
mod params;
mod users;

pub use users::Users;

use digest::Algorithm;
use msrp::{Head, HeaderId, uri};
use params::Params;
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, VecDeque};
use std::io::Write as _;
use std::sync::Arc;
use wire::bytes_class::decimal;
use wire::{Instant, Random};

/// What is asked of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The realm of the challenge.
    pub realm: Box<str>,
    /// Seconds that are granted at least; less gets 423.
    pub expires_min: u32,
    /// Seconds that are granted at most; more gets 423. Also what is granted to who asks for nothing.
    pub expires_max: u32,
    /// Answered nonces that are remembered; beyond, the oldest are given up and refused as stale.
    pub nonces_max: usize,
}

/// What comes of an AUTH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Prove yourself: the value of WWW-Authenticate.
    Challenge(Vec<u8>),
    /// The same, after a proof that was wrong.
    Wrong(Vec<u8>),
    /// Ask for another time: the least and the most seconds.
    Interval(u32, u32),
    /// It is who it says.
    Granted {
        /// The name.
        user: Box<[u8]>,
        /// For so many seconds.
        expires: u32,
    },
}

/// Judges the AUTH requests of one shard.
#[derive(Debug)]
pub struct Authenticator {
    settings: Settings,
    users: Arc<Users>,
    secret: [u8; 32],
    /// Highest nonce count of each answered nonce.
    answered: HashMap<Nonce, u32, ahash::RandomState>,
    /// In the order of their first answer.
    order: VecDeque<(Instant, Nonce)>,
    /// Nonces made before this were forgotten before their time.
    forgotten: Option<u64>,
    /// When the last nonce was made: no two are made at one time.
    last_made: u64,
}

/// The keyed half of a nonce.
type Nonce = [u8; 16];

/// How long a nonce may be answered.
const NONCE_LIFE: core::time::Duration = core::time::Duration::from_secs(300);

impl Authenticator {
    /// One that knows nobody yet.
    #[must_use]
    pub fn new(settings: Settings, random: &mut Random) -> Self {
        let mut secret = [0; 32];
        random.fill(&mut secret);
        let seed = random.next_u64();
        Self {
            settings,
            users: Arc::default(),
            secret,
            answered: HashMap::with_hasher(ahash::RandomState::with_seeds(seed, 1, 2, 3)),
            order: VecDeque::new(),
            forgotten: None,
            last_made: 0,
        }
    }

    /// Replaces those that are known.
    pub fn set_users(&mut self, users: Arc<Users>) {
        self.users = users;
    }

    /// Judges an AUTH request.
    pub fn judge(&mut self, head: &Head<'_>, now: Instant) -> Verdict {
        let wanted = match head.value(HeaderId::Expires) {
            b"" => None,
            // What is no number of seconds is out of bounds.
            value => Some(decimal(value).unwrap_or(u32::MAX)),
        };
        let (min, max) = (self.settings.expires_min, self.settings.expires_max);
        let credentials = head.value(HeaderId::Authorization);
        if credentials.is_empty() {
            return Verdict::Challenge(self.challenge(false, now));
        }
        match self.check(head, credentials, now) {
            Err(stale) => Verdict::Wrong(self.challenge(stale, now)),
            // RFC 4976 §5.1: who asks for an impossible time is told the possible ones.
            Ok(_) if wanted.is_some_and(|seconds| seconds < min || seconds > max) => {
                Verdict::Interval(min, max)
            }
            Ok(user) => Verdict::Granted { user, expires: wanted.unwrap_or(max) },
        }
    }

    /// The user, or whether the nonce alone was at fault.
    fn check(&mut self, head: &Head<'_>, credentials: &[u8], now: Instant) -> Result<Box<[u8]>, bool> {
        let params = Params::read(credentials).ok_or(false)?;
        let algorithm = Algorithm::named(params.get(b"algorithm")).ok_or(false)?;
        let user = params.get(b"username");
        let right = params.get(b"realm") == self.settings.realm.as_bytes()
            && params.get(b"qop").eq_ignore_ascii_case(b"auth")
            && !params.get(b"cnonce").is_empty();
        // RFC 4976 §5.1: the URI is the rightmost of To-Path; who names one must name that.
        let target = uri::list(head.to_path()).last().unwrap_or_default();
        let named = params.get(b"uri");
        let is_same = named.is_empty() || named == target;
        let count = params.get(b"nc");
        let hex = core::str::from_utf8(count).ok().filter(|_| count.len() == 8);
        let number = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok()).filter(|&n| n > 0);
        let Some(number) = number.filter(|_| right && is_same) else { return Err(false) };
        let nonce = self.read_nonce(params.get(b"nonce"), now);
        // The answer is computed for unknown users too, so that time does not tell who is known.
        let known = self.users.secret(user, algorithm);
        let expected = digest::response(algorithm, known.unwrap_or_default(), &params, target);
        let proven = digest::is_equal(&expected, params.get(b"response")) && known.is_some();
        let Some((nonce, made_at)) = nonce else { return Err(proven) };
        if !proven {
            return Err(false);
        }
        match self.use_nonce(nonce, made_at, number, now) {
            true => Ok(user.into()),
            false => Err(true),
        }
    }

    /// Whether this nonce was not answered before with such a count.
    fn use_nonce(&mut self, nonce: Nonce, made_at: u64, count: u32, now: Instant) -> bool {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, old)) = self.order.pop_front() {
                self.answered.remove(&old);
            }
        }
        if let Some(highest) = self.answered.get_mut(&nonce) {
            let is_fresh = count > *highest;
            *highest = count.max(*highest);
            return is_fresh;
        }
        // It may have been answered and forgotten.
        if self.forgotten.is_some_and(|forgotten| made_at <= forgotten) {
            return false;
        }
        if self.order.len() >= self.settings.nonces_max
            && let Some((_, old)) = self.order.pop_front()
        {
            self.answered.remove(&old);
            // It was made before it was answered; so any made up to now may be the forgotten one.
            self.forgotten = Some(self.last_made);
        }
        self.answered.insert(nonce, count);
        self.order.push_back((now + NONCE_LIFE, nonce));
        true
    }

    fn challenge(&mut self, stale: bool, now: Instant) -> Vec<u8> {
        let made_at = micros(now).max(self.last_made + 1);
        self.last_made = made_at;
        let mut value = Vec::with_capacity(160);
        let realm = &self.settings.realm;
        let _ = write!(value, "Digest realm=\"{realm}\", nonce=\"{made_at:016x}"); // a Vec takes everything
        for octet in self.seal(made_at) {
            let _ = write!(value, "{octet:02x}");
        }
        let _ = write!(value, "\", qop=\"auth\", algorithm={}", self.users.algorithm().name());
        if stale {
            value.extend_from_slice(b", stale=true");
        }
        value
    }

    /// The nonce, and when it was made, if it is ours and not too old.
    fn read_nonce(&self, text: &[u8], now: Instant) -> Option<(Nonce, u64)> {
        let text = core::str::from_utf8(text).ok().filter(|text| text.len() == 48 && text.is_ascii())?;
        let (made_at, seal) = text.split_at(16);
        let made_at = u64::from_str_radix(made_at, 16).ok()?;
        let mut nonce = [0; 16];
        for (octet, at) in nonce.iter_mut().zip((0..32).step_by(2)) {
            *octet = u8::from_str_radix(seal.get(at..at + 2)?, 16).ok()?;
        }
        let age = micros(now).saturating_sub(made_at);
        (nonce == self.seal(made_at) && u128::from(age) < NONCE_LIFE.as_micros()).then_some((nonce, made_at))
    }

    fn seal(&self, made_at: u64) -> Nonce {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        hash.update(made_at.to_be_bytes());
        hash.update(self.secret);
        let full = hash.finalize();
        core::array::from_fn(|n| full.get(n).copied().unwrap_or(0))
    }
}

/// The credentials by which a client answers the challenge in `text`; for tests and fuzzing.
pub(crate) fn answer(text: &[u8], user: &[u8], secret: &[u8], target: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let value = |name: &str| text.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
    let (realm, nonce) = (value("realm").unwrap_or_default(), value("nonce").unwrap_or_default());
    let user = String::from_utf8_lossy(user);
    let front = format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", qop=auth, nc=00000001, cnonce=\"c\""
    );
    let params = Params::read(front.as_bytes());
    let response = params.map(|params| digest::response(Algorithm::Md5, secret, &params, target));
    format!("{front}, response=\"{}\"", String::from_utf8_lossy(&response.unwrap_or_default()))
}

fn micros(now: Instant) -> u64 {
    u64::try_from(now.since(Instant::ZERO).as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests;
