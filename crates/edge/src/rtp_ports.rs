//! The RTP ports of a shard: handed out when SDP is written, before any socket is open.
//!
//! ```text
//! reserve ─▶ SDP names the port ─▶ MediaCommand::Rtp ─▶ sockets ─▶ MediaCommand::Release
//!                                                                        │
//! release ◀─────────── MediaNotice::Rtp(Ended): the sockets are closed ◀─┘
//! ```
//! A session that was reserved and never ordered is released at once; one that was ordered, when the relay
//! says that it ended.

use crate::api::RtpPoint;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use media::rtp::PortPool;
use std::collections::BTreeMap;
use wire::{Cause, Instant, MediaId, Random, Realm};

/// The even port of a pair, on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpPort {
    /// What the socket is bound to.
    pub bound: SocketAddr,
    /// What the peer is told.
    pub advertised: SocketAddr,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `IN IP4`.
    V4,
    /// `IN IP6`.
    V6,
}

impl Family {
    /// That of an address.
    #[must_use]
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The one of the two that it is not.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

/// Which sessions have which ports.
#[derive(Debug)]
pub struct RtpPorts {
    pools: Vec<(RtpPoint, PortPool)>,
    /// By the slot of the session.
    held: Vec<Option<(MediaId, [Place; 2])>>,
    /// Ports that several sessions hold, and how many beside the first: forks of one call.
    shared: BTreeMap<Place, u32>,
}

/// Which pool, and the port.
type Place = (usize, u16);

impl RtpPorts {
    /// All ports of `points` are free; a used one rests for `rest`.
    #[must_use]
    pub fn new(points: &[RtpPoint], rest: Duration, random: &mut Random) -> Self {
        let pool = |point: &RtpPoint| (point.clone(), PortPool::new(&point.ports, rest, random));
        Self { pools: points.iter().map(pool).collect(), held: Vec::new(), shared: BTreeMap::new() }
    }

    /// Takes a pair on both sides for a new session, `[access, core]`, in the wanted families.
    ///
    /// # Errors
    /// `NotAcceptableMedia` where a side has no address of that family, `NoMediaPorts` where all its ports
    /// are in use; nothing is taken then. `Internal` for an id that has ports already.
    pub fn reserve(&mut self, id: MediaId, family: [Family; 2], now: Instant) -> Result<[RtpPort; 2], Cause> {
        self.clear_slot(id, now)?;
        let access = self.take(Realm::Access, family[0], now)?;
        let core = match self.take(Realm::Core, family[1], now) {
            Ok(core) => core,
            Err(cause) => {
                self.pools[access.0].1.give_back(access.1);
                return Err(cause);
            }
        };
        self.hold(id, [access, core])
    }

    /// Gives a new session the pair that `with` has towards the answerers of a forked offer, and one of its
    /// own towards the offerer `by`.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve); `NoMediaPorts` too if `with` has none any more.
    pub fn share(
        &mut self,
        id: MediaId,
        with: MediaId,
        by: Realm,
        family: Family,
        now: Instant,
    ) -> Result<[RtpPort; 2], Cause> {
        let held = self.held.get(with.slot as usize).copied().flatten().filter(|(held, _)| *held == with);
        let (_, mut sides) = held.filter(|_| with != id).ok_or(Cause::NoMediaPorts)?;
        self.clear_slot(id, now)?;
        sides[by as usize] = self.take(by, family, now)?;
        *self.shared.entry(sides[by.other() as usize]).or_default() += 1;
        self.hold(id, sides)
    }

    fn clear_slot(&mut self, id: MediaId, now: Instant) -> Result<(), Cause> {
        if self.ports(id).is_some() {
            return Err(Cause::Internal);
        }
        // A slot is used again only after its session ended; if nobody said so, it ended here.
        if let Some((stale, _)) = self.held.get(id.slot as usize).copied().flatten() {
            self.release(stale, now);
        }
        Ok(())
    }

    fn hold(&mut self, id: MediaId, sides: [Place; 2]) -> Result<[RtpPort; 2], Cause> {
        let slot = id.slot as usize;
        if self.held.len() <= slot {
            self.held.resize(slot + 1, None);
        }
        self.held[slot] = Some((id, sides));
        self.ports(id).ok_or(Cause::Internal)
    }

    /// The ports of a session, `[access, core]`.
    #[must_use]
    pub fn ports(&self, id: MediaId) -> Option<[RtpPort; 2]> {
        let (_, sides) =
            self.held.get(id.slot as usize).copied().flatten().filter(|(held, _)| *held == id)?;
        Some(sides.map(|(pool, port)| {
            let point = &self.pools[pool].0;
            let at = |ip| SocketAddr::new(ip, port);
            RtpPort { bound: at(point.bound), advertised: at(point.advertised) }
        }))
    }

    /// Gives the ports of a session back; they rest before they are used again.
    pub fn release(&mut self, id: MediaId, now: Instant) {
        let place =
            self.held.get_mut(id.slot as usize).and_then(|place| place.take_if(|(held, _)| *held == id));
        for (pool, port) in place.into_iter().flat_map(|(_, sides)| sides) {
            match self.shared.get_mut(&(pool, port)) {
                Some(1) => drop(self.shared.remove(&(pool, port))),
                Some(others) => *others -= 1,
                None => self.pools[pool].1.release(port, now),
            }
        }
    }

    /// Whether RTP of this family is relayed on a side.
    #[must_use]
    pub fn serves(&self, realm: Realm, family: Family) -> bool {
        self.pools.iter().any(|(point, _)| is_of(point, realm, family))
    }

    /// Pairs of a side: in use, and not in use.
    #[must_use]
    pub fn counts(&self, realm: Realm) -> [u64; 2] {
        let of_side = self.pools.iter().filter(|(point, _)| point.realm == realm);
        of_side.fold([0, 0], |[used, unused], (_, pool)| {
            [used + pool.in_use() as u64, unused + pool.unused() as u64]
        })
    }

    /// Requests of a side that found no pair.
    #[must_use]
    pub fn exhausted(&self, realm: Realm) -> u64 {
        self.pools.iter().filter(|(point, _)| point.realm == realm).map(|(_, pool)| pool.exhausted()).sum()
    }

    fn take(&mut self, realm: Realm, family: Family, now: Instant) -> Result<Place, Cause> {
        let mut cause = Cause::NotAcceptableMedia;
        for (at, (point, pool)) in self.pools.iter_mut().enumerate() {
            if is_of(point, realm, family) {
                cause = Cause::NoMediaPorts;
                if let Some(port) = pool.allocate(now) {
                    return Ok((at, port));
                }
            }
        }
        Err(cause)
    }
}

fn is_of(point: &RtpPoint, realm: Realm, family: Family) -> bool {
    point.realm == realm && Family::of(point.bound) == family
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(10);
    const V4: [Family; 2] = [Family::V4, Family::V4];

    fn ports() -> RtpPorts {
        let point = |realm, bound: &str, ports| RtpPoint {
            realm,
            bound: bound.parse().unwrap(),
            advertised: bound.replace("10.", "192.").parse().unwrap(),
            ports,
        };
        let points = [
            point(Realm::Access, "10.0.0.1", 10_000..=10_003),
            point(Realm::Access, "2001:db8::1", 10_000..=10_001),
            point(Realm::Core, "10.1.0.1", 20_000..=20_009),
        ];
        RtpPorts::new(&points, REST, &mut Random::from_u64(1))
    }

    fn id(slot: u32) -> MediaId {
        MediaId { slot, generation: 7 }
    }

    #[test]
    fn a_session_has_a_pair_on_each_side_and_gives_both_back() {
        let mut ports = ports();
        let now = Instant::from_micros(1);
        let [access, core] = ports.reserve(id(0), V4, now).unwrap();
        assert_eq!(
            (access.bound.ip(), core.bound.ip()),
            ("10.0.0.1".parse().unwrap(), "10.1.0.1".parse().unwrap())
        );
        assert_eq!(access.advertised, SocketAddr::new("192.0.0.1".parse().unwrap(), access.bound.port()));
        assert_eq!(access.bound.port() % 2, 0);
        assert_eq!(ports.ports(id(0)), Some([access, core]));
        assert_eq!(ports.ports(MediaId { generation: 8, ..id(0) }), None);
        assert_eq!(ports.reserve(id(0), V4, now), Err(Cause::Internal), "it has some");
        ports.release(MediaId { generation: 6, ..id(0) }, now);
        assert_eq!((ports.counts(Realm::Access), ports.counts(Realm::Core)), ([1, 2], [1, 4]));
        ports.release(id(0), now);
        ports.release(id(0), now);
        assert_eq!((ports.counts(Realm::Access), ports.counts(Realm::Core)), ([0, 3], [0, 5]));
    }

    #[test]
    fn forks_share_the_port_that_they_were_all_told() {
        let mut ports = ports();
        let now = Instant::from_micros(1);
        let first = ports.reserve(id(0), V4, now).unwrap();
        let second = ports.share(id(1), id(0), Realm::Access, Family::V4, now).unwrap();
        assert_eq!(second[1], first[1]);
        assert_ne!(second[0], first[0]);
        assert_eq!(ports.share(id(2), id(0), Realm::Access, Family::V4, now), Err(Cause::NoMediaPorts));
        assert_eq!((ports.counts(Realm::Access), ports.counts(Realm::Core)), ([2, 1], [1, 4]));
        ports.release(id(0), now);
        assert_eq!(ports.counts(Realm::Core), [1, 4], "the second one has it still");
        let stale = ports.share(id(2), id(0), Realm::Access, Family::V4, now);
        assert_eq!(stale, Err(Cause::NoMediaPorts));
        ports.release(id(1), now);
        assert_eq!((ports.counts(Realm::Access), ports.counts(Realm::Core)), ([0, 3], [0, 5]));
        assert!(ports.shared.is_empty());
    }

    #[test]
    fn what_cannot_be_had_takes_nothing() {
        let mut ports = ports();
        let now = Instant::from_micros(1);
        let wide = [Family::V6, Family::V4];
        ports.reserve(id(0), wide, now).unwrap();
        assert_eq!(ports.reserve(id(1), wide, now), Err(Cause::NoMediaPorts));
        assert_eq!(ports.reserve(id(1), [Family::V4, Family::V6], now), Err(Cause::NotAcceptableMedia));
        assert!(ports.serves(Realm::Access, Family::V6) && !ports.serves(Realm::Core, Family::V6));
        assert_eq!((ports.counts(Realm::Access), ports.counts(Realm::Core)), ([1, 2], [1, 4]));
        assert_eq!((ports.exhausted(Realm::Access), ports.exhausted(Realm::Core)), (1, 0));
        ports.release(id(0), now);
        assert_eq!(ports.reserve(id(1), wide, now), Err(Cause::NoMediaPorts), "it rests");
        assert!(ports.reserve(id(1), wide, now + REST).is_ok());
        let next = MediaId { generation: 8, ..id(1) };
        assert!(ports.reserve(next, V4, now + REST).is_ok(), "whoever had the slot has ended");
        assert_eq!(ports.counts(Realm::Core), [1, 4]);
    }
}
