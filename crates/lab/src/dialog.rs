//! One side of a dialog: RFC 3261 §12.

use crate::strict::{NameAddr, SipMessage, SipWriter};
use wire::Instant;

/// What a side needs to send requests within a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialog {
    /// The Call-ID.
    pub call_id: String,
    /// Our From, with our tag.
    pub local: String,
    /// Their To, with their tag.
    pub remote: String,
    /// The Request-URI: their Contact.
    pub target: String,
    /// The Route set, nearest first.
    pub routes: Vec<String>,
    /// CSeq number of our latest request.
    pub cseq: u32,
    /// CSeq number of their latest request.
    pub remote_cseq: u32,
}

impl Dialog {
    /// The caller's side, from its request and a response that has a To tag and a Contact.
    #[must_use]
    pub fn caller(request: &SipMessage, response: &SipMessage) -> Option<Self> {
        response.to()?.tag()?;
        Some(Self {
            call_id: request.call_id().to_owned(),
            local: request.first("From")?.to_owned(),
            remote: response.first("To")?.to_owned(),
            target: response.name_addrs("Contact").into_iter().next()?.uri,
            routes: record_route(response).into_iter().rev().collect(),
            cseq: request.cseq()?.0,
            remote_cseq: 0,
        })
    }

    /// The callee's side, from the request and the tag it answers with.
    #[must_use]
    pub fn callee(request: &SipMessage, tag: &str) -> Option<Self> {
        Some(Self {
            call_id: request.call_id().to_owned(),
            local: format!("{};tag={tag}", request.first("To")?),
            remote: request.first("From")?.to_owned(),
            target: request.name_addrs("Contact").into_iter().next()?.uri,
            routes: record_route(request),
            cseq: 0,
            remote_cseq: request.cseq()?.0,
        })
    }

    /// Whether a request that came in belongs here: Call-ID and both tags (§12.2.2).
    #[must_use]
    pub fn owns(&self, request: &SipMessage) -> bool {
        let tag = |text: &str| NameAddr::parse(text).and_then(|n| n.tag().map(str::to_owned));
        request.call_id() == self.call_id
            && request.from().and_then(|n| n.tag().map(str::to_owned)) == tag(&self.remote)
            && request.to().and_then(|n| n.tag().map(str::to_owned)) == tag(&self.local)
    }

    /// Starts a request with the next CSeq number.
    pub fn request(&mut self, method: &str, via: &str) -> SipWriter {
        self.cseq += 1;
        self.write(method, via, self.cseq)
    }

    /// Starts the ACK of the INVITE that opened the dialog (§13.2.2.4).
    #[must_use]
    pub fn ack(&self, via: &str) -> SipWriter {
        self.write("ACK", via, self.cseq)
    }

    fn write(&self, method: &str, via: &str, cseq: u32) -> SipWriter {
        SipWriter::request(method, &self.target)
            .field("Via", via)
            .fields("Route", self.routes.iter().map(String::as_str))
            .field("From", &self.local)
            .field("To", &self.remote)
            .field("Call-ID", &self.call_id)
            .field("CSeq", &format!("{cseq} {method}"))
            .field("Max-Forwards", "70")
    }
}

fn record_route(message: &SipMessage) -> Vec<String> {
    message.list("Record-Route").into_iter().map(str::to_owned).collect()
}

/// Dialogs that ended a moment ago: the BYE of the other end may have crossed ours (RFC 3261 §15.1.2), and
/// then it is answered 481 and is no fault.
#[derive(Clone, Debug, Default)]
pub struct Ended(std::collections::VecDeque<(Instant, Dialog)>);

/// As long as a request may be repeated, on top of the time the BYEs need to cross.
const CROSSING: core::time::Duration = core::time::Duration::from_secs(64);
const ENDED_MAX: usize = 1_024;

impl Ended {
    /// Remembers one for a while.
    pub fn push(&mut self, dialog: Dialog, now: Instant) {
        self.0.retain(|(at, _)| now.since(*at) < CROSSING);
        if self.0.len() == ENDED_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now, dialog));
    }

    /// Whether a request belongs to one of them.
    #[must_use]
    pub fn owns(&self, request: &SipMessage, now: Instant) -> bool {
        self.0.iter().any(|(at, dialog)| now.since(*at) < CROSSING && dialog.owns(request))
    }
}
