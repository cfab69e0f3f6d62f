//! INVITE sessions with MSRP: large messages, files, chats, public accounts, in both directions.

use super::over_each;
use gatehouse_tests::script::{Answer, Script, UE_SDP, core_sends, server_sdp, ue_sends};

fn ok() -> Answer {
    Answer::new(200, "OK")
}

/// R36, R49 to R52: what UEs open; a 202 is a success as well (figure 5-38).
#[test]
fn sessions_of_a_ue() {
    let mut script = Script::registered("sessions");
    for (name, status) in [
        ("lm-01-invite", 202),
        ("ft-01-invite-file", 200),
        ("ft-02-invite-picture", 200),
        ("ft-03-invite-voice", 200),
        ("ft-04-invite-vcard-tls", 200),
        ("ft-05-invite-burn-picture", 200),
        ("ft-06-invite-burn-voice", 200),
        ("ft-07-invite-location", 200),
        ("fmt-02-invite-multipart-sdp-list-cpim", 200),
        ("chat-01-invite", 200),
    ] {
        let answer = Answer::new(status, "OK").describing(&server_sdp());
        let (opened, dialog) = script.ue_opens(name, &ue_sends(name), &answer);
        script = opened.ue_asks(&dialog.from_ue("BYE", 2, "", ""), &ok());
    }
    over_each("sessions", &script, |ran| {
        // R51: burning stays where the UE wrote it.
        let burning = ran.core.iter().filter(|m| m.inbound && m.is_request("INVITE"));
        let marked = burning.filter(|m| {
            m.value("Accept-Contact").is_some_and(|a| a.to_ascii_lowercase().contains("barcycle"))
        });
        assert_eq!(marked.count(), 2);
    });
}

/// R45, R49, R52, R55, R59: what a UE is invited to; either side hangs up.
#[test]
fn sessions_to_a_ue() {
    let mut script = Script::registered("invited");
    for (n, name) in [
        "lm-03-invite-to-ue",
        "ft-09-invite-file-to-ue",
        "chat-03-invite-to-ue",
        "grp-05-invite-to-ue",
        "pa-01-invite",
    ]
    .into_iter()
    .enumerate()
    {
        let (opened, dialog) = script.core_opens(name, &core_sends(name), &ok().describing(UE_SDP));
        script = match n % 2 {
            0 => opened.ue_asks(&dialog.from_ue("BYE", 1, "", ""), &ok()),
            // R56: figure 5-77, kicked.
            _ => {
                let reason = "Reason: SIP;cause=200;text=\"booted\"\n";
                opened.core_asks(&dialog.from_core("BYE", 2, reason, ""), &ok())
            }
        };
    }
    over_each("invited", &script, |_| {});
}

/// R32, R60: a report of spam goes to a bare number, with its evidence in the first part.
#[test]
fn spam_is_reported_to_a_bare_number() {
    let number = "+861008699999";
    let script = Script::registered("spam").completing(number, &format!("tel:{number}"));
    let report = ue_sends("spam-01-invite-bare-number");
    let (script, dialog) =
        script.ue_opens("spam-01-invite-bare-number", &report, &ok().describing(&server_sdp()));
    let script = script.ue_asks(&dialog.from_ue("BYE", 2, "", ""), &ok());
    over_each("spam", &script, |ran| {
        let report = ran.core.iter().find(|m| m.inbound && m.is_request("INVITE")).expect("the report came");
        assert!(report.start_line().starts_with("INVITE tel:+861008699999 "), "{}", report.start_line());
        assert!(report.body.contains("Spam-From:baduser@"), "{}", report.body);
    });
}
