//! The edge's own binary under test.

use crate::place::Place;
use crate::process::Process;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A running `gatehouse serve`.
#[derive(Debug)]
pub struct Edge {
    process: Process,
}

impl Edge {
    /// Writes `config`, starts `gatehouse serve` with it and waits until `ready` accepts TCP connections.
    ///
    /// # Panics
    /// If it cannot be built or does not start.
    #[must_use]
    pub fn start(place: &Place, config: &str, ready: std::net::SocketAddr) -> Self {
        let config = place.write("gatehouse.toml", config).to_string_lossy().into_owned();
        let mut process =
            Process::start(binary(), &["serve", "--config", &config], place.file("gatehouse.log"));
        process.wait_output("its listener", |_| std::net::TcpStream::connect(ready).ok());
        Self { process }
    }

    /// The process, for its log and for signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The binary: `GATEHOUSE_BIN` if set, else built once with the profile of the tests.
///
/// # Panics
/// If the build fails.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("GATEHOUSE_BIN") {
        Some(path) => path.into(),
        None => build(),
    })
}

/// Tests run without the build lock, so cargo may be asked from inside; if all is fresh it is quick.
fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--profile", "test", "--package", "gatehouse", "--bin", "gatehouse"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "cargo build -p gatehouse: {status:?}"
    );
    let test = std::env::current_exe().expect("a test has a path");
    // target/debug/deps/it-0123456789abcdef -> target/debug/gatehouse
    let directory = test.parent().and_then(Path::parent).expect("tests live two levels down");
    directory.join("gatehouse")
}
