//! Exchanges: a request on its way through, with the transaction it came in on, the one it went out
//! on, and what both may have to send again.
//!
//! ```text
//!   requester ──request──▶ server transaction │ client transaction ──request'──▶ target
//!             ◀─response'─                    │                    ◀─response──
//! ```
//! The way back is found by the branch of our Via, which names the exchange; the way of a
//! retransmission by a keyed hash over what makes two requests the same (RFC 3261 §17.2.3) and over
//! their source, so that nobody can touch a stranger's transaction, and UEs that use one branch for
//! everything (as the specification's own examples do) still get one exchange for each request.

use crate::flow::Origin;
use crate::hops::{Probe, Tried};
use crate::in_dialog::Inside;
use crate::mask::Owner;
use crate::points::PointId;
use crate::registration::Registering;
use crate::reply::Echo;
use crate::slots::Slots;
use core::hash::Hasher;
use core::net::SocketAddr;
use sip::transaction::{Effects, InviteClient, InviteServer, NonInviteClient, NonInviteServer, Timers};
use sip::{CSeq, Message, Method, NameAddr, Via};
use std::collections::HashMap;
use std::hash::DefaultHasher;
use wire::{BindingId, Cause, DialogId, ExchangeId, Hop, Instant, Random, Realm, Span, Transport, WatchId};

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The side.
    pub realm: Realm,
    /// What it goes over.
    pub transport: Transport,
    /// The way.
    pub hop: Hop,
    /// The far end.
    pub peer: SocketAddr,
    /// Our address that we show there.
    pub point: PointId,
}

/// What an exchange is for, beyond carrying a request and its answer.
#[derive(Debug, Default)]
pub enum Purpose {
    /// Nothing else.
    #[default]
    Plain,
    /// A REGISTER.
    Register(Box<Registering>),
    /// The INVITE of a call.
    Invite(DialogId),
    /// The SUBSCRIBE or REFER of a subscription.
    Subscribe(DialogId),
    /// A request inside a dialog.
    Inside(Box<Inside>),
    /// Our own SUBSCRIBE to the state of a registration.
    Watch(WatchId),
    /// OPTIONS of ours to a next hop.
    Probe(Probe),
    /// OPTIONS of ours to a UE behind a NAT.
    Ping(BindingId),
}

/// A request and its two transactions.
#[derive(Debug)]
pub struct Exchange {
    /// Its id.
    pub id: ExchangeId,
    /// The method of the request.
    pub method: Method,
    /// Who sent the request; `hop` is where the answer goes.
    pub requester: Origin,
    /// What a retransmission hashes to.
    pub key: u64,
    /// Towards the requester; `None` once it is over.
    pub server: Option<Server>,
    /// Towards the target; `None` before it was sent and once it is over.
    pub client: Option<Client>,
    /// Where the request went.
    pub target: Target,
    /// The branch of our Via there.
    pub branch: Branch,
    /// What answers repeat of the request as it came.
    pub echo: Echo,
    /// The request as we sent it; empty where it will never be sent again.
    pub request: Vec<u8>,
    /// The response as we sent it last.
    pub response: Vec<u8>,
    /// What else it does.
    pub purpose: Purpose,
    /// Where a response to the core goes when the stream its request came over is gone
    /// (RFC 3261 §18.2.2).
    pub fallback: Option<Hop>,
    /// Of the UE concerned.
    pub binding: Option<BindingId>,
    /// P-Charging-Vector of the core's request, for the answer; empty if there is none to answer.
    pub charging: Box<[u8]>,
    /// Whom its names are masked for, if the UE has no binding here.
    pub owner: Option<Owner>,
    /// As whom the UE was called, for its answers; empty if the core did not say.
    pub called: Box<[u8]>,
    /// Core next hops that were tried.
    pub tried: Tried,
    /// Whether another next hop may be tried.
    pub retryable: bool,
    /// When the requester's request came: nobody waits for an answer 64·T1 later.
    pub opened_at: Instant,
    /// When the request went to the present target.
    pub sent_at: Instant,
    /// The request is too long for UDP and goes over TCP to a next hop on UDP (RFC 3261 §18.1.1).
    pub oversize: bool,
    /// Whether the target has answered anything.
    pub answered: bool,
    /// Whether the requester has its final answer.
    pub finished: bool,
    /// Whether that was a refusal.
    pub refused: bool,
    /// Whether a 2xx that came too late was taken back.
    pub declined: bool,
    /// When the next hop counts as dead and another is tried.
    pub next_hop_by: Option<Instant>,
    /// Timer C (RFC 3261 §16.6 step 11).
    pub ring_until: Option<Instant>,
    /// How far a cancellation is.
    pub cancel: Cancel,
    /// Where its alarm stands.
    pub armed: Option<Instant>,
}

/// A cancellation of an INVITE (RFC 3261 §16.10, §9.1).
#[derive(Clone, Copy, Debug, Default)]
pub enum Cancel {
    /// Nobody asked.
    #[default]
    No,
    /// Asked for; it goes out with the first provisional response.
    Wanted,
    /// Sent.
    Sent {
        /// Its own transaction; `None` once that is over.
        client: Option<NonInviteClient>,
        /// When the INVITE counts as unanswered.
        give_up_at: Instant,
    },
}

impl Exchange {
    /// The earliest of its deadlines.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let cancel = match &self.cancel {
            Cancel::Sent { client, give_up_at } => [
                client.as_ref().and_then(NonInviteClient::next_deadline),
                (!self.finished || self.client.is_some()).then_some(*give_up_at),
            ],
            _ => [None, None],
        };
        [
            self.server.as_ref().and_then(Server::next_deadline),
            self.client.as_ref().and_then(Client::next_deadline),
            self.ring_until,
            self.next_hop_by,
        ]
        .into_iter()
        .chain(cancel)
        .flatten()
        .min()
    }

    /// Whether nothing of it is left to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let cancelling = matches!(self.cancel, Cancel::Sent { client: Some(_), .. });
        self.server.is_none() && self.client.is_none() && !cancelling
    }
}

/// The transaction towards the requester.
#[derive(Clone, Copy, Debug)]
pub enum Server {
    /// Of an INVITE.
    Invite(InviteServer),
    /// Of anything else.
    NonInvite(NonInviteServer),
}

/// The transaction towards the target.
#[derive(Clone, Copy, Debug)]
pub enum Client {
    /// Of an INVITE.
    Invite(InviteClient),
    /// Of anything else.
    NonInvite(NonInviteClient),
}

macro_rules! either {
    ($self:expr, $machine:ident => $do:expr) => {
        match $self {
            Self::Invite($machine) => $do,
            Self::NonInvite($machine) => $do,
        }
    };
}

impl Server {
    /// Starts with a request that came in.
    #[must_use]
    pub fn new(method: Method, transport: Transport, now: Instant, timers: &Timers) -> Self {
        let reliable = transport.is_reliable();
        match method {
            Method::Invite => Self::Invite(InviteServer::new(reliable, now, timers)),
            _ => Self::NonInvite(NonInviteServer::new(reliable, now, timers)),
        }
    }

    /// A retransmission came.
    pub fn on_request(&mut self, now: Instant) -> Effects {
        either!(self, m => m.on_request(now))
    }

    /// A response is to go out.
    pub fn on_send(&mut self, status: u16, now: Instant) -> Effects {
        either!(self, m => m.on_send(status, now))
    }

    /// An ACK came.
    pub fn on_ack(&mut self, now: Instant) -> Effects {
        match self {
            Self::Invite(m) => m.on_ack(now),
            Self::NonInvite(_) => Effects::NONE,
        }
    }

    /// When to wake it.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        either!(self, m => m.next_deadline())
    }

    /// It woke.
    pub fn on_deadline(&mut self, now: Instant) -> Effects {
        either!(self, m => m.on_deadline(now))
    }
}

impl Client {
    /// Starts with a request that was sent.
    #[must_use]
    pub fn new(method: Method, transport: Transport, now: Instant, timers: &Timers) -> Self {
        let reliable = transport.is_reliable();
        match method {
            Method::Invite => Self::Invite(InviteClient::new(reliable, now, timers)),
            _ => Self::NonInvite(NonInviteClient::new(reliable, now, timers)),
        }
    }

    /// A response came.
    pub fn on_response(&mut self, status: u16, now: Instant) -> Effects {
        either!(self, m => m.on_response(status, now))
    }

    /// The request could not be delivered.
    pub fn on_transport_error(&mut self, now: Instant) -> Effects {
        either!(self, m => m.on_transport_error(now))
    }

    /// When to wake it.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        either!(self, m => m.next_deadline())
    }

    /// It woke.
    pub fn on_deadline(&mut self, now: Instant) -> Effects {
        either!(self, m => m.on_deadline(now))
    }
}

/// The branch of our Via: `z9hG4bK`, the slot in hexadecimal, 80 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch([u8; BRANCH_LEN]);

const BRANCH_LEN: usize = 7 + 8 + 16;
const MAGIC: &[u8; 7] = b"z9hG4bK";

impl Branch {
    /// None yet.
    #[must_use]
    pub const fn none() -> Self {
        Self([0; BRANCH_LEN])
    }

    /// A fresh one for `id`.
    #[must_use]
    pub fn new(id: ExchangeId, random: &mut Random) -> Self {
        let mut text = Vec::with_capacity(BRANCH_LEN);
        text.extend_from_slice(MAGIC);
        for shift in (0..8).rev() {
            text.push(b"0123456789abcdef"[(id.slot >> (4 * shift)) as usize & 15]);
        }
        random.push_token(16, &mut text);
        Self(text.try_into().expect("the parts have fixed lengths"))
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.0
    }

    fn slot(text: &[u8]) -> Option<u32> {
        let hex = text.strip_prefix(MAGIC)?.get(..8)?;
        let hex = core::str::from_utf8(hex).ok()?;
        u32::from_str_radix(hex, 16).ok()
    }
}

/// A request that came in, with what every request must have before anything can be done about it (R33).
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The request.
    pub message: Message<'a>,
    /// Where it came from.
    pub origin: &'a Origin,
    /// When.
    pub now: Instant,
    /// The topmost Via.
    pub via: Via<'a>,
    /// From.
    pub from: NameAddr<'a>,
    /// To.
    pub to: NameAddr<'a>,
    /// Call-ID.
    pub call_id: &'a [u8],
    /// CSeq.
    pub cseq: CSeq<'a>,
}

impl<'a> Incoming<'a> {
    /// Reads it.
    ///
    /// # Errors
    /// The cause that names the first field that is missing or malformed.
    pub fn read(message: Message<'a>, origin: &'a Origin, now: Instant) -> Result<Self, Cause> {
        Ok(Self {
            message,
            origin,
            now,
            via: message.top_via()?,
            from: message.from()?,
            to: message.to()?,
            call_id: message.call_id()?,
            cseq: message.cseq()?,
        })
    }

    /// Its method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.message.method()
    }

    /// Whether it belongs to a dialog.
    #[must_use]
    pub fn in_dialog(&self) -> bool {
        self.to.tag().is_some()
    }

    /// What a retransmission of this request (for CANCEL and ACK: of their INVITE) hashes to.
    #[must_use]
    pub fn key(&self, secret: u64) -> u64 {
        let method = match self.method() {
            Method::Ack | Method::Cancel => Method::Invite,
            other => other,
        };
        let mut hasher = DefaultHasher::new(); // SipHash, keyed by what is written first
        hasher.write_u64(secret);
        hasher.write_u8(method as u8);
        if method == Method::Other {
            hash_part(&mut hasher, self.cseq.method_text);
        }
        hasher.write_u32(self.cseq.number);
        for part in [
            self.via.branch().unwrap_or_default(),
            self.via.host,
            self.call_id,
            self.from.tag().unwrap_or_default(),
        ] {
            hash_part(&mut hasher, part);
        }
        hash_part(&mut hasher, &source_bytes(self.origin));
        hasher.finish()
    }
}

fn hash_part(hasher: &mut DefaultHasher, part: &[u8]) {
    hasher.write_usize(part.len());
    hasher.write(part);
}

fn source_bytes(origin: &Origin) -> [u8; 19] {
    let mut bytes = [0; 19];
    bytes[0] = crate::counters::index(origin.realm) as u8;
    bytes[1..3].copy_from_slice(&origin.source.port().to_be_bytes());
    match origin.source.ip() {
        core::net::IpAddr::V4(ip) => bytes[3..7].copy_from_slice(&ip.octets()),
        core::net::IpAddr::V6(ip) => bytes[3..].copy_from_slice(&ip.octets()),
    }
    bytes
}

/// The exchanges of a shard.
///
/// Boxed, so that one can be lifted out while the rest of the edge is used, and reused, so that a
/// warm shard takes no memory for a new one.
#[derive(Debug)]
pub struct Exchanges {
    slots: Slots<ExchangeId, Box<Exchange>>,
    by_key: HashMap<u64, ExchangeId, ahash::RandomState>,
    /// Exchanges that are over: their boxes and buffers serve again.
    #[allow(clippy::vec_box)] // the boxes are what is kept
    spare: Vec<Box<Exchange>>,
}

/// Buffers for a new exchange.
#[derive(Debug, Default)]
pub struct Buffers {
    /// For `Exchange::echo`.
    pub echo: Echo,
    /// For `Exchange::request`.
    pub request: Vec<u8>,
    /// For `Exchange::response`.
    pub response: Vec<u8>,
}

const SPARE_MAX: usize = 1_024;
/// Buffers that a large message has grown are not kept.
const SPARE_BYTES_MAX: usize = 8_192;

impl Exchanges {
    /// An empty table.
    #[must_use]
    pub fn new(count_max: usize, seed: [u64; 4]) -> Self {
        let hasher = ahash::RandomState::with_seeds(seed[0], seed[1], seed[2], seed[3]);
        Self { slots: Slots::new(count_max, 0), by_key: HashMap::with_hasher(hasher), spare: Vec::new() }
    }

    /// Changes the cap.
    pub fn set_count_max(&mut self, count_max: usize) {
        self.slots.set_count_max(count_max);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.slots.count()
    }

    /// How many hashes lead to one.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no further one fits.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.slots.is_full()
    }

    /// Buffers for a new exchange, taken from one that is over.
    pub fn buffers(&mut self) -> Buffers {
        let Some(spare) = self.spare.last_mut() else {
            return Buffers::default();
        };
        Buffers {
            echo: core::mem::take(&mut spare.echo),
            request: core::mem::take(&mut spare.request),
            response: core::mem::take(&mut spare.response),
        }
    }

    /// Puts in what `make` builds; `None` if the table is full.
    pub fn insert_with(&mut self, make: impl FnOnce(ExchangeId) -> Exchange) -> Option<ExchangeId> {
        let spare = &mut self.spare;
        let id = self.slots.insert_with(|id| match spare.pop() {
            Some(mut exchange) => {
                *exchange = make(id);
                exchange
            }
            None => Box::new(make(id)),
        })?;
        let key = self.slots.find(id)?.key;
        self.by_key.insert(key, id);
        Some(id)
    }

    /// The exchange whose request hashes to `key` and has this Call-ID.
    #[must_use]
    pub fn by_key(&self, key: u64, call_id: &[u8]) -> Option<ExchangeId> {
        let id = *self.by_key.get(&key)?;
        let exchange = self.slots.find(id)?;
        (exchange.echo.call_id() == call_id).then_some(id)
    }

    /// The exchange whose request went out with this branch.
    #[must_use]
    pub fn by_branch(&self, text: &[u8]) -> Option<ExchangeId> {
        let id = self.slots.id_at(Branch::slot(text)?)?;
        let exchange = self.slots.find(id)?;
        (exchange.branch.text() == text).then_some(id)
    }

    /// Looks at an exchange.
    #[must_use]
    pub fn find(&self, id: ExchangeId) -> Option<&Exchange> {
        self.slots.find(id).map(|x| &**x)
    }

    /// Takes an exchange in hand; its place stays its own until `put_back` or `free`.
    pub fn lift(&mut self, id: ExchangeId) -> Option<Box<Exchange>> {
        self.slots.lift(id)
    }

    /// Puts it back.
    pub fn put_back(&mut self, exchange: Box<Exchange>) {
        let id = exchange.id;
        self.slots.put_back(id, exchange);
    }

    /// Gives the place of a lifted exchange free.
    pub fn free(&mut self, mut exchange: Box<Exchange>) {
        if self.by_key.get(&exchange.key) == Some(&exchange.id) {
            self.by_key.remove(&exchange.key);
        }
        self.slots.free(exchange.id);
        let buffers = exchange.request.capacity().max(exchange.response.capacity());
        if self.spare.len() < SPARE_MAX && buffers <= SPARE_BYTES_MAX {
            exchange.request.clear();
            exchange.response.clear();
            self.spare.push(exchange);
        }
    }

    /// The ids of all exchanges for which `wanted` holds, in the order of their places.
    #[must_use]
    pub fn ids_where(&self, wanted: impl Fn(&Exchange) -> bool) -> Vec<ExchangeId> {
        self.slots.iter().filter(|(_, x)| wanted(x)).map(|(id, _)| id).collect()
    }
}

/// The line of `message` that holds the byte at `at`, with its line end.
#[must_use]
pub fn line_around(message: &[u8], at: usize) -> Span {
    let start = memchr::memrchr(b'\n', &message[..at]).map_or(0, |n| n + 1);
    let end = memchr::memchr(b'\n', &message[at..]).map_or(message.len(), |n| at + n + 1);
    Span::new(start, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::SlotId;

    #[test]
    fn a_branch_names_its_slot_and_is_fresh_each_time() {
        let mut random = Random::from_u64(1);
        let id = ExchangeId::new(0x00c0_ffee, 3);
        let (a, b) = (Branch::new(id, &mut random), Branch::new(id, &mut random));
        assert_ne!(a, b);
        assert!(a.text().starts_with(b"z9hG4bK00c0ffee"));
        assert_eq!(Branch::slot(a.text()), Some(id.slot));
        for text in [&b""[..], b"z9hG4bK", b"z9hG4bK00c0ffe", b"z9hG4bKxxxxxxxx1234"] {
            assert_eq!(Branch::slot(text), None);
        }
    }

    #[test]
    fn line_around_finds_the_whole_line() {
        let message = b"a\r\nVia: x\r\nb\r\n";
        assert_eq!(line_around(message, 6).of(message), b"Via: x\r\n");
        assert_eq!(line_around(message, 0).of(message), b"a\r\n");
    }
}
