//! Connections of the bench: opened, refused, half open, and at both ends.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, connect, listen as start_listening,
    setsockopt, socket, sockopt,
};

use crate::nat::certify::Broken;
use crate::nat::certify::bench::{Bench, PATIENCE, Seen, unproven, until, v4};
use crate::node::Node;

/// What an attempt to open a connection came to.
pub(in crate::nat::certify) enum Opened {
    Connected(TcpStream),
    /// The router has counted it as dropped.
    Dropped,
    /// It failed, and no counter says why.
    Answered(io::Error),
}

/// Opens a connection from a port of a host; one that is counted as dropped is given up.
pub(in crate::nat::certify) fn open(bench: &Bench, host: &str, port: u16, to: SocketAddrV4) -> Seen<Opened> {
    let node = bench.node(host)?;
    open_at(bench, node, SocketAddrV4::new(node.address(), port), to)
}

pub(super) fn open_at(bench: &Bench, node: &Node, from: SocketAddrV4, to: SocketAddrV4) -> Seen<Opened> {
    let before = bench.drops()?.all();
    let stream = TcpStream::from(start_at(node, from, to, None)?);
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let outcome = is_over(&stream)?;
        if let Some(Ok(())) = outcome {
            return Ok(Opened::Connected(stream));
        }
        if bench.drops()?.all() > before {
            return Ok(Opened::Dropped);
        }
        if let Some(Err(error)) = outcome {
            return Ok(Opened::Answered(error));
        }
    }
    unproven(format!("a connection from {from} to {to} neither came about nor was counted"))
}

/// Whether the attempt has ended, and how; waits a moment.
pub(super) fn is_over(stream: &TcpStream) -> io::Result<Option<io::Result<()>>> {
    const MOMENT: u8 = 2;
    let mut waited = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
    match poll(&mut waited, PollTimeout::from(MOMENT)) {
        Ok(0) | Err(Errno::EINTR) => Ok(None),
        Ok(_) => Ok(Some(stream.take_error()?.map_or(Ok(()), Err))),
        Err(errno) => Err(errno.into()),
    }
}

/// A socket that others may share the port with; where it is closed, it is gone at once.
fn bound(node: &Node, at: SocketAddrV4) -> Result<OwnedFd, Broken> {
    let open = || {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        setsockopt(&fd, sockopt::ReusePort, &true)?;
        bind(fd.as_raw_fd(), &SockaddrIn::from(at))?;
        Ok::<_, Errno>(fd)
    };
    Ok(node.within(open)?.map_err(io::Error::from)?)
}

pub(super) fn start(node: &Node, port: u16, to: SocketAddrV4, hops: Option<i32>) -> Result<OwnedFd, Broken> {
    start_at(node, SocketAddrV4::new(node.address(), port), to, hops)
}

pub(super) fn start_at(
    node: &Node,
    at: SocketAddrV4,
    to: SocketAddrV4,
    hops: Option<i32>,
) -> Result<OwnedFd, Broken> {
    let fd = bound(node, at)?;
    if let Some(hops) = hops {
        setsockopt(&fd, sockopt::Ipv4Ttl, &hops).map_err(io::Error::from)?;
    }
    match connect(fd.as_raw_fd(), &SockaddrIn::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(fd),
        Err(errno) => Err(io::Error::from(errno).into()),
    }
}

pub(super) fn listen(node: &Node, at: SocketAddrV4) -> Result<TcpListener, Broken> {
    let fd = bound(node, at)?;
    start_listening(&fd, Backlog::MAXALLOWABLE).map_err(io::Error::from)?;
    Ok(TcpListener::from(fd))
}

/// The next connection that a listener has; the caller knows that there is one.
fn accept(listener: &TcpListener) -> Seen<(TcpStream, SocketAddrV4)> {
    let mut accepted = None;
    until("a connection that was made is not accepted", || {
        match listener.accept() {
            Ok(next) => accepted = Some(next),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(accepted.is_some())
    })?;
    match accepted {
        Some((stream, from)) => Ok((stream, v4(from)?)),
        None => unproven("a connection that was made is not accepted"),
    }
}

/// Alice's end of a connection to one of the server's places, the server's end, and what that saw.
pub(super) struct Connected {
    pub(super) inside: TcpStream,
    pub(super) outside: TcpStream,
    pub(super) seen: SocketAddrV4,
    pub(super) to: SocketAddrV4,
}

impl Connected {
    pub(super) fn of(bench: &Bench, host: &str, port: u16, to: SocketAddrV4) -> Seen<Connected> {
        let listener = listen(bench.node("server")?, to)?;
        let inside = match open(bench, host, port, to)? {
            Opened::Connected(stream) => stream,
            Opened::Dropped => return unproven(format!("a connection to {to} was dropped")),
            Opened::Answered(error) => return unproven(format!("a connection to {to} failed: {error}")),
        };
        let (outside, seen) = accept(&listener)?;
        Ok(Connected { inside, outside, seen, to })
    }

    /// Whether what the server says is heard.
    pub(super) fn speaks(&mut self, text: &[u8]) -> Seen<bool> {
        self.outside.write_all(text)?;
        self.inside.set_nonblocking(false)?;
        self.inside.set_read_timeout(Some(PATIENCE))?;
        let mut heard = vec![0; text.len()];
        match self.inside.read_exact(&mut heard) {
            Ok(()) => Ok(heard == text),
            Err(error) => unproven(format!("what a connected server says does not arrive: {error}")),
        }
    }
}
