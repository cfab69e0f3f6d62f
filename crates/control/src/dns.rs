//! Names of next hops: looked up as RFC 3263 says, looked up again when their time is over, and given to
//! the shards as one immutable table.
//!
//! ```text
//!   configuration ─┐                    ┌─ locate: NAPTR ▶ SRV ▶ A, AAAA ─ name servers
//!                  ├─▶ names in use ────┤
//!   shards' wishes ┘   (due, stale)     └─▶ Directory, when it differs ─▶ shards
//! ```
//! Traffic never waits here. An answer that cannot be renewed is used on (`stale_seconds_max`): a core
//! whose DNS fails is still there, and health is what probes are for. So is an answer that a name server
//! empties: a member is taken out in the file, not by a slip in a zone.

mod locate;
mod table;

pub use locate::{Answer, Ask, Found, Naptr, Served, Srv, locate};

use crate::dns::table::{Outcome, Table};
use config::Config;
use core::net::{IpAddr, SocketAddr};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;
use telemetry::{Telemetry, hops};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use wire::{Directory, HostQuery};

/// Takes in what the names lead to.
pub type Push = Box<dyn Fn(&Arc<Directory>) + Send>;

/// The thread that looks names up.
#[derive(Debug)]
pub struct Names {
    orders: UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Order {
    Want(HostQuery),
    Configure(Arc<Config>),
    Stop,
}

/// Lookups under way at a time.
const LOOKUPS_MAX: usize = 16;

impl Names {
    /// Starts to look up the names of the configuration; `push` hears of each change.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(config: Arc<Config>, telemetry: Arc<Telemetry>, push: Push) -> io::Result<Self> {
        let (orders, received) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || runtime.block_on(Worker::new(config, telemetry, push).run(received));
        let thread = thread::Builder::new().name("names".to_owned()).spawn(run)?;
        Ok(Self { orders, thread: Some(thread) })
    }

    /// Something that asks for names, from any thread; it outlives this.
    #[must_use]
    pub fn wisher(&self) -> Wisher {
        Wisher(self.orders.clone())
    }

    /// The configuration was replaced.
    pub fn configure(&self, config: Arc<Config>) {
        // The thread lives as long as this.
        let _ = self.orders.send(Order::Configure(config));
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Asks for names.
#[derive(Clone, Debug)]
pub struct Wisher(UnboundedSender<Order>);

impl Wisher {
    /// Has this name looked up from here on; false if nobody does that any longer.
    pub fn want(&self, query: HostQuery) -> bool {
        self.0.send(Order::Want(query)).is_ok()
    }
}

struct Worker {
    config: Arc<Config>,
    telemetry: Arc<Telemetry>,
    push: Push,
    resolver: Option<TokioResolver>,
    served: Served,
    table: Table,
    pushed: Arc<Directory>,
}

impl Worker {
    fn new(config: Arc<Config>, telemetry: Arc<Telemetry>, push: Push) -> Self {
        let table = Table::new(&config);
        let (resolver, served) = (resolver(&config), Served::of(&config));
        Self { config, telemetry, push, resolver, served, table, pushed: Arc::default() }
    }

    async fn run(mut self, mut orders: UnboundedReceiver<Order>) {
        let mut lookups: JoinSet<(HostQuery, Found)> = JoinSet::new();
        loop {
            let now = Instant::now();
            while lookups.len() < LOOKUPS_MAX
                && let Some(query) = self.table.take_due(now)
            {
                let (resolver, served) = (self.resolver.clone(), self.served);
                lookups.spawn(async move {
                    let found = match &resolver {
                        Some(resolver) => locate(&Server(resolver.clone()), &query, &served).await,
                        None => Found::default(),
                    };
                    (query, found)
                });
            }
            // With all places taken, the next one is free before anything else is of interest.
            let due = self.table.next_due().filter(|_| lookups.len() < LOOKUPS_MAX);
            let wait = async {
                match due {
                    Some(at) => sleep_until(at.into()).await,
                    None => core::future::pending().await,
                }
            };
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Want(query)) => self.table.want(query, now),
                    Some(Order::Configure(config)) => self.configure(config, now),
                    Some(Order::Stop) | None => return,
                },
                Some(done) = lookups.join_next() => {
                    let mut done = Some(done);
                    while let Some(result) = done {
                        if let Ok((query, found)) = result {
                            self.take(&query, found);
                        }
                        done = lookups.try_join_next();
                    }
                }
                () = wait => {}
            }
            self.tell();
        }
    }

    fn configure(&mut self, config: Arc<Config>, now: Instant) {
        self.resolver = resolver(&config);
        self.served = Served::of(&config);
        self.table.configure(&config, now);
        self.config = config;
    }

    fn take(&mut self, query: &HostQuery, found: Found) {
        let outcome = self.table.answered(query, found, Instant::now());
        let cell = match outcome {
            Outcome::Good => 0,
            Outcome::Empty => 1,
            Outcome::Failed => 2,
        };
        if outcome != Outcome::Good {
            tracing::warn!(name = %query, result = ?outcome, "a next hop's name could not be looked up");
        }
        if let Some(cell) = self.telemetry.node.row(&hops::LOOKUPS).get(cell) {
            cell.add(1);
        }
    }

    fn tell(&mut self) {
        self.telemetry.node.set(&hops::NAMES, self.table.counts());
        let directory = self.table.directory();
        if directory != *self.pushed {
            self.pushed = Arc::new(directory);
            tracing::info!(names = self.pushed.names().count(), "next hops have other addresses");
            (self.push)(&self.pushed);
        }
    }
}

/// The name servers of the file, or of the system.
fn resolver(config: &Config) -> Option<TokioResolver> {
    let settings = &config.dns;
    let builder = if settings.servers.is_empty() {
        TokioResolver::builder_tokio()
            .inspect_err(|error| tracing::warn!(%error, "no name servers: set dns.servers"))
            .ok()?
    } else {
        let servers = settings.servers.iter().map(name_server).collect();
        let servers = ResolverConfig::from_parts(None, Vec::new(), servers);
        TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
    };
    let mut builder = builder;
    let options = builder.options_mut();
    options.timeout = core::time::Duration::from_millis(settings.timeout_ms);
    // "How often" counts the first time, the library counts what comes after it.
    options.attempts = settings.attempts - 1;
    // What we ask is a name as it is, never one of a search list.
    options.ndots = 0;
    builder.build().inspect_err(|error| tracing::warn!(%error, "name servers cannot be used")).ok()
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

struct Server(TokioResolver);

impl Server {
    async fn ask<T>(&self, name: &str, kind: RecordType, read: impl Fn(&RData) -> Option<T>) -> Answer<T> {
        // The final dot: nothing is appended.
        let Ok(name) = Name::from_ascii(format!("{}.", name.trim_end_matches('.'))) else {
            return Answer::Failed;
        };
        match self.0.lookup(name, kind).await {
            Ok(lookup) => answer(&lookup, read),
            Err(error) if denies(&error) => Answer::None,
            Err(_) => Answer::Failed,
        }
    }
}

/// Whether the name server said that there is nothing, and not that it does not know.
fn denies(error: &NetError) -> bool {
    error.is_nx_domain() || error.is_no_records_found()
}

fn answer<T>(lookup: &Lookup, read: impl Fn(&RData) -> Option<T>) -> Answer<T> {
    let records: Vec<T> = lookup.answers().iter().filter_map(|record| read(&record.data)).collect();
    if records.is_empty() {
        return Answer::None;
    }
    let ttl = lookup.valid_until().saturating_duration_since(Instant::now());
    Answer::Records { records, ttl }
}

impl Ask for Server {
    async fn naptr(&self, name: &str) -> Answer<Naptr> {
        self.ask(name, RecordType::NAPTR, |data| match data {
            RData::NAPTR(naptr) => Some(Naptr {
                order: naptr.order,
                preference: naptr.preference,
                flags: String::from_utf8_lossy(&naptr.flags).into_owned(),
                service: String::from_utf8_lossy(&naptr.services).into_owned(),
                replacement: naptr.replacement.to_ascii(),
            }),
            _ => None,
        })
        .await
    }

    async fn srv(&self, name: &str) -> Answer<Srv> {
        self.ask(name, RecordType::SRV, |data| match data {
            RData::SRV(srv) => Some(Srv {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.to_ascii(),
            }),
            _ => None,
        })
        .await
    }

    async fn v4(&self, name: &str) -> Answer<IpAddr> {
        self.ask(name, RecordType::A, |data| match data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            _ => None,
        })
        .await
    }

    async fn v6(&self, name: &str) -> Answer<IpAddr> {
        self.ask(name, RecordType::AAAA, |data| match data {
            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
            _ => None,
        })
        .await
    }
}
