//! The requests of a UE, written piece by piece into the output.

use core::net::SocketAddr;
use wire::Transport;
use wire::bytes_class::push_decimal;

/// Who sends, and the names of the exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender<'a> {
    pub(super) user: u64,
    pub(super) domain: &'a str,
    pub(super) local: SocketAddr,
    pub(super) transport: Transport,
    /// The part of the branch behind the magic cookie.
    pub(super) branch: &'a [u8],
    pub(super) call_id: &'a [u8],
    pub(super) cseq: u32,
    /// `Route` values, in order; empty if none.
    pub(super) route: &'a [u8],
}

/// Where a request inside a dialog goes.
#[derive(Debug, Default)]
pub(super) struct Dialog {
    /// The remote target.
    pub(super) target: Vec<u8>,
    /// The value of To with its tag.
    pub(super) to: Vec<u8>,
    /// The `Route` values.
    pub(super) route: Vec<u8>,
}

macro_rules! put {
    ($out:expr, $($piece:expr),* $(,)?) => { $( $out.extend_from_slice($piece.as_ref()); )* };
}

/// The first user's number is +8613900000000.
const FIRST_NUMBER: u64 = 8_613_900_000_000;

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

impl Sender<'_> {
    fn aor(&self, out: &mut Vec<u8>) {
        put!(out, b"sip:+");
        push_decimal(FIRST_NUMBER + self.user, out);
        put!(out, b"@", self.domain);
    }

    fn contact(&self, out: &mut Vec<u8>) {
        put!(out, b"sip:+");
        push_decimal(FIRST_NUMBER + self.user, out);
        put!(out, b"@", self.local.to_string(), b";transport=", self.transport.label());
    }

    /// Everything from Via to CSeq.
    fn common(&self, method: &str, to: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
        put!(
            out,
            b"Via: SIP/2.0/",
            self.transport.label().to_ascii_uppercase(),
            b" ",
            self.local.to_string()
        );
        put!(out, b";rport;branch=z9hG4bK", self.branch, b"\r\nMax-Forwards: 70\r\n");
        if !self.route.is_empty() {
            put!(out, b"Route: ", self.route, b"\r\n");
        }
        put!(out, b"From: <");
        self.aor(out);
        put!(out, b">;tag=f", self.call_id, b"\r\nTo: ");
        to(out);
        put!(out, b"\r\nCall-ID: ", self.call_id, b"\r\nCSeq: ");
        push_decimal(u64::from(self.cseq), out);
        put!(out, b" ", method, b"\r\n");
    }

    pub(super) fn register(&self, authorization: &[u8], out: &mut Vec<u8>) {
        put!(out, b"REGISTER sip:", self.domain, b" SIP/2.0\r\n");
        let to = |out: &mut Vec<u8>| {
            put!(out, b"<");
            self.aor(out);
            put!(out, b">");
        };
        self.common("REGISTER", to, out);
        put!(out, b"Contact: <");
        self.contact(out);
        put!(out, b">;expires=3600;+g.oma.sip-im;+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-");
        out.extend_from_slice(format!("{:012x}", self.user).as_bytes());
        put!(out, b">\"\r\nAllow: INVITE, ACK, BYE, CANCEL, INFO, PRACK, NOTIFY, MESSAGE, REFER, UPDATE\r\n");
        put!(out, b"Supported: path, 100rel\r\nUser-Agent: load/1\r\n");
        if !authorization.is_empty() {
            put!(out, b"Authorization: ", authorization, b"\r\n");
        }
        put!(out, b"Content-Length: 0\r\n\r\n");
    }

    pub(super) fn message(&self, peer: u64, text_bytes: usize, out: &mut Vec<u8>) {
        let other = Self { user: peer, ..*self };
        put!(out, b"MESSAGE ");
        other.aor(out);
        put!(out, b" SIP/2.0\r\n");
        let to = |out: &mut Vec<u8>| {
            put!(out, b"<");
            other.aor(out);
            put!(out, b">");
        };
        self.common("MESSAGE", to, out);
        put!(out, b"Contact: <");
        self.contact(out);
        put!(out, b">\r\nP-Preferred-Service: urn:urn-7:3gpp-service.ims.icsi.oma.cpm.msg\r\n");
        put!(
            out,
            b"Accept-Contact: *;+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.msg\"\r\n"
        );
        put!(out, b"Conversation-ID: c", self.call_id, b"\r\nContribution-ID: d", self.call_id, b"\r\n");
        put!(out, b"User-Agent: load/1\r\nContent-Type: message/cpim\r\nContent-Length: ");
        let head = b"From: <sip:anonymous@anonymous.invalid>\r\nTo: <sip:anonymous@anonymous.invalid>\r\n\
            DateTime: 2026-01-01T00:00:00Z\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: m1\r\n\r\n\
            Content-Type: text/plain;charset=utf-8\r\n\r\n";
        push_decimal((head.len() + text_bytes) as u64, out);
        put!(out, b"\r\n\r\n", head);
        out.resize(out.len() + text_bytes, b'x');
    }

    pub(super) fn invite(&self, peer: u64, out: &mut Vec<u8>) {
        let other = Self { user: peer, ..*self };
        put!(out, b"INVITE ");
        other.aor(out);
        put!(out, b" SIP/2.0\r\n");
        let to = |out: &mut Vec<u8>| {
            put!(out, b"<");
            other.aor(out);
            put!(out, b">");
        };
        self.common("INVITE", to, out);
        put!(out, b"Contact: <");
        self.contact(out);
        put!(out, b">\r\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK\r\nSupported: timer\r\n");
        put!(out, b"P-Preferred-Service: urn:urn-7:3gpp-service.ims.icsi.mmtel\r\n");
        put!(out, b"Accept-Contact: *;+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.mmtel\"\r\n");
        put!(out, b"Conversation-ID: c", self.call_id, b"\r\nContribution-ID: d", self.call_id, b"\r\n");
        put!(out, b"User-Agent: load/1\r\nContent-Type: application/sdp\r\nContent-Length: ");
        push_decimal(SDP.len() as u64, out);
        put!(out, b"\r\n\r\n", SDP);
    }

    /// The ACK to a refusal: hop by hop, with the branch of the INVITE (RFC 3261 §17.1.1.3).
    pub(super) fn ack_refusal(&self, uri: &[u8], to: &[u8], out: &mut Vec<u8>) {
        put!(out, b"ACK ", uri, b" SIP/2.0\r\n");
        self.common("ACK", |out| out.extend_from_slice(to), out);
        put!(out, b"Content-Length: 0\r\n\r\n");
    }

    /// ACK to a 2xx, or BYE.
    pub(super) fn in_dialog(&self, method: &str, dialog: &Dialog, out: &mut Vec<u8>) {
        put!(out, method, b" ", dialog.target, b" SIP/2.0\r\n");
        // The ACK to a 2xx is a transaction of its own (RFC 3261 §13.2.2.4).
        let branch = [self.branch, b"d"].concat();
        Sender { route: &dialog.route, branch: &branch, ..*self }.common(
            method,
            |out| out.extend_from_slice(&dialog.to),
            out,
        );
        put!(out, b"Content-Length: 0\r\n\r\n");
    }
}

/// The private identity of a user, and its password.
pub(super) fn credentials(user: u64, domain: &str) -> (String, String) {
    (format!("+{}@{domain}", FIRST_NUMBER + user), format!("secret-{user}"))
}
