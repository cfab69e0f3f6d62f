//! One step of a task: a process with a name, its time, and a clear failure.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Why a task stopped.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs `cargo` with `args` at the root.
pub(crate) fn cargo(name: &str, args: &[&str]) -> Result<(), Failure> {
    cargo_env(name, args, &[])
}

/// Runs `cargo` with `args` and extra environment at the root.
pub(crate) fn cargo_env(name: &str, args: &[&str], env: &[(&str, &str)]) -> Result<(), Failure> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).envs(env.iter().copied()).current_dir(root());
    run(name, command)
}

/// Runs `command`, showing what it is and how long it took.
pub(crate) fn run(name: &str, mut command: Command) -> Result<(), Failure> {
    println!("\n== {name}: {command:?}");
    let start = Instant::now();
    let status = command.status().map_err(|e| Failure(format!("{name}: {command:?}: {e}")))?;
    println!(
        "== {name}: {} after {:.1} s",
        if status.success() { "ok" } else { "FAILED" },
        start.elapsed().as_secs_f32()
    );
    if status.success() { Ok(()) } else { Err(Failure(format!("{name} failed ({status})"))) }
}

/// Whether `program` is there and succeeds, quietly.
pub(crate) fn succeeds(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
