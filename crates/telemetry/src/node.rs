//! Shards and the process.

use crate::family::{Label, families};

const RELOAD: Label = Label { name: "result", values: &["ok", "failed"] };

const WRITE: Label = Label { name: "result", values: &["ok", "refused", "failed"] };

families! {
    SHARDS = Gauge, "gatehouse_shards", [],
        "Shards that run.";
    SHARD_RESTARTS = Counter, "gatehouse_shard_restarts_total", [],
        "Shards that failed and were started again.";
    TURNS = Counter, "gatehouse_shard_turns_total", [],
        "Turns of the shards' event loops.";
    BUSY_MICROSECONDS = Counter, "gatehouse_shard_busy_microseconds_total", [],
        "Microseconds the shards spent working, waits excluded.";
    MAILBOX_DROPPED = Counter, "gatehouse_shard_mailbox_dropped_total", [],
        "Messages to another shard that did not fit its mailbox.";
    RELOADS = Counter, "gatehouse_config_reloads_total", [RELOAD],
        "Reloads of the configuration.";
    BLACKLIST_PREFIXES = Gauge, "gatehouse_blacklist_prefixes", [],
        "Address ranges on the blacklist.";
    BLACKLIST_WRITES = Counter, "gatehouse_blacklist_writes_total", [WRITE],
        "Changes of the blacklist that were asked for: made, refused as they stood, or failed for want of the disk.";
    DRAINING = Gauge, "gatehouse_draining", [],
        "Shards that refuse new work.";
    LOG_LINES_DROPPED = Counter, "gatehouse_log_lines_dropped_total", [],
        "Log lines that could not be written in time.";
    LOG_LINES_SUPPRESSED = Counter, "gatehouse_log_lines_suppressed_total", [],
        "Log lines about traffic left out because too many of the kind came in one second.";
    MEMORY = Gauge, "gatehouse_process_resident_memory_bytes", [],
        "Resident memory of the process.";
    DESCRIPTORS = Gauge, "gatehouse_process_open_descriptors", [],
        "Open file descriptors of the process.";
}
