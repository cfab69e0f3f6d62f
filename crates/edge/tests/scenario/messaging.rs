//! R8, R9, R27–R32, R43–R48: pager mode, IMDN and keep-alives, both ways.

use crate::compare::assert_message;
use crate::ue::{SERVICE_ROUTE, message_to_ue, registered_udp};
use crate::world::{World, addr, header, response, to_core, udp, vector, vector_text};
use edge::Action;
use wire::{Cause, Realm, Transport};

const A: &str = "182.1.1.203:41200";
const B: &str = "182.1.1.203:41210";

pub fn message(user: &str, source: &str, branch: &str, more: &str) -> String {
    format!(
        "MESSAGE sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org SIP/2.0\r\n\
         Via: SIP/2.0/UDP {source};branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:{user}@bj.ims.mnc000.mcc460.3gppnetwork.org>;tag=t1\r\n\
         To: <sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org>\r\n\
         Call-ID: {branch}@{source}\r\n\
         CSeq: 1 MESSAGE\r\n\
         {more}\
         Content-Type: text/plain\r\n\
         Content-Length: 5\r\n\r\nhello"
    )
}

#[test]
fn a_pager_message_goes_to_the_core_and_its_answer_comes_back() {
    for (name, user) in [
        ("pager-01-message-cpim.sip", "user1"),
        ("pager-02-message-recipient-list.sip", "user1"),
        ("pager-03-message-vemoticon.sip", "user1"),
        ("fmt-01-message-multipart.sip", "user1"),
        ("imdn-01-message-fmt.sip", "user2"),
        ("imdn-02-message.sip", "user2"),
    ] {
        let mut world = World::new();
        let sent = vector_text(name);
        let via = header(&sent, "Via").unwrap();
        let source = via.split([' ', ';']).nth(1).unwrap().to_owned();
        registered_udp(&mut world, user, &source);
        world.datagram(&source, sent.as_bytes());
        let request = world.one();
        assert_eq!(request.hop, to_core(crate::world::CORE));
        let changed = [
            "Via",
            "Max-Forwards",
            "Contact",
            "Route",
            "P-Asserted-Identity",
            "P-Preferred-Identity",
            "P-Access-Network-Info",
        ];
        assert_message(&request.text(), &sent, &changed);
        assert_eq!(request.header("Route").unwrap(), SERVICE_ROUTE, "R22");
        let asserted = header(&sent, "P-Preferred-Identity")
            .unwrap_or_else(|| format!("<sip:{user}@bj.ims.mnc000.mcc460.3gppnetwork.org>"));
        assert_eq!(request.header("P-Asserted-Identity").unwrap(), asserted, "R27 {name}");
        assert_eq!(request.header("P-Preferred-Identity"), None);
        assert_eq!(request.header("Max-Forwards").unwrap(), "69");
        let contact = header(&sent, "Contact");
        let expected = contact.map(|c| c.replace(&source, crate::world::EDGE_CORE));
        assert_eq!(request.header("Contact"), expected, "R26: host and port only");
        assert!(!request.text().contains(&source), "{name}: nothing of the UE's address\n{}", request.text());

        let lines = "Server: IM-serv/OMA1.0\r\nMessageID: 4777249\r\nMax-Forwards: 60\r\n";
        world.core(&response(&request, "202 Accepted", lines));
        let answer = world.one();
        assert_eq!(answer.hop, udp(&source));
        let (ip, port) = source.split_once(':').unwrap();
        let via = via.replace(";rport", &format!(";received={ip};rport={port}"));
        assert_eq!(answer.header("Via").unwrap(), via, "R6");
        for name in ["From", "Call-ID", "CSeq"] {
            assert_eq!(answer.header(name), header(&sent, name), "R35");
        }
        assert_eq!(answer.header("To").unwrap(), format!("{};tag=far1", header(&sent, "To").unwrap()));
        assert_eq!(answer.header("MessageID").unwrap(), "4777249");
    }
}

#[test]
fn a_message_from_the_core_reaches_the_ue_as_the_figures_show() {
    for (name, user, ue) in
        [("pager-05-message-to-ue.sip", "user2", B), ("imdn-04-message-to-ue.sip", "user1", A)]
    {
        let mut world = World::new();
        let registered = registered_udp(&mut world, user, ue);
        let expected = vector_text(name);
        let via = header(&expected, "Via").unwrap();
        let inner =
            "SIP/2.0/UDP 182.1.1.64:5070;branch=z9hG4bKtop\r\nVia: SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKin";
        let from_core = expected
            .replacen(&via, inner, 1)
            .replacen("Max-Forwards: 67", &format!("Max-Forwards: 68\r\nRoute: {}", registered.path), 1)
            .replacen(
                "User-Agent",
                "Record-Route: <sip:10.9.9.9;lr>\r\nP-Charging-Vector: icid-value=1\r\nUser-Agent",
                1,
            );
        world.core(from_core.as_bytes());
        let got = world.one();
        assert_eq!(got.hop, udp(ue));
        assert_message(&got.text(), &expected, &["Via"]);
        assert_eq!(got.text().matches("Via:").count(), 1, "R23");
        assert!(got.header("Via").unwrap().starts_with("SIP/2.0/UDP 182.3.1.6:5060;branch=z9hG4bK"));

        let lines = format!(
            "Contact: <sip:{user}@{ue}>\r\nServer: RCS/1.3.0(And)\r\nP-Asserted-Identity: <sip:boss@x>\r\n"
        );
        let answer = response(&got, "200 OK", &lines);
        world.datagram(ue, &answer);
        let back = world.one();
        assert_eq!(back.hop, to_core("182.1.1.64:5070"));
        assert!(back.text().starts_with(&format!("SIP/2.0 200 OK\r\nVia: {inner}\r\n")), "{}", back.text());
        assert_eq!(back.header("Contact").unwrap(), format!("<sip:{user}@{}>", crate::world::EDGE_CORE));
        assert_eq!(back.header("P-Asserted-Identity"), None);
        assert_eq!(back.header("Server").unwrap(), "RCS/1.3.0(And)");
    }
}

#[test]
fn an_rkeep_is_answered_here_and_holds_the_link() {
    let mut world = World::new();
    let stream = world.open(Realm::Access, Transport::Tcp, A);
    world.bytes(stream, &vector("pager-04-message-rkeep.sip"));
    assert!(world.one().text().starts_with("SIP/2.0 403 "), "R8: not from a stranger");
    world.bytes(stream, crate::ue::register("user1", A, 1, "").as_bytes());
    let request = world.one();
    crate::ue::accept(&mut world, &request, 3600);
    world.sent();
    world.bytes(stream, &vector("pager-04-message-rkeep.sip"));
    let answer = world.one();
    assert!(answer.text().starts_with("SIP/2.0 200 "), "{}", answer.text());
    assert!(answer.header("Via").unwrap().contains("rkeep=600"));
    let held = world
        .actions
        .iter()
        .any(|a| matches!(a, Action::HoldOpen { at_least, .. } if at_least.as_secs() == 600));
    assert!(held);
    assert_eq!(world.edge.counters().rkeeps, 1);
}

#[test]
fn only_the_registered_may_speak_and_only_as_themselves() {
    let anonymous = "<sip:anonymous@anonymous.invalid>";
    let own = "<sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org>";
    let cases = [
        // From, preferred, asserted by the UE itself, expected
        (own, None, None, Ok(own)),
        (
            own,
            Some("\"Me\" <sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org>"),
            None,
            Ok("\"Me\" <sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org>"),
        ),
        (own, Some("<tel:+86-13900000001>"), None, Ok("<tel:+86-13900000001>")),
        (own, Some("<sip:boss@x.net>"), None, Ok(own)),
        (own, None, Some("<sip:boss@x.net>"), Ok(own)),
        (own, None, Some("<tel:+8613900000001>"), Ok("<tel:+8613900000001>")),
        (anonymous, None, None, Ok(own)),
        ("<sip:boss@x.net>", None, None, Err("403")),
        ("<sip:boss@x.net>", Some(own), None, Err("403")),
    ];
    for (from, preferred, asserted, expected) in cases {
        let mut world = World::new();
        registered_udp(&mut world, "user1", A);
        let line =
            |name: &str, value: Option<&str>| value.map(|v| format!("{name}: {v}\r\n")).unwrap_or_default();
        let more = line("P-Preferred-Identity", preferred) + &line("P-Asserted-Identity", asserted);
        let text =
            message("user1", A, "b1", &more).replacen(&format!("From: {own}"), &format!("From: {from}"), 1);
        world.datagram(A, text.as_bytes());
        let got = world.one();
        match expected {
            Ok(identity) => {
                assert_eq!(
                    got.header("P-Asserted-Identity").unwrap(),
                    identity,
                    "{from} {preferred:?} {asserted:?}"
                );
                assert_eq!(got.text().matches("P-Asserted-Identity").count(), 1);
            }
            Err(status) => {
                assert!(got.text().starts_with(&format!("SIP/2.0 {status}")));
                assert_eq!(world.edge.counters().rejects(Realm::Access, Cause::IdentityMismatch), 1);
            }
        }
    }
}

#[test]
fn a_dialled_number_is_completed_and_the_ue_gets_its_own_to_back() {
    let mut world = World::new();
    registered_udp(&mut world, "user1", A);
    let text = message("user1", A, "b1", "")
        .replace("sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org SIP", "+861008699999 SIP")
        .replace("To: <sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org>", "To: <+861008699999>");
    world.datagram(A, text.as_bytes());
    let request = world.one();
    assert!(request.text().starts_with("MESSAGE tel:+861008699999 SIP/2.0\r\n"), "{}", request.text());
    assert_eq!(request.header("To").unwrap(), "<tel:+861008699999>");
    world.core(&response(&request, "200 OK", ""));
    assert_eq!(world.one().header("To").unwrap(), "<+861008699999>;tag=far1");
}

#[test]
fn answers_with_from_and_to_exchanged_or_unreadable_are_put_right() {
    // q07, q08, q16: matched by branch, the UE gets its own From and To and the answerer's tag
    for (from, to, tag) in [
        ("<sip:user2@h>;tag=t1", "<sip:user1@h>;tag=far", "far"),
        ("<sip:user2@h>;tag=far", "<sip:user1@h>;tag=t1", "far"),
        ("<sip: sip:user1@h>;tag=t1", "<sip: sip:user2@h>;tag=far", "far"),
    ] {
        let mut world = World::new();
        registered_udp(&mut world, "user1", A);
        let sent = message("user1", A, "b1", "");
        world.datagram(A, sent.as_bytes());
        let request = world.one();
        let answer = String::from_utf8(response(&request, "200 OK", "")).unwrap();
        let answer = answer.replacen(&header(&answer, "From").unwrap(), from, 1).replacen(
            &header(&answer, "To").unwrap(),
            to,
            1,
        );
        world.core(answer.as_bytes());
        let got = world.one();
        assert_eq!(got.header("From"), header(&sent, "From"));
        assert_eq!(
            got.header("To").unwrap(),
            format!("{};tag={tag}", header(&sent, "To").unwrap()),
            "{from} {to}"
        );
    }
    let mut world = World::new();
    registered_udp(&mut world, "user1", A);
    world.datagram(A, message("user1", A, "b1", "").as_bytes());
    let request = world.one();
    let answer = String::from_utf8(response(&request, "200 OK", "")).unwrap();
    let answer = answer.replacen(&header(&answer, "To").unwrap(), "\"Conf\" sip:conf@ h", 1);
    world.core(answer.as_bytes());
    let to = world.one().header("To").unwrap();
    assert!(to.starts_with("<sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org>;tag="), "{to}");
}

#[test]
fn tokens_that_are_forged_stale_or_elsewhere() {
    let mut world = World::new();
    let registered = registered_udp(&mut world, "user2", B);
    let mut forged = registered.path.clone().into_bytes();
    forged[20] ^= 1;
    world.core(message_to_ue(core::str::from_utf8(&forged).unwrap(), "m1", "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 403 "));
    assert_eq!(world.edge.counters().rejects(Realm::Core, Cause::BadFlowToken), 1);
    world.core(message_to_ue("<sip:nobody@183.1.28.128:11065;lr>", "m2", "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 403 "));
    // without Route: by the Contact we registered, then by address of record
    let contact = registered.contact_at_core.trim_matches(['<', '>']).to_owned();
    for (branch, uri, found) in [
        ("m3", contact.as_str(), true),
        ("m4", "sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org", true),
        ("m5", "sip:user9@bj.ims.mnc000.mcc460.3gppnetwork.org", false),
    ] {
        let text = message_to_ue(&registered.path, branch, "")
            .replacen(&format!("Route: {}\r\n", registered.path), "", 1)
            .replacen("sip:someone@183.1.28.128:11065", uri, 1);
        world.core(text.as_bytes());
        let got = world.one().text();
        let expected = if found { "MESSAGE sip:user2@182.1.1.203:41210 SIP/2.0" } else { "SIP/2.0 404 " };
        assert!(got.starts_with(expected), "{uri}: {got}");
    }
    // the same token at another shard of the node
    let mut other = World::shard(crate::world::config(), 1);
    other.core(message_to_ue(&registered.path, "m6", "").as_bytes());
    assert!(matches!(other.actions[..], [Action::Handover { shard: wire::ShardId(0), .. }]));
}

#[test]
fn a_message_that_was_handed_over_is_served() {
    let mut world = World::new();
    let registered = registered_udp(&mut world, "user2", B);
    let text = message_to_ue(&registered.path, "m1", "");
    world.event(edge::Event::Handover {
        realm: Realm::Core,
        transport: Transport::Udp,
        source: addr("182.1.1.64:5070"),
        bytes: text.as_bytes(),
    });
    let got = world.one();
    assert_eq!(got.hop, udp(B));
    world.datagram(B, &response(&got, "200 OK", ""));
    assert_eq!(world.one().hop, to_core("182.1.1.64:5070"));
}

#[test]
fn privacy_and_inner_contacts_are_kept_from_the_ue() {
    let mut world = World::new();
    let registered = registered_udp(&mut world, "user2", B);
    let more = "Privacy: id\r\nContact: <sip:10.9.9.9:5060;transport=tcp>;+g.x=\"1\"\r\nWarning: 399 10.9.9.9 \"hm\"\r\n";
    world.core(message_to_ue(&registered.path, "m1", more).as_bytes());
    let got = world.one();
    assert_eq!(got.header("P-Asserted-Identity"), None);
    assert_eq!(got.header("Contact").unwrap(), "<sip:182.3.1.6:5060>;+g.x=\"1\"");
    assert_eq!(got.header("Warning").unwrap(), "399 182.3.1.6:5060 \"hm\"");
}

#[test]
fn options_to_the_edge_itself_are_answered_by_it() {
    let mut world = World::new();
    let text = message_to_ue("<sip:x>", "o1", "")
        .replace("MESSAGE sip:someone@183.1.28.128:11065", "OPTIONS sip:183.1.28.128:11065");
    let text = text.replace("1 MESSAGE", "1 OPTIONS").replace("Route: <sip:x>\r\n", "");
    world.core(text.as_bytes());
    let answer = world.one();
    assert!(answer.text().starts_with("SIP/2.0 200 "), "{}", answer.text());
    assert!(answer.header("Allow").unwrap().contains("MESSAGE"));
}

#[test]
fn a_draining_node_begins_nothing_new() {
    let mut world = World::new();
    registered_udp(&mut world, "user1", A);
    world.event(edge::Event::Drain);
    world.datagram(A, message("user1", A, "b1", "").as_bytes());
    let answer = world.one();
    assert!(answer.text().starts_with("SIP/2.0 503 "));
    assert!(answer.header("Retry-After").is_some());
    world.datagram(B, crate::ue::register("user2", B, 1, "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 503 "));
    // leaving is welcome
    world.datagram(A, crate::ue::register("user1", A, 2, "Expires: 0\r\n").as_bytes());
    assert!(world.one().text().starts_with("REGISTER "));
}
