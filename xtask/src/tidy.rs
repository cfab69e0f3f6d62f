//! What no compiler checks: dependency direction, documents against code, stray marks, file sizes.

use crate::causes;
use crate::step::{Failure, root};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which of our crates each crate may use: ARCHITECTURE.md's table. Development dependencies are free.
const MAY_USE: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("config", &["wire"]),
    ("telemetry", &["wire"]),
    ("sip", &["wire"]),
    ("sdp", &["wire"]),
    ("msrp", &["wire"]),
    ("rtp", &["wire"]),
    ("media", &["wire", "msrp", "rtp"]),
    // `edge` speaks the command vocabulary of `media`, and nothing else of it.
    ("edge", &["wire", "sip", "sdp", "msrp", "rtp", "media", "config"]),
    // `msrp` for the framing of WebSockets, which lies between TLS and the relay.
    ("dataplane", &["wire", "msrp", "rtp", "edge", "media", "config", "telemetry"]),
    ("control", &["wire", "config", "telemetry", "sip", "sdp", "msrp", "rtp"]),
    ("lab", &["wire", "sip", "sdp", "msrp", "rtp"]),
    ("loadgen", &["wire", "lab", "sip", "sdp", "msrp", "rtp"]),
    ("sim", &["wire", "edge", "media", "lab", "config"]),
    (
        "gatehouse",
        &["wire", "config", "telemetry", "dataplane", "control", "edge", "lab", "loadgen", "sip", "msrp"],
    ),
];

/// Crates that never read a clock, open a socket or draw randomness; `clippy.toml` holds them to it.
const SANS_IO: &[&str] = &["wire", "sip", "sdp", "msrp", "rtp", "media", "edge"];

/// Past this a file must say why in its head ("Long because ...").
const LINES_MAX: usize = 650;

/// Runs every check and reports all that is wrong.
pub(crate) fn check() -> Result<(), Failure> {
    let mut wrong = Vec::new();
    dependency_direction(&mut wrong)?;
    sans_io_fences(&mut wrong);
    causes_document(&mut wrong);
    second_tls_provider(&mut wrong)?;
    for file in rust_files()? {
        let text = std::fs::read_to_string(root().join(&file))?;
        marks(&file, &text, &mut wrong);
        length(&file, &text, &mut wrong);
    }
    if wrong.is_empty() {
        println!("== tidy: ok");
        return Ok(());
    }
    Err(Failure(format!("tidy:\n  {}", wrong.join("\n  "))))
}

fn dependency_direction(wrong: &mut Vec<String>) -> Result<(), Failure> {
    for entry in std::fs::read_dir(root().join("crates"))? {
        let dir = entry?.path();
        let name = dir.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        let Some((_, allowed)) = MAY_USE.iter().find(|(n, _)| *n == name) else {
            wrong.push(format!("crates/{name}: not in the dependency table of xtask/src/tidy.rs"));
            continue;
        };
        let text = std::fs::read_to_string(dir.join("Cargo.toml"))?;
        let manifest: toml::Table =
            text.parse().map_err(|e| Failure(format!("crates/{name}/Cargo.toml: {e}")))?;
        let used = manifest.get("dependencies").and_then(toml::Value::as_table);
        for dependency in used.into_iter().flat_map(|t| t.keys()) {
            let ours = MAY_USE.iter().any(|(n, _)| n == dependency);
            if ours && !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("crates/{name} must not use {dependency} (dependencies point down only)"));
            }
        }
    }
    Ok(())
}

fn sans_io_fences(wrong: &mut Vec<String>) {
    for name in SANS_IO {
        if !root().join("crates").join(name).join("clippy.toml").is_file() {
            wrong.push(format!(
                "crates/{name}/clippy.toml is missing: it bans clocks, sockets and randomness"
            ));
        }
    }
}

fn causes_document(wrong: &mut Vec<String>) {
    let text = std::fs::read_to_string(root().join(causes::PATH)).unwrap_or_default();
    if text != causes::document() {
        wrong.push(format!("{} is not what the code says: run `cargo xtask causes`", causes::PATH));
    }
}

/// rustls with two providers panics at run time, so the second must not even be in the lock file's tree.
fn second_tls_provider(wrong: &mut Vec<String>) -> Result<(), Failure> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock"))?;
    for name in ["aws-lc-sys", "aws-lc-rs", "openssl-sys"] {
        if lock.contains(&format!("name = \"{name}\"")) {
            wrong.push(format!("Cargo.lock holds {name}: ring is the only crypto provider"));
        }
    }
    Ok(())
}

pub(crate) fn rust_files() -> Result<Vec<PathBuf>, Failure> {
    let output = Command::new("git").args(["ls-files", "*.rs"]).current_dir(root()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(PathBuf::from)
        .filter(|f| root().join(f).is_file())
        .collect())
}

fn marks(file: &Path, text: &str, wrong: &mut Vec<String>) {
    // Spelled in two halves, so that this file passes its own check.
    let banned = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("db", "g!("),
        concat!("#[", "ignore"),
    ];
    for (number, line) in text.lines().enumerate() {
        for mark in banned.iter().filter(|m| line.contains(**m)) {
            wrong.push(format!("{}:{}: {mark}", file.display(), number + 1));
        }
    }
}

fn length(file: &Path, text: &str, wrong: &mut Vec<String>) {
    let lines = text.lines().count();
    let excused = text.lines().take(40).any(|l| l.contains("Long because"));
    if lines > LINES_MAX && !excused {
        wrong.push(format!(
            "{}: {lines} lines; find the door, or say in its head `Long because ...`",
            file.display()
        ));
    }
}
