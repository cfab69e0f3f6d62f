use super::*;
use std::collections::HashMap;
use std::sync::Mutex;

/// A name server in a few tables.
#[derive(Default)]
struct Zone {
    naptr: HashMap<String, Vec<Naptr>>,
    srv: HashMap<String, Vec<Srv>>,
    ip: HashMap<String, Vec<IpAddr>>,
    broken: Vec<String>,
    asked: Mutex<Vec<String>>,
}

impl Zone {
    fn naptr(mut self, name: &str, order: u16, preference: u16, service: &str, replacement: &str) -> Self {
        self.naptr.entry(name.to_owned()).or_default().push(Naptr {
            order,
            preference,
            flags: "S".to_owned(),
            service: service.to_owned(),
            replacement: replacement.to_owned(),
        });
        self
    }

    fn srv(mut self, name: &str, priority: u16, weight: u16, port: u16, target: &str) -> Self {
        let record = Srv { priority, weight, port, target: target.to_owned() };
        self.srv.entry(name.to_owned()).or_default().push(record);
        self
    }

    fn ip(mut self, name: &str, ips: &[&str]) -> Self {
        self.ip.insert(name.to_owned(), ips.iter().map(|ip| ip.parse().unwrap()).collect());
        self
    }

    fn broken(mut self, name: &str) -> Self {
        self.broken.push(name.to_owned());
        self
    }

    fn answer<T: Clone>(&self, kind: &str, name: &str, records: Option<Vec<T>>) -> Answer<T> {
        self.asked.lock().unwrap().push(format!("{kind} {name}"));
        if self.broken.contains(&format!("{kind} {name}")) {
            return Answer::Failed;
        }
        match records.filter(|r| !r.is_empty()) {
            Some(records) => Answer::Records { records, ttl: Duration::from_secs(60 + name.len() as u64) },
            None => Answer::None,
        }
    }

    fn of_family(&self, name: &str, v6: bool) -> Option<Vec<IpAddr>> {
        Some(self.ip.get(name)?.iter().copied().filter(|ip| ip.is_ipv6() == v6).collect())
    }
}

impl Ask for Zone {
    async fn naptr(&self, name: &str) -> Answer<Naptr> {
        self.answer("NAPTR", name, self.naptr.get(name).cloned())
    }
    async fn srv(&self, name: &str) -> Answer<Srv> {
        self.answer("SRV", name, self.srv.get(name).cloned())
    }
    async fn v4(&self, name: &str) -> Answer<IpAddr> {
        self.answer("A", name, self.of_family(name, false))
    }
    async fn v6(&self, name: &str) -> Answer<IpAddr> {
        self.answer("AAAA", name, self.of_family(name, true))
    }
}

const ALL: Served = Served([[true; 2]; 3]);

fn find(zone: &Zone, host: &str, served: Served) -> Found {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(locate(zone, &host.parse().unwrap(), &served))
}

/// `rank transport address weight`
fn places(zone: &Zone, host: &str, served: Served) -> Vec<String> {
    let line = |p: &Located| format!("{} {} {} {}", p.rank, p.transport, p.address, p.weight);
    find(zone, host, served).places.iter().map(line).collect()
}

fn example() -> Zone {
    // RFC 3263 §4.1's own, and its SRV records.
    Zone::default()
        .naptr("example.com", 90, 50, "SIP+D2T", "_sip._tcp.example.com")
        .naptr("example.com", 50, 50, "SIPS+D2T", "_sips._tcp.example.com")
        .naptr("example.com", 100, 50, "sip+d2u", "_sip._udp.example.com")
        .naptr("example.com", 10, 1, "SIP+D2S", "_sip._sctp.example.com")
        .srv("_sips._tcp.example.com", 1, 1, 5061, "server1.example.com")
        .srv("_sip._tcp.example.com", 0, 1, 5060, "server1.example.com")
        .srv("_sip._tcp.example.com", 0, 2, 5060, "server2.example.com")
        .srv("_sip._udp.example.com", 7, 0, 5070, "server2.example.com")
        .ip("server1.example.com", &["192.0.2.1", "2001:db8::1"])
        .ip("server2.example.com", &["192.0.2.2"])
        .ip("example.com", &["192.0.2.9"])
}

#[test]
fn naptr_names_the_transports_in_their_order() {
    assert_eq!(
        places(&example(), "sip:example.com", ALL),
        [
            "0 tls 192.0.2.1:5061 30",
            "0 tls [2001:db8::1]:5061 30",
            "32 tcp 192.0.2.1:5060 30",
            "32 tcp [2001:db8::1]:5060 30",
            "32 tcp 192.0.2.2:5060 120",
            "64 udp 192.0.2.2:5070 0",
        ]
    );
    assert_eq!(
        places(&example(), "sips:example.com", ALL),
        ["0 tls 192.0.2.1:5061 30", "0 tls [2001:db8::1]:5061 30"]
    );
}

#[test]
fn what_we_have_no_socket_for_is_left_out() {
    let mut served = Served::default();
    served.0[Transport::Udp as usize][0] = true;
    assert_eq!(places(&example(), "sip:example.com", served), ["0 udp 192.0.2.2:5070 0"]);
    served = Served::default();
    served.0[Transport::Tcp as usize][1] = true;
    assert_eq!(places(&example(), "sip:example.com", served), ["0 tcp [2001:db8::1]:5060 60"]);
}

#[test]
fn without_naptr_srv_says_and_without_srv_the_address() {
    let zone = Zone::default()
        .srv("_sip._tcp.a.example", 20, 5, 5080, "h2.example")
        .srv("_sip._tcp.a.example", 10, 5, 5080, "h1.example")
        .srv("_sips._tcp.a.example", 1, 1, 5061, "h1.example")
        .ip("h1.example", &["192.0.2.1"])
        .ip("h2.example", &["192.0.2.2", "192.0.2.3"])
        .ip("b.example", &["192.0.2.4"]);
    assert_eq!(
        places(&zone, "sip:a.example", ALL),
        ["0 tcp 192.0.2.1:5080 300", "1 tcp 192.0.2.2:5080 150", "1 tcp 192.0.2.3:5080 150"]
    );
    assert_eq!(places(&zone, "sip:b.example", ALL), ["0 udp 192.0.2.4:5060 60"]);
    assert_eq!(places(&zone, "sips:b.example", ALL), ["0 tls 192.0.2.4:5061 60"]);
    assert_eq!(places(&zone, "sip:c.example", ALL), [""; 0]);
}

#[test]
fn a_transport_or_a_port_shortens_the_way() {
    let zone = example();
    assert_eq!(places(&zone, "sip:example.com:5090", ALL), ["0 udp 192.0.2.9:5090 60"]);
    assert_eq!(places(&zone, "sip:example.com:5090;transport=tcp", ALL), ["0 tcp 192.0.2.9:5090 60"]);
    assert!(zone.asked.lock().unwrap().iter().all(|q| q == "A example.com" || q == "AAAA example.com"));
    assert_eq!(places(&zone, "sip:example.com;transport=udp", ALL), ["0 udp 192.0.2.2:5070 0"]);
    assert!(!zone.asked.lock().unwrap().iter().any(|q| q.starts_with("NAPTR")));
    let bare = Zone::default().ip("a.example", &["192.0.2.1"]);
    assert_eq!(places(&bare, "sip:a.example;transport=tls", ALL), ["0 tls 192.0.2.1:5061 60"]);
    assert_eq!(places(&bare, "sip:192.0.2.3:5070", ALL), ["0 udp 192.0.2.3:5070 1"]);
}

#[test]
fn what_nobody_could_say_is_told_apart_from_what_is_not_there() {
    let found = find(&example().broken("SRV _sips._tcp.example.com"), "sip:example.com", ALL);
    assert!(found.failed && !found.places.is_empty());
    let found = find(&Zone::default().broken("NAPTR a.example"), "sip:a.example", ALL);
    assert!(found.failed && found.places.is_empty());
    let found = find(&Zone::default(), "sip:a.example", ALL);
    assert!(!found.failed && found.places.is_empty());
}

#[test]
fn the_shortest_life_on_the_way_counts() {
    let zone = Zone::default().srv("_sip._udp.a.example", 1, 1, 5060, "h.b").ip("h.b", &["192.0.2.1"]);
    assert_eq!(find(&zone, "sip:a.example", ALL).ttl, Duration::from_secs(63));
}

#[test]
fn a_hostile_zone_is_bounded() {
    let mut zone =
        Zone::default().srv("_sip._udp.a.example", 1, 1, 0, "h.b").srv("_sip._udp.a.example", 1, 1, 1, ".");
    assert_eq!(places(&zone, "sip:a.example;transport=udp", ALL), [""; 0]);
    for n in 0..500u16 {
        zone = zone.srv("_sip._udp.b.example", n, u16::MAX, 5060, &format!("h{n}.b"));
        let ips: Vec<String> = (0..200).map(|m| format!("198.18.{}.{m}", n % 250)).collect();
        zone = zone.ip(&format!("h{n}.b"), &ips.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let found = find(&zone, "sip:b.example;transport=udp", ALL);
    assert_eq!(found.places.len(), PLACES_MAX);
    assert!(zone.asked.lock().unwrap().len() < 100);
}
