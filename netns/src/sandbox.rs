//! The sandbox: every lab lives below one process that is the first of its own pid, mount and network (and, where
//! not root, user) namespaces. When it goes, by whatever death, the kernel ends all processes below it and with them
//! every namespace, link and mount. Nothing has a name in the file system, so nothing is left behind.
//!
//! `launch` (outer, one thread) -> [`init`] (pid 1: reaps, forwards signals) -> the program (inner).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, Uid, getgid, getppid, getuid, pipe2};

use crate::enter;
use crate::error::Error;
use crate::netlink::wire::Batch;
use crate::netlink::{Socket, Subsystem, route};

/// Set in the environment of every program inside a sandbox.
pub const INSIDE: &str = "NATLAB_SANDBOX";

/// The environment variable with the pid that the first process of the sandbox has outside of it.
pub const INIT_PID: &str = "NATLAB_SANDBOX_PID";

/// The first argument with which the sandbox starts this program anew as the first process of the sandbox.
pub const INIT_VERB: &str = "pid1";

/// The exit code of a machine that cannot run labs.
const LAB_UNFIT: i32 = 6;

/// Signals that are passed on to the program inside.
const FORWARDED: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// Whether this process already is inside a sandbox.
pub fn is_inside() -> bool {
    // The variable alone could be anybody's, or inherited by a program started inside.
    std::env::var_os(INSIDE).is_some() && getppid() == Pid::from_raw(1)
}

/// Whether this sandbox has a user namespace of its own.
pub fn has_own_user() -> bool {
    // The initial user namespace maps every id to itself.
    fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().nth(2) != Some("4294967295"))
}

/// Runs this same program again, with these arguments, inside a new sandbox, and waits for it. Call it before any
/// thread exists. The program must hand its arguments to [`init`] when the first one is [`INIT_VERB`].
///
/// Gives what the program inside ended with: 0 to 255, or 128 + the signal that ended it.
pub fn launch(arguments: &[OsString]) -> Result<u8, Error> {
    let signals = block_signals()?;
    let (lifeline, held) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| Error::system("make a pipe", errno))?;
    let child = fork(&lifeline, arguments)?;
    drop(lifeline);
    let status = supervise(&signals, child, None)?;
    drop(held);
    Ok(status)
}

/// For test programs, called before `main`: runs the whole program again inside one sandbox, and ends with its code.
/// Where the machine allows no sandbox it says so and skips everything; under `CI` that is a failure.
pub fn enter_before_main() {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let ended = if arguments.next_if(|first| first == INIT_VERB).is_some() {
        init(arguments)
    } else if is_inside() {
        return;
    } else {
        launch(&arguments.collect::<Vec<_>>())
    };
    let code = ended.unwrap_or_else(|error| {
        eprintln!("skipped: {error}\nhelp: {}", error.help());
        if std::env::var_os("CI").is_some() { LAB_UNFIT as u8 } else { 0 }
    });
    std::process::exit(code.into());
}

/// The first process of a sandbox: `arguments` are those after [`INIT_VERB`]. Gives the exit code to end with.
pub fn init(arguments: impl IntoIterator<Item = OsString>) -> Result<u8, Error> {
    let mut arguments = arguments.into_iter();
    let bad = || Error::Topology("`init` is started by natlab itself, not by hand".to_owned());
    let lifeline = arguments.next().and_then(|fd| fd.to_str()?.parse().ok()).ok_or_else(bad)?;
    if !nix::unistd::getpid().eq(&Pid::from_raw(1)) {
        return Err(bad());
    }
    let lifeline = enter::inherited(lifeline).map_err(|errno| Error::system("take the lifeline", errno))?;
    prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|errno| Error::system("ask to die with the parent", errno))?;
    let signals = block_signals()?;
    own_mounts()?;
    raise_open_files();
    let mut batch = Batch::new();
    route::up(&mut batch, route::LOOPBACK);
    Socket::open(Subsystem::Route)?.commit(batch)?;

    let mut program = Command::new("/proc/self/exe");
    program.args(arguments).env(INSIDE, "1");
    enter::command_hears_signals(&mut program);
    let program =
        program.spawn().map_err(|source| Error::system("start the program inside the sandbox", source))?;
    supervise(&signals, Pid::from_raw(program.id() as i32), Some(&lifeline))
}

fn fork(lifeline: &OwnedFd, arguments: &[OsString]) -> Result<Pid, Error> {
    let root = Uid::effective().is_root();
    let flags = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
    let with_user = flags | CloneFlags::CLONE_NEWUSER;
    let (uid, gid) = (getuid(), getgid());
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        return Err(Error::Topology(format!(
            "a sandbox is launched before any thread exists; there are {threads}"
        )));
    }
    let mut own_user = !root;
    let mut forked = single_threaded_fork(if root { flags } else { with_user });
    if root && matches!(forked, Err(Errno::EPERM)) {
        // Root of a container without CAP_SYS_ADMIN: a user namespace of our own may still be allowed.
        own_user = true;
        forked = single_threaded_fork(with_user);
    }
    match forked.map_err(|errno| Error::system("make the namespaces of a sandbox", errno))? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let error = become_init(lifeline, arguments, own_user.then_some((uid.as_raw(), gid.as_raw())));
            eprintln!("error: {error}\nhelp: {}", error.help());
            std::process::exit(LAB_UNFIT)
        }
    }
}

#[expect(unsafe_code, reason = "the caller has counted the threads")]
fn single_threaded_fork(flags: CloneFlags) -> nix::Result<ForkResult> {
    // SAFETY: `fork` has seen that this process has one thread.
    unsafe { enter::fork_into(flags) }
}

/// In the forked child: maps the user, then starts this program anew as `init`. Returns only what went wrong.
fn become_init(lifeline: &OwnedFd, arguments: &[OsString], user: Option<(u32, u32)>) -> Error {
    if let Some((uid, gid)) = user
        && let Err(error) = map_user(uid, gid)
    {
        return error;
    }
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    if let Err(errno) = fcntl(lifeline, FcntlArg::F_SETFD(FdFlag::empty())) {
        return Error::system("keep the lifeline", errno);
    }
    // Still the /proc of outside: this is the pid that an outside process can use.
    let own_pid = fs::read_link("/proc/self").unwrap_or_default();
    // Signals stay blocked across the exec: one that comes before `init` waits for them is not lost.
    let source = Command::new("/proc/self/exe")
        .env(INIT_PID, own_pid)
        .arg(INIT_VERB)
        .arg(lifeline.as_raw_fd().to_string())
        .args(arguments)
        .exec();
    Error::system("start the first process of the sandbox", source)
}

/// Root inside is the user outside, and nobody else exists.
fn map_user(uid: u32, gid: u32) -> Result<(), Error> {
    let write = |file: &str, text: String| {
        fs::write(file, text).map_err(|source| Error::system(format!("write {file}"), source))
    };
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", format!("0 {gid} 1"))
}

/// Nothing that is mounted from here on is seen outside. Without a /proc of its own (some containers refuse it) the
/// sandbox works, only `ps` inside shows the processes outside.
fn own_mounts() -> Result<(), Error> {
    let none: Option<&OsStr> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|errno| Error::system("make the mounts private", errno))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    match mount(Some("proc"), "/proc", Some("proc"), flags, none) {
        Ok(()) | Err(Errno::EPERM | Errno::EACCES | Errno::EBUSY) => Ok(()),
        Err(errno) => Err(Error::system("mount /proc", errno)),
    }
}

/// A lab of 500 routers needs about 2,500 descriptors, and the usual soft limit is 1,024.
fn raise_open_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Best effort: the lab that does not fit says so itself.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

fn block_signals() -> Result<SignalFd, Error> {
    let mut set = SigSet::from_iter(FORWARDED);
    set.add(Signal::SIGCHLD);
    set.thread_block().map_err(|errno| Error::system("block signals", errno))?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(|errno| Error::system("make a signalfd", errno))
}

/// Reaps children and passes signals on until `child` ends, or until the lifeline is cut.
fn supervise(signals: &SignalFd, child: Pid, lifeline: Option<&OwnedFd>) -> Result<u8, Error> {
    loop {
        let mut waited = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        waited.extend(lifeline.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        match poll(&mut waited, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::system("wait for signals", errno)),
        }
        let cut = waited.get(1).and_then(PollFd::revents).is_some_and(|events| !events.is_empty());
        if cut {
            return Ok(128 + Signal::SIGKILL as u8);
        }
        while let Ok(Some(info)) = signals.read_signal() {
            // A key of the terminal reaches the whole foreground group: only what was sent by hand is passed on.
            let sent_by_hand = info.ssi_code <= 0;
            match Signal::try_from(info.ssi_signo as i32) {
                Ok(signal) if signal != Signal::SIGCHLD && sent_by_hand => drop(kill(child, signal)),
                _ => {}
            }
        }
        if let Some(status) = reap(child) {
            return Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()) as u8);
        }
    }
}

/// Reaps whatever has ended; gives the status of `child` if that was among it.
fn reap(child: Pid) -> Option<ExitStatus> {
    let mut ended = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => {
                ended = Some(ExitStatus::from_raw(code << 8))
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                ended = Some(ExitStatus::from_raw(signal as i32))
            }
            Ok(WaitStatus::StillAlive) | Err(_) => return ended,
            Ok(_) => {}
        }
    }
}
