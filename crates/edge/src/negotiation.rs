//! Offer and answer (RFC 3264) as they travel in INVITE, UPDATE, PRACK, ACK and their responses (R70).
//!
//! ```text
//!   INVITE with SDP  ─▶ offer     18x, 2xx with SDP ─▶ answer
//!   INVITE without   ─▶ nothing   18x, 2xx with SDP ─▶ offer     ACK, PRACK with SDP ─▶ answer
//!   UPDATE with SDP  ─▶ offer     2xx with SDP      ─▶ answer
//! ```
//! Nothing here is done twice: a retransmission is rewritten like the first one and orders nothing new.

use crate::anchor::rtp::{Desk, Leg, Legs};
use crate::anchor::{self, Answer, Link, Offer, SdpPlace, Sessions, Terms};
use crate::bodies;
use crate::content::Content;
use crate::rtp_ports::RtpPorts;
use crate::slots::Slots;
use media::command::{MediaCommand, MsrpSession};
use sip::{HeaderId, Message, Method};
use smallvec::SmallVec;
use wire::{Cause, DialogId, EditList, Instant, MediaId, Random, Realm};

/// The media sessions of a shard, and which call each belongs to.
pub type MediaIds = Slots<MediaId, DialogId>;

/// What a negotiation works with.
#[derive(Debug)]
pub struct Workbench<'a> {
    /// The addresses.
    pub terms: Terms<'a>,
    /// Where ids of sessions come from.
    pub ids: &'a mut MediaIds,
    /// Where ports for RTP come from.
    pub ports: &'a mut RtpPorts,
    /// Where keys come from.
    pub random: &'a mut Random,
    /// The time.
    pub now: Instant,
    /// The changes of the message.
    pub edits: &'a mut EditList,
    /// What the relay is ordered.
    pub commands: &'a mut Vec<MediaCommand>,
}

/// Where one dialog stands in offer and answer.
#[derive(Debug, Default)]
pub struct Negotiation {
    offer: Option<Box<Offer>>,
    /// The offer that holds again if the present one is refused (RFC 3261 §14.1).
    previous: Option<Box<Offer>>,
    expect: Expect,
    sessions: Sessions,
    legs: Legs,
    /// What may be sent, as the INVITE named its service.
    content: Content,
}

/// What SDP in a response would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expect {
    /// The answer to the last offer.
    #[default]
    Answer,
    /// An offer: the INVITE had none (R70).
    Offer,
}

impl Negotiation {
    /// Takes in a request of the dialog, or the INVITE that wants one, and rewrites its SDP.
    ///
    /// # Errors
    /// As [`Offer::anchor`]; the body could not be split, or `TableFull`.
    pub fn on_request(
        &mut self,
        message: Message<'_>,
        from: Realm,
        call: DialogId,
        bench: &mut Workbench<'_>,
    ) -> Result<(), Cause> {
        let place = bodies::sdp_place(message)?;
        if message.method() == Method::Invite && self.offer.is_none() {
            self.content = bench.terms.policies.of(message);
        }
        match (message.method(), place) {
            (Method::Invite, None) => {
                self.expect = Expect::Offer;
                Ok(())
            }
            (_, None) => Ok(()),
            (method, Some(_)) if !negotiates(method) => {
                strip_body(message, bench.edits);
                Ok(())
            }
            (Method::Ack, Some(place)) => self.answer(message, place, from, call, bench),
            (Method::Prack, Some(place)) if self.expect == Expect::Offer && self.is_offered_to(from) => {
                self.answer(message, place, from, call, bench)
            }
            (_, Some(place)) => {
                let first = self.offer.is_none() && !self.is_agreed();
                self.offer(message, place, from, call, bench)?;
                self.expect = Expect::Answer;
                // In a later offer the sessions stay as they are until it is answered.
                if first { self.reserve(call, bench) } else { Ok(()) }
            }
        }
    }

    /// Takes in a response and rewrites its SDP.
    ///
    /// # Errors
    /// As [`Offer::anchor`] and [`Offer::anchor_answer`]; the body could not be split, or `TableFull`.
    pub fn on_response(
        &mut self,
        message: Message<'_>,
        from: Realm,
        call: DialogId,
        bench: &mut Workbench<'_>,
    ) -> Result<(), Cause> {
        let Some(place) = bodies::sdp_place(message)? else {
            return Ok(());
        };
        // A refusal may describe what would be acceptable (RFC 3261 §21.4.26): by its own addresses.
        if !negotiates(message.method()) || !(101..300).contains(&message.status()) {
            strip_body(message, bench.edits);
            return Ok(());
        }
        if self.expect == Expect::Answer || message.method() != Method::Invite {
            return self.answer(message, place, from, call, bench);
        }
        let first = !self.is_agreed();
        self.offer(message, place, from, call, bench)?;
        if first { self.reserve(call, bench) } else { Ok(()) }
    }

    /// The offer was refused: what was agreed before holds on, and what was taken for it is given back.
    pub fn on_refused(&mut self, now: Instant, ids: &mut MediaIds, ports: &mut RtpPorts) {
        if let Some(previous) = self.previous.take() {
            self.offer = Some(previous);
        }
        let unused = self.legs.take_out(|_, leg| leg.ordered.is_some());
        give_back(unused, now, ids, ports);
    }

    /// Takes over the reserved sessions: the first dialog of a call gets them.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self {
            offer: self.offer.clone(),
            previous: self.previous.clone(),
            expect: self.expect,
            sessions: core::mem::take(&mut self.sessions),
            legs: core::mem::take(&mut self.legs),
            content: self.content.clone(),
        }
    }

    /// The sessions as the relay knows them.
    #[must_use]
    pub fn sessions(&self) -> &[MsrpSession] {
        &self.sessions
    }

    /// The RTP media.
    #[must_use]
    pub const fn legs(&self) -> &Legs {
        &self.legs
    }

    /// The relay ended a session by itself; whether it was one of these.
    pub fn on_ended(&mut self, id: MediaId) -> bool {
        let before = self.sessions.len();
        self.sessions.retain(|s| s.id != id);
        let legs = self.legs.take_out(|_, leg| leg.id != id);
        self.sessions.len() < before || !legs.is_empty()
    }

    /// Nobody sends in this session any more, or somebody does again; whether it was one of these.
    pub fn on_silence(&mut self, id: MediaId, is_silent: bool) -> bool {
        let leg = self.legs.find_mut(id);
        leg.map(|leg| leg.is_silent = is_silent).is_some()
    }

    /// Whether there is no session left in which anything could come.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.sessions.is_empty() && self.legs.iter().all(|leg| leg.is_silent)
    }

    /// Whether there is no session left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.legs.iter().next().is_none()
    }

    /// Releases everything (R72). The ports of what the relay was told of come back when it says so.
    pub fn release(
        &mut self,
        cause: Cause,
        now: Instant,
        ids: &mut MediaIds,
        ports: &mut RtpPorts,
        commands: &mut Vec<MediaCommand>,
    ) {
        for session in self.sessions.drain(..) {
            ids.remove(session.id);
            commands.push(MediaCommand::Release { id: session.id, cause });
        }
        let legs = self.legs.take_out(|_, _| false);
        release_legs(legs, cause, now, ids, ports, commands);
    }

    /// Whether the relay knows anything of it.
    fn is_agreed(&self) -> bool {
        !self.sessions.is_empty() || self.legs.are_ordered()
    }

    fn is_offered_to(&self, realm: Realm) -> bool {
        self.offer.as_ref().is_some_and(|offer| offer.by() != realm)
    }

    fn access_link(&self) -> Option<Link> {
        self.offer.as_ref().filter(|_| !self.sessions.is_empty())?.access_link()
    }

    fn offer(
        &mut self,
        message: Message<'_>,
        place: SdpPlace,
        from: Realm,
        call: DialogId,
        bench: &mut Workbench<'_>,
    ) -> Result<(), Cause> {
        let mut terms = Terms { content: &self.content, ..bench.terms };
        // What the UE once chose for its media holds on, whatever its signalling came over.
        if let Some(link) = self.access_link() {
            terms.ue_transport = link.transport;
            terms.ue_websocket = link.websocket;
        }
        let known: SmallVec<[MediaId; 4]> = self.legs.iter().map(|leg| leg.id).collect();
        let mut desk = desk(&mut self.legs, bench.ids, bench.ports, bench.random, call, bench.now);
        let offer = Offer::anchor(message, place, from, &terms, &mut desk, bench.edits);
        let offer = offer.inspect_err(|_| {
            let fresh = self.legs.take_out(|_, leg| known.contains(&leg.id));
            give_back(fresh, bench.now, bench.ids, bench.ports);
        })?;
        if self.offer.as_deref() != Some(&offer) {
            self.previous = self.offer.replace(Box::new(offer));
        }
        Ok(())
    }

    fn answer(
        &mut self,
        message: Message<'_>,
        place: SdpPlace,
        from: Realm,
        call: DialogId,
        bench: &mut Workbench<'_>,
    ) -> Result<(), Cause> {
        let offer = self.offer.as_ref().filter(|o| o.by() != from);
        let offer = offer.ok_or(Cause::BadSdp)?;
        let terms = Terms { content: &self.content, ..bench.terms };
        let mut desk = desk(&mut self.legs, bench.ids, bench.ports, bench.random, call, bench.now);
        let answer = offer.anchor_answer(message, place, &terms, &mut desk, bench.edits)?;
        self.agree(Some(&answer), call, bench)
    }

    /// Tells the relay of sessions whose far end is unknown, so that a UE which connects faster than
    /// its answer arrives is not turned away. What the UE offered cannot be connected to yet.
    fn reserve(&mut self, call: DialogId, bench: &mut Workbench<'_>) -> Result<(), Cause> {
        // What a UE offered is ordered when it is answered: the core is not known before, nor let in.
        match self.offer.as_ref().is_some_and(|o| o.by() == Realm::Core) {
            true => self.agree(None, call, bench),
            false => Ok(()),
        }
    }

    /// Brings the relay to what offer and answer say; sessions keep their ids from one to the next.
    fn agree(
        &mut self,
        answer: Option<&Answer>,
        call: DialogId,
        bench: &mut Workbench<'_>,
    ) -> Result<(), Cause> {
        let Some(offer) = &self.offer else {
            return Ok(());
        };
        let (ids, old) = (&mut *bench.ids, &self.sessions);
        let terms = Terms { content: &self.content, ..bench.terms };
        let mut fresh = SmallVec::<[MediaId; 4]>::new();
        let new = offer.sessions(answer, &terms, |n| match old.get(n) {
            Some(session) => Some(session.id),
            None => {
                let id = ids.insert(call)?;
                fresh.push(id);
                Some(id)
            }
        });
        let new = new.inspect_err(|_| {
            for id in fresh {
                ids.remove(id);
            }
        })?;
        anchor::reconcile(old, &new, Cause::Bye, bench.commands);
        for session in old {
            if new.iter().all(|s| s.id != session.id) {
                ids.remove(session.id);
            }
        }
        self.sessions = new;
        self.agree_rtp(answer, bench);
        Ok(())
    }

    fn agree_rtp(&mut self, answer: Option<&Answer>, bench: &mut Workbench<'_>) {
        let Some(offer) = &self.offer else { return };
        let orders = offer.rtp_orders(answer, &bench.terms, &self.legs);
        let gone = self.legs.take_out(|index, _| orders.iter().any(|(at, _)| *at == index));
        release_legs(gone, Cause::Bye, bench.now, bench.ids, bench.ports, bench.commands);
        for (index, order) in orders {
            let Some(leg) = self.legs.at_mut(index) else { continue };
            if leg.ordered.as_deref() != Some(&order) {
                leg.is_silent = false;
                bench.commands.push(MediaCommand::Rtp(Box::new(order.clone())));
                leg.ordered = Some(Box::new(order));
            }
        }
    }
}

fn desk<'a>(
    legs: &'a mut Legs,
    ids: &'a mut MediaIds,
    ports: &'a mut RtpPorts,
    random: &'a mut Random,
    call: DialogId,
    now: Instant,
) -> Desk<'a> {
    Desk { legs, ids, ports, random, call, now }
}

/// What the relay never heard of.
fn give_back(legs: Vec<Leg>, now: Instant, ids: &mut MediaIds, ports: &mut RtpPorts) {
    for leg in legs {
        ids.remove(leg.id);
        ports.release(leg.id, now);
    }
}

fn release_legs(
    legs: Vec<Leg>,
    cause: Cause,
    now: Instant,
    ids: &mut MediaIds,
    ports: &mut RtpPorts,
    commands: &mut Vec<MediaCommand>,
) {
    let (ordered, unused): (Vec<_>, Vec<_>) = legs.into_iter().partition(|leg| leg.ordered.is_some());
    give_back(unused, now, ids, ports);
    for leg in ordered {
        ids.remove(leg.id);
        commands.push(MediaCommand::Release { id: leg.id, cause });
    }
}

/// Takes SDP off a message of the core that belongs to no call: the capabilities in an answer to
/// OPTIONS (RFC 3261 §11.2) name the core's own addresses.
///
/// A MESSAGE keeps what it carries: a reported message is evidence (R60).
pub fn strip_stray(message: Message<'_>, edits: &mut EditList) {
    let stray = message.method() != Method::Message && !message.body().is_empty();
    if stray && !matches!(bodies::sdp_place(message), Ok(None)) {
        strip_body(message, edits);
    }
}

/// Whether SDP in messages of this method is an offer or an answer.
const fn negotiates(method: Method) -> bool {
    matches!(method, Method::Invite | Method::Update | Method::Prack | Method::Ack)
}

/// Takes the body off: a description that cannot be anchored must not name the one side to the other.
///
/// The body and its fields must not have been edited before; the length is fitted when the message is sent.
pub fn strip_body(message: Message<'_>, edits: &mut EditList) {
    edits.remove(message.body_span());
    for id in [HeaderId::ContentType, HeaderId::ContentDisposition, HeaderId::ContentEncoding] {
        sip::edit::remove_all(message, id, edits);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod rtp_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
