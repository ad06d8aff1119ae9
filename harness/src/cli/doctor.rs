//! `natlab doctor`: can this machine run labs? Each check with its fix.

use std::io;

use netns::{doctor, sandbox};

use super::Streams;
use crate::exit::Exit;

/// Check whether this machine can run labs, and say what to do where it cannot.
#[derive(Debug, Clone, clap::Args)]
pub struct DoctorArgs {}

/// Prints one line a check, what is needed first. The checks run inside a sandbox of their own, as labs do.
pub fn doctor(_args: &DoctorArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let checks = if sandbox::is_inside() {
        doctor::examine()
    } else {
        let arguments: Vec<_> = std::env::args_os().skip(1).collect();
        match sandbox::launch(&arguments) {
            Ok(code) => return Ok(Exit::Inside(code)),
            Err(error) => vec![doctor::no_sandbox(&error)],
        }
    };
    write!(streams.out, "{}", doctor::render(&checks))?;
    Ok(if checks.iter().any(doctor::Check::is_fatal) { Exit::Unfit } else { Exit::Ok })
}
