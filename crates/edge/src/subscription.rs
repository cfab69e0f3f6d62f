//! Subscriptions: SUBSCRIBE or REFER, the NOTIFYs that follow, and when they end (R54, R57, RFC 6665).
//!
//! ```text
//!   subscriber ── SUBSCRIBE ──▶ open_subscription ── Record-Route ──▶ notifier
//!   subscriber ◀── 200 ── subscribe_answered ◀── 200 ── notifier      the two may come in either order,
//!   subscriber ◀── NOTIFY ── enter_by_notify ◀── NOTIFY ── notifier   and a fork makes several dialogs
//! ```
//! A subscription uses a dialog, its own or that of a call (RFC 5057), and counts until it is
//! terminated by NOTIFY, refused in a way that means so, or not refreshed in time.

use crate::api::Outbox;
use crate::dialog::{Place, Way};
use crate::exchange::{Exchange, Incoming, Target};
use crate::headers;
use crate::in_dialog::{Inside, with_names};
use crate::invite::{NAMES_BYTES_MAX, contact_of};
use crate::shard::Edge;
use core::time::Duration;
use sip::items::Item;
use sip::text::leading_digits;
use sip::{HeaderId, Message, Method};
use wire::{BindingId, Cause, DialogId, EditList, Instant, Realm};

/// What a subscription is to: an event package, and the id that tells two to the same one apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The package, in lower case.
    pub package: Box<[u8]>,
    /// The id; empty if there is none.
    pub id: Box<[u8]>,
}

/// What a SUBSCRIBE or REFER outside a dialog asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribing {
    /// To what.
    pub topic: Topic,
    /// For how long, in seconds; 0 fetches the state once.
    pub seconds: u32,
}

/// A subscription in a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// To what.
    pub topic: Topic,
    /// Which side is notified.
    pub subscriber: Realm,
    /// When it is forgotten unless refreshed.
    pub ends_at: Instant,
}

/// What a request inside a dialog says of a subscription, if it is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    topic: Topic,
    subscriber: Realm,
    says: Says,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// It begins or goes on for so many seconds.
    Lives(u32),
    /// NOTIFY: it goes on as it was.
    Goes,
    /// NOTIFY: it is over, whatever is answered.
    Over,
}

/// Subscriptions in one dialog; further ones pass and are not watched.
const SUBSCRIPTIONS_MAX: usize = 16;

/// RFC 6665 §4.1.2.1, R57: where no Expires is given.
const EXPIRES_SECONDS: u32 = 3_600;

/// No subscription is watched for longer: it must be refreshed in between.
const EXPIRES_SECONDS_MAX: u32 = 604_800;

/// Beyond its expiry: a refresh, or the last NOTIFY, may still be under way.
const GRACE: Duration = Duration::from_secs(32);

/// The package of what REFER makes (RFC 3515 §2.4.4).
const REFER: &[u8] = b"refer";

impl Topic {
    /// What the Event field says; `None` without one, or for one too long to be kept.
    #[must_use]
    pub fn of(message: Message<'_>) -> Option<Self> {
        let field = message.first(HeaderId::Event)?;
        let event = Item::read(message.bytes(), field.value)?;
        let id = event.params.value(b"id").unwrap_or_default();
        let short = event.word.len() + id.len() <= NAMES_BYTES_MAX;
        short.then(|| Self { package: event.word.to_ascii_lowercase().into(), id: id.into() })
    }

    /// What a REFER with this CSeq makes.
    #[must_use]
    pub fn of_refer(cseq: u32) -> Self {
        Self { package: REFER.into(), id: cseq.to_string().into_bytes().into() }
    }

    /// Whether a NOTIFY of `said` means this: the first REFER of a dialog needs no id (RFC 3515 §2.4.6).
    fn is_meant_by(&self, said: &Self) -> bool {
        self == said || (*self.package == *REFER && *said.package == *REFER && said.id.is_empty())
    }
}

impl Subscribing {
    fn of_request(request: &Incoming<'_>) -> Option<Self> {
        let message = request.message;
        match request.method() {
            Method::Refer => Some(Self { topic: Topic::of_refer(request.cseq.number), seconds: 0 }),
            _ => Some(Self {
                topic: Topic::of(message)?,
                seconds: message.expires().unwrap_or(EXPIRES_SECONDS),
            }),
        }
    }
}

impl Watch {
    /// What `request` says of a subscription in its dialog.
    pub(crate) fn of_request(request: &Incoming<'_>) -> Option<Self> {
        let from = request.origin.realm;
        match request.method() {
            Method::Subscribe | Method::Refer if !waives(request.message) => {
                let asked = Subscribing::of_request(request)?;
                Some(Self { topic: asked.topic, subscriber: from, says: Says::Lives(asked.seconds) })
            }
            Method::Notify => {
                let says = says_of(request.message);
                Some(Self { topic: Topic::of(request.message)?, subscriber: from.other(), says })
            }
            _ => None,
        }
    }
}

/// What Subscription-State says; a NOTIFY without it leaves things as they are (R33).
fn says_of(message: Message<'_>) -> Says {
    let state = message.first(HeaderId::SubscriptionState);
    match state.and_then(|field| Item::read(message.bytes(), field.value)) {
        Some(state) if state.is("terminated") => Says::Over,
        Some(state) => {
            state.params.value(b"expires").and_then(leading_digits).map_or(Says::Goes, Says::Lives)
        }
        None => Says::Goes,
    }
}

/// `Refer-Sub: false`: no subscription comes of it (RFC 4488, R54).
fn waives(message: Message<'_>) -> bool {
    let field = message.first(HeaderId::ReferSub);
    field.and_then(|f| Item::read(message.bytes(), f.value)).is_some_and(|item| item.is("false"))
}

impl Edge {
    /// Opens the call of a SUBSCRIBE or REFER outside a dialog, and edits it for the other side.
    ///
    /// # Errors
    /// As for an INVITE; `MissingHeader` if nobody could tell what it is about.
    pub(crate) fn open_subscription(
        &mut self,
        request: &Incoming<'_>,
        binding: BindingId,
        target: &Target,
        edits: &mut EditList,
    ) -> Result<DialogId, Cause> {
        let subscribing = Subscribing::of_request(request).ok_or(Cause::MissingHeader)?;
        let id = self.open(request, binding, target, Some(subscribing), edits)?;
        self.counters.subscriptions_opened += 1;
        if let Some(call) = self.calls.call_mut(id) {
            call.open_until = Some(request.now + self.derived.timers.t1_64());
        }
        self.arm_call(id);
        Ok(id)
    }

    /// Takes in the response to it and edits it for the subscriber.
    pub(crate) fn subscribe_answered(
        &mut self,
        x: &Exchange,
        id: DialogId,
        message: Message<'_>,
        edits: &mut EditList,
        now: Instant,
    ) {
        if !(200..300).contains(&message.status()) {
            return;
        }
        let own_tag = self.tag_of(&x.echo);
        let tag = headers::response_tag(message, &x.echo).unwrap_or(&own_tag);
        let routes = match x.target.realm {
            Realm::Core => self.routes_of_response(message),
            Realm::Access => Box::default(),
        };
        let Some(call) = self.calls.call_mut(id).filter(|_| tag.len() <= NAMES_BYTES_MAX) else {
            self.record_route_answer(id, None, x, message, edits);
            return;
        };
        let (subscriber, asked) = (call.inviter, call.subscribing.clone());
        let mut number = None;
        if waives(message) {
            call.open_until = Some(now);
        } else if let (Some(dialog), Some(asked)) = (call.enter(tag), asked) {
            if let Ok(Some(contact)) = contact_of(message) {
                dialog.callee_way = Way { target: contact.into(), routes };
            }
            let place = Place { call: id, dialog: dialog.number };
            number = Some(dialog.number);
            let seconds = message.expires().unwrap_or(asked.seconds);
            self.watch(place, asked.topic, subscriber, Some(seconds), now);
        }
        self.record_route_answer(id, number, x, message, edits);
        self.arm_call(id);
    }

    /// The subscriber has its final answer: after a refusal no NOTIFY can come.
    pub(crate) fn subscribe_over(&mut self, id: DialogId, status: u16, now: Instant, out: &mut Outbox) {
        if !(200..300).contains(&status) {
            self.end_call(id, Cause::InviteRefused, now, out);
        }
    }

    /// The dialog that a NOTIFY opens because it comes before the answer to its SUBSCRIBE, or from
    /// another branch of a fork.
    ///
    /// # Errors
    /// `BadContact`.
    pub(crate) fn enter_by_notify(&mut self, request: &Incoming<'_>) -> Result<Option<Place>, Cause> {
        let message = request.message;
        let topic = Topic::of(message);
        let found = with_names(self, request, |names| self.calls.find_subscribing(names, topic.as_ref()));
        let contact = contact_of(message)?.unwrap_or_default();
        let routes = match request.origin.realm {
            Realm::Core => self.routes_of_request(message),
            Realm::Access => Box::default(),
        };
        let tag = request.from.tag().unwrap_or_default();
        let fits = !tag.is_empty() && tag.len() <= NAMES_BYTES_MAX;
        let Some(call) = found.filter(|_| fits).and_then(|id| self.calls.call_mut(id)) else {
            return Ok(None);
        };
        let id = call.id;
        Ok(call.enter(tag).map(|dialog| {
            dialog.callee_way = Way { target: contact.into(), routes };
            Place { call: id, dialog: dialog.number }
        }))
    }

    /// A NOTIFY that opens its dialog keeps us in it (RFC 6665 §4.3, R25).
    pub(crate) fn record_route_of_notify(
        &self,
        place: Place,
        request: &Incoming<'_>,
        target: &Target,
        edits: &mut EditList,
    ) {
        let opens = self.calls.call(place.call).is_some_and(|call| {
            let bare = call.dialog(place.dialog).is_some_and(|dialog| dialog.subscriptions.is_empty());
            call.subscribing.is_some() && bare
        });
        if opens && request.method() == Method::Notify {
            self.record_route(place.call, Some(place.dialog), request.message, target, edits);
        }
    }

    /// A request inside a dialog was accepted: what it says of a subscription holds.
    pub(crate) fn watch_accepted(&mut self, inside: &Inside, answer: Message<'_>, now: Instant) {
        let Some(watch) = inside.watch.clone().filter(|w| w.says != Says::Over) else { return };
        let seconds = match (watch.says, inside.method) {
            (_, Method::Refer) if waives(answer) => return,
            (Says::Lives(asked), Method::Subscribe) => Some(answer.expires().unwrap_or(asked)),
            (Says::Lives(seconds), _) => Some(seconds),
            _ => None,
        };
        self.watch(inside.place, watch.topic, watch.subscriber, seconds, now);
        self.arm_call(inside.place.call);
    }

    /// A request inside a dialog has its final answer: a subscription may end with it.
    pub(crate) fn watch_over(&mut self, inside: &Inside, status: u16, now: Instant) {
        let Some(watch) = &inside.watch else { return };
        let ends = match inside.method {
            Method::Notify => watch.says == Says::Over || status == 408 || is_end(status),
            Method::Subscribe => is_end(status),
            _ => false,
        };
        if !ends {
            return;
        }
        let place = inside.place;
        let Some(call) = self.calls.call_mut(place.call) else { return };
        if let Some(dialog) = call.dialog_mut(place.dialog)
            && let Some(at) = find(&dialog.subscriptions, &watch.topic, watch.subscriber)
        {
            dialog.subscriptions.remove(at);
        }
        if call.open_until.is_none_or(|until| until <= now) && call.subscribing.is_some() {
            call.inviting = false;
        }
        call.sweep();
        self.close_if_over(place.call);
    }

    /// A subscription begins, or is refreshed; `None` leaves its end where it is.
    fn watch(&mut self, place: Place, topic: Topic, subscriber: Realm, seconds: Option<u32>, now: Instant) {
        let timer_n = self.derived.timers.t1_64();
        let dialog = self.calls.call_mut(place.call).and_then(|call| call.dialog_mut(place.dialog));
        let Some(dialog) = dialog.filter(|dialog| !dialog.ended) else { return };
        let life = match seconds {
            // A fetch: the one NOTIFY is due within timer N.
            Some(0) => Some(timer_n),
            Some(seconds) => Some(Duration::from_secs(seconds.min(EXPIRES_SECONDS_MAX).into()) + GRACE),
            None => None,
        };
        match find(&dialog.subscriptions, &topic, subscriber) {
            Some(at) => {
                if let (Some(known), Some(life)) = (dialog.subscriptions.get_mut(at), life) {
                    known.ends_at = now + life;
                }
            }
            None if dialog.subscriptions.len() >= SUBSCRIPTIONS_MAX => {}
            None => {
                let ends_at = now + life.unwrap_or(Duration::from_secs(EXPIRES_SECONDS.into()) + GRACE);
                dialog.subscriptions.push(Subscription { topic, subscriber, ends_at });
            }
        }
    }

    /// A call is due: subscriptions that nobody refreshed are forgotten, and so is a SUBSCRIBE that no
    /// notifier can answer any more.
    pub(crate) fn expire_subscriptions(&mut self, id: DialogId, now: Instant) {
        let Some(call) = self.calls.call_mut(id) else { return };
        if call.open_until.take_if(|until| *until <= now).is_some() {
            call.inviting = false;
        }
        for dialog in &mut call.dialogs {
            dialog.subscriptions.retain(|s| s.ends_at > now);
        }
        call.sweep();
        self.close_if_over(id);
    }
}

/// The subscription that is meant; a NOTIFY of another package means the only one there is, unless it
/// belongs to a REFER (figure 5-97 notifies of `grouplist` where `groupinfo` was asked for).
fn find(subscriptions: &[Subscription], topic: &Topic, subscriber: Realm) -> Option<usize> {
    let own = |s: &&Subscription| s.subscriber == subscriber;
    let exact = subscriptions.iter().position(|s| own(&s) && s.topic.is_meant_by(topic));
    let only = || {
        let others: Vec<usize> = (0..subscriptions.len())
            .filter(|at| subscriptions.get(*at).is_some_and(|s| own(&s) && *s.topic.package != *REFER))
            .collect();
        (others.len() == 1 && *topic.package != *REFER).then(|| others.first().copied()).flatten()
    };
    exact.or_else(only)
}

/// RFC 6665 §4.1.2.2, §4.2.2: these answers end the subscription; others leave it.
const fn is_end(status: u16) -> bool {
    matches!(status, 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn topic(text: &str) -> Topic {
        let (package, id) = text.split_once(';').unwrap_or((text, ""));
        Topic { package: package.as_bytes().into(), id: id.as_bytes().into() }
    }

    /// R57: which subscription of a dialog a NOTIFY is about.
    #[test]
    fn a_notify_finds_its_subscription() {
        let all = |topics: &[&str]| -> Vec<Subscription> {
            let one = |t: &&str| Subscription {
                topic: topic(t),
                subscriber: Realm::Access,
                ends_at: Instant::ZERO,
            };
            topics.iter().map(one).collect()
        };
        for (there, said, subscriber, found) in [
            (&["conference"][..], "conference", Realm::Access, Some(0)),
            (&["conference"], "conference", Realm::Core, None),
            (&["groupinfo"], "grouplist", Realm::Access, Some(0)),
            (&["groupinfo", "conference"], "grouplist", Realm::Access, None),
            (&["refer;3", "conference"], "refer", Realm::Access, Some(0)),
            (&["refer;3", "refer;4"], "refer;4", Realm::Access, Some(1)),
            (&["conference"], "refer;4", Realm::Access, None),
            (&["refer;3", "conference"], "presence", Realm::Access, Some(1)),
            (&["dialog;1", "dialog;2"], "dialog;2", Realm::Access, Some(1)),
        ] {
            assert_eq!(find(&all(there), &topic(said), subscriber), found, "{there:?} {said}");
        }
    }

    #[test]
    fn answers_that_end_a_subscription() {
        for (status, ends) in
            [(481, true), (404, true), (489, true), (408, false), (500, false), (401, false)]
        {
            assert_eq!(is_end(status), ends, "{status}");
        }
    }
}
