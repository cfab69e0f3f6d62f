//! What asking a set of a million prefixes costs, for addresses inside and outside, of both families.
//!
//! Target: 100 ns (R10: every accept and every datagram pays it). `cargo bench --bench prefix_lookup`

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use wire::{Prefix, PrefixError, PrefixSet, Random};

const PREFIXES: usize = 1_000_000;
/// Asked in turn, so that neither cache nor branch predictor knows the next one.
const ADDRESSES: usize = 1 << 16;

fn prefix(first: IpAddr, length: u8) -> Prefix {
    match Prefix::new(first, length) {
        Ok(prefix) | Err(PrefixError::HostBits(prefix)) => prefix,
        Err(error) => unreachable!("{error}"),
    }
}

/// Public IPv4 space, or one provider's /32 of IPv6.
fn address(v6: bool, random: &mut Random) -> IpAddr {
    let bits = random.next_u64();
    match v6 {
        false => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
        true => IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | u128::from(bits) << 32)),
    }
}

fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("prefix_lookup");
    for (name, v6, lengths) in [("ipv4", false, [24, 28, 32, 32]), ("ipv6", true, [48, 56, 64, 128])] {
        let mut random = Random::from_u64(7);
        let prefixes: Vec<Prefix> =
            (0..PREFIXES).map(|i| prefix(address(v6, &mut random), lengths[i % 4])).collect();
        let set: PrefixSet = prefixes.iter().copied().collect();
        let strangers: Vec<IpAddr> = (0..ADDRESSES).map(|_| address(v6, &mut random)).collect();
        let barred: Vec<IpAddr> =
            (0..ADDRESSES).map(|_| prefixes[random.below(PREFIXES as u64) as usize].first()).collect();
        for (who, asked) in [("strangers", strangers), ("barred", barred)] {
            let mut at = 0;
            group.bench_function(format!("{name} {who}"), |b| {
                b.iter(|| {
                    at = (at + 1) % ADDRESSES;
                    black_box(set.contains(black_box(asked[at])))
                });
            });
        }
    }
    group.finish();
}

fn build(c: &mut Criterion) {
    let mut random = Random::from_u64(7);
    let prefixes: Vec<Prefix> = (0..PREFIXES).map(|_| prefix(address(false, &mut random), 32)).collect();
    let mut group = c.benchmark_group("prefix_build");
    group.sample_size(10);
    group.bench_function("a million", |b| b.iter(|| prefixes.iter().copied().collect::<PrefixSet>()));
    group.finish();
}

criterion_group!(benches, lookup, build);
criterion_main!(benches);
