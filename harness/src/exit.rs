//! How natlab ends: the exit codes, which scripts may rely on. Where several apply: 70 > 130 > 6 > 1 > 5 > 0.

use std::process::ExitCode;

/// An exit code and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// As expected.
    Ok,
    /// A case was not as expected.
    CaseFailed,
    /// The command line is wrong.
    CommandLine,
    /// A scenario file is wrong.
    Invalid,
    /// Nothing was selected.
    NothingSelected,
    /// A lab broke, or the machine cannot run labs.
    Unfit,
    /// natlab itself is wrong.
    Bug,
    /// Interrupted.
    Interrupted,
    /// What the program inside the sandbox ended with.
    Inside(u8),
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::CaseFailed => 1,
            Exit::CommandLine => 2,
            Exit::Invalid => 3,
            Exit::NothingSelected => 4,
            Exit::Unfit => 6,
            Exit::Bug => 70,
            Exit::Interrupted => 130,
            Exit::Inside(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
