//! The RTP relay beside rtpengine and a bare relay. `cargo xtask bench rtp [WORD of a work]...`

use gatehouse_benches::rtp::{bench, relays};
use std::process::{Command, ExitCode};

// As the product has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const INSIDE: &str = "--inside";

/// Runs this program in a network of its own, where every port is free and nothing filters packets. Whether it
/// passed; `None` if the system does not allow it.
fn in_own_network(args: &[String]) -> Option<bool> {
    let network = ["--net", "--map-root-user", "sh", "-c"];
    let setup = "ip link set lo up";
    let works = Command::new("unshare").args(network).arg(setup).status().is_ok_and(|s| s.success());
    if !works {
        return None;
    }
    let program = std::env::current_exe().ok()?;
    let script = format!("{setup} && exec \"$0\" \"$@\"");
    let mut command = Command::new("unshare");
    command.args(network).arg(script).arg(program).arg(INSIDE).args(args);
    Some(command.status().ok()?.success())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let done = match args.split_first() {
        Some((first, rest)) if first == relays::RELAY => relays::serve(rest).map(|()| true),
        Some((first, rest)) if first == INSIDE => bench::run(rest),
        // Where that is not allowed, in the network as it is.
        _ => in_own_network(&args).map_or_else(|| bench::run(&args), Ok),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("not everything that was promised held");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("rtp: {error}");
            ExitCode::FAILURE
        }
    }
}
