//! A run: many cases at once, each in a lab of its own; who listens is told of each as it starts and ends.

pub mod broken;
pub mod case;
pub mod ended;
pub mod event;
pub mod expect;
mod journal;
pub mod mappings;
pub mod observed;
mod orders;
pub mod outcome;
pub mod places;
mod process;
pub mod standing;

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use netns::lab::Lab;
use tokio::task::JoinSet;

use crate::progress::Progress;
use crate::report::{Counts, Machine, Report, Row, SCHEMA_VERSION};
use crate::scenario::Case;
use ended::Ended;
use outcome::Outcome;

/// File systems allow 255 bytes; the rest is for what people put before and after it.
const LONGEST_FOLDER: usize = 200;

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many cases at once.
    pub jobs: usize,
    /// Stop starting cases after the first that does not pass.
    pub fail_fast: bool,
    /// Keep the labs of cases that do not pass.
    pub keep: bool,
    /// The longest that one case may take.
    pub limit: Duration,
    /// What every draw comes from; told in the report.
    pub seed: u64,
    /// The run folder, which exists.
    pub folder: PathBuf,
    /// The command line; told in the report.
    pub command: Vec<String>,
}

/// What a run leaves.
#[derive(Debug)]
pub struct Done {
    /// The report, as it was written.
    pub report: Report,
    /// The labs that were kept, by case id.
    pub kept: Vec<(String, Arc<Lab>)>,
    /// Whether natlab itself failed in a case.
    pub is_bug: bool,
}

/// What one case leaves.
struct Left {
    index: usize,
    row: Row,
    lab: Option<Arc<Lab>>,
    is_bug: bool,
}

/// Runs the cases and writes `report.json`. When `stop` ends, what has ended by then is reported.
pub async fn run(
    cases: Vec<Case>,
    options: &Options,
    progress: &dyn Progress,
    stop: impl Future<Output = ()>,
) -> io::Result<Done> {
    let (began, began_at) = (SystemTime::now(), Instant::now());
    let ids: Vec<String> = cases.iter().map(|case| case.id.clone()).collect();
    let mut waiting: VecDeque<(usize, Arc<Case>)> = cases.into_iter().map(Arc::new).enumerate().collect();
    let mut running = JoinSet::new();
    let mut rows: Vec<(usize, Row)> = Vec::new();
    let (mut kept, mut is_bug, mut interrupted) = (Vec::new(), false, false);
    tokio::pin!(stop);
    loop {
        while running.len() < options.jobs.max(1)
            && let Some((index, case)) = waiting.pop_front()
        {
            progress.started(&case);
            running.spawn(run_one(index, case, options.folder.clone(), options.limit));
        }
        let ended = tokio::select! {
            biased;
            () = &mut stop => None,
            ended = running.join_next() => match ended {
                None => break,
                ended => ended,
            },
        };
        let Some(ended) = ended else {
            interrupted = true;
            // Dropping a case kills its processes and removes its lab.
            running.shutdown().await;
            break;
        };
        let Left { index, row, lab, is_bug: is_one } = ended.map_err(io::Error::other)?;
        is_bug |= is_one;
        progress.ended(&row);
        if row.outcome != Outcome::Pass {
            kept.extend(lab.filter(|_| options.keep).map(|lab| (row.id.clone(), lab)));
            if options.fail_fast {
                waiting.clear();
            }
        }
        rows.push((index, row));
    }
    rows.sort_by_key(|(index, _)| *index);
    let ended: HashSet<usize> = rows.iter().map(|(index, _)| *index).collect();
    let not_run = ids.into_iter().enumerate().filter(|(index, _)| !ended.contains(index));
    let cases: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    let report = Report {
        schema_version: SCHEMA_VERSION,
        natlab: env!("CARGO_PKG_VERSION").to_owned(),
        command: options.command.clone(),
        began_unix: began.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        seconds: began_at.elapsed().as_secs_f64(),
        seed: options.seed,
        jobs: options.jobs,
        interrupted,
        machine: machine(),
        counts: Counts::of(&cases),
        not_run: not_run.map(|(_, id)| id).collect(),
        cases,
    };
    let file = options.folder.join("report.json");
    fs::write(&file, serde_json::to_vec_pretty(&report)?).map_err(|error| {
        io::Error::new(error.kind(), format!("could not write {}: {error}", file.display()))
    })?;
    Ok(Done { report, kept, is_bug })
}

async fn run_one(index: usize, case: Arc<Case>, run_folder: PathBuf, limit: Duration) -> Left {
    let folder = format!("cases/{}", folder_name(&case));
    let path = run_folder.join(&folder);
    let mut is_bug = false;
    let mut ended = match fs::create_dir_all(&path) {
        Ok(()) => {
            // One case that natlab cannot run must not cost the verdicts on all others.
            let running = AssertUnwindSafe(case::run(Arc::clone(&case), path, limit)).catch_unwind();
            running.await.unwrap_or_else(|_| {
                is_bug = true;
                let message = "a bug of natlab, which stderr tells more of: please report it".to_owned();
                Ended::without_verdict(&case, message)
            })
        }
        Err(error) => {
            Ended::without_verdict(&case, format!("could not make the folder {}: {error}", path.display()))
        }
    };
    let lab = ended.lab.take();
    Left { index, row: Row::of(&case, &ended, &folder), lab, is_bug }
}

/// The id with nothing in it that a shell would read, and never too long for a file system.
fn folder_name(case: &Case) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' };
    let name: String = case.id.chars().map(plain).collect();
    if name.len() <= LONGEST_FOLDER {
        return name;
    }
    // What is cut off may be all that tells two cases apart; their seeds differ.
    let seed: String = case.seed[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}--{seed}", &name[..LONGEST_FOLDER - seed.len() - 2])
}

fn machine() -> Machine {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Machine {
        kernel: kernel.trim().to_owned(),
        cores: std::thread::available_parallelism().map_or(1, Into::into),
    }
}
