//! A node: one network namespace, in which programs are started and sockets opened.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Child, Command};

use nix::sched::{CloneFlags, setns, unshare};

use crate::enter;
use crate::error::Error;
use crate::netlink::{Socket, Subsystem};

/// One network namespace of a lab. It lives until the node is dropped and the last process in it has ended.
#[derive(Debug)]
pub struct Node {
    name: String,
    addresses: Vec<Ipv4Addr>,
    namespace: OwnedFd,
    pub(crate) route: Socket,
}

impl Node {
    /// Makes a namespace; the calling thread is left in it, so it must be one that ends soon.
    pub(crate) fn make(name: &str, addresses: &[Ipv4Addr]) -> Result<Self, Error> {
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|errno| Error::system("make a network namespace", errno))?;
        let namespace = std::fs::File::open("/proc/thread-self/ns/net")
            .map_err(|source| Error::system("open a network namespace", source))?;
        let route = Socket::open(Subsystem::Route)?;
        Ok(Node { name: name.to_owned(), addresses: addresses.to_vec(), namespace: namespace.into(), route })
    }

    pub(crate) fn namespace(&self) -> std::os::fd::BorrowedFd<'_> {
        self.namespace.as_fd()
    }

    /// Its name in the topology.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The addresses of its outward link; empty for the internet.
    pub fn addresses(&self) -> &[Ipv4Addr] {
        &self.addresses
    }

    /// The first of its addresses; 0.0.0.0 for the internet, which has none.
    pub fn address(&self) -> Ipv4Addr {
        self.addresses.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED)
    }

    /// The descriptor of its namespace in this process, for those who enter it by `/proc/PID/fd/N`.
    pub fn descriptor(&self) -> i32 {
        self.namespace.as_raw_fd()
    }

    /// A command that will run inside this node. Spawn it while the node lives.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        enter::command_enters(&mut command, self.namespace.as_fd());
        command
    }

    /// Starts a command made by [`Node::command`]; the process ends with the handle.
    pub fn spawn(&self, command: &mut Command) -> Result<Process, Error> {
        let what = || format!("start {:?} in node {}", command.get_program(), self.name);
        let what = what();
        command.spawn().map(Process).map_err(|source| Error::system(what, source))
    }

    /// Does something on a thread inside this node; sockets that it opens belong to the node wherever they are used.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                setns(self.namespace.as_fd(), CloneFlags::CLONE_NEWNET)
                    .map_err(|errno| Error::system(format!("enter node {}", self.name), errno))?;
                Ok(work())
            });
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// A process in a node; it is killed and reaped when the handle is dropped.
#[derive(Debug)]
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
