//! What can keep the server from running. What a client does wrong is a `Mistake`, and never ends the process.

use std::io;
use std::net::SocketAddr;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `--listen` or `PORT` does not say where to listen.
    #[error("cannot understand {setting} `{value}`")]
    Address {
        /// The setting that was read.
        setting: &'static str,
        /// What it said.
        value: String,
    },
    /// The address could not be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused a timer, a poller or a signal handler.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

impl Error {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Error::Address { setting: "PORT", .. } => "PORT is a number from 0 to 65535, such as 9000",
            Error::Address { .. } => "give an IP address and a port, such as 0.0.0.0:9000 or [::]:9000",
            Error::Listen { source, .. } => match source.kind() {
                io::ErrorKind::AddrInUse => {
                    "another program has this port: stop it, or choose another with --listen ADDR:PORT"
                }
                io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need privileges: choose another with --listen ADDR:PORT"
                }
                io::ErrorKind::AddrNotAvailable => {
                    "this machine has no such address: `ip address` lists those it has, 0.0.0.0 means all"
                }
                _ => "choose another address with --listen ADDR:PORT",
            },
            Error::Start(_) => "check the limits of the process (`ulimit -a`), above all open files",
        }
    }

    /// 2 where the command line or the environment is to blame, 1 for everything that happens later.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Error::Address { .. } => 2,
            Error::Listen { .. } | Error::Start(_) => 1,
        }
    }
}
