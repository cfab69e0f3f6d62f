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
