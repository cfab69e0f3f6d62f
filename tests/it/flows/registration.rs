//! REGISTER as the core sees it and as the UE gets it back.

use super::over_each;
use gatehouse_tests::script::{Script, register, registered, ue_sends, vector};
use gatehouse_tests::sipp::{from_specification, response};

/// R14, R21, R22: Digest, refresh, too short a time, a refusal, and the end.
#[test]
fn a_registration_from_first_to_last() {
    let mut script = Script::registered("register");
    let again = |cseq, seconds: &str| {
        register("register", cseq).replace("expires=3600", &format!("expires={seconds}"))
    };
    for (cseq, seconds, status, extra) in [
        (3, "3600", 200, registered()),
        (4, "10", 423, "Min-Expires: 600\n".to_owned()),
        (5, "3600", 403, "Warning: 399 [local_ip] \"not today\"\n".to_owned()),
        (6, "0", 200, registered()),
    ] {
        script.ue = script.ue.request(&again(cseq, seconds)).expect(status);
        let reason = if status == 200 { "OK" } else { "No" };
        script.core = script.core.expect_registration().send(&response(status, reason, &extra, ""));
    }
    // R9: who has left may not speak.
    let script = script.edge_answers(&ue_sends("pager-01-message-cpim"), 403);
    over_each("register", &script, |ran| {
        let brief = ran.ue.iter().find(|m| m.status() == Some(423)).expect("a 423");
        assert_eq!(brief.value("Min-Expires"), Some("600"));
        let contacts: Vec<&str> =
            ran.ue.iter().filter(|m| m.inbound).filter_map(|m| m.value("Contact")).collect();
        assert_eq!(contacts.len(), 3, "the three 200: {contacts:#?}");
        assert!(contacts.iter().all(|c| c.contains("<sip:user@10.201.66.64:3550>")), "{contacts:#?}");
    });
}

/// R16, R17, R19, R20: the shape of AKA: keys stay here, `integrity-protected` is ours to say, and what an
/// algorithm without `qop` computes is opaque.
#[test]
fn aka_keys_stay_at_the_edge() {
    let mut script = Script::new("aka");
    let in_one_dialog = |name: &str| from_specification(&vector(name), "aka");
    script.ue = script.ue.request(&in_one_dialog("reg-01-aka-register")).expect(401);
    script.ue = script.ue.request(&in_one_dialog("reg-07-aka-register2")).expect(200);
    let challenge = "WWW-Authenticate: Digest realm=\"bj.ims.mnc000.mcc460.3gppnetwork.org\", \
        nonce=\"byBHG58VWbURzSgIMb4SU21+OPwlnJMjLuYPCrdGw4=\", algorithm=AKAv1-SHA256, \
        ik=\"3bbfd626f64ab4bbeab3b3c49eaf550\", ck=\"10f7b3c285c70b1dc03c853456a8f1b7\"\n";
    script.core = script
        .core
        .expect_registration()
        .send(&response(401, "Unauthorized", challenge, ""))
        .expect_registration()
        .send(&response(200, "OK", &format!("{}Accept-Resource-Priority: wps.4\n", registered()), ""));
    over_each("aka", &script, |ran| {
        let seen: String = ran.ue.iter().filter(|m| m.inbound).map(|m| m.raw.as_str()).collect();
        for secret in ["3bbfd626f64ab4bbeab3b3c49eaf550", "10f7b3c285c70b1dc03c853456a8f1b7", "ck=", "ik="] {
            assert!(!seen.contains(secret), "R17: {secret}");
        }
        let protected: Vec<bool> = ran
            .core
            .iter()
            .filter(|m| m.inbound)
            .filter_map(|m| m.value("Authorization"))
            .map(|a| a.contains("integrity-protected=\"no\""))
            .collect();
        // Neither UDP nor TCP is protected: R16 says "yes" only on the TLS flow that got the challenge.
        assert_eq!(protected, [true, true]);
        let answer = ran.ue.iter().find(|m| m.status() == Some(200)).expect("a 200");
        assert_eq!(answer.value("Accept-Resource-Priority"), Some("wps.4"));
        assert!(
            answer.value("Contact").is_some_and(|c| c.contains("sip.instance=urn:gsma:imei:351564060017928"))
        );
    });
}
