//! Laws over random traffic: whatever the cuts, the pauses and the order of connections, each
//! destination sees whole messages, each session's in order, and nothing is lost.

use super::*;
use msrp::{Flag, Reader, Scan};
use wire::Random;

const SESSIONS: u32 = 6;

/// A random world: sessions over a few UE connections and one core connection each, or shared ones.
struct World {
    shell: Shell,
    random: Random,
    /// What each source still has to say.
    sources: Vec<(StreamId, Vec<u8>, usize)>,
    /// What must arrive where, by session: ids in order.
    expected: BTreeMap<(StreamId, u32), Vec<String>>,
    full: BTreeSet<StreamId>,
}

fn text(bytes: &Bytes) -> String {
    core::str::from_utf8(bytes).unwrap().to_owned()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::from_u64(seed);
        let mut shell = Shell::new();
        let (ues, cores) = (1 + random.below(3) as u32, 1 + random.below(3) as u32);
        let mut sources: Vec<_> = Vec::new();
        for slot in 0..ues {
            sources.push((shell.open(slot, Realm::Access, UE), Vec::new(), 0));
        }
        for slot in 0..cores {
            sources.push((shell.open(100 + slot, Realm::Core, CORE), Vec::new(), 0));
        }
        let mut world = Self { shell, random, sources, expected: BTreeMap::new(), full: BTreeSet::new() };
        for n in 1..=SESSIONS {
            let mut session = numbered(n);
            session.core.opening = Opening::Listen;
            world.shell.session(session.clone());
            let ue = world.random.below(u64::from(ues)) as usize;
            let core = ues as usize + world.random.below(u64::from(cores)) as usize;
            for (source, far, realm) in [(ue, core, Realm::Access), (core, ue, Realm::Core)] {
                world.write_messages(n, &session, source, far, realm);
            }
        }
        world
    }

    fn write_messages(&mut self, n: u32, session: &MsrpSession, source: usize, far: usize, realm: Realm) {
        let side = session.side(realm);
        let (to, from) = (text(&side.local_path), text(side.remote_path.as_ref().unwrap()));
        let far = self.sources[far].0;
        for count in 0..4 + self.random.below(6) {
            let id = format!("s{n}.{}.{count}", realm.label());
            let body: String = (0..self.random.below(200))
                .map(|_| ["a", "\r", "\n", "-", "\r\n-------", &id][self.random.below(6) as usize])
                .collect();
            let rest = if self.random.below(4) == 0 { String::new() } else { with_body(&body) };
            let start = if count > 0 && self.random.below(4) == 0 { "200 OK" } else { "SEND" };
            let rest = if start == "SEND" { rest } else { String::new() };
            self.sources[source].1.extend_from_slice(message(&id, start, &to, &from, &rest).as_bytes());
            self.expected.entry((far, n)).or_default().push(id);
        }
    }

    /// One random step; false once everything was said.
    fn step(&mut self) -> bool {
        let open: Vec<usize> = (0..self.sources.len())
            .filter(|i| {
                let (conn, bytes, at) = &self.sources[*i];
                !self.shell.paused.contains(conn) && *at < bytes.len()
            })
            .collect();
        let conn = self.sources[self.random.below(self.sources.len() as u64) as usize].0;
        match self.random.below(8) {
            0 if !self.full.contains(&conn) => {
                self.full.insert(conn);
                self.shell.event(Event::Queued { conn, bytes: 1 << 20 });
            }
            1 | 2 if self.full.remove(&conn) => self.shell.event(Event::Drained { conn }),
            _ if open.is_empty() => {
                let Some(conn) = self.full.pop_first() else { return false };
                self.shell.event(Event::Drained { conn });
            }
            _ => {
                let source = open[self.random.below(open.len() as u64) as usize];
                let (conn, bytes, at) = &mut self.sources[source];
                let most = [3, 60, 400, 5_000][self.random.below(4) as usize];
                let end = (*at + 1 + self.random.below(most) as usize).min(bytes.len());
                let piece = bytes[*at..end].to_vec();
                *at = end;
                let conn = *conn;
                self.shell.bytes(conn, piece);
            }
        }
        true
    }

    fn check(&self, seed: u64) {
        let mut seen: BTreeMap<(StreamId, u32), Vec<String>> = BTreeMap::new();
        for (conn, bytes) in &self.shell.sent {
            let mut reader = Reader::new(Scan::Every, 8_192);
            let mut at = 0;
            loop {
                match reader.next(bytes, &mut at) {
                    msrp::Event::Head(head) => {
                        let id = String::from_utf8(head.id().to_vec()).unwrap();
                        let n: u32 = id[1..id.find('.').unwrap()].parse().unwrap();
                        let side_of = if id.contains("access") { Realm::Core } else { Realm::Access };
                        let session = numbered(n);
                        let side = session.side(side_of);
                        assert_eq!(head.to_path(), side.remote_path.as_ref().unwrap(), "seed {seed}");
                        assert_eq!(head.from_path(), side.local_path, "seed {seed}");
                        seen.entry((*conn, n)).or_default().push(id);
                    }
                    msrp::Event::End(flag, _) => assert_eq!(flag, Flag::Last, "seed {seed}"),
                    msrp::Event::Body(_) => {}
                    msrp::Event::Partial => break,
                    msrp::Event::Broken(cause) => panic!("seed {seed}: {cause}"),
                }
            }
            assert!(reader.is_between_messages(), "seed {seed}: torn message on {conn}");
        }
        assert_eq!(seen, self.expected, "seed {seed}");
        assert_eq!(self.shell.causes(), [], "seed {seed}");
        assert_eq!(self.shell.relay.held_bytes(), 0, "seed {seed}");
        assert!(self.shell.paused.is_empty(), "seed {seed}");
    }
}

#[test]
fn random_traffic_arrives_whole_and_in_order() {
    for seed in 0..400 {
        let mut world = World::new(seed);
        while world.step() {}
        world.check(seed);
    }
}

#[test]
fn a_run_replays_exactly() {
    let run = |seed| {
        let mut world = World::new(seed);
        while world.step() {}
        (world.shell.sent, world.shell.notices)
    };
    assert_eq!(run(7), run(7));
}

/// Connections and sessions come and go at any moment; nothing panics, nothing leaks.
#[test]
fn random_ends_leave_nothing_behind() {
    for seed in 0..400 {
        let mut world = World::new(seed);
        for _ in 0..200 {
            if !world.step() {
                break;
            }
            match world.random.below(40) {
                0 => world.shell.end(numbered(1 + world.random.below(u64::from(SESSIONS)) as u32).id),
                1 => {
                    let source = world.random.below(world.sources.len() as u64) as usize;
                    let (conn, bytes, at) = &mut world.sources[source];
                    *at = bytes.len();
                    let conn = *conn;
                    world.shell.paused.remove(&conn);
                    world.full.remove(&conn);
                    world.shell.event(Event::Closed { conn });
                }
                2 => world.shell.pass(Duration::from_secs(world.random.below(40))),
                _ => {}
            }
            let closed = world.shell.closed.clone();
            for (conn, bytes, at) in &mut world.sources {
                if closed.contains(conn) {
                    *at = bytes.len();
                    world.shell.paused.remove(conn);
                }
            }
        }
        world.shell.pass(Duration::from_secs(700));
        let relay = &world.shell.relay;
        assert_eq!(
            (relay.session_count(), relay.connection_count(), relay.held_bytes()),
            (0, 0, 0),
            "seed {seed}"
        );
        assert_eq!(relay.next_deadline(), None, "seed {seed}");
    }
}
