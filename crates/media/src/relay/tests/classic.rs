//! The relay that clients ask for, RFC 4976.

use super::*;
use crate::msrp_auth::Settings;
use crate::msrp_auth::tests::{REALM, TARGET, nonce_of, proof_of, users};
use wire::PrefixSet;

const UE_URI: &str = "msrps://ue.invalid:9/mine;tcp";
const PEER: &str = "msrp://198.51.100.9:7000/theirs;tcp";
const PEER_AT: &str = "198.51.100.9:7000";

fn limits() -> ClassicLimits {
    let next_hops = ["198.51.100.0/24".parse().unwrap()].into_iter().collect::<PrefixSet>();
    ClassicLimits {
        auth: Settings { realm: REALM.into(), expires_min: 60, expires_max: 3_600, nonces_max: 100 },
        addresses: [Some("192.0.2.1:2856".parse().unwrap()), Some("192.0.2.1:2855".parse().unwrap())],
        tls_only: true,
        grants_max: 4,
        grants_per_user_max: 2,
        next_hops,
        idle_max: Duration::from_secs(600),
        message_bytes_max: 10_000,
        seed: [7; 32],
    }
}

fn shell_with(classic: ClassicLimits) -> Shell {
    let mut shell = Shell::new();
    shell.relay = MsrpRelay::with_classic(Limits::default(), classic);
    shell.event(Event::Users(users()));
    shell
}

fn tls(shell: &mut Shell, conn: u32, peer: &str) -> StreamId {
    let conn = StreamId { slot: conn, generation: 0 };
    shell.opened.push(conn);
    shell.event(Event::Opened {
        conn,
        realm: Realm::Access,
        transport: Transport::Tls,
        local: "192.0.2.1:2856".parse().unwrap(),
        peer: peer.parse().unwrap(),
        dialled_for: None,
        certificate: None,
    });
    conn
}

fn auth(id: &str, from: &str, fields: &str) -> String {
    message(id, "AUTH", TARGET, from, fields)
}

/// What the relay answered: the status and a field.
fn answered(text: &str, field: &str) -> (String, String) {
    let status = text.split(' ').nth(2).unwrap_or_default().to_owned();
    let value = text.split(&format!("\\r\\n{field}: ")).nth(1).unwrap_or_default();
    (status, value.split("\\r\\n").next().unwrap_or_default().replace("\\\"", "\""))
}

/// Takes a UE through challenge and proof; its URI.
fn granted(shell: &mut Shell, ue: StreamId, from: &str, expires: &str) -> String {
    shell.bytes(ue, auth("auth1", from, ""));
    let (status, challenge) = answered(&shell.take(ue), "WWW-Authenticate");
    assert_eq!(status, "401");
    let proof = proof_of(&nonce_of(&challenge), 1);
    shell.bytes(ue, auth("auth2", from, &format!("{expires}{proof}")));
    let (status, path) = answered(&shell.take(ue), "Use-Path");
    assert_eq!(status, "200", "{path}");
    path
}

/// A UE with a grant, and its URI.
fn with_grant() -> (Shell, StreamId, String) {
    let mut shell = shell_with(limits());
    let ue = tls(&mut shell, 1, UE);
    let grant = granted(&mut shell, ue, UE_URI, "");
    (shell, ue, grant)
}

fn is_empty(shell: &Shell) -> bool {
    let classic = shell.relay.classic.as_ref().unwrap();
    shell.relay.session_count() == 0 && classic.is_empty()
}

#[test]
fn a_client_authenticates_and_is_told_its_path() {
    let (mut shell, ue, grant) = with_grant();
    assert!(grant.starts_with("msrps://192.0.2.1:2856/"), "{grant}");
    // RFC 4976 §5.1: a refresh on the same connection keeps the path.
    assert_eq!(granted(&mut shell, ue, UE_URI, "Expires: 600\r\n"), grant);
    // Out of bounds: told what is possible.
    shell.bytes(ue, auth("auth3", UE_URI, ""));
    let (_, challenge) = answered(&shell.take(ue), "WWW-Authenticate");
    let proof = proof_of(&nonce_of(&challenge), 1);
    shell.bytes(ue, auth("auth4", UE_URI, &format!("Expires: 10\r\n{proof}")));
    let answer = shell.take(ue);
    assert_eq!(answered(&answer, "Min-Expires"), ("423".to_owned(), "60".to_owned()), "{answer}");
    assert_eq!(answered(&answer, "Max-Expires").1, "3600");
    // A grant keeps its connection beyond the time that others have to bind a session.
    shell.pass(Duration::from_secs(599));
    assert!(shell.closed.is_empty());
    // Its time over, the connection goes and leaves nothing.
    shell.pass(Duration::from_secs(3_600));
    assert_eq!(shell.closed, [ue]);
    shell.event(Event::Closed { conn: ue });
    assert!(is_empty(&shell));
    assert_eq!(shell.notices, [], "the edge hears nothing of it");
}

#[test]
fn who_proves_nothing_gets_nothing() {
    let mut shell = shell_with(limits());
    let ue = tls(&mut shell, 1, UE);
    for n in 1..=5 {
        shell.bytes(ue, auth("auth1", UE_URI, "Authorization: Digest username=\"alice\"\r\n"));
        let answer = shell.take(ue);
        let (status, _) = answered(&answer, "WWW-Authenticate");
        assert_eq!(status, if n == 5 { "403" } else { "401" }, "{answer}");
        assert_eq!(answer.matches("MSRP auth1 ").count(), 1, "one answer to each");
        assert_eq!(shell.closed.contains(&ue), n == 5);
    }
    assert_eq!(shell.causes()[0].0, "msrp_auth_refused");
    // RFC 4976 §9.1: not over plain TCP; nor from the core; nor where it is not served.
    let plain = shell.open(2, Realm::Access, UE);
    shell.bytes(plain, auth("auth1", UE_URI, ""));
    assert_eq!(answered(&shell.take(plain), "x").0, "403");
    let core = shell.open(3, Realm::Core, CORE);
    shell.bytes(core, auth("auth1", UE_URI, ""));
    assert_eq!(answered(&shell.take(core), "x").0, "403");
    let mut none = Shell::new();
    let ue = none.open(1, Realm::Access, UE);
    none.bytes(ue, auth("auth1", UE_URI, ""));
    assert_eq!(answered(&none.take(ue), "x").0, "501");
}

#[test]
fn grants_are_counted_by_user_and_in_all() {
    let mut shell = shell_with(limits());
    let ue = tls(&mut shell, 1, UE);
    for n in 0..2 {
        let _ = granted(&mut shell, ue, &format!("msrps://ue.invalid:9/n{n};tcp"), "Expires: 60\r\n");
    }
    shell.bytes(ue, auth("auth1", UE_URI, ""));
    let (_, challenge) = answered(&shell.take(ue), "WWW-Authenticate");
    let third = auth("auth2", UE_URI, &proof_of(&nonce_of(&challenge), 1));
    shell.bytes(ue, &third);
    assert_eq!(answered(&shell.take(ue), "x").0, "403");
    // With the time of the first ones over there is room again.
    shell.pass(Duration::from_secs(59));
    let _ = granted(&mut shell, ue, "msrps://ue.invalid:9/n0;tcp", "Expires: 600\r\n");
    shell.pass(Duration::from_secs(2));
    let _ = granted(&mut shell, ue, UE_URI, "");
}

/// RFC 4976 §6.3: taken off To-Path, put before From-Path; nothing else changes.
#[test]
fn messages_pass_both_ways_with_our_uri_moved() {
    let (mut shell, ue, grant) = with_grant();
    let to = format!("{grant} {PEER} msrp://10.9.9.9:1/behind;tcp");
    shell.bytes(ue, message("o1ut", "SEND", &to, UE_URI, &with_body("out")));
    let (id, realm, at) = shell.dials.pop().unwrap();
    assert_eq!((realm, at), (Realm::Core, PEER_AT.parse().unwrap()));
    let peer = shell.opened(2, Realm::Core, PEER_AT, Some(id));
    let (onward, back) = (format!("{PEER} msrp://10.9.9.9:1/behind;tcp"), format!("{grant} {UE_URI}"));
    assert_eq!(shell.take(peer), escaped(&message("o1ut", "SEND", &onward, &back, &with_body("out"))));
    shell.bytes(peer, message("o1ut", "200 OK", &grant, PEER, ""));
    assert_eq!(shell.take(ue), escaped(&message("o1ut", "200 OK", UE_URI, &grant, "")));
    // Back over the same connection; the client answers our URI alone.
    shell.bytes(peer, message("b1ck", "SEND", &back, &onward, &with_body("back")));
    let from = format!("{grant} {onward}");
    assert_eq!(shell.take(ue), escaped(&message("b1ck", "SEND", UE_URI, &from, &with_body("back"))));
    shell.bytes(ue, message("b1ck", "200 OK", &grant, UE_URI, ""));
    assert_eq!(shell.take(peer), escaped(&message("b1ck", "200 OK", PEER, &grant, "")));
    // A REPORT goes along the whole path, and is never answered.
    shell.bytes(peer, message("r3pt", "REPORT", &back, &onward, "Message-ID: m1\r\nStatus: 000 200 OK\r\n"));
    assert!(shell.take(ue).starts_with("MSRP r3pt REPORT"));
    // Too much is 413 in our name.
    shell.bytes(ue, message("b1gb", "SEND", &to, UE_URI, &with_body(&"x".repeat(10_001))));
    let answer = shell.take(ue);
    assert!(
        answer.starts_with("MSRP b1gb 413 ") && answer.contains(&format!("From-Path: {grant}")),
        "{answer}"
    );
    assert_eq!(shell.notices, []);
}

#[test]
fn peers_come_by_themselves_and_each_gets_its_own_answers() {
    let (mut shell, ue, grant) = with_grant();
    let back = format!("{grant} {UE_URI}");
    let peers: Vec<StreamId> =
        (2..5).map(|n| shell.open(n, Realm::Core, &format!("198.51.100.{n}:7000"))).collect();
    let uri = |n: usize| format!("msrp://198.51.100.{n}:7000/p{n};tcp");
    for (n, peer) in peers.iter().enumerate() {
        shell.bytes(*peer, message(&format!("id0{n}"), "SEND", &back, &uri(n), "Message-ID: m\r\n"));
        assert!(shell.take(ue).contains(&format!("From-Path: {grant} {}", uri(n))));
    }
    for (n, peer) in peers.iter().enumerate().rev() {
        shell.bytes(ue, message(&format!("id0{n}"), "200 OK", &grant, UE_URI, ""));
        let expected = escaped(&message(&format!("id0{n}"), "200 OK", &uri(n), &grant, ""));
        assert_eq!(shell.take(*peer), expected);
    }
    // An answer to nothing goes nowhere.
    shell.bytes(ue, message("id00", "200 OK", &grant, UE_URI, ""));
    assert!(peers.iter().all(|peer| !shell.sent.contains_key(peer)));
    // And the client reaches each by the connection it made.
    shell.bytes(ue, message("t0p1", "SEND", &format!("{grant} {}", uri(1)), UE_URI, "Message-ID: m\r\n"));
    assert!(shell.take(peers[1]).starts_with("MSRP t0p1 SEND"));
    assert!(shell.dials.is_empty());
}

/// Relays that do not answer over the connection that we made, but open one of their own.
#[test]
fn a_peer_that_connects_by_itself_is_served_there() {
    let (mut shell, ue, grant) = with_grant();
    shell.bytes(ue, message("o1ut", "SEND", &format!("{grant} {PEER}"), UE_URI, &with_body("out")));
    let (id, ..) = shell.dials.pop().unwrap();
    let dialled = shell.opened(2, Realm::Core, PEER_AT, Some(id));
    shell.bytes(dialled, message("o1ut", "200 OK", &grant, PEER, ""));
    let own = shell.open(3, Realm::Core, "198.51.100.9:40000");
    let back = format!("{grant} {UE_URI}");
    shell.bytes(own, message("b1ck", "SEND", &back, PEER, &with_body("back")));
    assert!(shell.take(ue).contains("MSRP b1ck SEND"));
    assert_eq!(shell.closed, [dialled]);
    shell.bytes(ue, message("b1ck", "200 OK", &grant, UE_URI, ""));
    assert!(shell.take(own).starts_with("MSRP b1ck 200"));
    shell.bytes(ue, message("o2ut", "SEND", &format!("{grant} {PEER}"), UE_URI, &with_body("out")));
    assert!(shell.take(own).starts_with("MSRP o2ut SEND"));
}

#[test]
fn a_grant_serves_its_holder_and_nobody_else() {
    let (mut shell, ue, grant) = with_grant();
    let status = |shell: &mut Shell, conn: StreamId, to: &str, from: &str| {
        shell.bytes(conn, message("s0me", "SEND", to, from, "Message-ID: m\r\n"));
        answered(&shell.take(conn), "x").0
    };
    let other = tls(&mut shell, 2, "203.0.113.9:40001");
    assert_eq!(status(&mut shell, other, &format!("{grant} {PEER}"), UE_URI), "403");
    let core = shell.open(3, Realm::Core, CORE);
    assert_eq!(status(&mut shell, core, &format!("{grant} {PEER}"), CORE_PATH), "403", "no open relay");
    assert_eq!(status(&mut shell, core, &grant, CORE_PATH), "481", "the relay is nobody's end");
    assert_eq!(status(&mut shell, ue, &format!("{grant} {UE_URI}"), UE_URI), "403", "a loop");
    for far in ["msrp://192.0.2.200:1/x;tcp", "msrp://as.example.net:1/x;tcp"] {
        assert_eq!(status(&mut shell, ue, &format!("{grant} {far}"), UE_URI), "403", "{far}");
    }
    assert_eq!(status(&mut shell, ue, &format!("{grant} nonsense"), UE_URI), "400");
    assert_eq!(status(&mut shell, ue, &grant.replace("2856/", "2856/x"), UE_URI), "481");
    assert!(shell.dials.is_empty() && !shell.closed.contains(&ue));
    shell.pass(Duration::from_secs(3_599));
    let core = shell.open(4, Realm::Core, CORE);
    shell.pass(Duration::from_secs(2));
    assert_eq!(status(&mut shell, core, &format!("{grant} {UE_URI}"), CORE_PATH), "481", "its time is over");
}

/// RFC 4976 §5.1: a client behind us asks a relay further on; challenge and path come back to it.
#[test]
fn an_auth_for_another_relay_passes() {
    let (mut shell, ue, grant) = with_grant();
    shell.bytes(ue, message("4uth", "AUTH", &format!("{grant} {PEER}"), UE_URI, ""));
    let (id, ..) = shell.dials.pop().unwrap();
    let relay = shell.opened(2, Realm::Core, PEER_AT, Some(id));
    let back = format!("{grant} {UE_URI}");
    assert_eq!(shell.take(relay), escaped(&message("4uth", "AUTH", PEER, &back, "")));
    let fields = "WWW-Authenticate: Digest realm=\"there\", nonce=\"n\"\r\n";
    shell.bytes(relay, message("4uth", "401 Unauthorized", &back, PEER, fields));
    let from = format!("{grant} {PEER}");
    assert_eq!(
        shell.take(ue),
        escaped(&message("4uth", "401 Unauthorized", UE_URI, &from, fields)),
        "and the way it came"
    );
}

#[test]
fn connections_lost_at_any_step_leave_no_session_behind() {
    for step in 0..6 {
        let (mut shell, ue, grant) = with_grant();
        let to = format!("{grant} {PEER}");
        let steps = |shell: &mut Shell| -> Option<StreamId> {
            let part = message("o1ut", "SEND", &to, UE_URI, &with_body("out"));
            let (front, rest) = part.split_at(part.len() - 19);
            if step >= 1 {
                shell.bytes(ue, front);
            }
            let peer = (step >= 2).then(|| {
                let (id, ..) = shell.dials.pop().unwrap();
                shell.opened(2, Realm::Core, PEER_AT, Some(id))
            });
            if step >= 3 {
                shell.bytes(ue, rest);
            }
            if step >= 4 {
                shell.bytes(peer?, message("o1ut", "200 OK", &grant, PEER, ""));
            }
            if step >= 5 {
                let back = format!("{grant} {UE_URI}");
                shell.bytes(peer?, message("b1ck", "SEND", &back, PEER, &with_body("b")));
            }
            peer
        };
        let peer = steps(&mut shell);
        for gone in [Some(ue), peer].into_iter().flatten() {
            shell.event(Event::Closed { conn: gone });
        }
        if step == 1 {
            let (id, realm, _) = shell.dials.pop().unwrap();
            shell.event(Event::DialFailed { id, realm });
        }
        shell.pass(Duration::from_secs(700));
        assert!(is_empty(&shell), "step {step}: {:?}", shell.relay);
        assert_eq!(shell.relay.connection_count(), 0, "step {step}");
    }
}
