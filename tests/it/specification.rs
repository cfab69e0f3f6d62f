//! The specification's own messages, sent by SIPp as UE to SIPp as core.

use gatehouse_tests::edge::Edge;
use gatehouse_tests::place::Place;
use gatehouse_tests::sipp::{Scenario, Sipp, Stand, from_specification, response};
use gatehouse_tests::trace::Message;
use std::net::{IpAddr, SocketAddr, TcpListener};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/");

/// MESSAGEs of a UE that the core answers with 202.
const PAGERS: [&str; 5] = [
    "fmt-01-message-multipart",
    "pager-01-message-cpim",
    "pager-02-message-recipient-list",
    "pager-03-message-vemoticon",
    "imdn-02-message",
];

fn vector(name: &str) -> String {
    let path = format!("{VECTORS}{name}.sip");
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The public identities of the subscriber: those that the messages above come from.
const ASSOCIATED: &str = "P-Associated-URI: <sip:user@bj.ims.mnc000.mcc460.3gppnetwork.org>, \
     <sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org>, <sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org>\n";

/// Registers with the specification's REGISTER (figure 5-9) and a digest that is true.
fn register_as_ue(scenario: Scenario) -> Scenario {
    let register = from_specification(&vector("reg-03-digest-register"), "register");
    let proof = "[authentication username=user password=secret]\nMax-Forwards";
    let second = register.replace("CSeq: 1", "CSeq: 2").replacen("Max-Forwards", proof, 1);
    scenario.request(&register).expect_challenge().request(&second).expect(200)
}

fn register_as_core(scenario: Scenario, password: &str) -> Scenario {
    let challenge =
        "WWW-Authenticate: Digest realm=\"ims.example.net\",nonce=\"4f2a\",algorithm=MD5,qop=\"auth\"\n";
    scenario
        .expect_request("REGISTER")
        .send(&response(401, "Unauthorized", challenge, ""))
        .expect_digest("user", password)
        .send(&response(200, "OK", &format!("[last_Contact:]\n{ASSOCIATED}"), ""))
}

/// Starts the core and then the UE, with the edge between them if there is one.
fn start(
    place: &Place,
    transport: &str,
    edge: Option<SocketAddr>,
    ue: Scenario,
    core: (IpAddr, Scenario),
) -> [Sipp; 2] {
    let core_side = Sipp::start(
        place,
        Stand {
            name: "core",
            transport: if edge.is_some() { "udp" } else { transport },
            address: core.0,
            remote: None,
        },
        core.1,
    );
    let ue_side = Sipp::start(
        place,
        Stand {
            name: "ue",
            transport,
            address: place.address(),
            remote: Some(edge.unwrap_or(SocketAddr::new(core.0, 5060))),
        },
        ue,
    );
    [ue_side, core_side]
}

fn run(
    place: &Place,
    transport: &str,
    edge: Option<SocketAddr>,
    ue: Scenario,
    core: (IpAddr, Scenario),
) -> Seen {
    let [mut ue, mut core] = start(place, transport, edge, ue, core);
    Seen { ue: ue.finish(), core: core.finish() }
}

/// What crossed each side of the edge.
struct Seen {
    ue: Vec<Message>,
    core: Vec<Message>,
}

impl Seen {
    /// The same request as the UE sent it and as the core got it.
    fn request(&self, dialog: &str) -> (&Message, &Message) {
        let of = |messages: &'_ [Message], inbound| {
            messages.iter().position(|m| {
                m.inbound == inbound
                    && m.status().is_none()
                    && m.value("Call-ID").is_some_and(|id| id.contains(&format!("{dialog}///")))
            })
        };
        let sent = of(&self.ue, false).unwrap_or_else(|| panic!("the UE did not send {dialog}"));
        let got = of(&self.core, true).unwrap_or_else(|| panic!("the core did not get {dialog}"));
        (&self.ue[sent], &self.core[got])
    }
}

/// The control experiment: the scenarios are sound without an edge.
#[test]
fn sipp_gets_along_with_sipp_without_the_edge() {
    for transport in ["udp", "tcp"] {
        let place = Place::new(&format!("sipp-direct-{transport}"));
        let mut ue = register_as_ue(Scenario::new("ue"));
        let mut core = register_as_core(Scenario::new("core"), "secret");
        for name in PAGERS {
            ue = ue.request(&from_specification(&vector(name), name)).expect(202);
            core = core.expect_request("MESSAGE").send(&response(202, "Accepted", "", ""));
        }
        let seen = run(&place, transport, None, ue, (place.address(), core));
        for name in PAGERS {
            let (sent, got) = seen.request(name);
            assert_eq!(sent.body, got.body, "{name}");
        }
    }
}

/// The core of these tests is no rubber stamp.
#[test]
fn the_sipp_core_refuses_a_wrong_digest() {
    let place = Place::new("sipp-digest");
    let ue = register_as_ue(Scenario::new("ue"));
    let core = register_as_core(Scenario::new("core"), "another secret");
    let [mut ue, mut core] = start(&place, "udp", None, ue, (place.address(), core));
    assert!(ue.outcome().is_err());
    assert!(core.outcome().is_err());
}

/// Requests that the edge must refuse itself (R34, R36..R41): the core never hears of them.
/// n04 is not among them, for its body has NULs, which SIPp cannot send; n08 has no CSeq to answer to.
const REFUSED: [&str; 7] = [
    "quirks/n01-dup-cpim-part",
    "quirks/n02-no-boundary-multipart",
    "quirks/n03-boundary-on-other-type",
    "quirks/n05-body-without-content-type",
    "quirks/n06-dup-cpim-header",
    "quirks/n07-empty-optional-header",
    "quirks/n09-dup-sdp-part",
];

/// Fields that the edge may change on the way to the core; all others pass byte for byte (R30).
const EDITED: [&str; 8] = [
    "Via",
    "Max-Forwards",
    "Contact",
    "Route",
    "P-Preferred-Identity",
    "P-Asserted-Identity",
    "P-Access-Network-Info",
    "Content-Length",
];

/// The lines of a request that must arrive as they were sent.
fn untouched(message: &Message) -> Vec<&str> {
    let edited = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().trim();
        EDITED.iter().any(|edited| name.eq_ignore_ascii_case(edited))
    };
    message.head.iter().map(String::as_str).filter(|line| !edited(line)).collect()
}

/// A request inside the dialog of the INVITE, as the UE sends it.
fn in_dialog(method: &str, dialog: &str, cseq: u32) -> String {
    format!(
        "{method} [next_url] SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport\n\
         [routes]\nMax-Forwards: 70\n[last_From:]\n[last_To:]\nCall-ID: {dialog}///[call_id]\n\
         CSeq: {cseq} {method}\nContent-Length: 0\n\n"
    )
}

/// The SDP answer of a messaging server (figure 5-50, before the edge).
const SERVER_ANSWER: &str = "v=0\no=- 33554432 0 IN IP4 [local_ip]\ns=-\nc=IN IP4 [local_ip]\nt=0 0\n\
    m=message 7654 TCP/MSRP *\na=accept-types:message/cpim text/plain\n\
    a=path:msrp://[local_ip]:7654/hwK3zBbqenxBFB;tcp\na=sendrecv\na=setup:passive\n";

#[test]
fn the_specification_s_messages_pass_the_edge() {
    for transport in ["udp", "tcp"] {
        through_the_edge(transport);
    }
}

fn through_the_edge(transport: &str) {
    let place = Place::new(&format!("sipp-edge-{transport}"));
    let core_address = place.address();
    let edge = Edge::start(&place, SocketAddr::new(core_address, 5060));
    // SIPp speaks no MSRP, and the edge ends a call whose messaging server refuses the connection: the
    // address in SERVER_ANSWER must at least take it.
    let _messaging_server = TcpListener::bind((core_address, 7654)).expect("the address is this test's own");

    let mut ue = register_as_ue(Scenario::new("ue"));
    let mut core = register_as_core(Scenario::new("core"), "secret");
    for name in PAGERS {
        ue = ue.request(&from_specification(&vector(name), name)).expect(202);
        core = core.expect_request("MESSAGE").send(&response(202, "Accepted", "", ""));
    }
    // R8: the link keep-alive is answered by the edge alone.
    let rkeep = from_specification(&vector("pager-04-message-rkeep"), "rkeep");
    ue = ue.request(&rkeep).expect(200);
    for name in REFUSED {
        ue = ue.request(&from_specification(&vector(name), name)).expect(400);
    }
    // A chat session: the edge puts itself between the media (R65..R67).
    ue = ue
        .request(&from_specification(&vector("chat-01-invite"), "chat"))
        .expect_dialog(200)
        .send(&in_dialog("ACK", "chat", 1))
        .request(&in_dialog("BYE", "chat", 2))
        .expect(200);
    let contact = "Contact: <sip:im@[local_ip]:[local_port]>\nContent-Type: application/sdp\n";
    core = core
        .expect_request("INVITE")
        .send(&response(200, "OK", contact, SERVER_ANSWER))
        .expect_request("ACK")
        .expect_request("BYE")
        .send(&response(200, "OK", "", ""));

    let seen = run(&place, transport, Some(edge.access(transport)), ue, (core_address, core));
    registration_bears_the_edge(&seen, &edge);
    for name in PAGERS {
        let (sent, got) = seen.request(name);
        assert_eq!(sent.body, got.body, "{name}");
        assert_eq!(untouched(sent), untouched(got), "{name}");
        assert_eq!(got.value("Max-Forwards"), Some("69"), "R31: {name}");
        assert!(got.value("P-Asserted-Identity").is_some_and(|id| id.contains("user")), "R27: {name}");
        assert!(got.value("P-Preferred-Identity").is_none(), "R27: {name}");
    }
    media_goes_through_the_edge(&seen, &edge);
    // R23, R26: the UE sees one Via, and nothing of the core.
    let hidden = [core_address, edge.core_address()].map(|address| address.to_string());
    for message in seen.ue.iter().filter(|m| m.inbound) {
        assert_eq!(message.values("Via").count(), 1, "{message:#?}");
        let text = format!("{}\n{}", message.head.join("\n"), message.body);
        assert!(!hidden.iter().any(|address| text.contains(address)), "{message:#?}");
    }
}

/// R14, R21.
fn registration_bears_the_edge(seen: &Seen, edge: &Edge) {
    let (_, register) = seen.request("register");
    let at_edge = format!("{}", edge.core_address());
    for name in ["Via", "Path", "Contact"] {
        assert!(register.value(name).is_some_and(|v| v.contains(&at_edge)), "{name}: {register:#?}");
    }
    assert_eq!(register.value("P-Visited-Network-ID"), Some("\"cmcc.rcs.com\""));
    let answer = seen.ue.iter().find(|m| m.inbound && m.status() == Some(200)).expect("a 200");
    assert!(answer.value("Path").is_none());
    assert!(answer.value("Contact").is_some_and(|c| c.contains("sip:user@10.201.66.64:3550")), "{answer:#?}");
}

fn media_goes_through_the_edge(seen: &Seen, edge: &Edge) {
    let (offer, offered) = seen.request("chat");
    let core = edge.core_address();
    assert!(offered.body.contains(&format!("c=IN IP4 {core}\n")), "{}", offered.body);
    assert!(offered.body.contains(&format!("a=path:msrp://{core}:")), "{}", offered.body);
    assert!(offered.body.contains("/10110;tcp\n"), "{}", offered.body);
    assert_eq!(second_part(&offer.body), second_part(&offered.body), "R36: the other part is not ours");

    let is_answer = |m: &&Message| m.inbound && m.status() == Some(200) && m.body.starts_with("v=0");
    let answer = seen.ue.iter().find(is_answer).expect("a session description");
    let access = edge.access_address();
    assert!(answer.body.contains(&format!("c=IN IP4 {access}\n")), "{}", answer.body);
    assert!(answer.body.contains(&format!("a=path:msrp://{access}:")), "{}", answer.body);
    assert!(answer.body.contains("/hwK3zBbqenxBFB;tcp\n"), "{}", answer.body);
    assert!(answer.body.contains("a=setup:passive\n"), "{}", answer.body);
}

fn second_part(body: &str) -> Option<&str> {
    body.match_indices("--spiderboundary").nth(1).map(|(at, _)| &body[at..])
}
