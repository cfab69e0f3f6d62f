//! `gatehouse serve`: starts a node and looks after it until a signal ends it.

use crate::blacklist;
use crate::check::{load, report};
use crate::next_hops;
use crate::notify::notify;
use config::{Config, LogFormat, LogLevel, Positions};
use control::{Admin, Captures, Names, NodeState, State};
use core::time::Duration;
use dataplane::{Dataplane, Gatehouse};
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use telemetry::{Telemetry, logs, msrp, rtp, sip};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};

/// Runs a node with the configuration in `path` until it is told to stop.
pub(crate) fn serve(path: &Path) -> ExitCode {
    let (config, positions, warnings) = match load(path) {
        Ok(loaded) => loaded,
        Err(errors) => {
            report("", &errors);
            return ExitCode::FAILURE;
        }
    };
    let _logs = match logs::start(level(config.log.level), format(config.log.format)) {
        Ok(guard) => guard,
        Err(error) => return fail(&format!("cannot log: {error}")),
    };
    log_panics();
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    match run(path, config, &positions) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

fn run(path: &Path, config: Config, positions: &Positions) -> Result<(), String> {
    let descriptors = dataplane::raise_descriptor_limit();
    let telemetry = Arc::new(Telemetry::default());
    let state = Arc::new(NodeState::default());
    let config = Arc::new(config);
    let blacklist = blacklist::open(&config, &telemetry)
        .map_err(|e| positions.error("blacklist.directory", e, "").to_string())?;
    let captures = Arc::new(Captures::default());
    let routes = control::blacklist::router(Arc::clone(&blacklist))
        .merge(control::captures::router(Arc::clone(&captures)));
    let admin = Admin::start_with(config.admin.listen, Arc::clone(&telemetry), Arc::clone(&state), routes)
        .map_err(|e| positions.error("admin.listen", e.to_string(), "").to_string())?;
    let barred = blacklist.set();
    let plane = Dataplane::start_barring(Arc::clone(&config), Arc::clone(&telemetry), Gatehouse, barred);
    let plane = Arc::new(plane.map_err(|e| match e.key() {
        Some(key) => positions.error(key, e.to_string(), "").to_string(),
        None => e.to_string(),
    })?);
    crate::captures::attach(&captures, &plane);
    let names =
        next_hops::attach(&config, &telemetry, &plane).map_err(|e| format!("cannot look up names: {e}"))?;
    blacklist::attach(&blacklist, &plane).map_err(|e| format!("cannot watch the blacklist: {e}"))?;
    for a in plane.addresses() {
        let (shard, realm) = (a.shard.0, a.realm.label());
        tracing::debug!(shard, protocol = ?a.protocol, realm, transport = %a.transport, address = %a.bound, "listening");
    }
    state.set(State::InService);
    notify("READY=1");
    let (node, shards) = (&*config.node.name, config.node.shard_count());
    tracing::info!(node, shards, admin = %admin.address(), descriptors, "in service");

    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let watched = Watched { path, plane: &plane, names: &names, telemetry: &telemetry, state: &state };
    let ended = runtime.block_on(watched.watch(config));
    notify("STOPPING=1");
    state.set(State::Stopping);
    // First those who ask the data plane, so that it is ours alone.
    blacklist.detach();
    drop((admin, names));
    plane.stop();
    match Arc::into_inner(plane) {
        Some(plane) => plane.join(),
        None => tracing::error!("the data plane is still in use"),
    }
    tracing::info!("stopped");
    ended.map_err(|e| format!("cannot wait for signals: {e}"))
}

struct Watched<'a> {
    path: &'a Path,
    plane: &'a Dataplane,
    names: &'a Names,
    telemetry: &'a Telemetry,
    state: &'a NodeState,
}

/// How often a drain looks whether anything is left.
const DRAIN_LOOK: Duration = Duration::from_millis(250);

impl Watched<'_> {
    /// Serves signals until the node is to stop.
    async fn watch(&self, mut config: Arc<Config>) -> io::Result<()> {
        let mut reload = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            tokio::select! {
                _ = reload.recv() => config = self.reload(config),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        self.state.set(State::Draining);
        self.plane.drain();
        self.finish(config.timers.drain(), &mut terminate, &mut interrupt).await;
        Ok(())
    }

    /// The new configuration if it is good, the old one if not.
    fn reload(&self, old: Arc<Config>) -> Arc<Config> {
        let new = match load(self.path) {
            Ok((config, _, warnings)) => {
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                Arc::new(config)
            }
            Err(errors) => {
                errors.iter().for_each(|error| tracing::error!("{error}"));
                tracing::error!(faults = errors.len(), "configuration not reloaded, the old one stays");
                self.telemetry.node.row(&telemetry::node::RELOADS)[1].add(1);
                return old;
            }
        };
        match self.plane.reload(Arc::clone(&new)) {
            Ok(later) if later.is_empty() => tracing::info!("configuration reloaded"),
            Ok(later) => {
                tracing::warn!(
                    keys = later.join(", "),
                    "configuration reloaded; these keys take effect at the next start"
                );
            }
            Err(error) => {
                tracing::error!(%error, "configuration not reloaded, the old one stays");
                return old;
            }
        }
        self.names.configure(Arc::clone(&new));
        new
    }

    /// Waits until nothing is under way, the time is up, or a second signal comes.
    async fn finish(&self, max: Duration, terminate: &mut Signal, interrupt: &mut Signal) {
        let end = Instant::now() + max;
        let left = || [&sip::EXCHANGES, &msrp::SESSIONS, &rtp::SESSIONS].map(|f| self.telemetry.sum(f, 0));
        let [exchanges, msrp_sessions, rtp_sessions] = left();
        tracing::info!(exchanges, msrp_sessions, rtp_sessions, seconds_max = max.as_secs(), "draining");
        loop {
            // Looked at only after a pause: shards publish their numbers with a delay.
            tokio::select! {
                () = sleep(DRAIN_LOOK) => {}
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
            }
            let [exchanges, msrp_sessions, rtp_sessions] = left();
            if [exchanges, msrp_sessions, rtp_sessions] == [0; 3] {
                return;
            }
            if Instant::now() >= end {
                tracing::warn!(exchanges, msrp_sessions, rtp_sessions, "drain time is up");
                return;
            }
        }
    }
}

/// A panic becomes a log line like any other; the shard's supervisor goes on from there.
fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("without a message");
        tracing::error!(thread = thread.name().unwrap_or(""), place, "panic: {message}");
    }));
}

fn fail(message: &str) -> ExitCode {
    use io::Write;
    let _ = writeln!(io::stderr(), "{message}");
    ExitCode::FAILURE
}

const fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

const fn format(format: LogFormat) -> logs::Format {
    match format {
        LogFormat::Text => logs::Format::Text,
        LogFormat::Json => logs::Format::Json,
    }
}
