//! Offer and answer (RFC 3264) as they travel in INVITE, UPDATE, PRACK, ACK and their responses (R70).
//!
//! ```text
//!   INVITE with SDP  ─▶ offer     18x, 2xx with SDP ─▶ answer
//!   INVITE without   ─▶ nothing   18x, 2xx with SDP ─▶ offer     ACK, PRACK with SDP ─▶ answer
//!   UPDATE with SDP  ─▶ offer     2xx with SDP      ─▶ answer
//! ```
//! Nothing here is done twice: a retransmission is rewritten like the first one and orders nothing new.

use crate::anchor::{self, Answer, Link, Offer, SdpPlace, Sessions, Terms};
use crate::bodies;
use crate::slots::Slots;
use media::command::{MediaCommand, MsrpSession};
use sip::{HeaderId, Message, Method};
use smallvec::SmallVec;
use wire::{Cause, DialogId, EditList, MediaId, Realm};

/// The media sessions of a shard, and which call each belongs to.
pub type MediaIds = Slots<MediaId, DialogId>;

/// What a negotiation works with.
#[derive(Debug)]
pub struct Workbench<'a> {
    /// The addresses.
    pub terms: Terms<'a>,
    /// Where ids of sessions come from.
    pub ids: &'a mut MediaIds,
    /// The changes of the message.
    pub edits: &'a mut EditList,
    /// What the relay is ordered.
    pub commands: &'a mut Vec<MediaCommand>,
}

/// Where one dialog stands in offer and answer.
#[derive(Clone, Debug, Default)]
pub struct Negotiation {
    offer: Option<Box<Offer>>,
    /// The offer that holds again if the present one is refused (RFC 3261 §14.1).
    previous: Option<Box<Offer>>,
    expect: Expect,
    sessions: Sessions,
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
                let first = self.offer.is_none() && self.sessions.is_empty();
                self.offer(message, place, from, bench)?;
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
        let first = self.sessions.is_empty();
        self.offer(message, place, from, bench)?;
        if first { self.reserve(call, bench) } else { Ok(()) }
    }

    /// The offer was refused: what was agreed before holds on.
    pub fn on_refused(&mut self) {
        if let Some(previous) = self.previous.take() {
            self.offer = Some(previous);
        }
    }

    /// Takes over the reserved sessions: the first dialog of a call gets them.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        let sessions = core::mem::take(&mut self.sessions);
        Self { sessions, ..self.clone() }
    }

    /// The sessions as the relay knows them.
    #[must_use]
    pub fn sessions(&self) -> &[MsrpSession] {
        &self.sessions
    }

    /// The relay ended a session by itself; whether it was one of these.
    pub fn on_ended(&mut self, id: MediaId) -> bool {
        let before = self.sessions.len();
        self.sessions.retain(|s| s.id != id);
        self.sessions.len() < before
    }

    /// Releases everything (R72).
    pub fn release(&mut self, cause: Cause, ids: &mut MediaIds, commands: &mut Vec<MediaCommand>) {
        for session in self.sessions.drain(..) {
            ids.remove(session.id);
            commands.push(MediaCommand::Release { id: session.id, cause });
        }
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
        bench: &mut Workbench<'_>,
    ) -> Result<(), Cause> {
        let mut terms = bench.terms;
        // What the UE once chose for its media holds on, whatever its signalling came over.
        if let Some(link) = self.access_link() {
            terms.ue_transport = link.transport;
            terms.ue_websocket = link.websocket;
        }
        let offer = Offer::anchor(message, place, from, &terms, bench.edits)?;
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
        let answer = offer.anchor_answer(message, place, &bench.terms, bench.edits)?;
        self.agree(Some(&answer), call, bench)
    }

    /// Tells the relay of sessions whose far end is unknown, so that a UE which connects faster than
    /// its answer arrives is not turned away. What the UE offered cannot be connected to yet.
    fn reserve(&mut self, call: DialogId, bench: &mut Workbench<'_>) -> Result<(), Cause> {
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
        let mut fresh = SmallVec::<[MediaId; 4]>::new();
        let new = offer.sessions(answer, &bench.terms, |n| match old.get(n) {
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
        Ok(())
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
mod tests;
