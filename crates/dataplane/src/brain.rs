//! The machines of the product: the edge and the MSRP relay.

use crate::machine::{Machines, Relaying, Signalling};
use config::Config;
use core::time::Duration;
use edge::Edge;
use edge::api::{Event, Outbox, ShardContext};
use edge::hops::health::State;
use media::msrp_auth::Settings;
use media::relay::{self, ClassicLimits, Limits, MsrpRelay};
use std::sync::Arc;
use telemetry::hops::{self, HopRow, HopState};
use telemetry::{Bank, msrp, rtp, sip};
use wire::{Cause, Instant, PrefixSet, Realm, StreamId, Transport};

/// Makes an [`Edge`] and an MSRP relay for each shard.
#[derive(Clone, Copy, Debug)]
pub struct Gatehouse;

impl Machines for Gatehouse {
    type Signalling = Edge;
    type Relaying = MsrpRelay;

    fn build(&self, config: &Arc<Config>, context: ShardContext) -> (Edge, MsrpRelay) {
        let limits = relay_limits(config, &context.seed);
        let relay = match config.msrp_relay.users_file {
            None => MsrpRelay::new(limits),
            Some(_) => MsrpRelay::with_classic(limits, classic_limits(config, &context)),
        };
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
    fn holdings(&self, set: &PrefixSet) -> edge::Holdings {
        Self::holdings(self, set)
    }
    fn next_hops(&self, now: Instant) -> Vec<HopRow> {
        let row = |status: edge::hops::HopStatus| HopRow {
            pool: status.pool,
            hop: format!("{}:{}", status.place.1, status.place.0),
            state: match status.state {
                State::Up => HopState::Up,
                State::Resting => HopState::Resting,
                State::Down => HopState::Down,
            },
        };
        Self::next_hops(self, now).into_iter().map(row).collect()
    }
    fn publish(&self, bank: &Bank) {
        publish_edge(self.counters(), bank);
        let (ports, sides) = (self.rtp_ports(), [Realm::Access, Realm::Core]);
        bank.set(&rtp::PORTS, sides.map(|realm| ports.counts(realm)).as_flattened().iter().copied());
        bank.set(&rtp::PORTS_EXHAUSTED, sides.map(|realm| ports.exhausted(realm)));
        bank.set(&sip::HEADER_RULE_FAILURES, [self.rules().failures()]);
        bank.set_rules(self.rules().matches());
    }
}

/// Puts what the edge counts where the exporter finds it.
fn publish_edge(c: &edge::Counters, bank: &Bank) {
    let both = |a: &[[u64; edge::counters::METHODS]; 2], b: &[[u64; edge::counters::METHODS]; 2]| {
        [*a, *b].as_flattened().as_flattened().to_vec()
    };
    bank.set(&sip::REQUESTS, both(&c.requests_in, &c.requests_out));
    // Class 0 is no class.
    let classes = [&c.responses_in, &c.responses_out];
    bank.set(&sip::RESPONSES, classes.into_iter().flatten().flat_map(|of_realm| of_realm[1..].to_vec()));
    bank.set(&sip::REJECTS, c.rejects.as_flattened().iter().copied());
    bank.set(&sip::RETRANSMISSIONS, [c.retransmissions_in, c.retransmissions_out].as_flattened().to_vec());
    bank.set(&sip::EXCHANGES_OPENED, [c.exchanges_opened]);
    bank.set(&sip::EXCHANGES, [c.exchanges]);
    bank.set(&sip::CALLS_OPENED, [c.calls_opened]);
    bank.set(&sip::CALLS, [c.calls]);
    bank.set(&sip::SUBSCRIPTIONS_OPENED, [c.subscriptions_opened]);
    bank.set(&sip::DIALOGS_CONFIRMED, [c.dialogs_confirmed]);
    bank.set(&sip::FAILOVERS, [c.failovers]);
    bank.set(&sip::UE_PINGS, c.ue_pings);
    bank.set(&sip::EMERGENCIES, c.emergencies);
    bank.set(&sip::GUESTS, [c.guests]);
    bank.set(&hops::FAILURES, c.hop_failures);
    bank.set(&hops::PROBES, c.probes);
    bank.set(&hops::OVERSIZE, c.oversize);
    bank.set(&sip::SOFT_FAULTS, c.soft_faults);
    bank.set(&sip::KEEPALIVES, [c.pings, c.rkeeps, c.stuns]);
    bank.set(&sip::HANDOVERS, [c.handovers]);
    bank.set(&sip::ORPHANS, [c.orphans]);
    let events = [c.registrations_opened, c.registrations_refreshed, c.registrations_ended];
    bank.set(&sip::REGISTRATION_EVENTS, events);
    bank.set(&sip::REGISTRATIONS, [c.registrations]);
}

/// The realm of those who ask for a relay.
pub(crate) fn relay_realm(config: &Config) -> &str {
    match config.msrp_relay.realm.as_str() {
        "" => &config.core.domain,
        realm => realm,
    }
}

fn classic_limits(config: &Config, context: &ShardContext) -> ClassicLimits {
    let r = &config.msrp_relay;
    let listener = |transport| {
        let ours =
            |p: &&edge::api::MsrpPoint| p.realm == Realm::Access && p.transport == transport && !p.websocket;
        r.address.or_else(|| context.msrp.iter().find(ours).map(|point| point.advertised))
    };
    // What a seed is drawn for must not draw the same elsewhere.
    let seed = core::array::from_fn(|n| context.seed.get(n).copied().unwrap_or(0) ^ 0xa5);
    ClassicLimits {
        auth: Settings {
            realm: relay_realm(config).into(),
            expires_min: r.expires_seconds_min,
            expires_max: r.expires_seconds_max,
            nonces_max: NONCES_MAX,
        },
        addresses: [listener(Transport::Tls), listener(Transport::Tcp)],
        tls_only: r.tls_only,
        grants_max: r.grants_max,
        grants_per_user_max: r.grants_per_user_max,
        next_hops: r.next_hops.iter().copied().collect(),
        idle_max: Duration::from_secs(config.msrp.idle_seconds),
        message_bytes_max: config.msrp.message_bytes_max,
        seed,
    }
}

/// Answered nonces that a shard remembers for their five minutes: 3 MB.
const NONCES_MAX: usize = 65_536;

/// The settings of the relay that the operator's file names; the rest are its own.
fn relay_limits(config: &Config, seed: &[u8; 32]) -> Limits {
    let m = &config.msrp;
    let [a, b, c, d, e, f, g, h, ..] = *seed;
    Limits {
        sessions_max: m.sessions_max,
        connections_max: config.limits.connections_max,
        queue_high_bytes: m.queue_high_bytes,
        queue_low_bytes: m.queue_low_bytes,
        bind_max: Duration::from_secs(m.bind_seconds),
        chunk_max: Duration::from_secs(m.chunk_seconds),
        session_max: (m.session_seconds_max > 0).then(|| Duration::from_secs(m.session_seconds_max)),
        session_bytes_per_second_max: m.session_bytes_per_second_max,
        user_bytes_per_second_max: m.user_bytes_per_second_max,
        hash_seed: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        ..Limits::default()
    }
}

impl Relaying for MsrpRelay {
    fn handle(&mut self, event: relay::Event<'_>, now: Instant, out: &mut relay::Outbox) {
        Self::handle(self, event, now, out);
    }
    fn next_deadline(&self) -> Option<Instant> {
        Self::next_deadline(self).map(|(at, _)| at)
    }
    fn handle_deadline(&mut self, now: Instant, out: &mut relay::Outbox) {
        Self::handle_deadline(self, now, out);
    }
    fn configure(&mut self, config: &Config, now: Instant, out: &mut relay::Outbox) {
        // The seed stays what it was.
        self.set_limits(relay_limits(config, &[0; 32]), now, out);
    }
    fn publish(&self, bank: &Bank) {
        let c = self.counters();
        bank.set(&msrp::SESSIONS, [self.session_count() as u64]);
        bank.set(&msrp::SESSIONS_OPENED, [c.sessions]);
        bank.set(&msrp::RELAYED_BYTES, [Realm::Access, Realm::Core].map(|realm| c.relayed_bytes(realm)));
        bank.set(&msrp::RELAYED, [c.sends, c.other_requests, c.responses]);
        bank.set(&msrp::MESSAGES, [c.messages]);
        bank.set(&msrp::ANSWERS, [c.answers]);
        bank.set(&msrp::PAUSES, [c.pauses]);
        bank.set(&msrp::PAUSED_MICROSECONDS, [c.paused_micros]);
        bank.set(&msrp::SLOWED, [c.slowed]);
        bank.set(&msrp::INTERRUPTIONS, [c.interruptions]);
        bank.set(&msrp::HELD_BYTES, [self.held_bytes() as u64]);
        bank.set(&msrp::CAUSES, Cause::ALL.iter().map(|cause| c.of(*cause)));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use telemetry::Family;

    fn values(family: &Family, label: &str) -> &'static [&'static str] {
        family.labels.iter().find(|l| l.name == label).unwrap().values
    }

    #[test]
    fn the_method_label_is_in_the_order_of_the_methods() {
        let labels = values(&sip::REQUESTS, "method");
        let known = ::sip::Method::KNOWN.iter().map(|method| method.as_str().to_lowercase());
        assert!(known.chain(["unknown".to_owned()]).eq(labels.iter().map(|l| (*l).to_owned())), "{labels:?}");
    }

    #[test]
    fn the_cause_label_is_in_the_order_of_the_causes() {
        assert!(Cause::ALL.iter().map(|c| c.label()).eq(values(&sip::REJECTS, "cause").iter().copied()));
    }

    #[test]
    fn what_the_edge_counts_is_exported_under_its_labels() {
        let telemetry = telemetry::Telemetry::default();
        let mut counters = edge::Counters::default();
        counters.requests_in[0][::sip::Method::Register as usize] = 11;
        counters.requests_out[1][::sip::Method::Message as usize] = 12;
        counters.responses_in[1][2] = 13;
        counters.responses_out[0][4] = 14;
        counters.reject(Realm::Access, Cause::NotRegistered);
        counters.retransmissions_out[1] = 15;
        counters.registrations = 16;
        counters.calls = 17;
        publish_edge(&counters, &telemetry.open_bank());
        let text = telemetry.render();
        for line in [
            "gatehouse_sip_requests_total{direction=\"in\",realm=\"access\",method=\"register\"} 11",
            "gatehouse_sip_requests_total{direction=\"out\",realm=\"core\",method=\"message\"} 12",
            "gatehouse_sip_responses_total{direction=\"in\",realm=\"core\",class=\"2xx\"} 13",
            "gatehouse_sip_responses_total{direction=\"out\",realm=\"access\",class=\"4xx\"} 14",
            "gatehouse_sip_rejects_total{realm=\"access\",cause=\"not_registered\"} 1",
            "gatehouse_sip_retransmissions_total{direction=\"out\",realm=\"core\"} 15",
            "gatehouse_registrations 16",
            "gatehouse_sip_calls 17",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}");
        }
    }
}
