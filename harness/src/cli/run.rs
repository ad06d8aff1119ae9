//! `natlab run`: scenarios become labs, peers and verdicts.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::{ArgAction, ValueEnum};
use netns::lab::Lab;
use netns::sandbox;
use tokio::signal::unix::{SignalKind, signal};

use super::{Selection, Streams};
use crate::exit::Exit;
use crate::progress::plain::{HEARTBEAT, Plain};
use crate::progress::tty::Tty;
use crate::progress::{Printer, Progress};
use crate::report::{grid, text};
use crate::run::{self, Done, Options};
use crate::scenario::{Case, cases, duration, read};

/// How many cases run at once for each core. Most of a case is waiting; more make each other late (measured).
const CASES_PER_CORE: usize = 2;

/// Run scenarios: build their labs, let the peers meet, judge what happened.
#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    /// What to run.
    #[command(flatten)]
    pub selection: Selection,
    /// Only cases whose id contains this text.
    #[arg(short = 'k', long = "filter", value_name = "TEXT")]
    pub filter: Option<String>,
    /// How many cases at once; by default twice the number of cores.
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<std::num::NonZeroUsize>,
    /// Run every case so often, whatever its file says.
    #[arg(long, value_name = "N")]
    pub repeat: Option<std::num::NonZeroU32>,
    /// What every random draw comes from; drawn, printed and saved where left out.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Stop starting cases after the first that does not pass.
    #[arg(short = 'x', long)]
    pub fail_fast: bool,
    /// The longest that one case may take.
    #[arg(long, value_name = "TIME", default_value = "10min", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Where run folders go.
    #[arg(long, value_name = "DIR", default_value = "natlab-runs")]
    pub out: PathBuf,
    /// Keep the labs of cases that do not pass, and say how to enter them, until Ctrl-C.
    #[arg(long)]
    pub keep: bool,
    /// How progress is shown.
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    pub format: Format,
    /// Whether words are coloured.
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// Say nothing of cases that pass.
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more of every case.
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub verbose: bool,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Bars on a terminal, lines elsewhere and in a CI.
    Auto,
    /// Bars.
    Tty,
    /// Lines.
    Plain,
}

/// Whether words are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    duration(text).map_err(|error| error.to_string())
}

/// Outside the sandbox: checks what was asked, then runs itself inside one. Inside: runs.
pub fn run(args: &RunArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let mut loaded = read(&args.selection.paths, args.selection.options());
    if let Some(problems) = loaded.problems.take() {
        write!(streams.err, "{}", problems.render(streams.look))?;
        return Ok(Exit::Invalid);
    }
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let repeat = args.repeat.map(Into::into);
    let all = loaded.scenarios.into_iter().map(Arc::new).flat_map(|scenario| cases(&scenario, seed, repeat));
    let selected: Vec<Case> =
        all.filter(|case| args.filter.as_ref().is_none_or(|text| case.id.contains(text.as_str()))).collect();
    if selected.is_empty() {
        writeln!(streams.err, "no case was selected; `natlab list` shows what there is")?;
        return Ok(Exit::NothingSelected);
    }
    if !sandbox::is_inside() {
        let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        return match sandbox::launch(&arguments) {
            Ok(code) => Ok(Exit::Inside(code)),
            Err(error) => {
                writeln!(streams.err, "error: {error}\nhelp: {}", error.help())?;
                Ok(Exit::Unfit)
            }
        };
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exit = runtime.block_on(run_inside(args, selected, seed));
    // Cases that were interrupted may still hold blocking threads; the sandbox ends them.
    runtime.shutdown_background();
    exit
}

async fn run_inside(args: &RunArgs, cases: Vec<Case>, seed: u64) -> io::Result<Exit> {
    let folder = make_run_folder(&args.out, seed)?;
    let color = match args.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
    };
    let printer = Printer {
        quiet: args.quiet,
        verbose: args.verbose,
        color,
        folder: folder.clone(),
        seed,
        broken: args.selection.allow_break,
    };
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    let options = Options {
        jobs: args.jobs.map_or(cores * CASES_PER_CORE, Into::into),
        fail_fast: args.fail_fast,
        keep: args.keep,
        limit: args.timeout,
        seed,
        folder: folder.clone(),
        command: std::env::args().collect(),
    };
    let has_bars = match args.format {
        Format::Tty => true,
        Format::Plain => false,
        Format::Auto => io::stderr().is_terminal() && std::env::var_os("CI").is_none(),
    };
    let done = if has_bars {
        let tty = Tty::new(printer, cases.len());
        let done = run::run(cases, &options, &tty, stop_signal()?).await;
        tty.close();
        done?
    } else {
        let plain = Plain::new(printer, cases.len());
        run_with_heartbeat(cases, &options, &plain).await?
    };
    conclude(args, &done, &folder).await
}

async fn run_with_heartbeat(cases: Vec<Case>, options: &Options, plain: &Plain) -> io::Result<Done> {
    let run = run::run(cases, options, plain as &dyn Progress, stop_signal()?);
    tokio::pin!(run);
    let mut beat = tokio::time::interval(HEARTBEAT);
    loop {
        tokio::select! {
            done = &mut run => return done,
            _ = beat.tick() => plain.heartbeat(),
        }
    }
}

async fn conclude(args: &RunArgs, done: &Done, folder: &Path) -> io::Result<Exit> {
    let grid = grid::grid(&done.report).filter(|_| !args.quiet);
    let grid = grid.map_or(String::new(), |grid| format!("\n{grid}\n\n"));
    // Whoever reads has gone: the report is written, and the exit code still tells.
    let _ = writeln!(io::stdout(), "{grid}{}", text::summary(&done.report, folder));
    if !done.kept.is_empty() && !done.report.interrupted {
        for (id, lab) in &done.kept {
            eprintln!("kept      {id}");
            how_to_enter(lab).iter().for_each(|line| eprintln!("          {line}"));
        }
        eprintln!("press Ctrl-C to let them go");
        stop_signal()?.await;
    }
    Ok(done.report.exit())
}

/// One line a node, to be pasted into another terminal of this machine.
fn how_to_enter(lab: &Lab) -> Vec<String> {
    let Some(init) = std::env::var_os(sandbox::INIT_PID) else { return Vec::new() };
    let init = init.to_string_lossy().into_owned();
    let user = if sandbox::has_own_user() { " -U --preserve-credentials" } else { "" };
    let own = std::process::id();
    let line = |node: &netns::node::Node| {
        let addresses: Vec<String> = node.addresses().iter().map(ToString::to_string).collect();
        let (name, addresses, fd) = (node.name(), addresses.join(" "), node.descriptor());
        format!("nsenter -t {init} -m -p{user} nsenter --net=/proc/{own}/fd/{fd} sh    # {name} {addresses}")
    };
    lab.nodes().map(line).collect()
}

/// Ends when this process is asked to end.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate, mut hangup) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// `DIR/<time>-<seed>`, and beside it a link `latest`.
fn make_run_folder(out: &Path, seed: u64) -> io::Result<PathBuf> {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let stem = format!("{}-{seed}", now.trim_end_matches('Z').replace([':', '-'], "").replace('T', "-"));
    fs::create_dir_all(out)?;
    // Two runs of one second and one seed keep apart.
    let names = (1..).map(|attempt| if attempt == 1 { stem.clone() } else { format!("{stem}.{attempt}") });
    for name in names {
        let folder = out.join(&name);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made?,
        }
        let (link, fresh) = (out.join("latest"), out.join(format!(".latest-{name}")));
        symlink(&name, &fresh)?;
        fs::rename(fresh, link)?;
        return Ok(folder);
    }
    Err(io::Error::other("no name is left for a run folder"))
}
