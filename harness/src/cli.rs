//! The command line: one file a verb. The hidden verbs are the helpers that natlab starts from itself.

pub mod completions;
pub mod doctor;
pub mod enter;
pub mod init;
pub mod list;
pub mod man;
pub mod nat;
pub mod run;
pub mod schema;
pub mod shell;
mod stun;
pub mod validate;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use netns::sandbox;

use crate::exit::Exit;
use crate::scenario::{LoadOptions, Look};

/// NAT simulation lab and integration-test harness for WebRTC.
#[derive(Debug, Parser)]
#[command(name = "natlab", version, about)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::RunArgs),
    List(list::ListArgs),
    Validate(validate::ValidateArgs),
    Init(init::InitArgs),
    Shell(shell::ShellArgs),
    Enter(enter::EnterArgs),
    Doctor(doctor::DoctorArgs),
    Nat(nat::NatArgs),
    Schema(schema::SchemaArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Which scenarios a verb is about.
#[derive(Debug, Clone, clap::Args)]
pub struct Selection {
    /// Files, folders, names of scenarios below ./scenarios, or case ids.
    #[arg(value_name = "PATH|NAME", default_value = "scenarios")]
    pub paths: Vec<PathBuf>,
    /// Accept scenarios that are broken on purpose (`break:`).
    #[arg(long)]
    pub allow_break: bool,
}

impl Selection {
    /// The options for the loader.
    pub fn options(&self) -> LoadOptions {
        LoadOptions { allow_break: self.allow_break }
    }
}

/// Where a verb writes: what was asked for, what a person should know, and how problems look there.
pub struct Streams<'w> {
    /// What was asked for.
    pub out: &'w mut dyn io::Write,
    /// Everything else.
    pub err: &'w mut dyn io::Write,
    /// How problems look on `err`.
    pub look: Look,
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let verb = arguments.next().unwrap_or_default();
    match verb.to_str() {
        Some(sandbox::INIT_VERB) => first_process(arguments),
        Some("peer") => crate::peer::main(),
        Some("stun") => stun::serve(arguments),
        Some("signaling-server") => signaling_server::main_with(std::env::args_os().skip(1)),
        _ => visible_verb(),
    }
}

fn first_process(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    sandbox::init(arguments).map_or_else(
        |error| {
            eprintln!("error: {error}\nhelp: {}", error.help());
            Exit::Unfit.into()
        },
        ExitCode::from,
    )
}

fn visible_verb() -> ExitCode {
    let arguments = Arguments::parse();
    let look = Look::of(io::stderr().is_terminal(), |name| std::env::var(name).ok());
    let mut streams = Streams { out: &mut io::stdout(), err: &mut io::stderr(), look };
    let done = panic::catch_unwind(AssertUnwindSafe(|| obey(&arguments.verb, &mut streams)));
    match done {
        Ok(Ok(exit)) => exit.into(),
        // Whoever reads our output has gone (`natlab list | head`): that is no failure of ours.
        Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok.into(),
        // Where nobody reads stderr either, the exit code tells.
        Ok(Err(error)) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            Exit::Unfit.into()
        }
        Err(_) => {
            let _ = writeln!(
                io::stderr(),
                "error: this is a bug of natlab\nhelp: report it, with the lines above"
            );
            Exit::Bug.into()
        }
    }
}

fn obey(verb: &Verb, streams: &mut Streams<'_>) -> io::Result<Exit> {
    match verb {
        Verb::Run(args) => run::run(args, streams),
        Verb::List(args) => list::list(args, streams),
        Verb::Validate(args) => validate::validate(args, streams),
        Verb::Init(args) => init::init(args, streams),
        Verb::Shell(args) => shell::shell(args, streams),
        Verb::Enter(args) => enter::enter(args, streams),
        Verb::Doctor(args) => doctor::doctor(args, streams),
        Verb::Nat(args) => nat::nat(args, streams),
        Verb::Schema(args) => schema::schema(args, streams),
        Verb::Completions(args) => completions::completions(args, streams),
        Verb::Man(args) => man::man(args, streams),
    }
}
