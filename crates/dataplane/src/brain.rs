//! The machines of the product: the edge and the MSRP relay.

use crate::machine::{Machines, Relaying, Signalling};
use config::Config;
use edge::Edge;
use edge::api::{Event, Outbox, ShardContext};
use media::relay;
use std::sync::Arc;
use telemetry::{Bank, msrp, sip};
use wire::{Instant, StreamId};

/// Makes an [`Edge`] and an MSRP relay for each shard.
#[derive(Clone, Copy, Debug)]
pub struct Gatehouse;

impl Machines for Gatehouse {
    type Signalling = Edge;
    type Relaying = Relay;

    fn build(&self, config: &Arc<Config>, context: ShardContext) -> (Edge, Relay) {
        let relay = Relay;
        (Edge::new(Arc::clone(config), context), relay)
    }
}

impl Signalling for Edge {
    fn handle(&mut self, event: Event<'_>, now: Instant, out: &mut Outbox) {
        Self::handle(self, event, now, out);
    }
    fn next_deadline(&self) -> Option<Instant> {
        Self::next_deadline(self).map(|(at, _)| at)
    }
    fn handle_deadline(&mut self, now: Instant, out: &mut Outbox) {
        Self::handle_deadline(self, now, out);
    }
    fn is_registered(&self, stream: StreamId) -> bool {
        Self::is_registered(self, stream)
    }
    fn publish(&self, bank: &Bank) {
        let c = self.counters();
        let both = |a: &[[u64; edge::counters::METHODS]; 2], b: &[[u64; edge::counters::METHODS]; 2]| {
            [*a, *b].as_flattened().as_flattened().to_vec()
        };
        bank.set(&sip::REQUESTS, both(&c.requests_in, &c.requests_out));
        // Class 0 is no class.
        let classes = [&c.responses_in, &c.responses_out];
        bank.set(&sip::RESPONSES, classes.into_iter().flatten().flat_map(|of_realm| of_realm[1..].to_vec()));
        bank.set(&sip::REJECTS, c.rejects.as_flattened().iter().copied());
        bank.set(
            &sip::RETRANSMISSIONS,
            [c.retransmissions_in, c.retransmissions_out].as_flattened().to_vec(),
        );
        bank.set(&sip::EXCHANGES_OPENED, [c.exchanges_opened]);
        bank.set(&sip::EXCHANGES, [c.exchanges]);
        bank.set(&sip::FAILOVERS, [c.failovers]);
        bank.set(&sip::SOFT_FAULTS, [c.soft_faults]);
        bank.set(&sip::KEEPALIVES, [c.pings, c.rkeeps, c.stuns]);
        bank.set(&sip::HANDOVERS, [c.handovers]);
        let events = [c.registrations_opened, c.registrations_refreshed, c.registrations_ended];
        bank.set(&sip::REGISTRATION_EVENTS, events);
        bank.set(&sip::REGISTRATIONS, [c.registrations]);
    }
}

/// Refuses every connection.
#[derive(Clone, Copy, Debug)]
pub struct Relay;

impl Relaying for Relay {
    fn handle(&mut self, event: relay::Event<'_>, _now: Instant, out: &mut relay::Outbox) {
        if let relay::Event::Opened { conn, .. } = event {
            out.actions.push(relay::Action::Close { conn });
        }
    }
    fn next_deadline(&self) -> Option<Instant> {
        None
    }
    fn handle_deadline(&mut self, _now: Instant, _out: &mut relay::Outbox) {}
    fn publish(&self, bank: &Bank) {
        bank.set(&msrp::SESSIONS, [0]);
    }
}
