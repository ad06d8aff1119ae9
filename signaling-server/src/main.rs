//! The program `signaling-server`; all of it is in the library, because `natlab` runs it too.

use std::process::ExitCode;

fn main() -> ExitCode {
    signaling_server::main_with(std::env::args_os())
}
