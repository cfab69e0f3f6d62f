//! The control experiments: SIPp as UE and SIPp as core get along without an edge, and the core is no rubber
//! stamp. What fails with the edge between them is the edge's.

use gatehouse_tests::script::{Answer, Script, server_sdp, ue_sends};

#[test]
fn sipp_gets_along_with_sipp_without_the_edge() {
    let mut script = Script::registered("direct");
    for name in [
        "fmt-01-message-multipart",
        "pager-01-message-cpim",
        "pager-02-message-recipient-list",
        "imdn-02-message",
    ] {
        script = script.ue_asks(&ue_sends(name), &Answer::new(202, "Accepted"));
    }
    let answer = Answer::new(200, "OK").describing(&server_sdp());
    let (script, dialog) = script.ue_opens("chat-01-invite", &ue_sends("chat-01-invite"), &answer);
    let script = script.ue_asks(&dialog.from_ue("BYE", 2, "", ""), &Answer::new(200, "OK"));
    for transport in ["udp", "tcp"] {
        let [ue, core] = script.run_direct("direct", transport).unwrap_or_else(|failure| panic!("{failure}"));
        for sent in ue.iter().filter(|m| !m.inbound && m.is_request("MESSAGE")) {
            assert!(core.iter().any(|m| m.inbound && m.raw == sent.raw), "{sent:#?}");
        }
    }
}

#[test]
fn the_sipp_core_refuses_a_wrong_digest() {
    let script = Script::new("digest").register_as("another secret");
    assert!(script.run_direct("digest", "udp").is_err());
}
