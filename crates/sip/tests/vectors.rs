//! Every message of the specification is read as `tests/vectors/INDEX.md` says.
#![allow(clippy::unwrap_used)]

use sip::frame::{Datagram, Frame, Framer, datagram};
use sip::{HeaderId, Index, Limits, Message, Method, NameAddr, multipart, parse, uri};
use std::path::{Path, PathBuf};
use wire::{Cause, EditList};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors");

fn sip_files(directory: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(Path::new(ROOT).join(directory))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "sip"))
        .collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn read<T>(bytes: &[u8], look: impl FnOnce(Message<'_>) -> T) -> T {
    look(parse(bytes, &Limits::default(), &mut Index::default()).unwrap())
}

fn quirk<T>(start: &str, look: impl FnOnce(Message<'_>) -> T) -> T {
    read(&quirk_bytes(start), look)
}

fn quirk_bytes(start: &str) -> Vec<u8> {
    let files = sip_files("quirks");
    let path = files.iter().find(|p| name(p).starts_with(start)).unwrap();
    std::fs::read(path).unwrap()
}

/// The URI of an address can be read, except of `*`.
fn readable(address: &NameAddr<'_>) -> bool {
    address.star || uri::parse(address.uri).is_ok()
}

#[test]
fn all_regular_messages_are_read_whole() {
    let files = sip_files("");
    assert_eq!(files.len(), 103);
    for path in files {
        let (bytes, name) = (std::fs::read(&path).unwrap(), name(&path));
        assert_eq!(datagram(&bytes, &Limits::default()), Datagram::Message(&bytes), "{name}");
        read(&bytes, |m| regular(m, &name));
    }
}

fn regular(m: Message<'_>, name: &str) {
    assert!(m.top_via().unwrap().branch().is_some(), "{name}");
    assert!(m.vias().all(|via| via.is_ok()), "{name}");
    let (from, to) = (m.from().unwrap(), m.to().unwrap());
    assert!(from.tag().is_some(), "{name}");
    assert!(readable(&from) && readable(&to), "{name}");
    assert!(!m.call_id().unwrap().is_empty(), "{name}");
    assert_ne!(m.cseq().unwrap().method, Method::Other, "{name}");
    assert!(m.max_forwards().is_ok(), "{name}");
    assert_eq!(m.content_length(), Ok(Some(m.body().len() as u32)), "{name}");
    if m.is_request() {
        assert!(uri::parse(m.uri()).is_ok(), "{name}");
        assert!(m.max_forwards().unwrap().is_some(), "{name}");
    }
    for id in [
        HeaderId::Contact,
        HeaderId::Route,
        HeaderId::RecordRoute,
        HeaderId::Path,
        HeaderId::ServiceRoute,
        HeaderId::PAssociatedUri,
        HeaderId::PAssertedIdentity,
        HeaderId::PPreferredIdentity,
        HeaderId::ReferTo,
        HeaderId::ReferredBy,
    ] {
        for address in m.name_addrs(id) {
            assert!(readable(&address.unwrap()), "{name}: {id}");
        }
    }
    body(m, name);
}

fn body(m: Message<'_>, name: &str) {
    let Some(media_type) = m.content_type().unwrap() else {
        assert!(m.body().is_empty(), "{name}");
        return;
    };
    if media_type.is("message", "cpim") {
        assert_eq!(sip::cpim::check(m.body()), Ok(()), "{name}");
    }
    if media_type.boundary().is_none() {
        return;
    }
    assert!(media_type.is("multipart", "mixed"), "{name}");
    let parts: Vec<_> = multipart::parts(m).unwrap().map(|part| part.unwrap()).collect();
    assert!((1..=3).contains(&parts.len()), "{name}");
    for part in parts {
        let kind = part.content_type().unwrap();
        if let Some(length) = part.content_length_span() {
            assert_eq!(m.text(length), part.body().len().to_string().as_bytes(), "{name}");
        }
        if kind.is("application", "sdp") {
            assert!(part.body().starts_with(b"v=0\r\n"), "{name}");
        }
        if kind.is("message", "cpim") {
            assert_eq!(sip::cpim::check(part.body()), Ok(()), "{name}");
        }
    }
}

#[test]
fn nothing_edited_is_nothing_changed() {
    for path in sip_files("").into_iter().chain(sip_files("quirks")) {
        let bytes = std::fs::read(&path).unwrap();
        let mut index = Index::default();
        let Ok(m) = parse(&bytes, &Limits::default(), &mut index) else {
            continue;
        };
        let mut rebuilt = m.text(m.start_span()).to_vec();
        m.fields().for_each(|field| rebuilt.extend_from_slice(m.text(field.line)));
        rebuilt.extend_from_slice(b"\r\n");
        rebuilt.extend_from_slice(m.body());
        assert_eq!(rebuilt, bytes, "{}", name(&path));
        let (mut edits, mut out) = (EditList::new(), Vec::new());
        if m.body().len() as u32 == m.content_length().ok().flatten().unwrap_or(u32::MAX) {
            sip::edit::fit_content_length(m, &mut edits);
        }
        edits.gather(&bytes, &mut out).unwrap();
        assert_eq!(out, bytes, "{}", name(&path));
    }
}

#[test]
fn a_stream_of_all_messages_is_cut_alike_in_reads_of_any_size() {
    let messages: Vec<_> = sip_files("").iter().map(|p| std::fs::read(p).unwrap()).collect();
    let stream = messages.join(&b"\r\n\r\n"[..]);
    for size in [1, 2, 3, 7, 61, 512, 1460, 4096, 65_536, stream.len()] {
        let mut framer = Framer::new();
        let mut seen = Vec::new();
        let mut pings = 0;
        for mut input in stream.chunks(size) {
            loop {
                match framer.next(&mut input, &Limits::default()) {
                    Frame::Message(message) => seen.push(message.to_vec()),
                    Frame::Ping => pings += 1,
                    Frame::Pong => {}
                    Frame::Partial => break,
                    Frame::Broken(cause, _) => panic!("{cause} in reads of {size}"),
                }
            }
        }
        assert!(seen == messages, "reads of {size}");
        assert_eq!((pings, framer.pending_bytes(), framer.memory_bytes()), (messages.len() - 1, 0, 0));
    }
}

/// The line of each quirk in INDEX.md, as far as reading goes.
#[test]
fn quirks_are_read_as_the_index_says() {
    let limits = Limits::default();
    assert_eq!(sip_files("quirks").len(), 29);
    // q01: the open quote ends with its line.
    quirk("q01", |m| {
        assert_eq!(m.value(HeaderId::UserAgent), Some(&b"RCS/1.3.0(And)"[..]));
        let services: Vec<_> = sip::features::features(m, HeaderId::AcceptContact).collect();
        assert_eq!(services.len(), 1);
        assert!(services[0].names("oma.cpm.msg"));
    });
    // q02: the foreign boundary belongs to the SDP part, which no SDP reader takes.
    quirk("q02", |m| {
        let sdp = multipart::find(m, "application", "sdp").unwrap().unwrap();
        assert!(m.text(sdp.span).windows(4).any(|w| w == b"\r\n--"));
    });
    // q03: the leading digits are the expires.
    quirk("q03", |m| {
        let contact = m.name_addrs(HeaderId::Contact).next().unwrap().unwrap();
        assert_eq!(contact.expires(), Some(3600));
        let uris = m.name_addrs(HeaderId::PAssociatedUri).count();
        assert_eq!((uris, m.count(HeaderId::Path)), (2, 1));
    });
    // q04: classified from P-Preferred-Service, or from the tag if need be.
    quirk("q04", |m| {
        let service = sip::features::service(m.value(HeaderId::PPreferredService).unwrap());
        assert_eq!(service, Some(&b"oma.cpm.msg"[..]));
        let mut features = sip::features::features(m, HeaderId::AcceptContact);
        assert!(features.any(|f| f.names("rcs.msg.vemoticon")));
        assert_eq!(uri::parse(m.from().unwrap().uri).unwrap().user, Some(&b"user1"[..]));
        assert_eq!(m.name_addrs(HeaderId::Contact).count(), 1);
    });
    // q05: a blank in the Request-URI.
    let refused = parse(&quirk_bytes("q05"), &limits, &mut Index::default()).unwrap_err();
    assert_eq!((refused.cause, refused.offset), (Cause::BadRequestUri, 7));
    // q06, q08: no scheme, two schemes.
    quirk("q06", |m| {
        let to = m.to().unwrap();
        assert_eq!(
            (to.uri, to.tag()),
            (&b"125XX001XX@as1.gc.rcs.chinamobile.com"[..], Some(&b"sbc0406jgelnifd"[..]))
        );
        assert!(uri::equal(to.uri, b"sip:125XX001XX@as1.gc.rcs.chinamobile.com"));
    });
    quirk("q08", |m| {
        let from = uri::parse(m.from().unwrap().uri).unwrap();
        assert_eq!(from.user, Some(&b"user2"[..]));
    });
    // q07: From and To exchanged: branch and CSeq match all the same.
    quirk("q07", |m| {
        assert_eq!(m.top_via().unwrap().branch(), Some(&b"z9hG4bK1393226076886"[..]));
        assert_eq!((m.method(), m.status()), (Method::Refer, 202));
    });
    // q09: opaque, but found.
    quirk("q09", |m| {
        let refer_to = m.address(HeaderId::ReferTo, Cause::MissingHeader).unwrap();
        assert!(!refer_to.bracketed);
        assert_eq!(refer_to.param(b"method"), Some(&b"SETPLC"[..]));
    });
    // q10: 8-bit bytes between parameters.
    quirk("q10", |m| {
        let contact = m.name_addrs(HeaderId::Contact).next().unwrap().unwrap();
        assert!(contact.params.has(b"isfocus"));
    });
    // q11: curly quotes, no semicolon.
    quirk("q11", |m| {
        let mut features = sip::features::features(m, HeaderId::AcceptContact);
        assert!(features.next().unwrap().names("oma.cpm.session"));
        assert_eq!(features.next(), None);
    });
    // q12: a blank before the port.
    quirk("q12", |m| {
        let contact = m.name_addrs(HeaderId::Contact).next().unwrap().unwrap();
        let uri = uri::parse(contact.uri).unwrap();
        assert_eq!((uri.host, uri.port), (&b"as1.gc.rcs.chinamobile.com"[..], Some(15332)));
        assert!(contact.params.has(b"isfocus"));
    });
    // q13: the body is announced and does not come.
    let short = quirk_bytes("q13");
    assert_eq!(datagram(&short, &limits), Datagram::Broken(Cause::Truncated));
    let (mut framer, mut input) = (Framer::new(), &short[..]);
    assert_eq!(framer.next(&mut input, &limits), Frame::Partial);
    assert_eq!(framer.pending_bytes(), short.len());
    // q14, q15: parts that cannot be told apart.
    for start in ["q14", "q15"] {
        let verdict = |m: Message<'_>| multipart::parts(m).unwrap().find_map(Result::err);
        assert_eq!(quirk(start, verdict), Some(Cause::BadMultipart), "{start}");
    }
    quirk("q15", |m| assert_eq!(m.top_via().unwrap().port, Some(43500)));
    // q16: display name without <>, blank in the host.
    quirk("q16", |m| {
        let to = m.to().unwrap();
        assert_eq!((to.display, to.tag()), (&b"\"Conf Factory\""[..], None));
        assert!(uri::equal(to.uri, b"sip:conf-fact@chinamobile.com"));
        assert_eq!(m.vias().count(), 2);
    });
    // q17: SDP in an ACK without Content-Type.
    quirk("q17", |m| assert!(multipart::find(m, "application", "sdp").unwrap().is_some()));
    // q18: nothing to match by.
    let empty = quirk_bytes("q18");
    assert_eq!(datagram(&empty, &limits), Datagram::Broken(Cause::BadContentLength));
    quirk("q18", |m| {
        assert_eq!((m.cseq(), m.method()), (Err(Cause::BadCseq), Method::Other));
        let field = m.first(HeaderId::WwwAuthenticate).unwrap();
        let challenge = sip::AuthParams::read(m.bytes(), field.value).unwrap();
        assert_eq!(challenge.get(b"algorithm"), Some(&b"AKAv1-SHA256"[..]));
    });
    // q19: credentials are opaque.
    quirk("q19", |m| {
        let field = m.first(HeaderId::Authorization).unwrap();
        let credentials = sip::AuthParams::read(m.bytes(), field.value).unwrap();
        assert_eq!(credentials.iter().count(), 6);
        assert_eq!(credentials.get(b"uri"), Some(&b"sip:registrar.home1.net"[..]));
    });
    // q20: both are kept, the last is for records.
    quirk("q20", |m| {
        let ids: Vec<_> = m.all(HeaderId::ContributionId).map(|f| m.text(f.value)).collect();
        assert_eq!(ids, [&b"bbecbbHizF46f-Dw"[..], b"u201403011700010008"]);
    });
}

/// The constructed negatives, as far as reading goes.
#[test]
fn negatives_show_what_validation_needs() {
    let kinds = |m: Message<'_>| -> Vec<String> {
        let lossy = |bytes| String::from_utf8_lossy(bytes).to_ascii_lowercase();
        multipart::parts(m).unwrap().map(|part| lossy(part.unwrap().content_type().unwrap().text)).collect()
    };
    let twice = |kinds: Vec<String>, kind: &str| kinds.iter().filter(|k| *k == kind).count() == 2;
    assert!(twice(quirk("n01", kinds), "message/cpim"));
    assert_eq!(quirk("n02", |m| multipart::parts(m).err()), Some(Cause::MissingBoundary));
    quirk("n03", |m| {
        let media_type = m.content_type().unwrap().unwrap();
        assert!(media_type.boundary().is_some() && !media_type.is("multipart", "mixed"));
    });
    quirk("n04", |m| assert!(m.content_type().unwrap().unwrap().is("application", "octet-stream")));
    quirk("n05", |m| assert!(m.content_type().unwrap().is_none() && !m.body().is_empty()));
    quirk("n06", |m| assert_eq!(sip::cpim::check(m.body()), Err(Cause::DuplicateCpimHeader)));
    quirk("n07", |m| assert_eq!(m.value(HeaderId::PPreferredIdentity), Some(&b""[..])));
    quirk("n08", |m| assert_eq!(m.cseq(), Err(Cause::BadCseq)));
    assert!(twice(quirk("n09", kinds), "application/sdp"));
}

#[test]
fn keep_alive_and_security_headers_of_the_examples() {
    let file = |name: &str| std::fs::read(Path::new(ROOT).join(name)).unwrap();
    read(&file("pager-04-message-rkeep.sip"), |m| {
        assert_eq!(m.top_via().unwrap().param(b"rkeep"), Some(&b"600"[..]));
    });
    let security = |name: &str, id| read(&file(name), |m| m.value(id).unwrap().to_vec());
    let server = security("reg-14-secagree-401.sip", HeaderId::SecurityServer);
    let verify = security("reg-15-secagree-register2.sip", HeaderId::SecurityVerify);
    assert!(sip::items::same_mechanisms(&server, &verify));
    let first = security("reg-13-secagree-register.sip", HeaderId::SecurityClient);
    let second = security("reg-15-secagree-register2.sip", HeaderId::SecurityClient);
    assert!(sip::items::same_mechanisms(&first, &second));
    // R17: the keys go, the rest of the challenge stays as it is.
    let (core, ue) = (file("reg-04-aka-401-core.sip"), file("reg-05-aka-401-ue.sip"));
    let left = read(&core, |m| {
        let field = m.first(HeaderId::WwwAuthenticate).unwrap();
        let challenge = sip::AuthParams::read(m.bytes(), field.value).unwrap();
        let (mut edits, mut out) = (EditList::new(), Vec::new());
        assert_eq!(challenge.remove(&[b"ck", b"ik"], &mut edits), 2);
        edits.gather(m.bytes(), &mut out).unwrap();
        read(&out, |m| m.value(HeaderId::WwwAuthenticate).unwrap().to_vec())
    });
    assert_eq!(left, read(&ue, |m| m.value(HeaderId::WwwAuthenticate).unwrap().to_vec()));
}
