//! R23 to R26: what UEs see of the core and the core of UEs, and that it all leads back.

use crate::calls::{
    A, B, CORE_CONTACT, SECONDS, answer, assert_clean, body_of, chatting, core_sdp, from_core, inside,
    inside_from_core,
};
use crate::messaging::message;
use crate::ue::{SERVICE_ROUTE, accept, message_to_ue, register, registered_udp};
use crate::world::{CORE, Sent, World, config, header, realm_of, response, to_core, udp};
use wire::Realm;

fn masked() -> World {
    let mut config = config();
    config.topology.mask_call_id = true;
    World::with(config)
}

const HOST: &str = "10.9.9.9:5080";

/// A host of the core in any header that a UE may use again leads back to it.
#[test]
fn a_hidden_host_routes_back() {
    let mut world = World::new();
    let ue = registered_udp(&mut world, "user1", A);
    let lines = "Reply-To: sip:desk@10.9.9.9:5080;x=1\r\nReferred-By: <sip:r@10.9.9.9>\r\n";
    let from = "From: <sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org>";
    let text = message_to_ue(&ue.path, "h1", lines).replace(from, "From: \"As\" <sip:as@10.9.9.9:5080;p=1>");
    world.core(text.as_bytes());
    let got = world.one();
    for (name, begin, end) in [
        ("From", "\"As\" <sip:as@182.3.1.6:5060;gh=", ";p=1>;tag=c1"),
        ("Reply-To", "<sip:desk@182.3.1.6:5060;gh=", ">;x=1"),
        ("Referred-By", "<sip:r@182.3.1.6:5060;gh=", ">"),
    ] {
        let value = got.header(name).unwrap();
        assert!(value.starts_with(begin) && value.ends_with(end) && !value.contains("10.9"), "{value}");
    }
    let reply_to = got.header("Reply-To").unwrap();
    let uri = reply_to.split(['<', '>']).nth(1).unwrap();
    let text = message("user1", A, "h2", &format!("Refer-To: <{uri}>\r\nX-Seen: see {uri}\r\n"))
        .replace("sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org", uri);
    world.datagram(A, text.as_bytes());
    let request = world.one();
    assert!(
        request.text().starts_with(&format!("MESSAGE sip:desk@{HOST} SIP/2.0\r\n")),
        "{}",
        request.text()
    );
    assert_eq!(request.header("To").unwrap(), format!("<sip:desk@{HOST}>"));
    assert_eq!(request.header("Refer-To").unwrap(), format!("<sip:desk@{HOST}>"));
    assert_eq!(request.header("X-Seen").unwrap(), format!("see sip:desk@{HOST}"));
    world.core(&response(&request, "200 OK", ""));
    let ok = world.one();
    assert_eq!(ok.header("To").unwrap(), format!("<{uri}>;tag=far1"), "the UE gets its own To back");

    // Without brackets, in a list, behind other parameters: only what is sure is put back.
    let bare = "sip:182.3.1.6:5060".to_owned() + &uri[uri.find(";gh=").unwrap()..];
    let moved = uri.replacen(";gh=", ";transport=udp;gh=", 1);
    let lines = format!("X-List: sip:a@b,{bare},<{uri}>\r\nX-Moved: <{moved}>\r\n");
    world.datagram(A, message("user1", A, "h4", &lines).as_bytes());
    let request = world.one();
    assert_eq!(request.header("X-List").unwrap(), format!("sip:a@b,sip:{HOST},<sip:desk@{HOST}>"));
    assert_eq!(request.header("X-Moved").unwrap(), format!("<{moved}>"));

    // A mask that nobody made means nothing.
    let forged = uri.replace("gh=", "gh=A");
    world.datagram(A, message("user1", A, "h3", &format!("Refer-To: <{forged}>\r\n")).as_bytes());
    assert_eq!(world.one().header("Refer-To").unwrap(), format!("<{forged}>"));
}

/// The public names of conferences and services stay (R26), and so does everything without a host.
#[test]
fn public_names_stay() {
    let mut world = World::new();
    let ue = registered_udp(&mut world, "user1", A);
    let lines = "Contact: <sip:12599@as1.gc.rcs.chinamobile.com>;isfocus\r\nServer: IM-serv/OMA1.0 HW/2.4.0.1\r\n\
         Reply-To: <sip:125xx@as1.pa.rcs.chinamobile.com>\r\nCall-Info: <http://203.0.113.9/x>\r\n\
         Conversation-ID: f81d@10.9.9.9\r\nContribution-ID: abc@10.9.9.9\r\nSubject: call 10.9.9.9\r\n";
    world.core(message_to_ue(&ue.path, "p1", lines).as_bytes());
    let got = world.one().text();
    for line in lines.split_inclusive("\r\n") {
        assert!(got.contains(line.trim_start()), "{line}{got}");
    }
}

/// A home domain that is an address is no secret: it is in every identity.
#[test]
fn a_home_domain_that_is_an_address_stays() {
    let mut config = config();
    config.core.domain = "10.9.9.9".to_owned();
    let mut world = World::with(config);
    let ue = registered_udp(&mut world, "user1", A);
    let line = "Reply-To: <sip:a@10.9.9.9>, <sip:b@10.9.9.8>\r\n";
    world.core(message_to_ue(&ue.path, "d1", line).as_bytes());
    let shown = world.one().header("Reply-To").unwrap();
    assert!(shown.starts_with("<sip:a@10.9.9.9>, <sip:b@182.3.1.6:5060;gh="), "{shown}");
}

/// What a NOTIFY tells of a REFER (RFC 3420).
#[test]
fn a_message_fragment_shows_no_route() {
    let mut world = World::new();
    let ue = registered_udp(&mut world, "user1", A);
    let body = "SIP/2.0 180 Ringing at 10.9.9.9\r\nVia: SIP/2.0/UDP 10.9.9.9;branch=z9hG4bK1\r\nRecord-Route: <sip:10.9.9.9;lr>\r\nContact: <sip:b@10.9.9.9:5080>\r\n";
    let part = format!("Content-Type: message/sipfrag\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let text = message_to_ue(&ue.path, "f1", "")
        .replace("Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello", &part);
    world.core(text.as_bytes());
    let got = world.one();
    let shown = crate::calls::body(&got.text()).to_owned();
    assert_eq!(got.header("Content-Length").unwrap(), shown.len().to_string());
    let mut lines = shown.split("\r\n");
    assert_eq!(lines.next(), Some("SIP/2.0 180 Ringing at 182.3.1.6"));
    assert!(lines.next().unwrap().starts_with("Contact: <sip:b@182.3.1.6:5060;gh="));
    assert_eq!((lines.next(), lines.next()), (Some(""), None));
}

/// Every message of a call has one Call-ID on each side, and the two have nothing in common.
#[track_caller]
fn one_name_on_each_side(sent: &[Sent], native: &str, at: Realm) {
    for message in sent {
        let call_id = message.header("Call-ID").unwrap();
        match realm_of(message.hop) == at {
            true => assert_eq!(call_id, native, "{}", message.text()),
            false => {
                assert!(call_id.starts_with("asbc") && !call_id.contains('@'), "{}", message.text());
                assert_eq!(
                    call_id,
                    sent.iter().find(|m| realm_of(m.hop) != at).unwrap().header("Call-ID").unwrap()
                );
            }
        }
    }
}

/// R24: a whole call under masks, begun by the UE.
#[test]
fn a_call_of_the_ue_under_masks() {
    let mut world = masked();
    let (invite, request, ok) = {
        let mut all = Vec::new();
        let parts = chatting(&mut world);
        all.push(parts.1.clone());
        all.push(parts.2.clone());
        one_name_on_each_side(&all, &header(&parts.0, "Call-ID").unwrap(), Realm::Access);
        parts
    };
    let native = header(&invite, "Call-ID").unwrap();
    let mut all = vec![request.clone()];
    world.datagram(A, inside(&invite, &ok, "ACK", 1, "").as_bytes());
    all.extend(world.sent());
    // The 200 again, and the INVITE again.
    let lines = format!("Contact: {CORE_CONTACT}\r\n");
    world.core(&answer(&request, "200 OK", "far1", &lines, &core_sdp("chat-02-200.sip")));
    all.extend(world.sent());
    world.datagram(A, invite.as_bytes());
    all.extend(world.sent());
    world.core(inside_from_core(&request, "INFO", 7, "").as_bytes());
    let info = world.one();
    world.datagram(A, &response(&info, "200 OK", ""));
    all.push(info);
    world.pass(5 * SECONDS);
    world.datagram(A, inside(&invite, &ok, "BYE", 2, "").as_bytes());
    let bye = world.sent().pop().unwrap();
    assert_eq!(realm_of(bye.hop), Realm::Core);
    world.core(&response(&bye, "200 OK", ""));
    all.push(bye);
    all.extend(world.sent().into_iter().filter(|s| realm_of(s.hop) == Realm::Access));
    for message in all.iter().filter(|m| m.text().starts_with("SIP/2.0") && realm_of(m.hop) == Realm::Core) {
        assert!(message.header("Call-ID").unwrap().starts_with("asbc"));
    }
    assert!(all.len() >= 5);
    one_name_on_each_side(&all, &native, Realm::Access);
    assert_clean(&mut world);
}

/// R24: one that the core begins, and the edge itself ends towards the UE.
#[test]
fn a_call_of_the_core_under_masks() {
    let mut world = masked();
    let ue = registered_udp(&mut world, "user2", B);
    let text = from_core("ft-09-invite-file-to-ue.sip", &ue.path);
    let native = header(&text, "Call-ID").unwrap();
    world.core(text.as_bytes());
    let sent = world.sent();
    let to_ue = sent.iter().find(|s| realm_of(s.hop) == Realm::Access).unwrap().clone();
    let shown = to_ue.header("Call-ID").unwrap();
    assert!(shown.starts_with("asbc") && shown != native);
    let lines = format!("Contact: <sip:user2@{B}>\r\n");
    world.datagram(B, &answer(&to_ue, "200 OK", "tb", &lines, &body_of("ft-10-200-from-ue.sip")));
    let ok = world.one();
    assert_eq!((ok.header("Call-ID").unwrap(), realm_of(ok.hop)), (native.clone(), Realm::Core));
    // The UE hangs up.
    let bye = format!(
        "BYE sip:182.3.1.6:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {B};branch=z9hG4bKby1\r\nMax-Forwards: 70\r\nRoute: {}\r\n\
         From: {};tag=tb\r\nTo: {}\r\nCall-ID: {shown}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
        to_ue.header("Record-Route").unwrap(),
        to_ue.header("To").unwrap(),
        to_ue.header("From").unwrap(),
    );
    world.datagram(B, bye.as_bytes());
    let bye = world.one();
    assert_eq!((bye.header("Call-ID").unwrap(), realm_of(bye.hop)), (native, Realm::Core));
    world.core(&response(&bye, "200 OK", ""));
    assert_eq!(world.one().header("Call-ID").unwrap(), shown);
    assert_clean(&mut world);
}

/// R24: attended transfer: A, in a call with C, has B take its place. The core passes everything on as it
/// comes, so the dialog has the name at B and C that their own Replaces and their own dialogs use.
#[test]
fn replaces_names_the_dialog_on_every_side() {
    let mut world = masked();
    let c = registered_udp(&mut world, "user3", "182.1.1.203:41220");
    let b = registered_udp(&mut world, "user2", B);
    let (invite, request, _) = chatting(&mut world);
    let native = header(&invite, "Call-ID").unwrap();
    let at_core = request.header("Call-ID").unwrap();
    let to_ue = |text: String, path: &str| {
        text.replacen("Via:", &format!("Via: SIP/2.0/UDP {CORE};branch=z9hG4bKhop{}\r\nVia:", path.len()), 1)
            .replacen(&format!("Route: {SERVICE_ROUTE}\r\n"), &format!("Route: {path}\r\n"), 1)
    };
    world.core(to_ue(request.text(), &c.path).as_bytes());
    let at_c = world.sent().remove(0).header("Call-ID").unwrap();
    assert!(at_c != native && at_c != at_core);

    // A to B: REFER with a Replaces of the dialog between A and C, as A knows it.
    let escaped = native.replace('@', "%40");
    let refer = format!(
        "Refer-To: <sip:user3@h?Replaces={escaped}%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\nContact: <sip:user1@{A}>\r\n"
    );
    world.datagram(A, message("user1", A, "r1", &refer).replace("MESSAGE", "REFER").as_bytes());
    let refer = world.one();
    let said = refer.header("Refer-To").unwrap();
    assert!(said.contains(&format!("Replaces={at_core}%3Bto-tag%3D1")), "{said}");
    world.core(to_ue(refer.text(), &b.path).as_bytes());
    let refer = world.sent().remove(0);
    let said = refer.header("Refer-To").unwrap();
    let at_b = said.split("Replaces=").nth(1).unwrap().split('%').next().unwrap().to_owned();

    // B to C: INVITE with Replaces.
    let replaces = format!("Replaces: {at_b};to-tag=1;from-tag=2\r\nContact: <sip:user2@{B}>\r\n");
    world.datagram(B, message("user2", B, "r2", &replaces).as_bytes());
    let invite = world.one();
    assert_eq!(invite.header("Replaces").unwrap(), format!("{at_core};to-tag=1;from-tag=2"));
    world.core(to_ue(invite.text(), &c.path).as_bytes());
    let invite = world.sent().remove(0);
    assert_eq!(
        invite.header("Replaces").unwrap(),
        format!("{at_c};to-tag=1;from-tag=2"),
        "C finds its dialog"
    );
    // And back at A its own name stands.
    world.datagram(A, register("user1", A, 9, "").as_bytes());
    let again = world.one();
    let path = accept(&mut world, &again, 3600).path;
    world.core(
        message_to_ue(
            &path,
            "r3",
            &format!("Replaces: {at_core};to-tag=1\r\nIn-Reply-To: {at_core}, z@10.9.9.9\r\n"),
        )
        .as_bytes(),
    );
    let got = world.sent().pop().unwrap();
    assert_eq!(got.header("Replaces").unwrap(), format!("{native};to-tag=1"));
    assert!(got.header("In-Reply-To").unwrap().starts_with(&format!("{native}, asbc")));
}

/// The UE's own requests still route after a restart (design: sealed state in our Record-Route), and a
/// Route that somebody else learned leads nowhere.
#[test]
fn a_bye_of_the_ue_reaches_the_core_after_a_restart() {
    for masks in [false, true] {
        let mut config = config();
        config.topology.mask_call_id = masks;
        let mut before = World::with(config.clone());
        let (invite, request, ok) = chatting(&mut before);
        let mut after = World::restarted_with(config);
        let bye = inside(&invite, &ok, "BYE", 2, "");
        after.datagram(A, bye.as_bytes());
        assert!(after.one().text().starts_with("SIP/2.0 403 "), "R9: not registered yet");
        after.datagram(A, register("user1", A, 9, "").as_bytes());
        let again = after.one();
        accept(&mut after, &again, 3600);
        after.sent();
        registered_udp(&mut after, "user2", B);
        after.datagram(B, bye.replace(A, B).replace("z9hG4bKin", "z9hG4bKio").as_bytes());
        assert!(after.one().text().starts_with("SIP/2.0 481 "), "a Route of another UE");

        after.datagram(A, bye.replace("z9hG4bKin", "z9hG4bKip").as_bytes());
        let got = after.one();
        assert_eq!(got.hop, to_core("182.1.1.65:5080"));
        assert!(got.text().starts_with("BYE sip:as@10.71.174.102:5061;transport=tcp SIP/2.0\r\n"));
        assert_eq!(got.header("Route").unwrap(), "<sip:182.1.1.65:5080;lr>, <sip:182.1.1.66;lr;x=1>");
        assert_eq!(got.header("Call-ID"), request.header("Call-ID"), "the name the core knows");
        after.core(&response(&got, "200 OK", ""));
        let done = after.one();
        assert_eq!(done.hop, udp(A));
        assert_eq!(done.header("Call-ID"), header(&invite, "Call-ID"));
        // What negotiates has lost its media.
        after.datagram(A, inside(&invite, &ok, "UPDATE", 3, "").as_bytes());
        assert!(after.one().text().starts_with("SIP/2.0 481 "));
        // And the core's, under masks too.
        after.core(inside_from_core(&request, "BYE", 7, "").as_bytes());
        let got = after.one();
        assert_eq!((got.hop, got.header("Call-ID")), (udp(A), header(&invite, "Call-ID")));
        after.pass(40 * SECONDS);
    }
}
