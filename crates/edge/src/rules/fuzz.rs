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

/// Rules that an operator would write badly: patterns that match everywhere, captures of everything,
/// fields renamed onto each other.
const HOSTILE: &str = r#"
[[header_rules]]
name = "everything"
when = [{ header = "Via", matches = '(?s)(?<via>.*)' }, { header = "Call-ID", matches = '(?<id>.?)' }]
then = [
  { action = "add", header = "X-Copy", value = "${via}${id}${via}" },
  { action = "rewrite", header = "User-Agent", matches = '', value = "$0,${id}" },
  { action = "rewrite", header = "Supported", matches = '(.)(.*)', value = "$2$1" },
  { action = "rename", header = "Subject", to = "User-Agent" },
  { action = "set", header = "Accept-Contact", value = "${via}" },
  { action = "rewrite", header = "X-Copy", matches = '\W+', value = "" },
]
[[header_rules]]
name = "absent"
when = [{ header = "X-Copy", matches = '^$', absent = true }, { header = "Request-URI", matches = '.' }]
then = [
  { action = "remove", header = "Allow", matches = '[^\x20-\x7e]' },
  { action = "rename", header = "Accept-Contact", to = "P-Asserted-Identity" },
  { action = "rewrite", header = "P-Asserted-Identity", matches = '(?-u:[\x80-\xff])', value = "?" },
]
[[header_rules]]
name = "refuses"
kind = "request"
methods = ["OPTIONS"]
then = [{ action = "reject", status = 699, reason = "No" }]
"#;

/// The fuzz target: any bytes as a message, from either side, through hostile rules.
///
/// # Panics
/// If a law is broken.
pub fn message(bytes: &[u8]) {
    static CONFIG: std::sync::OnceLock<Config> = std::sync::OnceLock::new();
    let config = CONFIG.get_or_init(|| Config::from_toml(HOSTILE, "hostile.toml").expect("well-formed"));
    laws(config, bytes, Realm::Access);
    laws(config, bytes, Realm::Core);
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
