//! Any order of events: whatever UEs, core and relay say about calls, nothing crosses over that must
//! not, every media session is released exactly once, and in the end nothing is left.

use crate::calls::{CORE_CONTACT, answer, body, core_sdp, from_core};
use crate::ue::registered_udp;
use crate::world::{CORE, Sent, World, header, realm_of, response, vector_text};
use config::Config;
use core::time::Duration;
use edge::{Action, Event};
use media::command::{MediaCommand, MediaNotice, MediaTotals};
use proptest::prelude::*;
use std::collections::BTreeSet;
use wire::{Cause, MediaId, Realm};

const UES: [&str; 2] = ["182.1.1.203:41200", "182.1.1.203:41210"];
const STATUSES: [&str; 11] = [
    "200 OK",
    "200 OK",
    "200 OK",
    "180 Ringing",
    "183 Progress",
    "200 OK",
    "202 Accepted",
    "401 Unauthorized",
    "481 Gone",
    "486 Busy",
    "503 Later",
];
const METHODS: [&str; 7] = ["BYE", "ACK", "UPDATE", "INVITE", "INFO", "PRACK", "CANCEL"];
/// What a core puts into anything, and no UE may see.
const SECRETS: [&str; 4] = ["10.9.9.9", "182.1.1.64", "10.71.174.102", "182.1.1.65"];
const JUNK: [&str; 5] = [
    "",
    "Record-Route: <sip:10.9.9.9;lr>, <sip:182.1.1.65:5080;lr>\r\n",
    "Contact: <sip:10.71.174.102:5061>\r\n",
    "Session-Expires: 90;refresher=uac\r\n",
    "Contact: sip:as@10.9.9.9;x=y\r\nRecord-Route: <sip:182.1.1.65;lr>\r\n",
];

/// What may happen next; numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    UeInvites(u8),
    CoreInvites(u8),
    Answers { which: u8, status: u8, tag: u8, junk: u8, sdp: u8 },
    Inside { which: u8, method: u8, turned: bool, sdp: u8 },
    Repeats(u8),
    RelayEnds(u8),
    Deregisters(u8),
    Passes(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => any::<u8>().prop_map(Step::UeInvites),
        2 => any::<u8>().prop_map(Step::CoreInvites),
        8 => (any::<u8>(), any::<u8>(), 0u8..3, any::<u8>(), any::<u8>())
            .prop_map(|(which, status, tag, junk, sdp)| Step::Answers { which, status, tag, junk, sdp }),
        5 => (any::<u8>(), any::<u8>(), any::<bool>(), any::<u8>())
            .prop_map(|(which, method, turned, sdp)| Step::Inside { which, method, turned, sdp }),
        2 => any::<u8>().prop_map(Step::Repeats),
        1 => any::<u8>().prop_map(Step::RelayEnds),
        1 => any::<u8>().prop_map(Step::Deregisters),
        2 => (0u16..200).prop_map(Step::Passes),
    ]
}

/// Everything that was ever said, to be answered, repeated and referred to.
struct Play {
    world: World,
    paths: Vec<String>,
    /// Requests the edge sent, with the side it sent them to.
    requests: Vec<(Realm, Sent)>,
    /// Responses the edge sent: they show the names of dialogs.
    responses: Vec<(Realm, Sent)>,
    /// What was put in: side (by UE, if a UE's) and bytes.
    inputs: Vec<(Option<usize>, Vec<u8>)>,
    open: BTreeSet<MediaId>,
    /// Of new Call-IDs.
    host: &'static str,
    count: u32,
}

impl Play {
    fn new(config: Config) -> Self {
        let mut world = World::with(config);
        let paths =
            UES.iter().zip(["user1", "user2"]).map(|(ue, user)| registered_udp(&mut world, user, ue).path);
        let paths = paths.collect();
        Self {
            world,
            paths,
            requests: Vec::new(),
            responses: Vec::new(),
            inputs: Vec::new(),
            open: BTreeSet::new(),
            host: "h",
            count: 0,
        }
    }

    fn put(&mut self, ue: Option<usize>, bytes: Vec<u8>) {
        match ue {
            Some(ue) => self.world.datagram(UES[ue], &bytes),
            None => self.world.core(&bytes),
        }
        self.inputs.push((ue, bytes));
        self.look();
    }

    /// Takes in what the edge did.
    fn look(&mut self) {
        for sent in self.world.sent() {
            let side = realm_of(sent.hop);
            match sent.bytes.starts_with(b"SIP/2.0") {
                true => self.responses.push((side, sent)),
                false => self.requests.push((side, sent)),
            }
        }
        for action in core::mem::take(&mut self.world.actions) {
            match action {
                Action::Media(MediaCommand::Msrp(session)) => {
                    self.open.insert(session.id);
                }
                Action::Media(MediaCommand::Release { id, .. }) => {
                    assert!(self.open.remove(&id), "{id} is released and was not open");
                }
                _ => {}
            }
        }
        assert_eq!(self.open.len() as u64, self.world.edge.counters().media_sessions);
    }

    fn act(&mut self, step: &Step) {
        match *step {
            Step::UeInvites(n) => {
                let ue = usize::from(n) % 2;
                let name = ["chat-01-invite.sip", "ft-01-invite-file.sip"][usize::from(n / 2) % 2];
                let invite = self.fresh(&vector_text(name)).replace(UES[0], UES[ue]);
                let invite = if ue == 1 { invite.replacen("user1@", "user2@", 3) } else { invite };
                self.put(Some(ue), invite.into_bytes());
            }
            Step::CoreInvites(n) => {
                let ue = usize::from(n) % 2;
                let name = ["ft-09-invite-file-to-ue.sip", "grp-05-invite-to-ue.sip"][usize::from(n / 2) % 2];
                let invite = self.fresh(&from_core(name, &self.paths[ue]));
                self.put(None, invite.into_bytes());
            }
            Step::Answers { which, status, tag, junk, sdp } => {
                let Some((side, request)) = pick(&self.requests, which).cloned() else { return };
                let sdp = self.sdp(sdp);
                let junk = if side == Realm::Core { JUNK[usize::from(junk) % JUNK.len()] } else { "" };
                let lines = match side {
                    Realm::Core => format!("Contact: {CORE_CONTACT}\r\n{junk}"),
                    Realm::Access => format!("Contact: <sip:ue@{}>\r\n", UES[usize::from(which) % 2]),
                };
                let status = STATUSES[usize::from(status) % STATUSES.len()];
                let bytes = answer(&request, status, &format!("t{tag}"), &lines, &sdp);
                self.put(self.ue_of(&request), bytes);
            }
            Step::Inside { which, method, turned, sdp } => self.inside(which, method, turned, sdp),
            Step::Repeats(n) => {
                if let Some((ue, bytes)) = pick(&self.inputs, n).cloned() {
                    self.put(ue, bytes);
                }
            }
            Step::RelayEnds(n) => {
                let ids: Vec<_> = self.open.iter().copied().collect();
                if let Some(id) = pick(&ids, n) {
                    let totals = MediaTotals::default();
                    self.open.remove(id);
                    self.world.event(Event::Media(MediaNotice::Ended {
                        id: *id,
                        cause: Cause::MsrpIdle,
                        totals,
                    }));
                    self.look();
                }
            }
            Step::Deregisters(n) if n % 8 == 0 => {
                let register = crate::ue::register("user1", UES[0], 50 + self.count, "Expires: 0\r\n");
                self.count += 1;
                self.put(Some(0), register.into_bytes());
                let Some((_, request)) = self.requests.last().cloned() else { return };
                self.put(None, response(&request, "200 OK", ""));
            }
            Step::Deregisters(_) => {}
            Step::Passes(seconds) => {
                self.world.pass(Duration::from_secs(u64::from(seconds)));
                self.look();
            }
        }
    }

    /// A request with the names of some response that passed, from one end of it or the other.
    fn inside(&mut self, which: u8, method: u8, turned: bool, sdp: u8) {
        let Some((side, response)) = pick(&self.responses, which).cloned() else { return };
        let method = METHODS[usize::from(method) % METHODS.len()];
        let text = response.text();
        let (from, to) = (header(&text, "From").unwrap(), header(&text, "To").unwrap());
        let (from, to) = if turned { (to, from) } else { (from, to) };
        let ue = match side {
            Realm::Access => self.ue_of(&response),
            Realm::Core => Some(usize::from(which) % 2),
        };
        // The end that got the response, or the far one.
        let ue = if turned == (side == Realm::Access) { None } else { ue };
        let route = header(&text, "Record-Route").map_or(String::new(), |r| format!("Route: {r}\r\n"));
        let source = ue.map_or(CORE, |ue| UES[ue]);
        let sdp = self.sdp(sdp);
        let kind = if sdp.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        self.count += 1;
        let n = self.count;
        let request = format!(
            "{method} sip:182.3.1.6:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bKx{n}\r\nMax-Forwards: 9\r\n{route}\
             From: {from}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {n} {method}\r\nContact: <sip:x@{source}>\r\n{kind}Content-Length: {}\r\n\r\n{sdp}",
            header(&text, "Call-ID").unwrap(),
            sdp.len(),
        );
        self.put(ue, request.into_bytes());
    }

    fn ue_of(&self, sent: &Sent) -> Option<usize> {
        UES.iter().position(|ue| sent.hop == crate::world::udp(ue))
    }

    /// `text` as another transaction of another call.
    fn fresh(&mut self, text: &str) -> String {
        self.count += 1;
        let call_id = header(text, "Call-ID").unwrap();
        text.replace(&call_id, &format!("c{}@{}", self.count, self.host))
            .replace("branch=z9hG4bK", &format!("branch=z9hG4bK{}", self.count))
    }

    fn sdp(&self, n: u8) -> String {
        match n % 6 {
            0 => String::new(),
            1 => "v=0\r\nrubbish 10.9.9.9\r\n".to_owned(),
            2 => core_sdp("chat-02-200.sip").replace("m=message 7654", "m=message 0"),
            3 => body(&vector_text("ft-10-200-from-ue.sip")).to_owned(),
            _ => core_sdp("chat-02-200.sip").replace("hwK3zBbqenxBFB", &format!("s{n}")),
        }
    }
}

fn pick<T>(from: &[T], n: u8) -> Option<&T> {
    // Late ones are more likely to be of use.
    let back = usize::from(n) % from.len().clamp(1, 12);
    from.len().checked_sub(1 + back).and_then(|at| from.get(at))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_leaks_and_nothing_stays(steps in prop::collection::vec(step(), 1..60)) {
        let play = Play::new(crate::world::config());
        all_of(play, &steps)?;
    }

    /// R24: the same, where the sides see each other's Call-IDs under masks.
    #[test]
    fn nothing_leaks_under_masks(steps in prop::collection::vec(step(), 1..60)) {
        let mut config = crate::world::config();
        config.topology.mask_call_id = true;
        let mut play = Play::new(config);
        play.host = SECRETS[0];
        all_of(play, &steps)?;
    }
}

fn all_of(mut play: Play, steps: &[Step]) -> Result<(), TestCaseError> {
    for step in steps {
        play.act(step);
    }
    // Longer than any dialog lives.
    play.world.pass(Duration::from_secs(14 * 3_600));
    play.look();
    let counters = play.world.edge.counters();
    prop_assert_eq!((counters.calls, counters.media_sessions, counters.exchanges), (0, 0, 0));
    prop_assert!(play.open.is_empty());
    // What the UEs said themselves may come back to them.
    let seen = String::from_utf8_lossy(&play.world.seen_by_access).into_owned();
    for line in seen.split("\r\n").filter(|line| !line.contains("@10.9.9.9") || !is_own(&play, line)) {
        for secret in SECRETS {
            prop_assert!(!line.contains(secret), "{}", line);
        }
    }
    Ok(())
}

/// Whether a UE wrote this line first.
fn is_own(play: &Play, line: &str) -> bool {
    let says = |bytes: &[u8]| String::from_utf8_lossy(bytes).split("\r\n").any(|own| own == line);
    play.inputs.iter().any(|(ue, bytes)| ue.is_some() && says(bytes))
}
