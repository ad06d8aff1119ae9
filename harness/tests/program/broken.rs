//! A harness must be seen to fail: every scenario of `tests/broken` ends as its first lines say, and at that stage.

use std::fs;
use std::path::{Path, PathBuf};

use harness::report::Row;
use harness::run::outcome::Outcome;

use super::natlab::{Natlab, ROOT};

#[test]
fn every_broken_scenario_ends_as_it_says_at_the_stage_it_says() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let mut wrong = Vec::new();
    let (mut files, mut stated) = (0, Vec::new());
    for file in broken() {
        let wanted = ["outcome", "stage"].map(|key| says(&file, key));
        let done =
            natlab.run(&[file.as_os_str(), "--allow-break".as_ref(), "--format".as_ref(), "plain".as_ref()]);
        let row = natlab.row();
        let stage = row.outcome.stage().map_or("none".to_owned(), |stage| stage.to_string());
        let found = [row.outcome.word().to_lowercase(), stage];
        if found != wanted || done.code != Some(exit_code(&wanted[0])) {
            wrong.push(format!(
                "{}: {found:?}, exit code {:?}; wanted {wanted:?}\n{}",
                row.id, done.code, done.stdout
            ));
        }
        wrong.extend(unsaid(&row));
        files += 1;
        stated.push(wanted[0].clone());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(files >= 10, "{files} files");
    for outcome in ["pass", "fail", "error"] {
        assert!(stated.iter().any(|stated| stated == outcome), "no broken scenario comes to {outcome}");
    }
}

#[test]
fn what_is_broken_on_purpose_never_runs_unasked() {
    let natlab = Natlab::without_labs();
    for file in
        broken().iter().filter(|file| fs::read_to_string(file).is_ok_and(|text| text.contains("\nbreak:")))
    {
        let done = natlab.run(&[file]);
        assert_eq!(done.code, Some(3), "{}: {done:?}", file.display());
        assert!(done.stderr.contains("--allow-break"), "{}", done.stderr);
    }
    assert!(!natlab.out().exists(), "nothing was started");
}

/// What a verdict must say beyond its stage.
fn unsaid(row: &Row) -> Option<String> {
    let wanted: &[&str] = match row.id.as_str() {
        "lying-nat" => {
            &["of alice", "measured address-and-port-dependent mapping (4 ports for 4 destinations"]
        }
        "dead-stun" => {
            &["alice gathered no server-reflexive candidate", "bob gathered no server-reflexive candidate"]
        }
        "dead-signaling" => &["alice never discovered bob", "bob never discovered alice"],
        "crashed-peer" => &["the program of bob ended before the case did: signal 9 (SIGKILL)"],
        "flip-byte" => &["SHA-256"],
        "expects-no-path" => &["an unexpected success"],
        _ => &[],
    };
    let said = match &row.outcome {
        Outcome::Error { message, .. } => message.clone(),
        Outcome::Fail { unmet } => {
            unmet.iter().map(|unmet| unmet.message.as_str()).collect::<Vec<_>>().join("\n")
        }
        Outcome::Pass | Outcome::Skip { .. } => String::new(),
    };
    let unsaid = wanted.iter().find(|words| !said.contains(**words))?;
    Some(format!("{}: {unsaid:?} is not in {said:?}", row.id))
}

fn exit_code(outcome: &str) -> i32 {
    match outcome {
        "pass" => 0,
        "fail" => 1,
        "error" => 6,
        other => panic!("no outcome is called {other}"),
    }
}

/// What stands after `# KEY:`.
fn says(file: &Path, key: &str) -> String {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("# {key}: ")));
    line.unwrap_or_else(|| panic!("{} states no {key}", file.display())).to_owned()
}

fn broken() -> Vec<PathBuf> {
    let folder = Path::new(ROOT).join("harness/tests/broken");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
