//! What the tests over real sockets need: places to work in, processes that never outlive their
//! test, and hands on the real programs (SIPp, Kamailio, baresip) and on the edge's own binary.
//!
//! Everything panics with a sentence that says what to do: this is test code, and a missing tool
//! is a failure, never a skipped test.

pub mod baresip;
pub mod capture;
pub mod certificate;
pub mod crossing;
pub mod edge;
pub mod kamailio;
pub mod linphone;
pub mod mini_core;
pub mod msrp;
pub mod place;
pub mod process;
pub mod raw_ue;
pub mod script;
pub mod sipp;
pub mod sound;
pub mod trace;

use std::time::Duration;

/// How long anything that should happen may take: far above what a loaded two-core machine needs.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How often a condition is looked at while it does not hold.
pub const GLANCE: Duration = Duration::from_millis(25);

/// Waits until `condition` gives a value.
///
/// # Panics
/// With `what` after [`PATIENCE`].
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: not seen within {} s", PATIENCE.as_secs());
        std::thread::sleep(GLANCE);
    }
}
