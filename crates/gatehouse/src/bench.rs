//! `gatehouse bench`: loads any SIP edge and reports what it did (crate `loadgen`).

use clap::{Args, ValueEnum};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use loadgen::run::Means;
use loadgen::shell::CoreShell;
use loadgen::{Outcome, Pattern, Plan, Share, Work, report};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::Deserialize;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use wire::Transport;

/// What to load the edge with.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scenario {
    /// REGISTER, 401, REGISTER, 200, by every user in turn.
    Register,
    /// REGISTER with known credentials.
    Refresh,
    /// Every user registers at once; see --users.
    Storm,
    /// Pager messages of registered users.
    Message,
    /// Calls: INVITE, 180, 200, ACK, BYE.
    Invite,
    /// New connections, with TLS if --transport says so.
    Connect,
    /// Nothing: connections and registrations are held, memory is measured.
    Idle,
    /// What --profile says.
    Mix,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Arrival {
    /// Evenly spaced.
    Constant,
    /// Exponential gaps.
    Poisson,
    /// From nothing to --rate in the course of the run.
    Ramp,
    /// --in-flight at a time: finds the peak, not latencies.
    Closed,
}

/// Loads a SIP edge: UEs on one side, an answering core on the other.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What to do.
    scenario: Scenario,
    /// The edge, `host-address:port`.
    #[arg(long, value_name = "ADDRESS")]
    target: SocketAddr,
    /// How UEs reach it.
    #[arg(long, value_parser = ["udp", "tcp", "tls"], default_value = "udp")]
    transport: String,
    /// Where the answering core listens, UDP and TCP: the edge's next hop.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5070")]
    core: SocketAddr,
    /// No core of ours: the edge has one.
    #[arg(long)]
    no_core: bool,
    /// Home domain of the users.
    #[arg(long, default_value = "ims.example.net")]
    domain: String,
    /// Requests, calls or connections a second.
    #[arg(long, default_value_t = 1_000.0, value_parser = rate)]
    rate: f64,
    /// How they arrive.
    #[arg(long, value_enum, default_value_t = Arrival::Constant)]
    arrivals: Arrival,
    /// Unanswered at a time, for --arrivals closed.
    #[arg(long, default_value_t = 64)]
    in_flight: u32,
    /// Users.
    #[arg(long, default_value_t = 200)]
    users: u32,
    /// Connections, or sockets for UDP, that the users share; as many as users if not given.
    #[arg(long)]
    connections: Option<u32>,
    /// Addresses that UEs come from, in turn.
    #[arg(long, value_delimiter = ',', default_values_t = [IpAddr::V4(Ipv4Addr::LOCALHOST)])]
    sources: Vec<IpAddr>,
    /// Octets of the text of a MESSAGE.
    #[arg(long, default_value_t = 100)]
    text_bytes: usize,
    /// Seconds a call lasts.
    #[arg(long, default_value_t = 0.0)]
    hold: f64,
    /// Seconds of load that are not counted.
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// Seconds of load that count.
    #[arg(long, default_value_t = 10.0)]
    duration: f64,
    /// Registrations a second before the load.
    #[arg(long, default_value_t = 1_000.0, value_parser = rate)]
    setup_rate: f64,
    /// Threads that play UEs.
    #[arg(long, default_value_t = 1)]
    threads: u32,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// PEM file with the authority that the edge's certificate is checked against, for TLS.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Name that the certificate must bear; the address of --target if not given.
    #[arg(long)]
    server_name: Option<String>,
    /// Process of the edge: its CPU and memory are measured, with all its children.
    #[arg(long)]
    pid: Option<u32>,
    /// TOML file with the weights of a mix: `[mix]` and `register = 1`, `message = 20`, `invite = 2`, …
    #[arg(long, value_name = "FILE", required_if_eq("scenario", "mix"))]
    profile: Option<PathBuf>,
    /// Writes the figures here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes a page with plots here.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// No progress line.
    #[arg(long)]
    quiet: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if rate.is_finite() && rate > 0.0 { Ok(rate) } else { Err("must be over 0".to_owned()) }
}

/// Runs it; exit status 0 if work was done and none failed.
pub(crate) fn bench(options: &Options) -> ExitCode {
    match run(options) {
        Ok(outcome) => {
            let _ = write!(std::io::stdout(), "{}", report::text(&outcome));
            let idle = outcome.plan.mix.is_empty();
            let good =
                outcome.failed() == 0 && outcome.series.setup_failed == 0 && (idle || outcome.done() > 0);
            if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "gatehouse bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<Outcome, String> {
    let plan = plan(options)?;
    let tls = (plan.transport == Transport::Tls).then(|| trust(options)).transpose()?;
    let core = (!options.no_core).then(|| CoreShell::start(options.core, &options.domain)).transpose();
    let _core = core.map_err(|error| format!("core on {}: {error}", options.core))?;
    let means =
        Means { threads: options.threads, tls, measured_pid: options.pid, shows_progress: !options.quiet };
    let outcome = loadgen::run(&plan, &means).map_err(|error| error.to_string())?;
    let put = |file: &Option<PathBuf>, text: &dyn Fn() -> String| match file {
        Some(file) => std::fs::write(file, text()).map_err(|error| format!("{}: {error}", file.display())),
        None => Ok(()),
    };
    put(&options.json, &|| format!("{:#}\n", report::json(&outcome)))?;
    put(&options.html, &|| report::html(&outcome))?;
    Ok(outcome)
}

fn plan(options: &Options) -> Result<Plan, String> {
    let of = |work| vec![Share { work, weight: 1.0 }];
    let (name, mix) = match options.scenario {
        Scenario::Register => ("register", of(Work::Register)),
        Scenario::Refresh => ("refresh", of(Work::Refresh)),
        Scenario::Storm => ("storm", of(Work::Register)),
        Scenario::Message => ("message", of(Work::Message)),
        Scenario::Invite => ("invite", of(Work::Call)),
        Scenario::Connect => ("connect", of(Work::Connect)),
        Scenario::Idle => ("idle", Vec::new()),
        Scenario::Mix => ("mix", profile(options.profile.as_deref().unwrap_or(Path::new("")))?),
    };
    let seconds = |value: f64, name: &str| {
        Duration::try_from_secs_f64(value).map_err(|error| format!("--{name}: {error}"))
    };
    let (warm_up, steady) = (seconds(options.warm_up, "warm-up")?, seconds(options.duration, "duration")?);
    let pattern = match (options.scenario, options.arrivals) {
        (Scenario::Storm, _) => Pattern::Storm { count: u64::from(options.users) },
        (_, Arrival::Constant) => Pattern::Constant { per_second: options.rate },
        (_, Arrival::Poisson) => Pattern::Poisson { per_second: options.rate },
        (_, Arrival::Ramp) => {
            Pattern::Ramp { from: options.rate / 100.0, to: options.rate, over: warm_up + steady }
        }
        (_, Arrival::Closed) => Pattern::Closed { in_flight: options.in_flight.max(1) },
    };
    let transport = match options.transport.as_str() {
        "tcp" => Transport::Tcp,
        "tls" => Transport::Tls,
        _ => Transport::Udp,
    };
    let users = options.users.max(1);
    Ok(Plan {
        name: name.to_owned(),
        mix,
        pattern,
        target: options.target,
        transport,
        users,
        connections: options.connections.unwrap_or(users).clamp(1, users),
        sources: options.sources.clone(),
        domain: options.domain.clone(),
        text_bytes: options.text_bytes,
        hold: seconds(options.hold, "hold")?,
        setup_per_second: options.setup_rate,
        // A storm is over before any warm-up would be.
        warm_up: if matches!(options.scenario, Scenario::Storm) { Duration::ZERO } else { warm_up },
        steady,
        cool_down: Duration::from_secs(35),
        seed: options.seed,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    mix: toml::Table,
}

fn profile(file: &Path) -> Result<Vec<Share>, String> {
    let at = |error: &dyn core::fmt::Display| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| at(&error))?;
    let profile: Profile = toml::from_str(&text).map_err(|error| at(&error))?;
    let share = |(name, weight): (&String, &toml::Value)| {
        let known = Work::ALL.into_iter().find(|work| work.name() == name);
        let work = known.ok_or_else(|| {
            let names = Work::ALL.map(Work::name).join(", ");
            at(&format!("mix.{name}: no such work (there are {names})"))
        })?;
        let weight = weight.as_float().or_else(|| weight.as_integer().map(|n| n as f64));
        let weight = weight.filter(|weight| *weight > 0.0 && weight.is_finite());
        Ok(Share { work, weight: weight.ok_or_else(|| at(&format!("mix.{name}: must be a number over 0")))? })
    };
    let mix = profile.mix.iter().map(share).collect::<Result<Vec<_>, String>>()?;
    if mix.is_empty() { Err(at(&"[mix] is empty")) } else { Ok(mix) }
}

type Tls = (Arc<rustls::ClientConfig>, ServerName<'static>);

fn trust(options: &Options) -> Result<Tls, String> {
    let file = options.ca.as_ref().ok_or("--transport tls needs --ca FILE")?;
    let mut roots = rustls::RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(file).map_err(|error| format!("{}: {error}", file.display()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| format!("{}: {error}", file.display()))?;
        roots.add(certificate).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let name = match &options.server_name {
        Some(name) => {
            ServerName::try_from(name.clone()).map_err(|error| format!("--server-name: {error}"))?
        }
        None => ServerName::from(options.target.ip()),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((Arc::new(config), name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_names_work_and_weights_and_nothing_else() {
        let directory = std::env::temp_dir().join(format!("gatehouse-profile-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("profile.toml");
        for (text, expected) in [
            ("[mix]\nmessage = 20\nregister = 0.5\n", Ok(2)),
            ("[mix]\n", Err("is empty")),
            ("[mix]\nfax = 1\n", Err("no such work")),
            ("[mix]\nmessage = -1\n", Err("over 0")),
            ("[mix]\nmessage = 1\n[other]\n", Err("unknown field")),
        ] {
            std::fs::write(&file, text).unwrap();
            match (profile(&file), expected) {
                (Ok(mix), Ok(count)) => assert_eq!(mix.len(), count, "{text}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
