//! The UEs of one thread on their sockets.

use super::stream::{Incoming, Stream};
use super::{Alarm, Clock};
use crate::plan::Plan;
use crate::series::Series;
use crate::ues::{Action, ConnId, Outbox, Ues};
use mio::net::{TcpStream, UdpSocket};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use wire::Transport;

const ALARM: Token = Token(usize::MAX - 1);

/// Through which a run steers its threads and looks at them.
#[derive(Debug, Default)]
pub struct Handle {
    stage: AtomicU8,
    /// Work begun and not ended.
    pub in_flight: AtomicU64,
    /// Users registered.
    pub registered: AtomicU64,
    /// Work done well since the start.
    pub done: AtomicU64,
    /// Work that failed.
    pub failed: AtomicU64,
    set_up: AtomicBool,
}

const SETUP: u8 = 0;
const LOAD: u8 = 1;
const END: u8 = 2;

impl Handle {
    /// Lets the load begin.
    pub fn begin(&self) {
        self.stage.store(LOAD, Ordering::Relaxed);
    }

    /// Ends the thread.
    pub fn end(&self) {
        self.stage.store(END, Ordering::Relaxed);
    }

    /// Whether connections and registrations stand.
    #[must_use]
    pub fn is_set_up(&self) -> bool {
        self.set_up.load(Ordering::Relaxed)
    }
}

enum Socket {
    Udp(UdpSocket),
    Stream(Box<Stream>, Readiness),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Readiness {
    Opening,
    Open,
}

struct Side {
    poll: Poll,
    sockets: Vec<Option<Socket>>,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    ues: Ues,
    clock: Clock,
    buffer: Vec<u8>,
}

/// Runs UEs until the handle says so, and returns what they saw.
///
/// # Errors
/// If the system gives no sockets at all; a single connection that fails is part of the figures.
pub fn drive(
    plan: Plan,
    first_user: u64,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    clock: Clock,
    handle: &Handle,
) -> io::Result<Series> {
    let poll = Poll::new()?;
    let alarm = Alarm::new()?;
    poll.registry().register(&mut SourceFd(&alarm.0.as_raw_fd()), ALARM, Interest::READABLE)?;
    let ues = Ues::new(plan, first_user, clock.now());
    let mut side = Side { poll, sockets: Vec::new(), tls, ues, clock, buffer: vec![0; 65_536] };
    let mut out = Outbox::default();
    side.ues.start(&mut out);
    side.act(&mut out)?;
    let mut events = Events::with_capacity(4_096);
    let mut stage = SETUP;
    loop {
        let now = clock.now();
        if stage == SETUP && side.ues.is_set_up() {
            handle.set_up.store(true, Ordering::Relaxed);
        }
        match handle.stage.load(Ordering::Relaxed) {
            LOAD if stage == SETUP => {
                stage = LOAD;
                side.ues.begin(now);
            }
            END => break,
            _ => {}
        }
        side.ues.handle_deadline(now, &mut out);
        side.act(&mut out)?;
        handle.in_flight.store(side.ues.in_flight() as u64, Ordering::Relaxed);
        // The handle is looked at ten times a second even if nothing happens.
        let wait = side.ues.next_deadline().map_or(100_000, |at| at.since(clock.now()).as_micros() as u64);
        if wait > 0 {
            alarm.set(wait.min(100_000))?;
            match side.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
        } else {
            side.poll.poll(&mut events, Some(std::time::Duration::ZERO))?;
        }
        for event in &events {
            if event.token() == ALARM {
                let mut count = [0; 8];
                let _ = rustix::io::read(&alarm.0, &mut count);
                continue;
            }
            side.ready(event.token().0, &mut out);
            side.act(&mut out)?;
        }
        if !events.is_empty() {
            side.publish(handle);
        }
    }
    Ok(side.ues.finish(clock.now()))
}

impl Side {
    fn publish(&self, handle: &Handle) {
        let totals = self.ues.totals();
        handle.done.store(totals.0, Ordering::Relaxed);
        handle.failed.store(totals.1, Ordering::Relaxed);
        handle.registered.store(self.ues.registered() as u64, Ordering::Relaxed);
    }

    fn act(&mut self, out: &mut Outbox) -> io::Result<()> {
        let mut at = 0;
        // Closing and opening may lead to more actions.
        while let Some(action) = out.actions.get(at).cloned() {
            at += 1;
            match action {
                Action::Open(conn) => self.open(conn, out)?,
                Action::Send(conn, range) => {
                    let bytes = out.bytes.get(range).unwrap_or_default();
                    let failed = match self.sockets.get_mut(conn as usize).and_then(Option::as_mut) {
                        Some(Socket::Udp(socket)) => is_broken(&socket.send(bytes)),
                        Some(Socket::Stream(stream, _)) => stream.send(bytes).is_err(),
                        None => false,
                    };
                    if failed {
                        self.lost(conn, out);
                    }
                }
                Action::Close(conn) => {
                    if let Some(socket) = self.sockets.get_mut(conn as usize) {
                        *socket = None;
                    }
                }
            }
        }
        out.actions.clear();
        out.bytes.clear();
        Ok(())
    }

    fn lost(&mut self, conn: ConnId, out: &mut Outbox) {
        if let Some(socket) = self.sockets.get_mut(conn as usize) {
            *socket = None;
        }
        self.ues.handle_closed(conn, self.clock.now(), out);
    }

    fn open(&mut self, conn: ConnId, out: &mut Outbox) -> io::Result<()> {
        let plan = self.ues.plan();
        let source = plan.sources.get(conn as usize % plan.sources.len().max(1)).copied();
        let (target, transport) = (plan.target, plan.transport);
        let at = conn as usize;
        if at >= self.sockets.len() {
            self.sockets.resize_with(at + 1, || None);
        }
        let local = source.map(|ip| SocketAddr::new(ip, 0));
        let socket = match self.socket(transport, local, target) {
            Ok(socket) => socket,
            // The far end is away or ports ran out: figures, not the end of the run.
            Err(_) => {
                if (conn as usize) >= self.ues.plan().connections as usize {
                    self.ues.handle_closed(conn, self.clock.now(), out);
                    return Ok(());
                }
                return Err(io::Error::other(format!("no connection to {target}")));
            }
        };
        let socket = self.sockets[at].insert(socket);
        match socket {
            Socket::Udp(udp) => {
                let local = udp.local_addr()?;
                self.poll.registry().register(udp, Token(at), Interest::READABLE)?;
                self.ues.handle_opened(conn, local, self.clock.now(), out);
            }
            Socket::Stream(stream, _) => {
                let interest = Interest::READABLE | Interest::WRITABLE;
                self.poll.registry().register(&mut stream.socket, Token(at), interest)?;
            }
        }
        Ok(())
    }

    fn socket(
        &self,
        transport: Transport,
        local: Option<SocketAddr>,
        target: SocketAddr,
    ) -> io::Result<Socket> {
        let domain = socket2::Domain::for_address(target);
        if transport == Transport::Udp {
            let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
            if let Some(local) = local {
                socket.bind(&local.into())?;
            }
            let _ = socket.set_recv_buffer_size(4 << 20);
            socket.connect(&target.into())?;
            socket.set_nonblocking(true)?;
            return Ok(Socket::Udp(UdpSocket::from_std(socket.into())));
        }
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        if let Some(local) = local {
            socket.bind(&local.into())?;
        }
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&target.into()) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
        let tls = match &self.tls {
            Some((config, name)) if transport == Transport::Tls => {
                let tls = rustls::ClientConnection::new(Arc::clone(config), name.clone());
                Some(tls.map_err(io::Error::other)?)
            }
            _ => None,
        };
        let stream = Stream::new(TcpStream::from_std(socket.into()), tls);
        Ok(Socket::Stream(Box::new(stream), Readiness::Opening))
    }

    fn ready(&mut self, at: usize, out: &mut Outbox) {
        let conn = ConnId::try_from(at).unwrap_or(ConnId::MAX);
        let now = self.clock.now();
        let Some(Some(socket)) = self.sockets.get_mut(at) else {
            return;
        };
        match socket {
            Socket::Udp(udp) => loop {
                match udp.recv(&mut self.buffer) {
                    Ok(count) => {
                        let bytes = self.buffer.get(..count).unwrap_or_default();
                        self.ues.handle_message(conn, bytes, now, out);
                    }
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(_) => return,
                }
            },
            Socket::Stream(stream, readiness) => {
                let mut result = stream.flush().map(|()| true);
                while let Ok(true) = result {
                    let ues = &mut self.ues;
                    result = stream.read(&mut self.buffer, |incoming| {
                        if let Incoming::Message(bytes) = incoming {
                            ues.handle_message(conn, bytes, now, out);
                        }
                    });
                    if *readiness == Readiness::Opening && stream.is_ready() {
                        *readiness = Readiness::Open;
                        if let Ok(local) = stream.socket.local_addr() {
                            self.ues.handle_opened(conn, local, self.clock.now(), out);
                        }
                    }
                }
                if result.is_err() {
                    self.lost(conn, out);
                }
            }
        }
    }
}

fn is_broken(result: &io::Result<usize>) -> bool {
    // A full buffer loses a datagram, a refusal was for an earlier one: both are for the timers.
    let harmless = [io::ErrorKind::WouldBlock, io::ErrorKind::ConnectionRefused];
    result.as_ref().is_err_and(|error| !harmless.contains(&error.kind()))
}
