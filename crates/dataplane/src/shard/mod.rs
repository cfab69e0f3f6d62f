//! One shard: one thread, one epoll loop, one signalling machine and one relay.
//!
//! ```text
//! epoll ─▶ accept / read / datagram / mail / alarm ─▶ machine.handle(…) ─▶ outbox ─▶ writev, sendto, …
//!             └───────────── settle(): tell what happened meanwhile, until nothing is left ─────────┘
//! ```
//! No packet hops through a task or a channel: it is handled where it was read, in the buffer it was
//! read into. Everything ready is worked off per wake-up, each connection with at most one buffer, so
//! a file transfer never holds up a chat line; TLS handshakes come last and have a budget.

mod accept;
mod drain;

use crate::alarm::AlarmClock;
use crate::bind::{DatagramSocket, Listener, Protocol};
use crate::clock::Clock;
use crate::conn::{Conn, Stage};
use crate::io::{Got, Heard, Io, READ_BYTES, local_of, must_register};
use crate::machine::{Relaying, Signalling};
use crate::mailbox::{Letters, Mail, Mailbox};
use crate::pktinfo;
use crate::plane::Holdings;
use crate::records::Records;
use crate::rtp::{self, Rtp};
use crate::wheel::Alarm;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use crossbeam_channel::Sender;
use edge::api::{Event, Outbox};
use media::command::{MediaCommand, MediaNotice};
use media::relay;
use media::rtp::Dtls;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;
use telemetry::{Bank, Telemetry, flow};
use wire::{
    CloseReason, Directory, HostQuery, Instant, NetEvent, PrefixSet, Realm, ShardId, SocketId, StreamId,
};

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 256;
/// A server handshake costs ~90 µs: so many a turn delay the others by less than a millisecond.
const HANDSHAKES_PER_TURN: usize = 8;
/// Datagrams taken from one socket in a turn.
const DATAGRAMS_PER_TURN: usize = 64;
/// Mail read in a turn.
const LETTERS_PER_TURN: usize = 256;
/// How often the state of the next hops is published: it takes a lock that only /metrics holds as well.
const HOPS_EVERY: Duration = Duration::from_secs(1);
/// One turn in so many is measured, for all of them.
const BUSY_EVERY: u64 = 8;
/// How often counters reach the bank.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);

/// What a shard is made of, beside its machines.
pub(crate) struct Parts {
    pub(crate) io: Io,
    pub(crate) listeners: Arc<Vec<Listener>>,
    pub(crate) letters: Letters,
    /// Of every shard, by number.
    pub(crate) mailboxes: Arc<Vec<Mailbox>>,
    pub(crate) clock: Clock,
    pub(crate) bank: Arc<Bank>,
    pub(crate) shard: ShardId,
    pub(crate) telemetry: Arc<Telemetry>,
    /// For names that are to be looked up.
    pub(crate) wish: Sender<HostQuery>,
    /// What names lead to as it starts.
    pub(crate) directory: Arc<Directory>,
    /// Our end of handshakes on media paths.
    pub(crate) dtls: Option<Arc<Dtls>>,
}

pub(crate) struct Shard<S, R> {
    io: Io,
    listeners: Arc<Vec<Listener>>,
    letters: Letters,
    mailboxes: Arc<Vec<Mailbox>>,
    clock: Clock,
    bank: Arc<Bank>,
    shard: ShardId,
    telemetry: Arc<Telemetry>,
    wish: Sender<HostQuery>,
    directory: Arc<Directory>,
    /// When the state of the next hops is published again.
    hops_at: Instant,
    edge: S,
    relay: R,
    rtp: Rtp,
    edge_out: Outbox,
    relay_out: relay::Outbox,
    commands: VecDeque<MediaCommand>,
    notices: VecDeque<MediaNotice>,
    records: Records,
    hot: Vec<u8>,
    plain: Vec<u8>,
    events: Vec<epoll::Event>,
    /// Connections in their handshake that have something to read this turn.
    shaking: Vec<StreamId>,
    rung: Vec<Alarm>,
    alarm: AlarmClock,
    /// Given up when the process runs out of descriptors, so that a connection can be refused at all.
    spare: Option<OwnedFd>,
    publish_at: Instant,
    /// With io_uring: epoll may still have something that it reported before.
    is_epoll_open: bool,
    stopping: bool,
}

/// Words of epoll with generation 0 are fixed sockets: the upper half is 0, these are the lower halves.
const MAIL: u64 = 0;
const LISTENERS: u64 = 1;
const ALARM: u64 = DATAGRAMS - 1;
const DATAGRAMS: u64 = 1 << 16;

impl<S: Signalling, R: Relaying> Shard<S, R> {
    pub(crate) fn new(parts: Parts, edge: S, relay: R) -> io::Result<Self> {
        let Parts { io, listeners, letters, mailboxes, clock, bank, shard, telemetry, wish, directory, dtls } =
            parts;
        let add = |socket: &OwnedFd, word: u64| {
            epoll::add(&io.epoll, socket, EventData::new_u64(word), EventFlags::IN)
        };
        add(letters.wake(), MAIL)?;
        let alarm = AlarmClock::new()?;
        epoll::add(&io.epoll, &alarm, EventData::new_u64(ALARM), EventFlags::IN | EventFlags::ET)?;
        for (i, listener) in listeners.iter().enumerate() {
            add(&listener.socket, LISTENERS + i as u64)?;
        }
        for (i, DatagramSocket { socket, .. }) in io.datagrams.iter().enumerate() {
            add(socket, DATAGRAMS + i as u64)?;
        }
        let records = Records::new(io.config.log.repeats_per_second_max);
        let rtp = Rtp::new(Arc::clone(&io.config), &io.epoll, dtls)?;
        Ok(Self {
            listeners,
            letters,
            mailboxes,
            clock,
            bank,
            shard,
            telemetry,
            wish,
            directory,
            hops_at: Instant::ZERO,
            edge,
            relay,
            rtp,
            edge_out: Outbox::default(),
            relay_out: relay::Outbox::default(),
            commands: VecDeque::new(),
            notices: VecDeque::new(),
            records,
            // Room for a rest of TLS ciphertext in front of what is read.
            hot: vec![0; 2 * READ_BYTES],
            plain: Vec::with_capacity(READ_BYTES),
            events: Vec::with_capacity(EVENTS_MAX),
            shaking: Vec::new(),
            rung: Vec::new(),
            alarm,
            spare: accept::spare(),
            publish_at: io.now,
            is_epoll_open: true,
            stopping: false,
            io,
        })
    }

    /// Runs until told to stop.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let blacklist = Arc::clone(self.io.blacklist());
        self.rtp.set_blacklist(Arc::clone(&blacklist));
        self.tell_edge(Event::Blacklist(blacklist));
        self.tell_edge(Event::NextHops(Arc::clone(&self.directory)));
        let users = self.io.material.users();
        self.tell_relay(relay::Event::Users(users), &[]);
        self.settle();
        let mut deadline = self.io.now;
        while !self.stopping {
            self.wait(deadline)?;
            self.io.now = self.clock.now();
            self.take_from_ring()?;
            deadline = self.turn();
            self.io.counters.turns += 1;
            if self.io.counters.turns.is_multiple_of(BUSY_EVERY) {
                let busy = self.clock.now().since(self.io.now) * BUSY_EVERY as u32;
                self.io.counters.busy_micros += u64::try_from(busy.as_micros()).unwrap_or(0);
            }
        }
        self.io.close_all();
        self.publish();
        Ok(())
    }

    /// Waits for the kernel, at most until the next deadline. Time is that of the last wake-up: reading the
    /// clock twice for every message would be a tenth of what a message costs.
    fn wait(&mut self, deadline: Instant) -> io::Result<()> {
        let is_overdue = self.io.is_cutting() || deadline <= self.io.now;
        let overdue = is_overdue.then(Timespec::default);
        if overdue.is_none() {
            self.alarm.ring_by(deadline, &self.clock)?;
        }
        // Who has more to do than fits a turn does not sleep.
        let is_behind = overdue.is_some() || self.events.len() == EVENTS_MAX;
        let nap = self.rtp.nap(self.io.now).filter(|_| !is_behind);
        self.events.clear();
        if self.rtp.has_ring() {
            return self.rtp.wait_in_ring(nap, overdue.is_some() || self.is_epoll_open);
        }
        if let Some(nap) = nap {
            let _ = rustix::thread::nanosleep(&Timespec::try_from(nap).unwrap_or_default());
        }
        self.poll(overdue.as_ref())
    }

    /// Takes from epoll what is ready; without a timeout it waits until something is.
    fn poll(&mut self, timeout: Option<&Timespec>) -> io::Result<()> {
        match epoll::wait(&self.io.epoll, spare_capacity(&mut self.events), timeout) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// With io_uring: relays the packets that came, and takes what is ready from epoll, which the ring
    /// reports once for each time that something became ready.
    fn take_from_ring(&mut self) -> io::Result<()> {
        if !self.rtp.has_ring() {
            return Ok(());
        }
        let is_ready = self.rtp.on_completions(self.io.now);
        if self.rtp.has_notices() {
            self.settle();
        }
        if is_ready || self.is_epoll_open {
            self.poll(Some(&Timespec::default()))?;
        }
        // What is level-triggered and was not read to its end is not reported again by the ring.
        self.is_epoll_open = !self.events.is_empty();
        Ok(())
    }

    /// Does what is to be done at this moment; says when to look again at the latest.
    fn turn(&mut self) -> Instant {
        let events = core::mem::take(&mut self.events);
        for event in &events {
            let (flags, data) = (event.flags, event.data);
            self.on_event(flags, data.u64());
        }
        self.events = events;
        self.io.cut_barred();
        self.settle();
        if !self.shaking.is_empty() {
            self.shake_hands();
        }
        let deadline = self.next_deadline();
        if deadline > self.io.now {
            return deadline;
        }
        self.ring();
        if self.io.now >= self.publish_at {
            self.publish();
        }
        self.next_deadline()
    }

    fn next_deadline(&self) -> Instant {
        let machines = [self.edge.next_deadline(), self.relay.next_deadline(), self.rtp.next_deadline()];
        let all = machines.into_iter().chain([self.io.wheel.next_deadline()]);
        all.flatten().fold(self.publish_at, Instant::min)
    }

    fn on_event(&mut self, flags: EventFlags, word: u64) {
        if word >> 32 == 0 {
            match word {
                MAIL => self.read_mail(),
                ALARM => self.alarm.on_ring(), // `ring` looks after every turn
                LISTENERS..ALARM => self.accept((word - LISTENERS) as usize),
                rtp::WORDS.. => self.on_media((word - rtp::WORDS) as u32),
                _ => self.read_datagrams((word - DATAGRAMS) as usize),
            }
            return;
        }
        let id = StreamId { slot: word as u32, generation: (word >> 32) as u32 };
        let Some(conn) = self.io.conns.get(id) else {
            return; // closed earlier in this turn
        };
        match conn.stage {
            Stage::Connecting { .. } => self.io.on_connected(id),
            Stage::Handshaking { .. } => {
                if flags.contains(EventFlags::OUT) {
                    self.io.on_writable(id);
                }
                self.shaking.push(id);
            }
            _ => {
                if flags.contains(EventFlags::OUT) {
                    self.io.on_writable(id);
                }
                // An error or a hang-up is learnt by reading, also when reading is paused: epoll would
                // report it for ever.
                if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                    self.read(id);
                }
            }
        }
        self.settle();
    }

    /// A media socket has something to read.
    fn on_media(&mut self, at: u32) {
        self.rtp.on_readable(at, self.io.now);
        if self.rtp.has_notices() {
            self.settle();
        }
    }

    /// Handshakes come after everything else; who does not get a turn is reported again by epoll.
    fn shake_hands(&mut self) {
        let mut shaking = core::mem::take(&mut self.shaking);
        for id in shaking.drain(..).take(HANDSHAKES_PER_TURN) {
            self.read(id);
            self.settle();
        }
        self.shaking = shaking;
    }

    fn read(&mut self, id: StreamId) {
        let mut hot = core::mem::take(&mut self.hot);
        let mut plain = core::mem::take(&mut self.plain);
        plain.clear();
        let got = self.io.read(id, &mut hot, &mut plain);
        match got {
            Got::Nothing => {}
            Got::Raw(count) | Got::LastRaw(count) => {
                // The upgrade to a WebSocket may have ended with this very read.
                self.settle();
                self.deliver(id, hot.get(..count).unwrap_or_default());
            }
            Got::Plain | Got::Last => {
                // The handshake may have ended with this very read: the machine hears of that first.
                self.settle();
                self.deliver(id, &plain);
            }
        }
        if matches!(got, Got::Last | Got::LastRaw(_)) {
            self.io.on_peer_closed(id);
        }
        self.hot = hot;
        self.plain = plain;
    }

    fn deliver(&mut self, id: StreamId, bytes: &[u8]) {
        let Some(conn) = self.io.conns.get(id).filter(|conn| conn.is_open()) else {
            return;
        };
        match conn.kind.protocol {
            Protocol::Sip => self.tell_edge(Event::Net(NetEvent::StreamBytes { stream: id, bytes })),
            Protocol::Msrp => self.tell_relay(relay::Event::Bytes { conn: id, bytes }, bytes),
        }
        self.settle();
    }

    fn read_datagrams(&mut self, at: usize) {
        let mut hot = core::mem::take(&mut self.hot);
        for _ in 0..DATAGRAMS_PER_TURN {
            let Some(socket) = self.io.datagrams.get(at) else {
                break;
            };
            let realm = socket.realm;
            let (count, source, local) = match pktinfo::take(socket, &mut hot) {
                Ok(Some(taken)) => taken,
                // An error of an earlier datagram (ICMP) is told here; it says nothing about the next.
                Ok(None) | Err(Errno::CONNREFUSED | Errno::HOSTUNREACH) => continue,
                Err(_) => break,
            };
            self.io.counters.on_datagram(crate::counters::Way::In, realm, count);
            let local = local.map_or(0, |ip| self.io.locals.number_of(ip));
            let socket = SocketId(u16::try_from(at).unwrap_or(u16::MAX)).at(local);
            let bytes = hot.get(..count).unwrap_or_default();
            self.tell_edge(Event::Net(NetEvent::Datagram { socket, source, bytes }));
            self.settle();
        }
        self.hot = hot;
    }

    fn read_mail(&mut self) {
        self.letters.hear();
        for _ in 0..LETTERS_PER_TURN {
            let Some(mail) = self.letters.next() else {
                return;
            };
            match mail {
                Mail::Handover { realm, transport, source, bytes } => {
                    self.tell_edge(Event::Handover { realm, transport, source, bytes: &bytes });
                }
                Mail::Config(config, material) => {
                    self.tell_edge(Event::Certificates(material.fingerprints()));
                    self.tell_relay(relay::Event::Users(material.users()), &[]);
                    self.io.config = Arc::clone(&config);
                    self.rtp.set_config(Arc::clone(&config));
                    self.io.material = material;
                    self.records = Records::new(config.log.repeats_per_second_max);
                    let mut out = core::mem::take(&mut self.relay_out);
                    self.relay.configure(&config, self.io.now, &mut out);
                    self.drain_relay(out, &[]);
                    self.tell_edge(Event::Config(config));
                }
                Mail::Blacklist(set, taken) => {
                    self.io.set_blacklist(Arc::clone(&set));
                    self.rtp.set_blacklist(Arc::clone(&set));
                    self.tell_edge(Event::Blacklist(set));
                    // Nobody may wait for it any longer.
                    let _ = taken.send(());
                }
                Mail::NextHops(directory) => self.tell_edge(Event::NextHops(directory)),
                Mail::Count(set, answer) => {
                    let _ = answer.send(self.count(&set));
                }
                Mail::RtpSessions { call_id, max, answer } => {
                    let _ = answer.send(self.rtp.views(call_id.as_deref(), max, self.io.now));
                }
                Mail::Capture { capture, seconds, answer } => {
                    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                    let zero = Duration::from_micros(self.io.now.as_micros());
                    let epoch = since_1970.unwrap_or_default().saturating_sub(zero);
                    let ends_at = self.io.now + Duration::from_secs(seconds);
                    let _ = answer.send(self.rtp.capture(capture, ends_at, epoch));
                }
                Mail::Drain => {
                    self.io.counters.draining = 1;
                    self.tell_edge(Event::Drain);
                }
                Mail::Stop => {
                    self.stopping = true;
                    return;
                }
            }
            self.settle();
        }
        // More is waiting: come back after the others had their turn.
        self.letters.wake_again();
    }

    /// What the sources in `set` have on this shard: asked by people, who decide whether to cut it.
    fn count(&self, set: &PrefixSet) -> Holdings {
        let edge::Holdings { registrations, calls } = self.edge.holdings(set);
        let of_set = |conn: &&Conn| conn.kind.realm == Realm::Access && set.contains(conn.peer.ip());
        let connections = self.io.conns.iter().filter(of_set).count() as u64;
        Holdings { registrations, calls, connections }
    }

    /// Alarms of the machines and of the connections.
    fn ring(&mut self) {
        let now = self.io.now;
        if self.edge.next_deadline().is_some_and(|at| at <= now) {
            let mut out = core::mem::take(&mut self.edge_out);
            self.edge.handle_deadline(now, &mut out);
            self.drain_edge(out);
            self.settle();
        }
        if self.relay.next_deadline().is_some_and(|at| at <= now) {
            let mut out = core::mem::take(&mut self.relay_out);
            self.relay.handle_deadline(now, &mut out);
            self.drain_relay(out, &[]);
            self.settle();
        }
        if self.rtp.next_deadline().is_some_and(|at| at <= now) {
            self.rtp.handle_deadline(now);
            self.settle();
        }
        let mut rung = core::mem::take(&mut self.rung);
        self.io.rung(&mut rung);
        for alarm in rung.drain(..) {
            self.on_alarm(alarm.id);
        }
        self.rung = rung;
        self.settle();
    }

    fn on_alarm(&mut self, id: StreamId) {
        if !self.io.is_due(id) {
            return;
        }
        let now = self.io.now;
        let idle_max = self.io.conns.get(id).and_then(|conn| self.io.idle_max(&conn.kind));
        let unregistered_max = self.io.config.timers.unregistered_idle();
        let Some(conn) = self.io.conns.get_mut(id) else {
            return;
        };
        match conn.stage {
            Stage::Connecting { .. } | Stage::Lingering { .. } => self.io.fail(id, CloseReason::Failed),
            Stage::Upgrading { .. } => self.io.on_upgrade_timeout(id),
            Stage::Handshaking { .. } => {
                self.io.fail_as(id, CloseReason::TlsFailed, flow::REASON_HANDSHAKE_TIMEOUT);
            }
            Stage::Open => {
                if idle_max.is_some_and(|max| (conn.active_at + max).max(conn.hold_until) <= now) {
                    self.io.close(id, CloseReason::Idle);
                    return;
                }
                if must_register(&conn.kind) && conn.trusted_at + unregistered_max <= now {
                    if !self.edge.is_registered(id) {
                        self.io.close_as(id, CloseReason::Idle, flow::REASON_UNREGISTERED);
                        return;
                    }
                    conn.trusted_at = now;
                    conn.permit.trust();
                }
                self.io.arm(id);
            }
        }
    }

    fn publish(&mut self) {
        self.publish_at = self.io.now + PUBLISH_EVERY;
        self.io.counters.lines_suppressed = self.records.suppressed();
        self.io.counters.publish(&self.bank);
        self.edge.publish(&self.bank);
        self.relay.publish(&self.bank);
        self.rtp.publish(&self.bank);
        if self.hops_at <= self.io.now {
            self.hops_at = self.io.now + HOPS_EVERY;
            self.telemetry.set_next_hops(self.shard.0, self.edge.next_hops(self.io.now));
        }
    }

    /// Tells the machines what happened while they were busy, until nothing is left to tell.
    #[inline]
    fn settle(&mut self) {
        // Asked after every event, and nearly always nothing.
        let is_quiet = self.commands.is_empty() && self.notices.is_empty() && self.io.heard.is_empty();
        if !is_quiet || self.rtp.has_notices() {
            self.settle_all();
        }
    }

    fn settle_all(&mut self) {
        loop {
            if self.rtp.has_notices() {
                let notices = &mut self.notices;
                self.rtp.take_notices(|notice| notices.push_back(MediaNotice::Rtp(notice)));
            } else if let Some(command) = self.commands.pop_front() {
                self.command(command);
            } else if let Some(notice) = self.notices.pop_front() {
                self.tell_edge(Event::Media(notice));
            } else if let Some(heard) = self.io.heard.pop_front() {
                self.tell(heard);
            } else {
                return;
            }
        }
    }

    /// Gives an order to the relay it is for.
    fn command(&mut self, command: MediaCommand) {
        match command {
            MediaCommand::Rtp(order) => self.rtp.order(*order, &self.io.epoll, self.io.now),
            MediaCommand::Release { id, cause } if self.rtp.holds(id) => {
                self.rtp.release(id, cause, self.io.now);
            }
            command => self.tell_relay(relay::Event::Command(command), &[]),
        }
    }

    fn tell(&mut self, heard: Heard) {
        match heard {
            Heard::Opened(id) => self.tell_opened(id),
            Heard::Closed(stream, Protocol::Sip, reason) => {
                self.tell_edge(Event::Net(NetEvent::StreamClosed { stream, reason }));
            }
            Heard::HalfClosed(conn) => self.tell_relay(relay::Event::HalfClosed { conn }, &[]),
            Heard::Closed(conn, Protocol::Msrp, _) => self.tell_relay(relay::Event::Closed { conn }, &[]),
            Heard::Unreachable(hop) => self.tell_edge(Event::Net(NetEvent::PeerUnreachable {
                realm: hop.realm,
                transport: hop.transport,
                peer: hop.peer,
            })),
            Heard::DialFailed { id, realm } => self.tell_relay(relay::Event::DialFailed { id, realm }, &[]),
            Heard::Queued(conn) => {
                let waiting = self.io.conns.get(conn).filter(|c| c.is_open()).map_or(0, |c| c.queue.len());
                if waiting > 0 {
                    self.tell_relay(relay::Event::Queued { conn, bytes: waiting }, &[]);
                }
            }
            Heard::Drained(conn) => {
                if self.io.conns.get(conn).is_some_and(|c| c.is_open()) {
                    self.tell_relay(relay::Event::Drained { conn }, &[]);
                }
            }
        }
    }

    fn tell_opened(&mut self, id: StreamId) {
        // Gone again already: its end is told next, and the machine may ignore an id it never met.
        let Some(conn) = self.io.conns.get(id) else {
            return;
        };
        let (kind, peer) = (conn.kind, conn.peer);
        // Lost already: its end is learnt at the next read.
        let local = local_of(&conn.socket).unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
        match kind.protocol {
            Protocol::Sip => self.tell_edge(Event::Net(NetEvent::StreamOpened {
                stream: id,
                realm: kind.realm,
                transport: kind.transport,
                local,
                peer,
            })),
            Protocol::Msrp => {
                let dialled_for = match kind.opened_by {
                    crate::conn::OpenedBy::Media(media, _) => Some(media),
                    _ => None,
                };
                let certificate = conn.tls.as_ref().and_then(|tls| tls.peer_certificate());
                let opened = relay::Event::Opened {
                    conn: id,
                    realm: kind.realm,
                    transport: kind.transport,
                    local,
                    peer,
                    dialled_for,
                    certificate: certificate.as_ref(),
                };
                self.tell_relay(opened, &[]);
            }
        }
    }

    fn tell_edge(&mut self, event: Event<'_>) {
        let mut out = core::mem::take(&mut self.edge_out);
        self.edge.handle(event, self.io.now, &mut out);
        self.drain_edge(out);
    }

    fn tell_relay(&mut self, event: relay::Event<'_>, input: &[u8]) {
        let mut out = core::mem::take(&mut self.relay_out);
        self.relay.handle(event, self.io.now, &mut out);
        self.drain_relay(out, input);
    }
}
