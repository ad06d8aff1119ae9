//! The verbs that need no lab, run as programs: what they print, where, and how they end.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic like a test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

#[test]
fn validate_counts_what_is_right() {
    let done = natlab(Path::new(".."), &["validate", "scenarios/smoke"]);
    assert_eq!(done.status.code(), Some(0));
    assert!(done.stderr.is_empty());
    insta::assert_snapshot!(text(&done.stdout));
}

#[test]
fn validate_tells_what_is_wrong_on_stderr_and_what_is_right_on_stdout() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy("../scenarios/smoke/two-homes.yaml", folder.path().join("good.yaml")).unwrap();
    fs::write(folder.path().join("bad.yaml"), "name: bad\npeers: { alice: { nat: fullcone }, bob: }\n")
        .unwrap();
    let done = natlab(folder.path(), &["validate", "."]);
    assert_eq!(done.status.code(), Some(3));
    insta::assert_snapshot!(text(&done.stdout));
    insta::assert_snapshot!(text(&done.stderr));
}

#[test]
fn a_folder_without_scenarios_is_nothing_selected() {
    let folder = tempfile::tempdir().unwrap();
    for verb in ["validate", "list"] {
        assert_eq!(natlab(folder.path(), &[verb, "."]).status.code(), Some(4), "{verb}");
        assert_eq!(
            natlab(folder.path(), &[verb]).status.code(),
            Some(3),
            "{verb} of a folder that is not there"
        );
    }
}

#[test]
fn list_finds_scenarios_by_name_and_cases_by_id() {
    let ids = |arguments: &[&str]| -> Vec<String> {
        let done = natlab(Path::new(".."), &[&["list"], arguments].concat());
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
        text(&done.stdout).lines().map(str::to_owned).collect()
    };
    let [one, other] =
        ["stun-only[alice.nat=full-cone,bob.nat=open]", "stun-only[alice.nat=open,bob.nat=open]"];
    assert_eq!(ids(&["two-homes"]), ["two-homes"]);
    assert_eq!(ids(&["two-homes#3"]), ["two-homes#3"]);
    assert_eq!(ids(&[one]), [one]);
    assert_eq!(ids(&[one, other]), [other, one]);
    assert_eq!(ids(&[one, "stun-only"]).len(), 25);
    assert_eq!(ids(&["scenarios/matrix", one]).len(), 25 + 81 + 14 * 14);
    let map = "two-homes-one-carrier[carrier.nat=cgnat-hairpin-off]";
    assert_eq!(ids(&[map]), [map], "a map is called by its label");
    assert_eq!(ids(&["stun-only[alice.nat=symmetric]"]).len(), 5);
    assert_eq!(ids(&[]).len(), 5 + 25 + 81 + 14 * 14 + 11);
}

#[test]
fn a_name_that_nobody_bears_is_told_with_the_nearest() {
    let done = natlab(Path::new(".."), &["list", "two-home", "stun-only[alice.nat=cgnat]"]);
    assert_eq!(done.status.code(), Some(3));
    insta::assert_snapshot!(text(&done.stderr));
}

#[test]
fn list_tells_what_is_expected_and_why() {
    let done = natlab(
        Path::new(".."),
        &["list", "-v", "two-symmetric-homes", "symmetric-meets-full-cone", "two-homes"],
    );
    insta::assert_snapshot!(text(&done.stdout));
}

#[test]
fn list_tells_the_reason_in_networks_layers_and_families_and_marks_a_race() {
    let race = "routers[alice.nat=port-restricted,bob.nat=linux-masquerade]";
    let closed = "routers[alice.nat=https-only,bob.nat=open]";
    let done = natlab(Path::new(".."), &["list", "-v", "scenarios/networks", race, closed]);
    insta::assert_snapshot!(text(&done.stdout));
}

#[test]
fn list_tells_when_a_file_insists_on_what_the_oracle_denies() {
    let done = natlab(Path::new("."), &["list", "-v", "tests/broken/expects-the-impossible.yaml"]);
    insta::assert_snapshot!(text(&done.stdout));
}

#[test]
fn init_writes_a_scenario_that_is_right_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(natlab(folder.path(), &["init", "office.yaml"]).status.code(), Some(0));
    let written = fs::read_to_string(folder.path().join("office.yaml")).unwrap();
    let listed = natlab(folder.path(), &["list", "office.yaml"]);
    assert_eq!(text(&listed.stdout), "office\n", "called like its file");

    let again = natlab(folder.path(), &["init", "office.yaml"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("help: "));
    assert_eq!(fs::read_to_string(folder.path().join("office.yaml")).unwrap(), written);

    assert_eq!(natlab(folder.path(), &["init", "Fünf.yaml"]).status.code(), Some(0));
    assert_eq!(text(&natlab(folder.path(), &["list", "Fünf.yaml"]).stdout), "my-first-scenario\n");
    assert!(text(&natlab(folder.path(), &["init", "-"]).stdout).contains("name: my-first-scenario"));
    assert_eq!(natlab(folder.path(), &["init", "no/such/folder.yaml"]).status.code(), Some(2));
}

#[test]
fn the_schema_that_is_checked_in_is_the_one_that_is_printed() {
    let printed = text(&natlab(Path::new("."), &["schema"]).stdout);
    let checked_in = fs::read_to_string("schema/scenario.schema.json").unwrap();
    let renew = "cargo run -p harness -- schema > harness/schema/scenario.schema.json";
    assert!(printed == checked_in, "harness/schema/scenario.schema.json is stale; renew it with: {renew}");
}

#[test]
fn nobody_listening_is_no_failure() {
    let program = env!("CARGO_BIN_EXE_natlab");
    let line =
        format!("{program} list -v ../scenarios ../scenarios ../scenarios | true; exit ${{PIPESTATUS[0]}}");
    let done = Command::new("bash").args(["-c", &line]).output().unwrap();
    assert_eq!((done.status.code(), text(&done.stderr)), (Some(0), String::new()));
}

fn natlab(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_natlab")).current_dir(folder).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
