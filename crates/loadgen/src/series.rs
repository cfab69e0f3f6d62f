//! What happened in each slice of a run.

use crate::latency::Latency;
use crate::plan::Work;
use core::time::Duration;
use wire::Instant;

/// Slices that a run is cut into at most, so that a day costs no more memory than ten minutes.
const SLICES_MAX: u32 = 600;

/// What happened in one slice of time.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    /// Work that began, by the time it was due.
    pub begun: u64,
    /// Work that ended well, by the time of its last answer.
    pub done: u64,
    /// Work that was refused or not answered.
    pub failed: u64,
    /// From due to done, of what was done here.
    pub latency: Option<Latency>,
}

/// What became of one kind of work while it counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// From due to answered; answers that never came count as lost.
    pub latency: Latency,
    /// Refused, by status: (status, how often).
    pub refused: Vec<(u16, u64)>,
    /// Broken off because the connection went away.
    pub cut: u64,
}

impl Tally {
    /// Work that did not end well.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.refused.iter().map(|(_, count)| count).sum::<u64>() + self.cut + self.latency.lost()
    }

    fn note_refusal(&mut self, status: u16) {
        match self.refused.iter_mut().find(|(known, _)| *known == status) {
            Some((_, count)) => *count += 1,
            None => self.refused.push((status, 1)),
        }
    }
}

/// How work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As it should.
    Done,
    /// With this final status.
    Refused(u16),
    /// No answer in time.
    Lost,
    /// The connection went away.
    Cut,
}

/// All of a run, or of one thread of it.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// From the start of the load on.
    pub slices: Vec<Slice>,
    /// How long a slice is, at least a slice.
    pub slice: Duration,
    /// By `Work::ALL`, what was due in the steady time.
    pub tallies: [Tally; Work::ALL.len()],
    /// Requests sent again over UDP (RFC 3261 timers A and E).
    pub retransmissions: u64,
    /// From due to sent: how late the generator itself was.
    pub lateness: Latency,
    /// Work that could not begin because every user was busy.
    pub starved: u64,
    /// Registrations before the load that did not succeed.
    pub setup_failed: u64,
    /// When the load began.
    pub start: Instant,
    /// What counts: due times from here…
    pub steady_from: Instant,
    /// …to here.
    pub steady_to: Instant,
}

impl Series {
    /// For a load that begins at `start` and counts from `warm_up` later on for `steady`.
    pub(crate) fn begin(&mut self, start: Instant, warm_up: Duration, steady: Duration) {
        self.start = start;
        self.steady_from = start + warm_up;
        self.steady_to = self.steady_from + steady;
        self.slice = ((warm_up + steady) / SLICES_MAX).max(Duration::from_secs(1));
    }

    /// The slice `at` lies in; what comes after the last belongs to it.
    pub(crate) fn slice(&mut self, at: Instant) -> &mut Slice {
        let length = self.slice.as_micros().max(1);
        let number = usize::try_from(at.since(self.start).as_micros() / length).unwrap_or(usize::MAX);
        let number = number.min(SLICES_MAX as usize);
        if number >= self.slices.len() {
            self.slices.resize_with(number + 1, Slice::default);
        }
        &mut self.slices[number]
    }

    pub(crate) fn note_end(&mut self, work: Work, due: Instant, now: Instant, end: End) {
        let slice = self.slice(now);
        if end == End::Done {
            slice.done += 1;
            slice.latency.get_or_insert_default().note(due, now);
        } else {
            slice.failed += 1;
        }
        if due < self.steady_from || due >= self.steady_to {
            return;
        }
        let tally = &mut self.tallies[work as usize];
        match end {
            End::Done => tally.latency.note(due, now),
            End::Refused(status) => tally.note_refusal(status),
            End::Lost => tally.latency.note_lost(),
            End::Cut => tally.cut += 1,
        }
    }

    /// How long the counted part was.
    #[must_use]
    pub fn steady(&self) -> Duration {
        self.steady_to.since(self.steady_from)
    }

    /// Adds what another thread saw.
    pub fn merge(&mut self, other: &Self) {
        if self.slices.len() < other.slices.len() {
            self.slices.resize_with(other.slices.len(), Slice::default);
        }
        for (mine, theirs) in self.slices.iter_mut().zip(&other.slices) {
            mine.begun += theirs.begun;
            mine.done += theirs.done;
            mine.failed += theirs.failed;
            match (&mut mine.latency, &theirs.latency) {
                (Some(mine), Some(theirs)) => mine.merge(theirs),
                (mine @ None, Some(theirs)) => *mine = Some(theirs.clone()),
                (_, None) => {}
            }
        }
        for (mine, theirs) in self.tallies.iter_mut().zip(&other.tallies) {
            mine.latency.merge(&theirs.latency);
            mine.cut += theirs.cut;
            for (status, count) in &theirs.refused {
                (0..*count).for_each(|_| mine.note_refusal(*status));
            }
        }
        self.retransmissions += other.retransmissions;
        self.lateness.merge(&other.lateness);
        self.starved += other.starved;
        self.setup_failed += other.setup_failed;
    }
}
