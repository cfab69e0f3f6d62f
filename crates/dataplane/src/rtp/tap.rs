//! Captures: copies of one call's packets for an operator, bounded in time and size.

use super::{Outgoing, Rtp};
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;
use telemetry::capture::{Capture, Side};
use wire::{Instant, MediaId};

/// Captures at a time.
const TAPS_MAX: usize = 16;

/// A capture that runs.
#[derive(Debug)]
pub(super) struct Tap {
    capture: Arc<Capture>,
    ends_at: Instant,
    /// The time since 1970 at `Instant::ZERO`.
    epoch: Duration,
}

impl Rtp {
    /// Begins a capture: `epoch` is the time since 1970 at `Instant::ZERO`. How many sessions it sees at
    /// once, none if the call is not here; those that it opens later are seen as well.
    pub(crate) fn capture(&mut self, capture: Arc<Capture>, ends_at: Instant, epoch: Duration) -> usize {
        let of_call = |call_id: &str| *call_id == *capture.call_id;
        let held = self.held.iter().flatten().filter(|held| of_call(&held.about.call_id));
        let ids: Vec<MediaId> = held.map(|held| held.id).collect();
        if ids.is_empty() || self.taps.len() >= TAPS_MAX {
            return 0;
        }
        for id in &ids {
            self.set_tap(*id, Some(&capture));
        }
        self.taps.push(Tap { capture, ends_at, epoch });
        ids.len()
    }

    /// The capture that a new session of this call belongs to.
    pub(super) fn tap_for(&self, call_id: &str) -> Option<Arc<Capture>> {
        let tap = self.taps.iter().find(|tap| *tap.capture.call_id == *call_id);
        tap.map(|tap| Arc::clone(&tap.capture))
    }

    pub(super) fn taps_deadline(&self) -> Option<Instant> {
        self.taps.iter().map(|tap| tap.ends_at).min()
    }

    /// Ends the captures whose time is up.
    pub(super) fn end_taps(&mut self, now: Instant) {
        for tap in self.taps.extract_if(.., |tap| tap.ends_at <= now).collect::<Vec<_>>() {
            let held = self.held.iter().flatten();
            let has_it = |capture: &Arc<Capture>| Arc::ptr_eq(capture, &tap.capture);
            let ids: Vec<MediaId> =
                held.filter(|held| held.tap.as_ref().is_some_and(has_it)).map(|held| held.id).collect();
            for id in ids {
                self.set_tap(id, None);
            }
        }
    }

    fn set_tap(&mut self, id: MediaId, capture: Option<&Arc<Capture>>) {
        self.relay.tap(id, capture.is_some());
        let Some(held) = self.held_mut(id) else { return };
        held.tap = capture.map(Arc::clone);
        let sockets = held.sockets;
        for at in sockets.as_flattened() {
            if let Some(socket) = self.sockets.get_mut(*at) {
                socket.is_tapped = capture.is_some();
            }
        }
    }

    /// A datagram came.
    pub(super) fn tap_in(&mut self, at: u32, source: SocketAddr, bytes: &[u8], now: Instant) {
        let Some(local) = self.sockets.get(at).map(|socket| socket.local) else { return };
        self.copy(at, Side::Wire, source, local, bytes, now);
    }

    /// It goes on: `sent` is what leaves, or nothing where `reply` does.
    pub(super) fn tap_out(
        &mut self,
        at: u32,
        source: SocketAddr,
        outgoing: &Outgoing,
        sent: &[u8],
        now: Instant,
    ) {
        let [here, there] = [at, outgoing.socket].map(|at| self.sockets.get(at).map(|socket| socket.local));
        let (Some(here), Some(there)) = (here, there) else { return };
        match outgoing.len {
            Some(_) => {
                let plain = self.relay.take_plain();
                self.copy(at, Side::Plain, source, here, &plain, now);
                self.relay.put_plain(plain);
                self.copy(at, Side::Wire, there, outgoing.peer, sent, now);
            }
            None => {
                let reply = core::mem::take(&mut self.reply);
                self.copy(at, Side::Wire, there, outgoing.peer, &reply, now);
                self.reply = reply;
            }
        }
    }

    /// Copies a datagram into the capture of its session, if that one looks from there.
    fn copy(&mut self, at: u32, side: Side, from: SocketAddr, to: SocketAddr, bytes: &[u8], now: Instant) {
        let held = self.sockets.get(at).and_then(|socket| self.held(socket.session));
        let Some(capture) = held.and_then(|held| held.tap.as_ref()).filter(|tap| tap.side == side) else {
            return;
        };
        let Some(tap) = self.taps.iter().find(|tap| Arc::ptr_eq(&tap.capture, capture)) else { return };
        let at = tap.epoch + Duration::from_micros(now.as_micros());
        let is_written = capture.write(at, from, to, bytes);
        self.counters.captured += u64::from(is_written);
    }
}
