//! R18: the security agreement between UE and edge, with the figures of section 9.1.

use crate::compare::assert_message;
use crate::world::{EDGE_CORE, Sent, World, config, header, response, vector_text};
use wire::{Cause, Realm, StreamId, Transport};

const UE: &str = "[5555::aaa:bbb:ccc:ddd]:1357";

/// Sends reg-13 over a TLS flow and challenges it; the Security-Server that came back.
fn challenged(world: &mut World, first: &str) -> (StreamId, Sent) {
    let stream = world.open(Realm::Access, Transport::Tls, UE);
    world.bytes(stream, first.as_bytes());
    let request = world.one();
    for gone in ["Security-Client", "Require", "Proxy-Require"] {
        assert_eq!(request.header(gone), None, "{gone}");
    }
    assert!(request.header("Contact").unwrap().contains(&format!("<sip:{EDGE_CORE};comp=sigcomp;gw=")), "R2");
    assert_eq!(request.header("P-Access-Network-Info"), header(first, "P-Access-Network-Info"), "R15");
    let challenge = header(&vector_text("reg-14-secagree-401.sip"), "WWW-Authenticate").unwrap();
    let lines = format!(
        "WWW-Authenticate: {challenge}, ck=\"00\", ik=\"11\"\r\nSecurity-Server: tls-3gpp;spi-c=1\r\n"
    );
    let text = String::from_utf8(response(&request, "401 Unauthorized", &lines)).unwrap();
    world.core(text.replace("tag=far1", "tag=5ef4").as_bytes());
    (stream, world.one())
}

/// reg-15 with what the UE verifies.
fn second(verify: Option<&str>) -> String {
    let text = vector_text("reg-15-secagree-register2.sip");
    let printed = format!("Security-Verify: {}\r\n", header(&text, "Security-Verify").unwrap());
    text.replace(&printed, &verify.map_or(String::new(), |v| format!("Security-Verify: {v}\r\n")))
}

/// Vectors reg-13 to reg-16; and the re-registration, which verifies what was agreed and offers anew.
#[test]
fn the_figures_agree() {
    let mut world = World::new();
    let (stream, challenge) = challenged(&mut world, &vector_text("reg-13-secagree-register.sip"));
    assert_message(&challenge.text(), &vector_text("reg-14-secagree-401.sip"), &["Security-Server", "CSeq"]);
    let server = challenge.header("Security-Server").unwrap();
    let (head, tail) = server.split_once("spi-c=").unwrap();
    assert_eq!(head, "tls-3gpp;q=0.1;alg=hmac-sha-256-96;");
    assert!(tail.contains(";spi-s=") && tail.ends_with(";port-c=5061;port-s=5061"), "{server}");
    assert_eq!(challenge.text().matches("Security-Server").count(), 1);

    // Blanks and order of parameters are not the agreement.
    let verify =
        server.replace(';', "; ").replace("; q=0.1; alg=hmac-sha-256-96", "; alg=HMAC-SHA-256-96; q=0.1");
    world.bytes(stream, second(Some(&verify)).as_bytes());
    let request = world.one();
    for gone in ["Security-Client", "Security-Verify", "Require", "Proxy-Require"] {
        assert_eq!(request.header(gone), None, "{gone}");
    }
    assert!(request.header("Authorization").unwrap().ends_with("integrity-protected=\"yes\""), "R16");
    let text = vector_text("reg-16-secagree-200.sip");
    let top = header(&text, "Via").unwrap();
    let top = top.split(',').next().unwrap();
    world.core(text.replacen(top, &request.header("Via").unwrap(), 1).as_bytes());
    let answer = world.one();
    assert_eq!(answer.text().matches("Via:").count(), 1, "R23");
    // 9-5 lists the Contact as the UE wrote it.
    assert_eq!(answer.header("Contact"), header(&text, "Contact"));
    assert_eq!(answer.header("Service-Route"), header(&text, "Service-Route"));
    assert_eq!((answer.header("Path"), answer.header("Security-Server")), (None, None));
    assert_eq!(world.edge.counters().registrations, 1);

    let again = second(Some(&verify))
        .replace("23456789", "33333333")
        .replace("CSeq: 2", "CSeq: 3")
        .replace("knashds7", "knashds8");
    world.bytes(stream, again.as_bytes());
    let request = world.one();
    assert!(request.text().starts_with("REGISTER "));
    world.core(&response(
        &request,
        "401 Unauthorized",
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n",
    ));
    let fresh = world.one().header("Security-Server").unwrap();
    assert_ne!(fresh, server, "another Security-Client, other SPIs");
}

#[test]
fn what_was_not_agreed_is_refused_with_494() {
    let first = vector_text("reg-13-secagree-register.sip");
    let spoil = |text: &str| second(Some(text));
    /// What the UE sends after it was offered this.
    type Second = fn(&str) -> String;
    let cases: [(&str, Second); 6] = [
        ("verifies something else", |_| vector_text("reg-15-secagree-register2.sip")),
        ("verifies nothing", |_| second(None)),
        ("verifies more", |server| second(Some(&format!("{server}, digest;q=0.2")))),
        ("a changed Security-Client", |server| {
            second(Some(server)).replace("spi-c=23456789", "spi-c=23456780")
        }),
        ("no Security-Client", |server| {
            let text = second(Some(server));
            let line = format!("Security-Client: {}\r\n", header(&text, "Security-Client").unwrap());
            text.replace(&line, "")
        }),
        ("a weaker q", |server| second(Some(&server.replace("q=0.1", "q=0.9")))),
    ];
    for (name, make) in cases {
        let mut world = World::new();
        let (stream, challenge) = challenged(&mut world, &first);
        let server = challenge.header("Security-Server").unwrap();
        world.bytes(stream, make(&server).as_bytes());
        let refused = world.one();
        assert!(
            refused.text().starts_with("SIP/2.0 494 Security Agreement Required\r\n"),
            "{name}: {}",
            refused.text()
        );
        assert!(refused.header("Security-Server").unwrap().starts_with("tls-3gpp;q=0.1;"), "{name}");
        assert_eq!(world.edge.counters().rejects(Realm::Access, Cause::SecurityAgreement), 1, "{name}");
        // Put right, it passes.
        let right = spoil(&server).replace("knashds7", "knashds9");
        world.bytes(stream, right.as_bytes());
        assert!(world.one().text().starts_with("REGISTER "), "{name}");
    }
}

/// A UE that requires an agreement on what we do not know is told what we do; one that does not
/// require it is served, and so is everybody where the operator wants no agreement.
#[test]
fn agreement_is_for_those_who_want_it() {
    let ipsec = vector_text("reg-13-secagree-register.sip").replace("tls-3gpp", "ipsec-3gpp");
    let optional = ipsec.replace("Require: sec-agree\r\nProxy-Require: sec-agree\r\n", "");
    let none = vector_text("reg-15-secagree-register2.sip");
    let quirk = vector_text("quirks/q19-unquoted-nonce-expression.sip");
    for (text, on, passes) in [
        (&ipsec, true, false),
        (&ipsec, false, true),
        (&optional, true, true),
        (&none, false, true),
        (&quirk, false, true),
    ] {
        let mut config = config();
        config.registrar.security_agreement = on;
        let mut world = World::with(config);
        let stream = world.open(Realm::Access, Transport::Tls, UE);
        world.bytes(stream, text.as_bytes());
        let sent = world.one();
        assert_eq!(sent.text().starts_with("REGISTER "), passes, "{}", sent.text());
        assert!(!passes || !sent.text().contains("Security-"), "{}", sent.text());
        if passes {
            world.core(&response(
                &sent,
                "401 Unauthorized",
                "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n",
            ));
            assert_eq!(world.one().header("Security-Server"), None);
        } else {
            assert!(sent.text().starts_with("SIP/2.0 494 "));
        }
    }
}

/// The second REGISTER may come over another connection, and so at another shard of the node.
#[test]
fn another_shard_verifies_what_the_first_said() {
    let mut world = World::new();
    let (_, challenge) = challenged(&mut world, &vector_text("reg-13-secagree-register.sip"));
    let server = challenge.header("Security-Server").unwrap();
    let mut other = World::shard(config(), 1);
    let stream = other.open(Realm::Access, Transport::Tls, UE);
    other.bytes(stream, second(Some(&server)).as_bytes());
    assert!(other.one().text().starts_with("REGISTER "));
}
