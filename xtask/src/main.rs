//! Repository tasks: `cargo xtask test | lint | tidy | fuzz | bench | doc | causes | trace`.
//!
//! Plain processes in plain order: whatever CI does can be typed by hand.

mod apt;
mod causes;
mod fuzz;
mod step;
mod tidy;
mod trace;

use std::process::ExitCode;
use step::{Failure, cargo};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let outcome = match args.first().map(String::as_str) {
        Some("test") => test(rest),
        Some("lint") => lint(),
        Some("tidy") => tidy::check(),
        Some("fuzz") => fuzz::run(rest),
        Some("bench") => bench(rest),
        Some("doc") => doc(),
        Some("causes") => causes::write(),
        Some("trace") => trace::write(),
        _ => {
            println!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "\
cargo xtask test          install what the tests need (apt), then lint, tests, simulation, demo, fuzz
cargo xtask test --quick  the same without apt, demo and fuzz
cargo xtask lint          rustfmt, clippy, rustdoc, tidy, and that each requirement has a test
cargo xtask tidy          dependency direction, docs against code, stray marks, file sizes
cargo xtask fuzz [--seconds N] [--seed N] [TARGET]   run the fuzz targets (default 30 s) from their corpora
cargo xtask bench [NAME [WORD]...]  run the benches (all, or one, or those works of it)
cargo xtask doc           rustdoc without warnings
cargo xtask causes        write docs/causes.md from the table of causes
cargo xtask trace         write docs/conformance.md: each requirement with the tests that name it";

/// Everything, from a bare machine to the last fuzz target.
fn test(args: &[String]) -> Result<(), Failure> {
    let quick = args.iter().any(|a| a == "--quick");
    if !quick {
        apt::install_missing()?;
    }
    lint()?;
    cargo("build the binary under test", &["build", "--release", "--locked", "-p", "gatehouse"])?;
    let binary = step::target().join("release/gatehouse");
    step::cargo_env(
        "unit, corpus, simulation and interop tests",
        &["test", "--workspace", "--locked"],
        &[("GATEHOUSE_BIN", &binary.to_string_lossy())],
    )?;
    if !quick {
        cargo("demo", &["run", "--release", "--locked", "--", "demo"])?;
        // The same seed each time: a submission is judged by what it changed, not by this run's luck.
        fuzz::run(&["--seconds", "30", "--seed", "1"].map(str::to_owned))?;
    }
    println!("\nxtask: all passed");
    Ok(())
}

fn lint() -> Result<(), Failure> {
    cargo("rustfmt", &["fmt", "--all", "--check"])?;
    tidy::check()?;
    trace::check()?;
    deny()?;
    cargo("clippy", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
    doc()
}

/// Licences, bans and sources of everything that is built in. `cargo-deny` takes longer to build than the
/// whole workspace, so it is used where it is installed; `tidy` holds the one ban that breaks at run time.
fn deny() -> Result<(), Failure> {
    if !step::succeeds("cargo-deny", &["--version"]) {
        println!("== cargo deny: not installed, left out (cargo install cargo-deny --locked)");
        return Ok(());
    }
    cargo("cargo deny", &["deny", "check", "bans", "licenses", "sources"])
}

fn doc() -> Result<(), Failure> {
    step::cargo_env(
        "rustdoc",
        &["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )
}

fn bench(args: &[String]) -> Result<(), Failure> {
    if args.first().is_none_or(|name| name == "msrp") {
        apt::install(&["haproxy", "kamailio"])?;
    }
    if args.first().is_none_or(|name| name == "rtp") {
        apt::install(&["rtpengine-daemon"])?;
    }
    let mut command = vec!["bench", "--locked", "-p", "gatehouse-benches"];
    if let Some((name, words)) = args.split_first() {
        command.extend(["--bench", name, "--"]);
        command.extend(words.iter().map(String::as_str));
    }
    cargo("bench", &command)
}
