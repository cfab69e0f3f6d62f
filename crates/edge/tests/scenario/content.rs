//! What may be sent, held against the INVITE that opens the session.

use crate::calls::{chatting, ordered};
use crate::ue::registered_udp;
use crate::world::{Sent, World, config, vector_text};
use config::Config;
use edge::Event;
use std::sync::Arc;

fn governed(policy: &str) -> Config {
    let read = Config::from_toml(policy, "policy.toml").unwrap();
    Config { content_policies: read.content_policies, ..config() }
}

const UE: &str = "131.1.1.125:5060";

/// R50: the picture of the specification, under policies that let it pass and others that do not.
#[test]
fn a_file_that_may_not_be_sent_is_refused_with_a_warning_that_says_why() {
    let service = "service = '3gpp-service.ims.icsi.oma.cpm.filetransfer'\n";
    for (policy, status, warning) in [
        ("", None, ""),
        ("types = ['image/*']\nmessage_bytes_max = 281888\nsuffixes_blocked = ['.exe']", None, ""),
        ("suffixes_blocked = ['.JPG']", Some(403), "file name not allowed"),
        ("types = ['image/png']", Some(415), "content type not allowed in this service"),
        ("message_bytes_max = 281887", Some(488), "file larger than this service allows"),
        ("sent_by = 'core'\nsuffixes_blocked = ['.jpg']", None, ""),
        ("sent_by = 'core'\ntypes = ['text/plain']", Some(488), "no content type both accepted and allowed"),
    ] {
        let mut world = World::with(governed(&format!("[[content_policies]]\n{service}{policy}\n")));
        registered_udp(&mut world, "user1", UE);
        let invite = vector_text("ft-02-invite-picture.sip");
        world.datagram(UE, invite.as_bytes());
        let sent = world.sent();
        let answer = sent.iter().map(Sent::text).find(|text| text.starts_with("SIP/2.0 4"));
        match status {
            None => assert_eq!(answer, None, "{policy}"),
            Some(status) => {
                let answer = answer.unwrap_or_else(|| panic!("{policy}: it went on"));
                assert!(answer.starts_with(&format!("SIP/2.0 {status} ")), "{policy}: {answer}");
                assert!(answer.contains(warning), "{policy}: {answer}");
                assert!(!sent.iter().any(|s| s.text().starts_with("INVITE")), "{policy}");
            }
        }
    }
    // Another service: nothing is asked of it.
    let other = "[[content_policies]]\nservice = 'urn:urn-7:3gpp-service.ims.icsi.oma.cpm.session'\nsuffixes_blocked = ['.jpg']\n";
    let mut world = World::with(governed(other));
    registered_udp(&mut world, "user1", UE);
    world.datagram(UE, vector_text("ft-02-invite-picture.sip").as_bytes());
    assert!(world.sent().iter().any(|s| s.text().starts_with("INVITE")));
    // And from a reload on.
    let strict = governed(&format!("[[content_policies]]\n{service}suffixes_blocked = ['.jpg']\n"));
    world.event(Event::Config(Arc::new(strict)));
    let again =
        vector_text("ft-02-invite-picture.sip").replace("sEecblZUX", "another").replace("GGecblZ", "GGother");
    world.datagram(UE, again.as_bytes());
    assert!(world.sent().iter().any(|s| s.text().starts_with("SIP/2.0 403 ")));
}

#[test]
fn the_relay_is_told_what_each_side_may_send() {
    let mut world =
        World::with(governed("[[content_policies]]\nsent_by = 'core'\nmessage_bytes_max = 1_024\n"));
    let _ = chatting(&mut world);
    let (sessions, _) = ordered(&mut world);
    let told = sessions.last().unwrap().content.clone().map(|rules| rules.map(|r| r.message_bytes_max));
    assert_eq!(told, [None, Some(1_024)]);
}
