//! Writes the records of the edge as log lines, a bounded number of each kind a second.

use edge::api::Record;
use telemetry::limit::{Repeats, Verdict};
use wire::cause::Fault;
use wire::{Cause, Instant};

#[derive(Debug)]
pub(crate) struct Records {
    repeats: Repeats,
    suppressed: u64,
}

/// Kinds of lines: each cause of a reject, then registrations, then ends of dialogs.
const REGISTRATIONS: usize = Cause::ALL.len();
const DIALOGS: usize = REGISTRATIONS + 1;

impl Records {
    pub(crate) fn new(per_second_max: u32) -> Self {
        Self { repeats: Repeats::new(DIALOGS + 1, per_second_max), suppressed: 0 }
    }

    /// Lines left out so far.
    pub(crate) fn suppressed(&self) -> u64 {
        self.suppressed
    }

    pub(crate) fn write(&mut self, record: &Record, now: Instant) {
        let kind = match record {
            Record::Rejected { cause, .. } => *cause as usize,
            Record::Registration { .. } => REGISTRATIONS,
            Record::DialogEnded { .. } => DIALOGS,
        };
        match self.repeats.admit(kind, now) {
            Verdict::Write { suppressed } => line(record, suppressed),
            Verdict::Suppress => self.suppressed += 1,
        }
    }
}

/// Loud is what needs a person: trouble of ours or of the network; peers' mistakes are for those who look.
fn line(record: &Record, suppressed: u64) {
    match record {
        Record::Rejected { cause, realm, source, call_id } => {
            let (realm, status, text) = (realm.label(), cause.status(), cause.text());
            match (cause.fault(), *cause) {
                (_, Cause::Internal) => {
                    tracing::error!(%cause, status, realm, %source, call_id = &**call_id, suppressed, "rejected: {text}");
                }
                (Fault::Network | Fault::Policy, _) => {
                    tracing::warn!(%cause, status, realm, %source, call_id = &**call_id, suppressed, "rejected: {text}");
                }
                (Fault::Peer | Fault::Normal, _) => {
                    tracing::info!(%cause, status, realm, %source, call_id = &**call_id, suppressed, "rejected: {text}");
                }
            }
        }
        Record::Registration { aor, source, expires_seconds, ended } => match ended {
            None => tracing::debug!(aor = &**aor, %source, expires_seconds, suppressed, "registered"),
            Some(cause) => tracing::debug!(aor = &**aor, %source, %cause, suppressed, "registration ended"),
        },
        Record::DialogEnded { call_id, cause, duration } => {
            let seconds = duration.as_secs_f64();
            tracing::debug!(call_id = &**call_id, %cause, seconds, suppressed, "dialog ended");
        }
    }
}
