//! Core and UEs against each other, without an edge, on virtual time.

mod alarm;
mod pipe;
mod sockets;

use crate::scenario::{self, flows, people};
use pipe::{Pipe, World};

#[test]
fn every_flow_passes_and_the_same_seed_replays() {
    let run = |seed| {
        let mut pipe = Pipe::new(World { seed, ..World::default() });
        let reports = scenario::run(&mut pipe, &people(pipe::DOMAIN), scenario::ALL, |_| {});
        for report in &reports {
            assert!(report.passed(), "{report:#?}");
        }
        assert!(pipe.settle(), "something is still under way");
        (pipe.trace(), reports.len())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

#[test]
fn every_flow_passes_when_datagrams_are_lost() {
    // streams lose nothing, so the big file has nothing to add
    let flows: Vec<_> = scenario::ALL.iter().filter(|f| !f.name.contains("5 MB")).copied().collect();
    for seed in 0..100 {
        let mut pipe = Pipe::new(World { seed, loss_percent: 10, ..World::default() });
        let reports = scenario::run(&mut pipe, &people(pipe::DOMAIN), &flows, |_| {});
        for report in &reports {
            assert!(report.passed(), "seed {seed}: {report:#?}");
        }
    }
}

#[test]
fn a_canary_is_found() {
    // the alarm must ring: one damaged octet of a file, one lost connection
    let mut pipe = Pipe::new(World { damage_media: true, ..World::default() });
    let cast = people(pipe::DOMAIN);
    let flows = [
        flows::ALL[0],
        flows::ALL[1],
        flows::Flow { name: "a damaged file", run: |s| flows::file(s, "alice", "bob", 100_000) },
    ];
    let reports = scenario::run(&mut pipe, &cast, &flows, |_| {});
    assert!(reports[0].passed() && reports[1].passed());
    assert!(!reports[2].passed());
    assert!(reports[2].violations.iter().any(|v| v.rule == "R74"), "{reports:#?}");
}
