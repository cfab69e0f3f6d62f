//! `gatehouse ctl`: what operators ask of a configuration, without a node.
#![allow(clippy::unwrap_used)]

mod node;

use node::{gatehouse, scratch};
use std::io::Write;
use std::process::Stdio;

/// Exit status, standard output and standard error.
fn ask(arguments: &[&str], settings: &str, message: &str) -> (Option<i32>, String, String) {
    let name = format!(
        "ctl-{}",
        arguments.join("-").chars().filter(char::is_ascii_alphanumeric).collect::<String>()
    );
    let file = scratch(&name).join("gatehouse.toml");
    std::fs::write(&file, settings).unwrap();
    let mut command = gatehouse();
    command.args(arguments).arg("--config").arg(&file);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(message.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const RULES: &str = "
[[header_rules]]
name = 'phones'
direction = 'from-access'
when = [{ header = 'User-Agent', matches = '^Old/(?<v>.*)' }]
then = [
  { action = 'set', header = 'X-Version', value = '${v}' },
  { action = 'remove', header = 'X-Gone' },
  { action = 'rename', header = 'User-Agent', to = 'X-Agent' },
]
[[header_rules]]
name = 'no-ghosts'
methods = ['INVITE']
when = [{ header = 'From', matches = 'ghost' }]
then = [{ action = 'reject', status = 403, reason = 'Boo' }]
";

const INVITE: &str = "INVITE sip:b@h SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@h>;tag=1\n\
    To: <sip:b@h>\nCall-ID: c\nCSeq: 1 INVITE\nUser-Agent: Old/7\n\nbody\n";

#[test]
fn headers_shows_which_rule_did_what() {
    let arguments = ["ctl", "headers", "--direction", "from-access"];
    let (code, out, _) = ask(&arguments, RULES, INVITE);
    assert_eq!(code, Some(0));
    assert_eq!(
        out,
        "rule phones (header_rules[0]) matches\n\
         \x20 set X-Version: done\n\
         \x20 remove X-Gone: nothing to do\n\
         \x20 rename User-Agent to X-Agent: done\n\
         \n\
         INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
         To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nX-Agent: Old/7\r\nX-Version: 7\r\n\r\nbody\n"
    );
}

#[test]
fn headers_exits_by_the_verdict() {
    let (code, out, _) = ask(&["ctl", "headers", "--direction", "from-core"], RULES, INVITE);
    assert_eq!(code, Some(0));
    assert!(out.starts_with("no rule of 2 matches\n\nINVITE "), "{out}");
    let ghost = INVITE.replace("sip:a@h", "sip:ghost@h");
    let arguments = ["ctl", "headers", "--direction", "from-core", "--source", "2001:db8::1"];
    let (code, out, _) = ask(&arguments, RULES, &ghost);
    assert_eq!(code, Some(2));
    assert_eq!(out, "rule no-ghosts (header_rules[1]) matches\n  reject: answered 403 Boo\n");
    let (code, _, errors) = ask(&["ctl", "headers", "--direction=from-core"], RULES, "nonsense");
    assert_eq!((code, errors.as_str()), (Some(1), "not a message: malformed start line at byte 8\n"));
    let bad = RULES.replace("header = 'X-Gone'", "header = 'Via'");
    let (code, _, errors) =
        ask(&["ctl", "headers", "--direction", "from-access", "--source", "::1"], &bad, "");
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("gatehouse.toml:8:33: no rule may change Via (messages are routed by it"),
        "{errors}"
    );
}

const PLACES: &str = "
[[realm.access.sip]]
bind = '127.0.0.1:5060'
transport = 'udp'
name = 'berlin'
[number_plan]
area_code = '10'
[[number_plan.places]]
access_points = ['berlin']
plan = 'germany'
area_code = '30'
";

#[test]
fn number_shows_each_rule() {
    let (code, out, _) = ask(&["ctl", "number", "28880001", "--user", "+8675528880002"], PLACES, "");
    assert_eq!(code, Some(0));
    assert_eq!(
        out,
        "read as bare digits: 28880001, as dialled\n\
         no place of its own: plan china, country code 86, area code 10\n\
         a local number: area code 755 of the caller's own number goes before it\n\
         => tel:+8675528880001\n"
    );
    let arguments = ["ctl", "number", "tel:0301234567", "--access-point", "berlin"];
    let (code, out, _) = ask(&arguments, PLACES, "");
    assert_eq!(code, Some(0));
    assert_eq!(
        out,
        "read as tel: 0301234567, as dialled\n\
         place of access point \"berlin\": plan germany, country code 49, area code 30\n\
         national_prefix \"0\": the area code follows\n\
         => tel:+49301234567\n"
    );
    let (_, out, _) = ask(&["ctl", "number", "sip:120@h;user=phone"], "", "");
    assert!(
        out.ends_with(
            "emergency \"120\": an emergency number, never completed\n=> sip:120@h;user=phone (as it came)\n"
        ),
        "{out}"
    );
    let (code, _, errors) = ask(&["ctl", "number", "1", "--access-point", "paris"], PLACES, "");
    assert_eq!((code, errors.as_str()), (Some(1), "no access point is named \"paris\"\n"));
}

const MESSAGE: &str = "MESSAGE tel:28880001 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nMax-Forwards: 70\n\
    From: <sip:a@h>;tag=1\nTo: <tel:28880001>\nCall-ID: c\nCSeq: 1 MESSAGE\nUser-Agent: Old/7\n\
    Content-Type: text/plain\n\nbody";

#[test]
fn explain_runs_the_edge_on_a_request() {
    let settings = format!("[number_plan]\narea_code = '10'\n{RULES}");
    let (code, out, errors) = ask(&["explain"], &settings, MESSAGE);
    assert_eq!(code, Some(0), "{out}{errors}");
    for line in [
        "parse: MESSAGE, 8 header fields, 4 bytes of body",
        "identify: registered as sip:a@h",
        "  => tel:+861028880001, before what the caller's own number tells",
        "route: to the core",
        "rule: phones matches",
        "  - MESSAGE tel:28880001 SIP/2.0",
        "  + MESSAGE tel:+861028880001 SIP/2.0",
        "  - Max-Forwards: 70",
        "  + Max-Forwards: 69",
        "  + P-Asserted-Identity: <sip:a@h>",
        "  + X-Agent: Old/7",
        "verdict: accepted",
    ] {
        assert!(out.lines().any(|l| l == line), "{line} in\n{out}");
    }
    let (code, out, _) = ask(&["explain", "--unregistered"], &settings, MESSAGE);
    assert_eq!(code, Some(2));
    assert!(out.contains("verdict: answered by the edge: SIP/2.0 403 Forbidden (Warning: 399 "), "{out}");
    let broken = MESSAGE.replace("Content-Type: text/plain", "Content-Type: image/png");
    let (code, out, _) = ask(&["explain", "--source", "192.0.2.9:5070"], &settings, &broken);
    assert_eq!(code, Some(2));
    assert!(out.contains("validate: unsupported Content-Type: Content-Type\n"), "{out}");
    assert!(out.contains("verdict: answered by the edge: SIP/2.0 400 Bad Request"), "{out}");
    let ghost = MESSAGE
        .replace("MESSAGE", "INVITE")
        .replace("sip:a@h", "sip:ghost@h")
        .replace("text/plain\n\nbody", "x/y\n\n");
    let (code, out, _) =
        ask(&["explain", "--source", "192.0.2.8:5070"], &settings, &ghost.replace("Content-Type: x/y\n", ""));
    assert_eq!(code, Some(2));
    assert!(out.ends_with("verdict: rejected by a header rule: 403 Boo\n"), "{out}");
    let to_ue = MESSAGE
        .replace("tel:28880001", "sip:b@h")
        .replace("Via: SIP/2.0/UDP 192.0.2.1", "Via: SIP/2.0/UDP 10.9.9.9");
    let (code, out, _) = ask(&["explain", "--direction", "from-core"], &settings, &to_ue);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("route: to the UE\n") && out.contains("  - Via: SIP/2.0/UDP 10.9.9.9"), "{out}");
}
