//! What the network ends: the edge watches its registrations (RFC 3680, TS 24.229 §5.2.3).

use gatehouse_tests::edge::{Edge, Settings};
use gatehouse_tests::mini_core::MiniCore;
use gatehouse_tests::place::Place;
use gatehouse_tests::raw_ue::{IDENTITY, RawUe};
use lab::strict::SipWriter;

/// R22: a contact that the network ends by NOTIFY is gone at the edge, too: its UE may not speak any more, and
/// nothing reaches it.
#[test]
fn the_network_ends_a_registration() {
    let place = Place::new("network-end");
    let core = MiniCore::open(place.address());
    let settings = Settings { sections: "[registrar]\nreg_event = true\n", ..Settings::default() };
    let edge = Edge::start_with(&place, core.address(), settings);
    let (mut ue, way) = RawUe::registered(&edge, &core);

    let (subscribe, from) = core.receive();
    assert_eq!((subscribe.method(), subscribe.uri()), ("SUBSCRIBE", IDENTITY));
    assert_eq!(subscribe.first("Event"), Some("reg"));
    let contact = format!("<sip:scscf@{}>", core.address());
    let granted =
        SipWriter::response(&subscribe, 200, "core").field("Contact", &contact).field("Expires", "3600");
    core.send(&granted.finish(), from);

    // While the network says nothing else the UE is served.
    ue.send("MESSAGE", "sip:friend@ims.example.net", "hello");
    let (message, from) = core.receive();
    core.answer(&message, from, 202);
    assert_eq!(ue.receive().status(), 202);

    let target = subscribe.name_addrs("Contact").into_iter().next().expect("the edge has a target").uri;
    let body = format!(
        "<?xml version=\"1.0\"?><reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"0\" state=\"full\">\
         <registration aor=\"{IDENTITY}\" id=\"r\" state=\"terminated\"><contact id=\"c\" state=\"terminated\" \
         event=\"deactivated\"><uri>{}</uri></contact></registration></reginfo>",
        way.contact
    );
    let notify = SipWriter::request("NOTIFY", &target)
        .field("Via", &format!("SIP/2.0/UDP {};branch=z9hG4bKnotify;rport", core.address()))
        .field("From", &format!("<{IDENTITY}>;tag=core"))
        .field("To", subscribe.first("From").unwrap_or_default())
        .field("Call-ID", subscribe.call_id())
        .field("CSeq", "1 NOTIFY")
        .field("Contact", &contact)
        .field("Max-Forwards", "70")
        .field("Event", "reg")
        .field("Subscription-State", "active;expires=3600")
        .finish_with("application/reginfo+xml", body.as_bytes());
    core.send(&notify, from);
    let (answer, _) = core.receive();
    assert_eq!((answer.status(), answer.method()), (200, "NOTIFY"));

    ue.send("MESSAGE", "sip:friend@ims.example.net", "still there?");
    assert_eq!(ue.receive().status(), 403);
    core.write_to(&way, "to-the-gone", 10);
    loop {
        // The edge may take its subscription back meanwhile.
        let (message, from) = core.receive();
        if message.is_request() {
            core.answer(&message, from, 200);
            continue;
        }
        assert_eq!((message.call_id(), message.status()), ("to-the-gone", 430));
        break;
    }
}
