//! Sockets: connections, datagrams, TLS.

use crate::family::{DIRECTION, Label, REALM, TRANSPORT, families};
use wire::CloseReason;

const PROTOCOL: Label = Label { name: "protocol", values: &["sip", "msrp"] };
const OPENED_BY: Label = Label { name: "opened_by", values: &["peer", "edge"] };
const REASON: Label = Label {
    name: "reason",
    values: &[
        "peer_closed",
        "failed",
        "tls_failed",
        "handshake_timeout",
        "idle",
        "unregistered",
        "queue_full",
        "local",
        "blacklisted",
    ],
};
const REFUSED: Label = Label {
    name: "cause",
    values: &[
        "connections_max",
        "source_max",
        "handshakes_max",
        "no_descriptor",
        "draining",
        "failed",
        "blacklisted",
    ],
};
const HANDSHAKE: Label = Label { name: "result", values: &["ok", "failed", "timeout"] };
const UPGRADE: Label = Label { name: "result", values: &["ok", "refused", "timeout"] };
const VERSION: Label = Label { name: "version", values: &["1.2", "1.3"] };
const DROPPED: Label =
    Label { name: "cause", values: &["buffers_full", "unreachable", "unknown_socket", "too_long"] };

/// Where `reason` stands in the `reason` label of [`CLOSED`].
#[must_use]
pub const fn reason_cell(reason: CloseReason) -> usize {
    match reason {
        CloseReason::PeerClosed => 0,
        CloseReason::Failed => 1,
        CloseReason::TlsFailed => 2,
        CloseReason::Idle => 4,
        CloseReason::QueueFull => 6,
        CloseReason::Local => 7,
    }
}
/// The cell of connections closed because the TLS handshake took too long.
pub const REASON_HANDSHAKE_TIMEOUT: usize = 3;
/// The cell of connections closed because they belong to no registration.
pub const REASON_UNREGISTERED: usize = 5;
/// The cell of connections closed because their source was put on the blacklist.
pub const REASON_BLACKLISTED: usize = 8;

/// Why a connection was not taken; in the order of the `cause` label of [`REFUSED_CONNECTIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Refusal {
    /// `limits.connections_max`.
    ConnectionsMax,
    /// `limits.connections_per_source_max`.
    SourceMax,
    /// `limits.handshakes_max`.
    HandshakesMax,
    /// The process has no file descriptor left.
    NoDescriptor,
    /// The node is draining.
    Draining,
    /// The kernel said no.
    Failed,
    /// The source is on the blacklist (R10).
    Blacklisted,
}

/// Why a datagram was not sent; in the order of the `cause` label of [`DATAGRAMS_DROPPED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Drop {
    /// The kernel has no buffer left.
    BuffersFull,
    /// Nobody listens there, or there is no way.
    Unreachable,
    /// The machine named a socket that is not there.
    UnknownSocket,
    /// It does not fit a datagram.
    TooLong,
}

families! {
    CONNECTIONS = Gauge, "gatehouse_flow_connections", [PROTOCOL, REALM, TRANSPORT],
        "Connections that are open.";
    OPENED = Counter, "gatehouse_flow_connections_opened_total", [OPENED_BY, PROTOCOL, REALM, TRANSPORT],
        "Connections accepted from peers and opened by the edge.";
    CLOSED = Counter, "gatehouse_flow_connections_closed_total", [REASON],
        "Connections closed.";
    REFUSED_CONNECTIONS = Counter, "gatehouse_flow_connections_refused_total", [REFUSED],
        "Connections closed as soon as they were accepted.";
    DIALS_FAILED = Counter, "gatehouse_flow_dials_failed_total", [REALM],
        "Connections that the edge could not open.";
    HANDSHAKES = Counter, "gatehouse_tls_handshakes_total", [HANDSHAKE],
        "TLS handshakes that ended.";
    HANDSHAKES_OPEN = Gauge, "gatehouse_tls_handshakes_open", [],
        "TLS handshakes under way.";
    HANDSHAKE_VERSIONS = Counter, "gatehouse_tls_handshake_versions_total", [VERSION],
        "TLS handshakes that succeeded, by version.";
    UPGRADES = Counter, "gatehouse_websocket_upgrades_total", [UPGRADE],
        "Requests for a WebSocket that ended.";
    WEBSOCKET_FAULTS = Counter, "gatehouse_websocket_faults_total", [],
        "WebSockets closed because what came broke RFC 6455.";
    BYTES = Counter, "gatehouse_flow_bytes_total", [DIRECTION, REALM, TRANSPORT],
        "Bytes through sockets, after decryption and before encryption.";
    DATAGRAMS = Counter, "gatehouse_flow_datagrams_total", [DIRECTION, REALM],
        "Datagrams through sockets.";
    DATAGRAMS_DROPPED = Counter, "gatehouse_flow_datagrams_dropped_total", [DROPPED],
        "Datagrams that could not be sent.";
    QUEUED_BYTES = Gauge, "gatehouse_flow_queued_bytes", [],
        "Bytes that wait for peers to read them.";
    PAUSED = Gauge, "gatehouse_flow_paused_connections", [],
        "Connections that are not read because the far side is slow.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_where_their_label_says() {
        for (reason, label) in [
            (CloseReason::PeerClosed, "peer_closed"),
            (CloseReason::Failed, "failed"),
            (CloseReason::TlsFailed, "tls_failed"),
            (CloseReason::Idle, "idle"),
            (CloseReason::QueueFull, "queue_full"),
            (CloseReason::Local, "local"),
        ] {
            assert_eq!(REASON.values[reason_cell(reason)], label);
        }
        assert_eq!(REASON.values[REASON_HANDSHAKE_TIMEOUT], "handshake_timeout");
        assert_eq!(REASON.values[REASON_UNREGISTERED], "unregistered");
        assert_eq!(REASON.values[REASON_BLACKLISTED], "blacklisted");
        assert_eq!(REFUSED.values[Refusal::Blacklisted as usize], "blacklisted");
        assert_eq!(REFUSED.values[Refusal::NoDescriptor as usize], "no_descriptor");
        assert_eq!(REFUSED.values[Refusal::Failed as usize], "failed");
        assert_eq!(DROPPED.values[Drop::TooLong as usize], "too_long");
    }
}
