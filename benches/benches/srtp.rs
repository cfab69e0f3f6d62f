//! What SRTP costs on a packet of 20 ms G.711, in place, suite by suite.
//!
//! A bare relay spends 1.6 us a packet; SRTP may add a quarter of that. `cargo bench --bench srtp`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rtp::srtp::{Error, MasterKey, Receiver, Sender, Suite};
use std::hint::black_box;
use wire::Random;

/// 12 octets of header and 160 of voice.
const PLAIN_BYTES: usize = 172;

/// Writes a packet that never came before.
fn fresh(buffer: &mut [u8], index: u64) {
    buffer[..PLAIN_BYTES].fill(0x5a);
    buffer[..12].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef]);
    buffer[2..4].copy_from_slice(&(index as u16).to_be_bytes());
}

fn srtp(c: &mut Criterion) {
    for suite in Suite::ALL {
        let mut group = c.benchmark_group(suite.name());
        group.throughput(Throughput::Elements(1));
        let key = MasterKey::random(suite, &mut Random::from_u64(1));
        let mut buffer = [0u8; 256];

        group.bench_function("protect", |b| {
            let mut sender = Sender::new(&key);
            let mut index = 0;
            b.iter(|| {
                fresh(&mut buffer, index);
                index += 1;
                let len = sender.protect_rtp(black_box(&mut buffer), PLAIN_BYTES);
                assert_eq!(len, Ok(PLAIN_BYTES + suite.rtp_growth_bytes()));
            });
        });

        group.bench_function("protect and open", |b| {
            let (mut sender, mut receiver) = (Sender::new(&key), Receiver::new(&key));
            let mut index = 0;
            b.iter(|| {
                fresh(&mut buffer, index);
                index += 1;
                let len = sender.protect_rtp(&mut buffer, PLAIN_BYTES).expect("a valid packet");
                assert_eq!(receiver.open_rtp(black_box(&mut buffer[..len])), Ok(PLAIN_BYTES));
            });
        });

        // What an attacker makes us spend on each packet.
        group.bench_function("refuse a forged packet", |b| {
            let mut receiver = Receiver::new(&key);
            let len = PLAIN_BYTES + suite.rtp_growth_bytes();
            b.iter(|| {
                fresh(&mut buffer, 1);
                assert_eq!(receiver.open_rtp(black_box(&mut buffer[..len])), Err(Error::BadTag));
            });
        });

        group.bench_function("keys of a session", |b| {
            b.iter(|| (Sender::new(black_box(&key)), Receiver::new(black_box(&key))));
        });
    }
}

criterion_group!(benches, srtp);
criterion_main!(benches);
