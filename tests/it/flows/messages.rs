//! Requests outside dialogs: pager messages, notifications, capabilities, publication, spam reports.

use super::over_each;
use gatehouse_tests::script::{Answer, Script, core_sends, ue_sends};

fn ok() -> Answer {
    Answer::new(200, "OK")
}

/// R43, R44, R46, R48: pager messages of a UE, and R8: the keep-alive that only looks like one.
#[test]
fn pager_messages_of_a_ue() {
    let mut script = Script::registered("pager");
    for name in [
        "fmt-01-message-multipart",
        "imdn-01-message-fmt",
        "pager-01-message-cpim",
        "pager-02-message-recipient-list",
        "pager-03-message-vemoticon",
        "imdn-02-message",
    ] {
        script = script.ue_asks(&ue_sends(name), &Answer::new(202, "Accepted").with("MessageID: 17\n"));
    }
    script = script.edge_answers(&ue_sends("pager-04-message-rkeep"), 200);
    // What the core refuses is refused, with its reason.
    for (status, reason) in [(404, "Not Found"), (486, "Busy Here"), (500, "No"), (603, "Decline")] {
        let request =
            ue_sends("pager-01-message-cpim").replace("pager-01-message-cpim", &format!("refused{status}"));
        script = script.ue_asks(&request, &Answer::new(status, reason));
    }
    over_each("pager", &script, |_| {});
}

/// R45, R46, R59: messages, notifications and a public account's message to a UE.
#[test]
fn messages_to_a_ue() {
    let mut script = Script::registered("to-ue");
    for name in ["pager-05-message-to-ue", "imdn-04-message-to-ue", "pa-02-message"] {
        script = script.core_asks(&core_sends(name), &ok());
    }
    let refused = core_sends("pager-05-message-to-ue").replace("pager-05-message-to-ue", "refused");
    script = script.core_asks(&refused, &Answer::new(415, "Unsupported").with("Accept: text/plain\n"));
    over_each("to-ue", &script, |_| {});
}

/// R58: capability sets both ways, answered by the core for who is off line and by the UE when it is on line.
/// R29: what the UE asserts of itself in figure 5-107 is a wish.
#[test]
fn capabilities_are_discovered_both_ways() {
    let sets = "Contact: <sip:im@[local_ip]:[local_port]>;+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.msg\"\n\
        Allow: INVITE, MESSAGE\nAccept: application/sdp\n";
    let own = "Contact: <sip:user1@182.1.1.203:41210>;+g.3gpp.iari-ref=\"urn%3Aurn-7%3A3gpp-application.ims.iari.x\"\n";
    let script = Script::registered("options")
        .ue_asks(&ue_sends("cap-01-options"), &ok().with(sets))
        .core_asks(&core_sends("cap-03-options-to-ue"), &ok().with(own));
    over_each("options", &script, |ran| {
        let options = ran.core.iter().find(|m| m.inbound && m.is_request("OPTIONS")).expect("one came");
        let asserted = options.value("P-Asserted-Identity").unwrap_or_default();
        assert!(!asserted.contains("tel:user2"), "{asserted}");
    });
}

/// PUBLISH passes like any request outside a dialog (R30).
#[test]
fn presence_is_published() {
    let publish = ue_sends("cap-01-options")
        .replace("OPTIONS", "PUBLISH")
        .replace("cap-01-options", "publish")
        .replacen(
            "Max-Forwards",
            "Event: presence\nExpires: 3600\nContent-Type: application/xml\nMax-Forwards",
            1,
        )
        .replace("PUBLISH, PUBLISH", "PUBLISH")
        + "<presence/>\n";
    let script =
        Script::registered("publish").ue_asks(&publish, &ok().with("SIP-ETag: dx200xyz\nExpires: 1800\n"));
    over_each("publish", &script, |ran| {
        let answer = ran.ue.iter().rfind(|m| m.status() == Some(200)).expect("an answer");
        assert_eq!(answer.value("SIP-ETag"), Some("dx200xyz"));
    });
}

/// R33, R34, R36 to R41: what the edge refuses itself; the core never hears of it.
/// n04 is not among them, for its body has NULs, which SIPp cannot send; n08 has no CSeq to answer to.
#[test]
fn the_edge_refuses_what_is_illegal() {
    let mut script = Script::registered("illegal");
    for name in [
        "n01-dup-cpim-part",
        "n02-no-boundary-multipart",
        "n03-boundary-on-other-type",
        "n05-body-without-content-type",
        "n06-dup-cpim-header",
        "n07-empty-optional-header",
        "n09-dup-sdp-part",
    ] {
        let request = ue_sends(&format!("quirks/{name}")).replace("quirks/", "");
        script = script.edge_answers(&request, 400);
    }
    // R31: no hop is left.
    let spent = ue_sends("pager-01-message-cpim").replace("Max-Forwards: 70", "Max-Forwards: 0");
    script = script.edge_answers(&spent, 483);
    over_each("illegal", &script, |ran| {
        assert!(!ran.core.iter().any(|m| m.inbound && !m.is_request("REGISTER")), "{:#?}", ran.core);
        for refusal in ran.ue.iter().filter(|m| m.inbound && m.status() == Some(400)) {
            assert!(refusal.value("Warning").is_some_and(|w| w.starts_with("399 ")), "{refusal:#?}");
        }
    });
}

/// R32: a pager message to a number as it is dialled; the UE gets its own To back.
#[test]
fn a_dialled_number_is_completed() {
    let mut script = Script::registered("dialled")
        .completing("tel:28880001", "tel:+8675528880001")
        .completing("tel:02088880001", "tel:+862088880001")
        .completing("tel:13812342821", "tel:+8613812342821");
    for (n, number) in
        ["tel:28880001", "tel:02088880001", "tel:13812342821", "tel:+8675520000002"].iter().enumerate()
    {
        let message = ue_sends("pager-01-message-cpim")
            .replace("pager-01-message-cpim", &format!("dialled{n}"))
            .replacen(
                "MESSAGE sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org",
                &format!("MESSAGE {number}"),
                1,
            )
            .replacen("To: <sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org>", &format!("To: <{number}>"), 1)
            .replacen(
                "Max-Forwards",
                "P-Preferred-Identity: <sip:+8675520000001@chinamobile.com>\nMax-Forwards",
                1,
            );
        assert!(message.contains(&format!("To: <{number}>")), "{message}");
        script = script.ue_asks(&message, &ok());
    }
    over_each("dialled", &script, |_| {});
}
