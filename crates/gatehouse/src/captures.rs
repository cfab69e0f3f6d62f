//! Brings captures and the data plane together.

use control::Captures;
use control::captures::Tapper;
use dataplane::Dataplane;
use std::sync::{Arc, Weak};
use telemetry::capture::Capture;

/// From here on, captures reach the shards.
pub(crate) fn attach(captures: &Captures, plane: &Arc<Dataplane>) {
    captures.attach(Box::new(Plane(Arc::downgrade(plane))));
}

/// The data plane, as long as it runs.
struct Plane(Weak<Dataplane>);

impl Tapper for Plane {
    fn tap(&self, capture: &Arc<Capture>, seconds: u64) -> Option<usize> {
        self.0.upgrade()?.capture(capture, seconds)
    }
}
