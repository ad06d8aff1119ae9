//! `natlab init`: a scenario to start from.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Streams;
use crate::exit::Exit;

/// Write a commented scenario to start from.
#[derive(Debug, Clone, clap::Args)]
pub struct InitArgs {
    /// The file to write, which must not exist; `-` prints it.
    #[arg(default_value = "scenario.yaml")]
    pub file: PathBuf,
}

const STARTER: &str = include_str!("../../templates/starter.yaml");
const STARTER_NAME: &str = "my-first-scenario";

/// Writes the starter. A file that is there is never touched.
pub fn init(args: &InitArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    if args.file == Path::new("-") {
        streams.out.write_all(STARTER.as_bytes())?;
        return Ok(Exit::Ok);
    }
    let file = args.file.display();
    let written = OpenOptions::new().write(true).create_new(true).open(&args.file);
    match written.and_then(|mut open| open.write_all(starter_for(&args.file).as_bytes())) {
        Ok(()) => {
            writeln!(streams.out, "{file} written; check it with `natlab validate {file}`")?;
            Ok(Exit::Ok)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            writeln!(streams.err, "{file} is already there and is left as it is")?;
            writeln!(streams.err, "help: name another file, or `natlab init -` to print the scenario")?;
            Ok(Exit::CommandLine)
        }
        Err(error) => {
            writeln!(streams.err, "{file} cannot be written: {error}")?;
            writeln!(streams.err, "help: name a file in a folder that exists and that you may write to")?;
            Ok(Exit::CommandLine)
        }
    }
}

/// The starter, called like its file where that is a name that a scenario can have.
fn starter_for(file: &Path) -> String {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let is_name = stem.len() <= 64
        && stem.starts_with(|c: char| c.is_ascii_lowercase())
        && stem.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    STARTER.replacen(STARTER_NAME, if is_name { stem } else { STARTER_NAME }, 1)
}
