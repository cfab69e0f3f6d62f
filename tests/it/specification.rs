//! The specification's own messages, sent by SIPp as UE to SIPp as core.

use gatehouse_tests::place::Place;
use gatehouse_tests::sipp::{Scenario, Sipp, Stand, from_specification, response};
use gatehouse_tests::trace::Message;
use std::net::{IpAddr, SocketAddr};

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
