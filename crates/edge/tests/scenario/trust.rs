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
    let rows: [(&str, &str, [Then; 4]); 15] = [
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
