//! Signalling through the edge beside Kamailio and HAProxy. `cargo xtask bench sip [WORD of a line]...`

use gatehouse_benches::sip::{bench, edges};
use std::process::ExitCode;

// As the product has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let done = match &args[..] {
        [first, file] if first == edges::EDGE => edges::serve(file).map(|()| true),
        words => bench::run(words),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("not everything that was promised held");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("sip: {error}");
            ExitCode::FAILURE
        }
    }
}
