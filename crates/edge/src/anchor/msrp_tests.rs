//! MSRP media: certificates, who connects, middleboxes, relays and WebSockets.

use super::tests::{MSRP, UE, answer, id, offer, point, points, sdp, terms};
use super::*;
use core::net::SocketAddr;
use media::command::{Matching, Opening};
use wire::{Fingerprint, HashFunction};

fn fingerprint(hash: HashFunction, octet: u8) -> Fingerprint {
    Fingerprint::new(hash, &vec![octet; hash.digest_len()]).unwrap()
}

/// Listeners for TCP and TLS on both sides, with a certificate each.
fn secured() -> Vec<MsrpPoint> {
    let mut points = points("192.0.2.7:2855", "192.0.2.8:2955");
    for (realm, advertised, octet) in
        [(Realm::Access, "192.0.2.7:2856", 0xa1), (Realm::Core, "192.0.2.8:2956", 0xc1)]
    {
        points.push(MsrpPoint {
            fingerprint: Some(fingerprint(HashFunction::Sha256, octet)),
            ..point(realm, Transport::Tls, advertised)
        });
    }
    points
}

fn over_tls(attributes: &str) -> String {
    let media = MSRP.replace("TCP/MSRP", "TCP/TLS/MSRP").replace("msrp:", "msrps:");
    media.replace("a=setup:active\r\n", &format!("a=setup:active\r\n{attributes}"))
}

/// RFC 8122 §5: each side hears of the certificate it will see, and the relay of the one to expect.
#[test]
fn certificates_are_announced_and_expected_side_by_side() {
    let points = secured();
    let msrp = config::Msrp { core_transport: Transport::Tls, ..config::Msrp::default() };
    let terms = Terms { msrp: &msrp, ..terms(&points, Transport::Tls) };
    let (of_ue, of_core) = (fingerprint(HashFunction::Sha256, 0x11), fingerprint(HashFunction::Sha512, 0x22));
    let other = fingerprint(HashFunction::Sha256, 0x33);
    let by_ue = over_tls(&format!("a=fingerprint:{of_ue}\r\na=fingerprint:SHA-1 4A:AD\r\n"));
    let by_ue = sdp(&by_ue.replace("a=setup", &format!("a=fingerprint:{other}\r\na=setup")));
    let (offered, to_core) = offer(&by_ue, Realm::Access, &terms).unwrap();
    assert!(to_core.contains("m=message 2956 TCP/TLS/MSRP *"), "{to_core}");
    let shown = fingerprint(HashFunction::Sha256, 0xc1);
    assert!(
        to_core.contains(&format!("a=fingerprint:{shown}\r\na=path:msrps://192.0.2.8:2956/")),
        "{to_core}"
    );
    assert_eq!(to_core.matches("fingerprint").count(), 1, "{to_core}");

    let by_core = format!("a=fingerprint:{of_core}\r\n{}", over_tls("").replace("active", "passive"));
    let (answered, to_ue) = answer(&offered, &sdp(&by_core), &terms);
    let shown = fingerprint(HashFunction::Sha256, 0xa1);
    assert!(to_ue.contains(&format!("a=fingerprint:{shown}\r\na=path:msrps://192.0.2.7:2856/")), "{to_ue}");
    assert_eq!(to_ue.matches("fingerprint").count(), 1, "that of the session is gone too: {to_ue}");

    let sessions = offered.sessions(Some(&answered), &terms, id).unwrap();
    assert_eq!(sessions[0].access.fingerprints, [other, of_ue]);
    assert_eq!(sessions[0].core.fingerprints, [of_core]);
    assert!(matches!(sessions[0].core.opening, Opening::Dial { transport: Transport::Tls, .. }));
}

#[test]
fn each_side_is_secured_by_itself() {
    let points = secured();
    for (ue_secure, core_transport) in
        [(false, Transport::Tcp), (false, Transport::Tls), (true, Transport::Tcp), (true, Transport::Tls)]
    {
        let msrp = config::Msrp { core_transport, ..config::Msrp::default() };
        let terms = Terms { msrp: &msrp, ..terms(&points, Transport::Udp) };
        let of_ue = if ue_secure { over_tls("") } else { MSRP.to_owned() };
        let (offered, to_core) = offer(&sdp(&of_ue), Realm::Access, &terms).unwrap();
        let core_secure = core_transport == Transport::Tls;
        assert_eq!(to_core.contains("TCP/TLS/MSRP"), core_secure, "{to_core}");
        assert_eq!(to_core.contains("path:msrps:"), core_secure, "{to_core}");
        let by_core = if core_secure { over_tls("") } else { MSRP.to_owned() };
        let (answered, to_ue) = answer(&offered, &sdp(&by_core), &terms);
        assert_eq!(to_ue.contains("TCP/TLS/MSRP"), ue_secure, "{to_ue}");
        assert_eq!(to_ue.contains("path:msrps:"), ue_secure, "{to_ue}");
        let session = &offered.sessions(Some(&answered), &terms, id).unwrap()[0];
        assert_eq!(session.access.local_path.starts_with(b"msrps:"), ue_secure);
        assert_eq!(session.core.local_path.starts_with(b"msrps:"), core_secure);
    }
}

#[test]
fn a_fingerprint_that_proves_nothing_is_none_and_one_may_be_required() {
    let points = secured();
    let strict = config::Msrp { require_fingerprint: true, ..config::Msrp::default() };
    let good = format!("a=fingerprint:{}\r\n", fingerprint(HashFunction::Sha256, 9));
    for (attributes, lax, required) in [
        (good.as_str(), Ok(1), Ok(1)),
        ("a=fingerprint:SHA-1 4A:AD:B9\r\n", Ok(0), Err(Cause::NotAcceptableMedia)),
        ("", Ok(0), Err(Cause::NotAcceptableMedia)),
        ("a=fingerprint:sha-256 00\r\n", Err(Cause::BadSdp), Err(Cause::BadSdp)),
    ] {
        let terms = terms(&points, Transport::Tls);
        for (terms, expected) in [(terms, lax), (Terms { msrp: &strict, ..terms }, required)] {
            let got = offer(&sdp(&over_tls(attributes)), Realm::Access, &terms)
                .map(|(o, _)| o.sessions(None, &terms, id).unwrap()[0].access.fingerprints.len());
            assert_eq!(got, expected, "{attributes}");
        }
        assert!(
            offer(&sdp(MSRP), Realm::Access, &Terms { msrp: &strict, ..terms }).is_ok(),
            "plain is plain"
        );
    }
}

/// RFC 6135 §4 and R67: a UE that waits for us is connected to where that can work.
#[test]
fn a_passive_ue_is_dialled_where_it_can_be_reached() {
    let points = points("192.0.2.7:2855", "192.0.2.8:2955");
    let terms = terms(&points, Transport::Udp);
    let reachable = MSRP.replace("10.0.0.1", "50.51.120.82");
    let peer = SocketAddr::new(UE, 9);
    for (media, setup, answered_with, dials) in [
        (&reachable, "passive", "a=setup:active", true),
        (&reachable, "active", "a=setup:passive", false),
        (&reachable, "actpass", "a=setup:passive", false),
        (&MSRP.to_owned(), "passive", "a=setup:passive", false),
    ] {
        let of_ue = sdp(&media.replace("active", setup));
        let (offered, _) = offer(&of_ue, Realm::Access, &terms).unwrap();
        let (answered, to_ue) = answer(&offered, &sdp(&MSRP.replace("active", "passive")), &terms);
        assert!(to_ue.contains(answered_with), "{setup}: {to_ue}");
        let session = &offered.sessions(Some(&answered), &terms, id).unwrap()[0];
        let expected = Opening::Dial { transport: Transport::Tcp, peer };
        assert_eq!(session.access.opening == expected, dials, "{setup}");
        // The same in an answer, where it may choose (RFC 6135 §4.2).
        let (offered, to_ue) = offer(&sdp(MSRP), Realm::Core, &terms).unwrap();
        assert!(to_ue.contains("a=setup:actpass"));
        let (answered, _) = answer(&offered, &of_ue, &terms);
        let session = &offered.sessions(Some(&answered), &terms, id).unwrap()[0];
        assert_eq!(session.access.opening == expected, dials, "{setup} in an answer");
    }
}

/// RFC 6714 §4.2: with `a=msrp-cema` the connection line says where, without it the path does.
#[test]
fn cema_decides_whether_path_or_connection_line_is_dialled() {
    let points = points("192.0.2.7:2855", "192.0.2.8:2955");
    let terms = terms(&points, Transport::Udp);
    // A middlebox in the core changed c= and m=, and not the path.
    let moved = MSRP.replace("m=message 9", "m=message 7777").replace("active", "passive");
    let moved = sdp(&moved).escape_ascii().to_string();
    let moved = moved.replace("c=IN IP4 10.0.0.1", "c=IN IP4 198.51.100.7").replace("\\r\\n", "\r\n");
    let relayed = moved.replace(";tcp", ";tcp msrp://10.0.0.2:7/y;tcp");
    let matching = moved.replace("198.51.100.7", "10.0.0.1").replace("7777", "9");
    let cema = "a=msrp-cema\r\n";
    for (body, cema, peer, by) in [
        (&moved, "", "10.0.0.1:9", Matching::Uri),
        (&moved, cema, "198.51.100.7:7777", Matching::SessionId),
        (&relayed, cema, "10.0.0.1:9", Matching::SessionId),
        (&matching, cema, "10.0.0.1:9", Matching::SessionId),
        (&matching, "", "10.0.0.1:9", Matching::Uri),
    ] {
        let body = format!("{body}{cema}");
        let (offered, to_ue) = offer(body.as_bytes(), Realm::Core, &terms).unwrap();
        // c=, m= and path agree in what we write, so no peer has to fall back (RFC 6714 §4.3).
        assert!(to_ue.contains("c=IN IP4 192.0.2.7\r\n") && to_ue.contains("m=message 2855 "), "{to_ue}");
        assert!(to_ue.contains("a=path:msrp://192.0.2.7:2855/x;tcp"), "{to_ue}");
        assert_eq!(to_ue.contains("a=msrp-cema"), !cema.is_empty(), "it passes: {to_ue}");
        let core = &offered.sessions(None, &terms, id).unwrap()[0].core;
        assert_eq!(core.opening, Opening::Dial { transport: Transport::Tcp, peer: peer.parse().unwrap() });
        assert_eq!(core.matching, by, "{body}");
    }
}

#[test]
fn sessmatch_is_an_option_of_each_side() {
    let points = points("192.0.2.7:2855", "192.0.2.8:2955");
    for (access, core) in [(false, false), (true, false), (false, true)] {
        let msrp = config::Msrp { sessmatch_access: access, sessmatch_core: core, ..config::Msrp::default() };
        let terms = Terms { msrp: &msrp, ..terms(&points, Transport::Udp) };
        let (offered, _) = offer(&sdp(MSRP), Realm::Access, &terms).unwrap();
        let (answered, _) = answer(&offered, &sdp(MSRP), &terms);
        let session = &offered.sessions(Some(&answered), &terms, id).unwrap()[0];
        assert_eq!(session.access.matching == Matching::SessionId, access);
        assert_eq!(session.core.matching == Matching::SessionId, core);
    }
}

/// RFC 4976 §5: a UE that authenticated here puts our URI before its own. It is a hop that SIP already
/// made, so the core does not hear of it.
#[test]
fn our_own_hop_before_a_ue_is_taken_out() {
    let points = points("192.0.2.7:2855", "192.0.2.8:2955");
    let terms = terms(&points, Transport::Udp);
    for ours in ["192.0.2.7:2855", "192.0.2.8:2955"] {
        let hop = format!("msrp://{ours}/granted;tcp");
        let of_ue = sdp(&MSRP.replace("a=path:", &format!("a=path:{hop}  ")));
        let (offered, to_core) = offer(&of_ue, Realm::Access, &terms).unwrap();
        assert!(to_core.contains("a=path:msrp://192.0.2.8:2955/x;tcp\r\n"), "{to_core}");
        let access = &offered.sessions(None, &terms, id).unwrap()[0].access;
        assert_eq!(access.relay_uri.as_deref(), Some(hop.as_bytes()));
        assert_eq!(access.remote_path.as_deref(), Some(&b"msrp://10.0.0.1:9/x;tcp"[..]));
    }
    // Another relay's stays, and so does ours where the core says it: that would be a loop of its making.
    let foreign = sdp(&MSRP.replace("a=path:", "a=path:msrp://203.0.113.5:1/r;tcp "));
    let (offered, _) = offer(&foreign, Realm::Access, &terms).unwrap();
    assert_eq!(offered.sessions(None, &terms, id).unwrap()[0].access.relay_uri, None);
}

/// RFC 7977: a UE whose own URI says `ws` is told of our WebSocket listener, and the core of TCP.
#[test]
fn a_ue_behind_a_websocket_is_told_one() {
    let mut points = secured();
    let in_browser = sdp(&over_tls("").replace(";tcp", ";ws"));
    let refused = offer(&in_browser, Realm::Access, &terms(&points, Transport::Tls)).err();
    assert_eq!(refused, Some(Cause::NotAcceptableMedia), "we serve none");
    points.push(MsrpPoint { websocket: true, ..point(Realm::Access, Transport::Tls, "192.0.2.7:8443") });
    let terms = terms(&points, Transport::Tls);
    let (offered, to_core) = offer(&in_browser, Realm::Access, &terms).unwrap();
    assert!(to_core.contains("a=path:msrp://192.0.2.8:2955/x;tcp"), "{to_core}");
    assert_eq!(offered.access_link(), Some(Link { transport: Transport::Tls, websocket: true }));
    let (answered, to_ue) = answer(&offered, &sdp(MSRP), &terms);
    assert!(to_ue.contains("m=message 8443 TCP/TLS/MSRP *"), "{to_ue}");
    assert!(to_ue.contains("a=path:msrps://192.0.2.7:8443/x;ws"), "{to_ue}");
    let session = &offered.sessions(Some(&answered), &terms, id).unwrap()[0];
    assert_eq!(session.access.local_path, "msrps://192.0.2.7:8443/x;ws");
    assert_eq!(session.core.local_path, "msrp://192.0.2.8:2955/x;tcp");
    // Others are not sent there.
    let (_, to_ue) = offer(&sdp(MSRP), Realm::Core, &terms).unwrap();
    assert!(to_ue.contains("m=message 2856 "), "{to_ue}");
}

/// RFC 5547 and R50: what describes a file passes as it is.
#[test]
fn what_describes_a_file_passes_byte_for_byte() {
    let points = points("192.0.2.7:2855", "192.0.2.8:2955");
    let terms = terms(&points, Transport::Udp);
    let file = "a=sendonly\r\na=accept-types:message/cpim\r\na=accept-wrapped-types:*\r\na=max-size:1000\r\n\
a=file-selector:name:\"My cool picture.jpg\" type:image/jpeg size:4092 hash:sha-1:72:24:5F:E8\r\n\
a=file-transfer-id:Q6LMoGymJdh0IKIgD6wD0jkcfgva4xvE\r\na=file-disposition:render\r\n\
a=file-date:creation:\"Mon, 15 May 2006 15:01:31 +0300\"\r\na=file-icon:cid:id2@alicepc.example.com\r\n\
a=file-range:1-4092\r\n";
    for by in [Realm::Access, Realm::Core] {
        let (_, out) = offer(&sdp(&format!("{MSRP}{file}")), by, &terms).unwrap();
        assert!(out.contains(file), "{out}");
    }
}
