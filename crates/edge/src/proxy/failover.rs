//! When a next hop does not do its part: the request goes to another one, or its sender hears why not.
//!
//! ```text
//!   silent for its share of 64·T1 ─┐                          ┌─▶ next member of the pool, new branch,
//!   unreachable, connection lost  ─┼─▶ the member rests ──────┤   same server transaction
//!   503, Retry-After              ─┘                          └─▶ 408, 500, 503 to the requester
//! ```

use super::{DATAGRAM_BYTES_MAX, place_of};
use crate::api::Outbox;
use crate::exchange::{Branch, Cancel, Exchange, Purpose, Target, line_around};
use crate::headers;
use crate::hops::health::Failure;
use crate::hops::retry_after;
use crate::proxy::alias_to;
use crate::shard::Edge;
use core::net::SocketAddr;
use sip::transaction::Effects;
use sip::{Message, Method};
use wire::bytes_class::push_decimal;
use wire::{Cause, Hop, Instant, Realm, Span, Transport};

impl Edge {
    /// The exchange failed on the far side: answers with `cause`, unless another next hop can be tried.
    pub(super) fn fail(&mut self, x: &mut Exchange, cause: Cause, now: Instant, out: &mut Outbox) {
        if x.finished || self.try_next_hop(x, now, out) {
            return;
        }
        x.client = None;
        let origin = x.requester;
        self.note_reject(cause, &origin, x.echo.call_id(), out);
        let warning = self.warning(cause.into(), &origin);
        self.answer(x, cause.status().unwrap_or(500), &warning, now, out);
    }

    /// Sends the request to the next usable hop of its pools, on a new branch.
    pub(super) fn try_next_hop(&mut self, x: &mut Exchange, now: Instant, out: &mut Outbox) -> bool {
        if !x.retryable || x.finished || !matches!(x.cancel, Cancel::No) {
            return false;
        }
        // RFC 4320 §4.2: later than that the requester has ended its transaction.
        if now.since(x.opened_at) >= self.derived.timers.t1_64() {
            return false;
        }
        let Some(target) = self.next_core_target(&mut x.tried, now) else {
            return false;
        };
        self.send_again(x, target, now, out)
    }

    /// Sends the request that an exchange holds to another target.
    pub(super) fn send_again(
        &mut self,
        x: &mut Exchange,
        target: Target,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        let tcp = self.over_tcp(&target, x.request.len(), now);
        x.oversize = tcp.is_some();
        let Some(span) = self.readdress(x, tcp.unwrap_or(target), out) else {
            return false;
        };
        x.answered = false;
        self.counters.failovers += 1;
        self.launch(x, span, now, out);
        true
    }

    /// Puts a new Via into the request that an exchange holds, for another target.
    pub(super) fn readdress(&mut self, x: &mut Exchange, target: Target, out: &mut Outbox) -> Option<Span> {
        let old = memchr::memmem::find(&x.request, x.branch.text())?;
        let line = line_around(&x.request, old);
        self.leave(x);
        x.branch = Branch::new(x.id, &mut self.random);
        let start = out.bytes.len();
        out.bytes.extend_from_slice(&x.request[..line.start as usize]);
        let (at, alias) = (self.points.at(target.point), alias_to(&target, &self.config));
        headers::push_via(at, target.transport, &x.branch, alias, &mut out.bytes);
        out.bytes.extend_from_slice(&x.request[line.end as usize..]);
        let span = Span::new(start, out.bytes.len());
        x.request.clear();
        x.request.extend_from_slice(span.of(&out.bytes));
        x.target = target;
        Some(span)
    }

    /// Nothing of this exchange waits for its present target any longer.
    fn leave(&mut self, x: &Exchange) {
        if let Hop::Stream(id) = x.target.hop
            && let Some(stream) = self.flows.stream_mut(id)
        {
            stream.awaiting.retain(|other| *other != x.id);
        }
    }

    /// The target has been silent for its share of the time.
    ///
    /// An INVITE and a REGISTER are answered by the next hop itself, and at once. Anything else may wait
    /// for a UE far away: as long as the next hop answers others, sending it again elsewhere would only
    /// deliver it twice.
    pub(super) fn on_silence(&mut self, x: &mut Exchange, now: Instant, out: &mut Outbox) {
        match x.purpose {
            Purpose::Probe(probe) => return self.probe_lost(x, probe),
            Purpose::Ping(id) => return self.ping_lost(x, id, now),
            _ => {}
        }
        let lives = !self.note_silence(x, now);
        if lives && !matches!(x.method, Method::Invite | Method::Register) {
            return;
        }
        self.try_next_hop(x, now, out);
    }

    /// Lets a next hop rest that did not answer, unless it answered anybody meanwhile; whether it rests.
    pub(super) fn note_silence(&mut self, x: &Exchange, now: Instant) -> bool {
        let dead = x.target.realm == Realm::Core && !self.hops.heard_since(place_of(x), x.sent_at);
        if dead {
            self.hops.failed(place_of(x), Failure::Silent, now);
            self.counters.hop_failures[0] += 1;
            self.arm_hops();
        }
        dead
    }

    /// The request could not be delivered. One that went over TCP only for its length goes over UDP
    /// after all (RFC 3261 §18.1.1).
    pub(super) fn on_unsendable(&mut self, x: &mut Exchange, now: Instant, out: &mut Outbox) {
        if let Purpose::Probe(probe) = x.purpose {
            self.probe_lost(x, probe);
            return;
        }
        if x.oversize && !x.finished {
            x.oversize = false;
            self.hops.takes_no_tcp(x.target.peer, now);
            let fits = x.request.len() <= DATAGRAM_BYTES_MAX;
            if let Some(target) = self.core_target(Transport::Udp, x.target.peer).filter(|_| fits)
                && let Some(span) = self.readdress(x, target, out)
            {
                self.counters.oversize[1] += 1;
                x.answered = false;
                self.launch(x, span, now, out);
                return;
            }
        }
        if x.target.realm == Realm::Core {
            self.hops.failed(place_of(x), Failure::Unreachable, now);
        }
        self.fail(x, Cause::NextHopFailed, now, out);
    }

    /// 503: the next hop rests, and the request goes elsewhere (RFC 3263 §4.3). Passed on, it would tell
    /// the requester that we serve nobody (RFC 3261 §16.7 point 6): it hears 500, and 503 only if no next
    /// hop is left for anybody. A UE's 503 concerns nobody but the UE.
    pub(super) fn on_refusal(
        &mut self,
        x: &mut Exchange,
        message: Message<'_>,
        now: Instant,
        out: &mut Outbox,
    ) {
        if x.target.realm == Realm::Core {
            self.hops.failed(place_of(x), Failure::Refused(retry_after(message)), now);
            self.counters.hop_failures[2] += 1;
            self.arm_hops();
            if x.finished || self.try_next_hop(x, now, out) {
                return;
            }
        }
        if x.finished || self.answers_barred(x, 500, now, out) {
            return;
        }
        let rest = if x.retryable { self.hops.all_rest_for(&x.tried, now) } else { None };
        let (cause, origin) = match rest {
            Some((_, true)) => (Cause::NoNextHop, x.requester),
            _ => (Cause::FarEndUnavailable, x.requester),
        };
        self.note_reject(cause, &origin, x.echo.call_id(), out);
        let mut lines = self.warning(cause.into(), &origin);
        if let Some((rest, _)) = rest {
            let at = memchr::memmem::find(&lines, b"Retry-After: ").unwrap_or(lines.len());
            lines.truncate(at);
            lines.extend_from_slice(b"Retry-After: ");
            push_decimal(rest.as_secs().max(1), &mut lines);
            lines.extend_from_slice(b"\r\n");
        }
        self.answer(x, cause.status().unwrap_or(500), &lines, now, out);
    }

    /// A core peer cannot be reached: what waits for it goes elsewhere, or fails.
    pub(crate) fn on_unreachable(
        &mut self,
        realm: Realm,
        transport: Transport,
        peer: SocketAddr,
        now: Instant,
        out: &mut Outbox,
    ) {
        if realm == Realm::Core {
            self.hops.failed((peer, transport), Failure::Unreachable, now);
            self.counters.hop_failures[1] += 1;
            self.arm_hops();
        }
        self.on_hop_lost(Hop::Peer { realm, transport, peer }, now, out);
    }

    /// Nothing comes back over this hop: what waits for an answer goes elsewhere, or fails.
    ///
    /// Walks all exchanges; streams with the core are few and do not often close while in use.
    pub(crate) fn on_hop_lost(&mut self, hop: Hop, now: Instant, out: &mut Outbox) {
        let waits = |x: &Exchange| x.client.is_some() && x.target.hop == hop;
        for id in self.exchanges.ids_where(waits) {
            let Some(mut x) = self.exchanges.lift(id) else { continue };
            if !x.finished || matches!(x.purpose, Purpose::Probe(_)) {
                let effects = x.client.as_mut().map_or(Effects::NONE, |c| c.on_transport_error(now));
                self.on_client_effects(&mut x, effects, now, out);
            }
            self.settle(x, now, out);
        }
    }

    /// The way over TCP for what is too long for UDP (RFC 3261 §18.1.1), if the core is meant, we have a
    /// socket for it, and the next hop did not refuse connections lately.
    pub(super) fn over_tcp(&self, target: &Target, len: usize, now: Instant) -> Option<Target> {
        let max = self.config.core.udp_bytes_max;
        let too_long = max > 0 && len > max;
        if !too_long || target.realm != Realm::Core || target.transport != Transport::Udp {
            return None;
        }
        let tcp = self.core_target(Transport::Tcp, target.peer)?;
        let ours = self.points.at(tcp.point);
        let served = ours.transport == Transport::Tcp && ours.bound.is_ipv4() == target.peer.is_ipv4();
        (served && self.hops.takes_tcp(target.peer, now)).then_some(tcp)
    }
}
