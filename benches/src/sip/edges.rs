//! The edges that are compared, as processes on one core, all in front of the same answering core.

use config::Config;
use dataplane::{Dataplane, Gatehouse};
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::Transport;

/// Who stands between UEs and core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Us.
    Gatehouse,
    /// Kamailio with the allocator that serves it best, TLSF.
    Kamailio,
    /// HAProxy, which passes bytes and looks at none.
    Haproxy,
}

impl Kind {
    /// As the table names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gatehouse => "Gatehouse",
            Self::Kamailio => "Kamailio tlsf",
            Self::Haproxy => "HAProxy tcp",
        }
    }

    /// Whether its program is here.
    #[must_use]
    pub fn is_installed(self) -> bool {
        match self {
            Self::Gatehouse => true,
            Self::Kamailio => Path::new(KAMAILIO).exists(),
            Self::Haproxy => Path::new(HAPROXY).exists(),
        }
    }
}

const KAMAILIO: &str = "/usr/sbin/kamailio";
const HAPROXY: &str = "/usr/sbin/haproxy";

/// The argument that makes the bench an edge: `--edge CONFIG`.
pub const EDGE: &str = "--edge";

/// Runs as our edge with the configuration in `file`, until killed.
///
/// # Errors
/// If it cannot start.
pub fn serve(file: &str) -> io::Result<()> {
    let (config, _) =
        Config::load(Path::new(file)).map_err(|errors| io::Error::other(format!("{errors:?}")))?;
    dataplane::raise_descriptor_limit();
    let plane = Dataplane::start_with(Arc::new(config), Arc::default(), Gatehouse);
    plane.map_err(|error| io::Error::other(error.to_string()))?.join();
    Ok(())
}

/// A running edge; ends with this value.
#[derive(Debug)]
pub struct Edge {
    /// Who.
    pub kind: Kind,
    child: Child,
    address: SocketAddr,
    tls: SocketAddr,
}

/// Where edges run and what they lead to.
#[derive(Debug)]
pub struct Place<'a> {
    /// For configurations, certificates and what the edges print.
    pub directory: &'a Path,
    /// The answering core.
    pub core: SocketAddr,
    /// How the edge reaches it.
    pub core_transport: Transport,
    /// The processor the edge may use.
    pub processor: usize,
}

impl Edge {
    /// Starts one; it serves UDP and TCP on one port and TLS on another.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start(kind: Kind, place: &Place<'_>) -> io::Result<Self> {
        let (address, tls) = (free_address()?, free_address()?);
        let name = format!("{kind:?}-{}", place.core_transport.label());
        let file = place.directory.join(format!("{name}.cfg"));
        let mut arguments: Vec<String> = Vec::new();
        let text = match kind {
            Kind::Gatehouse => {
                let program = std::env::current_exe()?;
                arguments.extend([
                    program.display().to_string(),
                    EDGE.to_owned(),
                    file.display().to_string(),
                ]);
                gatehouse(address, tls, place)?
            }
            Kind::Kamailio => {
                arguments.extend(kamailio(address, tls, &file, place));
                include_str!("kamailio.cfg").to_owned()
            }
            Kind::Haproxy => {
                let words = [HAPROXY, "-db", "-f"].map(str::to_owned);
                arguments.extend(words);
                arguments.push(file.display().to_string());
                haproxy(address, tls, place)
            }
        };
        std::fs::write(&file, text)?;
        let log: PathBuf = place.directory.join(format!("{name}.log"));
        let out = std::fs::File::create(&log)?;
        let child = Command::new("taskset")
            .args(["-c", &place.processor.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        let edge = Self { kind, child, address, tls };
        let end = Instant::now() + Duration::from_secs(10);
        for at in [address, tls] {
            while TcpStream::connect(at).is_err() {
                if Instant::now() > end {
                    let said = std::fs::read_to_string(&log).unwrap_or_default();
                    return Err(io::Error::other(format!("{} did not start: {said}", kind.name())));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(edge)
    }

    /// Where UEs reach it.
    #[must_use]
    pub const fn address(&self, transport: Transport) -> SocketAddr {
        match transport {
            Transport::Tls => self.tls,
            _ => self.address,
        }
    }

    /// Its process; `taskset` has become it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // SIGTERM, so that a parent of workers ends them too.
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn gatehouse(address: SocketAddr, tls: SocketAddr, place: &Place<'_>) -> io::Result<String> {
    let (directory, core) = (place.directory, place.core);
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    let own = free_address()?;
    let mut text = format!(
        "[node]\nshards = 1\n[core]\ndomain = \"ims.example.net\"\n\
         next_hops = [\"sip:{core};transport={}\"]\n\
         [limits]\ntransactions_max = 1000000\nconnections_per_source_max = 100000\n\
         [realm.access.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n",
        place.core_transport.label()
    );
    for (realm, listeners) in [
        ("access", vec![(address, "udp"), (address, "tcp"), (tls, "tls")]),
        ("core", vec![(own, "udp"), (own, "tcp")]),
    ] {
        for (bind, transport) in listeners {
            let _ = write!(text, "[[realm.{realm}.sip]]\nbind = \"{bind}\"\ntransport = \"{transport}\"\n");
        }
        let _ = write!(text, "[[realm.{realm}.msrp]]\nbind = \"127.0.0.1:0\"\ntransport = \"tcp\"\n");
    }
    Ok(text)
}

fn kamailio(address: SocketAddr, tls: SocketAddr, file: &Path, place: &Place<'_>) -> Vec<String> {
    let quoted = |path: PathBuf| format!("\"{}\"", path.display());
    let core = format!("\"sip:{};transport={}\"", place.core, place.core_transport.label());
    let defines = [
        format!("LISTEN_UDP=udp:{address}"),
        format!("LISTEN_TCP=tcp:{address}"),
        format!("LISTEN_TLS=tls:{tls}"),
        "WITH_TLS=yes".to_owned(),
        format!("CERTIFICATE={}", quoted(place.directory.join("cert.pem"))),
        format!("KEY={}", quoted(place.directory.join("key.pem"))),
        format!("CORE={core}"),
    ];
    let mut arguments: Vec<String> =
        [KAMAILIO, "-DD", "-E", "-x", "tlsf", "-X", "tlsf", "-m", "1024", "-M", "32"]
            .map(str::to_owned)
            .into();
    for define in defines {
        arguments.extend(["-A".to_owned(), define]);
    }
    arguments.extend(["-Y".to_owned(), place.directory.display().to_string()]);
    arguments.extend(["-f".to_owned(), file.display().to_string()]);
    arguments
}

fn haproxy(address: SocketAddr, tls: SocketAddr, place: &Place<'_>) -> String {
    let (both, core) = (place.directory.join("both.pem"), place.core);
    format!(
        "global\n nbthread 1\n maxconn 20000\n nosplice\n\
         defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n\
         frontend ue\n bind {address}\n bind {tls} ssl crt {both}\n default_backend core\n\
         backend core\n server core {core}\n",
        both = both.display()
    )
}
