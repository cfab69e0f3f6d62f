//! Runs the cargo-fuzz targets of `fuzz/` on a stable toolchain.
//!
//! The sanitizer-coverage passes are asked of LLVM directly, so neither nightly nor `cargo-fuzz`
//! has to be installed.

use crate::step::{Failure, root, run as run_step};
use std::path::PathBuf;
use std::process::Command;

const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1";

/// `[--seconds N] [--seed N] [TARGET]`: each target for N seconds from its corpus; a crash fails the task.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let option = |name: &str| {
        let at = args.iter().position(|a| a == name)?;
        args.get(at + 1)?.parse::<u32>().ok()
    };
    let seconds = option("--seconds").unwrap_or(30);
    // 0 is libFuzzer's word for a seed of its own choice.
    let seed = option("--seed").unwrap_or(0);
    let only = args.last().filter(|a| a.parse::<u32>().is_err() && !a.starts_with("--"));
    let targets = targets()?;
    build()?;
    for target in targets.iter().filter(|t| only.is_none_or(|o| o == *t)) {
        fuzz(target, seconds, seed)?;
    }
    Ok(())
}

fn targets() -> Result<Vec<String>, Failure> {
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml"))?;
    let manifest: toml::Table = manifest.parse().map_err(|e| Failure(format!("fuzz/Cargo.toml: {e}")))?;
    let bins = manifest.get("bin").and_then(toml::Value::as_array);
    let names = bins.into_iter().flatten().filter_map(|b| b.get("name")?.as_str().map(str::to_owned));
    let names: Vec<String> = names.collect();
    if names.is_empty() { Err(Failure("fuzz/Cargo.toml names no target".into())) } else { Ok(names) }
}

fn host() -> Result<String, Failure> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|l| l.strip_prefix("host: ").map(str::to_owned));
    host.ok_or_else(|| Failure("rustc -vV names no host".into()))
}

fn build() -> Result<(), Failure> {
    let mut command = Command::new("cargo");
    // An explicit --target keeps the flags away from build scripts.
    command.args([
        "build",
        "--release",
        "--locked",
        "--target",
        &host()?,
        "--manifest-path",
        "fuzz/Cargo.toml",
    ]);
    command.env("RUSTFLAGS", COVERAGE).env_remove("CARGO_TARGET_DIR").current_dir(root());
    run_step("build fuzz targets", command)
}

fn fuzz(target: &str, seconds: u32, seed: u32) -> Result<(), Failure> {
    let binary: PathBuf = root().join("fuzz/target").join(host()?).join("release").join(target);
    let fresh = root().join("fuzz/target/found").join(target);
    std::fs::create_dir_all(&fresh)?;
    let artifacts = format!("{}/", root().join("fuzz/artifacts").join(target).display());
    std::fs::create_dir_all(&artifacts)?;
    let mut command = Command::new(binary);
    // New finds go to a scratch folder: the committed corpus grows by hand.
    command.arg(fresh).arg(root().join("fuzz/corpus").join(target));
    command.arg(format!("-seed={seed}"));
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={artifacts}"));
    command.args([
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-max_len=16384",
        "-print_final_stats=1",
        "-verbosity=0",
    ]);
    run_step(&format!("fuzz {target} for {seconds} s"), command)
}
