//! Starts, watches over and stops the shards.

use crate::bind::{DatagramSocket, Listener, Protocol, ShardSockets, bind_all};
use crate::brain::Gatehouse;
use crate::clock::Clock;
use crate::error::StartError;
use crate::identity::MediaIdentity;
use crate::io::Io;
use crate::machine::Machines;
use crate::mailbox::{Letters, Mail, Mailbox, mailbox};
use crate::quota::Quota;
use crate::rtp::RtpSessionView;
use crate::shard::{Parts, Shard};
use crate::tls::Material;
use crate::token_key;
use config::Config;
use core::net::SocketAddr;
use core::time::Duration;
use crossbeam_channel::{Receiver, Sender, bounded};
use edge::api::ShardContext;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use telemetry::capture::Capture;
use telemetry::{Telemetry, node};
use wire::{Directory, HostQuery, PrefixSet, Realm, ShardId, Transport};

/// The running shards of a node.
#[derive(Debug)]
pub struct Dataplane {
    shards: Vec<JoinHandle<()>>,
    mailboxes: Arc<Vec<Mailbox>>,
    addresses: Vec<Address>,
    telemetry: Arc<Telemetry>,
    /// What the shards were last given; a shard that restarts takes this.
    current: Arc<Mutex<Current>>,
    /// One new blacklist at a time, so that all shards end up with the same.
    barring: Mutex<()>,
    wishes: Receiver<HostQuery>,
}

#[derive(Clone, Debug)]
struct Current {
    config: Arc<Config>,
    material: Arc<Material>,
    draining: bool,
    blacklist: Arc<PrefixSet>,
    directory: Arc<Directory>,
}

/// What some sources have on the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Registrations.
    pub registrations: u64,
    /// Calls and sessions.
    pub calls: u64,
    /// Connections, of SIP and MSRP.
    pub connections: u64,
}

impl Holdings {
    fn with(self, other: Self) -> Self {
        Self {
            registrations: self.registrations + other.registrations,
            calls: self.calls + other.calls,
            connections: self.connections + other.connections,
        }
    }
}

/// Names that wait to be looked up; a shard asks again for one that found no room.
const WISHES_MAX: usize = 1_024;

/// How long a shard may take to answer: it has a turn every few milliseconds.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// One address that is served, with the port that was really bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The shard.
    pub shard: ShardId,
    /// What is spoken.
    pub protocol: Protocol,
    /// The side.
    pub realm: Realm,
    /// The transport.
    pub transport: Transport,
    /// The address.
    pub bound: SocketAddr,
}

impl Dataplane {
    /// Starts a node with the edge and the MSRP relay on every shard.
    ///
    /// # Errors
    /// As [`start_with`](Self::start_with).
    pub fn start(config: Arc<Config>, telemetry: Arc<Telemetry>) -> Result<Self, StartError> {
        Self::start_with(config, telemetry, Gatehouse)
    }

    /// Binds every address, then starts one thread for each shard.
    ///
    /// # Errors
    /// If an address cannot be bound, TLS material cannot be loaded, or a thread cannot be started;
    /// nothing runs then.
    pub fn start_with<M: Machines>(
        config: Arc<Config>,
        telemetry: Arc<Telemetry>,
        machines: M,
    ) -> Result<Self, StartError> {
        Self::start_barring(config, telemetry, machines, Arc::default())
    }

    /// The same with a blacklist that is in force before the first connection is taken (R10: it
    /// survives a restart).
    ///
    /// # Errors
    /// As [`start_with`](Self::start_with).
    pub fn start_barring<M: Machines>(
        config: Arc<Config>,
        telemetry: Arc<Telemetry>,
        machines: M,
        blacklist: Arc<PrefixSet>,
    ) -> Result<Self, StartError> {
        let material = Arc::new(Material::load(&config)?);
        let token_file = config.node.token_key_file.as_deref();
        let token_key = token_key::load(token_file).map_err(|error| StartError::TokenKey {
            file: token_file.unwrap_or(Path::new("")).to_owned(),
            error,
        })?;
        if config.media.io == config::MediaIo::IoUring {
            crate::rtp::probe().map_err(StartError::IoUring)?;
        }
        let sockets = bind_all(&config)?;
        let addresses = addresses(&sockets);
        let (mailboxes, letters): (Vec<_>, Vec<_>) =
            (0..sockets.len()).map(|_| mailbox()).collect::<io::Result<Vec<_>>>()?.into_iter().unzip();
        let (wish, wishes) = bounded(WISHES_MAX);
        let clock = Clock::start();
        let node = Arc::new(NodeParts {
            machines,
            wish,
            mailboxes: Arc::new(mailboxes),
            clock,
            quota: Arc::new(Quota::default()),
            telemetry: Arc::clone(&telemetry),
            current: Arc::new(Mutex::new(Current {
                config,
                material,
                draining: false,
                blacklist,
                directory: Arc::default(),
            })),
            token_key,
            identity: MediaIdentity::make(clock.zero()),
        });
        let mut plane = Self {
            shards: Vec::new(),
            mailboxes: Arc::clone(&node.mailboxes),
            addresses,
            telemetry,
            current: Arc::clone(&node.current),
            barring: Mutex::default(),
            wishes,
        };
        for (at, (sockets, letters)) in sockets.into_iter().zip(letters).enumerate() {
            let shard = ShardId(u16::try_from(at).unwrap_or(u16::MAX));
            let node = Arc::clone(&node);
            let run = move || supervise(&node, shard, sockets, &letters);
            match thread::Builder::new().name(format!("shard-{at}")).spawn(run) {
                Ok(thread) => plane.shards.push(thread),
                Err(error) => {
                    plane.stop();
                    plane.join();
                    return Err(error.into());
                }
            }
        }
        Ok(plane)
    }

    /// Every address that is served.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The first address that serves this, on shard 0.
    #[must_use]
    pub fn address(&self, protocol: Protocol, realm: Realm, transport: Transport) -> Option<SocketAddr> {
        let fits = |a: &&Address| a.protocol == protocol && a.realm == realm && a.transport == transport;
        self.addresses.iter().find(fits).map(|a| a.bound)
    }

    /// Gives a new configuration to every shard; connections that stand are not disturbed.
    ///
    /// Certificates are read again. Addresses and the number of shards stay as they were bound: the
    /// answer names the keys that take effect at the next start only.
    ///
    /// # Errors
    /// If TLS material cannot be loaded; everything stays as it was.
    pub fn reload(&self, config: Arc<Config>) -> Result<Vec<&'static str>, StartError> {
        let loaded =
            Material::load(&config).inspect_err(|_| self.telemetry.node.row(&node::RELOADS)[1].add(1));
        let material = Arc::new(loaded?);
        for mailbox in self.mailboxes.iter() {
            mailbox.order(Mail::Config(Arc::clone(&config), Arc::clone(&material)));
        }
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let later = needs_restart(&current.config, &config);
        current.config = config;
        current.material = material;
        drop(current);
        self.telemetry.node.row(&node::RELOADS)[0].add(1);
        Ok(later)
    }

    /// Tells every shard what the names of next hops lead to.
    pub fn set_directory(&self, directory: &Arc<Directory>) {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).directory = Arc::clone(directory);
        for mailbox in self.mailboxes.iter() {
            mailbox.order(Mail::NextHops(Arc::clone(directory)));
        }
    }

    /// Names that the shards want looked up; it ends with the last shard.
    #[must_use]
    pub fn wishes(&self) -> Receiver<HostQuery> {
        self.wishes.clone()
    }

    /// Gives a new blacklist to every shard (R10): from then on its sources are turned away, and what
    /// they have here is cut within a second. Whether every shard has it in force on return.
    ///
    /// A shard that is too busy to say so within a second takes it as soon as it comes to it.
    pub fn set_blacklist(&self, set: &Arc<PrefixSet>) -> bool {
        let _one_at_a_time = self.barring.lock().unwrap_or_else(PoisonError::into_inner);
        self.current.lock().unwrap_or_else(PoisonError::into_inner).blacklist = Arc::clone(set);
        self.ask(|answer| Mail::Blacklist(Arc::clone(set), answer)).is_some()
    }

    /// What the sources in `set` have here, over all shards; `None` if one did not say in time.
    pub fn holdings(&self, set: &Arc<PrefixSet>) -> Option<Holdings> {
        let of_shards = self.ask(|answer| Mail::Count(Arc::clone(set), answer))?;
        Some(of_shards.into_iter().fold(Holdings::default(), Holdings::with))
    }

    /// The RTP sessions of a call, or of all calls, as they stand: `max` of each shard at most. `None` if a
    /// shard did not say in time.
    pub fn rtp_sessions(&self, call_id: Option<&str>, max: usize) -> Option<Vec<RtpSessionView>> {
        let call_id: Option<Arc<str>> = call_id.map(Into::into);
        let of_shards =
            self.ask(|answer| Mail::RtpSessions { call_id: call_id.as_ref().map(Arc::clone), max, answer })?;
        Some(of_shards.into_iter().flatten().collect())
    }

    /// Begins a capture of the packets of a call, for so many seconds; how many sessions it sees at once.
    /// What the call opens meanwhile is seen as well. `None` if a shard did not say in time.
    pub fn capture(&self, capture: &Arc<Capture>, seconds: u64) -> Option<usize> {
        let of_shards = self.ask(|answer| Mail::Capture { capture: Arc::clone(capture), seconds, answer })?;
        Some(of_shards.into_iter().sum())
    }

    /// Sends every shard an order and waits for all answers, a second at most.
    fn ask<T>(&self, order: impl Fn(Sender<T>) -> Mail) -> Option<Vec<T>> {
        let end = Instant::now() + ANSWER_MAX;
        let (sender, answers) = bounded(self.mailboxes.len());
        for mailbox in self.mailboxes.iter() {
            mailbox.order(order(sender.clone()));
        }
        drop(sender);
        self.mailboxes.iter().map(|_| answers.recv_deadline(end).ok()).collect()
    }

    /// Tells every shard to refuse new work and serve the rest.
    pub fn drain(&self) {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).draining = true;
        self.mailboxes.iter().for_each(|mailbox| mailbox.order(Mail::Drain));
    }

    /// Tells every shard to close its connections and end.
    pub fn stop(&self) {
        self.mailboxes.iter().for_each(|mailbox| mailbox.order(Mail::Stop));
    }

    /// Waits for the shards to end.
    pub fn join(self) {
        for shard in self.shards {
            // A shard that panicked was reported and restarted by its supervisor.
            let _ = shard.join();
        }
    }
}

/// What all shards of a node share.
struct NodeParts<M> {
    machines: M,
    wish: Sender<HostQuery>,
    mailboxes: Arc<Vec<Mailbox>>,
    clock: Clock,
    quota: Arc<Quota>,
    telemetry: Arc<Telemetry>,
    current: Arc<Mutex<Current>>,
    token_key: [u8; 32],
    identity: MediaIdentity,
}

/// How long a shard that keeps failing waits before the next attempt.
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Runs one shard, and again after a panic: the other shards go on, its listeners stay bound, its
/// connections are closed.
fn supervise<M: Machines>(node: &NodeParts<M>, shard: ShardId, sockets: ShardSockets, letters: &Letters) {
    pin(shard);
    let listeners = Arc::new(sockets.listeners);
    let mut pause = Duration::from_millis(10);
    loop {
        let bank = node.telemetry.open_bank();
        let points = (sockets.sip.clone(), sockets.msrp.clone(), sockets.rtp.clone());
        let run = || run_shard(node, shard, points, &sockets.datagrams, &listeners, letters, &bank);
        let ended = catch_unwind(AssertUnwindSafe(run));
        node.telemetry.close_bank(&bank);
        node.telemetry.set_next_hops(shard.0, Vec::new());
        match ended {
            Ok(Ok(())) => return,
            Ok(Err(error)) => tracing::error!(shard = shard.0, %error, "shard failed, starting it again"),
            Err(_) => tracing::error!(shard = shard.0, "shard panicked, starting it again"),
        }
        node.telemetry.node.row(&node::SHARD_RESTARTS)[0].add(1);
        thread::sleep(pause);
        pause = (pause * 2).min(RESTART_PAUSE_MAX);
    }
}

fn run_shard<M: Machines>(
    node: &NodeParts<M>,
    shard: ShardId,
    (sip, mut msrp, rtp): (Vec<edge::api::SipPoint>, Vec<edge::api::MsrpPoint>, Vec<edge::api::RtpPoint>),
    datagrams: &[DatagramSocket],
    listeners: &Arc<Vec<Listener>>,
    letters: &Letters,
    bank: &Arc<telemetry::Bank>,
) -> io::Result<()> {
    let Current { config, material, draining, blacklist, directory } =
        node.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let datagrams = datagrams
        .iter()
        .map(|d| Ok(DatagramSocket { socket: d.socket.try_clone()?, realm: d.realm, wildcard: d.wildcard }))
        .collect::<io::Result<Vec<_>>>()?;
    let fingerprints = material.fingerprints();
    for point in msrp.iter_mut().filter(|point| point.transport == Transport::Tls) {
        point.fingerprint = fingerprints[point.realm as usize];
    }
    let rtp_fingerprint = node.identity.fingerprint;
    let context = ShardContext {
        shard,
        sip,
        msrp,
        rtp,
        rtp_fingerprint,
        token_key: node.token_key,
        seed: token_key::random()?,
    };
    let (edge, relay) = node.machines.build(&config, context);
    let mut io = Io::new(config, material, Arc::clone(&node.quota), datagrams, node.clock.now())?;
    io.set_blacklist(blacklist);
    let parts = Parts {
        io,
        listeners: Arc::clone(listeners),
        letters: letters.clone(),
        mailboxes: Arc::clone(&node.mailboxes),
        clock: node.clock,
        bank: Arc::clone(bank),
        shard,
        telemetry: Arc::clone(&node.telemetry),
        wish: node.wish.clone(),
        directory,
        dtls: node.identity.dtls.clone(),
    };
    if draining && let Some(mailbox) = node.mailboxes.get(usize::from(shard.0)) {
        mailbox.post(Mail::Drain);
    }
    Shard::new(parts, edge, relay)?.run()
}

/// Binds the thread to the core that stands at its number among those the process may use.
fn pin(shard: ShardId) {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else {
        return;
    };
    let cores: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU).filter(|c| allowed.is_set(*c)).collect();
    // More shards than cores: the scheduler does better.
    if let Some(core) = cores.get(usize::from(shard.0)) {
        let mut set = rustix::thread::CpuSet::new();
        set.set(*core);
        let _ = rustix::thread::sched_setaffinity(None, &set);
    }
}

/// Lets the process open as many descriptors as the system allows it; returns how many that are.
///
/// One for each connection: the usual soft limit of 1024 would be the first cap to be reached.
pub fn raise_descriptor_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current
}

fn addresses(shards: &[ShardSockets]) -> Vec<Address> {
    let mut addresses = Vec::new();
    for (at, sockets) in shards.iter().enumerate() {
        let shard = ShardId(u16::try_from(at).unwrap_or(u16::MAX));
        for point in sockets.sip.iter().filter(|p| p.socket.is_some()) {
            let (realm, transport, bound) = (point.realm, point.transport, point.bound);
            addresses.push(Address { shard, protocol: Protocol::Sip, realm, transport, bound });
        }
        for l in &sockets.listeners {
            let (protocol, realm, transport, bound) = (l.protocol, l.realm, l.transport, l.bound);
            addresses.push(Address { shard, protocol, realm, transport, bound });
        }
    }
    addresses
}

/// Keys whose change a running node cannot follow.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let mut keys = Vec::new();
    let mut differs = |key, differs: bool| {
        if differs {
            keys.push(key);
        }
    };
    differs("node.shards", old.node.shards != new.node.shards);
    differs("node.name", old.node.name != new.node.name);
    differs("admin.listen", old.admin.listen != new.admin.listen);
    differs("log", old.log.level != new.log.level || old.log.format != new.log.format);
    let (a, b) = (&old.realm, &new.realm);
    differs("realm.access.host", a.access.host != b.access.host);
    differs("realm.access.sip", a.access.sip != b.access.sip);
    differs("realm.access.msrp", a.access.msrp != b.access.msrp);
    let media = |r: &config::RealmConfig| {
        let bind = (r.media_bind, r.media_bind_v6);
        (r.media_address, r.media_address_v6, bind, r.media_ports_first, r.media_ports_last)
    };
    differs("realm.access.media_address", media(&a.access) != media(&b.access));
    differs("realm.core.host", a.core.host != b.core.host);
    differs("realm.core.sip", a.core.sip != b.core.sip);
    differs("realm.core.msrp", a.core.msrp != b.core.msrp);
    differs("realm.core.media_address", media(&a.core) != media(&b.core));
    differs("media.io", old.media.io != new.media.io);
    keys
}
