//! The relay behind a shell of a few lines.

mod binding;
mod classic;
mod flow;
mod laws;
mod limits;
mod pairs;
mod split;
mod time;
mod trust;

use super::conn::{Flow, Wait};
use super::*;
use crate::command::{MediaNotice, MsrpRecord, MsrpSession, MsrpSide, Opening};
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use wire::{MediaId, Realm, Transport};

/// What a shell does, in memory.
struct Shell {
    relay: MsrpRelay,
    now: Instant,
    out: Outbox,
    sent: BTreeMap<StreamId, Vec<u8>>,
    paused: BTreeSet<StreamId>,
    closed: Vec<StreamId>,
    dials: Vec<(MediaId, Realm, SocketAddr)>,
    notices: Vec<MediaNotice>,
    records: Vec<MsrpRecord>,
    own_bytes_max: usize,
    opened: Vec<StreamId>,
}

impl Shell {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self {
            relay: MsrpRelay::new(limits),
            now: Instant::ZERO,
            out: Outbox::default(),
            sent: BTreeMap::new(),
            paused: BTreeSet::new(),
            closed: Vec::new(),
            dials: Vec::new(),
            notices: Vec::new(),
            records: Vec::new(),
            own_bytes_max: 0,
            opened: Vec::new(),
        }
    }

    #[allow(clippy::needless_pass_by_value)] // reads better at forty call sites
    fn event(&mut self, event: Event<'_>) {
        let input: &[u8] = match &event {
            Event::Bytes { bytes, .. } => bytes,
            _ => &[],
        };
        self.relay.handle(event.clone(), self.now, &mut self.out);
        self.drain(input);
    }

    fn drain(&mut self, input: &[u8]) {
        self.own_bytes_max = self.own_bytes_max.max(self.out.bytes.len());
        for action in core::mem::take(&mut self.out.actions) {
            match action {
                Action::Forward { conn, segments } => {
                    assert!(!self.closed.contains(&conn), "nothing is sent behind a close");
                    for segment in &self.out.segments[segments] {
                        let bytes = self.out.segment(*segment, input);
                        assert!(!bytes.is_empty(), "each segment holds something");
                        self.sent.entry(conn).or_default().extend_from_slice(bytes);
                    }
                }
                Action::Dial { id, realm, peer, .. } => self.dials.push((id, realm, peer)),
                Action::Close { conn } => self.closed.push(conn),
                Action::PauseReading { conn } => assert!(self.paused.insert(conn), "{conn} paused twice"),
                Action::ResumeReading { conn } => assert!(self.paused.remove(&conn), "{conn} was not paused"),
                Action::Notice(notice) => self.notices.push(notice),
                Action::Record(record) => self.records.push(*record),
            }
        }
        self.out.clear();
        self.check();
    }

    /// What holds between any two events: whoever waits waits for something that will come.
    fn check(&self) {
        let relay = &self.relay;
        assert!(relay.ready.is_empty());
        let mut held = 0;
        for id in &self.opened {
            let Some(conn) = relay.conns.of(*id) else { continue };
            held += conn.held.len();
            assert_eq!(conn.paused_at.is_some(), conn.wait != Wait::None, "{id}");
            assert_eq!(conn.paused_at.is_some(), self.paused.contains(id), "{id}");
            match conn.wait {
                Wait::None => assert!(conn.held.is_empty(), "{id}"),
                Wait::Far { session, .. } => {
                    assert!(relay.sessions.of(session).unwrap().waiters.contains(id), "{id}");
                }
                Wait::Rate { .. } => {}
                Wait::Turn { to } => {
                    let far = relay.conns.of(to).unwrap();
                    assert!(far.waiting.contains(id), "{id}");
                    assert!(far.writer.is_some() || far.full_since.is_some(), "{id} was not woken");
                }
                Wait::Queue { to } => {
                    let far = relay.conns.of(to).unwrap();
                    assert_eq!(
                        (far.writer, far.full_since.is_some()),
                        (Some(*id), true),
                        "{id} was not woken"
                    );
                }
            }
            for waiting in &conn.waiting {
                assert_eq!(relay.conns.of(*waiting).unwrap().wait, Wait::Turn { to: *id });
            }
            if let Some(writer) = conn.writer {
                let flow = &relay.conns.of(writer).unwrap().flow;
                assert!(
                    matches!(flow, Flow::Forward(f) if f.to == *id && !f.is_cut()),
                    "{writer} writes into {id}"
                );
            }
            for session in &conn.sessions {
                let side = relay.sessions.of(*session).unwrap().side(conn.realm);
                assert_eq!(side.conn, Some(*id));
            }
        }
        assert_eq!(held, relay.held_bytes());
    }

    fn open(&mut self, conn: u32, realm: Realm, peer: &str) -> StreamId {
        self.opened(conn, realm, peer, None)
    }

    fn opened(&mut self, conn: u32, realm: Realm, peer: &str, dialled_for: Option<MediaId>) -> StreamId {
        let conn = StreamId { slot: conn, generation: 0 };
        self.opened.push(conn);
        self.event(Event::Opened {
            conn,
            realm,
            transport: Transport::Tcp,
            local: "192.0.2.1:2855".parse().unwrap(),
            peer: peer.parse().unwrap(),
            dialled_for,
            certificate: None,
        });
        conn
    }

    fn bytes(&mut self, conn: StreamId, bytes: impl AsRef<[u8]>) {
        self.event(Event::Bytes { conn, bytes: bytes.as_ref() });
    }

    fn session(&mut self, session: MsrpSession) {
        self.event(Event::Command(MediaCommand::Msrp(Box::new(session))));
    }

    fn end(&mut self, id: MediaId) {
        self.event(Event::Command(MediaCommand::Release { id, cause: Cause::Bye }));
    }

    /// What was sent on a connection since the last look.
    fn take(&mut self, conn: StreamId) -> String {
        self.sent.remove(&conn).unwrap_or_default().escape_ascii().to_string()
    }

    /// Lets time pass and rings every alarm on its way.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, _)) = self.relay.next_deadline().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.relay.handle_deadline(self.now, &mut self.out);
            self.drain(&[]);
        }
        self.now = end;
    }

    fn causes(&self) -> Vec<(&'static str, u64)> {
        let counted = Cause::ALL.iter().map(|cause| (cause.label(), self.relay.counters().of(*cause)));
        counted.filter(|(_, count)| *count > 0).collect()
    }
}

const UE: &str = "203.0.113.9:40000";
const CORE: &str = "198.51.100.1:7654";
const UE_PATH: &str = "msrp://10.0.0.7:9/ue1;tcp";
const CORE_PATH: &str = "msrp://198.51.100.1:7654/core1;tcp";
const TO_UE: &str = "msrp://192.0.2.1:2855/core1;tcp";
const TO_CORE: &str = "msrp://192.0.2.2:2855/ue1;tcp";

const ID: MediaId = MediaId { slot: 1, generation: 0 };

fn path(path: &str) -> Bytes {
    Bytes::copy_from_slice(path.as_bytes())
}

/// The usual session: the UE connects, we dial the core.
fn usual() -> MsrpSession {
    MsrpSession {
        id: ID,
        access: MsrpSide {
            local_path: path(TO_UE),
            remote_path: Some(path(UE_PATH)),
            opening: Opening::Listen,
            expect_source: Some("203.0.113.9".parse().unwrap()),
            ..MsrpSide::default()
        },
        core: MsrpSide {
            local_path: path(TO_CORE),
            remote_path: Some(path(CORE_PATH)),
            opening: Opening::Dial { transport: Transport::Tcp, peer: CORE.parse().unwrap() },
            expect_source: None,
            ..MsrpSide::default()
        },
        idle_max: Duration::from_secs(600),
        message_bytes_max: u64::MAX,
        call_id: "call-1@ue".into(),
        user: None,
        content: [None, None],
    }
}

/// The n-th of several sessions that look alike.
fn numbered(n: u32) -> MsrpSession {
    let mut session = usual();
    session.id.slot = n;
    let rename = |p: &Bytes| {
        let text = core::str::from_utf8(p).unwrap().replace("ue1", &format!("ue{n}"));
        path(&text.replace("core1", &format!("core{n}")))
    };
    for side in [&mut session.access, &mut session.core] {
        side.local_path = rename(&side.local_path);
        side.remote_path = side.remote_path.as_ref().map(rename);
    }
    session
}

/// A message towards the relay or from it.
fn message(id: &str, start: &str, to: &str, from: &str, rest: &str) -> String {
    format!("MSRP {id} {start}\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n{rest}-------{id}$\r\n")
}

fn with_body(body: &str) -> String {
    format!("Message-ID: m1\r\nByte-Range: 1-*/*\r\nContent-Type: text/plain\r\n\r\n{body}\r\n")
}

/// A SEND of the UE as it comes in, and as it goes out.
fn from_ue(id: &str, rest: &str) -> String {
    message(id, "SEND", TO_UE, UE_PATH, rest)
}

fn to_core(id: &str, rest: &str) -> String {
    message(id, "SEND", CORE_PATH, TO_CORE, rest)
}

fn escaped(text: &str) -> String {
    text.as_bytes().escape_ascii().to_string()
}

/// The usual session with both connections bound: the UE's by an empty SEND.
fn connected() -> (Shell, StreamId, StreamId) {
    connected_with(Limits::default(), usual())
}

fn connected_with(limits: Limits, session: MsrpSession) -> (Shell, StreamId, StreamId) {
    let mut shell = Shell::with(limits);
    shell.session(session);
    assert_eq!(shell.dials, [(ID, Realm::Core, CORE.parse().unwrap())]);
    let core = shell.opened(2, Realm::Core, CORE, Some(ID));
    let ue = shell.open(1, Realm::Access, UE);
    shell.bytes(ue, from_ue("bind", "Message-ID: m0\r\n"));
    assert_eq!(shell.take(core), escaped(&to_core("bind", "Message-ID: m0\r\n")));
    (shell, ue, core)
}
