//! What goes into an RTP session and what comes out.

use ::rtp::quality::{Codec, Figures, mos_hundredths};
use ::rtp::srtp::MasterKey;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use smallvec::SmallVec;
use wire::{Fingerprint, Realm};

/// Which of the two sockets of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// The even port: media, and RTCP where it is multiplexed.
    Rtp,
    /// The port of RTCP.
    Rtcp,
}

/// Where a side has its RTCP (RFC 5761).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RtcpPort {
    /// On the port of the media.
    Muxed,
    /// On its own.
    Own,
}

/// Which source a side may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Latching {
    /// The signalled address and no other, however well it may authenticate.
    Strict,
    /// First a packet from the host that signals or from the signalled media host, whatever its port (R71);
    /// later it moves with proof.
    Signaller {
        /// Where the SIP messages of this side come from.
        host: IpAddr,
    },
    /// First three packets in a row from anywhere; later it moves with proof. On a plain side the first to
    /// send wins, be it an attacker: only for networks whose NAT gives media another address.
    Anyone,
}

/// How a side's packets are protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// RTP as it is.
    Plain,
    /// SRTP with keys from SDP.
    Sdes {
        /// Our key, in the SDP we wrote.
        send: MasterKey,
        /// Theirs; `None` until their SDP is known.
        receive: Option<MasterKey>,
    },
    /// SRTP with keys from a DTLS handshake on the media path (RFC 5764).
    Dtls {
        /// Who begins the handshake.
        role: DtlsRole,
        /// One of them must be that of the peer's certificate.
        fingerprints: SmallVec<[Fingerprint; 1]>,
    },
}

/// Our part in a DTLS handshake (RFC 5763 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DtlsRole {
    /// We begin: `a=setup:active`.
    Client,
    /// The peer begins: `a=setup:passive`.
    Server,
}

/// Our ICE credentials towards a side.
#[derive(Clone, PartialEq, Eq)]
pub struct Ice {
    /// `a=ice-ufrag`.
    pub fragment: Vec<u8>,
    /// `a=ice-pwd`; never printed.
    pub password: Vec<u8>,
}

impl fmt::Debug for Ice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ice({}, secret)", self.fragment.escape_ascii())
    }
}

/// One side of a session, as signalled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpSide {
    /// Where its SDP wants media; `None` before there is one.
    pub remote: Option<SocketAddr>,
    /// Where its SDP wants RTCP, unless multiplexed.
    pub remote_rtcp: Option<SocketAddr>,
    /// Where its RTCP is.
    pub rtcp: RtcpPort,
    /// Which source it may have.
    pub latching: Latching,
    /// How its packets are protected.
    pub protection: Protection,
    /// With it, only a source that passed a connectivity check counts.
    pub ice: Option<Ice>,
    /// Whether its direction lets it send: a side on hold is not missed.
    pub sends: bool,
    /// Ticks of the media clock per second, for jitter.
    pub clock_rate: u32,
}

/// A session: one media line, two sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpSession {
    /// Towards the UE.
    pub access: RtpSide,
    /// Towards the core.
    pub core: RtpSide,
}

impl RtpSession {
    /// The side of `realm`.
    #[must_use]
    pub const fn side(&self, realm: Realm) -> &RtpSide {
        match realm {
            Realm::Access => &self.access,
            Realm::Core => &self.core,
        }
    }
}

/// Caps and times of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Datagrams a second and side from the known source. Audio has 50, video up to some hundreds.
    pub packets_per_second_max: u32,
    /// Datagrams at once from the known source: a video frame.
    pub burst_max: u32,
    /// Datagrams a second and side from any other source: enough to prove itself, too few to cost much.
    pub strangers_per_second_max: u32,
    /// A session in which nothing came from a side that should send, RTCP included, is reported after this.
    pub inactivity_max: Duration,
    /// The same while both sides are on hold.
    pub hold_max: Duration,
    /// A side that should send and does not, while the other one does, is reported after this.
    pub one_way_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packets_per_second_max: 2_000,
            burst_max: 200,
            strangers_per_second_max: 50,
            inactivity_max: Duration::from_secs(60),
            hold_max: Duration::from_secs(3_600),
            one_way_after: Duration::from_secs(10),
        }
    }
}

/// A datagram that came in, to be changed where it lies.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// The side it came from.
    pub from: Realm,
    /// The socket it came to.
    pub component: Component,
    /// Who sent it.
    pub source: SocketAddr,
    /// The datagram in `buffer[..len]`, and room after it: 32 octets hold the tag of any suite.
    pub buffer: &'a mut [u8],
    /// Octets that came.
    pub len: usize,
}

/// What to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send `buffer[..len]`.
    Forward {
        /// To this side,
        to: Realm,
        /// from this socket,
        component: Component,
        /// to this address.
        peer: SocketAddr,
        /// Octets.
        len: usize,
    },
    /// Send `Outbox::reply` back to its source, from the socket it came to.
    Reply,
    /// It was for us: a part of a handshake. `Outbox::sendings` may hold answers.
    Taken,
    /// Forget it.
    Drop(Drop),
}

/// Why a datagram goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Drop {
    /// Neither RTP, RTCP nor a STUN request that is expected.
    NotMedia,
    /// A header that contradicts itself.
    Malformed,
    /// RTP on the port of RTCP, or the other way round.
    WrongPort,
    /// From an address that may not send.
    ForeignSource,
    /// From another address than before, without proof that it is the same sender.
    Unproven,
    /// The tag is wrong.
    NotAuthentic,
    /// A packet that came before, or far too late.
    Replayed,
    /// The side's key is not known.
    NoKey,
    /// The far side is not known: packets before the answer.
    NoFarSide,
    /// Above the rate limit.
    Flood,
    /// It cannot be protected towards the far side: an index used before, or no index left.
    Unprotectable,
}

impl Drop {
    /// All, in order.
    pub const ALL: [Self; 11] = [
        Self::NotMedia,
        Self::Malformed,
        Self::WrongPort,
        Self::ForeignSource,
        Self::Unproven,
        Self::NotAuthentic,
        Self::Replayed,
        Self::NoKey,
        Self::NoFarSide,
        Self::Flood,
        Self::Unprotectable,
    ];

    /// Metric label: stable, lower case.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotMedia => "not_media",
            Self::Malformed => "malformed",
            Self::WrongPort => "wrong_port",
            Self::ForeignSource => "foreign_source",
            Self::Unproven => "unproven",
            Self::NotAuthentic => "not_authentic",
            Self::Replayed => "replayed",
            Self::NoKey => "no_key",
            Self::NoFarSide => "no_far_side",
            Self::Flood => "flood",
            Self::Unprotectable => "unprotectable",
        }
    }
}

/// What the edge should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A side's source is known, or moved.
    Latched {
        /// The side.
        realm: Realm,
        /// Which socket.
        component: Component,
        /// Its address. The shell may connect the socket to it.
        source: SocketAddr,
    },
    /// Nothing comes from a side that should send, while the other one does.
    OneWay {
        /// The side that is silent.
        silent: Realm,
    },
    /// Nothing came from any side that should send, for `Limits::inactivity_max`.
    Inactive,
    /// Something came again after that.
    Active,
}

/// Reused between calls.
#[derive(Debug, Default)]
pub struct Outbox {
    /// What `Verdict::Reply` sends.
    pub reply: Vec<u8>,
    /// The last datagram that was accepted of a tapped session, as it was between opening and sealing.
    pub plain: Vec<u8>,
    /// In order.
    pub notices: Vec<Notice>,
    /// What is to be sent besides: handshakes.
    pub sendings: Vec<Sending>,
}

/// A datagram of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// To this side,
    pub to: Realm,
    /// from this socket,
    pub component: Component,
    /// to this address.
    pub peer: SocketAddr,
    /// The datagram.
    pub bytes: Vec<u8>,
}

impl Outbox {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.reply.clear();
        self.plain.clear();
        self.notices.clear();
        self.sendings.clear();
    }
}

/// What came from one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SideTotals {
    /// Media packets passed on.
    pub packets: u64,
    /// Their octets as they came.
    pub octets: u64,
    /// RTCP packets passed on.
    pub reports: u64,
    /// What was dropped, in the order of [`Drop::ALL`].
    pub drops: [u32; Drop::ALL.len()],
    /// How it arrived here.
    pub figures: Figures,
    /// To the end of this side and back, if its reports tell.
    pub round_trip: Option<Duration>,
}

impl SideTotals {
    /// What listeners would say of the audio that came from here, in hundredths (100..=450), by the loss,
    /// jitter and delay seen here and the codec; `None` if there was none. `encoding` is a name as in
    /// `a=rtpmap`.
    #[must_use]
    pub fn mos_hundredths(&self, encoding: &str) -> Option<u16> {
        let codec = Codec::of(encoding.as_bytes());
        let jitter = Duration::from_micros(self.figures.jitter_micros);
        let round_trip = self.round_trip.unwrap_or_default();
        (self.figures.received > 0)
            .then(|| mos_hundredths(codec, self.figures.lost_ppm(), jitter, round_trip))
    }
}
