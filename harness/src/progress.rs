//! What people see while a run goes on: [`plain`] lines, or on a terminal ([`tty`]) bars with the lines above them.

pub mod plain;
pub mod tty;

use crate::report::Row;
use crate::scenario::Case;

/// Is told of every case as it starts and ends.
pub trait Progress {
    /// A case has begun.
    fn started(&self, case: &Case);
    /// A case has ended.
    fn ended(&self, row: &Row);
}

/// What every form of progress prints of a case that has ended.
#[derive(Debug, Clone)]
pub struct Printer {
    /// Say nothing of cases that passed.
    pub quiet: bool,
    /// Say more of every case.
    pub verbose: bool,
    /// Whether words may be coloured.
    pub color: bool,
    /// Where artifacts go.
    pub folder: std::path::PathBuf,
    /// The seed of the run.
    pub seed: u64,
    /// Whether `--allow-break` was given.
    pub broken: bool,
}

impl Printer {
    /// The lines of a case that has ended.
    pub fn lines(&self, row: &Row) -> Vec<String> {
        use crate::report::text;
        use crate::run::outcome::Outcome;
        if self.quiet && row.outcome == Outcome::Pass {
            return Vec::new();
        }
        let mut lines = vec![self.colored(text::line(row), &row.outcome)];
        lines.extend(text::details(row, &self.folder, self.seed, self.broken));
        if self.verbose {
            lines.extend(text::more(row));
        }
        lines
    }

    fn colored(&self, line: String, outcome: &crate::run::outcome::Outcome) -> String {
        use crate::run::outcome::Outcome;
        if !self.color {
            return line;
        }
        let code = match outcome {
            Outcome::Pass => 32,
            Outcome::Fail { .. } => 31,
            Outcome::Error { .. } => 35,
            Outcome::Skip { .. } => 33,
        };
        let (word, rest) = line.split_at(5);
        format!("\x1b[1;{code}m{word}\x1b[0m{rest}")
    }
}
