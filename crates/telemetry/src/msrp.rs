//! The MSRP relay.

use crate::family::{Label, REALM, families};
use crate::sip::CAUSE;

const KIND: Label = Label { name: "kind", values: &["send", "other_request", "response"] };

families! {
    SESSIONS = Gauge, "gatehouse_msrp_sessions", [],
        "MSRP sessions that are open.";
    SESSIONS_OPENED = Counter, "gatehouse_msrp_sessions_opened_total", [],
        "MSRP sessions opened.";
    RELAYED_BYTES = Counter, "gatehouse_msrp_relayed_bytes_total", [REALM],
        "MSRP bytes relayed, heads included, by the side they came from.";
    RELAYED = Counter, "gatehouse_msrp_relayed_chunks_total", [KIND],
        "MSRP requests, chunk by chunk, and responses relayed.";
    MESSAGES = Counter, "gatehouse_msrp_messages_total", [],
        "Whole MSRP messages relayed.";
    ANSWERS = Counter, "gatehouse_msrp_answers_total", [],
        "MSRP responses that the relay made itself.";
    PAUSES = Counter, "gatehouse_msrp_pauses_total", [],
        "Times that reading from a connection was paused because the far side was slow or not there.";
    PAUSED_MICROSECONDS = Counter, "gatehouse_msrp_paused_microseconds_total", [],
        "Time for which reading from connections was paused, summed over them, counted when it ends.";
    SLOWED = Counter, "gatehouse_msrp_slowed_total", [],
        "Times that a connection was paused because its session or its user had too many bytes in a second.";
    INTERRUPTIONS = Counter, "gatehouse_msrp_interruptions_total", [],
        "Chunks that the relay cut so that others could pass on a shared connection.";
    HELD_BYTES = Gauge, "gatehouse_msrp_held_bytes", [],
        "Bytes that were read and wait in the relay for their far side.";
    CAUSES = Counter, "gatehouse_msrp_rejects_total", [CAUSE],
        "MSRP requests refused or dropped, and sessions and connections ended, by cause.";
}
