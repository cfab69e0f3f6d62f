use super::*;
use crate::fuzz::{Message, collect, naive, stream};
use proptest::prelude::*;

const SEND: &[u8] = b"MSRP abcd SEND\r\nTo-Path: msrp://b:1/y;tcp\r\nFrom-Path: msrp://a:1/x;tcp\r\n\
Byte-Range: 1-5/5\r\nContent-Type: text/plain\r\n\r\n";

fn send(body: &[u8], end: &[u8]) -> Vec<u8> {
    [SEND, body, end].concat()
}

fn bodies(bytes: &[u8]) -> Vec<(Vec<u8>, Flag)> {
    stream(bytes);
    let (messages, _) = collect(bytes, 1 << 20, Scan::Every);
    messages.into_iter().map(|m: Message| (m.body, m.flag)).collect()
}

/// R75.
#[test]
fn near_misses_of_the_end_line_are_body() {
    let end = b"\r\n-------abcd$\r\n";
    let table: &[(&str, &[u8])] = &[
        ("plain", b"hello"),
        ("nothing", b""),
        ("five hyphens (q21)", b"x\r\n-----abcd$\r\n"),
        ("six hyphens", b"x\r\n------abcd$\r\n"),
        ("eight hyphens", b"x\r\n--------abcd$\r\n"),
        ("other case (q23)", b"x\r\n-------abcD$\r\n"),
        ("longer id", b"x\r\n-------abcde$\r\n"),
        ("shorter id", b"x\r\n-------abc$\r\n"),
        ("no flag", b"x\r\n-------abcd\r\n"),
        ("wrong flag", b"x\r\n-------abcd*\r\n"),
        ("text behind the flag", b"x\r\n-------abcd$ \r\n"),
        ("bare LF behind", b"x\r\n-------abcd$\nmore"),
        ("bare LF before", b"x\n-------abcd$\r\n"),
        ("CR, not LF, at the end", b"x\r\n-------abcd$\rmore"),
        ("not at the start of a line", b"x-------abcd$\r\n"),
        ("one inside another", b"x\r\n-------\r\n-------\r\n----"),
        ("restart in the last CRLF", b"x\r\n-------abcd$\r"),
        ("many CRs", b"\r\r\r\r\n\r\n\r\r\n---\r"),
        ("a head", b"\r\nMSRP abcd SEND\r\nTo-Path: x\r\n\r\n"),
        ("binary", &[0, 255, 13, 10, 45, 45, 45, 0]),
    ];
    for (name, body) in table {
        let bytes = send(body, end);
        assert_eq!(bodies(&bytes), [(body.to_vec(), Flag::Last)], "{name}");
        // The bytes behind must not be eaten by the message before.
        let twice = [&bytes[..], &bytes[..]].concat();
        assert_eq!(bodies(&twice).len(), 2, "{name}, twice");
    }
}

#[test]
fn flags_and_bodyless_messages() {
    let response = b"MSRP abcd 200 OK\r\nTo-Path: a\r\nFrom-Path: b\r\n-------abcd$\r\n";
    let all = [
        &send(b"one", b"\r\n-------abcd+\r\n")[..],
        response,
        b"\r\n\r\n",
        &send(b"two", b"\r\n-------abcd#\r\n"),
        &send(b"", b"-------abcd$\r\n"),
    ]
    .concat();
    let found = bodies(&all);
    let expected: Vec<(Vec<u8>, Flag)> = vec![
        (b"one".to_vec(), Flag::More),
        (b"".to_vec(), Flag::Last),
        (b"two".to_vec(), Flag::Abort),
        (b"".to_vec(), Flag::Last),
    ];
    assert_eq!(found, expected);
}

/// Every vector, alone and in one stream, cut at every offset into two reads.
#[test]
fn vectors_cut_at_every_offset() {
    let mut files: Vec<_> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "msrp"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 24);
    let mut all = Vec::new();
    for file in &files {
        let bytes = std::fs::read(file).unwrap();
        let (messages, broken) = collect(&bytes, bytes.len(), Scan::Every);
        assert_eq!((messages.len(), broken), (1, None), "{}", file.display());
        assert_eq!(messages, naive(&bytes).0);
        for cut in 1..bytes.len() {
            assert_eq!(collect(&bytes, cut, Scan::Every).0, messages, "{} cut at {cut}", file.display());
            assert_eq!(collect(&bytes, cut, Scan::Announced).0, messages);
        }
        all.extend_from_slice(&bytes);
    }
    let (messages, _) = naive(&all);
    assert_eq!(messages.len(), 24);
    for size in (1..200).chain([500, 1000, 4096]) {
        assert_eq!(collect(&all, size, Scan::Every).0, messages, "reads of {size}");
    }
}

#[test]
fn quirks_of_the_field() {
    let table: &[(&str, &[u8], usize)] = &[
        ("q21", include_bytes!("../../../../tests/vectors/quirks/q21-msrp-five-dashes.msrp"), 0),
        ("q22", include_bytes!("../../../../tests/vectors/quirks/q22-msrp-length-and-cpim.msrp"), 1),
        ("q23", include_bytes!("../../../../tests/vectors/quirks/q23-msrp-tid-mismatch.msrp"), 0),
        ("q24", include_bytes!("../../../../tests/vectors/quirks/q24-msrp-cpim-header-order.msrp"), 1),
    ];
    for (name, bytes, messages) in table {
        stream(bytes);
        for scan in [Scan::Every, Scan::Announced] {
            let (found, broken) = collect(bytes, 4096, scan);
            assert_eq!((found.len(), broken), (*messages, None), "{name}");
        }
    }
}

#[test]
fn a_believed_range_hides_an_end_line_and_a_full_scan_does_not() {
    let body = b"x\r\n-------abcd$\r\nMSRP evil SEND";
    let head = String::from_utf8(SEND.to_vec()).unwrap().replace("1-5/5", &format!("1-{0}/{0}", body.len()));
    let bytes = [head.as_bytes(), body, b"\r\n-------abcd$\r\n"].concat();
    let believed = collect(&bytes, 4096, Scan::Announced).0;
    assert_eq!(believed.len(), 1);
    assert_eq!(believed[0].body, body);
    let scanned = collect(&bytes, 4096, Scan::Every).0;
    assert_eq!(scanned[0].body, b"x");
}

#[test]
fn a_wrong_range_is_not_believed() {
    for range in ["1-2/2", "1-99/99", "7-3/9", "1-0/0", "1-18446744073709551615/*", "nonsense"] {
        let head = String::from_utf8(SEND.to_vec()).unwrap().replace("1-5/5", range);
        let bytes = [head.as_bytes(), b"hello\r\n-------abcd$\r\n"].concat();
        for size in [3, 50, 4096] {
            assert_eq!(collect(&bytes, size, Scan::Announced).0[0].body, b"hello", "{range}");
        }
    }
}

#[test]
fn the_head_is_capped_and_the_body_is_not() {
    let long = [b"MSRP abcd SEND\r\nX: ", &[b'x'; 300][..], b"\r\n\r\n"].concat();
    for size in [1, 7, 64, 1000] {
        let mut reader = Reader::new(Scan::Every, 256);
        let mut verdict = None;
        for piece in long.chunks(size) {
            let mut at = 0;
            match reader.next(piece, &mut at) {
                Event::Partial => {}
                Event::Broken(cause) => verdict = Some(cause),
                other => panic!("{other:?}"),
            }
            assert!(reader.held_bytes() <= 256);
        }
        assert_eq!(verdict, Some(Cause::MsrpHeadTooLong), "reads of {size}");
    }
}

#[test]
fn a_body_of_any_size_is_never_held() {
    let mut reader = Reader::new(Scan::Every, 4096);
    let block = vec![b'\r'; 65_536];
    let mut at = 0;
    assert!(matches!(reader.next(SEND, &mut at), Event::Head(_)));
    let mut body = 0;
    for _ in 0..256 {
        at = 0;
        while let Event::Body(piece) = reader.next(&block, &mut at) {
            body += piece.len();
        }
        assert!(reader.held_bytes() < 50);
    }
    at = 0;
    assert!(matches!(reader.next(b"\n-------abcd$\r\n", &mut at), Event::End(Flag::Last, _)));
    assert_eq!(body, 256 * 65_536 - 1);
    assert!(reader.is_between_messages());
}

#[test]
fn unread_gives_the_head_back() {
    let bytes = [&send(b"hello", b"\r\n-------abcd$\r\n")[..], b"MSRP next"].concat();
    for cut in 0..SEND.len() {
        let mut reader = Reader::new(Scan::Every, 4096);
        let mut at = 0;
        if cut > 0 {
            assert!(matches!(reader.next(&bytes[..cut], &mut at), Event::Partial));
        }
        at = 0;
        assert!(matches!(reader.next(&bytes[cut..], &mut at), Event::Head(_)));
        let mut held = Vec::new();
        reader.unread(&bytes[cut..], at, &mut held);
        assert_eq!(held, bytes, "cut at {cut}");
        assert!(reader.is_between_messages());
    }
}

fn soup() -> impl Strategy<Value = Vec<u8>> {
    let bits: Vec<&'static [u8]> = vec![
        b"\r\n",
        b"\r",
        b"\n",
        b"-",
        b"-------",
        b"abcd",
        b"abce",
        b"$",
        b"+",
        b"#",
        b"x",
        SEND,
        b"\r\n-------abcd$\r\n",
        b"MSRP abcd 200 OK\r\n",
        b"\r\n-------",
        b"-------abcd",
    ];
    let pieces = proptest::collection::vec(proptest::sample::select(bits), 0..40);
    pieces.prop_map(|pieces| [SEND, &pieces.concat()].concat())
}

proptest! {
    /// Law: any way to cut the stream gives what a naive reader of the whole gives.
    #[test]
    fn soups_of_almost_end_lines(bytes in soup(), size in 1usize..70) {
        stream(&bytes);
        prop_assert_eq!(collect(&bytes, size, Scan::Every), naive(&bytes));
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        stream(&bytes);
        stream(&[SEND, &bytes].concat());
        crate::fuzz::uri(&bytes);
    }
}
