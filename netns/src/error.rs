//! What can go wrong while a lab is built or used, with what to do about it.

use std::io;

/// A lab that could not be built, entered or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused a netlink request.
    #[error("the kernel refused to {what}: {source}")]
    Netlink {
        /// What was asked of it.
        what: String,
        /// Its answer.
        source: io::Error,
    },
    /// A system call failed.
    #[error("could not {what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The topology names something that it does not have, or has twice.
    #[error("{0}")]
    Topology(String),
    /// Somebody would log in where there is nothing to log in to.
    #[error("this router has no portal to log in to")]
    NoPortal,
    /// Somebody would set timers that this router does not have.
    #[error("this router does not track connections as Linux does")]
    NotLinux,
}

impl Error {
    /// Wraps what a system call answered.
    pub(crate) fn system(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Error::System { what: what.into(), source: source.into() }
    }

    /// What to do next, in one sentence.
    pub fn help(&self) -> String {
        let source = match self {
            Error::Netlink { source, .. } | Error::System { source, .. } => source,
            Error::Topology(_) => {
                return "give every node its own name, and an uplink that is `internet` or a router or LAN before it and \
                        has all its address families".into();
            }
            Error::NoPortal => return "log in only at a router whose NAT is `captive-portal`".into(),
            Error::NotLinux => return "give the NAT a `timeout` of its own".into(),
        };
        match source.raw_os_error().map(nix::errno::Errno::from_raw) {
            Some(nix::errno::Errno::EPERM | nix::errno::Errno::EACCES) => {
                "run `natlab doctor`: it says which permission is missing and how to grant it".into()
            }
            Some(nix::errno::Errno::EMFILE | nix::errno::Errno::ENFILE) => {
                "raise the limit of open files (`ulimit -n`) or run fewer cases at once (`-j`)".into()
            }
            Some(nix::errno::Errno::ENOSPC) => {
                "the limit of namespaces is reached: raise /proc/sys/user/max_net_namespaces or run fewer cases at once".into()
            }
            _ => "run `natlab doctor`: it checks each kernel feature that a lab needs".into(),
        }
    }
}
