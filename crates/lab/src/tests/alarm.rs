//! The alarm rings: one damaged message for each rule, against a core and a UE that know an edge.

use crate::scenario::people;
use crate::strict::SipMessage;
use crate::ue::Command;
use crate::{Core, CoreSettings, EdgeFacts, LabOutbox, Node, Topology, Ue, Violation};
use core::net::SocketAddr;
use std::sync::Arc;
use wire::{Instant, NetAction, NetEvent, SocketId};

const DOMAIN: &str = "ims.example.net";

fn topology() -> Arc<Topology> {
    Arc::new(Topology::Edge(Box::new(EdgeFacts {
        access_sip: vec!["pcscf.example.net".to_owned()],
        access_media: vec!["192.0.2.7".parse().unwrap()],
        core_sip: vec!["198.51.100.1:5070".to_owned()],
        core_media: vec!["198.51.100.2".parse().unwrap()],
        visited_network_id: "cmcc.rcs.com".to_owned(),
        hidden_from_ues: vec!["198.51.100".to_owned()],
        hidden_from_core: vec!["10.201.66".to_owned()],
    })))
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Hands a datagram to a node; returns what it sent.
fn feed(node: &mut dyn Node, source: &str, bytes: &[u8]) -> Vec<String> {
    let mut out = LabOutbox::default();
    let event = NetEvent::Datagram { socket: SocketId(0), source: address(source), bytes };
    node.handle(event, Instant::ZERO, &mut out);
    sent(&out)
}

fn sent(out: &LabOutbox) -> Vec<String> {
    let text = |action: &NetAction| match action {
        NetAction::Send { bytes, .. } => Some(String::from_utf8_lossy(bytes.of(&out.bytes)).into_owned()),
        NetAction::Close { .. } => None,
    };
    out.actions.iter().filter_map(text).collect()
}

fn rules(violations: &[Violation]) -> Vec<&'static str> {
    violations.iter().map(|v| v.rule).collect()
}

/// As an edge would send it for Alice, whose AKA REGISTER is her first.
fn register_of_alice() -> String {
    let tags: String = ["msg", "largemsg", "filetransfer", "session"]
        .map(|s| format!(";+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.{s}\""))
        .concat();
    format!(
        "REGISTER sip:{DOMAIN} SIP/2.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.1:5070;branch=z9hG4bKe;rport\r\n\
         Via: SIP/2.0/TLS 10.201.66.64:16864;branch=z9hG4bKu;rport=9;received=203.0.113.1\r\n\
         Call-ID: x\r\nFrom: <sip:alice@{DOMAIN}>;tag=1\r\nTo: <sip:alice@{DOMAIN}>\r\nCSeq: 1 REGISTER\r\n\
         Authorization: Digest username=\"alice@{DOMAIN}\", realm=\"{DOMAIN}\", nonce=\"\", \
         uri=\"sip:{DOMAIN}\", response=\"\", integrity-protected=\"no\"\r\n\
         Supported: 100rel, path\r\nP-Access-Network-Info: 3GPP-E-UTRAN-TDD;utran-cell-id-3gpp=4600800000000001\r\n\
         Contact: <sip:alice@198.51.100.1:5070;sip.instance=urn:gsma:imei:351564060017928>;expires=3600{tags}\r\n\
         Path: <sip:token@198.51.100.1:5070;lr>\r\nP-Visited-Network-ID: \"cmcc.rcs.com\"\r\n\
         Max-Forwards: 69\r\nContent-Length: 0\r\n\r\n"
    )
}

fn core() -> Core {
    let mut settings = CoreSettings::new(DOMAIN, address("198.51.100.9:5060"), address("198.51.100.9:2855"));
    settings.subscribers = people(DOMAIN).iter().map(|p| p.subscriber()).collect();
    settings.topology = topology();
    Core::new(settings)
}

#[test]
fn a_good_register_is_challenged_with_keys_for_the_edge() {
    let mut core = core();
    let answers = feed(&mut core, "198.51.100.1:5070", register_of_alice().as_bytes());
    assert_eq!(core.violations(), []);
    assert_eq!(answers.len(), 1);
    for part in ["SIP/2.0 401 ", "ck=\"", "ik=\"", "algorithm=AKAv1-MD5", "received=198.51.100.1"] {
        assert!(answers[0].contains(part), "{part}: {}", answers[0]);
    }
}

#[test]
fn the_core_sees_each_fault_of_a_register() {
    for (from, to, rule) in [
        ("UDP 198.51.100.1:5070", "UDP 198.51.100.3:5070", "R23"),
        (";rport=9;received=203.0.113.1", "", "R23"),
        ("branch=z9hG4bKe", "branch=e", "R23"),
        ("Max-Forwards: 69", "Max-Forwards: 70", "R31"),
        ("Path: <sip:token@198.51.100.1:5070;lr>\r\n", "", "R14"),
        ("sip:token@198.51.100.1:5070;lr", "sip:token@198.51.100.1:5070", "R14"),
        ("sip:token@198.51.100.1:5070;lr", "sip:198.51.100.1:5070;lr", "R14"),
        ("sip:token@198.51.100.1:5070;lr", "sip:token@198.51.100.3:5070;lr", "R14"),
        ("\"cmcc.rcs.com\"", "cmcc.rcs.com", "R14"),
        ("100rel, path", "100rel", "R14"),
        (";sip.instance=urn:gsma:imei:351564060017928", "", "R14"),
        ("cpm.session\"", "cpm.session\";+g.3gpp.icsi-ref=\"x\"", "R14"),
        ("Call-ID: x", "Call-ID: x@10.201.66.64", "R14"),
        ("<sip:alice@198.51.100.1:5070", "<sip:alice@10.201.66.64:5070", "R26"),
        (", integrity-protected=\"no\"", "", "R16"),
        ("integrity-protected=\"no\"", "integrity-protected=no", "R16"),
        ("integrity-protected=\"no\"", "integrity-protected=\"yes\"", "R16"),
        ("Supported:", "Security-Client: tls\r\nSupported:", "R28"),
        ("Supported:", "Proxy-Require: sec-agree\r\nSupported:", "R18"),
        ("Supported:", "Require:\r\nSupported:", "R18"),
        ("P-Access-Network-Info", "X-Access", "R15"),
        ("Content-Length: 0", "Content-Length: 1", "RFC 3261 §7"),
        ("Content-Length: 0\r\n", "", "R33"),
    ] {
        let text = register_of_alice();
        assert!(text.contains(from), "{from}");
        let mut core = core();
        feed(&mut core, "198.51.100.1:5070", text.replacen(from, to, 1).as_bytes());
        assert!(rules(core.violations()).contains(&rule), "{from:?} -> {to:?}: {:?}", core.violations());
    }
}

fn ue() -> Ue {
    let mut settings = people(DOMAIN)[3].ue(address("192.0.2.7:5060"));
    settings.topology = topology();
    Ue::new(settings)
}

const MESSAGE: &str = "MESSAGE sip:dave@10.201.66.67:16867 SIP/2.0\r\n\
    Via: SIP/2.0/UDP pcscf.example.net:5060;branch=z9hG4bKe\r\nCall-ID: x@ims.example.net\r\n\
    From: <sip:alice@ims.example.net>;tag=1\r\nTo: <sip:dave@ims.example.net>\r\nCSeq: 1 MESSAGE\r\n\
    Max-Forwards: 67\r\nApp_Type: lab/1.0;;  x=\"as it is\" , ,\r\nP-Asserted-Identity: <sip:alice@ims.example.net>\r\n\
    Content-Type: message/cpim\r\nContent-Length: 61\r\n\r\n\
    From: <sip:alice@x>\r\n\r\nContent-Type: text/plain\r\n\r\nhello dave";

#[test]
fn the_ue_sees_each_fault_of_a_message() {
    let mut good = ue();
    let answers = feed(&mut good, "192.0.2.7:5060", MESSAGE.as_bytes());
    assert_eq!(good.violations(), []);
    assert!(answers[0].starts_with("SIP/2.0 200 "), "{answers:?}");
    for (from, to, rule) in [
        ("UDP pcscf.example.net", "UDP 203.0.113.9", "R23"),
        ("Call-ID:", "Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\nCall-ID:", "R23"),
        ("x@ims", "x@198.51.100.9-ims", "R23"),
        ("Max-Forwards: 67", "Max-Forwards: 70", "R31"),
        ("Max-Forwards: 67\r\n", "", "R31"),
        ("Max-Forwards: 67", "Max-Forwards: 68", "R31"),
        ("App_Type: lab/1.0;;", "App_Type: lab/1.0;", "R30"),
        ("P-Asserted-Identity", "X-Identity", "R45"),
        ("sip:dave@10.201.66.67:16867 SIP", "sip:eve@10.201.66.67:16867 SIP", "R45"),
        ("Max-Forwards", "P-Charging-Vector: icid-value=1\r\nMax-Forwards", "R28"),
        ("Max-Forwards", "Route: <sip:x>\r\nMax-Forwards", "R28"),
        ("Max-Forwards", "Contact: <sip:a@203.0.113.9>\r\nMax-Forwards", "R26"),
        ("Max-Forwards", "Record-Route: <sip:pcscf.example.net>\r\nMax-Forwards", "R25"),
        ("message/cpim", "text/plain", "R30"),
        ("Content-Length: 61", "Content-Length: 60", "RFC 3261 §7"),
    ] {
        assert!(MESSAGE.contains(from), "{from}");
        let mut ue = ue();
        feed(&mut ue, "192.0.2.7:5060", MESSAGE.replacen(from, to, 1).as_bytes());
        assert!(rules(ue.violations()).contains(&rule), "{from:?} -> {to:?}: {:?}", ue.violations());
    }
}

/// The 401 that an edge would give back to the REGISTER the UE has just sent.
fn challenge_for(register: &str) -> String {
    let request = SipMessage::parse(register.as_bytes()).unwrap();
    let via = request.first("Via").unwrap().replacen(";rport", ";rport=9", 1);
    let field = |name: &str| format!("{name}: {}\r\n", request.first(name).unwrap());
    format!(
        "SIP/2.0 401 Unauthorized\r\nVia: {via};received=203.0.113.1\r\n{}{}{}{}\
         WWW-Authenticate: Digest realm=\"{DOMAIN}\", nonce=\"bm9uY2U=\", algorithm=MD5\r\nContent-Length: 0\r\n\r\n",
        field("Call-ID"),
        field("From"),
        field("To").replacen("\r\n", ";tag=t\r\n", 1),
        field("CSeq"),
    )
}

#[test]
fn the_ue_sees_each_fault_of_a_401() {
    for (from, to, rule) in [
        ("", "", ""),
        (";received=203.0.113.1", "", "R6"),
        (";rport=9", ";rport", "R6"),
        (";rport=9", "", "R6"),
        ("10.201.66.67:16867;", "203.0.113.1:9;", "R6"),
        ("\r\nCall-ID", ", SIP/2.0/UDP h;branch=z9hG4bKx\r\nCall-ID", "R23"),
        ("Call-ID: ", "Call-ID: asbc", "R24"),
        ("CSeq: 1", "CSeq: 2", "R35"),
        ("From: <sip:dave", "From: <sip:eve", "R35"),
        (";tag=t", ";x=t", "R35"),
        ("algorithm=MD5", "algorithm=MD5, ck=\"00\"", "R17"),
        ("algorithm=MD5", "algorithm=MD5, IK=\"00\"", "R17"),
        ("Content-Length", "P-Visited-Network-ID: \"x\"\r\nContent-Length", "R28"),
        ("Content-Length", "Warning: 399 198.51.100.9 \"x\"\r\nContent-Length", "R23"),
    ] {
        let mut ue = ue();
        let mut out = LabOutbox::default();
        ue.command(Command::Register, Instant::ZERO, &mut out);
        let text = challenge_for(&sent(&out)[0]);
        assert!(text.contains(from), "{from}");
        feed(&mut ue, "192.0.2.7:5060", text.replacen(from, to, 1).as_bytes());
        let seen = rules(ue.violations());
        assert!(
            seen.contains(&rule) || (rule.is_empty() && seen.is_empty()),
            "{to:?}: {:?}",
            ue.violations()
        );
    }
}
