use super::*;

const INVITE: &[u8] = b"INVITE sip:bob@b.example;user=phone SIP/2.0\r\n\
    v: SIP/2.0/UDP a.example:5061;branch=z9hG4bK1, SIP/2.0/TCP [::1];branch=z9hG4bK0\r\n\
    Via: SIP/2.0/TLS c;branch=z9hG4bKc\r\n\
    FROM  : \"A\" <sip:a@a.example>;tag=1\r\n\
    t: <sip:bob@b.example>\r\n\
    i:x7@a\r\n\
    CSeq: 7 INVITE\r\n\
    Max-Forwards: 70\r\n\
    Subject: one\r\n two\r\n\t three \r\n\
    X-Own: 1\r\n\
    Supported:\r\n timer, path\r\n\
    k: 100rel\r\n\
    x-own: 2\r\n\
    l: 4\r\n\
    \r\n\
    body";

fn with<T>(bytes: &[u8], look: impl FnOnce(Message<'_>) -> T) -> T {
    let mut index = Index::default();
    look(parse(bytes, &Limits::default(), &mut index).unwrap())
}

fn refused(bytes: &[u8]) -> ParseError {
    parse(bytes, &Limits::default(), &mut Index::default()).unwrap_err()
}

#[test]
fn a_request_is_indexed() {
    with(INVITE, |m| {
        assert!(m.is_request());
        assert_eq!(m.method(), Method::Invite);
        assert_eq!(m.uri(), b"sip:bob@b.example;user=phone");
        assert_eq!(m.text(m.uri_span()), m.uri());
        assert_eq!(m.status(), 0);
        assert_eq!(m.fields().len(), 13);
        assert_eq!(m.body(), b"body");
        assert_eq!(&m.bytes()[m.fields_end()..m.fields_end() + 2], b"\r\n");
        assert_eq!(m.head_span().end as usize, m.fields_end() + 2);
        assert_eq!(m.value(HeaderId::Subject), Some(&b"one\r\n two\r\n\t three"[..]));
        assert_eq!(m.text(m.first(HeaderId::From).unwrap().name), b"FROM");
        assert_eq!(m.count(HeaderId::Via), 2);
        assert_eq!(m.unknown(b"X-OWN").map(|f| m.text(f.value)).collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(m.unknown(b"call-id").count(), 1);
        assert!(!m.has(HeaderId::Contact));
    });
}

#[test]
fn lines_cover_the_head_without_gap() {
    with(INVITE, |m| {
        let mut at = m.start_span().end;
        for field in m.fields() {
            assert_eq!(field.line.start, at);
            assert!(field.name.end <= field.value.start && field.value.end <= field.line.end);
            at = field.line.end;
        }
        assert_eq!(at as usize, m.fields_end());
    });
}

#[test]
fn members_run_over_all_fields_of_an_id() {
    with(INVITE, |m| {
        let tags: Vec<_> = m.elements(HeaderId::Supported).collect();
        let shape: Vec<_> = tags.iter().map(|e| (e.text, e.first, e.last)).collect();
        assert_eq!(shape, [(&b"timer"[..], true, false), (b"path", false, true), (b"100rel", true, true)]);
        assert_ne!(tags[1].field, tags[2].field);
        assert!(m.lists(HeaderId::Supported, b"PATH"));
        assert!(!m.lists(HeaderId::Require, b"path"));
        let hosts: Vec<_> = m.vias().map(|v| v.unwrap().host.to_vec()).collect();
        assert_eq!(hosts, [&b"a.example"[..], b"[::1]", b"c"]);
    });
}

#[test]
fn typed_views_read_the_mandatory_fields() {
    with(INVITE, |m| {
        assert_eq!(m.top_via().unwrap().port, Some(5061));
        assert_eq!(m.cseq().unwrap().number, 7);
        assert_eq!(m.from().unwrap().tag(), Some(&b"1"[..]));
        assert_eq!(m.to().unwrap().tag(), None);
        assert_eq!(m.call_id(), Ok(&b"x7@a"[..]));
        assert_eq!(m.max_forwards(), Ok(Some(70)));
        assert_eq!(m.content_length(), Ok(Some(4)));
        assert!(m.content_type().unwrap().is_none());
    });
}

#[test]
fn responses() {
    with(b"SIP/2.0 180 Ringing now\r\nCSeq: 1 PRACK\r\n\r\n", |m| {
        assert!(!m.is_request());
        assert_eq!((m.status(), m.reason()), (180, &b"Ringing now"[..]));
        assert_eq!(m.method(), Method::Prack);
        assert_eq!(m.uri(), b"");
    });
    with(b"SIP/2.0 200 \r\n\r\n", |m| {
        assert_eq!((m.status(), m.reason()), (200, &b""[..]));
    });
    with(b"SIP/2.0 200\r\n\r\n", |m| {
        assert_eq!((m.status(), m.reason()), (200, &b""[..]));
    });
}

#[test]
fn malformed_heads_are_refused_where_the_fault_is() {
    for (text, cause, offset) in [
        ("", Cause::Truncated, 0),
        ("INVITE sip:a SIP/2.0\r\n", Cause::Truncated, 22),
        ("INVITE sip:a SIP/2.0\r", Cause::Truncated, 21),
        ("INVITE sip:a SIP/2.0\r\nTo: x", Cause::Truncated, 27),
        ("\r\nINVITE sip:a SIP/2.0\r\n\r\n", Cause::BadStartLine, 0),
        ("INVITE\r\n\r\n", Cause::BadStartLine, 6),
        ("INVITE SIP/2.0\r\n\r\n", Cause::BadStartLine, 7),
        ("INVITE  SIP/2.0\r\n\r\n", Cause::BadStartLine, 7),
        ("IN\"VITE sip:a SIP/2.0\r\n\r\n", Cause::BadStartLine, 2),
        ("INVITE sip:a SIP/2.0 \r\n\r\n", Cause::BadStartLine, 21),
        ("INVITE sip:a HTTP/1.1\r\n\r\n", Cause::BadStartLine, 13),
        ("INVITE sip:a SIP/7.0\r\n\r\n", Cause::BadVersion, 13),
        ("INVITE sip: a SIP/2.0\r\n\r\n", Cause::BadRequestUri, 7),
        ("INVITE  sip:a SIP/2.0\r\n\r\n", Cause::BadRequestUri, 7),
        ("INVITE <sip:a> SIP/2.0\r\n\r\n", Cause::BadRequestUri, 7),
        ("SIP/3.0 200 OK\r\n\r\n", Cause::BadVersion, 4),
        ("SIP/2.0 20 OK\r\n\r\n", Cause::BadStartLine, 11),
        ("SIP/2.0 2000 OK\r\n\r\n", Cause::BadStartLine, 11),
        ("SIP/2.0 099 OK\r\n\r\n", Cause::BadStartLine, 8),
        ("INVITE sip:a SIP/2.0\r\n To: x\r\n\r\n", Cause::BadHeaderLine, 22),
        ("INVITE sip:a SIP/2.0\r\nTo x\r\n\r\n", Cause::BadHeaderLine, 25),
        ("INVITE sip:a SIP/2.0\r\n: x\r\n\r\n", Cause::BadHeaderLine, 22),
        ("INVITE sip:a SIP/2.0\r\nTo: x\nP-Asserted-Identity: y\r\n\r\n", Cause::BadHeaderLine, 27),
        ("INVITE sip:a SIP/2.0\r\nTo: x\rP: y\r\n\r\n", Cause::BadHeaderLine, 27),
        ("INVITE sip:a SIP/2.0\r\nTo: x\0y\r\n\r\n", Cause::BadHeaderLine, 27),
    ] {
        assert_eq!(refused(text.as_bytes()), ParseError { cause, offset }, "{text:?}");
    }
}

#[test]
fn caps_hold_at_both_edges() {
    let limits = Limits { head_bytes_max: 40, headers_max: 2, body_bytes_max: 3 };
    let verdict =
        |text: &str| parse(text.as_bytes(), &limits, &mut Index::default()).map(|_| ()).map_err(|e| e.cause);
    assert_eq!(verdict("BYE sip:a SIP/2.0\r\na: 1\r\nb: 2\r\n\r\n"), Ok(()));
    assert_eq!(verdict("BYE sip:a SIP/2.0\r\na: 1\r\nb: 2\r\n\r\n123"), Ok(()));
    assert_eq!(verdict("BYE sip:a SIP/2.0\r\na: 1\r\nb: 2\r\n\r\n1234"), Err(Cause::BodyTooLong));
    assert_eq!(verdict("BYE sip:a SIP/2.0\r\na:1\r\nb:2\r\nc:3\r\n\r\n"), Err(Cause::TooManyHeaders));
    assert_eq!(verdict("BYE sip:a SIP/2.0\r\na: 12345678901234\r\n\r\n"), Ok(()));
    assert_eq!(verdict("BYE sip:a SIP/2.0\r\na: 123456789012345\r\n\r\n"), Err(Cause::HeadTooLong));
    assert_eq!(verdict("BYE sip:a SIP/2.0\r\na: 12345678901234567890"), Err(Cause::HeadTooLong));
}

#[test]
fn single_fields_that_stand_twice_or_are_malformed() {
    let head = "BYE sip:a SIP/2.0\r\n";
    let cause = |fields: &str, look: fn(Message<'_>) -> Result<(), Cause>| {
        with(format!("{head}{fields}\r\n").as_bytes(), look)
    };
    assert_eq!(cause("To: <sip:a>\r\nt: <sip:a>\r\n", |m| m.to().map(drop)), Err(Cause::DuplicateHeader));
    assert_eq!(cause("", |m| m.to().map(drop)), Err(Cause::BadTo));
    assert_eq!(cause("From: <sip:a\r\n", |m| m.from().map(drop)), Err(Cause::BadFrom));
    assert_eq!(cause("Via: x\r\n", |m| m.top_via().map(drop)), Err(Cause::BadVia));
    assert_eq!(cause("CSeq: 1 INVITE\r\n", |m| m.cseq().map(drop)), Err(Cause::BadCseq));
    assert_eq!(cause("CSeq: 4294967296 BYE\r\n", |m| m.cseq().map(drop)), Err(Cause::BadCseq));
    assert_eq!(cause("CSeq:\r\n", |m| m.cseq().map(drop)), Err(Cause::BadCseq));
    assert_eq!(cause("Call-ID: a b\r\n", |m| m.call_id().map(drop)), Err(Cause::BadCallId));
    assert_eq!(cause("Call-ID: \u{e9}\r\n", |m| m.call_id().map(drop)), Err(Cause::BadCallId));
    assert_eq!(cause("Max-Forwards: 256\r\n", |m| m.max_forwards().map(drop)), Err(Cause::BadMaxForwards));
    assert_eq!(cause("l: 1\r\nContent-Length: 01\r\n", |m| m.content_length().map(drop)), Ok(()));
    assert_eq!(
        cause("l: 1\r\nContent-Length: 2\r\n", |m| m.content_length().map(drop)),
        Err(Cause::BadContentLength)
    );
    assert_eq!(cause("l:\r\n", |m| m.content_length().map(drop)), Err(Cause::BadContentLength));
    assert_eq!(cause("c: text\r\n", |m| m.content_type().map(drop)), Err(Cause::UnsupportedMediaType));
}

#[test]
fn a_refused_message_can_still_be_answered() {
    let salvaged = |text: &str| {
        let mut index = Index::default();
        crate::salvage(text.as_bytes(), &Limits::default(), &mut index)
            .map(|m| (m.method(), m.uri().to_vec(), m.fields().len()))
    };
    let invite = |uri: &str, fields| Some((Method::Invite, uri.as_bytes().to_vec(), fields));
    assert_eq!(salvaged("INVITE sip:a SIP/2.0\r\nTo: x\r\nbroken\r\nFrom: y\r\n\r\n"), invite("sip:a", 1));
    assert_eq!(salvaged("INVITE sip: a SIP/2.0\r\nTo: x\r\nFrom: y\r\n\r\n"), invite("sip: a", 2));
    assert_eq!(salvaged("INVITE sip:a SIP/7.0\r\nTo: x\r\n\r\n"), invite("sip:a", 1));
    assert_eq!(salvaged("INVITE sip:a SIP/2.0\r\nTo: x\r\nFrom: y"), invite("sip:a", 1));
    assert_eq!(salvaged("SIP/7.0 200 OK\r\n\r\n"), None);
    assert_eq!(salvaged("hello\r\n\r\n"), None);
    assert_eq!(salvaged(""), None);
}

#[test]
fn an_index_is_reused_without_memory_of_the_last_message() {
    let mut index = Index::default();
    let limits = Limits::default();
    parse(INVITE, &limits, &mut index).unwrap();
    let m = parse(b"SIP/2.0 200 OK\r\nCSeq: 1 BYE\r\n\r\n", &limits, &mut index).unwrap();
    assert!(!m.has(HeaderId::Via));
    assert_eq!((m.fields().len(), m.method(), m.uri()), (1, Method::Bye, &b""[..]));
}
