//! Packets by io_uring: received without being asked for, sent together with the next wait.

use super::ring::{Came, Ring};
use super::{Engine, Rtp};
use config::MediaIo;
use core::time::Duration;
use rustix::event::epoll;
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::SendFlags;
use std::io;
use wire::Instant;

/// Packets that wait to be sent before they are handed over without waiting for the end of the turn: the
/// kernel needs their buffers.
const PENDING_MAX: usize = 64;
/// A nap ends early when so many packets are there.
const NAP_PACKETS: usize = 32;

impl Engine {
    /// What `media.io` asks for, as far as this system has it. `auto` takes io_uring only where it won by
    /// measurement, which it does nowhere yet: see docs/media.md.
    ///
    /// # Errors
    /// If io_uring is demanded and forbidden.
    pub(super) fn start(wanted: MediaIo, epoll: &OwnedFd) -> io::Result<Self> {
        match wanted {
            MediaIo::Auto | MediaIo::Epoll => Ok(Self::Epoll),
            MediaIo::IoUring => {
                let mut ring = Ring::new()?;
                ring.watch(epoll.as_fd())?;
                Ok(Self::Ring(Box::new(ring)))
            }
        }
    }
}

/// Whether this system lets us use io_uring.
///
/// # Errors
/// What it said.
pub(crate) fn probe() -> io::Result<()> {
    // On a thread of its own: the end of a ring disturbs system calls of the thread that made it.
    let probe = std::thread::Builder::new().name("io_uring".to_owned()).spawn(|| Ring::new().map(drop))?;
    probe.join().unwrap_or_else(|_| Err(io::ErrorKind::Unsupported.into()))
}

/// Which socket a completion belongs to: a slot may be used again while one is on its way.
pub(super) fn token(at: u32, serial: u32) -> u64 {
    u64::from(serial & (u32::MAX >> 1)) << 32 | u64::from(at)
}

impl Rtp {
    /// Waits for packets and for `epoll`, until `overdue` says that there is no time; whether events may
    /// wait in `epoll`.
    pub(crate) fn wait_in_ring(&mut self, nap: Option<Duration>, is_overdue: bool) -> io::Result<()> {
        let Engine::Ring(ring) = &mut self.engine else { return Ok(()) };
        if is_overdue {
            return ring.submit();
        }
        match nap {
            Some(nap) => ring.wait(NAP_PACKETS, Some(nap)),
            None => ring.wait(1, None),
        }
    }

    /// Whether packets come by io_uring.
    pub(crate) const fn has_ring(&self) -> bool {
        matches!(self.engine, Engine::Ring(_))
    }

    /// Works off what came; whether there is something in epoll.
    pub(crate) fn on_completions(&mut self, now: Instant) -> bool {
        // Nothing on the way asks for the engine.
        let Engine::Ring(mut ring) = core::mem::replace(&mut self.engine, Engine::Epoll) else {
            return false;
        };
        let mut is_ready = false;
        ring.completions(|ring, came| match came {
            Came::Ready => is_ready = true,
            Came::Unsent => self.counters.unsendable += 1,
            Came::Deaf { token } => self.listen_again(ring, token),
            Came::Datagram { token: t, buffer, source, len } => {
                let at = t as u32;
                let is_current = self.sockets.get(at).is_some_and(|s| token(at, s.serial) == t);
                let relayed = match len.filter(|_| is_current) {
                    Some(len) => {
                        self.pace.on_packet();
                        self.relay_in_ring(ring, at, buffer, source, len, now)
                    }
                    None => {
                        self.counters.unsendable += u64::from(is_current);
                        false
                    }
                };
                if !relayed {
                    ring.give_back(buffer);
                }
            }
        });
        self.engine = Engine::Ring(ring);
        is_ready
    }

    /// Judges a datagram where it lies; whether it is being sent.
    fn relay_in_ring(
        &mut self,
        ring: &mut Ring,
        at: u32,
        buffer: u16,
        source: core::net::SocketAddr,
        len: usize,
        now: Instant,
    ) -> bool {
        let Some(outgoing) = self.judge(at, source, ring.payload(buffer), len, now) else { return false };
        let Some(socket) = self.sockets.get(outgoing.socket) else {
            self.counters.unsendable += 1;
            return false;
        };
        let Some(len) = outgoing.len else {
            let sent = rustix::net::sendto(&socket.fd, &self.reply, SendFlags::DONTWAIT, &outgoing.peer);
            self.counters.unsendable += u64::from(sent.is_err());
            return false;
        };
        let peer = (socket.connected != Some(outgoing.peer)).then_some(outgoing.peer);
        let is_taken = ring.send(socket.fd.as_fd(), buffer, len, peer).is_ok();
        self.counters.unsendable += u64::from(!is_taken);
        if ring.pending() >= PENDING_MAX {
            // What it cannot say here, the next wait says.
            let _ = ring.submit();
        }
        is_taken
    }

    /// The kernel ran out of buffers and stopped: what came meanwhile waits in the socket.
    fn listen_again(&mut self, ring: &mut Ring, t: u64) {
        let at = t as u32;
        if let Some(socket) = self.sockets.get(at).filter(|s| token(at, s.serial) == t)
            && ring.listen(socket.fd.as_fd(), t).is_err()
        {
            self.counters.sockets_failed += 1;
        }
    }

    /// From here on, packets to socket `at` are reported.
    pub(super) fn start_listening(&mut self, at: u32, epoll: &OwnedFd) -> io::Result<()> {
        let Some(socket) = self.sockets.get(at) else { return Ok(()) };
        match &mut self.engine {
            Engine::Epoll => {
                let data = epoll::EventData::new_u64(super::sessions::word(at));
                Ok(epoll::add(epoll, &socket.fd, data, epoll::EventFlags::IN)?)
            }
            Engine::Ring(ring) => ring.listen(socket.fd.as_fd(), token(at, socket.serial)),
        }
    }

    /// Closes a socket; its port is free on return.
    pub(super) fn close(&mut self, at: u32) {
        // Closing takes it out of epoll.
        let Some(socket) = self.sockets.remove(at) else { return };
        if let Engine::Ring(ring) = &mut self.engine
            && let Err(error) = ring.forget(token(at, socket.serial))
        {
            tracing::error!(%error, local = %socket.local, "a media socket stays open");
        }
    }
}
