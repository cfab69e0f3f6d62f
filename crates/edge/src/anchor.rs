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
//! Media other than MSRP is not anchored here: it is refused with port 0 next to an MSRP medium
//! (RFC 3264 §6), and an offer without any MSRP medium is refused as a whole (488). It is never passed,
//! because a description that names a UE's private address leaks it and cannot work.

mod msrp;

pub use self::msrp::Link;
use self::msrp::{Answered, Offered};
use crate::api::MsrpPoint;
use core::net::IpAddr;
use core::time::Duration;
use media::command::{MediaCommand, MsrpSession};
use sdp::{Editor, Media, Sdp};
use sip::Message;
use smallvec::SmallVec;
use wire::{Cause, EditList, MediaId, Realm, Span, Transport};

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
    /// As in [`MsrpSession`].
    pub idle_max: Duration,
    /// As in [`MsrpSession`].
    pub message_bytes_max: u64,
}

/// An offer that crossed the edge: what the answer will be held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    by: Realm,
    /// By index of the `m=` line; `None` where nothing is to be anchored.
    lines: SmallVec<[Option<Box<Offered>>; 1]>,
}

/// The answer to an offer, medium by medium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    lines: SmallVec<[Option<Box<Answered>>; 1]>,
}

/// The sessions of one dialog, as the relay was last told.
pub type Sessions = SmallVec<[MsrpSession; 1]>;

impl Offer {
    /// Rewrites the offer at `place` for the other side.
    ///
    /// # Errors
    /// `BadSdp` if it cannot be read or an MSRP medium has no path; `NotAcceptableMedia` if no medium
    /// can be anchored. On error `edits` may hold part of the changes: the message is not to be sent.
    pub fn anchor(
        message: Message<'_>,
        place: SdpPlace,
        by: Realm,
        terms: &Terms<'_>,
        edits: &mut EditList,
    ) -> Result<Self, Cause> {
        let sdp = Sdp::parse(message.text(place.body)).map_err(|e| e.cause)?;
        let to = by.other();
        let point = terms.point(to, terms.wanted(to)).ok_or(Cause::NotAcceptableMedia)?;
        let mut editor = Editor::new(edits, place.body.start as usize);
        editor.session(&sdp, USERNAME, SESSION_NAME, point.advertised.ip());
        hide_session(&sdp, &mut editor);
        let mut offer = Self { by, lines: SmallVec::new() };
        for media in sdp.media() {
            let line = match terms.serves(by, &media) && offer.msrp_count() < LINES_MAX {
                true => Some(msrp::offered(&sdp, &media, point, by, terms, &mut editor)?),
                false => None,
            };
            if line.is_none() {
                refuse(&media, point, &mut editor);
            }
            offer.lines.push(line);
        }
        // With every medium switched off there is nothing to refuse (RFC 3264 §8.2).
        if offer.msrp_count() == 0 && sdp.media().any(|m| !m.is_disabled()) {
            return Err(Cause::NotAcceptableMedia);
        }
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

    /// How many sessions it asks for.
    #[must_use]
    pub fn msrp_count(&self) -> usize {
        self.lines.iter().flatten().count()
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
        edits: &mut EditList,
    ) -> Result<Answer, Cause> {
        let sdp = Sdp::parse(message.text(place.body)).map_err(|e| e.cause)?;
        let link = self.lines.iter().flatten().map(|l| l.said.link).next();
        let point = terms.point(self.by, link.unwrap_or(Link::stream(false)));
        let point = point.ok_or(Cause::NotAcceptableMedia)?;
        let mut editor = Editor::new(edits, place.body.start as usize);
        editor.session(&sdp, USERNAME, SESSION_NAME, point.advertised.ip());
        hide_session(&sdp, &mut editor);
        let mut answer = Answer::default();
        for media in sdp.media() {
            let offered = self.lines.get(media.index()).and_then(Option::as_deref);
            let line = match offered {
                Some(offered) if !media.is_disabled() => {
                    let own = terms.point(self.by, offered.said.link).unwrap_or(point);
                    msrp::answered(&sdp, &media, offered, own, self.by.other(), terms, &mut editor)
                }
                _ => None,
            };
            if line.is_none() {
                refuse(&media, point, &mut editor);
            }
            answer.lines.push(line);
        }
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
fn refuse(media: &Media<'_>, point: &MsrpPoint, editor: &mut Editor<'_>) {
    editor.port(media, 0);
    hide(media, editor);
    let path = media.path().and_then(|path| path.first());
    match (path, media.section().attribute(b"path")) {
        (Some(uri), _) => {
            let ours = point.advertised.to_string();
            editor.path(&uri, uri.scheme.text, ours.as_bytes(), b"tcp");
        }
        (None, Some(line)) => editor.remove_line(line.line),
        (None, None) => {}
    }
}

/// The same for what is said of all media at once.
fn hide_session(sdp: &Sdp<'_>, editor: &mut Editor<'_>) {
    let has_msrp = sdp.media().any(|media| media.is_msrp());
    for attribute in sdp.session().attributes().filter(|_| has_msrp) {
        if attribute.name.eq_ignore_ascii_case(b"fingerprint") {
            editor.remove_line(attribute.line);
        }
    }
}

/// Takes out what names the far end itself: where else it receives media (RFC 3605, RFC 8839), and its
/// certificate, because the one that the peer will see is ours (RFC 4572 §5).
fn hide(media: &Media<'_>, editor: &mut Editor<'_>) {
    let mut paths = 0;
    for attribute in media.section().attributes() {
        let is = |name: &[u8]| attribute.name.eq_ignore_ascii_case(name);
        paths += usize::from(is(b"path"));
        // Of several a=path, which RFC 4975 does not know, only the first means anything.
        let second_path = is(b"path") && paths > 1;
        if second_path || OWN.iter().any(|name| is(name)) {
            editor.remove_line(attribute.line);
        }
    }
}

const OWN: [&[u8]; 4] = [b"candidate", b"remote-candidates", b"rtcp", b"fingerprint"];

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
