use super::*;
use proptest::prelude::*;

/// A frame that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Message(Vec<u8>),
    Ping,
    Pong,
    Broken(Cause, Option<Vec<u8>>),
}

/// What a framer makes of these reads, and the framer.
fn feed<'a>(reads: impl IntoIterator<Item = &'a [u8]>, limits: &Limits) -> (Vec<Seen>, Framer) {
    let mut framer = Framer::new();
    let mut seen = Vec::new();
    for mut input in reads {
        loop {
            match framer.next(&mut input, limits) {
                Frame::Message(bytes) => seen.push(Seen::Message(bytes.to_vec())),
                Frame::Ping => seen.push(Seen::Ping),
                Frame::Pong => seen.push(Seen::Pong),
                Frame::Partial => break,
                Frame::Broken(cause, head) => {
                    seen.push(Seen::Broken(cause, head.map(<[u8]>::to_vec)));
                    return (seen, framer);
                }
            }
        }
        assert!(input.is_empty(), "Partial means that all input was taken");
    }
    (seen, framer)
}

fn frames(bytes: &[u8]) -> Vec<Seen> {
    feed([bytes], &Limits::default()).0
}

const SHORT: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n";
const WITH_BODY: &[u8] =
    b"MESSAGE sip:a SIP/2.0\r\nTo: x\r\nContent-Length: 9\r\nVia: y\r\n\r\nbody\r\n\r\nx";
const FOLDED: &[u8] = b"SIP/2.0 200 OK\r\nCONTENT-LENGTH \t:\r\n 4\r\nTo: x\r\n y\r\n\r\nbody";

#[test]
fn messages_and_keepalives_come_off_one_by_one() {
    let stream = [b"\r\n\r\n", SHORT, b"\r\n", WITH_BODY, FOLDED, b"\r\n\r\n\r\n"].concat();
    let message = |bytes: &[u8]| Seen::Message(bytes.to_vec());
    assert_eq!(
        frames(&stream),
        [
            Seen::Pong,
            Seen::Ping,
            message(SHORT),
            Seen::Pong,
            message(WITH_BODY),
            message(FOLDED),
            Seen::Pong,
            Seen::Ping,
            Seen::Pong
        ]
    );
}

#[test]
fn a_message_that_lies_whole_in_the_input_is_not_copied() {
    let stream = [SHORT, WITH_BODY].concat();
    let mut input = &stream[..];
    let mut framer = Framer::new();
    let Frame::Message(message) = framer.next(&mut input, &Limits::default()) else {
        panic!("a whole message");
    };
    assert_eq!(message.as_ptr(), stream.as_ptr());
    assert_eq!(framer.memory_bytes(), 0);
    assert_eq!(input, WITH_BODY);
}

#[test]
fn an_idle_framer_holds_no_memory() {
    let (head, tail) = WITH_BODY.split_at(30);
    let (_, mut framer) = feed([head], &Limits::default());
    assert_eq!(framer.pending_bytes(), 30);
    let mut input = tail;
    assert!(matches!(framer.next(&mut input, &Limits::default()), Frame::Message(_)));
    assert_eq!(framer.pending_bytes(), 0);
    assert_eq!(framer.next(&mut input, &Limits::default()), Frame::Partial);
    assert_eq!(framer.memory_bytes(), 0);
    let (_, framer) = feed([&b"\r\n\r"[..]], &Limits::default());
    assert_eq!((framer.memory_bytes(), framer.pending_bytes()), (0, 1));
}

#[test]
fn streams_that_cannot_be_framed() {
    let head = "BYE sip:a SIP/2.0\r\n";
    for (bytes, cause, answerable) in [
        (format!("{head}To: x\r\n\r\n"), Cause::BadContentLength, true),
        (format!("{head}l:\r\n\r\n"), Cause::BadContentLength, true),
        (format!("{head}l: -1\r\n\r\n"), Cause::BadContentLength, true),
        (format!("{head}l: 1 2\r\n\r\n"), Cause::BadContentLength, true),
        (format!("{head}l: 1\r\n 2\r\n\r\n"), Cause::BadContentLength, true),
        (format!("{head}l: 4294967296\r\n\r\n"), Cause::BadContentLength, true),
        (format!("{head}l: 1\r\nContent-Length: 2\r\n\r\n"), Cause::BadContentLength, true),
        (format!("{head}l: 262145\r\n\r\n"), Cause::BodyTooLong, true),
        (format!("{head}To: {}", "x".repeat(16 * 1024)), Cause::HeadTooLong, true),
        (format!("{head}To: x\nl: 0\r\n\r\n"), Cause::BadHeaderLine, true),
        ("GET / HTTP/1.1\r\n".to_owned(), Cause::NotSip, false),
        ("BYE sip:a SIP/2.0\n".to_owned(), Cause::NotSip, false),
        ("\u{16}\u{3}\u{1}".to_owned(), Cause::NotSip, false),
        ("\rX".to_owned(), Cause::NotSip, false),
        ("\n".to_owned(), Cause::NotSip, false),
    ] {
        let seen = frames(bytes.as_bytes());
        let [Seen::Broken(got, head)] = &seen[..] else {
            panic!("{bytes:.60?}: {seen:?}");
        };
        assert_eq!((*got, head.is_some()), (cause, answerable), "{bytes:.60?}");
    }
}

#[test]
fn broken_stays_broken() {
    let (_, mut framer) = feed([&b"GET / HTTP/1.1\r\n"[..]], &Limits::default());
    let mut input = SHORT;
    assert_eq!(framer.next(&mut input, &Limits::default()), Frame::Broken(Cause::NotSip, None));
    assert!(input.is_empty());
}

#[test]
fn content_length_may_stand_twice_with_one_value() {
    let bytes = b"BYE sip:a SIP/2.0\r\nl: 2\r\nContent-Length: 02\r\nl2: 9\r\nContent-Lengths: 8\r\n\r\nxx";
    assert_eq!(frames(bytes), [Seen::Message(bytes.to_vec())]);
}

#[test]
fn caps_hold_at_both_edges() {
    let limits = Limits { head_bytes_max: SHORT.len(), headers_max: 9, body_bytes_max: 3 };
    assert_eq!(feed([SHORT], &limits).0, [Seen::Message(SHORT.to_vec())]);
    let longer = [&SHORT[..SHORT.len() - 2], b"\r\n"].concat();
    assert_eq!(feed([&longer[..]], &limits).0.len(), 1);
    let tight = Limits { head_bytes_max: SHORT.len() - 1, ..limits };
    assert!(matches!(feed([SHORT], &tight).0[..], [Seen::Broken(Cause::HeadTooLong, Some(_))]));
    let body = |n: usize| format!("BYE sip:a SIP/2.0\r\nl: {n}\r\n\r\n{}", "x".repeat(n));
    assert!(matches!(feed([body(3).as_bytes()], &limits).0[..], [Seen::Message(_)]));
    assert!(matches!(feed([body(4).as_bytes()], &limits).0[..], [Seen::Broken(Cause::BodyTooLong, _)]));
}

#[test]
fn datagrams() {
    let limits = Limits::default();
    assert_eq!(datagram(SHORT, &limits), Datagram::Message(SHORT));
    let trailing = [WITH_BODY, b"trailing"].concat();
    assert_eq!(datagram(&trailing, &limits), Datagram::Message(WITH_BODY));
    let open_end = b"MESSAGE sip:a SIP/2.0\r\n\r\nall of it";
    assert_eq!(datagram(open_end, &limits), Datagram::Message(open_end));
    let late = [b"\r\n\r\n", SHORT].concat();
    assert_eq!(datagram(&late, &limits), Datagram::Message(SHORT));
    for keepalive in [&b""[..], b"\r\n\r\n", b"\r\n", b"\0\0\0\0", b" ", b"\0"] {
        assert_eq!(datagram(keepalive, &limits), Datagram::Keepalive);
    }
    let mut stun = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    stun.extend([7; 12]);
    assert_eq!(datagram(&stun, &limits), Datagram::Stun);
    for (bytes, cause) in [
        (&WITH_BODY[..WITH_BODY.len() - 1], Cause::Truncated),
        (&SHORT[..SHORT.len() - 1], Cause::Truncated),
        (b"BYE sip:a SIP/2.0\r\nl:\r\n\r\n", Cause::BadContentLength),
        (b"jaK", Cause::Truncated),
        (b"\x16\x03\x01", Cause::NotSip),
        (&stun[..19], Cause::NotSip),
    ] {
        assert_eq!(datagram(bytes, &limits), Datagram::Broken(cause), "{}", bytes.escape_ascii());
    }
}

/// Pieces of a stream, valid and not.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => Just(SHORT.to_vec()),
        4 => Just(WITH_BODY.to_vec()),
        4 => Just(FOLDED.to_vec()),
        3 => Just(b"\r\n".to_vec()),
        2 => (0usize..6000).prop_map(|n| {
            format!("NOTIFY sip:a SIP/2.0\r\nl: {n}\r\n\r\n{}", "\r\n".repeat(n).get(..n).unwrap()).into_bytes()
        }),
        1 => Just(b"BYE sip:a SIP/2.0\r\nTo: x\r\n\r\n".to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_into_reads_gives_the_same_frames(
        pieces in proptest::collection::vec(piece(), 0..8),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..20),
    ) {
        let stream = pieces.concat();
        let mut places: Vec<usize> = cuts.iter().map(|c| c.index(stream.len() + 1)).collect();
        places.extend([0, stream.len()]);
        places.sort_unstable();
        let reads = places.windows(2).map(|w| &stream[w[0]..w[1]]);
        let strip = |seen: Vec<Seen>| -> Vec<Seen> {
            // How much of a broken head had come depends on the split, by its nature.
            let strip = |s| match s { Seen::Broken(cause, _) => Seen::Broken(cause, None), other => other };
            seen.into_iter().map(strip).collect()
        };
        prop_assert_eq!(
            strip(feed(reads, &Limits::default()).0),
            strip(frames(&stream))
        );
    }

    #[test]
    fn every_prefix_of_a_message_is_partial(body in proptest::collection::vec(any::<u8>(), 0..50)) {
        let mut message = format!("MESSAGE sip:a SIP/2.0\r\nTo: x\r\n y\r\nl: {}\r\n\r\n", body.len()).into_bytes();
        message.extend(body);
        for end in 0..message.len() {
            prop_assert_eq!(frames(&message[..end]), vec![]);
        }
        prop_assert_eq!(frames(&message), vec![Seen::Message(message.clone())]);
    }

    #[test]
    fn a_framed_message_is_what_parse_and_datagram_take(pieces in proptest::collection::vec(piece(), 0..4)) {
        for seen in frames(&pieces.concat()) {
            if let Seen::Message(bytes) = seen {
                prop_assert_eq!(datagram(&bytes, &Limits::default()), Datagram::Message(&bytes[..]));
            }
        }
    }
}
