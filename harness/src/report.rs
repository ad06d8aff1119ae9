//! The report: every case with its verdict, its success and what was seen. `report.json` is the truth; [`text`] and
//! [`grid`] are renderings of it.

pub mod grid;
#[cfg(test)]
mod tests;
pub mod text;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::run::ended::Ended;
use crate::run::expect;
use crate::run::observed::Observed;
use crate::run::outcome::Outcome;
use crate::scenario::{Case, Session};

/// The version of the layout of `report.json`.
pub const SCHEMA_VERSION: u32 = 1;

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The program that made it.
    pub natlab: String,
    /// What it was asked.
    pub command: Vec<String>,
    /// When it began, seconds since 1970.
    pub began_unix: u64,
    /// How long it took, seconds.
    pub seconds: f64,
    /// What every draw came from.
    pub seed: u64,
    /// How many cases ran at once.
    pub jobs: usize,
    /// Whether it was interrupted before its end.
    pub interrupted: bool,
    /// The machine.
    pub machine: Machine,
    /// How many cases ended how.
    pub counts: Counts,
    /// The ids of cases that were selected and did not come to an end: after an interrupt, or after `--fail-fast`.
    pub not_run: Vec<String>,
    /// The cases, in the order of the files.
    pub cases: Vec<Row>,
}

/// Where a run happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The kernel's release.
    pub kernel: String,
    /// Cores that may be used.
    pub cores: usize,
}

/// How many cases ended how. Verdict and success are two things.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// As expected.
    pub passed: usize,
    /// Not as expected.
    pub failed: usize,
    /// Without a verdict.
    pub errors: usize,
    /// Not run.
    pub skipped: usize,
    /// Direct path and identical file, whatever was expected.
    pub succeeded: usize,
}

/// One case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its id, which can be pasted back.
    pub id: String,
    /// The scenario's name.
    pub scenario: String,
    /// The file it stands in.
    pub file: String,
    /// Which repetition it is.
    pub repetition: u32,
    /// What its own draws came from: 64 hexadecimal digits.
    pub seed: String,
    /// The verdict.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Whether every pair of peers got a direct path and identical files. Not the verdict.
    pub success: bool,
    /// How long it took, lab and all, seconds.
    pub seconds: f64,
    /// How long the lab took to build, seconds.
    pub build_seconds: f64,
    /// How long the NATs took to measure, seconds.
    pub measure_seconds: f64,
    /// Where its artifacts are, from the run folder.
    pub folder: String,
    /// The peers and what they are behind.
    pub peers: Vec<PeerRow>,
    /// Each pair of peers.
    pub sessions: Vec<SessionRow>,
    /// Each file.
    pub files: Vec<FileRow>,
    /// Everything that was seen.
    pub observed: Observed,
}

/// A peer of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRow {
    /// Its name.
    pub name: String,
    /// What it is declared to be behind.
    pub nat: String,
}

/// A pair of peers: what was expected and what they came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Who offered.
    pub offerer: String,
    /// Who answered.
    pub answerer: String,
    /// The NAT of the one who offered.
    pub offerer_nat: String,
    /// The NAT of the one who answered.
    pub answerer_nat: String,
    /// The expected path.
    pub expected_path: String,
    /// The expected candidate types.
    pub expected_via: Vec<String>,
    /// Why.
    pub reason: String,
    /// Whether it is a matter of who speaks first: then what was found is recorded, not judged.
    pub race: bool,
    /// The line of the file that expects it.
    pub line: usize,
    /// The path that was found.
    pub path: String,
    /// The most indirect candidate type of it.
    pub via: Option<String>,
    /// From both discovered to both channels open, seconds.
    pub connect_seconds: Option<f64>,
}

/// A file that was to be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileRow {
    /// Who sent.
    pub from: String,
    /// Who received.
    pub to: String,
    /// Bytes.
    pub size: u64,
    /// Whether the same bytes arrived.
    pub identical: bool,
    /// Of what arrived.
    pub sha256: Option<String>,
    /// From the first frame to the last.
    pub seconds: Option<f64>,
}

impl Row {
    /// The row of a case that has ended.
    pub fn of(case: &Case, ended: &Ended, folder: &str) -> Self {
        let (seen, outcome) = (&ended.seen, ended.outcome.clone());
        Row {
            id: case.id.clone(),
            scenario: case.scenario.name.clone(),
            file: case.scenario.file.display().to_string(),
            repetition: case.repetition,
            seed: case.seed.iter().map(|byte| format!("{byte:02x}")).collect(),
            success: case.sessions.iter().all(|session| expect::succeeded(case, seen, session)),
            outcome,
            seconds: ended.took.as_secs_f64(),
            build_seconds: ended.build.as_secs_f64(),
            measure_seconds: ended.measure.as_secs_f64(),
            folder: folder.to_owned(),
            peers: case
                .peers
                .iter()
                .map(|peer| PeerRow { name: peer.name.clone(), nat: case.behind(peer) })
                .collect(),
            sessions: case.sessions.iter().map(|session| SessionRow::of(case, session, seen)).collect(),
            files: files(case, seen),
            observed: seen.clone(),
        }
    }
}

impl SessionRow {
    fn of(case: &Case, session: &Session, seen: &Observed) -> Self {
        let nat = |name: &str| {
            case.peers.iter().find(|peer| peer.name == name).map_or(String::new(), |peer| case.behind(peer))
        };
        let joined = expect::joined(case, seen, session);
        SessionRow {
            offerer: session.offerer.clone(),
            answerer: session.answerer.clone(),
            offerer_nat: nat(&session.offerer),
            answerer_nat: nat(&session.answerer),
            expected_path: session.expect.path.name().to_owned(),
            expected_via: session.expect.via.iter().map(|kind| kind.name().to_owned()).collect(),
            reason: session.expect.reason.clone(),
            race: session.expect.race,
            line: session.expect.line,
            path: joined.path.name().to_owned(),
            via: joined.via.map(|kind| kind.name().to_owned()),
            connect_seconds: connect_time(seen, session).map(|time| time.as_secs_f64()),
        }
    }
}

/// From the moment when both had discovered each other to the moment when both channels were open.
fn connect_time(seen: &Observed, session: &Session) -> Option<Duration> {
    let ends = [(&session.offerer, &session.answerer), (&session.answerer, &session.offerer)];
    let ends = ends.map(|(peer, partner)| seen.session(peer, partner));
    let (mut discovered, mut open) = (0, 0);
    for end in ends {
        let end = end?;
        discovered = discovered.max(end.discovered_us?);
        open = open.max(end.open_us?);
    }
    Some(Duration::from_micros(open.saturating_sub(discovered)))
}

fn files(case: &Case, seen: &Observed) -> Vec<FileRow> {
    let row = |transfer: &crate::scenario::CaseTransfer| {
        let found = seen.transfers.get(&(transfer.index as u32));
        FileRow {
            from: transfer.from.clone(),
            to: transfer.to.clone(),
            size: transfer.size,
            identical: expect::arrived(seen, transfer).is_ok(),
            sha256: found.and_then(|found| found.received.as_ref()).map(|(_, hash)| hash.clone()),
            seconds: found.and_then(|found| found.seconds),
        }
    };
    case.transfers.iter().map(row).collect()
}

impl Counts {
    /// Counts rows.
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Self {
        let mut counts = Counts::default();
        for row in rows {
            counts.succeeded += usize::from(row.success);
            *match row.outcome {
                Outcome::Pass => &mut counts.passed,
                Outcome::Fail { .. } => &mut counts.failed,
                Outcome::Error { .. } => &mut counts.errors,
                Outcome::Skip { .. } => &mut counts.skipped,
            } += 1;
        }
        counts
    }
}

impl Report {
    /// How the program ends after this run.
    pub fn exit(&self) -> Exit {
        match self.counts {
            _ if self.interrupted => Exit::Interrupted,
            Counts { errors: 1.., .. } => Exit::Unfit,
            Counts { failed: 1.., .. } => Exit::CaseFailed,
            _ => Exit::Ok,
        }
    }
}
