//! The machine of one shard: what it holds, and where each event goes.

use crate::api::{Action, Event, Outbox, Reason, ShardContext};
use crate::bindings::Bindings;
use crate::blacklist::Blacklist;
use crate::content::Policies;
use crate::counters::Counters;
use crate::deadlines::{Alarm, Deadlines};
use crate::dialog::Calls;
use crate::emergency::EmergencyPlan;
use crate::exchange::Exchanges;
use crate::flow::Flows;
use crate::hops::{HopStatus, Hops};
use crate::keys::Keyring;
use crate::mask::MaskKey;
use crate::nat::PingBudget;
use crate::negotiation::MediaIds;
use crate::number::NumberPlan;
use crate::points::Points;
use crate::reg_event::Watches;
use crate::reply::Echo;
use crate::rtp_ports::RtpPorts;
use crate::rules::{Rejection, Rules};
use crate::token::TokenKeys;
use crate::topology::Hiding;
use config::Config;
use core::hash::Hasher;
use core::time::Duration;
use rtp::srtp::Suite;
use sip::transaction::Timers;
use std::hash::DefaultHasher;
use std::sync::Arc;
use wire::{EditList, Instant, NetAction, NetEvent, Random, StreamId};

/// The signalling brain of one shard.
///
/// It owns its transactions, bindings, flows and dialogs; nothing is shared. The shell hands in
/// events one at a time, drains the outbox, and arms one timer for [`next_deadline`](Self::next_deadline).
#[derive(Debug)]
pub struct Edge {
    pub(crate) config: Arc<Config>,
    pub(crate) context: ShardContext,
    pub(crate) derived: Derived,
    pub(crate) node: u16,
    /// Tells this life of the process from those before it.
    pub(crate) epoch: u32,
    pub(crate) points: Points,
    pub(crate) tokens: TokenKeys,
    pub(crate) masks: MaskKey,
    pub(crate) hiding: Hiding,
    pub(crate) random: Random,
    /// Keys the hashes that stand for transactions and that become To tags.
    pub(crate) secret: u64,
    pub(crate) flows: Flows,
    pub(crate) bindings: Bindings,
    pub(crate) keyring: Keyring,
    pub(crate) exchanges: Exchanges,
    pub(crate) calls: Calls,
    pub(crate) watches: Watches,
    pub(crate) media_ids: MediaIds,
    pub(crate) rtp_ports: RtpPorts,
    /// Our certificate on media paths, as SDP has it.
    pub(crate) fingerprint: Option<Box<str>>,
    pub(crate) hops: Hops,
    pub(crate) pings: PingBudget,
    pub(crate) deadlines: Deadlines,
    pub(crate) counters: Counters,
    /// Bytes of incomplete messages, all streams together.
    pub(crate) pending_bytes: usize,
    pub(crate) draining: bool,
    pub(crate) blacklist: Blacklist,
    pub(crate) rules: Rules,
    /// Which rule refused the request at hand.
    pub(crate) rejection: Option<Rejection>,
    pub(crate) scratch: Scratch,
}

/// What follows from the configuration, computed once.
#[derive(Debug)]
pub(crate) struct Derived {
    pub(crate) limits: sip::Limits,
    pub(crate) timers: Timers,
    pub(crate) numbers: NumberPlan,
    pub(crate) suites: Vec<Suite>,
    pub(crate) policies: Policies,
    pub(crate) emergency: EmergencyPlan,
}

/// Working room, reused for every message.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Index of the message that came in.
    pub(crate) index: sip::Index,
    /// Index of a message of ours that is read back.
    pub(crate) own_index: sip::Index,
    pub(crate) edits: EditList,
    pub(crate) echo: Echo,
    pub(crate) text: Vec<u8>,
}

/// Owners that one call of `handle_deadline` wakes: each sends a few messages at most, so a turn stays
/// in the order of a millisecond even when everything is due at once.
const WAKES_PER_TURN: usize = 256;

impl Edge {
    /// Makes the machine of a shard whose sockets are bound.
    #[must_use]
    pub fn new(config: Arc<Config>, context: ShardContext) -> Self {
        let mut random = Random::from_seed(context.seed);
        let mut seed = || core::array::from_fn(|_| random.next_u64());
        let [flow_seed, binding_seed, exchange_seed, key_seed, call_seed, watch_seed]: [[u64; 4]; 6] =
            core::array::from_fn(|_| seed());
        let secret = random.next_u64();
        let first_generation = random.next_u64() as u32;
        let rest = Duration::from_secs(config.media.port_rest_seconds);
        let rtp_ports = RtpPorts::new(&context.rtp, rest, &mut random);
        let mut edge = Self {
            derived: Derived::new(&config),
            node: node_number(&config.node.name),
            epoch: first_generation,
            points: Points::named(&context.sip, &config.realm),
            tokens: TokenKeys::new(TOKEN_KEY_ID, &context.token_key),
            masks: MaskKey::new(&context.token_key),
            hiding: Hiding::new(&config, &context.sip),
            random,
            secret,
            flows: Flows::new(flow_seed),
            bindings: Bindings::new(config.registrar.bindings_max, first_generation, binding_seed),
            keyring: Keyring::new(key_seed),
            exchanges: Exchanges::new(
                config.limits.transactions_max + config.emergency.reserve,
                exchange_seed,
            ),
            calls: Calls::new(
                config.limits.dialogs_max + config.emergency.reserve,
                first_generation,
                call_seed,
            ),
            watches: Watches::new(config.registrar.bindings_max, watch_seed),
            media_ids: MediaIds::new(media_sessions_max(&config), first_generation),
            rtp_ports,
            fingerprint: context.rtp_fingerprint.map(|f| f.to_string().into()),
            hops: Hops::new(&config, [secret, 0, 1, 2]),
            pings: PingBudget::default(),
            deadlines: Deadlines::default(),
            counters: Counters::default(),
            pending_bytes: 0,
            draining: false,
            blacklist: Blacklist::default(),
            rules: Rules::new(&config),
            rejection: None,
            scratch: Scratch::default(),
            config,
            context,
        };
        edge.arm_hops();
        edge
    }

    /// Takes in one event; what is to be done about it is appended to `out`.
    pub fn handle(&mut self, event: Event<'_>, now: Instant, out: &mut Outbox) {
        match event {
            Event::Net(event) => self.on_net(event, now, out),
            Event::Handover { realm, transport, source, bytes } => {
                self.on_handover(realm, transport, source, bytes, now, out);
            }
            Event::Media(notice) => self.on_media(&notice, now, out),
            Event::Config(config) => self.configure(config),
            Event::NextHops(directory) => {
                self.hops.resolved(directory, &self.config);
                self.arm_hops();
            }
            Event::Certificates(shown) => self.on_certificates(shown),
            Event::Blacklist(set) => self.on_blacklist(set, now),
            Event::Drain => self.draining = true,
        }
    }

    fn on_net(&mut self, event: NetEvent<'_>, now: Instant, out: &mut Outbox) {
        match event {
            NetEvent::StreamOpened { stream, realm, transport, local, peer } => {
                self.on_stream_opened(stream, realm, transport, local, peer, out);
            }
            NetEvent::StreamBytes { stream, bytes } => self.on_stream_bytes(stream, bytes, now, out),
            NetEvent::StreamClosed { stream, .. } => self.on_stream_closed(stream, now, out),
            NetEvent::PeerUnreachable { realm, transport, peer } => {
                self.on_unreachable(realm, transport, peer, now, out);
            }
            NetEvent::Datagram { socket, source, bytes } => self.on_datagram(socket, source, bytes, now, out),
        }
    }

    /// What SDP announces from here on; media that is agreed keeps what was announced then.
    fn on_certificates(&mut self, [access, core]: [Option<wire::Fingerprint>; 2]) {
        for point in self.context.msrp.iter_mut().filter(|point| point.transport == wire::Transport::Tls) {
            point.fingerprint = match point.realm {
                wire::Realm::Access => access,
                wire::Realm::Core => core,
            };
        }
    }

    fn configure(&mut self, config: Arc<Config>) {
        self.derived = Derived::new(&config);
        self.hiding = Hiding::new(&config, &self.context.sip);
        self.rules.replace(&config);
        self.hops.configure(&config);
        self.bindings.set_count_max(config.registrar.bindings_max);
        self.watches.set_count_max(config.registrar.bindings_max);
        self.exchanges.set_count_max(config.limits.transactions_max + config.emergency.reserve);
        self.calls.set_count_max(config.limits.dialogs_max + config.emergency.reserve);
        self.media_ids.set_count_max(media_sessions_max(&config));
        self.config = config;
        self.arm_hops();
    }

    /// Whether a binding was registered over `stream`: the shell keeps such a connection longer.
    #[must_use]
    pub fn is_registered(&self, stream: StreamId) -> bool {
        !self.flows.bindings(crate::token::FlowPath::Stream(stream)).is_empty()
    }

    /// When to call [`handle_deadline`](Self::handle_deadline), and why; it may lie in the past.
    #[must_use]
    pub fn next_deadline(&self) -> Option<(Instant, Reason)> {
        self.deadlines.first().map(|(at, alarm)| (at, alarm.reason()))
    }

    /// Wakes whoever is due, a bounded number of owners per call.
    pub fn handle_deadline(&mut self, now: Instant, out: &mut Outbox) {
        for _ in 0..WAKES_PER_TURN {
            let Some(alarm) = self.deadlines.pop_due(now) else {
                return;
            };
            match alarm {
                Alarm::Exchange(id) => self.on_exchange_deadline(id, now, out),
                Alarm::PartialMessage(id) => self.on_partial_deadline(id, out),
                Alarm::Binding(id) => self.on_binding_deadline(id, now, out),
                Alarm::Keys => self.on_keys_deadline(now),
                Alarm::Dialog(id) => self.on_call_deadline(id, now, out),
                Alarm::Watch(id) => self.on_watch_deadline(id, now, out),
                Alarm::Blacklist => self.on_blacklist_deadline(now, out),
                Alarm::Hops => self.on_hops_deadline(now, out),
                Alarm::Ping(id) => self.on_ping_deadline(id, now, out),
            }
        }
    }

    /// How the next hops of the file do.
    #[must_use]
    pub fn next_hops(&self, now: Instant) -> Vec<HopStatus> {
        self.hops.status(now)
    }

    /// The RTP ports of this shard.
    #[must_use]
    pub fn rtp_ports(&self) -> &RtpPorts {
        &self.rtp_ports
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The header rules with what they counted.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Asks the shell to close a stream; nothing more is read from it.
    pub(crate) fn close_stream(&mut self, id: StreamId, out: &mut Outbox) {
        if let Some(stream) = self.flows.stream_mut(id)
            && !stream.closing
        {
            stream.closing = true;
            out.actions.push(Action::Net(NetAction::Close { stream: id }));
        }
    }
}

impl Derived {
    fn new(config: &Config) -> Self {
        let limits = &config.limits;
        Self {
            limits: sip::Limits {
                head_bytes_max: limits.head_bytes_max,
                headers_max: limits.headers_max,
                body_bytes_max: limits.body_bytes_max,
            },
            timers: Timers { t1: config.timers.t1(), t2: config.timers.t2(), t4: config.timers.t4() },
            numbers: NumberPlan::new(&config.number_plan, &config.core.domain),
            emergency: EmergencyPlan::new(&config.emergency),
            suites: config.media.srtp_suites.iter().map(|suite| suite_of(*suite)).collect(),
            policies: Policies::new(&config.content_policies),
        }
    }
}

/// Sessions of both relays have their ids from one table.
fn media_sessions_max(config: &Config) -> usize {
    config.msrp.sessions_max.saturating_add(config.media.sessions_max)
}

const fn suite_of(suite: config::SrtpSuite) -> Suite {
    match suite {
        config::SrtpSuite::AeadAes128Gcm => Suite::AeadAes128Gcm,
        config::SrtpSuite::AeadAes256Gcm => Suite::AeadAes256Gcm,
        config::SrtpSuite::AesCm128HmacSha1Tag80 => Suite::AesCm128HmacSha1Tag80,
        config::SrtpSuite::AesCm256HmacSha1Tag80 => Suite::AesCm256HmacSha1Tag80,
        config::SrtpSuite::AesCm128HmacSha1Tag32 => Suite::AesCm128HmacSha1Tag32,
        config::SrtpSuite::AesCm256HmacSha1Tag32 => Suite::AesCm256HmacSha1Tag32,
    }
}

const TOKEN_KEY_ID: u8 = 1;

/// Stands for the name of this node in tokens.
fn node_number(name: &str) -> u16 {
    let mut hasher = DefaultHasher::new();
    hasher.write(name.as_bytes());
    hasher.finish() as u16
}
