//! WebSocket connections (RFC 7977): between TLS, or the socket, and the relay.
//!
//! ```text
//! accepted ─▶ [Handshaking, TLS] ─▶ Upgrading ─ 101 ─▶ Open          the relay hears of it only here
//!                                      └ refused, too slow ─▶ gone
//! ```
//! What is read is unmasked in the buffer it was read into; what is sent is copied once, behind its heads.

use super::Io;
use crate::conn::{Conn, Stage};
use msrp::ws::{CloseCode, Deframer, Ended, Framer, Upgrade, push_close, upgrade};
use telemetry::flow;
use wire::{CloseReason, StreamId};

/// Where the WebSocket of a connection stands.
#[derive(Debug)]
pub(crate) enum WebSocket {
    /// The head of the request as far as it came.
    Upgrading(Vec<u8>),
    /// Frames both ways.
    Open(Box<(Deframer, Framer)>),
    /// Our close frame is out.
    Closing,
}

/// What taking the frames off a read left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// Octets of MSRP at the start of the buffer.
    pub(super) plain: usize,
    /// The peer will send no more of them.
    pub(super) is_last: bool,
}

/// A browser's request has 500 to 1,500 octets, cookies included.
const HEAD_BYTES_MAX: usize = 8_192;
/// Of a message of the relay: far above what it writes.
const MSRP_HEAD_BYTES_MAX: usize = 65_536;

impl Io {
    /// Takes the framing off what was read; everything is taken, and answered where WebSocket asks for it.
    pub(super) fn unframe(&mut self, id: StreamId, bytes: &mut [u8]) -> Left {
        let nothing = Left { plain: 0, is_last: false };
        let Some(conn) = self.conns.get_mut(id) else { return nothing };
        let Some(websocket) = &mut conn.websocket else {
            return Left { plain: bytes.len(), is_last: false };
        };
        match websocket {
            WebSocket::Closing => nothing,
            WebSocket::Open(_) => self.deframe(id, bytes),
            WebSocket::Upgrading(head) => {
                let before = head.len();
                let room = HEAD_BYTES_MAX.saturating_sub(before);
                head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
                let origins = &self.config.msrp.websocket_origins;
                let is_allowed =
                    |origin: &[u8]| origins.is_empty() || origins.iter().any(|o| o.as_bytes() == origin);
                let mut answer = Vec::new();
                match upgrade(head, HEAD_BYTES_MAX, is_allowed, &mut answer) {
                    Upgrade::Partial => nothing,
                    Upgrade::Refused(why) => {
                        tracing::debug!(%id, ?why, "WebSocket refused");
                        *websocket = WebSocket::Closing;
                        self.counters.upgrades[1] += 1;
                        self.transmit(id, &[&answer]);
                        self.close(id, CloseReason::Local);
                        nothing
                    }
                    Upgrade::Done(len) => {
                        *websocket = WebSocket::Open(Box::new((
                            Deframer::default(),
                            Framer::new(MSRP_HEAD_BYTES_MAX),
                        )));
                        self.counters.upgrades[0] += 1;
                        self.open(id);
                        self.transmit(id, &[&answer]);
                        // Frames may follow in the same read: the head ended within it.
                        self.deframe(id, bytes.get_mut(len.saturating_sub(before)..).unwrap_or_default())
                            .moved(bytes, len.saturating_sub(before))
                    }
                }
            }
        }
    }

    fn deframe(&mut self, id: StreamId, bytes: &mut [u8]) -> Left {
        let nothing = Left { plain: 0, is_last: false };
        let Some(Conn { websocket: Some(websocket), .. }) = self.conns.get_mut(id) else { return nothing };
        let WebSocket::Open(both) = websocket else { return nothing };
        let mut replies = Vec::new();
        let got = both.0.read(bytes, &mut replies);
        match got.ended {
            Some(Ended::Closed) => *websocket = WebSocket::Closing, // the answer is in `replies`
            Some(Ended::Broken(code)) => {
                *websocket = WebSocket::Closing;
                self.counters.websocket_faults += 1;
                push_close(code, &mut replies);
            }
            None => {}
        }
        if !replies.is_empty() {
            self.transmit(id, &[&replies]);
        }
        if matches!(got.ended, Some(Ended::Broken(_))) {
            self.close(id, CloseReason::Failed);
            return nothing;
        }
        Left { plain: got.plain, is_last: got.ended.is_some() }
    }

    /// Sends octets of MSRP in frames.
    pub(super) fn send_framed(&mut self, id: StreamId, parts: &[&[u8]]) {
        let Some(Conn { websocket: Some(WebSocket::Open(both)), .. }) = self.conns.get_mut(id) else {
            return;
        };
        let mut framed = core::mem::take(&mut self.framed);
        parts.iter().for_each(|part| both.1.write(part, &mut framed));
        self.transmit(id, &[&framed]);
        framed.clear();
        framed.shrink_to(4 * super::READ_BYTES);
        self.framed = framed;
    }

    /// The last frame of our half, once.
    pub(super) fn say_goodbye(&mut self, id: StreamId) {
        let Some(Conn { websocket: Some(websocket), .. }) = self.conns.get_mut(id) else { return };
        if matches!(websocket, WebSocket::Open(_)) {
            *websocket = WebSocket::Closing;
            let mut frame = Vec::new();
            push_close(CloseCode::GoingAway, &mut frame);
            self.transmit(id, &[&frame]);
        }
    }

    /// The stage of a connection that needs no further handshake below.
    pub(super) fn stage_after_handshake(&self, websocket: Option<&WebSocket>) -> Stage {
        match websocket {
            Some(WebSocket::Upgrading(_)) => {
                Stage::Upgrading { due: self.now + self.config.timers.handshake() }
            }
            _ => Stage::Open,
        }
    }

    /// The request for a WebSocket did not come in time.
    pub(crate) fn on_upgrade_timeout(&mut self, id: StreamId) {
        self.counters.upgrades[2] += 1;
        self.fail_as(id, CloseReason::Failed, flow::REASON_HANDSHAKE_TIMEOUT);
    }
}

impl Left {
    /// Moves the octets, which stand at `from`, to the start of `bytes`.
    fn moved(self, bytes: &mut [u8], from: usize) -> Self {
        if from + self.plain <= bytes.len() {
            bytes.copy_within(from..from + self.plain, 0);
        }
        self
    }
}
