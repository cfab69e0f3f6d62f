//! Body of the fuzz target: hostile rules on hostile messages.

use super::{Passed, Passing, Rules};
use config::Config;
use core::net::{IpAddr, Ipv4Addr};
use sip::{Index, Limits, Message};
use wire::Realm;

/// Takes `message` through the rules of `config`, and asserts what holds whatever they are: the result
/// can be read, protected fields, start line and body are the same bytes, and nothing else was counted.
///
/// # Panics
/// If a law is broken.
pub fn laws(config: &Config, message: &[u8], from: Realm) {
    let limits = Limits::default();
    let mut index = Index::default();
    let Ok(before) = sip::parse(message, &limits, &mut index) else {
        return;
    };
    let mut rules = Rules::new(config);
    let passing = Passing { from, source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), access_point: None };
    // Whatever stands before it in the buffer is somebody else's.
    let mut bytes = b"before".to_vec();
    bytes.extend_from_slice(message);
    let passed = rules.pass(&passing, &limits, &mut bytes, 6);
    assert!(bytes.starts_with(b"before"));
    match passed {
        Passed::Changed => {
            let limits = super::with_slack(&limits);
            let mut index = Index::default();
            let after = sip::parse(&bytes[6..], &limits, &mut index).expect("rules never break a message");
            same(before, after);
        }
        Passed::Unchanged | Passed::Rejected(_) => assert_eq!(&bytes[6..], message),
        Passed::Unreadable => panic!("what could be read before cannot be read by the rules"),
    }
}

fn same(before: Message<'_>, after: Message<'_>) {
    assert_eq!(before.text(before.start_span()), after.text(after.start_span()));
    assert_eq!(before.body(), after.body());
    let protected = |message: Message<'_>| -> Vec<Vec<u8>> {
        let fields = message.fields().filter(|field| {
            core::str::from_utf8(message.text(field.name)).is_ok_and(|name| config::protected(name).is_some())
        });
        fields.map(|field| message.text(field.line).to_vec()).collect()
    };
    assert_eq!(protected(before), protected(after), "no rule touches these");
}
