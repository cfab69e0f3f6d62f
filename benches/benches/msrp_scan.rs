//! How fast the MSRP reader goes through a body in search of its end-line, and through small messages.
//!
//! Target: 5 GB/s on a 1 MB body, the scan every chunk of a UE pays. `cargo bench --bench msrp_scan`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use msrp::{Event, Reader, Scan};
use std::hint::black_box;

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

criterion_group!(benches, scan, small);
criterion_main!(benches);
