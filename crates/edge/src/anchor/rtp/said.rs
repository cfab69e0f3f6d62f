//! What one end says of itself in an RTP medium.

use super::crypto::Theirs;
use core::net::{IpAddr, SocketAddr};
use sdp::{Direction, Media};

/// One RTP medium as its writer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Where it wants media; `None` if it said so by name.
    pub target: Option<SocketAddr>,
    /// Where it wants RTCP, unless multiplexed.
    pub rtcp_target: Option<SocketAddr>,
    /// Whether it multiplexes RTCP, or offers to.
    pub is_muxed: bool,
    /// Which way media flows, seen from it.
    pub direction: Direction,
    /// Its keys.
    pub theirs: Theirs,
    /// Its ICE credentials, `fragment:password`: other ones mean that ICE starts anew (RFC 8839 §4.4.1.1).
    pub ice: Option<Box<[u8]>>,
    /// Ticks of the media clock per second.
    pub clock_rate: u32,
}

impl Said {
    pub(super) fn read(media: &Media<'_>, theirs: Theirs) -> Self {
        let ice = media.ice().filter(|ice| ice.fragment.len() + ice.password.len() <= ICE_BYTES_MAX);
        Self {
            target: media.target(),
            rtcp_target: media.rtcp_target(),
            is_muxed: media.is_rtcp_muxed(),
            direction: media.direction(),
            theirs,
            ice: ice.map(|ice| [ice.fragment, b":", ice.password].concat().into()),
            clock_rate: media.encoding().clock_rate,
        }
    }

    /// Hold as RFC 2543 had it: no address to send to (RFC 3264 §8.4).
    pub fn is_on_hold(&self) -> bool {
        self.target.map(|t| t.ip()).is_some_and(|ip: IpAddr| ip.is_unspecified())
    }
}

/// RFC 8839 §5.4: each up to 256 characters.
const ICE_BYTES_MAX: usize = 512;
