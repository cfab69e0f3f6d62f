//! Subscriptions of a UE: SUBSCRIBE, NOTIFY (figures 5-82 to 5-98, RFC 6665).

use super::{Purpose, Ue, UeEvent};
use crate::dialog::Dialog;
use crate::layer::ServerId;
use crate::node::LabOutbox;
use crate::service::Service;
use crate::strict::SipMessage;
use wire::Instant;

/// One subscription.
#[derive(Debug)]
pub(super) struct Watch {
    event: String,
    call_id: String,
    /// The tag of our From.
    tag: String,
    /// Known once the SUBSCRIBE is answered; a NOTIFY may come before that (R57).
    dialog: Option<Dialog>,
}

impl Ue {
    pub(super) fn subscribe(
        &mut self,
        tag: u64,
        to: &str,
        event: &str,
        seconds: u32,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let via = self.via();
        let bytes = self
            .initial("SUBSCRIBE", to, &via, Service::Chat)
            .field("Event", event)
            .field("Expires", &seconds.to_string())
            .field("Accept", ACCEPTED)
            .finish();
        let id = self.send(Purpose::Subscribe { tag }, bytes, now, out);
        let Some(request) = self.pending.get(&id).map(|p| &p.request) else {
            return;
        };
        let watch = Watch {
            event: event.to_owned(),
            call_id: request.call_id().to_owned(),
            tag: request.from().and_then(|n| n.tag().map(str::to_owned)).unwrap_or_default(),
            dialog: None,
        };
        self.watches.insert(tag, watch);
    }

    /// Refreshes a subscription, or ends it with 0 seconds (RFC 6665 §4.1.2.3).
    pub(super) fn resubscribe(&mut self, tag: u64, seconds: u32, now: Instant, out: &mut LabOutbox) {
        let via = self.via();
        let contact = format!("<{}>", self.contact_uri());
        let Some((dialog, event)) =
            self.watches.get_mut(&tag).and_then(|w| Some((w.dialog.as_mut()?, w.event.clone())))
        else {
            self.events.push_back(UeEvent::Refused { tag, status: 481 });
            return;
        };
        let bytes = dialog
            .request("SUBSCRIBE", &via)
            .field("Contact", &contact)
            .field("Event", &event)
            .field("Expires", &seconds.to_string())
            .finish();
        self.send(Purpose::Subscribe { tag }, bytes, now, out);
    }

    pub(super) fn on_subscribe_response(&mut self, tag: u64, request: &SipMessage, response: &SipMessage) {
        let status = response.status();
        if status >= 300 {
            self.watches.remove(&tag);
            self.events.push_back(UeEvent::Refused { tag, status });
            return;
        }
        if let Some(watch) = self.watches.get_mut(&tag)
            && watch.dialog.is_none()
        {
            watch.dialog = Dialog::caller(request, response);
        }
        let seconds = response.first("Expires").and_then(|e| e.parse().ok()).unwrap_or(0);
        self.events.push_back(UeEvent::Subscribed { tag, seconds });
    }

    pub(super) fn on_notify(
        &mut self,
        id: ServerId,
        request: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let to_us = request.to().and_then(|n| n.tag().map(str::to_owned)).unwrap_or_default();
        let owner = self.watches.iter().find(|(_, w)| {
            w.call_id == request.call_id()
                && w.tag == to_us
                && w.dialog.as_ref().is_none_or(|dialog| dialog.owns(request))
        });
        let Some((&tag, watch)) = owner else {
            self.violations.record(now, "R57", "a NOTIFY for no subscription of ours");
            self.respond(id, request, 481, now, out);
            return;
        };
        let event = request.first("Event").unwrap_or_default();
        let same = event == watch.event;
        self.violations.expect(same, now, "R57", || format!("NOTIFY of {event:?}"));
        let state = request.first("Subscription-State").unwrap_or_default();
        let active = state.starts_with("active");
        let body = String::from_utf8_lossy(&request.body).into_owned();
        self.respond(id, request, 200, now, out);
        if !active {
            self.watches.remove(&tag);
        }
        self.events.push_back(UeEvent::Notified { tag, active, body });
    }
}

const ACCEPTED: &str = "application/conference-info+xml, application/reginfo+xml";
