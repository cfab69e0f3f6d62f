//! SIPp: scenarios made of real messages, run as UE or as core.

use crate::place::Place;
use crate::process::{Process, find};
use crate::trace;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;

/// A scenario: what one side sends and expects, in order, as one SIPp call.
///
/// SIPp tells calls apart by Call-ID, but only by what follows `///` in it. So each dialog of a
/// scenario has a Call-ID of its own, `NAME///[call_id]`, and all of them are one call.
#[derive(Clone, Debug)]
pub struct Scenario {
    xml: String,
}

impl Scenario {
    /// An empty scenario.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            xml: format!("<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<scenario name=\"{name}\">\n"),
        }
    }

    /// Sends a request, and again on datagrams until something is received.
    #[must_use]
    pub fn request(self, message: &str) -> Self {
        self.line(&format!("<send retrans=\"500\"><![CDATA[\n{message}]]></send>"))
    }

    /// Sends a message once: a response or an ACK.
    #[must_use]
    pub fn send(self, message: &str) -> Self {
        self.line(&format!("<send><![CDATA[\n{message}]]></send>"))
    }

    /// Expects a final response; provisional ones may come before.
    #[must_use]
    pub fn expect(self, status: u16) -> Self {
        self.provisional().line(&format!("<recv response=\"{status}\"/>"))
    }

    /// Expects a final response that opens `dialog`: its target and route set are kept.
    #[must_use]
    pub fn expect_dialog(self, status: u16, dialog: &str) -> Self {
        self.provisional().recv(&format!("response=\"{status}\""), dialog)
    }

    /// Expects this provisional response, which opens `dialog` early; only a 100 may come before.
    #[must_use]
    pub fn expect_progress(self, status: u16, dialog: &str) -> Self {
        self.line("<recv response=\"100\" optional=\"true\"/>")
            .recv(&format!("response=\"{status}\""), dialog)
    }

    /// Expects a 401 whose challenge the next request answers with `[authentication …]`.
    #[must_use]
    pub fn expect_challenge(self) -> Self {
        self.provisional().line("<recv response=\"401\" auth=\"true\"/>")
    }

    /// Expects a request.
    #[must_use]
    pub fn expect_request(self, method: &str) -> Self {
        self.line(&format!("<recv request=\"{method}\"/>"))
    }

    /// Expects a request that opens `dialog`: its target and route set are kept, and its Via, so that it can
    /// be answered while others are under way.
    #[must_use]
    pub fn expect_opening(self, method: &str, dialog: &str) -> Self {
        self.recv(&format!("request=\"{method}\""), dialog)
    }

    /// A message that opens a dialog. SIPp's own `rrs` keeps the first route set of a call only, and a call
    /// here has many dialogs. Of two Record-Routes the first is the edge's: who stands behind the other takes
    /// it off before the edge gets a request.
    fn recv(self, what: &str, dialog: &str) -> Self {
        let variable = variables(dialog);
        // No pattern holds `<` or `>`: SIPp reads them as XML even inside quotes.
        let uri = "sip:[-+A-Za-z0-9@.:_;=~%]*";
        let keep = |pattern: &str, header: &str, name: &str| {
            format!(
                "<ereg regexp=\"{pattern}\" search_in=\"hdr\" header=\"{header}:\" assign_to=\"{name}\"/>"
            )
        };
        let kept = [
            keep(uri, "Contact", &variable.target),
            keep(uri, "Record-Route", &variable.route),
            keep(".*", "Record-Route", &variable.routes),
            keep(".*", "Via", &variable.via),
        ];
        let Variables { target, route, routes, via } = variable;
        let named = self.line(&format!("<recv {what}><action>{}</action></recv>", kept.concat()));
        // Each once more, or SIPp takes one that nobody asks for as a slip.
        [target, route, routes, via]
            .iter()
            .fold(named, |scenario, name| scenario.line(&format!("<Reference variables=\"{name}\"/>")))
    }

    /// Expects a REGISTER and keeps the way back to the UE: `[$path]` and `[$contact]`.
    #[must_use]
    pub fn expect_registration(self) -> Self {
        self.line(&format!(
            "<recv request=\"REGISTER\"><action>{WAY_BACK}</action></recv>\n<Reference variables=\"path,contact\"/>"
        ))
    }

    /// Lets some time pass.
    #[must_use]
    pub fn pause(self, milliseconds: u32) -> Self {
        self.line(&format!("<pause milliseconds=\"{milliseconds}\"/>"))
    }

    /// Expects a REGISTER with the right digest of `user` and `password`; the call fails otherwise.
    #[must_use]
    pub fn expect_digest(self, user: &str, password: &str) -> Self {
        let refused = response(403, "Bad digest", "", "");
        self.line(&format!(
            "<recv request=\"REGISTER\"><action>\
             <verifyauth assign_to=\"proved\" username=\"{user}\" password=\"{password}\"/>{WAY_BACK}</action></recv>\n\
             <Reference variables=\"path,contact\"/>\n\
             <nop hide=\"true\" test=\"proved\" next=\"proved\"/>\n\
             <send next=\"refused\"><![CDATA[\n{refused}]]></send>\n\
             <label id=\"refused\"/>\n\
             <recv request=\"NOTHING\" timeout=\"1\"/>\n\
             <label id=\"proved\"/>"
        ))
    }

    fn provisional(self) -> Self {
        self.line("<recv response=\"100\" optional=\"true\"/>\n<recv response=\"180\" optional=\"true\"/>")
    }

    fn line(mut self, line: &str) -> Self {
        self.xml.push_str(line);
        self.xml.push('\n');
        self
    }
}

/// What a scenario keeps of the message that opened a dialog, by the names of SIPp's variables.
#[derive(Clone, Debug)]
pub struct Variables {
    /// The URI of its Contact.
    pub target: String,
    /// The URI of its first Record-Route.
    pub route: String,
    /// All of its first Record-Route line.
    pub routes: String,
    /// Its Via.
    pub via: String,
}

/// The variables of a dialog.
#[must_use]
pub fn variables(dialog: &str) -> Variables {
    let name: String = dialog.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let of = |what: &str| format!("{what}_{name}");
    Variables { target: of("target"), route: of("route"), routes: of("routes"), via: of("via") }
}

/// Keeps Path and Contact of a REGISTER. The patterns hold no `<` or `>`: SIPp reads them as XML even
/// inside quotes.
const WAY_BACK: &str = "<ereg regexp=\".*\" search_in=\"hdr\" header=\"Path:\" assign_to=\"path\"/>\
    <ereg regexp=\"sip:[-+A-Za-z0-9@.:_;=]*\" search_in=\"hdr\" header=\"Contact:\" assign_to=\"contact\"/>";

/// A response to the message received last, with extra header lines (each ended by `\n`) and a body.
#[must_use]
pub fn response(status: u16, reason: &str, extra: &str, body: &str) -> String {
    format!(
        "SIP/2.0 {status} {reason}\n[last_Via:]\n[last_From:]\n[last_To:];tag=core[call_number]\n\
         [last_Call-ID:]\n[last_CSeq:]\n[last_Record-Route:]\n{extra}Content-Length: [len]\n\n{body}"
    )
}

/// A message of the specification as SIPp sends it.
///
/// Branch, Call-ID and Content-Length become SIPp's; every other byte stays, private addresses in
/// Via and Contact too: the edge has to cope with them as with a UE behind a NAT.
///
/// # Panics
/// If SIPp cannot send the text: it takes a bracket for a keyword and a NUL for the end of the file.
#[must_use]
pub fn from_specification(message: &str, dialog: &str) -> String {
    assert!(!message.contains(['[', '\0']), "the message of {dialog} holds a bracket or a NUL");
    let message = message.replace("\r\n", "\n");
    let (head, body) = message.split_once("\n\n").unwrap_or((&message, ""));
    let mut out = String::new();
    for line in head.lines() {
        let name = line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "via" => {
                let (before, after) = line.split_once("branch=").unwrap_or((line, ""));
                let after = after.find([';', ',']).map_or("", |at| &after[at..]);
                writeln!(out, "{before}branch=[branch]{after}").expect("a string takes all");
            }
            "call-id" => writeln!(out, "Call-ID: {dialog}///[call_id]").expect("a string takes all"),
            "content-length" => out.push_str("Content-Length: [len]\n"),
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out.push('\n');
    out.push_str(body);
    out
}

/// Where a SIPp stands and whom it calls.
#[derive(Clone, Copy, Debug)]
pub struct Stand<'a> {
    /// Its name, for files and failures.
    pub name: &'a str,
    /// `udp` or `tcp`: Debian's SIPp is built without TLS.
    pub transport: &'a str,
    /// Its own address; port 5060.
    pub address: IpAddr,
    /// Whom it calls; it waits for a call if `None`.
    pub remote: Option<SocketAddr>,
}

/// A running SIPp.
#[derive(Debug)]
pub struct Sipp {
    process: Process,
    messages: PathBuf,
    errors: PathBuf,
}

impl Sipp {
    /// Runs the scenario once.
    ///
    /// # Panics
    /// If SIPp is not installed, or as the called side does not open its port.
    #[must_use]
    pub fn start(place: &Place, stand: Stand<'_>, scenario: Scenario) -> Self {
        let file = |what: &str| place.file(&format!("{}.{what}", stand.name));
        let xml = place
            .write(&format!("{}.xml", stand.name), scenario.line("</scenario>").xml.replace("\r\n", "\n"));
        let (messages, errors) = (file("messages"), file("errors"));
        let paths = [&xml, &messages, &errors].map(|path| path.to_string_lossy().into_owned());
        let address = stand.address.to_string();
        let mode = if stand.transport == "tcp" { "t1" } else { "u1" };
        let remote = stand.remote.map(|remote| remote.to_string());
        let mut args: Vec<&str> = remote.as_deref().into_iter().collect();
        args.extend(["-sf", &paths[0], "-i", &address, "-p", "5060", "-t", mode, "-m", "1"]);
        args.extend(["-nostdin", "-trace_msg", "-message_file", &paths[1]]);
        args.extend(["-trace_err", "-error_file", &paths[2]]);
        args.extend(["-timeout", "80s", "-timeout_error", "-recv_timeout", "60000"]);
        args.extend(["-auth_uri", "sip:ims.example.net"]);
        let process = Process::start(&find("sipp", "sip-tester"), &args, file("log"));
        if stand.remote.is_none() {
            wait_open(stand);
        }
        Self { process, messages, errors }
    }

    /// Waits for the end of the scenario and returns every message sent and received.
    ///
    /// # Panics
    /// If the scenario failed, with what SIPp says about it.
    pub fn finish(&mut self) -> Vec<trace::Message> {
        self.outcome().unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Whether it has failed already; nobody needs to wait for the other side then.
    #[must_use]
    pub fn has_failed(&mut self) -> bool {
        !self.process.is_running() && !self.process.wait_end().success()
    }

    /// Whether it is still under way.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Waits for the end of the scenario.
    ///
    /// # Errors
    /// What SIPp says about a failed one.
    pub fn outcome(&mut self) -> Result<Vec<trace::Message>, String> {
        let status = self.process.wait_end();
        let read = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        let log = read(&self.messages);
        if status.success() {
            return Ok(trace::sipp(&log));
        }
        let errors = read(&self.errors);
        Err(format!("SIPp scenario failed ({status})\n{errors}\nmessages:\n{log}"))
    }
}

fn wait_open(stand: Stand<'_>) {
    let at = SocketAddr::new(stand.address, 5060);
    crate::eventually("SIPp's port", || match stand.transport {
        "tcp" => TcpStream::connect(at).is_ok().then_some(()),
        _ => UdpSocket::bind(at).is_err().then_some(()),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_message_keeps_all_but_three_values() {
        let message = "MESSAGE sip:b@c SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:41200;rkeep=600;branch=z9hG4bK1;x\r\n\
                       Call-ID: 1@10.0.0.1\r\nContent-Length: 4\r\nConversation-ID:u1\r\n\r\nab\r\n";
        assert_eq!(
            from_specification(message, "m"),
            "MESSAGE sip:b@c SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.1:41200;rkeep=600;branch=[branch];x\n\
             Call-ID: m///[call_id]\nContent-Length: [len]\nConversation-ID:u1\n\nab\n"
        );
    }
}
