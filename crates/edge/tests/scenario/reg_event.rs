//! R22: the edge subscribes to the state of its registrations (RFC 3680, TS 24.229 §5.2.3), and what the
//! network ends or shortens takes effect.

use crate::calls::{A, B, SECONDS, answer, core_sdp, ends, ordered};
use crate::messaging::message;
use crate::ue::{Registered, accept, register};
use crate::world::{CORE, EDGE_CORE, Sent, World, config, response, to_core, udp, vector_text};
use edge::Record;
use wire::{Cause, Realm, Transport};

const AOR: &str = "sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org";

fn world() -> World {
    let mut config = config();
    config.registrar.reg_event = true;
    World::with(config)
}

/// Registers `user1` from `source`; the SUBSCRIBE that follows, if one does.
fn registered(world: &mut World, source: &str, cseq: u32) -> (Registered, Option<Sent>) {
    world.datagram(source, register("user1", source, cseq, "").as_bytes());
    let request = world.one();
    let registered = accept(world, &request, 3600);
    let mut sent = world.sent();
    assert!(sent.iter().any(|s| s.hop == udp(source) && s.text().starts_with("SIP/2.0 200 ")));
    sent.retain(|s| s.text().starts_with("SUBSCRIBE "));
    assert!(sent.len() <= 1);
    (registered, sent.pop())
}

fn accepted(subscribe: &Sent, expires: u32) -> Vec<u8> {
    let lines = format!(
        "Contact: <sip:scscf@182.1.1.64:5070>\r\nRecord-Route: <sip:182.1.1.65:5080;lr>\r\nExpires: {expires}\r\n"
    );
    response(subscribe, "200 OK", &lines)
}

fn notify(subscribe: &Sent, cseq: u32, state: &str, body: &str) -> String {
    let target = subscribe.header("Contact").unwrap();
    let target = target.trim_matches(['<', '>']);
    let kind = if body.is_empty() { "" } else { "Content-Type: application/reginfo+xml\r\n" };
    format!(
        "NOTIFY {target} SIP/2.0\r\nVia: SIP/2.0/UDP {CORE};branch=z9hG4bKn{cseq}\r\nMax-Forwards: 70\r\n\
         From: <{AOR}>;tag=far1\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} NOTIFY\r\nContact: <sip:scscf@182.1.1.64:5070>\r\n\
         Event: reg\r\nSubscription-State: {state}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        subscribe.header("From").unwrap(),
        subscribe.header("Call-ID").unwrap(),
        body.len()
    )
}

/// A document about contacts of `AOR`: URI, state, event and expires.
fn info(version: u32, state: &str, contacts: &[(&str, &str, &str, u32)]) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\"?><reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"{version}\" state=\"partial\">\
         <registration aor=\"{AOR}\" id=\"r\" state=\"{state}\">"
    );
    for (n, (uri, state, event, expires)) in contacts.iter().enumerate() {
        let uri = uri.trim_matches(['<', '>']).replace('&', "&amp;");
        text += &format!(
            "<contact id=\"{n}\" state=\"{state}\" event=\"{event}\" expires=\"{expires}\"><uri>{uri}</uri></contact>"
        );
    }
    text + "</registration></reginfo>"
}

fn ended(world: &mut World) -> Vec<Cause> {
    let records = core::mem::take(&mut world.records);
    let end = |record| match record {
        Record::Registration { ended, .. } => ended,
        _ => None,
    };
    records.into_iter().filter_map(end).collect()
}

/// The subscription as the core sees it, and its life: refreshed in time, one for each user.
#[test]
fn a_registered_user_is_watched() {
    let mut world = world();
    let (_, subscribe) = registered(&mut world, A, 1);
    let subscribe = subscribe.unwrap();
    assert_eq!(subscribe.hop, to_core(CORE));
    assert!(subscribe.text().starts_with(&format!("SUBSCRIBE {AOR} SIP/2.0\r\n")), "{}", subscribe.text());
    let own = format!("<sip:{EDGE_CORE}>");
    for (name, value) in [
        ("Event", "reg"),
        ("Accept", "application/reginfo+xml"),
        ("Expires", "600000"),
        ("To", &format!("<{AOR}>")),
        ("Contact", &own),
        ("P-Asserted-Identity", &own),
        ("CSeq", "1 SUBSCRIBE"),
    ] {
        assert_eq!(subscribe.header(name).as_deref(), Some(value), "{name}");
    }
    world.core(&accepted(&subscribe, 3_600));
    world.core(notify(&subscribe, 1, "active;expires=3600", "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 200 "));
    // A second device and a refresh of the first want no second subscription.
    assert!(registered(&mut world, B, 2).1.is_none());
    assert!(registered(&mut world, A, 3).1.is_none());
    // 600 seconds before its end it is refreshed, in its dialog.
    world.pass(2_999 * SECONDS);
    world.none();
    world.pass(SECONDS);
    let refresh = world.one();
    assert!(
        refresh.text().starts_with("SUBSCRIBE sip:scscf@182.1.1.64:5070 SIP/2.0\r\n"),
        "{}",
        refresh.text()
    );
    assert_eq!(refresh.header("Route").unwrap(), "<sip:182.1.1.65:5080;lr>");
    assert_eq!(refresh.header("To").unwrap(), format!("<{AOR}>;tag=far1"));
    assert_eq!(refresh.header("CSeq").unwrap(), "2 SUBSCRIBE");
    world.core(&accepted(&refresh, 3_600));
    // With its last registration the subscription goes too.
    world.pass(2_000 * SECONDS);
    world.sent();
    world.pass(4_000 * SECONDS);
    assert_eq!(ended(&mut world), [Cause::RegistrationExpired; 2]);
    assert_eq!(world.edge.held().watches, 0, "nothing is watched any more");
    assert_eq!(world.edge.next_deadline(), None);
}

/// Network-initiated de-registration: the NOTIFY is answered, then binding, calls and media go; the other
/// device stays.
#[test]
fn the_network_ends_a_registration() {
    let mut world = world();
    let (first, subscribe) = registered(&mut world, A, 1);
    let subscribe = subscribe.unwrap();
    world.core(&accepted(&subscribe, 600_000));
    let (second, _) = registered(&mut world, B, 2);
    world.datagram(A, vector_text("chat-01-invite.sip").as_bytes());
    let invite = world.sent().remove(0);
    let contact = "Contact: <sip:as@10.71.174.102:5061>\r\n";
    world.core(&answer(&invite, "200 OK", "far1", contact, &core_sdp("chat-02-200.sip")));
    world.sent();
    ordered(&mut world);
    ended(&mut world);

    let one = [
        (&first.contact_at_core[..], "terminated", "deactivated", 0),
        (&second.contact_at_core, "active", "registered", 3600),
    ];
    let text = notify(&subscribe, 5, "active;expires=500000", &info(1, "active", &one));
    world.core(text.as_bytes());
    let sent = world.sent();
    assert!(sent[0].text().starts_with("SIP/2.0 200 ") && sent[0].hop == to_core(CORE), "answered first");
    let byes: Vec<_> = sent.iter().filter(|s| s.text().starts_with("BYE ")).collect();
    assert_eq!(byes.len(), 2, "both ends of its call are told");
    assert_eq!(ordered(&mut world).1.len(), 1, "R72");
    assert_eq!(ended(&mut world), [Cause::NetworkDeregistered]);
    assert_eq!(ends(&mut world), [], "taken above");
    assert_eq!(world.edge.counters().registrations, 1);
    world.datagram(A, message("user1", A, "m1", "").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 403 "), "R9");
    // The same NOTIFY again, and one that was overtaken, change nothing.
    world.core(text.as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 200 "));
    let old = [(&second.contact_at_core[..], "terminated", "rejected", 0)];
    world.core(notify(&subscribe, 4, "active", &info(9, "active", &old)).as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 400 "));
    world.core(notify(&subscribe, 6, "active", &info(1, "active", &old)).as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 200 "), "an old version says nothing");
    assert_eq!(world.edge.counters().registrations, 1);
    // The whole user.
    world.core(notify(&subscribe, 7, "terminated;reason=noresource", &info(2, "terminated", &[])).as_bytes());
    world.sent();
    assert_eq!((world.edge.counters().registrations, world.edge.held().watches), (0, 0));
}

/// The network lets a registration end sooner; it cannot make it longer.
#[test]
fn the_network_shortens_a_registration() {
    let mut world = world();
    let (first, subscribe) = registered(&mut world, A, 1);
    let subscribe = subscribe.unwrap();
    world.core(&accepted(&subscribe, 600_000));
    for (version, seconds) in [(1, 7_200), (2, 120)] {
        let contact = [(&first.contact_at_core[..], "active", "shortened", seconds)];
        world.core(notify(&subscribe, version, "active", &info(version, "active", &contact)).as_bytes());
        assert!(world.one().text().starts_with("SIP/2.0 200 "));
    }
    world.pass(119 * SECONDS);
    assert_eq!(world.edge.counters().registrations, 1);
    world.pass(SECONDS);
    assert_eq!(world.edge.counters().registrations, 0);
    assert_eq!(ended(&mut world), [Cause::RegistrationExpired]);
}

/// Identities of an implicit set come and go with what the documents say (R27, R63).
#[test]
fn implicit_identities_follow_the_network() {
    let mut world = world();
    let (first, subscribe) = registered(&mut world, A, 1);
    let subscribe = subscribe.unwrap();
    world.core(&accepted(&subscribe, 600_000));
    let prefers = |world: &mut World, who: &str, n: u32| {
        let wish = format!("P-Preferred-Identity: <{who}>\r\n");
        world.datagram(A, message("user1", A, &format!("i{n}"), &wish).as_bytes());
        let sent = world.one();
        world.core(&response(&sent, "200 OK", ""));
        world.sent();
        sent.header("P-Asserted-Identity").unwrap() == format!("<{who}>")
    };
    let other = |version, state: &str| {
        let contact = [(&first.contact_at_core[..], "active", "registered", 3600)];
        info(version, state, &contact).replace(AOR, "sip:alias@h")
    };
    assert!(!prefers(&mut world, "sip:alias@h", 1) && prefers(&mut world, "tel:+8613900000001", 2));
    world.core(notify(&subscribe, 1, "active", &other(1, "active")).as_bytes());
    world.sent();
    assert!(prefers(&mut world, "sip:alias@h", 3));
    world.core(notify(&subscribe, 2, "active", &other(2, "terminated")).as_bytes());
    world.sent();
    assert!(!prefers(&mut world, "sip:alias@h", 4));
    assert_eq!(world.edge.counters().registrations, 1, "the registration itself stays");
}

/// What is no NOTIFY of this subscription, or no reginfo, ends nothing.
#[test]
fn strangers_end_nothing() {
    let mut world = world();
    let (first, subscribe) = registered(&mut world, A, 1);
    let subscribe = subscribe.unwrap();
    world.core(&accepted(&subscribe, 600_000));
    let contact = [(&first.contact_at_core[..], "terminated", "rejected", 0)];
    let good = notify(&subscribe, 3, "active", &info(1, "terminated", &contact));
    let call_id = subscribe.header("Call-ID").unwrap();
    for (text, status) in [
        (good.replace("tag=far1", "tag=far2"), "481"),
        (good.replace(&call_id, &format!("{call_id}x")), "481"),
        (good.replace("NOTIFY", "INFO"), "405"),
        (good.replace("reginfo+xml", "xml"), "400"),
        (good.replace("</reginfo>", "<reginfo>"), "400"),
    ] {
        world.core(text.as_bytes());
        let sent = world.one();
        assert!(sent.text().starts_with(&format!("SIP/2.0 {status} ")), "{}", sent.text());
    }
    // A UE cannot say it at all.
    world.datagram(A, good.replace(CORE, A).as_bytes());
    assert!(!world.one().text().starts_with("SIP/2.0 200 "));
    assert_eq!(world.edge.counters().registrations, 1);
    world.core(good.as_bytes());
    world.sent();
    assert_eq!(world.edge.counters().registrations, 0);
}

/// A core that refuses, or does not answer, is asked again later and later; one that ends the
/// subscription, at once.
#[test]
fn a_subscription_that_fails_is_tried_again() {
    let mut world = world();
    let stream = world.open(Realm::Access, Transport::Tcp, A);
    world.bytes(stream, register("user1", A, 1, "").as_bytes());
    let request = world.one();
    accept(&mut world, &request, 600_000);
    let subscribe = world.sent().into_iter().find(|s| s.text().starts_with("SUBSCRIBE ")).unwrap();
    world.core(&response(&subscribe, "503 Later", ""));
    world.pass(29 * SECONDS);
    world.none();
    world.pass(SECONDS);
    let second = world.one();
    assert!(
        second.text().starts_with(&format!("SUBSCRIBE {AOR} "))
            && second.header("CSeq").unwrap() == "2 SUBSCRIBE"
    );
    world.pass(33 * SECONDS); // nobody answers
    world.sent();
    world.pass(60 * SECONDS);
    let third = world.sent().remove(0);
    assert_eq!(third.header("CSeq").unwrap(), "3 SUBSCRIBE");
    world.core(&accepted(&third, 600_000));
    world.core(notify(&third, 1, "terminated;reason=deactivated", "").as_bytes());
    world.sent();
    world.pass(SECONDS);
    let fourth = world.one();
    assert_ne!(fourth.header("From"), third.header("From"), "a dialog of its own");
    assert!(!fourth.header("To").unwrap().contains("tag="));
}
