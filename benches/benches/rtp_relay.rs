//! What the RTP relay adds to a packet of 20 ms G.711 between the receive and the send of its shell.
//!
//! The system calls of a bare relay cost 1.6 us a packet; 1.3 times that is the promise for plain RTP, so
//! the relay has 0.5 us. "one" is a session in the caches, "1,000" a session that was last touched 20 ms
//! ago. `cargo bench --bench rtp_relay`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gatehouse_benches::call::Calls;
use rtp::srtp::Suite;
use std::hint::black_box;

fn relay(c: &mut Criterion) {
    let cm = Some(Suite::AesCm128HmacSha1Tag80);
    let gcm = Some(Suite::AeadAes128Gcm);
    let kinds = [
        ("RTP to RTP", None, None),
        ("SRTP AES-CM to RTP", cm, None),
        ("RTP to SRTP AES-CM", None, cm),
        ("SRTP AES-GCM to RTP", gcm, None),
        ("SRTP AES-CM to SRTP AES-CM", cm, cm),
    ];
    for (name, access, core) in kinds {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        for (label, sessions) in [("one", 1), ("1,000", 1_000)] {
            let mut calls = Calls::new(sessions, access, core);
            group.bench_function(format!("relay, {label}"), |b| b.iter(|| calls.relay_one()));
        }
        // To be subtracted: what the phone itself costs.
        let mut calls = Calls::new(1, access, core);
        group.bench_function("phone alone", |b| b.iter(|| black_box(calls.write())));
    }
}

criterion_group!(benches, relay);
criterion_main!(benches);
