//! What the relays report, and which calls end of it.
//!
//! ```text
//!   a session is lost (idle, no port) ──▶ its dialog has no other? ──▶ BYE to both ends
//!   nobody sends any more ─────────────▶ in no session of the dialog? ──▶ BYE to both ends
//! ```
//! Both can be switched off (`msrp.end_calls`, `media.end_calls`): then they are only reported.

use crate::api::Outbox;
use crate::dialog::Place;
use crate::shard::Edge;
use media::command::MediaNotice;
use media::rtp::{Notice, RtpNotice};
use wire::{Cause, Instant, MediaId, Realm};

impl Edge {
    /// The relay says something of a session.
    pub(crate) fn on_media(&mut self, notice: &MediaNotice, now: Instant, out: &mut Outbox) {
        match notice {
            MediaNotice::Bound { .. } => {}
            MediaNotice::Ended { id, cause, .. } => {
                self.session_lost(*id, *cause, self.config.msrp.end_calls, now, out);
            }
            MediaNotice::Rtp(RtpNotice::Ended { id, cause, .. }) => {
                self.rtp_ports.release(*id, now);
                self.session_lost(*id, *cause, self.config.media.end_calls, now, out);
            }
            MediaNotice::Rtp(RtpNotice::Session { id, notice }) => self.on_rtp(*id, *notice, now, out),
        }
    }

    /// A session is over. An id that was released is dead already; this one the relay gave up by itself: a
    /// confirmed dialog that has no other one ends with it, for both ends would wait in vain; an early one
    /// stays, for its ends to negotiate anew.
    fn session_lost(&mut self, id: MediaId, cause: Cause, end_calls: bool, now: Instant, out: &mut Outbox) {
        let Some(call) = self.media_ids.remove(id).and_then(|call| self.calls.call_mut(call)) else {
            return;
        };
        call.negotiation.on_ended(id);
        let call_id = call.id;
        let mut empty = Vec::new();
        for dialog in &mut call.dialogs {
            let lost = dialog.negotiation.on_ended(id) && dialog.negotiation.is_empty();
            empty.extend((lost && dialog.confirmed).then_some(dialog.number));
        }
        self.counters.media_sessions = self.media_ids.count() as u64;
        for dialog in empty.into_iter().filter(|_| end_calls) {
            self.hang_up_both(Place { call: call_id, dialog }, cause, now, out);
        }
    }

    /// Silence in the last session of a dialog ends it, if that is wanted; one that only rests does not.
    fn on_rtp(&mut self, id: MediaId, notice: Notice, now: Instant, out: &mut Outbox) {
        let is_silent = match notice {
            Notice::Inactive => true,
            Notice::Active => false,
            Notice::Latched { .. } | Notice::OneWay { .. } => return,
        };
        let Some(call) = self.media_ids.find(id).copied().and_then(|call| self.calls.call_mut(call)) else {
            return;
        };
        let call_id = call.id;
        let mut silent = Vec::new();
        for dialog in &mut call.dialogs {
            let is_all = dialog.negotiation.on_silence(id, is_silent) && dialog.negotiation.is_silent();
            silent.extend((is_all && dialog.confirmed).then_some(dialog.number));
        }
        let end_calls = self.config.media.end_calls;
        for dialog in silent.into_iter().filter(|_| end_calls) {
            self.hang_up_both(Place { call: call_id, dialog }, Cause::MediaInactive, now, out);
        }
    }

    /// Ends a dialog behind the backs of both ends, and tells both.
    fn hang_up_both(&mut self, place: Place, cause: Cause, now: Instant, out: &mut Outbox) {
        for side in [Realm::Access, Realm::Core] {
            self.hang_up(place, side, cause, now, out);
        }
        self.end_dialog(place, cause, now, out);
    }
}
