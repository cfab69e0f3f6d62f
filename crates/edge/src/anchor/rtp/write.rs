//! RTP media as edits: what is ours goes in, what is the other side's goes out, the rest passes (R68).

use super::legs::OwnIce;
use core::net::{IpAddr, SocketAddr};
use media::rtp::Component;
use sdp::{Editor, Line as SdpLine, Media, Profile, Sdp, Section, address_type};
use smallvec::SmallVec;

/// One medium as we write it.
pub(super) struct Line<'a> {
    /// Where we want media; RTCP goes to the port above unless multiplexed.
    pub at: SocketAddr,
    /// The address in `c=` of the session.
    pub session: IpAddr,
    pub profile: Profile,
    pub is_muxed: bool,
    /// Attributes with keys.
    pub keys: Vec<Vec<u8>>,
    /// With it, ICE is spoken.
    pub ice: Option<&'a OwnIce>,
}

/// Writes one RTP medium.
pub(super) fn rewrite(media: &Media<'_>, line: &Line<'_>, editor: &mut Editor<'_>) {
    editor.rtp_line(media, line.at.port(), line.profile.as_str());
    let mut attributes = Vec::new();
    if line.is_muxed {
        attributes.push(b"a=rtcp-mux".to_vec());
    }
    attributes.extend(line.keys.iter().cloned());
    if let Some(ice) = line.ice {
        ice_lines(ice, line, &mut attributes);
    }
    insert(media, line.at.ip(), line.session, attributes, editor);
}

/// Points the `c=` lines of a medium to `address`, and gives it one where that of the session names another.
pub(in crate::anchor) fn connections(
    media: &Media<'_>,
    address: IpAddr,
    session: IpAddr,
    editor: &mut Editor<'_>,
) {
    insert(media, address, session, Vec::new(), editor);
}

fn insert(
    media: &Media<'_>,
    address: IpAddr,
    session: IpAddr,
    attributes: Vec<Vec<u8>>,
    editor: &mut Editor<'_>,
) {
    let section = media.section();
    let own = section.connections().inspect(|c| connection(editor, c, address)).count();
    let connection = (own == 0 && address != session)
        .then(|| format!("c=IN {} {address}", address_type(address)).into_bytes());
    let lines = section.lines();
    // RFC 8866 §5: i=, then c=, then b=, k= and the attributes.
    let behind_title = 1 + usize::from(lines.get(1).is_some_and(|l| l.kind == b'i'));
    let is_attribute = |line: &SdpLine| matches!(line.kind, b'a' | b'k');
    let at = lines.iter().position(is_attribute).unwrap_or(lines.len()).max(behind_title);
    if behind_title >= lines.len() || at == behind_title {
        let both: Vec<_> = connection.into_iter().chain(attributes).collect();
        editor.insert_lines(section, at, &both);
        return;
    }
    editor.insert_lines(section, behind_title, connection.as_slice());
    editor.insert_lines(section, at, &attributes);
}

/// Everything above the media: `o=`, `s=`, `c=`, and what is the other side's own.
pub(in crate::anchor) fn session_level(
    sdp: &Sdp<'_>,
    username: &[u8],
    name: &[u8],
    address: IpAddr,
    editor: &mut Editor<'_>,
) {
    let session = sdp.session();
    if let Some(origin) = session.origin() {
        editor.origin(&origin, username, address);
    }
    editor.session_name(sdp, name);
    for c in session.connections() {
        connection(editor, &c, address);
    }
}

/// RFC 8839 §5.3: said once, for all media.
pub(in crate::anchor) fn ice_lite(sdp: &Sdp<'_>, editor: &mut Editor<'_>) {
    let session = sdp.session();
    let at = session.lines().iter().position(|line| line.kind == b'a').unwrap_or(session.lines().len());
    editor.insert_lines(session, at, &[b"a=ice-lite".to_vec()]);
}

/// An address of the old hold (`0.0.0.0`, RFC 3264 §8.4) names nobody and stays one.
fn connection(editor: &mut Editor<'_>, connection: &sdp::Connection<'_>, address: IpAddr) {
    let is_hold = connection.ip().is_some_and(|ip| ip.is_unspecified());
    let none = match address {
        IpAddr::V4(_) => IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(core::net::Ipv6Addr::UNSPECIFIED),
    };
    editor.connection(connection, if is_hold { none } else { address });
}

/// What a section is made into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::anchor) enum Fate {
    /// The lines above the media.
    Session,
    /// An RTP medium of ours.
    Rtp,
    /// An MSRP medium of ours.
    Msrp,
    /// A medium with port 0; `true` if its first `a=path` is rewritten.
    Refused { keeps_path: bool },
}

/// Takes out of a section what is between its writer and us, and whatever else names the writer: a line that
/// holds an address, or one of the names in `foreign`.
///
/// Each line is looked at once, and those that are edited elsewhere are left alone.
pub(in crate::anchor) fn hide(section: Section<'_>, fate: Fate, foreign: &[&[u8]], editor: &mut Editor<'_>) {
    let mut seen: SmallVec<[u8; 3]> = SmallVec::new();
    for line in section.lines() {
        let value = section.value(*line).text;
        let is_first = !seen.contains(&line.kind);
        let goes = match line.kind {
            b'v' | b'c' | b'm' | b't' => false,
            // A second one would pass as it is, and name its writer.
            b'o' | b's' => fate != Fate::Session || !is_first,
            // Keys in clear, obsolete (RFC 8866 §5.12).
            b'k' => true,
            b'a' => attribute_goes(value, fate, foreign, &mut seen),
            _ => names_foreign(value, foreign),
        };
        if goes {
            editor.remove_line(line.span);
        }
        if is_first && line.kind != b'a' {
            seen.push(line.kind);
        }
    }
}

/// `seen` remembers that a path was there: RFC 4975 knows one only.
fn attribute_goes(value: &[u8], fate: Fate, foreign: &[&[u8]], seen: &mut SmallVec<[u8; 3]>) -> bool {
    let name = value.split(|&b| b == b':').next().unwrap_or_default();
    // What was rewritten is found by its name as it stands; one between blanks only looks like it.
    if name.eq_ignore_ascii_case(b"path") && matches!(fate, Fate::Msrp | Fate::Refused { .. }) {
        let is_second = seen.contains(&b'a');
        seen.push(b'a');
        return is_second || fate == Fate::Refused { keeps_path: false };
    }
    match fate {
        Fate::Msrp if name.eq_ignore_ascii_case(b"setup") || is_file(name) => false,
        Fate::Msrp | Fate::Refused { .. } if is_named(name, &[b"path", b"setup"]) => true,
        Fate::Session if is_bundle(value) => true,
        _ => is_named(name, &OWN) || names_foreign(value, foreign),
    }
}

/// RFC 9143: each medium has a port of its own here, so an offer to bundle is not passed on, and an answer
/// without the group refuses it.
fn is_bundle(value: &[u8]) -> bool {
    value.get(..12).is_some_and(|start| start.eq_ignore_ascii_case(b"group:BUNDLE"))
}

fn is_named(name: &[u8], names: &[&[u8]]) -> bool {
    let name = wire::bytes_class::trim(name);
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// The names by which a description calls its writer where it gives no address.
pub(in crate::anchor) fn foreign_names<'a>(sdp: &'a Sdp<'_>) -> SmallVec<[&'a [u8]; 4]> {
    let sections = core::iter::once(sdp.session()).chain(sdp.media().map(|m| m.section()));
    let connections = sections.flat_map(Section::connections).map(|c| c.address.text);
    let origin = sdp.session().origin().map(|o| o.address.text);
    let mut names: SmallVec<[&[u8]; 4]> = SmallVec::new();
    for name in origin.into_iter().chain(connections) {
        // Without a dot it is no name that says anything, and may stand in any word.
        if name.contains(&b'.') && !names.contains(&name) && names.len() < FOREIGN_MAX {
            names.push(name);
        }
    }
    names
}

/// Names of one writer; a description that has more is not of this world.
const FOREIGN_MAX: usize = 8;

/// What describes a file is never altered (R50), whatever it is called.
fn is_file(name: &[u8]) -> bool {
    wire::bytes_class::trim(name).get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"file-"))
}

/// Addresses, ICE, keys and certificates, RTCP ports, bundling (RFC 9143: each medium has a port of its own
/// here), capability negotiation, which carries all of them once more (RFC 5939, RFC 7006).
const OWN: [&[u8]; 40] = [
    b"candidate",
    b"remote-candidates",
    b"end-of-candidates",
    b"ice-ufrag",
    b"ice-pwd",
    b"ice-options",
    b"ice-lite",
    b"ice-mismatch",
    b"ice-pacing",
    b"rtcp",
    b"rtcp-mux",
    b"rtcp-mux-only",
    b"crypto",
    b"fingerprint",
    b"setup",
    b"connection",
    b"tls-id",
    b"dtls-id",
    b"identity",
    b"key-mgmt",
    b"zrtp-hash",
    b"3ge2ae",
    b"bundle-only",
    b"source-filter",
    b"altc",
    b"ccap",
    b"tcap",
    b"acap",
    b"pcfg",
    b"acfg",
    b"csup",
    b"creq",
    b"rmcap",
    b"omcap",
    b"mfcap",
    b"mscap",
    b"bcap",
    b"lcfg",
    b"sescap",
    b"visited-realm",
];

/// Whether a text holds an IP address, or one of these names.
fn names_foreign(text: &[u8], foreign: &[&[u8]]) -> bool {
    foreign.iter().any(|name| memchr::memmem::find(text, name).is_some()) || holds_address(text)
}

/// Whether an IP address stands in a text.
pub(in crate::anchor) fn holds_address(text: &[u8]) -> bool {
    let is_part = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b'.' | b':');
    let words = text.split(|b| !is_part(b)).filter(|w| (2..=45).contains(&w.len()));
    words.filter_map(|w| core::str::from_utf8(w).ok()).any(|word| {
        let bare = word.trim_matches(|c| c == '.');
        let v4 = bare.rsplit(':').next().is_some_and(|last| last.parse::<core::net::Ipv4Addr>().is_ok())
            || bare.split(':').next().is_some_and(|first| first.parse::<core::net::Ipv4Addr>().is_ok());
        let v6 = bare.matches(':').count() >= 2 && bare.parse::<core::net::Ipv6Addr>().is_ok();
        v4 || v6
    })
}

/// RFC 8839 §5.1 and §5.4. One host candidate for each component: we have one address (ICE-lite).
fn ice_lines(ice: &OwnIce, line: &Line<'_>, out: &mut Vec<Vec<u8>>) {
    out.push([b"a=ice-ufrag:", &ice.fragment[..]].concat());
    out.push([b"a=ice-pwd:", &ice.password[..]].concat());
    let components = [(Component::Rtp, line.at.port()), (Component::Rtcp, line.at.port().saturating_add(1))];
    for (component, port) in components {
        let number = match component {
            Component::Rtp => 1,
            Component::Rtcp if line.is_muxed => continue,
            Component::Rtcp => 2,
        };
        // RFC 8445 §5.1.2.1: host, the only address, by component.
        let priority = (126 << 24) + (65_535 << 8) + (256 - number);
        let ip = line.at.ip();
        out.push(format!("a=candidate:1 {number} UDP {priority} {ip} {port} typ host").into_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_wherever_they_stand() {
        for text in [
            "10.0.0.1",
            "x 10.0.0.1",
            "10.0.0.1:5060",
            "at 10.0.0.1.",
            "[2001:db8::1]:5",
            "::1",
            "(10.0.0.1)",
            "rtcp://10.0.0.1/x",
            "192.0.2.1/127",
            "::ffff:10.0.0.1",
        ] {
            assert!(holds_address(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "96 AMR/8000",
            "20:30",
            "1.2.3",
            "1.2.3.4.5",
            "packetization-mode=1;profile-level-id=42e01f",
            "sha-1 72:24:5F:E8:65:3D:DA:F3:71:36:2F:86:D4:71:91:3E:E4:A2:CE:2E",
            "1 12:34",
            "999.1.1.1",
            "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            "0.5",
            "a.b.c.d",
        ] {
            assert!(!holds_address(text.as_bytes()), "{text}");
        }
        assert!(names_foreign(b"cname of host.invalid", &[b"host.invalid"]));
    }
}
