//! What machines and people do to a program.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use harness::run::outcome::{Outcome, Stage};
use rstest::rstest;

use super::natlab::Natlab;

const FAILS: &str = "harness/tests/broken/expects-no-path.yaml";

#[rstest]
#[case::no_reader_of_lines("$natlab two-homes -q | head -0; exit ${PIPESTATUS[0]}", 0)]
#[case::one_line_is_enough("$natlab two-homes -v | head -1; exit ${PIPESTATUS[0]}", 0)]
#[case::bars_and_no_reader("$natlab two-homes --format tty | true; exit ${PIPESTATUS[0]}", 0)]
#[case::no_reader_at_all("$natlab two-homes 2>&1 | true; exit ${PIPESTATUS[0]}", 0)]
#[case::a_failure_that_nobody_reads(
    "$natlab harness/tests/broken/expects-no-path.yaml | true; exit ${PIPESTATUS[0]}",
    1
)]
#[case::no_input("$natlab two-homes <&-", 0)]
#[case::no_output("$natlab two-homes >&- 2>&-", 0)]
#[case::nothing_open("$natlab two-homes <&- >&- 2>&-", 0)]
#[case::no_environment("env -i $natlab two-homes", 0)]
#[case::no_home("env -u HOME -u PATH $natlab two-homes", 0)]
#[case::few_files("ulimit -Sn 64; $natlab two-homes", 0)]
#[case::in_a_folder_that_is_gone(
    "d=$(mktemp -d); s=$PWD/scenarios/smoke/two-homes.yaml; cd $d; rmdir $d; $natlab $s",
    0
)]
#[case::more_jobs_than_cases("$natlab two-homes -j 5000", 0)]
#[case::the_longest_seed("$natlab two-homes --seed 18446744073709551615", 0)]
#[case::an_empty_filter("$natlab two-homes -k ''", 0)]
#[case::signals_ignored("trap '' INT HUP; $natlab two-homes", 0)]
fn the_verdict_is_the_same(#[case] line: &str, #[case] code: i32) {
    let Some(natlab) = Natlab::with_labs() else { return };
    let done = natlab.bash(line);
    assert_eq!(done.code, Some(code), "{done:?}");
    assert_eq!(natlab.row().outcome == Outcome::Pass, code == 0);
}

#[test]
fn a_name_that_is_no_text_is_run_like_any_other() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let text = fs::read_to_string(format!("{}/scenarios/smoke/two-homes.yaml", super::natlab::ROOT)).unwrap();
    let path = natlab.file("place", "").with_file_name(OsStr::from_bytes(b"two\xffhomes.yaml"));
    fs::write(&path, text).unwrap();
    let done = natlab.command(&[&path]).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{done:?}");
}

/// Wherever the lack strikes: in the lab, at a server, at a peer, at the probe.
#[rstest]
fn too_few_files_are_told_as_what_they_are(#[values(20, 30, 36, 40, 64)] files: u32) {
    let Some(natlab) = Natlab::with_labs() else { return };
    let done = natlab.bash(&format!("ulimit -n {files}; $natlab two-homes"));
    if done.code != Some(0) {
        assert_eq!(done.code, Some(6), "{done:?}");
        assert!(format!("{}{}", done.stdout, done.stderr).contains("Too many open files"), "{done:?}");
    }
    assert!(files > 20 || done.code == Some(6), "20 files are enough? {done:?}");
}

#[test]
fn a_case_that_may_not_last_is_cut_short_and_says_so() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let done = natlab.run(&["two-symmetric-homes", "--timeout", "1s"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let row = natlab.row();
    assert!(row.seconds < 5.0, "ICE alone would have looked for 5 s: {}", row.seconds);
    assert!(done.stdout.contains("the case was cut short after 1s (--timeout)"), "{}", done.stdout);
}

#[test]
fn a_peer_that_would_start_after_the_end_leaves_no_verdict() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let text =
        "name: tomorrow\npeers: { a: , b: { start: 1min } }\ntransfer: { from: a, to: b, size: 1 KiB }\n";
    let file = natlab.file("tomorrow.yaml", text);
    let done = natlab.run(&[file.as_os_str(), "--timeout".as_ref(), "1s".as_ref()]);
    assert_eq!(done.code, Some(6), "{done:?}");
    let Outcome::Error { stage: Stage::Peer, message } = natlab.row().outcome else {
        panic!("{:?}", natlab.row())
    };
    assert!(message.contains("b was to start after 60s"), "{message}");
}

#[test]
fn an_id_that_is_too_long_for_a_file_system_still_has_a_folder_of_its_own() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let names: Vec<String> = ["a", "b", "c", "d"].iter().map(|first| first.repeat(60)).collect();
    let axes =
        |nats: &str| names.iter().map(|name| format!("{name}.nat: {nats}")).collect::<Vec<_>>().join(", ");
    let transfer = format!("transfer: {{ from: {}, to: {}, size: 1 KiB }}", names[0], names[1]);
    let last = format!(", {}.nat: [open, full-cone]", "e".repeat(60));
    let text = format!("name: long\nmatrix: {{ {}{last} }}\n{transfer}\n", axes("[open]"));
    let file = natlab.file("long.yaml", &text);
    let done = natlab.run(&[&file]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let cases = natlab.report().cases;
    let [one, other] = &cases[..] else { panic!("two cases: {cases:?}") };
    assert!(one.id.len() > 255 && one.folder != other.folder);
    assert!(
        [one, other].iter().all(|row| natlab
            .out()
            .join("latest")
            .join(&row.folder)
            .join("events.jsonl")
            .exists())
    );
}

#[test]
fn what_cannot_be_written_costs_the_case_its_verdict_and_no_other_case_its_own() {
    let Some(natlab) = Natlab::with_labs() else { return };
    // A file size of nothing: no log, no event can be written, and neither can the report.
    let done = natlab.bash(&format!("ulimit -f 0; trap '' XFSZ; $natlab two-homes {FAILS}"));
    assert_eq!(done.code, Some(6), "{done:?}");
    assert!(done.stderr.contains("could not write") && done.stderr.contains("report.json"), "{done:?}");
}
