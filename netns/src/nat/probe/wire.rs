//! One UDP socket of the probe: asks, and takes in the answers to what it asked. Nothing is ever sent twice, since
//! a repeated request could be dropped, and counted, twice.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::ProbeError;
use crate::nat::stun::message::{self, Answer, Change, MessageError, Transaction};

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    transaction: Transaction,
    pub(super) destination: SocketAddr,
    /// Who is to answer.
    pub(super) answered_by: SocketAddr,
}

pub(super) struct Wire {
    socket: UdpSocket,
    pub(super) local: SocketAddr,
    unanswered: Vec<Question>,
}

impl Wire {
    pub(super) fn open(from: IpAddr) -> Result<Wire, ProbeError> {
        let open = || {
            let socket = UdpSocket::bind((from, 0))?;
            socket.set_nonblocking(true)?;
            let port = socket.local_addr()?.port();
            Ok(Wire { socket, local: SocketAddr::new(from, port), unanswered: Vec::new() })
        };
        open().map_err(|source| ProbeError::Io { doing: format!("open a socket on {from}"), source })
    }

    pub(super) fn ask(
        &mut self,
        destination: SocketAddr,
        answered_by: SocketAddr,
        change: Option<Change>,
    ) -> Result<Question, ProbeError> {
        let question = Question { transaction: new_transaction(), destination, answered_by };
        message::write_request(question.transaction, change)
            .and_then(|request| self.socket.send_to(&request, destination))
            .map_err(|source| ProbeError::Io { doing: format!("send a request to {destination}"), source })?;
        self.unanswered.push(question);
        Ok(question)
    }

    /// The next answer to anything that was asked and is not answered yet; `None` where there is none by then.
    pub(super) fn next(&mut self, deadline: Instant) -> Result<Option<(Question, Answer)>, ProbeError> {
        let mut datagram = [0; 2048];
        while let Some((length, source)) = self.receive(&mut datagram, deadline).map_err(listening)? {
            let datagram = &datagram[..length];
            let transaction = message::transaction(datagram);
            let Some(at) = self.unanswered.iter().position(|asked| Some(asked.transaction) == transaction)
            else {
                continue;
            };
            let question = self.unanswered.swap_remove(at);
            return Ok(Some((question, check(&question, datagram, source)?)));
        }
        Ok(None)
    }

    /// Sends a mark that is not a request; returns it.
    pub(super) fn knock(&self, to: SocketAddr) -> Result<Transaction, ProbeError> {
        let mark = new_transaction();
        self.socket
            .send_to(&mark, to)
            .map(|_| mark)
            .map_err(|source| ProbeError::Io { doing: format!("send a packet to {to}"), source })
    }

    /// Who sent this mark, where it is here by then.
    pub(super) fn hear(
        &self,
        mark: &Transaction,
        deadline: Instant,
    ) -> Result<Option<SocketAddr>, ProbeError> {
        let mut datagram = [0; 2048];
        while let Some((length, source)) = self.receive(&mut datagram, deadline).map_err(listening)? {
            if datagram[..length] == mark[..] {
                return Ok(Some(source));
            }
        }
        Ok(None)
    }

    fn receive(&self, datagram: &mut [u8], deadline: Instant) -> io::Result<Option<(usize, SocketAddr)>> {
        loop {
            match self.socket.recv_from(datagram) {
                Ok(received) => return Ok(Some(received)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return Ok(None);
            }
            // poll counts in whole milliseconds and rounds down; one more keeps it from spinning at the end.
            let timeout =
                PollTimeout::try_from(remaining + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn listening(source: io::Error) -> ProbeError {
    ProbeError::Io { doing: "listen for answers".to_owned(), source }
}

/// Reads an answer, and makes sure that who answered is who was asked to: by its source address, which a router
/// could have rewritten, and by its own word.
fn check(question: &Question, datagram: &[u8], source: SocketAddr) -> Result<Answer, ProbeError> {
    let &Question { destination, answered_by, .. } = question;
    let answer =
        message::read_answer(datagram).map_err(|source| ProbeError::BadAnswer { destination, source })?;
    let origin = answer.origin;
    if source != answered_by || origin.is_some_and(|origin| origin != answered_by) {
        return Err(ProbeError::WrongSource { answered_by, seen: source, origin });
    }
    let addresses = [Some(answer.mapped), answer.other];
    match addresses.into_iter().flatten().find(|address| address.is_ipv4() != destination.is_ipv4()) {
        Some(other) => Err(ProbeError::BadAnswer { destination, source: MessageError::OtherFamily(other) }),
        None => Ok(answer),
    }
}

/// Unique is enough: the network is ours.
fn new_transaction() -> Transaction {
    let random = RandomState::new();
    let mut transaction = [0; 12];
    transaction[..8].copy_from_slice(&random.hash_one(0).to_be_bytes());
    transaction[8..].copy_from_slice(&random.hash_one(1).to_be_bytes()[..4]);
    transaction
}
