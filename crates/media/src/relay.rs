//! The MSRP relay of one shard: cut-through, sans-IO.
//!
//! ```text
//!            access                         relay                          core
//!   UE ══ conn ══▶ Reader ─ Head ─▶ find session, bind, hold or go ─▶ new To-Path, From-Path ═▶ conn
//!                         ├ Body ─▶ the same bytes, by reference ───────────────────────────▶
//!                         └ End ──▶ the same bytes; the far connection is free for the next one
//! ```
//! - A session is found by (side, session-id of To-Path, first URI of From-Path), and bound to one
//!   connection per side by the first SEND from the signalled address (R77).
//! - One message at a time is written into a connection. A source that would break into another's
//!   message is held, first come first served, one message each turn; so are sources whose far side is
//!   not connected, and all who feed a connection whose queue is over the high mark. Held means: its
//!   unread octets (a read buffer at most) are kept here and reading from it is paused.
//! - Chunks of any size pass in constant memory; nothing but the paths changes (R73, R74).
//! - The relay answers by itself only where nobody else can: 400, 408, 413, 481, 501, 506, and never
//!   where Failure-Report says no (R76).

mod answer;
pub mod api;
mod chunk;
mod classic;
mod conn;
mod content;
mod counters;
mod ends;
mod out;
mod paths;
mod rates;
mod route;
mod session;
mod sizes;
mod split;
mod timers;
mod trust;

pub use api::{Action, Event, Limits, Outbox, Reason, Segment, Trust};
pub use classic::ClassicLimits;
pub use counters::Counters;

use crate::command::MediaCommand;
use classic::Classic;
use conn::{Conn, Conns, Readers, Wait};
use rates::Rates;
use session::Sessions;
use std::collections::VecDeque;
use timers::Timers;
use wire::{Cause, Instant, Random, StreamId, Transport};

/// All sessions and MSRP connections of one shard.
#[derive(Debug)]
pub struct MsrpRelay {
    limits: Limits,
    conns: Conns,
    sessions: Sessions,
    timers: Timers,
    /// Held connections whose obstacle is gone; run before `handle` returns.
    ready: VecDeque<StreamId>,
    /// Octets held over all connections.
    held_bytes: usize,
    counters: Counters,
    /// What clients asked for themselves (RFC 4976), if that is served.
    classic: Option<Box<Classic>>,
    /// Reused for table keys.
    scratch: Vec<u8>,
    readers: Readers,
    rates: Rates,
    random: Random,
}

impl MsrpRelay {
    /// An empty relay.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let seed = limits.hash_seed;
        Self {
            conns: Conns::default(),
            sessions: Sessions::new(limits.hash_seed),
            classic: None,
            limits,
            timers: Timers::default(),
            ready: VecDeque::new(),
            held_bytes: 0,
            counters: Counters::default(),
            scratch: Vec::new(),
            readers: Readers::default(),
            rates: Rates::new(seed),
            random: Random::from_u64(seed),
        }
    }

    /// The same, which also serves clients that ask for it themselves (RFC 4976).
    #[must_use]
    pub fn with_classic(limits: Limits, classic: ClassicLimits) -> Self {
        let first_slot = u32::try_from(limits.sessions_max).unwrap_or(u32::MAX / 2);
        let classic = Some(Box::new(Classic::new(classic, first_slot)));
        Self { classic, ..Self::new(limits) }
    }

    /// Takes one event in.
    pub fn handle(&mut self, event: Event<'_>, now: Instant, out: &mut Outbox) {
        match event {
            Event::Opened { conn: id, realm, transport, local: _, peer, dialled_for, certificate } => {
                let mut conn = Conn::new(realm, peer.ip(), now);
                conn.secure = transport == Transport::Tls;
                conn.certificate = certificate.map(|shown| Box::new(shown.clone()));
                self.on_opened(id, conn, dialled_for, now, out);
            }
            Event::Bytes { conn, bytes } => self.on_bytes(conn, bytes, now, out),
            Event::Queued { conn, bytes } => self.on_queued(conn, bytes, now, out),
            Event::Drained { conn } => self.on_drained(conn, out),
            Event::HalfClosed { conn } => self.on_half_closed(conn, now, out),
            Event::Closed { conn } => self.on_closed(conn, now, out),
            Event::DialFailed { id, realm } => {
                self.on_dial_failed(id, realm, Cause::MsrpPeerGone, now, out);
            }
            Event::Command(MediaCommand::Msrp(session)) => self.on_session(*session, now, out),
            // RTP has a relay of its own.
            Event::Command(MediaCommand::Rtp(_)) => {}
            Event::Command(MediaCommand::Release { id, cause }) => self.end_session(id, cause, now, out),
            Event::Users(users) => {
                if let Some(classic) = &mut self.classic {
                    classic.set_users(users);
                }
            }
        }
        self.run_ready(now, out);
    }

    /// Other caps and times from here on, also for the sessions and connections that are there; those that
    /// are over a smaller cap stay. The seed stays too.
    pub fn set_limits(&mut self, limits: Limits, now: Instant, out: &mut Outbox) {
        let seed = self.limits.hash_seed;
        self.limits = limits;
        self.limits.hash_seed = seed;
        // Shorter times must ring earlier; whoever waits at a limit that is gone looks again.
        for id in self.sessions.ids() {
            self.arm_session(id);
        }
        for id in self.conns.ids() {
            if let Some(conn) = self.conns.of_mut(id)
                && let Wait::Rate { until } = &mut conn.wait
            {
                *until = now;
            }
            self.arm_conn(id);
        }
        self.run_ready(now, out);
    }

    /// When to wake the relay next, and why; may lie in the past.
    #[must_use]
    pub fn next_deadline(&self) -> Option<(Instant, Reason)> {
        self.timers.next()
    }

    /// Does what is due. Work per call is bounded: ask `next_deadline` again.
    pub fn handle_deadline(&mut self, now: Instant, out: &mut Outbox) {
        for _ in 0..ALARMS_PER_TURN {
            let Some(alarm) = self.timers.pop_due(now) else { break };
            self.on_alarm(alarm, now, out);
        }
        self.run_ready(now, out);
    }

    /// What was counted since the start.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Sessions at this moment.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.count()
    }

    /// Connections at this moment.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.conns.count()
    }

    /// Octets of held input at this moment.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn run_ready(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(conn) = self.ready.pop_front() {
            self.resume(conn, now, out);
        }
    }

    fn count(&mut self, cause: Cause) {
        self.counters.add(cause);
    }
}

/// Alarms per turn: far above what a steady state has, far below what would delay a packet by a millisecond.
const ALARMS_PER_TURN: usize = 256;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
