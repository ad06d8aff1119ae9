//! `natlab doctor`: can this machine run labs? Each check with its fix.

use std::io;

use super::Streams;
use crate::exit::Exit;

/// Check whether this machine can run labs, and say what to do where it cannot.
#[derive(Debug, Clone, clap::Args)]
pub struct DoctorArgs {}

/// Prints one line a check.
pub fn doctor(_args: &DoctorArgs, _streams: &mut Streams<'_>) -> io::Result<Exit> {
    Ok(Exit::Ok)
}
