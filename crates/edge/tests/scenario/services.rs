//! R58 to R60 and the methods without a dialog: capabilities, public accounts, spam reports, presence.

use crate::calls::{A, assert_clean, chatting, inside, inside_from_core};
use crate::compare::assert_message;
use crate::ue::{SERVICE_ROUTE, registered_udp};
use crate::world::{CORE, EDGE_CORE, World, header, response, to_core, udp, vector_text};
use wire::Realm;

const B: &str = "182.1.1.203:41210";
/// What the edge changes in a request of a UE.
const CHANGED: [&str; 6] =
    ["Via", "Max-Forwards", "Contact", "Route", "P-Asserted-Identity", "P-Access-Network-Info"];

/// Vectors cap-01 and cap-02: a UE asks, the core answers for the one who is off line.
#[test]
fn capabilities_of_somebody_off_line() {
    let mut world = World::new();
    registered_udp(&mut world, "user2", A);
    let options = vector_text("cap-01-options.sip");
    world.datagram(A, options.as_bytes());
    let request = world.one();
    assert_message(&request.text(), &options, &CHANGED);
    assert_eq!(request.header("Route").unwrap(), SERVICE_ROUTE);
    assert_eq!(
        request.header("Contact").unwrap(),
        header(&options, "Contact").unwrap().replace(A, EDGE_CORE),
        "R58"
    );
    let asserted = request.header("P-Asserted-Identity").unwrap();
    assert!(
        !asserted.contains("tel:user2"),
        "R29: the UE's own assertion is no more than a wish: {asserted}"
    );
    assert_eq!(request.text().matches("P-Asserted-Identity").count(), 1);

    let printed = vector_text("cap-02-200-offline.sip");
    let via = header(&printed, "Via").unwrap();
    let answer = printed.replacen(&via, &request.header("Via").unwrap(), 1);
    world.core(answer.as_bytes());
    let got = world.one();
    assert_eq!(got.hop, udp(A));
    let contact = header(&printed, "Contact").unwrap().replace("10.71.174.102:5075", "182.3.1.6:5060");
    assert_eq!(got.header("Contact").unwrap(), contact, "R26, R58");
    assert_message(&got.text(), &printed, &["Via", "Contact"]);
}

/// Vectors cap-03 and cap-04: the core asks, the UE answers for itself.
#[test]
fn capabilities_of_a_ue_on_line() {
    let mut world = World::new();
    let ue = registered_udp(&mut world, "user1", B);
    let printed = vector_text("cap-03-options-to-ue.sip");
    let via = header(&printed, "Via").unwrap();
    let vias = format!("SIP/2.0/UDP {CORE};branch=z9hG4bKopt, SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKin");
    let options = printed
        .replacen(&via, &vias, 1)
        .replacen("<sip:182.3.1.6:5060>", "<sip:10.71.174.102:5061;transport=tcp>", 1)
        .replacen(
            "Max-Forwards: 67",
            &format!("Max-Forwards: 68\r\nRoute: {}\r\nRecord-Route: <sip:10.9.9.9;lr>", ue.path),
            1,
        );
    world.core(options.as_bytes());
    let request = world.one();
    assert_eq!(request.hop, udp(B));
    assert_message(&request.text(), &printed, &["Via"]);
    assert!(!request.text().contains("10.9.9.9") && !request.text().contains("10.71."));

    let answer = vector_text("cap-04-200-online.sip");
    let via = header(&answer, "Via").unwrap();
    world.datagram(B, answer.replacen(&via, &request.header("Via").unwrap(), 1).as_bytes());
    let got = world.one();
    assert_eq!(got.hop, to_core(CORE));
    assert_message(&got.text(), &answer, &["Via", "Contact"]);
    assert_eq!(
        got.header("Contact").unwrap(),
        header(&answer, "Contact").unwrap().replace(B, EDGE_CORE),
        "R58"
    );
}

/// Vector pa-02 (pa-01 is an INVITE like any other): a public account writes, UTF-8 and all (R59).
#[test]
fn a_public_account_writes_to_a_ue() {
    let mut world = World::new();
    let ue = registered_udp(&mut world, "user2", B);
    let printed = vector_text("pa-02-message.sip");
    let via = header(&printed, "Via").unwrap();
    let message = printed.replacen(&via, &format!("SIP/2.0/UDP {CORE};branch=z9hG4bKpa"), 1).replacen(
        "Max-Forwards: 70",
        &format!("Max-Forwards: 70\r\nRoute: {}", ue.path),
        1,
    );
    world.core(message.as_bytes());
    let got = world.one();
    assert_eq!(got.hop, udp(B));
    let start = printed.lines().next().unwrap();
    let expected = printed.replacen(start, &format!("MESSAGE sip:user2@{B} SIP/2.0"), 1);
    assert_message(&got.text(), &expected, &["Via", "Max-Forwards"]);
    world.datagram(B, &response(&got, "200 OK", ""));
    assert!(world.one().text().starts_with("SIP/2.0 200 "));
}

/// Vector pa-01: a public account invites (R59).
#[test]
fn a_public_account_invites_a_ue() {
    let mut world = World::new();
    let printed = vector_text("pa-01-invite.sip");
    let user = header(&printed, "To").unwrap();
    let user = user.split("sip:").nth(1).unwrap().split('@').next().unwrap().to_owned();
    let ue = registered_udp(&mut world, &user, B);
    let via = header(&printed, "Via").unwrap();
    let invite = printed.replacen(&via, &format!("SIP/2.0/UDP {CORE};branch=z9hG4bKpa"), 1).replacen(
        "Max-Forwards: 70",
        &format!("Max-Forwards: 70\r\nRoute: {}", ue.path),
        1,
    );
    world.core(invite.as_bytes());
    let got = world.sent().remove(0);
    assert_eq!(got.hop, udp(B), "{}", got.text());
    assert_eq!(got.header("From"), header(&printed, "From"));
    assert_eq!(got.header("Contact").unwrap().split('>').next(), Some("<sip:182.3.1.6:5060"));
    assert!(got.text().contains("a=path:msrp://182.3.1.7:2855/"), "{}", got.text());
    world.datagram(B, &response(&got, "603 Decline", ""));
    world.sent();
    assert_clean(&mut world);
}

/// Vector spam-01, and the same as a MESSAGE: a bare number is completed, the evidence is verbatim (R60).
#[test]
fn a_spam_report_keeps_its_evidence() {
    let ue = "131.1.1.125:5060";
    let invite = vector_text("spam-01-invite-bare-number.sip");
    let body = invite.split_once("\r\n\r\n").unwrap().1;
    for method in ["INVITE", "MESSAGE"] {
        let mut world = World::new();
        registered_udp(&mut world, "user1", ue);
        world.datagram(ue, invite.replace("INVITE", method).as_bytes());
        let request = world.sent().remove(0);
        assert!(
            request.text().starts_with(&format!("{method} tel:+861008699999 SIP/2.0\r\n")),
            "{}",
            request.text()
        );
        let sent = request.text();
        let sent = sent.split_once("\r\n\r\n").unwrap().1;
        let parts = |text: &str| text.split("--BY").map(str::to_owned).collect::<Vec<_>>();
        let (before, after) = (parts(body), parts(sent));
        assert_eq!((before.len(), &before[1], &before[3]), (after.len(), &after[1], &after[3]), "R42, R60");
        assert_eq!(after[2].contains("182.2.1.4"), method == "INVITE", "only a session is anchored");
        assert_eq!(before[2] == after[2], method == "MESSAGE");
    }
}

/// Methods that neither make nor need a dialog pass with the header policy of both ways.
#[test]
fn publish_and_other_methods_pass_both_ways() {
    for method in ["PUBLISH", "NOTIFY"] {
        let mut world = World::new();
        let ue = registered_udp(&mut world, "user1", A);
        let text = format!(
            "{method} sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org SIP/2.0\r\nVia: SIP/2.0/UDP {A};branch=z9hG4bKp\r\nMax-Forwards: 70\r\n\
             From: <sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org>;tag=1\r\nTo: <sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org>\r\n\
             Call-ID: p1\r\nCSeq: 1 {method}\r\nEvent: presence\r\nSIP-If-Match: e1\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n"
        );
        world.datagram(A, text.as_bytes());
        let request = world.one();
        assert_message(&request.text(), &text, &CHANGED);
        assert_eq!(request.header("Record-Route"), None, "it makes no dialog");
        world.core(&response(&request, "200 OK", "SIP-ETag: e2\r\nExpires: 1800\r\n"));
        let got = world.one();
        assert_eq!((got.header("SIP-ETag"), got.header("Expires")), (Some("e2".into()), Some("1800".into())));

        let text = crate::ue::message_to_ue(&ue.path, "pb", "Event: presence\r\n").replace("MESSAGE", method);
        world.core(text.as_bytes());
        let got = world.one();
        assert_eq!(got.hop, udp(A));
        assert!(!got.text().contains("10.9.9.9"), "{}", got.text());
    }
}

/// INFO inside a call, both ways, with a body that is nobody's business.
#[test]
fn info_passes_inside_a_call() {
    let mut world = World::new();
    let (invite, request, ok) = chatting(&mut world);
    let body = "Signal=5\r\nDuration=160\r\n";
    let with_body = |text: String| {
        let length =
            format!("Content-Type: application/dtmf-relay\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        text.replace("Content-Length: 0\r\n\r\n", &length)
    };
    world.core(with_body(inside_from_core(&request, "INFO", 4, "Info-Package: x\r\n")).as_bytes());
    let got = world.one();
    assert_eq!((got.hop, got.header("Info-Package")), (udp(A), Some("x".into())));
    assert!(got.text().ends_with(body));
    world.datagram(A, &response(&got, "200 OK", ""));
    world.one();
    world.datagram(A, inside(&invite, &ok, "INFO", 2, "Info-Package: x\r\n").as_bytes());
    let got = world.one();
    assert_eq!(got.header("Info-Package"), Some("x".into()));
    world.core(&response(&got, "469 Bad Info Package", ""));
    assert!(world.one().text().starts_with("SIP/2.0 469 "));
    assert_eq!(world.edge.counters().rejects(Realm::Access, wire::Cause::UnknownDialog), 0);
}

/// R27, R63: one SIM, several numbers: each of P-Associated-URI may be used, and no other.
#[test]
fn any_associated_identity_may_be_used() {
    let home = "<sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org>";
    for (wish, asserted) in [
        ("", home),
        ("P-Preferred-Identity: <tel:+8613900000001>\r\n", "<tel:+8613900000001>"),
        ("P-Preferred-Identity: \"Li\" <tel:+86-139-0000-0001>\r\n", "\"Li\" <tel:+86-139-0000-0001>"),
        ("P-Asserted-Identity: <tel:+8613900000001>\r\n", "<tel:+8613900000001>"),
        ("P-Preferred-Identity: <tel:+8613900000002>\r\n", home),
    ] {
        let mut world = World::new();
        registered_udp(&mut world, "user1", A);
        world.datagram(A, crate::messaging::message("user1", A, "b1", wish).as_bytes());
        let request = world.one();
        assert_eq!(request.header("P-Asserted-Identity").unwrap(), asserted, "{wish}");
        assert_eq!(request.header("P-Preferred-Identity"), None);
    }
}
