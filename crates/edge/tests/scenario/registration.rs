//! R14–R22 with the specification's registrations.

use crate::compare::assert_message;
use crate::ue::{accept, register, registered_udp};
use crate::world::{
    CORE, EDGE_CORE, Sent, World, config, header, response, to_core, udp, vector, vector_text,
};
use core::time::Duration;
use edge::Record;
use wire::{Cause, Hop, Realm, Transport};

const UE: &str = "50.51.120.82:16891";

/// What the edge generates, taken out, so that the rest can be compared byte for byte.
fn without_param(value: &str, name: &str) -> String {
    match value.find(&format!(";{name}=")) {
        Some(at) => {
            let end = value[at + 1..].find([';', '>']).map_or(value.len(), |n| at + 1 + n);
            format!("{}{}", &value[..at], &value[end..])
        }
        None => value.to_owned(),
    }
}

/// `vector` as an answer to `request`: with our branch, Call-ID, Path and Contact parameter.
fn answer_with(vector: &str, request: &Sent) -> Vec<u8> {
    let mut text = vector_text(vector);
    let mut put = |name: &str| {
        let (old, new) = (header(&text, name), request.header(name));
        if let (Some(old), Some(new)) = (old, new) {
            text = text.replacen(&old, &new, 1);
        }
    };
    put("Via");
    put("Call-ID");
    put("Path");
    if let Some(contact) = request.header("Contact") {
        let at = contact.find(";gw=").unwrap();
        let end = at + contact[at..].find('>').unwrap();
        text = text.replacen(";Dpt=8e62_16", &contact[at..end], 1);
    }
    text.into_bytes()
}

#[test]
fn aka_over_tls_is_what_the_figures_show() {
    let mut world = World::new();
    let stream = world.open(Realm::Access, Transport::Tls, UE);

    // 5-8: the first REGISTER
    world.bytes(stream, &vector("reg-01-aka-register.sip"));
    let first = world.one();
    assert_eq!(first.hop, to_core(CORE));
    let expected = vector_text("reg-02-aka-register-core.sip");
    let generated = ["Via", "Call-ID", "Contact", "Path", "Max-Forwards", "Authorization"];
    assert_message(&first.text(), &expected, &generated);
    let of = |name| first.header(name).unwrap();
    assert!(of("Via").starts_with(&format!("SIP/2.0/UDP {EDGE_CORE};branch=z9hG4bK")));
    assert_eq!(of("Call-ID"), "GGecbxhJM@50.51.120.82");
    assert_eq!(of("Max-Forwards"), "69");
    assert_eq!(
        without_param(&of("Contact"), "gw"),
        without_param(&header(&expected, "Contact").unwrap(), "Dpt"),
    );
    let token = of("Path").strip_prefix("<sip:").unwrap().split('@').next().unwrap().to_owned();
    assert_eq!(of("Path"), format!("<sip:{token}@{EDGE_CORE};lr>"));
    assert!(of("Contact").contains(&format!(";gw={token}")), "one token names the UE in both");
    assert_eq!(
        of("Authorization"),
        format!("{}, integrity-protected=\"no\"", header(&expected, "Authorization").unwrap())
    );

    // 5-10: the challenge, without its keys
    world.core(&answer_with("reg-04-aka-401-core.sip", &first));
    let challenge = world.one();
    assert_eq!(challenge.hop, Hop::Stream(stream));
    assert_message(&challenge.text(), &vector_text("reg-05-aka-401-ue.sip"), &[]);

    // 5-12: the answer to it
    world.bytes(stream, &vector("reg-07-aka-register2.sip"));
    let second = world.one();
    let expected = vector_text("reg-08-aka-register2-core.sip");
    assert_message(&second.text(), &expected, &generated);
    assert_eq!(
        second.header("Authorization").unwrap(),
        header(&expected, "Authorization").unwrap().replace("=yes", "=\"yes\""),
    );

    // 5-14: registered
    world.core(&answer_with("reg-10-aka-200-core.sip", &second));
    assert_message(&world.one().text(), &vector_text("reg-11-aka-200-ue.sip"), &[]);
    assert_eq!(world.edge.counters().registrations, 1);
}

#[test]
fn digest_over_udp_is_what_the_figures_show() {
    let mut world = World::new();
    let ue = "10.201.66.64:3550";
    world.datagram(ue, &vector("reg-03-digest-register.sip"));
    let first = world.one();
    assert_eq!(first.header("Authorization"), None);
    assert_eq!(first.header("P-Access-Network-Info").unwrap(), "IEEE-802.11");
    assert!(first.header("Contact").unwrap().starts_with("<sip:user@183.1.28.128:11065;gw="));
    let challenge = vector_text("reg-06-digest-401.sip");
    let via = header(&challenge, "Via").unwrap();
    world.core(challenge.replacen(&via, &first.header("Via").unwrap(), 1).as_bytes());
    let challenge = world.one();
    assert_eq!(challenge.hop, udp(ue));
    assert_message(&challenge.text(), &vector_text("reg-06-digest-401.sip"), &["Path"]);
    assert_eq!(challenge.header("Path"), None, "the edge's own");

    world.datagram(ue, &vector("reg-09-digest-register2.sip"));
    let second = world.one();
    let sent = vector_text("reg-09-digest-register2.sip");
    assert_eq!(second.header("Authorization"), header(&sent, "Authorization"), "R19: verbatim");
    let contact = second.header("Contact").unwrap();
    assert_eq!(
        without_param(&contact, "gw"),
        header(&sent, "Contact").unwrap().replace("10.201.66.64:3550", EDGE_CORE)
    );
    // 5-15 with the core's Contact
    let expected = vector_text("reg-12-digest-200.sip");
    let uri = &contact[1..contact.find('>').unwrap()];
    let listed = header(&expected, "Contact").unwrap().replace("sip:user@10.201.66.64:3550", uri);
    let (via, contact) = (header(&expected, "Via").unwrap(), header(&expected, "Contact").unwrap());
    let answer = expected.replacen(&via, &second.header("Via").unwrap(), 1).replacen(&contact, &listed, 1);
    world.core(answer.as_bytes());
    assert_message(&world.one().text(), &expected, &["Path"]);
}

#[test]
fn a_contact_with_glued_parameters_registers_all_the_same() {
    // q03: "expires=3600+g.3gpp..." in the 200
    let mut world = World::new();
    world.datagram("10.201.66.64:3550", &vector("reg-09-digest-register2.sip"));
    let request = world.one();
    let contact = request.header("Contact").unwrap();
    let uri = &contact[..=contact.find('>').unwrap()];
    let glued = header(&vector_text("quirks/q03-contact-missing-semicolon.sip"), "Contact").unwrap();
    let glued = format!("{uri}{}", &glued[glued.find('>').unwrap() + 1..]);
    world.core(&response(&request, "200 OK", &format!("Contact: {glued}\r\n")));
    assert!(world.one().header("Contact").unwrap().contains("expires=3600+g."));
    world.pass(Duration::from_millis(3_599_999));
    assert_eq!(world.edge.counters().registrations, 1);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.edge.counters().registrations, 0);
}

#[test]
fn a_binding_lives_as_long_as_the_core_says_and_is_refreshed() {
    let mut world = World::new();
    let ue = "192.0.2.7:4000";
    let first = registered_udp(&mut world, "a", ue);
    world.pass(Duration::from_secs(3_000));
    world.sent();
    world.datagram(ue, register("a", ue, 2, "").as_bytes());
    let refresh = world.one();
    assert_eq!(refresh.header("Path").unwrap(), first.path, "a refresh leaves the Path as it is");
    accept(&mut world, &refresh, 3_600);
    world.pass(Duration::from_secs(3_599));
    let counters = world.edge.counters();
    assert_eq!(
        (counters.registrations, counters.registrations_opened, counters.registrations_refreshed),
        (1, 1, 1)
    );
    world.pass(Duration::from_secs(1));
    assert_eq!(world.edge.counters().registrations, 0);
    let ended = world
        .records
        .iter()
        .any(|r| matches!(r, Record::Registration { ended: Some(Cause::RegistrationExpired), .. }));
    assert!(ended);
}

#[test]
fn a_ue_deregisters_one_contact_or_all() {
    for contact in ["<sip:a@192.0.2.7:4000>;expires=0", "*"] {
        let mut world = World::new();
        let ue = "192.0.2.7:4000";
        registered_udp(&mut world, "a", ue);
        let bye = register("a", ue, 2, "Expires: 0\r\n")
            .replace("<sip:a@192.0.2.7:4000>\r\n", &format!("{contact}\r\n"));
        world.datagram(ue, bye.as_bytes());
        let request = world.one();
        assert_eq!(world.edge.counters().registrations, 1, "only the 200 ends it");
        if contact == "*" {
            assert_eq!(request.header("Contact").unwrap(), "*");
        }
        world.core(&response(&request, "200 OK", ""));
        assert!(world.one().text().starts_with("SIP/2.0 200"));
        assert_eq!(world.edge.counters().registrations, 0, "{contact}");
    }
}

#[test]
fn a_refused_refresh_leaves_everything_as_it_was() {
    for status in ["401 Unauthorized", "403 Forbidden", "500 Server Internal Error"] {
        let mut world = World::new();
        let ue = "192.0.2.7:4000";
        registered_udp(&mut world, "a", ue);
        world.datagram(ue, register("a", ue, 2, "").as_bytes());
        let request = world.one();
        world.core(&response(&request, status, ""));
        assert!(world.one().text().starts_with(&format!("SIP/2.0 {status}")));
        assert_eq!(world.edge.counters().registrations, 1);
    }
}

#[test]
fn a_refused_registration_leaves_nothing() {
    let mut world = World::new();
    world.datagram("192.0.2.7:4000", register("a", "192.0.2.7:4000", 1, "").as_bytes());
    let request = world.one();
    world.core(&response(&request, "403 Forbidden", ""));
    world.sent();
    world.datagram("192.0.2.7:4000", crate::messaging::message("a", "192.0.2.7:4000", "b1", "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 403 "));
    world.pass(Duration::from_secs(64));
    assert_eq!(world.edge.next_deadline(), None, "no timer is left");
    assert_eq!(world.edge.counters().exchanges, 0);
}

#[test]
fn a_ue_that_moves_is_followed_and_its_old_flow_is_nobody() {
    let mut world = World::new();
    let (old, new) = ("192.0.2.7:4000", "192.0.2.7:5111");
    let before = registered_udp(&mut world, "a", old);
    // same Call-ID and Contact from another NAT binding
    world.datagram(new, register("a", old, 2, "").as_bytes());
    let request = world.one();
    assert_ne!(request.header("Path").unwrap(), before.path);
    accept(&mut world, &request, 3600);
    assert_eq!(world.one().hop, udp(new));
    assert_eq!(world.edge.counters().registrations, 1);
    // the core may still use the old Path until it has seen the new one
    world.core(crate::ue::message_to_ue(&before.path, "m1", "").as_bytes());
    assert_eq!(world.one().hop, udp(new));
    world.datagram(old, crate::messaging::message("a", old, "b1", "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 403 "));
}

#[test]
fn a_flow_that_closed_answers_430_until_the_ue_is_back() {
    let mut world = World::new();
    let stream = world.open(Realm::Access, Transport::Tls, UE);
    world.bytes(stream, &vector("reg-01-aka-register.sip"));
    let request = world.one();
    let registered = accept(&mut world, &request, 3600);
    world.sent();
    world.close(stream);
    world.core(crate::ue::message_to_ue(&registered.path, "m1", "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 430 "));
    // same instance over a new stream: the binding is taken over
    let stream = world.open(Realm::Access, Transport::Tls, "50.51.120.82:999");
    world.bytes(stream, &vector("reg-07-aka-register2.sip"));
    let request = world.one();
    accept(&mut world, &request, 3600);
    world.sent();
    assert_eq!(world.edge.counters().registrations, 1);
    world.core(crate::ue::message_to_ue(&registered.path, "m2", "").as_bytes());
    assert_eq!(world.one().hop, Hop::Stream(stream));
}

#[test]
fn other_devices_of_the_user_are_shown_by_their_own_contacts_and_strangers_not_at_all() {
    let mut world = World::new();
    let phone = registered_udp(&mut world, "a", "192.0.2.7:4000");
    let tablet = "198.51.100.8:6000";
    let register = register("a", tablet, 1, "").replace("reg-a@", "tablet@");
    world.datagram(tablet, register.as_bytes());
    let request = world.one();
    let own = request.header("Contact").unwrap();
    let lines = format!(
        "Contact: {};expires=100, {own};expires=200, <sip:a@10.1.1.1:5060>;expires=300\r\n",
        phone.contact_at_core
    );
    world.core(&response(&request, "200 OK", &lines));
    assert_eq!(
        world.one().header("Contact").unwrap(),
        "<sip:a@192.0.2.7:4000>;expires=100, <sip:a@198.51.100.8:6000>;expires=200"
    );
    assert_eq!(world.edge.counters().registrations, 2);
}

#[test]
fn what_a_ue_may_not_say_is_taken_out_of_its_register() {
    let mut world = World::new();
    let more = "Path: <sip:evil@x;lr>\r\nP-Visited-Network-ID: \"x\"\r\nP-Charging-Vector: icid-value=1\r\n\
                P-Charging-Anything: 1\r\nP-Asserted-Identity: <sip:boss@x>\r\nRoute: <sip:elsewhere;lr>\r\n";
    world.datagram("192.0.2.7:4000", register("a", "192.0.2.7:4000", 1, more).as_bytes());
    let request = world.one();
    let text = request.text();
    for gone in ["evil", "P-Charging", "boss", "elsewhere", "\"x\""] {
        assert!(!text.contains(gone), "{gone}\n{text}");
    }
    assert_eq!(text.matches("Path:").count(), 1);
    assert_eq!(request.header("Supported").unwrap(), "path");
}

#[test]
fn a_star_that_is_not_alone_and_a_contact_without_uri_are_refused() {
    for contact in ["*", "<tel:+8613900000001>", "*, <sip:a@b>"] {
        let mut world = World::new();
        let text = register("a", "192.0.2.7:4000", 1, "")
            .replace("<sip:a@192.0.2.7:4000>\r\n", &format!("{contact}\r\n"));
        world.datagram("192.0.2.7:4000", text.as_bytes());
        let answer = world.one();
        assert!(answer.text().starts_with("SIP/2.0 400 "), "{contact}: {}", answer.text());
        assert!(answer.header("Warning").unwrap().contains("Contact"), "{}", answer.text());
    }
}

#[test]
fn the_table_of_bindings_has_a_cap() {
    let mut config = config();
    config.registrar.bindings_max = 1;
    let mut world = World::with(config);
    registered_udp(&mut world, "a", "192.0.2.7:4000");
    world.datagram("192.0.2.8:4000", register("b", "192.0.2.8:4000", 1, "").as_bytes());
    let answer = world.one();
    assert!(answer.text().starts_with("SIP/2.0 503 "), "{}", answer.text());
    assert!(answer.header("Retry-After").is_some());
}

#[test]
fn service_routes_that_show_an_address_are_masked() {
    let mut world = World::new();
    world.datagram("192.0.2.7:4000", register("a", "192.0.2.7:4000", 1, "").as_bytes());
    let request = world.one();
    let contact = request.header("Contact").unwrap();
    let lines = format!("Contact: {contact}\r\nService-Route: <sip:orig@182.1.1.99:5070;lr>\r\n");
    world.core(&response(&request, "200 OK", &lines));
    assert_eq!(world.one().header("Service-Route").unwrap(), "<sip:182.3.1.6:5060;lr>");
    // and yet it is where the UE's requests go
    world.datagram("192.0.2.7:4000", crate::messaging::message("a", "192.0.2.7:4000", "b1", "").as_bytes());
    let message = world.one();
    assert_eq!(message.hop, to_core("182.1.1.99:5070"));
    assert_eq!(message.header("Route").unwrap(), "<sip:orig@182.1.1.99:5070;lr>");
}

#[test]
fn registers_that_overtake_each_other_leave_one_binding_that_is_reached() {
    let mut world = World::new();
    let ue = "192.0.2.7:4000";
    let send = |world: &mut World, cseq| {
        world.sent();
        world.datagram(ue, register("a", ue, cseq, "").as_bytes());
        world.one()
    };
    let (first, second) = (send(&mut world, 1), send(&mut world, 2));
    accept(&mut world, &first, 3600);
    let third = send(&mut world, 3);
    accept(&mut world, &second, 3600);
    let registered = accept(&mut world, &third, 3600);
    world.sent();
    assert_eq!(world.edge.counters().registrations, 1);
    world.core(crate::ue::message_to_ue(&registered.path, "m1", "").as_bytes());
    assert_eq!(world.one().hop, udp(ue));
}

/// R20, R22: two devices of one user, each with its instance (one inside the URI as in 5-8, one as a feature
/// tag), its flow and its GRUU; outbound parameters pass; each is reached by its own Path.
#[test]
fn devices_of_one_user_live_side_by_side() {
    let mut world = World::new();
    let register = |source: &str, n: u32, contact: &str| {
        register("user1", source, n, "Supported: outbound, gruu, path\r\n")
            .replace(&format!("<sip:user1@{source}>"), contact)
            .replace("branch=z9hG4bKreg", &format!("branch=z9hG4bK{}", source.replace([':', '.'], "")))
    };
    let phone = "<sip:user1@192.0.2.7:4000;sip.instance=urn:gsma:imei:1;ob>";
    let app = "<sip:user1@192.0.2.8:4000;ob>;reg-id=1;+sip.instance=\"<urn:uuid:2>\"";
    let mut paths = Vec::new();
    for (source, contact) in [("192.0.2.7:4000", phone), ("192.0.2.8:4000", app)] {
        world.datagram(source, register(source, 1, contact).as_bytes());
        let request = world.one();
        let passed = request.header("Contact").unwrap();
        let behind = contact.split_once(">").unwrap().1;
        assert!(passed.contains(";ob;gw=") && passed.ends_with(behind), "{passed}");
        assert!(request.header("Supported").unwrap().contains("outbound"));
        let uri = &passed[..=passed.find('>').unwrap()];
        let gruu = "pub-gruu=\"sip:user1@h;gr=urn:uuid:2\";temp-gruu=\"sip:tgruu.7@h;gr\"";
        let lines = format!("Contact: {uri};expires=600;{gruu}\r\nRequire: outbound\r\nFlow-Timer: 120\r\n");
        world.core(&response(&request, "200 OK", &lines));
        let ok = world.one();
        let shown = ok.header("Contact").unwrap();
        assert!(
            shown.starts_with(&contact[..=contact.find('>').unwrap()]) && shown.ends_with(gruu),
            "{shown}"
        );
        assert_eq!(
            (ok.header("Require").unwrap(), ok.header("Flow-Timer").unwrap()),
            ("outbound".into(), "120".into())
        );
        paths.push(request.header("Path").unwrap());
    }
    assert_eq!(world.edge.counters().registrations, 2);
    for (n, (path, source)) in paths.iter().zip(["192.0.2.7:4000", "192.0.2.8:4000"]).enumerate() {
        world.core(crate::ue::message_to_ue(path, &format!("d{n}"), "").as_bytes());
        assert_eq!(world.one().hop, udp(source));
    }
    // The app moves behind its NAT: the same instance, another source; the phone stays where it is.
    world.datagram("192.0.2.8:5555", register("192.0.2.8:5555", 2, app).as_bytes());
    let request = world.one();
    accept(&mut world, &request, 600);
    assert_eq!(world.sent().pop().unwrap().hop, udp("192.0.2.8:5555"));
    assert_eq!(world.edge.counters().registrations, 2);
    // What the core stored before still leads to it.
    for (path, source) in [(&paths[0], "192.0.2.7:4000"), (&paths[1], "192.0.2.8:5555")] {
        world.core(
            crate::ue::message_to_ue(path, &format!("e{}", source.len() + source.as_bytes()[8] as usize), "")
                .as_bytes(),
        );
        assert_eq!(world.one().hop, udp(source));
    }
    // One goes, the other stays.
    world.datagram(
        "192.0.2.7:4000",
        register("192.0.2.7:4000", 3, phone).replace("Supported:", "Expires: 0\r\nSupported:").as_bytes(),
    );
    let request = world.one();
    world.core(&response(&request, "200 OK", ""));
    assert_eq!(world.edge.counters().registrations, 1);
}

/// R22: the route of a UE is that of its registration, whatever it puts into Route, in and outside dialogs.
#[test]
fn a_ue_cannot_choose_its_route() {
    let mut world = World::new();
    registered_udp(&mut world, "user1", "182.1.1.203:41200");
    for (n, route) in
        ["<sip:10.1.1.1;lr>", "<sip:182.3.1.6:5060;lr>, <sip:evil.example;lr>", "<sip:orig@cmcc.rcs.com;lr>"]
            .iter()
            .enumerate()
    {
        let text = crate::messaging::message(
            "user1",
            "182.1.1.203:41200",
            &format!("v{n}"),
            &format!("Route: {route}\r\nPath: <sip:evil@h>\r\n"),
        );
        world.datagram("182.1.1.203:41200", text.as_bytes());
        let request = world.one();
        assert_eq!(request.header("Route").unwrap(), crate::ue::SERVICE_ROUTE);
        assert_eq!((request.text().matches("Route:").count(), request.header("Path")), (1, None));
        assert_eq!(request.hop, to_core(CORE));
    }
    let mut world = World::new();
    let (invite, _, ok) = crate::calls::chatting(&mut world);
    let info = crate::calls::inside(&invite, &ok, "INFO", 2, "");
    let route = ok.header("Record-Route").unwrap();
    world.datagram(crate::calls::A, info.replace(&route, "<sip:10.1.1.1;lr>").as_bytes());
    let info = world.one();
    assert_eq!(info.header("Route").unwrap(), "<sip:182.1.1.65:5080;lr>, <sip:182.1.1.66;lr;x=1>");
    assert_eq!(info.hop, to_core("182.1.1.65:5080"));
}
