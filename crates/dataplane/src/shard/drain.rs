//! Carries out what the machines ask for.

use super::Shard;
use crate::conn::OpenedBy;
use crate::io::Hop as PoolHop;
use crate::machine::{Relaying, Signalling};
use crate::mailbox::Mail;
use crate::records;
use core::ops::Range;
use edge::api::{Action, Outbox};
use media::relay;
use wire::{CloseReason, Hop, NetAction, Span, StreamId};

/// Pieces that a relayed chunk usually has: head, body and end-line.
const PARTS_FEW: usize = 8;
/// Pieces of a read buffer full of small messages; more go out in a second write.
const PARTS_MANY: usize = 128;

impl<S: Signalling, R: Relaying> Shard<S, R> {
    /// Works off the outbox of the edge and keeps its memory.
    pub(super) fn drain_edge(&mut self, mut out: Outbox) {
        let Outbox { actions, bytes } = &mut out;
        let mut actions = actions.drain(..).peekable();
        while let Some(action) = actions.next() {
            match action {
                Action::Net(NetAction::Send { hop, bytes: mut span }) => {
                    // Several answers to one read leave in one write.
                    if let Hop::Stream(stream) = hop {
                        while let Some(more) = actions.next_if(|next| follows(next, stream, span)) {
                            if let Action::Net(NetAction::Send { bytes: next, .. }) = more {
                                span.end = next.end;
                            }
                        }
                    }
                    self.send(hop, span.of(bytes));
                }
                Action::Net(NetAction::Close { stream }) => self.io.close(stream, CloseReason::Local),
                Action::HoldOpen { stream, at_least } => self.io.hold_open(stream, at_least),
                Action::Media(command) => self.commands.push_back(command),
                Action::Handover { shard, realm, transport, source, bytes: span } => {
                    let mail = Mail::Handover { realm, transport, source, bytes: span.of(bytes).into() };
                    let posted = self.mailboxes.get(usize::from(shard.0)).is_some_and(|m| m.post(mail));
                    self.io.counters.mailbox_dropped += u64::from(!posted);
                }
                Action::Resolve(query) => {
                    let _ = self.wish.try_send(query);
                }
                Action::Record(record) => self.records.write(&record, self.io.now),
            }
        }
        drop(actions);
        out.clear();
        self.edge_out = out;
    }

    fn send(&mut self, hop: Hop, bytes: &[u8]) {
        match hop {
            Hop::Stream(stream) => {
                self.io.send(stream, &[bytes]);
                self.trust(stream);
            }
            Hop::Datagram { socket, peer } => self.io.send_datagram(socket, peer, bytes),
            Hop::Peer { realm, transport, peer } => {
                self.io.send_to_peer(PoolHop { realm, transport, peer }, bytes);
            }
        }
    }

    /// A connection whose registration was just answered counts no more against its source: the next UE
    /// behind the same NAT gets its place. Asked only until it is trusted.
    fn trust(&mut self, stream: StreamId) {
        let now = self.io.now;
        if let Some(conn) = self.io.conns.get_mut(stream)
            && conn.permit.is_on_trial()
            && self.edge.is_registered(stream)
        {
            conn.permit.trust();
            conn.trusted_at = now;
        }
    }

    /// Works off the outbox of the relay; `input` is what its `Segment::Input`s point into.
    pub(super) fn drain_relay(&mut self, mut out: relay::Outbox, input: &[u8]) {
        let mut actions = core::mem::take(&mut out.actions);
        for action in actions.drain(..) {
            match action {
                relay::Action::Forward { conn, segments } => {
                    if segments.len() <= PARTS_FEW {
                        self.forward::<PARTS_FEW>(conn, segments, &out, input);
                    } else {
                        self.forward::<PARTS_MANY>(conn, segments, &out, input);
                    }
                }
                relay::Action::Dial { id, realm, transport, peer, trust } => {
                    self.io.dial(PoolHop { realm, transport, peer }, OpenedBy::Media(id, trust));
                }
                relay::Action::Close { conn } => self.io.close(conn, CloseReason::Local),
                relay::Action::PauseReading { conn } => self.io.set_paused(conn, true),
                relay::Action::ResumeReading { conn } => self.io.set_paused(conn, false),
                relay::Action::Notice(notice) => self.notices.push_back(notice),
                relay::Action::Record(record) => records::write_msrp(&record),
            }
        }
        out.actions = actions;
        out.clear();
        self.relay_out = out;
    }

    /// Sends segments of the relay's outbox, `N` at a time.
    fn forward<const N: usize>(
        &mut self,
        conn: StreamId,
        segments: Range<usize>,
        out: &relay::Outbox,
        input: &[u8],
    ) {
        let mut parts = [&[][..]; N];
        for group in out.segments.get(segments).unwrap_or_default().chunks(N) {
            for (part, segment) in parts.iter_mut().zip(group) {
                *part = out.segment(*segment, input);
            }
            self.io.send(conn, parts.get(..group.len()).unwrap_or_default());
        }
    }
}

/// Whether `action` sends the bytes right behind `span` to the same stream.
fn follows(action: &Action, stream: StreamId, span: Span) -> bool {
    matches!(action, Action::Net(NetAction::Send { hop: Hop::Stream(other), bytes })
        if *other == stream && bytes.start == span.end)
}
