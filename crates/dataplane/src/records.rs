//! Writes the records of the edge as log lines, a bounded number of each kind a second.

use core::time::Duration;
use edge::api::Record;
use media::command::MsrpRecord;
use telemetry::cdr;
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

/// One line of JSON for each MSRP session that ended: none is left out, they are counted on.
pub(crate) fn write_msrp(record: &MsrpRecord) {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let [access, core] = record.peers;
    let totals = &record.totals;
    let line = cdr::Msrp {
        session: format!("{}", record.id),
        call_id: &record.call_id,
        cause: record.cause,
        duration_micros: micros(record.duration),
        first_message_micros: record.first_message_after.map(micros),
        access: cdr::MsrpSide { peer: access, bytes: totals.access_bytes, messages: totals.access_messages },
        core: cdr::MsrpSide { peer: core, bytes: totals.core_bytes, messages: totals.core_messages },
    };
    tracing::info!(target: "cdr", "{}", line.json());
}
