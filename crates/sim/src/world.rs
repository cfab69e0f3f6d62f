//! The demo's world on virtual time: UEs behind NATs, one shard of the edge, the lab core.
//!
//! ```text
//!  UE 10.201.66.x ─ NAT 203.0.113.x ─┐                         ┌─ core 192.0.2.1
//!  UE …            ─ NAT …          ─┴─ 198.51.100.1 edge 192.0.2.10 ─┘
//!            segment: internet                     segment: operator
//! ```
//! No route leads from a UE to the core (R1).

use crate::nat::Nat;
use crate::network::{Endpoint, Network, NodeId, Segment};
use crate::nodes::{EdgeNode, Lab};
use crate::{Link, NodeOutbox};
use config::{Config, NextHop};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use edge::api::{MsrpPoint, SipPoint};
use edge::{Edge, ShardContext};
use lab::scenario::{Driver, Flow, Person, flows, people};
use lab::topology::{EdgeFacts, Topology};
use lab::ue::{Command, UeEvent};
use lab::{Core, CoreSettings, Ue, Violation};
use media::relay;
use std::collections::VecDeque;
use std::sync::Arc;
use wire::{Instant, Realm, ShardId, SocketId, Transport};

const INTERNET: Segment = Segment(0);
const OPERATOR: Segment = Segment(1);
const DOMAIN: &str = "ims.example.net";

/// How bad the world is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Between UEs and the edge.
    pub access: Link,
    /// Between the edge and the core.
    pub core: Link,
    /// How the edge reaches the core.
    pub core_transport: Transport,
}

impl Weather {
    /// Nothing goes wrong.
    pub const FAIR: Self = Self { access: Link::CLEAN, core: Link::CLEAN, core_transport: Transport::Udp };

    /// 5 % of datagrams lost, some doubled, many overtaken, streams cut at random, on both sides.
    pub const STORM: Self = Self { access: Link::LOSSY, core: Link::LOSSY, core_transport: Transport::Udp };

    /// As the storm, with streams to the core too.
    pub const STORM_TCP: Self = Self { core_transport: Transport::Tcp, ..Self::STORM };
}

/// The world, which the lab's flow scripts drive.
pub struct World {
    /// What carries the nodes.
    pub network: Network,
    /// The edge's node.
    pub edge: NodeId,
    /// The core's node.
    pub core: NodeId,
    /// The UEs' nodes, by index of their person.
    pub ues: Vec<NodeId>,
    /// Who takes part.
    pub people: Vec<Person>,
    events: VecDeque<(usize, UeEvent)>,
}

impl World {
    /// Builds it; the same seed gives the same run.
    #[must_use]
    pub fn new(seed: u64, weather: Weather) -> Self {
        let mut config = Config::default();
        config.core.next_hops = vec![NextHop { address: core_sip(), transport: weather.core_transport }];
        config.core.domain = DOMAIN.to_owned();
        Self::with_config(seed, weather, config)
    }

    /// Builds it with settings of one's own.
    #[must_use]
    pub fn with_config(seed: u64, weather: Weather, config: Config) -> Self {
        let mut network = Network::new(seed);
        let people = people(DOMAIN);
        let topology = Arc::new(Topology::Edge(Box::new(facts(&config, &people))));
        let core = attach_core(&mut network, seed, weather, &people, &topology);
        let edge = attach_edge(&mut network, seed, weather, config);
        let mut ues = Vec::new();
        for (i, person) in people.iter().enumerate() {
            let seed = seed.wrapping_mul(100).wrapping_add(i as u64);
            ues.push(attach_ue(&mut network, seed, i, weather, person, &topology));
        }
        Self { network, edge, core, ues, people, events: VecDeque::new() }
    }

    /// Lets the world go on until nobody has anything under way; `Err` with the time if that does not
    /// happen within `limit`.
    ///
    /// # Errors
    /// The virtual time reached.
    pub fn settle(&mut self, limit: Duration) -> Result<(), Instant> {
        let (core, ues) = (self.core, self.ues.clone());
        self.network.run_until(limit, |network| {
            network.with(core, |c: &mut Lab<Core>, _, _| c.machine.is_quiet())
                && ues.iter().all(|id| network.with(*id, |u: &mut Lab<Ue>, _, _| u.machine.is_quiet()))
        })
    }

    /// Looks into the edge's node.
    pub fn edge<R>(&mut self, look: impl FnOnce(&mut EdgeNode) -> R) -> R {
        self.network.with(self.edge, |node: &mut EdgeNode, _, _| look(node))
    }

    /// Looks into the core.
    pub fn core<R>(&mut self, look: impl FnOnce(&mut Core) -> R) -> R {
        self.network.with(self.core, |node: &mut Lab<Core>, _, _| look(&mut node.machine))
    }

    fn collect(&mut self) {
        for (i, id) in self.ues.iter().enumerate() {
            let events = &mut self.events;
            self.network.with(*id, |ue: &mut Lab<Ue>, _, _: &mut NodeOutbox| {
                while let Some(event) = ue.machine.next_event() {
                    events.push_back((i, event));
                }
            });
        }
    }
}

impl Driver for World {
    fn now(&mut self) -> Instant {
        self.network.now()
    }

    fn command(&mut self, ue: usize, command: Command) {
        self.network.with(self.ues[ue], |ue: &mut Lab<Ue>, now, out| {
            ue.act(out, |machine, out| machine.command(command, now, out));
        });
    }

    fn next_event(&mut self, within: Duration) -> Option<(usize, UeEvent)> {
        let end = self.network.now() + within;
        loop {
            self.collect();
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if !self.network.step(end) {
                self.network.run_for(end.since(self.network.now()));
                return None;
            }
        }
    }

    fn violations(&mut self) -> Vec<Violation> {
        let mut all = self.core(|core| core.violations().to_vec());
        for id in self.ues.clone() {
            all.extend(self.network.with(id, |ue: &mut Lab<Ue>, _, _| ue.machine.violations().to_vec()));
        }
        all
    }
}

/// The demo's flows, with a file that a thousand seeds can afford.
#[must_use]
pub fn light_flows() -> Vec<Flow> {
    let lighter = |flow: &Flow| match flow.name {
        name if name.starts_with("file of 5 MB") => Flow {
            name: "file of 40 kB over MSRP, TLS to TLS",
            run: |stage| flows::file(stage, "alice", "bob", 40_000),
        },
        _ => *flow,
    };
    lab::scenario::ALL.iter().map(lighter).collect()
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("the addresses of the world are literals")
}

fn core_sip() -> SocketAddr {
    address("192.0.2.1:5060")
}

fn core_msrp() -> SocketAddr {
    address("192.0.2.1:7654")
}

/// Where the edge serves: realm, transport, socket, address, and whether it is MSRP.
fn edge_points() -> [(Realm, Transport, Option<SocketId>, SocketAddr, bool); 8] {
    let (access, core) = (Realm::Access, Realm::Core);
    let (udp, tcp, tls) = (Transport::Udp, Transport::Tcp, Transport::Tls);
    [
        (access, udp, Some(SocketId(0)), address("198.51.100.1:5060"), false),
        (access, tcp, None, address("198.51.100.1:5060"), false),
        (access, tls, None, address("198.51.100.1:5061"), false),
        (core, udp, Some(SocketId(1)), address("192.0.2.10:5080"), false),
        (core, tcp, None, address("192.0.2.10:5080"), false),
        (access, tcp, None, address("198.51.100.1:2855"), true),
        (access, tls, None, address("198.51.100.1:2856"), true),
        (core, tcp, None, address("192.0.2.10:2955"), true),
    ]
}

const fn segment(realm: Realm) -> Segment {
    match realm {
        Realm::Access => INTERNET,
        Realm::Core => OPERATOR,
    }
}

fn facts(config: &Config, people: &[Person]) -> EdgeFacts {
    let ip = |text: &str| text.parse::<IpAddr>().expect("the addresses of the world are literals");
    EdgeFacts {
        access_sip: vec!["198.51.100.1".to_owned()],
        access_media: vec![ip("198.51.100.1")],
        core_sip: vec!["192.0.2.10".to_owned()],
        core_media: vec![ip("192.0.2.10")],
        visited_network_id: config.registrar.visited_network_id.clone(),
        hidden_from_ues: vec!["192.0.2.1".to_owned(), "192.0.2.10".to_owned()],
        hidden_from_core: people.iter().map(|p| p.claimed.to_string()).collect(),
    }
}

fn attach_core(
    network: &mut Network,
    seed: u64,
    weather: Weather,
    people: &[Person],
    topology: &Arc<Topology>,
) -> NodeId {
    let mut settings = CoreSettings::new(DOMAIN, core_sip(), core_msrp());
    settings.subscribers = people.iter().map(Person::subscriber).collect();
    settings.topology = Arc::clone(topology);
    settings.seed = seed;
    let endpoint = |transport, address, socket| Endpoint {
        segment: OPERATOR,
        realm: Realm::Core,
        transport,
        address,
        socket,
    };
    let endpoints = vec![
        endpoint(Transport::Udp, core_sip(), Some(settings.udp)),
        endpoint(Transport::Tcp, core_sip(), None),
        endpoint(Transport::Tcp, core_msrp(), None),
    ];
    // The link of the operator's network belongs to the edge; a second one would double its loss.
    let node = Lab::new(Core::new(settings));
    network.attach(Box::new(node), endpoints, Link { loss: 0.0, duplication: 0.0, ..weather.core }, None)
}

fn attach_edge(network: &mut Network, seed: u64, weather: Weather, config: Config) -> NodeId {
    let endpoints: Vec<Endpoint> = edge_points()
        .into_iter()
        .map(|(realm, transport, socket, address, _)| Endpoint {
            segment: segment(realm),
            realm,
            transport,
            address,
            socket,
        })
        .collect();
    let sip = edge_points().into_iter().filter(|p| !p.4).map(|(realm, transport, socket, bound, _)| {
        SipPoint { realm, transport, socket, bound, advertised: bound.to_string().into() }
    });
    let msrp = edge_points().into_iter().filter(|p| p.4);
    let context = ShardContext {
        shard: ShardId(0),
        sip: sip.collect(),
        msrp: msrp
            .clone()
            .map(|(realm, transport, _, advertised, _)| MsrpPoint {
                realm,
                transport,
                advertised,
                websocket: false,
                fingerprint: None,
            })
            .collect(),
        rtp: Vec::new(),
        rtp_fingerprint: None,
        token_key: [9; 32],
        seed: core::array::from_fn(|i| (seed >> (i % 8 * 8)) as u8),
    };
    let limits = relay::Limits { hash_seed: seed, ..relay::Limits::default() };
    let edge = Edge::new(Arc::new(config), context);
    let node = EdgeNode::new(edge, limits, msrp.map(|p| p.3).collect(), [0, 3]);
    network.attach(Box::new(node), endpoints, weather.core, None)
}

fn attach_ue(
    network: &mut Network,
    seed: u64,
    index: usize,
    weather: Weather,
    person: &Person,
    topology: &Arc<Topology>,
) -> NodeId {
    let port = if person.transport == Transport::Tls { 5_061 } else { 5_060 };
    let mut settings = person.ue(SocketAddr::new(IpAddr::from([198, 51, 100, 1]), port));
    settings.topology = Arc::clone(topology);
    settings.seed = seed;
    if person.transport == Transport::Tls {
        settings.msrp_transport = Transport::Tls;
    }
    let endpoint = |transport, socket| Endpoint {
        segment: INTERNET,
        realm: Realm::Access,
        transport,
        address: person.claimed,
        socket,
    };
    let endpoints = vec![endpoint(Transport::Udp, Some(settings.socket)), endpoint(Transport::Tcp, None)];
    let public = IpAddr::from([203, 0, 113, 10 + index as u8]);
    let nat = Nat::new(public, 40_000 + (seed % 1_000) as u16);
    network.attach(Box::new(Lab::new(Ue::new(settings))), endpoints, weather.access, Some(nat))
}
