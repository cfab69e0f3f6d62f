//! Certificates, lenient paths and a relay of ours before a UE.

use super::*;
use crate::command::Matching;
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
