use super::*;

fn read(text: &str) -> Uri<'_> {
    parse(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"))
}

#[test]
fn sip_uris_come_apart() {
    struct Case(&'static str, Scheme, Option<&'static str>, &'static str, Option<u16>, &'static str);
    use Scheme::{Bare, Sip, Sips};
    for Case(text, scheme, user, host, port, params) in [
        Case("sip:alice@atlanta.com", Sip, Some("alice"), "atlanta.com", None, ""),
        Case("SIPS:alice@atlanta.com:5061;lr", Sips, Some("alice"), "atlanta.com", Some(5061), ";lr"),
        Case("sip:182.3.1.6:5060;transport=udp;lr", Sip, None, "182.3.1.6", Some(5060), ";transport=udp;lr"),
        Case(
            "sip:[5555::aaa:bbb]:1357;comp=sigcomp",
            Sip,
            None,
            "[5555::aaa:bbb]",
            Some(1357),
            ";comp=sigcomp",
        ),
        Case("sip:u@[::1]", Sip, Some("u"), "[::1]", None, ""),
        Case(
            "sip:u;par=u%40example.net@example.com",
            Sip,
            Some("u;par=u%40example.net"),
            "example.com",
            None,
            "",
        ),
        Case("sip: user1@h ", Sip, Some("user1"), "h", None, ""),
        Case("sip: sip:user2@h", Sip, Some("user2"), "h", None, ""),
        Case("sip:conf@ chinamobile.com", Sip, Some("conf"), "chinamobile.com", None, ""),
        Case(
            "sip:125@as1.com :15332;transport=tcp;",
            Sip,
            Some("125"),
            "as1.com",
            Some(15332),
            ";transport=tcp;",
        ),
        Case("125XX@as1", Bare, Some("125XX"), "as1", None, ""),
        Case("10.0.0.1", Bare, None, "10.0.0.1", None, ""),
        Case("10.0.0.1:5060", Bare, None, "10.0.0.1", Some(5060), ""),
        Case("localhost:5060;lr", Bare, None, "localhost", Some(5060), ";lr"),
        Case("sip:h;+g.x=\"urn:a;v=1@b\"", Sip, None, "h", None, ";+g.x=\"urn:a;v=1@b\""),
        Case("sip:conf=0001@1.2.3.4", Sip, Some("conf=0001"), "1.2.3.4", None, ""),
    ] {
        let uri = read(text);
        assert_eq!(uri.scheme, scheme, "{text}");
        assert_eq!(uri.user, user.map(str::as_bytes), "{text}");
        assert_eq!(uri.host, host.as_bytes(), "{text}");
        assert_eq!(uri.port, port, "{text}");
        assert_eq!(uri.params.text(), params.as_bytes(), "{text}");
        assert_eq!(uri.host_span.of(text.as_bytes()), uri.host, "{text}");
        assert_eq!(uri.user_span.of(text.as_bytes()), uri.user.unwrap_or_default(), "{text}");
    }
}

#[test]
fn password_headers_and_spans() {
    let text = "sip:alice:secretword@atlanta.com:5070;transport=tcp?subject=x&to=sip:a%40b";
    let uri = read(text);
    assert_eq!(uri.password, Some(&b"secretword"[..]));
    assert_eq!(uri.headers, Some(&b"subject=x&to=sip:a%40b"[..]));
    assert_eq!(uri.host_port_span.of(text.as_bytes()), b"atlanta.com:5070");
    assert_eq!(uri.params.text(), b";transport=tcp");
    assert_eq!(uri.params.span_of(b"transport").unwrap().of(text.as_bytes()), b";transport=tcp");
}

#[test]
fn numbers() {
    for (text, scheme, number) in [
        ("tel:+8675520000002", Scheme::Tel, "+8675520000002"),
        ("TEL:28880001;phone-context=+86", Scheme::Tel, "28880001"),
        ("tel:+1-201-555-0123", Scheme::Tel, "+1-201-555-0123"),
        ("+861008699999", Scheme::Bare, "+861008699999"),
        ("10086", Scheme::Bare, "10086"),
        ("*100#", Scheme::Bare, "*100#"),
    ] {
        let uri = read(text);
        assert_eq!((uri.scheme, uri.number), (scheme, Some(number.as_bytes())), "{text}");
        assert_eq!(uri.number_span.of(text.as_bytes()), number.as_bytes(), "{text}");
        assert_eq!(uri.phone_number(), uri.number);
    }
    assert_eq!(read("sip:+86138;phone-context=x@h;user=phone").phone_number(), Some(&b"+86138"[..]));
    assert_eq!(read("sip:138@h;user=phone").phone_number(), Some(&b"138"[..]));
    assert_eq!(read("sip:+86138@h").phone_number(), Some(&b"+86138"[..]));
    assert_eq!(read("sip:138@h").phone_number(), None);
}

#[test]
fn other_schemes_are_not_looked_into() {
    for text in ["urn:service:sos", "http://x/y", "im:a@b", "mailto:a@b"] {
        assert_eq!(read(text).scheme, Scheme::Other, "{text}");
    }
}

#[test]
fn what_is_no_uri_is_refused() {
    for text in [
        "",
        " ",
        "sip:",
        "sip:@h",
        "sip:a@",
        "sip:a b@h",
        "sip:a@h:port",
        "sip:a@h:99999",
        "sip:a@[::1",
        "sip:125@as(1..n).gc",
        "tel:",
        "tel:1 2",
        "tel:(-)",
        "sip:a@h h2",
        "sip:a@[1.2.3.4]",
        "sip:<a>@h",
        "sip:a@h:",
    ] {
        assert_eq!(parse(text.as_bytes()).err(), Some(Cause::BadRequestUri), "{text}");
    }
}

#[test]
fn loose_routes() {
    for (text, loose) in [
        ("sip:h;lr", true),
        ("sip:h;LR=on", true),
        ("sip:h;lr:Dpt=7a8_246", true),
        ("sip:h;lrx", false),
        ("sip:h", false),
    ] {
        assert_eq!(read(text).is_loose(), loose, "{text}");
    }
}

/// RFC 3261 §19.1.4, all its examples, and the field's habits.
#[test]
fn sip_equality_as_in_the_rfc() {
    for (a, b) in [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("sip: user1@h ", "sip:user1@H"),
        ("125@as1", "sip:125@as1"),
        ("sip:u@[2001:db8::1]", "sip:u@[2001:0DB8:0::1]"),
        ("sip:a%3bb@h", "sip:a%3Bb@h"),
    ] {
        assert!(equal(a.as_bytes(), b.as_bytes()), "{a} = {b}");
        assert!(equal(b.as_bytes(), a.as_bytes()), "{b} = {a}");
    }
    for (a, b) in [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a@h", "sips:a@h"),
        ("sip:a@h", "sip:h"),
        ("sip:a@h", "sip:a:pw@h"),
        ("sip:a@h;user=phone", "sip:a@h"),
        ("sip:a@h;ttl=1", "sip:a@h"),
        ("sip:a@h;maddr=1.2.3.4", "sip:a@h"),
        ("sip:a%3bb@h", "sip:a;b@h"),
        ("sip:a@h?x=1&y=2", "sip:a@h?x=1&x=1"),
        ("sip:a@h", "tel:1"),
    ] {
        assert!(!equal(a.as_bytes(), b.as_bytes()), "{a} /= {b}");
        assert!(!equal(b.as_bytes(), a.as_bytes()), "{b} /= {a}");
    }
}

/// RFC 3966 §4.
#[test]
fn tel_equality_as_in_the_rfc() {
    for (a, b) in [
        ("tel:+1-201-555-0123", "TEL:+1(201)555.0123"),
        ("tel:7042;phone-context=example.com", "tel:70-42;Phone-Context=EXAMPLE.com"),
        ("tel:863-1234;phone-context=+1-914-555", "tel:8631234;phone-context=+1914555"),
        ("tel:1;a=x;b=y", "tel:1;B=Y;a=x"),
        ("tel:+12;ext=1-2", "tel:+12;ext=12"),
        ("tel:+861008699999", "+861008699999"),
    ] {
        assert!(equal(a.as_bytes(), b.as_bytes()), "{a} = {b}");
        assert!(equal(b.as_bytes(), a.as_bytes()), "{b} = {a}");
    }
    for (a, b) in [
        ("tel:+12015550123", "tel:12015550123"),
        ("tel:1", "tel:2"),
        ("tel:7042;phone-context=example.com", "tel:7042;phone-context=example.org"),
        ("tel:7042;phone-context=example.com", "tel:7042"),
        ("tel:1;a=x", "tel:1;b=x"),
    ] {
        assert!(!equal(a.as_bytes(), b.as_bytes()), "{a} /= {b}");
        assert!(!equal(b.as_bytes(), a.as_bytes()), "{b} /= {a}");
    }
}

#[test]
fn other_schemes_compare_as_bytes() {
    assert!(equal(b"urn:service:sos", b"URN:service:sos"));
    assert!(!equal(b"urn:service:sos", b"urn:service:SOS"));
    assert!(equal(b"sip:", b"sip:"));
    assert!(!equal(b"sip:", b"sip:@"));
}

#[test]
fn many_parameters_are_not_compared() {
    let twice = |count: usize| {
        let params = ";x=1".repeat(count);
        (format!("sip:a@h{params}"), format!("sip:a@H{params}"))
    };
    let (a, b) = twice(32);
    assert!(equal(a.as_bytes(), b.as_bytes()));
    let (a, b) = twice(33);
    assert!(!equal(a.as_bytes(), b.as_bytes()));
    assert!(equal(a.as_bytes(), a.as_bytes()));
}

#[test]
fn keys_are_the_same_for_what_names_one_user() {
    let key = |text: &str| {
        let mut out = Vec::new();
        read(text).push_key(&mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(key("sip:%61lice:pw@Home1.NET;user=phone"), "sip:alice@home1.net");
    assert_eq!(key("alice@home1.net"), "sip:alice@home1.net");
    assert_eq!(key("sips:a%3bb@h:5061"), "sips:a%3Bb@h:5061");
    assert_eq!(key("tel:+86-755(2000)"), "tel:+867552000");
    assert_eq!(key("+867552000"), "tel:+867552000");
    assert_eq!(key("sip:h"), "sip:h");
    // A `%` that begins no escape is a `%`.
    assert_eq!(key("%%%361@me.co"), "sip:%25%2561@me.co");
    assert_eq!(key("sip:%25%2561@me.co"), "sip:%25%2561@me.co");
    // What no URI may hold stays escaped.
    assert_eq!(key("sip:%3ca%22%3E@h"), "sip:%3Ca%22%3E@h");
}
