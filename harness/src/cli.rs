//! The command line: one file a verb.

pub mod init;
pub mod list;
pub mod schema;
pub mod validate;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::Exit;
use crate::scenario::{LoadOptions, Look};

/// NAT simulation lab and integration-test harness for WebRTC.
#[derive(Debug, Parser)]
#[command(name = "natlab", version, about)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Validate(validate::ValidateArgs),
    List(list::ListArgs),
    Init(init::InitArgs),
    Schema(schema::SchemaArgs),
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
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let look = Look::of(io::stderr().is_terminal(), |name| std::env::var(name).ok());
    let mut streams = Streams { out: &mut io::stdout().lock(), err: &mut io::stderr().lock(), look };
    let done = match &arguments.verb {
        Verb::Validate(args) => validate::validate(args, &mut streams),
        Verb::List(args) => list::list(args, &mut streams),
        Verb::Init(args) => init::init(args, &mut streams),
        Verb::Schema(args) => schema::schema(args, &mut streams),
    };
    match done {
        Ok(exit) => exit.into(),
        // Whoever reads our output has gone (`natlab list | head`): that is no failure of ours.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok.into(),
        Err(error) => {
            eprintln!("natlab: {error}");
            ExitCode::FAILURE
        }
    }
}
