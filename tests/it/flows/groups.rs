//! Group chat: create, invite, rename, transfer, kick, leave, join; subscriptions and what they bring.

use super::over_each;
use gatehouse_tests::script::{Answer, Dialog, Script, UE_SDP, core_sends, server_sdp, ue_sends};

fn ok() -> Answer {
    Answer::new(200, "OK")
}

/// The 200 of a conference server: its Contact is the conference itself (figure 5-63).
fn focus() -> Answer {
    let contact = "Contact: <sip:125XX001XXXXXXXXXXXX@as1.gc.rcs.chinamobile.com>;isfocus\n";
    ok().with(contact).with("Allow-Events: conference\n")
}

/// R53, R54, R56: a group is created; the owner invites, renames, hands over, kicks, changes the nickname,
/// and leaves.
#[test]
fn a_group_is_created_managed_and_left() {
    let script = Script::registered("group");
    let invite = ue_sends("grp-01-invite-create");
    let answer = focus().describing(&server_sdp());
    let (mut script, dialog) = script.ue_opens("grp-01-invite-create", &invite, &answer);
    for (cseq, refer) in [
        (2, "grp-03-refer-invite"),
        (3, "grp-07-refer-rename"),
        (4, "grp-09-refer-transfer-owner"),
        (5, "grp-11-refer-kick"),
        (6, "grp-29-refer-nickname"),
    ] {
        script = script.ue_asks(&dialog.ue_speaks(refer, cseq), &Answer::new(202, "Accepted"));
    }
    let script = script.ue_asks(&dialog.ue_speaks("grp-15-bye-leave", 7), &ok());
    over_each("group", &script, |ran| {
        let referred: Vec<&str> =
            ran.core.iter().filter(|m| m.inbound).filter_map(|m| m.value("Refer-To")).collect();
        assert_eq!(referred.len(), 5, "{referred:#?}");
        // R26, R53: the conference keeps its URI on the way to the UE.
        let created = ran.ue.iter().find(|m| m.inbound && m.body.starts_with("v=0")).expect("a 200 with SDP");
        assert!(
            created.value("Contact").is_some_and(|c| c.contains("@as1.gc.rcs.chinamobile.com>")),
            "{created:#?}"
        );
    });
}

/// R55, R56: a UE is invited to a group, its `gpmanage` tag reaches the core, and it is kicked out; then it
/// joins by itself and leaves.
#[test]
fn a_group_is_joined_and_a_member_kicked() {
    let tag = "Contact: <sip:user2@182.1.1.203:41210>;+g.3gpp.iari-ref=\"urn%3Aurn-7%3A3gpp-application.ims.iari.rcs.mnc000.mcc460.gpmanage;vs=1\"\n";
    let script = Script::registered("kicked");
    let (script, dialog) = script.core_opens(
        "grp-05-invite-to-ue",
        &core_sends("grp-05-invite-to-ue"),
        &ok().with(tag).describing(UE_SDP),
    );
    let script = script.core_asks(&dialog.core_speaks("grp-13-bye-kicked", 2), &ok());
    let join = ue_sends("chat-01-invite").replace("chat-01-invite", "join").replacen(
        "INVITE sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org",
        "INVITE sip:125XX001XXXXXXXXXXXX@as1.gc.rcs.chinamobile.com",
        1,
    );
    let (script, dialog) = script.ue_opens("join", &join, &focus().describing(&server_sdp()));
    let script = script.ue_asks(&dialog.ue_speaks("grp-15-bye-leave", 2), &ok());
    over_each("kicked", &script, |ran| {
        let answer =
            ran.core.iter().find(|m| m.inbound && m.status() == Some(200) && m.body.starts_with("v=0"));
        let contact = answer.and_then(|m| m.value("Contact")).unwrap_or_default();
        assert!(contact.contains("gpmanage;vs=1"), "R55: {contact}");
        let bye = ran.ue.iter().find(|m| m.inbound && m.is_request("BYE")).expect("a BYE");
        assert_eq!(bye.value("Reason"), Some("SIP;cause=200;text=\"booted\""));
    });
}

/// R57: conference, grouplist, groupinfo and reg: subscribed, notified, refreshed, ended; one that is refused.
#[test]
fn subscriptions_of_a_ue() {
    let mut script = Script::registered("subscribe");
    for (event, subscribe, notify, again) in [
        ("conference", "grp-17-subscribe-conference", "grp-19-notify-conference", "grp-31-notify-nickname"),
        ("grouplist", "grp-21-subscribe-grouplist", "grp-23-notify-grouplist", "grp-23-notify-grouplist"),
        ("groupinfo", "grp-25-subscribe-groupinfo", "grp-27-notify-groupinfo", "grp-27-notify-groupinfo"),
    ] {
        let (opened, dialog) =
            script.ue_opens(subscribe, &ue_sends(subscribe), &focus().with("Expires: 3600\n"));
        script = opened
            .core_asks(&dialog.core_speaks(notify, 1), &ok())
            .ue_asks(
                &dialog.from_ue("SUBSCRIBE", 2, &lasting(event, 3600), ""),
                &ok().with("Expires: 3600\n"),
            )
            .core_asks(&dialog.core_speaks(again, 2), &ok())
            .ue_asks(&dialog.from_ue("SUBSCRIBE", 3, &lasting(event, 0), ""), &ok().with("Expires: 0\n"));
        let over = format!("Event: {event}\nSubscription-State: terminated;reason=timeout\n");
        script = script.core_asks(&dialog.from_core("NOTIFY", 3, &over, ""), &ok());
    }
    let own = ue_sends("grp-17-subscribe-conference")
        .replace("grp-17-subscribe-conference", "reg")
        .replacen(
            "SUBSCRIBE sip:125XX001XXXXXXXXXXXX@as1.gc.rcs.chinamobile.com",
            "SUBSCRIBE sip:user2@bj.ims.mnc000.mcc460.3gppnetwork.org",
            1,
        )
        .replacen("Event: conference", "Event: reg", 1)
        .replacen("application/conference-info+xml", "application/reginfo+xml", 1);
    let (opened, dialog) = script.ue_opens("reg", &own, &ok().with("Expires: 3600\n"));
    let active =
        "Event: reg\nSubscription-State: active;expires=3600\nContent-Type: application/reginfo+xml\n";
    script = opened
        .core_asks(
            &(dialog.from_core("NOTIFY", 1, active, "") + "<reginfo version=\"0\" state=\"full\"/>\n"),
            &ok(),
        )
        .core_asks(&dialog.from_core("NOTIFY", 2, "Event: reg\nSubscription-State: terminated\n", ""), &ok());
    let refused = ue_sends("grp-17-subscribe-conference").replace("grp-17-subscribe-conference", "refused");
    script = script.ue_asks(&refused, &Answer::new(489, "Bad Event").with("Allow-Events: reg\n"));
    over_each("subscribe", &script, |_| {});
}

fn lasting(event: &str, seconds: u32) -> String {
    format!("Event: {event}\nExpires: {seconds}\nContact: <sip:user2@182.1.1.203:41210>\n")
}

/// R57: a NOTIFY may beat the 200 of its SUBSCRIBE (RFC 6665 §4.1.2.4).
#[test]
fn a_notify_beats_the_200() {
    let mut script = Script::registered("notify-first");
    let subscribe =
        ue_sends("grp-17-subscribe-conference").replace("grp-17-subscribe-conference", "early-notify");
    let dialog = Dialog::by_ue("early-notify", &subscribe);
    let notify = dialog.core_speaks("grp-19-notify-conference", 1);
    script.ue = script.ue.send(&subscribe).expect_request("NOTIFY");
    script.ue = script
        .ue
        .send(&gatehouse_tests::script::from_ue_side(&notify, &ok()))
        .expect_dialog(200, dialog.name());
    let granted = dialog.answers(&focus().with("Expires: 3600\n"));
    script.core =
        script.core.expect_opening("SUBSCRIBE", dialog.name()).request(&notify).expect(200).send(&granted);
    over_each("notify-first", &script, |_| {});
}
