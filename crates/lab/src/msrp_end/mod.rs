//! An MSRP end point: sessions, their connections, messages cut into chunks and put together again.
//!
//! UEs and the core's messaging server are both end points; neither relays. A session is opened with
//! what SDP said, then bound to a connection: the active side dials and sends, an empty SEND if it
//! has nothing to say (RFC 4975 §5.4), the passive side takes the first SEND for its path.
//! At most `window` chunks wait for their answer, so that a 5 MB file never queues up anywhere.

mod receive;
mod session;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use crate::deadlines::Deadlines;
use crate::node::LabOutbox;
use crate::strict::msrp::MsrpUri;
use crate::strict::{MsrpFrame, MsrpReader};
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;
use session::{Session, Way};
use std::collections::BTreeMap;
use wire::{Hop, Instant, NetEvent, Random, Realm, StreamId, Transport};

/// How an end point behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsrpSettings {
    /// Octets of one chunk's body.
    pub chunk_bytes: usize,
    /// Chunks that may wait for their answer.
    pub window: usize,
    /// How long an answer may take (RFC 4975 §7.1.1: 30 s).
    pub answer_timeout: Duration,
    /// Octets of one message received; more is answered 413.
    pub message_bytes_max: usize,
}

impl Default for MsrpSettings {
    fn default() -> Self {
        Self {
            chunk_bytes: 16 * 1024,
            window: 8,
            answer_timeout: Duration::from_secs(30),
            message_bytes_max: 64 << 20,
        }
    }
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MsrpMessage {
    /// The Message-ID.
    pub message_id: String,
    /// The Content-Type.
    pub content_type: String,
    /// The octets.
    pub body: Bytes,
    /// Whether the far end is to send a REPORT when it has everything.
    pub success_report: bool,
}

/// What the owner has to deal with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MsrpIncoming {
    /// A connection carries the session.
    Bound {
        /// The local session id.
        session: String,
    },
    /// A whole message.
    Received {
        /// The local session id.
        session: String,
        /// The message.
        message: MsrpMessage,
    },
    /// Every chunk of a message was answered with 200.
    Sent {
        /// The local session id.
        session: String,
        /// The message.
        message_id: String,
    },
    /// A chunk was refused, or not answered (408), or the connection broke (0).
    SendFailed {
        /// The local session id.
        session: String,
        /// The message.
        message_id: String,
        /// The code.
        status: u16,
    },
    /// A REPORT came.
    Reported {
        /// The local session id.
        session: String,
        /// The message it is about.
        message_id: String,
        /// The code in its Status header.
        status: u16,
    },
    /// The connection of the session is gone.
    Unbound {
        /// The local session id.
        session: String,
    },
    /// What came breaks a rule.
    Broken {
        /// Which one.
        rule: &'static str,
        /// What came.
        detail: String,
    },
}

/// Sessions and connections.
#[derive(Debug)]
pub struct MsrpEnd {
    settings: MsrpSettings,
    random: Random,
    sessions: BTreeMap<String, Session>,
    streams: BTreeMap<StreamId, Stream>,
    due: Deadlines<String>,
}

#[derive(Debug)]
struct Stream {
    reader: MsrpReader,
    transport: Transport,
    peer: SocketAddr,
}

impl MsrpEnd {
    /// An end point without sessions.
    #[must_use]
    pub fn new(settings: MsrpSettings, random: Random) -> Self {
        Self {
            settings,
            random,
            sessions: BTreeMap::new(),
            streams: BTreeMap::new(),
            due: Deadlines::default(),
        }
    }

    /// An unguessable session id (RFC 4975 §14.1: 80 bits).
    pub fn new_session_id(&mut self) -> String {
        self.token(16)
    }

    /// Opens a session that waits for the peer to connect.
    pub fn listen(&mut self, id: &str, local_path: &str, remote_path: Option<&str>) {
        let session = Session::new(local_path, remote_path, Way::Listening);
        self.sessions.insert(id.to_owned(), session);
    }

    /// Tells a session the peer's path.
    pub fn set_remote_path(&mut self, id: &str, remote_path: &str, now: Instant, out: &mut LabOutbox) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.remote_path = Some(remote_path.to_owned());
        }
        self.pump(id, now, out);
    }

    /// Opens a session by connecting to the peer.
    pub fn dial(
        &mut self,
        id: &str,
        local_path: &str,
        remote_path: &str,
        realm: Realm,
        now: Instant,
        out: &mut LabOutbox,
    ) {
        let nearest = remote_path.split(' ').next().and_then(MsrpUri::parse);
        let Some((transport, peer)) = nearest.and_then(|uri| Some((uri.transport, uri.address?))) else {
            return;
        };
        let way = Way::Dialling { realm, transport, peer };
        self.sessions.insert(id.to_owned(), Session::new(local_path, Some(remote_path), way));
        let opener = MsrpMessage {
            message_id: self.token(12),
            content_type: String::new(),
            body: Bytes::new(),
            success_report: false,
        };
        self.send(id, opener, now, out);
    }

    /// Sends a message, after those given before.
    pub fn send(&mut self, id: &str, message: MsrpMessage, now: Instant, out: &mut LabOutbox) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.push(message);
        }
        self.pump(id, now, out);
    }

    /// Whether the session has nothing more to send and no answer to wait for.
    #[must_use]
    pub fn is_quiet(&self, id: &str) -> bool {
        self.sessions.get(id).is_none_or(Session::is_quiet)
    }

    /// Ends a session; its connection is closed if it carries no other.
    pub fn close(&mut self, id: &str, out: &mut LabOutbox) {
        self.due.set(&id.to_owned(), None);
        let Some(stream) = self.sessions.remove(id).and_then(|s| s.stream()) else {
            return;
        };
        if !self.sessions.values().any(|s| s.stream() == Some(stream)) {
            self.streams.remove(&stream);
            out.close(stream);
        }
    }

    /// How many sessions are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Whether a connection to this peer was asked for by a session.
    #[must_use]
    pub fn has_dialled(&self, transport: Transport, peer: SocketAddr) -> bool {
        self.sessions.values().any(|s| s.is_dialling(transport, peer))
    }

    /// Whether this stream is one of ours.
    #[must_use]
    pub fn owns(&self, stream: StreamId) -> bool {
        self.streams.contains_key(&stream)
    }

    /// Takes in what happened to a connection of ours.
    pub fn handle(&mut self, event: NetEvent<'_>, now: Instant, out: &mut LabOutbox) -> Vec<MsrpIncoming> {
        let mut incoming = Vec::new();
        match event {
            NetEvent::StreamOpened { stream, transport, peer, .. } => {
                self.on_opened(stream, transport, peer, &mut incoming);
            }
            NetEvent::StreamBytes { stream, bytes } => {
                self.on_bytes(stream, bytes, now, out, &mut incoming);
            }
            NetEvent::StreamClosed { stream, .. } => {
                self.streams.remove(&stream);
                self.lose(|s| s.stream() == Some(stream), &mut incoming);
            }
            NetEvent::PeerUnreachable { transport, peer, .. } => {
                self.lose(|s| s.is_dialling(transport, peer), &mut incoming);
            }
            NetEvent::Datagram { .. } => {}
        }
        incoming
    }

    /// The earliest timer.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due.next()
    }

    /// Fires every timer that is due.
    pub fn handle_deadline(&mut self, now: Instant) -> Vec<MsrpIncoming> {
        let mut incoming = Vec::new();
        while let Some(id) = self.due.pop_due(now) {
            let Some(session) = self.sessions.get_mut(&id) else {
                continue;
            };
            for message_id in session.time_out(now) {
                incoming.push(MsrpIncoming::SendFailed { session: id.clone(), message_id, status: 408 });
            }
            self.due.set(&id, session.next_deadline());
        }
        incoming
    }

    fn on_opened(
        &mut self,
        stream: StreamId,
        transport: Transport,
        peer: SocketAddr,
        incoming: &mut Vec<MsrpIncoming>,
    ) {
        let reader = MsrpReader::default();
        self.streams.insert(stream, Stream { reader, transport, peer });
        for (id, session) in &mut self.sessions {
            if session.is_dialling(transport, peer) {
                session.way = Way::Bound(stream);
                incoming.push(MsrpIncoming::Bound { session: id.clone() });
            }
        }
    }

    fn on_bytes(
        &mut self,
        stream: StreamId,
        bytes: &[u8],
        now: Instant,
        out: &mut LabOutbox,
        incoming: &mut Vec<MsrpIncoming>,
    ) {
        if let Some(state) = self.streams.get_mut(&stream) {
            state.reader.push(bytes);
        }
        while let Some(state) = self.streams.get_mut(&stream) {
            match state.reader.next_frame() {
                Ok(Some(frame)) => self.on_frame(stream, &frame, now, out, incoming),
                Ok(None) => return,
                Err(detail) => {
                    incoming.push(MsrpIncoming::Broken { rule: "R75", detail });
                    self.streams.remove(&stream);
                    self.lose(|s| s.stream() == Some(stream), incoming);
                    out.close(stream);
                    return;
                }
            }
        }
    }

    fn on_frame(
        &mut self,
        stream: StreamId,
        frame: &MsrpFrame,
        now: Instant,
        out: &mut LabOutbox,
        incoming: &mut Vec<MsrpIncoming>,
    ) {
        let Some(id) = self.bind(stream, frame, incoming) else {
            if frame.status == 0 && frame.method != "REPORT" {
                out.send(Hop::Stream(stream), &receive::answer(frame, frame.to_path(), 481).write());
            }
            return;
        };
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if frame.status > 0 {
            incoming.extend(session.on_answer(&id, frame));
        } else {
            let max = self.settings.message_bytes_max;
            session.receive(&id, stream, frame, max, &mut self.random, out, incoming);
        }
        self.pump(&id, now, out);
    }

    /// Finds the session of a frame by its To-Path, binds it if it listens, and checks both paths.
    fn bind(
        &mut self,
        stream: StreamId,
        frame: &MsrpFrame,
        incoming: &mut Vec<MsrpIncoming>,
    ) -> Option<String> {
        let mut broken = |rule, detail: String| incoming.push(MsrpIncoming::Broken { rule, detail });
        let to = frame.to_path();
        let Some(id) = MsrpUri::parse(to).map(|uri| uri.session) else {
            broken("R73", format!("To-Path {to:?}"));
            return None;
        };
        let Some(session) = self.sessions.get_mut(&id) else {
            // the last answers to a session that we closed meanwhile are no mistake
            return None;
        };
        if to != session.local_path {
            broken("R73", format!("To-Path {to} is not ours, {}", session.local_path));
        }
        let from = frame.from_path();
        if let Some(remote) = &session.remote_path
            && from != remote
        {
            broken("R73", format!("From-Path {from} is not the one of the SDP, {remote}"));
        }
        match session.way {
            Way::Bound(bound) if bound == stream => {}
            Way::Bound(_) => {
                broken("R77", format!("session {id} on a second connection"));
                return None;
            }
            Way::Listening => {
                session.way = Way::Bound(stream);
                incoming.push(MsrpIncoming::Bound { session: id.clone() });
            }
            Way::Dialling { .. } | Way::Lost => return None,
        }
        Some(id)
    }

    /// Sends what the window allows.
    fn pump(&mut self, id: &str, now: Instant, out: &mut LabOutbox) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        while let Some((hop, frame)) = session.next_chunk(&self.settings, &mut self.random, now) {
            out.send(hop, &frame.write());
        }
        self.due.set(&id.to_owned(), session.next_deadline());
    }

    fn lose(&mut self, concerns: impl Fn(&Session) -> bool, incoming: &mut Vec<MsrpIncoming>) {
        for (id, session) in &mut self.sessions {
            if !concerns(session) {
                continue;
            }
            for message_id in session.lose() {
                incoming.push(MsrpIncoming::SendFailed { session: id.clone(), message_id, status: 0 });
            }
            incoming.push(MsrpIncoming::Unbound { session: id.clone() });
            self.due.set(id, None);
        }
    }

    fn token(&mut self, count: usize) -> String {
        session::token(&mut self.random, count)
    }

    /// Transport and peer of a connection.
    #[must_use]
    pub fn connection(&self, stream: StreamId) -> Option<(Transport, SocketAddr)> {
        self.streams.get(&stream).map(|s| (s.transport, s.peer))
    }
}
