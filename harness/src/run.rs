//! A run: many cases at once, each in a lab of its own; who listens is told of each as it starts and ends.

pub mod case;
pub mod event;
pub mod expect;
mod journal;
pub mod observed;
mod orders;
pub mod outcome;
mod process;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use netns::lab::Lab;
use tokio::task::JoinSet;

use crate::progress::Progress;
use crate::report::{Counts, Machine, Report, Row, SCHEMA_VERSION};
use crate::scenario::Case;
use outcome::Outcome;

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
}

/// Runs the cases and writes `report.json`. When `stop` ends, what has ended by then is reported.
pub async fn run(
    cases: Vec<Case>,
    options: &Options,
    progress: &dyn Progress,
    stop: impl Future<Output = ()>,
) -> io::Result<Done> {
    let (began, began_at) = (SystemTime::now(), Instant::now());
    let mut waiting: VecDeque<(usize, Arc<Case>)> = cases.into_iter().map(Arc::new).enumerate().collect();
    let mut running = JoinSet::new();
    let mut rows: Vec<(usize, Row)> = Vec::new();
    let mut kept = Vec::new();
    let mut interrupted = false;
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
        let (index, row, lab) = ended.map_err(io::Error::other)??;
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
        cases,
    };
    fs::write(options.folder.join("report.json"), serde_json::to_vec_pretty(&report)?)?;
    Ok(Done { report, kept })
}

async fn run_one(
    index: usize,
    case: Arc<Case>,
    run_folder: PathBuf,
    limit: Duration,
) -> io::Result<(usize, Row, Option<Arc<Lab>>)> {
    let folder = format!("cases/{}", folder_name(&case.id));
    fs::create_dir_all(run_folder.join(&folder))?;
    let mut ended = case::run(Arc::clone(&case), run_folder.join(&folder), limit).await;
    let lab = ended.lab.take();
    Ok((index, Row::of(&case, &ended, &folder), lab))
}

/// The id with nothing in it that a shell would read.
fn folder_name(id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' };
    id.chars().map(plain).collect()
}

fn machine() -> Machine {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Machine {
        kernel: kernel.trim().to_owned(),
        cores: std::thread::available_parallelism().map_or(1, Into::into),
    }
}
