//! The binding table: which UE is registered, over which flow, as whom.
//!
//! ```text
//!            REGISTER passes                200 of the core
//!   (none) ───────────────────▶ Reserved ───────────────────▶ Live ──┐ refresh, new flow
//!                                  │ ▲                         │ ▲───┘
//!     no REGISTER is under way     │ └─────────────────────────┘
//!                                  ▼      expires=0, `*`, expiry, replaced
//!                                (none)
//! ```
//! A binding is reserved when its REGISTER goes to the core, because the Path token names it; a
//! refused REGISTER leaves the live bindings as they were (R22). REGISTERs of one contact that overtake
//! each other share one binding, whatever the order of their answers: each holds a claim, and the place
//! is given free with the last. A live binding outlives its flow: the UE comes back with the same
//! instance, and until then requests for it are answered 430 (R7).

use crate::nat::Pulse;
use crate::points::PointId;
use crate::slots::Slots;
use crate::token::FlowPath;
use core::net::SocketAddr;
use smallvec::SmallVec;
use std::collections::HashMap;
use wire::{BindingId, Instant, Span};

/// One contact of one user.
#[derive(Debug)]
pub struct Binding {
    /// Its id, which the token in Path and Contact names.
    pub id: BindingId,
    /// Whether the core has accepted it.
    pub live: bool,
    /// REGISTERs under way that name it.
    claims: u32,
    /// Where the UE is.
    pub flow: FlowPath,
    /// Our address that faces it.
    pub point: PointId,
    /// Its address as seen.
    pub source: SocketAddr,
    /// When it ends, unless refreshed.
    pub expires_at: Instant,
    /// Where its alarm stands.
    pub armed: Option<Instant>,
    /// How it is kept in reach behind its NAT.
    pub pulse: Pulse,
    text: Box<[u8]>,
    ends: [u32; FIELDS],
}

/// The texts of a binding. They lie in one block: a registration costs one allocation, not eight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Profile<'a> {
    /// The address of record as the UE wrote it in To.
    pub aor: &'a [u8],
    /// The same as `address::identity_key` writes it.
    pub aor_key: &'a [u8],
    /// The Contact URI of the UE, byte for byte (R21).
    pub contact_uri: &'a [u8],
    /// `sip.instance`; empty if the UE gave none.
    pub instance: &'a [u8],
    /// Call-ID of its REGISTERs: tells a UE without instance that moved to another NAT binding.
    pub call_id: &'a [u8],
    /// What we put into Path and Contact over the present flow.
    pub token: &'a [u8],
    /// Service-Route of the 200, as one header value; empty if there was none.
    pub service_route: &'a [u8],
    /// P-Associated-URI of the 200, as one header value; empty if there was none.
    pub identities: &'a [u8],
}

const FIELDS: usize = 8;

impl<'a> Profile<'a> {
    const fn fields(&self) -> [&'a [u8]; FIELDS] {
        [
            self.aor,
            self.aor_key,
            self.contact_uri,
            self.instance,
            self.call_id,
            self.token,
            self.service_route,
            self.identities,
        ]
    }
}

impl Binding {
    /// Its texts.
    #[must_use]
    pub fn profile(&self) -> Profile<'_> {
        let mut start = 0;
        let [aor, aor_key, contact_uri, instance, call_id, token, service_route, identities] =
            self.ends.map(|end| {
                let span = Span { start, end };
                start = end;
                span.of(&self.text)
            });
        Profile { aor, aor_key, contact_uri, instance, call_id, token, service_route, identities }
    }

    /// Replaces P-Associated-URI: one address on each line.
    pub fn identify(&mut self, identities: &[u8]) {
        let before = core::mem::take(&mut self.text);
        let mut start = 0;
        let fields = self.ends.map(|end| {
            let span = Span { start, end };
            start = end;
            span.of(&before)
        });
        let [aor, aor_key, contact_uri, instance, call_id, token, service_route, _] = fields;
        let profile =
            Profile { aor, aor_key, contact_uri, instance, call_id, token, service_route, identities };
        self.describe(&profile);
    }

    /// Whether it stands for a UE that is not registered, as long as its emergency call lasts.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        self.profile().aor.is_empty()
    }

    /// Replaces its texts.
    pub fn describe(&mut self, profile: &Profile<'_>) {
        let mut text = Vec::with_capacity(profile.fields().iter().map(|f| f.len()).sum());
        for (end, field) in self.ends.iter_mut().zip(profile.fields()) {
            text.extend_from_slice(field);
            *end = u32::try_from(text.len()).expect("a message is far below 4 GiB");
        }
        self.text = text.into_boxed_slice();
    }
}

/// All bindings of a shard, and who has which.
#[derive(Debug)]
pub struct Bindings {
    slots: Slots<BindingId, Binding>,
    by_aor: HashMap<Box<[u8]>, SmallVec<[BindingId; 2]>, ahash::RandomState>,
    live_count: u64,
}

impl Bindings {
    /// An empty table.
    #[must_use]
    pub fn new(count_max: usize, first_generation: u32, seed: [u64; 4]) -> Self {
        let hasher = ahash::RandomState::with_seeds(seed[0], seed[1], seed[2], seed[3]);
        Self {
            slots: Slots::new(count_max, first_generation),
            by_aor: HashMap::with_hasher(hasher),
            live_count: 0,
        }
    }

    /// Changes the cap.
    pub fn set_count_max(&mut self, count_max: usize) {
        self.slots.set_count_max(count_max);
    }

    /// Live bindings.
    #[must_use]
    pub fn live_count(&self) -> u64 {
        self.live_count
    }

    /// How many there are, live or reserved, and of how many users.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.slots.count(), self.by_aor.len())
    }

    /// Takes a place for a binding that the core has yet to accept, with one claim on it; `None` if the
    /// table is full.
    pub fn reserve(
        &mut self,
        flow: FlowPath,
        point: PointId,
        source: SocketAddr,
        profile: &Profile<'_>,
    ) -> Option<BindingId> {
        let id = self.slots.insert_with(|id| Binding {
            id,
            live: false,
            claims: 1,
            flow,
            point,
            source,
            expires_at: Instant::ZERO,
            armed: None,
            pulse: Pulse::default(),
            text: Box::default(),
            ends: [0; FIELDS],
        })?;
        self.slots.find_mut(id)?.describe(profile);
        let known = self.by_aor.get(profile.aor_key).map_or(0, |ids| ids.len());
        if known < LISTED_MAX {
            self.list(id, profile.aor_key);
        }
        Some(id)
    }

    /// One more REGISTER names this binding.
    pub fn claim(&mut self, id: BindingId) {
        if let Some(binding) = self.slots.find_mut(id) {
            binding.claims = binding.claims.saturating_add(1);
        }
    }

    /// One REGISTER less names it.
    pub fn release(&mut self, id: BindingId) {
        if let Some(binding) = self.slots.find_mut(id) {
            binding.claims = binding.claims.saturating_sub(1);
            self.sweep(id);
        }
    }

    /// The binding, reserved or live.
    #[must_use]
    pub fn find(&self, id: BindingId) -> Option<&Binding> {
        self.slots.find(id)
    }

    /// The binding, to change it.
    pub fn find_mut(&mut self, id: BindingId) -> Option<&mut Binding> {
        self.slots.find_mut(id)
    }

    /// The live binding.
    #[must_use]
    pub fn live(&self, id: BindingId) -> Option<&Binding> {
        self.slots.find(id).filter(|b| b.live)
    }

    /// Marks it live; whether it was not live before.
    pub fn go_live(&mut self, id: BindingId) -> bool {
        let Some(binding) = self.slots.find_mut(id) else {
            return false;
        };
        if core::mem::replace(&mut binding.live, true) {
            return false;
        }
        let key = Box::<[u8]>::from(binding.profile().aor_key);
        self.list(id, &key);
        self.live_count += 1;
        true
    }

    /// Ends a live binding. Its place stays as long as REGISTERs under way name it.
    pub fn end(&mut self, id: BindingId) {
        if let Some(binding) = self.slots.find_mut(id)
            && core::mem::replace(&mut binding.live, false)
        {
            self.live_count -= 1;
            self.sweep(id);
        }
    }

    /// Looks at `places` places from `first` on: the bindings that `fits`, at most `found_max` of them,
    /// and where to go on, unless the table ends here.
    pub fn search(
        &self,
        first: u32,
        places: usize,
        found_max: usize,
        fits: impl Fn(&Binding) -> bool,
    ) -> (Vec<BindingId>, Option<u32>) {
        let mut found = Vec::new();
        let end = self.slots.places();
        for place in (first..end).take(places) {
            let binding = self.slots.id_at(place).and_then(|id| self.slots.find(id));
            if let Some(binding) = binding.filter(|b| fits(b)) {
                if found.len() == found_max {
                    return (found, Some(place));
                }
                found.push(binding.id);
            }
        }
        let next = first.saturating_add(u32::try_from(places).unwrap_or(u32::MAX));
        (found, (next < end).then_some(next))
    }

    /// All bindings, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.slots.iter().map(|(_, binding)| binding)
    }

    /// The live bindings of a user, oldest first.
    pub fn of_user(&self, aor_key: &[u8]) -> impl DoubleEndedIterator<Item = &Binding> {
        self.listed(aor_key).filter(|b| b.live)
    }

    /// The binding that a REGISTER with these texts would refresh (R22: one for each user and
    /// instance; without an instance, for each contact, Call-ID or flow). Live ones come first.
    #[must_use]
    pub fn same_contact(&self, wanted: &Profile<'_>, flow: FlowPath) -> Option<BindingId> {
        type Same<'s> = &'s dyn Fn(&Binding, &Profile<'_>) -> bool;
        let by = |same: Same<'_>| {
            let all = || self.listed(wanted.aor_key).filter(|b| same(b, &b.profile()));
            all().find(|b| b.live).or_else(|| all().next()).map(|b| b.id)
        };
        if !wanted.instance.is_empty() {
            return by(&|_, p| p.instance.eq_ignore_ascii_case(wanted.instance));
        }
        by(&|_, p| p.instance.is_empty() && p.contact_uri == wanted.contact_uri)
            .or_else(|| by(&|_, p| p.instance.is_empty() && p.call_id == wanted.call_id))
            .or_else(|| by(&|b, p| p.instance.is_empty() && b.flow == flow))
    }

    fn listed(&self, aor_key: &[u8]) -> impl DoubleEndedIterator<Item = &Binding> {
        let ids = self.by_aor.get(aor_key).map_or(&[][..], |ids| ids.as_slice());
        ids.iter().filter_map(|id| self.slots.find(*id))
    }

    fn list(&mut self, id: BindingId, aor_key: &[u8]) {
        match self.by_aor.get_mut(aor_key) {
            Some(ids) if ids.contains(&id) => {}
            Some(ids) => ids.push(id),
            None => {
                self.by_aor.insert(aor_key.into(), SmallVec::from_slice(&[id]));
            }
        }
    }

    /// Takes a binding out that is neither live nor claimed.
    fn sweep(&mut self, id: BindingId) {
        let unused = self.slots.find(id).is_some_and(|b| !b.live && b.claims == 0);
        let Some(binding) = unused.then(|| self.slots.remove(id)).flatten() else { return };
        let key = binding.profile().aor_key;
        if let Some(ids) = self.by_aor.get_mut(key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_aor.remove(key);
            }
        }
    }
}

/// Reservations of one user that are found again: more come only from somebody who registers for
/// others, and their list must not grow long.
const LISTED_MAX: usize = 64;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::api::SipPoint;
    use crate::points::Points;
    use wire::{Realm, StreamId, Transport};

    fn flow(slot: u32) -> FlowPath {
        FlowPath::Stream(StreamId { slot, generation: 0 })
    }

    fn point() -> PointId {
        let bound = "192.0.2.1:5060".parse().unwrap();
        let points = Points::new(&[SipPoint {
            realm: Realm::Access,
            transport: Transport::Tcp,
            socket: None,
            bound,
            advertised: "".into(),
        }]);
        points.facing(Realm::Access, Transport::Tcp, bound).unwrap()
    }

    fn put(table: &mut Bindings, slot: u32, profile: &Profile<'_>) -> BindingId {
        let id = table.reserve(flow(slot), point(), "192.0.2.7:1".parse().unwrap(), profile).unwrap();
        assert!(table.go_live(id));
        table.release(id);
        id
    }

    fn profile<'a>(instance: &'a str, contact: &'a str, call_id: &'a str) -> Profile<'a> {
        Profile {
            aor: b"sip:a@h",
            aor_key: b"a@h",
            contact_uri: contact.as_bytes(),
            instance: instance.as_bytes(),
            call_id: call_id.as_bytes(),
            ..Profile::default()
        }
    }

    #[test]
    fn texts_come_back_as_they_were_put_in() {
        let mut table = Bindings::new(4, 0, [0; 4]);
        let wanted = Profile { token: b"t", service_route: b"<sip:s;lr>", ..profile("i", "sip:c", "call") };
        let id = put(&mut table, 1, &wanted);
        assert_eq!(table.find(id).unwrap().profile(), wanted);
    }

    #[test]
    fn a_refresh_is_told_by_instance_else_by_contact_call_id_or_flow() {
        let mut table = Bindings::new(8, 0, [0; 4]);
        let native = put(&mut table, 1, &profile("imei", "sip:a@1", "c1"));
        let app = put(&mut table, 2, &profile("", "sip:a@2", "c2"));
        for (wanted, over, found) in [
            (profile("IMEI", "sip:a@9", "c9"), 9, Some(native)),
            (profile("other", "sip:a@1", "c1"), 1, None),
            (profile("", "sip:a@2", "c9"), 9, Some(app)),
            (profile("", "sip:a@9", "c2"), 9, Some(app)),
            (profile("", "sip:a@9", "c9"), 2, Some(app)),
            (profile("", "sip:a@9", "c9"), 1, None),
        ] {
            assert_eq!(table.same_contact(&wanted, flow(over)), found, "{wanted:?}");
        }
    }

    fn count(table: &Bindings) -> usize {
        table.of_user(b"a@h").count()
    }

    #[test]
    fn what_has_ended_is_gone_from_the_user_too() {
        let mut table = Bindings::new(8, 0, [0; 4]);
        let id = put(&mut table, 1, &profile("", "sip:a@1", "c"));
        assert_eq!((count(&table), table.live_count()), (1, 1));
        table.end(id);
        assert_eq!((count(&table), table.live_count()), (0, 0));
        assert!(table.find(id).is_none() && table.by_aor.is_empty());
    }

    #[test]
    fn registers_that_overtake_each_other_share_one_binding() {
        let mut table = Bindings::new(8, 0, [0; 4]);
        let wanted = profile("", "sip:a@1", "c");
        let id = table.reserve(flow(1), point(), "192.0.2.7:1".parse().unwrap(), &wanted).unwrap();
        assert_eq!(table.same_contact(&wanted, flow(1)), Some(id));
        assert_eq!(count(&table), 0, "not live yet");
        table.claim(id);
        assert!(table.go_live(id));
        table.release(id);
        table.end(id); // de-registered while the second is under way
        assert!(table.live(id).is_none());
        assert!(table.go_live(id), "and it brings the binding back under the same id");
        table.release(id);
        table.end(id);
        assert!(table.find(id).is_none());
    }

    #[test]
    fn reservations_beyond_the_cap_are_served_and_not_listed() {
        let mut table = Bindings::new(1_000, 0, [0; 4]);
        for n in 0..200 {
            let contact = format!("sip:a@{n}");
            let wanted = profile("", &contact, &contact);
            table.reserve(flow(n), point(), "192.0.2.7:1".parse().unwrap(), &wanted).unwrap();
        }
        assert_eq!(table.listed(b"a@h").count(), LISTED_MAX);
        let id = put(&mut table, 999, &profile("x", "sip:a@x", "c"));
        assert_eq!(table.of_user(b"a@h").map(|b| b.id).collect::<Vec<_>>(), [id]);
    }
}
