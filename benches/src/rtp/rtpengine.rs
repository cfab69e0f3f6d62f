//! Debian's rtpengine in user space, driven by its control protocol.

use super::anchor::key;
use rtp::sdes::Crypto;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Where it is installed.
pub const PROGRAM: &str = "/usr/bin/rtpengine";

/// The command that starts it: one thread, because it gets one core.
#[must_use]
pub fn command(control: SocketAddr) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--table=-1", "--interface=127.0.0.1", "--foreground", "--log-stderr", "--log-level=3"]);
    command.args(["--num-threads=1", "--port-min=10000", "--port-max=50000", "--config-file=none"]);
    command.arg(format!("--listen-ng={control}"));
    command
}

/// Whether its program is here.
#[must_use]
pub fn is_installed() -> bool {
    Path::new(PROGRAM).exists()
}

/// Its control socket.
#[derive(Debug)]
pub struct Control {
    socket: UdpSocket,
    asked: u32,
}

impl Control {
    /// Waits until it answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(Duration::from_millis(300)))?;
        let mut control = Self { socket, asked: 0 };
        for _ in 0..20 {
            if control.ask(&[("command", "ping")]).is_ok_and(|answer| answer.contains("pong")) {
                control.socket.set_read_timeout(Some(Duration::from_secs(3)))?;
                return Ok(control);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(io::Error::other("rtpengine does not answer"))
    }

    /// Sets up stream `number`; where it is relayed: the UE's side, the core's side.
    ///
    /// # Errors
    /// If it refuses.
    pub fn call(
        &mut self,
        number: u32,
        is_secure: bool,
        ends: [SocketAddr; 2],
    ) -> io::Result<[SocketAddr; 2]> {
        let id = format!("call-{number}@ue.example");
        let by =
            |command| [("call-id", id.as_str()), ("from-tag", "ue"), ("ICE", "remove"), ("command", command)];
        let offer = sdp(ends[0], is_secure);
        let mut offered = by("offer").to_vec();
        offered.extend([("sdp", offer.as_str()), ("transport-protocol", "RTP/AVP")]);
        let core_side = port(&self.ask(&offered)?)?;
        let answer = sdp(ends[1], false);
        let mut answered = by("answer").to_vec();
        answered.extend([("to-tag", "core"), ("sdp", answer.as_str())]);
        let ue_side = port(&self.ask(&answered)?)?;
        Ok([ue_side, core_side].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }

    /// A dictionary of strings there, and what comes back.
    fn ask(&mut self, pairs: &[(&str, &str)]) -> io::Result<String> {
        self.asked += 1;
        let mut sorted = pairs.to_vec();
        sorted.sort_unstable();
        let mut text = format!("{} d", self.asked);
        for (name, value) in sorted {
            let _ = write!(text, "{}:{name}{}:{value}", name.len(), value.len());
        }
        text.push('e');
        self.socket.send(text.as_bytes())?;
        let mut answer = vec![0; 65_536];
        loop {
            let len = self.socket.recv(&mut answer)?;
            let answer = String::from_utf8_lossy(&answer[..len]).into_owned();
            // Answers to attempts that were given up may come late.
            if let Some(answer) = answer.strip_prefix(&format!("{} ", self.asked)) {
                return match answer.contains("6:result5:error") {
                    true => Err(io::Error::other(format!("rtpengine: {answer}"))),
                    false => Ok(answer.to_owned()),
                };
            }
        }
    }
}

fn sdp(end: SocketAddr, is_secure: bool) -> String {
    let profile = if is_secure { "RTP/SAVP" } else { "RTP/AVP" };
    let mut text = format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} {profile} 8\r\n\
         a=rtpmap:8 PCMA/8000\r\na=sendrecv\r\n",
        ip = end.ip(),
        port = end.port()
    );
    if is_secure {
        let mut crypto = Vec::new();
        Crypto { tag: 1, key: key(true), lifetime_packets: None }.write(&mut crypto);
        let _ = write!(text, "a=crypto:{}\r\n", String::from_utf8_lossy(&crypto));
    }
    text
}

fn port(answer: &str) -> io::Result<u16> {
    let port = answer.split("m=audio ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    port.ok_or_else(|| io::Error::other(format!("no port in {answer}")))
}
