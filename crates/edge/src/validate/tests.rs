use super::*;

/// As by default for UEs.
const LENIENT: Checks = Checks {
    mandatory: Level::Lenient,
    empty_fields: Level::Lenient,
    bodies: Level::Strict,
    parts: Level::Strict,
    syntax: Level::Off,
};
const STRICT: Checks = all(Level::Strict);

const fn all(level: Level) -> Checks {
    Checks { mandatory: level, empty_fields: level, bodies: level, parts: level, syntax: level }
}

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/");

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(format!("{VECTORS}{name}")).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn verdict(bytes: &[u8], checks: Checks) -> Result<Verdict, Reject> {
    let mut index = sip::Index::default();
    let message =
        sip::parse(bytes, &sip::Limits::default(), &mut index).map_err(|e| Reject::line(e.cause))?;
    request_from_access(message, &checks)
}

/// Every request of the specification that a UE sends is served, whatever its figures leave out.
#[test]
fn every_printed_request_of_a_ue_passes() {
    let index = String::from_utf8(vector("index.tsv")).unwrap();
    let mut seen = 0;
    for line in index.lines() {
        let mut columns = line.split('\t');
        let (name, direction) = (columns.next().unwrap(), columns.next());
        let quirk = name.starts_with("quirks/");
        if direction != Some("UE->edge") || quirk || !name.ends_with(".sip") {
            continue;
        }
        let bytes = vector(name);
        if bytes.starts_with(b"SIP/2.0") {
            continue;
        }
        let got = verdict(&bytes, LENIENT);
        assert!(got.is_ok(), "{name}: {got:?}");
        seen += 1;
    }
    assert!(seen > 30, "the index lists {seen} requests");
}

#[test]
fn quirks_are_judged_as_the_index_says() {
    let at = |cause, field| Some(Reject::at(cause, field));
    let twice = |kind| Some(Reject::at(Cause::DuplicateBodyPart, HeaderId::ContentType).with(kind));
    for (name, expected) in [
        ("n01-dup-cpim-part", twice("message/cpim")),
        ("n02-no-boundary-multipart", at(Cause::MissingBoundary, HeaderId::ContentType)),
        ("n03-boundary-on-other-type", at(Cause::UnexpectedBoundary, HeaderId::ContentType)),
        ("n04-unsupported-type", at(Cause::UnsupportedMediaType, HeaderId::ContentType)),
        ("n05-body-without-content-type", at(Cause::MissingContentType, HeaderId::ContentType)),
        ("n06-dup-cpim-header", at(Cause::DuplicateCpimHeader, HeaderId::ContentType)),
        ("n07-empty-optional-header", at(Cause::EmptyHeader, HeaderId::PPreferredIdentity)),
        ("n08-missing-cseq", at(Cause::BadCseq, HeaderId::CSeq)),
        ("n09-dup-sdp-part", twice("application/sdp")),
        ("q01-unterminated-quote", None),
        ("q04-double-accept-contact", None),
        ("q06-to-without-scheme", None),
        ("q09-refer-to-no-brackets", None),
        ("q11-curly-quotes-missing-semicolon", None),
        ("q14-multipart-broken-public-account", at(Cause::BadMultipart, HeaderId::ContentType)),
        ("q15-multipart-without-boundaries", at(Cause::BadMultipart, HeaderId::ContentType)),
        ("q19-unquoted-nonce-expression", None),
        ("q20-duplicate-contribution-id", None),
    ] {
        let got = verdict(&vector(&format!("quirks/{name}.sip")), LENIENT);
        assert_eq!(got.err(), expected, "{name}");
    }
    // A blank inside the Request-URI is found by the parser already.
    let q05 = verdict(&vector("quirks/q05-request-uri-space-placeholder.sip"), LENIENT);
    assert_eq!(q05.unwrap_err().cause.status(), Some(400));
}

const HEAD: &str = "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n\
                    Call-ID: c@h\r\nCSeq: 1 ";

fn judged(method: &str, uri: &str, rest: &str, checks: Checks) -> Result<Verdict, Reject> {
    let text = format!("{method} {uri} SIP/2.0\r\n{HEAD}{method}\r\n{rest}\r\n");
    verdict(text.as_bytes(), checks)
}

#[test]
fn the_hard_set_names_its_field() {
    let at = |cause, field| Some(Reject::at(cause, field));
    for (method, rest, expected) in [
        ("OPTIONS", "", None),
        ("REFER", "", at(Cause::MissingHeader, HeaderId::ReferTo)),
        ("REFER", "Refer-To: <sip:x>\r\nr: <sip:y>\r\n", at(Cause::DuplicateHeader, HeaderId::ReferTo)),
        ("SUBSCRIBE", "", at(Cause::MissingHeader, HeaderId::Event)),
        ("NOTIFY", "", at(Cause::MissingHeader, HeaderId::Event)),
        ("NOTIFY", "o: conference\r\n", None),
        ("OPTIONS", "t: <sip:c@h>\r\n", at(Cause::DuplicateHeader, HeaderId::To)),
        ("OPTIONS", "Max-Forwards: 0\r\n", at(Cause::TooManyHops, HeaderId::MaxForwards)),
        ("OPTIONS", "Max-Forwards: x\r\n", at(Cause::BadMaxForwards, HeaderId::MaxForwards)),
        ("OPTIONS", "Max-Forwards: 1\r\n", None),
        ("OPTIONS", "Event:\r\n", at(Cause::EmptyHeader, HeaderId::Event)),
        ("OPTIONS", "Supported:\r\nSubject: \r\nX-Unknown:\r\n", None),
        ("OPTIONS", "Proxy-Require: Sec-Agree\r\n", None),
        ("OPTIONS", "Proxy-Require: sec-agree, x\r\n", at(Cause::BadExtension, HeaderId::ProxyRequire)),
        ("OPTIONS", "Via: SIP/2.0/UDP h, ;;\r\n", at(Cause::BadVia, HeaderId::Via)),
    ] {
        let got = judged(method, "sip:b@h", rest, LENIENT);
        assert_eq!(got.err(), expected, "{method} {rest}");
    }
}

#[test]
fn request_uris_are_judged_by_scheme_and_host() {
    for (uri, cause) in [
        ("sip:b@h", None),
        ("sips:b@[2001:db8::1]:5061", None),
        ("tel:+861008699999", None),
        ("+861008699999", None),
        ("10086", None),
        ("urn:service:sos", None),
        ("http://h/", Some(Cause::BadUriScheme)),
        ("sip:b@as(1..n).h", Some(Cause::BadRequestUri)),
        ("sip:", Some(Cause::BadRequestUri)),
        ("sip:b@h?Route=%3Csip:x%3E", Some(Cause::BadRequestUri)),
    ] {
        let got = judged("OPTIONS", uri, "", LENIENT);
        assert_eq!(got.err().map(|r| r.cause), cause, "{uri}");
    }
}

/// R33: what is only mandatory on paper is counted, and rejected in strict mode.
#[test]
fn soft_faults_are_counted_or_rejected() {
    let rest = "Contact: <sip:a@h>\r\nMax-Forwards: 70\r\n";
    let lenient = judged("SUBSCRIBE", "sip:b@h", &format!("{rest}Event: x\r\n"), LENIENT);
    assert_eq!(lenient.map(|v| v.soft.total()), Ok(1));
    let strict = judged("SUBSCRIBE", "sip:b@h", &format!("{rest}Event: x\r\n"), STRICT);
    assert_eq!(strict, Err(Reject::at(Cause::MissingHeader, HeaderId::AcceptContact)));
    let strict = judged("INFO", "sip:b@h", &format!("{rest}Supported:\r\n"), STRICT);
    assert_eq!(strict, Err(Reject::at(Cause::EmptyHeader, HeaderId::Supported)));
}

/// R42: from the core a body fault is only counted.
#[test]
fn the_core_is_not_held_to_the_body_rules() {
    let bytes = vector("quirks/q14-multipart-broken-public-account.sip");
    let mut index = sip::Index::default();
    let message = sip::parse(&bytes, &sip::Limits::default(), &mut index).unwrap();
    assert_eq!(
        request_from_core(message, &config::Validation::default().core.checks()).map(|v| v.soft.total()),
        Ok(1)
    );
}

#[test]
fn an_ack_without_content_type_is_no_fault() {
    let bytes = vector("quirks/q17-ack-body-without-content-type.sip");
    let got = verdict(&bytes, LENIENT);
    assert_eq!(got.map(|v| v.soft.total()), Ok(0));
}

/// R33: every column of the tables: complete it passes by the letter, and without any one field it is
/// answered 400 with that field's name.
#[test]
fn the_tables_field_by_field() {
    use HeaderId::{Contact, Route};
    let chat = "application/sdp";
    let rows: [(&str, Realm, &str, &str, Kind); 18] = [
        ("REGISTER", Realm::Access, "", "", Kind::Register),
        ("MESSAGE", Realm::Access, "", "hello", Kind::Message),
        ("MESSAGE", Realm::Core, "", "hello", Kind::Message),
        ("MESSAGE", Realm::Access, "", "message/imdn+xml", Kind::Imdn),
        ("INVITE", Realm::Access, "Accept-Contact: *\r\n", "v=0\r\na=file-selector:x", Kind::InviteLarge),
        ("INVITE", Realm::Core, "Accept-Contact: *\r\n", "v=0\r\na=file-selector:x", Kind::InviteLarge),
        ("INVITE", Realm::Access, "Accept-Contact: *\r\n", "v=0", Kind::InviteChat),
        ("INVITE", Realm::Core, "Accept-Contact: *\r\n", "v=0", Kind::InviteChat),
        (
            "INVITE",
            Realm::Core,
            "Contact: <sip:c@h>;isfocus\r\nAccept-Contact: *\r\n",
            "v=0",
            Kind::InviteGroup,
        ),
        ("INVITE", Realm::Access, "", "v=0", Kind::Call),
        ("INVITE", Realm::Access, "", "resource-lists+xml", Kind::CallGroup),
        ("REFER", Realm::Access, "Accept-Contact: *\r\n", "", Kind::Refer),
        ("REFER", Realm::Access, "Refer-To: <sip:x@h>\r\n", "", Kind::CallRefer),
        ("SUBSCRIBE", Realm::Access, "", "", Kind::Subscribe),
        ("NOTIFY", Realm::Core, "", "x", Kind::Notify),
        ("NOTIFY", Realm::Access, "", "x", Kind::Notify),
        ("OPTIONS", Realm::Access, "", "", Kind::Options),
        ("INFO", Realm::Access, "", "", Kind::Other),
    ];
    let checks = Checks { mandatory: Level::Strict, ..all(Level::Off) };
    for (method, from, marks, body, kind) in rows {
        let wanted = kind.mandatory(from);
        let value = |id: HeaderId| match id {
            HeaderId::ContentType => chat,
            HeaderId::ReferTo | Contact | Route => "<sip:x@h>",
            HeaderId::Event => "conference",
            _ => "x",
        };
        let build = |left_out: Option<HeaderId>| {
            let mut text = format!("{method} sip:b@h SIP/2.0\r\n{HEAD}{method}\r\n{marks}");
            let given =
                |id: &HeaderId| marks.starts_with(id.name()) || marks.contains(&format!("\n{}", id.name()));
            for id in [HeaderId::MaxForwards].iter().chain(wanted).filter(|id| !given(id)) {
                let value = if *id == HeaderId::MaxForwards { "70" } else { value(*id) };
                if left_out != Some(*id) {
                    text += &format!("{}: {value}\r\n", id.name());
                }
            }
            text + "\r\n" + body
        };
        let judge = |text: &str| {
            let mut index = sip::Index::default();
            let message = sip::parse(text.as_bytes(), &sip::Limits::default(), &mut index).unwrap();
            assert_eq!(Kind::of(message, from), kind, "{text}");
            match from {
                Realm::Access => request_from_access(message, &checks),
                Realm::Core => request_from_core(message, &checks),
            }
        };
        assert!(judge(&build(None)).is_ok(), "{kind:?} {from:?}: {:?}", judge(&build(None)));
        for &id in wanted {
            let text = build(Some(id));
            // What tells the kind cannot be left out without becoming another kind.
            if text == build(None) {
                continue;
            }
            assert_eq!(judge(&text), Err(Reject::at(Cause::MissingHeader, id)), "{kind:?} {from:?}");
        }
    }
}

/// Each group off, lenient and strict, for a message with one fault of it.
#[test]
fn each_group_has_three_levels() {
    let parts = "--b\r\nContent-Type: message/cpim\r\n\r\na\r\n--b\r\nContent-Type: message/cpim\r\n\r\nb\r\n--b--\r\n";
    let rows: [(Group, &str, &str, Reject, bool); 6] = [
        (Group::Mandatory, "", "", Reject::at(Cause::MissingHeader, HeaderId::MaxForwards), true),
        (Group::EmptyFields, "Event:\r\n", "", Reject::at(Cause::EmptyHeader, HeaderId::Event), false),
        (
            Group::Bodies,
            "Content-Type: image/png\r\n",
            "x",
            Reject::at(Cause::UnsupportedMediaType, HeaderId::ContentType),
            true,
        ),
        (
            Group::Parts,
            "Content-Type: multipart/mixed;boundary=b\r\n",
            parts,
            Reject::at(Cause::DuplicateBodyPart, HeaderId::ContentType).with("message/cpim"),
            true,
        ),
        (
            Group::Syntax,
            "Accept-Contact: *;x=\"y\r\n",
            "",
            Reject::at(Cause::BadSyntax, HeaderId::AcceptContact),
            true,
        ),
        (Group::Syntax, "Contact: <user@h>\r\n", "", Reject::at(Cause::BadSyntax, HeaderId::Contact), true),
    ];
    for (group, lines, body, fault, passes_leniently) in rows {
        let text = format!("INFO sip:b@h SIP/2.0\r\n{HEAD}INFO\r\n{lines}\r\n{body}");
        let at = |level: Level| {
            let mut checks = all(Level::Off);
            let of = match group {
                Group::Mandatory => &mut checks.mandatory,
                Group::EmptyFields => &mut checks.empty_fields,
                Group::Bodies => &mut checks.bodies,
                Group::Parts => &mut checks.parts,
                Group::Syntax => &mut checks.syntax,
            };
            *of = level;
            verdict(text.as_bytes(), checks).map(|verdict| verdict.soft.0[group as usize])
        };
        assert_eq!(at(Level::Off), Ok(0), "{group:?}");
        assert_eq!(at(Level::Strict), Err(fault), "{group:?}");
        let lenient = if passes_leniently { Ok(1) } else { Err(fault) };
        assert_eq!(at(Level::Lenient), lenient, "{group:?}");
    }
}

/// Requirements §9: the habits of the printed messages pass as they are, and are told by their field
/// where syntax is strict.
#[test]
fn habits_of_syntax_are_told_by_their_field() {
    let strict = Checks { syntax: Level::Strict, ..all(Level::Off) };
    for (line, fault) in [
        ("Accept-Contact: *;+g.x=\"a", Some((Cause::BadSyntax, HeaderId::AcceptContact))),
        ("Accept-Contact: *+g.x=\u{201c}a\u{201d}", Some((Cause::BadSyntax, HeaderId::AcceptContact))),
        ("Refer-To: user2@h ;method=BYE", Some((Cause::BadSyntax, HeaderId::ReferTo))),
        ("Refer-To: <sip: sip:x@h>", Some((Cause::BadSyntax, HeaderId::ReferTo))),
        ("Contact: <sip:a@h :5060>", Some((Cause::BadSyntax, HeaderId::Contact))),
        ("Referred-By: \"Factory\" sip:x@h", Some((Cause::BadSyntax, HeaderId::ReferredBy))),
        (
            "Contribution-ID: a\r\nContribution-ID: b",
            Some((Cause::DuplicateHeader, HeaderId::ContributionId)),
        ),
        ("Refer-To: <+861008699999>", None),
        ("Refer-To: <tel:+861008699999>;x=1", None),
        ("Contact: *", None),
        ("Subject: it\u{2019}s \"open", None),
        ("User-Agent: \"x", None),
        ("X-Unknown: \"x\u{4e2d}", None),
        ("P-Preferred-Identity: \"\u{4e2d}\u{6587} \\\"q\\\"\" <sip:a@h>", None),
    ] {
        let text = format!("INFO sip:b@h SIP/2.0\r\n{HEAD}INFO\r\n{line}\r\n\r\n");
        let expected = fault.map(|(cause, field)| Reject::at(cause, field));
        assert_eq!(verdict(text.as_bytes(), strict).err(), expected, "{line}");
        assert!(verdict(text.as_bytes(), LENIENT).is_ok(), "{line}");
    }
}
