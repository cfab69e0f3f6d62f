//! Transport and transaction layers of a lab node, under its core or user-agent logic (the TU).
//!
//! ```text
//!  TU ── send_request, respond, acknowledge, cancel ──▶ SipLayer ──▶ outbox
//!  TU ◀── Incoming ─────────────────────────────────── SipLayer ◀── NetEvent
//! ```
//! The four machines of `sip::transaction` decide about retransmissions. What RFC 3261 leaves to
//! the TU and is the same for every lab node happens here as well: 2xx repeated until the ACK comes
//! (§13.3.1.4), the ACK repeated with each 2xx (§13.2.2.4), CANCEL held back until the first
//! provisional response (§9.1).

mod client;
mod server;
mod streams;

use crate::deadlines::{Deadlines, earlier};
use crate::node::LabOutbox;
use crate::strict::SipMessage;
use client::Clients;
use core::net::SocketAddr;
use server::Servers;
use sip::transaction::Timers;
use streams::Streams;
use wire::{Hop, Instant, NetEvent, SocketId, StreamId, Transport};

/// A client transaction of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(u64);

/// A server transaction of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerId(u64);

/// Where a message came from, and where its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The way back.
    pub hop: Hop,
    /// Whom it came from.
    pub source: SocketAddr,
    /// Over which transport.
    pub transport: Transport,
}

/// What the TU has to deal with.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// A new request; ACK and CANCEL come as what they mean.
    Request {
        /// To answer it.
        id: ServerId,
        /// Its way.
        origin: Origin,
        /// With `received` and `rport` filled in.
        request: SipMessage,
        /// Its bytes as they came, for searching.
        bytes: Vec<u8>,
    },
    /// A response, provisional or final; each one once.
    Response {
        /// The request it answers.
        id: ClientId,
        /// The response.
        response: SipMessage,
        /// Its bytes, for searching.
        bytes: Vec<u8>,
    },
    /// No final response came, or the transport failed.
    NoAnswer {
        /// The request.
        id: ClientId,
    },
    /// The ACK of a 2xx.
    Ack {
        /// The INVITE.
        id: ServerId,
        /// The ACK.
        request: SipMessage,
    },
    /// No ACK came for a 2xx.
    NoAck {
        /// The INVITE.
        id: ServerId,
    },
    /// The INVITE is to be given up; the CANCEL is answered already.
    Cancelled {
        /// The INVITE.
        id: ServerId,
    },
    /// A connection came to its end.
    Closed {
        /// The stream.
        stream: StreamId,
    },
    /// What came cannot be read, or matches nothing.
    Broken {
        /// Which rule it breaks.
        rule: &'static str,
        /// What came.
        detail: String,
    },
    /// The pong to our ping.
    Pong,
}

/// Transport and transaction layers.
#[derive(Debug)]
pub struct SipLayer {
    streams: Streams,
    clients: Clients,
    servers: Servers,
    due: Deadlines<Key>,
    next_id: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Client(ClientId),
    Server(ServerId),
}

impl SipLayer {
    /// A node without connections.
    #[must_use]
    pub fn new(timers: Timers) -> Self {
        Self {
            streams: Streams::default(),
            clients: Clients::new(timers),
            servers: Servers::new(timers),
            due: Deadlines::default(),
            next_id: 0,
        }
    }

    /// Takes in what happened on the network; the caller keeps MSRP streams to itself.
    pub fn handle(&mut self, event: NetEvent<'_>, now: Instant, out: &mut LabOutbox) -> Vec<Incoming> {
        let mut incoming = Vec::new();
        match event {
            NetEvent::StreamOpened { stream, transport, peer, .. } => {
                self.streams.opened(stream, transport, peer);
            }
            NetEvent::StreamBytes { stream, bytes } => {
                self.on_stream_bytes(stream, bytes, now, out, &mut incoming);
            }
            NetEvent::StreamClosed { stream, .. } => {
                let peer = self.streams.closed(stream);
                for id in self.clients.lost(Some(stream), peer, now) {
                    self.due.set(&Key::Client(id), None);
                    incoming.push(Incoming::NoAnswer { id });
                }
                // a connection of somebody else's, or one that we closed, is no news
                if peer.is_some() {
                    incoming.push(Incoming::Closed { stream });
                }
            }
            NetEvent::PeerUnreachable { transport, peer, .. } => {
                for id in self.clients.lost(None, Some((transport, peer)), now) {
                    self.due.set(&Key::Client(id), None);
                    incoming.push(Incoming::NoAnswer { id });
                }
            }
            NetEvent::Datagram { socket, source, bytes } => {
                self.on_datagram(socket, source, bytes, now, out, &mut incoming);
            }
        }
        incoming
    }

    /// The earliest timer.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        earlier(self.due.next(), None)
    }

    /// Fires every timer that is due.
    pub fn handle_deadline(&mut self, now: Instant, out: &mut LabOutbox) -> Vec<Incoming> {
        let mut incoming = Vec::new();
        while let Some(key) = self.due.pop_due(now) {
            match key {
                Key::Client(id) => {
                    if self.clients.on_deadline(id, now, out) {
                        incoming.push(Incoming::NoAnswer { id });
                    }
                    self.due.set(&key, self.clients.next_deadline(id));
                }
                Key::Server(id) => {
                    if self.servers.on_deadline(id, now, out) {
                        incoming.push(Incoming::NoAck { id });
                    }
                    self.due.set(&key, self.servers.next_deadline(id));
                }
            }
        }
        incoming
    }

    /// Sends a request (not ACK) and watches over it.
    pub fn send_request(&mut self, bytes: Vec<u8>, hop: Hop, now: Instant, out: &mut LabOutbox) -> ClientId {
        let id = ClientId(self.take_id());
        out.send(hop, &bytes);
        self.clients.start(id, bytes, hop, self.is_reliable(hop), now);
        let gone = matches!(hop, Hop::Stream(stream) if !self.streams.knows(stream));
        // the TU hears of it when it is ready to listen: at the next turn
        let at = if gone { self.clients.doom(id, now) } else { self.clients.next_deadline(id) };
        self.due.set(&Key::Client(id), at);
        id
    }

    /// Sends the ACK of a 2xx, now and with every repetition of the 2xx.
    pub fn acknowledge(&mut self, id: ClientId, bytes: Vec<u8>, hop: Hop, out: &mut LabOutbox) {
        out.send(hop, &bytes);
        self.clients.keep_ack(id, bytes, hop);
    }

    /// Gives up an INVITE: sends CANCEL as soon as that is allowed.
    pub fn cancel(&mut self, id: ClientId, now: Instant, out: &mut LabOutbox) {
        if let Some((bytes, hop)) = self.clients.cancel(id) {
            self.send_request(bytes, hop, now, out);
        }
    }

    /// Sends a response; those that may not be sent any more are dropped.
    pub fn respond(&mut self, id: ServerId, status: u16, bytes: Vec<u8>, now: Instant, out: &mut LabOutbox) {
        self.servers.respond(id, status, bytes, now, out);
        self.due.set(&Key::Server(id), self.servers.next_deadline(id));
    }

    /// Whether an INVITE still waits for its final response.
    #[must_use]
    pub fn is_unanswered(&self, id: ServerId) -> bool {
        self.servers.is_unanswered(id)
    }

    /// How many transactions are under way; for memory checks and for knowing that all is quiet.
    #[must_use]
    pub fn transactions(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn is_reliable(&self, hop: Hop) -> bool {
        !matches!(hop, Hop::Datagram { .. })
    }

    fn on_stream_bytes(
        &mut self,
        stream: StreamId,
        bytes: &[u8],
        now: Instant,
        out: &mut LabOutbox,
        incoming: &mut Vec<Incoming>,
    ) {
        let Some(origin) = self.streams.push(stream, bytes) else {
            return;
        };
        loop {
            match self.streams.next_message(stream, out) {
                Ok(Some(streams::Piece::Message(message))) => {
                    self.on_message(&message, origin, now, out, incoming);
                }
                Ok(Some(streams::Piece::Pong)) => incoming.push(Incoming::Pong),
                Ok(None) => return,
                Err(detail) => {
                    incoming.push(Incoming::Broken { rule: "RFC 3261 §18.3", detail });
                    out.close(stream);
                    return;
                }
            }
        }
    }

    fn on_datagram(
        &mut self,
        socket: SocketId,
        source: SocketAddr,
        bytes: &[u8],
        now: Instant,
        out: &mut LabOutbox,
        incoming: &mut Vec<Incoming>,
    ) {
        if bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return; // a keep-alive
        }
        let origin =
            Origin { hop: Hop::Datagram { socket, peer: source }, source, transport: Transport::Udp };
        self.on_message(bytes, origin, now, out, incoming);
    }

    fn on_message(
        &mut self,
        bytes: &[u8],
        origin: Origin,
        now: Instant,
        out: &mut LabOutbox,
        incoming: &mut Vec<Incoming>,
    ) {
        let message = match SipMessage::parse(bytes) {
            Ok(message) => message,
            Err(detail) => {
                let text = String::from_utf8_lossy(bytes.get(..200).unwrap_or(bytes));
                let detail = format!("{detail}: {text:?}");
                incoming.push(Incoming::Broken { rule: "RFC 3261 §7", detail });
                return;
            }
        };
        if message.is_request() {
            self.on_request(message, bytes, origin, now, out, incoming);
        } else {
            self.on_response(message, bytes, now, out, incoming);
        }
    }

    fn on_request(
        &mut self,
        mut request: SipMessage,
        bytes: &[u8],
        origin: Origin,
        now: Instant,
        out: &mut LabOutbox,
        incoming: &mut Vec<Incoming>,
    ) {
        let Some(origin) = server::mark_received(&mut request, origin) else {
            let detail = format!("{} without a readable Via", request.method());
            incoming.push(Incoming::Broken { rule: "RFC 3261 §8.1.1.7", detail });
            return;
        };
        match request.method() {
            "ACK" => {
                if let Some((id, ended)) = self.servers.on_ack(&request, now) {
                    self.due.set(&Key::Server(id), self.servers.next_deadline(id));
                    if !ended {
                        incoming.push(Incoming::Ack { id, request });
                    }
                }
            }
            "CANCEL" => {
                let target = self.servers.invite_of_cancel(&request);
                let status = if target.is_some() { 200 } else { 481 };
                let id = ServerId(self.take_id());
                if self.servers.start(id, &request, origin, now, out) {
                    let answer = crate::strict::SipWriter::response(&request, status, "cancel").finish();
                    self.respond(id, status, answer, now, out);
                    incoming.extend(target.map(|id| Incoming::Cancelled { id }));
                }
            }
            _ => {
                let id = ServerId(self.take_id());
                if self.servers.start(id, &request, origin, now, out) {
                    let bytes = bytes.to_vec();
                    incoming.push(Incoming::Request { id, origin, request, bytes });
                }
            }
        }
    }

    fn on_response(
        &mut self,
        response: SipMessage,
        bytes: &[u8],
        now: Instant,
        out: &mut LabOutbox,
        incoming: &mut Vec<Incoming>,
    ) {
        let Some(id) = self.clients.find(&response) else {
            let detail = format!("{} to {} matches no request", response.status(), response.method());
            // RFC 3261 §17.1.3: late repetitions of a final response are normal on datagrams
            if !self.clients.was_ours(&response) {
                incoming.push(Incoming::Broken { rule: "RFC 3261 §17.1.3", detail });
            }
            return;
        };
        let passed = self.clients.on_response(id, &response, now, out);
        if let Some((bytes, hop)) = self.clients.cancel_due(id) {
            self.send_request(bytes, hop, now, out);
        }
        self.due.set(&Key::Client(id), self.clients.next_deadline(id));
        if passed {
            incoming.push(Incoming::Response { id, response, bytes: bytes.to_vec() });
        }
    }
}
