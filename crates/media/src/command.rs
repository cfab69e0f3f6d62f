//! The vocabulary between the signalling edge, which anchors sessions, and the relay, which carries them.
//!
//! Plain data, so that the edge can speak it without knowing how a relay works.

use crate::rtp::{RtpNotice, RtpSession};
use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::sync::Arc;
use wire::{BindingId, Cause, Fingerprint, MediaId, Realm, Transport};

/// What the edge orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaCommand {
    /// Opens an MSRP session, or replaces what is known of one (answer arrived, re-INVITE).
    ///
    /// Sent again with the same id as soon as more is known; a side without `remote_path` cannot be
    /// forwarded to yet, and chunks for it wait (back-pressure).
    Msrp(Box<MsrpSession>),
    /// Opens an RTP session, or replaces what is known of one; sent again with the same id as soon as more
    /// is known, in full each time.
    ///
    /// The shell opens the sockets of a new session. A port it cannot have ends the session at once with
    /// `Cause::NoMediaPorts`.
    Rtp(Box<RtpOrder>),
    /// Ends a session of either kind: its connections close once they carry no other session, its sockets
    /// at once; totals are reported.
    Release {
        /// The session.
        id: MediaId,
        /// Why, for the record.
        cause: Cause,
    },
}

/// One anchored RTP session: a media line of a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpOrder {
    /// Given out by the edge, from the same numbers as those of MSRP sessions.
    pub id: MediaId,
    /// What we are bound to towards the UE: the even port of a pair; RTCP has the next one where it is not
    /// multiplexed. Fixed for the life of the session.
    pub access_local: SocketAddr,
    /// The same towards the core.
    pub core_local: SocketAddr,
    /// Both ends as far as they are signalled.
    pub session: RtpSession,
    /// What people are told.
    pub about: RtpAbout,
}

impl RtpOrder {
    /// What we are bound to on the side of `realm`.
    #[must_use]
    pub const fn local(&self, realm: Realm) -> SocketAddr {
        match realm {
            Realm::Access => self.access_local,
            Realm::Core => self.core_local,
        }
    }
}

/// What records and operators call an RTP session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpAbout {
    /// The Call-ID of its dialog, cut to 128 bytes; shared by the sessions of a call.
    pub call_id: Arc<str>,
    /// The media of the `m=` line.
    pub kind: MediaKind,
    /// The encoding name of the first format in use, as `a=rtpmap` has it; empty if unknown. The quality
    /// estimate depends on it.
    pub encoding: Arc<str>,
}

/// The media of an `m=` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Voice.
    Audio,
    /// Moving pictures.
    Video,
    /// Anything else over RTP.
    Other,
}

impl MediaKind {
    /// As in SDP.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Other => "other",
        }
    }
}

/// One anchored MSRP session: two sides, glued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MsrpSession {
    /// Given out by the edge.
    pub id: MediaId,
    /// Towards the UE.
    pub access: MsrpSide,
    /// Towards the core.
    pub core: MsrpSide,
    /// Ends the session when nothing was relayed for so long.
    pub idle_max: Duration,
    /// Bytes of one message, summed over its chunks, before 413; `u64::MAX` for no limit.
    pub message_bytes_max: u64,
    /// The Call-ID of its dialog, cut to 128 bytes: for its record. Shared by the sessions of a call.
    pub call_id: Arc<str>,
    /// The registration it belongs to: all sessions of one share a byte rate.
    pub user: Option<BindingId>,
    /// What a side may send, by the side; `None` where nothing is asked of it.
    pub content: [Option<Arc<ContentRules>>; 2],
}

impl MsrpSession {
    /// Bytes of one message that this side may send.
    #[must_use]
    pub fn message_bytes_max(&self, from: Realm) -> u64 {
        let own = self.content[from as usize].as_ref().map_or(u64::MAX, |rules| rules.message_bytes_max);
        own.min(self.message_bytes_max)
    }

    /// The side of `realm`.
    #[must_use]
    pub const fn side(&self, realm: Realm) -> &MsrpSide {
        match realm {
            Realm::Access => &self.access,
            Realm::Core => &self.core,
        }
    }
}

/// One side of an anchored MSRP session.
///
/// `local_path` is the one URI we wrote into the SDP that went to this side. Requests from this side
/// carry it as To-Path; requests to this side carry it as From-Path (R73).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MsrpSide {
    /// Our URI towards this side, for example `msrp://192.0.2.7:2855/hwK3zBbqenxBFB;tcp`; empty while the
    /// far end, whose session-id it bears, is unknown.
    pub local_path: Bytes,
    /// The peer's `a=path` value as it came (one URI, or several separated by a blank); `None` before
    /// its SDP is known.
    pub remote_path: Option<Bytes>,
    /// Who opens the connection.
    pub opening: Opening,
    /// The only address a connection of this side may come from (R77); `None` accepts any.
    pub expect_source: Option<IpAddr>,
    /// The certificates that the peer announced (RFC 8122): its connection must show one of them. Empty: it
    /// announced none; who connects to us is not asked then, and whom we dial is checked by authority.
    pub fingerprints: Vec<Fingerprint>,
    /// How strictly the peer's From-Path is compared.
    pub matching: Matching,
    /// The relay that the peer put before itself in its path, where that is us (RFC 4976): it opens
    /// To-Path in what the peer sends, and answers to the peer come from it.
    pub relay_uri: Option<Bytes>,
}

/// How the From-Path of a peer is compared with the path it signalled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Matching {
    /// URI for URI (RFC 4975 §6.1).
    #[default]
    Uri,
    /// By the session-id alone: there may be a middlebox that changes addresses in one place and not in the
    /// other (RFC 6714 §4, sessmatch).
    SessionId,
}

/// What one side of a session may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentRules {
    /// Media types, in lower case and without parameters; `type/*` stands for all of a type, and an empty
    /// list for everything. Else 415.
    pub types: Vec<Box<[u8]>>,
    /// Bytes of one message before 413; `u64::MAX` for no limit of its own.
    pub message_bytes_max: u64,
    /// Ends of file names, in lower case, that are refused with 403.
    pub suffixes_blocked: Vec<Box<[u8]>>,
}

/// Who opens the connection of one side (RFC 6135).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Opening {
    /// The peer connects to our listener.
    #[default]
    Listen,
    /// We connect to the peer as soon as both sides are known.
    Dial {
        /// TCP or TLS.
        transport: Transport,
        /// The peer.
        peer: SocketAddr,
    },
}

impl ContentRules {
    /// Whether a media type may be sent; parameters and case do not count.
    #[must_use]
    pub fn allows(&self, content_type: &[u8]) -> bool {
        let end = content_type.iter().position(|b| matches!(b, b';' | b' ' | b'\t'));
        let name = content_type.get(..end.unwrap_or(content_type.len())).unwrap_or_default();
        self.types.is_empty()
            || self.types.iter().any(|allowed| match allowed.strip_suffix(b"*") {
                Some(front) => name.get(..front.len()).is_some_and(|n| n.eq_ignore_ascii_case(front)),
                None => name.eq_ignore_ascii_case(allowed),
            })
    }

    /// Whether a file of this name is refused. What systems drop from the end of a name does not save it.
    #[must_use]
    pub fn blocks(&self, file_name: &[u8]) -> bool {
        let end = file_name.iter().rposition(|b| !matches!(b, b'.' | b' ')).map_or(0, |last| last + 1);
        let name = file_name.get(..end).unwrap_or_default();
        self.suffixes_blocked.iter().any(|suffix| {
            let from = name.len().checked_sub(suffix.len());
            from.and_then(|from| name.get(from..)).is_some_and(|tail| tail.eq_ignore_ascii_case(suffix))
        })
    }
}

/// What the relay reports back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaNotice {
    /// A connection of this side is bound to the session.
    Bound {
        /// The session.
        id: MediaId,
        /// The side.
        realm: Realm,
    },
    /// Of an RTP session: latched, one-way, inactive, or ended; see [`RtpNotice`].
    Rtp(RtpNotice),
    /// The MSRP session ended; after `Release`, or by itself (peer gone, idle). The id is dead.
    Ended {
        /// The session.
        id: MediaId,
        /// Why.
        cause: Cause,
        /// What went through.
        totals: MediaTotals,
    },
}

/// What is to be kept of an MSRP session that ended, for billing and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MsrpRecord {
    /// Its id; another session may have it by now.
    pub id: MediaId,
    /// The Call-ID of its dialog.
    pub call_id: Arc<str>,
    /// Why it ended.
    pub cause: Cause,
    /// How long it was open, from when it was ordered.
    pub duration: Duration,
    /// How long it took from then until the first message passed; `None` if none did.
    pub first_message_after: Option<Duration>,
    /// Who was connected at the end, by side.
    pub peers: [Option<IpAddr>; 2],
    /// What went through.
    pub totals: MediaTotals,
}

/// What went through a session, by the side it came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MediaTotals {
    /// Bytes received from the UE, heads included.
    pub access_bytes: u64,
    /// Bytes received from the core, heads included.
    pub core_bytes: u64,
    /// Complete messages (last chunk `$`) from the UE.
    pub access_messages: u64,
    /// Complete messages from the core.
    pub core_messages: u64,
}
