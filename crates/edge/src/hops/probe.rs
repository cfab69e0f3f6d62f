//! OPTIONS to next hops: known to be dead before a UE's request finds out.
//!
//! Each shard probes for itself: what fails is a way (this shard's port, its connection, a firewall
//! between), not only a host, and no shard then waits for another one's verdict. N shards send N times
//! as many probes: for 16 shards and an interval of 10 s, 1.6 small requests a second for each next hop.

use super::{Hops, Place};
use crate::api::Outbox;
use crate::deadlines::Alarm;
use crate::exchange::{Exchange, Purpose};
use crate::hops::health::Failure;
use crate::originate::OwnRequest;
use crate::shard::Edge;
use core::time::Duration;
use sip::{HeaderId, Message, Method};
use wire::bytes_class::{self, push_decimal};
use wire::{Instant, Random};

/// A probe under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Whom it asks.
    pub place: Place,
}

/// Probes sent in one wake; the rest follows at once, after whatever else is ready.
const PROBES_PER_WAKE: usize = 16;

impl Hops {
    /// When a probe is due.
    #[must_use]
    pub(crate) fn next_probe_at(&self) -> Option<Instant> {
        self.settings.probe?;
        self.table.iter().filter(|h| h.uses > 0).map(|h| h.probe_at.unwrap_or(Instant::ZERO)).min()
    }

    /// The next hops whose probe is due. The first round is spread over one interval, the later ones
    /// by a tenth, so that neither shards nor nodes ever ask in step.
    pub(super) fn due_probes(&mut self, now: Instant, random: &mut Random) -> Vec<Place> {
        let Some(interval) = self.settings.probe else { return Vec::new() };
        let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
        let mut due = Vec::new();
        for hop in self.table.iter_mut().filter(|h| h.uses > 0) {
            match hop.probe_at {
                None => hop.probe_at = Some(now + Duration::from_micros(random.below(micros))),
                Some(at) if at <= now && due.len() < PROBES_PER_WAKE => {
                    let tenth = micros / 10;
                    let next = micros - tenth / 2 + random.below(tenth);
                    hop.probe_at = Some(now + Duration::from_micros(next));
                    due.push(hop.place);
                }
                Some(_) => {}
            }
        }
        due
    }
}

impl Edge {
    /// Sets the alarm for the next probe.
    pub(crate) fn arm_hops(&mut self) {
        let next = self.hops.next_probe_at();
        self.deadlines.arm(Alarm::Hops, &mut self.hops.armed, next);
    }

    /// Sends the probes that are due.
    pub(crate) fn on_hops_deadline(&mut self, now: Instant, out: &mut Outbox) {
        self.hops.armed = None;
        for place in self.hops.due_probes(now, &mut self.random) {
            self.probe(place, now, out);
        }
        self.arm_hops();
    }

    fn probe(&mut self, place: Place, now: Instant, out: &mut Outbox) {
        let (peer, transport) = place;
        let Some(target) = self.core_target(transport, peer) else { return };
        let mut request = OwnRequest::new(Method::Options);
        request.uri.extend_from_slice(format!("sip:{peer}").as_bytes());
        if transport.is_reliable() {
            request.uri.extend_from_slice(format!(";transport={transport}").as_bytes());
        }
        let at = self.points.at(target.point).advertised.as_bytes().to_vec();
        self.describe_options(&mut request, &at);
        let patience = self.hops.settings.probe_timeout;
        let sent = self.originate(
            &request,
            target,
            (Purpose::Probe(Probe { place }), None),
            Some(patience),
            now,
            out,
        );
        self.counters.probes[0] += u64::from(sent.is_some());
    }

    /// From, To, Call-ID and CSeq of an OPTIONS of ours.
    pub(crate) fn describe_options(&mut self, request: &mut OwnRequest, host: &[u8]) {
        let text = &mut request.fields;
        for part in [b"From: <sip:", host, b">;tag="] {
            text.extend_from_slice(part);
        }
        self.random.push_token(12, text);
        for part in [b"\r\nTo: <", &request.uri[..], b">\r\nCall-ID: "] {
            text.extend_from_slice(part);
        }
        self.random.push_token(20, text);
        text.extend_from_slice(b"\r\nCSeq: ");
        push_decimal(1, text);
        text.extend_from_slice(b" OPTIONS\r\nAccept: application/sdp\r\n");
    }

    /// A probe was answered: anything but 503 shows that somebody is at home.
    pub(crate) fn probe_answered(&mut self, probe: Probe, message: Message<'_>, now: Instant) {
        self.counters.probes[1] += 1;
        if message.status() == 503 {
            self.hops.failed(probe.place, Failure::Refused(retry_after(message)), now);
            self.counters.hop_failures[2] += 1;
            return;
        }
        let settings = self.hops.settings;
        if let Some(hop) = self.hops.hop_mut(probe.place) {
            hop.health.on_probe_answered(now, &settings);
        }
    }

    /// A probe was not answered, or could not be sent.
    pub(crate) fn probe_lost(&mut self, x: &mut Exchange, probe: Probe) {
        x.client = None;
        self.counters.probes[2] += 1;
        let settings = self.hops.settings;
        if let Some(hop) = self.hops.hop_mut(probe.place)
            && hop.health.on_probe_lost(&settings)
        {
            self.counters.hop_failures[3] += 1;
        }
    }
}

/// The Retry-After of a response, without what follows the number (RFC 3261 §20.33).
pub(crate) fn retry_after(message: Message<'_>) -> Option<Duration> {
    let value = message.value(HeaderId::RetryAfter)?;
    let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
    let seconds = bytes_class::decimal(&value[..digits])?;
    Some(Duration::from_secs(u64::from(seconds)))
}
