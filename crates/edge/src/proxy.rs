//! The transaction-stateful proxy: forwards requests, brings answers back, repeats, cancels, gives up.
//!
//! RFC 3261 §16 with topology hiding: what one side sees of the other is rebuilt from the exchange.
//! Every request that comes in through [`Edge::forward`] is answered in the end: by the target, by the
//! client transaction's timers, by timer C, or when the way to the target breaks.

mod cancel;
mod failover;
mod redirect;

use crate::api::{Action, Outbox};
use crate::deadlines::Alarm;
use crate::emergency;
use crate::exchange::{Branch, Cancel, Client, Exchange, Incoming, Purpose, Server, Target};
use crate::flow::{Origin, flow_of};
use crate::headers::Alias;
use crate::hops::{Place, Tried};
use crate::mask::Owner;
use crate::shard::Edge;
use crate::{counters, headers, network, reply, trust};
use config::Config;
use core::time::Duration;
use sip::transaction::Effects;
use sip::{Message, Method};
use wire::{BindingId, Cause, EditList, ExchangeId, Hop, Instant, NetAction, Realm, Span, Transport};

/// How to forward a request.
#[derive(Debug)]
pub(crate) struct Way {
    /// Where to.
    pub target: Target,
    /// What else the exchange does.
    pub purpose: Purpose,
    /// Of the UE concerned.
    pub binding: Option<BindingId>,
    /// Its owner, if the UE has no binding here any more.
    pub owner: Option<Owner>,
    /// Core next hops that are used up; `None` if no other hop may be tried.
    pub tried: Option<Tried>,
}

/// The largest datagram: 65,535 less the headers of IP and UDP.
const DATAGRAM_BYTES_MAX: usize = 65_507;

impl Edge {
    /// Sends a request on, edited; answers and repeats are taken care of from here on.
    ///
    /// # Errors
    /// `TableFull`, or `BodyTooLong` for what fits no datagram; nothing was sent then, and `way.purpose`
    /// is undone.
    pub(crate) fn forward(
        &mut self,
        request: &Incoming<'_>,
        way: Way,
        edits: &mut EditList,
        out: &mut Outbox,
    ) -> Result<ExchangeId, Cause> {
        let (message, now) = (request.message, request.now);
        let Some(id) = self.open_exchange(request, &way) else {
            self.conclude(way.purpose, NOT_SENT, now, out);
            return Err(Cause::TableFull);
        };
        let mut x = self.exchanges.lift(id).expect("it was just put in");
        x.purpose = way.purpose;
        x.branch = Branch::new(id, &mut self.random);
        let at = self.points.at(x.target.point);
        let alias = alias_to(&x.target, &self.config);
        headers::own_via(message, at, x.target.transport, &x.branch, alias, edits);
        self.hide(message, x.target.realm, x.target.point, &|| self.owner_of_exchange(&x), edits);
        sip::edit::fit_content_length(message, edits);
        let start = out.bytes.len();
        let gathered = edits.gather(message.bytes(), &mut out.bytes).map_err(|_| Cause::Internal);
        let ruled = gathered.and_then(|_| self.apply_rules(request, &x.target, start, out));
        let refused = match ruled {
            Err(cause) => Some(cause),
            Ok(()) => {
                let len = out.bytes.len() - start;
                let too_long = !x.target.transport.is_reliable()
                    && len > DATAGRAM_BYTES_MAX
                    && self.over_tcp(&x.target, len, now).is_none();
                too_long.then_some(Cause::BodyTooLong)
            }
        };
        if let Some(cause) = refused {
            out.bytes.truncate(start);
            self.conclude(core::mem::take(&mut x.purpose), NOT_SENT, now, out);
            self.exchanges.free(x);
            return Err(cause);
        }
        let mut span = Span::new(start, out.bytes.len());
        // A stream to a UE never needs the request again, unless to cancel or acknowledge it.
        if x.retryable || !x.target.transport.is_reliable() || x.method == Method::Invite {
            x.request.extend_from_slice(span.of(&out.bytes));
        }
        if let Some(target) = self.over_tcp(&x.target, x.request.len(), now) {
            x.oversize = true;
            span = self.readdress(&mut x, target, out).unwrap_or(span);
        }
        self.launch(&mut x, span, now, out);
        if let Purpose::Invite(call) = &x.purpose
            && let Some(call) = self.calls.call_mut(*call)
        {
            call.exchange = Some(id);
        }
        if x.method == Method::Invite {
            self.answer(&mut x, 100, b"", now, out);
        }
        self.settle(x, now, out);
        Ok(id)
    }

    fn open_exchange(&mut self, request: &Incoming<'_>, way: &Way) -> Option<ExchangeId> {
        let full = self.exchanges.count() >= self.config.limits.transactions_max;
        if full && !emergency::is_urgent(self, request) {
            return None;
        }
        let spare = self.exchanges.buffers();
        let (method, origin) = (request.method(), request.origin);
        let mut echo = spare.echo;
        let charging = network::vector_of(self, request.message, origin.realm);
        echo.read(request.message, origin, self.config.nat.keep_seconds);
        let id = self.exchanges.insert_with(|id| Exchange {
            id,
            method,
            requester: Origin { hop: reply::answer_hop(origin, &request.via), ..*origin },
            key: request.key(self.secret),
            server: Some(Server::new(method, origin.transport, request.now, &self.derived.timers)),
            client: None,
            target: way.target,
            branch: Branch::none(),
            echo,
            request: spare.request,
            response: spare.response,
            purpose: Purpose::Plain,
            fallback: reply::fallback_hop(origin, &request.via),
            binding: way.binding,
            charging,
            owner: way.owner,
            called: trust::called(request),
            tried: way.tried.clone().unwrap_or_default(),
            retryable: way.tried.is_some(),
            opened_at: request.now,
            sent_at: request.now,
            oversize: false,
            answered: false,
            finished: false,
            refused: false,
            declined: false,
            next_hop_by: None,
            ring_until: None,
            cancel: Cancel::No,
            armed: None,
        })?;
        self.counters.exchanges_opened += 1;
        Some(id)
    }

    /// Whom the names of an exchange are masked for.
    fn owner_of_exchange(&self, x: &Exchange) -> Owner {
        match (&x.purpose, x.owner, x.binding) {
            (Purpose::Register(registering), ..) => self.masks.owner(&registering.aor_key),
            (_, Some(owner), _) => owner,
            (_, None, Some(binding)) => self.owner_of(binding),
            (_, None, None) => Owner::default(),
        }
    }

    /// Sends the request and starts everything that watches for its answer.
    pub(crate) fn launch(&mut self, x: &mut Exchange, span: Span, now: Instant, out: &mut Outbox) {
        let timers = &self.derived.timers;
        x.client = Some(Client::new(x.method, x.target.transport, now, timers));
        if x.method == Method::Invite {
            x.ring_until = Some(now + self.config.timers.c());
        }
        let others = if x.retryable { self.hops.others(&x.tried, now) } else { 0 };
        let left = timers.t1_64().saturating_sub(now.since(x.opened_at));
        x.next_hop_by = (others > 0).then(|| now + patience(left, others));
        x.sent_at = now;
        if let Hop::Stream(id) = x.target.hop
            && let Some(stream) = self.flows.stream_mut(id)
        {
            stream.awaiting.push(x.id);
        }
        self.counters.requests_out[counters::index(x.target.realm)][x.method as usize] += 1;
        self.counters.oversize[0] += u64::from(x.oversize);
        push_send(x.target.hop, span, out);
    }

    /// Handles a request that is none of its own: a retransmission, an ACK to a refusal. `true` if done.
    pub(crate) fn absorb(&mut self, request: &Incoming<'_>, out: &mut Outbox) -> bool {
        let (method, now) = (request.method(), request.now);
        if method == Method::Cancel {
            return false;
        }
        let key = request.key(self.secret);
        let Some(id) = self.exchanges.by_key(key, request.call_id) else {
            return false;
        };
        let Some(mut x) = self.exchanges.lift(id) else {
            return false;
        };
        let effects = match (&mut x.server, method) {
            (Some(server), Method::Ack) => server.on_ack(now),
            (Some(server), _) => server.on_request(now),
            (None, _) => Effects::NONE,
        };
        if method != Method::Ack {
            self.counters.retransmissions_in[counters::index(request.origin.realm)] += 1;
        }
        self.on_server_effects(&mut x, effects, out);
        self.settle(x, now, out);
        // An ACK in Accepted belongs to the dialog (RFC 6026 §7.1).
        !effects.contains(Effects::PASS)
    }

    /// Takes in a response: finds its exchange by our branch and brings it to the requester (R35).
    pub(crate) fn on_response(
        &mut self,
        message: Message<'_>,
        origin: &Origin,
        now: Instant,
        out: &mut Outbox,
    ) {
        let realm = counters::index(origin.realm);
        self.counters.responses_in[realm][usize::from(message.status() / 100).min(6)] += 1;
        if self.try_response(message, origin, now, out).is_none() {
            self.refuse(message, origin, Cause::StrayResponse.into(), out);
        }
    }

    fn try_response(
        &mut self,
        message: Message<'_>,
        origin: &Origin,
        now: Instant,
        out: &mut Outbox,
    ) -> Option<()> {
        let via = message.top_via().ok()?;
        let id = self.exchanges.by_branch(via.branch()?)?;
        let cseq = message.cseq().ok()?;
        let x = self.exchanges.find(id)?;
        // Nobody but the target answers: a UE must not guess its way into another's transaction.
        let from_target = match origin.realm {
            Realm::Access => origin.flow() == flow_of(x.target.hop),
            Realm::Core => x.target.realm == Realm::Core,
        };
        let cancelled = cseq.method == Method::Cancel && matches!(x.cancel, Cancel::Sent { .. });
        if !from_target || !(cseq.method == x.method || cancelled) {
            return None;
        }
        let mut x = self.exchanges.lift(id)?;
        if cseq.method == Method::Cancel && x.method != Method::Cancel {
            cancel::on_cancel_response(&mut x, message.status(), now);
        } else {
            self.take_response(&mut x, message, now, out);
        }
        self.settle(x, now, out);
        Some(())
    }

    fn take_response(&mut self, x: &mut Exchange, message: Message<'_>, now: Instant, out: &mut Outbox) {
        let status = message.status();
        let Some(client) = &mut x.client else { return };
        let effects = client.on_response(status, now);
        if x.target.realm == Realm::Core {
            self.hops.heard(place_of(x), now);
        }
        if !x.answered {
            x.answered = true;
            x.next_hop_by = None;
        }
        if effects.contains(Effects::ACK) {
            self.acknowledge(x, message, out);
        }
        if effects.contains(Effects::ENDED) {
            x.client = None;
        }
        if !effects.contains(Effects::PASS) {
            return;
        }
        if let Purpose::Watch(id) = x.purpose {
            if status >= 200 {
                x.purpose = Purpose::Plain;
            }
            return self.watch_answered(id, message, now);
        }
        if let Purpose::Ping(id) = x.purpose {
            x.next_hop_by = None;
            return self.ping_answered(id, now);
        }
        if let Purpose::Probe(probe) = x.purpose {
            if status >= 200 {
                x.next_hop_by = None;
                self.probe_answered(probe, message, now);
            }
            return;
        }
        match status {
            100 => {}
            101..200 => {
                if x.method == Method::Invite {
                    x.ring_until = Some(now + self.config.timers.c());
                }
                self.relay(x, message, now, out);
            }
            503 => self.on_refusal(x, message, now, out),
            300..400 if x.target.realm == Realm::Core => self.on_redirect(x, message, now, out),
            _ => self.relay(x, message, now, out),
        }
        if matches!(x.cancel, Cancel::Wanted) && status < 200 {
            self.send_cancel(x, now, out);
        }
    }

    /// Brings a response to the requester.
    fn relay(&mut self, x: &mut Exchange, message: Message<'_>, now: Instant, out: &mut Outbox) {
        let status = message.status();
        if self.answers_barred(x, status, now, out) {
            return;
        }
        if x.method == Method::Invite && (200..300).contains(&status) && self.is_unwanted(x) {
            self.decline_late(x, message, now, out);
            return;
        }
        let passes = x.server.as_mut().map_or(Effects::NONE, |s| s.on_send(status, now));
        if !passes.contains(Effects::PASS) {
            return;
        }
        let mut edits = core::mem::take(&mut self.scratch.edits);
        edits.clear();
        headers::restore(message, &x.echo, &self.tag_of(&x.echo), &mut edits);
        match x.requester.realm {
            Realm::Access => self.response_to_access(x, message, now, &mut edits, out),
            Realm::Core => self.response_to_core(x, message, now, &mut edits, out),
        }
        self.hide(message, x.requester.realm, x.requester.point, &|| self.owner_of_exchange(x), &mut edits);
        sip::edit::fit_content_length(message, &mut edits);
        let start = out.bytes.len();
        let gathered = edits.gather(message.bytes(), &mut out.bytes);
        if gathered.is_err() || !self.apply_rules_to_response(x, start, out) {
            out.bytes.truncate(start);
            // Two stages wanted the same bytes: ours to fix, the requester still gets an answer.
            x.echo.write(500, &self.tag_of(&x.echo), b"", &mut out.bytes);
        }
        self.scratch.edits = edits;
        self.respond(x, status, Span::new(start, out.bytes.len()), passes, now, out);
    }

    /// Answers the requester ourselves.
    pub(crate) fn answer(
        &mut self,
        x: &mut Exchange,
        status: u16,
        extra: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) {
        let passes = x.server.as_mut().map_or(Effects::NONE, |s| s.on_send(status, now));
        if passes.contains(Effects::PASS) {
            let tag = self.tag_of(&x.echo);
            let tag = if status == 100 { &b""[..] } else { &tag };
            let span = x.echo.write(status, tag, extra, &mut out.bytes);
            self.respond(x, status, span, passes, now, out);
        }
    }

    fn respond(
        &mut self,
        x: &mut Exchange,
        status: u16,
        span: Span,
        effects: Effects,
        now: Instant,
        out: &mut Outbox,
    ) {
        let class = usize::from(status / 100).min(6);
        self.counters.responses_out[counters::index(x.requester.realm)][class] += 1;
        push_send(self.answer_hop_of(x), span, out);
        if !x.requester.transport.is_reliable() {
            x.response.clear();
            x.response.extend_from_slice(span.of(&out.bytes));
        }
        if effects.contains(Effects::ENDED) {
            x.server = None;
        }
        if status >= 200 {
            x.finished = true;
            x.refused |= status >= 300;
            x.ring_until = None;
            x.next_hop_by = None;
            // RFC 6026 §7.1: a 2xx to INVITE is repeated by the far side, and edited each time.
            if status >= 300 || x.method != Method::Invite {
                self.conclude(core::mem::take(&mut x.purpose), status, now, out);
            }
        }
    }

    /// What an exchange does beside carrying messages has its end: the requester was told `status`, or
    /// the request was never sent, or (0) all is over.
    fn conclude(&mut self, purpose: Purpose, status: u16, now: Instant, out: &mut Outbox) {
        match purpose {
            Purpose::Watch(id) => self.watch_failed(id, now),
            Purpose::Plain | Purpose::Probe(_) | Purpose::Ping(_) => {}
            Purpose::Register(_) => self.abandon(purpose),
            Purpose::Invite(call) => self.invite_over(call, status, now, out),
            Purpose::Subscribe(call) => self.subscribe_over(call, status, now, out),
            Purpose::Inside(inside) => self.inside_over(&inside, status, now, out),
        }
    }

    /// Wakes the machines of an exchange.
    pub(crate) fn on_exchange_deadline(&mut self, id: ExchangeId, now: Instant, out: &mut Outbox) {
        let Some(mut x) = self.exchanges.lift(id) else { return };
        x.armed = None;
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(x.next_hop_by) {
            x.next_hop_by = None;
            self.on_silence(&mut x, now, out);
        }
        if due(x.ring_until) {
            x.ring_until = None;
            self.on_timer_c(&mut x, now, out);
        }
        self.on_cancel_deadline(&mut x, now, out);
        if let Some(client) = x.client.as_mut().filter(|c| due(c.next_deadline())) {
            let effects = client.on_deadline(now);
            self.on_client_effects(&mut x, effects, now, out);
        }
        if let Some(server) = x.server.as_mut().filter(|s| due(s.next_deadline())) {
            let effects = server.on_deadline(now);
            self.on_server_effects(&mut x, effects, out);
        }
        self.settle(x, now, out);
    }

    /// Timer C: the target rings for too long.
    fn on_timer_c(&mut self, x: &mut Exchange, now: Instant, out: &mut Outbox) {
        if x.answered {
            self.begin_cancel(x, now, out);
        } else {
            self.note_silence(x, now);
            self.fail(x, Cause::NextHopTimeout, now, out);
        }
    }

    fn on_client_effects(&mut self, x: &mut Exchange, effects: Effects, now: Instant, out: &mut Outbox) {
        let realm = counters::index(x.target.realm);
        if effects.contains(Effects::RESEND) {
            self.counters.retransmissions_out[realm] += 1;
            let span = push_bytes(&x.request, out);
            push_send(x.target.hop, span, out);
        }
        if effects.contains(Effects::ENDED) {
            x.client = None;
        }
        if effects.contains(Effects::TIMED_OUT) {
            self.note_silence(x, now);
            // The requester has given up by itself when both its timers and ours ran for 64·T1.
            x.retryable = false;
            self.fail(x, Cause::NextHopTimeout, now, out);
        }
        if effects.contains(Effects::FAILED) {
            self.on_unsendable(x, now, out);
        }
    }

    fn on_server_effects(&mut self, x: &mut Exchange, effects: Effects, out: &mut Outbox) {
        if effects.contains(Effects::RESEND) && !x.response.is_empty() {
            self.counters.retransmissions_out[counters::index(x.requester.realm)] += 1;
            let span = push_bytes(&x.response, out);
            push_send(self.answer_hop_of(x), span, out);
        }
        if effects.contains(Effects::ENDED) {
            x.server = None;
        }
    }

    /// The hop of the request, or where else the core can be answered when its stream is gone.
    fn answer_hop_of(&self, x: &Exchange) -> Hop {
        match (x.requester.flow(), x.fallback) {
            (Some(flow), Some(fallback)) if !self.flows.is_open(flow) => fallback,
            // A UE that came back over another flow waits there.
            (Some(flow), None) if !self.flows.is_open(flow) => {
                let back = x.binding.and_then(|binding| self.access_target(binding).ok());
                back.filter(|_| x.requester.realm == Realm::Access).map_or(x.requester.hop, |way| way.hop)
            }
            _ => x.requester.hop,
        }
    }

    /// Whether nobody waits for the 2xx of an INVITE any more.
    fn is_unwanted(&self, x: &Exchange) -> bool {
        x.refused || matches!(x.purpose, Purpose::Invite(call) if self.calls.call(call).is_none())
    }

    /// A UE's stream is gone: what waits for its answer fails at once (R7).
    pub(crate) fn on_flow_gone(&mut self, awaiting: &[ExchangeId], now: Instant, out: &mut Outbox) {
        for id in awaiting {
            let Some(mut x) = self.exchanges.lift(*id) else { continue };
            self.fail(&mut x, Cause::FlowGone, now, out);
            self.settle(x, now, out);
        }
    }

    /// Sends the ACK to a 2xx on: it is a request without transaction (RFC 3261 §16.11, §17.1.1.3).
    ///
    /// # Errors
    /// `Internal` if two stages wanted the same bytes.
    pub(crate) fn forward_ack(
        &mut self,
        request: &Incoming<'_>,
        target: Target,
        binding: BindingId,
        edits: &mut EditList,
        out: &mut Outbox,
    ) -> Result<(), Cause> {
        let branch = Branch::new(NO_EXCHANGE, &mut self.random);
        let len = request.message.bytes().len();
        let target = self.over_tcp(&target, len, request.now).unwrap_or(target);
        let (at, alias) = (self.points.at(target.point), alias_to(&target, &self.config));
        headers::own_via(request.message, at, target.transport, &branch, alias, edits);
        self.hide(request.message, target.realm, target.point, &|| self.owner_of(binding), edits);
        sip::edit::fit_content_length(request.message, edits);
        let start = out.bytes.len();
        edits.gather(request.message.bytes(), &mut out.bytes).map_err(|_| Cause::Internal)?;
        self.apply_rules(request, &target, start, out)?;
        self.counters.requests_out[counters::index(target.realm)][Method::Ack as usize] += 1;
        push_send(target.hop, Span::new(start, out.bytes.len()), out);
        Ok(())
    }

    /// Puts an exchange back where it belongs: into the table with its alarm set, or away.
    pub(crate) fn settle(&mut self, mut x: Box<Exchange>, now: Instant, out: &mut Outbox) {
        let next = if x.is_over() { None } else { x.next_deadline() };
        self.deadlines.arm(Alarm::Exchange(x.id), &mut x.armed, next);
        if x.is_over() {
            self.conclude(core::mem::take(&mut x.purpose), 0, now, out);
            if let Hop::Stream(id) = x.target.hop
                && let Some(stream) = self.flows.stream_mut(id)
            {
                stream.awaiting.retain(|other| *other != x.id);
            }
            self.exchanges.free(x);
        } else {
            self.exchanges.put_back(x);
        }
        self.counters.exchanges = self.exchanges.count() as u64;
    }
}

/// How long one of several next hops may stay silent: an equal share of what is left, so that the last
/// one still answers before the requester gives up, and never so short that a slow one counts as dead.
fn patience(left: Duration, others: u32) -> Duration {
    (left / (others + 1)).clamp(PATIENCE_MIN, PATIENCE_MAX)
}

/// The next hop that an exchange went to, as the pools know it.
fn place_of(x: &Exchange) -> Place {
    let transport = if x.oversize { Transport::Udp } else { x.target.transport };
    (x.target.peer, transport)
}

/// Whether the target may send its requests back over the connection that it gets ours over.
pub(crate) fn alias_to(target: &Target, config: &Config) -> Alias {
    let offered =
        target.realm == Realm::Core && target.transport.is_reliable() && config.core.connection_reuse;
    if offered { Alias::Offered } else { Alias::No }
}

/// Names no exchange: nothing ever answers an ACK.
pub(crate) const NO_EXCHANGE: ExchangeId = ExchangeId { slot: u32::MAX, generation: 0 };

/// Stands for the answer to a request that was never sent.
const NOT_SENT: u16 = 500;

const PATIENCE_MIN: Duration = Duration::from_secs(2);
const PATIENCE_MAX: Duration = Duration::from_secs(8);

/// Asks the shell to send what stands at `bytes`.
pub(crate) fn push_send(hop: Hop, bytes: Span, out: &mut Outbox) {
    out.actions.push(Action::Net(NetAction::Send { hop, bytes }));
}

/// Copies `bytes` into the outbox.
pub(crate) fn push_bytes(bytes: &[u8], out: &mut Outbox) -> Span {
    let start = out.bytes.len();
    out.bytes.extend_from_slice(bytes);
    Span::new(start, out.bytes.len())
}
