//! `natlab enter`: from inside one node of a lab that `natlab shell` has opened into another.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;

use netns::node;

use super::Streams;
use super::shell::{failure, program};
use crate::exit::Exit;
use crate::run::places::{DOORS, Door};

/// Inside `natlab shell`: open a shell, or run one command, in another node of the same lab.
#[derive(Debug, Clone, clap::Args)]
pub struct EnterArgs {
    /// The node.
    #[arg(value_name = "NODE")]
    pub node: String,
    /// What to run there instead of a shell ($SHELL).
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Becomes the command, in the node. Returns only what went wrong.
pub fn enter(args: &EnterArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    // Nobody may be reading what is wrong; the exit code tells as well.
    let mut wrong = |words: String| {
        let _ = writeln!(streams.err, "{words}");
        Ok(Exit::CommandLine)
    };
    let doors = env::var(DOORS).ok().and_then(|doors| serde_json::from_str::<Vec<Door>>(&doors).ok());
    let Some(doors) = doors else {
        return wrong("error: this is not inside a lab\nhelp: open one: natlab shell CASE".to_owned());
    };
    let Some(door) = doors.iter().find(|door| door.node == args.node) else {
        let known: Vec<&str> = doors.iter().map(|door| door.node.as_str()).collect();
        return wrong(format!(
            "error: the lab has no node `{}`\nhelp: it has {}",
            args.node,
            known.join(", ")
        ));
    };
    let namespace = match File::open(&door.namespace) {
        Ok(namespace) => namespace,
        Err(error) => {
            return wrong(format!("error: the lab is gone: {error}\nhelp: open one: natlab shell CASE"));
        }
    };
    let (program, arguments) = program(&args.command);
    let mut command = node::command_in(&namespace, &program);
    // What one node is told must not be taken for what another is.
    let told = doors.iter().flat_map(|door| &door.environment).map(|(name, _)| name);
    told.for_each(|name| {
        command.env_remove(name);
    });
    command.args(arguments).envs(door.environment.iter().map(|(name, value)| (name, value)));
    let error = command.exec();
    let _ = writeln!(streams.err, "error: could not start {}: {error}", program.display());
    Ok(failure(&error))
}
