use super::*;
use crate::fuzz::client_frame as frame;

/// Reads `bytes` in pieces of `size`: the octets of MSRP, the answers, how it ended.
fn read(bytes: &[u8], size: usize) -> (Vec<u8>, Vec<u8>, Option<Ended>) {
    let mut deframer = Deframer::default();
    let (mut plain, mut replies) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(size) {
        let mut piece = piece.to_vec();
        let got = deframer.read(&mut piece, &mut replies);
        plain.extend_from_slice(&piece[..got.plain]);
        if got.ended.is_some() {
            return (plain, replies, got.ended);
        }
    }
    (plain, replies, None)
}

#[test]
fn payload_comes_out_whatever_the_cut() {
    let body: Vec<u8> = (0..70_000u32).map(|n| (n * 7) as u8).collect();
    for len in [0, 1, 7, 125, 126, 127, 65_535, 65_536, 70_000] {
        for (opcode, fin) in [(BINARY, FIN), (TEXT, FIN)] {
            let stream = frame(fin | opcode, &body[..len], [0x11, 0x22, 0x83, 0xf4]);
            for size in [1, 2, 3, 13, 4_096, 1_000_000] {
                let (plain, replies, ended) = read(&stream, size);
                assert!(plain == body[..len] && replies.is_empty() && ended.is_none(), "{len} cut at {size}");
            }
        }
    }
}

#[test]
fn fragments_and_control_frames_between_them() {
    let stream = [
        frame(BINARY, b"MSRP ", [1; 4]),
        frame(FIN | PING, b"are you there", [2; 4]),
        frame(CONTINUATION, b"abcd ", [3; 4]),
        frame(FIN | PONG, b"", [4; 4]),
        frame(FIN | CONTINUATION, b"SEND", [5; 4]),
        frame(FIN | TEXT, b"!", [6; 4]),
        frame(FIN | CLOSE, &[0x03, 0xe8, b'b', b'y', b'e'], [7; 4]),
        frame(FIN | TEXT, b"after the end", [8; 4]),
    ]
    .concat();
    for size in [1, 5, 1_000] {
        let (plain, replies, ended) = read(&stream, size);
        assert_eq!(plain, b"MSRP abcd SEND!");
        assert_eq!(
            replies,
            [&[FIN | PONG, 13][..], b"are you there", &[FIN | CLOSE, 2, 0x03, 0xe8]].concat()
        );
        assert_eq!(ended, Some(Ended::Closed));
    }
    assert_eq!(read(&frame(FIN | CLOSE, b"", [9; 4]), 9).1, [FIN | CLOSE, 0]);
}

/// RFC 6455 §5: each fault by itself; what came before it still counts.
#[test]
fn faults_end_the_connection() {
    let good = frame(FIN | BINARY, b"good", [1, 2, 3, 4]);
    let long = |bytes: &[u8]| [bytes, &[0; 16]].concat();
    let table: &[(&str, Vec<u8>)] = &[
        ("unmasked", vec![FIN | BINARY, 4, 1, 2, 3, 4]),
        ("reserved bit", frame(FIN | 0x40 | BINARY, b"x", [1; 4])),
        ("opcode 3", frame(FIN | 3, b"x", [1; 4])),
        ("opcode 11", frame(FIN | 11, b"x", [1; 4])),
        ("continuation of nothing", frame(FIN | CONTINUATION, b"x", [1; 4])),
        ("two beginnings", [frame(BINARY, b"", [1; 4]), frame(FIN | BINARY, b"", [1; 4])].concat()),
        ("ping in fragments", frame(PING, b"x", [1; 4])),
        ("long ping", frame(FIN | PING, &[b'x'; 126], [1; 4])),
        ("two octets for a short length", long(&[FIN | BINARY, MASKED | 126, 0, 125])),
        ("eight octets for a short length", long(&[FIN | BINARY, MASKED | 127, 0, 0, 0, 0, 0, 0, 255, 255])),
        ("the highest bit", long(&[FIN | BINARY, MASKED | 127, 128, 0, 0, 0, 0, 1, 0, 0])),
        ("close of one octet", frame(FIN | CLOSE, b"x", [1; 4])),
        ("close with a code of ours alone", frame(FIN | CLOSE, &[0x03, 0xee], [1; 4])),
        ("close with no code at all", frame(FIN | CLOSE, &[0, 0], [1; 4])),
    ];
    for (name, bad) in table {
        for size in [1, 1_000] {
            let (plain, _, ended) = read(&[&good[..], bad].concat(), size);
            assert_eq!(ended, Some(Ended::Broken(CloseCode::ProtocolError)), "{name}");
            assert_eq!(plain, b"good", "{name}");
        }
    }
}

const MESSAGES: &[&str] = &[
    "MSRP a1b2 SEND\r\nTo-Path: msrp://a:1/x;tcp\r\nFrom-Path: msrp://b:2/y;tcp\r\nMessage-ID: 1\r\n\
Content-Type: text/plain\r\n\r\nnear miss \r\n-------a1b3$\r\n and another \r\n-------a1b2\r\n-------a1b2$\r\n",
    "MSRP c3d4 200 OK\r\nTo-Path: msrp://a:1/x;tcp\r\nFrom-Path: msrp://b:2/y;tcp\r\n-------c3d4$\r\n",
    "MSRP e5f6 SEND\r\nTo-Path: msrp://a:1/x;tcp\r\nFrom-Path: msrp://b:2/y;tcp\r\n-------e5f6+\r\n",
];

/// RFC 7977 §4.2: a WebSocket message holds one message of MSRP, all of it and nothing else.
#[test]
fn each_message_is_framed_by_itself_whatever_the_cut() {
    let stream = MESSAGES.concat();
    for size in (1..=stream.len()).rev() {
        let mut framer = Framer::new(4_096);
        let mut out = Vec::new();
        for piece in stream.as_bytes().chunks(size) {
            framer.write(piece, &mut out);
        }
        let messages = crate::fuzz::server_messages(&out).unwrap();
        let expected: Vec<Vec<u8>> = MESSAGES.iter().map(|m| m.as_bytes().to_vec()).collect();
        assert_eq!(messages, expected, "pieces of {size}");
    }
}

#[test]
fn lengths_of_frames_are_written_in_the_shortest_form() {
    for (len, head) in [(125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
        let mut out = Vec::new();
        Framer::new(4_096).push(&vec![b'x'; len], FIN, &mut out);
        assert_eq!(out.len(), head + len);
        assert_eq!(crate::fuzz::server_messages(&out).unwrap(), [vec![b'x'; len]]);
    }
}
