//! Connections come into being: accepted, or dialled.

use super::WebSocket;
use super::{Heard, Hop, Io, word};
use crate::bind::{Listener, Protocol, connect};
use crate::conn::{Conn, Kind, OpenedBy, Queue, Stage};
use crate::tls::Session;
use core::net::{IpAddr, SocketAddr};
use media::relay::Trust;
use rustix::event::epoll::{self, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use telemetry::flow::Refusal;
use wire::{CloseReason, Instant, Realm, StreamId, Transport};

impl Io {
    /// Takes in an accepted connection, or says why not.
    pub(crate) fn adopt(
        &mut self,
        socket: OwnedFd,
        peer: SocketAddr,
        listener: &Listener,
    ) -> Result<(), Refusal> {
        let Listener { protocol, realm, transport, .. } = *listener;
        if self.is_barred(realm, peer.ip()) {
            return Err(Refusal::Blacklisted);
        }
        let limits = &self.config.limits;
        // The core is trusted and few; UEs share addresses behind NATs.
        let source = (realm == Realm::Access).then(|| peer.ip());
        let permit = self.quota.admit(source, limits.connections_max, limits.connections_per_source_max)?;
        if transport == Transport::Tls && self.counters.handshakes_open as usize >= limits.handshakes_max {
            return Err(Refusal::HandshakesMax);
        }
        // Chat is bound by wake-ups, not by bytes: nothing may wait for more to come.
        let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
        let tls = match transport {
            Transport::Tls => Some(self.serve_tls(realm, protocol).ok_or(Refusal::Failed)?),
            _ => None,
        };
        let kind = Kind { protocol, realm, transport, opened_by: OpenedBy::Peer };
        let websocket = listener.websocket.then(|| WebSocket::Upgrading(Vec::new()));
        let stage = match tls {
            Some(_) => Stage::Handshaking { due: self.now + self.config.timers.handshake() },
            None => self.stage_after_handshake(websocket.as_ref()),
        };
        let id = self.conns.insert(Conn {
            socket,
            kind,
            peer,
            stage,
            tls,
            websocket,
            queue: Queue::default(),
            early: None,
            interest: EventFlags::IN,
            paused: false,
            was_high: false,
            read_closed: false,
            write_closed: false,
            active_at: self.now,
            hold_until: Instant::ZERO,
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
        } else if stage == Stage::Open {
            self.heard.push_back(Heard::Opened(id));
        }
        self.arm(id);
        Ok(())
    }

    fn serve_tls(&self, realm: Realm, protocol: Protocol) -> Option<Box<Session>> {
        Session::server(self.material.server(realm, protocol)?).ok().map(Box::new)
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
        if self.is_barred(hop.realm, hop.peer.ip()) {
            self.counters.refuse(Refusal::Blacklisted);
            return None;
        }
        let permit = self.quota.admit(None, self.config.limits.connections_max, 0);
        let permit = permit.inspect_err(|why| self.counters.refuse(*why)).ok()?;
        let (protocol, buffer_bytes) = match opened_by {
            OpenedBy::Media(..) => (Protocol::Msrp, self.config.msrp.socket_buffer_bytes),
            _ => (Protocol::Sip, 0),
        };
        let tls = match hop.transport {
            Transport::Tls => {
                let trust = match opened_by {
                    OpenedBy::Media(_, trust) => trust,
                    _ => Trust::Authority,
                };
                let (config, name) = self.material.client(hop.realm, hop.peer.ip(), trust)?;
                Some(Box::new(Session::client(config, name).ok()?))
            }
            _ => None,
        };
        let socket = connect(hop.peer, self.source_for(hop, protocol), buffer_bytes).ok()?;
        let kind = Kind { protocol, realm: hop.realm, transport: hop.transport, opened_by };
        let id = self.conns.insert(Conn {
            socket,
            kind,
            peer: hop.peer,
            stage: Stage::Connecting { due: self.now + self.config.timers.connect() },
            tls,
            websocket: None,
            queue: Queue::default(),
            early: None,
            interest: EventFlags::OUT,
            paused: false,
            was_high: false,
            read_closed: false,
            write_closed: false,
            active_at: self.now,
            hold_until: Instant::ZERO,
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

    pub(super) fn dial_failed(&mut self, hop: Hop, opened_by: OpenedBy) {
        self.counters.on_dial_failed(hop.realm);
        match opened_by {
            OpenedBy::Media(id, _) => self.heard.push_back(Heard::DialFailed { id, realm: hop.realm }),
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
    pub(super) fn open(&mut self, id: StreamId) {
        let Some(conn) = self.conns.get(id) else {
            return;
        };
        let stage = self.stage_after_handshake(conn.websocket.as_ref());
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        conn.stage = stage;
        if stage != Stage::Open {
            self.arm(id);
            return;
        }
        conn.active_at = self.now;
        conn.trusted_at = self.now;
        let early = conn.early.take().map(|mut early| early.take()).unwrap_or_default();
        self.counters.queued_bytes = self.counters.queued_bytes.saturating_sub(early.len() as u64);
        self.heard.push_back(Heard::Opened(id));
        self.arm(id);
        if early.is_empty() {
            self.refresh_interest(id);
        } else {
            self.send(id, &[&early]);
        }
    }
}
