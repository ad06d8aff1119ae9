//! Certificates as people read them: a row for each requirement, a column for each NAT.

use std::fmt::Write;

use netns::nat::certify::{Judged, Source, Verdict};

use super::Certified;

/// As many NATs as a table of 100 columns has room for.
const COLUMNS: usize = 13;
/// The width of what a row is called.
const TITLE: usize = 59;

pub(super) fn render(certified: &[Certified], verbose: bool) -> String {
    let mut text = String::new();
    for group in certified.chunks(COLUMNS) {
        table(&mut text, group);
    }
    if !certified.is_empty() {
        text.push_str("= conforms   v violates as named   X violates   . not applicable   ? not tested\n");
    }
    if verbose {
        certified.iter().for_each(|one| details(&mut text, one, |_| true));
    } else {
        let is_caught = |verdict: &Verdict| *verdict == Verdict::Violates;
        certified.iter().for_each(|one| details(&mut text, one, is_caught));
    }
    text.push_str(&summary(certified));
    text
}

fn table(text: &mut String, group: &[Certified]) {
    for (number, one) in group.iter().enumerate() {
        let _ = writeln!(text, "{:>2} {}", number + 1, one.name);
    }
    let Some(first) = group.first() else { return };
    let mut source: Option<Source> = None;
    for (row, judged) in first.certificate.judged.iter().enumerate() {
        let requirement = judged.requirement;
        if source.replace(requirement.source) != Some(requirement.source) {
            heading(text, requirement.source, group.len());
        }
        let title = match requirement.source {
            Source::Declared => requirement.title.to_owned(),
            _ => format!("{:<7}{}", requirement.name(), requirement.title),
        };
        let cells = group.iter().filter_map(|one| one.certificate.judged.get(row)).map(cell);
        let cells: Vec<String> = cells.map(|cell| format!("{cell:>2}")).collect();
        let _ = writeln!(text, "{title:<TITLE$}{}", cells.join(" "));
    }
    text.push('\n');
}

fn heading(text: &mut String, source: Source, columns: usize) {
    let title = format!("{} ({})", source.name(), source.about());
    let numbers: Vec<String> = (1..=columns).map(|number| format!("{number:>2}")).collect();
    let _ = writeln!(text, "\n{title:<TITLE$}{}", numbers.join(" "));
}

fn cell(judged: &Judged) -> char {
    match judged.verdict {
        Verdict::Conforms => '=',
        Verdict::ViolatesAsNamed => 'v',
        Verdict::Violates => 'X',
        Verdict::NotApplicable(_) => '.',
        Verdict::NotTested(_) => '?',
    }
}

/// What was found of one NAT, where its verdict is such.
fn details(text: &mut String, one: &Certified, is_told: impl Fn(&Verdict) -> bool) {
    let told: Vec<&Judged> =
        one.certificate.judged.iter().filter(|judged| is_told(&judged.verdict)).collect();
    if told.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", one.name);
    for judged in told {
        let found = judged.verdict.reason().unwrap_or(&judged.found);
        let _ = writeln!(text, "  {:<17}  {}: {found}", judged.verdict, judged.requirement);
    }
}

fn summary(certified: &[Certified]) -> String {
    let caught: Vec<&str> = certified
        .iter()
        .filter(|one| !one.certificate.is_as_declared())
        .map(|one| one.name.as_str())
        .collect();
    match (certified.len(), caught.as_slice()) {
        (0, _) => String::new(),
        (1, []) => "\nit is what it is called\n".to_owned(),
        (number, []) => format!("\nall {number} are what they are called\n"),
        (number, caught) => {
            format!("\n{} of {number} not what they are called: {}\n", caught.len(), caught.join(", "))
        }
    }
}
