//! The notifier: conference, grouplist, groupinfo, reg (R57, RFC 6665 §4.2).

use super::{Core, Purpose};
use crate::dialog::Dialog;
use crate::layer::{Origin, ServerId};
use crate::node::LabOutbox;
use crate::strict::{SipMessage, SipWriter};
use wire::{Hop, Instant};

/// One subscription of a UE.
#[derive(Debug)]
pub(super) struct Watcher {
    dialog: Dialog,
    hop: Hop,
    event: String,
    version: u32,
    /// Its last NOTIFY is out; what it is answered ends it.
    over: bool,
}

/// What can be subscribed to.
const EVENTS: [&str; 4] = ["conference", "grouplist", "groupinfo", "reg"];
/// Longest subscription granted (R79).
const EXPIRES_SECONDS_MAX: u32 = 3_600;

impl Core {
    pub(super) fn on_subscribe(
        &mut self,
        id: ServerId,
        origin: Origin,
        request: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        match self.grant(id, origin, request, now, out) {
            Ok(watcher) => self.notify(watcher, now, out),
            Err(status) => self.respond(id, request, status, now, out),
        }
    }

    /// Answers 200 and says whom to notify; the NOTIFY follows at once (§4.2.1.2).
    fn grant(
        &mut self,
        id: ServerId,
        origin: Origin,
        request: &SipMessage,
        now: Instant,
        out: &mut LabOutbox,
    ) -> Result<u64, u16> {
        let asked = request.first("Expires").and_then(|e| e.parse().ok()).unwrap_or(EXPIRES_SECONDS_MAX);
        let seconds: u32 = asked.min(EXPIRES_SECONDS_MAX);
        let event = request.first("Event").unwrap_or_default().to_owned();
        let in_dialog = request.to().is_some_and(|to| to.tag().is_some());
        let tag = self.token(8);
        let watcher = if in_dialog {
            let owner = self.watchers.iter_mut().find(|(_, w)| w.dialog.owns(request) && w.event == event);
            let (number, watcher) = owner.ok_or(481_u16)?;
            watcher.over = seconds == 0;
            *number
        } else {
            self.originator(request).ok_or(403_u16)?;
            if !EVENTS.contains(&event.as_str()) {
                return Err(489);
            }
            let dialog = Dialog::callee(request, &tag).ok_or(400_u16)?;
            self.next_watcher += 1;
            let watcher = Watcher { dialog, hop: origin.hop, event, version: 0, over: seconds == 0 };
            self.watchers.insert(self.next_watcher, watcher);
            self.next_watcher
        };
        self.counts.subscriptions += u64::from(!in_dialog);
        let bytes = SipWriter::response(request, 200, &tag)
            .fields("Record-Route", request.all("Record-Route"))
            .field("Contact", &self.contact())
            .field("Expires", &seconds.to_string())
            .field("Server", super::SERVER)
            .finish();
        self.layer.respond(id, 200, bytes, now, out);
        Ok(watcher)
    }

    fn notify(&mut self, number: u64, now: Instant, out: &mut LabOutbox) {
        let Some(hop) = self.watchers.get(&number).map(|w| w.hop) else {
            return;
        };
        let (via, contact) = (self.via(hop), self.contact());
        let Some(watcher) = self.watchers.get_mut(&number) else {
            return;
        };
        watcher.version += 1;
        let state = match watcher.over {
            true => "terminated;reason=timeout".to_owned(),
            false => format!("active;expires={EXPIRES_SECONDS_MAX}"),
        };
        let body = format!("<{} version=\"{}\" state=\"full\"/>\r\n", watcher.event, watcher.version);
        let bytes = watcher
            .dialog
            .request("NOTIFY", &via)
            .field("Contact", &contact)
            .field("Event", &watcher.event)
            .field("Subscription-State", &state)
            .field("User-Agent", super::SERVER)
            .finish_with("application/conference-info+xml", body.as_bytes());
        self.send(Purpose::Notify { watcher: number }, bytes, hop, now, out);
    }

    pub(super) fn on_notify_answered(&mut self, watcher: u64, status: u16, now: Instant) {
        self.violations.expect(status < 300, now, "R57", || format!("a NOTIFY was answered {status}"));
        if status >= 300 || self.watchers.get(&watcher).is_some_and(|w| w.over) {
            self.watchers.remove(&watcher);
        }
    }
}
