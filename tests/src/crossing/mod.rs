//! What crossed the edge, held line by line against what went in.
//!
//! Both traces of a run are read by the lab's strict reader, which shares no code with the edge. Each
//! message that left the edge is paired with the one that entered it on the other side (Call-ID, CSeq,
//! method or status, To tag). Fields that the edge owns are held to their rule (`rules`); every other line
//! must have come through as it was, in its order (R30), and so must the body except the lines of SDP that
//! name addresses (R65 to R69). What has no pair is the edge's own and must look like it.

mod body;
mod rules;

use crate::trace::Message;
use lab::strict::SipMessage;
use lab::topology::shows;

/// The way a message left the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the core.
    Core,
    /// To the UE.
    Ue,
}

/// Where everybody stands, and what a run may do to numbers.
#[derive(Clone, Debug)]
pub struct Stand {
    /// The edge's host towards UEs.
    pub access: String,
    /// The edge's host towards the core.
    pub edge_core: String,
    /// What no UE may ever see: addresses of the core and of the edge's core side.
    pub hidden: Vec<String>,
    /// Identities that the edge may assert, without `<>` (R27).
    pub identities: Vec<String>,
    /// Numbers as dialled and as they leave the edge (R32).
    pub completed: Vec<(String, String)>,
    /// What the edge may answer itself.
    pub own_answers: Vec<u16>,
}

/// A trace with its strict reading.
struct Read<'a> {
    seen: &'a Message,
    strict: SipMessage,
}

/// Everything that is wrong with what left the edge, in words; empty if all is well.
#[must_use]
pub fn faults(stand: &Stand, ue: &[Message], core: &[Message]) -> Vec<String> {
    let mut faults = Vec::new();
    let (ue, core) = (read(ue, "the UE", &mut faults), read(core, "the core", &mut faults));
    for (way, senders, receivers) in [(Way::Core, &ue, &core), (Way::Ue, &core, &ue)] {
        for got in receivers.iter().filter(|m| m.seen.inbound) {
            let mut judge = Judge { way, got: &got.strict, faults: &mut faults };
            if way == Way::Ue
                && let Some(hidden) = shows(&stand.hidden, got.seen.raw.as_bytes())
            {
                judge.say(&format!("{hidden} of the core shows"));
            }
            let pair = senders.iter().find(|m| !m.seen.inbound && is_pair(&m.strict, &got.strict));
            // What the receiver had sent: a response is held to it.
            let asked = receivers.iter().find(|m| !m.seen.inbound && answers(&got.strict, &m.strict));
            let own = pair.is_none() || is_hop_by_hop(&got.strict, receivers);
            let context = Context { stand, asked: asked.map(|m| &m.strict), all: &ue };
            match pair.filter(|_| !own) {
                Some(sent) => {
                    rules::fields(&context, &sent.strict, &mut judge);
                    body::lines(stand, &sent.strict, &mut judge);
                }
                None => rules::own(&context, &mut judge),
            }
        }
    }
    faults
}

fn read<'a>(messages: &'a [Message], whose: &str, faults: &mut Vec<String>) -> Vec<Read<'a>> {
    let mut out = Vec::new();
    for seen in messages {
        match SipMessage::parse(seen.raw.as_bytes()) {
            Ok(strict) => out.push(Read { seen, strict }),
            Err(fault) => faults.push(format!("in the trace of {whose}: {fault}\n{}", seen.raw)),
        }
    }
    out
}

fn is_pair(sent: &SipMessage, got: &SipMessage) -> bool {
    let tag = |m: &SipMessage| m.to().and_then(|to| to.tag().map(str::to_owned));
    sent.call_id() == got.call_id()
        && sent.cseq() == got.cseq()
        && sent.status() == got.status()
        && (tag(sent) == tag(got) || (tag(sent).is_none() && !got.is_request()))
}

fn answers(response: &SipMessage, request: &SipMessage) -> bool {
    !response.is_request()
        && request.is_request()
        && request.method() == response.method()
        && request.call_id() == response.call_id()
        && request.cseq() == response.cseq()
}

/// 100, CANCEL and what answers it, and the ACK of a refusal go from hop to hop (RFC 3261 §16.2, §17).
fn is_hop_by_hop(message: &SipMessage, side: &[Read<'_>]) -> bool {
    let number = |m: &SipMessage| m.cseq().map(|(number, _)| number);
    let refused = |m: &Read<'_>| {
        m.strict.status() >= 300
            && m.strict.method() == "INVITE"
            && m.strict.call_id() == message.call_id()
            && number(&m.strict) == number(message)
    };
    match message.method() {
        "CANCEL" => true,
        "ACK" => side.iter().any(refused),
        _ => message.status() == 100,
    }
}

/// What a rule may look at besides the pair.
struct Context<'a> {
    stand: &'a Stand,
    asked: Option<&'a SipMessage>,
    all: &'a [Read<'a>],
}

impl Context<'_> {
    /// Contact URIs that the UE has told anybody, in REGISTER or elsewhere.
    fn contacts_of_ue(&self) -> Vec<String> {
        let sent = self.all.iter().filter(|m| !m.seen.inbound);
        sent.flat_map(|m| m.strict.name_addrs("Contact")).map(|contact| contact.uri).collect()
    }
}

/// Collects what is wrong with one message.
struct Judge<'a> {
    way: Way,
    got: &'a SipMessage,
    faults: &'a mut Vec<String>,
}

impl Judge<'_> {
    fn say(&mut self, fault: &str) {
        let got = self.got;
        let what = match got.status() {
            0 => format!("{} {}", got.method(), got.uri()),
            status => format!("{status} to {}", got.method()),
        };
        let fields: Vec<String> =
            got.fields.iter().map(|(name, value)| format!("  {name}: {value}")).collect();
        let body = String::from_utf8_lossy(&got.body);
        self.faults.push(format!("{what} to the {:?}: {fault}\n{}\n{body}", self.way, fields.join("\n")));
    }

    fn expect(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.say(&fault());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sipp;

    const SENT: &str = "MESSAGE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1\r\n\
        From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\n\
        App_Type: as it is\r\nContent-Length: 2\r\n\r\nhi";
    const GOT: &str = "MESSAGE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bK2\r\n\
        From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 69\r\n\
        App_Type: as it is\r\nContent-Length: 2\r\nP-Asserted-Identity: <sip:a@h>\r\n\
        P-Access-Network-Info: IEEE-802.11\r\n\r\nhi";

    fn trace(way: &str, text: &str) -> Vec<Message> {
        sipp(&format!("--- 2026\nUDP message {way} [{}] bytes :\n\n{text}\n", text.len()))
    }

    fn judged(got: &str) -> Vec<String> {
        let stand = Stand {
            access: "127.0.0.1".into(),
            edge_core: "127.0.0.2".into(),
            hidden: vec!["127.0.0.2".into()],
            identities: vec!["sip:a@h".into()],
            completed: Vec::new(),
            own_answers: Vec::new(),
        };
        faults(&stand, &trace("sent", SENT), &trace("received", got))
    }

    #[test]
    fn a_message_as_it_must_be_has_no_fault() {
        assert_eq!(judged(GOT), Vec::<String>::new());
    }

    /// Each line: what is changed in a good message, and that the checker sees it.
    #[test]
    fn each_fault_is_seen() {
        for (from, to) in [
            ("as it is", "as it was"),
            ("App_Type: as it is\r\n", ""),
            ("Max-Forwards: 69", "Max-Forwards: 70"),
            ("SIP/2.0/UDP 127.0.0.2", "SIP/2.0/UDP 127.0.0.3"),
            ("branch=z9hG4bK2\r\n", "branch=z9hG4bK2\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1\r\n"),
            ("<sip:a@h>\r\n", "<sip:c@h>\r\n"),
            ("P-Asserted-Identity: <sip:a@h>\r\n", ""),
            ("<sip:a@h>\r\n", "<sip:a@h>\r\nX: y\r\n"),
            ("<sip:a@h>\r\n", "<sip:a@h>\r\nP-Charging-Vector: icid-value=1\r\n"),
            ("<sip:a@h>\r\n", "<sip:a@h>\r\nPath: <sip:127.0.0.2;lr>\r\n"),
            ("To: <sip:b@h>", "To: <sip:b@h>;tag=2"),
            ("\r\n\r\nhi", "\r\n\r\nho"),
            ("Content-Length: 2", "Content-Length: 3"),
            ("MESSAGE sip:b@h", "MESSAGE sip:c@h"),
            ("Call-ID: x", "Call-ID: y"),
        ] {
            let bad = GOT.replacen(from, to, 1);
            assert_ne!(bad, GOT, "{from}");
            assert!(!judged(&bad).is_empty(), "{to}");
        }
    }
}
