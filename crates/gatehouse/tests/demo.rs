//! `gatehouse demo` as a newcomer runs it, in a pipe.
#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn every_flow_passes_with_a_core_over_udp() {
    every_flow_passes("udp");
}

#[test]
fn every_flow_passes_with_a_core_over_tcp() {
    every_flow_passes("tcp");
}

fn every_flow_passes(core: &str) {
    let directory = std::env::temp_dir().join(format!("gatehouse-demo-test-{}-{core}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gatehouse"))
        .args(["demo", "--core", core])
        .env("TMPDIR", &directory)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let passed = text.lines().filter(|line| line.starts_with("✓ ")).count();
    let summary = text.lines().last().unwrap();
    assert!(summary.starts_with(&format!("{passed} of {passed} flows passed, 0 violations, ")), "{text}");
    assert!(!text.contains('\x1b'), "colour in a pipe");
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "the demo left files behind");
    std::fs::remove_dir(&directory).unwrap();
}
