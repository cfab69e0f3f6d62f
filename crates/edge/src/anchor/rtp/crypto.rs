//! Keys in offer and answer (RFC 4568, RFC 5763, RFC 8643): what a side says, and what we say to it.

use super::RtpTerms;
use super::legs::End;
use ::rtp::sdes::{self, Crypto};
use ::rtp::srtp::MasterKey;
use config::{Keying, Srtp};
use media::rtp::{DtlsRole, Protection};
use sdp::{Media, Profile, Security, Setup};
use smallvec::SmallVec;
use wire::{Fingerprint, FingerprintText, Random, Realm};

/// The keys that the writer of a medium names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Theirs {
    /// None.
    Plain,
    /// One `a=crypto` line: of an offer the one we chose, of an answer the one it has.
    Sdes {
        /// Its tag.
        tag: u32,
        /// The key with which its writer sends.
        key: MasterKey,
    },
    /// A certificate.
    Dtls {
        /// Its fingerprints that we can check.
        fingerprints: SmallVec<[Fingerprint; 1]>,
        /// Which of us begins the handshake.
        role: DtlsRole,
    },
}

/// How a medium towards one side is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Without keys.
    Plain,
    /// With keys.
    Keyed {
        /// Of this kind,
        keying: Keying,
        /// in a profile that demands them, or one that leaves it to the answerer (RFC 8643).
        demand: Demand,
    },
}

/// Whether an answer without keys will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Yes: `RTP/AVP` with keys.
    Optional,
    /// No: `RTP/SAVP`.
    Strict,
}

impl Shape {
    /// The shape of what was agreed with a side.
    pub(super) const fn of(theirs: &Theirs, profile: Profile) -> Self {
        let demand = match profile.security {
            Security::Plain => Demand::Optional,
            _ => Demand::Strict,
        };
        match theirs {
            Theirs::Plain => Self::Plain,
            Theirs::Sdes { .. } => Self::Keyed { keying: Keying::Sdes, demand },
            Theirs::Dtls { .. } => Self::Keyed { keying: Keying::Dtls, demand },
        }
    }

    /// What a side is offered at first; `None` where its policy cannot be met.
    pub(super) fn first(terms: &RtpTerms<'_>, to: Realm) -> Option<Self> {
        let demand = match terms.srtp[to as usize] {
            Srtp::None => return Some(Self::Plain),
            Srtp::Offer => Demand::Optional,
            Srtp::Require => Demand::Strict,
        };
        let keying = terms.keying[to as usize];
        let can = keying == Keying::Sdes || terms.fingerprint.is_some();
        can.then_some(Self::Keyed { keying, demand })
    }

    pub(super) const fn is_dtls(self) -> bool {
        matches!(self, Self::Keyed { keying: Keying::Dtls, .. })
    }

    pub(super) const fn security(self) -> Security {
        match self {
            Self::Keyed { keying: Keying::Sdes, demand: Demand::Strict } => Security::Sdes,
            Self::Keyed { keying: Keying::Dtls, demand: Demand::Strict } => Security::Dtls,
            _ => Security::Plain,
        }
    }
}

/// The keys of an offered medium that we take; `None` if the side's policy does not let it through.
pub(super) fn of_offer(
    media: &Media<'_>,
    profile: Profile,
    srtp: Srtp,
    terms: &RtpTerms<'_>,
) -> Option<Theirs> {
    if srtp == Srtp::None {
        return (profile.security == Security::Plain).then_some(Theirs::Plain);
    }
    let lines: SmallVec<[Crypto; 4]> = usable_lines(media).collect();
    let sdes = || {
        let chosen = sdes::choose(&lines, terms.suites)?;
        Some(Theirs::Sdes { tag: chosen.tag, key: chosen.key.clone() })
    };
    let dtls = || terms.fingerprint.and_then(|_| certificate(media, Who::Offerer));
    let keyed = match profile.security {
        // Both kinds may stand in one offer; the profile says which one counts.
        Security::Dtls => dtls(),
        _ => sdes().or_else(dtls),
    };
    match keyed {
        Some(theirs) => Some(theirs),
        None if profile.security == Security::Plain && srtp == Srtp::Offer => Some(Theirs::Plain),
        None => None,
    }
}

/// The keys of an answered medium; `None` if it does not answer what we offered.
pub(super) fn of_answer(
    media: &Media<'_>,
    profile: Profile,
    shape: &Shape,
    ours: &End,
    terms: &RtpTerms<'_>,
) -> Option<Theirs> {
    if profile.security != shape.security() {
        return None; // RFC 3264 §6.1: the answer has the profile of the offer
    }
    let Shape::Keyed { keying, demand } = *shape else { return Some(Theirs::Plain) };
    let keyed = match keying {
        Keying::Sdes => {
            let offered: SmallVec<[Crypto; 6]> = offered_lines(ours, terms).collect();
            // RFC 4568 §5.1.3: exactly one, and one of ours.
            let mut lines = usable_lines(media);
            let answer = lines.next().filter(|_| lines.next().is_none());
            let answer = answer.filter(|line| sdes::accepted(&offered, line).is_some());
            answer.map(|line| Theirs::Sdes { tag: line.tag, key: line.key })
        }
        Keying::Dtls => certificate(media, Who::Answerer),
    };
    match (keyed, demand) {
        (None, Demand::Optional) => Some(Theirs::Plain),
        (keyed, _) => keyed,
    }
}

/// The attributes of a medium that we offer.
pub(super) fn lines_of_offer(shape: &Shape, ours: &End, terms: &RtpTerms<'_>) -> Vec<Vec<u8>> {
    match shape {
        Shape::Plain => Vec::new(),
        Shape::Keyed { keying: Keying::Sdes, .. } => {
            offered_lines(ours, terms).map(|l| line_of(&l)).collect()
        }
        Shape::Keyed { keying: Keying::Dtls, .. } => certificate_lines(Setup::Actpass, terms),
    }
}

/// The attributes of a medium that we answer.
pub(super) fn lines_of_answer(theirs: &Theirs, ours: &End, terms: &RtpTerms<'_>) -> Vec<Vec<u8>> {
    match theirs {
        Theirs::Plain => Vec::new(),
        Theirs::Sdes { tag, key } => {
            let own = ours.key(key.suite());
            own.map(|own| line_of(&Crypto { tag: *tag, key: own.clone(), lifetime_packets: None }))
                .into_iter()
                .collect()
        }
        Theirs::Dtls { role: DtlsRole::Client, .. } => certificate_lines(Setup::Active, terms),
        Theirs::Dtls { role: DtlsRole::Server, .. } => certificate_lines(Setup::Passive, terms),
    }
}

/// How packets of a side are protected once it has spoken.
pub(super) fn protection(theirs: &Theirs, ours: &End) -> Protection {
    match theirs {
        Theirs::Plain => Protection::Plain,
        Theirs::Sdes { key, .. } => match ours.key(key.suite()) {
            Some(own) => Protection::Sdes { send: own.clone(), receive: Some(key.clone()) },
            None => Protection::Plain,
        },
        Theirs::Dtls { fingerprints, role } => {
            Protection::Dtls { role: *role, fingerprints: fingerprints.clone() }
        }
    }
}

/// How packets of a side are protected that was offered `shape` and has not answered.
pub(super) fn protection_before_answer(shape: &Shape, ours: &End, terms: &RtpTerms<'_>) -> Protection {
    let own = terms.suites.first().and_then(|suite| ours.key(*suite));
    match (shape, own) {
        (Shape::Keyed { keying: Keying::Sdes, .. }, Some(own)) => {
            Protection::Sdes { send: own.clone(), receive: None }
        }
        // Whose certificate it must be is not known yet, so that no handshake begins.
        (Shape::Keyed { keying: Keying::Dtls, demand: Demand::Strict }, _) => {
            Protection::Dtls { role: DtlsRole::Server, fingerprints: SmallVec::new() }
        }
        _ => Protection::Plain,
    }
}

/// Draws the keys that a shape needs.
pub(super) fn draw(shape: &Shape, ours: &mut End, terms: &RtpTerms<'_>, random: &mut Random) {
    if let Shape::Keyed { keying: Keying::Sdes, .. } = shape {
        for suite in terms.suites {
            ours.draw(*suite, random);
        }
    }
}

fn usable_lines<'a>(media: &Media<'a>) -> impl Iterator<Item = Crypto> + use<'a> {
    let values = media.crypto().filter_map(|a| a.value).take(CRYPTO_LINES_MAX);
    values.filter_map(|value| Crypto::parse(value.text).ok())
}

/// Our lines: one for each suite, numbered in the order of our preference.
fn offered_lines<'a>(ours: &'a End, terms: &RtpTerms<'a>) -> impl Iterator<Item = Crypto> + use<'a> {
    (1..).zip(terms.suites).filter_map(|(tag, suite)| {
        Some(Crypto { tag, key: ours.key(*suite)?.clone(), lifetime_packets: None })
    })
}

fn line_of(crypto: &Crypto) -> Vec<u8> {
    let mut line = b"a=crypto:".to_vec();
    crypto.write(&mut line);
    line
}

fn certificate_lines(setup: Setup, terms: &RtpTerms<'_>) -> Vec<Vec<u8>> {
    let fingerprint = terms.fingerprint.unwrap_or_default();
    vec![
        format!("a=fingerprint:{fingerprint}").into_bytes(),
        format!("a=setup:{}", setup.as_str()).into_bytes(),
    ]
}

/// Who wrote a medium.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Offerer,
    Answerer,
}

/// RFC 5763 §5: an offerer that leaves it to us gets the client's part, so that its first flight tells us
/// where it is behind its NAT.
fn certificate(media: &Media<'_>, writer: Who) -> Option<Theirs> {
    let values = media.fingerprints().take(FINGERPRINTS_MAX);
    let fingerprints: SmallVec<[Fingerprint; 1]> = values.filter_map(|v| known(v.text)).collect();
    let role = match (media.setup(), writer) {
        (Some(Setup::Passive), _) => DtlsRole::Client,
        (Some(Setup::Active), _) => DtlsRole::Server,
        (Some(Setup::Actpass) | None, Who::Offerer) => DtlsRole::Server,
        _ => return None,
    };
    (!fingerprints.is_empty()).then_some(Theirs::Dtls { fingerprints, role })
}

fn known(value: &[u8]) -> Option<Fingerprint> {
    match Fingerprint::read(value) {
        FingerprintText::Known(fingerprint) => Some(fingerprint),
        FingerprintText::Foreign | FingerprintText::Malformed => None,
    }
}

/// Six suites; phones offer two to four.
const CRYPTO_LINES_MAX: usize = 16;
/// One certificate under several hashes.
const FINGERPRINTS_MAX: usize = 4;
