//! Bodies of the fuzz targets: each takes any bytes, looks at them through every view and asserts the
//! laws. They panic only if a law is broken, so the tests run them over mutated messages as well.

use crate::frame::{Datagram, Frame, Framer, datagram};
use crate::items::{Item, RAck, Reason, SessionExpires, Warning};
use crate::{
    AuthParams, CSeq, HeaderId, Index, Limits, MediaType, Message, NameAddr, Params, Via, cpim, edit,
    features, multipart as parts, parse, salvage, uri as uris, write,
};
use wire::bytes_class::{self, TOKEN};
use wire::{Cause, EditList, Span};

const LIMITS: Limits = Limits { head_bytes_max: 4096, headers_max: 64, body_bytes_max: 8192 };

/// One message: fast and naive reading agree, lines cover the head, views stay inside the bytes, no
/// edits give the same bytes, edits and answers can be read back.
pub fn message(bytes: &[u8]) {
    let mut index = Index::default();
    match parse(bytes, &LIMITS, &mut index) {
        Ok(message) => {
            assert_eq!(naive_lines(bytes), Ok(lines(message)), "fast and naive reading differ");
            covers(message);
            views(message);
            edits(message);
            answer(message);
        }
        Err(error) => {
            assert!(error.offset <= bytes.len(), "{error:?}");
            let refused_by_line = matches!(error.cause, Cause::BadHeaderLine | Cause::Truncated);
            assert!(!refused_by_line || naive_lines(bytes).is_err(), "{error:?}");
            if let Some(message) = salvage(bytes, &LIMITS, &mut index) {
                views(message);
                if message.is_request() {
                    answer(message);
                }
            }
        }
    }
    let _ = datagram(bytes, &LIMITS);
}

/// Start line and fields, folds included, without the last line end.
fn lines(message: Message<'_>) -> Vec<&[u8]> {
    let start = message.text(message.start_span());
    let fields = message.fields().map(|f| message.text(f.line));
    let bare = |line: &'_ [u8]| line.len() - 2;
    core::iter::once(start).chain(fields).map(|line| &line[..bare(line)]).collect()
}

/// The same, byte by byte, as the RFC would have it.
fn naive_lines(bytes: &[u8]) -> Result<Vec<&[u8]>, ()> {
    let mut lines: Vec<(usize, usize)> = Vec::new();
    let mut start = 0;
    loop {
        let mut end = start;
        let stops = |at: usize| match bytes.get(at) {
            None | Some(b'\r' | b'\n') => true,
            Some(0) => at == start || bytes[at - 1] != b'\\',
            Some(_) => false,
        };
        while !stops(end) {
            end += 1;
        }
        if bytes.get(end) != Some(&b'\r') || bytes.get(end + 1) != Some(&b'\n') {
            return Err(());
        }
        if end == start {
            return Ok(lines.iter().map(|&(from, to)| &bytes[from..to]).collect());
        }
        let folded = matches!(bytes[start], b' ' | b'\t');
        match lines.len() {
            0 => lines.push((start, end)),
            1 if folded => return Err(()),
            _ if folded => lines.last_mut().ok_or(())?.1 = end,
            _ => {
                naive_header(&bytes[start..end])?;
                lines.push((start, end));
            }
        }
        start = end + 2;
    }
}

fn naive_header(line: &[u8]) -> Result<(), ()> {
    let colon = line.iter().position(|&b| b == b':').ok_or(())?;
    let name = bytes_class::trim(&line[..colon]);
    (line.starts_with(name) && bytes_class::all(name, TOKEN)).then_some(()).ok_or(())
}

fn covers(message: Message<'_>) {
    let mut at = message.start_span().end;
    for field in message.fields() {
        assert_eq!(field.line.start, at);
        assert!(field.name.start == at && field.name.end < field.value.start);
        assert!(field.value.end + 2 <= field.line.end);
        at = field.line.end;
    }
    assert_eq!(at as usize, message.fields_end());
    assert_eq!(message.head_span().end as usize + message.body().len(), message.bytes().len());
}

/// Every view of every field, whatever its name says.
fn views(message: Message<'_>) {
    let bytes = message.bytes();
    let _ = (message.top_via(), message.cseq(), message.from(), message.to(), message.call_id());
    let _ = (message.max_forwards(), message.content_type(), message.content_length(), message.expires());
    let _ = (message.method(), message.method_text(), message.reason(), message.vias().count());
    let _ = uris::parse(message.uri());
    for field in message.fields() {
        assert!(message.unknown(message.text(field.name)).any(|f| f == field));
        value(bytes, field.value);
    }
    for &id in HeaderId::KNOWN {
        assert_eq!(message.first(id).is_some(), message.count(id) > 0);
        let mut last_end = 0;
        for element in message.elements(id) {
            assert!(element.span.start >= last_end && !element.text.is_empty());
            assert_eq!(message.field(element.field).map(|f| f.id), Some(id));
            last_end = element.span.end;
        }
        message.name_addrs(id).flatten().for_each(|address| inside(bytes, &address));
    }
    let _ = features::features(message, HeaderId::AcceptContact).count();
    let _ = parts::find(message, "application", "sdp");
    let _ = cpim::check(message.body());
}

fn value(bytes: &[u8], within: Span) {
    let text = within.of(bytes);
    if let Some(address) = NameAddr::read(bytes, within) {
        inside(bytes, &address);
    }
    if let Some(via) = Via::read(bytes, within) {
        let _ = (via.branch(), via.rport(), via.received());
        assert!(via.sent_by.of(bytes).starts_with(via.host));
        params(bytes, via.params);
    }
    if let Some(auth) = AuthParams::read(bytes, within) {
        let mut edits = EditList::new();
        let removed = auth.remove(&[b"ck", b"ik"], &mut edits);
        let mut out = Vec::new();
        edits.gather(bytes, &mut out).expect("removals do not overlap");
        let behind = Span::new(within.start as usize, out.len().min(within.end as usize));
        if removed > 0 && behind.end >= behind.start {
            assert!(out.len() < bytes.len());
        }
    }
    if let Some(media_type) = MediaType::read(bytes, within) {
        let _ = media_type.boundary();
        params(bytes, media_type.params);
    }
    if let Some(item) = Item::read(bytes, within) {
        params(bytes, item.params);
    }
    let _ = (CSeq::read(text), RAck::read(text), Reason::read(bytes, within));
    let _ = (SessionExpires::read(bytes, within), Warning::read(bytes, within));
    let _ = (features::service(text), features::features_in(text).count());
    assert_eq!(
        crate::items::same_mechanisms(text, b""),
        bytes_class::trim(text).iter().all(|&b| b == b',' || matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
    );
}

fn inside(bytes: &[u8], address: &NameAddr<'_>) {
    assert_eq!(address.uri_span.of(bytes), address.uri);
    assert!(!address.uri.is_empty());
    assert!(address.span.start <= address.uri_span.start);
    assert!(address.uri_span.end <= address.params_span.start && address.params_span.end <= address.span.end);
    let _ = (address.tag(), address.expires());
    params(bytes, address.params);
    let _ = uris::parse(address.uri);
}

fn params(bytes: &[u8], list: Params<'_>) {
    let within = list.span();
    let mut at = within.start;
    for param in list.entries() {
        assert!(param.span.start >= at && param.span.end <= within.end);
        assert_eq!(param.value.unwrap_or_default(), param.value_span.of(bytes));
        at = param.span.end;
    }
}

fn edits(message: Message<'_>) {
    let mut edits = EditList::new();
    let mut out = Vec::new();
    assert_eq!(edits.gather(message.bytes(), &mut out), Ok(message.bytes().len()));
    assert_eq!(out, message.bytes(), "no edits, other bytes");
    out.clear();
    edit::remove_elements(message, HeaderId::Require, |tag| tag.len() % 2 == 0, &mut edits);
    edit::remove_first(message, HeaderId::Route, &mut edits);
    edit::set(message, HeaderId::MaxForwards, b"69", &mut edits);
    edit::prepend(message, "Record-Route", b"<sip:e;lr>", &mut edits);
    edit::stamp_top_via(message, SOURCE.into(), &mut edits);
    edits.replace(message.body_span(), b"v=0\r\n");
    edit::fit_content_length(message, &mut edits);
    let predicted = edits.gathered_len(message.bytes().len());
    assert_eq!(edits.gather(message.bytes(), &mut out), Ok(predicted));
    let limits = Limits { head_bytes_max: out.len(), headers_max: 128, ..LIMITS };
    let mut index = Index::default();
    let edited = parse(&out, &limits, &mut index).expect("an edited message can be read");
    assert_eq!(edited.max_forwards(), Ok(Some(69)));
    assert_eq!(edited.content_length(), Ok(Some(5)));
    assert_eq!(edited.body(), b"v=0\r\n");
    assert_eq!(edited.value(HeaderId::RecordRoute), Some(&b"<sip:e;lr>"[..]));
}

const SOURCE: core::net::SocketAddrV4 =
    core::net::SocketAddrV4::new(core::net::Ipv4Addr::new(192, 0, 2, 7), 5062);

fn answer(request: Message<'_>) {
    let mut out = Vec::new();
    let response = write::Response {
        status: 400,
        to_tag: Some(b"t"),
        source: Some(SOURCE.into()),
        ..write::Response::default()
    };
    response.write(request, &mut out);
    let limits = Limits { head_bytes_max: out.len(), headers_max: 128, ..LIMITS };
    let mut index = Index::default();
    let read = parse(&out, &limits, &mut index).expect("an answer can be read");
    assert_eq!((read.status(), read.body()), (400, &b""[..]));
    assert_eq!(read.count(HeaderId::Via), request.count(HeaderId::Via));
    if request.count(HeaderId::CallId) == 1 {
        assert_eq!(read.call_id(), request.call_id());
    }
    if request.to().is_ok() {
        assert!(read.to().is_ok_and(|to| to.tag().is_some()));
    }
}

/// A stream: however it is split, the same frames; each message is one datagram, too. The first byte
/// chooses the split.
pub fn stream(bytes: &[u8]) {
    let (&first, stream) = bytes.split_first().unwrap_or((&0, b""));
    let whole = frames(stream.chunks(stream.len().max(1)));
    let split = frames(stream.chunks(usize::from(first) % 64 + 1));
    assert_eq!(whole, split, "frames depend on the split");
    for frame in &whole.0 {
        if let Kind::Message(bytes) = frame {
            assert_eq!(datagram(bytes, &LIMITS), Datagram::Message(&bytes[..]));
            message(bytes);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Message(Vec<u8>),
    Ping,
    Pong,
    Broken(Cause),
}

/// The frames, and how many bytes were left pending.
fn frames<'a>(reads: impl Iterator<Item = &'a [u8]>) -> (Vec<Kind>, usize) {
    let mut framer = Framer::new();
    let mut seen = Vec::new();
    for mut input in reads {
        loop {
            match framer.next(&mut input, &LIMITS) {
                Frame::Message(message) => seen.push(Kind::Message(message.to_vec())),
                Frame::Ping => seen.push(Kind::Ping),
                Frame::Pong => seen.push(Kind::Pong),
                Frame::Partial => break,
                Frame::Broken(cause, _) => {
                    seen.push(Kind::Broken(cause));
                    return (seen, 0);
                }
            }
        }
        assert!(input.is_empty());
        assert!(framer.pending_bytes() <= LIMITS.head_bytes_max + LIMITS.body_bytes_max);
        assert!(framer.pending_bytes() > 1 || framer.memory_bytes() <= 8);
    }
    (seen, framer.pending_bytes())
}

/// A URI, and the same bytes as the value of any field.
pub fn uri(bytes: &[u8]) {
    value(bytes, Span::new(0, bytes.len()));
    let half = bytes.len() / 2;
    assert_eq!(uris::equal(&bytes[..half], &bytes[half..]), uris::equal(&bytes[half..], &bytes[..half]));
    let Ok(uri) = uris::parse(bytes) else {
        return;
    };
    assert_eq!(uri.user_span.of(bytes), uri.user.unwrap_or_default());
    assert_eq!(uri.host_span.of(bytes), uri.host);
    assert!(uri.host_port_span.of(bytes).starts_with(uri.host));
    assert_eq!(uri.number_span.of(bytes), uri.number.unwrap_or_default());
    params(bytes, uri.params);
    assert!(uris::equal(bytes, bytes), "a URI equals itself");
    let _ = (uri.is_loose(), uri.phone_number(), uri.host_port().ip());
    let mut key = Vec::new();
    uri.push_key(&mut key);
    if uri.scheme != uris::Scheme::Other {
        let again = uris::parse(&key).expect("a key is a URI");
        let mut twice = Vec::new();
        again.push_key(&mut twice);
        assert_eq!(key, twice, "a key is its own key");
    }
}

/// A multipart body; its first line is the boundary.
pub fn multipart(bytes: &[u8]) {
    let line = memchr::memchr(b'\n', bytes).unwrap_or(0);
    let (boundary, body) = (&bytes[..line], bytes.get(line + 1..).unwrap_or_default());
    let mut at = 0;
    let mut count = 0;
    for part in parts::split(body, boundary) {
        let Ok(part) = part else {
            count += 1;
            continue;
        };
        count += 1;
        assert!(part.span.start >= at && part.head_span.start == part.span.start);
        assert!(part.head_span.end == part.body_span.start && part.body_span.end == part.span.end);
        at = part.span.end;
        for field in part.fields() {
            assert_eq!(field.value_span.of(body), field.value);
            assert!(part.field(&String::from_utf8_lossy(field.name)).is_some());
        }
        let _ = (part.content_type(), part.disposition(), part.content_length_span());
        let _ = cpim::check(part.body());
    }
    assert!(count <= parts::PARTS_MAX + 1);
    let _ = (cpim::check(bytes), cpim::headers(bytes).count());
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index as At;

    fn vectors() -> Vec<Vec<u8>> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors");
        let mut paths: Vec<_> = [root.to_owned(), format!("{root}/quirks")]
            .iter()
            .flat_map(|directory| std::fs::read_dir(directory).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "sip"))
            .collect();
        paths.sort();
        paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    /// One change to a text.
    #[derive(Clone, Debug)]
    enum Change {
        Set(At, u8),
        Insert(At, Vec<u8>),
        Remove(At, usize),
        Repeat(At, usize),
    }

    fn change() -> impl Strategy<Value = Change> {
        let telling = prop::sample::select(&b"\r\n\0 \t:;,<>\"'()@=*%+[]\\/?&-.\x80\xff0z"[..]);
        let word = prop::sample::select(vec![
            "\r\n",
            "\r\n\r\n",
            "\r\n ",
            "Via: ",
            "l: ",
            "Content-Length: 3",
            "\"",
            "sip:",
            "--BY",
            ", ",
            "[::1]",
        ]);
        prop_oneof![
            (any::<At>(), telling).prop_map(|(at, b)| Change::Set(at, b)),
            (any::<At>(), word).prop_map(|(at, w)| Change::Insert(at, w.as_bytes().to_vec())),
            (any::<At>(), 1usize..40).prop_map(|(at, n)| Change::Remove(at, n)),
            (any::<At>(), 1usize..80).prop_map(|(at, n)| Change::Repeat(at, n)),
        ]
    }

    fn apply(text: &mut Vec<u8>, change: &Change) {
        let place = |at: &At| at.index(text.len() + 1);
        match change {
            Change::Set(at, byte) => {
                let at = place(at);
                if let Some(old) = text.get_mut(at) {
                    *old = *byte;
                }
            }
            Change::Insert(at, word) => {
                let at = place(at);
                text.splice(at..at, word.iter().copied());
            }
            Change::Remove(at, count) => {
                let at = place(at);
                text.drain(at..(at + count).min(text.len()));
            }
            Change::Repeat(at, count) => {
                let at = place(at);
                let copy = text[at..(at + count).min(text.len())].to_vec();
                text.splice(at..at, copy);
            }
        }
    }

    #[test]
    fn the_vectors_keep_the_laws() {
        for bytes in vectors() {
            message(&bytes);
            stream(&[&[6], &bytes[..]].concat());
            for line in bytes.split(|&b| b == b'\n') {
                uri(line);
                uri(&line[line.iter().position(|&b| b == b':').map_or(0, |at| at + 1)..]);
            }
            for boundary in ["BY", "jXfWUFcrCxZEXdN", "spiderboundary"] {
                multipart(&[boundary.as_bytes(), b"\n", &bytes[..]].concat());
            }
        }
    }

    #[test]
    fn hostile_lengths() {
        for filler in
            [0u8, b'\r', b'\n', b' ', b'"', b'<', b'(', b':', b';', b',', b'@', b'-', b'%', b'a', 0xff]
        {
            for length in 0..=64 {
                let bytes = vec![filler; length];
                message(&bytes);
                stream(&bytes);
                uri(&bytes);
                multipart(&bytes);
                let field = [b"BYE sip:a SIP/2.0\r\nTo:", &bytes[..], b"\r\n\r\n"].concat();
                message(&field);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 2000,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn mutated_messages_keep_the_laws(
            pick in any::<At>(),
            changes in prop::collection::vec(change(), 0..6),
            split in any::<u8>(),
        ) {
            let mut bytes = pick.get(&vectors()).clone();
            changes.iter().for_each(|change| apply(&mut bytes, change));
            message(&bytes);
            multipart(&[b"BY\n", &bytes[..]].concat());
            bytes.insert(0, split);
            stream(&bytes);
        }

        #[test]
        fn any_bytes_keep_the_laws(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            message(&bytes);
            stream(&bytes);
            uri(&bytes);
            multipart(&bytes);
        }

        #[test]
        fn any_value_keeps_the_laws(text in "[ \t:;,<>\"'()@=*%+\\[\\]\\\\/?&.a-c0-2-]{0,60}", scheme in "(sip:|tel:|sips: |\"x\" <|)") {
            uri(format!("{scheme}{text}").as_bytes());
            message(format!("BYE sip:a SIP/2.0\r\nTo: {scheme}{text}\r\nm:{text}\r\nVia: SIP/2.0/UDP {text}\r\n\r\n").as_bytes());
        }
    }
}
