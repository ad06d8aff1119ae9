//! `natlab shell`: the lab of a case without its peers' programs, and a shell or one command inside any node of it. The
//! lab goes when the shell does.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;

use netns::sandbox;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::Streams;
use crate::exit::Exit;
use crate::run::broken::Broken;
use crate::run::mappings;
use crate::run::places::{DOORS, Place, places};
use crate::run::standing::Standing;
use crate::scenario::{Case, LoadOptions, cases, read};

/// Where $SHELL says nothing.
const SHELL: &str = "/bin/sh";
/// How a program that cannot be found ends, as everywhere.
const NOT_FOUND: u8 = 127;
/// The same of one that cannot be started.
const NOT_STARTED: u8 = 126;
/// As many cases as are worth naming where one has to be chosen.
const NAMED: usize = 10;

/// Open a shell, or run one command, inside a node of a case's lab. The lab is built and its servers are up; no peer
/// runs.
#[derive(Debug, Clone, clap::Args)]
pub struct ShellArgs {
    /// The case: a file or a scenario below ./scenarios that has one, or an id as `natlab list` prints it.
    #[arg(value_name = "CASE")]
    pub case: PathBuf,
    /// The node: a peer, a router, a server; by default the first peer.
    #[arg(value_name = "NODE")]
    pub node: Option<String>,
    /// Of several cases, the one of this id.
    #[arg(short = 'k', long = "filter", value_name = "ID")]
    pub filter: Option<String>,
    /// What to run there instead of a shell ($SHELL); its exit code becomes that of natlab.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
    /// Accept scenarios that are broken on purpose (`break:`).
    #[arg(long)]
    pub allow_break: bool,
}

/// Outside the sandbox: checks what was asked, then runs itself inside one. Inside: builds the lab and enters it.
pub fn shell(args: &ShellArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    // Nobody may be reading what is wrong; the exit code tells as well.
    let mut say = |words: &str| drop(write!(streams.err, "{words}"));
    let case = match the_case(args, streams.look) {
        Ok(case) => case,
        Err((words, exit)) => {
            say(&words);
            return Ok(exit);
        }
    };
    let places = places(&case);
    let node = args.node.as_deref().or(places.first().map(|place| place.name.as_str())).unwrap_or_default();
    if !places.iter().any(|place| place.name == node) {
        let known: Vec<&str> = places.iter().map(|place| place.name.as_str()).collect();
        say(&format!("error: {} has no node `{node}`\nhelp: it has {}\n", case.id, known.join(", ")));
        return Ok(Exit::CommandLine);
    }
    if !sandbox::is_inside() {
        let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        let terminal = Terminal::of_this_program();
        let code = sandbox::launch(&arguments);
        terminal.take_back();
        return Ok(code.map_or_else(
            |error| {
                say(&format!("error: {error}\nhelp: {}\n", error.help()));
                Exit::Unfit
            },
            Exit::Inside,
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let inside = Inside { case: &case, places: &places, node, command: &args.command };
    let exit = runtime.block_on(inside.run(&mut say));
    // With this process the sandbox goes, and all that still runs in it.
    runtime.shutdown_background();
    exit
}

/// The one case that was meant, or what to say and how to end.
fn the_case(args: &ShellArgs, look: crate::scenario::Look) -> Result<Case, (String, Exit)> {
    let options = LoadOptions { allow_break: args.allow_break };
    let loaded = read(std::slice::from_ref(&args.case), options);
    if let Some(problems) = loaded.problems {
        return Err((problems.render(look), Exit::Invalid));
    }
    // The seed changes nothing of a lab, and neither does the number of a repetition: the first will do.
    let scenarios = loaded.scenarios.into_iter().map(Arc::new);
    let mut all: Vec<Case> = scenarios.flat_map(|scenario| cases(&scenario, 0, None)).collect();
    if let Some(id) = &args.filter {
        all.retain(|case| case.id == *id);
    }
    all.dedup_by(|later, first| later.cell == first.cell && later.scenario.name == first.scenario.name);
    match all.len() {
        0 => Err((
            "no case was selected; `natlab list` shows what there is\n".to_owned(),
            Exit::NothingSelected,
        )),
        1 => Ok(all.swap_remove(0)),
        number => {
            let named: Vec<String> = all.iter().take(NAMED).map(|case| format!("  {}", case.id)).collect();
            let more = if number > NAMED { "\n  .." } else { "" };
            let words = format!(
                "error: {} has {number} cases, and a shell enters one\nhelp: name it by its id (quoted):\n{}{more}\n",
                args.case.display(),
                named.join("\n")
            );
            Err((words, Exit::CommandLine))
        }
    }
}

/// What there is to do inside the sandbox.
struct Inside<'a> {
    case: &'a Case,
    places: &'a [Place],
    node: &'a str,
    command: &'a [OsString],
}

impl Inside<'_> {
    async fn run(&self, say: &mut dyn FnMut(&str)) -> io::Result<Exit> {
        // From here on a key of the terminal is for the command alone; being asked to end ends it.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let _quit = signal(SignalKind::quit())?;
        let (mut terminate, mut hangup) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
        let standing = tokio::select! {
            standing = Standing::raise(self.case) => standing,
            _ = interrupt.recv() => return Ok(Exit::Interrupted),
            _ = terminate.recv() => return Ok(Exit::Interrupted),
            _ = hangup.recv() => return Ok(Exit::Interrupted),
        };
        let standing = match standing {
            Ok(standing) => standing,
            Err(Broken { message, .. }) => {
                say(&format!("error: {message}\n"));
                return Ok(Exit::Unfit);
            }
        };
        if let Err(error) = mappings::tell(&standing.lab) {
            say(&format!("error: the routers' mappings cannot be told: {error}\n"));
            return Ok(Exit::Unfit);
        }
        if self.command.is_empty() {
            say(&self.what_is_where(&standing));
        }
        let mut child = match self.start(&standing) {
            Ok(child) => child,
            Err((program, error)) => {
                say(&format!("error: could not start {}: {error}\n", program.display()));
                return Ok(failure(&error));
            }
        };
        tokio::select! {
            ended = child.wait() => Ok(Exit::Inside(code_of(ended?))),
            _ = terminate.recv() => Ok(Exit::Interrupted),
            _ = hangup.recv() => Ok(Exit::Interrupted),
        }
    }

    fn start(&self, standing: &Standing) -> Result<Child, (OsString, io::Error)> {
        let (program, arguments) = program(self.command);
        let failed = |error: io::Error| (program.clone(), error);
        let Some(node) = standing.lab.node(self.node) else {
            return Err(failed(io::ErrorKind::NotFound.into()));
        };
        let mut command = node.command(&program);
        command.args(arguments).envs(standing.environment(self.case, self.node));
        command.env(DOORS, standing.doors(self.case).map_err(failed)?);
        // A shell leads the terminal, as it would anywhere; one command shares the keys with natlab.
        let leads = self.command.is_empty();
        if leads {
            command.process_group(0);
        }
        let child = Command::from(command).spawn().map_err(failed)?;
        if leads && let Some(pid) = child.id() {
            give_terminal(Pid::from_raw(pid.cast_signed()));
        }
        Ok(child)
    }

    fn what_is_where(&self, standing: &Standing) -> String {
        let width = |column: fn(&Place) -> &str| {
            self.places.iter().map(|place| column(place).len()).max().unwrap_or(0)
        };
        let (names, whats) = (width(|place| &place.name), width(|place| &place.what));
        let line = |Place { name, what }: &Place| {
            let addresses = standing.lab.node(name).into_iter().flat_map(|node| node.all_addresses());
            let addresses: Vec<String> = addresses.map(|address| address.to_string()).collect();
            let line = format!("  {name:names$}  {what:whats$}  {}", addresses.join(" "));
            line.trim_end().to_owned() + "\n"
        };
        let lines: String = self.places.iter().map(line).collect();
        let [stun, other] = standing.stun();
        format!(
            "the lab of {}\n{lines}stun       {stun}, other address and port {other}\nsignaling  {}\n\
             `natlab enter NODE` goes to another node, `natlab nat table` in a router shows its mappings\n\
             in {}; the lab goes when this shell does\n",
            self.case.id,
            standing.signaling(),
            self.node
        )
    }
}

/// The command, or else the user's shell, and its arguments.
pub(super) fn program(command: &[OsString]) -> (OsString, &[OsString]) {
    let shell = || std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
    match command {
        [] => (shell().unwrap_or_else(|| SHELL.into()), &[]),
        [program, arguments @ ..] => (program.clone(), arguments),
    }
}

/// How a program ends that could not be started.
pub(super) fn failure(error: &io::Error) -> Exit {
    Exit::Inside(if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_STARTED })
}

fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// Makes a process group that of the terminal, if there is one; its leader may have been stopped for reading too early.
fn give_terminal(group: Pid) {
    let stdin = io::stdin();
    if stdin.is_terminal() && tcsetpgrp(&stdin, group).is_ok() {
        // It fails only where the shell has ended already.
        let _ = kill(Pid::from_raw(-group.as_raw()), Signal::SIGCONT);
    }
}

/// Whose the terminal was before the shell led it.
struct Terminal {
    was_ours: bool,
}

impl Terminal {
    fn of_this_program() -> Terminal {
        let stdin = io::stdin();
        Terminal { was_ours: stdin.is_terminal() && tcgetpgrp(&stdin).is_ok_and(|group| group == getpgrp()) }
    }

    /// Interactive shells take it back themselves; scripts would never read from it again.
    fn take_back(&self) {
        if self.was_ours {
            // Else the terminal would stop this program for doing so from the background.
            let _ = SigSet::from(Signal::SIGTTOU).thread_block();
            let _ = tcsetpgrp(io::stdin(), getpgrp());
        }
    }
}
