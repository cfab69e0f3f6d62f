//! The RTP sessions of one shard.
//!
//! The shell knows for each of its media sockets the session, the side and the component; it asks here
//! what to do with a datagram, and when to look again.

use super::api::{Datagram, Drop, Limits, Notice, Outbox, RtpSession, Sending, SideTotals, Verdict};
use super::dtls::Dtls;
use super::session::Session;
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::{Cause, Instant, MediaId, Realm};

/// What is reported of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RtpNotice {
    /// Something happened in it.
    Session {
        /// The session.
        id: MediaId,
        /// What.
        notice: Notice,
    },
    /// It ended, after `MediaCommand::Release` or because its ports could not be had. The id is dead; the
    /// edge hears of it once the sockets are closed, so that the ports may be given back.
    Ended {
        /// The session.
        id: MediaId,
        /// Why.
        cause: Cause,
        /// How long it stood.
        duration: Duration,
        /// What came from the UE.
        access: Box<SideTotals>,
        /// What came from the core.
        core: Box<SideTotals>,
    },
}

/// Counts since the start; they only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sessions opened.
    pub sessions: u64,
    /// Datagrams passed on, by the side they came from.
    pub forwarded: [u64; 2],
    /// Octets that came in them.
    pub octets: [u64; 2],
    /// Datagrams dropped, in the order of [`Drop::ALL`].
    pub drops: [u64; Drop::ALL.len()],
    /// Connectivity checks answered.
    pub replies: u64,
    /// Datagrams and commands for sessions that are not there.
    pub strays: u64,
    /// Sessions that were found one-way.
    pub one_way: u64,
    /// Sessions that were found inactive.
    pub inactive: u64,
}

/// All RTP sessions of one shard: see the module.
#[derive(Debug)]
pub struct RtpRelay {
    limits: Limits,
    sessions_max: usize,
    /// By the slot of their id.
    slots: Vec<Option<(MediaId, Box<Session>)>>,
    alarms: BTreeSet<(Instant, MediaId)>,
    counters: Counters,
    /// Reused between datagrams.
    out: Outbox,
    dtls: Option<Arc<Dtls>>,
    sendings: Vec<(MediaId, Sending)>,
}

impl RtpRelay {
    /// No sessions yet, and never more than `sessions_max`.
    #[must_use]
    pub fn new(limits: Limits, sessions_max: usize) -> Self {
        Self {
            limits,
            sessions_max,
            slots: Vec::new(),
            alarms: BTreeSet::new(),
            counters: Counters::default(),
            out: Outbox::default(),
            dtls: None,
            sendings: Vec::new(),
        }
    }

    /// Opens a session, or replaces what is signalled of one.
    ///
    /// # Errors
    /// `TableFull` where a new session finds no room.
    pub fn set(
        &mut self,
        id: MediaId,
        signalled: RtpSession,
        now: Instant,
        out: &mut Vec<RtpNotice>,
    ) -> Result<(), Cause> {
        if let Some(session) = find(&mut self.slots, id) {
            self.alarms.remove(&(session.next_deadline(), id));
            session.update(signalled, now);
            self.alarms.insert((session.next_deadline(), id));
            return Ok(());
        }
        let slot = id.slot as usize;
        // The edge reuses a slot only after its session ended; if it forgot to say so, it ended now.
        if let Some((stale, _)) = self.slots.get(slot).and_then(Option::as_ref) {
            self.release(*stale, Cause::Internal, now, out);
        }
        // A table as long as the highest slot: the cap on slots is the cap on sessions.
        if slot >= self.sessions_max {
            return Err(Cause::TableFull);
        }
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        let session =
            Box::new(Session::new(signalled, self.limits.clone(), now).with_dtls(self.dtls.clone()));
        self.alarms.insert((session.next_deadline(), id));
        self.slots[slot] = Some((id, session));
        self.counters.sessions += 1;
        Ok(())
    }

    /// Ends a session and tells what came of it.
    pub fn release(&mut self, id: MediaId, cause: Cause, now: Instant, out: &mut Vec<RtpNotice>) {
        let Some(slot) = self.slots.get_mut(id.slot as usize) else {
            self.counters.strays += 1;
            return;
        };
        let Some((_, session)) = slot.take_if(|(held, _)| *held == id) else {
            self.counters.strays += 1;
            return;
        };
        self.alarms.remove(&(session.next_deadline(), id));
        let [access, core] = [Realm::Access, Realm::Core].map(|realm| Box::new(session.totals(realm)));
        let duration = now.since(session.opened_at());
        out.push(RtpNotice::Ended { id, cause, duration, access, core });
    }

    /// Decides about one datagram; `reply` is replaced where the verdict is `Reply`.
    pub fn handle(
        &mut self,
        id: MediaId,
        datagram: &mut Datagram<'_>,
        now: Instant,
        reply: &mut Vec<u8>,
        out: &mut Vec<RtpNotice>,
    ) -> Verdict {
        let Some(session) = find(&mut self.slots, id) else {
            self.counters.strays += 1;
            return Verdict::Drop(Drop::NotMedia);
        };
        let (from, len) = (datagram.from as usize, datagram.len as u64);
        // A handshake has times of its own; no other packet moves an alarm.
        let is_handshake = matches!(datagram.buffer.first(), Some(20..=63));
        let before = is_handshake.then(|| session.next_deadline());
        self.out.plain.clear();
        core::mem::swap(&mut self.out.reply, reply);
        let verdict = session.handle(datagram, now, &mut self.out);
        core::mem::swap(&mut self.out.reply, reply);
        match verdict {
            Verdict::Forward { .. } => {
                self.counters.forwarded[from] += 1;
                self.counters.octets[from] += len;
            }
            Verdict::Reply => self.counters.replies += 1,
            Verdict::Taken => {}
            Verdict::Drop(drop) => self.counters.drops[drop as usize] += 1,
        }
        if let Some(before) = before {
            self.alarms.remove(&(before, id));
            self.alarms.insert((session.next_deadline(), id));
        }
        self.sendings.extend(self.out.sendings.drain(..).map(|sending| (id, sending)));
        out.extend(self.out.notices.drain(..).map(|notice| RtpNotice::Session { id, notice }));
        verdict
    }

    /// What the last datagram of a tapped session was, unprotected; empty if it was not accepted. To be
    /// given back by [`put_plain`](Self::put_plain), so that its memory is used again.
    #[must_use]
    pub fn take_plain(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.out.plain)
    }

    /// Gives the buffer back.
    pub fn put_plain(&mut self, plain: Vec<u8>) {
        self.out.plain = plain;
    }

    /// Taps a session, or ends it; see [`take_plain`](Self::take_plain).
    pub fn tap(&mut self, id: MediaId, is_tapped: bool) {
        if let Some(session) = find(&mut self.slots, id) {
            session.set_tapped(is_tapped);
        }
    }

    /// Our end of handshakes, for the sessions that are opened from here on.
    pub fn set_dtls(&mut self, dtls: Option<Arc<Dtls>>) {
        self.dtls = dtls;
    }

    /// What sessions want to send of themselves, after `handle` or `handle_deadline`: the parts of handshakes.
    pub fn take_sendings(&mut self) -> Vec<(MediaId, Sending)> {
        core::mem::take(&mut self.sendings)
    }

    /// Caps and times of the sessions that are opened from here on, and how many there may be.
    pub fn set_limits(&mut self, limits: Limits, sessions_max: usize) {
        self.limits = limits;
        self.sessions_max = sessions_max;
    }

    /// When the next session wants to be looked at.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// Looks at every session whose time has come.
    pub fn handle_deadline(&mut self, now: Instant, out: &mut Vec<RtpNotice>) {
        while let Some((at, id)) = self.alarms.first().copied().filter(|(at, _)| *at <= now) {
            self.alarms.remove(&(at, id));
            let Some(session) = find(&mut self.slots, id) else { continue };
            session.handle_deadline(now, &mut self.out);
            self.alarms.insert((session.next_deadline(), id));
            self.sendings.extend(self.out.sendings.drain(..).map(|sending| (id, sending)));
            for notice in self.out.notices.drain(..) {
                self.counters.one_way += u64::from(matches!(notice, Notice::OneWay { .. }));
                self.counters.inactive += u64::from(notice == Notice::Inactive);
                out.push(RtpNotice::Session { id, notice });
            }
        }
    }

    /// A session, for the sessions API.
    #[must_use]
    pub fn session(&self, id: MediaId) -> Option<&Session> {
        let (held, session) = self.slots.get(id.slot as usize)?.as_ref()?;
        (*held == id).then_some(session)
    }

    /// Sessions open.
    #[must_use]
    pub fn len(&self) -> usize {
        // Each has exactly one alarm.
        self.alarms.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alarms.is_empty()
    }

    /// What was counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// The session of exactly this id: a stale one finds nothing.
fn find(slots: &mut [Option<(MediaId, Box<Session>)>], id: MediaId) -> Option<&mut Session> {
    let (held, session) = slots.get_mut(id.slot as usize)?.as_mut()?;
    (*held == id).then_some(session)
}
