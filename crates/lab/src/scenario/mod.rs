//! The flows of the specification as scripts, over whatever carries the nodes: the demo runs them on
//! sockets, the simulator on virtual time, the lab's own tests in a pipe.

pub mod flows;
pub mod groups;
mod people;
mod stage;
pub mod watching;

pub use flows::{ALL, Flow};
pub use people::{Person, people};
pub use stage::Stage;

use crate::node::Violation;
use crate::ue::{Command, UeEvent};
use core::time::Duration;
use wire::Instant;

/// What carries the nodes.
pub trait Driver {
    /// The time of the nodes' clock.
    fn now(&mut self) -> Instant;

    /// Hands an order to the UE with this index.
    fn command(&mut self, ue: usize, command: Command);

    /// Lets the world go on until a UE reports something; `None` if none does `within` that time.
    fn next_event(&mut self, within: Duration) -> Option<(usize, UeEvent)>;

    /// Every violation so far, of the core and of all UEs.
    fn violations(&mut self) -> Vec<Violation>;
}

/// How a flow went.
#[derive(Clone, Debug)]
pub struct Report {
    /// The flow's name.
    pub name: &'static str,
    /// What happened, or what went wrong.
    pub outcome: Result<String, String>,
    /// How long it took on the nodes' clock.
    pub took: Duration,
    /// What was violated meanwhile.
    pub violations: Vec<Violation>,
}

impl Report {
    /// Whether it went as it must and nothing was violated.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.outcome.is_ok() && self.violations.is_empty()
    }
}

/// Runs flows in order; `tell` hears of each one as it ends.
pub fn run(
    driver: &mut dyn Driver,
    people: &[Person],
    flows: &[Flow],
    mut tell: impl FnMut(&Report),
) -> Vec<Report> {
    let mut reports = Vec::new();
    let mut seen = driver.violations().len();
    let mut stage = Stage::new(driver, people);
    for flow in flows {
        stage.begin();
        let began = stage.now();
        let outcome = (flow.run)(&mut stage);
        let took = stage.now().since(began);
        let all = stage.violations();
        let violations = all.get(seen..).unwrap_or_default().to_vec();
        seen = all.len();
        let report = Report { name: flow.name, outcome, took, violations };
        tell(&report);
        reports.push(report);
    }
    reports
}
