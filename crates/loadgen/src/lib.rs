//! Capacity tool: many UEs and an answering core under open-loop load, for any SIP edge.
//!
//! Open loop means that a request is due at its time whether or not earlier ones were answered, and
//! that latency counts from the moment it was *due*. A generator that waits for answers (or starts its
//! stopwatch when it got round to sending) hides exactly the stalls one wants to see: coordinated
//! omission.
//!
//! ```text
//! plan ──▶ run ──▶ ue threads: ues (sans-IO) on a shell ──▶ edge ──▶ core thread: answer on a shell
//!            └──▶ meter (CPU and memory of the edge) ──▶ report: text, JSON, HTML
//! ```
//! It knows nothing of our own edge: whatever speaks SIP on the target address may stand in the middle.

pub mod answer;
pub mod arrivals;
pub mod latency;
pub mod meter;
pub mod plan;
pub mod report;
pub mod run;
pub mod series;
pub mod shell;
pub mod ues;

pub use arrivals::{Arrivals, Pattern};
pub use latency::Latency;
pub use plan::{Plan, Share, Work};
pub use run::{Outcome, run};
