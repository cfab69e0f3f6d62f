//! The SIP connections of a node.

use super::Origin;
use crate::node::LabOutbox;
use crate::strict::SipFramer;
use crate::strict::sip::Framed;
use core::net::SocketAddr;
use std::collections::BTreeMap;
use wire::{Hop, StreamId, Transport};

#[derive(Debug, Default)]
pub(super) struct Streams(BTreeMap<StreamId, Stream>);

#[derive(Debug)]
struct Stream {
    framer: SipFramer,
    transport: Transport,
    peer: SocketAddr,
}

pub(super) enum Piece {
    Message(Vec<u8>),
    Pong,
}

impl Streams {
    pub(super) fn opened(&mut self, stream: StreamId, transport: Transport, peer: SocketAddr) {
        let framer = SipFramer::default();
        self.0.insert(stream, Stream { framer, transport, peer });
    }

    pub(super) fn knows(&self, stream: StreamId) -> bool {
        self.0.contains_key(&stream)
    }

    pub(super) fn closed(&mut self, stream: StreamId) -> Option<(Transport, SocketAddr)> {
        self.0.remove(&stream).map(|s| (s.transport, s.peer))
    }

    /// Takes in bytes; `None` for a stream that is not one of SIP.
    pub(super) fn push(&mut self, id: StreamId, bytes: &[u8]) -> Option<Origin> {
        let stream = self.0.get_mut(&id)?;
        stream.framer.push(bytes);
        Some(Origin { hop: Hop::Stream(id), source: stream.peer, transport: stream.transport })
    }

    /// The next whole message; pings are answered on the way (RFC 5626 §4.4.1).
    pub(super) fn next_message(
        &mut self,
        id: StreamId,
        out: &mut LabOutbox,
    ) -> Result<Option<Piece>, String> {
        let Some(stream) = self.0.get_mut(&id) else {
            return Ok(None);
        };
        loop {
            return Ok(match stream.framer.next_piece()? {
                Some(Framed::Ping) => {
                    out.send(Hop::Stream(id), b"\r\n");
                    continue;
                }
                Some(Framed::Pong) => Some(Piece::Pong),
                Some(Framed::Message(message)) => Some(Piece::Message(message)),
                None => None,
            });
        }
    }
}
