//! R61, R62, R65, R70 to R72: calls of the specification, from INVITE to BYE.

use crate::calls::{CORE_CONTACT, SECONDS, answer, assert_clean, body, ends};
use crate::ue::registered_udp;
use crate::world::{Sent, World, config, header, response, vector_text};
use edge::{Action, Event};
use media::command::{MediaCommand, MediaKind, MediaNotice, RtpOrder};
use media::rtp::{Latching, Notice, RtpNotice};
use wire::{Cause, MediaId, Realm};

const UE: &str = "164.132.176.2:5061";
const DOMAIN: &str = "bj.ims.mnc000.mcc460.3gppnetwork.org";
const CORE_SDP: &str = "v=0\r\no=as 7 7 IN IP4 10.166.37.216\r\ns=-\r\nc=IN IP4 10.166.37.162\r\nt=0 0\r\n\
                        m=audio 1372 RTP/AVP 0\r\n";

/// What the RTP relay was ordered since the last look: sessions opened or changed, and ids released.
fn ordered(world: &mut World) -> (Vec<RtpOrder>, Vec<MediaId>) {
    let (mut orders, mut released) = (Vec::new(), Vec::new());
    for action in core::mem::take(&mut world.actions) {
        match action {
            Action::Media(MediaCommand::Rtp(order)) => orders.push(*order),
            Action::Media(MediaCommand::Release { id, .. }) => released.push(id),
            _ => {}
        }
    }
    (orders, released)
}

/// The vector `name`, sent by a UE that is registered here; gives it back with what reached the core.
fn invited(world: &mut World, name: &str) -> (String, Sent) {
    let user = header(&vector_text(name), "From").unwrap();
    let user = user.split(['@', ':']).nth(1).unwrap().to_owned();
    registered_udp(world, &user, UE);
    let invite = vector_text(name).replace("chinamobile.com", DOMAIN);
    world.datagram(UE, invite.as_bytes());
    let mut sent = world.sent();
    assert_eq!(sent.len(), 2, "{:#?}", sent.iter().map(Sent::text).collect::<Vec<_>>());
    (invite, sent.remove(0))
}

fn bye(invite: &str, ok: &Sent) -> String {
    let uri = ok.header("Contact").unwrap();
    format!(
        "BYE {} SIP/2.0\r\nVia: SIP/2.0/UDP {UE};branch=z9hG4bKbye\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\n\
         Call-ID: {}\r\nCSeq: 9 BYE\r\nContent-Length: 0\r\n\r\n",
        uri.split(['<', '>']).nth(1).unwrap(),
        header(invite, "From").unwrap(),
        ok.header("To").unwrap(),
        ok.header("Call-ID").unwrap(),
    )
}

fn call(world: &mut World) -> (String, Sent, RtpOrder) {
    let (invite, request) = invited(world, "voip-01-invite.sip");
    let lines = format!("Contact: {CORE_CONTACT}\r\n");
    world.core(&answer(&request, "183 Session Progress", "far1", &lines, CORE_SDP));
    let early = world.one();
    assert!(early.text().contains("c=IN IP4 182.3.1.7\r\n"), "early media: {}", early.text());
    world.core(&answer(&request, "200 OK", "far1", &lines, CORE_SDP));
    let ok = world.one();
    assert_eq!(body(&ok.text()), body(&early.text()));
    let (mut orders, _) = ordered(world);
    assert_eq!(orders.len(), 1, "the 200 says nothing new");
    (invite, ok, orders.remove(0))
}

/// What was sent since the last look, without the ACK to a 2xx that the UE has not acknowledged yet.
fn byes(world: &mut World) -> Vec<Sent> {
    let mut sent = world.sent();
    sent.retain(|message| message.text().starts_with("BYE "));
    sent
}

/// Figure 6-2: early media, answer, BYE; nothing is left.
#[test]
fn a_call_of_the_specification() {
    let mut world = World::new();
    let (invite, ok, order) = call(&mut world);
    assert_eq!(order.session.access.remote, Some("164.132.176.2:26608".parse().unwrap()));
    let host = "164.132.176.2".parse().unwrap();
    assert_eq!(order.session.access.latching, Latching::Signaller { host });
    assert_eq!((order.about.kind, &*order.about.encoding), (MediaKind::Audio, "PCMU"));
    assert!(invite.contains(&*order.about.call_id), "{}", order.about.call_id);
    world.datagram(UE, bye(&invite, &ok).as_bytes());
    let request = world.one();
    world.core(&response(&request, "200 OK", ""));
    world.one();
    assert_eq!(ordered(&mut world).1, [order.id]);
    assert_clean(&mut world);
    // Its ports are free again, eight calls long.
    for _ in 0..2 {
        world.pass(11 * SECONDS);
    }
}

/// R72: both ends hear that nobody says anything, unless they are to find out themselves.
#[test]
fn silence_ends_a_call() {
    for end_calls in [true, false] {
        let mut config = config();
        config.media.end_calls = end_calls;
        let mut world = World::with(config);
        let (_, _, order) = call(&mut world);
        let tell = |world: &mut World, notice| {
            world.event(Event::Media(MediaNotice::Rtp(RtpNotice::Session { id: order.id, notice })));
        };
        tell(&mut world, Notice::OneWay { silent: Realm::Access });
        world.none();
        tell(&mut world, Notice::Inactive);
        let sent = byes(&mut world);
        if !end_calls {
            assert!(sent.is_empty());
            continue;
        }
        assert_eq!(sent.len(), 2);
        for request in &sent {
            assert!(request.header("Reason").unwrap().contains("no media for too long"));
        }
        assert_eq!(ordered(&mut world).1, [order.id]);
        assert_eq!(ends(&mut world), [Cause::MediaInactive]);
        for request in &sent {
            match crate::world::realm_of(request.hop) {
                Realm::Access => world.datagram(UE, &response(request, "200 OK", "")),
                Realm::Core => world.core(&response(request, "200 OK", "")),
            }
        }
        assert_clean(&mut world);
    }
}

/// The relay gets no socket: the call that was confirmed ends, and one that is refused leaves nothing.
#[test]
fn a_call_without_ports_ends() {
    let mut world = World::new();
    let (_, _, order) = call(&mut world);
    let (access, core) = (Box::default(), Box::default());
    let (cause, duration) = (Cause::NoMediaPorts, core::time::Duration::ZERO);
    let ended = RtpNotice::Ended { id: order.id, cause, duration, access, core };
    world.event(Event::Media(MediaNotice::Rtp(ended)));
    assert_eq!(byes(&mut world).len(), 2);
    assert_eq!(ordered(&mut world).1, [], "it is gone already");
    world.pass(40 * SECONDS);

    let mut world = World::new();
    let (_, request) = invited(&mut world, "voip-01-invite.sip");
    world.core(&response(&request, "486 Busy Here", ""));
    let sent = world.sent();
    assert!(sent.iter().any(|m| m.text().starts_with("SIP/2.0 486 ")));
    assert_clean(&mut world);
}

/// The ninth call at once: 503, and it is counted.
#[test]
fn ports_run_out_and_come_back() {
    let mut world = World::new();
    registered_udp(&mut world, "+8675520000001", UE);
    let invite = vector_text("voip-01-invite.sip").replace("chinamobile.com", DOMAIN);
    let invites: Vec<String> = (0..9).map(|n| invite.replace("ZdmAg17171", &format!("ZdmAg{n}"))).collect();
    let mut requests = Vec::new();
    for invite in &invites {
        world.datagram(UE, invite.as_bytes());
        requests.extend(world.sent().into_iter().filter(|m| m.text().starts_with("INVITE ")));
    }
    assert_eq!(requests.len(), 8);
    assert_eq!(world.edge.counters().rejects(Realm::Access, Cause::NoMediaPorts), 1);
    for request in &requests {
        world.core(&response(request, "486 Busy Here", ""));
    }
    world.sent();
    assert_clean(&mut world);
    world.pass(11 * SECONDS);
    world.datagram(UE, invite.as_bytes());
    assert!(world.sent().iter().any(|m| m.text().starts_with("INVITE ")), "ports have rested");
}

/// Figures 6-4 and 6-5: the SDP is one part of several, and the list passes.
#[test]
fn a_conference_of_the_specification() {
    let mut world = World::new();
    let (invite, request) = invited(&mut world, "conf-01-invite.sip");
    let text = request.text();
    let list = |text: &str| {
        let start = text.find("<resource-lists").unwrap();
        text[start..text.find("</resource-lists>").unwrap()].to_owned()
    };
    assert_eq!(list(&text), list(&invite));
    assert!(text.contains("c=IN IP4 182.2.1.4\r\n") && text.contains("m=audio 26"), "{text}");
    assert!(!body(&text).contains("10.137.116.76"), "{text}");
    let length: usize = request.header("Content-Length").unwrap().parse().unwrap();
    assert_eq!(length, body(&text).len());
    let sdp = vector_text("conf-02-200.sip");
    let lines = format!("Contact: {CORE_CONTACT};isfocus\r\n");
    world.core(&answer(&request, "200 OK", "cf39", &lines, body(&sdp)));
    let ok = world.one();
    assert!(!body(&ok.text()).contains("10.166."), "{}", ok.text());
    assert_eq!(body(&ok.text()).matches("c=IN IP4 182.3.1.7\r\n").count(), 2, "{}", ok.text());
    assert_eq!(ordered(&mut world).0[0].session.core.remote, Some("10.166.37.162:1372".parse().unwrap()));
}
