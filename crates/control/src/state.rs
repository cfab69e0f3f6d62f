//! What the node is doing, as health checks and load balancers see it.

use core::sync::atomic::{AtomicU8, Ordering};

/// The state of the node (R11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Sockets are not open yet.
    Starting,
    /// Serving.
    InService,
    /// Finishing what it has; refuses new work.
    Draining,
    /// Going away.
    Stopping,
}

impl State {
    /// As it stands in answers and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::InService => "in_service",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
        }
    }
}

/// The state, shared between the binary that sets it and the admin server that shows it.
#[derive(Debug, Default)]
pub struct NodeState(AtomicU8);

impl NodeState {
    /// What the node is doing.
    #[must_use]
    pub fn state(&self) -> State {
        match self.0.load(Ordering::Relaxed) {
            0 => State::Starting,
            1 => State::InService,
            2 => State::Draining,
            _ => State::Stopping,
        }
    }

    /// Notes what the node does from here on.
    pub fn set(&self, state: State) {
        self.0.store(state as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_read() {
        let node = NodeState::default();
        assert_eq!(node.state(), State::Starting);
        for state in [State::InService, State::Draining, State::Stopping, State::Starting] {
            node.set(state);
            assert_eq!(node.state(), state);
        }
    }
}
