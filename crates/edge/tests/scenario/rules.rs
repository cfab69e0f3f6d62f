//! Header rules in the flow: what is sent has been through them, and what they refuse leaves no trace.

use crate::calls::{answer, assert_clean, invited};
use crate::messaging::message;
use crate::ue::{message_to_ue, register, registered_udp};
use crate::world::{World, config, response};
use config::Config;
use edge::Event;
use std::sync::Arc;
use wire::{Cause, Realm};

const A: &str = "182.1.1.203:41200";

fn ruled(rules: &str) -> Config {
    let read = Config::from_toml(rules, "rules.toml").unwrap();
    Config { header_rules: read.header_rules, ..config() }
}

fn matches(world: &World) -> Vec<u64> {
    world.edge.rules().matches().map(|(_, count)| count).collect()
}

const BOTH_WAYS: &str = "
[[header_rules]]
name = 'to-core'
direction = 'from-access'
methods = ['MESSAGE']
sources = ['182.1.1.0/24']
when = [{ header = 'User-Agent', matches = '^RCS/(?<version>.+)$' }, { header = 'P-Asserted-Identity' }]
then = [{ action = 'set', header = 'X-Version', value = '${version}' }, { action = 'remove', header = 'X-Secret' }]
[[header_rules]]
name = 'to-ue'
direction = 'from-core'
statuses = ['2xx']
then = [{ action = 'rewrite', header = 'Server', matches = '.*', value = 'edge' }]
[[header_rules]]
name = 'requests-to-ue'
direction = 'from-core'
kind = 'request'
then = [{ action = 'add', header = 'X-Seen', value = 'yes' }]
";

/// The rules see what the edge has made of a message: P-Asserted-Identity is there, the core is hidden.
#[test]
fn rules_run_after_the_edits_of_the_edge_both_ways() {
    let mut world = World::with(ruled(BOTH_WAYS));
    let ue = registered_udp(&mut world, "user1", A);
    let lines = "User-Agent: RCS/5.1\r\nX-Secret: s\r\nX-Kept: k\r\n";
    world.datagram(A, message("user1", A, "r1", lines).as_bytes());
    let sent = world.one();
    assert_eq!(sent.header("X-Version").as_deref(), Some("5.1"));
    assert_eq!(sent.header("X-Secret"), None);
    assert_eq!(sent.header("X-Kept").as_deref(), Some("k"));
    world.core(&response(&sent, "200 OK", "Server: core-7.inner\r\n"));
    assert_eq!(world.one().header("Server").as_deref(), Some("edge"));
    world.core(message_to_ue(&ue.path, "r2", "").as_bytes());
    let to_ue = world.one();
    assert_eq!(to_ue.header("X-Seen").as_deref(), Some("yes"));
    assert!(!to_ue.text().contains("10.9.9.9"));
    // The 200 to the REGISTER counts as well.
    assert_eq!(matches(&world), [1, 2, 1]);
    world.event(Event::Config(Arc::new(config())));
    world.datagram(A, message("user1", A, "r3", lines).as_bytes());
    assert_eq!(world.one().header("X-Version"), None, "gone with a reload");
}

#[test]
fn a_refusal_answers_with_its_status_and_reason_and_leaves_nothing() {
    let rules = "
[[header_rules]]
name = 'no-invites'
direction = 'from-access'
methods = ['INVITE', 'REGISTER']
when = [{ header = 'From', matches = 'user9|sip:' }, { header = 'X-Allowed', absent = true }]
then = [{ action = 'reject', status = 488, reason = 'Try Elsewhere' }]
";
    let mut world = World::with(ruled(rules));
    let allowed = "X-Allowed: 1\r\n";
    world.datagram(A, register("user9", A, 1, "").as_bytes());
    let refused = world.one();
    assert!(refused.text().starts_with("SIP/2.0 488 Try Elsewhere\r\n"), "{}", refused.text());
    assert!(refused.header("Warning").unwrap().ends_with("\"refused by a header rule\""));
    assert_eq!(world.edge.counters().rejects(Realm::Access, Cause::HeaderRule), 1);
    assert_eq!(world.edge.next_deadline(), None, "nothing waits");
    world.datagram(A, register("user9", A, 2, allowed).as_bytes());
    let passed = world.one();
    world.core(&response(&passed, "403 Forbidden", ""));
    assert!(world.one().text().starts_with("SIP/2.0 403 Forbidden\r\n"), "another refusal keeps its reason");
}

/// A call that a rule refuses gives back its media, its call and its exchange.
#[test]
fn a_refused_invite_leaks_nothing() {
    let rules = "
[[header_rules]]
name = 'no-invites'
methods = ['INVITE']
then = [{ action = 'reject', status = 403 }]
";
    let mut world = World::with(config());
    let (invite, sent) = invited(&mut world, "chat-01-invite.sip");
    world.core(&answer(&sent, "486 Busy", "far", "", ""));
    world.event(Event::Config(Arc::new(ruled(rules))));
    world.sent();
    let again = invite.replace("z9hG4bK", "z9hG4bKagain").replace("Call-ID: ", "Call-ID: again");
    world.datagram(A, again.as_bytes());
    assert!(world.one().text().starts_with("SIP/2.0 403 Forbidden\r\n"));
    assert_clean(&mut world);
    assert_eq!(world.edge.counters().exchanges, 0);
}
