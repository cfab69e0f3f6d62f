//! Anchoring MSRP: a description that crosses the edge names the edge (R65 to R70).
//!
//! ```text
//!              offer by the UE                        offer by the core
//!   UE ── path P_ue, active ──▶ edge            edge ◀── path P_core, actpass ── core
//!         edge ── core!P_ue, active ──▶ core     UE ◀── access!P_core, actpass ── edge
//!         edge ◀── P_core, passive ── core       UE ── P_ue, active ──▶ edge
//!   UE ◀── access!P_core, passive ── edge        edge ── core!P_ue, active ──▶ core
//! ```
//! `side!P` is P with scheme, host and port of our listener on that side; its session-id stays, so a
//! session is known by the session-ids of both ends and a shard needs one port per side. The UE always
//! connects to us and we connect to the core (R67), unless the core insists on connecting.
//!
//! Audio and video are anchored by [`rtp`], each medium on ports of its own. What can be neither is refused
//! with port 0 (RFC 3264 §6), and an offer of nothing else as a whole (488). It is never passed, because a
//! description that names a UE's private address leaks it and cannot work.

mod msrp;
pub mod rtp;

pub use self::msrp::Link;
use self::msrp::{Answered, Offered};
use crate::api::MsrpPoint;
use crate::content::{Content, Policies};
use core::net::IpAddr;
use core::time::Duration;
use media::command::{MediaCommand, MsrpSession, RtpOrder};
use rtp::{Desk, Fate, Legs, RtpTerms};
use sdp::{Editor, Media, Sdp};
use sip::Message;
use smallvec::SmallVec;
use wire::{BindingId, Cause, EditList, MediaId, Realm, Span, Transport};

/// An SDP body, or the SDP part of a multipart body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdpPlace {
    /// The description itself.
    pub body: Span,
    /// The value of the part's own Content-Length, where it has one.
    pub part_length: Option<Span>,
}

/// What anchoring needs to know besides the description.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Where this shard serves MSRP.
    pub points: &'a [MsrpPoint],
    /// Where the UE's signalling comes from: its media must come from there too (R77).
    pub ue: IpAddr,
    /// The transport of the UE's signalling: media offered to it is secured likewise.
    pub ue_transport: Transport,
    /// It takes its media in WebSocket messages.
    pub ue_websocket: bool,
    /// What the operator says of MSRP.
    pub msrp: &'a config::Msrp,
    /// What may be sent, by service.
    pub policies: &'a Policies,
    /// What may be sent in this session.
    pub content: &'a Content,
    /// As in [`MsrpSession`].
    pub user: Option<BindingId>,
    /// As in [`MsrpSession`].
    pub idle_max: Duration,
    /// As in [`MsrpSession`].
    pub message_bytes_max: u64,
    /// What is configured about RTP.
    pub rtp: RtpTerms<'a>,
}

/// An offer that crossed the edge: what the answer will be held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    by: Realm,
    /// By index of the `m=` line; `None` where there is no MSRP to be anchored.
    lines: SmallVec<[Option<Box<Offered>>; 1]>,
    /// The same for RTP.
    rtp: rtp::Lines<rtp::Offered>,
}

/// The answer to an offer, medium by medium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    lines: SmallVec<[Option<Box<Answered>>; 1]>,
    rtp: rtp::Lines<rtp::Answered>,
}

/// The sessions of one dialog, as the relay was last told.
pub type Sessions = SmallVec<[MsrpSession; 1]>;

impl Offer {
    /// Rewrites the offer at `place` for the other side.
    ///
    /// # Errors
    /// `BadSdp` if it cannot be read or an MSRP medium has no path; `NotAcceptableMedia` if no medium
    /// can be anchored; `NoMediaPorts` or `TableFull` where RTP finds no room. On error `edits` may hold
    /// part of the changes: the message is not to be sent.
    pub fn anchor(
        message: Message<'_>,
        place: SdpPlace,
        by: Realm,
        terms: &Terms<'_>,
        desk: &mut Desk<'_>,
        edits: &mut EditList,
    ) -> Result<Self, Cause> {
        let sdp = Sdp::parse(message.text(place.body)).map_err(|e| e.cause)?;
        check_lines(&sdp)?;
        let to = by.other();
        let point = terms.point(to, terms.wanted(to));
        let mut offer = Self { by, lines: SmallVec::new(), rtp: SmallVec::new() };
        for media in sdp.media() {
            let line = rtp::offered(&media, by, terms, offer.rtp_count(), desk)?;
            offer.rtp.push(line);
        }
        let session = offer.rtp_address(to, desk).or(point.map(|p| p.advertised.ip()));
        let session = session.ok_or(Cause::NotAcceptableMedia)?;
        let mut editor = Editor::new(edits, place.body.start as usize);
        rtp::session_level(&sdp, USERNAME, SESSION_NAME, session, &mut editor);
        for media in sdp.media() {
            let serves = terms.serves(by, &media) && offer.msrp_count() < LINES_MAX;
            let line = match point.filter(|_| serves) {
                Some(point) => {
                    rtp::connections(&media, point.advertised.ip(), session, &mut editor);
                    Some(msrp::offered(&sdp, &media, point, by, terms, &mut editor)?)
                }
                None => None,
            };
            match (&line, offer.rtp.get(media.index()).and_then(Option::as_deref)) {
                (Some(_), _) => {}
                (None, Some(rtp)) => rtp.write(&media, by, terms, desk, session, &mut editor),
                (None, None) => refuse(&media, point, session, &mut editor),
            }
            offer.lines.push(line);
        }
        // With every medium switched off there is nothing to refuse (RFC 3264 §8.2).
        if offer.msrp_count() + offer.rtp_count() == 0 && sdp.media().any(|m| !m.is_disabled()) {
            return Err(Cause::NotAcceptableMedia);
        }
        if offer.speaks_ice(to, desk) {
            rtp::ice_lite(&sdp, &mut editor);
        }
        hide(&sdp, point.is_some(), |index| offer.fate(index), &mut editor);
        fit_part_length(place, edits);
        Ok(offer)
    }

    /// Who made the offer.
    #[must_use]
    pub const fn by(&self) -> Realm {
        self.by
    }

    /// How its media travel on the UE's side.
    #[must_use]
    pub fn access_link(&self) -> Option<Link> {
        let first = self.lines.iter().flatten().next()?;
        Some(match self.by {
            Realm::Access => first.said.link,
            Realm::Core => first.link,
        })
    }

    /// How many MSRP sessions it asks for.
    #[must_use]
    pub fn msrp_count(&self) -> usize {
        self.lines.iter().flatten().count()
    }

    /// How many RTP sessions it asks for.
    #[must_use]
    pub fn rtp_count(&self) -> usize {
        self.rtp.iter().flatten().count()
    }

    fn fate(&self, index: usize) -> Option<Fate> {
        fate(self.lines.get(index)?.is_some(), self.rtp.get(index)?.is_some())
    }

    /// Whether any medium has ICE towards a side.
    fn speaks_ice(&self, side: Realm, desk: &Desk<'_>) -> bool {
        let mut media = self.rtp.iter().enumerate().filter(|(_, line)| line.is_some());
        media.any(|(index, _)| desk.leg(index).is_some_and(|leg| leg.end(side).ice.is_some()))
    }

    /// Our address for RTP towards a side: that of the first medium.
    fn rtp_address(&self, side: Realm, desk: &Desk<'_>) -> Option<IpAddr> {
        let mut media = self.rtp.iter().enumerate().filter(|(_, line)| line.is_some());
        media.find_map(|(index, _)| Some(desk.leg(index)?.port(side).advertised.ip()))
    }

    /// Rewrites the answer at `place` for the offerer. A medium that is accepted without a path is
    /// passed on as refused: nothing could be sent to it.
    ///
    /// # Errors
    /// `BadSdp` if it cannot be read, `NotAcceptableMedia` if we have no listener for the offerer.
    pub fn anchor_answer(
        &self,
        message: Message<'_>,
        place: SdpPlace,
        terms: &Terms<'_>,
        desk: &mut Desk<'_>,
        edits: &mut EditList,
    ) -> Result<Answer, Cause> {
        let sdp = Sdp::parse(message.text(place.body)).map_err(|e| e.cause)?;
        check_lines(&sdp)?;
        let link = self.lines.iter().flatten().map(|l| l.said.link).next();
        let point = terms.point(self.by, link.unwrap_or(Link::stream(false)));
        let mut answer = Answer::default();
        for media in sdp.media() {
            let offered = self.rtp.get(media.index()).and_then(Option::as_deref);
            let line = match offered {
                Some(offered) => offered.answered(&media, self.by, terms, desk)?,
                None => None,
            };
            answer.rtp.push(line);
        }
        let session = self.rtp_address(self.by, desk).or(point.map(|p| p.advertised.ip()));
        let session = session.ok_or(Cause::NotAcceptableMedia)?;
        let mut editor = Editor::new(edits, place.body.start as usize);
        rtp::session_level(&sdp, USERNAME, SESSION_NAME, session, &mut editor);
        for media in sdp.media() {
            let index = media.index();
            let offered = self.lines.get(index).and_then(Option::as_deref).filter(|_| !media.is_disabled());
            let line = match (offered, point) {
                (Some(offered), Some(point)) => {
                    let own = terms.point(self.by, offered.said.link).unwrap_or(point);
                    let by = self.by.other();
                    let line = msrp::answered(&sdp, &media, offered, own, by, terms, &mut editor);
                    if line.is_some() {
                        rtp::connections(&media, own.advertised.ip(), session, &mut editor);
                    }
                    line
                }
                _ => None,
            };
            let rtp = answer.rtp.get(index).and_then(Option::as_deref);
            let rtp = rtp.and(self.rtp.get(index)).and_then(Option::as_deref);
            match (&line, rtp) {
                (Some(_), _) => {}
                (None, Some(rtp)) => rtp.write_answer(&media, self.by, terms, desk, session, &mut editor),
                (None, None) => refuse(&media, point, session, &mut editor),
            }
            answer.lines.push(line);
        }
        if self.speaks_ice(self.by, desk) {
            rtp::ice_lite(&sdp, &mut editor);
        }
        hide(&sdp, point.is_some(), |index| answer.fate(index), &mut editor);
        fit_part_length(place, edits);
        Ok(answer)
    }

    /// What the relay is to know: one session per medium that was not refused.
    ///
    /// Without an answer the far end is unknown: the session is reserved, so that a UE which connects
    /// faster than its 200 arrives is not turned away. `id` gives the id of the n-th session.
    ///
    /// # Errors
    /// `TableFull` if `id` gives none.
    pub fn sessions(
        &self,
        answer: Option<&Answer>,
        terms: &Terms<'_>,
        mut id: impl FnMut(usize) -> Option<MediaId>,
    ) -> Result<Sessions, Cause> {
        let mut sessions = Sessions::new();
        for (index, offered) in self.lines.iter().enumerate() {
            let Some(offered) = offered else { continue };
            let answered = match answer {
                None => None,
                Some(answer) => match answer.lines.get(index).and_then(Option::as_deref) {
                    Some(answered) => Some(answered),
                    None => continue,
                },
            };
            let id = id(sessions.len()).ok_or(Cause::TableFull)?;
            sessions.push(msrp::session(id, self.by, offered, answered, terms));
        }
        Ok(sessions)
    }

    /// What the RTP relay is to know: an order for each medium that was not refused, by its index.
    #[must_use]
    pub fn rtp_orders(
        &self,
        answer: Option<&Answer>,
        terms: &Terms<'_>,
        legs: &Legs,
    ) -> Vec<(usize, RtpOrder)> {
        let offered = self.rtp.iter().enumerate().filter_map(|(i, line)| Some((i, line.as_deref()?)));
        let order = |(index, offered): (usize, &rtp::Offered)| {
            let leg = legs.at(index)?;
            let answered = match answer {
                None => None,
                Some(answer) => Some(answer.rtp.get(index)?.as_deref()?),
            };
            Some((index, offered.order(answered, self.by, terms, leg)))
        };
        offered.filter_map(order).collect()
    }
}

impl Answer {
    fn fate(&self, index: usize) -> Option<Fate> {
        fate(self.lines.get(index)?.is_some(), self.rtp.get(index)?.is_some())
    }
}

/// What a medium is made into, unless it is refused.
fn fate(is_msrp: bool, is_rtp: bool) -> Option<Fate> {
    match (is_msrp, is_rtp) {
        (true, _) => Some(Fate::Msrp),
        (false, true) => Some(Fate::Rtp),
        (false, false) => None,
    }
}

/// Appends what turns the sessions the relay knows into `new`.
pub fn reconcile(old: &[MsrpSession], new: &[MsrpSession], cause: Cause, out: &mut Vec<MediaCommand>) {
    for session in new {
        if !old.contains(session) {
            out.push(MediaCommand::Msrp(Box::new(session.clone())));
        }
    }
    for session in old {
        if new.iter().all(|s| s.id != session.id) {
            out.push(MediaCommand::Release { id: session.id, cause });
        }
    }
}

/// Switches one medium off, and leaves no address of the far end in it.
fn refuse(media: &Media<'_>, point: Option<&MsrpPoint>, session: IpAddr, editor: &mut Editor<'_>) {
    editor.port(media, 0);
    rtp::connections(media, session, session, editor);
    if let Some((uri, point)) = media.path().and_then(|path| path.first()).zip(point) {
        let ours = point.advertised.to_string();
        editor.path(&uri, uri.scheme.text, ours.as_bytes(), b"tcp");
    }
}

/// Takes out of the whole description what is its writer's own. `fate` tells which media are served, and as
/// what.
fn hide(sdp: &Sdp<'_>, keeps_path: bool, fate: impl Fn(usize) -> Option<Fate>, editor: &mut Editor<'_>) {
    let foreign = rtp::foreign_names(sdp);
    rtp::hide(sdp.session(), Fate::Session, &foreign, editor);
    for media in sdp.media() {
        let fate = fate(media.index()).unwrap_or_else(|| {
            let keeps_path = keeps_path && media.path().is_some_and(|path| path.first().is_some());
            Fate::Refused { keeps_path }
        });
        rtp::hide(media.section(), fate, &foreign, editor);
    }
}

/// Lines that every description has, and that nobody edits, name no address.
fn check_lines(sdp: &Sdp<'_>) -> Result<(), Cause> {
    let bytes = sdp.bytes();
    let mut fixed = sdp.lines().iter().filter(|line| matches!(line.kind, b'm' | b't'));
    match fixed.any(|line| rtp::holds_address(line.value.of(bytes))) {
        true => Err(Cause::BadSdp),
        false => Ok(()),
    }
}

/// Writes the new length of the part, where it has one, in octets. The body's own is fitted when the
/// message is sent.
fn fit_part_length(place: SdpPlace, edits: &mut EditList) {
    if let Some(value) = place.part_length {
        let length = place.body.len() as i64 + edits.growth(place.body);
        let length = u64::try_from(length).unwrap_or_default();
        edits.replace_with(value, |out| wire::bytes_class::push_decimal(length, out));
    }
}

/// R65: as the figures show it on both sides.
const USERNAME: &[u8] = b"-";
const SESSION_NAME: &[u8] = b"SBC call";

/// MSRP media of one description; more are refused.
const LINES_MAX: usize = 4;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod msrp_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
