//! Address ranges (CIDR prefixes), and sets of a million of them that answer in some tens of nanoseconds.
//!
//! A set is made once and never changed: whoever maintains it builds the next one beside it and swaps
//! the two. Prefixes nest or are disjoint, so what lies inside another is dropped, and the rest is a
//! sorted list of ranges. Above the list stand levels of every sixteenth start: a search compares one
//! run of sixteen on each level, which for IPv4 is a cache line, and the upper levels stay in the cache.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// An address, or all addresses that share its first bits.
///
/// An IPv4 address mapped into IPv6 (`::ffff:192.0.2.1`) is the IPv4 address it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    first: IpAddr,
    length: u8,
}

/// Why a text is no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// Neither `address` nor `address/length`.
    Malformed,
    /// More bits than the address has.
    TooLong(u8),
    /// Bits behind the prefix are set; this is what the range would be.
    HostBits(Prefix),
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not an address or address/length"),
            Self::TooLong(max) => write!(f, "the length is above {max}"),
            Self::HostBits(meant) => write!(f, "bits behind the prefix are set; the range is {meant}"),
        }
    }
}

impl core::error::Error for PrefixError {}

impl Prefix {
    /// The range of all addresses that share the first `length` bits of `first`.
    ///
    /// # Errors
    /// `TooLong`, or `HostBits` if `first` is not the first address of the range.
    pub fn new(first: IpAddr, length: u8) -> Result<Self, PrefixError> {
        let canonical = first.to_canonical();
        let (first, length) = match (first, canonical) {
            (IpAddr::V6(_), IpAddr::V4(_)) if (96..=128).contains(&length) => (canonical, length - 96),
            _ => (first, length),
        };
        let max = bits(first);
        if length > max {
            return Err(PrefixError::TooLong(max));
        }
        let masked = match first {
            IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & !low_bits_v4(length))),
            IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & !low_bits_v6(length))),
        };
        match masked == first {
            true => Ok(Self { first, length }),
            false => Err(PrefixError::HostBits(Self { first: masked, length })),
        }
    }

    /// The first address.
    #[must_use]
    pub const fn first(self) -> IpAddr {
        self.first
    }

    /// How many bits all its addresses share.
    #[must_use]
    pub const fn length(self) -> u8 {
        self.length
    }

    /// The range around it that shares `length` bits; itself if it shares fewer already.
    #[must_use]
    pub fn shortened(self, length: u8) -> Self {
        match Self::new(self.first, length.min(self.length)) {
            Ok(prefix) | Err(PrefixError::HostBits(prefix)) => prefix,
            Err(_) => self,
        }
    }

    /// Whether `address` lies in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()) & !low_bits_v4(self.length) == 0,
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()) & !low_bits_v6(self.length) == 0,
            _ => false,
        }
    }
}

const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The bits behind the first `length`.
fn low_bits_v4(length: u8) -> u32 {
    u32::MAX.checked_shr(length.into()).unwrap_or(0)
}

fn low_bits_v6(length: u8) -> u128 {
    u128::MAX.checked_shr(length.into()).unwrap_or(0)
}

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        let first = address.to_canonical();
        Self { first, length: bits(first) }
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let address = |text: &str| text.parse::<IpAddr>().map_err(|_| PrefixError::Malformed);
        let Some((first, length)) = text.split_once('/') else {
            return address(text).map(Self::from);
        };
        let digits = (1..=3).contains(&length.len()) && length.bytes().all(|b| b.is_ascii_digit());
        let first = address(first)?;
        if !digits {
            return Err(PrefixError::Malformed);
        }
        Self::new(first, length.parse().map_err(|_| PrefixError::TooLong(bits(first)))?)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length == bits(self.first) {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}/{}", self.first, self.length),
        }
    }
}

/// An immutable set of prefixes of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixSet {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl PrefixSet {
    /// Whether `address` lies in any of the prefixes.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.contains(address.to_bits()),
            IpAddr::V6(address) => self.v6.contains(address.to_bits()),
        }
    }

    /// Whether no address lies in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.ranges.is_empty() && self.v6.ranges.is_empty()
    }
}

impl FromIterator<Prefix> for PrefixSet {
    fn from_iter<I: IntoIterator<Item = Prefix>>(prefixes: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for Prefix { first, length } in prefixes {
            match first {
                IpAddr::V4(a) => v4.push((a.to_bits(), a.to_bits() | low_bits_v4(length))),
                IpAddr::V6(a) => v6.push((a.to_bits(), a.to_bits() | low_bits_v6(length))),
            }
        }
        Self { v4: Ranges::new(v4), v6: Ranges::new(v6) }
    }
}

/// Starts compared on one level.
const RUN: usize = 16;

/// Disjoint ranges in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges<K> {
    /// First and last address of every range; together, so that a search ends in one stretch of memory.
    ranges: Vec<(K, K)>,
    /// Every sixteenth start, then every sixteenth of these, up to one run.
    levels: Vec<Vec<K>>,
}

impl<K: Copy + Ord> Ranges<K> {
    fn new(mut ranges: Vec<(K, K)>) -> Self {
        // Of two that start alike the longer one comes first, and swallows the other.
        ranges.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        ranges.dedup_by(|inner, outer| inner.0 <= outer.1);
        ranges.shrink_to_fit();
        let mut levels = Vec::new();
        let mut level: Vec<K> = ranges.iter().map(|range| range.0).step_by(RUN).collect();
        while !level.is_empty() {
            let above = (level.len() > RUN).then(|| level.iter().copied().step_by(RUN).collect());
            levels.push(level);
            level = above.unwrap_or_default();
        }
        Self { ranges, levels }
    }

    fn contains(&self, key: K) -> bool {
        let mut at = 0;
        for level in self.levels.iter().rev() {
            let run = run(level, at);
            // Counted and not searched: no branch to guess wrong.
            let Some(below) = run.iter().filter(|start| **start <= key).count().checked_sub(1) else {
                return false; // before the first range; lower down a run begins with what led to it
            };
            at = at * RUN + below;
        }
        let run = run(&self.ranges, at);
        let below = run.iter().filter(|(start, _)| *start <= key).count();
        below > 0 && run.get(below - 1).is_some_and(|(_, end)| key <= *end)
    }
}

fn run<T>(level: &[T], at: usize) -> &[T] {
    let rest = level.get(at * RUN..).unwrap_or_default();
    rest.get(..RUN).unwrap_or(rest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Random;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_are_read_strictly_and_written_shortly() {
        for (text, written) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1/32", "192.0.2.1"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("::1/128", "::1"),
            ("::/0", "::/0"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ] {
            assert_eq!(prefix(text).to_string(), written, "{text}");
            assert_eq!(prefix(written), prefix(text));
        }
        for (text, error) in [
            ("", PrefixError::Malformed),
            ("192.0.2", PrefixError::Malformed),
            ("192.0.2.1/", PrefixError::Malformed),
            ("192.0.2.1/+8", PrefixError::Malformed),
            ("192.0.2.1/ 8", PrefixError::Malformed),
            ("192.0.2.0/33", PrefixError::TooLong(32)),
            ("::/129", PrefixError::TooLong(128)),
            ("::/999", PrefixError::TooLong(128)),
            ("192.0.2.1/24", PrefixError::HostBits(prefix("192.0.2.0/24"))),
            ("2001:db8::1/64", PrefixError::HostBits(prefix("2001:db8::/64"))),
        ] {
            assert_eq!(text.parse::<Prefix>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_shorter_prefix_holds_the_longer() {
        for (text, length, shorter) in [
            ("192.0.2.1", 24, "192.0.2.0/24"),
            ("192.0.2.1", 0, "0.0.0.0/0"),
            ("192.0.2.0/24", 32, "192.0.2.0/24"),
            ("2001:db8::1", 32, "2001:db8::/32"),
        ] {
            assert_eq!(prefix(text).shortened(length), prefix(shorter), "{text} to {length}");
        }
    }

    #[test]
    fn the_edges_of_ranges_are_inside() {
        let set: PrefixSet = ["10.1.0.0/16", "10.1.2.0/24", "255.255.255.255", "2001:db8::/64", "::/128"]
            .map(prefix)
            .into_iter()
            .collect();
        for (address, inside) in [
            ("10.0.255.255", false),
            ("10.1.0.0", true),
            ("10.1.255.255", true),
            ("::ffff:10.1.3.4", true),
            ("10.2.0.0", false),
            ("255.255.255.255", true),
            ("0.0.0.0", false),
            ("::", true),
            ("::1", false),
            ("2001:db8::ffff:ffff:ffff:ffff", true),
            ("2001:db8:0:1::", false),
            ("ffff::", false),
        ] {
            assert_eq!(set.contains(address.parse().unwrap()), inside, "{address}");
        }
        assert!(PrefixSet::default().is_empty() && PrefixSet::from_iter([]).is_empty());
        assert!(!PrefixSet::default().contains("::".parse().unwrap()));
        let all: PrefixSet = ["0.0.0.0/0", "::/0"].map(prefix).into_iter().collect();
        for address in ["0.0.0.0", "255.255.255.255", "::", "ffff::1"] {
            assert!(all.contains(address.parse().unwrap()), "{address}");
        }
    }

    /// Few distinct bits, so that ranges nest, touch and repeat.
    fn any_address(random: &mut Random) -> IpAddr {
        let bits = random.next_u64();
        match bits & 1 {
            0 => IpAddr::V4(Ipv4Addr::from_bits((bits >> 8) as u32 & 0xc003_0107)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(u128::from(bits & 0x8000_0000_0000_ff00) << 64 | 0x3)),
        }
    }

    fn any_prefix(random: &mut Random) -> Prefix {
        let first = any_address(random);
        let length = (random.next_u64() % (u64::from(bits(first)) + 1)) as u8;
        let length = if random.below(4) == 0 { length } else { length.max(20) };
        match Prefix::new(first, length) {
            Ok(prefix) | Err(PrefixError::HostBits(prefix)) => prefix,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_set_says_what_asking_every_prefix_says() {
        for seed in 0..300 {
            let mut random = Random::from_seed([seed as u8; 32]);
            let count = if seed % 3 == 0 { 5_000 } else { seed };
            let prefixes: Vec<_> = (0..count).map(|_| any_prefix(&mut random)).collect();
            let set: PrefixSet = prefixes.iter().copied().collect();
            for _ in 0..100 {
                let address = any_address(&mut random);
                let naive = prefixes.iter().any(|p| p.contains(address));
                assert_eq!(set.contains(address), naive, "seed {seed}: {address}");
            }
        }
    }
}
