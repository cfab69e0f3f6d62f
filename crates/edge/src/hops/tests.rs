#![allow(clippy::unwrap_used)]

use super::*;
use config::{Core, Pool, PoolMember, Probe};
use wire::{Located, Random};

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn place(text: &str) -> Place {
    text.parse::<HostQuery>().unwrap().literal().unwrap()
}

/// URI, priority, weight.
type Row<'a> = (&'a str, u16, u16);

fn config(pools: &[(&str, &[Row<'_>])]) -> Config {
    let member = |(uri, priority, weight): &Row<'_>| PoolMember {
        uri: uri.parse().unwrap(),
        priority: *priority,
        weight: *weight,
    };
    let pool = |(name, members): &(&str, &[Row<'_>])| Pool {
        name: (*name).to_owned(),
        members: members.iter().map(member).collect(),
    };
    let core = Core {
        pools: pools.iter().map(pool).collect(),
        pool: pools.first().map_or("", |(name, _)| *name).to_owned(),
        attempts_max: 32,
        ..Core::default()
    };
    Config { core, ..Config::default() }
}

fn hops(config: &Config) -> Hops {
    Hops::new(config, [0; 4])
}

/// Who is chosen, one after the other, for one request.
fn order(hops: &Hops, draw: u64, now: Instant) -> Vec<String> {
    let mut tried = Tried::of(hops.initial());
    core::iter::from_fn(|| hops.choose(&mut tried, draw, now, |_| true)).map(|p| p.0.to_string()).collect()
}

#[test]
fn the_plain_list_is_used_in_its_order() {
    let hop = |port| config::NextHop {
        address: SocketAddr::from(([192, 0, 2, 1], port)),
        transport: Transport::Udp,
    };
    let core = Core { next_hops: vec![hop(1), hop(2), hop(3)], attempts_max: 2, ..Core::default() };
    let mut hops = hops(&Config { core, ..Config::default() });
    assert_eq!(order(&hops, 7, at(1)), ["192.0.2.1:1", "192.0.2.1:2"], "attempts_max");
    let first = (hop(1).address, Transport::Udp);
    hops.failed(first, Failure::Silent, at(1));
    assert_eq!(order(&hops, 7, at(2)), ["192.0.2.1:2", "192.0.2.1:3"]);
    assert_eq!(order(&hops, 7, at(31))[0], "192.0.2.1:1");
    hops.failed(first, Failure::Unreachable, at(31));
    hops.heard(first, at(32));
    assert_eq!(order(&hops, 7, at(32))[0], "192.0.2.1:1", "whoever is heard of lives");
}

#[test]
fn members_of_one_priority_share_by_weight() {
    let hops = hops(&config(&[(
        "p",
        &[("sip:192.0.2.1", 1, 3), ("sip:192.0.2.2", 1, 1), ("sip:192.0.2.3", 1, 0), ("sip:192.0.2.9", 2, 9)],
    )]));
    let mut random = Random::from_u64(1);
    let mut counts = [0u32; 10];
    for _ in 0..40_000 {
        let first = order(&hops, random.next_u64(), at(1)).remove(0);
        counts[usize::from(first.as_bytes()[8] - b'0')] += 1;
    }
    let share = f64::from(counts[1]) / f64::from(counts[2]);
    assert!((2.8..3.2).contains(&share), "{counts:?}");
    assert!(
        counts[3] < 40 && counts[9] == 0,
        "weight 0 is for tests, priority 2 for emergencies: {counts:?}"
    );
    // A request that goes through all of them tries each once, and the lower priority last.
    let mut all = order(&hops, 5, at(1));
    assert_eq!(all.pop().as_deref(), Some("192.0.2.9:5060"));
    all.sort();
    assert_eq!(all, ["192.0.2.1:5060", "192.0.2.2:5060", "192.0.2.3:5060"]);
}

#[test]
fn a_member_that_asked_for_a_rest_gets_it() {
    let mut hops = hops(&config(&[("p", &[("sip:192.0.2.1", 1, 1), ("sip:192.0.2.2", 2, 1)])]));
    let (a, b) = (place("sip:192.0.2.1"), place("sip:192.0.2.2"));
    let asked = |seconds| Failure::Refused(Some(Duration::from_secs(seconds)));
    hops.failed(a, asked(20), at(0));
    hops.heard(a, at(1));
    assert_eq!(order(&hops, 1, at(19)), ["192.0.2.2:5060"], "not even as a last resort");
    hops.failed(b, asked(100_000), at(10));
    assert!(order(&hops, 1, at(19)).is_empty());
    let tried = Tried::of(hops.initial());
    assert_eq!(
        hops.all_rest_for(&tried, at(15)),
        Some((Duration::from_secs(5), true)),
        "the sooner of the two"
    );
    assert_eq!(order(&hops, 1, at(20)), ["192.0.2.1:5060"]);
    assert_eq!(hops.all_rest_for(&tried, at(20)), None);
    assert_eq!(order(&hops, 1, at(309)).len(), 1);
    assert_eq!(order(&hops, 1, at(310)).len(), 2, "retry_after_seconds_max");
    hops.failed(a, asked(0), at(400));
    assert_eq!(order(&hops, 1, at(400)), ["192.0.2.2:5060"], "a second at least");
    assert_eq!(order(&hops, 1, at(401)).len(), 2);
    // A failure meanwhile does not shorten it.
    hops.failed(a, asked(200), at(500));
    hops.failed(a, Failure::Silent, at(510));
    assert_eq!(order(&hops, 1, at(699)), ["192.0.2.2:5060"]);
}

#[test]
fn when_all_have_failed_the_one_whose_rest_ends_first_is_tried() {
    let mut hops = hops(&config(&[("p", &[("sip:192.0.2.1", 1, 1), ("sip:192.0.2.2", 1, 1)])]));
    hops.failed(place("sip:192.0.2.2"), Failure::Silent, at(1));
    hops.failed(place("sip:192.0.2.1"), Failure::Unreachable, at(2));
    assert_eq!(order(&hops, 1, at(3)), ["192.0.2.2:5060", "192.0.2.1:5060"]);
    let tried = Tried::of(hops.initial());
    assert_eq!(hops.others(&tried, at(3)), 0);
    assert_eq!(hops.all_rest_for(&tried, at(3)), Some((Duration::from_secs(28), false)));
}

#[test]
fn probes_take_a_member_out_and_bring_it_back() {
    let mut config = config(&[("p", &[("sip:192.0.2.1", 1, 1), ("sip:192.0.2.2", 2, 1)])]);
    config.core.probe = Probe { interval_seconds: 10, failures: 2, successes: 2, ..Probe::default() };
    let mut hops = hops(&config);
    let a = place("sip:192.0.2.1");
    let settings = hops.settings;
    let lost = |hops: &mut Hops| hops.hop_mut(a).unwrap().health.on_probe_lost(&settings);
    let first = |hops: &Hops| order(hops, 1, at(9)).remove(0);
    assert!(!lost(&mut hops));
    assert_eq!(first(&hops), "192.0.2.1:5060");
    assert!(lost(&mut hops));
    assert_eq!(order(&hops, 1, at(9)), ["192.0.2.2:5060"], "down: not even as a last resort");
    assert!(!lost(&mut hops), "it goes down once");
    for expected in ["192.0.2.2:5060", "192.0.2.1:5060"] {
        hops.hop_mut(a).unwrap().health.on_probe_answered(at(9), &settings);
        assert_eq!(first(&hops), expected);
    }
    // Probes that are switched off leave nobody down for ever.
    assert!(!lost(&mut hops) && lost(&mut hops));
    config.core.probe = Probe::default();
    hops.configure(&config);
    assert_eq!(first(&hops), "192.0.2.1:5060");
    assert_eq!(hops.next_probe_at(), None);
}

#[test]
fn the_first_probes_are_spread_over_an_interval_and_the_next_ones_do_not_gather() {
    let members: Vec<String> = (1..=200).map(|n| format!("sip:192.0.2.{n}")).collect();
    let members: Vec<(&str, u16, u16)> = members.iter().map(|m| (&**m, 1, 1)).collect();
    let mut config = config(&[("p", &members)]);
    config.core.next_hops = vec![];
    config.core.probe.interval_seconds = 10;
    let mut hops = hops(&config);
    let mut random = Random::from_u64(3);
    let mut sent: Vec<u64> = Vec::new();
    let mut now = at(1);
    assert!(hops.due_probes(now, &mut random).is_empty(), "the first wake only spreads them");
    while now < at(31) {
        now = hops.next_probe_at().unwrap();
        let due = hops.due_probes(now, &mut random);
        assert!(!due.is_empty() && due.len() <= 16, "{}", due.len());
        sent.extend(due.iter().map(|_| now.since(at(1)).as_secs()));
    }
    for second in 0..30 {
        let count = sent.iter().filter(|s| **s == second).count();
        assert!((5..45).contains(&count), "{count} in second {second}");
    }
}

fn located(text: &str, rank: u16, weight: u32) -> Located {
    let (address, transport) = place(text);
    Located { rank, address, transport, weight }
}

#[test]
fn names_lead_where_the_directory_says_and_health_outlives_its_changes() {
    let config = config(&[("p", &[("sip:core.example", 1, 1), ("sip:192.0.2.9", 2, 1)])]);
    let mut hops = hops(&config);
    assert_eq!(order(&hops, 1, at(1)), ["192.0.2.9:5060"], "a name that is not known has no members");
    let name: HostQuery = "sip:core.example".parse().unwrap();
    let tell = |hops: &mut Hops, places: Vec<Located>| {
        let mut directory = Directory::default();
        directory.set(name.clone(), places);
        hops.resolved(Arc::new(directory), &config);
    };
    tell(&mut hops, vec![located("sip:192.0.2.1", 0, 1), located("sip:192.0.2.2;transport=tcp", 1, 1)]);
    assert_eq!(order(&hops, 1, at(1)), ["192.0.2.1:5060", "192.0.2.2:5060", "192.0.2.9:5060"]);
    hops.failed(place("sip:192.0.2.1"), Failure::Silent, at(1));
    tell(&mut hops, vec![located("sip:192.0.2.1", 0, 1), located("sip:192.0.2.3", 1, 1)]);
    assert_eq!(order(&hops, 1, at(2)), ["192.0.2.3:5060", "192.0.2.9:5060", "192.0.2.1:5060"]);
    assert_eq!(hops.transport_of("192.0.2.2:5060".parse().unwrap()), None, "gone");
    let status: Vec<String> =
        hops.status(at(2)).iter().map(|s| format!("{} {} {:?}", s.pool, s.place.0, s.state)).collect();
    assert_eq!(
        status,
        [
            "next_hops 127.0.0.1:5070 Up",
            "p 192.0.2.1:5060 Resting",
            "p 192.0.2.3:5060 Up",
            "p 192.0.2.9:5060 Up"
        ]
    );
    tell(&mut hops, vec![]);
    assert_eq!(order(&hops, 1, at(2)), ["192.0.2.9:5060"]);
}

#[test]
fn a_pool_whose_place_was_taken_by_another_name_is_not_mistaken_for_it() {
    let config = config(&[("p", &[("sip:192.0.2.9", 1, 1)])]);
    let mut hops = hops(&config);
    let tell = |hops: &mut Hops, name: &str, to: &str| {
        let mut directory = Directory::default();
        directory.set(name.parse().unwrap(), vec![located(to, 0, 1)]);
        hops.resolved(Arc::new(directory), &config);
    };
    tell(&mut hops, "sip:a.example", "sip:192.0.2.1");
    let mut tried = Tried::of(hops.initial());
    tried.prefer(hops.pool_of(&"sip:a.example".parse().unwrap()).unwrap());
    tell(&mut hops, "sip:b.example", "sip:192.0.2.2");
    tell(&mut hops, "sip:c.example", "sip:192.0.2.3");
    let chosen = hops.choose(&mut tried, 1, at(1), |_| true).unwrap();
    assert_eq!(chosen.0.to_string(), "192.0.2.9:5060");
    for n in 0..2_000 {
        tell(&mut hops, &format!("sip:n{n}.example"), &format!("sip:198.51.{}.{}", n / 250, n % 250 + 1));
    }
    assert!(hops.table.len() < 16 && hops.pools.len() < 8, "names that come and go leave nothing behind");
}

#[test]
fn what_is_remembered_of_strangers_is_bounded() {
    let mut hops = hops(&config(&[]));
    for n in 0..3_000u32 {
        let peer = SocketAddr::from((core::net::Ipv4Addr::from(0xc633_0000 + n), 5060));
        hops.failed((peer, Transport::Udp), Failure::Silent, at(1));
        hops.takes_no_tcp(peer, at(1));
    }
    assert!(hops.strangers.len() <= STRANGERS_MAX && hops.without_tcp.len() <= STRANGERS_MAX);
    let peer = "198.51.0.1:5060".parse().unwrap();
    assert!(!hops.is_ready((peer, Transport::Udp), at(2)));
    hops.heard((peer, Transport::Udp), at(2));
    assert!(hops.is_ready((peer, Transport::Udp), at(2)));
}
