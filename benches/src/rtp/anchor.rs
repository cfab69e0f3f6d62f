//! The data plane with RTP sessions and no SIP: a stand-in orders the sessions at start.

use config::{Config, MediaIo, MsrpListener, RealmConfig};
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use dataplane::{Dataplane, Gatehouse, Machines, Signalling, StartError};
use edge::api::{Action, Event, Outbox, ShardContext};
use media::command::{MediaCommand, MediaKind, RtpAbout, RtpOrder};
use media::relay::MsrpRelay;
use media::rtp::{Latching, Protection, RtcpPort, RtpSession, RtpSide};
use rtp::srtp::{MasterKey, Suite};
use std::sync::Arc;
use telemetry::{Bank, Telemetry};
use wire::{Instant, MediaId, PrefixSet, Random, StreamId};

/// Which sessions a node opens at start.
#[derive(Clone, Copy, Debug)]
pub struct Anchors {
    /// Where, as in [`ports`].
    pub host: u8,
    /// How many.
    pub sessions: u32,
    /// Whether UEs speak SRTP.
    pub is_secure: bool,
    /// Where all UEs are.
    pub ue: SocketAddr,
    /// Where all servers are.
    pub core: SocketAddr,
}

/// Where stream `number` is relayed: the UE's side, the core's side. Each relay has a `host` of its own, because
/// the kernel takes a while to let go of the ports of an io_uring that ended.
#[must_use]
pub fn ports(host: u8, number: u32) -> [SocketAddr; 2] {
    let port = FIRST_PORT + 2 * u16::try_from(number).unwrap_or(u16::MAX / 4);
    [1, 2].map(|side| SocketAddr::from((Ipv4Addr::new(127, 0, host, side), port)))
}

const FIRST_PORT: u16 = 10_000;

/// The key of one direction: `true` for what UEs send.
#[must_use]
pub fn key(by_ue: bool) -> MasterKey {
    MasterKey::random(Suite::AesCm128HmacSha1Tag80, &mut Random::from_u64(u64::from(by_ue)))
}

/// Orders the sessions, a few at a time.
#[derive(Debug)]
pub struct Opener {
    anchors: Anchors,
    opened: u32,
    due: Instant,
}

const SESSIONS_PER_TURN: u32 = 100;

impl Machines for Anchors {
    type Signalling = Opener;
    type Relaying = MsrpRelay;

    fn build(&self, config: &Arc<Config>, context: ShardContext) -> (Opener, MsrpRelay) {
        let opener = Opener { anchors: *self, opened: 0, due: Instant::ZERO };
        (opener, Gatehouse.build(config, context).1)
    }
}

impl Signalling for Opener {
    fn handle(&mut self, _: Event<'_>, _: Instant, _: &mut Outbox) {}

    fn next_deadline(&self) -> Option<Instant> {
        (self.opened < self.anchors.sessions).then_some(self.due)
    }

    fn handle_deadline(&mut self, now: Instant, out: &mut Outbox) {
        self.due = now + Duration::from_millis(1);
        for _ in 0..SESSIONS_PER_TURN.min(self.anchors.sessions - self.opened) {
            let order = self.anchors.order(self.opened);
            out.actions.push(Action::Media(MediaCommand::Rtp(Box::new(order))));
            self.opened += 1;
        }
    }

    fn is_registered(&self, _: StreamId) -> bool {
        true
    }

    fn holdings(&self, _: &PrefixSet) -> edge::Holdings {
        edge::Holdings::default()
    }

    fn publish(&self, _: &Bank) {}
}

impl Anchors {
    fn order(&self, number: u32) -> RtpOrder {
        let side = |remote: SocketAddr, latching, protection| RtpSide {
            remote: Some(remote),
            remote_rtcp: None,
            rtcp: RtcpPort::Muxed,
            latching,
            protection,
            ice: None,
            sends: true,
            clock_rate: 8_000,
        };
        let protection = match self.is_secure {
            true => Protection::Sdes { send: key(false), receive: Some(key(true)) },
            false => Protection::Plain,
        };
        let [access_local, core_local] = ports(self.host, number);
        RtpOrder {
            id: MediaId { slot: number, generation: 1 },
            access_local,
            core_local,
            session: RtpSession {
                access: side(self.ue, Latching::Signaller { host: self.ue.ip() }, protection),
                core: side(self.core, Latching::Strict, Protection::Plain),
            },
            about: RtpAbout {
                call_id: format!("call-{number}@ue.example").into(),
                kind: MediaKind::Audio,
                encoding: "PCMA".into(),
            },
        }
    }
}

/// Starts a node of one shard.
///
/// # Errors
/// As [`Dataplane::start_with`].
pub fn start(anchors: Anchors, io: MediaIo, telemetry: Arc<Telemetry>) -> Result<Dataplane, StartError> {
    let msrp = || MsrpListener { bind: (Ipv4Addr::LOCALHOST, 0).into(), ..MsrpListener::default() };
    let realm = || RealmConfig { sip: Vec::new(), msrp: vec![msrp()], ..RealmConfig::default() };
    let mut config = Config::default();
    config.node.shards = 1;
    config.media.io = io;
    config.media.one_way_seconds = 600;
    config.realm.access = realm();
    config.realm.core = realm();
    Dataplane::start_with(Arc::new(config), telemetry, anchors)
}

/// How many sessions a node has open; published ten times a second.
#[must_use]
pub fn open_sessions(telemetry: &Telemetry) -> u64 {
    telemetry.sum(&telemetry::rtp::SESSIONS, 0)
}
