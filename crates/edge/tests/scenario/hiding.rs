//! The law of the house: nothing of the core's addresses and no AKA key ever reaches the access side.

use crate::ue::{accept, message_to_ue, register};
use crate::world::{Sent, World, config, response};
use core::time::Duration;
use proptest::prelude::*;

const UE: &str = "192.0.2.7:4000";
const SECRETS: [&str; 9] = [
    "10.9.9.9",
    "182.1.1.64",
    "183.1.28.128",
    "fd00::9",
    "core.example",
    "core-secret-ck",
    "core-secret-ik",
    "ck=",
    "ik=",
];

/// Header lines a core may put into anything.
const LINES: [&str; 33] = [
    "Record-Route: <sip:10.9.9.9;lr>, <sip:182.1.1.64:5070;lr>\r\n",
    "P-Charging-Vector: icid-value=1;icid-generated-at=10.9.9.9\r\n",
    "P-Charging-Function-Addresses: ccf=10.9.9.9\r\n",
    "P-Charging-Private: 182.1.1.64\r\n",
    "Path: <sip:x@10.9.9.9;lr>\r\n",
    "Service-Route: <sip:orig@10.9.9.9:5070;lr>\r\n",
    "Contact: <sip:10.9.9.9:5060;transport=tcp>;+g.x=\"1\"\r\n",
    "m: sip:a@182.1.1.64;expires=7, <sip:b@10.9.9.9>\r\n",
    "Warning: 399 10.9.9.9 \"no\", 370 182.1.1.64 \"x at 10.9.9.9\"\r\n",
    "P-Visited-Network-ID: \"10.9.9.9\"\r\n",
    "P-Access-Network-Info: IEEE-802.11;host=10.9.9.9\r\n",
    "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=AKAv1-MD5, ck=\"core-secret-ck\", ik=\"core-secret-ik\"\r\n",
    "Proxy-Authenticate: Digest IK=core-secret-ik ,realm=\"r\",CK=core-secret-ck\r\n",
    "Security-Server: tls-3gpp;host=10.9.9.9\r\n",
    "Server: AS/1.0 (10.9.9.9:5060)\r\n",
    "User-Agent: AS-182.1.1.64\r\n",
    "Reply-To: <sip:x@10.9.9.9>;q=1\r\n",
    "Call-Info: <http://10.9.9.9/p.png>;purpose=icon, <sip:i@182.1.1.64>\r\n",
    "Alert-Info: <sip:tone@s1.core.example>\r\n",
    "Error-Info: sip:ann@182.1.1.64:5070;x=1\r\n",
    "Reason: SIP;cause=503;text=\"10.9.9.9 is down\"\r\n",
    "P-Asserted-Identity: \"A\" <sip:x@10.9.9.9:5060;user=phone>\r\n",
    "Refer-To: <sip:x@10.9.9.9?Replaces=a%4010.9.9.9%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\n",
    "Referred-By: sip:x@10.9.9.9\r\n",
    "History-Info: <sip:a@h?Reason=SIP%3Btext%3D10.9.9.9>;index=1, <sip:b@10.9.9.9>;index=2\r\n",
    "X-Node: s1.core.example / 10.9.9.9:5060 / [fd00::9]:7 / fd00::9\r\n",
    "Replaces: a@10.9.9.9;to-tag=1;from-tag=2\r\n",
    "In-Reply-To: a@10.9.9.9, b@182.1.1.64\r\n",
    "Target-Dialog: a@10.9.9.9;local-tag=1\r\n",
    "P-Associated-URI: <sip:x@10.9.9.9>\r\n",
    "Retry-After: 5 (10.9.9.9)\r\n",
    "Contact: <sip:conf@10.9.9.9:5060>;isfocus\r\n",
    "P-Called-Party-ID: <sip:[fd00::9]:5060>\r\n",
];

/// Bodies of signalling: type and text.
const BODIES: [(&str, &str); 4] = [
    ("text/plain", "hello"),
    (
        "message/sipfrag;version=2.0",
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.9.9.9\r\nContact: <sip:b@10.9.9.9:5062>\r\nCall-ID: z@10.9.9.9\r\nServer: 182.1.1.64\r\n",
    ),
    (
        "application/conference-info+xml",
        "<conference-info entity=\"sip:c@10.9.9.9;a=1\"><uri>sip:u@s1.core.example</uri></conference-info>",
    ),
    (
        "multipart/mixed;boundary=b",
        "--b\r\nContent-Type: application/dialog-info+xml\r\nContent-Length: 86\r\n\r\n<dialog call-id=\"z@10.9.9.9\"><target uri=\"sip:x@10.9.9.9:5060;gr=1?a=10.9.9.9\"/></dialog>\r\n--b--\r\n",
    ),
];

fn lines(choice: &[usize]) -> String {
    choice.iter().map(|at| LINES[at % LINES.len()]).collect()
}

/// Answers whatever waits at the core.
fn answer_core(world: &mut World, sent: &[Sent], status: &str, more: &str) {
    for request in sent.iter().filter(|s| s.text().contains(" SIP/2.0\r\n")) {
        world.core(&response(request, status, more));
    }
}

fn with_body(message: &str, at: usize) -> String {
    let (kind, body) = BODIES[at];
    let length = format!("Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    message.replace("Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello", &length)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    /// R23, R24: with Call-IDs masked, no byte of any address, name or key of the core.
    #[test]
    fn nothing_of_the_core_reaches_the_access_side(
        steps in prop::collection::vec((0u8..6, prop::collection::vec(0usize..33, 0..6), 0usize..6, 0usize..4), 1..12),
    ) {
        let statuses = ["100 Trying", "183 to 10.9.9.9", "200 OK", "401 Unauthorized", "404 Not Found", "503 Busy"];
        let mut config = config();
        config.topology.mask_call_id = true;
        config.topology.hidden_domains = vec!["core.example".to_owned()];
        let mut world = World::with(config);
        world.datagram(UE, register("user1", UE, 1, "").as_bytes());
        let request = world.one();
        let registered = accept(&mut world, &request, 3600);
        let mut waiting: Vec<Sent> = Vec::new();
        for (n, (kind, choice, status, body)) in steps.into_iter().enumerate() {
            let more = lines(&choice);
            match kind {
                0 => world.datagram(UE, register("user1", UE, 2 + n as u32, "").as_bytes()),
                1 => world.datagram(UE, crate::messaging::message("user1", UE, &format!("b{n}"), "").as_bytes()),
                2 => {
                    let text = message_to_ue(&registered.path, &format!("m{n}"), &more);
                    let from = "From: <sip:user1@bj.ims.mnc000.mcc460.3gppnetwork.org>";
                    let text = text.replace(from, "From: \"at 10.9.9.9\" <sip:as@10.9.9.9:5080;a=1>");
                    world.core(with_body(&text, body).as_bytes());
                }
                3 => world.pass(Duration::from_secs(5)),
                _ => answer_core(&mut world, &core::mem::take(&mut waiting), statuses[status], &more),
            }
            waiting.extend(world.sent().into_iter().filter(|s| s.hop == crate::world::to_core(crate::world::CORE)));
        }
        let seen = String::from_utf8_lossy(&world.seen_by_access).into_owned();
        for secret in SECRETS {
            if let Some(at) = seen.find(secret) {
                let from = seen[..at].rfind("\r\n").map_or(0, |n| n + 2);
                prop_assert!(false, "{secret} in {:?}", &seen[from..(at + 40).min(seen.len())]);
            }
        }
    }
}
