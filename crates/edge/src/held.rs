//! How much a shard holds, table by table: what the leak tests look at when all is over.

use crate::shard::Edge;

/// Sizes of what the counters do not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Subscriptions of our own to registrations.
    pub watches: usize,
    /// Timers that are set.
    pub alarms: usize,
    /// Flows that carry bindings.
    pub flows: usize,
    /// Exchanges that wait for an answer over a stream.
    pub awaiting: usize,
    /// Bindings, those that are only reserved included.
    pub bindings: usize,
    /// Users with bindings.
    pub users: usize,
    /// Names that calls are found by.
    pub call_names: usize,
    /// Bindings that have calls.
    pub callers: usize,
    /// Hashes that retransmissions are found by.
    pub exchange_keys: usize,
    /// Flows whose AKA keys are kept.
    pub keys: usize,
    /// Bytes of incomplete messages.
    pub pending_bytes: usize,
}

impl Edge {
    /// How much is held at the moment.
    #[must_use]
    pub fn held(&self) -> Held {
        let (flows, awaiting) = self.flows.held();
        let (bindings, users) = self.bindings.held();
        let (call_names, callers) = self.calls.held();
        Held {
            watches: self.watches.count(),
            alarms: self.deadlines.count(),
            flows,
            awaiting,
            bindings,
            users,
            call_names,
            callers,
            exchange_keys: self.exchanges.key_count(),
            keys: self.keyring.count(),
            pending_bytes: self.pending_bytes,
        }
    }
}
