//! The flows of the demo on virtual time, in fair weather and in storms, a thousand seeds.
#![allow(clippy::unwrap_used)]

use core::time::Duration;
use lab::scenario;
use sim::{Weather, World, light_flows};

/// Runs all flows with one seed; `Err` says what failed and how to see it again.
fn run(seed: u64, weather: Weather) -> Result<String, String> {
    let mut world = World::new(seed, weather);
    let people = world.people.clone();
    let reports = scenario::run(&mut world, &people, &light_flows(), |_| {});
    let mut story = String::new();
    for report in &reports {
        story +=
            &format!("{:>10.3} ms  {}: {:?}\n", report.took.as_secs_f64() * 1e3, report.name, report.outcome);
        for violation in &report.violations {
            story += &format!("             VIOLATION {violation}\n");
        }
    }
    let records = world.edge(|edge| format!("{:#?}", edge.records));
    if reports.iter().any(|r| !r.passed()) {
        return Err(format!("seed {seed} at {}:\n{story}\nthe edge recorded {records}", world.network.now()));
    }
    world.settle(Duration::from_secs(300)).map_err(|at| format!("seed {seed}: still busy at {at}"))?;
    Ok(story)
}

#[test]
fn fair_weather() {
    let story = run(1, Weather::FAIR).unwrap_or_else(|story| panic!("{story}"));
    println!("{story}");
}
