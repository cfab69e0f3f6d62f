//! UEs behind address translators: who is pinged over UDP, whose flow is lost, what UEs are told.
//!
//! ```text
//!   registered over UDP ─▶ silent for ping_seconds ─▶ OPTIONS ─▶ answered: again later
//!                              ▲  anything it sends              └▶ lost n times: the flow is gone (R7),
//!                              └───────────────────                 requests for it are answered 430
//! ```
//! Each UE has its own instant, drawn by chance, so that pings are even however UEs registered; beyond
//! `pings_per_second_max` they wait.

use crate::api::Outbox;
use crate::bindings::Binding;
use crate::deadlines::Alarm;
use crate::exchange::{Exchange, Purpose};
use crate::hops::host_of_uri;
use crate::originate::OwnRequest;
use crate::shard::Edge;
use crate::token::FlowPath;
use config::NatPing;
use core::time::Duration;
use sip::{HeaderId, Message, Method};
use smallvec::SmallVec;
use wire::bytes_class::push_decimal;
use wire::{BindingId, EditList, Instant};

/// How a UE on UDP is kept in reach.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pulse {
    /// When something came from it last.
    pub seen_at: Instant,
    /// Pings in a row that it did not answer.
    pub lost: u32,
    /// Too many: nothing is sent to it until it registers again.
    pub gone: bool,
    /// Where its alarm stands.
    pub armed: Option<Instant>,
}

/// What is left of this second's pings.
#[derive(Debug, Default)]
pub(crate) struct PingBudget {
    until: Instant,
    left: u32,
}

/// An answer is due long before the next ping is.
const ANSWER_MAX: Duration = Duration::from_secs(4);

impl Edge {
    /// A UE registered: it is watched if it is one of those that are.
    pub(crate) fn start_pulse(&mut self, id: BindingId, now: Instant) {
        let next = self.ping_gap();
        let policy = self.config.nat.ping;
        let Some(binding) = self.bindings.find_mut(id) else { return };
        binding.pulse = Pulse { seen_at: now, armed: binding.pulse.armed, ..Pulse::default() };
        let at = is_pinged(binding, policy).then(|| now + next);
        self.deadlines.arm(Alarm::Ping(id), &mut binding.pulse.armed, at);
    }

    /// A binding ends: nothing of its watch stays.
    pub(crate) fn stop_pulse(&mut self, id: BindingId) {
        if let Some(binding) = self.bindings.find_mut(id) {
            self.deadlines.arm(Alarm::Ping(id), &mut binding.pulse.armed, None);
        }
    }

    /// Something came from this flow: its UEs live.
    pub(crate) fn note_alive(&mut self, flow: FlowPath, now: Instant) {
        if self.config.nat.ping == NatPing::Off {
            return;
        }
        let ids: SmallVec<[BindingId; 1]> = self.flows.bindings(flow).into();
        for id in ids {
            if let Some(binding) = self.bindings.find_mut(id) {
                (binding.pulse.seen_at, binding.pulse.lost) = (now, 0);
            }
        }
    }

    /// A UE may have been silent for too long.
    pub(crate) fn on_ping_deadline(&mut self, id: BindingId, now: Instant, out: &mut Outbox) {
        let gap = self.ping_gap();
        let policy = self.config.nat.ping;
        let Some(binding) = self.bindings.find_mut(id) else { return };
        binding.pulse.armed = None;
        if !binding.live || !is_pinged(binding, policy) {
            return;
        }
        let due_at = binding.pulse.seen_at + gap;
        let next = match due_at > now && binding.pulse.lost == 0 {
            true => due_at,
            false if self.take_ping(now) => {
                self.ping(id, now, out);
                now + gap
            }
            // The rest of this second belongs to others.
            false => self.pings.until + Duration::from_micros(self.random.below(1_000_000)),
        };
        if let Some(binding) = self.bindings.find_mut(id) {
            self.deadlines.arm(Alarm::Ping(id), &mut binding.pulse.armed, Some(next));
        }
    }

    fn take_ping(&mut self, now: Instant) -> bool {
        if self.pings.until <= now {
            self.pings.until = now + Duration::from_secs(1);
            self.pings.left = self.config.nat.pings_per_second_max;
        }
        let fits = self.pings.left > 0;
        self.pings.left = self.pings.left.saturating_sub(1);
        fits
    }

    /// The interval, spread by a tenth.
    fn ping_gap(&mut self) -> Duration {
        let micros = self.config.nat.ping_seconds.saturating_mul(1_000_000);
        Duration::from_micros(micros - micros / 20 + self.random.below(micros / 10))
    }

    fn ping(&mut self, id: BindingId, now: Instant, out: &mut Outbox) {
        let Ok(target) = self.access_target(id) else { return };
        let Some(binding) = self.bindings.live(id) else { return };
        let mut request = OwnRequest::new(Method::Options);
        request.uri.extend_from_slice(binding.profile().contact_uri);
        let at = self.points.at(target.point).advertised.as_bytes().to_vec();
        self.describe_options(&mut request, &at);
        let sent =
            self.originate(&request, target, (Purpose::Ping(id), Some(id)), Some(ANSWER_MAX), now, out);
        self.counters.ue_pings[0] += u64::from(sent.is_some());
    }

    /// A UE answered: whatever it says, it is there.
    pub(crate) fn ping_answered(&mut self, id: BindingId, now: Instant) {
        self.counters.ue_pings[1] += 1;
        if let Some(binding) = self.bindings.find_mut(id) {
            (binding.pulse.seen_at, binding.pulse.lost) = (now, 0);
        }
    }

    /// A UE did not answer. Once too often, and its flow is lost, with every binding on it.
    pub(crate) fn ping_lost(&mut self, x: &mut Exchange, id: BindingId, now: Instant) {
        x.client = None;
        self.counters.ue_pings[2] += 1;
        let max = self.config.nat.pings_lost_max;
        let Some(binding) = self.bindings.find_mut(id).filter(|b| b.live) else { return };
        if binding.pulse.seen_at >= x.sent_at {
            return; // it spoke meanwhile, if not of this
        }
        binding.pulse.lost += 1;
        if binding.pulse.lost < max || binding.pulse.gone {
            return;
        }
        let flow = binding.flow;
        self.counters.ue_pings[3] += 1;
        let ids: SmallVec<[BindingId; 1]> = self.flows.bindings(flow).into();
        for id in ids {
            if let Some(binding) = self.bindings.find_mut(id) {
                binding.pulse.gone = true;
                self.deadlines.arm(Alarm::Ping(id), &mut binding.pulse.armed, None);
            }
        }
        self.on_flow_lost(flow, now);
    }

    /// Flow-Timer, where the registrar used outbound (RFC 5626 §5.4, §6): it says so in Require.
    pub(crate) fn tell_flow_timer(&self, message: Message<'_>, edits: &mut EditList) {
        let seconds = self.config.nat.flow_timer_seconds;
        if seconds == 0 || !message.lists(HeaderId::Require, b"outbound") {
            return;
        }
        crate::headers::strip_field(message, HeaderId::FlowTimer, edits);
        edits.insert_with(message.fields_end(), |out| {
            out.extend_from_slice(b"Flow-Timer: ");
            push_decimal(u64::from(seconds), out);
            out.extend_from_slice(b"\r\n");
        });
    }
}

fn is_pinged(binding: &Binding, policy: NatPing) -> bool {
    let datagrams = matches!(binding.flow, FlowPath::Datagram { .. });
    let chosen = match policy {
        NatPing::Off => false,
        NatPing::All => true,
        NatPing::Natted => is_natted(binding),
    };
    datagrams && chosen && !binding.pulse.gone && !binding.is_guest()
}

/// Whether its Contact shows another address than its datagrams come from.
fn is_natted(binding: &Binding) -> bool {
    let shown = host_of_uri(binding.profile().contact_uri).and_then(|query| query.literal());
    shown.is_none_or(|(address, _)| {
        (address.ip().to_canonical(), address.port())
            != (binding.source.ip().to_canonical(), binding.source.port())
    })
}
