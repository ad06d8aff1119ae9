//! What is refused before anything starts, and how that is told.

use rstest::rstest;

use super::natlab::Natlab;

#[rstest]
#[case::nothing_selected(&["scenarios", "-k", "no such case"], 4, "no case was selected")]
#[case::a_bad_file(&["harness/tests/invalid/units.yaml"], 3, "help:")]
#[case::a_bad_file_among_good_ones(&["scenarios/smoke", "harness/tests/invalid/syntax.yaml"], 3, "syntax.yaml")]
#[case::no_such_file(&["scenarios/no-such.yaml"], 3, "no file or folder")]
#[case::no_such_scenario(&["two-home"], 3, "two-homes")]
#[case::an_unknown_flag(&["two-homes", "--frobnicate"], 2, "--frobnicate")]
#[case::no_jobs(&["two-homes", "-j", "0"], 2, "--jobs")]
#[case::no_repetition(&["two-homes", "--repeat", "0"], 2, "--repeat")]
#[case::too_many_repetitions(&["two-homes", "--repeat", "4000000000"], 2, "--repeat")]
#[case::too_many_cases(&["stun-only", "--repeat", "10000"], 2, "250000 cases are more than 100000")]
#[case::no_unit(&["two-homes", "--timeout", "10"], 2, "--timeout")]
#[case::no_seed(&["two-homes", "--seed", "-1"], 2, "error")]
#[case::quiet_and_verbose(&["two-homes", "-q", "-v"], 2, "cannot be used with")]
#[case::no_folder_there(&["two-homes", "--out", "/proc/no/such"], 2, "/proc/no/such")]
#[case::a_file_is_no_folder(&["two-homes", "--out", "Cargo.toml"], 2, "Cargo.toml")]
#[case::no_writing_there(&["two-homes", "--out", "/proc"], 2, "/proc")]
fn what_cannot_be_run_is_told_and_nothing_starts(
    #[case] arguments: &[&str],
    #[case] code: i32,
    #[case] words: &str,
) {
    let natlab = Natlab::without_labs();
    // The last `--out` would win: where the case names one, it stands alone.
    let done = if arguments.contains(&"--out") {
        natlab.bash(&format!("{} run {}", super::natlab::PROGRAM, arguments.join(" ")))
    } else {
        natlab.run(arguments)
    };
    assert_eq!((done.code, done.stdout.as_str()), (Some(code), ""), "{}", done.stderr);
    assert!(done.stderr.contains(words), "{}", done.stderr);
    assert!(!natlab.out().exists(), "nothing was started");
}

#[test]
fn an_invalid_file_is_exit_code_3_even_if_nobody_reads_why() {
    let natlab = Natlab::without_labs();
    for verb in ["run", "validate", "list"] {
        let program = super::natlab::PROGRAM;
        let line =
            format!("{program} {verb} harness/tests/invalid/units.yaml 2>&1 | true; exit ${{PIPESTATUS[0]}}");
        assert_eq!(natlab.bash(&line).code, Some(3), "{verb}");
    }
}
