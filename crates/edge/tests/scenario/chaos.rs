//! Any order of events: nothing panics, everything ends, the gauges agree with a naive model, and the
//! same inputs give the same bytes.

use crate::messaging::message;
use crate::ue::{message_to_ue, register};
use crate::world::{CORE, Sent, World, config, hop, response, to_core};
use core::time::Duration;
use proptest::prelude::*;
use std::collections::BTreeMap;
use wire::{Hop, Instant, Realm, StreamId, Transport};

#[derive(Clone, Debug)]
enum Step {
    /// A UE registers; over a stream that is cut at the given place, or by datagram.
    Register { ue: usize, cut: Option<usize>, expires: u32 },
    /// A UE sends a message; the number tells retransmissions.
    Message { ue: usize, number: u32 },
    /// The core answers the oldest request that waits there.
    CoreAnswers { status: usize, expires: u32 },
    /// The core sends a message over a Path it knows, or one that it spoiled.
    CoreMessage { path: usize, number: u32, spoil: bool },
    /// The UE answers the oldest request that waits there.
    UeAnswers { status: usize },
    /// A stream closes.
    Close { ue: usize },
    /// Bytes that mean nothing, on a stream or a socket.
    Noise { ue: usize, bytes: Vec<u8> },
    /// Time passes.
    Pass { millis: u64 },
    /// The core's next hop cannot be reached.
    Unreachable,
}

const UES: usize = 3;
const STATUS: [&str; 6] =
    ["200 OK", "100 Trying", "401 Unauthorized", "503 Busy", "183 Progress", "404 Not Found"];

fn step() -> impl Strategy<Value = Step> {
    let ue = 0..UES;
    prop_oneof![
        4 => (ue.clone(), prop::option::of(0usize..300), prop_oneof![Just(0u32), Just(60), Just(3600)])
            .prop_map(|(ue, cut, expires)| Step::Register { ue, cut, expires }),
        3 => (ue.clone(), 0u32..4).prop_map(|(ue, number)| Step::Message { ue, number }),
        8 => (0usize..STATUS.len() * 2, prop_oneof![Just(30u32), Just(3600)])
            .prop_map(|(status, expires)| Step::CoreAnswers { status, expires }),
        3 => (0usize..4, 0u32..4, prop::bool::weighted(0.1))
            .prop_map(|(path, number, spoil)| Step::CoreMessage { path, number, spoil }),
        3 => (0usize..STATUS.len()).prop_map(|status| Step::UeAnswers { status }),
        1 => ue.clone().prop_map(|ue| Step::Close { ue }),
        1 => (ue, prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(ue, bytes)| Step::Noise { ue, bytes }),
        3 => (0u64..40_000).prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Unreachable),
    ]
}

/// What should be registered: user → when it ends.
type Model = BTreeMap<usize, Instant>;

struct Run {
    world: World,
    streams: [Option<StreamId>; UES],
    at_core: Vec<Sent>,
    at_ue: Vec<Sent>,
    paths: Vec<String>,
    cseq: u32,
    model: Model,
    log: Vec<(Hop, Vec<u8>)>,
}

fn source(ue: usize) -> String {
    format!("192.0.2.{}:4000", ue + 1)
}

impl Run {
    fn new() -> Self {
        let mut config = config();
        config.core.next_hops = vec![hop(CORE), hop("182.1.1.65:5070")];
        Self {
            world: World::with(config),
            streams: [None; UES],
            at_core: Vec::new(),
            at_ue: Vec::new(),
            paths: Vec::new(),
            cseq: 0,
            model: Model::new(),
            log: Vec::new(),
        }
    }

    fn stream(&mut self, ue: usize) -> StreamId {
        let world = &mut self.world;
        *self.streams[ue].get_or_insert_with(|| world.open(Realm::Access, Transport::Tcp, &source(ue)))
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Register { ue, cut, expires } => {
                self.cseq += 1;
                let more = format!("Expires: {expires}\r\n");
                let text = register(&format!("u{ue}"), &source(*ue), self.cseq, &more);
                match cut {
                    None => self.world.datagram(&source(*ue), text.as_bytes()),
                    Some(cut) => {
                        let stream = self.stream(*ue);
                        let (head, tail) = text.as_bytes().split_at(*cut.min(&text.len()));
                        for part in [head, tail].into_iter().filter(|p| !p.is_empty()) {
                            self.world.bytes(stream, part);
                        }
                    }
                }
            }
            Step::Message { ue, number } => {
                let text = message(&format!("u{ue}"), &source(*ue), &format!("b{number}"), "");
                match self.streams[*ue] {
                    Some(stream) => self.world.bytes(stream, text.as_bytes()),
                    None => self.world.datagram(&source(*ue), text.as_bytes()),
                }
            }
            Step::CoreAnswers { status, expires } => self.core_answers(*status, *expires),
            Step::CoreMessage { path, number, spoil } => {
                let Some(path) = self.paths.get(*path) else { return };
                let path = if *spoil { path.replacen('A', "B", 1) } else { path.clone() };
                self.world.core(message_to_ue(&path, &format!("m{number}"), "").as_bytes());
            }
            Step::UeAnswers { status } => {
                if self.at_ue.is_empty() {
                    return;
                }
                let request = self.at_ue.remove(0);
                let answer = response(&request, STATUS[*status], "");
                match request.hop {
                    Hop::Stream(stream) => self.world.bytes(stream, &answer),
                    Hop::Datagram { peer, .. } => self.world.datagram(&peer.to_string(), &answer),
                    Hop::Peer { .. } => {}
                }
            }
            Step::Close { ue } => {
                if let Some(stream) = self.streams[*ue].take() {
                    self.world.close(stream);
                }
            }
            Step::Noise { ue, bytes } => match self.streams[*ue] {
                Some(stream) => self.world.bytes(stream, bytes),
                None => self.world.datagram(&source(*ue), bytes),
            },
            Step::Pass { millis } => self.world.pass(Duration::from_millis(*millis)),
            Step::Unreachable => self.world.event(edge::Event::Net(wire::NetEvent::PeerUnreachable {
                realm: Realm::Core,
                transport: Transport::Udp,
                peer: CORE.parse().unwrap(),
            })),
        }
        self.look();
    }

    fn core_answers(&mut self, status: usize, expires: u32) {
        if self.at_core.is_empty() {
            return;
        }
        let request = self.at_core.remove(0);
        // Half of all answers are 200: otherwise nobody would ever be registered.
        let status = STATUS.get(status).unwrap_or(&STATUS[0]);
        let text = request.text();
        if !text.starts_with("REGISTER ") || *status != "200 OK" {
            self.world.core(&response(&request, status, ""));
            return;
        }
        let contact = request.header("Contact").unwrap();
        let removal = request.header("Expires").unwrap() == "0";
        let lines = match removal {
            true => String::new(),
            false => format!("Contact: {contact};expires={expires}\r\n"),
        };
        let before = self.world.records.len();
        self.world.core(&response(&request, status, &lines));
        // An answer that came too late, or to a branch that was given up, changes nothing.
        let heard =
            self.world.records[before..].iter().any(|r| matches!(r, edge::Record::Registration { .. }));
        if !heard {
            return;
        }
        let ue = text[text.find(":u").unwrap() + 2..][..1].parse().unwrap();
        match removal {
            true => self.model.remove(&ue),
            false => {
                self.paths.extend(request.header("Path"));
                self.model.insert(ue, self.world.now + Duration::from_secs(u64::from(expires)))
            }
        };
    }

    fn look(&mut self) {
        for sent in self.world.sent() {
            self.log.push((sent.hop, sent.bytes.clone()));
            if !sent.text().contains(" SIP/2.0\r\n") {
                continue;
            }
            let core = [CORE, "182.1.1.65:5070"].iter().any(|hop| sent.hop == to_core(hop));
            let waiting = if core { &mut self.at_core } else { &mut self.at_ue };
            if waiting.iter().all(|w| w.bytes != sent.bytes) {
                waiting.push(sent);
            }
        }
        // Closed by the edge: the shell would say so.
        let closed: Vec<StreamId> = core::mem::take(&mut self.world.actions)
            .into_iter()
            .filter_map(|action| match action {
                edge::Action::Net(wire::NetAction::Close { stream }) => Some(stream),
                _ => None,
            })
            .collect();
        for stream in closed {
            self.world.close(stream);
            for place in self.streams.iter_mut().filter(|s| **s == Some(stream)) {
                *place = None;
            }
        }
        let now = self.world.now;
        self.model.retain(|_, end| *end > now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_order_of_events_ends_in_peace(steps in prop::collection::vec(step(), 1..60)) {
        let mut run = Run::new();
        for step in &steps {
            run.take(step);
            let counters = run.world.edge.counters();
            prop_assert_eq!(counters.registrations, run.model.len() as u64, "{:?}", step);
            prop_assert_eq!(counters.streams[0], run.streams.iter().flatten().count() as u64);
        }
        run.world.pass(Duration::from_secs(4_000));
        run.look();
        let counters = run.world.edge.counters();
        prop_assert_eq!((counters.exchanges, counters.registrations), (0, 0));
        for stream in run.streams.into_iter().flatten() {
            run.world.close(stream);
        }
        prop_assert_eq!(run.world.edge.next_deadline(), None);
        // the same again, byte for byte
        let mut again = Run::new();
        for step in &steps {
            again.take(step);
        }
        prop_assert!(run.log.starts_with(&again.log));
    }
}
