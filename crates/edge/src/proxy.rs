//! The transaction-stateful proxy: forwards requests, brings answers back, repeats, cancels, gives up.
//!
//! RFC 3261 §16 with topology hiding: what one side sees of the other is rebuilt from the exchange.
//! Every request that comes in through [`Edge::forward`] is answered in the end: by the target, by the
//! client transaction's timers, by timer C, or when the way to the target breaks.

mod cancel;

use crate::api::{Action, Outbox};
use crate::deadlines::Alarm;
use crate::exchange::{Branch, Cancel, Client, Exchange, Incoming, Purpose, Server, Target, line_around};
use crate::flow::{Origin, flow_of};
use crate::mask::Owner;
use crate::shard::Edge;
use crate::{counters, headers, reply};
use core::net::SocketAddr;
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
    /// Core next hops that are used up, as bits; `None` if no other hop may be tried.
    pub tried: Option<u32>,
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
        headers::own_via(message, at, x.target.transport, &x.branch, edits);
        self.hide(message, x.target.realm, x.target.point, &|| self.owner_of_exchange(&x), edits);
        sip::edit::fit_content_length(message, edits);
        let start = out.bytes.len();
        let gathered = edits.gather(message.bytes(), &mut out.bytes).map_err(|_| Cause::Internal);
        let ruled = gathered.and_then(|_| self.apply_rules(request, &x.target, start, out));
        let refused = match ruled {
            Err(cause) => Some(cause),
            Ok(()) => {
                let len = out.bytes.len() - start;
                let too_long = !x.target.transport.is_reliable() && len > DATAGRAM_BYTES_MAX;
                too_long.then_some(Cause::BodyTooLong)
            }
        };
        if let Some(cause) = refused {
            out.bytes.truncate(start);
            self.conclude(core::mem::take(&mut x.purpose), NOT_SENT, now, out);
            self.exchanges.free(x);
            return Err(cause);
        }
        let span = Span::new(start, out.bytes.len());
        // A stream to a UE never needs the request again, unless to cancel or acknowledge it.
        if x.retryable || !x.target.transport.is_reliable() || x.method == Method::Invite {
            x.request.extend_from_slice(span.of(&out.bytes));
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
        let spare = self.exchanges.buffers();
        let (method, origin) = (request.method(), request.origin);
        let mut echo = spare.echo;
        echo.read(request.message, origin);
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
            owner: way.owner,
            tried: way.tried.unwrap_or_default(),
            retryable: way.tried.is_some(),
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
        let others = self.pool.others(x.tried);
        x.next_hop_by = (x.retryable && others > 0).then(|| now + patience(timers.t1_64(), others));
        if let Hop::Stream(id) = x.target.hop
            && let Some(stream) = self.flows.stream_mut(id)
        {
            stream.awaiting.push(x.id);
        }
        self.counters.requests_out[counters::index(x.target.realm)][x.method as usize] += 1;
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
        if !x.answered {
            x.answered = true;
            x.next_hop_by = None;
            self.pool.works(x.target.peer, x.target.transport);
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
        match status {
            100 => {}
            101..200 => {
                if x.method == Method::Invite {
                    x.ring_until = Some(now + self.config.timers.c());
                }
                self.relay(x, message, now, out);
            }
            // RFC 3263 §4.3: 503 means try the next one.
            503 if x.target.realm == Realm::Core && self.try_next_hop(x, now, out) => {}
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
            Purpose::Plain => {}
            Purpose::Watch(id) => self.watch_failed(id, now),
            Purpose::Register(_) => self.abandon(purpose),
            Purpose::Invite(call) => self.invite_over(call, status, now, out),
            Purpose::Subscribe(call) => self.subscribe_over(call, status, now, out),
            Purpose::Inside(inside) => self.inside_over(&inside, status, now, out),
        }
    }

    /// The exchange failed on the far side: answers with `cause`, unless another next hop can be tried.
    fn fail(&mut self, x: &mut Exchange, cause: Cause, now: Instant, out: &mut Outbox) {
        if x.finished || self.try_next_hop(x, now, out) {
            return;
        }
        x.client = None;
        let origin = x.requester;
        self.note_reject(cause, &origin, x.echo.call_id(), out);
        let warning = self.warning(cause.into(), &origin);
        self.answer(x, cause.status().unwrap_or(500), &warning, now, out);
    }

    /// Sends the request to the next usable hop of the core pool, on a new branch.
    fn try_next_hop(&mut self, x: &mut Exchange, now: Instant, out: &mut Outbox) -> bool {
        if !x.retryable || x.finished || !matches!(x.cancel, Cancel::No) {
            return false;
        }
        self.pool.failed(x.target.peer, x.target.transport, now);
        let Some(target) = self.next_core_target(&mut x.tried, now) else {
            return false;
        };
        let old = memchr::memmem::find(&x.request, x.branch.text());
        let Some(line) = old.map(|at| line_around(&x.request, at)) else {
            return false;
        };
        x.branch = Branch::new(x.id, &mut self.random);
        let start = out.bytes.len();
        out.bytes.extend_from_slice(&x.request[..line.start as usize]);
        headers::push_via(self.points.at(target.point), target.transport, &x.branch, &mut out.bytes);
        out.bytes.extend_from_slice(&x.request[line.end as usize..]);
        let span = Span::new(start, out.bytes.len());
        x.request.clear();
        x.request.extend_from_slice(span.of(&out.bytes));
        x.target = target;
        x.answered = false;
        self.counters.failovers += 1;
        self.launch(x, span, now, out);
        true
    }

    /// Wakes the machines of an exchange.
    pub(crate) fn on_exchange_deadline(&mut self, id: ExchangeId, now: Instant, out: &mut Outbox) {
        let Some(mut x) = self.exchanges.lift(id) else { return };
        x.armed = None;
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(x.next_hop_by) {
            x.next_hop_by = None;
            self.try_next_hop(&mut x, now, out);
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
            self.pool.failed(x.target.peer, x.target.transport, now);
            // The requester has given up by itself when both its timers and ours ran for 64·T1.
            x.retryable = false;
            self.fail(x, Cause::NextHopTimeout, now, out);
        }
        if effects.contains(Effects::FAILED) {
            self.fail(x, Cause::NextHopFailed, now, out);
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

    /// A core peer cannot be reached: what waits for it goes elsewhere, or fails.
    pub(crate) fn on_unreachable(
        &mut self,
        realm: Realm,
        transport: Transport,
        peer: SocketAddr,
        now: Instant,
        out: &mut Outbox,
    ) {
        self.pool.failed(peer, transport, now);
        self.on_hop_lost(Hop::Peer { realm, transport, peer }, now, out);
    }

    /// Nothing comes back over this hop: what waits for an answer goes elsewhere, or fails.
    ///
    /// Walks all exchanges; streams with the core are few and do not often close while in use.
    pub(crate) fn on_hop_lost(&mut self, hop: Hop, now: Instant, out: &mut Outbox) {
        for id in self.exchanges.ids_where(|x| !x.finished && x.client.is_some() && x.target.hop == hop) {
            let Some(mut x) = self.exchanges.lift(id) else { continue };
            let effects = x.client.as_mut().map_or(Effects::NONE, |c| c.on_transport_error(now));
            self.on_client_effects(&mut x, effects, now, out);
            self.settle(x, now, out);
        }
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
        headers::own_via(request.message, self.points.at(target.point), target.transport, &branch, edits);
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

/// How long one of several next hops may stay silent: an equal share of the whole, so that the last
/// one still answers before the requester gives up, and never so short that a slow one counts as dead.
fn patience(whole: Duration, others: u32) -> Duration {
    (whole / (others + 1)).clamp(PATIENCE_MIN, PATIENCE_MAX)
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
