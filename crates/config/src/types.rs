//! The closed sets of words and the small types that settings are made of.

use crate::read::{Bounded, Node, Reader, Value, words};
use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use wire::{Prefix, Transport};

words! {
    /// How much is logged.
    LogLevel {
        /// Only what needs a person.
        Error = "error",
        /// Also what will need one.
        Warn = "warn",
        /// Also the life of the node.
        Info = "info",
        /// Also rejects and ends of registrations and dialogs.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

words! {
    /// How log lines look.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

words! {
    /// The lowest TLS version that is spoken.
    TlsVersion {
        /// TLS 1.2 and 1.3.
        V1_2 = "1.2",
        /// TLS 1.3 only.
        V1_3 = "1.3",
    }
}

words! {
    /// How strictly a group of checks is taken.
    Level {
        /// Not looked at.
        Off = "off",
        /// Faults are counted, and mended where that is safe.
        Lenient = "lenient",
        /// Faults are refused.
        Strict = "strict",
    }
}

words! {
    /// The URI scheme that completed numbers are written in (R32).
    NumberOutput {
        /// `tel:+86…`
        Tel = "tel",
        /// `sip:+86…@domain;user=phone`
        Sip = "sip",
    }
}

words! {
    /// How RTP is read and written.
    MediaIo {
        /// What this system does best.
        Auto = "auto",
        /// epoll, recv and send.
        Epoll = "epoll",
        /// io_uring; the node does not start where it is forbidden.
        IoUring = "io_uring",
    }
}

words! {
    /// Which source a media stream may have (R71).
    Latching {
        /// The signalled address alone.
        Strict = "strict",
        /// A host that signals or is signalled, whatever its port; later it moves with proof.
        Signaller = "signaller",
        /// Anyone who sends three packets in a row; later it moves with proof.
        Anyone = "anyone",
    }
}

words! {
    /// Whether the media of one side have keys (RFC 3711).
    Srtp {
        /// Never.
        None = "none",
        /// If the peer wants: its keys are taken, and it is offered ours to use or not (RFC 8643).
        Offer = "offer",
        /// Always: what comes without keys is refused.
        Require = "require",
    }
}

words! {
    /// How the keys are agreed on that we offer. Both are taken.
    Keying {
        /// In SDP (RFC 4568): the signalling must be secret.
        Sdes = "sdes",
        /// By DTLS on the media path (RFC 5764).
        Dtls = "dtls",
    }
}

words! {
    /// How packets are encrypted and authenticated under keys from SDP.
    SrtpSuite {
        /// RFC 7714.
        AeadAes128Gcm = "AEAD_AES_128_GCM",
        /// RFC 7714.
        AeadAes256Gcm = "AEAD_AES_256_GCM",
        /// RFC 4568 §6.2.
        AesCm128HmacSha1Tag80 = "AES_CM_128_HMAC_SHA1_80",
        /// RFC 6188.
        AesCm256HmacSha1Tag80 = "AES_256_CM_HMAC_SHA1_80",
        /// RFC 4568 §6.2.
        AesCm128HmacSha1Tag32 = "AES_CM_128_HMAC_SHA1_32",
        /// RFC 6188.
        AesCm256HmacSha1Tag32 = "AES_256_CM_HMAC_SHA1_32",
    }
}

impl SrtpSuite {
    /// Every suite, the cheapest first.
    pub const ALL: [Self; 6] = [
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
        Self::AesCm128HmacSha1Tag80,
        Self::AesCm256HmacSha1Tag80,
        Self::AesCm128HmacSha1Tag32,
        Self::AesCm256HmacSha1Tag32,
    ];
}

impl Bounded for Transport {}
impl Value for Transport {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        reader.word(node, &Self::ALL.map(|t| (t.label(), t)))
    }
    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

impl Bounded for Prefix {}
impl Value for Prefix {
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        reader.parsed(node, "a range of addresses", "\"10.0.0.0/8\" or \"2001:db8::/32\"")
    }
    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

/// Where requests for the core go: an address, never a name; names stand in pools.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// The far end.
    pub address: SocketAddr,
    /// How to reach it.
    pub transport: Transport,
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sip:{};transport={}", self.address, self.transport)
    }
}

impl fmt::Debug for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not `sip:ADDRESS[:PORT][;transport=udp|tcp|tls]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadNextHop;

impl FromStr for NextHop {
    type Err = BadNextHop;

    fn from_str(text: &str) -> Result<Self, BadNextHop> {
        let (scheme, rest) = text.split_once(':').ok_or(BadNextHop)?;
        let secure = match scheme {
            "sip" => false,
            "sips" => true,
            _ => return Err(BadNextHop),
        };
        let mut parts = rest.split(';');
        let host = parts.next().ok_or(BadNextHop)?;
        let mut transport = if secure { Transport::Tls } else { Transport::Udp };
        for part in parts {
            transport = match part {
                "transport=tcp" if secure => Transport::Tls,
                "transport=tls" => Transport::Tls,
                "transport=udp" if !secure => Transport::Udp,
                "transport=tcp" => Transport::Tcp,
                "lr" => transport,
                _ => return Err(BadNextHop),
            };
        }
        // RFC 3261 §19.1.2: the default port is 5060, and 5061 over TLS.
        let port = if transport == Transport::Tls { 5061 } else { 5060 };
        let address = host.parse().or_else(|_| format!("{host}:{port}").parse()).map_err(|_| BadNextHop)?;
        Ok(Self { address, transport })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_hops() {
        for (text, expected) in [
            ("sip:192.0.2.1", Some("sip:192.0.2.1:5060;transport=udp")),
            ("sip:192.0.2.1:5070;lr", Some("sip:192.0.2.1:5070;transport=udp")),
            ("sip:[2001:db8::1];transport=tcp", Some("sip:[2001:db8::1]:5060;transport=tcp")),
            ("sip:192.0.2.1;transport=tls", Some("sip:192.0.2.1:5061;transport=tls")),
            ("sips:192.0.2.1:443;transport=tcp", Some("sip:192.0.2.1:443;transport=tls")),
            ("sips:192.0.2.1;transport=udp", None),
            ("sip:core.example.net", None),
            ("192.0.2.1:5060", None),
            ("sip:192.0.2.1:99999", None),
            ("sip:192.0.2.1;transport=sctp", None),
            ("tel:+86", None),
        ] {
            let got = text.parse::<NextHop>().ok().map(|hop| hop.to_string());
            assert_eq!(got.as_deref(), expected, "{text}");
        }
    }
}
