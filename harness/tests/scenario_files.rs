//! What `natlab validate` and `natlab list` say of whole files: those of the repository, those that are broken on
//! purpose, and those that are wrong.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic like a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness::scenario::{Break, Case, LoadOptions, Problems, cases, json_schema, load, read};
use proptest::prelude::*;

const BROKEN_TOO: LoadOptions = LoadOptions { allow_break: true };

#[test]
fn every_scenario_of_the_repository_is_right() {
    let all = load(&[PathBuf::from("../scenarios")], LoadOptions::default())
        .unwrap_or_else(|problems| panic!("{problems}"));
    assert!(all.len() >= 6);
}

#[test]
fn every_scenario_of_the_repository_has_its_line_in_the_readme() {
    let readme = fs::read_to_string(PathBuf::from("../scenarios/README.md")).unwrap();
    for scenario in load(&[PathBuf::from("../scenarios")], LoadOptions::default()).unwrap() {
        let folder = scenario.tags.join("/");
        let line = format!("| [{0}]({folder}/{0}.yaml) |", scenario.name);
        assert!(readme.contains(&line), "scenarios/README.md lacks {line}");
    }
}

#[test]
fn the_matrix_has_a_case_for_every_two_kinds_and_the_oracle_speaks_in_each() {
    let cases = cases_of(&PathBuf::from("../scenarios/matrix/stun-only.yaml"));
    assert_eq!(cases.len(), 25);
    let found = cases.iter().filter(|case| case.sessions[0].expect.path.name() == "direct").count();
    assert_eq!(found, 22, "all but symmetric with port-restricted, both ways, and with symmetric");
    assert_eq!(cases[9].id, "stun-only[alice.nat=full-cone,bob.nat=symmetric]");
    assert!(cases.iter().all(|case| case.transfers[0].size == 1 << 20));
}

#[test]
fn a_scenario_that_is_broken_on_purpose_needs_the_option() {
    let paths = [PathBuf::from("tests/broken")];
    let broken = load(&paths, BROKEN_TOO).unwrap_or_else(|problems| panic!("{problems}"));
    let of = |name: &str| broken.iter().find(|scenario| scenario.name == name).unwrap().broken.clone();
    assert_eq!(of("flip-byte"), Some(Break::FlipByte { peer: "alice".to_owned() }));
    assert_eq!(of("expects-no-path"), None);
    for line in ["# outcome: ", "# stage: "] {
        assert!(broken.iter().all(|scenario| scenario.source.contains(line)));
    }
    let refused = load(&paths, LoadOptions::default()).unwrap_err();
    let with_break = broken.iter().filter(|scenario| scenario.broken.is_some()).count();
    assert_eq!(refused.iter().count(), with_break);
    assert!(refused.iter().all(|problem| problem.help_line() == "run with --allow-break"));
}

#[test]
fn the_reference_names_every_key_and_its_examples_are_right() {
    let reference = fs::read_to_string("../docs/scenario-reference.md").unwrap();
    let schema: serde_json::Value = serde_json::from_str(&json_schema().unwrap()).unwrap();
    let parts = schema["definitions"].as_object().unwrap().values().chain([&schema]);
    let keys: Vec<&String> =
        parts.filter_map(|part| part["properties"].as_object()).flat_map(|map| map.keys()).collect();
    assert!(keys.len() > 25, "{keys:?}");
    for key in keys {
        assert!(
            reference.contains(&format!("\n| `{key}` |")),
            "docs/scenario-reference.md lacks a row for `{key}`"
        );
    }
    let examples: Vec<&str> =
        reference.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 5);
    for example in examples {
        assert_eq!(problems_in(example.as_bytes()), None);
    }
}

#[test]
fn every_problem_is_told_with_its_place_and_what_to_do() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("invalid/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for file in invalid_files() {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        settings.bind(|| insta::assert_snapshot!(name, problems_of(&[file]).to_string()));
    }
}

#[test]
fn one_command_tells_every_problem_of_every_file() {
    let each: usize = invalid_files().into_iter().map(|file| problems_of(&[file]).iter().count()).sum();
    let folder = read(&[PathBuf::from("tests/invalid")], LoadOptions::default());
    let all = folder.problems.unwrap();
    assert_eq!(all.iter().count(), each + 1, "and that two files share a name");
    assert!(each > 100, "{each}");
    assert_eq!(folder.files.len(), invalid_files().len() + 2);
    assert!(all.iter().all(|problem| !problem.help_line().is_empty()));
}

#[test]
fn two_files_cannot_share_a_name() {
    let problems = problems_of(&[PathBuf::from("tests/invalid/same-name")]);
    insta::assert_snapshot!(problems);
}

#[test]
fn a_file_that_is_named_twice_is_read_once() {
    let file = PathBuf::from("../scenarios/smoke/two-homes.yaml");
    let around = PathBuf::from("../scenarios/smoke/../smoke/two-homes.yaml");
    assert_eq!(load(&[file, around], LoadOptions::default()).unwrap().len(), 1);
}

#[test]
fn what_is_not_there_and_what_cannot_be_read_is_told_by_name() {
    let missing = problems_of(&[PathBuf::from("smoke/no-such.yaml")]);
    assert_eq!(missing.iter().next().unwrap().message(), "no file or folder `smoke/no-such.yaml`");
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("dangling.yaml")).unwrap();
    let unreadable = problems_of(&[folder.path().to_owned()]).to_string();
    assert!(unreadable.contains("dangling.yaml cannot be read: No such file"), "{unreadable}");
}

#[test]
fn folders_hidden_files_and_links_in_circles_are_no_scenarios() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("folder.yaml")).unwrap();
    fs::write(folder.path().join(".hidden.yaml"), "").unwrap();
    fs::write(folder.path().join("notes.txt"), "").unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("circle")).unwrap();
    let loaded = read(&[folder.path().to_owned()], LoadOptions::default());
    assert!(loaded.files.is_empty() && loaded.problems.is_none(), "{:?}", loaded.files);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_make_the_loader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = problems_in(&bytes);
    }

    #[test]
    fn no_text_made_of_the_languages_own_words_makes_the_loader_panic(
        words in proptest::collection::vec(proptest::sample::select(WORDS), 0..60),
    ) {
        let _ = problems_in(words.concat().as_bytes());
    }
}

const WORDS: &[&str] = &[
    "name: a\n",
    "peers:",
    "\n",
    "  ",
    "alice",
    ": ",
    "{ ",
    " }",
    "[",
    "]",
    ", ",
    "nat: full-cone",
    "matrix:",
    "- ",
    "alice.nat",
    "&a ",
    "*a",
    "transfer: ",
    "{ from: alice, to: bob, size: 1 MiB }",
    "expect: ",
    "between: ",
    "via: ",
    "path: none",
    "break: ",
    "lie: ",
    "kill: ",
    "é",
    "\t",
    "#",
    "\"",
    "'",
    "|",
    "1",
    "-1",
    "1e9",
    ".nan",
    "~",
    "!!str ",
    "? ",
    "---\n",
    "\r\n",
    "bob: {}\n",
    "start: 5s",
    "<<: ",
    "\u{feff}",
    "\u{2028}",
    "%",
];

fn problems_in(bytes: &[u8]) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("any.yaml");
    fs::write(&file, bytes).unwrap();
    let loaded = read(&[file], BROKEN_TOO);
    loaded
        .scenarios
        .into_iter()
        .for_each(|scenario| assert!(!cases(&Arc::new(scenario), 0, None).is_empty()));
    loaded.problems.map(|problems| problems.to_string())
}

fn invalid_files() -> Vec<PathBuf> {
    let entries = fs::read_dir("tests/invalid").unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn cases_of(path: &Path) -> Vec<Case> {
    cases_from(&[path.to_owned()])
}

fn cases_from(paths: &[PathBuf]) -> Vec<Case> {
    let scenarios = load(paths, LoadOptions::default()).unwrap_or_else(|problems| panic!("{problems}"));
    scenarios.into_iter().flat_map(|scenario| cases(&Arc::new(scenario), 1, None)).collect()
}

fn problems_of(paths: &[PathBuf]) -> Problems {
    load(paths, LoadOptions::default()).expect_err("there is something wrong")
}
