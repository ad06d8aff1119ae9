//! Whether TCP leaves: a connection to a server, made or refused.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};

use super::{Gate, PATIENCE, ProbeError, RECOUNT};

const AT_ONCE: nix::libc::linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };

/// Whether the connection is made; else the router's counter has shown that it was refused.
pub(super) fn ask(from: IpAddr, server: SocketAddr, gate: &mut Gate<'_>) -> Result<bool, ProbeError> {
    let failed = |source: io::Error| ProbeError::Io { doing: format!("connect to {server}"), source };
    let before = gate()?.refused;
    let deadline = Instant::now() + PATIENCE;
    let fd = start(from, server).map_err(|errno| failed(errno.into()))?;
    let stream = TcpStream::from(fd);
    loop {
        let mut waited = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
        let slice = PollTimeout::try_from(RECOUNT).unwrap_or(PollTimeout::MAX);
        let is_over = match poll(&mut waited, slice) {
            Ok(ready) => ready > 0,
            Err(Errno::EINTR) => false,
            Err(errno) => return Err(failed(errno.into())),
        };
        let error = if is_over { stream.take_error().map_err(failed)? } else { None };
        if is_over && error.is_none() {
            // Reset, not finished: nothing of it comes back later, and is counted by whoever measures then.
            setsockopt(&stream, sockopt::Linger, &AT_ONCE).map_err(|errno| failed(errno.into()))?;
            return Ok(true);
        }
        if gate()?.refused > before {
            return Ok(false);
        }
        match error {
            Some(error) => return Err(failed(error)),
            None if Instant::now() < deadline => {}
            None => return Err(failed(io::ErrorKind::TimedOut.into())),
        }
    }
}

fn start(from: IpAddr, server: SocketAddr) -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let family = if server.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Stream, flags, None)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0)))?;
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(server)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(fd),
        Err(errno) => Err(errno),
    }
}
