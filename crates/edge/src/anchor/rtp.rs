//! Anchoring audio and video: each side of an RTP medium is offered and answered by us (R65, R69, R71).
//!
//! ```text
//!   UE ── RTP/SAVP, its key ──▶ edge ── RTP/AVP, core port ──▶ core          offer
//!   UE ◀── RTP/SAVP, our key, access port ── edge ◀── RTP/AVP ── core        answer
//! ```
//! What is between a side and us (address, profile, keys, RTCP port, ICE) ends here and is made anew for
//! the other side; what is between the ends (formats, bandwidth, direction, feedback) passes.
//!
//! | a side's `srtp` | what it offers | what it is offered |
//! |---|---|---|
//! | `none` | plain; a secure profile is refused | plain |
//! | `offer` | taken as it is | plain profile with our keys, to be used or not (RFC 8643) |
//! | `require` | only with keys | a secure profile |

pub mod crypto;
pub mod legs;
mod said;
mod write;

use super::Terms;
use crate::rtp_ports::{Family, RtpPorts};
use ::rtp::srtp::Suite;
use config::Srtp;
use core::net::IpAddr;
use crypto::Shape;
pub use legs::{Desk, Leg, Legs};
use media::command::{MediaKind, RtpAbout, RtpOrder};
use media::rtp::{Ice, Latching, RtcpPort, RtpSession, RtpSide};
pub use said::Said;
use sdp::{Direction, Editor, Media, Profile};
use smallvec::SmallVec;
use std::sync::Arc;
use wire::{Cause, MediaId, Realm};
pub(super) use write::{Fate, connections, foreign_names, hide, holds_address, ice_lite, session_level};

/// What is configured about RTP, and what is the same for every medium of a call.
#[derive(Clone, Copy, Debug)]
pub struct RtpTerms<'a> {
    /// Keys towards each side, `[access, core]`.
    pub srtp: [Srtp; 2],
    /// What we offer where we offer keys.
    pub keying: [config::Keying; 2],
    /// Which sources count, by side.
    pub latching: [config::Latching; 2],
    /// The suites we speak, the preferred one first.
    pub suites: &'a [Suite],
    /// Our certificate as `a=fingerprint` has it; without one there is no DTLS-SRTP.
    pub fingerprint: Option<&'a str>,
    /// What the sessions are called in records.
    pub call_id: &'a Arc<str>,
}

/// RTP media of one description; more are refused. A conference of the specification has two.
const LINES_MAX: usize = 8;

/// One RTP medium of an offer that crossed the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The session it belongs to, or whose port to the answerer it shares (forks).
    pub leg: MediaId,
    said: Said,
    /// The profile as the offerer wrote it: the answer has the same (RFC 3264 §6.1).
    profile: Profile,
    /// What we made of it for the answerer.
    shape: Shape,
    /// Our side towards the answerer, so that each fork has it.
    end: legs::End,
    offers_mux: bool,
    kind: MediaKind,
    encoding: Arc<str>,
}

/// One RTP medium of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    said: Said,
}

/// Reads one medium of an offer that has `taken` of them already, and takes ports for it; `None` if it is not RTP that we can serve.
///
/// # Errors
/// `NoMediaPorts`, `TableFull`.
pub(super) fn offered(
    media: &Media<'_>,
    by: Realm,
    terms: &Terms<'_>,
    taken: usize,
    desk: &mut Desk<'_>,
) -> Result<Option<Box<Offered>>, Cause> {
    let serves = taken < LINES_MAX && !media.is_disabled() && is_usable(media);
    let Some(profile) = media.profile().filter(|_| serves) else { return Ok(None) };
    let to = by.other();
    let srtp = terms.rtp.srtp[by as usize];
    let Some(theirs) = crypto::of_offer(media, profile, srtp, &terms.rtp) else { return Ok(None) };
    let said = Said::read(media, theirs);
    let families = families(&said, by, terms, desk.ports);
    let index = media.index();
    let leg = match desk.enter(index, families) {
        Ok(leg) => leg,
        // There is no address of ours that this side could be told.
        Err(Cause::NotAcceptableMedia) => return Ok(None),
        Err(cause) => return Err(cause),
    };
    let shape = leg.end(to).shape_for(&terms.rtp, to);
    let Some(shape) = shape else { return Ok(None) };
    let id = leg.id;
    // RFC 5764 §4.1.1: each port would need a handshake of its own.
    let offers_mux = said.is_muxed || leg.end(to).is_muxed || shape.is_dtls();
    desk.prepare(index, to, &shape, &terms.rtp);
    desk.meet_ice(index, by, said.ice.as_deref());
    let end = desk.leg(index).map(|leg| leg.end(to).clone()).unwrap_or_default();
    let encoding = media.encoding();
    let name = encoding.name.get(..ENCODING_BYTES_MAX).unwrap_or(encoding.name);
    let name = String::from_utf8_lossy(name);
    Ok(Some(Box::new(Offered {
        leg: id,
        said,
        profile,
        shape,
        end,
        offers_mux,
        kind: kind(media),
        encoding: name.into(),
    })))
}

impl Offered {
    /// Writes the medium for the answerer.
    pub(super) fn write(
        &self,
        media: &Media<'_>,
        by: Realm,
        terms: &Terms<'_>,
        desk: &Desk<'_>,
        session: IpAddr,
        editor: &mut Editor<'_>,
    ) {
        let Some(leg) = desk.leg(media.index()) else { return };
        let to = by.other();
        let line = write::Line {
            at: leg.port(to).advertised,
            session,
            profile: Profile { security: self.shape.security(), feedback: self.profile.feedback },
            is_muxed: self.offers_mux,
            keys: crypto::lines_of_offer(&self.shape, leg.end(to), &terms.rtp),
            ice: leg.end(to).ice.as_ref(),
        };
        write::rewrite(media, &line, editor);
    }

    /// Reads this medium of the answer; `None` if it is refused, or answers something else.
    ///
    /// # Errors
    /// `NoMediaPorts`, `TableFull`: a fork needs ports of its own towards the offerer.
    pub(super) fn answered(
        &self,
        media: &Media<'_>,
        by: Realm,
        terms: &Terms<'_>,
        desk: &mut Desk<'_>,
    ) -> Result<Option<Box<Answered>>, Cause> {
        let answers = media.profile().filter(|_| !media.is_disabled() && is_usable(media));
        let Some(profile) = answers else { return Ok(None) };
        let Some(theirs) = crypto::of_answer(media, profile, &self.shape, &self.end, &terms.rtp) else {
            return Ok(None);
        };
        let said = Said::read(media, theirs);
        let index = media.index();
        let family = families(&self.said, by, terms, desk.ports)[by as usize];
        desk.enter_fork(index, self, by, family)?;
        desk.answer_with(index, by, &self.said);
        desk.settle(index, by, Shape::of(&self.said.theirs, self.profile), self.said.is_muxed);
        let muxed = said.is_muxed && self.offers_mux;
        desk.settle(index, by.other(), Shape::of(&said.theirs, profile), muxed);
        Ok(Some(Box::new(Answered { said })))
    }

    /// Writes the medium of the answer for the offerer.
    pub(super) fn write_answer(
        &self,
        media: &Media<'_>,
        by: Realm,
        terms: &Terms<'_>,
        desk: &Desk<'_>,
        session: IpAddr,
        editor: &mut Editor<'_>,
    ) {
        let Some(leg) = desk.leg(media.index()) else { return };
        let line = write::Line {
            at: leg.port(by).advertised,
            session,
            profile: self.profile,
            is_muxed: self.said.is_muxed,
            keys: crypto::lines_of_answer(&self.said.theirs, leg.end(by), &terms.rtp),
            ice: leg.end(by).ice.as_ref(),
        };
        write::rewrite(media, &line, editor);
    }

    /// What the relay is to know of it; without an answer the far end may send already, and is sent nothing.
    pub(super) fn order(
        &self,
        answered: Option<&Answered>,
        by: Realm,
        terms: &Terms<'_>,
        leg: &Leg,
    ) -> RtpOrder {
        let answer = answered.map(|a| &a.said);
        let may_send = |from: Direction, to: Direction| {
            use Direction::{Recvonly, Sendonly, Sendrecv};
            matches!(from, Sendrecv | Sendonly) && matches!(to, Sendrecv | Recvonly)
        };
        let (offerer_sends, answerer_sends) = answer.map_or((false, false), |answer| {
            let (there, back) = (self.said.direction, answer.direction);
            (may_send(there, back) && !answer.is_on_hold(), may_send(back, there) && !self.said.is_on_hold())
        });
        let offerer = self.side(by, leg, Some(&self.said), self.said.is_muxed, offerer_sends, terms);
        let answerer_muxed = answer.map_or(self.offers_mux, |a| a.is_muxed && self.offers_mux);
        let answerer = self.side(by.other(), leg, answer, answerer_muxed, answerer_sends, terms);
        let (access, core) = match by {
            Realm::Access => (offerer, answerer),
            Realm::Core => (answerer, offerer),
        };
        RtpOrder {
            id: leg.id,
            access_local: leg.port(Realm::Access).bound,
            core_local: leg.port(Realm::Core).bound,
            session: RtpSession { access, core },
            about: RtpAbout {
                call_id: Arc::clone(terms.rtp.call_id),
                kind: self.kind,
                encoding: Arc::clone(&self.encoding),
            },
        }
    }

    fn side(
        &self,
        realm: Realm,
        leg: &Leg,
        said: Option<&Said>,
        is_muxed: bool,
        sends: bool,
        terms: &Terms<'_>,
    ) -> RtpSide {
        let end = leg.end(realm);
        let remote = said.and_then(|s| s.target);
        let protection = match said.map(|s| &s.theirs) {
            Some(theirs) => crypto::protection(theirs, end),
            None => crypto::protection_before_answer(&self.shape, end, &terms.rtp),
        };
        RtpSide {
            remote,
            remote_rtcp: said.filter(|_| !is_muxed).and_then(|s| s.rtcp_target),
            rtcp: if is_muxed { RtcpPort::Muxed } else { RtcpPort::Own },
            latching: latching(realm, remote.map(|r| r.ip()), terms),
            protection,
            ice: end
                .ice
                .as_ref()
                .map(|ice| Ice { fragment: ice.fragment.clone(), password: ice.password.clone() }),
            sends,
            clock_rate: self.said.clock_rate,
        }
    }
}

/// Of each medium of an offer or answer, by the index of its `m=` line.
pub type Lines<T> = SmallVec<[Option<Box<T>>; 1]>;

/// A unicast stream on one port, whatever its formats are.
fn is_usable(media: &Media<'_>) -> bool {
    let unicast = !media.connection().and_then(|c| c.ip()).is_some_and(|ip| ip.is_multicast());
    media.line().port_count == 1 && unicast && media.connection().is_some()
}

/// Which families our addresses are of, `[access, core]`: to the offerer as it is itself (RFC 8866 §5.7),
/// to the UE as its signalling is, to the core IPv4 where we have it.
fn families(said: &Said, by: Realm, terms: &Terms<'_>, ports: &RtpPorts) -> [Family; 2] {
    let of_ue = Family::of(terms.ue);
    let mut families = [of_ue, Family::V4];
    if !ports.serves(Realm::Core, Family::V4) {
        families[1] = Family::V6;
    }
    if !ports.serves(Realm::Access, of_ue) {
        families[0] = of_ue.other();
    }
    if let Some(ip) = said.target.map(|t| t.ip())
        && ports.serves(by, Family::of(ip))
    {
        families[by as usize] = Family::of(ip);
    }
    families
}

fn latching(realm: Realm, signalled: Option<IpAddr>, terms: &Terms<'_>) -> Latching {
    let host = match realm {
        Realm::Access => terms.ue,
        // A media server is not where its signalling comes from; it says itself where it is.
        Realm::Core => signalled.unwrap_or(IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED)),
    };
    match terms.rtp.latching[realm as usize] {
        config::Latching::Strict => Latching::Strict,
        config::Latching::Signaller => Latching::Signaller { host },
        config::Latching::Anyone => Latching::Anyone,
    }
}

fn kind(media: &Media<'_>) -> MediaKind {
    let name = media.line().media.text;
    if name.eq_ignore_ascii_case(b"audio") {
        MediaKind::Audio
    } else if name.eq_ignore_ascii_case(b"video") {
        MediaKind::Video
    } else {
        MediaKind::Other
    }
}

/// Names of codecs are short; what is longer says nothing to the quality estimate.
const ENCODING_BYTES_MAX: usize = 32;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests;
