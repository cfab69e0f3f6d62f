//! VoWiFi: calls with audio and video, and calls of many.

use super::over_each;
use gatehouse_tests::script::{Answer, Dialog, Ran, Script, core_sends, from_core_side, ue_sends};

fn ok() -> Answer {
    Answer::new(200, "OK")
}

/// What a media gateway of the core describes (figure 6-5: o= and c= differ in the print, not in kind).
const GATEWAY: &str = "v=0\no=oooo 5484 5485 IN IP4 [local_ip]\ns=Sip Call\nc=IN IP4 [local_ip]\nt=0 0\n\
    m=audio 1372 RTP/AVP 0 8\nc=IN IP4 [local_ip]\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=ptime:20\na=sendrecv\n";

/// What a UE describes; video that nobody wants has port 0 and keeps it (R69).
const PHONE: &str = "v=0\no=+8675520000001 2208988804 0 IN IP4 164.132.176.2\ns=TOMORROW\nc=IN IP4 164.132.176.2\n\
    t=0 0\nm=audio 26608 RTP/AVP 0 8\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=sendrecv\n\
    m=video 0 RTP/AVP 34 117\nb=AS:768\na=rtpmap:34 H263/90000\na=rtpmap:117 H264/90000\n";

fn held(sdp: &str) -> String {
    sdp.replace("a=sendrecv", "a=sendonly")
}

/// R61, R64: figure 6-2: a tel URI, early media that is told of, PRACK, hold, resume, BYE.
#[test]
fn a_vowifi_call_of_a_ue() {
    let mut script = Script::registered("vowifi");
    let invite = ue_sends("voip-01-invite").replace("voip-01-invite", "vowifi");
    let dialog = Dialog::by_ue("vowifi", &invite);
    let early = Answer::new(183, "Session Progress")
        .with("Require: 100rel\nRSeq: 1\nP-Early-Media: sendrecv\n")
        .describing(GATEWAY);
    script.ue = script.ue.request(&invite).expect_progress(183, dialog.name());
    script.core = script.core.expect_opening("INVITE", dialog.name()).send(&dialog.answers(&early));
    script = script.ue_asks(&dialog.from_ue("PRACK", 2, "RAck: 1 1 INVITE\n", ""), &ok());
    script.ue = script.ue.expect_progress(180, dialog.name()).expect_dialog(200, dialog.name());
    script.core =
        script.core.send(&dialog.answers(&Answer::new(180, "Ringing"))).send(&dialog.answers(&ok()));
    script = script.ue_acknowledges(&dialog, 1, "");
    let offer = PHONE.split_inclusive("a=sendrecv\n").next().unwrap_or_default().to_owned();
    for (cseq, offer, answer) in
        [(3, held(&offer), GATEWAY.replace("sendrecv", "recvonly")), (4, offer, GATEWAY.to_owned())]
    {
        let again =
            dialog.from_ue("INVITE", cseq, "Contact: <sip:+8675520000001@164.132.176.2:5061>\n", &offer);
        let answer = ok().with("Contact: <sip:im@[local_ip]:[local_port]>\n").describing(&answer);
        script.ue = script.ue.request(&again).expect(200);
        script.core = script.core.expect_request("INVITE").send(&from_core_side(&again, &answer));
        script = script.ue_acknowledges(&dialog, cseq, "");
    }
    let script = script.ue_asks(&dialog.from_ue("BYE", 5, "", ""), &ok());
    over_each("vowifi", &script, |ran| {
        audio_is_anchored(ran);
        let early = ran.ue.iter().find(|m| m.status() == Some(183)).expect("a 183");
        assert_eq!(early.value("P-Early-Media"), Some("sendrecv"));
    });
}

/// R65, R69: every m= line of audio that left the edge leads to the edge, each side has a port of its own.
fn audio_is_anchored(ran: &Ran) {
    let ports = |messages: &[gatehouse_tests::trace::Message]| -> Vec<String> {
        let lines = messages.iter().filter(|m| m.inbound).flat_map(|m| m.body.lines().map(str::to_owned));
        lines.filter_map(|l| l.strip_prefix("m=audio ")?.split(' ').next().map(str::to_owned)).collect()
    };
    let (ue, core) = (ports(&ran.ue), ports(&ran.core));
    assert!(!ue.is_empty() && !core.is_empty(), "no audio was described: {ue:?} {core:?}");
    for (side, ports, own) in [("UE", ue, "1372"), ("core", core, "26608")] {
        assert!(ports.iter().all(|port| port != own), "{side}: {ports:?}");
    }
}

/// R32: table 6-1: a local number is completed by the caller's own; the UE gets its own To back.
#[test]
fn a_local_number_is_called() {
    let script = Script::registered("local").completing("tel:28880001", "tel:+8675528880001");
    let invite = ue_sends("voip-02-invite-local-number");
    let (script, dialog) = script.ue_opens("voip-02-invite-local-number", &invite, &ok().describing(GATEWAY));
    let core_knows = dialog.completed("tel:28880001", "tel:+8675528880001");
    let script = script
        .ue_asks(&dialog.from_ue("INFO", 2, "Info-Package: nil\n", ""), &ok())
        .core_asks(&core_knows.from_core("BYE", 1, "", ""), &ok());
    over_each("local", &script, audio_is_anchored);
}

/// R44, R62: a call of many: the list and the offer in one INVITE, REFER for a further one, BYE by the focus.
#[test]
fn a_conference_is_called() {
    let script = Script::registered("conference");
    let focus = ok()
        .with("Contact: <sip:conf=00000193rcsconf139947980704611@as1.conf.rcs.chinamobile.com>;isfocus\nRequire: timer\n")
        .with("Session-Expires: 300;refresher=uas\nApp_Type: apptypehead\n")
        .describing(GATEWAY);
    let (script, dialog) = script.ue_opens("conf-01-invite", &ue_sends("conf-01-invite"), &focus);
    let script = script
        .ue_asks(&dialog.ue_speaks("conf-10-refer", 40), &Answer::new(202, "Accepted"))
        .core_asks(&dialog.from_core("BYE", 1, "", ""), &ok());
    over_each("conference", &script, audio_is_anchored);
}

/// R62, R70: the invited get no offer but a list; they offer in the 200, and the ACK answers.
#[test]
fn an_invitation_without_offer() {
    let mut script = Script::registered("offerless");
    for (name, bye_by_ue) in
        [("conf-04-invite-offerless-audio", true), ("conf-07-invite-offerless-video", false)]
    {
        let invite = core_sends(name);
        let dialog = Dialog::by_core(name, &invite);
        script.core = script.core.request(&invite).expect_dialog(200, name);
        script.ue = script
            .ue
            .expect_opening("INVITE", name)
            .send(&dialog.answers_numbered(39, &ok().with("App_Type: apptypehead\n").describing(PHONE)));
        let answer = format!("{GATEWAY}m=video 0 RTP/AVP 34 117\na=rtpmap:34 H263/90000\n");
        script.core = script.core.send(&dialog.from_core("ACK", 39, "", &answer));
        script.ue = script.ue.expect_request("ACK");
        script = match bye_by_ue {
            true => script.ue_asks(&dialog.from_ue("BYE", 1, "", ""), &ok()),
            false => script.core_asks(&dialog.from_core("BYE", 40, "", ""), &ok()),
        };
    }
    over_each("offerless", &script, audio_is_anchored);
}
