//! What happens around an INVITE: early media with PRACK and UPDATE, forks, CANCEL, re-INVITE, Replaces.

use super::over_each;
use gatehouse_tests::script::{Answer, Dialog, Script, UE_SDP, core_sends, server_sdp, ue_sends};

fn ok() -> Answer {
    Answer::new(200, "OK")
}

/// Reliably sent (RFC 3262): with this RSeq.
fn reliable(status: u16, reason: &'static str, rseq: u32) -> Answer {
    Answer::new(status, reason).with(&format!("Require: 100rel\nRSeq: {rseq}\n"))
}

fn held(sdp: &str) -> String {
    sdp.replace("a=sendrecv", "a=sendonly")
}

/// The UE's offer of the chat vector, for new offers inside the dialog.
fn ue_offer() -> String {
    UE_SDP.replace("155 155", "155 156")
}

/// R64: a UE calls; 183 with SDP, PRACK, UPDATE, 180, 200, ACK, hold and resume by the UE, hold by the core,
/// INFO both ways, BYE.
#[test]
fn a_call_of_a_ue_with_everything() {
    let mut script = Script::registered("call");
    let invite = ue_sends("chat-01-invite").replace("chat-01-invite", "call").replacen(
        "Supported: ",
        "Supported: 100rel, ",
        1,
    );
    let dialog = Dialog::by_ue("call", &invite);
    script.ue = script.ue.request(&invite).expect_progress(183, dialog.name());
    script.core = script
        .core
        .expect_opening("INVITE", dialog.name())
        .send(&dialog.answers(&reliable(183, "Session Progress", 1).describing(&server_sdp())));
    script = script.ue_asks(&dialog.from_ue("PRACK", 2, "RAck: 1 1 INVITE\n", ""), &ok()).ue_asks(
        &dialog.from_ue("UPDATE", 3, "Session-Expires: 1800;refresher=uac\nSupported: timer\n", ""),
        &ok(),
    );
    script.ue = script.ue.expect_progress(180, dialog.name());
    script.core = script.core.send(&dialog.answers(&reliable(180, "Ringing", 2)));
    script = script.ue_asks(&dialog.from_ue("PRACK", 4, "RAck: 2 1 INVITE\n", ""), &ok());
    script.ue = script.ue.expect_dialog(200, dialog.name());
    script.core = script
        .core
        .send(&dialog.answers(&ok().with("Session-Expires: 1800;refresher=uac\nRequire: timer\n")));
    script = script.ue_acknowledges(&dialog, 1, "");
    for (cseq, offer, answer) in [(5, held(&ue_offer()), held(&server_sdp())), (6, ue_offer(), server_sdp())]
    {
        script = reoffered_by_ue(script, &dialog, cseq, &offer, &answer);
    }
    script = script
        .core_asks(&dialog.from_core("INFO", 1, "Info-Package: nil\n", ""), &ok())
        .ue_asks(&dialog.from_ue("INFO", 7, "Info-Package: nil\n", ""), &ok())
        .core_asks(&dialog.from_core("UPDATE", 2, "Session-Expires: 1800;refresher=uas\n", ""), &ok());
    script = reoffered_by_core(script, &dialog, 3, &held(&server_sdp()), &held(UE_SDP));
    script = script.ue_asks(&dialog.from_ue("BYE", 8, "", ""), &ok());
    over_each("call", &script, |_| {});
}

fn reoffered_by_ue(mut script: Script, dialog: &Dialog, cseq: u32, offer: &str, answer: &str) -> Script {
    script.ue = script.ue.request(&dialog.from_ue("INVITE", cseq, UE_CONTACT, offer)).expect(200);
    let answer = ok().with("Contact: <sip:im@[local_ip]:[local_port]>\n").describing(answer);
    let again = dialog.from_ue("INVITE", cseq, "", "");
    script.core =
        script.core.expect_request("INVITE").send(&gatehouse_tests::script::from_core_side(&again, &answer));
    script.ue_acknowledges(dialog, cseq, "")
}

fn reoffered_by_core(mut script: Script, dialog: &Dialog, cseq: u32, offer: &str, answer: &str) -> Script {
    let contact = "Contact: <sip:im@[local_ip]:[local_port]>\n";
    let again = dialog.from_core("INVITE", cseq, contact, offer);
    script.core = script.core.request(&again).expect(200).send(&dialog.from_core("ACK", cseq, "", ""));
    let answer = ok().with(UE_CONTACT).describing(answer);
    script.ue =
        script.ue.expect_request("INVITE").send(&gatehouse_tests::script::from_ue_side(&again, &answer));
    script.ue = script.ue.expect_request("ACK");
    script
}

const UE_CONTACT: &str = "Contact: <sip:user1@182.1.1.203:41200>\n";

/// R64 towards a UE: it sends 183 and 180 reliably, the core acknowledges with PRACK.
#[test]
fn a_call_to_a_ue_with_early_media() {
    let mut script = Script::registered("early");
    let invite = core_sends("chat-03-invite-to-ue").replace("chat-03-invite-to-ue", "early").replacen(
        "Supported: ",
        "Supported: 100rel, ",
        1,
    );
    let dialog = Dialog::by_core("early", &invite);
    script.core = script.core.request(&invite).expect_progress(183, dialog.name());
    script.ue = script
        .ue
        .expect_opening("INVITE", dialog.name())
        .send(&dialog.answers(&reliable(183, "Session Progress", 1).describing(UE_SDP)));
    script = script.core_asks(&dialog.from_core("PRACK", 2, "RAck: 1 1 INVITE\n", ""), &ok());
    script.core = script.core.expect_dialog(200, dialog.name()).send(&dialog.from_core("ACK", 1, "", ""));
    script.ue = script.ue.send(&dialog.answers(&ok())).expect_request("ACK");
    script = script
        .ue_asks(&dialog.from_ue("INFO", 1, "Info-Package: nil\n", ""), &ok())
        .core_asks(&dialog.from_core("BYE", 3, "", ""), &ok());
    over_each("early", &script, |_| {});
}

/// RFC 3261 §12.1.2: two 18x with different tags are two early dialogs; both branches answer 200, and each
/// dialog is acknowledged and ended on its own.
#[test]
fn a_forked_call() {
    let mut script = Script::registered("fork");
    let invite = ue_sends("chat-01-invite").replace("chat-01-invite", "fork");
    let dialog = Dialog::by_ue("fork", &invite);
    let (first, second) = (dialog.tagged("one"), dialog.tagged("two"));
    script.ue =
        script.ue.request(&invite).expect_progress(180, dialog.name()).expect_progress(180, dialog.name());
    script.core = script
        .core
        .expect_opening("INVITE", dialog.name())
        .send(&first.answers(&Answer::new(180, "Ringing")))
        .send(&second.answers(&Answer::new(180, "Ringing")));
    for (branch, session) in [(&second, "hwK3zBbqenxBFB"), (&first, "hw9WXfVRvWfAXj")] {
        let answer = ok().describing(&server_sdp().replace("hwK3zBbqenxBFB", session));
        script.ue = script.ue.expect_dialog(200, dialog.name());
        script.core = script.core.send(&branch.answers(&answer));
        script = script.ue_acknowledges(branch, 1, "");
    }
    script = script
        .ue_asks(&first.from_ue("BYE", 2, "", ""), &ok())
        .ue_asks(&second.from_ue("INFO", 2, "", ""), &ok())
        .core_asks(&second.from_core("BYE", 1, "", ""), &ok());
    over_each("fork", &script, |_| {});
}

/// CANCEL of a ringing call by the UE, and by the core: 200, 487, ACK on each hop (RFC 3261 §9).
#[test]
fn calls_are_cancelled() {
    let mut script = Script::registered("cancel");
    let invite =
        in_branch(&ue_sends("chat-01-invite").replace("chat-01-invite", "given-up"), "z9hG4bKgivenup[pid]");
    let dialog = Dialog::by_ue("given-up", &invite);
    script.ue = script
        .ue
        .request(&invite)
        .expect_progress(180, dialog.name())
        .request(&hop_request(&invite, "CANCEL", None))
        .expect(200)
        .expect(487)
        .send(&hop_request(&invite, "ACK", Some(&dialog)));
    script.core = script
        .core
        .expect_opening("INVITE", dialog.name())
        .send(&dialog.answers(&Answer::new(180, "Ringing")))
        .expect_request("CANCEL")
        .send(&gatehouse_tests::script::from_core_side("", &ok()))
        .send(&dialog.answers(&Answer::new(487, "Request Terminated")))
        .expect_request("ACK");

    let invite = core_sends("chat-03-invite-to-ue").replace("chat-03-invite-to-ue", "called-off");
    let invite = in_branch(&invite, "z9hG4bKcalledoff[pid]");
    let dialog = Dialog::by_core("called-off", &invite);
    script.core = script
        .core
        // The ACK of the UE, which the edge keeps, is not waited for by anything else.
        .pause(200)
        .request(&invite)
        .expect_progress(180, dialog.name())
        .request(&hop_request(&invite, "CANCEL", None))
        .expect(200)
        .expect(487)
        .send(&hop_request(&invite, "ACK", Some(&dialog)));
    script.ue = script
        .ue
        .expect_opening("INVITE", dialog.name())
        .send(&dialog.answers(&Answer::new(180, "Ringing")))
        .expect_request("CANCEL")
        .send(&gatehouse_tests::script::from_ue_side("", &ok()))
        .send(&dialog.answers(&Answer::new(487, "Request Terminated")))
        .expect_request("ACK");
    over_each("cancel", &script, |_| {});
}

/// 486, 422 with Min-SE, 302 and 603 come back as they are, and each is acknowledged on its hop.
#[test]
fn calls_are_refused() {
    let mut script = Script::registered("refused");
    for (status, reason, extra) in [
        (486, "Busy Here", ""),
        (422, "Session Interval Too Small", "Min-SE: 1800\n"),
        (603, "Decline", "Reason: Q.850;cause=21\n"),
    ] {
        let name = format!("refused-{status}");
        let invite = ue_sends("chat-01-invite").replace("chat-01-invite", &name);
        let invite = in_branch(&invite, &format!("z9hG4bKrefused{status}[pid]"));
        let dialog = Dialog::by_ue(&name, &invite);
        script.ue =
            script.ue.request(&invite).expect(status).send(&hop_request(&invite, "ACK", Some(&dialog)));
        script.core = script
            .core
            .expect_opening("INVITE", dialog.name())
            .send(&dialog.answers(&Answer::new(status, reason).with(extra)))
            .expect_request("ACK");
    }
    over_each("refused", &script, |ran| {
        let answer = ran.ue.iter().find(|m| m.inbound && m.status() == Some(422)).expect("a 422");
        assert_eq!(answer.value("Min-SE"), Some("1800"));
    });
}

/// RFC 3891: Replaces names a dialog by its Call-ID and tags, which are the same on both sides (R24).
#[test]
fn a_call_replaces_another() {
    let mut script = Script::registered("replaces");
    let replaces = "Replaces: call///[call_id];to-tag=answered1;from-tag=abc\nRequire: replaces\n";
    let invite = ue_sends("chat-01-invite").replace("chat-01-invite", "transfer").replacen(
        "Max-Forwards",
        &format!("{replaces}Max-Forwards"),
        1,
    );
    let (mut opened, dialog) = script.ue_opens("transfer", &invite, &ok().describing(&server_sdp()));
    opened = opened.ue_asks(&dialog.from_ue("BYE", 2, "", ""), &ok());
    let invite = core_sends("chat-03-invite-to-ue").replace("chat-03-invite-to-ue", "transferred").replacen(
        "Max-Forwards",
        &format!("{replaces}Max-Forwards"),
        1,
    );
    (script, _) = (opened, ());
    let (opened, dialog) = script.core_opens("transferred", &invite, &ok().describing(UE_SDP));
    script = opened.core_asks(&dialog.from_core("BYE", 2, "", ""), &ok());
    over_each("replaces", &script, |ran| {
        let named = |m: &gatehouse_tests::trace::Message| m.value("Replaces").map(str::to_owned);
        let came: Vec<String> =
            ran.core.iter().chain(&ran.ue).filter(|m| m.inbound).filter_map(named).collect();
        assert_eq!(came.len(), 2, "{came:?}");
        assert_eq!(came[0], came[1]);
    });
}

/// The INVITE with a branch that CANCEL and the ACK of a refusal can repeat (RFC 3261 §9.1, §17.1.1.3).
fn in_branch(invite: &str, branch: &str) -> String {
    invite.replacen("branch=[branch]", &format!("branch={branch}"), 1)
}

/// CANCEL or ACK of the INVITE's own hop: its Request-URI, Via, From, Call-ID and CSeq number.
fn hop_request(invite: &str, method: &str, refused: Option<&Dialog>) -> String {
    let mut out = String::new();
    for (at, line) in invite.lines().take_while(|line| !line.is_empty()).enumerate() {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let first_via = name == "via" && !out.contains("\nVia:");
        match (at, name.as_str()) {
            (0, _) => out.push_str(&line.replacen("INVITE", method, 1)),
            (_, "cseq") => out.push_str(&format!("CSeq: 1 {method}")),
            (_, "to") => match refused {
                Some(dialog) => out.push_str(&format!("To: {}", dialog.callee())),
                None => out.push_str(line),
            },
            (_, "from" | "call-id" | "max-forwards" | "route") => out.push_str(line),
            _ if first_via => out.push_str(line),
            _ => continue,
        }
        out.push('\n');
    }
    out + "Content-Length: 0\n\n"
}
