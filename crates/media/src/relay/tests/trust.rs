//! Certificates, lenient paths, a relay of ours before a UE, and what may be sent.

use super::*;
use crate::command::{ContentRules, Matching};
use std::sync::Arc;
use wire::{CertificateDigests, Fingerprint, HashFunction};

fn fingerprint(hash: HashFunction, octet: u8) -> Fingerprint {
    Fingerprint::new(hash, &vec![octet; hash.digest_len()]).unwrap()
}

fn certificate(octet: u8) -> CertificateDigests {
    CertificateDigests::new(|hash| Some(fingerprint(hash, octet))).unwrap()
}

/// The usual session, secured on both sides; each peer announced its certificate.
fn secured() -> MsrpSession {
    let mut session = usual();
    for (side, octet) in [(&mut session.access, 1), (&mut session.core, 2)] {
        side.local_path = path(&core::str::from_utf8(&side.local_path).unwrap().replace("msrp:", "msrps:"));
        side.fingerprints = vec![fingerprint(HashFunction::Sha256, octet)];
    }
    session.core.opening = Opening::Dial { transport: Transport::Tls, peer: CORE.parse().unwrap() };
    session
}

fn open_tls(shell: &mut Shell, conn: u32, shown: Option<u8>, dialled_for: Option<MediaId>) -> StreamId {
    let conn = StreamId { slot: conn, generation: 0 };
    let (realm, peer) = if dialled_for.is_some() { (Realm::Core, CORE) } else { (Realm::Access, UE) };
    shell.opened.push(conn);
    let shown = shown.map(certificate);
    shell.event(Event::Opened {
        conn,
        realm,
        transport: Transport::Tls,
        local: "192.0.2.1:2855".parse().unwrap(),
        peer: peer.parse().unwrap(),
        dialled_for,
        certificate: shown.as_ref(),
    });
    conn
}

fn secure_bind() -> String {
    from_ue("bind", "Message-ID: m0\r\n").replace(TO_UE, &TO_UE.replace("msrp:", "msrps:"))
}

/// RFC 8122 §5: the session is bound by who shows the announced certificate, and by nobody else.
#[test]
fn only_the_announced_certificate_binds_a_session() {
    let mut shell = Shell::new();
    shell.session(secured());
    let core = open_tls(&mut shell, 2, Some(2), Some(ID));
    // A stranger behind the same NAT, with another certificate, with none, and without TLS at all.
    for (n, shown) in [(11, Some(9)), (12, None)] {
        let stranger = open_tls(&mut shell, n, shown, None);
        shell.bytes(stranger, secure_bind());
        let answer = shell.take(stranger);
        assert!(answer.starts_with("MSRP bind 403 "), "{answer}");
        assert_eq!(shell.closed.pop(), Some(stranger));
    }
    let plain = shell.open(13, Realm::Access, UE);
    shell.bytes(plain, secure_bind());
    assert!(shell.take(plain).starts_with("MSRP bind 403 "));
    assert_eq!(shell.causes(), [("msrp_bad_certificate", 3)]);
    assert_eq!(shell.take(core), "", "nothing of theirs went on");
    let ue = open_tls(&mut shell, 1, Some(1), None);
    shell.bytes(ue, secure_bind());
    assert!(shell.take(core).starts_with("MSRP bind SEND"));
    assert!(shell.notices.contains(&MediaNotice::Bound { id: ID, realm: Realm::Access }));
}

/// RFC 4975 §14.4: a core that we dial shows what its SDP announced, or the session ends.
#[test]
fn a_core_with_another_certificate_ends_the_session() {
    for (shown, ends) in [(Some(2), false), (Some(9), true), (None, true)] {
        let mut shell = Shell::new();
        shell.session(secured());
        let core = open_tls(&mut shell, 2, shown, Some(ID));
        let ended = shell
            .notices
            .iter()
            .any(|n| matches!(n, MediaNotice::Ended { cause: Cause::MsrpBadCertificate, .. }));
        assert_eq!(ended, ends, "{shown:?}");
        assert_eq!(shell.closed.contains(&core), ends);
        assert_eq!(shell.relay.session_count(), usize::from(!ends));
    }
}

#[test]
fn an_announced_certificate_is_checked_by_us_and_not_by_an_authority() {
    let dial = |session: MsrpSession| {
        let mut relay = MsrpRelay::new(Limits::default());
        let mut out = Outbox::default();
        relay.handle(Event::Command(MediaCommand::Msrp(Box::new(session))), Instant::ZERO, &mut out);
        out.actions.iter().find_map(|a| match a {
            Action::Dial { trust, .. } => Some(*trust),
            _ => None,
        })
    };
    assert_eq!(dial(secured()), Some(Trust::Fingerprint));
    assert_eq!(dial(usual()), Some(Trust::Authority));
}

/// RFC 6714 §4 and sessmatch: behind a middlebox the authority of From-Path is not what was signalled.
#[test]
fn a_path_is_matched_by_session_id_where_that_is_agreed() {
    let elsewhere = "msrp://192.168.1.4:5555/ue1;tcp";
    for (matching, found) in [(Matching::Uri, false), (Matching::SessionId, true)] {
        let mut session = usual();
        session.access.matching = matching;
        let mut shell = Shell::new();
        shell.session(session);
        let core = shell.opened(2, Realm::Core, CORE, Some(ID));
        let ue = shell.open(1, Realm::Access, UE);
        // To-Path may name any authority of ours: only its session-id counts.
        let to = TO_UE.replace("192.0.2.1:2855", "edge.example.net:2855");
        shell.bytes(ue, message("m1cr", "SEND", &to, elsewhere, "Message-ID: m0\r\n"));
        assert_eq!(shell.take(core) == escaped(&to_core("m1cr", "Message-ID: m0\r\n")), found);
        assert_eq!(shell.closed.contains(&ue), !found);
        // The session-id of the peer still has to be right.
        let other = shell.open(3, Realm::Access, UE);
        let wrong = elsewhere.replace("ue1", "ue2");
        shell.bytes(other, message("m2cr", "SEND", TO_UE, &wrong, "Message-ID: m0\r\n"));
        assert!(shell.take(other).starts_with("MSRP m2cr 481 "));
    }
}

#[test]
fn sessions_matched_by_session_id_do_not_collide_and_leave_nothing_behind() {
    let mut shell = Shell::new();
    for n in 1..=3 {
        let mut session = numbered(n);
        session.access.matching = Matching::SessionId;
        shell.session(session);
    }
    assert_eq!(shell.relay.session_count(), 3);
    let mut twin = numbered(1);
    twin.id.slot = 9;
    twin.access.matching = Matching::SessionId;
    shell.session(twin);
    assert_eq!(shell.causes(), [("msrp_session_collision", 1)]);
    for n in 1..=3 {
        shell.end(MediaId { slot: n, generation: 0 });
    }
    assert_eq!(shell.relay.session_count(), 0);
    shell.session(usual());
    assert_eq!(shell.causes(), [("msrp_session_collision", 1)], "the paths are free again");
}

/// RFC 4976 §5.2: the UE writes our relay URI first, and hears from it; the core knows nothing of it.
#[test]
fn a_relay_of_ours_before_the_ue_is_a_hop_of_the_same_session() {
    const HOP: &str = "msrp://192.0.2.1:2855/granted;tcp";
    let mut session = usual();
    session.access.relay_uri = Some(path(HOP));
    let mut shell = Shell::new();
    shell.session(session);
    let core = shell.opened(2, Realm::Core, CORE, Some(ID));
    let ue = shell.open(1, Realm::Access, UE);
    let through = format!("{HOP} {TO_UE}");
    shell.bytes(ue, message("h1op", "SEND", &through, UE_PATH, &with_body("hi")));
    assert_eq!(shell.take(core), escaped(&to_core("h1op", &with_body("hi"))));
    shell.bytes(core, message("h1op", "200 OK", TO_CORE, CORE_PATH, ""));
    assert_eq!(shell.take(ue), escaped(&message("h1op", "200 OK", UE_PATH, HOP, "")));
    // And back: From-Path shows both hops, the answer comes to the first.
    shell.bytes(core, message("h2op", "SEND", TO_CORE, CORE_PATH, &with_body("ho")));
    assert_eq!(shell.take(ue), escaped(&message("h2op", "SEND", UE_PATH, &through, &with_body("ho"))));
    shell.bytes(ue, message("h2op", "200 OK", HOP, UE_PATH, ""));
    assert_eq!(shell.take(core), escaped(&message("h2op", "200 OK", CORE_PATH, TO_CORE, "")));
    shell.end(ID);
    assert_eq!(shell.relay.session_count(), 0);
    shell.session(usual());
    assert_eq!(shell.causes(), []);
}

/// A policy for the UE: pictures and text of 100 bytes, no programs.
fn governed() -> MsrpSession {
    let rules = ContentRules {
        types: vec![b"text/plain"[..].into(), b"image/*"[..].into()],
        message_bytes_max: 100,
        suffixes_blocked: vec![b".exe"[..].into()],
    };
    MsrpSession { content: [Some(Arc::new(rules)), None], ..usual() }
}

#[test]
fn what_may_not_be_sent_is_answered_with_its_status_and_goes_nowhere() {
    let body = |head: &str, body: &str| format!("Message-ID: m1\r\n{head}\r\n\r\n{body}\r\n");
    let long = "x".repeat(101);
    let named = |name: &str| format!("Content-Disposition: attachment; {name}\r\nContent-Type: image/png");
    for (rest, status) in [
        (body("Content-Type: text/plain; charset=utf-8", "hi"), None),
        (body("Content-Type: IMAGE/png", "hi"), None),
        (body("Content-Type: video/mp4", "hi"), Some("415")),
        (body("Content-Type: text/plainer", "hi"), Some("415")),
        (body("X-No: type", "hi"), Some("415")),
        (body("Byte-Range: 1-2/101\r\nContent-Type: text/plain", "hi"), Some("413")),
        (body(&named("filename=\"a.png\""), "hi"), None),
        (body(&named("filename=\"setup.ExE\""), "hi"), Some("403")),
        (body(&named("filename = setup.exe"), "hi"), Some("403")),
        (body(&named("x=y; FileName*=utf-8''setup.exe. "), "hi"), Some("403")),
        ("Message-ID: m1\r\n".to_owned(), None), // an empty SEND has no content
    ] {
        let (mut shell, ue, core) = connected_with(Limits::default(), governed());
        shell.bytes(ue, from_ue("p0l1", &rest));
        let (answer, went) = (shell.take(ue), shell.take(core));
        match status {
            None => assert_eq!((answer.as_str(), went), ("", escaped(&to_core("p0l1", &rest))), "{rest}"),
            Some(status) => {
                assert!(answer.starts_with(&format!("MSRP p0l1 {status} ")), "{rest}: {answer}");
                assert_eq!(went, "");
            }
        }
        // The session goes on, and the core is not asked.
        shell.bytes(ue, from_ue("p0l2", &with_body("after")));
        assert_eq!(shell.take(core), escaped(&to_core("p0l2", &with_body("after"))));
        let back = body("Content-Type: video/mp4", &long);
        shell.bytes(core, message("p0l3", "SEND", TO_CORE, CORE_PATH, &back));
        assert_eq!(shell.take(ue), escaped(&message("p0l3", "SEND", UE_PATH, TO_UE, &back)));
    }
}

#[test]
fn a_size_that_was_not_announced_is_cut_where_it_is_reached() {
    let (mut shell, ue, core) = connected_with(Limits::default(), governed());
    shell.bytes(ue, from_ue("b1gb", &with_body(&"x".repeat(101))));
    let went = shell.take(core);
    assert!(went.ends_with(&escaped("\r\n-------b1gb#\r\n")), "{went}");
    assert!(shell.take(ue).starts_with("MSRP b1gb 413 "));
    assert_eq!(shell.causes(), [("body_too_long", 1)]);
    shell
        .bytes(ue, from_ue("n0pe", "Message-ID: m2\r\nFailure-Report: no\r\nContent-Type: a/b\r\n\r\nx\r\n"));
    assert_eq!(shell.take(ue), "", "who wants no answer gets none");
    assert_eq!(shell.causes(), [("body_too_long", 1), ("content_type_refused", 1)]);
}
