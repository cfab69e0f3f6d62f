//! `gatehouse bench` loads the edge and tells what it saw.

use gatehouse_tests::edge::{Edge, Settings, binary};
use gatehouse_tests::place::Place;
use gatehouse_tests::process::Process;
use std::net::{SocketAddr, UdpSocket};

/// Runs a scenario against an edge whose core is the bench's own; its output and its JSON.
fn bench(
    place: &Place,
    edge: &mut Edge,
    core: SocketAddr,
    name: &str,
    args: &[&str],
) -> (bool, String, String) {
    let (json, html) = (place.file(&format!("{name}.json")), place.file(&format!("{name}.html")));
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let (json_text, html_text, core) = (text(&json), text(&html), core.to_string());
    let pid = edge.process().id().to_string();
    let mut all = vec!["bench"];
    all.extend_from_slice(args);
    all.extend(["--core", &core, "--users", "20", "--duration", "1", "--warm-up", "0.2", "--quiet"]);
    all.extend(["--pid", &pid, "--json", &json_text, "--html", &html_text]);
    let mut process = Process::start(binary(), &all, place.file(&format!("{name}.log")));
    let ended = process.wait_end();
    let page = std::fs::read_to_string(html).unwrap_or_default();
    assert!(!ended.success() || page.contains("<svg"), "{}", process.output());
    (ended.success(), process.output(), std::fs::read_to_string(json).unwrap_or_default())
}

fn core_address(place: &Place) -> SocketAddr {
    let probe = UdpSocket::bind((place.address(), 0)).expect("an address of the test");
    probe.local_addr().expect("it is bound")
}

#[test]
fn every_scenario_runs_through_the_edge_over_every_transport() {
    let place = Place::new("bench");
    let core = core_address(&place);
    let mut edge = Edge::start_with(&place, core, Settings::default());
    let certificate = place.file("edge.pem").to_string_lossy().into_owned();
    for transport in ["udp", "tcp", "tls"] {
        for scenario in ["register", "refresh", "message", "idle"] {
            let name = format!("{scenario}-{transport}");
            let target = edge.access(transport).to_string();
            let args = [
                scenario,
                "--target",
                &target,
                "--transport",
                transport,
                "--rate",
                "50",
                "--ca",
                &certificate,
            ];
            let (good, output, json) = bench(&place, &mut edge, core, &name, &args);
            assert!(good, "{name}: {output}");
            assert!(json.contains("\"memory_set_up_bytes\""), "{name}: {json}");
            if scenario != "idle" {
                // How many of the 50 began is the machine's affair; the exit status says that none failed.
                let line = output.lines().find(|line| line.starts_with(scenario) && !line.contains(':'));
                let done = line.and_then(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
                assert!(done.is_some_and(|done| (1..=51).contains(&done)), "{name}: {output}");
            }
        }
    }
    let target = edge.access("tls").to_string();
    let args = ["connect", "--target", &target, "--transport", "tls", "--rate", "50", "--ca", &certificate];
    let (good, output, _) = bench(&place, &mut edge, core, "connect", &args);
    assert!(good, "{output}");
    let storm = ["storm", "--target", &edge.access("udp").to_string()];
    let (good, output, _) = bench(&place, &mut edge, core, "storm", &storm);
    assert!(good && output.contains("register "), "{output}");
}

#[test]
fn a_core_that_is_away_is_a_failure_with_its_reason() {
    let place = Place::new("bench-away");
    let tcp = Settings { next_hop_transport: "tcp", ..Settings::default() };
    let mut edge = Edge::start_with(&place, core_address(&place), tcp);
    let target = edge.access("udp").to_string();
    // Ours listens elsewhere than where the edge looks for it.
    let elsewhere = core_address(&place);
    let args = ["register", "--target", &target, "--rate", "20"];
    let (good, output, _) = bench(&place, &mut edge, elsewhere, "away", &args);
    assert!(!good && output.contains("answered 503"), "{output}");
}
