//! What is printed of rows made by hand.

use std::path::Path;

use super::*;
use crate::run::outcome::{Stage, Unmet};

#[test]
fn a_case_that_passed_is_one_line_and_nothing_below() {
    let rows = [passed(), no_path(), two_files()];
    let lines: Vec<String> = rows.iter().map(text::line).collect();
    insta::assert_snapshot!(lines.join("\n"));
    assert!(rows.iter().all(|row| details(row).is_empty()));
}

#[test]
fn a_case_that_did_not_pass_tells_why_where_and_how_to_see_for_oneself() {
    let rows = [failed(), error(), skipped()];
    let told: Vec<String> =
        rows.iter().map(|row| format!("{}\n{}", text::line(row), details(row).join("\n"))).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_is_to_be_pasted_survives_a_shell() {
    let row =
        Row { file: "it's here/a b.yaml".to_owned(), repetition: 1, id: "late#1".to_owned(), ..failed() };
    let again = details(&row).into_iter().find(|line| line.contains("run again")).unwrap();
    let wanted = r"natlab run 'it'\''s here/a b.yaml' -k 'late#1' --repeat 2 --seed 7";
    assert!(again.ends_with(wanted), "{again}");
    let broken = text::details(&failed(), Path::new("runs"), 7, true);
    let again = broken.iter().find(|line| line.contains("run again")).unwrap();
    assert!(again.ends_with(" --seed 7 --allow-break"), "{again}");
}

#[test]
fn more_tells_what_was_measured_and_which_pair_carries_the_data() {
    insta::assert_snapshot!(text::more(&passed()).join("\n"));
}

#[test]
fn the_last_lines_tell_the_verdict_and_the_success_apart() {
    let folder = Path::new("natlab-runs/20260101-000000-7");
    let whole = text::summary(&report([passed(), no_path(), failed(), error(), skipped()]), folder);
    let mut cut = report([passed()]);
    (cut.interrupted, cut.not_run) = (true, vec!["late".to_owned(), "later".to_owned()]);
    insta::assert_snapshot!(format!("{whole}\n\n{}", text::summary(&cut, folder)));
}

#[test]
fn the_grid_has_a_word_for_each_pair_of_nats_and_shouts_what_did_not_pass() {
    let nats = ["open", "symmetric"];
    let cell = |down: &str, across: &str, row: Row| Row {
        sessions: vec![SessionRow {
            offerer_nat: down.to_owned(),
            answerer_nat: across.to_owned(),
            ..row.sessions[0].clone()
        }],
        ..row
    };
    let rows = [
        cell(nats[0], nats[0], passed()),
        cell(nats[0], nats[0], failed()),
        cell(nats[0], nats[1], error()),
        cell(nats[1], nats[0], failed()),
        cell(nats[1], nats[1], no_path()),
    ];
    insta::assert_snapshot!(grid::grid(&report(rows)).unwrap());
    assert_eq!(grid::grid(&report([passed(), passed()])), None, "one pair of NATs is no grid");
}

#[test]
fn a_report_that_is_written_reads_back_the_same() {
    let report = report([passed(), no_path(), failed(), error(), skipped()]);
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

#[test]
fn the_worst_outcome_decides_the_exit_code() {
    let exit = |rows: &[Row]| report(rows.to_vec()).exit();
    assert_eq!(exit(&[passed(), no_path(), skipped()]), Exit::Ok);
    assert_eq!(exit(&[passed(), failed()]), Exit::CaseFailed);
    assert_eq!(exit(&[failed(), error(), passed()]), Exit::Unfit);
    let interrupted = Report { interrupted: true, ..report([error()]) };
    assert_eq!(interrupted.exit(), Exit::Interrupted);
}

fn details(row: &Row) -> Vec<String> {
    text::details(row, Path::new("runs"), 7, false)
}

fn report(rows: impl IntoIterator<Item = Row>) -> Report {
    let cases: Vec<Row> = rows.into_iter().collect();
    Report {
        schema_version: SCHEMA_VERSION,
        natlab: "0.1.0".to_owned(),
        command: vec!["natlab".to_owned(), "run".to_owned()],
        began_unix: 0,
        seconds: 12.34,
        seed: 7,
        jobs: 4,
        interrupted: false,
        machine: Machine { kernel: "6.1".to_owned(), cores: 2 },
        counts: Counts::of(&cases),
        not_run: Vec::new(),
        cases,
    }
}

fn passed() -> Row {
    let json = include_str!("tests/passed.json");
    serde_json::from_str(json).unwrap()
}

fn no_path() -> Row {
    let mut row = Row { id: "two-symmetric-homes".to_owned(), success: false, seconds: 5.2, ..passed() };
    (row.sessions[0].path, row.sessions[0].via, row.sessions[0].connect_seconds) =
        ("none".to_owned(), None, None);
    (row.files[0].identical, row.files[0].sha256) = (false, None);
    row
}

fn two_files() -> Row {
    let mut row = Row { id: "there-and-back".to_owned(), ..passed() };
    let back = FileRow { size: 1536, seconds: None, ..row.files[0].clone() };
    row.files.push(back);
    row
}

fn failed() -> Row {
    let unmet = |stage, expectation: &str, message: &str| Unmet {
        stage,
        expectation: expectation.to_owned(),
        message: message.to_owned(),
    };
    let mut row = passed();
    row.files[0].identical = false;
    let unmet = vec![
        unmet(Stage::Ice, "via", "expected a path via host, found one via srflx"),
        unmet(Stage::File, "file", "the file from alice to bob is not what was sent"),
    ];
    Row { outcome: Outcome::Fail { unmet }, success: false, ..row }
}

fn error() -> Row {
    let message = "full-cone of alice is not what it is called".to_owned();
    Row { outcome: Outcome::Error { stage: Stage::Nat, message }, ..no_path() }
}

fn skipped() -> Row {
    Row { outcome: Outcome::Skip { why: "no chromium here".to_owned() }, seconds: 0.0, ..no_path() }
}
