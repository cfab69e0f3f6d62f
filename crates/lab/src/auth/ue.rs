//! The UE's side of authentication.

use super::aka::{self, Distrust, Sim};
use super::digest::{Algorithm, Inputs, QopAuth, response};
use super::params::{AuthValue, AuthWriter};
use super::text::base64;
use wire::Random;

/// What proves an identity.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// An app's password.
    Password(String),
    /// A native UE's SIM card.
    Sim(Sim),
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(secret)",
            Self::Sim(_) => "Sim(secret)",
        })
    }
}

/// Why the UE does not answer a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// The challenge cannot be read, or lacks realm or nonce.
    Malformed,
    /// CK or IK reached the UE: the edge failed (R17).
    KeysVisible,
    /// An algorithm we do not have, or that does not fit the secret.
    Algorithm,
    /// The network did not prove itself.
    WrongNetwork,
}

/// Answers challenges for one identity.
#[derive(Clone, Debug)]
pub struct Authenticator {
    username: String,
    realm: String,
    secret: Secret,
    sqn_seen: u64,
    last: Option<Agreement>,
}

/// What a challenge left behind, for requests that follow without a new one.
#[derive(Clone, Debug)]
struct Agreement {
    realm: String,
    nonce: String,
    algorithm: Algorithm,
    password: Vec<u8>,
    qop: bool,
    cnonce: String,
    count: u32,
    opaque: Option<String>,
    echo_algorithm: bool,
}

impl Authenticator {
    /// For the private identity `username` in the home `realm`.
    #[must_use]
    pub fn new(username: &str, realm: &str, secret: Secret) -> Self {
        Self { username: username.to_owned(), realm: realm.to_owned(), secret, sqn_seen: 0, last: None }
    }

    /// Pretends that the SIM card has accepted challenges up to `sqn` already.
    pub fn set_sqn_seen(&mut self, sqn: u64) {
        self.sqn_seen = sqn;
    }

    /// Authorization of a request that no challenge asked for.
    ///
    /// After an agreement: computed from it. Before: a native UE names itself with empty nonce and
    /// response (figure 5-8, TS 24.229 §5.1.1.2.2); an app sends nothing (figure 5-9).
    pub fn unasked(&mut self, method: &str, uri: &str) -> Option<String> {
        if self.last.is_some() {
            return self.computed(method, uri, None);
        }
        match self.secret {
            Secret::Password(_) => None,
            Secret::Sim(_) => Some(
                AuthWriter::digest()
                    .quoted("username", &self.username)
                    .quoted("realm", &self.realm)
                    .quoted("nonce", "")
                    .quoted("uri", uri)
                    .quoted("response", "")
                    .finish(),
            ),
        }
    }

    /// Forgets the last agreement: the next request goes out as if the UE had just been switched on.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// Authorization in answer to a WWW-Authenticate value.
    ///
    /// # Errors
    /// [`AnswerError`]; a stale AKA sequence number is no error but an answer with `auts`.
    pub fn answer(
        &mut self,
        challenge: &str,
        method: &str,
        uri: &str,
        random: &mut Random,
    ) -> Result<String, AnswerError> {
        let value = AuthValue::parse(challenge).ok_or(AnswerError::Malformed)?;
        if value.param("ck").is_some() || value.param("ik").is_some() {
            return Err(AnswerError::KeysVisible);
        }
        let realm = value.param("realm").ok_or(AnswerError::Malformed)?;
        let nonce = value.param("nonce").filter(|n| !n.is_empty()).ok_or(AnswerError::Malformed)?;
        let algorithm = Algorithm::parse(value.param("algorithm")).ok_or(AnswerError::Algorithm)?;
        let (password, auts) = self.password(algorithm, nonce)?;
        let mut cnonce = Vec::new();
        random.push_token(16, &mut cnonce);
        self.last = Some(Agreement {
            realm: realm.to_owned(),
            nonce: nonce.to_owned(),
            algorithm,
            password,
            qop: value.param("qop").is_some_and(offers_auth),
            cnonce: String::from_utf8_lossy(&cnonce).into_owned(),
            count: 0,
            opaque: value.param("opaque").map(str::to_owned),
            echo_algorithm: value.param("algorithm").is_some(),
        });
        self.computed(method, uri, auts).ok_or(AnswerError::Malformed)
    }

    fn password(
        &mut self,
        algorithm: Algorithm,
        nonce: &str,
    ) -> Result<(Vec<u8>, Option<[u8; 14]>), AnswerError> {
        match &self.secret {
            Secret::Password(text) if !algorithm.is_aka() => Ok((text.clone().into_bytes(), None)),
            Secret::Sim(sim) if algorithm.is_aka() => {
                let (rand, autn) = aka::split_nonce(nonce).ok_or(AnswerError::Malformed)?;
                match aka::check(sim, self.sqn_seen, &rand, &autn) {
                    Ok(agreed) => {
                        self.sqn_seen = agreed.sqn;
                        Ok((agreed.res.to_vec(), None))
                    }
                    // RFC 3310 §3.4: the password of a resynchronisation is empty
                    Err(Distrust::Sync(auts)) => Ok((Vec::new(), Some(auts))),
                    Err(Distrust::Mac) => Err(AnswerError::WrongNetwork),
                }
            }
            _ => Err(AnswerError::Algorithm),
        }
    }

    fn computed(&mut self, method: &str, uri: &str, auts: Option<[u8; 14]>) -> Option<String> {
        let last = self.last.as_mut()?;
        last.count += 1;
        let nc = format!("{:08x}", last.count);
        let qop = last.qop.then_some(QopAuth { nc: &nc, cnonce: &last.cnonce });
        let inputs = Inputs {
            username: &self.username,
            realm: &last.realm,
            password: &last.password,
            method,
            uri,
            nonce: &last.nonce,
            qop,
            session_cnonce: &last.cnonce,
        };
        let mut out = AuthWriter::digest()
            .quoted("username", &self.username)
            .quoted("realm", &last.realm)
            .quoted("nonce", &last.nonce)
            .quoted("uri", uri)
            .quoted("response", &response(last.algorithm, &inputs));
        if last.echo_algorithm {
            out = out.token("algorithm", last.algorithm.label());
        }
        if last.qop {
            out = out.token("qop", "auth").token("nc", &nc).quoted("cnonce", &last.cnonce);
        } else if matches!(last.algorithm, Algorithm::Md5Sess | Algorithm::Sha256Sess) {
            out = out.quoted("cnonce", &last.cnonce);
        }
        if let Some(opaque) = &last.opaque {
            out = out.quoted("opaque", opaque);
        }
        if let Some(auts) = auts {
            out = out.quoted("auts", &base64(&auts));
        }
        Some(out.finish())
    }
}

fn offers_auth(qop: &str) -> bool {
    qop.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth"))
}
