//! The MSRP relay.

use crate::family::{REALM, families};
use crate::sip::CAUSE;

families! {
    SESSIONS = Gauge, "gatehouse_msrp_sessions", [],
        "MSRP sessions that are open.";
    RELAYED_BYTES = Counter, "gatehouse_msrp_relayed_bytes_total", [REALM],
        "MSRP bytes relayed, by the side they came from.";
    CHUNKS = Counter, "gatehouse_msrp_chunks_total", [REALM],
        "MSRP requests and responses relayed, by the side they came from.";
    REJECTS = Counter, "gatehouse_msrp_rejects_total", [CAUSE],
        "MSRP requests refused and sessions or connections ended, by cause.";
}
