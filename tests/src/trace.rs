//! SIP messages out of the traces that the programs write.

use std::net::SocketAddr;

/// One message of a trace; line ends are `\n`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whether the program received it.
    pub inbound: bool,
    /// Start line and header lines.
    pub head: Vec<String>,
    /// What follows the empty line.
    pub body: String,
    /// All of it as it was on the wire, with its own line ends.
    pub raw: String,
}

impl Message {
    fn parse(inbound: bool, text: &str) -> Option<Self> {
        let raw = text.to_owned();
        let text = text.replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let head: Vec<String> = head.lines().map(str::to_owned).collect();
        (head.first()?.contains("SIP/2.0")).then(|| Self { inbound, head, body: body.to_owned(), raw })
    }

    /// The request or status line.
    #[must_use]
    pub fn start_line(&self) -> &str {
        self.head.first().map_or("", String::as_str)
    }

    /// Whether it is a request with this method.
    #[must_use]
    pub fn is_request(&self, method: &str) -> bool {
        self.start_line().strip_prefix(method).is_some_and(|rest| rest.starts_with(' '))
    }

    /// Whether its CSeq names this method: the request itself, or an answer to it.
    #[must_use]
    pub fn is_about(&self, method: &str) -> bool {
        self.value("CSeq").is_some_and(|cseq| cseq.ends_with(&format!(" {method}")))
    }

    /// The status of a response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        let rest = self.start_line().strip_prefix("SIP/2.0 ")?;
        rest.get(..3)?.parse().ok()
    }

    /// The values of all header lines with this name, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.head.iter().skip(1).filter_map(move |line| {
            let (found, value) = line.split_once(':')?;
            found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The value of the first header line with this name.
    #[must_use]
    pub fn value<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.values(name).next()
    }
}

/// Reads what baresip prints with `-s`.
///
/// ```text
/// ESC[36;1m#
/// TCP 127.0.0.1:5970 -> 127.0.0.1:57122
/// SIP/2.0 401 Unauthorized
/// ...
/// ESC[;m
/// ```
///
/// What comes from `proxy`, to which everything is sent, is inbound.
#[must_use]
pub fn baresip(output: &str, proxy: SocketAddr) -> Vec<Message> {
    let blocks = output.split("\u{1b}[36;1m#\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split_once("\u{1b}[;m").map(|(block, _)| block));
    blocks
        .filter_map(|block| {
            let (way, text) = block.split_once('\n')?;
            let (source, _) = way.split_once(" -> ")?;
            let source: SocketAddr = source.split_once(' ')?.1.parse().ok()?;
            Message::parse(source == proxy, text)
        })
        .collect()
}

/// Reads what SIPp writes with `-trace_msg`.
///
/// ```text
/// ----------------------------------------------- 2026-11-22 14:30:40.097927
/// TCP message received [519] bytes :
///
/// REGISTER sip:ims.example.net SIP/2.0
/// ...
/// ```
/// The size says where a message ends: what looks like a line of dashes may be part of a body.
#[must_use]
pub fn sipp(log: &str) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut rest = log;
    while let Some((before, after)) = rest.split_once(" message ") {
        let Some((what, text)) = after.split_once("\n\n") else { break };
        let size = size_of(what).filter(|size| text.is_char_boundary(*size));
        let Some((size, head)) = size.zip(before.lines().last()) else { break };
        let is_entry = matches!(head, "UDP" | "TCP" | "TLS");
        rest = if is_entry { &text[size..] } else { after };
        messages
            .extend(is_entry.then(|| Message::parse(what.starts_with("received"), &text[..size])).flatten());
    }
    messages
}

/// Reads what linphone logs at its debug level.
///
/// ```text
/// … belle-sip-message-channel [0x55e0be066670]: message sent to [TLS://127.75.86.2:5061], size: [795] bytes
/// REGISTER sip:ims.example.net SIP/2.0
/// …
/// … belle-sip-message-channel [0x55e0be066670]: received [699] new bytes from [TLS://127.75.86.2:5061]:
/// SIP/2.0 200 OK
/// ```
/// A message that came in pieces is put together by its Content-Length.
#[must_use]
pub fn linphone(log: &str) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut inbox = String::new();
    let mut rest = log;
    while let Some((_, after)) = rest.split_once("belle-sip-message-channel [") {
        let Some((what, text)) = after.split_once('\n') else { break };
        let between = |before: &str, behind: &str| {
            what.split_once(before).and_then(|(_, n)| n.split_once(behind)).and_then(|(n, _)| n.parse().ok())
        };
        let (sent, came) = (between("size: [", "] bytes"), between("received [", "] new bytes"));
        let size: usize = sent.or(came).unwrap_or(0);
        if size == 0 || !text.is_char_boundary(size) {
            rest = after;
            continue;
        }
        rest = &text[size..];
        if sent.is_some() {
            messages.extend(Message::parse(false, &text[..size]));
            continue;
        }
        inbox.push_str(&text[..size]);
        while let Some(end) = whole(inbox.trim_start_matches("\r\n")) {
            let start = inbox.len() - inbox.trim_start_matches("\r\n").len();
            messages.extend(Message::parse(true, &inbox[start..start + end]));
            inbox.drain(..start + end);
        }
    }
    messages
}

/// Where the first message of a stream ends, if all of it is there.
fn whole(stream: &str) -> Option<usize> {
    let head = stream.find("\r\n\r\n")?;
    let length = stream[..head].lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let end = head + 4 + length.unwrap_or(0);
    (stream.is_char_boundary(end) && end <= stream.len()).then_some(end)
}

/// `received [519] bytes :` or `sent (519 bytes):`.
fn size_of(what: &str) -> Option<usize> {
    let digits = what.split(['[', '(']).nth(1)?;
    digits.split([']', ' ']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baresip_traces_are_read_with_their_direction() {
        let trace = "x\n\u{1b}[36;1m#\nUDP 127.0.0.8:58059 -> 127.0.0.9:5060\nMESSAGE sip:b@c SIP/2.0\r\n\
                     To: <sip:b@c>\r\n\r\nhello\u{1b}[;m\ny\n\u{1b}[36;1m#\nUDP 127.0.0.9:5060 -> 127.0.0.8:58059\n\
                     SIP/2.0 202 Accepted\r\nt: <sip:b@c>\r\n\r\n\u{1b}[;m\n\u{1b}[36;1m#\nUDP half";
        let messages = baresip(trace, "127.0.0.9:5060".parse().expect("an address"));
        assert_eq!(messages.len(), 2);
        assert!(!messages[0].inbound && messages[0].is_request("MESSAGE"));
        assert_eq!(messages[0].body, "hello");
        assert_eq!(messages[0].value("to"), Some("<sip:b@c>"));
        assert!(messages[1].inbound);
        assert_eq!(messages[1].status(), Some(202));
    }

    #[test]
    fn linphone_logs_are_read_also_when_messages_come_in_pieces() {
        let ok = "SIP/2.0 200 OK\r\nCSeq: 1 REGISTER\r\nContent-Length: 2\r\n\r\nhi";
        let (first, second) = ok.split_at(20);
        let log = format!(
            "2026 belle-sip-message-channel [0x5]: message sent to [TLS://h:1], size: [24] bytes\nACK sip:b SIP/2.0\r\nA: 1\r\n\
             2026 belle-sip-message-channel [0x5]: received [20] new bytes from [TLS://h:1]:\n{first}\n\
             2026 belle-sip-message-channel [0x5]: keep alive sent\n\
             2026 belle-sip-message-channel [0x5]: received [{}] new bytes from [TLS://h:1]:\n{second}{ok}\n",
            second.len() + ok.len()
        );
        let messages = linphone(&log);
        assert_eq!(messages.len(), 3, "{messages:#?}");
        assert!(!messages[0].inbound && messages[0].is_request("ACK"));
        assert!(messages[1..].iter().all(|m| m.inbound && m.raw == ok && m.is_about("REGISTER")));
    }

    #[test]
    fn sipp_logs_are_read_with_their_direction() {
        let dashes = "-".repeat(47);
        let log = format!(
            "{dashes} 2026-11-22 14:30:40.1\nTCP message received [26] bytes :\n\nACK sip:b SIP/2.0\nA: 1\n\nx\n\n\
             {dashes} 2026-11-22 14:30:40.2\nTCP message sent (30 bytes):\n\nSIP/2.0 200 OK\r\nA: 2\r\nA: 3\r\n\r\n\n"
        );
        let messages = sipp(&log);
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(messages[0].inbound && messages[0].is_request("ACK"));
        assert_eq!(messages[0].body, "x\n");
        assert!(!messages[1].inbound);
        assert_eq!(messages[1].values("A").collect::<Vec<_>>(), ["2", "3"]);
        assert!(messages[1].raw.ends_with("A: 3\r\n\r\n"));
    }
}
