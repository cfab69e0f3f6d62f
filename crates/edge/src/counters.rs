//! What a shard counts: plain integers that the shell reads and flushes to the metrics.

use crate::validate::{GROUPS, Soft};
use wire::{Cause, Realm};

/// The number of method labels (`sip::Method`, `Other` last).
pub const METHODS: usize = 15;

const _: () = assert!(sip::Method::Other as usize + 1 == METHODS, "one row for each method");

const CAUSES: usize = Cause::ALL.len();

/// Counters only grow; the gauges at the end go both ways. Arrays are indexed as `realm` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Requests taken in, by realm and method; retransmissions included.
    pub requests_in: [[u64; METHODS]; 2],
    /// Requests sent, by realm and method; retransmissions included.
    pub requests_out: [[u64; METHODS]; 2],
    /// Responses taken in, by realm and class (`[1]` is 1xx).
    pub responses_in: [[u64; 7]; 2],
    /// Responses sent, by realm and class, made here or passed on.
    pub responses_out: [[u64; 7]; 2],
    /// Rejects and drops, by the realm the message came from, and cause.
    pub rejects: [[u64; CAUSES]; 2],
    /// Retransmitted requests that were absorbed or answered from store, by realm.
    pub retransmissions_in: [u64; 2],
    /// Messages that we sent again, by realm.
    pub retransmissions_out: [u64; 2],
    /// Exchanges (a request with its two transactions) opened.
    pub exchanges_opened: u64,
    /// Times a request went to another core next hop because the first failed.
    pub failovers: u64,
    /// Next hops that failed: silent, unreachable, refused (503), found down by probes.
    pub hop_failures: [u64; 4],
    /// Probes of next hops: sent, answered, lost.
    pub probes: [u64; 3],
    /// Requests too long for UDP that went over TCP, and those that went over UDP after all.
    pub oversize: [u64; 2],
    /// Registrations opened: a UE that was not bound came in.
    pub registrations_opened: u64,
    /// Registrations refreshed.
    pub registrations_refreshed: u64,
    /// Registrations ended: de-registered, expired or replaced.
    pub registrations_ended: u64,
    /// Faults that were let pass (R33), by group of checks as `validate::Group` counts them.
    pub soft_faults: [u64; GROUPS],
    /// CRLF pings answered.
    pub pings: u64,
    /// `rkeep` requests answered (R8).
    pub rkeeps: u64,
    /// STUN binding requests answered.
    pub stuns: u64,
    /// Messages handed to another shard.
    pub handovers: u64,
    /// Requests inside dialogs of another life of the process that reached their UE.
    pub orphans: u64,
    /// Calls opened: INVITEs outside a dialog that were taken on.
    pub calls_opened: u64,
    /// Dialogs that a 2xx to their INVITE confirmed.
    pub dialogs_confirmed: u64,
    /// Subscriptions opened: SUBSCRIBEs and REFERs outside a dialog that were taken on.
    pub subscriptions_opened: u64,
    /// Calls and subscriptions in the table.
    pub calls: u64,
    /// Media sessions reserved or agreed on.
    pub media_sessions: u64,
    /// Exchanges in the table.
    pub exchanges: u64,
    /// Bindings registered and alive.
    pub registrations: u64,
    /// OPTIONS to UEs behind NATs: sent, answered, lost, and flows given up for it.
    pub ue_pings: [u64; 4],
    /// UEs that are not registered and have, or lately had, an emergency call.
    pub guests: u64,
    /// Emergency calls: of registered UEs, of others.
    pub emergencies: [u64; 2],
    /// Streams open, by realm.
    pub streams: [u64; 2],
}

impl Counters {
    /// The rejects of `cause` on messages from `realm`.
    #[must_use]
    pub fn rejects(&self, realm: Realm, cause: Cause) -> u64 {
        self.rejects[index(realm)][cause as usize]
    }

    /// Counts the soft faults of one message.
    pub(crate) fn soften(&mut self, soft: &Soft) {
        for (sum, count) in self.soft_faults.iter_mut().zip(soft.0) {
            *sum += u64::from(count);
        }
    }

    /// Counts one more.
    pub fn reject(&mut self, realm: Realm, cause: Cause) {
        self.rejects[index(realm)][cause as usize] += 1;
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            requests_in: [[0; METHODS]; 2],
            requests_out: [[0; METHODS]; 2],
            responses_in: [[0; 7]; 2],
            responses_out: [[0; 7]; 2],
            rejects: [[0; CAUSES]; 2],
            retransmissions_in: [0; 2],
            retransmissions_out: [0; 2],
            exchanges_opened: 0,
            failovers: 0,
            hop_failures: [0; 4],
            probes: [0; 3],
            oversize: [0; 2],
            registrations_opened: 0,
            registrations_refreshed: 0,
            registrations_ended: 0,
            soft_faults: [0; GROUPS],
            pings: 0,
            rkeeps: 0,
            stuns: 0,
            handovers: 0,
            orphans: 0,
            calls_opened: 0,
            dialogs_confirmed: 0,
            subscriptions_opened: 0,
            calls: 0,
            media_sessions: 0,
            exchanges: 0,
            registrations: 0,
            ue_pings: [0; 4],
            guests: 0,
            emergencies: [0; 2],
            streams: [0; 2],
        }
    }
}

/// Where `realm` stands in the arrays of [`Counters`].
#[must_use]
pub const fn index(realm: Realm) -> usize {
    match realm {
        Realm::Access => 0,
        Realm::Core => 1,
    }
}
