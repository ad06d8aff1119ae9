//! The everyday run: what it prints and what it leaves.

use std::fs;
use std::path::Path;

use harness::report::Row;
use harness::run::outcome::Outcome;

use super::natlab::{Natlab, ROOT, ids, report};

#[test]
fn the_smoke_scenarios_pass_and_leave_every_artifact() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let done = natlab.run(&["scenarios/smoke", "--format", "plain", "--seed", "7"]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{}", done.stdout);

    let [folder] = &natlab.folders()[..] else { panic!("one run: {:?}", natlab.folders()) };
    assert_eq!(Path::new(&fs::read_link(natlab.out().join("latest")).unwrap()), folder.file_name().unwrap());
    let report = report(folder);
    let names =
        ["home-to-office", "late-peer", "symmetric-meets-full-cone", "two-homes", "two-symmetric-homes"];
    assert_eq!(ids(&report), names);
    assert_eq!((report.counts.passed, report.counts.succeeded), (5, 4), "verdict and success are two things");
    assert_eq!((report.seed, report.interrupted, report.not_run.len()), (7, false, 0));
    for row in &report.cases {
        assert_eq!(row.outcome, Outcome::Pass, "{}", row.id);
        left_by_a_case(&folder.join(&row.folder), row);
        let lines: Vec<&str> =
            done.stdout.lines().filter(|line| line.split_whitespace().nth(2) == Some(&row.id)).collect();
        let [line] = lines[..] else { panic!("one line for {} in {}", row.id, done.stdout) };
        assert_eq!(shape(line), expected_shape(row), "{line}");
    }
    assert!(
        done.stdout.contains("verdict   5 passed, 0 failed, 0 errors, 0 skipped, in "),
        "{}",
        done.stdout
    );
    assert!(done.stdout.contains("success   4 of 5 cases"), "{}", done.stdout);
    assert!(
        done.stdout.contains(&format!("report    {}", folder.join("report.json").display())),
        "{}",
        done.stdout
    );
}

/// One log per node, one table per router, every event.
fn left_by_a_case(folder: &Path, row: &Row) {
    for file in ["alice.log", "bob.log", "signaling.log", "stun.log"] {
        assert!(folder.join(file).is_file(), "{}: no {file}", row.id);
    }
    for peer in &row.peers {
        let table = fs::read_to_string(folder.join(format!("{}.router.mappings.txt", peer.name))).unwrap();
        let outside = row.observed.peers[&peer.name].outside.as_deref().unwrap();
        assert!(table.contains(outside), "{}: no mapping to {outside} in {table}", row.id);
    }
    let events = fs::read_to_string(folder.join("events.jsonl")).unwrap();
    let events: Vec<serde_json::Value> =
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!(
        (events[0]["event"].as_str(), seen("measured"), seen("started"), seen("drops")),
        (Some("built"), 2, 2, 4),
        "drops are told of both routers, and of the peers behind them"
    );
    assert_eq!(seen("ended"), 2, "{}: both peers left", row.id);
    assert!(events.iter().all(|event| event["at_us"].is_u64() && event["node"].is_string()), "{}", row.id);
}

/// The words of a line with its measurements made equal: `PASS 0s id direct (srflx) 1 MiB 0 MB/s sha256 ok`.
fn shape(line: &str) -> Vec<String> {
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let seconds = words[1].strip_suffix('s').unwrap().split_once('.').unwrap();
    assert!(seconds.0.parse::<u32>().is_ok() && seconds.1.len() == 3, "{line}");
    words[1] = "0s".to_owned();
    if let Some(at) = words.iter().position(|word| word == "MB/s") {
        assert!(words[at - 1].parse::<f64>().unwrap() > 0.0, "{line}");
        words[at - 1] = "0".to_owned();
    }
    words
}

fn expected_shape(row: &Row) -> Vec<String> {
    let mut words = format!("PASS 0s {} {}", row.id, row.sessions[0].path);
    if let Some(via) = &row.sessions[0].via {
        words.push_str(&format!(" ({via})"));
    }
    if row.success {
        let mebibytes = row.files[0].size / 1024 / 1024;
        words.push_str(&format!(" {mebibytes} MiB 0 MB/s sha256 ok"));
    }
    words.split(' ').map(str::to_owned).collect()
}

#[test]
fn quiet_prints_the_end_alone_and_verbose_what_was_measured() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let quiet = natlab.run(&["two-homes", "-q"]).stdout;
    assert!(quiet.starts_with("verdict   1 passed"), "{quiet}");
    assert_eq!(quiet.lines().count(), 4, "{quiet}");

    let verbose = natlab.run(&["two-homes", "-v"]).stdout;
    let wanted = [
        "lab built in",
        "alice behind full-cone: measured endpoint-independent mapping",
        "bob sends from",
        "connected",
    ];
    assert_eq!(wanted.iter().find(|words| !verbose.contains(**words)), None, "{verbose}");
    assert_eq!(natlab.folders().len(), 2);
}

#[test]
fn one_seed_draws_one_payload_for_one_case_and_another_for_every_other() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let hashes = |arguments: &[&str]| -> Vec<(String, String)> {
        let done = natlab.run(&[arguments, &["--format", "plain"]].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        let hash = |row: &Row| row.files[0].sha256.clone().unwrap();
        natlab.report().cases.iter().map(|row| (row.id.clone(), hash(row))).collect()
    };
    let twice = hashes(&["two-homes", "--repeat", "2", "--seed", "5"]);
    let [(first, one), (second, other)] = &twice[..] else { panic!("two cases: {twice:?}") };
    assert_eq!((first.as_str(), second.as_str()), ("two-homes#1", "two-homes#2"));
    assert_ne!(one, other);

    // An id that was printed is pasted back, alone.
    assert_eq!(hashes(&["two-homes#2", "--seed", "5"]), [(second.clone(), other.clone())]);
    assert_ne!(hashes(&["two-homes#2", "--seed", "6"])[0].1, *other);
}

#[test]
fn a_case_id_selects_that_case_and_filters_select_by_text() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let id = "stun-only[alice.nat=full-cone,bob.nat=open]";
    for arguments in [&[id][..], &["scenarios", "-k", id]] {
        assert_eq!(natlab.run(arguments).code, Some(0));
        assert_eq!(natlab.row().id, id, "{arguments:?}");
    }
    // The id of a repetition is the beginning of others.
    assert_eq!(natlab.run(&["two-homes", "--repeat", "12", "-k", "two-homes#1"]).code, Some(0));
    assert_eq!(natlab.row().id, "two-homes#1");
    assert_eq!(natlab.run(&["stun-only", "-k", "alice.nat=open,bob.nat=full", "-j", "1"]).code, Some(0));
    assert_eq!(natlab.row().id, "stun-only[alice.nat=open,bob.nat=full-cone]");
    assert_eq!(natlab.report().jobs, 1);
}

#[test]
fn a_failure_ends_with_lines_that_run_it_again() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let file = fs::read_to_string(Path::new(ROOT).join("harness/tests/broken/expects-no-path.yaml")).unwrap();
    let file = natlab.file("it's broken.yaml", &file);
    let done =
        natlab.run(&[file.as_os_str(), "--repeat".as_ref(), "2".as_ref(), "-x".as_ref(), "-j1".as_ref()]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let failed = natlab.report();
    assert_eq!(
        (ids(&failed), failed.not_run.as_slice()),
        (vec!["expects-no-path#1"], &["expects-no-path#2".to_owned()][..])
    );
    assert!(done.stdout.contains("\nnot run   1 case\n"), "{}", done.stdout);

    let again =
        done.stdout.lines().find_map(|line| line.trim().strip_prefix("run again    natlab run ")).unwrap();
    let again = natlab.bash(&format!("$natlab {again}"));
    assert_eq!(again.code, Some(1), "{again:?}");
    let (again, failed) = (natlab.row(), &failed.cases[0]);
    assert_eq!(
        (&again.id, &again.seed, &again.files[0].sha256),
        (&failed.id, &failed.seed, &failed.files[0].sha256)
    );
}

#[test]
fn two_runs_at_once_do_not_disturb_each_other() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let start = || {
        let mut command = natlab.command(&["two-homes", "late-peer", "--seed", "3"]);
        command.stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let runs = [start(), start()];
    for mut run in runs {
        assert_eq!(run.wait().unwrap().code(), Some(0));
    }
    let folders = natlab.folders();
    assert_eq!(folders.len(), 2, "{folders:?}");
    assert!(folders.iter().all(|folder| report(folder).counts.passed == 2));
}
