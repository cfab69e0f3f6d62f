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

use crate::api::MsrpPoint;
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use media::command::{MediaCommand, MsrpSession, MsrpSide, Opening};
use sdp::{Editor, Media, Sdp, Setup};
use sip::Message;
use smallvec::SmallVec;
use std::io::Write as _;
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

/// One MSRP medium of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Offered {
    said: Said,
    /// Our URI in the offer that went on, and how we serve it.
    local_path: Bytes,
    transport: Transport,
}

/// What one end said about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    /// All of `a=path`.
    path: Bytes,
    setup: Option<Setup>,
    transport: Transport,
    /// Where it listens, if it said so by address.
    peer: Option<SocketAddr>,
}

/// The answer to an offer, medium by medium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    lines: SmallVec<[Option<Box<Answered>>; 1]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Answered {
    said: Said,
    /// Our URI in the answer that went on.
    local_path: Bytes,
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
        let secure = to == Realm::Access && terms.ue_transport == Transport::Tls;
        let point = terms.point(to, wanted(secure)).ok_or(Cause::NotAcceptableMedia)?;
        let mut editor = Editor::new(edits, place.body.start as usize);
        editor.session(&sdp, USERNAME, SESSION_NAME, point.advertised.ip());
        let mut offer = Self { by, lines: SmallVec::new() };
        for media in sdp.media() {
            let line = match terms.serves(by, &media) && offer.msrp_count() < LINES_MAX {
                true => Some(offered(&media, point, to, &mut editor)?),
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
    pub fn access_transport(&self) -> Option<Transport> {
        let first = self.lines.iter().flatten().next()?;
        Some(match self.by {
            Realm::Access => first.said.transport,
            Realm::Core => first.transport,
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
        let transport = self.lines.iter().flatten().map(|l| l.said.transport).next();
        let point = terms.point(self.by, transport.unwrap_or(Transport::Tcp));
        let point = point.ok_or(Cause::NotAcceptableMedia)?;
        let mut editor = Editor::new(edits, place.body.start as usize);
        editor.session(&sdp, USERNAME, SESSION_NAME, point.advertised.ip());
        let mut answer = Answer::default();
        for media in sdp.media() {
            let offered = self.lines.get(media.index()).and_then(Option::as_deref);
            let line = match offered {
                Some(offered) if !media.is_disabled() => {
                    answered(&media, offered, point, self.by, &mut editor)
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
            sessions.push(session(id, self.by, offered, answered, terms));
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

impl Terms<'_> {
    /// Our listener on one side: of this transport if there is one, and of the UE's address family.
    fn point(&self, realm: Realm, transport: Transport) -> Option<&MsrpPoint> {
        let fit = |p: &&MsrpPoint| {
            let family = realm == Realm::Access && p.advertised.is_ipv4() != self.ue.is_ipv4();
            (p.transport != transport, family)
        };
        let here = self.points.iter().filter(|p| p.realm == realm);
        here.min_by_key(fit)
    }

    /// Whether an offered medium can be anchored: it is MSRP, and wanted, and we have what it asks for.
    fn serves(&self, by: Realm, media: &Media<'_>) -> bool {
        let transport = transport_of(media);
        let served = |p: &&MsrpPoint| p.realm == by && p.transport == transport;
        // Towards the core we connect, so no listener of ours has to speak its transport.
        let can = by == Realm::Core || self.points.iter().any(|p| served(&p));
        media.is_msrp() && !media.is_disabled() && can
    }
}

fn offered(
    media: &Media<'_>,
    point: &MsrpPoint,
    to: Realm,
    editor: &mut Editor<'_>,
) -> Result<Box<Offered>, Cause> {
    let said = said(media).ok_or(Cause::BadSdp)?;
    let setup = match to {
        Realm::Access => Setup::Actpass,
        Realm::Core => Setup::Active,
    };
    let local_path = rewrite(media, point, point.transport, setup, editor).ok_or(Cause::BadSdp)?;
    Ok(Box::new(Offered { said, local_path, transport: point.transport }))
}

fn answered(
    media: &Media<'_>,
    offered: &Offered,
    point: &MsrpPoint,
    to: Realm,
    editor: &mut Editor<'_>,
) -> Option<Box<Answered>> {
    let said = said(media)?;
    let setup = match to {
        Realm::Access => Setup::Passive,
        Realm::Core if core_connects(offered.said.setup) => Setup::Passive,
        Realm::Core => Setup::Active,
    };
    let local_path = rewrite(media, point, offered.said.transport, setup, editor)?;
    Some(Box::new(Answered { said, local_path }))
}

/// Switches one medium off, and leaves no address of the far end in it.
fn refuse(media: &Media<'_>, point: &MsrpPoint, editor: &mut Editor<'_>) {
    editor.port(media, 0);
    hide(media, editor);
    let path = media.path().and_then(|path| path.first());
    match (path, media.section().attribute(b"path")) {
        (Some(uri), _) => editor.path(&uri, uri.scheme.text, point.advertised.to_string().as_bytes()),
        (None, Some(line)) => editor.remove_line(line.line),
        (None, None) => {}
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

/// RFC 4975 §5.4: who offers without `a=setup` connects.
const fn core_connects(offered: Option<Setup>) -> bool {
    matches!(offered, None | Some(Setup::Active))
}

/// Puts our address into one MSRP medium and returns the URI we wrote.
fn rewrite(
    media: &Media<'_>,
    point: &MsrpPoint,
    transport: Transport,
    setup: Setup,
    editor: &mut Editor<'_>,
) -> Option<Bytes> {
    let uri = media.path()?.first()?;
    let (scheme, proto): (&[u8], &[u8]) = match transport {
        Transport::Tls => (b"msrps", b"TCP/TLS/MSRP"),
        _ => (b"msrp", b"TCP/MSRP"),
    };
    let mut host_port = Vec::with_capacity(48);
    let _ = write!(host_port, "{}", point.advertised); // a Vec takes everything
    editor.port(media, point.advertised.port());
    if !media.line().proto.text.eq_ignore_ascii_case(proto) {
        editor.proto(media, proto);
    }
    editor.path(&uri, scheme, &host_port); // R66: only the hop next to us
    editor.setup(media, setup);
    hide(media, editor);
    let mut local_path = Vec::with_capacity(96);
    uri.write_anchored(scheme, &host_port, &mut local_path);
    Some(local_path.into())
}

/// What `media` says of its end; `None` if it has no path that can be read.
fn said(media: &Media<'_>) -> Option<Said> {
    let path = media.path().filter(|path| path.text().len() <= PATH_BYTES_MAX)?;
    let uri = path.first()?;
    // CEMA and names: where the URI does not say by address, c= and m= do (RFC 6714 §4.2).
    let by_path = core::str::from_utf8(uri.host_port.text).ok().and_then(|t| t.parse().ok());
    let by_line = || {
        let ip = media.connection()?.ip()?;
        Some(SocketAddr::new(ip, media.line().port))
    };
    Some(Said {
        path: Bytes::copy_from_slice(path.text()),
        setup: media.setup(),
        transport: transport_of(media),
        peer: by_path.or_else(by_line),
    })
}

fn session(
    id: MediaId,
    by: Realm,
    offered: &Offered,
    answered: Option<&Answered>,
    terms: &Terms<'_>,
) -> MsrpSession {
    let offerer = MsrpSide {
        local_path: answered.map(|a| a.local_path.clone()).unwrap_or_default(),
        remote_path: Some(offered.said.path.clone()),
        opening: Opening::Listen,
        ..MsrpSide::default()
    };
    let answerer = MsrpSide {
        local_path: offered.local_path.clone(),
        remote_path: answered.map(|a| a.said.path.clone()),
        opening: Opening::Listen,
        ..MsrpSide::default()
    };
    let (mut access, mut core) = match by {
        Realm::Access => (offerer, answerer),
        Realm::Core => (answerer, offerer),
    };
    access.expect_source = Some(terms.ue);
    let (said, transport, listens) = match by {
        // We offered to connect; a core that answers active connects all the same.
        Realm::Access => (
            answered.map(|a| &a.said),
            offered.transport,
            answered.is_some_and(|a| a.said.setup == Some(Setup::Active)),
        ),
        Realm::Core => (Some(&offered.said), offered.said.transport, core_connects(offered.said.setup)),
    };
    let peer = said.and_then(|s| s.peer);
    match peer {
        Some(peer) if !listens => core.opening = Opening::Dial { transport, peer },
        _ => core.expect_source = peer.map(|p| p.ip()),
    }
    MsrpSession {
        id,
        access,
        core,
        idle_max: terms.idle_max,
        message_bytes_max: terms.message_bytes_max,
        content: [None, None],
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

fn transport_of(media: &Media<'_>) -> Transport {
    wanted(media.is_tls())
}

const fn wanted(secure: bool) -> Transport {
    match secure {
        true => Transport::Tls,
        false => Transport::Tcp,
    }
}

/// R65: as the figures show it on both sides.
const USERNAME: &[u8] = b"-";
const SESSION_NAME: &[u8] = b"SBC call";

/// The relay keeps a path for the life of the session; real ones have 30 to 60 bytes.
const PATH_BYTES_MAX: usize = 1_024;

/// MSRP media of one description; more are refused.
const LINES_MAX: usize = 4;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
