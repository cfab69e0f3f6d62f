//! Sessions come, change and go, and their sockets with them.

use super::socket::{self, MediaSocket, NONE};
use super::{Held, Rtp};
use core::net::SocketAddr;
use media::command::RtpOrder;
use media::rtp::{Component, Latching, Notice, RtcpPort, RtpNotice, RtpSession};
use rustix::fd::OwnedFd;
use std::io;
use wire::{Cause, Instant, MediaId, Realm};

const SIDES: [Realm; 2] = [Realm::Access, Realm::Core];
const COMPONENTS: [Component; 2] = [Component::Rtp, Component::Rtcp];

impl Rtp {
    /// Whether `id` is a session of RTP.
    pub(crate) fn holds(&self, id: MediaId) -> bool {
        self.held(id).is_some()
    }

    /// Opens a session, or replaces what is signalled of one.
    pub(crate) fn order(&mut self, order: RtpOrder, epoll: &OwnedFd, now: Instant) {
        let id = order.id;
        let slot = id.slot as usize;
        // The edge uses a slot again only after its session ended; if it forgot to say so, it ended here.
        if let Some(stale) = self.held.get(slot).and_then(Option::as_ref).map(|h| h.id).filter(|h| *h != id) {
            self.release(stale, Cause::Internal, now);
        }
        let is_new = !self.holds(id);
        if is_new && self.relay.len() >= self.config.media.sessions_max {
            self.refuse(id, Cause::TableFull);
            return;
        }
        let local = [order.access_local, order.core_local];
        let session = order.session;
        if let Err(cause) = self.relay.set(id, session.clone(), now, &mut self.notices) {
            self.refuse(id, cause);
            return;
        }
        if is_new {
            if self.held.len() <= slot {
                self.held.resize_with(slot + 1, || None);
            }
            let tap = self.tap_for(&order.about.call_id);
            self.relay.tap(id, tap.is_some());
            let sockets = [[NONE; 2]; 2];
            let (is_strict, about) = ([false; 2], order.about);
            self.held[slot] = Some(Box::new(Held { id, local, sockets, is_strict, about, tap }));
        } else if let Some(held) = self.held_mut(id) {
            held.about = order.about;
        }
        if let Err(error) = self.open_sockets(id, &session, epoll) {
            self.counters.sockets_failed += 1;
            tracing::warn!(%error, access = %local[0], core = %local[1], "no media socket");
            self.release(id, Cause::NoMediaPorts, now);
            return;
        }
        self.fit_connections(id, &session);
    }

    /// Ends a session and closes its sockets.
    pub(crate) fn release(&mut self, id: MediaId, cause: Cause, now: Instant) {
        let record = self.record(id, cause, now);
        self.relay.release(id, cause, now, &mut self.notices);
        let place = self.held.get_mut(id.slot as usize);
        let Some(held) = place.and_then(|place| place.take_if(|held| held.id == id)) else {
            return;
        };
        for at in held.sockets.as_flattened() {
            self.close(*at);
        }
        if let Some(record) = record {
            self.count_quality(&record);
            record.write();
        }
    }

    /// What there is to tell the edge; whether sockets follow their sources is seen to on the way.
    pub(crate) fn take_notices(&mut self, mut tell: impl FnMut(RtpNotice)) {
        let mut notices = core::mem::take(&mut self.notices);
        for notice in notices.drain(..) {
            if let RtpNotice::Session { id, notice: Notice::Latched { realm, component, source } } = notice {
                self.on_latched(id, realm, component, source);
            }
            tell(notice);
        }
        self.notices = notices;
    }

    /// Whether there is something to tell.
    pub(crate) fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    pub(super) fn held(&self, id: MediaId) -> Option<&Held> {
        self.held.get(id.slot as usize)?.as_deref().filter(|held| held.id == id)
    }

    pub(super) fn held_mut(&mut self, id: MediaId) -> Option<&mut Held> {
        self.held.get_mut(id.slot as usize)?.as_deref_mut().filter(|held| held.id == id)
    }

    /// Tells the edge that a session could not be opened.
    fn refuse(&mut self, id: MediaId, cause: Cause) {
        let duration = core::time::Duration::ZERO;
        let (access, core) = (Box::default(), Box::default());
        self.notices.push(RtpNotice::Ended { id, cause, duration, access, core });
    }

    /// Opens what the session needs and does not have: RTCP has a socket of its own unless multiplexed.
    fn open_sockets(&mut self, id: MediaId, session: &RtpSession, epoll: &OwnedFd) -> io::Result<()> {
        for realm in SIDES {
            for component in COMPONENTS {
                let is_needed = component == Component::Rtp || session.side(realm).rtcp == RtcpPort::Own;
                let Some(held) = self.held(id) else { return Ok(()) };
                if !is_needed || held.sockets[realm as usize][component as usize] != NONE {
                    continue;
                }
                let (local, is_tapped) = (held.local[realm as usize], held.tap.is_some());
                let local = at_component(local, component)?;
                let dscp = self.config.realm.of(realm).media_dscp;
                let far_end = match component {
                    Component::Rtp => session.side(realm).remote,
                    Component::Rtcp => session.side(realm).remote_rtcp,
                };
                let (fd, connected) = match socket::open(local, dscp) {
                    Ok(fd) => (fd, None),
                    Err(error) => {
                        let fork = self.sockets.bound_to(local).zip(far_end);
                        let (other, peer) =
                            fork.filter(|_| error.kind() == io::ErrorKind::AddrInUse).ok_or(error)?;
                        (socket::open_beside(&other.fd, local, peer, dscp)?, Some(peer))
                    }
                };
                let at = self.sockets.insert(MediaSocket {
                    fd,
                    local,
                    session: id,
                    realm,
                    component,
                    far: [NONE; 2],
                    connected,
                    is_settled: false,
                    vetted: None,
                    is_tapped,
                    serial: 0,
                    is_shared: connected.is_some(),
                });
                if let Some(held) = self.held_mut(id) {
                    held.sockets[realm as usize][component as usize] = at;
                }
                self.start_listening(at, epoll)?;
            }
        }
        let Some(sockets) = self.held(id).map(|held| held.sockets) else { return Ok(()) };
        for realm in SIDES {
            for at in sockets[realm as usize] {
                if let Some(socket) = self.sockets.get_mut(at) {
                    socket.far = sockets[realm.other() as usize];
                }
            }
        }
        Ok(())
    }

    /// After new signalling: a socket stays connected only to a source that is still the right one.
    fn fit_connections(&mut self, id: MediaId, session: &RtpSession) {
        let is_strict = SIDES.map(|realm| session.side(realm).latching == Latching::Strict);
        let Some(held) = self.held_mut(id) else { return };
        held.is_strict = is_strict;
        let sockets = held.sockets;
        for realm in SIDES {
            for component in COMPONENTS {
                let source = self.relay.session(id).and_then(|session| session.source(realm, component));
                let at = sockets[realm as usize][component as usize];
                let Some(socket) = self.sockets.get_mut(at) else { continue };
                let moves = !socket.is_shared;
                if moves
                    && socket.connected.is_some()
                    && (socket.connected != source || !is_strict[realm as usize])
                {
                    socket.disconnect();
                }
            }
        }
    }

    fn on_latched(&mut self, id: MediaId, realm: Realm, component: Component, source: SocketAddr) {
        let Some(held) = self.held(id).filter(|held| held.is_strict[realm as usize]) else { return };
        let at = held.sockets[realm as usize][component as usize];
        if let Some(socket) = self.sockets.get_mut(at).filter(|socket| !socket.is_shared) {
            socket.connect(source);
        }
    }
}

/// The even port for RTP, the next one for RTCP (RFC 3550 §11).
fn at_component(even: SocketAddr, component: Component) -> io::Result<SocketAddr> {
    let port = match component {
        Component::Rtp => Some(even.port()),
        Component::Rtcp => even.port().checked_add(1),
    };
    // Any port would be one that nobody was told.
    let port = port.filter(|port| *port != 0).ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(SocketAddr::new(even.ip(), port))
}

/// Epoll words of media sockets: the upper half is 0, as of all that is not a connection, and the lower
/// half lies above those of the fixed sockets.
pub(crate) const WORDS: u64 = 1 << 31;

pub(super) fn word(at: u32) -> u64 {
    WORDS | u64::from(at)
}
