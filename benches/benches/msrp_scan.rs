//! How fast the MSRP reader goes through a body in search of its end-line, and through small messages;
//! what a chunk costs in the relay.
//!
//! Target: 5 GB/s on a 1 MB body, the scan every chunk of a UE pays. `cargo bench --bench msrp_scan`

use core::net::SocketAddr;
use core::time::Duration;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use media::command::{MediaCommand, MsrpSession, MsrpSide, Opening};
use media::relay::{self, MsrpRelay};
use msrp::{Event, Reader, Scan};
use std::hint::black_box;
use wire::{Instant, MediaId, Realm, StreamId, Transport};

const MEGABYTE: usize = 1_000_000;

const HEAD: &[u8] = b"MSRP d93kswow SEND\r\nTo-Path: msrp://192.0.2.7:2855/hwK3zBbqenxBFB;tcp\r\n\
From-Path: msrp://10.0.0.7:9/10110;tcp\r\nMessage-ID: 12339sdqwer\r\nByte-Range: 1-*/*\r\n\
Success-Report: no\r\nFailure-Report: yes\r\nContent-Type: message/CPIM\r\n\r\n";
const END: &[u8] = b"\r\n-------d93kswow$\r\n";

/// A message with a body of a megabyte.
fn message(body: impl Fn(usize) -> u8) -> Vec<u8> {
    let body: Vec<u8> = (0..MEGABYTE).map(body).collect();
    [HEAD, &body, END].concat()
}

/// Reads one buffer to its end; returns octets of body and messages.
fn read(reader: &mut Reader, bytes: &[u8]) -> (usize, usize) {
    let (mut at, mut octets, mut messages) = (0, 0, 0);
    loop {
        match reader.next(bytes, &mut at) {
            Event::Body(piece) => octets += piece.len(),
            Event::End(..) => messages += 1,
            Event::Head(_) => {}
            Event::Partial => return (octets, messages),
            Event::Broken(cause) => unreachable!("{cause}"),
        }
    }
}

fn scan(c: &mut Criterion) {
    let mut group = c.benchmark_group("msrp_scan");
    group.throughput(Throughput::Bytes(MEGABYTE as u64));
    let mut lcg = 1u32;
    let noise: Vec<u8> = (0..MEGABYTE)
        .map(|_| {
            lcg = lcg.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (lcg >> 24) as u8
        })
        .collect();
    let bodies: [(&str, Vec<u8>); 4] = [
        ("binary", message(|i| noise[i])),
        (
            "base64 in lines of 76",
            message(|i| match i % 78 {
                76 => b'\r',
                77 => b'\n',
                _ => b'A' + noise[i] % 26,
            }),
        ),
        ("prose", message(|i| b"Dear all, see the minutes - attached.\r\n"[i % 39])),
        ("hostile: almost end-lines", message(|i| b"\r\n-------d93kswox$"[i % 18])),
    ];
    for (name, bytes) in &bodies {
        group.bench_function(*name, |b| {
            let mut reader = Reader::new(Scan::Every, 8_192);
            b.iter(|| assert_eq!(read(&mut reader, black_box(bytes)), (MEGABYTE, 1)));
        });
    }
    // As it comes from a socket: 64 KB a read, the end of each withheld if it could begin an end-line.
    group.bench_function("binary in reads of 64 KB", |b| {
        let mut reader = Reader::new(Scan::Every, 8_192);
        b.iter(|| {
            let octets: usize =
                black_box(&bodies[0].1).chunks(65_536).map(|piece| read(&mut reader, piece).0).sum();
            assert_eq!(octets, MEGABYTE);
        });
    });
    group.bench_function("naive twin, binary", |b| {
        b.iter(|| {
            let bytes = black_box(&bodies[0].1);
            assert!(bytes.windows(END.len()).any(|w| w == END));
        });
    });
    group.finish();
}

fn small(c: &mut Criterion) {
    let mut group = c.benchmark_group("msrp_messages");
    let chat = [HEAD, &[b'x'; 300], END].concat();
    let answer = b"MSRP d93kswow 200 OK\r\nTo-Path: msrp://192.0.2.7:2855/hwK3zBbqenxBFB;tcp\r\n\
From-Path: msrp://10.0.0.7:9/10110;tcp\r\n-------d93kswow$\r\n";
    for (name, bytes) in [("chat of 300 octets", &chat[..]), ("200 OK", answer)] {
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |b| {
            let mut reader = Reader::new(Scan::Every, 8_192);
            b.iter(|| assert_eq!(read(&mut reader, black_box(bytes)).1, 1));
        });
    }
    group.finish();
}

/// A relay with one session whose both connections are bound: UE in slot 1, core in slot 2.
fn relay() -> MsrpRelay {
    let mut relay = MsrpRelay::new(relay::Limits::default());
    let mut out = relay::Outbox::default();
    let side = |local: &'static str, remote: &'static str| MsrpSide {
        local_path: local.into(),
        remote_path: Some(remote.into()),
        opening: Opening::Listen,
        expect_source: None,
        ..MsrpSide::default()
    };
    let session = MsrpSession {
        id: MediaId { slot: 1, generation: 0 },
        access: side(TO_UE, "msrp://10.0.0.7:9/10110;tcp"),
        core: side(TO_CORE, "msrp://198.51.100.1:7654/hwK3zBbqenxBFB;tcp"),
        idle_max: Duration::from_secs(600),
        message_bytes_max: u64::MAX,
        call_id: "bench".into(),
        user: None,
        content: [None, None],
    };
    let mut event = |event| relay.handle(event, Instant::ZERO, &mut out);
    event(relay::Event::Command(MediaCommand::Msrp(Box::new(session))));
    for (conn, realm, bytes) in [(UE, Realm::Access, BIND_UE), (CORE, Realm::Core, BIND_CORE)] {
        let address = SocketAddr::from(([192, 0, 2, 1], 2855));
        event(relay::Event::Opened {
            conn,
            realm,
            transport: Transport::Tcp,
            local: address,
            peer: address,
            dialled_for: None,
            certificate: None,
        });
        event(relay::Event::Bytes { conn, bytes });
    }
    relay
}

const UE: StreamId = StreamId { slot: 1, generation: 0 };
const CORE: StreamId = StreamId { slot: 2, generation: 0 };
const TO_UE: &str = "msrp://192.0.2.7:2855/hwK3zBbqenxBFB;tcp";
const TO_CORE: &str = "msrp://192.0.2.8:2855/10110;tcp";
const BIND_UE: &[u8] = b"MSRP bind SEND\r\nTo-Path: msrp://192.0.2.7:2855/hwK3zBbqenxBFB;tcp\r\n\
From-Path: msrp://10.0.0.7:9/10110;tcp\r\n-------bind$\r\n";
const BIND_CORE: &[u8] = b"MSRP bind SEND\r\nTo-Path: msrp://192.0.2.8:2855/10110;tcp\r\n\
From-Path: msrp://198.51.100.1:7654/hwK3zBbqenxBFB;tcp\r\n-------bind$\r\n";

/// One read with whole chunks of `size` through the relay: finding the session, new paths, segments.
fn through_the_relay(c: &mut Criterion) {
    let mut group = c.benchmark_group("msrp_relay");
    for (name, size, chunks) in
        [("chat, 300 octets", 300, 1), ("2 KB, 30 in a read", 2_048, 30), ("60 KB", 61_440, 1)]
    {
        let one = [HEAD, &vec![b'x'; size], END].concat();
        let bytes = one.repeat(chunks);
        group.throughput(Throughput::Elements(chunks as u64));
        group.bench_function(name, |b| {
            let mut relay = relay();
            let mut out = relay::Outbox::default();
            b.iter(|| {
                let event = relay::Event::Bytes { conn: UE, bytes: black_box(&bytes) };
                relay.handle(event, Instant::ZERO, &mut out);
                assert_eq!(out.segments.len(), 2 * chunks);
                out.clear();
            });
        });
    }
    let to_core = [HEAD, &[b'x'; 2_048], END].concat();
    group.throughput(Throughput::Elements(1));
    group.bench_function("2 KB and its response", |b| {
        let mut relay = relay();
        let mut out = relay::Outbox::default();
        b.iter(|| {
            for (conn, bytes) in [(UE, &to_core[..]), (CORE, OK)] {
                let event = relay::Event::Bytes { conn, bytes: black_box(bytes) };
                relay.handle(event, Instant::ZERO, &mut out);
                assert_eq!(out.actions.len(), 1);
                out.clear();
            }
        });
    });
    group.finish();
}

const OK: &[u8] = b"MSRP d93kswow 200 OK\r\nTo-Path: msrp://192.0.2.8:2855/10110;tcp\r\n\
From-Path: msrp://198.51.100.1:7654/hwK3zBbqenxBFB;tcp\r\n-------d93kswow$\r\n";

criterion_group!(benches, scan, small, through_the_relay);
criterion_main!(benches);
