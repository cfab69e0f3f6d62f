//! The law of the house: nothing of the core's addresses and no AKA key ever reaches the access side.

use crate::ue::{accept, message_to_ue, register};
use crate::world::{Sent, World, response};
use core::time::Duration;
use proptest::prelude::*;

const UE: &str = "192.0.2.7:4000";
const SECRETS: [&str; 7] =
    ["10.9.9.9", "182.1.1.64", "183.1.28.128", "core-secret-ck", "core-secret-ik", "ck=", "ik="];

/// Header lines a core may put into anything.
const LINES: [&str; 14] = [
    "Record-Route: <sip:10.9.9.9;lr>, <sip:182.1.1.64:5070;lr>\r\n",
    "P-Charging-Vector: icid-value=1;icid-generated-at=10.9.9.9\r\n",
    "P-Charging-Function-Addresses: ccf=10.9.9.9\r\n",
    "P-Charging-Private: 182.1.1.64\r\n",
    "Path: <sip:x@10.9.9.9;lr>\r\n",
    "Service-Route: <sip:orig@10.9.9.9:5070;lr>\r\n",
    "Contact: <sip:10.9.9.9:5060;transport=tcp>;+g.x=\"1\"\r\n",
    "m: sip:a@182.1.1.64;expires=7, <sip:b@10.9.9.9>\r\n",
    "Warning: 399 10.9.9.9 \"no\", 370 182.1.1.64 \"x\"\r\n",
    "P-Visited-Network-ID: \"10.9.9.9\"\r\n",
    "P-Access-Network-Info: IEEE-802.11;host=10.9.9.9\r\n",
    "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=AKAv1-MD5, ck=\"core-secret-ck\", ik=\"core-secret-ik\"\r\n",
    "Proxy-Authenticate: Digest IK=core-secret-ik ,realm=\"r\",CK=core-secret-ck\r\n",
    "Security-Server: tls-3gpp;host=10.9.9.9\r\n",
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn nothing_of_the_core_reaches_the_access_side(
        steps in prop::collection::vec((0u8..6, prop::collection::vec(0usize..14, 0..5), 0usize..6), 1..12),
    ) {
        let statuses = ["100 Trying", "183 Progress", "200 OK", "401 Unauthorized", "404 Not Found", "503 Busy"];
        let mut world = World::new();
        world.datagram(UE, register("user1", UE, 1, "").as_bytes());
        let request = world.one();
        let registered = accept(&mut world, &request, 3600);
        let mut waiting: Vec<Sent> = Vec::new();
        for (n, (kind, choice, status)) in steps.into_iter().enumerate() {
            let more = lines(&choice);
            match kind {
                0 => world.datagram(UE, register("user1", UE, 2 + n as u32, "").as_bytes()),
                1 => world.datagram(UE, crate::messaging::message("user1", UE, &format!("b{n}"), "").as_bytes()),
                2 => world.core(message_to_ue(&registered.path, &format!("m{n}"), &more).as_bytes()),
                3 => world.pass(Duration::from_secs(5)),
                _ => answer_core(&mut world, &core::mem::take(&mut waiting), statuses[status], &more),
            }
            waiting.extend(world.sent().into_iter().filter(|s| s.hop == crate::world::to_core(crate::world::CORE)));
        }
        let seen = String::from_utf8_lossy(&world.seen_by_access).into_owned();
        for secret in SECRETS {
            // message_to_ue's Call-ID names its host: Call-IDs are transparent (R24).
            let hits = seen.match_indices(secret).filter(|(at, _)| !seen[..*at].ends_with('@'));
            for (at, _) in hits {
                let from = seen[..at].rfind("\r\n").map_or(0, |n| n + 2);
                prop_assert!(false, "{secret} in {:?}", &seen[from..(at + 40).min(seen.len())]);
            }
        }
    }
}
