//! R24 to R26, R49 to R56, R64 to R72: INVITE, its dialogs and their media, both ways.

use crate::compare::assert_message;
use crate::ue::{SERVICE_ROUTE, registered_udp};
use crate::world::{CORE, EDGE_CORE, Sent, World, header, response, to_core, udp, vector_text};
use core::time::Duration;
use edge::{Action, Record};
use media::command::{MediaCommand, MsrpSession};
use wire::{Cause, MediaId, Realm, Transport};

pub const A: &str = "182.1.1.203:41200";
pub const B: &str = "182.1.1.203:41210";
pub const SECONDS: Duration = Duration::from_secs(1);

/// What the relay was ordered since the last look: sessions opened or changed, and ids released.
pub fn ordered(world: &mut World) -> (Vec<MsrpSession>, Vec<MediaId>) {
    let (mut sessions, mut released) = (Vec::new(), Vec::new());
    for action in core::mem::take(&mut world.actions) {
        match action {
            Action::Media(MediaCommand::Msrp(session)) => sessions.push(*session),
            Action::Media(MediaCommand::Release { id, .. }) => released.push(id),
            _ => {}
        }
    }
    (sessions, released)
}

pub fn ends(world: &mut World) -> Vec<Cause> {
    let records = core::mem::take(&mut world.records);
    let end = |record| match record {
        Record::DialogEnded { cause, .. } => Some(cause),
        _ => None,
    };
    records.into_iter().filter_map(end).collect()
}

/// Nothing is left of any call, once its INVITE can no longer be repeated.
#[track_caller]
pub fn assert_clean(world: &mut World) {
    world.pass(40 * SECONDS);
    let counters = world.edge.counters();
    assert_eq!((counters.calls, counters.media_sessions), (0, 0));
}

/// A response with a body, tagged `tag` unless the request was.
pub fn answer(request: &Sent, status: &str, tag: &str, lines: &str, body: &str) -> Vec<u8> {
    let plain = String::from_utf8(response(request, status, lines)).unwrap();
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    let length = format!("{kind}Content-Length: {}\r\n\r\n{body}", body.len());
    plain
        .replace("tag=far1", &format!("tag={tag}"))
        .replace("Content-Length: 0\r\n\r\n", &length)
        .into_bytes()
}

pub fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").unwrap().1
}

pub fn body_of(name: &str) -> String {
    body(&vector_text(name)).to_owned()
}

/// The SDP of `vector` as its maker on the core side wrote it.
pub fn core_sdp(name: &str) -> String {
    let printed = vector_text(name);
    let sdp = &printed[printed.find("v=0").unwrap()..];
    let port = sdp.split("m=message ").nth(1).unwrap().split(' ').next().unwrap();
    sdp.replace("182.3.1.7", "182.1.1.64").replace(port, "7654").replace("s=SBC call", "s=-")
}

/// `name` with the ports of the figures in the place of the shard's own.
fn printed_sdp(text: &str, port: &str) -> String {
    text.replace(":2855", &format!(":{port}")).replace("message 2855", &format!("message {port}"))
}

const ROUTES: &str = "<sip:182.1.1.65:5080;lr>, <sip:182.1.1.66;lr;x=1>";
pub const CORE_CONTACT: &str = "<sip:as@10.71.174.102:5061;transport=tcp>";

/// A UE that has sent `name` and what reached the core.
pub fn invited(world: &mut World, name: &str) -> (String, Sent) {
    registered_udp(world, "user1", A);
    let invite = vector_text(name);
    world.datagram(A, invite.as_bytes());
    let mut sent = world.sent();
    assert_eq!(sent.len(), 2, "{:#?}", sent.iter().map(Sent::text).collect::<Vec<_>>());
    let trying = sent.remove(1).text();
    assert!(trying.starts_with("SIP/2.0 100 Trying\r\n") && !trying.contains("To: <sip:user2>;tag"));
    (invite, sent.remove(0))
}

/// The same, answered with a 200 as in figure 5-50.
pub fn chatting(world: &mut World) -> (String, Sent, Sent) {
    let (invite, request) = invited(world, "chat-01-invite.sip");
    let own = request.header("Record-Route").unwrap();
    let lines = format!(
        "Record-Route: <sip:182.1.1.66;lr;x=1>, <sip:182.1.1.65:5080;lr>, {own}\r\nContact: {CORE_CONTACT}\r\n"
    );
    world.core(&answer(&request, "200 OK", "far1", &lines, &core_sdp("chat-02-200.sip")));
    let ok = world.one();
    (invite, request, ok)
}

/// A request of the UE inside the dialog of `invite`, which `ok` confirmed.
pub fn inside(invite: &str, ok: &Sent, method: &str, cseq: u32, more: &str) -> String {
    let contact = ok.header("Contact").unwrap();
    let uri = contact.split(['<', '>']).nth(1).unwrap().trim();
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {A};branch=z9hG4bKin{method}{cseq}\r\nMax-Forwards: 70\r\n\
         Route: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n{more}Content-Length: 0\r\n\r\n",
        ok.header("Record-Route").unwrap(),
        header(invite, "From").unwrap(),
        ok.header("To").unwrap(),
        header(invite, "Call-ID").unwrap(),
    )
}

/// A request of the core inside the dialog of `request`, which the edge had sent it.
pub fn inside_from_core(request: &Sent, method: &str, cseq: u32, more: &str) -> String {
    let contact = request.header("Contact").unwrap();
    let uri = contact.split(['<', '>']).nth(1).unwrap().trim().to_owned();
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {CORE};branch=z9hG4bKco{method}{cseq}\r\nMax-Forwards: 70\r\n\
         Route: {}\r\nFrom: {};tag=far1\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n{more}Content-Length: 0\r\n\r\n",
        request.header("Record-Route").unwrap(),
        request.header("To").unwrap(),
        request.header("From").unwrap(),
        request.header("Call-ID").unwrap(),
    )
}

/// Vectors chat-01, chat-02: the whole life of a chat that the UE begins.
#[test]
fn a_chat_of_the_ue_from_invite_to_bye() {
    let mut world = World::new();
    let (invite, request, ok) = chatting(&mut world);
    assert_eq!(request.hop, to_core(CORE));
    let changed = [
        "Via",
        "Max-Forwards",
        "Contact",
        "Record-Route",
        "Route",
        "P-Asserted-Identity",
        "P-Access-Network-Info",
        "Content-Length",
    ];
    let expected = invite.replace(body(&invite), body(&request.text()));
    assert_message(&request.text(), &expected, &changed);
    assert_eq!(request.header("Route").unwrap(), SERVICE_ROUTE);
    assert_eq!(
        request.header("Contact").unwrap(),
        header(&invite, "Contact").unwrap().replace(A, EDGE_CORE).replace("transport=tcp", "transport=udp")
    );
    let own = request.header("Record-Route").unwrap();
    assert!(own.starts_with("<sip:") && own.ends_with(&format!("@{EDGE_CORE};transport=udp;lr>")), "{own}");
    assert!(body(&request.text()).contains("a=path:msrp://182.2.1.4:2855/10110;tcp"));
    assert!(!request.text().contains("182.1.1.203:"), "{}", request.text());

    // The answer as the UE sees it: figure 5-50, and a Record-Route of ours (R25).
    assert_eq!(ok.hop, udp(A));
    let shown = printed_sdp(&ok.text(), "40410");
    let chat_02 = vector_text("chat-02-200.sip");
    assert_eq!(body(&shown), body(&chat_02));
    assert_eq!(ok.header("Contact").unwrap(), "<sip:182.3.1.6:5060>");
    assert_eq!(ok.own_route(), "<sip:182.3.1.6:5060;transport=udp;lr>");
    assert_eq!(ok.text().matches("Record-Route").count(), 1);
    assert!(!ok.text().contains("182.1.1.6") && !ok.text().contains("10.71."), "{}", ok.text());
    let (sessions, _) = ordered(&mut world);
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].access.local_path, "msrp://182.3.1.7:2855/hwK3zBbqenxBFB;tcp");
    assert_eq!(sessions[0].access.expect_source, Some("182.1.1.203".parse().unwrap()));

    // ACK: to the route set of the core, with its target; no answer, no state.
    world.datagram(A, inside(&invite, &ok, "ACK", 1, "").as_bytes());
    let ack = world.one();
    assert_eq!(ack.hop, to_core("182.1.1.65:5080"));
    assert!(
        ack.text().starts_with("ACK sip:as@10.71.174.102:5061;transport=tcp SIP/2.0\r\n"),
        "{}",
        ack.text()
    );
    assert_eq!(ack.header("Route").unwrap(), ROUTES);
    assert_eq!(ack.text().matches("Via:").count(), 1);

    // BYE of the core, over our Record-Route.
    world.core(inside_from_core(&request, "BYE", 7, "Reason: SIP;cause=200;text=\"booted\"\r\n").as_bytes());
    let bye = world.one();
    assert_eq!(bye.hop, udp(A));
    assert!(
        bye.text().starts_with(&format!("BYE sip:user1@{A};transport=tcp SIP/2.0\r\n")),
        "{}",
        bye.text()
    );
    assert_eq!(bye.header("Reason").unwrap(), "SIP;cause=200;text=\"booted\"", "R56");
    assert_eq!((bye.header("Route"), bye.text().matches("Via:").count()), (None, 1));
    world.datagram(A, &response(&bye, "200 OK", ""));
    let done = world.one();
    assert_eq!(done.hop, to_core(CORE));
    assert_eq!(ordered(&mut world).1, [sessions[0].id]);
    assert_eq!(ends(&mut world), [Cause::Bye]);
    assert_clean(&mut world);
    // What comes after belongs to nothing.
    world.datagram(A, inside(&invite, &ok, "INFO", 3, "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 481 "));
    world.datagram(A, inside(&invite, &ok, "ACK", 3, "").as_bytes());
    world.none();
}

/// `name` as the core sends it: its own inner routes and addresses, our Path, its SDP.
pub fn from_core(name: &str, path: &str) -> String {
    let printed = vector_text(name);
    let via = header(&printed, "Via").unwrap();
    let contact = header(&printed, "Contact").unwrap();
    let inner = format!("SIP/2.0/UDP {CORE};branch=z9hG4bKtop\r\nVia: SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKin");
    let with_sdp = match printed.find("v=0") {
        Some(at) => {
            let end = printed[at..].find("\r\n\r\n").map_or(printed.len(), |n| at + n + 2);
            let sdp = core_sdp(name);
            let sdp = &sdp[..sdp.find("\r\n\r\n").map_or(sdp.len(), |n| n + 2)];
            format!("{}{sdp}{}", &printed[..at], &printed[end..])
        }
        None => printed.clone(),
    };
    let contact_from = if contact.contains("isfocus") {
        contact.clone()
    } else {
        contact.replace("182.3.1.6:5060", "10.71.174.102:5061")
    };
    let text = with_sdp
        .replacen(
            &format!("Record-Route: {}\r\n", header(&printed, "Record-Route").unwrap_or_default()),
            "",
            1,
        )
        .replacen(&via, &inner, 1)
        .replacen(&contact, &contact_from, 1)
        .replacen(
            "Max-Forwards: 67",
            &format!("Max-Forwards: 68\r\nRoute: {path}\r\nRecord-Route: {ROUTES}"),
            1,
        );
    let (head, rest) = text.split_once("\r\n\r\n").unwrap();
    let length = header(&printed, "Content-Length").unwrap();
    let head = head.replace(&format!("Content-Length: {length}"), &format!("Content-Length: {}", rest.len()));
    format!("{head}\r\n\r\n{rest}")
}

/// Vectors ft-09/10, grp-05/06, chat-04, lm-04: INVITEs for a UE, answered by it.
#[test]
fn an_invite_for_the_ue_from_invite_to_bye() {
    for (name, answered, port) in [
        ("ft-09-invite-file-to-ue.sip", "ft-10-200-from-ue.sip", "41492"),
        ("grp-05-invite-to-ue.sip", "grp-06-200-from-ue.sip", "41652"),
    ] {
        let mut world = World::new();
        let registered = registered_udp(&mut world, "user2", B);
        world.core(from_core(name, &registered.path).as_bytes());
        let mut sent = world.sent();
        assert!(sent.remove(1).text().starts_with("SIP/2.0 100 "), "{name}");
        let request = sent.remove(0);
        assert_eq!(request.hop, udp(B));
        let shown = printed_sdp(&request.text(), port);
        let printed = vector_text(name);
        let uri = format!("INVITE sip:user2@{B} SIP/2.0");
        let printed = printed.replacen(printed.split("\r\n").next().unwrap(), &uri, 1);
        assert_message(&shown, &printed, &["Via", "Record-Route", "Content-Length"]);
        assert_eq!(request.own_route(), "<sip:182.3.1.6:5060;transport=udp;lr>");
        for inner in ["10.9.9.9", "10.71.", "182.1.1.64:", "182.1.1.65"] {
            assert!(!request.text().contains(inner), "{name}: {inner}");
        }
        let (reserved, _) = ordered(&mut world);
        assert_eq!(reserved.len(), 1, "the UE may connect at once");

        // The UE's 200: its SDP, its Contact with whatever stands in it, the core's own route set.
        let ok = vector_text(answered);
        let contact = header(&ok, "Contact").unwrap();
        world.datagram(B, &answer(&request, "200 OK", "ue1", &format!("Contact: {contact}\r\n"), body(&ok)));
        let to_core_ok = world.one();
        assert_eq!(to_core_ok.hop, to_core(CORE));
        let routes = to_core_ok.header("Record-Route").unwrap();
        assert!(routes.ends_with(&format!("@{EDGE_CORE};transport=udp;lr>, {ROUTES}")), "{routes}");
        let seen = to_core_ok.header("Contact").unwrap();
        assert_eq!(
            seen,
            contact.replace(B, EDGE_CORE).replace("transport=tcp", "transport=udp"),
            "R55: gpmanage stays"
        );
        assert!(to_core_ok.text().contains("a=path:msrp://182.2.1.4:2855/10210;tcp"));
        let (sessions, _) = ordered(&mut world);
        assert_eq!((sessions.len(), sessions[0].id), (1, reserved[0].id));

        // ACK of the core, BYE of the UE.
        let token = routes.split(',').next().unwrap();
        let from = header(&printed, "From").unwrap();
        let to = format!("{};tag=ue1", header(&printed, "To").unwrap());
        let call_id = header(&printed, "Call-ID").unwrap();
        let ack = format!(
            "ACK sip:user2@{EDGE_CORE} SIP/2.0\r\nVia: SIP/2.0/UDP {CORE};branch=z9hG4bKack\r\nRoute: {token}\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: 1 ACK\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        world.core(ack.as_bytes());
        let passed = world.one();
        let target = contact.split(['<', '>']).nth(1).unwrap();
        assert!(passed.text().starts_with(&format!("ACK {target} SIP/2.0\r\n")), "{}", passed.text());
        let bye = format!(
            "BYE sip:182.3.1.6:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {B};branch=z9hG4bKbye\r\nMax-Forwards: 70\r\n\
             Route: <sip:182.3.1.6:5060;transport=udp;lr>\r\nFrom: {to}\r\nTo: {from}\r\nCall-ID: {call_id}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
        );
        world.datagram(B, bye.as_bytes());
        let passed = world.one();
        assert_eq!(passed.hop, to_core("182.1.1.65:5080"));
        assert_eq!(passed.header("Route").unwrap(), ROUTES);
        world.core(&response(&passed, "202 Accepted", ""));
        assert_eq!(world.one().hop, udp(B));
        assert_eq!((ordered(&mut world).1, ends(&mut world)), (vec![sessions[0].id], vec![Cause::Bye]));
        assert_clean(&mut world);
    }
}

/// Vectors grp-01 to grp-04: a conference keeps its URI towards the UE, and REFER goes there (R26, R53, R54).
#[test]
fn a_group_is_created_and_referred_to() {
    let mut world = World::new();
    let (_, request) = invited(&mut world, "grp-01-invite-create.sip");
    let printed = vector_text("grp-02-200-create.sip");
    let contact = header(&printed, "Contact").unwrap();
    let lines = format!("Record-Route: {ROUTES}\r\nContact: {contact}\r\nServer: IM-serv/OMA1.0\r\n");
    let tag = "sbc0406jgelnifd";
    world.core(&answer(&request, "200 OK", tag, &lines, &core_sdp("grp-02-200-create.sip")));
    let ok = world.one();
    assert_eq!(ok.header("Contact").unwrap(), contact);
    assert_eq!(Some(ok.own_route()), header(&printed, "Record-Route"));
    assert_eq!(body(&printed_sdp(&ok.text(), "41650")), body(&printed));
    let refer = vector_text("grp-03-refer-invite.sip");
    world.datagram(A, refer.as_bytes());
    let passed = world.one();
    assert_eq!(passed.hop, to_core("182.1.1.66:5060"), "the last to record is the first to be visited");
    assert_eq!(passed.header("Route").unwrap(), "<sip:182.1.1.66;lr;x=1>, <sip:182.1.1.65:5080;lr>");
    assert_eq!(passed.text().split("\r\n").next(), refer.split("\r\n").next());
    assert_eq!(passed.header("Refer-To"), header(&refer, "Refer-To"), "R54");
    world.core(&response(&passed, "202 Accepted", ""));
    assert!(world.one().text().starts_with("SIP/2.0 202 "));
}

/// R70, q17: offer in the 200, answer in the ACK, which does not even name its type.
#[test]
fn an_invite_without_offer_is_anchored_by_200_and_ack() {
    let mut world = World::new();
    let registered = registered_udp(&mut world, "user2", B);
    let invite = from_core("ft-09-invite-file-to-ue.sip", &registered.path);
    let head = invite.split("\r\n\r\n").next().unwrap();
    let length = header(&invite, "Content-Length").unwrap();
    let head = head
        .replace(&format!("Content-Length: {length}"), "Content-Length: 0")
        .replace("Content-Type: application/sdp\r\n", "")
        .replace("\r\nContent-Type: application/sdp", "");
    world.core(format!("{head}\r\n\r\n").as_bytes());
    let request = world.sent().remove(0);
    let ok = answer(
        &request,
        "200 OK",
        "ue1",
        &format!("Contact: <sip:user2@{B}>\r\n"),
        &body_of("ft-10-200-from-ue.sip"),
    );
    world.datagram(B, &ok);
    let offered = world.one();
    assert!(
        offered.text().contains("a=path:msrp://182.2.1.4:2855/10210;tcp")
            && offered.text().contains("a=setup:active")
    );
    assert_eq!(ordered(&mut world).0.len(), 0);
    let sdp = core_sdp("ft-09-invite-file-to-ue.sip").replace("actpass", "passive");
    let token = offered.header("Record-Route").unwrap();
    let token = token.split(',').next().unwrap();
    let ack = format!(
        "ACK sip:user2@{EDGE_CORE} SIP/2.0\r\nVia: SIP/2.0/UDP {CORE};branch=z9hG4bKack\r\nRoute: {token}\r\nRecord-Route: <sip:10.9.9.9;lr>\r\n\
         From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 ACK\r\nMax-Forwards: 70\r\nContent-Length: {}\r\n\r\n{sdp}",
        offered.header("From").unwrap(),
        offered.header("To").unwrap(),
        offered.header("Call-ID").unwrap(),
        sdp.len(),
    );
    world.core(ack.as_bytes());
    let ack = world.one();
    assert!(ack.text().contains("a=path:msrp://182.3.1.7:2855/hwretwoz8SQ2dB;tcp"), "{}", ack.text());
    assert!(!ack.text().contains("10.9.9.9") && !body(&ack.text()).contains("182.1.1.64"));
    assert_eq!(ordered(&mut world).0.len(), 1);
}

#[test]
fn calls_of_other_media_are_refused_and_answers_that_cannot_be_anchored_lose_their_body() {
    let mut world = World::new();
    registered_udp(&mut world, "+8675520000001", "164.132.176.2:5061");
    let invite =
        vector_text("voip-01-invite.sip").replace("chinamobile.com", "bj.ims.mnc000.mcc460.3gppnetwork.org");
    let invite = invite.replace("m=audio 26608 RTP/AVP", "m=audio 26608 TCP/AVP");
    world.datagram("164.132.176.2:5061", invite.as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 488 "));
    assert_eq!(world.edge.counters().rejects(Realm::Access, Cause::NotAcceptableMedia), 1);
    assert_clean(&mut world);

    let mut world = World::new();
    let (_, request) = invited(&mut world, "chat-01-invite.sip");
    world.core(&answer(
        &request,
        "200 OK",
        "far1",
        &format!("Contact: {CORE_CONTACT}\r\n"),
        "v=0\r\nrubbish 10.9.9.9\r\n",
    ));
    let ok = world.one();
    assert!(ok.text().ends_with("\r\n\r\n") && !ok.text().contains("Content-Type"), "{}", ok.text());
    assert_eq!(ok.header("Content-Length").unwrap(), "0");
    assert_eq!(world.edge.counters().rejects(Realm::Core, Cause::BadSdp), 1);
}

#[test]
fn a_stranger_finds_no_dialog() {
    let mut world = World::new();
    let (invite, _, ok) = chatting(&mut world);
    let elsewhere = "198.51.100.9:5060";
    registered_udp(&mut world, "user3", elsewhere);
    let bye = inside(&invite, &ok, "BYE", 2, "").replace(A, elsewhere);
    world.datagram(elsewhere, bye.as_bytes());
    let refused = world.one();
    assert!(refused.text().starts_with("SIP/2.0 481 "), "{}", refused.text());
    assert_eq!(world.edge.counters().calls, 1);
}

/// Both ends on one shard: what passes the core comes back with the same Call-ID and tags.
#[test]
fn two_ues_of_one_shard_talk_to_each_other() {
    let mut world = World::new();
    let b = registered_udp(&mut world, "user2", B);
    let (invite, request) = invited(&mut world, "chat-01-invite.sip");
    let towards_b = request
        .text()
        .replacen("Via:", &format!("Via: SIP/2.0/UDP {CORE};branch=z9hG4bKhop\r\nVia:"), 1)
        .replacen(&format!("Route: {SERVICE_ROUTE}\r\n"), &format!("Route: {}\r\n", b.path), 1);
    world.core(towards_b.as_bytes());
    let to_b = world.sent().remove(0);
    assert_eq!(to_b.hop, udp(B));
    let sdp = body_of("chat-04-200-from-ue.sip");
    world.datagram(B, &answer(&to_b, "200 OK", "tb", &format!("Contact: <sip:user2@{B}>\r\n"), &sdp));
    let from_b = world.one();
    // The core takes its Via off and sends the answer on to A.
    let via = from_b.header("Via").unwrap();
    world.core(from_b.text().replacen(&format!("Via: {via}\r\n"), "", 1).as_bytes());
    let ok = world.one();
    assert_eq!(ok.hop, udp(A));
    assert!(ok.text().contains("a=path:msrp://182.3.1.7:2855/"), "{}", ok.text());
    assert_eq!(world.edge.counters().calls, 2);
    assert_eq!(ordered(&mut world).0.len(), 3, "one reserved and agreed for B, one agreed for A");
    world.datagram(A, inside(&invite, &ok, "BYE", 2, "").as_bytes());
    let bye = world.one();
    assert_eq!(realm(&bye), Realm::Core);
    let route = from_b.header("Record-Route").unwrap();
    let bye_b = bye
        .text()
        .replacen("Via:", &format!("Via: SIP/2.0/UDP {CORE};branch=z9hG4bKbye\r\nVia:"), 1)
        .replacen("Max-Forwards", &format!("Route: {}\r\nMax-Forwards", route.split(',').next().unwrap()), 1);
    world.core(bye_b.as_bytes());
    let to_b = world.one();
    assert_eq!(to_b.hop, udp(B));
    world.datagram(B, &response(&to_b, "200 OK", ""));
    let done = world.one();
    let via = done.header("Via").unwrap();
    world.core(done.text().replacen(&format!("Via: {via}\r\n"), "", 1).as_bytes());
    assert_eq!(world.one().hop, udp(A));
    assert_clean(&mut world);
}

/// R64: 100rel and re-INVITE pass, in early and confirmed dialogs.
#[test]
fn reliable_provisionals_and_new_offers_pass() {
    let mut world = World::new();
    let (invite, request) = invited(&mut world, "chat-01-invite.sip");
    let sdp = core_sdp("chat-02-200.sip");
    let lines = format!("Contact: {CORE_CONTACT}\r\nRequire: 100rel\r\nRSeq: 1\r\n");
    world.core(&answer(&request, "183 Progress", "far1", &lines, &sdp));
    let progress = world.one();
    world.datagram(A, inside(&invite, &progress, "PRACK", 2, "RAck: 1 1 INVITE\r\n").as_bytes());
    let prack = world.one();
    assert!(prack.text().starts_with("PRACK sip:as@10.71.174.102:5061;transport=tcp SIP/2.0\r\n"));
    assert_eq!(prack.header("RAck").unwrap(), "1 1 INVITE");
    world.core(&response(&prack, "200 OK", ""));
    assert!(world.one().text().starts_with("SIP/2.0 200 "));
    world.core(&answer(&request, "200 OK", "far1", &format!("Contact: {CORE_CONTACT}\r\n"), ""));
    let ok = world.one();
    let (sessions, _) = ordered(&mut world);
    assert_eq!(sessions.len(), 1);

    // The UE offers anew, and is refused: nothing changes. Offered again and accepted, it does.
    let new = body_of("ft-01-invite-file.sip").replace("10110/10110", "10110/new");
    let more = format!("Contact: <sip:user1@{A};x=2>\r\nContent-Type: application/sdp\r\n");
    let offer = |cseq| {
        let text = inside(&invite, &ok, "INVITE", cseq, &more);
        text.replace("Content-Length: 0\r\n\r\n", &format!("Content-Length: {}\r\n\r\n{new}", new.len()))
    };
    for (cseq, status) in [(3, "491 Request Pending"), (4, "200 OK")] {
        world.datagram(A, offer(cseq).as_bytes());
        let passed = world.sent().remove(0);
        assert!(passed.text().contains("a=path:msrp://182.2.1.4:2855/new;tcp"), "{}", passed.text());
        let accepted = status.starts_with('2');
        let sdp = if accepted { sdp.as_str() } else { "" };
        world.core(&answer(&passed, status, "far1", "Contact: <sip:as2@10.71.174.102>\r\n", sdp));
        world.sent();
        let (changed, released) = ordered(&mut world);
        assert_eq!((changed.len(), released.len()), (usize::from(accepted), 0), "{status}");
        assert!(changed.iter().all(|s| s.id == sessions[0].id));
    }
    // Both remote targets were refreshed.
    world.core(inside_from_core(&request, "INFO", 9, "").as_bytes());
    assert!(world.one().text().starts_with(&format!("INFO sip:user1@{A};x=2 SIP/2.0")));
    world.datagram(A, inside(&invite, &ok, "BYE", 5, "").as_bytes());
    let bye = world.one();
    assert!(bye.text().starts_with("BYE sip:as2@10.71.174.102 SIP/2.0"), "{}", bye.text());
    world.core(&response(&bye, "200 OK", ""));
    assert_clean(&mut world);
}

/// A request of the core that reached the wrong shard is given to the one that its token names.
#[test]
fn a_stray_request_inside_a_dialog_is_handed_over() {
    let mut world = World::new();
    let (_, request, _) = chatting(&mut world);
    let mut stranger = World::shard(crate::world::config(), 1);
    let bye = inside_from_core(&request, "BYE", 7, "");
    for text in [bye.clone(), bye.replace("BYE", "ACK")] {
        stranger.core(text.as_bytes());
        stranger.sent();
        let handed = core::mem::take(&mut stranger.actions);
        assert!(
            matches!(handed[..], [Action::Handover { shard: wire::ShardId(0), realm: Realm::Core, .. }]),
            "{handed:?}"
        );
    }
    let event = edge::Event::Handover {
        realm: Realm::Core,
        transport: Transport::Udp,
        source: crate::world::addr(CORE),
        bytes: bye.as_bytes(),
    };
    world.event(event);
    assert_eq!(world.one().hop, udp(A));
}

/// R32, spam-01: the UE dialled a bare number; the core sees the completed one throughout the dialog.
#[test]
fn a_dialled_number_is_completed_in_the_whole_dialog() {
    let mut world = World::new();
    let ue = "131.1.1.125:5060";
    registered_udp(&mut world, "user1", ue);
    let invite = vector_text("spam-01-invite-bare-number.sip");
    world.datagram(ue, invite.as_bytes());
    let request = world.sent().remove(0);
    assert!(request.text().starts_with("INVITE tel:+861008699999 SIP/2.0\r\n"), "{}", request.text());
    assert_eq!(request.header("To").unwrap(), "<tel:+861008699999>");
    let lines = format!("Contact: {CORE_CONTACT}\r\n");
    world.core(&answer(&request, "200 OK", "far1", &lines, &core_sdp("chat-02-200.sip")));
    let ok = world.one();
    assert_eq!(ok.header("To").unwrap(), "<+861008699999>;tag=far1");
    for method in ["ACK", "BYE"] {
        let text = inside(&invite, &ok, method, 1, "").replace(A, ue);
        world.datagram(ue, text.as_bytes());
        assert_eq!(world.one().header("To").unwrap(), "<tel:+861008699999>;tag=far1");
    }
}

fn realm(sent: &Sent) -> Realm {
    match sent.hop {
        wire::Hop::Datagram { socket, .. } if socket == crate::world::CORE_UDP => Realm::Core,
        _ => Realm::Access,
    }
}
