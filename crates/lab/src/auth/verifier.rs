//! The core's side of authentication, with the home subscriber server behind it.

use super::aka::{self, Vector};
use super::digest::{Algorithm, Inputs, QopAuth, response};
use super::params::{AuthValue, AuthWriter};
use super::text::{base64, hex, unbase64};
use super::ue::Secret;
use core::time::Duration;
use std::collections::BTreeMap;
use wire::{Instant, Random};

/// What the home subscriber server knows of one private identity.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The private identity: the Digest username.
    pub username: String,
    /// What proves it.
    pub secret: Secret,
    /// How it is challenged.
    pub algorithm: Algorithm,
    /// Whether challenges offer `qop="auth"`; the specification's figures do not.
    pub qop: bool,
}

/// A challenge, ready for a 401.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenged {
    /// The WWW-Authenticate value without keys.
    pub value: String,
    /// `, ck="…", ik="…"`, which a P-CSCF takes off (R17); empty for Digest.
    pub keys: String,
}

/// Why credentials are not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// None came, or they are the empty ones of a first AKA REGISTER: challenge.
    Missing,
    /// The nonce is unknown, of another user, too old or used up: challenge.
    Stale,
    /// The UE's sequence number is ahead; ours is set to it: challenge.
    Resynchronised,
    /// A parameter is missing or does not fit the challenge: 400.
    Malformed,
    /// The response is wrong: 403.
    Wrong,
}

/// Challenges and verifies; remembers what it asked.
#[derive(Debug)]
pub struct Verifier {
    realm: String,
    random: Random,
    nonces: BTreeMap<String, Asked>,
    sequences: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Asked {
    username: String,
    asked_at: Instant,
    /// For AKA: XRES. For Digest: the password.
    password: Vec<u8>,
    algorithm: Algorithm,
    qop: bool,
    rand: [u8; 16],
    /// Highest nonce count accepted; a nonce without qop may be used again while it lives.
    count: u32,
}

/// Nonces live as long as a registration, so that a refresh needs no new challenge.
const NONCE_LIFE: Duration = Duration::from_secs(3_600);
/// Above this the oldest nonces go: a lab never has as many registrations.
const NONCES_MAX: usize = 100_000;
const AMF: [u8; 2] = [0x80, 0x00];

impl Verifier {
    /// For one realm; `random` makes the nonces.
    #[must_use]
    pub fn new(realm: &str, random: Random) -> Self {
        Self { realm: realm.to_owned(), random, nonces: BTreeMap::new(), sequences: BTreeMap::new() }
    }

    /// Makes a challenge for `user`.
    pub fn challenge(&mut self, user: &Subscription, now: Instant) -> Challenged {
        self.forget_old(now);
        let mut rand = [0; 16];
        self.random.fill(&mut rand);
        let (nonce, password, keys) = match &user.secret {
            Secret::Password(text) => (base64(&rand), text.clone().into_bytes(), String::new()),
            Secret::Sim(sim) => {
                let sqn = self.sequences.entry(user.username.clone()).or_insert(0);
                *sqn += SQN_STEP;
                let vector = Vector::generate(sim, rand, *sqn, AMF);
                let keys = format!(", ik=\"{}\", ck=\"{}\"", hex(&vector.ik), hex(&vector.ck));
                (vector.nonce(), vector.xres.to_vec(), keys)
            }
        };
        let mut out = AuthWriter::digest()
            .quoted("realm", &self.realm)
            .quoted("nonce", &nonce)
            .token("algorithm", user.algorithm.label());
        if user.qop {
            out = out.quoted("qop", "auth");
        }
        self.nonces.insert(
            nonce,
            Asked {
                username: user.username.clone(),
                asked_at: now,
                password,
                algorithm: user.algorithm,
                qop: user.qop,
                rand,
                count: 0,
            },
        );
        Challenged { value: out.finish(), keys }
    }

    /// Checks the Authorization of a request.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn verify(
        &mut self,
        user: &Subscription,
        given: Option<&AuthValue>,
        method: &str,
        request_uri: &str,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.forget_old(now);
        let given = given.ok_or(Refusal::Missing)?;
        let param = |name| given.param(name).ok_or(Refusal::Malformed);
        let nonce = param("nonce")?;
        if nonce.is_empty() && given.param("response").is_none_or(str::is_empty) {
            return Err(Refusal::Missing);
        }
        if given.param("username") != Some(&user.username) || param("realm")? != self.realm {
            return Err(Refusal::Wrong);
        }
        let asked = self.nonces.get_mut(nonce).ok_or(Refusal::Stale)?;
        if asked.username != user.username {
            return Err(Refusal::Stale);
        }
        if Algorithm::parse(given.param("algorithm")) != Some(asked.algorithm) || param("uri")? != request_uri
        {
            return Err(Refusal::Malformed);
        }
        if let (Some(auts), Secret::Sim(sim)) = (given.param("auts"), &user.secret) {
            let octets = unbase64(auts).ok_or(Refusal::Malformed)?;
            let sqn = aka::resynchronise(sim, &asked.rand, &octets).ok_or(Refusal::Wrong)?;
            self.sequences.insert(user.username.clone(), sqn);
            self.nonces.remove(nonce);
            return Err(Refusal::Resynchronised);
        }
        asked.check(user, given, method, request_uri, &self.realm, nonce)
    }

    fn forget_old(&mut self, now: Instant) {
        if self.nonces.len() > NONCES_MAX {
            self.nonces.clear();
        }
        self.nonces.retain(|_, asked| now.since(asked.asked_at) < NONCE_LIFE);
    }
}

/// TS 33.102 annex C: the lower five bits of SQN are an index, so each vector takes a step of 32.
const SQN_STEP: u64 = 32;

impl Asked {
    fn check(
        &mut self,
        user: &Subscription,
        given: &AuthValue,
        method: &str,
        uri: &str,
        realm: &str,
        nonce: &str,
    ) -> Result<(), Refusal> {
        let cnonce = given.param("cnonce").unwrap_or_default();
        let mut count = self.count;
        let qop = if self.qop {
            let nc = given.param("nc").filter(|nc| nc.len() == 8).ok_or(Refusal::Malformed)?;
            count = u32::from_str_radix(nc, 16).map_err(|_| Refusal::Malformed)?;
            if given.param("qop") != Some("auth") || cnonce.is_empty() {
                return Err(Refusal::Malformed);
            }
            if count <= self.count {
                return Err(Refusal::Stale);
            }
            Some(QopAuth { nc, cnonce })
        } else {
            None
        };
        let expected = response(
            self.algorithm,
            &Inputs {
                username: &user.username,
                realm,
                password: &self.password,
                method,
                uri,
                nonce,
                qop,
                session_cnonce: cnonce,
            },
        );
        if given.param("response") != Some(&expected) {
            return Err(Refusal::Wrong);
        }
        self.count = count;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{AnswerError, Authenticator};
    use super::*;
    use crate::auth::aka::Sim;

    const REALM: &str = "ims.example.net";
    const URI: &str = "sip:ims.example.net";
    const SIM: Sim = Sim { k: [7; 16], opc: [9; 16] };

    fn user(algorithm: Algorithm, qop: bool) -> Subscription {
        let secret =
            if algorithm.is_aka() { Secret::Sim(SIM) } else { Secret::Password("open sesame".to_owned()) };
        Subscription { username: "alice@ims.example.net".to_owned(), secret, algorithm, qop }
    }

    struct Pair {
        user: Subscription,
        core: Verifier,
        ue: Authenticator,
        random: Random,
    }

    impl Pair {
        fn new(algorithm: Algorithm, qop: bool) -> Self {
            let user = user(algorithm, qop);
            let ue = Authenticator::new(&user.username, REALM, user.secret.clone());
            Self { user, core: Verifier::new(REALM, Random::from_u64(1)), ue, random: Random::from_u64(2) }
        }

        fn challenge(&mut self) -> String {
            self.core.challenge(&self.user, Instant::ZERO).value
        }

        fn answer(&mut self, challenge: &str) -> String {
            self.ue.answer(challenge, "REGISTER", URI, &mut self.random).unwrap()
        }

        fn verify(&mut self, authorization: Option<&str>) -> Result<(), Refusal> {
            self.verify_at(authorization, Instant::ZERO)
        }

        fn verify_at(&mut self, authorization: Option<&str>, now: Instant) -> Result<(), Refusal> {
            let value = authorization.map(|a| AuthValue::parse(a).unwrap());
            self.core.verify(&self.user, value.as_ref(), "REGISTER", URI, now)
        }
    }

    #[test]
    fn every_algorithm_agrees_with_and_without_qop() {
        for algorithm in Algorithm::ALL {
            for qop in [false, true] {
                let mut pair = Pair::new(algorithm, qop);
                let first = pair.ue.unasked("REGISTER", URI);
                assert_eq!(first.is_some(), algorithm.is_aka());
                assert_eq!(pair.verify(first.as_deref()), Err(Refusal::Missing));
                let challenge = pair.challenge();
                let answer = pair.answer(&challenge);
                assert_eq!(pair.verify(Some(&answer)), Ok(()), "{algorithm:?} qop {qop}");
                let again = pair.ue.unasked("REGISTER", URI);
                assert_eq!(pair.verify(again.as_deref()), Ok(()), "refresh {algorithm:?} qop {qop}");
            }
        }
    }

    #[test]
    fn a_replayed_nonce_count_is_stale_and_an_old_nonce_too() {
        let mut pair = Pair::new(Algorithm::Sha256, true);
        let challenge = pair.challenge();
        let answer = pair.answer(&challenge);
        assert_eq!(pair.verify(Some(&answer)), Ok(()));
        assert_eq!(pair.verify(Some(&answer)), Err(Refusal::Stale));
        let later = Instant::ZERO + NONCE_LIFE;
        let again = pair.ue.unasked("REGISTER", URI).unwrap();
        assert_eq!(pair.verify_at(Some(&again), later), Err(Refusal::Stale));
    }

    #[test]
    fn a_wrong_secret_is_refused() {
        let mut pair = Pair::new(Algorithm::Md5, false);
        pair.ue = Authenticator::new(&pair.user.username, REALM, Secret::Password("guess".to_owned()));
        let challenge = pair.challenge();
        let answer = pair.answer(&challenge);
        assert_eq!(pair.verify(Some(&answer)), Err(Refusal::Wrong));
    }

    #[test]
    fn a_foreign_network_gets_no_answer() {
        let mut pair = Pair::new(Algorithm::AkaV1Md5, false);
        pair.user.secret = Secret::Sim(Sim { k: [8; 16], opc: [9; 16] });
        let challenge = pair.challenge();
        let answer = pair.ue.answer(&challenge, "REGISTER", URI, &mut pair.random);
        assert_eq!(answer, Err(AnswerError::WrongNetwork));
    }

    #[test]
    fn a_ue_ahead_of_the_network_resynchronises_it() {
        let mut pair = Pair::new(Algorithm::AkaV1Sha256, false);
        pair.ue.set_sqn_seen(1_000_000);
        let challenge = pair.challenge();
        let answer = pair.answer(&challenge);
        assert!(answer.contains("auts="));
        assert_eq!(pair.verify(Some(&answer)), Err(Refusal::Resynchronised));
        let challenge = pair.challenge();
        let answer = pair.answer(&challenge);
        assert_eq!(pair.verify(Some(&answer)), Ok(()));
    }

    #[test]
    fn visible_keys_are_an_alarm() {
        let mut pair = Pair::new(Algorithm::AkaV1Md5, false);
        let challenged = pair.core.challenge(&pair.user, Instant::ZERO);
        let leaked = challenged.value + &challenged.keys;
        let answer = pair.ue.answer(&leaked, "REGISTER", URI, &mut pair.random);
        assert_eq!(answer, Err(AnswerError::KeysVisible));
    }
}
