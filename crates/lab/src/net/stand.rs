//! Core and UEs on loopback sockets, ready for the scripts of `scenario`.

use super::tls::Trust;
use super::{Host, Remote, Sockets};
use crate::core::{Core, CoreCounts, CoreSettings};
use crate::node::Violation;
use crate::scenario::{Driver, Person};
use crate::topology::Topology;
use crate::ue::{Command, Ue, UeEvent, UeSettings};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use wire::{Instant, Realm};

/// The core on its sockets.
#[derive(Debug)]
pub struct CoreStand {
    remote: Remote<Core>,
    /// Where it serves SIP, over UDP and TCP.
    pub sip: SocketAddr,
    /// Where it serves MSRP.
    pub msrp: SocketAddr,
}

impl CoreStand {
    /// Starts a core for these people on any free ports of `ip`.
    ///
    /// # Errors
    /// If no sockets can be had there.
    pub fn start(host: &Host, ip: IpAddr, domain: &str, people: &[Person], seed: u64) -> io::Result<Self> {
        let (udp, tcp) = udp_and_tcp(ip)?;
        let media = TcpListener::bind((ip, 0))?;
        let (sip, msrp) = (udp.local_addr()?, media.local_addr()?);
        let mut settings = CoreSettings::new(domain, sip, msrp);
        settings.subscribers = people.iter().map(Person::subscriber).collect();
        settings.seed = seed;
        let sockets =
            Sockets { realm: Realm::Core, ip, udp: Some(udp), listeners: vec![tcp, media], tls: None };
        let remote = host.run(Core::new(settings), sockets, |_| {})?;
        Ok(Self { remote, sip, msrp })
    }

    /// Tells the core what to hold the edge to.
    pub fn set_topology(&self, topology: Arc<Topology>) {
        self.remote.order(move |core, _, _| core.set_topology(topology));
    }

    /// What it received that it must never receive.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.remote.ask(|core| core.violations().to_vec()).unwrap_or_default()
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> CoreCounts {
        self.remote.ask(|core| core.counts()).unwrap_or_default()
    }
}

/// UDP and TCP on the same free port.
fn udp_and_tcp(ip: IpAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = io::Error::other("no port was tried");
    for _ in 0..50 {
        let tcp = TcpListener::bind((ip, 0))?;
        match UdpSocket::bind(tcp.local_addr()?) {
            Ok(udp) => return Ok((udp, tcp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// UEs on their sockets, and the core they speak to in the end: a driver for `scenario`.
#[derive(Debug)]
pub struct UeStand<'a> {
    host: &'a Host,
    core: &'a CoreStand,
    ues: Vec<Remote<Ue>>,
    events: Receiver<(usize, UeEvent)>,
    teller: Sender<(usize, UeEvent)>,
}

impl<'a> UeStand<'a> {
    /// No UEs yet.
    #[must_use]
    pub fn new(host: &'a Host, core: &'a CoreStand) -> Self {
        let (teller, events) = channel();
        Self { host, core, ues: Vec::new(), events, teller }
    }

    /// Switches a UE on, with sockets on `ip`; returns its index.
    ///
    /// # Errors
    /// If no sockets can be had there.
    pub fn add(&mut self, settings: UeSettings, ip: IpAddr, tls: Option<Trust>) -> io::Result<usize> {
        let index = self.ues.len();
        let sockets = Sockets {
            realm: Realm::Access,
            ip,
            udp: Some(UdpSocket::bind((ip, 0))?),
            listeners: Vec::new(),
            tls,
        };
        let teller = self.teller.clone();
        let tell = move |ue: &mut Ue| {
            while let Some(event) = ue.next_event() {
                // the script has ended: nobody listens
                let _ = teller.send((index, event));
            }
        };
        self.ues.push(self.host.run(Ue::new(settings), sockets, tell)?);
        Ok(index)
    }
}

impl Driver for UeStand<'_> {
    fn now(&mut self) -> Instant {
        self.host.now()
    }

    fn command(&mut self, ue: usize, command: Command) {
        if let Some(remote) = self.ues.get(ue) {
            remote.order(move |ue, now, out| ue.command(command, now, out));
        }
    }

    fn next_event(&mut self, within: Duration) -> Option<(usize, UeEvent)> {
        self.events.recv_timeout(within).ok()
    }

    fn violations(&mut self) -> Vec<Violation> {
        let ues = self.ues.iter().filter_map(|ue| ue.ask(|ue| ue.violations().to_vec()));
        let mut all = self.core.violations();
        all.extend(ues.flatten());
        all
    }
}
