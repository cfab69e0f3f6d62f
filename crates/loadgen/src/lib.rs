//! Capacity tool: open-loop arrivals and latency histograms. Knows nothing of the edge.
//!
//! Open loop means that a request is due at its time whether or not earlier ones were answered, and
//! that latency counts from the moment it was *due*. A generator that waits for answers (or starts its
//! stopwatch when it got round to sending) hides exactly the stalls one wants to see: coordinated
//! omission.

pub mod arrivals;
pub mod latency;

pub use arrivals::{Arrivals, Pattern};
pub use latency::Latency;
