//! How natlab ends: the exit codes, which scripts may rely on.

use std::process::ExitCode;

/// An exit code and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// As expected.
    Ok = 0,
    /// The command line is wrong.
    CommandLine = 2,
    /// A scenario file is wrong.
    Invalid = 3,
    /// Nothing was selected.
    NothingSelected = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
