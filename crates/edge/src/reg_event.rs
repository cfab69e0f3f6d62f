//! The edge's own subscription to the registration state of its users (RFC 3680, TS 24.229 §5.2.3), so that
//! what the network ends or shortens takes effect here (R22).
//!
//! ```text
//!   200 to REGISTER ─▶ SUBSCRIBE reg ─▶ core          one for each address of record
//!   core ─▶ NOTIFY ─▶ 200, and then: terminated ─▶ the binding ends, with its calls and media
//!                                    shortened  ─▶ it ends sooner
//!                                    active     ─▶ the identity belongs to the registration
//! ```
//! A NOTIFY is answered before anything is done about it. Only what a document says explicitly ends a
//! binding: one that does not name a contact may have been written before that contact registered.

mod info;

use crate::address::{Pieces, identity_key, same_identity};
use crate::api::Outbox;
use crate::deadlines::Alarm;
use crate::dialog::Way;
use crate::exchange::{Incoming, Purpose};
use crate::headers;
use crate::hops::Tried;
use crate::identify::identities;
use crate::in_dialog::first_hop;
use crate::invite::{NAMES_BYTES_MAX, contact_of};
use crate::originate::OwnRequest;
use crate::route::{CONTACT_PARAM, Destination};
use crate::shard::Edge;
use crate::slots::Slots;
use core::time::Duration;
use info::RegInfo;
use sip::items::Item;
use sip::text::leading_digits;
use sip::{HeaderId, Message, Method};
use std::collections::HashMap;
use wire::bytes_class::push_decimal;
use wire::{BindingId, Cause, Instant, Realm, WatchId};

/// The subscription for one user.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The address of record, as a URI.
    aor: Box<[u8]>,
    /// The same as `identity_key` writes it.
    aor_key: Box<[u8]>,
    call_id: Box<[u8]>,
    tag: Box<[u8]>,
    /// The notifier's tag, once it is known.
    remote_tag: Box<[u8]>,
    way: Way,
    cseq: u32,
    /// The CSeq of the last NOTIFY.
    notified: Option<u32>,
    /// The version of the last document.
    version: Option<u32>,
    /// Its user is gone: it waits for the last NOTIFY.
    lingers: bool,
    /// Failures in a row.
    failures: u32,
    /// When to subscribe again.
    next: Option<Instant>,
    armed: Option<Instant>,
}

/// The subscriptions of a shard.
#[derive(Debug)]
pub(crate) struct Watches {
    slots: Slots<WatchId, Watch>,
    by_aor: HashMap<Box<[u8]>, WatchId, ahash::RandomState>,
}

impl Watches {
    /// An empty table.
    pub(crate) fn new(count_max: usize, seed: [u64; 4]) -> Self {
        let hasher = ahash::RandomState::with_seeds(seed[0], seed[1], seed[2], seed[3]);
        Self { slots: Slots::new(count_max, 0), by_aor: HashMap::with_hasher(hasher) }
    }

    /// Changes the cap.
    pub(crate) fn set_count_max(&mut self, count_max: usize) {
        self.slots.set_count_max(count_max);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.slots.count()
    }
}

/// What our Call-IDs begin with; the slot follows in hexadecimal.
const PREFIX: &[u8] = b"gwreg-";

/// A failed SUBSCRIBE is tried again after this, and after twice as long each further time.
const RETRY: Duration = Duration::from_secs(30);
const RETRY_MAX: Duration = Duration::from_secs(3_600);

/// A subscription is refreshed so long before its end, or at half its life (TS 24.229 §5.2.3).
const EARLY_SECONDS: u32 = 600;

/// How long a subscription whose user is gone waits for its last NOTIFY.
const LINGER: Duration = Duration::from_secs(32);

impl Edge {
    /// A user is registered: from here on we want to know what becomes of it.
    pub(crate) fn watch_user(&mut self, aor: &[u8], aor_key: &[u8], now: Instant, out: &mut Outbox) {
        if !self.config.registrar.reg_event {
            return;
        }
        if let Some(id) = self.watches.by_aor.get(aor_key).copied() {
            let watch = self.watches.slots.find_mut(id);
            if watch.is_some_and(|watch| core::mem::take(&mut watch.lingers)) {
                self.subscribe(id, self.config.registrar.reg_event_seconds, now, out);
            }
            return;
        }
        let (mut call_id, mut tag) = (PREFIX.to_vec(), Vec::new());
        self.random.push_token(8, &mut tag);
        let random = &mut self.random;
        let id = self.watches.slots.insert_with(|id| {
            call_id.extend_from_slice(format!("{:08x}-", id.slot).as_bytes());
            random.push_token(20, &mut call_id);
            Watch {
                aor: aor.into(),
                aor_key: aor_key.into(),
                call_id: call_id.into(),
                tag: tag.into(),
                remote_tag: Box::default(),
                way: Way::default(),
                cseq: 0,
                notified: None,
                version: None,
                lingers: false,
                failures: 0,
                next: None,
                armed: None,
            }
        });
        match id {
            Some(id) => {
                self.watches.by_aor.insert(aor_key.into(), id);
                self.subscribe(id, self.config.registrar.reg_event_seconds, now, out);
            }
            None => self.counters.reject(Realm::Access, Cause::TableFull),
        }
    }

    /// Sends the SUBSCRIBE, the first or the next.
    fn subscribe(&mut self, id: WatchId, seconds: u32, now: Instant, out: &mut Outbox) {
        let mut tried = Tried::of(self.hops.initial());
        let Some(watch) = self.watches.slots.find_mut(id) else { return };
        watch.cseq = watch.cseq.saturating_add(1);
        let (cseq, way) = (watch.cseq, watch.way.clone());
        let target = match way.target.is_empty() {
            true => self.next_core_target(&mut tried, now),
            false => self.target_by_route(&first_hop(&way), now),
        };
        let (Some(target), Some(watch)) = (target, self.watches.slots.find(id)) else {
            return self.watch_failed(id, now);
        };
        let mut own = Vec::new();
        headers::push_own_uri(b"", self.points.at(target.point), &mut own);
        let mut request = OwnRequest::new(Method::Subscribe);
        request.uri.extend_from_slice(if way.target.is_empty() { &watch.aor } else { &way.target });
        request.routes.extend_from_slice(&way.routes);
        let text = &mut request.fields;
        for part in [b"From: <", &own[..], b">;tag=", &watch.tag, b"\r\nTo: <", &watch.aor, b">"] {
            text.extend_from_slice(part);
        }
        if !watch.remote_tag.is_empty() {
            text.extend_from_slice(b";tag=");
            text.extend_from_slice(&watch.remote_tag);
        }
        for part in [b"\r\nCall-ID: ", &watch.call_id[..], b"\r\nCSeq: "] {
            text.extend_from_slice(part);
        }
        push_decimal(u64::from(cseq), text);
        for part in [b" SUBSCRIBE\r\nContact: <", &own[..], b">\r\nP-Asserted-Identity: <", &own] {
            text.extend_from_slice(part);
        }
        text.extend_from_slice(b">\r\nEvent: reg\r\nAccept: application/reginfo+xml\r\nExpires: ");
        push_decimal(u64::from(seconds), text);
        text.extend_from_slice(b"\r\n");
        // Whatever becomes of the request, the subscription is looked after.
        self.arm_watch(id, Some(now + RETRY_MAX));
        if self.originate(&request, target, (Purpose::Watch(id), None), None, now, out).is_none() {
            self.watch_failed(id, now);
        }
    }

    /// Our SUBSCRIBE has an answer.
    pub(crate) fn watch_answered(&mut self, id: WatchId, message: Message<'_>, now: Instant) {
        let status = message.status();
        if status < 200 {
            return;
        }
        let routes = self.routes_of_response(message);
        let asked = self.config.registrar.reg_event_seconds;
        let granted = message.expires().unwrap_or(asked).min(asked);
        let Some(watch) = self.watches.slots.find_mut(id) else { return };
        if status >= 300 {
            return self.watch_failed(id, now);
        }
        watch.failures = 0;
        let tag = message.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        if tag.len() <= NAMES_BYTES_MAX && !tag.is_empty() {
            watch.remote_tag = tag.into();
        }
        if let Ok(Some(contact)) = contact_of(message) {
            let first = watch.way.target.is_empty();
            watch.way.target = contact.into();
            if first {
                watch.way.routes = routes;
            }
        }
        match self.has_user(id) {
            true => self.arm_refresh(id, granted, now),
            false => self.linger(id, now),
        }
    }

    /// It had none, or a refusal: from the beginning, later.
    pub(crate) fn watch_failed(&mut self, id: WatchId, now: Instant) {
        if !self.has_user(id) {
            return self.forget_watch(id);
        }
        let Some(watch) = self.watches.slots.find_mut(id) else { return };
        let wait = RETRY.saturating_mul(1 << watch.failures.min(7)).min(RETRY_MAX);
        watch.failures = watch.failures.saturating_add(1);
        self.begin_again(id);
        self.arm_watch(id, Some(now + wait));
    }

    /// The next SUBSCRIBE opens a dialog of its own: what still comes in the old one is of no account.
    fn begin_again(&mut self, id: WatchId) {
        let mut tag = Vec::new();
        self.random.push_token(8, &mut tag);
        let Some(watch) = self.watches.slots.find_mut(id) else { return };
        watch.tag = tag.into();
        watch.remote_tag = Box::default();
        watch.way = Way::default();
        watch.version = None;
        watch.notified = None;
    }

    /// A subscription is due: to be refreshed, tried again, or forgotten with its user.
    pub(crate) fn on_watch_deadline(&mut self, id: WatchId, now: Instant, out: &mut Outbox) {
        let Some(watch) = self.watches.slots.find_mut(id) else { return };
        watch.armed = None;
        if watch.next.is_some_and(|at| at > now) {
            let at = watch.next;
            return self.arm_watch(id, at);
        }
        let stands = !watch.remote_tag.is_empty();
        if self.has_user(id) {
            self.subscribe(id, self.config.registrar.reg_event_seconds, now, out);
        } else {
            if stands {
                self.subscribe(id, 0, now, out);
            }
            self.forget_watch(id);
        }
    }

    /// A binding ended: with the last of its user's, the subscription waits for its last NOTIFY.
    pub(crate) fn unwatch_user(&mut self, aor_key: &[u8], now: Instant) {
        if let Some(id) = self.watches.by_aor.get(aor_key).copied()
            && !self.has_user(id)
        {
            self.linger(id, now);
        }
    }

    /// Whether a request of the core belongs to a subscription of ours.
    pub(crate) fn watch_of(&self, request: &Incoming<'_>) -> Option<WatchId> {
        let hex = request.call_id.strip_prefix(PREFIX)?.get(..8)?;
        let slot = u32::from_str_radix(core::str::from_utf8(hex).ok()?, 16).ok()?;
        let id = self.watches.slots.id_at(slot)?;
        let watch = self.watches.slots.find(id)?;
        let from = request.from.tag().unwrap_or_default();
        let fits = *watch.call_id == *request.call_id
            && request.to.tag() == Some(&*watch.tag)
            && !from.is_empty()
            && from.len() <= NAMES_BYTES_MAX
            && (watch.remote_tag.is_empty() || *watch.remote_tag == *from);
        fits.then_some(id)
    }

    /// Takes in a NOTIFY: answers it, then does what it says.
    ///
    /// # Errors
    /// `MethodNotAllowed` for anything else in the dialog, `BadCseq` for one that was overtaken,
    /// `UnsupportedMediaType` for a body that is no reginfo; nothing is done then.
    pub(crate) fn on_watch_notify(
        &mut self,
        id: WatchId,
        request: &Incoming<'_>,
        out: &mut Outbox,
    ) -> Result<(), Cause> {
        let (message, now) = (request.message, request.now);
        if request.method() != Method::Notify {
            return Err(Cause::MethodNotAllowed);
        }
        let Some(watch) = self.watches.slots.find_mut(id) else { return Err(Cause::UnknownDialog) };
        let cseq = request.cseq.number;
        if watch.notified.is_some_and(|last| cseq < last) {
            return Err(Cause::BadCseq);
        }
        let repeated = watch.notified == Some(cseq);
        let info = match message.body().is_empty() {
            true => None,
            false => {
                let media_type = message.content_type().ok().flatten();
                let fits = media_type.is_some_and(|t| t.subtype.eq_ignore_ascii_case(b"reginfo+xml"));
                Some(RegInfo::read(message.body()).filter(|_| fits).ok_or(Cause::UnsupportedMediaType)?)
            }
        };
        self.reply(message, request.origin, 200, b"", out);
        if repeated {
            return Ok(());
        }
        let routes = self.routes_of_request(message);
        let Some(watch) = self.watches.slots.find_mut(id) else { return Ok(()) };
        watch.notified = Some(cseq);
        watch.failures = 0;
        if watch.remote_tag.is_empty() {
            // It came before the answer to its SUBSCRIBE (RFC 6665 §4.1.2.4).
            watch.remote_tag = request.from.tag().unwrap_or_default().into();
            watch.way.routes = routes;
        }
        if let Ok(Some(contact)) = contact_of(message) {
            watch.way.target = contact.into();
        }
        let fresh = |version: u32| watch.version.is_none_or(|before| version > before);
        if let Some(info) = info.filter(|info| fresh(info.version)) {
            watch.version = Some(info.version);
            let aor_key = watch.aor_key.clone();
            self.follow(&aor_key, &info, now, out);
        }
        self.after_notify(id, message, now);
        Ok(())
    }

    /// What Subscription-State says of the subscription itself (RFC 6665 §4.1.3).
    fn after_notify(&mut self, id: WatchId, message: Message<'_>, now: Instant) {
        let state = message.first(HeaderId::SubscriptionState);
        let Some(state) = state.and_then(|field| Item::read(message.bytes(), field.value)) else { return };
        if state.is("terminated") {
            if !self.has_user(id) {
                return self.forget_watch(id);
            }
            let wait = state.params.value(b"retry-after").and_then(leading_digits).unwrap_or(0);
            self.begin_again(id);
            let wait = Duration::from_secs(u64::from(wait)).clamp(Duration::from_secs(1), RETRY_MAX);
            self.arm_watch(id, Some(now + wait));
        } else if !self.has_user(id) {
            self.linger(id, now);
        } else if let Some(left) = state.params.value(b"expires").and_then(leading_digits) {
            self.arm_refresh(id, left, now);
        }
    }

    /// Does what a document says to the bindings of the user.
    fn follow(&mut self, aor_key: &[u8], info: &RegInfo, now: Instant, out: &mut Outbox) {
        for registration in &info.registrations {
            let Some(key) = identity_key(&registration.aor) else { continue };
            let own = *key == *aor_key;
            let mut active = false;
            for contact in &registration.contacts {
                let Some(id) = self.contact_meant(aor_key, &contact.uri) else { continue };
                match &contact.state[..] {
                    b"terminated" if own => self.end_binding(id, Cause::NetworkDeregistered, now, out),
                    b"active" => {
                        active = true;
                        let left = contact.expires.filter(|_| own && contact.event == b"shortened");
                        if let Some(seconds) = left {
                            self.shorten(id, seconds, now, out);
                        }
                    }
                    _ => {}
                }
            }
            let ids: Vec<BindingId> = self.bindings.of_user(aor_key).map(|b| b.id).collect();
            for id in ids {
                match (&registration.state[..], own) {
                    // A state without the contacts that it ended.
                    (b"terminated", true) => self.end_binding(id, Cause::NetworkDeregistered, now, out),
                    (b"terminated", false) => self.drop_identity(id, &registration.aor),
                    (b"active", false) if active => self.add_identity(id, &registration.aor),
                    _ => {}
                }
            }
        }
    }

    /// The binding of this user that a contact of the core means: by our token, or as the UE wrote it.
    fn contact_meant(&self, aor_key: &[u8], uri: &[u8]) -> Option<BindingId> {
        let pieces = Pieces::of(uri)?;
        if let Some(token) = pieces.param(uri, CONTACT_PARAM) {
            let Ok(Destination::Binding(id)) = self.by_token(token) else { return None };
            let own = self.bindings.live(id).is_some_and(|b| b.profile().aor_key == aor_key);
            return own.then_some(id);
        }
        self.bindings.of_user(aor_key).find(|b| b.profile().contact_uri == uri).map(|b| b.id)
    }

    /// The network lets a registration end sooner.
    fn shorten(&mut self, id: BindingId, seconds: u32, now: Instant, out: &mut Outbox) {
        let Some(binding) = self.bindings.find_mut(id).filter(|b| b.live) else { return };
        let at = now + Duration::from_secs(u64::from(seconds));
        if at >= binding.expires_at {
            return;
        }
        binding.expires_at = at;
        self.deadlines.arm(Alarm::Binding(id), &mut binding.armed, Some(at));
        let binding = self.bindings.find(id);
        if let Some(binding) = binding {
            out.actions.push(crate::api::Action::Record(crate::api::Record::Registration {
                aor: String::from_utf8_lossy(binding.profile().aor).into(),
                source: binding.source,
                expires_seconds: seconds,
                ended: None,
            }));
        }
    }

    /// An identity of an implicit set is no longer registered: it may not be asserted (R27).
    fn drop_identity(&mut self, id: BindingId, aor: &[u8]) {
        let Some(binding) = self.bindings.find_mut(id) else { return };
        let profile = binding.profile();
        let lines = profile.identities.split(|&b| b == b'\n');
        let kept: Vec<&[u8]> =
            lines.filter(|line| !identities(line).any(|identity| same_identity(identity.uri, aor))).collect();
        let kept = kept.join(&b'\n');
        if kept.len() == profile.identities.len() {
            return;
        }
        binding.identify(&kept);
    }

    /// An identity was registered with the others.
    fn add_identity(&mut self, id: BindingId, aor: &[u8]) {
        let Some(binding) = self.bindings.find_mut(id) else { return };
        let profile = binding.profile();
        let known = identities(profile.identities).any(|identity| same_identity(identity.uri, aor));
        let legal = aor.len() <= NAMES_BYTES_MAX && !aor.iter().any(|b| b.is_ascii_control() || *b == b'>');
        if known || !legal || profile.identities.len() > IDENTITIES_BYTES_MAX {
            return;
        }
        let mut all = profile.identities.to_vec();
        if !all.is_empty() {
            all.push(b'\n');
        }
        for part in [&b"<"[..], aor, b">"] {
            all.extend_from_slice(part);
        }
        binding.identify(&all);
    }

    fn has_user(&self, id: WatchId) -> bool {
        let watch = self.watches.slots.find(id);
        watch.is_some_and(|watch| self.bindings.of_user(&watch.aor_key).next().is_some())
    }

    fn arm_refresh(&mut self, id: WatchId, seconds: u32, now: Instant) {
        let early = if seconds > 2 * EARLY_SECONDS { seconds - EARLY_SECONDS } else { seconds / 2 };
        self.arm_watch(id, Some(now + Duration::from_secs(u64::from(early.max(1)))));
    }

    fn linger(&mut self, id: WatchId, now: Instant) {
        if let Some(watch) = self.watches.slots.find_mut(id).filter(|watch| !watch.lingers) {
            watch.lingers = true;
            self.arm_watch(id, Some(now + LINGER));
        }
    }

    fn arm_watch(&mut self, id: WatchId, at: Option<Instant>) {
        if let Some(watch) = self.watches.slots.find_mut(id) {
            watch.next = at;
            self.deadlines.arm(Alarm::Watch(id), &mut watch.armed, at);
        }
    }

    fn forget_watch(&mut self, id: WatchId) {
        if let Some(mut watch) = self.watches.slots.remove(id) {
            self.deadlines.arm(Alarm::Watch(id), &mut watch.armed, None);
            self.watches.by_aor.remove(&watch.aor_key);
        }
    }
}

/// What the identities of one registration may take up.
const IDENTITIES_BYTES_MAX: usize = 4_096;
