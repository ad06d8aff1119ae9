//! The NAT x NAT grid: who offered down, who answered across, in each cell how they were joined.

use std::fmt::Write;

use super::{Report, Row, SessionRow};
use crate::run::outcome::Outcome;

const LEGEND: &str = "host, srflx, prflx: direct path by that candidate type; none: no path, as expected; \
                      lower case passed, UPPER CASE did not; ?: a race, recorded and not judged";

/// The least width of a column, for the names of most presets.
const NARROWEST: usize = 18;

/// The grids of a run, one for each scenario that has several pairs of NATs (others make no table, but a scatter);
/// `None` where there is none.
pub fn grid(report: &Report) -> Option<String> {
    let mut scenarios: Vec<&str> = Vec::new();
    for row in &report.cases {
        if !scenarios.contains(&row.scenario.as_str()) {
            scenarios.push(&row.scenario);
        }
    }
    let of = |name: &str| {
        let rows = report.cases.iter().filter(|row| row.scenario == name);
        let sessions: Vec<_> =
            rows.flat_map(|row| row.sessions.iter().map(move |session| (row, session))).collect();
        Some(format!("{name}\n{}", of_scenario(&sessions)?))
    };
    let grids: Vec<String> = scenarios.into_iter().filter_map(of).collect();
    (!grids.is_empty()).then(|| format!("{}\n{LEGEND}", grids.join("\n\n")))
}

/// Fewer than two different pairs of NATs are no grid, nor are several pairs of peers in one case.
fn of_scenario(sessions: &[(&Row, &SessionRow)]) -> Option<String> {
    if sessions.iter().any(|(row, _)| row.sessions.len() > 1) {
        return None;
    }
    let names = |of: fn(&SessionRow) -> &str| {
        let mut names: Vec<&str> = Vec::new();
        for (_, session) in sessions {
            if !names.contains(&of(session)) {
                names.push(of(session));
            }
        }
        names
    };
    let (down, across) = (names(|session| &session.offerer_nat), names(|session| &session.answerer_nat));
    if down.len() * across.len() < 2 {
        return None;
    }
    let width = down.iter().map(|name| name.len()).max().unwrap_or(0);
    let mut text = format!("{:width$}", "");
    for name in &across {
        let _ = write!(text, "  {name:>NARROWEST$}");
    }
    for row_nat in &down {
        let _ = write!(text, "\n{row_nat:width$}");
        for column_nat in &across {
            let here: Vec<_> = sessions
                .iter()
                .filter(|(_, session)| {
                    (session.offerer_nat.as_str(), session.answerer_nat.as_str()) == (row_nat, column_nat)
                })
                .collect();
            let wide = column_nat.len().max(NARROWEST);
            let _ = write!(text, "  {:>wide$}", cell(&here));
        }
    }
    Some(text)
}

fn cell(here: &[&(&Row, &SessionRow)]) -> String {
    let [(row, session), rest @ ..] = here else { return String::new() };
    let passed = here.iter().filter(|(row, _)| row.outcome == Outcome::Pass).count();
    let word = match &row.outcome {
        Outcome::Error { .. } => "error",
        Outcome::Skip { .. } => "skip",
        _ => session.via.as_deref().unwrap_or("none"),
    };
    let word = if session.race { format!("{word}?") } else { word.to_owned() };
    let word = if passed == here.len() { word } else { word.to_uppercase() };
    if rest.is_empty() { word } else { format!("{word} {passed}/{}", here.len()) }
}
