//! `gatehouse demo`: a core, this edge and four UEs on loopback, every flow once, one line a flow.
//!
//! ```text
//! UEs 127.0.0.4 ──TLS, TCP, UDP──▶ 127.0.0.1 edge 127.0.0.2 ──UDP──▶ 127.0.0.3 core
//! ```
//! Four addresses, so that neither side can take one for the other: the UEs are told private
//! addresses that do not exist, and both sides look for addresses that must not reach them.

mod print;

use config::{Config, ConfigError};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use dataplane::{Dataplane, Protocol};
use lab::net::tls::{Authority, Trust};
use lab::net::{CoreStand, Host, UeStand};
use lab::scenario::{self, Driver as _, Person, people};
use lab::{EdgeFacts, Topology};
use print::Printer;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use telemetry::{Telemetry, logs};
use wire::{Realm, Transport};

/// What `gatehouse demo` was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Leave everything running afterwards.
    pub(crate) keep: bool,
    /// Show the log of the edge.
    pub(crate) verbose: bool,
    /// How the edge reaches the core: `udp` or `tcp`.
    pub(crate) core: String,
}

/// Runs the demo; fails if a flow failed or anything was seen where it must not be.
pub(crate) fn demo(options: &Options) -> ExitCode {
    let mut printer = Printer::to_stdout();
    let _logs = options.verbose.then(|| logs::start("debug", logs::Format::Text));
    match run(options, &mut printer) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            printer.failure(&message);
            ExitCode::FAILURE
        }
    }
}

const EDGE_ACCESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const EDGE_CORE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const CORE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const UES: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);
/// What every claimed address of a UE begins with.
const CLAIMED: &str = "10.201.66";
const DOMAIN: &str = "ims.example.net";
/// The name in the edge's certificate, which the UEs check (R3).
const EDGE_NAME: &str = "pcscf.ims.example.net";
const VISITED: &str = "cmcc.rcs.com";
/// How long the last requests of the last flow get before the books are closed.
const SETTLE: Duration = Duration::from_millis(300);

fn run(options: &Options, printer: &mut Printer) -> Result<bool, String> {
    let directory = Directory::new()?;
    let authority = Authority::new(&[EDGE_NAME]).map_err(|e| format!("certificate: {e}"))?;
    let files = authority.write_to(&directory.0).map_err(|e| format!("certificate: {e}"))?;
    let cast = people(DOMAIN);
    let host = Host::start("lab").map_err(|e| format!("lab: {e}"))?;
    let core =
        CoreStand::start(&host, IpAddr::V4(CORE), DOMAIN, &cast, seed()).map_err(|e| format!("core: {e}"))?;
    let config = configuration(core.sip, &options.core, &files)?;
    let plane = Dataplane::start(Arc::new(config), Arc::new(Telemetry::default()))
        .map_err(|e| format!("edge: {e}"))?;
    let topology = Arc::new(Topology::Edge(Box::new(facts())));
    core.set_topology(Arc::clone(&topology));
    let mut ues = UeStand::new(&host, &core);
    let trust = Trust::new(&authority.ca, EDGE_NAME).map_err(|e| format!("certificate: {e}"))?;
    for person in &cast {
        add(&mut ues, person, &plane, &topology, &trust)?;
    }
    printer.head(&places(&plane, &core, &options.core));

    let began = std::time::Instant::now();
    let reports = scenario::run(&mut ues, &cast, scenario::ALL, |report| printer.flow(report));
    std::thread::sleep(SETTLE);
    let told: usize = reports.iter().map(|r| r.violations.len()).sum();
    let violations = ues.violations();
    printer.violations(violations.get(told..).unwrap_or_default());
    let passed = reports.iter().filter(|r| r.passed()).count();
    printer.summary(passed, reports.len(), violations.len(), began.elapsed());
    if options.keep {
        printer.note("leaving everything running; Ctrl-C ends it");
        printer.note(&format!("certificate authority: {}", directory.0.join("ca.pem").display()));
        // whoever connects by hand wants to check the certificate as well
        std::fs::write(directory.0.join("ca.pem"), &authority.ca).map_err(|e| format!("ca.pem: {e}"))?;
        wait_for_interrupt()?;
    }
    plane.stop();
    plane.join();
    Ok(passed == reports.len() && violations.is_empty())
}

/// The lab's own randomness need not be good, only different from run to run.
fn seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |d| d.as_micros() as u64)
}

fn configuration(
    core: SocketAddr,
    transport: &str,
    (certificate, key): &(PathBuf, PathBuf),
) -> Result<Config, String> {
    let mut text = format!(
        "[node]\nname = \"demo\"\nshards = 2\n[core]\nnext_hops = [\"sip:{core};transport={transport}\"]\n\
         domain = \"{DOMAIN}\"\n[registrar]\nvisited_network_id = \"{VISITED}\"\n\
         [realm.access]\nhost = \"{EDGE_NAME}\"\nmedia_address = \"{EDGE_ACCESS}\"\n\
         [realm.access.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n\
         [realm.core]\nhost = \"{EDGE_CORE}\"\nmedia_address = \"{EDGE_CORE}\"\n"
    );
    for (realm, protocol, ip, transports) in [
        ("access", "sip", EDGE_ACCESS, &["udp", "tcp", "tls"][..]),
        ("access", "msrp", EDGE_ACCESS, &["tcp", "tls"]),
        ("core", "sip", EDGE_CORE, &["udp", "tcp"]),
        ("core", "msrp", EDGE_CORE, &["tcp"]),
    ] {
        for transport in transports {
            let _ = write!(
                text,
                "[[realm.{realm}.{protocol}]]\nbind = \"{ip}:0\"\ntransport = \"{transport}\"\n"
            );
        }
    }
    Config::from_toml(&text, "demo.toml").map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ConfigError::to_string).collect();
        lines.join("\n")
    })
}

/// What both sides know of the edge, and what must not show.
fn facts() -> EdgeFacts {
    EdgeFacts {
        access_sip: vec![EDGE_NAME.to_owned()],
        access_media: vec![IpAddr::V4(EDGE_ACCESS)],
        core_sip: vec![EDGE_CORE.to_string()],
        core_media: vec![IpAddr::V4(EDGE_CORE)],
        visited_network_id: VISITED.to_owned(),
        hidden_from_ues: vec![EDGE_CORE.to_string(), CORE.to_string()],
        hidden_from_core: vec![CLAIMED.to_owned(), UES.to_string()],
    }
}

fn add(
    ues: &mut UeStand<'_>,
    person: &Person,
    plane: &Dataplane,
    topology: &Arc<Topology>,
    trust: &Trust,
) -> Result<(), String> {
    let edge = plane
        .address(Protocol::Sip, Realm::Access, person.transport)
        .ok_or_else(|| format!("the edge does not serve {}", person.transport))?;
    let mut settings = person.ue(edge);
    settings.topology = Arc::clone(topology);
    settings.seed = seed();
    ues.add(settings, IpAddr::V4(UES), Some(trust.clone())).map_err(|e| format!("{}: {e}", person.name))?;
    Ok(())
}

fn places(plane: &Dataplane, core: &CoreStand, transport: &str) -> Vec<(&'static str, String)> {
    let at = |protocol, transport| {
        let bound = plane.address(protocol, Realm::Access, transport);
        bound.map_or_else(|| "none".to_owned(), |a| a.to_string())
    };
    let (udp, tcp, tls) = (
        at(Protocol::Sip, Transport::Udp),
        at(Protocol::Sip, Transport::Tcp),
        at(Protocol::Sip, Transport::Tls),
    );
    let (msrp, msrps) = (at(Protocol::Msrp, Transport::Tcp), at(Protocol::Msrp, Transport::Tls));
    vec![
        ("edge", format!("SIP over UDP {udp}, TCP {tcp}, TLS {tls}; MSRP over TCP {msrp}, TLS {msrps}")),
        ("core", format!("SIP over {} {}; MSRP over TCP {}", transport.to_uppercase(), core.sip, core.msrp)),
        ("UEs", "alice (native, AKA, TLS), bob (app, TLS), carol (app, TCP), dave (app, UDP)".to_owned()),
    ]
}

fn wait_for_interrupt() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot wait: {e}"))?;
    runtime.block_on(tokio::signal::ctrl_c()).map_err(|e| format!("cannot wait: {e}"))
}

/// A directory of our own, gone when the demo ends.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("gatehouse-demo-{}", std::process::id()));
        create_private(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self(path))
    }
}

/// The private key in it is nobody else's business.
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

impl Drop for Directory {
    fn drop(&mut self) {
        // what is left in the temporary directory does no harm
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
