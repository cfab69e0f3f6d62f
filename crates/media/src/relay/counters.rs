//! What the relay counts: plain integers, flushed by the shell.

use wire::{Cause, Realm};

/// Counts since the start of the relay; they only grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    causes: [u64; Cause::ALL.len()],
    bytes: [u64; 2],
    /// SEND requests passed on, by chunk.
    pub sends: u64,
    /// REPORT and other requests passed on.
    pub other_requests: u64,
    /// Responses passed on.
    pub responses: u64,
    /// Last chunks with a body: whole messages.
    pub messages: u64,
    /// Responses the relay made itself.
    pub answers: u64,
    /// How often reading from a connection was paused.
    pub pauses: u64,
    /// How long reading from connections was paused in all, in microseconds; counted when it goes on.
    pub paused_micros: u64,
    /// How often reading was paused because a session or a user had too many octets in a second.
    pub slowed: u64,
    /// Chunks cut so that others could pass.
    pub interruptions: u64,
    /// Sessions opened.
    pub sessions: u64,
    /// Connections accepted or dialled.
    pub connections: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            causes: [0; Cause::ALL.len()],
            bytes: [0; 2],
            sends: 0,
            other_requests: 0,
            responses: 0,
            messages: 0,
            answers: 0,
            pauses: 0,
            paused_micros: 0,
            slowed: 0,
            interruptions: 0,
            sessions: 0,
            connections: 0,
        }
    }
}

impl Counters {
    /// How often something was refused, dropped or ended for this cause.
    #[must_use]
    pub fn of(&self, cause: Cause) -> u64 {
        self.causes.get(cause as usize).copied().unwrap_or(0)
    }

    /// Octets passed on that came from this side, heads included.
    #[must_use]
    pub const fn relayed_bytes(&self, from: Realm) -> u64 {
        self.bytes[from as usize]
    }

    pub(super) fn add(&mut self, cause: Cause) {
        if let Some(count) = self.causes.get_mut(cause as usize) {
            *count += 1;
        }
    }

    pub(super) fn add_bytes(&mut self, from: Realm, bytes: u64) {
        self.bytes[from as usize] += bytes;
    }
}
