//! What a media section says about RTP: profile, RTCP, keys, ICE, the codec in use.

use crate::view::{Attribute, Media, Section, Text, Words, decimal};
use core::net::{IpAddr, SocketAddr};

/// The profile of an RTP medium, what stands as protocol in its `m=` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// How packets are protected.
    pub security: Security,
    /// Whether RTCP may give feedback at once (RFC 4585).
    pub feedback: bool,
}

/// How the packets of an RTP medium are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// Not (RFC 3551).
    Plain,
    /// SRTP with keys from `a=crypto` (RFC 3711, RFC 4568).
    Sdes,
    /// SRTP with keys from DTLS (RFC 5764).
    Dtls,
}

impl Profile {
    /// Reads the protocol of an `m=` line; `None` if it is not RTP over UDP.
    #[must_use]
    pub fn from_proto(proto: &[u8]) -> Option<Self> {
        PROFILES.into_iter().find(|p| proto.eq_ignore_ascii_case(p.as_str().as_bytes()))
    }

    /// As it stands in SDP.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match (self.security, self.feedback) {
            (Security::Plain, false) => "RTP/AVP",
            (Security::Plain, true) => "RTP/AVPF",
            (Security::Sdes, false) => "RTP/SAVP",
            (Security::Sdes, true) => "RTP/SAVPF",
            (Security::Dtls, false) => "UDP/TLS/RTP/SAVP",
            (Security::Dtls, true) => "UDP/TLS/RTP/SAVPF",
        }
    }
}

const PROFILES: [Profile; 6] = [
    Profile { security: Security::Plain, feedback: false },
    Profile { security: Security::Plain, feedback: true },
    Profile { security: Security::Sdes, feedback: false },
    Profile { security: Security::Sdes, feedback: true },
    Profile { security: Security::Dtls, feedback: false },
    Profile { security: Security::Dtls, feedback: true },
];

/// The codec that a medium most likely uses: the first format of its `m=` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding<'a> {
    /// Its name as in `a=rtpmap`; empty if unknown.
    pub name: &'a [u8],
    /// Ticks of its clock per second.
    pub clock_rate: u32,
}

/// User name and password of ICE (RFC 8839 §5.4). The password is a secret: never log it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IceSecrets<'a> {
    /// `a=ice-ufrag`.
    pub fragment: &'a [u8],
    /// `a=ice-pwd`.
    pub password: &'a [u8],
}

impl<'a> Media<'a> {
    /// Its profile, if it is RTP.
    #[must_use]
    pub fn profile(&self) -> Option<Profile> {
        Profile::from_proto(self.line().proto.text)
    }

    /// Where it wants media; `None` if its address is a name.
    #[must_use]
    pub fn target(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.connection()?.ip()?, self.line().port))
    }

    /// Where it wants RTCP: as `a=rtcp` says (RFC 3605), else the port above (RFC 3550 §11).
    #[must_use]
    pub fn rtcp_target(&self) -> Option<SocketAddr> {
        let media = self.target()?;
        let Some(value) = self.rtcp() else {
            return Some(SocketAddr::new(media.ip(), media.port().checked_add(1)?));
        };
        let mut words = Words::new(value.text, 0);
        let port = u16::try_from(decimal(words.next()?.text)?).ok()?;
        let address = words.nth(2).and_then(|a| core::str::from_utf8(a.text).ok()?.parse::<IpAddr>().ok());
        Some(SocketAddr::new(address.unwrap_or(media.ip()), port))
    }

    /// Whether it offers or accepts RTCP on the port of the media (RFC 5761 §5.1.1).
    #[must_use]
    pub fn is_rtcp_muxed(&self) -> bool {
        self.section().attribute(b"rtcp-mux").is_some()
    }

    /// The values of its `a=fingerprint` lines, or of those of the session (RFC 8122 §5).
    pub fn fingerprints(&self) -> impl Iterator<Item = Text<'a>> + use<'a> {
        let own = self.section().attribute(b"fingerprint").is_some();
        let section = if own { self.section() } else { self.session() };
        let named = |a: &Attribute<'a>| a.name.eq_ignore_ascii_case(b"fingerprint");
        section.attributes().filter(named).filter_map(|a| a.value)
    }

    /// What it says of ICE, itself or by the session; `None` without both halves.
    #[must_use]
    pub fn ice(&self) -> Option<IceSecrets<'a>> {
        let value = |name| {
            let own = self.section().attribute(name);
            let value = own.or_else(|| self.session().attribute(name))?.value?;
            Some(wire::bytes_class::trim(value.text))
        };
        Some(IceSecrets { fragment: value(b"ice-ufrag")?, password: value(b"ice-pwd")? })
    }

    /// The codec of its first format, by `a=rtpmap` or by the static table of RFC 3551 §6.
    #[must_use]
    pub fn encoding(&self) -> Encoding<'a> {
        let format = Words::new(self.line().formats.text, 0).next().map_or(&b""[..], |w| w.text);
        mapped(self.section(), format).unwrap_or_else(|| of_static_type(format, self.line().media.text))
    }
}

/// `a=rtpmap:<format> <name>/<clock rate>[/<channels>]`
fn mapped<'a>(section: Section<'a>, format: &[u8]) -> Option<Encoding<'a>> {
    let maps = section.attributes().filter(|a| a.name.eq_ignore_ascii_case(b"rtpmap"));
    maps.filter_map(|a| a.value).find_map(|value| {
        let mut words = Words::new(value.text, 0);
        let own = words.next()?.text == format;
        let mut parts = words.next().filter(|_| own)?.text.split(|&b| b == b'/');
        let name = parts.next()?;
        let clock_rate = parts.next().and_then(decimal).filter(|rate| *rate > 0)?;
        Some(Encoding { name, clock_rate })
    })
}

fn of_static_type<'a>(format: &[u8], media: &[u8]) -> Encoding<'a> {
    let known = STATIC_TYPES.iter().find(|(number, ..)| *number == format);
    let fallback = if media.eq_ignore_ascii_case(b"video") { 90_000 } else { 8_000 };
    match known {
        Some(&(_, name, clock_rate)) => Encoding { name, clock_rate },
        None => Encoding { name: b"", clock_rate: fallback },
    }
}

/// RFC 3551 §6, the ones in use.
const STATIC_TYPES: [(&[u8], &[u8], u32); 9] = [
    (b"0", b"PCMU", 8_000),
    (b"3", b"GSM", 8_000),
    (b"4", b"G723", 8_000),
    (b"8", b"PCMA", 8_000),
    (b"9", b"G722", 8_000), // by an old mistake that is kept: it samples at 16 kHz
    (b"18", b"G729", 8_000),
    (b"31", b"H261", 90_000),
    (b"32", b"MPV", 90_000),
    (b"34", b"H263", 90_000),
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Sdp;

    fn with_media<T>(lines: &str, look: impl FnOnce(Media<'_>) -> T) -> T {
        let text =
            format!("v=0\r\nc=IN IP4 192.0.2.1\r\na=fingerprint:sha-256 AA\r\na=ice-ufrag:sess\r\n{lines}");
        let sdp = Sdp::parse(text.as_bytes()).unwrap();
        look(sdp.media().next().unwrap())
    }

    #[test]
    fn profiles_read_as_they_are_written() {
        for profile in PROFILES {
            let lower = profile.as_str().to_lowercase();
            assert_eq!(Profile::from_proto(lower.as_bytes()), Some(profile));
        }
        for proto in [&b"TCP/MSRP"[..], b"udp", b"RTP/SAVPFX", b"TCP/RTP/AVP", b""] {
            assert_eq!(Profile::from_proto(proto), None);
        }
    }

    #[test]
    fn where_rtcp_is() {
        for (line, expected) in [
            ("", Some("192.0.2.1:5001")),
            ("a=rtcp:53020\r\n", Some("192.0.2.1:53020")),
            ("a=rtcp:53020 IN IP6 2001:db8::9\r\n", Some("[2001:db8::9]:53020")),
            ("a=rtcp:53020 IN IP4 host.invalid\r\n", Some("192.0.2.1:53020")),
            ("a=rtcp:70000\r\n", None),
            ("a=rtcp:\r\n", None),
        ] {
            let got = with_media(&format!("m=audio 5000 RTP/AVP 0\r\n{line}"), |m| m.rtcp_target());
            assert_eq!(got, expected.map(|e| e.parse().unwrap()), "{line}");
        }
        assert_eq!(with_media("m=audio 65535 RTP/AVP 0\r\n", |m| m.rtcp_target()), None);
    }

    #[test]
    fn keys_and_ice_are_those_of_the_medium_or_of_the_session() {
        with_media("m=audio 5 RTP/AVP 0\r\na=ice-pwd: p \r\n", |media| {
            let ice = media.ice().unwrap();
            assert_eq!((ice.fragment, ice.password), (&b"sess"[..], &b"p"[..]));
            assert_eq!(media.fingerprints().map(|f| f.text).collect::<Vec<_>>(), [b"sha-256 AA"]);
            assert!(!media.is_rtcp_muxed());
        });
        let lines =
            "m=audio 5 RTP/AVP 0\r\na=fingerprint:sha-1 B\r\na=fingerprint:sha-256 C\r\na=rtcp-mux\r\n";
        with_media(lines, |media| {
            let values: Vec<_> = media.fingerprints().map(|f| f.text).collect();
            assert_eq!(values, [&b"sha-1 B"[..], b"sha-256 C"]);
            assert!(media.ice().is_none() && media.is_rtcp_muxed());
        });
    }

    #[test]
    fn the_codec_is_that_of_the_first_format() {
        for (lines, name, clock_rate) in [
            ("m=audio 5 RTP/AVP 0 8\r\n", "PCMU", 8_000),
            (
                "m=audio 5 RTP/AVP 96 0\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:96 AMR-WB/16000/1\r\n",
                "AMR-WB",
                16_000,
            ),
            ("m=video 5 RTP/AVP 99\r\n", "", 90_000),
            ("m=audio 5 RTP/AVP 99\r\na=rtpmap:99 x/0\r\n", "", 8_000),
            ("m=audio 5 RTP/AVP\r\n", "", 8_000),
        ] {
            let want = Encoding { name: name.as_bytes(), clock_rate };
            with_media(lines, |media| assert_eq!(media.encoding(), want, "{lines}"));
        }
    }
}
