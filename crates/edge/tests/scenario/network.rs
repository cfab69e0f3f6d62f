//! The P- fields of the access network: P-Access-Network-Info (R15) and P-Charging-Vector.

use crate::messaging::message;
use crate::ue::{message_to_ue, register, registered_udp};
use crate::world::{World, config, response};
use config::{Config, SipListener};
use wire::Transport;

const A: &str = "182.1.1.203:41200";
const PROVIDED: &str = "IEEE-802.11;i-wlan-node-id=0a1b2c";

fn with_access_info() -> Config {
    let mut config = config();
    config.realm.access.sip = vec![SipListener {
        transport: Transport::Udp,
        access_network_info: Some(PROVIDED.into()),
        ..SipListener::default()
    }];
    config
}

fn infos(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("P-Access-Network-Info: ")).collect()
}

/// R15: what the UE says passes but for the network's own mark; what the network knows goes beside it.
#[test]
fn access_network_info_of_ue_and_network() {
    let own = "3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=460001";
    let marked = format!("{PROVIDED};network-provided");
    for (said, configured, expected) in [
        ("", false, vec!["IEEE-802.11"]),
        (own, false, vec![own]),
        ("", true, vec![&marked[..]]),
        (own, true, vec![own, &marked]),
        ("IEEE-802.11b;network-provided", false, vec!["IEEE-802.11b"]),
        ("IEEE-802.11b; Network-Provided ;x=1, 3GPP-GERAN;y", false, vec!["IEEE-802.11b;x=1, 3GPP-GERAN;y"]),
    ] {
        let mut world = World::with(if configured { with_access_info() } else { config() });
        let line = if said.is_empty() { String::new() } else { format!("P-Access-Network-Info: {said}\r\n") };
        world.datagram(A, register("user1", A, 1, &line).as_bytes());
        assert_eq!(infos(&world.one().text()), expected, "REGISTER {said}");
        let mut world = World::with(if configured { with_access_info() } else { config() });
        registered_udp(&mut world, "user1", A);
        world.datagram(A, message("user1", A, "p1", &line).as_bytes());
        assert_eq!(infos(&world.one().text()), expected, "MESSAGE {said}");
    }
}

fn charging() -> Config {
    let mut config = config();
    config.identity.charging_vector = true;
    config.identity.orig_ioi = "visited.example".into();
    config.identity.term_ioi = "here.example".into();
    config
}

fn icid(text: &str) -> String {
    let line = text.lines().find(|line| line.starts_with("P-Charging-Vector: ")).unwrap();
    let rest = line.strip_prefix("P-Charging-Vector: icid-value=\"").unwrap();
    let (icid, behind) = rest.split_once('"').unwrap();
    assert_eq!(behind, ";icid-generated-at=127.0.0.1;orig-ioi=visited.example");
    assert_eq!(text.matches("P-Charging-Vector").count(), 1);
    icid.to_owned()
}

/// R28: the UE's own vector never passes; the core gets one of ours, fresh for each request.
#[test]
fn requests_of_ues_are_charged_under_a_fresh_icid() {
    let mut world = World::with(charging());
    world.datagram(A, register("user1", A, 1, "P-Charging-Vector: icid-value=mine\r\n").as_bytes());
    let request = world.one();
    let first = icid(&request.text());
    crate::ue::accept(&mut world, &request, 3600);
    assert_eq!(world.one().header("P-Charging-Vector"), None);
    world.datagram(A, message("user1", A, "c1", "P-Charging-Vector: icid-value=mine\r\n").as_bytes());
    let second = icid(&world.one().text());
    assert!(first.len() == 32 && second.len() == 32 && first != second);
    world.datagram(A, message("user1", A, "c1", "P-Charging-Vector: icid-value=mine\r\n").as_bytes());
    world.none();
}

/// The answer of a UE goes back under the icid of the core's request, with our network as term-ioi.
#[test]
fn the_core_s_own_vector_is_answered() {
    for (config, expected) in [
        (charging(), Some("icid-value=1;orig-ioi=10.9.9.9;term-ioi=here.example".to_owned())),
        (config(), None),
    ] {
        let mut world = World::with(config);
        let ue = registered_udp(&mut world, "user1", A);
        world.core(message_to_ue(&ue.path, "c2", "").as_bytes());
        let to_ue = world.one();
        assert_eq!(to_ue.header("P-Charging-Vector"), None);
        world.datagram(A, &response(&to_ue, "200 OK", "P-Charging-Vector: icid-value=mine\r\n"));
        assert_eq!(world.one().header("P-Charging-Vector"), expected);
    }
}
