//! A flow as two SIPp scenarios that move in step: a UE, the edge, a core.
//!
//! The core is made to gossip: its messages carry charging data, inner routes, hosts in Warnings. Nothing of
//! that may reach the UE, which `crossing` checks afterwards for every message of the run.

mod dialog;

pub use dialog::Dialog;

use crate::crossing::{self, Stand as Side};
use crate::edge::{Edge, Settings};
use crate::place::Place;
use crate::sipp::{Scenario, Sipp, Stand, from_specification, response};
use crate::trace::Message;
use std::net::{IpAddr, SocketAddr, TcpListener};

/// Header lines that a core may put into anything and that are nobody else's business.
const GOSSIP: &str = "P-Charging-Vector: icid-value=\"1\";icid-generated-at=[local_ip]\n\
    P-Charging-Function-Addresses: ccf=\"aaa://[local_ip]\"\nP-Charging-Private: [local_ip]\n";

/// The inner route that a core records in everything that opens a dialog.
const INNER_ROUTE: &str = "Record-Route: <sip:inner@[local_ip]:[local_port];lr>\n";

/// The public identities of the subscriber, default first: all those that the specification's messages come from.
pub const IDENTITIES: [&str; 6] = [
    "sip:user@bj.ims.mnc000.mcc460.3gppnetwork.org",
    "sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org",
    "sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org",
    "sip:+8675520000001@chinamobile.com",
    "sip:+8613500000036@chinamobile.com",
    "tel:+8613812342821",
];

/// How one side answers.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    pub(crate) extra: String,
    pub(crate) body: String,
}

impl Answer {
    /// Without body or extra fields.
    #[must_use]
    pub fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason, extra: String::new(), body: String::new() }
    }

    /// With header lines, each ended by `\n`.
    #[must_use]
    pub fn with(mut self, lines: &str) -> Self {
        self.extra.push_str(lines);
        self
    }

    /// With a session description.
    #[must_use]
    pub fn describing(mut self, sdp: &str) -> Self {
        self.extra.push_str("Content-Type: application/sdp\n");
        sdp.clone_into(&mut self.body);
        self
    }
}

/// The tag of whoever answers.
const ANSWER_TAG: &str = ";tag=answered[call_number]";

/// Both sides of a flow.
#[derive(Clone, Debug)]
pub struct Script {
    /// What the UE does.
    pub ue: Scenario,
    /// What the core does.
    pub core: Scenario,
    completed: Vec<(String, String)>,
    own_answers: Vec<u16>,
}

impl Script {
    /// A UE that registers with the specification's Digest messages.
    #[must_use]
    pub fn registered(name: &str) -> Self {
        Self::new(name).register()
    }

    /// Nobody has said anything yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            ue: Scenario::new(&format!("UE: {name}")),
            core: Scenario::new(&format!("core: {name}")),
            completed: Vec::new(),
            own_answers: Vec::new(),
        }
    }

    /// Registers with figure 5-9 and a digest that is true; the core proves it.
    #[must_use]
    pub fn register(self) -> Self {
        self.register_as("secret")
    }

    /// The same with a password of the UE's choice: the core's is `secret`.
    #[must_use]
    pub fn register_as(mut self, password: &str) -> Self {
        let first = register("register", 1);
        let proof = format!("[authentication username=user password={password}]\nMax-Forwards");
        let second = register("register", 2).replacen("Max-Forwards", &proof, 1);
        self.ue = self.ue.request(&first).expect_challenge().request(&second).expect(200);
        let challenge =
            "WWW-Authenticate: Digest realm=\"ims.example.net\",nonce=\"4f2a\",algorithm=MD5,qop=\"auth\"\n";
        self.core = self
            .core
            .expect_registration()
            .send(&response(401, "Unauthorized", &format!("{challenge}{GOSSIP}"), ""))
            .expect_digest("user", "secret")
            .send(&response(200, "OK", &registered(), ""));
        self
    }

    /// What the core completes a dialled number to (R32).
    #[must_use]
    pub fn completing(mut self, dialled: &str, number: &str) -> Self {
        self.completed.push((dialled.to_owned(), number.to_owned()));
        self
    }

    /// The UE asks, the core answers.
    #[must_use]
    pub fn ue_asks(mut self, request: &str, answer: &Answer) -> Self {
        self.ue = self.ue.request(request).expect(answer.status);
        self.core = self.core.expect_request(method(request)).send(&from_core_side(request, answer));
        self
    }

    /// The core asks, the UE answers.
    #[must_use]
    pub fn core_asks(mut self, request: &str, answer: &Answer) -> Self {
        self.core = self.core.request(request).expect(answer.status);
        self.ue = self.ue.expect_request(method(request)).send(&from_ue_side(request, answer));
        self
    }

    /// The UE asks, and the edge answers alone: the core never hears of it.
    #[must_use]
    pub fn edge_answers(mut self, request: &str, status: u16) -> Self {
        self.ue = self.ue.request(request).expect(status);
        self.own_answers.push(status);
        self
    }

    /// The UE asks for something that opens a dialog, which the core grants.
    #[must_use]
    pub fn ue_opens(mut self, name: &str, request: &str, answer: &Answer) -> (Self, Dialog) {
        let dialog = Dialog::by_ue(name, request);
        self.ue = self.ue.request(request).expect_dialog(answer.status, name);
        self.core = self.core.expect_opening(method(request), name).send(&opening(answer));
        if method(request) == "INVITE" {
            self = self.ue_acknowledges(&dialog, cseq(request), "");
        }
        (self, dialog)
    }

    /// The ACK of a 2xx, by the UE.
    #[must_use]
    pub fn ue_acknowledges(mut self, dialog: &Dialog, cseq: u32, sdp: &str) -> Self {
        self.ue = self.ue.send(&dialog.from_ue("ACK", cseq, "", sdp));
        self.core = self.core.expect_request("ACK");
        self
    }

    /// The core asks for something that opens a dialog, which the UE grants.
    #[must_use]
    pub fn core_opens(mut self, name: &str, request: &str, answer: &Answer) -> (Self, Dialog) {
        let dialog = Dialog::by_core(name, request);
        self.core = self.core.request(request).expect_dialog(answer.status, name);
        let contact = if answer.extra.contains("Contact:") { "" } else { UE_CONTACT };
        let contact = format!("[last_Record-Route:]\n{contact}");
        self.ue = self
            .ue
            .expect_opening(method(request), name)
            .send(&from_ue_side(request, &answer.clone().with(&contact)));
        if method(request) == "INVITE" {
            self.core = self.core.send(&dialog.from_core("ACK", cseq(request), "", ""));
            self.ue = self.ue.expect_request("ACK");
        }
        (self, dialog)
    }

    /// Runs it over `udp` or `tcp` with nobody between the two: what the UE and what the core saw.
    ///
    /// # Errors
    /// What SIPp says of the side that failed.
    pub fn run_direct(&self, name: &str, transport: &str) -> Result<[Vec<Message>; 2], String> {
        let place = Place::new(&format!("{name}-{transport}"));
        let address = place.address();
        let core_stand = Stand { name: "core", transport, address, remote: None };
        let core = Sipp::start(&place, core_stand, self.core.clone());
        let remote = Some(SocketAddr::new(address, 5060));
        let ue_stand = Stand { name: "ue", transport, address: place.address(), remote };
        outcome(Sipp::start(&place, ue_stand, self.ue.clone()), core)
    }

    /// Runs it over `udp` or `tcp` and holds every message that crossed the edge to the rules.
    ///
    /// # Panics
    /// If a scenario fails or a message is not as it must be.
    pub fn run(&self, name: &str, transport: &str) -> Ran {
        self.run_beside(name, transport, |_| {})
    }

    /// The same while `others` do what they like with the edge, whose UDP and TCP address they are told.
    ///
    /// # Panics
    /// As [`Self::run`].
    pub fn run_beside(&self, name: &str, transport: &str, others: impl FnOnce(SocketAddr) + Send) -> Ran {
        let place = Place::new(&format!("flow-{name}-{transport}"));
        let core = place.address();
        let next_hop = SocketAddr::new(core, 5060);
        let settings = Settings { next_hop_transport: transport, ..Settings::default() };
        // SIPp speaks no MSRP, and the edge ends a call whose messaging server refuses the connection:
        // what the core describes must at least take it.
        let _messaging_server = TcpListener::bind((core, MSRP_PORT)).expect("the address is this test's own");
        let core_stand = Stand { name: "core", transport, address: core, remote: None };
        let core_side = Sipp::start(&place, core_stand, self.core.clone());
        let edge = Edge::start_with(&place, next_hop, settings);
        let remote = Some(edge.access(transport));
        let ue_stand = Stand { name: "ue", transport, address: place.address(), remote };
        let ue_side = Sipp::start(&place, ue_stand, self.ue.clone());
        let at = edge.access("udp");
        let sides = std::thread::scope(|scope| {
            scope.spawn(|| others(at));
            outcome(ue_side, core_side)
        });
        let [ue, core_seen] = sides.unwrap_or_else(|failure| panic!("{name} over {transport}: {failure}"));
        let stand = Side {
            access: edge.access_address().to_string(),
            edge_core: edge.core_address().to_string(),
            hidden: vec![core.to_string(), edge.core_address().to_string()],
            identities: IDENTITIES.map(str::to_owned).to_vec(),
            completed: self.completed.clone(),
            own_answers: self.own_answers.clone(),
        };
        let faults = crossing::faults(&stand, &ue, &core_seen);
        assert!(
            faults.is_empty(),
            "{name} over {transport}: {} faults\n{}",
            faults.len(),
            faults.join("\n\n")
        );
        assert!(
            ue.iter().any(|m| m.inbound) && core_seen.iter().any(|m| m.inbound),
            "{name}: nothing was seen"
        );
        Ran { edge, ue, core: core_seen, core_address: core, _place: place }
    }
}

/// Waits for both sides; one that fails does not keep the other waiting.
fn outcome(mut ue: Sipp, mut core: Sipp) -> Result<[Vec<Message>; 2], String> {
    while ue.is_running() || core.is_running() {
        for side in [&mut ue, &mut core] {
            if side.has_failed() {
                side.outcome()?;
            }
        }
        std::thread::sleep(crate::GLANCE);
    }
    Ok([ue.outcome()?, core.outcome()?])
}

/// What a run leaves for further looks.
#[derive(Debug)]
pub struct Ran {
    /// The edge, still running.
    pub edge: Edge,
    /// What the UE sent and received.
    pub ue: Vec<Message>,
    /// What the core sent and received.
    pub core: Vec<Message>,
    /// Where the core stood.
    pub core_address: IpAddr,
    _place: Place,
}

/// Where the core's messaging server stands.
const MSRP_PORT: u16 = 7654;

/// The UE's Contact in what it answers: a private address, as behind a NAT.
const UE_CONTACT: &str = "Contact: <sip:user2@182.1.1.203:41210>;+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.session\"\n";

/// The specification's REGISTER (figure 5-9) with another CSeq.
#[must_use]
pub fn register(dialog: &str, cseq: u32) -> String {
    let text = from_specification(&vector("reg-03-digest-register"), dialog);
    text.replace("CSeq: 1", &format!("CSeq: {cseq}"))
}

/// What the core says in the 200 to REGISTER.
#[must_use]
pub fn registered() -> String {
    let identities = IDENTITIES.map(|identity| format!("<{identity}>")).join(", ");
    format!(
        "[last_Contact:]\n[last_Path:]\nP-Associated-URI: {identities}\n\
         Service-Route: <sip:orig@[local_ip]:[local_port];lr>\n{GOSSIP}"
    )
}

/// A message of the specification.
///
/// # Panics
/// If there is none of this name.
#[must_use]
pub fn vector(name: &str) -> String {
    let path = format!("{}/vectors/{name}.sip", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A message of the specification as a UE sends it, in a dialog of its own named after it.
#[must_use]
pub fn ue_sends(name: &str) -> String {
    from_specification(&vector(name), name)
}

/// A request that the specification shows towards a UE, as the core must have sent it: to the registered
/// contact by its Path, with the core's addresses in Contact and SDP, and with gossip.
///
/// # Panics
/// If the vector is no request.
#[must_use]
pub fn core_sends(name: &str) -> String {
    let text = from_specification(&vector(name), name);
    let (head, body) = text.split_once("\n\n").expect("from_specification ends every head");
    let method = method(head);
    let mut out = format!(
        "{method} [$contact] SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n\
         Via: SIP/2.0/UDP [local_ip]:5099;branch=z9hG4bKinner\nRoute: [$path]\n{GOSSIP}"
    );
    if matches!(method, "INVITE" | "SUBSCRIBE") {
        out.push_str(INNER_ROUTE);
    }
    for line in head.lines().skip(1) {
        let field = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        match field.as_str() {
            "via" | "route" | "record-route" => {}
            "contact" if !line.contains("isfocus") => {
                let params = line.rsplit_once('>').map_or("", |(_, params)| params);
                out.push_str(&format!("Contact: <sip:im@[local_ip]:[local_port]>{params}\n"));
            }
            _ => out.push_str(&format!("{line}\n")),
        }
    }
    out + "\n" + &body.lines().map(|line| at_core(line) + "\n").collect::<String>()
}

/// A line of the edge's SDP as the core had written it.
fn at_core(line: &str) -> String {
    let session = || line.rsplit_once('/').map_or("", |(_, session)| session);
    match line.split_inclusive(['=', ':']).next() {
        Some("c=") => "c=IN IP4 [local_ip]".to_owned(),
        Some("o=") => {
            line.rsplit_once(' ').map_or(line.to_owned(), |(before, _)| format!("{before} [local_ip]"))
        }
        Some("m=") if line.contains("MSRP") => format!("m=message {MSRP_PORT} TCP/MSRP *"),
        _ if line.starts_with("a=path:") => format!("a=path:msrp://[local_ip]:{MSRP_PORT}/{}", session()),
        _ => line.to_owned(),
    }
}

/// The SDP answer of a messaging server (figure 5-50, before the edge).
#[must_use]
pub fn server_sdp() -> String {
    format!(
        "v=0\no=- 33554432 0 IN IP4 [local_ip]\ns=-\nc=IN IP4 [local_ip]\nt=0 0\nm=message {MSRP_PORT} TCP/MSRP *\n\
         a=accept-types:message/cpim text/plain\na=path:msrp://[local_ip]:{MSRP_PORT}/hwK3zBbqenxBFB;tcp\n\
         a=sendrecv\na=setup:passive\n"
    )
}

/// The SDP answer of a UE (figure 5-52).
pub const UE_SDP: &str = "v=0\no=Spider-Phone 155 155 IN IP4 182.1.1.203\ns=-\nc=IN IP4 182.1.1.203\nt=0 0\n\
    m=message 10210 TCP/MSRP *\na=accept-types:message/cpim text/plain\na=path:msrp://182.1.1.203:10210/10210;tcp\n\
    a=sendrecv\na=setup:active\n";

/// The method of a request.
#[must_use]
pub fn method(request: &str) -> &str {
    request.split(' ').next().unwrap_or_default()
}

fn cseq(request: &str) -> u32 {
    value(request, "CSeq").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(1)
}

fn value(request: &str, name: &str) -> String {
    let field = |line: &str| {
        line.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned())
    };
    request.lines().find_map(field).unwrap_or_default().trim().to_owned()
}

/// A final answer of the core to `request`, which tells whether it is inside a dialog.
#[must_use]
pub fn from_core_side(request: &str, answer: &Answer) -> String {
    let warning = if answer.status >= 400 { "Warning: 399 [local_ip]:[local_port] \"no\"\n" } else { "" };
    answered(tag_for(request), answer, &format!("{warning}{GOSSIP}"))
}

/// An answer that opens a dialog: with a target, and below the edge's Record-Route one of the core's own.
#[must_use]
pub fn opening(answer: &Answer) -> String {
    opening_as(ANSWER_TAG, answer)
}

/// The same by another who answers, with `;tag=…`.
#[must_use]
pub fn opening_as(tag: &str, answer: &Answer) -> String {
    let contact = match answer.extra.contains("Contact:") {
        true => "",
        false => "Contact: <sip:im@[local_ip]:[local_port]>\n",
    };
    answered(tag, answer, &format!("{INNER_ROUTE}[last_Record-Route:]\n{contact}{GOSSIP}"))
}

/// An answer of the UE to `request`.
#[must_use]
pub fn from_ue_side(request: &str, answer: &Answer) -> String {
    answered(tag_for(request), answer, "")
}

fn tag_for(request: &str) -> &'static str {
    if value(request, "To").contains(";tag=") { "" } else { ANSWER_TAG }
}

fn answered(tag: &str, answer: &Answer, more: &str) -> String {
    let Answer { status, reason, extra, body } = answer;
    format!(
        "SIP/2.0 {status} {reason}\n[last_Via:]\n[last_From:]\n[last_To:]{tag}\n[last_Call-ID:]\n[last_CSeq:]\n\
         {more}{extra}Content-Length: [len]\n\n{body}"
    )
}
