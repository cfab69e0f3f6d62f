//! What people see of a session while it stands.

use super::Rtp;
use core::net::SocketAddr;
use core::time::Duration;
use media::command::MediaKind;
use media::rtp::{Component, SideTotals};
use std::sync::Arc;
use wire::{Instant, MediaId, Realm};

/// An RTP session as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpSessionView {
    /// The Call-ID of its dialog.
    pub call_id: Arc<str>,
    /// The media of its `m=` line.
    pub kind: MediaKind,
    /// The encoding name of its first format.
    pub encoding: Arc<str>,
    /// How long it stands.
    pub duration: Duration,
    /// Towards the UE.
    pub access: SideView,
    /// Towards the core.
    pub core: SideView,
}

/// One side of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideView {
    /// Our port.
    pub local: SocketAddr,
    /// The source that was learnt.
    pub remote: Option<SocketAddr>,
    /// What came from there.
    pub totals: SideTotals,
}

impl Rtp {
    /// The sessions of a call, or all, `max` at most.
    pub(crate) fn views(&self, call_id: Option<&str>, max: usize, now: Instant) -> Vec<RtpSessionView> {
        let of_call = |about: &str| call_id.is_none_or(|call_id| call_id == about);
        let held = self.held.iter().flatten().filter(|held| of_call(&held.about.call_id));
        held.take(max).filter_map(|held| self.view(held.id, now)).collect()
    }

    pub(super) fn view(&self, id: MediaId, now: Instant) -> Option<RtpSessionView> {
        let (held, session) = (self.held(id)?, self.relay.session(id)?);
        let side = |realm: Realm| SideView {
            local: held.local[realm as usize],
            remote: session.source(realm, Component::Rtp),
            totals: session.totals(realm),
        };
        Some(RtpSessionView {
            call_id: Arc::clone(&held.about.call_id),
            kind: held.about.kind,
            encoding: Arc::clone(&held.about.encoding),
            duration: now.since(session.opened_at()),
            access: side(Realm::Access),
            core: side(Realm::Core),
        })
    }
}
