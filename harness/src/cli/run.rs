//! `natlab run`: scenarios become labs, peers and verdicts.

mod folder;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
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
use crate::scenario::{Case, Scenario, cases, duration, read};

/// How many cases run at once for each core. Most of a case is waiting; more make each other late (measured).
const CASES_PER_CORE: usize = 2;
/// More than anybody waits for; a slip of the finger must not fill the memory.
const MOST_CASES: u64 = 100_000;

/// Run scenarios: build their labs, let the peers meet, judge what happened.
#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    /// What to run.
    #[command(flatten)]
    pub selection: Selection,
    /// Only the case of this id; where there is none, those whose id contains this text.
    #[arg(short = 'k', long = "filter", value_name = "TEXT")]
    pub filter: Option<String>,
    /// How many cases at once; by default twice the number of cores.
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<std::num::NonZeroUsize>,
    /// Run every case N times, whatever its file says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub repeat: Option<u32>,
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
    // Nobody may be reading what is wrong; the exit code tells as well.
    let mut say = |words: &str| drop(write!(streams.err, "{words}"));
    let mut loaded = read(&args.selection.paths, args.selection.options());
    if let Some(problems) = loaded.problems.take() {
        say(&problems.render(streams.look));
        return Ok(Exit::Invalid);
    }
    let number = number_of_cases(&loaded.scenarios, args.repeat);
    if number > MOST_CASES {
        say(&format!("{number} cases are more than {MOST_CASES}\nhelp: select less, or repeat less often\n"));
        return Ok(Exit::CommandLine);
    }
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let selected = select(loaded.scenarios, args, seed);
    if selected.is_empty() {
        say("no case was selected; `natlab list` shows what there is\n");
        return Ok(Exit::NothingSelected);
    }
    if !sandbox::is_inside() {
        // What is wrong with the folder is told before anything starts.
        if let Err(unusable) = folder::check(&args.out) {
            say(&format!("{unusable}\nhelp: name a folder that you may write to, with `--out`\n"));
            return Ok(Exit::CommandLine);
        }
        let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        return match sandbox::launch(&arguments) {
            Ok(code) => Ok(outside(code, &mut say)),
            Err(error) => {
                say(&format!("error: {error}\nhelp: {}\n", error.help()));
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

/// How many cases there are before any is filtered out.
fn number_of_cases(scenarios: &[Scenario], repeat: Option<u32>) -> u64 {
    let one = |scenario: &Scenario| {
        let cells = scenario.axes.iter().map(|axis| axis.values.len() as u64).fold(1, u64::saturating_mul);
        cells.saturating_mul(repeat.unwrap_or(scenario.repeat).into())
    };
    scenarios.iter().map(one).fold(0, u64::saturating_add)
}

fn select(scenarios: Vec<Scenario>, args: &RunArgs, seed: u64) -> Vec<Case> {
    let scenarios = scenarios.into_iter().map(Arc::new);
    let mut all: Vec<Case> = scenarios.flat_map(|scenario| cases(&scenario, seed, args.repeat)).collect();
    if let Some(filter) = &args.filter {
        // An id is often the beginning of others: `late#1` of `late#10`.
        let is_an_id = all.iter().any(|case| case.id == *filter);
        all.retain(|case| if is_an_id { case.id == *filter } else { case.id.contains(filter.as_str()) });
    }
    all
}

/// What the end of the program inside says outside: an exit code, or 128 and the signal that ended it.
fn outside(code: u8, say: &mut dyn FnMut(&str)) -> Exit {
    const INTERRUPTED: [u8; 3] = [128 + 1, 128 + 2, 128 + 15];
    match code {
        // It was asked to end before it listened for that.
        _ if INTERRUPTED.contains(&code) => Exit::Interrupted,
        129.. if code != Exit::Interrupted.code() => {
            say(&format!("error: natlab was ended by signal {} inside its sandbox\n", code - 128));
            say(
                "help: where it was 9, the machine may have run out of memory: run fewer cases at once (`-j`)\n",
            );
            Exit::Unfit
        }
        code => Exit::Inside(code),
    }
}

async fn run_inside(args: &RunArgs, cases: Vec<Case>, seed: u64) -> io::Result<Exit> {
    let mut stop = stop_signal()?;
    let folder = folder::make(&args.out, seed, SystemTime::now())?;
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
        command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
    };
    let has_bars = match args.format {
        Format::Tty => true,
        Format::Plain => false,
        Format::Auto => io::stderr().is_terminal() && std::env::var_os("CI").is_none(),
    };
    let done = if has_bars {
        let tty = Tty::new(printer, cases.len());
        let done = run::run(cases, &options, &tty, &mut stop).await;
        tty.close();
        done?
    } else {
        let plain = Plain::new(printer, cases.len());
        run_with_heartbeat(cases, &options, &plain, &mut stop).await?
    };
    conclude(args, &done, &folder, stop).await
}

async fn run_with_heartbeat(
    cases: Vec<Case>,
    options: &Options,
    plain: &Plain,
    stop: impl Future<Output = ()>,
) -> io::Result<Done> {
    let run = run::run(cases, options, plain as &dyn Progress, stop);
    tokio::pin!(run);
    let mut beat = tokio::time::interval(HEARTBEAT);
    loop {
        tokio::select! {
            done = &mut run => return done,
            _ = beat.tick() => plain.heartbeat(),
        }
    }
}

async fn conclude(
    args: &RunArgs,
    done: &Done,
    folder: &Path,
    stop: impl Future<Output = ()>,
) -> io::Result<Exit> {
    let grid = grid::grid(&done.report).filter(|_| !args.quiet);
    let grid = grid.map_or(String::new(), |grid| format!("\n{grid}\n\n"));
    // Whoever reads has gone: the report is written, and the exit code still tells.
    let _ = writeln!(io::stdout(), "{grid}{}", text::summary(&done.report, folder));
    if !done.kept.is_empty() && !done.report.interrupted {
        for (id, lab) in &done.kept {
            let _ = writeln!(io::stderr(), "kept      {id}");
            for line in how_to_enter(lab) {
                let _ = writeln!(io::stderr(), "          {line}");
            }
        }
        let _ = writeln!(io::stderr(), "press Ctrl-C to let them go");
        stop.await;
    }
    Ok(if done.is_bug { Exit::Bug } else { done.report.exit() })
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
fn stop_signal() -> io::Result<impl Future<Output = ()> + Unpin> {
    let (mut interrupt, mut terminate, mut hangup) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    Ok(Box::pin(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }))
}
