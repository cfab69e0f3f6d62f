//! Who is at the other end of a socket, and what it takes to believe it (R71).
//!
//! ```text
//!              packet from an allowed host            proof, from anywhere
//!   Unknown ───────────────────────────────▶ Known ─────────────────────────▶ Known, moved
//! ```
//! Proof is a packet that SRTP authenticates and that is newer than all before, or, on a plain side,
//! [`Latch::PROBATION`] packets that go on where the stream stopped, while the known source is silent.
//! A genuine move costs [`Latch::SILENCE`] of media, a forged one needs a silent victim and its SSRC.

use super::api::{Latching, Protection, RtpSide};
use ::rtp::Rtp;
use core::net::SocketAddr;
use core::time::Duration;
use wire::Instant;

/// What a source is before its packet was looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The one we know.
    Known,
    /// It may prove itself.
    Stranger,
    /// It may not.
    Foreign,
}

#[derive(Clone, Copy, Debug)]
struct Trace {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    source: SocketAddr,
    last: Trace,
    packets: u8,
}

/// One socket's far end.
#[derive(Clone, Debug, Default)]
pub(super) struct Latch {
    known: Option<SocketAddr>,
    /// Until then a packet from an allowed host may replace `known`: new signalling came.
    open_until: Instant,
    /// The newest packet of the known source.
    last: Option<Trace>,
    candidate: Option<Candidate>,
}

impl Latch {
    /// Packets in a row. One could be a lucky guess at a sequence number, three with the right SSRC
    /// (32 bits), number and timestamp are not.
    const PROBATION: u8 = 3;
    /// How far ahead a stream may go on: five seconds of 20 ms packets.
    const GAP_MAX: u16 = 250;
    /// The known source must have been silent for so long, ten packets of audio, before another one is
    /// believed to go on in its place.
    const SILENCE: Duration = Duration::from_millis(200);
    /// After an answer a phone that changes its socket begins to send at once.
    const OPEN: Duration = Duration::from_secs(5);

    pub(super) const fn known(&self) -> Option<SocketAddr> {
        self.known
    }

    /// New signalling: for a while a packet from an allowed host counts as the first one did.
    pub(super) fn reopen(&mut self, now: Instant) {
        self.open_until = now + Self::OPEN;
        self.candidate = None;
    }

    /// Forgets the far end: its signalled address changed.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes a source that is proved. True if it is another one than before.
    pub(super) fn take(&mut self, source: SocketAddr) -> bool {
        self.candidate = None;
        self.open_until = Instant::ZERO;
        self.known.replace(source) != Some(source)
    }

    /// Whether a socket for RTCP may take another source, given that its host is that of the media.
    ///
    /// Only after new signalling: without an SSRC that is known there is nothing to go on with.
    pub(super) fn may_follow(&self, now: Instant) -> bool {
        self.is_unlatched(now)
    }

    /// `signalled` is the address that belongs to this socket.
    pub(super) fn standing(
        &self,
        source: SocketAddr,
        signalled: Option<SocketAddr>,
        side: &RtpSide,
        now: Instant,
    ) -> Standing {
        if side.ice.is_some() {
            // Only a connectivity check makes a source known.
            return if self.known == Some(source) { Standing::Known } else { Standing::Foreign };
        }
        match side.latching {
            Latching::Strict if signalled != Some(source) => Standing::Foreign,
            _ if self.known == Some(source) => Standing::Known,
            _ if side.protection != Protection::Plain => Standing::Stranger,
            _ if self.is_unlatched(now) && !may_be_first(source, signalled, side) => Standing::Foreign,
            _ => Standing::Stranger,
        }
    }

    fn is_unlatched(&self, now: Instant) -> bool {
        self.known.is_none() || now < self.open_until
    }

    /// Notes a packet of the known source: candidates start again.
    pub(super) fn on_known(&mut self, packet: &Rtp, now: Instant) {
        if self.last.is_none_or(|last| last.ssrc != packet.ssrc || last.is_before(packet)) {
            self.last = Some(Trace::of(packet, now));
        }
        self.candidate = None;
    }

    /// Whether an authenticated packet is the newest, so that its source is where the sender is.
    ///
    /// A late one may be a copy that somebody else sent on.
    pub(super) fn is_newest(&self, packet: &Rtp) -> bool {
        self.last.is_none_or(|last| last.ssrc != packet.ssrc || last.is_before(packet))
    }

    /// A plain media packet of a stranger: whether it is proved by it.
    pub(super) fn is_proved_by(
        &mut self,
        packet: &Rtp,
        source: SocketAddr,
        signalled: Option<SocketAddr>,
        side: &RtpSide,
        now: Instant,
    ) -> bool {
        if self.is_unlatched(now) {
            let is_at_once = side.latching != Latching::Anyone || signalled == Some(source);
            if is_at_once && may_be_first(source, signalled, side) {
                return true;
            }
            if side.latching == Latching::Anyone {
                return self.count(packet, source, now);
            }
        }
        let goes_on = self.last.is_some_and(|last| {
            now.since(last.at) >= Self::SILENCE
                && last.goes_on_with(packet, now, side.clock_rate, Self::GAP_MAX)
        });
        goes_on && self.count(packet, source, now)
    }

    /// Counts packets in a row of one candidate. Another candidate starts again.
    fn count(&mut self, packet: &Rtp, source: SocketAddr, now: Instant) -> bool {
        let packets = match self.candidate {
            Some(candidate) if candidate.source == source => {
                let is_next =
                    candidate.last.ssrc == packet.ssrc && (1..=3).contains(&candidate.last.distance(packet));
                if is_next { candidate.packets + 1 } else { 1 }
            }
            _ => 1,
        };
        self.candidate = Some(Candidate { source, last: Trace::of(packet, now), packets });
        packets >= Self::PROBATION
    }
}

/// Whether a side's first packet may come from here.
pub(super) fn may_be_first(source: SocketAddr, signalled: Option<SocketAddr>, side: &RtpSide) -> bool {
    match side.latching {
        Latching::Strict => signalled == Some(source),
        Latching::Signaller { host } => {
            source.ip() == host || signalled.is_some_and(|signalled| signalled.ip() == source.ip())
        }
        Latching::Anyone => true,
    }
}

/// Where packets go while no source is known. A signalled address that is not the signaller's host is
/// behind a NAT, or somebody who did not ask for our packets: it has to send first.
pub(super) fn first_target(signalled: Option<SocketAddr>, side: &RtpSide) -> Option<SocketAddr> {
    if side.ice.is_some() {
        return None;
    }
    match side.latching {
        Latching::Strict => signalled,
        Latching::Signaller { host } => signalled.filter(|signalled| signalled.ip() == host),
        Latching::Anyone => None,
    }
}

impl Trace {
    const fn of(packet: &Rtp, at: Instant) -> Self {
        Self { ssrc: packet.ssrc, sequence: packet.sequence, timestamp: packet.timestamp, at }
    }

    const fn distance(&self, packet: &Rtp) -> u16 {
        packet.sequence.wrapping_sub(self.sequence)
    }

    const fn is_before(&self, packet: &Rtp) -> bool {
        (self.distance(packet) as i16) > 0
    }

    /// The same source, a little further in number, and no further in time than it can be.
    fn goes_on_with(&self, packet: &Rtp, now: Instant, clock_rate: u32, gap_max: u16) -> bool {
        let ticks = packet.timestamp.wrapping_sub(self.timestamp) as i32;
        let millis = now.since(self.at).as_millis() + 2_000;
        let ticks_max = millis * u128::from(clock_rate.max(1_000)) / 1_000;
        self.ssrc == packet.ssrc
            && (1..=gap_max).contains(&self.distance(packet))
            && ticks >= 0
            && ticks.unsigned_abs() as u128 <= ticks_max
    }
}
