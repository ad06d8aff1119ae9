//! `natlab completions`: what a shell needs to complete our verbs.

use std::io;

use clap::CommandFactory;

use super::{Arguments, Streams};
use crate::exit::Exit;

/// Print the completions for a shell.
#[derive(Debug, Clone, clap::Args)]
pub struct CompletionsArgs {
    /// For which shell.
    pub shell: clap_complete::Shell,
}

/// Prints the completions.
pub fn completions(args: &CompletionsArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "natlab", &mut text);
    streams.out.write_all(&text)?;
    Ok(Exit::Ok)
}
