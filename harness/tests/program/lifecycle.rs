//! However a run is ended, it says so, and nothing is left of it but its folder.

use std::fs;
use std::io::{BufRead, BufReader, PipeReader, Read, pipe};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, ExitStatus};

use harness::run::outcome::Outcome;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, Uid};
use rstest::rstest;

use super::natlab::{Done, Natlab, PROGRAM, ROOT, ids, skip};

/// Nothing that works takes so long, milliseconds.
const HANGS: u16 = 60_000;

#[test]
fn a_killed_run_leaves_nothing() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let mut run = Run::start(&natlab);
    run.until_a_case_has_passed();
    run.signal(Signal::SIGKILL);
    run.ends();
    assert!(!natlab.out().join("latest/report.json").exists(), "it was in the middle of it");
}

#[rstest]
#[case::ctrl_c(Signal::SIGINT)]
#[case::terminated(Signal::SIGTERM)]
#[case::hung_up(Signal::SIGHUP)]
fn an_interrupted_run_reports_what_had_ended_and_leaves_nothing(#[case] signal: Signal) {
    let Some(natlab) = Natlab::with_labs() else { return };
    let mut run = Run::start(&natlab);
    run.until_a_case_has_passed();
    run.signal(signal);
    assert_eq!(run.ends().code(), Some(130));
    assert_is_partial(&natlab);
}

#[test]
fn a_key_of_the_terminal_reaches_all_at_once_and_ends_the_run_once() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let mut run = Run::start(&natlab);
    run.until_a_case_has_passed();
    killpg(Pid::from_raw(run.child.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(run.ends().code(), Some(130));
    assert_is_partial(&natlab);
}

#[test]
fn an_impatient_second_and_third_ctrl_c_change_nothing() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let mut run = Run::start(&natlab);
    run.until_a_case_has_passed();
    for _ in 0..3 {
        run.signal(Signal::SIGINT);
    }
    assert_eq!(run.ends().code(), Some(130));
    assert_is_partial(&natlab);
}

#[rstest]
#[case::ctrl_c(Signal::SIGINT)]
#[case::terminated(Signal::SIGTERM)]
#[case::killed(Signal::SIGKILL)]
fn a_run_that_ends_before_it_has_begun_leaves_nothing(#[case] signal: Signal) {
    let Some(natlab) = Natlab::with_labs() else { return };
    let run = Run::start(&natlab);
    run.until_it_has_a_child();
    run.signal(signal);
    let status = run.ends();
    assert_eq!(status.code(), (signal != Signal::SIGKILL).then_some(130), "{status}");
}

#[test]
fn labs_are_kept_where_asked_until_ctrl_c() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let mut run = Run::of(&natlab, &["harness/tests/broken/expects-no-path.yaml", "--keep"]);
    run.until(|line| line.starts_with("press Ctrl-C"));
    run.signal(Signal::SIGINT);
    assert_eq!(run.ends().code(), Some(1), "the verdict stands");
    assert!(!natlab.report().interrupted);
}

#[test]
fn an_ordinary_user_runs_the_smoke_scenarios() {
    let Some(natlab) = Natlab::with_labs() else { return };
    let folder = tempfile::tempdir().unwrap();
    let done = if Uid::effective().is_root() {
        // Nobody may not even read the folders that lead to the program.
        let all_may = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        all_may(0o777);
        fs::copy(PROGRAM, folder.path().join("natlab")).unwrap();
        let smoke = format!("{ROOT}/scenarios/smoke");
        let copied = Command::new("cp").args(["-r", &smoke]).arg(folder.path()).status().unwrap();
        assert!(copied.success());
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "./natlab",
            "run",
            "smoke",
            "--out",
            "runs",
        ]);
        Done::of(&command.current_dir(folder.path()).env_remove("CI").output().unwrap())
    } else {
        natlab.run(&["scenarios/smoke"])
    };
    if done.code == Some(6) && !folder.path().join("runs/latest").exists() {
        return skip(&done.stderr);
    }
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("verdict   5 passed"), "{}", done.stdout);
}

/// What a run leaves that ended between its first case and its last.
fn assert_is_partial(natlab: &Natlab) {
    let report = natlab.report();
    assert!(report.interrupted);
    assert!(report.cases.iter().any(|row| row.outcome == Outcome::Pass), "{:?}", ids(&report));
    assert!(report.not_run.iter().any(|id| id == "two-symmetric-homes"), "{:?}", report.not_run);
    assert_eq!(report.cases.len() + report.not_run.len(), 5);
}

/// A run whose every process holds one end of a pipe: its end is theirs.
struct Run {
    child: Child,
    words: BufReader<ChildStderr>,
    everybody: PipeReader,
    out: String,
    /// Those that were there before.
    mounts: Vec<String>,
}

impl Run {
    /// All smoke scenarios at once: the first have passed long before the last gives up looking for a path.
    fn start(natlab: &Natlab) -> Run {
        Run::of(natlab, &["scenarios/smoke", "-j", "5"])
    }

    fn of(natlab: &Natlab, arguments: &[&str]) -> Run {
        let (everybody, held) = pipe().unwrap();
        let mounts = mounts();
        let out = natlab.out().to_str().unwrap().to_owned();
        let mut command = Command::new("sh");
        // The pipe gets a number that every process below inherits.
        command.args(["-c", r#"exec 9>&1 >&2; exec "$0" "$@""#, PROGRAM, "run"]);
        command.args(arguments).args(["--format", "plain", "--out", &out]);
        command.current_dir(ROOT).process_group(0).env_remove("CI");
        command.stdout(held).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let words = BufReader::new(child.stderr.take().unwrap());
        Run { child, words, everybody, out, mounts }
    }

    fn until(&mut self, is_it: impl Fn(&str) -> bool) {
        let mut line = String::new();
        while !is_it(&line) {
            line.clear();
            assert_ne!(self.words.read_line(&mut line).unwrap(), 0, "it ended before");
        }
    }

    fn until_a_case_has_passed(&mut self) {
        self.until(|line| line.starts_with("PASS"));
    }

    fn until_it_has_a_child(&self) {
        let pid = self.child.id();
        while fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap().is_empty() {
            std::thread::yield_now();
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits until every process of the run has ended, and looks for what else could be left of it.
    fn ends(mut self) -> ExitStatus {
        let mut waited = [PollFd::new(self.everybody.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut waited, PollTimeout::from(HANGS)).unwrap();
        assert_eq!(ready, 1, "something of the run is still there after a minute");
        assert_eq!(self.everybody.read(&mut [0]).unwrap(), 0);
        let status = self.child.wait().unwrap();
        // A mount is all that keeps a namespace without processes.
        let left: Vec<String> = mounts().into_iter().filter(|mount| !self.mounts.contains(mount)).collect();
        assert_eq!(left, Vec::<String>::new());
        assert_eq!(processes_that_name(&self.out), Vec::<String>::new());
        status
    }
}

/// What is mounted here, by what and where.
fn mounts() -> Vec<String> {
    fs::read_to_string("/proc/self/mounts").unwrap().lines().map(str::to_owned).collect()
}

fn processes_that_name(out: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let processes =
        fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let processes = processes.filter(|name| name.parse::<u32>().is_ok() && *name != own);
    processes
        .filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| names(&line, out)))
        .collect()
}

fn names(line: &[u8], out: &str) -> bool {
    line.split(|byte| *byte == 0).any(|word| word == out.as_bytes())
}
