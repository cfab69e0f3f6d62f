//! Signalling.

use crate::family::{DIRECTION, Label, REALM, families};
use wire::Cause;

const METHOD: Label = Label {
    name: "method",
    // The order of `sip::Method`.
    values: &[
        "invite",
        "ack",
        "bye",
        "cancel",
        "register",
        "options",
        "message",
        "subscribe",
        "notify",
        "refer",
        "publish",
        "prack",
        "update",
        "info",
        "unknown",
    ],
};
const CLASS: Label = Label { name: "class", values: &["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"] };
/// Every cause, in the order of [`Cause::ALL`].
pub const CAUSE: Label = Label { name: "cause", values: &CAUSES };
const CAUSES: [&str; Cause::ALL.len()] = {
    let mut labels = [""; Cause::ALL.len()];
    let mut i = 0;
    while i < labels.len() {
        labels[i] = Cause::ALL[i].label();
        i += 1;
    }
    labels
};
const KEEPALIVE: Label = Label { name: "kind", values: &["crlf", "rkeep", "stun"] };
/// The groups of `[validation]`, in the order of the edge.
pub const CHECK: Label =
    Label { name: "check", values: &["mandatory", "empty_fields", "bodies", "parts", "syntax"] };
const EVENT: Label = Label { name: "event", values: &["opened", "refreshed", "ended"] };

/// Messages that each header rule matched; its label takes the names of the operator's own rules.
pub const HEADER_RULE_MATCHES: &str = "gatehouse_sip_header_rule_matches_total";
/// Its HELP line.
pub const HEADER_RULE_HELP: &str = "Messages that met all conditions of a header rule.";

const UE_PING: Label = Label { name: "event", values: &["sent", "answered", "lost", "flow_lost"] };
const CALLER: Label = Label { name: "caller", values: &["registered", "unregistered"] };

families! {
    REQUESTS = Counter, "gatehouse_sip_requests_total", [DIRECTION, REALM, METHOD],
        "SIP requests, retransmissions included.";
    RESPONSES = Counter, "gatehouse_sip_responses_total", [DIRECTION, REALM, CLASS],
        "SIP responses, retransmissions included.";
    REJECTS = Counter, "gatehouse_sip_rejects_total", [REALM, CAUSE],
        "SIP messages rejected or dropped, by the side they came from and cause.";
    RETRANSMISSIONS = Counter, "gatehouse_sip_retransmissions_total", [DIRECTION, REALM],
        "SIP messages that were sent more than once.";
    EXCHANGES_OPENED = Counter, "gatehouse_sip_exchanges_opened_total", [],
        "Exchanges opened: a request with its two transactions.";
    EXCHANGES = Gauge, "gatehouse_sip_exchanges", [],
        "Exchanges that are open.";
    CALLS_OPENED = Counter, "gatehouse_sip_calls_opened_total", [],
        "Calls opened: INVITEs outside a dialog that were taken on.";
    CALLS = Gauge, "gatehouse_sip_calls", [],
        "Calls and subscriptions with their dialogs, early ones included.";
    SUBSCRIPTIONS_OPENED = Counter, "gatehouse_sip_subscriptions_opened_total", [],
        "Subscriptions opened: SUBSCRIBEs and REFERs outside a dialog that were taken on.";
    DIALOGS_CONFIRMED = Counter, "gatehouse_sip_dialogs_confirmed_total", [],
        "Dialogs that a 2xx to INVITE confirmed.";
    FAILOVERS = Counter, "gatehouse_sip_failovers_total", [],
        "Requests that went to another next hop of the core because the first failed.";
    SOFT_FAULTS = Counter, "gatehouse_sip_soft_faults_total", [CHECK],
        "Faults of requests that were let pass, by group of checks.";
    UE_PINGS = Counter, "gatehouse_sip_ue_pings_total", [UE_PING],
        "OPTIONS to UEs on UDP that keep their NATs open, and flows given up because none was answered.";
    EMERGENCIES = Counter, "gatehouse_emergency_calls_total", [CALLER],
        "Emergency calls that were sent on.";
    GUESTS = Gauge, "gatehouse_emergency_guests", [],
        "UEs that are not registered and have, or lately had, an emergency call.";
    HEADER_RULE_FAILURES = Counter, "gatehouse_sip_header_rule_failures_total", [],
        "Changes of header rules that were left out because the message would have become too large.";
    KEEPALIVES = Counter, "gatehouse_sip_keepalives_total", [KEEPALIVE],
        "Keep-alives that were answered.";
    HANDOVERS = Counter, "gatehouse_sip_handovers_total", [],
        "Messages that came in on one shard and belong to another.";
    ORPHANS = Counter, "gatehouse_sip_orphans_total", [],
        "Requests inside dialogs from before a restart that reached their UE.";
    REGISTRATION_EVENTS = Counter, "gatehouse_registration_events_total", [EVENT],
        "Registrations opened, refreshed and ended.";
    REGISTRATIONS = Gauge, "gatehouse_registrations", [],
        "Registrations that are alive.";
}
