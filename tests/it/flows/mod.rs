//! Every flow of the specification between SIPp as UE and SIPp as core, over UDP and TCP. Each message that
//! crossed the edge is held to the rules of `gatehouse_tests::crossing`: R6, R14 to R35, R45 and R65 to R69 are
//! checked on all of them. SIPp has no TLS in Debian: over TLS the lab, baresip and linphone run.

mod calls;
mod control;
mod groups;
mod messages;
mod registration;
mod sessions;
mod voice;

use gatehouse_tests::script::{Ran, Script};

/// Runs a script over each transport.
fn over_each(name: &str, script: &Script, mut look: impl FnMut(&Ran)) {
    for transport in ["udp", "tcp"] {
        look(&script.run(name, transport));
    }
}
