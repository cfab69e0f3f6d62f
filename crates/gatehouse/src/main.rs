//! The `gatehouse` binary: command line and wiring only.

mod bench;
mod blacklist;
mod captures;
mod check;
mod ctl;
mod demo;
mod explain;
mod next_hops;
mod notify;
mod serve;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// The one place that sets the allocator: per-connection blocks of all sizes come and go on every
/// shard, which is what it is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// MSRP/SIP access-edge proxy (SBC and P-CSCF).
#[derive(Debug, Parser)]
#[command(name = "gatehouse", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a node. SIGHUP reloads the configuration, SIGTERM drains and then stops, a second one stops.
    Serve {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Checks a configuration file with all the files it names; exit status 0 or 1.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Answers small questions about a configuration.
    Ctl {
        #[command(subcommand)]
        command: ctl::Command,
    },
    /// Runs the edge on the request on standard input and shows stages, edits and verdict; exit status 0 if it is
    /// accepted, 2 if it is rejected, 1 if the configuration or the request cannot be read.
    Explain(explain::Options),
    /// Runs a core, an edge and four UEs on loopback and shows every flow; exit status 0 if all passed.
    Demo {
        /// Leaves everything running afterwards, until Ctrl-C.
        #[arg(long)]
        keep: bool,
        /// Shows the edge's log on standard error.
        #[arg(long)]
        verbose: bool,
        /// How the edge reaches the core.
        #[arg(long, value_name = "TRANSPORT", value_parser = ["udp", "tcp"], default_value = "udp")]
        core: String,
    },
    /// Loads a SIP edge, this one or another, and reports throughput, latencies and what it cost.
    Bench(Box<bench::Options>),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve { config } => serve::serve(&config),
        Command::Check { config } => check::check(&config),
        Command::Explain(options) => explain::run(&options),
        Command::Ctl { command } => ctl::run(&command),
        Command::Demo { keep, verbose, core } => demo::demo(&demo::Options { keep, verbose, core }),
        Command::Bench(options) => bench::bench(&options),
    }
}
