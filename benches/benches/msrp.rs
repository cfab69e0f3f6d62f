//! The MSRP relay beside HAProxy, Kamailio and a bare relay. `cargo xtask bench msrp [WORD of a work]...`

use gatehouse_benches::msrp::{bench, relays};
use std::process::ExitCode;

// As the product has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let done = match args.split_first() {
        Some((first, rest)) if first == relays::RELAY => relays::serve(rest).map(|()| true),
        _ => bench::run(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("not everything that was promised held");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("msrp: {error}");
            ExitCode::FAILURE
        }
    }
}
