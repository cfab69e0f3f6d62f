//! R54, R57: SUBSCRIBE, REFER and their NOTIFYs, both ways, and when a subscription ends.

use crate::calls::{A, B, CORE_CONTACT, SECONDS, assert_clean, chatting, inside, inside_from_core};
use crate::compare::assert_message;
use crate::ue::{SERVICE_ROUTE, registered_udp};
use crate::world::{CORE, EDGE_CORE, Sent, World, header, response, to_core, udp, vector_text};
use wire::{Cause, Realm};

const ROUTES: &str = "<sip:182.1.1.65:5080;lr>, <sip:182.1.1.66;lr;x=1>";
/// What a core puts into a message, and no UE may see.
const INNER: &str = "P-Charging-Vector: icid-value=1;orig-ioi=10.9.9.9\r\nP-Visited-Network-ID: 10.9.9.9\r\n";

/// user2, and its SUBSCRIBE as the core got it.
fn subscribed(world: &mut World, name: &str) -> (String, Sent) {
    registered_udp(world, "user2", B);
    let subscribe = vector_text(name);
    world.datagram(B, subscribe.as_bytes());
    (subscribe, world.one())
}

/// The printed answer as the core makes it: its own route set, the To tag of the figure.
fn accepted(request: &Sent, printed: &str) -> Vec<u8> {
    let own = request.header("Record-Route").unwrap();
    let to = header(printed, "To").unwrap();
    let tag = to.split("tag=").nth(1).unwrap();
    let head = printed.split("\r\n\r\n").next().unwrap();
    let names = ["via", "record-route", "call-id", "from", "to", "cseq", "content-length"];
    let lines = head
        .lines()
        .skip(1)
        .filter(|l| !names.iter().any(|n| l.split(':').next().unwrap().eq_ignore_ascii_case(n)));
    let lines: String = lines.map(|l| format!("{l}\r\n")).collect();
    let routes = "<sip:182.1.1.66;lr;x=1>, <sip:182.1.1.65:5080;lr>";
    let lines = format!("Record-Route: {routes}, {own}\r\n{lines}{INNER}");
    let text = String::from_utf8(response(request, "200 OK", &lines)).unwrap();
    text.replace("tag=far1", &format!("tag={tag}")).into_bytes()
}

/// The printed NOTIFY as the core sends it along our Record-Route.
fn notify(request: &Sent, printed: &str, branch: &str) -> String {
    let via = header(printed, "Via").unwrap();
    let vias =
        format!("SIP/2.0/UDP {CORE};branch=z9hG4bK{branch}, SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKin{branch}");
    let route = request.header("Record-Route").unwrap();
    let more =
        format!("Max-Forwards: 68\r\nRoute: {route}\r\nRecord-Route: {ROUTES}\r\n{}", INNER.trim_end());
    printed.replacen(&via, &vias, 1).replacen("Max-Forwards: 67", &more, 1)
}

/// Vectors grp-17 to grp-28: a UE subscribes; the NOTIFY comes after the 200, or before it (R57).
#[test]
fn a_ue_subscribes_to_its_groups() {
    let flows = [
        (
            "grp-17-subscribe-conference",
            "grp-18-200-subscribe",
            "grp-19-notify-conference",
            "grp-20-200-notify",
        ),
        (
            "grp-21-subscribe-grouplist",
            "grp-22-200-grouplist",
            "grp-23-notify-grouplist",
            "grp-24-200-notify-grouplist",
        ),
        (
            "grp-25-subscribe-groupinfo",
            "grp-26-200-groupinfo",
            "grp-27-notify-groupinfo",
            "grp-28-200-notify-groupinfo",
        ),
    ];
    for ((subscribe, ok, notified, notified_ok), notify_first) in
        flows.into_iter().flat_map(|flow| [(flow, false), (flow, true)])
    {
        let mut world = World::new();
        let (printed, request) = subscribed(&mut world, &format!("{subscribe}.sip"));
        let changed = [
            "Via",
            "Max-Forwards",
            "Contact",
            "Record-Route",
            "Route",
            "P-Asserted-Identity",
            "P-Access-Network-Info",
        ];
        assert_message(&request.text(), &printed, &changed);
        assert_eq!(request.header("Route").unwrap(), SERVICE_ROUTE);
        assert!(
            request.header("Record-Route").unwrap().ends_with(&format!("@{EDGE_CORE};transport=udp;lr>")),
            "R25"
        );
        let contact = header(&printed, "Contact").unwrap().replace(B, EDGE_CORE);
        assert_eq!(
            request.header("Contact").unwrap(),
            contact.replace("transport=tcp", "transport=udp"),
            "R26"
        );

        let (ok, notified) = (vector_text(&format!("{ok}.sip")), vector_text(&format!("{notified}.sip")));
        // The figures print two different tags for one notifier.
        let ok = ok.replace("sbc0402o9ohngj", "sbc0402o9ohhngj").replace("sbc0402o9ohngk", "sbc0402o9ohhngj");
        let answer = |world: &mut World| {
            world.core(&accepted(&request, &ok));
            let got = world.one();
            assert_eq!(got.hop, udp(B));
            assert_message(&got.text(), &ok, &["Via", "Record-Route"]);
            assert_eq!(got.own_route(), "<sip:182.3.1.6:5060;transport=udp;lr>");
        };
        let notice = |world: &mut World, branch: &str, text: &str, target: &str| {
            world.core(notify(&request, text, branch).as_bytes());
            let got = world.one();
            assert_eq!(got.hop, udp(B));
            let target = header(target, "Contact").unwrap();
            let target = target.split(['<', '>']).nth(1).unwrap();
            let start = text.lines().next().unwrap();
            assert_message(
                &got.text(),
                &text.replacen(start, &format!("NOTIFY {target} SIP/2.0"), 1),
                &["Via", "Record-Route"],
            );
            assert_eq!(got.text().matches("Via:").count(), 1, "R23");
            assert!(!got.text().contains("10.9.9.9") && !got.text().contains("182.1.1.6"), "{}", got.text());
            got
        };
        if !notify_first {
            answer(&mut world);
        }
        let got = notice(&mut world, "n1", &notified, &printed);
        if notify_first {
            assert_eq!(got.own_route(), "<sip:182.3.1.6:5060;transport=udp;lr>", "RFC 6665 §4.3");
        }
        let printed_ok = vector_text(&format!("{notified_ok}.sip"));
        let via = header(&printed_ok, "Via").unwrap();
        world.datagram(B, printed_ok.replacen(&via, &got.header("Via").unwrap(), 1).as_bytes());
        let back = world.one();
        assert_eq!(back.hop, to_core(CORE));
        assert_eq!(back.text().matches("Via:").count(), 2, "the core's own Vias");
        assert!(back.header("Contact").unwrap().contains(&format!("@{EDGE_CORE}")), "R26: {}", back.text());
        if notify_first {
            answer(&mut world);
        }
        // A later NOTIFY, and the last.
        let later = notified.replacen("CSeq: 1", "CSeq: 2", 1);
        let last = notified.replacen("CSeq: 1", "CSeq: 3", 1).replacen(
            "active;expires=3600",
            "terminated;reason=timeout",
            1,
        );
        for (branch, text) in [("n2", later), ("n3", last)] {
            // RFC 3261 §12.2.1.2: the 200 to the first one refreshed the target.
            let got = notice(&mut world, branch, &text, &printed_ok);
            assert_eq!(got.header("Record-Route"), None);
            world.datagram(B, &response(&got, "200 OK", ""));
            world.one();
        }
        assert_eq!(world.edge.counters().subscriptions_opened, 1);
        assert_clean(&mut world);
    }
}

/// A request of the UE in the dialog of its subscription.
fn refresh(subscribe: &str, ok: &str, cseq: u32, expires: u32) -> String {
    format!(
        "SUBSCRIBE sip:125XX001XXXXXXXXXXXX@as1.gc.rcs.chinamobile.com SIP/2.0\r\nVia: SIP/2.0/UDP {B};branch=z9hG4bKre{cseq}\r\n\
         Route: <sip:182.3.1.6:5060;transport=udp;lr>\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} SUBSCRIBE\r\n\
         Contact: <sip:user2@{B}>\r\nEvent: conference\r\nExpires: {expires}\r\nContent-Length: 0\r\n\r\n",
        header(subscribe, "From").unwrap(),
        header(ok, "To").unwrap(),
        header(ok, "Call-ID").unwrap(),
    )
}

/// R57, R79: a subscription lives as long as it is refreshed, and ends by expiry, fetch, refusal or 481.
#[test]
fn a_subscription_lives_until_nobody_refreshes_it() {
    let begin = |world: &mut World| {
        let (subscribe, request) = subscribed(world, "grp-17-subscribe-conference.sip");
        let ok = vector_text("grp-18-200-subscribe.sip");
        world.core(&accepted(&request, &ok));
        world.one();
        (subscribe, request, ok)
    };
    let calls = |world: &World| world.edge.counters().calls;

    // Refreshed over the route set of the 200 and its target; then left alone.
    let mut world = World::new();
    let (subscribe, _, ok) = begin(&mut world);
    world.pass(3_500 * SECONDS);
    registered_again(&mut world);
    world.datagram(B, refresh(&subscribe, &ok, 2, 600).as_bytes());
    let passed = world.one();
    assert_eq!(passed.hop, to_core("182.1.1.65:5080"));
    assert_eq!(passed.header("Route").unwrap(), ROUTES);
    assert!(
        passed
            .text()
            .starts_with("SUBSCRIBE sip:125XX001XXXXXXXXXXXX@as1.gc.rcs.chinamobile.com SIP/2.0\r\n")
    );
    world.core(&response(&passed, "200 OK", "Expires: 300\r\n"));
    world.one();
    world.pass(299 * SECONDS);
    assert_eq!(calls(&world), 1);
    world.pass(34 * SECONDS);
    assert_eq!(calls(&world), 0, "the core granted 300 s");

    // Unknown to the notifier; refused for now; ended by the subscriber.
    for (status, expires, left) in
        [("481 Gone", 600, 0), ("500 Later", 600, 1), ("408 Timeout", 600, 1), ("200 OK", 0, 0)]
    {
        let mut world = World::new();
        let (subscribe, _, ok) = begin(&mut world);
        world.datagram(B, refresh(&subscribe, &ok, 2, expires).as_bytes());
        let passed = world.one();
        world.core(&response(&passed, status, if expires == 0 { "Expires: 0\r\n" } else { "" }));
        world.one();
        world.pass(40 * SECONDS);
        assert_eq!(calls(&world), left, "{status}");
    }

    // A NOTIFY that the UE knows nothing of ends it; one that it cannot take now does not.
    for (status, left) in [("481 Gone", 0), ("500 Later", 1)] {
        let mut world = World::new();
        let (_, request, _) = begin(&mut world);
        world.pass(40 * SECONDS);
        world.core(notify(&request, &vector_text("grp-19-notify-conference.sip"), "n").as_bytes());
        let got = world.one();
        world.datagram(B, &response(&got, status, ""));
        world.one();
        assert_eq!(calls(&world), left, "{status}");
    }
}

fn registered_again(world: &mut World) {
    world.datagram(B, crate::ue::register("user2", B, 2, "").as_bytes());
    let request = world.one();
    crate::ue::accept(world, &request, 7200);
    world.one();
}

/// R57: `Expires: 0` fetches the state once; a refusal leaves nothing; nor does silence.
#[test]
fn a_fetch_and_a_refusal_leave_nothing() {
    for (status, expires) in [("200 OK", "0"), ("489 Bad Event", "3600"), ("", "3600")] {
        let mut world = World::new();
        registered_udp(&mut world, "user2", B);
        let printed = vector_text("grp-17-subscribe-conference.sip");
        world.datagram(B, printed.replacen("Expires: 3600", &format!("Expires: {expires}"), 1).as_bytes());
        let request = world.one();
        assert_eq!(request.header("Expires").unwrap(), expires);
        if !status.is_empty() {
            world.core(&response(&request, status, "Expires: 0\r\n"));
            world.one();
        }
        if status == "200 OK" {
            let text = vector_text("grp-19-notify-conference.sip")
                .replacen("active;expires=3600", "terminated;reason=timeout", 1)
                .replacen("tag=sbc0402o9ohhngj", "tag=far1", 1);
            world.core(notify(&request, &text, "n").as_bytes());
            let got = world.one();
            world.datagram(B, &response(&got, "200 OK", ""));
            world.one();
        }
        assert_clean(&mut world);
        // What comes later belongs to nothing.
        world.sent();
        world.core(notify(&request, &vector_text("grp-19-notify-conference.sip"), "late").as_bytes());
        assert!(world.one().text().starts_with("SIP/2.0 481 "));
    }
}

/// RFC 6665 §4.1.4: a fork in the core makes a dialog for each notifier; strangers make none.
#[test]
fn each_notifier_of_a_fork_gets_a_dialog() {
    let mut world = World::new();
    let (_, request) = subscribed(&mut world, "grp-17-subscribe-conference.sip");
    let printed = vector_text("grp-19-notify-conference.sip");
    for (n, tag) in ["n1", "n2"].into_iter().enumerate() {
        let text = printed.replacen("tag=sbc0402o9ohhngj", &format!("tag={tag}"), 1);
        world.core(notify(&request, &text, tag).as_bytes());
        let got = world.one();
        assert_eq!(got.hop, udp(B), "{n}");
        world.datagram(B, &response(&got, "200 OK", ""));
        world.one();
    }
    let stranger = printed.replacen("tag=1430825616", "tag=x", 1);
    world.core(notify(&request, &stranger, "x").as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 481 "));
    // A UE may not pose as the notifier of another's subscription.
    registered_udp(&mut world, "user1", A);
    world.datagram(A, printed.replace("182.3.1.6:5060", A).as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 481 "));
    assert_eq!(world.edge.counters().rejects(Realm::Access, Cause::UnknownDialog), 1);
}

/// The core subscribes to something of the UE, for example to its presence.
#[test]
fn a_ue_notifies_the_core() {
    let mut world = World::new();
    let ue = registered_udp(&mut world, "user2", B);
    let subscribe = crate::ue::message_to_ue(
        &ue.path,
        "sub1",
        "Contact: <sip:watcher@10.9.9.9:5061>\r\nEvent: presence\r\nExpires: 60\r\n",
    )
    .replace("MESSAGE", "SUBSCRIBE");
    world.core(subscribe.as_bytes());
    let request = world.one();
    assert_eq!(request.hop, udp(B));
    assert_eq!(request.own_route(), "<sip:182.3.1.6:5060;transport=udp;lr>");
    assert_eq!(request.header("Contact").unwrap(), "<sip:182.3.1.6:5060>");
    world.datagram(B, &response(&request, "200 OK", &format!("Contact: <sip:user2@{B}>\r\nExpires: 60\r\n")));
    let ok = world.one();
    let routes = ok.header("Record-Route").unwrap();
    assert!(routes.ends_with(&format!("@{EDGE_CORE};transport=udp;lr>, <sip:10.9.9.9;lr>")), "{routes}");
    let text = format!(
        "NOTIFY sip:182.3.1.6:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {B};branch=z9hG4bKno\r\nRoute: <sip:182.3.1.6:5060;lr>\r\nMax-Forwards: 70\r\n\
         From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 NOTIFY\r\nContact: <sip:user2@{B}>\r\nEvent: presence\r\n\
         Subscription-State: terminated\r\nContent-Length: 0\r\n\r\n",
        ok.header("To").unwrap(),
        ok.header("From").unwrap(),
        ok.header("Call-ID").unwrap(),
    );
    world.datagram(B, text.as_bytes());
    let passed = world.one();
    assert!(passed.text().starts_with("NOTIFY sip:watcher@10.9.9.9:5061 SIP/2.0\r\n"), "{}", passed.text());
    assert_eq!(
        (passed.header("Route").unwrap(), passed.hop),
        ("<sip:10.9.9.9;lr>".into(), to_core("10.9.9.9:5060"))
    );
    world.core(&response(&passed, "200 OK", ""));
    assert!(world.one().text().starts_with("SIP/2.0 200 "));
    assert_clean(&mut world);
}

/// RFC 5057 §4: what a REFER or SUBSCRIBE in a call began goes on after its BYE, in the same dialog.
#[test]
fn a_subscription_outlives_the_call_whose_dialog_it_uses() {
    for (method, lines, event) in [
        ("REFER", "Refer-To: <sip:user3@h>\r\n", "refer;id=2"),
        ("SUBSCRIBE", "Event: conference\r\n", "conference"),
    ] {
        let mut world = World::new();
        let (invite, request, ok) = chatting(&mut world);
        let more = format!("Contact: <sip:user1@{A}>\r\n{lines}");
        world.datagram(A, inside(&invite, &ok, method, 2, &more).as_bytes());
        let passed = world.one();
        world.core(&response(&passed, "202 Accepted", &format!("Contact: {CORE_CONTACT}\r\n")));
        world.one();
        let notice = |world: &mut World, cseq, state: &str| {
            let lines =
                format!("Contact: {CORE_CONTACT}\r\nEvent: {event}\r\nSubscription-State: {state}\r\n");
            world.core(inside_from_core(&request, "NOTIFY", cseq, &lines).as_bytes());
            let got = world.one();
            assert_eq!(got.hop, udp(A), "{}", got.text());
            assert_eq!(got.header("Event").unwrap(), event);
            world.datagram(A, &response(&got, "200 OK", ""));
            world.one();
        };
        notice(&mut world, 5, "active;expires=200");
        world.datagram(A, inside(&invite, &ok, "BYE", 3, "").as_bytes());
        let bye = world.one();
        world.core(&response(&bye, "200 OK", ""));
        world.one();
        assert_eq!(world.edge.counters().media_sessions, 0, "R72: the session is over");
        // RFC 5057 §5.1: there is no session for a new offer, and none is made of it.
        let sdp = crate::calls::body_of("chat-04-200-from-ue.sip");
        let kind = format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len());
        let offer = inside(&invite, &ok, "INVITE", 4, &format!("Contact: <sip:user1@{A}>\r\n"));
        world.datagram(A, offer.replace("Content-Length: 0\r\n\r\n", &kind).as_bytes());
        assert!(world.one().text().starts_with("SIP/2.0 481 "));
        world.pass(100 * SECONDS);
        assert_eq!(world.edge.counters().calls, 1);
        notice(&mut world, 6, "terminated;reason=noresource");
        assert_eq!(world.edge.counters().calls, 0);
        assert_clean(&mut world);
    }
}

/// Vectors grp-03, grp-07, grp-09, grp-11, grp-29: REFER in the group's dialog is verbatim and makes
/// nothing (R54); grp-13 to grp-16: kicked, or gone of one's own will (R56).
#[test]
fn a_group_is_managed_and_left() {
    let refers = [
        "grp-03-refer-invite.sip",
        "grp-07-refer-rename.sip",
        "grp-09-refer-transfer-owner.sip",
        "grp-11-refer-kick.sip",
        "grp-29-refer-nickname.sip",
        "quirks/q09-refer-to-no-brackets.sip",
    ];
    for kicked in [true, false] {
        let mut world = World::new();
        let (_, request) = crate::calls::invited(&mut world, "grp-01-invite-create.sip");
        let printed = vector_text("grp-02-200-create.sip");
        let contact = header(&printed, "Contact").unwrap();
        let lines = format!("Record-Route: {ROUTES}\r\nContact: {contact}\r\n");
        let sdp = crate::calls::core_sdp("grp-02-200-create.sip");
        world.core(&crate::calls::answer(&request, "200 OK", "sbc0406jgelnifd", &lines, &sdp));
        world.one();
        for (n, name) in refers.into_iter().enumerate() {
            // All of them in this one dialog: its names in the place of each figure's own.
            let text = vector_text(name);
            let (call_id, cseq) = (header(&text, "Call-ID").unwrap(), header(&text, "CSeq").unwrap());
            let text = text
                .replace(&call_id, "13932260723@182.1.1.203")
                .replace(&format!("CSeq: {cseq}"), &format!("CSeq: {} REFER", n + 2))
                .replace("tag=IQecbqC", "tag=2762688853")
                .replace("tag=ngjalcl8", "tag=sbc0406jgelnifd")
                .replace("182.1.1.203:40308", A);
            world.datagram(A, text.as_bytes());
            let passed = world.one();
            assert_eq!(
                passed.header("Route").unwrap(),
                "<sip:182.1.1.66;lr;x=1>, <sip:182.1.1.65:5080;lr>",
                "{name}"
            );
            let changed = [
                "Via",
                "Max-Forwards",
                "Route",
                "Contact",
                "P-Preferred-Identity",
                "P-Asserted-Identity",
                "P-Access-Network-Info",
            ];
            assert_message(&passed.text(), &text, &changed);
            let contact = header(&text, "Contact").unwrap().replace(A, EDGE_CORE);
            assert_eq!(passed.header("Contact").unwrap(), contact.replace("transport=tcp", "transport=udp"));
            world.core(&response(&passed, "202 Accepted", ""));
            assert!(world.one().text().starts_with("SIP/2.0 202 "), "{name}");
        }
        if kicked {
            let bye = inside_from_core(
                &request,
                "BYE",
                9,
                "User-Agent: Conf-serv/3GPP\r\nReason: SIP;cause=200;text=\"booted\"\r\n",
            )
            .replace("tag=far1", "tag=sbc0406jgelnifd");
            world.core(bye.as_bytes());
            let got = world.one();
            assert_eq!(got.hop, udp(A));
            let reason = header(&vector_text("grp-13-bye-kicked.sip"), "Reason");
            assert_eq!(got.header("Reason"), reason, "R56");
            let printed = vector_text("grp-14-200-bye.sip");
            let text =
                String::from_utf8(response(&got, "200 OK", "Max-Forwards: 70\r\nServer: RCS/1.3.0(And)\r\n"))
                    .unwrap();
            world.datagram(A, text.as_bytes());
            let back = world.one();
            assert_eq!(
                (back.header("Server"), back.header("Max-Forwards")),
                (header(&printed, "Server"), Some("70".into())),
                "R35"
            );
        } else {
            let text = vector_text("grp-15-bye-leave.sip").replace("CSeq: 3", "CSeq: 30");
            world.datagram(A, text.as_bytes());
            let passed = world.one();
            assert_message(
                &passed.text(),
                &text,
                &["Via", "Max-Forwards", "Route", "P-Asserted-Identity", "P-Access-Network-Info"],
            );
            world.core(&response(&passed, "200 OK", "Server: Conf-serv/3GPP\r\n"));
            let back = world.one();
            let wanted = vector_text("grp-16-200-bye-leave.sip").replace("CSeq: 3", "CSeq: 30");
            assert_message(&back.text(), &wanted, &["Via"]);
        }
        assert_clean(&mut world);
    }
}
