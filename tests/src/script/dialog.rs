//! What both sides repeat inside a dialog.

use super::{ANSWER_TAG, Answer, GOSSIP, INNER_ROUTE, UE_CONTACT, method, value, vector};
use crate::sipp::{Variables, from_specification, variables};

/// A dialog by the fields that both sides repeat: who opened it, with which From and To.
#[derive(Clone, Debug)]
pub struct Dialog {
    name: String,
    /// What opened it.
    method: String,
    /// From of the request that opened it, with its tag.
    caller: String,
    /// Its To, with the tag of who answered.
    callee: String,
    by_ue: bool,
}

impl Dialog {
    /// A dialog that this request of the UE opens.
    #[must_use]
    pub fn by_ue(name: &str, request: &str) -> Self {
        Self {
            name: name.to_owned(),
            method: method(request).to_owned(),
            caller: value(request, "From"),
            callee: format!("{}{ANSWER_TAG}", value(request, "To")),
            by_ue: true,
        }
    }

    /// A dialog that this request of the core opens.
    #[must_use]
    pub fn by_core(name: &str, request: &str) -> Self {
        Self { by_ue: false, ..Self::by_ue(name, request) }
    }

    /// The same dialog with the tag of another who answered, for forks.
    #[must_use]
    pub fn tagged(&self, tag: &str) -> Self {
        Self { callee: self.callee.replace(ANSWER_TAG, &format!(";tag={tag}")), ..self.clone() }
    }

    /// The To of requests that the caller sends: with the tag of who answered.
    #[must_use]
    pub fn callee(&self) -> &str {
        &self.callee
    }

    /// The same dialog as the core knows it, where the number of the To was completed.
    #[must_use]
    pub fn completed(&self, dialled: &str, number: &str) -> Self {
        Self { callee: self.callee.replacen(dialled, number, 1), ..self.clone() }
    }

    /// A request of the UE.
    #[must_use]
    pub fn from_ue(&self, method: &str, cseq: u32, extra: &str, sdp: &str) -> String {
        let (from, to) = if self.by_ue { (&self.caller, &self.callee) } else { (&self.callee, &self.caller) };
        self.request(method, cseq, from, to, extra, sdp)
    }

    /// A request of the core.
    #[must_use]
    pub fn from_core(&self, method: &str, cseq: u32, extra: &str, sdp: &str) -> String {
        let (from, to) = if self.by_ue { (&self.callee, &self.caller) } else { (&self.caller, &self.callee) };
        let extra = if method == "ACK" { extra.to_owned() } else { format!("{extra}{GOSSIP}") };
        self.request(method, cseq, from, to, &extra, sdp)
    }

    /// Its name, by which the scenarios keep what they learn of it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A message of the specification as the UE's request in this dialog.
    #[must_use]
    pub fn ue_speaks(&self, vector_name: &str, cseq: u32) -> String {
        let (head, body) = self.as_ours(vector_name);
        self.from_ue(&head.0, cseq, &head.1, "") + &body
    }

    /// A message of the specification as the core's request in this dialog.
    #[must_use]
    pub fn core_speaks(&self, vector_name: &str, cseq: u32) -> String {
        let (head, body) = self.as_ours(vector_name);
        self.from_core(&head.0, cseq, &head.1, "") + &body
    }

    /// Method and header lines of a vector without those that a dialog decides, and its body.
    fn as_ours(&self, vector_name: &str) -> ((String, String), String) {
        const DECIDED: [&str; 9] = [
            "via",
            "route",
            "record-route",
            "from",
            "to",
            "call-id",
            "cseq",
            "max-forwards",
            "content-length",
        ];
        let text = from_specification(&vector(vector_name), &self.name);
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let is_free = |line: &&str| {
            let name = line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
            !DECIDED.contains(&name.as_str())
        };
        let lines = head.lines().skip(1).filter(is_free).map(|line| format!("{line}\n")).collect();
        ((method(head).to_owned(), lines), body.to_owned())
    }

    /// A response to the request that opened the dialog, whatever has been received since.
    #[must_use]
    pub fn answers(&self, answer: &Answer) -> String {
        self.answers_numbered(1, answer)
    }

    /// The same to a request with this CSeq number.
    #[must_use]
    pub fn answers_numbered(&self, cseq: u32, answer: &Answer) -> String {
        let Answer { status, reason, extra, body } = answer;
        let Variables { routes, via, .. } = variables(&self.name);
        let (inner, contact) = match self.by_ue {
            true => (INNER_ROUTE, "Contact: <sip:im@[local_ip]:[local_port]>\n"),
            false => ("", UE_CONTACT),
        };
        let gossip = if self.by_ue { GOSSIP } else { "" };
        let contact = if extra.contains("Contact:") { "" } else { contact };
        // A refusal opens nothing.
        let opening = match status {
            300.. => String::new(),
            _ => format!("{inner}Record-Route:[${routes}]\n{contact}"),
        };
        format!(
            "SIP/2.0 {status} {reason}\nVia:[${via}]\n{opening}From: {}\nTo: {}\nCall-ID: {}///[call_id]\n\
             CSeq: {cseq} {}\n{gossip}{extra}Content-Length: [len]\n\n{body}",
            self.caller, self.callee, self.name, self.method
        )
    }

    fn request(&self, method: &str, cseq: u32, from: &str, to: &str, extra: &str, sdp: &str) -> String {
        let Variables { target, route, .. } = variables(&self.name);
        let described = if sdp.is_empty() { "" } else { "Content-Type: application/sdp\n" };
        format!(
            "{method} [${target}] SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport\n\
             Route: <[${route}]>\nMax-Forwards: 70\nFrom: {from}\nTo: {to}\nCall-ID: {}///[call_id]\nCSeq: {cseq} {method}\n\
             {extra}{described}Content-Length: [len]\n\n{sdp}",
            self.name
        )
    }
}
