//! A node: one network namespace, in which programs are started and sockets opened.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
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
    addresses_v6: Vec<Ipv6Addr>,
    namespace: OwnedFd,
    pub(crate) route: Socket,
}

impl Node {
    /// Makes a namespace; the calling thread is left in it, so it must be one that ends soon.
    pub(crate) fn make(name: &str, addresses: &[IpAddr]) -> Result<Self, Error> {
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|errno| Error::system("make a network namespace", errno))?;
        let namespace = std::fs::File::open("/proc/thread-self/ns/net")
            .map_err(|source| Error::system("open a network namespace", source))?;
        let route = Socket::open(Subsystem::Route)?;
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for &address in addresses {
            match address {
                IpAddr::V4(address) => v4.push(address),
                IpAddr::V6(address) => v6.push(address),
            }
        }
        let (name, namespace) = (name.to_owned(), namespace.into());
        Ok(Node { name, addresses: v4, addresses_v6: v6, namespace, route })
    }

    /// Takes the calling thread into this node, for ever: it must be one that ends soon.
    pub(crate) fn enter(&self) -> Result<(), Error> {
        setns(self.namespace.as_fd(), CloneFlags::CLONE_NEWNET)
            .map_err(|errno| Error::system(format!("enter node {}", self.name), errno))
    }

    pub(crate) fn namespace(&self) -> std::os::fd::BorrowedFd<'_> {
        self.namespace.as_fd()
    }

    /// Its name in the topology.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The IPv4 addresses of its outward link; empty for the internet, and where it has IPv6 only.
    pub fn addresses(&self) -> &[Ipv4Addr] {
        &self.addresses
    }

    /// The IPv6 addresses of its outward link; empty for the internet, and where it has IPv4 only.
    pub fn addresses_v6(&self) -> &[Ipv6Addr] {
        &self.addresses_v6
    }

    /// The addresses of its outward link, IPv4 first.
    pub fn all_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let v6 = self.addresses_v6.iter().copied().map(IpAddr::V6);
        self.addresses.iter().copied().map(IpAddr::V4).chain(v6)
    }

    /// The first of its IPv4 addresses; 0.0.0.0 where it has none.
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
            let worker = scope.spawn(|| self.enter().map(|()| work()));
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// A command that will run in a network namespace that is open as this file: `/proc/PID/fd/N`, N being a node's
/// [`Node::descriptor`] in process PID.
pub fn command_in(namespace: &std::fs::File, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    enter::command_enters(&mut command, namespace.as_fd());
    command
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
