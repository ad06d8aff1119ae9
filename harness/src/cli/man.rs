//! `natlab man`: the manual page, one for all verbs.

use std::io;

use clap::CommandFactory;

use super::{Arguments, Streams};
use crate::exit::Exit;

/// Print the manual page (try `natlab man | man -l -`).
#[derive(Debug, Clone, clap::Args)]
pub struct ManArgs {}

/// Prints the page of the program and, below it, of each verb.
pub fn man(_args: &ManArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let command = Arguments::command();
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    for verb in command.get_subcommands() {
        clap_mangen::Man::new(verb.clone()).render_synopsis_section(&mut text)?;
        clap_mangen::Man::new(verb.clone()).render_description_section(&mut text)?;
        clap_mangen::Man::new(verb.clone()).render_options_section(&mut text)?;
    }
    streams.out.write_all(&text)?;
    Ok(Exit::Ok)
}
