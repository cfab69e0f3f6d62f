//! The sockets of one shard: sends, reads, opens and closes, and notes what the machines must hear.
//!
//! Nothing here calls a machine. What happened is put into `heard`; the shard tells the machines when
//! no outbox is being drained, so that nothing is ever re-entered.

use crate::bind::{DatagramSocket, Protocol, connect};
use crate::conn::{Conn, Conns, Kind, OpenedBy, Queue, Stage};
use crate::counters::{Counters, Way};
use crate::quota::Quota;
use crate::tls::{Material, Session};
use crate::wheel::{Alarm, Wheel};
use config::Config;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::sync::Arc;
use telemetry::flow::{self, Refusal};
use wire::{CloseReason, Instant, MediaId, Realm, SocketId, StreamId, Transport};

/// What the machines must hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Opened(StreamId),
    Closed(StreamId, Protocol, CloseReason),
    Unreachable(Hop),
    DialFailed { id: MediaId, realm: Realm },
    /// Something is left in the queue after a write, of a connection of the relay.
    Queued(StreamId),
    /// The queue fell to the relay's low mark.
    Drained(StreamId),
}

/// A peer of the outbound pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Hop {
    pub(crate) realm: Realm,
    pub(crate) transport: Transport,
    pub(crate) peer: SocketAddr,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Nothing,
    /// So many bytes at the start of the read buffer.
    Raw(usize),
    /// The plain buffer was filled.
    Plain,
    /// The plain buffer was filled, and the peer will send no more: close once it is delivered.
    Last,
}

/// How long last words may take once a connection is closed by us.
const LINGER: Duration = Duration::from_secs(3);
/// The read buffer: one for the shard, so it stays in the cache.
pub(crate) const READ_BYTES: usize = 64 * 1024;
/// Pieces given to one `writev`.
const PIECES_MAX: usize = 16;

#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) epoll: OwnedFd,
    pub(crate) conns: Conns,
    pub(crate) datagrams: Vec<DatagramSocket>,
    pub(crate) config: Arc<Config>,
    pub(crate) material: Arc<Material>,
    pub(crate) quota: Arc<Quota>,
    pub(crate) counters: Counters,
    pub(crate) wheel: Wheel,
    pub(crate) heard: VecDeque<Heard>,
    /// Streams we opened, by peer.
    pool: HashMap<Hop, Vec<StreamId>>,
    sealed: Vec<u8>,
    gathered: Vec<u8>,
    pub(crate) now: Instant,
}

impl Io {
    pub(crate) fn new(
        config: Arc<Config>,
        material: Arc<Material>,
        quota: Arc<Quota>,
        datagrams: Vec<DatagramSocket>,
        now: Instant,
    ) -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            conns: Conns::default(),
            datagrams,
            config,
            material,
            quota,
            counters: Counters::default(),
            wheel: Wheel::new(now),
            heard: VecDeque::new(),
            pool: HashMap::new(),
            sealed: Vec::new(),
            gathered: Vec::new(),
            now,
        })
    }

    // ---- opening ----

    /// Takes in an accepted connection, or says why not.
    pub(crate) fn adopt(
        &mut self,
        socket: OwnedFd,
        peer: SocketAddr,
        protocol: Protocol,
        realm: Realm,
        transport: Transport,
    ) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        // The core is trusted and few; UEs share addresses behind NATs.
        let source = (realm == Realm::Access).then(|| peer.ip());
        let permit = self.quota.admit(source, limits.connections_max, limits.connections_per_source_max)?;
        if transport == Transport::Tls && self.counters.handshakes_open as usize >= limits.handshakes_max {
            return Err(Refusal::HandshakesMax);
        }
        let local = local_of(&socket).ok_or(Refusal::Failed)?;
        // Chat is bound by wake-ups, not by bytes: nothing may wait for more to come.
        let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
        let tls = match transport {
            Transport::Tls => Some(self.serve_tls(realm).ok_or(Refusal::Failed)?),
            _ => None,
        };
        let kind = Kind { protocol, realm, transport, opened_by: OpenedBy::Peer };
        let stage = match tls {
            Some(_) => Stage::Handshaking { due: self.now + self.config.timers.handshake() },
            None => Stage::Open,
        };
        let id = self.conns.insert(Conn {
            socket,
            kind,
            local,
            peer,
            stage,
            tls,
            queue: Queue::default(),
            early: Queue::default(),
            interest: EventFlags::IN,
            paused: false,
            was_high: false,
            read_closed: false,
            write_closed: false,
            active_at: self.now,
            trusted_at: self.now,
            armed_at: None,
            permit,
        });
        if self.watch(id).is_err() {
            self.conns.remove(id);
            return Err(Refusal::Failed);
        }
        self.counters.on_open(kind);
        if transport == Transport::Tls {
            self.counters.handshakes_open += 1;
        } else {
            self.heard.push_back(Heard::Opened(id));
        }
        self.arm(id);
        Ok(())
    }

    fn serve_tls(&self, realm: Realm) -> Option<Box<Session>> {
        Session::server(self.material.server(realm)?).ok().map(Box::new)
    }

    /// Opens a connection; `Opened`, or `Unreachable` / `DialFailed`, is heard later.
    pub(crate) fn dial(&mut self, hop: Hop, opened_by: OpenedBy) -> Option<StreamId> {
        let id = self.try_dial(hop, opened_by);
        if id.is_none() {
            self.dial_failed(hop, opened_by);
        }
        id
    }

    fn try_dial(&mut self, hop: Hop, opened_by: OpenedBy) -> Option<StreamId> {
        let permit = self.quota.admit(None, self.config.limits.connections_max, 0);
        let permit = permit.inspect_err(|why| self.counters.refuse(*why)).ok()?;
        let (protocol, buffer_bytes) = match opened_by {
            OpenedBy::Media(_) => (Protocol::Msrp, self.config.msrp.socket_buffer_bytes),
            _ => (Protocol::Sip, 0),
        };
        let tls = match hop.transport {
            Transport::Tls => {
                let (config, name) = self.material.client(hop.realm, hop.peer.ip())?;
                Some(Box::new(Session::client(config, name).ok()?))
            }
            _ => None,
        };
        let socket = connect(hop.peer, self.source_for(hop, protocol), buffer_bytes).ok()?;
        let kind = Kind { protocol, realm: hop.realm, transport: hop.transport, opened_by };
        let id = self.conns.insert(Conn {
            socket,
            kind,
            local: SocketAddr::new(hop.peer.ip(), 0),
            peer: hop.peer,
            stage: Stage::Connecting { due: self.now + self.config.timers.connect() },
            tls,
            queue: Queue::default(),
            early: Queue::default(),
            interest: EventFlags::OUT,
            paused: false,
            was_high: false,
            read_closed: false,
            write_closed: false,
            active_at: self.now,
            trusted_at: self.now,
            armed_at: None,
            permit,
        });
        if self.watch(id).is_err() {
            self.conns.remove(id);
            return None;
        }
        self.counters.on_open(kind);
        if opened_by == OpenedBy::Hop {
            self.pool.entry(hop).or_default().push(id);
        }
        self.arm(id);
        Some(id)
    }

    /// Peers see us come from the address we serve on, where it is a certain one.
    fn source_for(&self, hop: Hop, protocol: Protocol) -> Option<IpAddr> {
        let realm = self.config.realm.of(hop.realm);
        let of_family = |bind: &SocketAddr| bind.is_ipv4() == hop.peer.is_ipv4();
        let bound = match protocol {
            Protocol::Sip => realm.sip.iter().map(|l| l.bind).find(of_family),
            Protocol::Msrp => realm.msrp.iter().map(|l| l.bind).find(of_family),
        };
        bound.map(|bind| bind.ip()).filter(|ip| !ip.is_unspecified())
    }

    fn dial_failed(&mut self, hop: Hop, opened_by: OpenedBy) {
        self.counters.on_dial_failed(hop.realm);
        match opened_by {
            OpenedBy::Media(id) => self.heard.push_back(Heard::DialFailed { id, realm: hop.realm }),
            _ => self.heard.push_back(Heard::Unreachable(hop)),
        }
    }

    fn watch(&self, id: StreamId) -> Result<(), Errno> {
        match self.conns.get(id) {
            Some(conn) => epoll::add(&self.epoll, &conn.socket, word(id), conn.interest),
            None => Err(Errno::BADF),
        }
    }

    /// The kernel says that a dialled connection is up, or failed.
    pub(crate) fn on_connected(&mut self, id: StreamId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if !matches!(rustix::net::sockopt::socket_error(&conn.socket), Ok(Ok(()))) {
            self.fail(id, CloseReason::Failed);
            return;
        }
        if let Some(local) = local_of(&conn.socket) {
            conn.local = local;
        }
        conn.active_at = self.now;
        if conn.tls.is_none() {
            self.open(id);
            return;
        }
        conn.stage = Stage::Handshaking { due: self.now + self.config.timers.handshake() };
        self.counters.handshakes_open += 1;
        self.arm(id);
        // The client speaks first: an empty input makes its hello.
        self.decrypt(id, &mut [], &mut Vec::new());
    }

    /// The connection stands: the machine hears of it, and what waited for it goes out.
    fn open(&mut self, id: StreamId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        conn.stage = Stage::Open;
        conn.active_at = self.now;
        conn.trusted_at = self.now;
        let early = conn.early.take();
        self.counters.queued_bytes = self.counters.queued_bytes.saturating_sub(early.len() as u64);
        self.heard.push_back(Heard::Opened(id));
        self.arm(id);
        if early.is_empty() {
            self.refresh_interest(id);
        } else {
            self.send(id, &[&early]);
        }
    }

    // ---- sending ----

    /// Sends over any stream to `hop`, opening one if there is none.
    pub(crate) fn send_to_peer(&mut self, hop: Hop, bytes: &[u8]) {
        let max = self.config.limits.core_connections_per_peer;
        let least = self.pool.get(&hop).and_then(|ids| {
            ids.iter()
                .filter_map(|id| Some((self.conns.get(*id)?.waiting(), *id)))
                .min()
        });
        let id = match least {
            Some((waiting, id)) => {
                // One more is opened for the traffic to come; this message does not wait for it.
                let count = self.pool.get(&hop).map_or(0, Vec::len);
                if waiting > 0 && count < max {
                    self.dial(hop, OpenedBy::Hop);
                }
                Some(id)
            }
            None => self.dial(hop, OpenedBy::Hop),
        };
        if let Some(id) = id {
            self.send(id, &[bytes]);
        }
    }

    /// Sends the parts in order; what the socket does not take is queued up to the cap.
    pub(crate) fn send(&mut self, id: StreamId, parts: &[&[u8]]) {
        let Some(conn) = self.conns.get_mut(id) else {
            return; // gone: swallowed, as the machine will hear or has heard
        };
        let total: usize = parts.iter().map(|part| part.len()).sum();
        match conn.stage {
            Stage::Lingering { .. } => return,
            Stage::Connecting { .. } | Stage::Handshaking { .. } => {
                if conn.early.len() + total > queue_max(&self.config, conn.kind.protocol) {
                    self.fail(id, CloseReason::QueueFull);
                    return;
                }
                parts.iter().for_each(|part| conn.early.push(part));
                self.counters.queued_bytes += total as u64;
                return;
            }
            Stage::Open => {}
        }
        self.counters.on_bytes(Way::Out, conn.kind.realm, conn.kind.transport, total);
        if conn.kind.realm == Realm::Core {
            conn.active_at = self.now;
        }
        let Some(tls) = &mut conn.tls else {
            self.write(id, parts);
            return;
        };
        let mut sealed = core::mem::take(&mut self.sealed);
        sealed.clear();
        let result = match parts {
            [part] => tls.encrypt(part, &mut sealed),
            _ => {
                // One record for head, body and end-line instead of three.
                self.gathered.clear();
                parts.iter().for_each(|part| self.gathered.extend_from_slice(part));
                tls.encrypt(&self.gathered, &mut sealed)
            }
        };
        match result {
            Ok(()) => self.write(id, &[&sealed]),
            Err(_) => self.fail(id, CloseReason::TlsFailed),
        }
        self.give_back_sealed(sealed);
    }

    fn give_back_sealed(&mut self, mut sealed: Vec<u8>) {
        sealed.clear();
        // One huge message must not hold its memory for ever.
        sealed.shrink_to(4 * READ_BYTES);
        self.gathered.clear();
        self.gathered.shrink_to(4 * READ_BYTES);
        self.sealed = sealed;
    }

    /// Gives bytes to the socket as they are, after those that wait.
    fn write(&mut self, id: StreamId, parts: &[&[u8]]) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let taken = if conn.queue.is_empty() { write_some(&conn.socket, parts) } else { Ok(0) };
        let Ok(mut taken) = taken else {
            self.fail(id, CloseReason::Failed);
            return;
        };
        let total: usize = parts.iter().map(|part| part.len()).sum();
        if taken == total {
            return;
        }
        let rest = total - taken;
        if conn.queue.len() + rest > queue_max(&self.config, conn.kind.protocol) {
            self.fail(id, CloseReason::QueueFull);
            return;
        }
        for part in parts {
            let skip = taken.min(part.len());
            taken -= skip;
            conn.queue.push(part.get(skip..).unwrap_or_default());
        }
        self.counters.queued_bytes += rest as u64;
        if conn.kind.protocol == Protocol::Msrp && conn.is_open() {
            conn.was_high |= conn.queue.len() > self.config.msrp.queue_low_bytes;
            self.heard.push_back(Heard::Queued(id));
        }
        self.refresh_interest(id);
    }

    /// The socket takes bytes again.
    pub(crate) fn on_writable(&mut self, id: StreamId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if !conn.queue.is_empty() {
            match write_some(&conn.socket, &[conn.queue.front()]) {
                Ok(taken) => {
                    conn.queue.advance(taken);
                    self.counters.queued_bytes = self.counters.queued_bytes.saturating_sub(taken as u64);
                }
                Err(_) => {
                    self.fail(id, CloseReason::Failed);
                    return;
                }
            }
            if conn.was_high && conn.queue.len() <= self.config.msrp.queue_low_bytes {
                conn.was_high = false;
                self.heard.push_back(Heard::Drained(id));
            }
        }
        self.refresh_interest(id);
        self.linger_on(id);
    }

    /// Sends one datagram; a full kernel drops it as the network would.
    pub(crate) fn send_datagram(&mut self, socket: SocketId, peer: SocketAddr, bytes: &[u8]) {
        let Some(out) = self.datagrams.get(usize::from(socket.0)) else {
            self.counters.drop_datagram(flow::Drop::UnknownSocket);
            return;
        };
        match rustix::net::sendto(&out.socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL, &peer) {
            Ok(_) => self.counters.on_datagram(Way::Out, out.realm, bytes.len()),
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => {
                self.counters.drop_datagram(flow::Drop::BuffersFull);
            }
            Err(Errno::MSGSIZE) => self.counters.drop_datagram(flow::Drop::TooLong),
            Err(_) => self.counters.drop_datagram(flow::Drop::Unreachable),
        }
    }

    // ---- receiving ----

    /// Reads once. Fairness: a busy connection gets one buffer a turn, like every other.
    pub(crate) fn read(&mut self, id: StreamId, hot: &mut [u8], plain: &mut Vec<u8>) -> Got {
        let Some(conn) = self.conns.get_mut(id) else {
            return Got::Nothing;
        };
        let lingering = matches!(conn.stage, Stage::Lingering { .. });
        let pending = conn.tls.as_ref().map_or(&[][..], |tls| tls.pending());
        let kept = if lingering { 0 } else { pending.len() };
        let Some((front, room)) = hot.split_at_mut_checked(kept) else {
            return Got::Nothing;
        };
        if !lingering {
            front.copy_from_slice(pending);
        }
        let read = match rustix::net::recv(&conn.socket, room, RecvFlags::DONTWAIT) {
            Ok((0, _)) => {
                self.on_peer_closed(id);
                return Got::Nothing;
            }
            Ok((read, _)) => read,
            Err(Errno::AGAIN | Errno::INTR) => return Got::Nothing,
            Err(_) => {
                self.fail(id, CloseReason::Failed);
                return Got::Nothing;
            }
        };
        if lingering {
            return Got::Nothing;
        }
        if conn.tls.is_some() {
            let all = hot.get_mut(..kept + read).unwrap_or_default();
            let peer_closed = self.decrypt(id, all, plain);
            return match (plain.is_empty(), peer_closed) {
                (false, true) => Got::Last,
                (false, false) => Got::Plain,
                (true, true) => {
                    self.on_peer_closed(id);
                    Got::Nothing
                }
                (true, false) => Got::Nothing,
            };
        }
        conn.active_at = self.now;
        self.counters.on_bytes(Way::In, conn.kind.realm, conn.kind.transport, read);
        Got::Raw(read)
    }

    /// Runs TLS over what came in; whether the peer said that this was all.
    fn decrypt(&mut self, id: StreamId, incoming: &mut [u8], plain: &mut Vec<u8>) -> bool {
        let Some(conn) = self.conns.get_mut(id) else {
            return false;
        };
        let Some(tls) = &mut conn.tls else {
            return false;
        };
        let mut sealed = core::mem::take(&mut self.sealed);
        sealed.clear();
        let result = tls.process(incoming, plain, &mut sealed);
        let version = tls.version();
        if !plain.is_empty() {
            // Only what the peer says counts as life: a handshake or a key update does not (R4).
            conn.active_at = self.now;
            self.counters.on_bytes(Way::In, conn.kind.realm, conn.kind.transport, plain.len());
        }
        if !sealed.is_empty() {
            self.write(id, &[&sealed]);
        }
        self.give_back_sealed(sealed);
        match result {
            Ok(outcome) => {
                if outcome.opened {
                    self.counters.handshakes_open = self.counters.handshakes_open.saturating_sub(1);
                    self.counters.handshakes[0] += 1;
                    let new = usize::from(version == Some(rustls::ProtocolVersion::TLSv1_3));
                    self.counters.versions[new] += 1;
                    self.open(id);
                }
                outcome.peer_closed
            }
            Err(error) => {
                tracing::debug!(%id, %error, "TLS failed");
                self.fail(id, CloseReason::TlsFailed);
                false
            }
        }
    }

    // ---- closing ----

    /// The machine is done with it: last words go out, then it is closed.
    pub(crate) fn close(&mut self, id: StreamId, reason: CloseReason) {
        self.close_as(id, reason, flow::reason_cell(reason));
    }

    pub(crate) fn close_as(&mut self, id: StreamId, reason: CloseReason, cell: usize) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        match conn.stage {
            Stage::Lingering { .. } => return,
            Stage::Connecting { .. } | Stage::Handshaking { .. } => {
                self.fail_as(id, reason, cell);
                return;
            }
            Stage::Open => {}
        }
        self.counters.closed[cell] += 1;
        self.leave_pool(id);
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        self.heard.push_back(Heard::Closed(id, conn.kind.protocol, reason));
        conn.stage = Stage::Lingering { due: self.now + LINGER };
        if conn.paused {
            conn.paused = false;
            self.counters.paused = self.counters.paused.saturating_sub(1);
        }
        if let Some(tls) = &mut conn.tls {
            let mut sealed = core::mem::take(&mut self.sealed);
            sealed.clear();
            if tls.close_notify(&mut sealed).is_ok() {
                self.write(id, &[&sealed]);
            }
            self.give_back_sealed(sealed);
        }
        self.arm(id);
        self.refresh_interest(id);
        self.linger_on(id);
    }

    /// The peer said that nothing more will come.
    ///
    /// To SIP a flow is both ways or nothing, so the machine hears that it is gone; what was queued
    /// for a peer that only closed its own half still reaches it.
    pub(crate) fn on_peer_closed(&mut self, id: StreamId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        conn.read_closed = true;
        match conn.stage {
            Stage::Lingering { .. } => self.linger_on(id),
            Stage::Open => self.close(id, CloseReason::PeerClosed),
            _ => self.fail(id, CloseReason::PeerClosed),
        }
    }

    /// One step of the way out: flushed? then tell the peer; has it heard? then gone.
    fn linger_on(&mut self, id: StreamId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        if !matches!(conn.stage, Stage::Lingering { .. }) || !conn.queue.is_empty() {
            return;
        }
        if conn.read_closed {
            self.drop_conn(id);
        } else if !conn.write_closed {
            conn.write_closed = true;
            if rustix::net::shutdown(&conn.socket, Shutdown::Write).is_err() {
                self.drop_conn(id);
            }
        }
    }

    /// It broke: nothing more can or should be sent.
    pub(crate) fn fail(&mut self, id: StreamId, reason: CloseReason) {
        self.fail_as(id, reason, flow::reason_cell(reason));
    }

    pub(crate) fn fail_as(&mut self, id: StreamId, reason: CloseReason, cell: usize) {
        let Some(conn) = self.conns.get(id) else {
            return;
        };
        let (stage, kind, peer) = (conn.stage, conn.kind, conn.peer);
        self.leave_pool(id);
        match stage {
            Stage::Lingering { .. } => {}
            Stage::Open => {
                self.counters.closed[cell] += 1;
                self.heard.push_back(Heard::Closed(id, kind.protocol, reason));
            }
            Stage::Connecting { .. } | Stage::Handshaking { .. } => {
                self.counters.closed[cell] += 1;
                if matches!(stage, Stage::Handshaking { .. }) {
                    self.counters.handshakes_open = self.counters.handshakes_open.saturating_sub(1);
                    let timed_out = cell == flow::REASON_HANDSHAKE_TIMEOUT;
                    self.counters.handshakes[if timed_out { 2 } else { 1 }] += 1;
                }
                if kind.opened_by != OpenedBy::Peer {
                    self.dial_failed(Hop { realm: kind.realm, transport: kind.transport, peer }, kind.opened_by);
                }
            }
        }
        self.drop_conn(id);
    }

    fn leave_pool(&mut self, id: StreamId) {
        let Some(conn) = self.conns.get(id).filter(|conn| conn.kind.opened_by == OpenedBy::Hop) else {
            return;
        };
        let hop = Hop { realm: conn.kind.realm, transport: conn.kind.transport, peer: conn.peer };
        if let Some(ids) = self.pool.get_mut(&hop) {
            ids.retain(|known| *known != id);
            if ids.is_empty() {
                self.pool.remove(&hop);
            }
        }
    }

    fn drop_conn(&mut self, id: StreamId) {
        if let Some(conn) = self.conns.remove(id) {
            self.counters.on_gone(conn.kind);
            self.counters.queued_bytes = self.counters.queued_bytes.saturating_sub(conn.waiting() as u64);
            if conn.paused {
                self.counters.paused = self.counters.paused.saturating_sub(1);
            }
        }
    }

    // ---- pausing, interest, timers ----

    /// Reads, or stops reading, a connection of the relay.
    pub(crate) fn set_paused(&mut self, id: StreamId, paused: bool) {
        let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.is_open() && conn.paused != paused) else {
            return;
        };
        conn.paused = paused;
        self.counters.paused = if paused { self.counters.paused + 1 } else { self.counters.paused.saturating_sub(1) };
        self.refresh_interest(id);
    }

    pub(crate) fn refresh_interest(&mut self, id: StreamId) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let wanted = conn.wanted();
        if wanted != conn.interest {
            conn.interest = wanted;
            if epoll::modify(&self.epoll, &conn.socket, word(id), wanted).is_err() {
                self.fail(id, CloseReason::Failed);
            }
        }
    }

    /// Sees to it that the wheel rings no later than the connection's next deadline.
    pub(crate) fn arm(&mut self, id: StreamId) {
        let Some(at) = self.due(id) else {
            return;
        };
        if let Some(conn) = self.conns.get_mut(id)
            && conn.armed_at.is_none_or(|armed| at < armed)
        {
            conn.armed_at = Some(at);
            self.wheel.insert(Alarm { id, at });
        }
    }

    /// When something must be done about a connection that stays as it is.
    fn due(&self, id: StreamId) -> Option<Instant> {
        let conn = self.conns.get(id)?;
        match conn.stage {
            Stage::Connecting { due } | Stage::Handshaking { due } | Stage::Lingering { due } => Some(due),
            Stage::Open => {
                let idle = self.idle_max(&conn.kind).map(|max| conn.active_at + max);
                let proof = must_register(&conn.kind)
                    .then(|| conn.trusted_at + self.config.timers.unregistered_idle());
                [idle, proof].into_iter().flatten().min()
            }
        }
    }

    /// R4; the relay looks after its connections itself.
    pub(crate) fn idle_max(&self, kind: &Kind) -> Option<Duration> {
        let timers = &self.config.timers;
        match (kind.protocol, kind.realm, kind.transport) {
            (Protocol::Msrp, ..) => None,
            (Protocol::Sip, Realm::Core, _) => Some(timers.core_idle()),
            (Protocol::Sip, Realm::Access, Transport::Tls) => Some(timers.tls_idle()),
            (Protocol::Sip, Realm::Access, _) => Some(timers.tcp_idle()),
        }
    }

    /// The alarms that rang and still mean something.
    pub(crate) fn rung(&mut self, due: &mut Vec<Alarm>) {
        due.clear();
        self.wheel.expire(self.now, due);
        let conns = &mut self.conns;
        due.retain(|alarm| match conns.get_mut(alarm.id) {
            Some(conn) if conn.armed_at == Some(alarm.at) => {
                conn.armed_at = None;
                true
            }
            _ => false,
        });
    }

    /// Whether the connection's deadline passed; if not, its alarm is set again.
    pub(crate) fn is_due(&mut self, id: StreamId) -> bool {
        match self.due(id) {
            Some(at) if at <= self.now => true,
            _ => {
                self.arm(id);
                false
            }
        }
    }

    /// Everything closes: the shard ends.
    pub(crate) fn close_all(&mut self) {
        for id in self.conns.ids() {
            self.close(id, CloseReason::Local);
        }
        self.heard.clear();
    }
}

/// Only UEs have to earn their connection, and only by SIP.
pub(crate) fn must_register(kind: &Kind) -> bool {
    kind.protocol == Protocol::Sip && kind.realm == Realm::Access
}

/// The cap of one send queue.
///
/// The relay stops reading at its high mark; what was read by then, and one more buffer of each
/// session on the connection, must still fit.
fn queue_max(config: &Config, protocol: Protocol) -> usize {
    match protocol {
        Protocol::Sip => config.limits.send_queue_bytes_max,
        Protocol::Msrp => config.limits.send_queue_bytes_max.max(2 * config.msrp.queue_high_bytes + 8 * READ_BYTES),
    }
}

fn local_of(socket: &OwnedFd) -> Option<SocketAddr> {
    rustix::net::getsockname(socket).ok()?.try_into().ok()
}

pub(crate) fn word(id: StreamId) -> EventData {
    EventData::new_u64(u64::from(id.generation) << 32 | u64::from(id.slot))
}

/// Writes until the socket is full or everything is out; how much it took.
fn write_some(socket: impl AsFd, parts: &[&[u8]]) -> Result<usize, Errno> {
    let mut taken = 0;
    for group in parts.chunks(PIECES_MAX) {
        let mut pieces = [const { IoSlice::new(&[]) }; PIECES_MAX];
        let mut wanted = 0;
        for (piece, part) in pieces.iter_mut().zip(group) {
            *piece = IoSlice::new(part);
            wanted += part.len();
        }
        match rustix::io::writev(&socket, pieces.get(..group.len()).unwrap_or_default()) {
            Ok(written) => {
                taken += written;
                if written < wanted {
                    break;
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}
