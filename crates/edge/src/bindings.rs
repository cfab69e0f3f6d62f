//! The binding table: which UE is registered, over which flow, as whom.
//!
//! ```text
//!            REGISTER passes                200 of the core
//!   (none) ───────────────────▶ Reserved ───────────────────▶ Live ──┐ refresh, new flow
//!                                  │ refused, timed out        │ ▲───┘
//!                                  ▼                           ▼
//!                                (none) ◀── expires=0, `*`, expiry, replaced
//! ```
//! A binding is reserved when its REGISTER goes to the core, because the Path token names it; a
//! refused REGISTER leaves the live bindings as they were (R22). A live binding outlives its flow: the
//! UE comes back with the same instance, and until then requests for it are answered 430 (R7).

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

    /// Takes a place for a binding that the core has yet to accept; `None` if the table is full.
    pub fn reserve(&mut self, flow: FlowPath, point: PointId, source: SocketAddr) -> Option<BindingId> {
        self.slots.insert_with(|id| Binding {
            id,
            live: false,
            flow,
            point,
            source,
            expires_at: Instant::ZERO,
            armed: None,
            text: Box::default(),
            ends: [0; FIELDS],
        })
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

    /// Marks it live under the address of record its profile names; whether it was not live before.
    pub fn go_live(&mut self, id: BindingId) -> bool {
        let Some(binding) = self.slots.find_mut(id) else {
            return false;
        };
        let fresh = !core::mem::replace(&mut binding.live, true);
        if fresh {
            let key = binding.profile().aor_key;
            match self.by_aor.get_mut(key) {
                Some(ids) => ids.push(id),
                None => {
                    self.by_aor.insert(key.into(), SmallVec::from_slice(&[id]));
                }
            }
            self.live_count += 1;
        }
        fresh
    }

    /// Takes a binding out.
    pub fn remove(&mut self, id: BindingId) -> Option<Binding> {
        let binding = self.slots.remove(id)?;
        if binding.live {
            self.live_count -= 1;
            let key = binding.profile().aor_key;
            if let Some(ids) = self.by_aor.get_mut(key) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.by_aor.remove(key);
                }
            }
        }
        Some(binding)
    }

    /// The live bindings of a user, oldest first.
    #[must_use]
    pub fn of_user(&self, aor_key: &[u8]) -> &[BindingId] {
        self.by_aor.get(aor_key).map_or(&[], |ids| ids.as_slice())
    }

    /// The live binding that a REGISTER with these texts would refresh (R22: one for each user and
    /// instance; without an instance, for each contact, Call-ID or flow).
    #[must_use]
    pub fn same_contact(&self, wanted: &Profile<'_>, flow: FlowPath) -> Option<BindingId> {
        let ids = self.of_user(wanted.aor_key).iter().copied();
        let known = |id: &BindingId| self.slots.find(*id).map(|b| (b.flow, b.profile()));
        let by = |same: &dyn Fn(FlowPath, &Profile<'_>) -> bool| {
            ids.clone().find(|id| known(id).is_some_and(|(flow, p)| same(flow, &p)))
        };
        if !wanted.instance.is_empty() {
            return by(&|_, p| p.instance.eq_ignore_ascii_case(wanted.instance));
        }
        by(&|_, p| p.instance.is_empty() && p.contact_uri == wanted.contact_uri)
            .or_else(|| by(&|_, p| p.instance.is_empty() && p.call_id == wanted.call_id))
            .or_else(|| by(&|f, p| p.instance.is_empty() && f == flow))
    }
}

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
        let id = table.reserve(flow(slot), point(), "192.0.2.7:1".parse().unwrap()).unwrap();
        table.find_mut(id).unwrap().describe(profile);
        assert!(table.go_live(id));
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

    #[test]
    fn what_is_removed_is_gone_from_the_user_too() {
        let mut table = Bindings::new(8, 0, [0; 4]);
        let id = put(&mut table, 1, &profile("", "sip:a@1", "c"));
        assert_eq!((table.of_user(b"a@h"), table.live_count()), (&[id][..], 1));
        table.remove(id);
        assert_eq!((table.of_user(b"a@h"), table.live_count()), (&[][..], 0));
        assert!(table.live(id).is_none());
    }
}
