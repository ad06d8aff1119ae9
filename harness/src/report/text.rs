//! The report as lines of text: one a case, what is wrong below it, the counts at the end.

use std::fmt::Write;
use std::path::Path;

use super::{Counts, FileRow, Report, Row};
use crate::peer::control::event::Candidate;
use crate::run::expect::kind;
use crate::run::outcome::Outcome;
use crate::scenario::{counted, show_size};

/// One line: verdict, time, id, path and candidate type, file.
pub fn line(row: &Row) -> String {
    let mut line = format!("{:<5}  {:>7.3}s  {}", row.outcome.word(), row.seconds, row.id);
    let paths: Vec<String> = row
        .sessions
        .iter()
        .map(|session| {
            let path = match &session.via {
                Some(via) => format!("{} ({via})", session.path),
                None => session.path.clone(),
            };
            if session.race { format!("{path}, a race: not judged") } else { path }
        })
        .collect();
    // Without a verdict there is no path to speak of.
    if !matches!(row.outcome, Outcome::Error { .. } | Outcome::Skip { .. }) {
        let _ = write!(line, "  {}", paths.join(", "));
    }
    for file in row.files.iter().filter(|file| file.sha256.is_some()) {
        let _ = write!(line, "  {}", file_words(file));
    }
    line
}

fn file_words(file: &FileRow) -> String {
    let rate = file.seconds.filter(|seconds| *seconds > 0.0).map(|seconds| file.size as f64 / seconds / 1e6);
    let rate = rate.map_or(String::new(), |rate| format!("  {rate:.1} MB/s"));
    let hash = if file.identical { "sha256 ok" } else { "sha256 DIFFERS" };
    format!("{}{rate}  {hash}", show_size(file.size))
}

/// What is wrong with a case and how to look closer; empty where nothing is.
pub fn details(row: &Row, run_folder: &Path, seed: u64, broken: bool) -> Vec<String> {
    let mut lines: Vec<String> = match &row.outcome {
        Outcome::Pass => return Vec::new(),
        Outcome::Skip { why } => return vec![format!("       {why}")],
        Outcome::Error { stage, message } => vec![format!("       {stage}: {message}")],
        Outcome::Fail { unmet } => unmet
            .iter()
            .map(|unmet| format!("       {}: {} [expect: {}]", unmet.stage, unmet.message, unmet.expectation))
            .collect(),
    };
    let line = row.sessions.first().map_or(1, |session| session.line);
    let allow = if broken { " --allow-break" } else { "" };
    // Only a repetition that is among several carries its number in its id.
    let repeat =
        if row.id.contains('#') { format!(" --repeat {}", row.repetition.max(2)) } else { String::new() };
    let again = format!("natlab run {} -k '{}'{repeat} --seed {seed}{allow}", quoted(&row.file), row.id);
    lines.push(format!("       expected at  {}:{line}", row.file));
    lines.push(format!("       artifacts    {}", run_folder.join(&row.folder).display()));
    lines.push(format!("       run again    {again}"));
    lines.push(format!("       look inside  natlab shell {} -k '{}'{allow}", quoted(&row.file), row.id));
    lines
}

/// As a shell reads it back. Ids need no such care: they have no quotes.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./-+,:@%".contains(c);
    if path.chars().all(is_plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// The last lines of a run.
pub fn summary(report: &Report, run_folder: &Path) -> String {
    let Counts { passed, failed, errors, skipped, succeeded } = report.counts;
    let ran = passed + failed + errors;
    let mut text = String::new();
    if report.interrupted {
        text.push_str("interrupted: what had ended by then is in the report\n");
    }
    let _ = writeln!(
        text,
        "verdict   {passed} passed, {failed} failed, {errors} errors, {skipped} skipped, in {:.1} s",
        report.seconds
    );
    let _ = writeln!(
        text,
        "success   {succeeded} of {ran} cases got a direct path and an identical file (another question than the verdict)"
    );
    if !report.not_run.is_empty() {
        let _ = writeln!(text, "not run   {}", counted(report.not_run.len(), "case"));
    }
    let _ = writeln!(text, "seed      {}", report.seed);
    let _ = write!(text, "report    {}", run_folder.join("report.json").display());
    text
}

/// More of a case, for `-v`: what each peer was behind, how it was reached, how long each step took.
pub fn more(row: &Row) -> Vec<String> {
    let mut lines = vec![format!(
        "       lab built in {:.1} ms, NATs measured in {:.1} ms",
        row.build_seconds * 1e3,
        row.measure_seconds * 1e3
    )];
    for peer in &row.peers {
        let measured = row.observed.peers.get(&peer.name).and_then(|seen| seen.measured.as_deref());
        lines.push(format!(
            "       {} behind {}: measured {}",
            peer.name,
            peer.nat,
            measured.unwrap_or("nothing")
        ));
    }
    for session in &row.sessions {
        lines.push(format!("       {} to {}: {}", session.offerer, session.answerer, session.reason));
        if let Some(seconds) = session.connect_seconds {
            lines.push(format!(
                "       connected {:.1} ms after both had discovered each other",
                seconds * 1e3
            ));
        }
        for (peer, partner) in [(&session.offerer, &session.answerer), (&session.answerer, &session.offerer)]
        {
            let seen = row.observed.session(peer, partner).and_then(|seen| seen.selected.as_ref());
            if let Some((own, other)) = seen {
                let place = |at: &Candidate| format!("{} {}:{}", kind(at).name(), at.address, at.port);
                lines.push(format!("       {peer} sends from {} to {}", place(own), place(other)));
            }
        }
    }
    lines
}
