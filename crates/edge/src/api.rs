//! What goes into the edge and what comes out.
//!
//! ```text
//! handle(event, now, &mut out)            the world came in
//! next_deadline() -> (Instant, Reason)    when to wake it, and why
//! handle_deadline(now, &mut out)          the alarm rang
//! ```
//! The shell drains `out.actions` after each call, then clears the outbox. A run is a pure function
//! of (config, context, seed, inputs).

use config::Config;
use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use media::command::{MediaCommand, MediaNotice};
use std::sync::Arc;
use wire::{
    Cause, Directory, Fingerprint, HostQuery, NetAction, NetEvent, PrefixSet, Realm, ShardId, SocketId,
    Transport,
};

/// What happened outside.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// On the network: SIP bytes, streams coming and going.
    Net(NetEvent<'a>),
    /// In the relay of this shard.
    Media(MediaNotice),
    /// Another shard handed over a datagram or message that belongs here.
    Handover {
        /// How it reached the other shard.
        realm: Realm,
        /// As it came.
        transport: Transport,
        /// Whom it came from.
        source: SocketAddr,
        /// The whole message.
        bytes: &'a [u8],
    },
    /// The configuration was replaced.
    Config(Arc<Config>),
    /// The certificates were replaced: what is shown under TLS, by realm.
    Certificates([Option<Fingerprint>; 2]),
    /// What names lead to was looked up anew.
    NextHops(Arc<Directory>),
    /// The blacklist was replaced: its sources are turned away, and what they have here ends (R10).
    Blacklist(Arc<PrefixSet>),
    /// Refuse new registrations and new initial requests from here on; serve the rest.
    Drain,
}

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// On the network; spans point into `Outbox::bytes`.
    Net(NetAction),
    /// In the relay of this shard.
    Media(MediaCommand),
    /// Do not close this stream for idleness before so long from now, even if its idle timer is
    /// shorter (R8: `rkeep=s` asks for the link to be kept for s seconds).
    HoldOpen {
        /// The stream.
        stream: wire::StreamId,
        /// At least so long.
        at_least: core::time::Duration,
    },
    /// Give this message to another shard (`Event::Handover` there).
    Handover {
        /// The shard that owns the token.
        shard: ShardId,
        /// As it came.
        realm: Realm,
        /// As it came.
        transport: Transport,
        /// Whom it came from.
        source: SocketAddr,
        /// Span of `Outbox::bytes`.
        bytes: wire::Span,
    },
    /// Look this name up, if that is not done already; `Event::NextHops` brings what it leads to.
    Resolve(HostQuery),
    /// Log or record this.
    Record(Record),
}

/// Reused between calls: warm, a call allocates nothing.
#[derive(Debug, Default)]
pub struct Outbox {
    /// In order.
    pub actions: Vec<Action>,
    /// What the spans of the actions point into.
    pub bytes: Vec<u8>,
}

impl Outbox {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.actions.clear();
        self.bytes.clear();
    }
}

/// Why the edge asked to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A transaction timer (RFC 3261 §17).
    Transaction,
    /// A message on a stream is incomplete for too long.
    PartialMessage,
    /// A registration expires, or was not completed in time.
    Registration,
    /// A dialog's session timer (RFC 4028).
    Dialog,
    /// Registrations of barred sources are being ended.
    Blacklist,
    /// A next hop of the core is probed.
    NextHops,
}

/// Something worth a log line or a record; the shell stamps time and writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A message was rejected or dropped.
    Rejected {
        /// Why.
        cause: Cause,
        /// Where it came in.
        realm: Realm,
        /// Whom it came from.
        source: SocketAddr,
        /// Its Call-ID, as far as it could be read (lossy UTF-8, capped at 128 bytes).
        call_id: Box<str>,
    },
    /// A registration was opened, refreshed or ended.
    Registration {
        /// The address of record.
        aor: Box<str>,
        /// Whom it came from.
        source: SocketAddr,
        /// How long it lives, in seconds; 0 when it ended.
        expires_seconds: u32,
        /// Why it ended, if it did.
        ended: Option<Cause>,
    },
    /// A dialog ended.
    DialogEnded {
        /// Its Call-ID.
        call_id: Box<str>,
        /// Why.
        cause: Cause,
        /// How long it stood.
        duration: core::time::Duration,
    },
}

/// Where this shard stands: known only once its sockets are bound.
#[derive(Clone, Debug)]
pub struct ShardContext {
    /// This shard.
    pub shard: ShardId,
    /// Each address SIP is served on.
    pub sip: Vec<SipPoint>,
    /// Each address MSRP is served on.
    pub msrp: Vec<MsrpPoint>,
    /// Each address RTP is relayed on.
    pub rtp: Vec<RtpPoint>,
    /// Our certificate on media paths; without one there is no DTLS-SRTP.
    pub rtp_fingerprint: Option<Fingerprint>,
    /// Seals the tokens in Path, Record-Route and Contact; the same for every shard of a node.
    pub token_key: [u8; 32],
    /// Seeds tags, branches and nonces of seals; different for every shard.
    pub seed: [u8; 32],
}

/// An address this shard serves SIP on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipPoint {
    /// Which side.
    pub realm: Realm,
    /// Over which transport.
    pub transport: Transport,
    /// The socket, for UDP.
    pub socket: Option<SocketId>,
    /// What the socket is bound to (port resolved); its family tells IPv4 from IPv6.
    pub bound: SocketAddr,
    /// `host:port` (or `[v6]:port`) that peers are told, in Via, Path, Contact and Record-Route.
    pub advertised: Box<str>,
}

/// An address this shard serves MSRP on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MsrpPoint {
    /// Which side.
    pub realm: Realm,
    /// TCP or TLS.
    pub transport: Transport,
    /// What peers are told in SDP: an address, not a name, for the `c=` line.
    pub advertised: SocketAddr,
    /// Whether MSRP is carried in WebSocket messages there (RFC 7977).
    pub websocket: bool,
    /// Of the certificate that is shown there, under TLS.
    pub fingerprint: Option<Fingerprint>,
}

/// An address this shard relays RTP on, with the ports that are its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpPoint {
    /// Which side.
    pub realm: Realm,
    /// What sockets are bound to.
    pub bound: IpAddr,
    /// What peers are told in SDP.
    pub advertised: IpAddr,
    /// No other shard has any of them.
    pub ports: RangeInclusive<u16>,
}
