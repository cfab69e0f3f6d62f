//! Takes in connections: a few a turn, within the caps, and without ever blocking on a full table.

use super::Shard;
use crate::machine::{Relaying, Signalling};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use telemetry::flow::Refusal;

impl<S: Signalling, R: Relaying> Shard<S, R> {
    /// Accepts from one listener; what does not fit into this turn is reported again by epoll.
    pub(super) fn accept(&mut self, at: usize) {
        let listeners = std::sync::Arc::clone(&self.listeners);
        let Some(listener) = listeners.get(at) else {
            return;
        };
        for _ in 0..self.io.config.limits.accepts_per_turn_max {
            match acceptfrom_with(&listener.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok((socket, peer)) => {
                    let Some(peer) = peer.and_then(|peer| peer.try_into().ok()) else {
                        continue;
                    };
                    if let Err(why) = self.io.adopt(socket, peer, listener) {
                        self.io.counters.refuse(why);
                    }
                }
                Err(Errno::MFILE | Errno::NFILE) => {
                    if !self.refuse_one(&listener.socket) {
                        return;
                    }
                }
                // The peer gave up before we came, or a signal: the next one may be there.
                Err(Errno::CONNABORTED | Errno::INTR | Errno::PROTO) => {}
                Err(_) => return,
            }
            self.settle();
        }
    }

    /// Without a descriptor a waiting connection can be neither served nor refused, and epoll would
    /// report it for ever: one descriptor is kept for that.
    fn refuse_one(&mut self, listener: &OwnedFd) -> bool {
        self.io.counters.refuse(Refusal::NoDescriptor);
        self.spare = None;
        let refused = acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).is_ok();
        self.spare = spare();
        refused
    }
}

/// A descriptor that can be given up.
pub(super) fn spare() -> Option<OwnedFd> {
    open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}
