//! The relays that are compared, as processes with their streams set up.

use super::anchor::{self, Anchors, ports};
use super::load::Load;
use super::rtpengine::{self, Control};
use crate::msrp::process::Process;
use config::MediaIo;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use telemetry::Telemetry;

/// Who relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Us, by epoll.
    Epoll,
    /// Us, by io_uring.
    IoUring,
    /// Receives and sends, no more.
    Bare,
    /// Debian's.
    Rtpengine,
}

impl Kind {
    /// As the table names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Epoll => "Gatehouse",
            Self::IoUring => "Gatehouse, io_uring",
            Self::Bare => "bare relay",
            Self::Rtpengine => "rtpengine",
        }
    }
}

/// The argument that makes the bench a relay: `--relay KIND STREAMS srtp|rtp UE CORE`.
pub const RELAY: &str = "--relay";

/// Runs as the relay that the arguments behind [`RELAY`] name, until killed.
///
/// # Errors
/// If it cannot start.
pub fn serve(args: &[String]) -> io::Result<()> {
    let [kind, sessions, protection, ue, core] = args else {
        return Err(io::Error::other("usage: --relay KIND STREAMS srtp|rtp UE CORE"));
    };
    let host = host_of(kind);
    let sessions = sessions.parse().map_err(io::Error::other)?;
    let ends: [SocketAddr; 2] =
        [ue.parse().map_err(io::Error::other)?, core.parse().map_err(io::Error::other)?];
    dataplane::raise_descriptor_limit();
    if kind == "bare" {
        return super::bare::serve(host, sessions, ends);
    }
    let io = if kind == "io_uring" { MediaIo::IoUring } else { MediaIo::Epoll };
    let telemetry = Arc::new(Telemetry::default());
    let anchors = Anchors { host, sessions, is_secure: protection == "srtp", ue: ends[0], core: ends[1] };
    let plane = anchor::start(anchors, io, Arc::clone(&telemetry)).map_err(io::Error::other)?;
    let all = until(|| (anchor::open_sessions(&telemetry) == u64::from(sessions)).then_some(()));
    all.ok_or_else(|| io::Error::other("not all sessions could be opened"))?;
    println!("ready");
    plane.join();
    Ok(())
}

fn host_of(kind: &str) -> u8 {
    match kind {
        "bare" => 1,
        "io_uring" => 2,
        _ => 3,
    }
}

/// A relay process and the ends of its streams.
#[derive(Debug)]
pub struct Relay {
    /// The process.
    pub process: Process,
    /// Who.
    pub kind: Kind,
    /// Both ends of all streams.
    pub load: Load,
}

impl Relay {
    /// Starts one with so many streams; with `is_secure` UEs speak SRTP.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start(kind: Kind, streams: u32, is_secure: bool, directory: &Path) -> io::Result<Self> {
        let mut load = Load::new()?;
        let ends = load.ends()?;
        let log = directory.join(format!("{kind:?}-{streams}-{is_secure}.log"));
        if kind == Kind::Rtpengine {
            let control = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            let process = Process::start(rtpengine::command(control), &log)?;
            let mut control = Control::connect(control)?;
            for number in 0..streams {
                load.add(control.call(number, is_secure, ends)?, is_secure);
            }
            return Ok(Self { process, kind, load });
        }
        let mut command = Command::new(std::env::current_exe()?);
        let name = match kind {
            Kind::Bare => "bare",
            Kind::IoUring => "io_uring",
            Kind::Epoll | Kind::Rtpengine => "epoll",
        };
        command.args([RELAY, name, &streams.to_string(), if is_secure { "srtp" } else { "rtp" }]);
        command.args(ends.map(|end| end.to_string()));
        let process = Process::start(command, &log)?;
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        until(|| said().contains("ready").then_some(()))
            .ok_or_else(|| io::Error::other(format!("{kind:?} did not start: {}", said())))?;
        for number in 0..streams {
            load.add(ports(host_of(name), number), is_secure && kind != Kind::Bare);
        }
        Ok(Self { process, kind, load })
    }
}

/// Asks again and again for five seconds.
fn until<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        match ask() {
            Some(answer) => return Some(answer),
            None if Instant::now() > end => return None,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}
