//! Whatever way a sandbox ends, nothing of it is left: no process, no namespace, no mount, no file.
//!
//! This program starts itself again as the program of a sandbox inside its own; which role that plays is in the
//! environment.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use netns::lab::Lab;
use netns::nat::Preset;
use netns::sandbox::INSIDE;
use netns::topology::{Topology, Uplink};
use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;
use rstest::rstest;

#[ctor::ctor(unsafe)]
fn enter() {
    netns::sandbox::enter_before_main();
}

const ROLE: &str = "NATLAB_LIFECYCLE_ROLE";
const PATIENCE: Duration = Duration::from_secs(20);

/// Does nothing unless it is the program inside a sandbox that a test below has started.
#[test]
fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let lab = Lab::build(&two_homes()).unwrap();
    let sleepers: Vec<_> =
        lab.nodes().map(|node| node.spawn(node.command("sleep").arg("1000")).unwrap()).collect();
    match role.as_str() {
        "return" => (),
        "drop" => drop((sleepers, lab)),
        "leak" => std::mem::forget((sleepers, lab)),
        "panic" => panic!("on purpose, with a lab in hand"),
        "exit" => std::process::exit(37),
        "abort" => std::process::abort(),
        "kill" => raise(Signal::SIGKILL).unwrap(),
        "wait" => {
            println!("\nready");
            loop {
                std::thread::park();
            }
        }
        other => panic!("no such role: {other}"),
    }
}

#[rstest]
#[case::by_returning("return", 0)]
#[case::by_dropping_all("drop", 0)]
#[case::with_processes_that_nobody_ends("leak", 0)]
#[case::by_a_panic("panic", 101)]
#[case::by_an_exit_code("exit", 37)]
#[case::by_an_abort("abort", 128 + 6)]
#[case::by_a_kill("kill", 128 + 9)]
fn whatever_way_the_program_ends_its_code_is_told_and_nothing_is_left(#[case] role: &str, #[case] code: i32) {
    let alone = Alone::now();
    let sandbox = Sandbox::start(role, |_| ());
    assert_eq!(sandbox.end().code(), Some(code));
    alone.assert_nothing_is_left();
}

#[test]
fn when_the_outer_process_is_killed_everything_inside_ends() {
    let alone = Alone::now();
    let mut sandbox = Sandbox::start("wait", |_| ());
    sandbox.await_ready();
    assert!(Traces::now().processes.len() >= alone.before.processes.len() + 3 + 6, "it all is there");
    assert!(Traces::now().namespaces.len() >= alone.before.namespaces.len() + 6);
    sandbox.outer.kill().unwrap();
    assert_eq!(sandbox.end().signal(), Some(Signal::SIGKILL as i32));
    alone.assert_nothing_is_left();
}

#[rstest]
#[case(Signal::SIGTERM)]
#[case(Signal::SIGINT)]
#[case(Signal::SIGHUP)]
#[case(Signal::SIGQUIT)]
fn a_signal_is_passed_on_to_the_program_inside(#[case] signal: Signal) {
    let alone = Alone::now();
    let mut sandbox = Sandbox::start("wait", |_| ());
    sandbox.await_ready();
    kill(sandbox.pid(), signal).unwrap();
    // It is the program that died of it; the outer process lives to tell.
    assert_eq!(sandbox.end().code(), Some(128 + signal as i32));
    alone.assert_nothing_is_left();
}

#[test]
fn a_signal_at_any_moment_of_the_start_ends_it() {
    let alone = Alone::now();
    for moment in 0..40 {
        let start = Instant::now();
        let sandbox = Sandbox::start("wait", |_| ());
        while start.elapsed() < Duration::from_micros(250 * moment) {
            std::hint::spin_loop();
        }
        kill(sandbox.pid(), Signal::SIGTERM).unwrap();
        let status = sandbox.end();
        let ended = status.signal() == Some(Signal::SIGTERM as i32) || status.code() == Some(128 + 15);
        assert!(ended, "{status} after {moment}");
    }
    alone.assert_nothing_is_left();
}

#[test]
fn a_dropped_lab_leaves_no_descriptor_and_a_dropped_process_is_gone() {
    let _alone = Alone::now();
    let descriptors = || Traces::of(Path::new("/proc/self")).namespaces;
    let before = descriptors();
    let lab = Lab::build(&two_homes()).unwrap();
    assert!(descriptors().len() > before.len());
    let node = lab.node("alice").unwrap();
    let process = node.spawn(node.command("sleep").arg("1000")).unwrap();
    let pid = process.0.id();
    assert_eq!(
        fs::read_link(format!("/proc/{pid}/ns/net")).unwrap(),
        node.within(|| fs::read_link("/proc/thread-self/ns/net").unwrap()).unwrap(),
        "it runs in the node"
    );
    drop(process);
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "ended and reaped");
    drop(lab);
    assert_eq!(descriptors(), before);
}

#[test]
fn the_limit_of_open_files_is_raised_as_far_as_it_goes() {
    use nix::sys::resource::{Resource, getrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert_eq!(soft, hard);
}

/// Where the machine lets ordinary users make namespaces; where not, they are told what to do.
#[test]
fn an_ordinary_user_gets_the_same_sandbox_or_the_reason_why_not() {
    const NOBODY: u32 = 65_534;
    let everybody_exists = fs::read_to_string("/proc/self/uid_map").unwrap().contains("4294967295");
    if !everybody_exists {
        // This very program is run by an ordinary user.
        return;
    }
    let alone = Alone::now();
    let mut sandbox = Sandbox::start("wait", |command| {
        command.uid(NOBODY).gid(NOBODY).env("CI", "true").stderr(Stdio::piped());
    });
    if !sandbox.await_ready() {
        let mut told = String::new();
        sandbox.outer.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert!(told.contains("help:"), "{told}");
        assert_eq!(sandbox.end().code(), Some(6));
        return;
    }
    kill(sandbox.pid(), Signal::SIGTERM).unwrap();
    assert_eq!(sandbox.end().code(), Some(128 + Signal::SIGTERM as i32));
    alone.assert_nothing_is_left();
}

fn two_homes() -> Topology {
    let nat = Preset::PortRestricted.nat().unwrap();
    Topology::default()
        .router("first home", Uplink::Internet, nat)
        .router("second home", Uplink::Internet, nat)
        .host("alice", "first home".into())
        .host("bob", "second home".into())
        .server("server", 2)
}

/// A sandbox below this one.
struct Sandbox {
    outer: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Sandbox {
    fn start(role: &str, with: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["--exact", "role", "--nocapture", "--test-threads=1"])
            .env_remove(INSIDE)
            .env(ROLE, role)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        with(&mut command);
        let mut outer = command.spawn().unwrap();
        let output = BufReader::new(outer.stdout.take().unwrap());
        Sandbox { outer, output }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.outer.id() as i32)
    }

    /// Whether the program inside got as far as it should.
    fn await_ready(&mut self) -> bool {
        let mut lines = self.output.by_ref().lines();
        lines.any(|line| line.unwrap() == "ready")
    }

    /// Waits for the end of the outer process, and of every process inside: each holds the output open.
    fn end(mut self) -> ExitStatus {
        self.output.read_to_end(&mut Vec::new()).unwrap();
        self.outer.wait().unwrap()
    }
}

/// Holds off the other tests of this program, which make and end processes as well.
struct Alone {
    before: Traces,
    _turn: MutexGuard<'static, ()>,
}

impl Alone {
    fn now() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Alone { before: Traces::now(), _turn: turn }
    }

    fn assert_nothing_is_left(&self) {
        let start = Instant::now();
        // A process closes its files a moment before it leaves /proc.
        while Traces::now().processes != self.before.processes {
            let now = Traces::now();
            assert!(start.elapsed() < PATIENCE, "before: {:#?}\nnow: {now:#?}", self.before);
            std::thread::yield_now();
        }
        assert_eq!(Traces::now(), self.before);
    }
}

/// All that a sandbox could leave behind, as seen from the one around it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Traces {
    processes: BTreeSet<String>,
    /// Those that a process is in, or holds open.
    namespaces: BTreeSet<String>,
    mounts: BTreeSet<String>,
    files: BTreeSet<String>,
}

impl Traces {
    fn now() -> Self {
        let mut all = Traces::default();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.parse::<u32>().is_ok() {
                let of_one = Traces::of(&entry.path());
                all.namespaces.extend(of_one.namespaces);
                all.mounts.extend(of_one.mounts);
                all.processes.insert(name);
            }
        }
        for directory in ["/run", "/run/netns", "/dev/shm"] {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            all.files.extend(entries.map(|entry| entry.path().display().to_string()));
        }
        all
    }

    /// Of one process, which may be gone by now.
    fn of(process: &Path) -> Self {
        let mut one = Traces::default();
        for directory in ["ns", "fd"] {
            let links = fs::read_dir(process.join(directory)).into_iter().flatten().flatten();
            let targets = links.filter_map(|link| fs::read_link(link.path()).ok());
            let named = targets.map(|target| target.display().to_string());
            one.namespaces
                .extend(named.filter(|target| target.contains(":[") && !target.starts_with("pipe")));
        }
        one.namespaces.retain(|namespace| !namespace.starts_with("socket"));
        one.mounts.extend(
            fs::read_to_string(process.join("mountinfo")).unwrap_or_default().lines().map(str::to_owned),
        );
        one
    }
}
