use super::*;
use config::Config;
use proptest::prelude::*;

const INVITE: &str = "INVITE tel:+8613900000001 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 182.1.1.1;branch=z9hG4bK1\r\n\
    From: <sip:a@h>;tag=1\r\n\
    To: <sip:b@h>\r\n\
    Call-ID: c\r\n\
    CSeq: 1 INVITE\r\n\
    User-Agent: OldPhone/1.2 (x)\r\n\
    X-A: one\r\n\
    x-a: two, three\r\n\
    s: hello\r\n\
    X-Folded: a\r\n b\r\n\
    Content-Length: 4\r\n\r\nbody";

const OK: &str = "SIP/2.0 200 OK\r\n\
    Via: SIP/2.0/UDP 182.1.1.1;branch=z9hG4bK1\r\n\
    From: <sip:a@h>;tag=1\r\n\
    To: <sip:b@h>;tag=2\r\n\
    Call-ID: c\r\n\
    CSeq: 1 INVITE\r\n\
    Server: Core/7\r\n\
    Content-Length: 0\r\n\r\n";

fn config(rules: &str) -> Config {
    match Config::from_toml(rules, "rules.toml") {
        Ok(config) => config,
        Err(errors) => panic!("{rules}\n{errors:?}"),
    }
}

fn passing(from: Realm) -> Passing<'static> {
    Passing { from, source: IpAddr::from([192, 0, 2, 7]), access_point: Some("beijing") }
}

fn run(rules: &str, message: &str) -> (Passed, String, Vec<(String, u64)>) {
    let mut rules = Rules::new(&config(rules));
    let mut bytes = message.as_bytes().to_vec();
    let passed = rules.pass(&passing(Realm::Access), &Limits::default(), &mut bytes, 0);
    let matches = rules.matches().map(|(name, count)| (name.to_owned(), count)).collect();
    (passed, String::from_utf8_lossy(&bytes).into_owned(), matches)
}

/// One action without conditions: what it makes of the INVITE.
#[track_caller]
fn action(then: &str, old: &str, new: &str) {
    let (_, text, _) = run(&format!("[[header_rules]]\nname = \"r\"\nthen = [{{ {then} }}]\n"), INVITE);
    assert!(INVITE.contains(old), "{old}");
    assert_eq!(text, INVITE.replacen(old, new, 1), "{then}");
}

#[test]
fn every_action_does_what_it_says() {
    let end = "Content-Length: 4\r\n";
    action("action = 'add', header = 'X-B', value = 'v'", end, "Content-Length: 4\r\nX-B: v\r\n");
    action("action = 'add', header = 'X-A', value = 'v'", end, "Content-Length: 4\r\nX-A: v\r\n");
    action("action = 'set', header = 'X-B', value = 'v'", end, "Content-Length: 4\r\nX-B: v\r\n");
    action("action = 'set', header = 'X-A', value = 'v'", "X-A: one\r\nx-a: two, three\r\n", "X-A: v\r\n");
    action("action = 'set', header = 'X-A', value = ' '", "X-A: one\r\nx-a: two, three\r\n", "");
    action("action = 'set', header = 'Subject', value = 'v'", "s: hello", "s: v");
    action("action = 'remove', header = 'X-A'", "X-A: one\r\nx-a: two, three\r\n", "");
    action("action = 'remove', header = 'X-A', matches = 'two'", "x-a: two, three\r\n", "");
    action("action = 'remove', header = 'subject'", "s: hello\r\n", "");
    action("action = 'remove', header = 'X-Folded', matches = '^a *b$'", "X-Folded: a\r\n b\r\n", "");
    action("action = 'rename', header = 's', to = 'X-Subject'", "s: hello", "X-Subject: hello");
    let rewrite = |matches: &str, value: &str| {
        format!("action = 'rewrite', header = 'User-Agent', matches = '{matches}', value = '{value}'")
    };
    let old = "User-Agent: OldPhone/1.2 (x)\r\n";
    action(&rewrite(r"^OldPhone/(\d+)\.(\d+)", "Phone/$2.${1}$$"), old, "User-Agent: Phone/2.1$ (x)\r\n");
    action(&rewrite("(?<all>.+)", "<${all}>"), old, "User-Agent: <OldPhone/1.2 (x)>\r\n");
    action(&rewrite("[a-z]", "$0$0"), old, "User-Agent: OllddPhhoonnee/1.2 (xx)\r\n");
    action(&rewrite("x*", "-"), old, "User-Agent: -O-l-d-P-h-o-n-e-/-1-.-2- -(-)-\r\n");
    action(&rewrite(".*", ""), old, "");
    action(&rewrite("nothing", "x"), old, old);
    action(
        "action = 'rewrite', header = 'X-Folded', matches = 'b', value = 'c'",
        "X-Folded: a\r\n b\r\n",
        "X-Folded: a  c\r\n",
    );
}

/// Whether a rule with these keys is about the INVITE (`true, _`) and about its 200.
#[test]
fn every_condition_is_asked() {
    for (keys, invite, ok) in [
        ("", true, true),
        ("direction = 'from-access'", true, true),
        ("direction = 'from-core'", false, false),
        ("kind = 'request'", true, false),
        ("kind = 'response'", false, true),
        ("methods = ['MESSAGE', 'INVITE']", true, true),
        ("methods = ['MESSAGE']", false, false),
        ("statuses = ['2xx']", false, true),
        ("statuses = ['180', '300-699']", false, false),
        ("access_points = ['beijing']", true, true),
        ("access_points = ['other']", false, false),
        ("sources = ['10.0.0.0/8', '192.0.2.0/24']", true, true),
        ("sources = ['10.0.0.0/8', '2001:db8::/32']", false, false),
        ("when = [{ header = 'User-Agent' }]", true, false),
        ("when = [{ header = 'User-Agent', absent = true }]", false, true),
        ("when = [{ header = 'User-Agent', matches = 'Phone' }]", true, false),
        ("when = [{ header = 'User-Agent', matches = '^Phone' }]", false, false),
        ("when = [{ header = 'User-Agent', matches = '^Phone', absent = true }]", true, true),
        ("when = [{ header = 'X-A', matches = 'three$' }]", true, false),
        ("when = [{ header = 'subject', matches = '^hello$' }]", true, false),
        ("when = [{ header = 'request-uri', matches = '^tel:' }]", true, false),
        ("when = [{ header = 'Request-URI', matches = '^sip:' }]", false, false),
        ("when = [{ header = 'User-Agent' }, { header = 'X-B' }]", false, false),
    ] {
        let rules = format!(
            "[[realm.access.sip]]\nbind = '127.0.0.1:5060'\ntransport = 'udp'\nname = 'beijing'\n\
             [[realm.access.sip]]\nbind = '127.0.0.1:5062'\ntransport = 'udp'\nname = 'other'\n\
             [[header_rules]]\nname = 'r'\n{keys}\nthen = [{{ action = 'add', header = 'X-B', value = 'v' }}]\n"
        );
        for (message, expected) in [(INVITE, invite), (OK, ok)] {
            let (passed, text, matches) = run(&rules, message);
            assert_eq!(matches, [("r".to_owned(), u64::from(expected))], "{keys}");
            assert_eq!(passed == Passed::Changed, expected, "{keys}");
            assert_eq!(text.contains("X-B: v\r\n"), expected, "{keys}");
        }
    }
}

#[test]
fn rules_run_in_order_and_see_what_those_before_them_did() {
    let rules = "[[header_rules]]\nname = 'first'\nwhen = [{ header = 'User-Agent', matches = '^(?<name>\\w+)/(?<v>\\S+)' }]\n\
                 then = [{ action = 'add', header = 'X-Phone', value = '${v}:${name}' },\n\
                         { action = 'remove', header = 'User-Agent' }]\n\
                 [[header_rules]]\nname = 'second'\nwhen = [{ header = 'User-Agent' }]\n\
                 then = [{ action = 'add', header = 'X-Never', value = 'x' }]\n\
                 [[header_rules]]\nname = 'third'\nwhen = [{ header = 'X-Phone', matches = '^1[.]2:Old' }]\n\
                 then = [{ action = 'rename', header = 'X-Phone', to = 'User-Agent' }]\n";
    let (passed, text, matches) = run(rules, INVITE);
    assert_eq!(passed, Passed::Changed);
    let expected = INVITE
        .replace("User-Agent: OldPhone/1.2 (x)\r\n", "")
        .replace("Content-Length: 4\r\n", "Content-Length: 4\r\nUser-Agent: 1.2:OldPhone\r\n");
    assert_eq!(text, expected);
    let counts: Vec<u64> = matches.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [1, 0, 1]);
}

#[test]
fn a_request_is_refused_with_status_and_reason_and_left_as_it_was() {
    let rules = "[[header_rules]]\nname = 'r'\nthen = [{ action = 'remove', header = 'X-A' },\n\
                 { action = 'reject', status = 606, reason = 'Not Here' }]\n";
    let mut compiled = Rules::new(&config(rules));
    let mut bytes = INVITE.as_bytes().to_vec();
    let Passed::Rejected(rejection) =
        compiled.pass(&passing(Realm::Access), &Limits::default(), &mut bytes, 0)
    else {
        panic!("not refused");
    };
    assert_eq!(compiled.answer(rejection), (606, "Not Here"));
    assert_eq!(bytes, INVITE.as_bytes());
    let (passed, ..) = run(rules, OK);
    assert_eq!(passed, Passed::Unchanged, "a response cannot be refused");
    let (passed, ..) = run(rules, &INVITE.replace("INVITE", "ACK"));
    assert_eq!(passed, Passed::Changed, "an ACK cannot be refused");
}

#[test]
fn what_does_not_fit_is_left_out_and_counted() {
    let rules = "[[header_rules]]\nname = 'r'\nwhen = [{ header = 'X-A', matches = '(?<all>.*)' }]\n\
                 then = [{ action = 'add', header = 'X-B', value = '${all}${all}${all}${all}' },\n\
                         { action = 'set', header = 'X-A', value = 'short' }]\n";
    let mut compiled = Rules::new(&config(rules));
    let long = "x".repeat(12_000);
    let message = INVITE.replace("X-A: one", &format!("X-A: {long}")).into_bytes();
    let mut bytes = message.clone();
    assert_eq!(compiled.pass(&passing(Realm::Access), &Limits::default(), &mut bytes, 0), Passed::Changed);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(text.contains("X-A: short\r\n") && !text.contains("X-B"), "the rest of the rule is done");
    assert_eq!(compiled.failures(), 1);
    // A message of the largest size still meets the rules.
    let huge = INVITE.replace("X-A: one", &format!("X-A: {}", "x".repeat(16_000)));
    let (passed, ..) =
        run("[[header_rules]]\nname = 'r'\nthen = [{ action = 'reject', status = 403 }]\n", &huge);
    assert!(matches!(passed, Passed::Rejected(_)), "{passed:?}");
}

#[test]
fn captured_control_characters_become_blanks() {
    let message = INVITE.replace("X-A: one", "X-A: a\\\0b\x07c\r\n\td");
    let rules = "[[header_rules]]\nname = 'r'\nwhen = [{ header = 'X-A', matches = '(?s)(?<all>.*)' }]\n\
                 then = [{ action = 'add', header = 'X-B', value = '[${all}]' }]\n";
    let (_, text, _) = run(rules, &message);
    assert!(text.contains("\r\nX-B: [a\\ b c \td]\r\n"), "{text:?}");
}

#[test]
fn reloaded_rules_keep_their_counts_by_name() {
    let rule = |name: &str| {
        format!("[[header_rules]]\nname = '{name}'\nthen = [{{ action = 'remove', header = 'X-A' }}]\n")
    };
    let mut rules = Rules::new(&config(&(rule("a") + &rule("b"))));
    let mut bytes = INVITE.as_bytes().to_vec();
    let _ = rules.pass(&passing(Realm::Core), &Limits::default(), &mut bytes, 0);
    rules.replace(&config(&(rule("c") + &rule("b"))));
    assert_eq!(rules.matches().collect::<Vec<_>>(), [("c", 0), ("b", 1)]);
}

/// The list of what no rule may touch is the operator's; here it is held against the names we know.
#[test]
fn protected_names_cover_the_compact_forms() {
    for group in config::PROTECTED {
        for name in group.names {
            let id = sip::HeaderId::from_bytes(name.as_bytes());
            assert!(id != sip::HeaderId::Unknown, "{name}");
            for short in b'a'..=b'z' {
                if sip::HeaderId::from_bytes(&[short]) == id {
                    let short = char::from(short).to_string();
                    assert!(config::protected(&short).is_some(), "{short} is {name}");
                }
            }
        }
    }
}

fn rule_text() -> impl Strategy<Value = String> {
    let header = prop::sample::select(vec![
        "User-Agent",
        "X-A",
        "s",
        "Subject",
        "X-B",
        "X-Folded",
        "P-Asserted-Identity",
        "Expires",
        "Supported",
    ]);
    let pattern = prop::sample::select(vec![
        ".*",
        ".",
        "(?s-u:.)",
        "(?<g>.+)",
        "x*",
        "^",
        "$",
        "[^a]",
        "(a|b)*",
        "",
        "(?<g>\\\\S)(.*)",
        "\\\\x00",
        "(?m)^",
    ]);
    let value =
        prop::sample::select(vec!["", "v", " ", "$0", "$0$0$0$0", "a,b", "\\\"", "<>", "ü", "$$", "x:y"]);
    let action = (header.clone(), pattern.clone(), value, header.clone(), 0..5u8).prop_map(
        |(header, pattern, value, to, kind)| {
            let plain = value.replace("$0", "z");
            match kind {
                0 => format!("{{ action = 'add', header = '{header}', value = \"{plain}\" }}"),
                1 => format!("{{ action = 'set', header = '{header}', value = \"{plain}\" }}"),
                2 => format!("{{ action = 'remove', header = '{header}', matches = \"{pattern}\" }}"),
                3 => format!("{{ action = 'rename', header = '{header}', to = '{to}' }}"),
                _ => format!("{{ action = 'rewrite', header = '{header}', matches = \"{pattern}\", value = \"{value}\" }}"),
            }
        },
    );
    let captured = prop::sample::select(vec!["a", "v${w}", "${w}${w}", "${w}:"]);
    (header, pattern, prop::collection::vec(action, 1..5), captured, any::<bool>()).prop_map(
        |(header, pattern, actions, captured, absent)| {
            let when = match absent {
                true => format!("{{ header = '{header}', matches = \"{pattern}\", absent = true }}"),
                false => format!("{{ header = '{header}', matches = \"{pattern}\" }}"),
            };
            format!(
                "when = [{when}, {{ header = 'Via', matches = '(?s)(?<w>.*)' }}]\n\
                 then = [{}, {{ action = 'add', header = 'X-C', value = '{captured}' }}]\n",
                actions.join(", ")
            )
        },
    )
}

/// The body of the fuzz target, over every message of the specification with a byte changed here and there.
#[test]
fn hostile_rules_on_every_vector() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors");
    let mut seen = 0;
    for entry in std::fs::read_dir(directory).expect("the vectors") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "sip") {
            continue;
        }
        let mut bytes = std::fs::read(&path).expect("a vector");
        fuzz::message(&bytes);
        for at in (7..bytes.len()).step_by(23) {
            let old = core::mem::replace(&mut bytes[at], b"\x00\xff\t\",<:"[at % 7]);
            fuzz::message(&bytes);
            bytes[at] = old;
        }
        seen += 1;
    }
    assert!(seen > 50, "{seen} vectors");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever the rules are and whatever the message is, what comes out is a message, and start line,
    /// protected fields and body are the same bytes.
    #[test]
    fn no_rule_set_breaks_a_message(
        rules in prop::collection::vec(rule_text(), 1..6),
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..8),
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let rules: String =
            rules.iter().enumerate().map(|(i, rule)| format!("[[header_rules]]\nname = 'r{i}'\n{rule}")).collect();
        let names = ["User-Agent", "X-A", "s", "x-folded", "Via", "Call-ID", "Supported", "X-B"];
        let mut message = b"MESSAGE sip:b@h SIP/2.0\r\nVia: x\\\0y\r\n z\r\n".to_vec();
        for (name, value) in names.iter().zip(&values) {
            message.extend_from_slice(name.as_bytes());
            message.extend_from_slice(b": ");
            message.extend(value.iter().map(|&b| if matches!(b, 0 | b'\r' | b'\n') { b'?' } else { b }));
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"\r\n");
        message.extend_from_slice(&body);
        fuzz::laws(&config(&rules), &message, Realm::Access);
    }
}
