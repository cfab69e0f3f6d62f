//! Sums the banks and renders them as Prometheus text.

use crate::bank::Bank;
use crate::family::{Family, Kind};
use crate::hops::{Board, HopRow};
use crate::{FAMILIES, hops, node, sip};
use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All metrics of the process.
pub struct Telemetry {
    /// Written by the control threads, which are few and slow.
    pub node: Arc<Bank>,
    board: Mutex<Board>,
    inner: Mutex<Inner>,
    series: Vec<Series>,
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

struct Inner {
    banks: Vec<Arc<Bank>>,
    /// Counters of banks whose shard died: totals never fall.
    carried: Vec<u64>,
    /// The same for header rules.
    carried_rules: BTreeMap<Box<str>, u64>,
}

enum Series {
    Counter(Counter),
    Gauge(Gauge),
}

impl core::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Telemetry").field("series", &self.series.len()).finish_non_exhaustive()
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        recorder.describe_counter(sip::HEADER_RULE_MATCHES.into(), None, sip::HEADER_RULE_HELP.into());
        let mut series = Vec::new();
        for family in FAMILIES.iter().flat_map(|area| area.iter()) {
            describe(&recorder, family);
            for cell in 0..family.len() {
                let labels: Vec<Label> =
                    family.values(cell).into_iter().map(|(k, v)| Label::from_static_parts(k, v)).collect();
                let key = Key::from_parts(family.name, labels);
                series.push(match family.kind {
                    Kind::Counter => Series::Counter(recorder.register_counter(&key, &METADATA)),
                    Kind::Gauge => Series::Gauge(recorder.register_gauge(&key, &METADATA)),
                });
            }
        }
        let node = Arc::new(Bank::default());
        let inner = Inner {
            banks: vec![Arc::clone(&node)],
            carried: vec![0; series.len()],
            carried_rules: BTreeMap::new(),
        };
        Self { node, board: Mutex::default(), inner: Mutex::new(inner), series, recorder, handle }
    }
}

fn describe(recorder: &impl Recorder, family: &Family) {
    match family.kind {
        Kind::Counter => recorder.describe_counter(family.name.into(), None, family.help.into()),
        Kind::Gauge => recorder.describe_gauge(family.name.into(), None, family.help.into()),
    }
}

impl Telemetry {
    /// A bank for a new shard.
    #[must_use]
    pub fn open_bank(&self) -> Arc<Bank> {
        let bank = Arc::new(Bank::default());
        self.inner().banks.push(Arc::clone(&bank));
        bank
    }

    /// Keeps the counters of a shard that ended and forgets its gauges.
    pub fn close_bank(&self, bank: &Arc<Bank>) {
        let mut inner = self.inner();
        let Inner { banks, carried, carried_rules } = &mut *inner;
        if let Some(at) = banks.iter().position(|b| Arc::ptr_eq(b, bank)) {
            banks.remove(at);
            for (sum, cell) in carried.iter_mut().zip(bank.cells()) {
                *sum = sum.wrapping_add(cell.value());
            }
            add_rules(carried_rules, bank);
        }
    }

    /// The Prometheus text of this moment.
    #[must_use]
    pub fn render(&self) -> String {
        self.observe_process();
        let inner = self.inner();
        for (i, series) in self.series.iter().enumerate() {
            let live: u64 = inner.banks.iter().map(|bank| bank.cells()[i].value()).sum();
            match series {
                Series::Counter(counter) => counter.absolute(live.wrapping_add(inner.carried[i])),
                Series::Gauge(gauge) => gauge.set(live as f64),
            }
        }
        let mut rules = inner.carried_rules.clone();
        inner.banks.iter().for_each(|bank| add_rules(&mut rules, bank));
        drop(inner);
        for (name, total) in rules {
            let label = Label::new("rule", String::from(name));
            let key = Key::from_parts(sip::HEADER_RULE_MATCHES, vec![label]);
            self.recorder.register_counter(&key, &METADATA).absolute(total);
        }
        self.handle.run_upkeep();
        let mut text = self.handle.render();
        self.board.lock().unwrap_or_else(PoisonError::into_inner).render(&mut text);
        text
    }

    /// How a shard sees the next hops; none once it ended.
    pub fn set_next_hops(&self, shard: u16, rows: Vec<HopRow>) {
        self.board.lock().unwrap_or_else(PoisonError::into_inner).set(shard, rows);
    }

    /// The sum of one series, as it would be rendered.
    #[must_use]
    pub fn sum(&self, family: &'static Family, cell: usize) -> u64 {
        let inner = self.inner();
        let live =
            inner.banks.iter().filter_map(|bank| bank.row(family).get(cell)).map(crate::bank::Cell::value);
        let mut start = 0;
        for known in FAMILIES.iter().flat_map(|area| area.iter()) {
            if core::ptr::eq(*known, family) {
                break;
            }
            start += known.len();
        }
        let carried = match family.kind {
            Kind::Counter => inner.carried.get(start + cell).copied().unwrap_or(0),
            Kind::Gauge => 0,
        };
        live.sum::<u64>().wrapping_add(carried)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn observe_process(&self) {
        if let Some(bytes) = resident_bytes() {
            self.node.set(&node::MEMORY, [bytes]);
        }
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            // The listing itself holds one descriptor.
            self.node.set(&node::DESCRIPTORS, [(entries.count() as u64).saturating_sub(1)]);
        }
        self.node.set(&node::LOG_LINES_DROPPED, [crate::logs::lines_dropped()]);
    }
}

/// Adds the header rules of one bank.
fn add_rules(sums: &mut BTreeMap<Box<str>, u64>, bank: &Bank) {
    for (name, total) in bank.rules().iter() {
        let sum = sums.entry(name.clone()).or_default();
        *sum = sum.wrapping_add(*total);
    }
}

static METADATA: Metadata<'static> = Metadata::new("gatehouse", Level::INFO, None);

/// Resident memory of this process, in bytes.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Every metric as a table for operators: `docs/metrics.md`.
#[must_use]
pub fn document() -> String {
    let mut text = String::from(
        "# Metrics\n\n`/metrics` on the admin address, in Prometheus' text format. Made from the declarations in \
         `telemetry`;\na test keeps it equal. Labels take values from closed sets only, never anything that a peer \
         sent.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n",
    );
    for family in FAMILIES.iter().flat_map(|area| area.iter()) {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let labels: Vec<String> = family
            .labels
            .iter()
            .map(|label| match label.values {
                values if values.len() > 16 => format!("`{}` ({} values)", label.name, values.len()),
                values => format!("`{}`: {}", label.name, values.join(", ")),
            })
            .collect();
        text.push_str(&format!("| `{}` | {kind} | {} | {} |\n", family.name, labels.join("; "), family.help));
    }
    text.push_str(&format!(
        "| `{}` | counter | `rule`: names of `[[header_rules]]` | {} |\n",
        sip::HEADER_RULE_MATCHES,
        sip::HEADER_RULE_HELP
    ));
    let states = hops::HOP_STATES.join(", ");
    text.push_str(&format!(
        "| `{}` | gauge | `pool`, `hop`: from the configuration and its DNS; `state`: {states} | {} |\n",
        hops::HOPS,
        hops::HOPS_HELP
    ));
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::flow;

    #[test]
    fn the_operators_table_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        if std::env::var_os("GATEHOUSE_WRITE_DOCS").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == document(),
            "run this test with GATEHOUSE_WRITE_DOCS=1 and commit docs/metrics.md"
        );
    }

    #[test]
    fn totals_survive_the_end_of_a_shard_and_gauges_do_not() {
        let telemetry = Telemetry::default();
        let (a, b) = (telemetry.open_bank(), telemetry.open_bank());
        a.set(&sip::FAILOVERS, [3]);
        b.set(&sip::FAILOVERS, [4]);
        a.set(&sip::REGISTRATIONS, [10]);
        b.set(&sip::REGISTRATIONS, [20]);
        let text = telemetry.render();
        assert!(text.contains("\ngatehouse_sip_failovers_total 7\n"), "{text}");
        assert!(text.contains("\ngatehouse_registrations 30\n"), "{text}");
        telemetry.close_bank(&a);
        let text = telemetry.render();
        assert!(text.contains("\ngatehouse_sip_failovers_total 7\n"), "{text}");
        assert!(text.contains("\ngatehouse_registrations 20\n"), "{text}");
        assert_eq!(telemetry.sum(&sip::FAILOVERS, 0), 7);
        assert_eq!(telemetry.sum(&sip::REGISTRATIONS, 0), 20);
    }

    #[test]
    fn header_rules_are_counted_by_name() {
        let telemetry = Telemetry::default();
        let (a, b) = (telemetry.open_bank(), telemetry.open_bank());
        a.set_rules([("strip-x", 3), ("other", 0)].into_iter());
        b.set_rules([("strip-x", 4)].into_iter());
        telemetry.close_bank(&b);
        let text = telemetry.render();
        for line in [
            "gatehouse_sip_header_rule_matches_total{rule=\"strip-x\"} 7",
            "gatehouse_sip_header_rule_matches_total{rule=\"other\"} 0",
            "# TYPE gatehouse_sip_header_rule_matches_total counter",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}");
        }
    }

    #[test]
    fn labels_help_and_process_figures_are_rendered() {
        let telemetry = Telemetry::default();
        telemetry.open_bank().row(&flow::BYTES)[1].add(9);
        let text = telemetry.render();
        assert!(
            text.contains(
                "gatehouse_flow_bytes_total{direction=\"in\",realm=\"access\",transport=\"tcp\"} 9\n"
            ),
            "{text}"
        );
        assert!(text.contains("# HELP gatehouse_flow_connections Connections that are open.\n"), "{text}");
        assert!(text.contains("# TYPE gatehouse_flow_connections gauge\n"), "{text}");
        let resident =
            text.lines().find(|l| l.starts_with("gatehouse_process_resident_memory_bytes")).unwrap();
        assert!(!resident.ends_with(" 0"), "{resident}");
    }
}
