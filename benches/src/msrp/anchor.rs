//! The data plane with MSRP sessions anchored and no SIP: a stand-in orders the sessions at start.

use config::{Config, MsrpListener, RealmConfig, Tls};
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use dataplane::{Dataplane, Gatehouse, Machines, Protocol, Signalling, StartError};
use edge::api::{Action, Event, Outbox, ShardContext};
use media::command::{MediaCommand, MsrpSession, MsrpSide, Opening};
use media::relay::MsrpRelay;
use std::path::Path;
use std::sync::Arc;
use telemetry::{Bank, Telemetry};
use wire::{Instant, MediaId, PrefixSet, Realm, StreamId, Transport};

/// Which sessions a node opens at start.
#[derive(Clone, Copy, Debug)]
pub struct Anchors {
    /// How many.
    pub sessions: u32,
    /// How the UEs connect.
    pub access: Transport,
    /// Where all of them lead.
    pub core: SocketAddr,
}

/// Orders the sessions, a few at a time, so that the far end keeps up with being dialled.
#[derive(Debug)]
pub struct Opener {
    anchors: Anchors,
    points: [Option<SocketAddr>; 2],
    opened: u32,
    due: Instant,
}

const SESSIONS_PER_TURN: u32 = 16;
const TURN: Duration = Duration::from_millis(2);

impl Machines for Anchors {
    type Signalling = Opener;
    type Relaying = MsrpRelay;

    fn build(&self, config: &Arc<Config>, context: ShardContext) -> (Opener, MsrpRelay) {
        let point = |realm, transport| {
            let mut points = context.msrp.iter();
            points.find(|p| p.realm == realm && p.transport == transport).map(|p| p.advertised)
        };
        let points = [point(Realm::Access, self.access), point(Realm::Core, Transport::Tcp)];
        let opener = Opener { anchors: *self, points, opened: 0, due: Instant::ZERO };
        (opener, Gatehouse.build(config, context).1)
    }
}

impl Signalling for Opener {
    fn handle(&mut self, _: Event<'_>, _: Instant, _: &mut Outbox) {}

    fn next_deadline(&self) -> Option<Instant> {
        (self.opened < self.anchors.sessions).then_some(self.due)
    }

    fn handle_deadline(&mut self, now: Instant, out: &mut Outbox) {
        self.due = now + TURN;
        let [Some(access), Some(core)] = self.points else { return };
        for _ in 0..SESSIONS_PER_TURN.min(self.anchors.sessions - self.opened) {
            let session = self.anchors.session(self.opened, access, core);
            out.actions.push(Action::Media(MediaCommand::Msrp(Box::new(session))));
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
    fn session(&self, number: u32, access: SocketAddr, core: SocketAddr) -> MsrpSession {
        MsrpSession {
            id: MediaId { slot: number, generation: 1 },
            access: MsrpSide {
                local_path: access_path(self.access, access, number).into(),
                remote_path: Some(ue_path(self.access, number).into()),
                opening: Opening::Listen,
                expect_source: Some(Ipv4Addr::LOCALHOST.into()),
                ..MsrpSide::default()
            },
            core: MsrpSide {
                local_path: format!("msrp://{core}/ue{number};tcp").into(),
                remote_path: Some(core_path(self.core, number).into()),
                opening: Opening::Dial { transport: Transport::Tcp, peer: self.core },
                expect_source: None,
                ..MsrpSide::default()
            },
            idle_max: Duration::from_secs(3_600),
            message_bytes_max: u64::MAX,
            call_id: "bench".into(),
            user: None,
            content: [None, None],
        }
    }
}

/// What a UE puts into To-Path.
#[must_use]
pub fn access_path(transport: Transport, relay: SocketAddr, number: u32) -> String {
    format!("{}://{relay}/core{number};tcp", scheme(transport))
}

/// The URI of a UE.
#[must_use]
pub fn ue_path(transport: Transport, number: u32) -> String {
    format!("{}://127.0.0.1:9/ue{number};tcp", scheme(transport))
}

/// The URI of the core end.
#[must_use]
pub fn core_path(core: SocketAddr, number: u32) -> String {
    format!("msrp://{core}/core{number};tcp")
}

fn scheme(transport: Transport) -> &'static str {
    match transport {
        Transport::Tls => "msrps",
        _ => "msrp",
    }
}

/// Starts a node of one shard on free ports of the loopback; `tls` holds `cert.pem` and `key.pem`.
///
/// # Errors
/// As [`Dataplane::start_with`].
pub fn start(
    anchors: Anchors,
    tls: Option<&Path>,
    telemetry: Arc<Telemetry>,
) -> Result<Dataplane, StartError> {
    let msrp = |transport| MsrpListener {
        bind: (Ipv4Addr::LOCALHOST, 0).into(),
        transport,
        ..MsrpListener::default()
    };
    let mut config = Config::default();
    config.node.shards = 1;
    config.limits.connections_max = 100_000;
    config.limits.connections_per_source_max = 100_000;
    config.realm.access = RealmConfig {
        sip: Vec::new(),
        msrp: vec![msrp(anchors.access)],
        tls: tls.map(|directory| Tls {
            certificate: directory.join("cert.pem"),
            key: directory.join("key.pem"),
            ..Tls::default()
        }),
        ..RealmConfig::default()
    };
    config.realm.core =
        RealmConfig { sip: Vec::new(), msrp: vec![msrp(Transport::Tcp)], ..RealmConfig::default() };
    Dataplane::start_with(Arc::new(config), telemetry, anchors)
}

/// Bytes that wait in the memory of the node; published ten times a second.
#[must_use]
pub fn queued_bytes(telemetry: &Telemetry) -> u64 {
    let value = |line: &str| line.strip_prefix("gatehouse_flow_queued_bytes ")?.parse().ok();
    telemetry.render().lines().find_map(value).unwrap_or(0)
}

/// Where UEs connect to.
#[must_use]
pub fn access_address(plane: &Dataplane, transport: Transport) -> Option<SocketAddr> {
    plane.address(Protocol::Msrp, Realm::Access, transport)
}
