//! Getting into namespaces: the fork that makes a process the first of new ones, and the entry of a command into a
//! node between its fork and its exec. With `netlink/` the only place for unsafe code.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::libc;
use nix::sched::CloneFlags;
use nix::sys::signal::SigSet;
use nix::unistd::{ForkResult, Pid};

/// Forks; the child is the first process of the new namespaces that `flags` name.
///
/// # Safety
///
/// The process has one thread: the child may then do whatever its parent could.
#[expect(unsafe_code, reason = "neither std nor nix forks into namespaces")]
pub(crate) unsafe fn fork_into(flags: CloneFlags) -> nix::Result<ForkResult> {
    let flags = libc::c_long::from(flags.bits() | libc::SIGCHLD);
    // SAFETY: no new stack, no thread flags: this is fork(2), and the caller has one thread.
    let answer = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match Errno::result(answer)? {
        0 => Ok(ForkResult::Child),
        child => Ok(ForkResult::Parent { child: Pid::from_raw(child as libc::pid_t) }),
    }
}

/// Makes the command enter this network namespace before it starts its program.
#[expect(unsafe_code, reason = "only the child may enter: the parent's threads stay where they are")]
pub(crate) fn command_enters(command: &mut Command, namespace: BorrowedFd<'_>) {
    let namespace = namespace.as_raw_fd();
    // SAFETY: setns(2) is async-signal-safe; the descriptor is open until the command is spawned, which the node
    // that lends it outlives.
    unsafe {
        command.pre_exec(move || {
            Errno::result(libc::setns(namespace, libc::CLONE_NEWNET)).map(drop).map_err(Into::into)
        });
    }
}

/// Makes the command start with no signal blocked; else it would inherit what its parent waits for in another way.
#[expect(unsafe_code, reason = "only the child may unblock: the parent would lose what comes meanwhile")]
pub(crate) fn command_hears_signals(command: &mut Command) {
    // SAFETY: sigprocmask(2) is async-signal-safe.
    unsafe {
        command.pre_exec(|| SigSet::empty().thread_set_mask().map_err(Into::into));
    }
}

/// Takes over a descriptor that this process inherited under a number that its parent told it.
#[expect(unsafe_code, reason = "a number is all that crosses an exec")]
pub(crate) fn inherited(number: i32) -> nix::Result<OwnedFd> {
    nix::fcntl::fcntl(
        // SAFETY: only asked whether it is open.
        unsafe { BorrowedFd::borrow_raw(number) },
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC),
    )?;
    // SAFETY: it is open, and nobody else in this fresh process knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
