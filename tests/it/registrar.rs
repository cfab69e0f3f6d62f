//! baresip and Kamailio: registration and pager messages over every transport.

use gatehouse_tests::baresip::{Account, Baresip};
use gatehouse_tests::edge::Edge;
use gatehouse_tests::kamailio::Kamailio;
use gatehouse_tests::place::Place;
use std::net::SocketAddr;

/// Registers three UEs over three transports at `outbound` and lets each write to the next.
fn everyone_writes_to_the_next(place: &Place, outbound: impl Fn(&str) -> SocketAddr) -> Vec<Baresip> {
    const RING: [(&str, &str, &str); 3] =
        [("alice", "udp", "bob"), ("bob", "tcp", "carol"), ("carol", "tls", "alice")];
    let mut ues: Vec<Baresip> = RING
        .iter()
        .map(|&(name, transport, friend)| {
            let account = Account { name, transport, outbound: outbound(transport), friend };
            Baresip::start(place, account)
        })
        .collect();
    for ue in &mut ues {
        ue.wait_registered();
    }
    for (i, (name, transport, friend)) in RING.into_iter().enumerate() {
        let text = format!("{name} over {transport} to {friend}");
        ues[i].message(&text);
        let received = ues[(i + 1) % RING.len()].wait_message(&text);
        assert!(
            received.value("From").is_some_and(|from| from.contains(&format!("sip:{name}@"))),
            "{received:?}"
        );
        let status = ues[i].wait_answer(&text);
        assert!((200..300).contains(&status), "{text}: {status}");
    }
    ues
}

/// The control experiment: the two programs get along without us, so a failure with the edge
/// between them is the edge's.
#[test]
fn baresip_and_kamailio_get_along_without_the_edge() {
    let place = Place::new("direct");
    let kamailio = Kamailio::start(&place);
    let at = |transport: &str| match transport {
        "tls" => kamailio.sips(),
        _ => kamailio.sip(),
    };
    let mut ues = everyone_writes_to_the_next(&place, at);
    for ue in &mut ues {
        ue.quit();
    }
}

/// R1, R2: UEs over all transports and both families, one registrar, and only the edge knows both sides.
#[test]
fn baresip_registers_and_writes_through_the_edge() {
    for family in ["v4", "v6"] {
        through_the_edge(family);
    }
}

fn through_the_edge(family: &str) {
    let place = Place::new(&format!("kamailio-{family}"));
    let kamailio = Kamailio::start(&place);
    let edge = match family {
        "v6" => Edge::start_with_v6(&place, kamailio.sip()),
        _ => Edge::start(&place, kamailio.sip()),
    };
    let mut ues = everyone_writes_to_the_next(&place, |transport| match family {
        "v6" => edge.access_v6(transport),
        _ => edge.access(transport),
    });
    for ue in &mut ues {
        ue.quit();
    }

    // R14: every REGISTER reaches the core from the edge, with the way back in its Path.
    let log = kamailio.log();
    let requests: Vec<&str> = log.lines().filter(|line| line.contains("request ")).collect();
    let registers: Vec<&&str> = requests.iter().filter(|line| line.contains("request REGISTER")).collect();
    assert!(registers.len() >= 6, "three UEs, challenged each\n{registers:#?}");
    let from_edge = format!("from udp:{}:", edge.core_address());
    for request in &requests {
        assert!(request.contains(&from_edge), "{request}");
    }
    for register in registers {
        let path = register.split_once(" path=").map_or("", |(_, path)| path);
        assert!(path.contains(&format!("@{}", edge.core_address())), "{register}");
    }
    // R23, R26: nothing that a UE gets names the core.
    let core = [kamailio.sip().ip(), edge.core_address()].map(|address| address.to_string());
    for ue in &ues {
        for message in ue.messages().iter().filter(|message| message.inbound) {
            let vias = message.values("Via").count();
            assert_eq!(vias, 1, "{message:#?}");
            let names = |line: &String| core.iter().any(|address| line.contains(address));
            assert!(!message.head.iter().any(names), "{message:#?}");
        }
    }
}
