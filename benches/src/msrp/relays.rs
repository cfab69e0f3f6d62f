//! The relays that are compared, as processes on free ports of the loopback.

use super::anchor::{self, access_path, core_path, ue_path};
use super::link::Ue;
use super::process::Process;
use super::traffic::Session;
use rustls::ClientConfig;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::Transport;

/// Who relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Us.
    Gatehouse,
    /// Reads and writes only.
    Bare,
    /// HAProxy, `mode tcp`, no splice.
    Haproxy,
    /// Kamailio with its `msrp` module (RFC 4976).
    Kamailio,
}

impl Kind {
    /// As the table names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gatehouse => "Gatehouse",
            Self::Bare => "bare relay",
            Self::Haproxy => "HAProxy",
            Self::Kamailio => "Kamailio msrp",
        }
    }

    /// Whether its program is here.
    #[must_use]
    pub fn is_installed(self) -> bool {
        match self {
            Self::Gatehouse | Self::Bare => true,
            Self::Haproxy => Path::new("/usr/sbin/haproxy").exists(),
            Self::Kamailio => Path::new("/usr/sbin/kamailio").exists(),
        }
    }
}

/// Where files go, and how UEs speak.
#[derive(Debug)]
pub struct Place {
    /// For configurations, certificates and what the relays print.
    pub directory: PathBuf,
    /// Of UEs over TLS.
    pub tls: Arc<ClientConfig>,
}

/// The argument that makes the bench a relay: `--relay NAME SESSIONS tcp|tls CORE DIRECTORY`.
pub const RELAY: &str = "--relay";

/// Runs as the relay that the arguments behind [`RELAY`] name, until killed.
///
/// # Errors
/// If it cannot start.
pub fn serve(args: &[String]) -> io::Result<()> {
    let [name, sessions, access, core, directory] = args else {
        return Err(io::Error::other("usage: --relay NAME SESSIONS tcp|tls CORE DIRECTORY"));
    };
    let core: SocketAddr = core.parse().map_err(io::Error::other)?;
    if name == "bare" {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        println!("ready {}", listener.local_addr()?);
        return super::bare::serve(&listener, core);
    }
    let sessions = sessions.parse().map_err(io::Error::other)?;
    let access = if access == "tls" { Transport::Tls } else { Transport::Tcp };
    let tls = (access == Transport::Tls).then_some(Path::new(directory));
    let plane = anchor::start(anchor::Anchors { sessions, access, core }, tls, Arc::default())
        .map_err(|error| io::Error::other(error.to_string()))?;
    let address = anchor::access_address(&plane, access).ok_or(io::ErrorKind::AddrNotAvailable)?;
    println!("ready {address}");
    plane.join();
    Ok(())
}

/// A relay process and the listener it relays to.
#[derive(Debug)]
pub struct Relay {
    /// The process.
    pub process: Process,
    /// Who.
    pub kind: Kind,
    access: Transport,
    address: SocketAddr,
    core: TcpListener,
}

impl Relay {
    /// Starts one; ours opens `sessions` sessions.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start(kind: Kind, access: Transport, sessions: u32, place: &Place) -> io::Result<Self> {
        let core = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let core_address = core.local_addr()?;
        let name = format!("{kind:?}-{access:?}-{}", core_address.port());
        let log = place.directory.join(format!("{name}.log"));
        let own = |name: &str| -> io::Result<Command> {
            let mut command = Command::new(std::env::current_exe()?);
            command.args([RELAY, name, &sessions.to_string(), access.label()]);
            command.arg(core_address.to_string()).arg(&place.directory);
            Ok(command)
        };
        let config = place.directory.join(format!("{name}.cfg"));
        let (command, address) = match kind {
            Kind::Gatehouse => (own("gatehouse")?, None),
            Kind::Bare => (own("bare")?, None),
            Kind::Haproxy => {
                let address = free_address()?;
                std::fs::write(&config, haproxy(address, access, core_address, &place.directory))?;
                let mut command = Command::new("/usr/sbin/haproxy");
                command.arg("-db").arg("-f").arg(&config);
                (command, Some(address))
            }
            Kind::Kamailio => {
                let address = free_address()?;
                std::fs::write(&config, kamailio(address))?;
                let mut command = Command::new("/usr/sbin/kamailio");
                command.args(["-DD", "-E", "-m", "64", "-M", "16", "-f"]).arg(&config);
                command.arg("-Y").arg(&place.directory);
                (command, Some(address))
            }
        };
        let process = Process::start(command, &log)?;
        let address = match address {
            Some(address) => until(|| TcpStream::connect(address).ok().map(|_| address)),
            None => until(|| {
                let text = std::fs::read_to_string(&log).ok()?;
                text.lines().find_map(|line| line.strip_prefix("ready ")?.parse().ok())
            }),
        };
        let address = address.ok_or_else(|| {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            io::Error::other(format!("{name} did not start: {text}"))
        })?;
        let relay = Self { process, kind, access, address, core };
        if kind == Kind::Haproxy && access == Transport::Tcp {
            relay.accept()?; // what it made of the probe
        }
        Ok(relay)
    }

    /// Where UEs connect to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection that reached the core end.
    ///
    /// # Errors
    /// If none comes.
    pub fn accept(&self) -> io::Result<TcpStream> {
        self.core.set_nonblocking(true)?;
        until(|| self.core.accept().ok())
            .map(|(socket, _)| socket)
            .ok_or_else(|| io::Error::other(format!("{} did not connect", self.kind.name())))
    }

    /// To-Path and From-Path of the requests of UE `number`.
    ///
    /// # Errors
    /// If the listener is gone.
    pub fn paths(&self, number: u32) -> io::Result<(String, String)> {
        let core = core_path(self.core.local_addr()?, number);
        let to = match self.kind {
            Kind::Gatehouse => access_path(self.access, self.address, number),
            Kind::Bare | Kind::Haproxy => core,
            Kind::Kamailio => format!("msrp://{}/relay;tcp {core}", self.address),
        };
        Ok((to, ue_path(self.access, number)))
    }

    /// Connects both ends of the first session.
    ///
    /// # Errors
    /// If one does not come up.
    pub fn session(&self, place: &Place) -> io::Result<Session> {
        let tls = (self.access == Transport::Tls).then_some(&place.tls);
        // Ours dials when the session is ordered, the others when a UE connects, Kamailio when it sends.
        let before = (self.kind == Kind::Gatehouse).then(|| self.accept()).transpose()?;
        let mut ue = Ue::connect(self.address, tls)?;
        let (to, from) = self.paths(0)?;
        if self.kind == Kind::Kamailio {
            let end = "-------first000$\r\n";
            let hello =
                format!("MSRP first000 SEND\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\nMessage-ID: 1\r\n{end}");
            ue.write(hello.as_bytes())?;
            let mut core = self.accept()?;
            core.set_read_timeout(Some(Duration::from_secs(3)))?;
            read_until(|part| io::Read::read(&mut core, part), end)?;
            read_until(|part| ue.read(part), end)?;
            return Session::new(ue, core, to, from);
        }
        let core = before.map_or_else(|| self.accept(), Ok)?;
        Session::new(ue, core, to, from)
    }
}

fn read_until(mut read: impl FnMut(&mut [u8]) -> io::Result<usize>, end: &str) -> io::Result<()> {
    let (mut all, mut part) = (Vec::new(), [0; 4_096]);
    let came = until(|| {
        let count = read(&mut part).ok()?;
        all.extend_from_slice(&part[..count]);
        all.ends_with(end.as_bytes()).then_some(())
    });
    came.ok_or_else(|| io::Error::other(format!("no end-line in {}", String::from_utf8_lossy(&all))))
}

/// Asks again and again for three seconds.
fn until<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + Duration::from_secs(3);
    loop {
        match ask() {
            Some(answer) => return Some(answer),
            None if Instant::now() > end => return None,
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn haproxy(address: SocketAddr, access: Transport, core: SocketAddr, directory: &Path) -> String {
    let tls = match access {
        Transport::Tls => format!(" ssl crt {}", directory.join("both.pem").display()),
        _ => String::new(),
    };
    // `nosplice` is the default of `mode tcp`; kept in words because it is what is compared with.
    format!(
        "global\n nbthread 1\n maxconn 2000\n nosplice\n\
         defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n\
         frontend ue\n bind {address}{tls}\n default_backend core\n\
         backend core\n server core {core}\n"
    )
}

/// A relay that answers each SEND hop by hop and passes it on to the next URI of To-Path, as the
/// module's manual has it. The read buffer holds a whole frame: the module relays no part of one.
fn kamailio(address: SocketAddr) -> String {
    let mut text = String::from("#!KAMAILIO\n");
    let settings = [
        "debug=0",
        "log_stderror=yes",
        "children=1",
        "tcp_children=1",
        "auto_aliases=no",
        "disable_core_dump=yes",
        "tcp_accept_no_cl=yes",
        "tcp_connection_lifetime=3605",
        "tcp_rd_buf_size=131072",
        "tcp_max_connections=1024",
        "tcp_send_timeout=5",
        "enable_tls=no",
    ];
    settings.iter().for_each(|line| text.push_str(&format!("{line}\n")));
    let _ = write!(
        text,
        "listen=tcp:{address}\n\
         loadmodule \"/usr/lib/x86_64-linux-gnu/kamailio/modules/sl.so\"\n\
         loadmodule \"/usr/lib/x86_64-linux-gnu/kamailio/modules/pv.so\"\n\
         loadmodule \"/usr/lib/x86_64-linux-gnu/kamailio/modules/msrp.so\"\n\
         request_route {{ sl_send_reply(\"403\", \"No SIP here\"); exit; }}\n\
         event_route[msrp:frame-in] {{\n\
           msrp_reply_flags(\"1\");\n\
           if (msrp_is_reply()) {{ exit; }}\n\
           if ($msrp(method) == \"SEND\") {{ msrp_reply(\"200\", \"OK\"); }}\n\
           msrp_relay();\n\
         }}\n"
    );
    text
}
