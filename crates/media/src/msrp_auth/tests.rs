use super::*;
use core::time::Duration;
use msrp::{Event, Reader, Scan};

pub(crate) const REALM: &str = "relay.example.net";
pub(crate) const TARGET: &str = "msrps://relay.example.net:2855;tcp";

fn secret(user: &str, password: &str, algorithm: Algorithm) -> String {
    let text = format!("{user}:{REALM}:{password}");
    let hex = |digest: &[u8]| digest.iter().map(|o| format!("{o:02x}")).collect::<String>();
    match algorithm {
        Algorithm::Md5 => hex(&md5::Md5::digest(text.as_bytes())),
        Algorithm::Sha256 => hex(&Sha256::digest(text.as_bytes())),
    }
}

fn authenticator(nonces_max: usize) -> Authenticator {
    let realm = REALM.into();
    let settings = Settings { realm, expires_min: 60, expires_max: 3_600, nonces_max };
    let mut authenticator = Authenticator::new(settings, &mut Random::from_u64(7));
    let file = format!("alice:{REALM}:{}\n", secret("alice", "wonder", Algorithm::Md5));
    authenticator.set_users(Arc::new(Users::read(&file, REALM).unwrap()));
    authenticator
}

/// Alice alone.
pub(crate) fn users() -> Arc<Users> {
    let file = format!("alice:{REALM}:{}\n", secret("alice", "wonder", Algorithm::Md5));
    Arc::new(Users::read(&file, REALM).unwrap())
}

/// The nonce of a challenge.
pub(crate) fn nonce_of(challenge: &str) -> String {
    challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// The header field by which Alice answers it.
pub(crate) fn proof_of(nonce: &str, count: u32) -> String {
    proof("wonder", nonce, count, "")
}

/// Judges an AUTH with these fields.
fn judge(authenticator: &mut Authenticator, fields: &str, now: u64) -> Verdict {
    let text = format!(
        "MSRP a1b2 AUTH\r\nTo-Path: {TARGET}\r\nFrom-Path: msrps://ue.invalid:9/x;tcp\r\n{fields}-------a1b2$\r\n"
    );
    let mut reader = Reader::new(Scan::Every, 4_096);
    let mut at = 0;
    let now = Instant::ZERO + Duration::from_secs(now);
    match reader.next(text.as_bytes(), &mut at) {
        Event::Head(head) => authenticator.judge(&head, now),
        other => panic!("{other:?}"),
    }
}

fn nonce(verdict: &Verdict) -> String {
    let (Verdict::Challenge(value) | Verdict::Wrong(value)) = verdict else { panic!("{verdict:?}") };
    let text = core::str::from_utf8(value).unwrap();
    text.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

fn proof(password: &str, nonce: &str, count: u32, more: &str) -> String {
    proof_by(Algorithm::Md5, "alice", password, nonce, count, more)
}

fn proof_by(algorithm: Algorithm, user: &str, password: &str, nonce: &str, count: u32, more: &str) -> String {
    let front = format!(
        "Digest username=\"{user}\", realm=\"{REALM}\", nonce=\"{nonce}\", qop=auth, nc={count:08x}, \
         cnonce=\"0a4f113b\", algorithm={}{more}",
        algorithm.name()
    );
    let params = Params::read(front.as_bytes()).unwrap();
    let digits = secret(user, password, algorithm);
    let response = digest::response(algorithm, digits.as_bytes(), &params, TARGET.as_bytes());
    format!("Authorization: {front}, response=\"{}\"\r\n", String::from_utf8(response).unwrap())
}

#[test]
fn a_client_is_challenged_and_proves_itself() {
    let mut a = authenticator(10);
    let challenge = judge(&mut a, "", 1);
    let Verdict::Challenge(value) = &challenge else { panic!("{challenge:?}") };
    let text = core::str::from_utf8(value).unwrap();
    assert!(text.starts_with("Digest realm=\"relay.example.net\", nonce=\""), "{text}");
    assert!(text.ends_with("\", qop=\"auth\", algorithm=MD5"), "{text}");
    let first = nonce(&challenge);
    let granted = Verdict::Granted { user: b"alice"[..].into(), expires: 3_600 };
    assert_eq!(judge(&mut a, &proof("wonder", &first, 1, ""), 2), granted);
    // A refresh with the same nonce counts on; RFC 4976 §5.1: the time that is asked for, within bounds.
    let again = format!("Expires: 600\r\n{}", proof("wonder", &first, 2, ""));
    assert_eq!(judge(&mut a, &again, 3), Verdict::Granted { user: b"alice"[..].into(), expires: 600 });
    for expires in ["59", "3601", "soon", "99999999999"] {
        let out = format!("Expires: {expires}\r\n{}", proof("wonder", &first, 10, ""));
        let fresh = judge(&mut a, "", 3);
        let out = out.replace(&first, &nonce(&fresh));
        assert!(!matches!(judge(&mut a, &out, 3), Verdict::Granted { .. }), "{expires}");
    }
    let fresh = nonce(&judge(&mut a, "", 4));
    let out = format!("Expires: 5\r\n{}", proof("wonder", &fresh, 1, ""));
    assert_eq!(judge(&mut a, &out, 4), Verdict::Interval(60, 3_600));
    let named = proof("wonder", &fresh, 2, &format!(", uri=\"{TARGET}\""));
    assert_eq!(judge(&mut a, &named, 5), granted, "who names the URI names the right one");
}

#[test]
fn sha_256_is_asked_for_where_every_user_has_it() {
    let mut a = authenticator(10);
    let file = format!("bob:{REALM}:{}\n", secret("bob", "builder", Algorithm::Sha256));
    a.set_users(Arc::new(Users::read(&file, REALM).unwrap()));
    let challenge = judge(&mut a, "", 1);
    assert_eq!(nonce(&challenge).len(), 48);
    let Verdict::Challenge(value) = &challenge else { panic!() };
    assert!(value.ends_with(b"algorithm=SHA-256"));
    let proof = proof_by(Algorithm::Sha256, "bob", "builder", &nonce(&challenge), 1, "");
    assert!(matches!(judge(&mut a, &proof, 2), Verdict::Granted { .. }));
}

#[test]
fn what_proves_nothing_is_challenged_again() {
    let mut a = authenticator(10);
    let fresh = nonce(&judge(&mut a, "", 1));
    let good = proof("wonder", &fresh, 1, "");
    for (name, bad) in [
        ("password", proof("blunder", &fresh, 1, "")),
        ("user", proof_by(Algorithm::Md5, "bob", "wonder", &fresh, 1, "")),
        (
            "algorithm of a user who has another",
            proof_by(Algorithm::Sha256, "alice", "wonder", &fresh, 1, ""),
        ),
        ("uri", proof("wonder", &fresh, 1, ", uri=\"msrps://other.example:1;tcp\"")),
        ("count of zero", proof("wonder", &fresh, 0, "")),
        ("realm", good.replace("realm=\"relay", "realm=\"other")),
        ("qop", good.replace("qop=auth", "qop=auth-int")),
        ("scheme", good.replace("Digest", "Basic")),
        ("algorithm", good.replace("=MD5", "=MD5-sess")),
        ("length of the count", good.replace("nc=00000001", "nc=1")),
        ("response", good.replace("response=\"", "response=\"0")),
        ("garbage", "Authorization: \u{1}\r\n".to_owned()),
    ] {
        let verdict = judge(&mut a, &bad, 2);
        let Verdict::Wrong(value) = &verdict else { panic!("{name}: {verdict:?}") };
        assert!(!value.ends_with(b"stale=true"), "{name}");
    }
    assert!(matches!(judge(&mut a, &good, 3), Verdict::Granted { .. }), "none of them used the nonce up");
}

/// RFC 7616 §3.3 and §5.12: a nonce of another relay, an old one, and one that was answered already.
#[test]
fn a_nonce_is_ours_fresh_and_answered_once_with_each_count() {
    let mut a = authenticator(10);
    let fresh = nonce(&judge(&mut a, "", 1));
    let stale = |a: &mut Authenticator, fields: &str, now: u64| match judge(a, fields, now) {
        Verdict::Wrong(value) => value.ends_with(b"stale=true"),
        Verdict::Granted { .. } => false,
        other => panic!("{other:?}"),
    };
    assert!(!stale(&mut a, &proof("wonder", &fresh, 2, ""), 2));
    for count in [1, 2] {
        assert!(stale(&mut a, &proof("wonder", &fresh, count, ""), 3), "a replay with count {count}");
    }
    assert!(!stale(&mut a, &proof("wonder", &fresh, 3, ""), 300));
    assert!(stale(&mut a, &proof("wonder", &fresh, 4, ""), 301), "its time is over");
    let foreign = format!("{:016x}{}", 1_000_000, "0".repeat(32));
    assert!(stale(&mut a, &proof("wonder", &foreign, 1, ""), 2));
    let of_the_future = format!("{}{}", "f".repeat(16), "0".repeat(32));
    assert!(stale(&mut a, &proof("wonder", &of_the_future, 1, ""), 2));
    assert!(stale(&mut a, &proof("wonder", "short", 1, ""), 2));
}

#[test]
fn forgotten_nonces_are_stale_and_memory_is_bounded() {
    let mut a = authenticator(3);
    let mut used = Vec::new();
    for second in 1..=20 {
        let fresh = nonce(&judge(&mut a, "", second));
        assert!(
            matches!(judge(&mut a, &proof("wonder", &fresh, 1, ""), second + 1), Verdict::Granted { .. })
                || second > 3
        );
        used.push(fresh);
        assert!(a.answered.len() <= 3 && a.order.len() <= 3);
    }
    for (n, nonce) in used.iter().enumerate() {
        assert!(
            matches!(judge(&mut a, &proof("wonder", nonce, 1, ""), 22), Verdict::Wrong(_)),
            "replay of {n}"
        );
    }
    // And after their time nothing is kept.
    let fresh = nonce(&judge(&mut a, "", 1_000));
    assert!(matches!(judge(&mut a, &proof("wonder", &fresh, 1, ""), 1_001), Verdict::Granted { .. }));
    assert_eq!(a.answered.len(), 1);
}
