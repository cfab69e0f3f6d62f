//! One MSRP medium: what an end said, and what is written in its place (R65 to R67).
//!
//! The two sides are secured independently: each is offered and answered what it speaks, and its URI,
//! `m=` line and fingerprint say so.

use super::Terms;
use crate::api::MsrpPoint;
use crate::content;
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};
use media::command::{Matching, MsrpSession, MsrpSide, Opening};
use sdp::{Editor, Media, PathUri, Sdp, Section, Setup};
use std::io::Write as _;
use std::sync::Arc;
use wire::{Cause, Fingerprint, FingerprintText, MediaId, Realm, Transport};

/// One MSRP medium of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) said: Said,
    /// Our URI in the offer that went on, and how we serve it.
    local_path: Bytes,
    pub(super) link: Link,
}

/// The same medium in the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    said: Said,
    /// Our URI in the answer that went on.
    local_path: Bytes,
    /// The UE waits for us, and can be reached.
    dials_ue: bool,
}

/// What MSRP travels in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// TCP or TLS.
    pub transport: Transport,
    /// In WebSocket messages (RFC 7977).
    pub websocket: bool,
}

impl Link {
    /// Plain or secured, without WebSocket.
    pub const fn stream(secure: bool) -> Self {
        let transport = if secure { Transport::Tls } else { Transport::Tcp };
        Self { transport, websocket: false }
    }

    const fn words(self) -> Words {
        let (scheme, proto): (&[u8], &[u8]) = match self.transport {
            Transport::Tls => (b"msrps", b"TCP/TLS/MSRP"),
            _ => (b"msrp", b"TCP/MSRP"),
        };
        Words { scheme, proto, parameter: if self.websocket { b"ws" } else { b"tcp" } }
    }
}

struct Words {
    scheme: &'static [u8],
    proto: &'static [u8],
    parameter: &'static [u8],
}

/// What one end said about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// `a=path` without a hop of ours.
    path: Bytes,
    /// The hop of ours that the UE put before itself (RFC 4976).
    relay_uri: Option<Bytes>,
    setup: Option<Setup>,
    pub(super) link: Link,
    /// Where it listens, if it said so by address.
    peer: Option<SocketAddr>,
    /// Its certificates.
    fingerprints: Vec<Fingerprint>,
    /// It does not rely on addresses in paths (RFC 6714).
    cema: bool,
}

impl Terms<'_> {
    /// Our listener on one side: what fits `link` best, and the UE's address family.
    pub(super) fn point(&self, realm: Realm, link: Link) -> Option<&MsrpPoint> {
        let fit = |p: &&MsrpPoint| {
            let family = realm == Realm::Access && p.advertised.is_ipv4() != self.ue.is_ipv4();
            (p.websocket != link.websocket, p.transport != link.transport, family)
        };
        let here = self.points.iter().filter(|p| p.realm == realm);
        here.min_by_key(fit)
    }

    /// Whether an offered medium can be anchored: it is MSRP, and wanted, and we have what it asks for.
    pub(super) fn serves(&self, by: Realm, media: &Media<'_>) -> bool {
        let link = link_of(media);
        let served =
            |p: &MsrpPoint| p.realm == by && p.transport == link.transport && p.websocket == link.websocket;
        // Towards the core we connect, so no listener of ours has to speak its transport.
        let can = by == Realm::Core || self.points.iter().any(served);
        media.is_msrp() && !media.is_disabled() && can
    }

    /// What is offered to a side that has not spoken yet.
    pub(super) const fn wanted(&self, to: Realm) -> Link {
        match to {
            Realm::Access => Link {
                websocket: self.ue_websocket,
                ..Link::stream(matches!(self.ue_transport, Transport::Tls))
            },
            Realm::Core => Link { transport: self.msrp.core_transport, websocket: false },
        }
    }

    fn is_ours(&self, uri: &PathUri<'_>) -> bool {
        let address = core::str::from_utf8(uri.host_port.text).ok().and_then(|text| text.parse().ok());
        address.is_some_and(|address: SocketAddr| self.points.iter().any(|p| p.advertised == address))
    }

    const fn is_lenient(&self, realm: Realm) -> bool {
        match realm {
            Realm::Access => self.msrp.sessmatch_access,
            Realm::Core => self.msrp.sessmatch_core,
        }
    }
}

/// Takes in one medium of an offer and writes ours.
pub(super) fn offered(
    sdp: &Sdp<'_>,
    media: &Media<'_>,
    point: &MsrpPoint,
    by: Realm,
    terms: &Terms<'_>,
    editor: &mut Editor<'_>,
) -> Result<Box<Offered>, Cause> {
    content::check(media, by, terms.content)?;
    let said = said(sdp, media, by, terms)?;
    let setup = match by.other() {
        Realm::Access => Setup::Actpass,
        Realm::Core => Setup::Active,
    };
    let link = Link { transport: point.transport, websocket: point.websocket };
    let local_path = rewrite(media, point, link, setup, by, terms, editor).ok_or(Cause::BadSdp)?;
    Ok(Box::new(Offered { said, local_path, link }))
}

/// Takes in one medium of the answer and writes ours; `None` if nothing could be sent to its end.
pub(super) fn answered(
    sdp: &Sdp<'_>,
    media: &Media<'_>,
    offered: &Offered,
    point: &MsrpPoint,
    by: Realm,
    terms: &Terms<'_>,
    editor: &mut Editor<'_>,
) -> Option<Box<Answered>> {
    content::check(media, by, terms.content).ok()?;
    let said = said(sdp, media, by, terms).ok()?;
    let to = by.other();
    let dials_ue = to == Realm::Access && waits_for_us(&offered.said, terms.ue);
    let setup = match to {
        Realm::Access if dials_ue => Setup::Active,
        Realm::Access => Setup::Passive,
        Realm::Core if connects(offered.said.setup) => Setup::Passive,
        Realm::Core => Setup::Active,
    };
    let local_path = rewrite(media, point, offered.said.link, setup, by, terms, editor)?;
    let dials_ue = dials_ue || by == Realm::Access && waits_for_us(&said, terms.ue);
    Some(Box::new(Answered { said, local_path, dials_ue }))
}

/// RFC 4975 §5.4: who offers without `a=setup` connects.
const fn connects(offered: Option<Setup>) -> bool {
    matches!(offered, None | Some(Setup::Active))
}

/// Whether a UE insists on being connected to (RFC 6135 §4), and can be: behind a NAT it could not, so it
/// is answered `passive` all the same and has its one chance (R67).
fn waits_for_us(said: &Said, ue: IpAddr) -> bool {
    let reachable = said.peer.is_some_and(|peer| peer.ip() == ue && peer.port() != 0);
    said.setup == Some(Setup::Passive) && reachable && !said.link.websocket && said.relay_uri.is_none()
}

/// Puts our address into one MSRP medium and returns the URI we wrote.
fn rewrite(
    media: &Media<'_>,
    point: &MsrpPoint,
    link: Link,
    setup: Setup,
    by: Realm,
    terms: &Terms<'_>,
    editor: &mut Editor<'_>,
) -> Option<Bytes> {
    let mut uris = media.path()?.uris();
    let mut uri = uris.next()?;
    if by == Realm::Access
        && terms.is_ours(&uri)
        && let Some(next) = uris.next()
    {
        editor.remove_hop(&uri, &next);
        uri = next;
    }
    let words = link.words();
    let mut host_port = Vec::with_capacity(48);
    let _ = write!(host_port, "{}", point.advertised); // a Vec takes everything
    editor.port(media, point.advertised.port());
    if !media.line().proto.text.eq_ignore_ascii_case(words.proto) {
        editor.proto(media, words.proto);
    }
    editor.path(&uri, words.scheme, &host_port, words.parameter); // R66: only the hop next to us
    editor.setup(media, setup);
    if link.transport == Transport::Tls
        && let (Some(fingerprint), Some(path)) = (point.fingerprint, media.section().attribute(b"path"))
    {
        // The certificate that this peer will see is ours (RFC 8122 §5).
        editor.insert_line(media.section(), path.line, format_args!("a=fingerprint:{fingerprint}"));
    }
    let mut local_path = Vec::with_capacity(96);
    uri.write_anchored(words.scheme, &host_port, words.parameter, &mut local_path);
    Some(local_path.into())
}

/// What `media` says of its end.
///
/// # Errors
/// `BadSdp` if it has no path that can be read, or a fingerprint that cannot; `NotAcceptableMedia` if it
/// must announce one and does not.
fn said(sdp: &Sdp<'_>, media: &Media<'_>, by: Realm, terms: &Terms<'_>) -> Result<Said, Cause> {
    let path = media.path().filter(|path| path.text().len() <= PATH_BYTES_MAX).ok_or(Cause::BadSdp)?;
    let mut uris = path.uris();
    let mut uri = uris.next().ok_or(Cause::BadSdp)?;
    let mut text = path.text();
    let mut relay_uri = None;
    if by == Realm::Access
        && terms.is_ours(&uri)
        && let Some(next) = uris.next()
    {
        let skipped = (next.uri.span.start - uri.uri.span.start) as usize;
        text = text.get(skipped..).ok_or(Cause::BadSdp)?;
        relay_uri = Some(Bytes::copy_from_slice(uri.uri.text));
        uri = next;
    }
    let link = link_of(media);
    let fingerprints = match link.transport {
        Transport::Tls => fingerprints(sdp, media)?,
        _ => Vec::new(),
    };
    if link.transport == Transport::Tls && fingerprints.is_empty() && terms.msrp.require_fingerprint {
        return Err(Cause::NotAcceptableMedia);
    }
    let by_path = core::str::from_utf8(uri.host_port.text).ok().and_then(|t| t.parse().ok());
    let by_line = || {
        let ip = media.connection()?.ip()?;
        Some(SocketAddr::new(ip, media.line().port))
    };
    let cema = media.section().attribute(b"msrp-cema").is_some();
    // RFC 6714 §4.2: with CEMA c= and m= say where the peer is, and the path only who it is: a middlebox
    // between us may have changed the former alone. With a relay before the peer, or without CEMA, it is the
    // path, and c= and m= only stand in where that names no address.
    let peer = match cema && text == uri.uri.text {
        true => by_line().or(by_path),
        false => by_path.or_else(by_line),
    };
    Ok(Said {
        path: Bytes::copy_from_slice(text),
        relay_uri,
        setup: media.setup(),
        link,
        peer,
        fingerprints,
        cema,
    })
}

/// The certificates that hold for a medium: its own fingerprints, or those of the session (RFC 8122 §5).
///
/// Those by functions that prove nothing are as good as none.
fn fingerprints(sdp: &Sdp<'_>, media: &Media<'_>) -> Result<Vec<Fingerprint>, Cause> {
    let is_fingerprint = |section: Section<'_>| section.attribute(b"fingerprint").is_some();
    let section = if is_fingerprint(media.section()) { media.section() } else { sdp.session() };
    let mut known = Vec::new();
    for attribute in section.attributes().filter(|a| a.name.eq_ignore_ascii_case(b"fingerprint")) {
        match attribute.value.map_or(FingerprintText::Malformed, |value| Fingerprint::read(value.text)) {
            FingerprintText::Known(fingerprint) if known.len() < FINGERPRINTS_MAX => known.push(fingerprint),
            FingerprintText::Known(_) | FingerprintText::Foreign => {}
            FingerprintText::Malformed => return Err(Cause::BadSdp),
        }
    }
    Ok(known)
}

/// What the relay is to know of one medium.
pub(super) fn session(
    id: MediaId,
    by: Realm,
    offered: &Offered,
    answered: Option<&Answered>,
    terms: &Terms<'_>,
) -> MsrpSession {
    let local = answered.map(|a| a.local_path.clone()).unwrap_or_default();
    let offerer = side(local, Some(&offered.said), by, terms);
    let answerer = side(offered.local_path.clone(), answered.map(|a| &a.said), by.other(), terms);
    let (mut access, mut core) = match by {
        Realm::Access => (offerer, answerer),
        Realm::Core => (answerer, offerer),
    };
    access.expect_source = Some(terms.ue);
    let said_of = |realm: Realm| match realm == by {
        true => Some(&offered.said),
        false => answered.map(|a| &a.said),
    };
    if answered.is_some_and(|a| a.dials_ue)
        && let Some(said) = said_of(Realm::Access)
        && let Some(peer) = said.peer
    {
        access.opening = Opening::Dial { transport: said.link.transport, peer };
    }
    let said = said_of(Realm::Core);
    let (transport, listens) = match by {
        // We offered to connect; a core that answers active connects all the same.
        Realm::Access => (offered.link.transport, said.is_some_and(|s| s.setup == Some(Setup::Active))),
        Realm::Core => (offered.said.link.transport, connects(offered.said.setup)),
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
        content: terms.content.clone(),
        call_id: Arc::clone(terms.rtp.call_id),
        user: terms.user,
    }
}

fn side(local_path: Bytes, said: Option<&Said>, realm: Realm, terms: &Terms<'_>) -> MsrpSide {
    let lenient = terms.is_lenient(realm) || said.is_some_and(|said| said.cema);
    MsrpSide {
        local_path,
        remote_path: said.map(|said| said.path.clone()),
        opening: Opening::Listen,
        expect_source: None,
        fingerprints: said.map(|said| said.fingerprints.clone()).unwrap_or_default(),
        matching: if lenient { Matching::SessionId } else { Matching::Uri },
        relay_uri: said.and_then(|said| said.relay_uri.clone()),
    }
}

/// How the end of `media` is connected; the UE's own URI, the last one, tells a WebSocket (RFC 7977 §5).
fn link_of(media: &Media<'_>) -> Link {
    let own = media.path().and_then(|path| path.uris().last());
    let parameter = own.and_then(|uri| uri.transport());
    let websocket = parameter.is_some_and(|p| p.text.eq_ignore_ascii_case(b"ws"));
    Link { websocket, ..Link::stream(media.is_tls()) }
}

/// The relay keeps a path for the life of the session; real ones have 30 to 60 bytes.
const PATH_BYTES_MAX: usize = 1_024;

/// Certificates of one end; more are not remembered.
const FINGERPRINTS_MAX: usize = 8;
