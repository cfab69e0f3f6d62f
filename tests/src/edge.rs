//! The edge's own binary under test.

use crate::certificate::Certificate;
use crate::place::Place;
use crate::process::Process;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// A running `gatehouse serve` with two shards, between UEs and one core.
#[derive(Debug)]
pub struct Edge {
    process: Process,
    access: IpAddr,
    core: IpAddr,
}

const ADMIN_PORT: u16 = 9080;

/// What a test may want different.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// Over what the core is reached: `udp` or `tcp`.
    pub next_hop_transport: &'a str,
    /// Listeners besides those on the edge's own address.
    pub more_listeners: &'a str,
    /// Sections at the end of the configuration.
    pub sections: &'a str,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self { next_hop_transport: "udp", more_listeners: "", sections: "" }
    }
}

impl Edge {
    /// Starts it on two fresh addresses, with `next_hop` (over UDP) as its core.
    ///
    /// # Panics
    /// If it cannot be built or does not start.
    #[must_use]
    pub fn start(place: &Place, next_hop: SocketAddr) -> Self {
        Self::start_with(place, next_hop, Settings::default())
    }

    /// The same, and on the IPv6 loopback address as well.
    ///
    /// # Panics
    /// Also if the machine has no such address.
    #[must_use]
    pub fn start_with_v6(place: &Place, next_hop: SocketAddr) -> Self {
        let probe = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0));
        assert!(probe.is_ok(), "IPv6 is switched off here (sysctl net.ipv6.conf.lo.disable_ipv6): {probe:?}");
        Self::start_with(place, next_hop, Settings { more_listeners: V6_LISTENERS, ..Settings::default() })
    }

    /// Starts it with settings of the test's own.
    ///
    /// # Panics
    /// If it cannot be built or does not start.
    #[must_use]
    pub fn start_with(place: &Place, next_hop: SocketAddr, settings: Settings<'_>) -> Self {
        let (access, core) = (place.address(), place.address());
        let certificate = Certificate::for_address(place, "edge", access);
        let config = config(access, core, &certificate, next_hop, settings);
        let config = place.write("gatehouse.toml", config).to_string_lossy().into_owned();
        let args = ["serve", "--config", &config];
        let mut process = Process::start(binary(), &args, place.file("gatehouse.log"));
        for port in [5060, 5061, ADMIN_PORT] {
            let at = SocketAddr::new(access, port);
            process.wait_output(&format!("listener at {at}"), |_| TcpStream::connect(at).ok());
        }
        // It listens before it has said so, and tests read its log.
        process.wait_for("in service");
        Self { process, access, core }
    }

    /// Where UEs reach it over a transport: `udp`, `tcp` or `tls`.
    #[must_use]
    pub fn access(&self, transport: &str) -> SocketAddr {
        SocketAddr::new(self.access, if transport == "tls" { 5061 } else { 5060 })
    }

    /// Where UEs reach it over IPv6; there the ports are free ones, read from its log.
    ///
    /// # Panics
    /// If its log does not tell.
    #[must_use]
    pub fn access_v6(&self, transport: &str) -> SocketAddr {
        let log = self.process.output();
        let line = format!("protocol=Sip realm=\"access\" transport={transport} address=[::1]");
        let port = log.lines().find_map(|l| l.split_once(&line)?.1.strip_prefix(':')?.parse().ok());
        SocketAddr::new(
            IpAddr::V6(Ipv6Addr::LOCALHOST),
            port.unwrap_or_else(|| panic!("no {line} in\n{log}")),
        )
    }

    /// The address that UEs see in messages.
    #[must_use]
    pub fn access_address(&self) -> IpAddr {
        self.access
    }

    /// The address that the core sees in messages.
    #[must_use]
    pub fn core_address(&self) -> IpAddr {
        self.core
    }

    /// Its metrics as exported text.
    ///
    /// # Panics
    /// If it does not export them.
    #[must_use]
    pub fn metrics(&self) -> String {
        let at = SocketAddr::new(self.access, ADMIN_PORT);
        let mut stream = TcpStream::connect(at).expect("the admin port is open");
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the admin port reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("metrics are text");
        text
    }

    /// The process, for its log and for signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Nobody waits for the drain of a test's edge: the process is told to stop once here and, as it is dropped,
/// once more.
impl Drop for Edge {
    fn drop(&mut self) {
        self.process.signal(rustix::process::Signal::TERM);
        // Two signals of one kind at the same time are one.
        std::thread::sleep(Duration::from_millis(50));
    }
}

const V6_LISTENERS: &str = "{ bind = \"[::1]:0\", transport = \"udp\" },\n\
    { bind = \"[::1]:0\", transport = \"tcp\" },\n\
    { bind = \"[::1]:0\", transport = \"tls\" },\n";

fn config(
    access: IpAddr,
    core: IpAddr,
    certificate: &Certificate,
    next_hop: SocketAddr,
    settings: Settings<'_>,
) -> String {
    let Settings { next_hop_transport, more_listeners, sections } = settings;
    let (pem, key) = (certificate.certificate.display(), certificate.key.display());
    format!(
        "[node]\n\
         shards = 2\n\
         [log]\n\
         level = \"debug\"\n\
         [admin]\n\
         listen = \"{access}:{ADMIN_PORT}\"\n\
         [realm.access]\n\
         host = \"{access}\"\n\
         media_address = \"{access}\"\n\
         sip = [\n\
           {{ bind = \"{access}:5060\", transport = \"udp\" }},\n\
           {{ bind = \"{access}:5060\", transport = \"tcp\" }},\n\
           {{ bind = \"{access}:5061\", transport = \"tls\" }},\n\
           {more_listeners}\n\
         ]\n\
         msrp = [{{ bind = \"{access}:2855\", transport = \"tcp\" }}]\n\
         tls = {{ certificate = \"{pem}\", key = \"{key}\" }}\n\
         [realm.core]\n\
         host = \"{core}\"\n\
         media_address = \"{core}\"\n\
         sip = [\n\
           {{ bind = \"{core}:5060\", transport = \"udp\" }},\n\
           {{ bind = \"{core}:5060\", transport = \"tcp\" }},\n\
         ]\n\
         msrp = [{{ bind = \"{core}:2855\", transport = \"tcp\" }}]\n\
         [core]\n\
         next_hops = [\"sip:{next_hop};transport={next_hop_transport}\"]\n\
         domain = \"ims.example.net\"\n\
         {sections}"
    )
}

/// The binary: `GATEHOUSE_BIN` if set, else built once with the profile of the tests.
///
/// # Panics
/// If the build fails.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("GATEHOUSE_BIN") {
        Some(path) => path.into(),
        None => build(),
    })
}

/// Tests run without the build lock, so cargo may be asked from inside; if all is fresh it is quick.
fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--profile", "test", "--package", "gatehouse", "--bin", "gatehouse"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    let built = status.as_ref().is_ok_and(std::process::ExitStatus::success);
    assert!(built, "cargo build --package gatehouse: {status:?}");
    let test = std::env::current_exe().expect("a test has a path");
    // target/debug/deps/it-0123456789abcdef -> target/debug/gatehouse
    let directory = test.parent().and_then(Path::parent).expect("tests live two levels down");
    directory.join("gatehouse")
}
