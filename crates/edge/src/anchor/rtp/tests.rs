//! What the tests of anchoring share.

use super::*;
use crate::api::RtpPoint;
use crate::negotiation::MediaIds;
use core::time::Duration;
use std::sync::LazyLock;
use wire::{DialogId, Instant, Random};

/// Ports on both sides and in both families.
pub(crate) fn ports() -> RtpPorts {
    let point = |realm, ip: &str, ports| RtpPoint {
        realm,
        bound: ip.parse().unwrap(),
        advertised: ip.parse().unwrap(),
        ports,
    };
    let points = [
        point(Realm::Access, "203.0.113.1", 10_000..=10_099),
        point(Realm::Access, "2001:db8:a::1", 11_000..=11_099),
        point(Realm::Core, "198.51.100.1", 20_000..=20_099),
    ];
    RtpPorts::new(&points, Duration::from_secs(10), &mut Random::from_u64(1))
}

/// Terms under this policy, `[access, core]`.
pub(crate) fn terms(srtp: [Srtp; 2]) -> RtpTerms<'static> {
    static CALL_ID: LazyLock<Arc<str>> = LazyLock::new(|| "call".into());
    RtpTerms {
        srtp,
        keying: [config::Keying::Sdes; 2],
        latching: [config::Latching::Signaller, config::Latching::Strict],
        suites: &[Suite::AesCm128HmacSha1Tag80, Suite::AeadAes128Gcm],
        fingerprint: Some("sha-256 00:11"),
        call_id: &CALL_ID,
    }
}

/// All that a desk stands on.
pub(crate) struct Office {
    pub(crate) legs: Legs,
    pub(crate) ids: MediaIds,
    pub(crate) ports: RtpPorts,
    random: Random,
}

impl Office {
    pub(crate) fn new() -> Self {
        let (ids, random) = (MediaIds::new(100, 0), Random::from_u64(2));
        Self { legs: Legs::default(), ids, ports: ports(), random }
    }

    pub(crate) fn desk(&mut self) -> Desk<'_> {
        let call = DialogId { slot: 0, generation: 0 };
        let (legs, ids, ports, random) = (&mut self.legs, &mut self.ids, &mut self.ports, &mut self.random);
        Desk { legs, ids, ports, random, call, now: Instant::from_micros(1) }
    }
}
