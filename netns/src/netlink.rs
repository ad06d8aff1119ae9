//! Netlink sockets: many requests in one datagram, one acknowledgement, every refusal named.
//! What the messages mean is in [`route`] (links, addresses, routes), [`nftables`] (rules and sets) and [`conntrack`].

pub(crate) mod conntrack;
pub(crate) mod nftables;
pub(crate) mod route;
pub(crate) mod wire;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket, sockopt,
};

use crate::error::Error;
use wire::{Batch, HEADER, Reply};

/// Which kernel subsystem a socket talks to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subsystem {
    /// Links, addresses, routes, neighbours.
    Route,
    /// nf_tables and connection tracking.
    Netfilter,
}

/// A netlink socket; it belongs for ever to the namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
}

/// Room for the acknowledgements and for one datagram of a dump.
const RECEIVE_BUFFER: usize = 64 * 1024;
/// nf_tables answers a large batch with one message a refused rule; rules of many sets need room to be sent.
const SOCKET_BUFFER: usize = 1024 * 1024;

impl Socket {
    /// Opens a socket in the namespace of the calling thread.
    pub(crate) fn open(subsystem: Subsystem) -> Result<Self, Error> {
        let protocol = match subsystem {
            Subsystem::Route => SockProtocol::NetlinkRoute,
            Subsystem::Netfilter => SockProtocol::NetlinkNetFilter,
        };
        let failed = |errno| Error::system("open a netlink socket", errno);
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)
            .map_err(failed)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(failed)?;
        // Best effort: the default of 208 KiB holds the rules of one router many times over.
        let _ = setsockopt(&fd, sockopt::SndBufForce, &SOCKET_BUFFER);
        Ok(Socket { fd })
    }

    /// Sends a batch and waits for its last acknowledgement. The first refusal becomes the error.
    pub(crate) fn commit(&self, batch: Batch) -> Result<(), Error> {
        self.ask(batch, |_| ())
    }

    /// Like [`Socket::commit`], and hands the payload of each message that the kernel answers with to `each`.
    pub(crate) fn ask(&self, batch: Batch, mut each: impl FnMut(&[u8])) -> Result<(), Error> {
        let Some(sent) = batch.finish() else { return Ok(()) };
        self.send(&sent.bytes)?;
        let mut refused = None;
        // The kernel answers before `send` returns, so what is not queued now never comes: a refused transaction
        // may leave its last request unanswered.
        while let Some(replies) = self.receive(MsgFlags::MSG_DONTWAIT)? {
            for reply in wire::replies(&replies) {
                match reply {
                    Reply::Acknowledged { errno: 0, sequence }
                        if sequence == sent.last && refused.is_none() =>
                    {
                        return Ok(());
                    }
                    Reply::Acknowledged { errno, sequence } if errno != 0 && refused.is_none() => {
                        let source = io::Error::from_raw_os_error(errno);
                        refused = Some(Error::Netlink { what: sent.what(sequence).to_owned(), source });
                    }
                    Reply::Message { payload, .. } => each(payload),
                    Reply::Acknowledged { .. } | Reply::Done => {}
                }
            }
        }
        Err(refused.unwrap_or_else(|| {
            Error::system("get an acknowledgement from the kernel", io::ErrorKind::NotConnected)
        }))
    }

    /// Sends one dump request and hands each message of the answer (type and payload) to `each`.
    pub(crate) fn dump(&self, request: Batch, mut each: impl FnMut(u16, &[u8])) -> Result<(), Error> {
        let Some(sent) = request.finish() else { return Ok(()) };
        self.send(&sent.bytes)?;
        loop {
            let replies = self.receive(MsgFlags::empty())?.unwrap_or_default();
            for reply in wire::replies(&replies) {
                match reply {
                    Reply::Done | Reply::Acknowledged { errno: 0, .. } => return Ok(()),
                    Reply::Acknowledged { sequence, errno } => {
                        let what = sent.what(sequence).to_owned();
                        return Err(Error::Netlink { what, source: io::Error::from_raw_os_error(errno) });
                    }
                    Reply::Message { kind, payload } => each(kind, payload),
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        debug_assert!(bytes.len() >= HEADER);
        send(self.fd.as_raw_fd(), bytes, MsgFlags::empty())
            .map(drop)
            .map_err(|errno| Error::system(format!("send {} bytes of netlink requests", bytes.len()), errno))
    }

    /// The next datagram of an answer; `None` where there is none and `flags` say not to wait.
    fn receive(&self, flags: MsgFlags) -> Result<Option<Vec<u8>>, Error> {
        let mut buffer = vec![0; RECEIVE_BUFFER];
        loop {
            match recv(self.fd.as_raw_fd(), &mut buffer, flags) {
                Ok(length) => {
                    buffer.truncate(length);
                    return Ok(Some(buffer));
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) => return Err(Error::system("receive a netlink answer", errno)),
            }
        }
    }
}
