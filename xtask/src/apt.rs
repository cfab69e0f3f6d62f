//! Debian packages that the tests need.

use crate::step::{Failure, root, run};
use std::process::{Command, Stdio};

/// Where the list stands: one package a line, `#` comments.
const LIST: &str = "tests/interop/apt-packages.txt";

/// Installs those packages of the list that are missing.
pub(crate) fn install_missing() -> Result<(), Failure> {
    let text = std::fs::read_to_string(root().join(LIST))?;
    let wanted = text.lines().map(|l| l.split('#').next().unwrap_or("").trim()).filter(|l| !l.is_empty());
    install(&wanted.collect::<Vec<_>>())
}

/// Installs those of `packages` that are missing.
pub(crate) fn install(packages: &[&str]) -> Result<(), Failure> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        println!("== apt: nothing to install");
        return Ok(());
    }
    let mut update = apt_get();
    update.args(["update", "-q"]);
    run("apt-get update", update)?;
    let mut install = apt_get();
    install.args(["install", "-y", "-q", "--no-install-recommends"]).args(&missing);
    run("apt-get install", install)
}

fn is_installed(package: &str) -> bool {
    let status = Command::new("dpkg-query")
        .args(["-W", "-f", "${Status}", package])
        .stderr(Stdio::null())
        .output()
        .map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    status.is_ok_and(|s| s.contains("ok installed"))
}

/// `apt-get`, through sudo where we are not root.
fn apt_get() -> Command {
    let root_user = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.trim_ascii() == b"0");
    let mut command = Command::new(if root_user { "apt-get" } else { "sudo" });
    if !root_user {
        command.arg("apt-get");
    }
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
