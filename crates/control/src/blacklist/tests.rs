use super::*;
use crate::admin::Admin;
use crate::state::NodeState;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

/// A fresh directory for one test.
pub(super) fn directory() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("gatehouse-blacklist-{}-{number}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// A data plane with so many users in 10.0.0.0/8.
#[derive(Clone, Default)]
struct Plane(Arc<PlaneParts>);

#[derive(Default)]
struct PlaneParts {
    set: Mutex<Arc<PrefixSet>>,
    users: AtomicUsize,
    busy: AtomicBool,
}

impl Enforcer for Plane {
    fn enforce(&self, set: &Arc<PrefixSet>) -> bool {
        *self.0.set.lock().unwrap() = Arc::clone(set);
        true
    }
    fn holdings(&self, set: &Arc<PrefixSet>) -> Option<Cut> {
        let within = set.contains("10.0.0.1".parse().unwrap());
        let registrations = if within { self.0.users.load(Ordering::Relaxed) as u64 } else { 0 };
        let busy = self.0.busy.load(Ordering::Relaxed);
        (!busy).then_some(Cut { registrations, calls: 1, connections: 2 })
    }
}

impl Plane {
    fn bars(&self, address: &str) -> bool {
        self.0.set.lock().unwrap().contains(address.parse::<IpAddr>().unwrap())
    }
}

struct Node {
    admin: Admin,
    plane: Plane,
    list: Arc<Blacklist>,
    telemetry: Arc<Telemetry>,
}

fn node(store: Box<dyn Store>, directory: Option<&Path>) -> Node {
    let (telemetry, plane) = (Arc::new(Telemetry::default()), Plane::default());
    let config = config::Blacklist { prefixes_max: 1_000, ..config::Blacklist::default() };
    let audit = Audit::open(directory).unwrap();
    let list = Blacklist::with_store(store, audit, &config, Arc::clone(&telemetry)).unwrap();
    list.attach(Box::new(plane.clone())).unwrap();
    let at = "127.0.0.1:0".parse().unwrap();
    let routes = router(Arc::clone(&list));
    let admin =
        Admin::start_with(at, Arc::clone(&telemetry), Arc::new(NodeState::default()), routes).unwrap();
    Node { admin, plane, list, telemetry }
}

fn ask(at: SocketAddr, method: &str, target: &str, headers: &str, body: &str) -> (u16, serde_json::Value) {
    let mut stream = TcpStream::connect(at).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    let kind = if status == 200 { "application/json" } else { "application/problem+json" };
    assert!(head.contains(&format!("content-type: {kind}")), "{head}");
    (status, serde_json::from_str(body).unwrap_or_default())
}

impl Node {
    fn ask(&self, method: &str, query: &str, body: &str) -> (u16, serde_json::Value) {
        let headers = "Content-Type: application/json\r\nX-Operator: alice\r\n";
        ask(self.admin.address(), method, &format!("/v1/blacklist{query}"), headers, body)
    }

    fn listed(&self) -> Vec<String> {
        let (status, page) = self.ask("GET", "", "");
        assert_eq!(status, 200);
        let entries = page["entries"].as_array().unwrap();
        entries.iter().map(|entry| entry["prefix"].as_str().unwrap().to_owned()).collect()
    }

    fn metric(&self, line: &str) -> bool {
        self.telemetry.render().lines().any(|l| l == line)
    }
}

#[test]
fn what_is_added_bars_and_what_is_removed_does_not() {
    let node = node(Box::new(Memory), None);
    let (status, outcome) = node.ask(
        "POST",
        "",
        r#"{"entries":[{"prefix":"192.0.2.0/24","reason":"scans"},{"prefix":"2001:DB8::/32","ttl_seconds":60}]}"#,
    );
    assert_eq!((status, &outcome["added"], &outcome["count"]), (200, &2.into(), &2.into()), "{outcome}");
    assert_eq!((&outcome["in_force"], &outcome["durable"]), (&true.into(), &false.into()));
    assert!(node.plane.bars("192.0.2.9") && node.plane.bars("2001:db8::9") && !node.plane.bars("192.0.3.1"));
    let (_, page) = node.ask("GET", "?address=192.0.2.77", "");
    let entry = &page["entries"][0];
    assert_eq!((&entry["reason"], &entry["by"]), (&"scans".into(), &"alice".into()), "{page}");
    assert!(node.metric("gatehouse_blacklist_prefixes 2"));
    let (_, outcome) = node.ask("DELETE", "", r#"{"prefixes":["192.0.2.0/24","198.51.100.1"]}"#);
    assert_eq!((&outcome["removed"], &outcome["count"]), (&1.into(), &1.into()));
    assert!(!node.plane.bars("192.0.2.9"));
    let (_, outcome) = node.ask("PUT", "", r#"{"entries":[{"prefix":"203.0.113.1"}]}"#);
    assert_eq!((&outcome["added"], &outcome["removed"]), (&1.into(), &1.into()));
    assert_eq!(node.listed(), ["203.0.113.1"]);
    assert!(node.metric("gatehouse_blacklist_writes_total{result=\"ok\"} 3"));
}

#[test]
fn the_list_comes_in_pages() {
    let node = node(Box::new(Memory), None);
    let entries: Vec<String> = (0..25).map(|n| format!(r#"{{"prefix":"192.0.2.{n}"}}"#)).collect();
    node.ask("POST", "", &format!(r#"{{"entries":[{}]}}"#, entries.join(",")));
    let (mut after, mut seen) = (String::new(), 0);
    loop {
        let (_, page) = node.ask("GET", &format!("?limit=10{after}"), "");
        seen += page["entries"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, 25);
}

#[test]
fn faults_are_named_and_nothing_is_half_applied() {
    let node = node(Box::new(Memory), None);
    for (method, query, body, field) in [
        (
            "POST",
            "",
            r#"{"entries":[{"prefix":"192.0.2.1"},{"prefix":"192.0.2.1/24"}]}"#,
            "entries[1].prefix",
        ),
        ("PUT", "", r#"{"entries":[{"prefix":"x"}]}"#, "entries[0].prefix"),
        ("POST", "", r#"{"entries":[{"prefix":"192.0.2.1","ttl_seconds":0}]}"#, "entries[0].ttl_seconds"),
        ("POST", "", r#"{"entries":[{"prefix":"192.0.2.1","reason":"a\nb"}]}"#, "entries[0].reason"),
        ("POST", "", r#"{"entries":[{"prefix":"192.0.2.1","ttl":5}]}"#, "body"),
        ("POST", "", r#"{"entries":[{"prefix":"192.0.2.1"}"#, "body"),
        ("POST", "", "", "body"),
        ("DELETE", "", r#"{"prefixes":["192.0.2.1","::/200"]}"#, "prefixes[1]"),
        ("POST", "?confirm=all", r#"{"entries":[]}"#, "confirm"),
        ("POST", "?force=1", r#"{"entries":[]}"#, "force"),
        ("GET", "?limit=0", "", "limit"),
        ("GET", "?after=x", "", "after"),
        ("GET", "?address=x", "", "address"),
    ] {
        let (status, problem) = node.ask(method, query, body);
        assert_eq!((status, problem["errors"][0]["field"].as_str()), (400, Some(field)), "{body}: {problem}");
        assert!(!problem["errors"][0]["reason"].as_str().unwrap().is_empty());
    }
    let at = node.admin.address();
    assert_eq!(ask(at, "POST", "/v1/blacklist", "", r#"{"entries":[]}"#).0, 415);
    assert_eq!(node.ask("PATCH", "", "").0, 405);
    let many: Vec<String> =
        (0..1_001).map(|n| format!(r#"{{"prefix":"10.1.{}.{}"}}"#, n / 250, n % 250)).collect();
    assert_eq!(node.ask("POST", "", &format!(r#"{{"entries":[{}]}}"#, many.join(","))).0, 409);
    assert_eq!(node.listed(), [""; 0]);
}

#[test]
fn what_would_cut_many_users_must_be_confirmed() {
    let node = node(Box::new(Memory), None);
    node.plane.0.users.store(500, Ordering::Relaxed);
    let body = r#"{"entries":[{"prefix":"10.0.0.0/8"}]}"#;
    let (status, outcome) = node.ask("POST", "?preview=true", body);
    assert_eq!(
        (status, &outcome["preview"], &outcome["cut"]["registrations"]),
        (200, &true.into(), &500.into())
    );
    for query in ["", "?confirm=499"] {
        let (status, problem) = node.ask("POST", query, body);
        assert_eq!((status, &problem["cut"]["registrations"]), (409, &500.into()), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("500 live users"), "{problem}");
    }
    assert_eq!(node.listed(), [""; 0]);
    node.plane.0.busy.store(true, Ordering::Relaxed);
    assert_eq!(node.ask("POST", "", body).0, 503);
    assert_eq!(node.ask("POST", "?confirm=500", body).0, 200, "an emergency does not wait for a busy shard");
    assert!(node.plane.bars("10.0.0.1"));
}

#[test]
fn an_entry_ends_by_itself() {
    let node = node(Box::new(Memory), None);
    node.ask("POST", "", r#"{"entries":[{"prefix":"192.0.2.1","ttl_seconds":1},{"prefix":"192.0.2.2"}]}"#);
    assert!(node.plane.bars("192.0.2.1"));
    let end = Instant::now() + Duration::from_secs(10);
    while node.plane.bars("192.0.2.1") {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(node.plane.bars("192.0.2.2"));
    assert_eq!(node.listed(), ["192.0.2.2"]);
}

#[test]
fn a_restart_finds_the_list_and_the_audit_log_names_every_write() {
    let directory = directory();
    let first = node(Box::new(Journal::open(&directory).unwrap()), Some(&directory));
    first.ask("POST", "", r#"{"entries":[{"prefix":"192.0.2.0/24"}]}"#);
    first.ask("DELETE", "", r#"{"prefixes":["192.0.2.0/24"]}"#);
    first.ask("PUT", "", r#"{"entries":[{"prefix":"2001:db8::/32"}]}"#);
    let Node { admin, list, .. } = first;
    drop(admin);
    list.detach();
    let weak = Arc::downgrade(&list);
    drop(list);
    let end = Instant::now() + Duration::from_secs(10);
    while weak.strong_count() > 0 {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = node(Box::new(Journal::open(&directory).unwrap()), Some(&directory));
    assert_eq!(second.listed(), ["2001:db8::/32"]);
    assert!(second.plane.bars("2001:db8::1"), "in force from the start");
    let audit = std::fs::read_to_string(directory.join("audit.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let actions: Vec<_> = lines.iter().map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["add", "remove", "replace"]);
    assert!(lines.iter().all(|line| line["by"] == "alice" && line["at"].as_u64().unwrap() > 1_700_000_000));
    assert_eq!(lines[2]["prefixes"][0], "2001:db8::/32");
}

#[derive(Default)]
struct Full;

impl Store for Full {
    fn load(&mut self) -> io::Result<Table> {
        Ok(Table::default())
    }
    fn keep(&mut self, _change: &Change, _after: &Table) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
    fn replace(&mut self, _table: &Table) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
    fn is_durable(&self) -> bool {
        true
    }
}

#[test]
fn a_full_disk_refuses_the_write_and_the_node_goes_on() {
    let node = node(Box::new(Full), None);
    for method in ["POST", "PUT"] {
        let (status, problem) = node.ask(method, "", r#"{"entries":[{"prefix":"192.0.2.1"}]}"#);
        assert_eq!(status, 507, "{problem}");
    }
    assert!(!node.plane.bars("192.0.2.1"));
    assert_eq!(node.listed(), [""; 0]);
    assert!(node.metric("gatehouse_blacklist_writes_total{result=\"failed\"} 2"));
    assert_eq!(node.list.lock().table.len(), 0);
}
