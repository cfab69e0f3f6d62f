//! Dialogs: what one INVITE made, from the INVITE to the BYE; and what one SUBSCRIBE or REFER made
//! (`subscription`), for which the same table serves.
//!
//! ```text
//!            INVITE            1xx with a To tag           2xx
//!   (none) ─────────▶ call ──────────────────▶ early dialog ───▶ confirmed dialog ───▶ gone
//!                      │  one more for each further To tag          BYE, 481, session timer,
//!                      ▼                                            registration lost, relay idle
//!                    refused, cancelled, timed out: gone with its early dialogs
//! ```
//! Call-ID and tags pass unchanged, so both ends of a call between two UEs of one shard have the same;
//! and a forked INVITE reaches two UEs with the same. Hence the key holds which side invited, and what
//! it finds is told apart by the callee's tag and by the UE's binding.

use crate::negotiation::Negotiation;
use crate::slots::Slots;
use crate::subscription::{Subscribing, Subscription, Topic};
use crate::token::FlowPath;
use smallvec::SmallVec;
use std::collections::HashMap;
use wire::{BindingId, DialogId, ExchangeId, Instant, Realm};

/// An INVITE, SUBSCRIBE or REFER, and the dialogs it made.
#[derive(Debug)]
pub struct Call {
    /// Its id, which the token in our Record-Route names.
    pub id: DialogId,
    /// Which side sent the INVITE.
    pub inviter: Realm,
    /// What a SUBSCRIBE or REFER asked for; `None` for an INVITE.
    pub subscribing: Option<Subscribing>,
    /// Until when a notifier may answer a SUBSCRIBE (RFC 6665 §4.1.2.4: timer N).
    pub open_until: Option<Instant>,
    /// Its Call-ID, as the core knows it.
    pub call_id: Box<[u8]>,
    /// The tag of the inviter.
    pub inviter_tag: Box<[u8]>,
    /// The address of the inviter in `<>`, for what we say ourselves; empty if it was too long.
    pub inviter_address: Box<[u8]>,
    /// The address that was called; likewise.
    pub callee_address: Box<[u8]>,
    /// The CSeq of the INVITE.
    pub inviter_cseq: u32,
    /// The UE's registration.
    pub binding: BindingId,
    /// The UE's flow when the call was made.
    pub flow: FlowPath,
    /// The token in our Record-Route towards the core.
    pub token: Box<[u8]>,
    /// Where requests to the inviter go.
    pub inviter_way: Way,
    /// Offer and answer, until a dialog takes them over.
    pub negotiation: Negotiation,
    /// Its dialogs, oldest first.
    pub dialogs: SmallVec<[Dialog; 1]>,
    /// Whether the INVITE itself still waits for its end: more dialogs may come.
    pub inviting: bool,
    /// What carries the INVITE.
    pub exchange: Option<ExchangeId>,
    /// When the INVITE came.
    pub opened_at: Instant,
    /// The UE's flow is gone: when it must be back over another one.
    pub back_by: Option<Instant>,
    /// Where its alarm stands.
    pub armed: Option<Instant>,
    key: u64,
    numbers: u32,
}

/// A dialog, early or confirmed.
#[derive(Debug)]
pub struct Dialog {
    /// Its number within the call; never given twice.
    pub number: u32,
    /// The tag of the callee.
    pub tag: Box<[u8]>,
    /// Whether it has a session, or may get one: it came of an INVITE, and no BYE passed.
    pub session: bool,
    /// Whether a 2xx to the INVITE passed.
    pub confirmed: bool,
    /// It is over, and remembered until its INVITE is too: the 2xx may be repeated, and must not make
    /// it anew.
    pub ended: bool,
    /// Whether an ACK to its 2xx passed.
    pub acked: bool,
    /// Whether a BYE passed: the far end is being told.
    pub leaving: bool,
    /// The highest CSeq that came from each side.
    pub cseq: [u32; 2],
    /// Where requests to the callee go.
    pub callee_way: Way,
    /// Offer, answer and media sessions.
    pub negotiation: Negotiation,
    /// When its session ends unless refreshed (RFC 4028); early dialogs end with their INVITE.
    pub expires_at: Option<Instant>,
    /// The subscriptions in it: it lives as long as any of its uses (RFC 5057 §4).
    pub subscriptions: SmallVec<[Subscription; 1]>,
}

/// Where requests inside a dialog go on one side (RFC 3261 §12.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// The remote target: the peer's Contact URI as it came.
    pub target: Box<[u8]>,
    /// The route set as one Route value; empty if there is none.
    pub routes: Box<[u8]>,
}

/// What a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The call.
    pub call: DialogId,
    /// Which of its dialogs, by its number.
    pub dialog: u32,
}

/// What names a dialog in a message, seen from its sender.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The side that sent the request.
    pub from: Realm,
    /// Call-ID, as the core knows it.
    pub call_id: &'a [u8],
    /// The From tag.
    pub from_tag: &'a [u8],
    /// The To tag.
    pub to_tag: &'a [u8],
    /// The registrations of the sender's flow, if it is a UE.
    pub owners: Option<&'a [BindingId]>,
}

/// What makes a call.
#[derive(Debug)]
pub struct Opening<'a> {
    /// Which side sent the INVITE.
    pub inviter: Realm,
    /// Call-ID, as the core knows it.
    pub call_id: &'a [u8],
    /// The From tag.
    pub inviter_tag: &'a [u8],
    /// The UE's registration.
    pub binding: BindingId,
    /// The UE's flow.
    pub flow: FlowPath,
    /// Where requests to the inviter go.
    pub inviter_way: Way,
    /// What a SUBSCRIBE or REFER asks for.
    pub subscribing: Option<Subscribing>,
}

/// The calls of a shard.
#[derive(Debug)]
pub struct Calls {
    slots: Slots<DialogId, Box<Call>>,
    by_key: HashMap<u64, SmallVec<[DialogId; 1]>, ahash::RandomState>,
    by_binding: HashMap<BindingId, SmallVec<[DialogId; 2]>, ahash::RandomState>,
    hasher: ahash::RandomState,
}

/// Calls with the same Call-ID and inviter tag: forks to the devices of one user. More are refused.
const SAME_KEY_MAX: usize = 32;

/// Dialogs of one call: forks in the core. Further ones are not followed.
pub const DIALOGS_MAX: usize = 16;

impl Calls {
    /// An empty table; generations as in [`Slots::new`], `seed` keys the maps.
    #[must_use]
    pub fn new(count_max: usize, first_generation: u32, seed: [u64; 4]) -> Self {
        let hasher = ahash::RandomState::with_seeds(seed[0], seed[1], seed[2], seed[3]);
        Self {
            slots: Slots::new(count_max, first_generation),
            by_key: HashMap::with_hasher(hasher.clone()),
            by_binding: HashMap::with_hasher(hasher.clone()),
            hasher,
        }
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

    /// How many names and how many bindings lead to calls.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.by_key.len(), self.by_binding.len())
    }

    /// Opens a call; `None` if the table is full.
    pub fn open(&mut self, opening: Opening<'_>, now: Instant) -> Option<DialogId> {
        let key = self.key(opening.inviter, opening.call_id, opening.inviter_tag);
        if self.by_key.get(&key).is_some_and(|ids| ids.len() >= SAME_KEY_MAX) {
            return None;
        }
        let id = self.slots.insert_with(|id| {
            Box::new(Call {
                id,
                inviter: opening.inviter,
                subscribing: opening.subscribing,
                open_until: None,
                call_id: opening.call_id.into(),
                inviter_tag: opening.inviter_tag.into(),
                inviter_address: Box::default(),
                callee_address: Box::default(),
                inviter_cseq: 0,
                binding: opening.binding,
                flow: opening.flow,
                token: Box::default(),
                inviter_way: opening.inviter_way,
                negotiation: Negotiation::default(),
                dialogs: SmallVec::new(),
                inviting: true,
                exchange: None,
                opened_at: now,
                back_by: None,
                armed: None,
                key,
                numbers: 0,
            })
        })?;
        self.by_key.entry(key).or_default().push(id);
        self.by_binding.entry(opening.binding).or_default().push(id);
        Some(id)
    }

    /// A call.
    #[must_use]
    pub fn call(&self, id: DialogId) -> Option<&Call> {
        self.slots.find(id).map(|call| &**call)
    }

    /// A call, to change it.
    pub fn call_mut(&mut self, id: DialogId) -> Option<&mut Call> {
        self.slots.find_mut(id).map(|call| &mut **call)
    }

    /// Takes a call out.
    pub fn remove(&mut self, id: DialogId) -> Option<Box<Call>> {
        let call = self.slots.remove(id)?;
        if let Some(ids) = self.by_key.get_mut(&call.key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_key.remove(&call.key);
            }
        }
        if let Some(ids) = self.by_binding.get_mut(&call.binding) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_binding.remove(&call.binding);
            }
        }
        Some(call)
    }

    /// The dialog that a request with these names belongs to.
    ///
    /// A UE finds only dialogs of its own registration: tags are no secret inside the network.
    #[must_use]
    pub fn find(&self, names: &Names<'_>) -> Option<Place> {
        let by_inviter = (names.from, names.from_tag, names.to_tag);
        let by_callee = (names.from.other(), names.to_tag, names.from_tag);
        [by_inviter, by_callee].into_iter().find_map(|(inviter, inviter_tag, tag)| {
            let same = |call: &Call| {
                call.inviter == inviter
                    && *call.call_id == *names.call_id
                    && *call.inviter_tag == *inviter_tag
                    && names.owners.is_none_or(|owners| owners.contains(&call.binding))
            };
            let key = self.key(inviter, names.call_id, inviter_tag);
            let mut calls = self.by_key.get(&key)?.iter().filter_map(|&id| self.call(id));
            calls.find_map(|call| {
                let dialog = call.tagged(tag).filter(|_| same(call))?;
                Some(Place { call: call.id, dialog: dialog.number })
            })
        })
    }

    /// The call of a SUBSCRIBE or REFER that a NOTIFY with these names may answer, although nothing of
    /// its dialog is known: it may come before the 2xx, and from each notifier that a fork reached (R57).
    #[must_use]
    pub fn find_subscribing(&self, names: &Names<'_>, topic: Option<&Topic>) -> Option<DialogId> {
        let key = self.key(names.from.other(), names.call_id, names.to_tag);
        let calls = self.by_key.get(&key)?.iter().filter_map(|&id| self.call(id));
        let fits = |call: &&Call| {
            call.inviting
                && call.subscribing.is_some()
                && call.inviter == names.from.other()
                && *call.call_id == *names.call_id
                && *call.inviter_tag == *names.to_tag
                && names.owners.is_none_or(|owners| owners.contains(&call.binding))
        };
        let mut fitting = calls.filter(fits).peekable();
        let first = fitting.peek().map(|call| call.id);
        // The figures notify of another package than was asked for (5-97).
        let same = |call: &Call| call.subscribing.as_ref().map(|s| &s.topic) == topic;
        fitting.find(|call| same(call)).map(|call| call.id).or(first)
    }

    /// The calls of a registration, oldest first.
    #[must_use]
    pub fn of_binding(&self, binding: BindingId) -> &[DialogId] {
        self.by_binding.get(&binding).map_or(&[], |ids| ids.as_slice())
    }

    fn key(&self, inviter: Realm, call_id: &[u8], inviter_tag: &[u8]) -> u64 {
        self.hasher.hash_one((inviter, call_id, inviter_tag))
    }
}

impl Call {
    /// The dialog with this callee tag.
    #[must_use]
    pub fn tagged(&self, tag: &[u8]) -> Option<&Dialog> {
        self.dialogs.iter().find(|d| *d.tag == *tag && !d.ended)
    }

    /// The dialog with this number.
    #[must_use]
    pub fn dialog(&self, number: u32) -> Option<&Dialog> {
        self.dialogs.iter().find(|d| d.number == number)
    }

    /// The dialog with this number, to change it.
    pub fn dialog_mut(&mut self, number: u32) -> Option<&mut Dialog> {
        self.dialogs.iter_mut().find(|d| d.number == number)
    }

    /// The dialog with this callee tag, opened if it is new; `None` if it has ended, or above
    /// [`DIALOGS_MAX`].
    ///
    /// The first one takes over the sessions that were reserved with the offer.
    pub fn enter(&mut self, tag: &[u8]) -> Option<&mut Dialog> {
        if let Some(at) = self.dialogs.iter().position(|d| *d.tag == *tag) {
            return self.dialogs.get_mut(at).filter(|d| !d.ended);
        }
        if self.dialogs.len() >= DIALOGS_MAX {
            return None;
        }
        self.numbers += 1;
        let mut cseq = [0; 2];
        cseq[crate::counters::index(self.inviter)] = self.inviter_cseq;
        self.dialogs.push(Dialog {
            number: self.numbers,
            tag: tag.into(),
            session: self.subscribing.is_none(),
            confirmed: false,
            ended: false,
            acked: false,
            leaving: false,
            cseq,
            callee_way: Way::default(),
            negotiation: self.negotiation.fork(),
            expires_at: None,
            subscriptions: SmallVec::new(),
        });
        self.dialogs.last_mut()
    }

    /// Where requests of this dialog to `realm` go.
    #[must_use]
    pub fn way(&self, dialog: u32, realm: Realm) -> Option<&Way> {
        let dialog = self.dialog(dialog)?;
        Some(match realm == self.inviter {
            true => &self.inviter_way,
            false => &dialog.callee_way,
        })
    }

    /// The same, to change it (RFC 3261 §12.2: target refresh).
    pub fn way_mut(&mut self, dialog: u32, realm: Realm) -> Option<&mut Way> {
        match realm == self.inviter {
            true => Some(&mut self.inviter_way),
            false => self.dialog_mut(dialog).map(|d| &mut d.callee_way),
        }
    }

    /// When to look after it.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let sessions = self.dialogs.iter().filter_map(|d| d.expires_at);
        let subscriptions = self.dialogs.iter().flat_map(|d| &d.subscriptions).map(|s| s.ends_at);
        sessions.chain(subscriptions).chain(self.open_until).chain(self.back_by).min()
    }

    /// Forgets the dialogs that nothing uses; while the request that makes them is under way, they
    /// stay, so that what is repeated makes none anew.
    pub fn sweep(&mut self) {
        let inviting = self.inviting;
        self.dialogs.retain(|d| inviting || (d.session && !d.ended) || !d.subscriptions.is_empty());
    }

    /// Whether nothing of it is left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !self.inviting && self.dialogs.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use wire::StreamId;

    fn binding(slot: u32) -> BindingId {
        BindingId { slot, generation: 0 }
    }

    fn calls() -> Calls {
        Calls::new(64, 5, [1, 2, 3, 4])
    }

    fn open(calls: &mut Calls, inviter: Realm, tag: &str, ue: u32) -> DialogId {
        let opening = Opening {
            inviter,
            call_id: b"c1",
            inviter_tag: tag.as_bytes(),
            binding: binding(ue),
            flow: FlowPath::Stream(StreamId { slot: ue, generation: 0 }),
            inviter_way: Way::default(),
            subscribing: None,
        };
        calls.open(opening, Instant::ZERO).unwrap()
    }

    fn answer(calls: &mut Calls, call: DialogId, tag: &str) {
        calls.call_mut(call).unwrap().enter(tag.as_bytes()).unwrap();
    }

    fn names<'a>(from: Realm, from_tag: &'a str, to_tag: &'a str, ue: &'a [BindingId]) -> Names<'a> {
        Names {
            from,
            call_id: b"c1",
            from_tag: from_tag.as_bytes(),
            to_tag: to_tag.as_bytes(),
            owners: (from == Realm::Access).then_some(ue),
        }
    }

    /// A calls B through the core, both UEs on this shard: same Call-ID, same tags, two calls.
    #[test]
    fn both_ends_of_one_call_on_one_shard_are_told_apart() {
        let mut calls = calls();
        let a = open(&mut calls, Realm::Access, "ta", 1);
        let b = open(&mut calls, Realm::Core, "ta", 2);
        answer(&mut calls, a, "tb");
        answer(&mut calls, b, "tb");
        for (wanted, found) in [
            (names(Realm::Access, "ta", "tb", &[binding(1)]), Some(a)),
            (names(Realm::Core, "ta", "tb", &[]), Some(b)),
            (names(Realm::Access, "tb", "ta", &[binding(2)]), Some(b)),
            (names(Realm::Core, "tb", "ta", &[]), Some(a)),
            // A stranger who knows the tags, a wrong tag, a tag that is not there yet.
            (names(Realm::Access, "ta", "tb", &[binding(3)]), None),
            (names(Realm::Access, "ta", "tx", &[binding(1)]), None),
            (names(Realm::Access, "ta", "", &[binding(1)]), None),
        ] {
            let place = calls.find(&wanted);
            assert_eq!(place.map(|p| p.call), found, "{wanted:?}");
        }
    }

    #[test]
    fn a_fork_to_two_devices_is_told_apart_by_the_callee() {
        let mut calls = calls();
        let one = open(&mut calls, Realm::Core, "ta", 1);
        let two = open(&mut calls, Realm::Core, "ta", 2);
        answer(&mut calls, one, "t1");
        answer(&mut calls, two, "t2");
        let find = |to: &str| calls.find(&names(Realm::Core, "ta", to, &[])).map(|p| p.call);
        assert_eq!((find("t1"), find("t2")), (Some(one), Some(two)));
    }

    #[test]
    fn a_fork_in_the_core_makes_several_dialogs_of_one_call() {
        let mut calls = calls();
        let call = open(&mut calls, Realm::Access, "ta", 1);
        answer(&mut calls, call, "t1");
        answer(&mut calls, call, "t2");
        answer(&mut calls, call, "t1");
        let place = calls.find(&names(Realm::Core, "t2", "ta", &[])).unwrap();
        assert_eq!((place.call, place.dialog), (call, 2));
        let one = calls.call_mut(call).unwrap();
        for n in 0..DIALOGS_MAX + 2 {
            one.enter(format!("x{n}").as_bytes());
        }
        assert_eq!(one.dialogs.len(), DIALOGS_MAX);
    }

    #[test]
    fn what_is_removed_leaves_nothing_behind() {
        let mut calls = calls();
        let call = open(&mut calls, Realm::Access, "ta", 1);
        answer(&mut calls, call, "tb");
        assert_eq!(calls.of_binding(binding(1)), [call]);
        assert!(calls.remove(call).is_some());
        assert_eq!(calls.find(&names(Realm::Access, "ta", "tb", &[binding(1)])), None);
        assert!(calls.of_binding(binding(1)).is_empty());
        assert!(calls.by_key.is_empty() && calls.by_binding.is_empty());
        assert!(calls.remove(call).is_none());
    }

    #[test]
    fn same_names_are_capped() {
        let mut calls = calls();
        for ue in 0..SAME_KEY_MAX as u32 {
            open(&mut calls, Realm::Core, "ta", ue);
        }
        let opening = Opening {
            inviter: Realm::Core,
            call_id: b"c1",
            inviter_tag: b"ta",
            binding: binding(99),
            flow: FlowPath::Stream(StreamId { slot: 0, generation: 0 }),
            inviter_way: Way::default(),
            subscribing: None,
        };
        assert!(calls.open(opening, Instant::ZERO).is_none());
    }

    #[test]
    fn ways_follow_who_invited() {
        let mut calls = calls();
        let id = open(&mut calls, Realm::Core, "ta", 1);
        answer(&mut calls, id, "tb");
        let call = calls.call_mut(id).unwrap();
        call.way_mut(1, Realm::Core).unwrap().target = (*b"sip:core").into();
        call.way_mut(1, Realm::Access).unwrap().target = (*b"sip:ue").into();
        assert_eq!(*call.inviter_way.target, *b"sip:core");
        assert_eq!(*call.dialogs[0].callee_way.target, *b"sip:ue");
        assert_eq!(call.way(2, Realm::Core), None);
    }
}
