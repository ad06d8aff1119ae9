//! `natlab validate`: are these scenario files right? Needs no privileges and starts nothing.

use std::io;
use std::sync::Arc;

use super::{Selection, Streams};
use crate::exit::Exit;
use crate::scenario::{cases, counted, read};

/// Check scenario files without running them.
#[derive(Debug, Clone, clap::Args)]
pub struct ValidateArgs {
    /// What to check.
    #[command(flatten)]
    pub selection: Selection,
}

/// Prints a line for every file that is right and a count; every problem goes to `err`.
pub fn validate(args: &ValidateArgs, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let loaded = read(&args.selection.paths, args.selection.options());
    let files = loaded.files.len();
    let width = loaded.scenarios.iter().map(|scenario| scenario.file.as_os_str().len()).max().unwrap_or(0);
    let mut total = 0;
    for scenario in loaded.scenarios.into_iter().map(Arc::new) {
        // The seed changes nothing of what is counted.
        let number = cases(&scenario, 0, None).len();
        total += number;
        let file = scenario.file.display().to_string();
        writeln!(streams.out, "ok  {file:width$}  {}", counted(number, "case"))?;
    }
    if let Some(problems) = loaded.problems {
        // Nobody may be reading; the exit code tells as well.
        let _ = write!(streams.err, "{}", problems.render(streams.look));
        return Ok(Exit::Invalid);
    }
    if files == 0 {
        writeln!(
            streams.err,
            "no scenario files (*.yaml, *.yml) there; `natlab init FILE` writes one to start from"
        )?;
        return Ok(Exit::NothingSelected);
    }
    writeln!(streams.out, "{}, {}, no problems", counted(files, "file"), counted(total, "case"))?;
    Ok(Exit::Ok)
}
