//! `natlab list`: which cases there are, and what is expected of each.

use std::io;
use std::sync::Arc;

use super::{Selection, Streams};
use crate::exit::Exit;
use crate::scenario::{Case, Session, cases, load};
use netns::nat::{CandidateType, Path};

/// List cases, one a line, by the ids that `run` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct ListArgs {
    /// What to list.
    #[command(flatten)]
    pub selection: Selection,
    /// Also tell the expected path, the candidate types it may use, and why. A race is recorded, not judged.
    #[arg(short, long)]
    pub verbose: bool,
}

/// Prints the id of every case; with `-v` one line for each two peers that it connects.
pub fn list(args: &ListArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let scenarios = match load(&args.selection.paths, args.selection.options()) {
        Ok(scenarios) => scenarios,
        Err(problems) => {
            // Nobody may be reading; the exit code tells as well.
            let _ = write!(streams.err, "{}", problems.render(streams.look));
            return Ok(Exit::Invalid);
        }
    };
    // The seed changes nothing of what is listed.
    let all: Vec<Case> =
        scenarios.into_iter().map(Arc::new).flat_map(|scenario| cases(&scenario, 0, None)).collect();
    if all.is_empty() {
        writeln!(streams.err, "no scenarios there; `natlab init FILE` writes one to start from")?;
        return Ok(Exit::NothingSelected);
    }
    let width = all.iter().map(|case| case.id.len()).max().unwrap_or(0);
    for case in &all {
        if !args.verbose {
            writeln!(streams.out, "{}", case.id)?;
            continue;
        }
        for session in &case.sessions {
            writeln!(streams.out, "{:width$}  {}", case.id, in_words(session))?;
        }
    }
    Ok(Exit::Ok)
}

/// `direct via srflx|prflx   alice and bob each keep the port ..`; what is not judged is called a race.
fn in_words(session: &Session) -> String {
    let expect = &session.expect;
    let via: Vec<&str> = expect.via.iter().copied().map(CandidateType::name).collect();
    let path = match expect.path {
        Path::None => "none".to_owned(),
        path => format!("{} via {}", path.name(), via.join("|")),
    };
    let path = if expect.race { format!("race: {path}") } else { path };
    let oracle = if expect.predicted == expect.path {
        expect.reason.clone()
    } else {
        format!("the oracle says {}: {}", expect.predicted.name(), expect.reason)
    };
    let because = expect.because.as_ref().map(|because| format!(" ({because})")).unwrap_or_default();
    format!("{path:28}  {oracle}{because}")
}
