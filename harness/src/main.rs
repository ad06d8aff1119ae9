//! The `natlab` program.
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("peer") => harness::peer::main(),
        _ => {
            eprintln!("usage: natlab peer");
            ExitCode::from(2)
        }
    }
}
