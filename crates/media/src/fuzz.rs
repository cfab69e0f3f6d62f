//! The body of the fuzz target, an ordinary function so that a crash becomes a test.
//!
//! ```text
//! input   [kind, length, octets …] [kind, length, octets …] …
//! kind    0..=3 octets from one of four connections   4 it is closed   5 time passes
//!         6 its queue fills, or drains                7 the session is released, or ordered anew
//! ```

use crate::command::{MediaCommand, MsrpSession, MsrpSide, Opening};
use crate::msrp_auth::{Settings, Users, answer};
use crate::relay::{Action, ClassicLimits, Event, Limits, MsrpRelay, Outbox};
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wire::{Cause, Instant, MediaId, Prefix, PrefixSet, Realm, StreamId, Transport};

/// What peers write: of the session that SIP anchored, and of the client that asked for a relay.
pub const TO_UE: &str = "msrp://192.0.2.1:2855/core1;tcp";
/// As above.
pub const TO_CORE: &str = "msrp://192.0.2.2:2855/ue1;tcp";
/// As above.
pub const UE: &str = "msrp://10.0.0.7:9/ue1;tcp";
/// As above.
pub const CORE: &str = "msrp://198.51.100.1:7654/core1;tcp";
/// As above.
pub const PEER: &str = "msrp://198.51.100.9:7000/peer;tcp";

const RELAY: &str = "msrp://192.0.2.1:2855;tcp";
const ID: MediaId = MediaId { slot: 1, generation: 0 };

/// Plays `input` to a relay; whatever it is, what the relay sends can be read, and when all connections are
/// gone and the call is over nothing is left. Returns the URI that the client was granted.
///
/// # Panics
/// If that does not hold.
pub fn relay(input: &[u8]) -> String {
    let mut shell = Shell::new();
    let grant = shell.authenticate();
    let mut rest = input;
    while let [kind, length, after @ ..] = rest {
        let (octets, behind) = after.split_at((*length as usize).min(after.len()));
        rest = behind;
        shell.play(kind % 8, octets);
    }
    shell.finish();
    grant
}

struct Shell {
    relay: MsrpRelay,
    now: Instant,
    out: Outbox,
    /// Connections that stand, in the order of opening: the first is the UE's.
    open: Vec<StreamId>,
    count: u32,
    /// Reads what each is sent.
    readers: BTreeMap<StreamId, msrp::Reader>,
    /// What the client was answered last.
    last: Vec<u8>,
    dials: Vec<(MediaId, Realm, SocketAddr)>,
    full: BTreeSet<StreamId>,
}

impl Shell {
    fn new() -> Self {
        let hop: Option<Prefix> = "198.51.100.0/24".parse().ok();
        let classic = ClassicLimits {
            auth: Settings { realm: "r".into(), expires_min: 1, expires_max: 3_600, nonces_max: 4 },
            addresses: [None, "192.0.2.1:2855".parse().ok()],
            tls_only: false,
            grants_max: 4,
            grants_per_user_max: 2,
            next_hops: hop.into_iter().collect::<PrefixSet>(),
            idle_max: Duration::from_secs(600),
            message_bytes_max: 4_096,
            seed: [7; 32],
        };
        let limits = Limits { sessions_max: 16, head_bytes_max: 1_024, ..Limits::default() };
        let mut shell = Self {
            relay: MsrpRelay::with_classic(limits, classic),
            now: Instant::ZERO,
            out: Outbox::default(),
            open: Vec::new(),
            count: 0,
            readers: BTreeMap::new(),
            last: Vec::new(),
            dials: Vec::new(),
            full: BTreeSet::new(),
        };
        let users = Users::read(&format!("u:r:{}", "0".repeat(32)), "r").unwrap_or_default();
        shell.event(Event::Users(Arc::new(users)));
        shell.order();
        shell.connect(Realm::Access, None);
        shell.connect(Realm::Access, None);
        shell.connect(Realm::Core, None);
        shell
    }

    fn order(&mut self) {
        let side = |local: &'static str, remote: &'static str, opening| MsrpSide {
            local_path: Bytes::from_static(local.as_bytes()),
            remote_path: Some(Bytes::from_static(remote.as_bytes())),
            opening,
            ..MsrpSide::default()
        };
        let peer = SocketAddr::from(([198, 51, 100, 1], 7_654));
        let dial = Opening::Dial { transport: Transport::Tcp, peer };
        let session = MsrpSession {
            id: ID,
            access: side(TO_UE, UE, Opening::Listen),
            core: side(TO_CORE, CORE, dial),
            idle_max: Duration::from_secs(600),
            message_bytes_max: 4_096,
            call_id: "fuzz".into(),
            user: None,
            content: [None, None],
        };
        self.event(Event::Command(MediaCommand::Msrp(Box::new(session))));
    }

    /// Takes the first connection through AUTH.
    fn authenticate(&mut self) -> String {
        let Some(&ue) = self.open.first() else { return String::new() };
        let ask = |fields: &str| {
            format!("MSRP auth AUTH\r\nTo-Path: {RELAY}\r\nFrom-Path: {UE}\r\n{fields}-------auth$\r\n")
        };
        self.event(Event::Bytes { conn: ue, bytes: ask("").as_bytes() });
        let proof = answer(&core::mem::take(&mut self.last), b"u", &[b'0'; 32], RELAY.as_bytes());
        self.event(Event::Bytes { conn: ue, bytes: ask(&format!("Authorization: {proof}\r\n")).as_bytes() });
        let answer = String::from_utf8_lossy(&self.last).into_owned();
        let path = answer.split("Use-Path: ").nth(1).and_then(|rest| rest.split('\r').next());
        path.expect("the proof is right").to_owned()
    }

    fn play(&mut self, kind: u8, octets: &[u8]) {
        let number = octets.first().map_or(0, |n| usize::from(*n));
        let of = |shell: &Self, n: usize| shell.open.get(n % shell.open.len().max(1)).copied();
        match kind {
            0..=3 => {
                if let Some(conn) = of(self, kind.into()).filter(|_| !octets.is_empty()) {
                    self.event(Event::Bytes { conn, bytes: octets });
                }
            }
            4 => {
                if let Some(conn) = of(self, number) {
                    self.gone(conn);
                    let realm = if number.is_multiple_of(2) { Realm::Access } else { Realm::Core };
                    self.connect(realm, None);
                }
            }
            5 => self.pass(Duration::from_secs(number as u64)),
            6 => {
                if let Some(conn) = of(self, number) {
                    match self.full.remove(&conn) {
                        true => self.event(Event::Drained { conn }),
                        false => {
                            self.full.insert(conn);
                            self.event(Event::Queued { conn, bytes: 1 << 20 });
                        }
                    }
                }
            }
            _ if number.is_multiple_of(2) => {
                self.event(Event::Command(MediaCommand::Release { id: ID, cause: Cause::Bye }));
            }
            _ => self.order(),
        }
        self.dial();
    }

    fn connect(&mut self, realm: Realm, dialled_for: Option<MediaId>) {
        self.count += 1;
        let conn = StreamId { slot: self.count, generation: 1 };
        self.open.push(conn);
        let peer = SocketAddr::from(([198, 51, 100, 9], 7_000));
        self.event(Event::Opened {
            conn,
            realm,
            transport: Transport::Tcp,
            local: SocketAddr::from(([192, 0, 2, 1], 2_855)),
            peer,
            dialled_for,
            certificate: None,
        });
    }

    /// Every other dial succeeds.
    fn dial(&mut self) {
        for (id, realm, peer) in core::mem::take(&mut self.dials) {
            match self.count % 4 {
                3 if peer.port() == 7_000 => self.event(Event::DialFailed { id, realm }),
                _ => self.connect(realm, Some(id)),
            }
        }
    }

    fn gone(&mut self, conn: StreamId) {
        self.open.retain(|open| *open != conn);
        self.readers.remove(&conn);
        self.full.remove(&conn);
        self.event(Event::Closed { conn });
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        // A clock that never stops ringing would be a fault of its own.
        for _ in 0..100_000 {
            let Some((at, _)) = self.relay.next_deadline().filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            self.relay.handle_deadline(self.now, &mut self.out);
            self.drain(&[]);
        }
        self.now = end;
    }

    #[allow(clippy::needless_pass_by_value)] // reads better at a dozen call sites
    fn event(&mut self, event: Event<'_>) {
        let input: &[u8] = match &event {
            Event::Bytes { bytes, .. } => bytes,
            _ => &[],
        };
        self.relay.handle(event.clone(), self.now, &mut self.out);
        self.drain(input);
    }

    fn drain(&mut self, input: &[u8]) {
        let mut closed = Vec::new();
        for action in core::mem::take(&mut self.out.actions) {
            match action {
                Action::Forward { conn, segments } => {
                    for segment in self.out.segments.get(segments).unwrap_or_default() {
                        let bytes = self.out.segment(*segment, input).to_vec();
                        self.last.clone_from(&bytes);
                        let fresh = || msrp::Reader::new(msrp::Scan::Every, 65_536);
                        let reader = self.readers.entry(conn).or_insert_with(fresh);
                        read(reader, &bytes);
                    }
                }
                Action::Dial { id, realm, peer, .. } => self.dials.push((id, realm, peer)),
                Action::Close { conn } => closed.push(conn),
                _ => {}
            }
        }
        self.out.clear();
        closed.into_iter().for_each(|conn| self.gone(conn));
    }

    fn finish(&mut self) {
        for conn in core::mem::take(&mut self.open) {
            self.gone(conn);
        }
        for (id, realm, _) in core::mem::take(&mut self.dials) {
            self.event(Event::DialFailed { id, realm });
        }
        self.event(Event::Command(MediaCommand::Release { id: ID, cause: Cause::Bye }));
        self.pass(Duration::from_secs(7_200));
        let left = (self.relay.session_count(), self.relay.connection_count(), self.relay.held_bytes());
        assert_eq!(left, (0, 0, 0), "sessions, connections and octets are left");
    }
}

/// What the relay sends must be framed, whatever came in.
fn read(reader: &mut msrp::Reader, bytes: &[u8]) {
    let mut at = 0;
    loop {
        match reader.next(bytes, &mut at) {
            msrp::Event::Partial => return,
            msrp::Event::Broken(cause) => panic!("{cause}: {}", bytes.escape_ascii()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, octets: &[u8]) -> Vec<u8> {
        octets.chunks(200).flat_map(|part| [&[kind, part.len() as u8][..], part].concat()).collect()
    }

    fn message(id: &str, start: &str, to: &str, from: &str, body: &str) -> Vec<u8> {
        let body = match body {
            "" => String::new(),
            body => format!("Byte-Range: 1-*/*\r\nContent-Type: text/plain\r\n\r\n{body}\r\n"),
        };
        format!("MSRP {id} {start}\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\nMessage-ID: m\r\n{body}-------{id}$\r\n")
            .into_bytes()
    }

    /// A chat through the session and one through the grant, both ways, with answers.
    fn script() -> Vec<Vec<u8>> {
        let grant = relay(&[]);
        let (out, back) = (format!("{grant} {PEER}"), format!("{grant} {UE}"));
        vec![
            record(0, &message("bind", "SEND", TO_UE, UE, "")),
            record(3, &message("bind", "200 OK", TO_CORE, CORE, "")),
            record(0, &message("on01", "SEND", TO_UE, UE, "near \r\n-------on02$\r\n miss")),
            record(6, &[3]),
            record(3, &message("on01", "200 OK", TO_CORE, CORE, "")),
            record(3, &message("ba01", "SEND", TO_CORE, CORE, "back")),
            record(6, &[3]),
            record(0, &message("ba01", "200 OK", TO_UE, UE, "")),
            record(0, &message("gr01", "SEND", &out, UE, "granted")),
            record(2, &message("gr02", "SEND", &back, PEER, "by itself")),
            record(0, &message("gr02", "200 OK", &grant, UE, "")),
            record(1, &message("th01", "SEND", &out, UE, "a thief")),
            record(5, &[31]),
            record(7, &[0]),
            record(7, &[1]),
        ]
    }

    /// Connections may be lost at any octet: nothing is left, and what was sent can be read.
    #[test]
    fn a_script_that_breaks_off_anywhere_leaves_nothing() {
        let all = script().concat();
        for end in 0..=all.len() {
            relay(&all[..end]);
        }
    }

    /// And a connection may be lost between any two steps while the others go on.
    #[test]
    fn a_connection_lost_at_any_step_leaves_nothing() {
        let steps = script();
        for at in 0..=steps.len() {
            for lost in 0..4 {
                let (before, after) = steps.split_at(at);
                relay(&[before.concat(), record(4, &[lost]), after.concat()].concat());
            }
        }
    }

    /// However the script is torn into reads.
    #[test]
    fn a_script_in_pieces_of_any_size_leaves_nothing() {
        let steps = script();
        for size in [1, 2, 3, 7, 61, 199] {
            let torn: Vec<u8> = steps
                .iter()
                .flat_map(|step| {
                    let kind = step.first().copied().unwrap_or(0);
                    let octets: Vec<u8> = step.chunks(202).flat_map(|part| part[2..].to_vec()).collect();
                    octets.chunks(size).flat_map(|part| record(kind, part)).collect::<Vec<u8>>()
                })
                .collect();
            relay(&torn);
        }
    }

    #[test]
    fn random_records_leave_nothing() {
        let mut random = wire::Random::from_u64(11);
        let steps = script();
        for _ in 0..2_000 {
            let mut input = Vec::new();
            for _ in 0..random.below(20) {
                let mut step = steps[random.below(steps.len() as u64) as usize].clone();
                let at = random.below(step.len() as u64) as usize;
                match random.below(4) {
                    0 => step[at] = random.next_u64() as u8,
                    1 => step.truncate(at.max(2)),
                    _ => {}
                }
                input.extend(step);
            }
            relay(&input);
        }
    }
}
