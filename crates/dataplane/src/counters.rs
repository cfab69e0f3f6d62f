//! What a shard's sockets count: plain integers, written to the bank ten times a second.

use crate::bind::Protocol;
use crate::conn::{Kind, OpenedBy};
use telemetry::family::{realm_cell, transport_cell};
use telemetry::flow::{Drop, Refusal};
use telemetry::{Bank, flow, node};
use wire::{Realm, Transport};

/// `[protocol][realm][transport]`
type ByKind = [[[u64; 3]; 2]; 2];

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: ByKind,
    pub(crate) opened: [ByKind; 2],
    pub(crate) closed: [u64; 9],
    refused: [u64; 7],
    dials_failed: [u64; 2],
    pub(crate) handshakes: [u64; 3],
    pub(crate) versions: [u64; 2],
    pub(crate) handshakes_open: u64,
    /// Requests for a WebSocket: accepted, refused, timed out.
    pub(crate) upgrades: [u64; 3],
    pub(crate) websocket_faults: u64,
    /// `[direction][realm][transport]`
    bytes: [[[u64; 3]; 2]; 2],
    datagrams: [[u64; 2]; 2],
    datagrams_dropped: [u64; 4],
    pub(crate) queued_bytes: u64,
    pub(crate) paused: u64,
    pub(crate) turns: u64,
    pub(crate) busy_micros: u64,
    pub(crate) mailbox_dropped: u64,
    pub(crate) lines_suppressed: u64,
    pub(crate) draining: u64,
}

/// As seen from the edge.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    In,
    Out,
}

impl Counters {
    pub(crate) fn on_open(&mut self, kind: Kind) {
        let by = usize::from(kind.opened_by != OpenedBy::Peer);
        let (p, r, t) = cells(kind);
        self.opened[by][p][r][t] += 1;
        self.connections[p][r][t] += 1;
    }

    pub(crate) fn on_gone(&mut self, kind: Kind) {
        let (p, r, t) = cells(kind);
        let count = &mut self.connections[p][r][t];
        *count = count.saturating_sub(1);
    }

    pub(crate) fn on_bytes(&mut self, way: Way, realm: Realm, transport: Transport, count: usize) {
        self.bytes[way as usize][realm_cell(realm)][transport_cell(transport)] += count as u64;
    }

    pub(crate) fn on_datagram(&mut self, way: Way, realm: Realm, bytes: usize) {
        self.datagrams[way as usize][realm_cell(realm)] += 1;
        self.on_bytes(way, realm, Transport::Udp, bytes);
    }

    pub(crate) fn refuse(&mut self, why: Refusal) {
        self.refused[why as usize] += 1;
    }

    pub(crate) fn drop_datagram(&mut self, why: Drop) {
        self.datagrams_dropped[why as usize] += 1;
    }

    pub(crate) fn on_dial_failed(&mut self, realm: Realm) {
        self.dials_failed[realm_cell(realm)] += 1;
    }

    pub(crate) fn publish(&self, bank: &Bank) {
        bank.set(&flow::CONNECTIONS, self.connections.as_flattened().as_flattened().iter().copied());
        bank.set(&flow::OPENED, self.opened.as_flattened().as_flattened().as_flattened().iter().copied());
        bank.set(&flow::CLOSED, self.closed);
        bank.set(&flow::REFUSED_CONNECTIONS, self.refused);
        bank.set(&flow::DIALS_FAILED, self.dials_failed);
        bank.set(&flow::HANDSHAKES, self.handshakes);
        bank.set(&flow::HANDSHAKES_OPEN, [self.handshakes_open]);
        bank.set(&flow::HANDSHAKE_VERSIONS, self.versions);
        bank.set(&flow::UPGRADES, self.upgrades);
        bank.set(&flow::WEBSOCKET_FAULTS, [self.websocket_faults]);
        bank.set(&flow::BYTES, self.bytes.as_flattened().as_flattened().iter().copied());
        bank.set(&flow::DATAGRAMS, self.datagrams.as_flattened().iter().copied());
        bank.set(&flow::DATAGRAMS_DROPPED, self.datagrams_dropped);
        bank.set(&flow::QUEUED_BYTES, [self.queued_bytes]);
        bank.set(&flow::PAUSED, [self.paused]);
        bank.set(&node::SHARDS, [1]);
        bank.set(&node::TURNS, [self.turns]);
        bank.set(&node::BUSY_MICROSECONDS, [self.busy_micros]);
        bank.set(&node::MAILBOX_DROPPED, [self.mailbox_dropped]);
        bank.set(&node::LOG_LINES_SUPPRESSED, [self.lines_suppressed]);
        bank.set(&node::DRAINING, [self.draining]);
    }
}

fn cells(kind: Kind) -> (usize, usize, usize) {
    let protocol = match kind.protocol {
        Protocol::Sip => 0,
        Protocol::Msrp => 1,
    };
    (protocol, realm_cell(kind.realm), transport_cell(kind.transport))
}
