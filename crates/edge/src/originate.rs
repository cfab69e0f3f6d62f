//! Requests of our own: BYE to an end that could not know, OPTIONS to see whether somebody is there.

use crate::api::Outbox;
use crate::exchange::{Branch, Cancel, Exchange, Purpose, Target};
use crate::flow::Origin;
use crate::headers;
use crate::hops::Tried;
use crate::proxy::alias_to;
use crate::shard::Edge;
use core::time::Duration;
use sip::Method;
use wire::{BindingId, Cause, ExchangeId, Instant, Span, Transport};

/// A request of ours.
#[derive(Debug)]
pub(crate) struct OwnRequest {
    /// The method; also that of CSeq.
    pub(crate) method: Method,
    /// Request-URI, as an address stands elsewhere.
    pub(crate) uri: Vec<u8>,
    /// The Route value; empty for none.
    pub(crate) routes: Vec<u8>,
    /// From, To, Call-ID, CSeq and whatever else, as whole lines.
    pub(crate) fields: Vec<u8>,
}

impl OwnRequest {
    /// One without anything in it.
    pub(crate) const fn new(method: Method) -> Self {
        Self { method, uri: Vec::new(), routes: Vec::new(), fields: Vec::new() }
    }
}

impl Edge {
    /// Sends a request of our own; its transaction runs by itself. `answer_by` ends it before its
    /// timers do.
    ///
    /// `None` if the table is full, which is counted; nothing was sent then.
    pub(crate) fn originate(
        &mut self,
        request: &OwnRequest,
        target: Target,
        (purpose, binding): (Purpose, Option<BindingId>),
        answer_by: Option<Duration>,
        now: Instant,
        out: &mut Outbox,
    ) -> Option<ExchangeId> {
        if self.exchanges.count() >= self.config.limits.transactions_max {
            self.counters.reject(target.realm.other(), Cause::TableFull);
            return None;
        }
        let key = self.random.next_u64();
        let requester = Origin {
            realm: target.realm.other(),
            transport: Transport::Udp,
            source: target.peer,
            hop: target.hop,
            point: target.point,
        };
        let spare = self.exchanges.buffers();
        let id = self.exchanges.insert_with(|id| Exchange {
            id,
            method: request.method,
            requester,
            key,
            server: None,
            client: None,
            target,
            branch: Branch::none(),
            echo: crate::reply::Echo::default(),
            request: spare.request,
            response: spare.response,
            purpose,
            fallback: None,
            binding,
            charging: Box::default(),
            owner: None,
            called: Box::default(),
            tried: Tried::default(),
            retryable: false,
            opened_at: now,
            sent_at: now,
            oversize: false,
            answered: false,
            // Nobody waits for an answer.
            finished: true,
            refused: false,
            declined: false,
            next_hop_by: None,
            ring_until: None,
            cancel: Cancel::No,
            armed: None,
        });
        let Some(mut x) = id.and_then(|id| self.exchanges.lift(id)) else {
            self.counters.reject(requester.realm, Cause::TableFull);
            return None;
        };
        self.counters.exchanges_opened += 1;
        x.branch = Branch::new(x.id, &mut self.random);
        let start = out.bytes.len();
        let text = &mut out.bytes;
        text.extend_from_slice(request.method.as_str().as_bytes());
        text.push(b' ');
        headers::push_as_request_uri(&request.uri, text);
        text.extend_from_slice(b" SIP/2.0\r\n");
        let alias = alias_to(&target, &self.config);
        headers::push_via(self.points.at(target.point), target.transport, &x.branch, alias, text);
        // A BYE is said in the name of the other end, one hop away from us (R31).
        text.extend_from_slice(match request.method {
            Method::Bye => b"Max-Forwards: 69\r\n",
            _ => b"Max-Forwards: 70\r\n",
        });
        if !request.routes.is_empty() {
            for part in [&b"Route: "[..], &request.routes, b"\r\n"] {
                text.extend_from_slice(part);
            }
        }
        text.extend_from_slice(&request.fields);
        text.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        let span = Span::new(start, out.bytes.len());
        if !target.transport.is_reliable() {
            x.request.extend_from_slice(span.of(&out.bytes));
        }
        self.launch(&mut x, span, now, out);
        x.next_hop_by = answer_by.map(|patience| now + patience);
        self.settle(x, now, out);
        id
    }
}
