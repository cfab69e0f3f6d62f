//! Bytes become messages: streams are framed, datagrams read, and each message goes to its side.

use crate::api::Outbox;
use crate::counters;
use crate::deadlines::Alarm;
use crate::flow::{Origin, Stream};
use crate::proxy::{push_bytes, push_send};
use crate::shard::Edge;
use crate::validate::Reject;
use crate::{from_access, from_core, keepalive};
use core::net::SocketAddr;
use sip::frame::{Datagram, Frame, Framer, datagram};
use smallvec::SmallVec;
use wire::{Cause, Hop, Instant, Realm, SocketId, StreamId, Transport};

impl Edge {
    pub(crate) fn on_stream_opened(
        &mut self,
        id: StreamId,
        realm: Realm,
        transport: Transport,
        local: SocketAddr,
        peer: SocketAddr,
        out: &mut Outbox,
    ) {
        let Some(point) = self.points.of_stream(realm, transport, local) else {
            // No address of ours faces this side: nothing could ever be answered.
            out.actions.push(crate::api::Action::Net(wire::NetAction::Close { stream: id }));
            return;
        };
        let stream = Stream {
            id,
            realm,
            transport,
            peer,
            point,
            framer: Framer::new(),
            awaiting: SmallVec::new(),
            complete_by: None,
            aka_challenged: false,
            security_offered: false,
            security_agreed: Box::default(),
            closing: false,
            alias: None,
        };
        let forgotten = self.flows.open(Box::new(stream));
        debug_assert!(forgotten.is_none(), "the shell reuses a slot only after StreamClosed");
        self.counters.streams[counters::index(realm)] += 1;
    }

    pub(crate) fn on_stream_bytes(&mut self, id: StreamId, bytes: &[u8], now: Instant, out: &mut Outbox) {
        let Some(stream) = self.flows.stream_mut(id).filter(|s| !s.closing) else {
            return;
        };
        let origin = Origin {
            realm: stream.realm,
            transport: stream.transport,
            source: stream.peer,
            hop: Hop::Stream(id),
            point: stream.point,
        };
        let mut framer = core::mem::take(&mut stream.framer);
        let pending_before = framer.pending_bytes();
        let whole = self.take_frames(&mut framer, bytes, &origin, id, now, out);
        self.watch_partial(id, framer, pending_before, whole, now, out);
    }

    /// Takes all messages out of what came in; whether at least one was complete.
    fn take_frames(
        &mut self,
        framer: &mut Framer,
        mut bytes: &[u8],
        origin: &Origin,
        id: StreamId,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        let limits = self.derived.limits;
        let mut whole = false;
        while self.flows.stream(id).is_some_and(|s| !s.closing) {
            match framer.next(&mut bytes, &limits) {
                Frame::Message(message) => {
                    whole = true;
                    self.on_message(message, origin, now, out);
                }
                Frame::Ping => {
                    self.counters.pings += 1;
                    let span = push_bytes(b"\r\n", out);
                    push_send(origin.hop, span, out);
                }
                Frame::Pong => {}
                Frame::Partial => break,
                Frame::Broken(cause, head) => {
                    self.on_broken(cause, head.unwrap_or_default(), origin, out);
                    self.close_stream(id, out);
                }
            }
        }
        whole
    }

    /// Puts the framer back and watches over what is incomplete (R5: slowloris).
    fn watch_partial(
        &mut self,
        id: StreamId,
        framer: Framer,
        pending_before: usize,
        whole: bool,
        now: Instant,
        out: &mut Outbox,
    ) {
        let pending = framer.pending_bytes();
        self.pending_bytes = (self.pending_bytes + pending).saturating_sub(pending_before);
        let over = self.pending_bytes > self.config.limits.pending_bytes_max;
        let Some(stream) = self.flows.stream_mut(id) else { return };
        stream.framer = framer;
        let by = match (pending > 0 && !stream.closing, stream.complete_by) {
            (false, _) => None,
            (true, Some(by)) if !whole => Some(by),
            (true, _) => Some(now + self.config.timers.message()),
        };
        self.deadlines.arm(Alarm::PartialMessage(id), &mut stream.complete_by, by);
        if over && pending > pending_before {
            self.drop_partial(id, Cause::TableFull, out);
        }
    }

    pub(crate) fn on_partial_deadline(&mut self, id: StreamId, out: &mut Outbox) {
        if let Some(stream) = self.flows.stream_mut(id) {
            stream.complete_by = None;
            self.drop_partial(id, Cause::MessageTimeout, out);
        }
    }

    fn drop_partial(&mut self, id: StreamId, cause: Cause, out: &mut Outbox) {
        let Some(stream) = self.flows.stream(id) else { return };
        let origin = Origin {
            realm: stream.realm,
            transport: stream.transport,
            source: stream.peer,
            hop: Hop::Stream(id),
            point: stream.point,
        };
        self.note_reject(cause, &origin, b"", out);
        self.close_stream(id, out);
    }

    pub(crate) fn on_stream_closed(&mut self, id: StreamId, now: Instant, out: &mut Outbox) {
        let Some(mut stream) = self.flows.close(id) else { return };
        self.pending_bytes = self.pending_bytes.saturating_sub(stream.framer.pending_bytes());
        self.deadlines.arm(Alarm::PartialMessage(id), &mut stream.complete_by, None);
        self.counters.streams[counters::index(stream.realm)] -= 1;
        match stream.realm {
            Realm::Access => {
                self.on_flow_gone(&stream.awaiting, now, out);
                self.on_flow_lost(crate::token::FlowPath::Stream(id), now);
            }
            Realm::Core => self.on_core_stream_closed(&stream, now, out),
        }
    }

    pub(crate) fn on_datagram(
        &mut self,
        socket: SocketId,
        source: SocketAddr,
        bytes: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(point) = self.points.of_socket(socket) else { return };
        let origin = Origin {
            realm: self.points.at(point).realm,
            transport: Transport::Udp,
            source,
            hop: Hop::Datagram { socket, peer: source },
            point,
        };
        if self.drops_barred(bytes, &origin, out) {
            return;
        }
        if let (Realm::Access, Some(flow)) = (origin.realm, origin.flow()) {
            self.note_alive(flow, now);
        }
        match datagram(bytes, &self.derived.limits) {
            Datagram::Message(message) => self.on_message(message, &origin, now, out),
            Datagram::Keepalive => {}
            Datagram::Stun => keepalive::on_stun(self, bytes, &origin, out),
            Datagram::Broken(cause) => self.on_broken(cause, bytes, &origin, out),
        }
    }

    pub(crate) fn on_handover(
        &mut self,
        realm: Realm,
        transport: Transport,
        source: SocketAddr,
        bytes: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some((hop, point)) = self.points.way_to(realm, transport, source) else {
            return;
        };
        let origin = Origin { realm, transport, source, hop, point };
        if !self.drops_barred(bytes, &origin, out) {
            self.on_message(bytes, &origin, now, out);
        }
    }

    fn on_message(&mut self, bytes: &[u8], origin: &Origin, now: Instant, out: &mut Outbox) {
        let mut index = core::mem::take(&mut self.scratch.index);
        match sip::parse(bytes, &self.derived.limits, &mut index) {
            Ok(message) if message.is_request() => {
                self.counters.requests_in[counters::index(origin.realm)][message.method() as usize] += 1;
                match origin.realm {
                    Realm::Access => from_access::request(self, message, origin, now, out),
                    Realm::Core => from_core::request(self, message, origin, now, out),
                }
            }
            Ok(message) => self.on_response(message, origin, now, out),
            Err(error) => self.salvage(error.cause, bytes, &mut index, origin, out),
        }
        self.scratch.index = index;
    }

    /// Something that is no whole message: answered as far as it can be read, counted in any case.
    fn on_broken(&mut self, cause: Cause, bytes: &[u8], origin: &Origin, out: &mut Outbox) {
        let mut index = core::mem::take(&mut self.scratch.index);
        self.salvage(cause, bytes, &mut index, origin, out);
        self.scratch.index = index;
    }

    fn salvage(
        &mut self,
        cause: Cause,
        bytes: &[u8],
        index: &mut sip::Index,
        origin: &Origin,
        out: &mut Outbox,
    ) {
        match sip::salvage(bytes, &self.derived.limits, index) {
            Some(rest) => self.refuse(rest, origin, Reject::line(cause), out),
            None => self.note_reject(cause, origin, b"", out),
        }
    }
}
