//! R27 to R29: what crosses the boundary of trust, by direction and field.

use crate::messaging::message;
use crate::ue::{message_to_ue, registered_udp};
use crate::world::{World, response};

const A: &str = "182.1.1.203:41200";

/// How a field arrives: unchanged, not at all, or as this.
enum Then {
    Same,
    Gone,
    Is(&'static str),
}
use Then::{Gone, Is, Same};

/// `(field, to the core, to a UE, back to the core, back to a UE)`; the value of each field is below.
#[test]
fn fields_of_trust_by_direction() {
    let home = "<sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org>";
    let rows: [(&str, &str, [Then; 4]); 19] = [
        ("P-Asserted-Identity", "<sip:x@y>", [Is(home), Same, Gone, Same]),
        ("P-Preferred-Identity", home, [Gone, Same, Gone, Same]),
        ("P-Asserted-Service", "urn:urn-7:x", [Gone, Same, Gone, Same]),
        ("P-Preferred-Service", "urn:urn-7:x", [Same, Same, Same, Same]),
        ("P-Charging-Vector", "icid-value=1", [Gone, Gone, Gone, Gone]),
        ("P-Charging-Function-Addresses", "ccf=h", [Gone, Gone, Gone, Gone]),
        ("P-Charging-Private", "h", [Gone, Gone, Gone, Gone]),
        ("P-Visited-Network-ID", "\"n\"", [Gone, Gone, Gone, Gone]),
        ("P-Access-Network-Info", "IEEE-802.11a", [Same, Gone, Same, Gone]),
        ("P-Associated-URI", "<sip:x@y>", [Gone, Same, Same, Same]),
        ("P-Called-Party-ID", "<sip:x@y>", [Gone, Same, Same, Same]),
        ("Security-Verify", "tls-3gpp", [Gone, Gone, Gone, Gone]),
        ("History-Info", "<sip:x@y>;index=1", [Gone, Same, Same, Same]),
        ("Diversion", "<sip:x@y>;reason=unknown", [Gone, Same, Same, Same]),
        ("Privacy", "none", [Same, Same, Same, Same]),
        ("P-Served-User", "<sip:x@y>;sescase=orig", [Gone, Gone, Gone, Gone]),
        ("p-profile-key", "<sip:x@y>", [Gone, Gone, Gone, Gone]),
        ("Remote-Party-ID", "<sip:x@y>", [Gone, Same, Gone, Same]),
        ("X-Anything", "<sip:x@y>", [Same, Same, Same, Same]),
    ];
    for (field, value, then) in rows {
        let line = format!("{field}: {value}\r\n");
        let mut world = World::new();
        let ue = registered_udp(&mut world, "user1", A);
        world.datagram(A, message("user1", A, "t1", &line).as_bytes());
        let to_core = world.one();
        world.core(&response(&to_core, "200 OK", &line));
        let back_to_ue = world.one();
        let text = message_to_ue(&ue.path, "t2", "");
        let printed = "P-Asserted-Identity: <sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org>\r\n";
        world.core(text.replacen(printed, &line, 1).as_bytes());
        let to_ue = world.one();
        world.datagram(A, &response(&to_ue, "200 OK", &line));
        let back_to_core = world.one();
        for (way, sent, then) in [
            ("to the core", to_core, &then[0]),
            ("to a UE", to_ue, &then[1]),
            ("back to the core", back_to_core, &then[2]),
            ("back to a UE", back_to_ue, &then[3]),
        ] {
            let wanted = match then {
                Same => Some(value),
                Gone => None,
                Is(other) => Some(*other),
            };
            assert_eq!(sent.header(field).as_deref(), wanted, "{field} {way}:\n{}", sent.text());
        }
    }
}

/// RFC 3323, RFC 7044: who asked for privacy is not shown to UEs, and no history shows the core.
#[test]
fn privacy_holds_towards_ues() {
    let asserted = "P-Asserted-Identity: <sip:x@y>\r\n";
    let history = "History-Info: <sip:a@h>;index=1, <sip:b@10.9.9.9:5060>;index=1.1, <sip:c@h>;index=1.2\r\n";
    let diversion = "Diversion: <sip:b@10.9.9.9>;reason=unknown\r\n";
    let shown = Some("<sip:a@h>;index=1, <sip:c@h>;index=1.2".to_owned());
    for (privacy, identity, told) in [
        ("", true, &shown),
        ("Privacy: none\r\n", true, &shown),
        ("Privacy: id\r\n", false, &shown),
        ("Privacy: user;ID\r\n", false, &shown),
        ("Privacy: history\r\n", true, &None),
        ("Privacy: id;critical\r\nPrivacy: history\r\n", false, &None),
    ] {
        let mut world = World::new();
        let ue = registered_udp(&mut world, "user1", A);
        let lines = format!("{asserted}{privacy}{history}{diversion}");
        let own = "P-Asserted-Identity: <sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org>\r\n";
        world.core(message_to_ue(&ue.path, "p1", &lines).replacen(own, "", 1).as_bytes());
        let request = world.one();
        world.datagram(A, message("user1", A, "p2", "").as_bytes());
        let passed = world.one();
        world.core(&response(&passed, "200 OK", &lines));
        for got in [request, world.one()] {
            assert_eq!(got.header("P-Asserted-Identity").is_some(), identity, "{privacy}{}", got.text());
            assert_eq!(&got.header("History-Info"), told, "{privacy}");
            assert_eq!(got.header("Diversion"), None);
        }
    }
}

/// RFC 7044 §10.1.1, RFC 5806 §5: an entry may ask for itself.
#[test]
fn entries_of_a_history_may_be_private() {
    let lines = "History-Info: <sip:a@h?Privacy=history>;index=1, <sip:b@h?Reason=SIP&privacy=none>;index=1.1\r\n\
         Diversion: <sip:a@h>;privacy=full, <sip:b@h>;privacy=\"off\"\r\n";
    let mut world = World::new();
    let ue = registered_udp(&mut world, "user1", A);
    world.core(message_to_ue(&ue.path, "h1", lines).as_bytes());
    let got = world.one();
    assert_eq!(got.header("History-Info").unwrap(), "<sip:b@h?Reason=SIP&privacy=none>;index=1.1");
    assert_eq!(got.header("Diversion").unwrap(), "<sip:b@h>;privacy=\"off\"");
}

/// TS 24.229 §5.2.6.4.4: a UE answers as whom it was called; what it says itself counts for nothing (R29).
#[test]
fn a_ue_answers_as_whom_it_was_called() {
    for (called, asserted) in
        [("P-Called-Party-ID: <sip:alias@h;x=1>\r\n", Some("<sip:alias@h;x=1>".to_owned())), ("", None)]
    {
        let mut world = World::new();
        let ue = registered_udp(&mut world, "user1", A);
        world.core(message_to_ue(&ue.path, "c1", called).as_bytes());
        let got = world.one();
        assert_eq!(got.header("P-Called-Party-ID").is_some(), asserted.is_some());
        world.datagram(A, &response(&got, "200 OK", "P-Asserted-Identity: <sip:boss@h>\r\n"));
        let back = world.one();
        assert_eq!(back.header("P-Asserted-Identity"), asserted);
        assert_eq!(back.text().matches("P-Asserted-Identity").count(), usize::from(asserted.is_some()));
    }
}

/// R27, figure 5-51: a SIP and a tel identity are both asserted, if both are registered.
#[test]
fn both_forms_of_an_identity_are_asserted() {
    let own = "<sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org>";
    for (wishes, asserted) in [
        (format!("{own}, <tel:+8613900000001>"), format!("{own}, <tel:+8613900000001>")),
        (format!("\"B\" <tel:+8613900000001>, {own}"), format!("\"B\" <tel:+8613900000001>, {own}")),
        (format!("{own}, <tel:+8613900000009>"), own.to_owned()),
        (format!("<sip:boss@h>, {own}"), own.to_owned()),
    ] {
        let mut world = World::new();
        registered_udp(&mut world, "user1", A);
        let line = format!("P-Preferred-Identity: {wishes}\r\n");
        world.datagram(A, message("user1", A, "b1", &line).as_bytes());
        assert_eq!(world.one().header("P-Asserted-Identity").unwrap(), asserted, "{wishes}");
    }
}
