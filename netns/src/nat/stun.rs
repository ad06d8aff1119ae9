//! A STUN server of two addresses and two ports (RFC 8489, RFC 5780), of IPv4, IPv6 or both: what agents ask for their
//! outside address, and what [`probe`](super::probe) measures a NAT with. One thread, so that the answers of one socket leave in
//! the order in which its requests came; the probe's proofs rest on that. [`message`] is the wire format.

pub mod message;

use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use message::{Answer, read_request, write_answer, write_refusal};

/// The server: a socket for each pair of its addresses and ports.
#[derive(Debug)]
pub struct Server {
    /// One for each address family.
    squares: Vec<Square>,
}

/// Two addresses of one family and two ports. Corners are numbered so that bit 1 is the address and bit 0 the port.
#[derive(Debug)]
struct Square {
    sockets: [UdpSocket; 4],
    corners: [SocketAddr; 4],
}

impl Server {
    /// Opens four sockets for each pair of addresses. The addresses of a pair must be of one family and differ, and so
    /// must the ports, else CHANGE-REQUEST means nothing.
    pub fn bind(pairs: &[[IpAddr; 2]], ports: [u16; 2]) -> io::Result<Server> {
        let meaningless = |&[here, there]: &[IpAddr; 2]| here == there || here.is_ipv4() != there.is_ipv4();
        if pairs.is_empty() || pairs.iter().any(meaningless) || ports[0] == ports[1] || ports.contains(&0) {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "a STUN server for NAT discovery needs two addresses of a family and two ports (RFC 5780)",
            ));
        }
        let squares = pairs.iter().map(|&pair| Square::bind(pair, ports)).collect::<Result<_, _>>()?;
        Ok(Server { squares })
    }

    /// The first address and the first port of each family: where clients are sent.
    pub fn endpoints(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.squares.iter().map(|square| square.corners[0])
    }

    /// Answers until `stop` becomes readable or is closed. Every turn takes at most one datagram of each socket, so
    /// that none waits for the flood on another.
    pub fn serve(&self, stop: impl AsFd) -> io::Result<()> {
        let sockets = || self.squares.iter().flat_map(|square| (0..4).map(move |at| (square, at)));
        let listening = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut ready: Vec<PollFd<'_>> =
            sockets().map(|(square, at)| listening(square.sockets[at].as_fd())).collect();
        ready.push(listening(stop.as_fd()));
        loop {
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
            if ready.last().is_some_and(is_ready) {
                return Ok(());
            }
            for ((square, at), _) in sockets().zip(&ready).filter(|(_, fd)| is_ready(fd)) {
                square.serve_one(at)?;
            }
        }
    }
}

impl Square {
    fn bind(addresses: [IpAddr; 2], ports: [u16; 2]) -> io::Result<Self> {
        let corners = [0, 1, 2, 3].map(|at| SocketAddr::new(addresses[at >> 1], ports[at & 1]));
        let [a, b, c, d] = corners.map(|corner| {
            let socket = UdpSocket::bind(corner)
                .map_err(|error| io::Error::new(error.kind(), format!("{corner}: {error}")))?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        });
        Ok(Square { sockets: [a?, b?, c?, d?], corners })
    }

    fn serve_one(&self, at: usize) -> io::Result<()> {
        // One byte more: what is cut has a length that no STUN message has, and is not answered.
        let mut datagram = [0; LARGEST_REQUEST + 1];
        let (length, client) = match self.sockets[at].recv_from(&mut datagram) {
            Ok(received) => received,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if let Some((from, reply)) = answer(&self.corners, at, client, &datagram[..length]) {
            send(&self.sockets[from], &reply, client)?;
        }
        Ok(())
    }
}

/// Serves until SIGTERM or SIGINT; says `listening on A:P` on stdout, a line for each family, once it answers. It is
/// the whole of a process: both signals stay blocked.
pub fn serve_forever(pairs: &[[IpAddr; 2]], ports: [u16; 2]) -> io::Result<()> {
    let server = Server::bind(pairs, ports)?;
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    signals.thread_block()?;
    let stop = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let mut stdout = io::stdout();
    for endpoint in server.endpoints() {
        writeln!(stdout, "listening on {endpoint}")?;
    }
    stdout.flush()?;
    server.serve(stop)
}

/// No request needs more: longer ones would be fragments on any path, and are not answered.
const LARGEST_REQUEST: usize = 1232;

/// What to send, and from which corner.
fn answer(
    corners: &[SocketAddr; 4],
    at: usize,
    client: SocketAddr,
    datagram: &[u8],
) -> Option<(usize, Vec<u8>)> {
    let request = read_request(datagram).ok()?;
    if !request.unknown.is_empty() {
        return Some((at, write_refusal(&request).ok()?));
    }
    let from = at ^ (usize::from(request.change.address) << 1) ^ usize::from(request.change.port);
    let answer = Answer {
        transaction: request.transaction,
        mapped: client,
        origin: Some(corners[from]),
        other: Some(corners[at ^ 0b11]),
    };
    Some((from, write_answer(&answer, request.fingerprint).ok()?))
}

/// Sends; waits where the socket's buffer is full. That the network refuses a datagram is the client's loss, not
/// the end of the server.
fn send(socket: &UdpSocket, reply: &[u8], client: SocketAddr) -> io::Result<()> {
    while let Err(error) = socket.send_to(reply, client) {
        match error.kind() {
            ErrorKind::WouldBlock => wait_for_room(socket.as_fd())?,
            ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    Ok(())
}

fn wait_for_room(socket: BorrowedFd<'_>) -> io::Result<()> {
    match poll(&mut [PollFd::new(socket, PollFlags::POLLOUT)], PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::message::read_answer;
    use super::*;

    const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

    proptest! {
        #[test]
        fn noise_is_never_answered(noise in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assume!(noise.get(4..8) != Some(&COOKIE));
            prop_assert_eq!(reply_to(&noise), None);
        }

        #[test]
        fn a_reply_is_small_and_never_replied_to(request in any_message()) {
            if let Some((from, reply)) = reply_to(&request) {
                prop_assert!(from < 4);
                prop_assert!(reply.len() <= 80 + request.len() / 2, "{} for {}", reply.len(), request.len());
                prop_assert_eq!(&reply[8..20], &request[8..20]);
                prop_assert_eq!(reply_to(&reply), None);
                prop_assert_eq!(request[..2].to_vec(), vec![0, 1], "only Binding requests are answered");
            }
        }
    }

    #[test]
    fn a_fingerprinted_request_with_any_bit_wrong_or_its_end_missing_is_never_answered() {
        let request = fingerprinted_request();
        assert_eq!(reply_to(&request).map(|(from, _)| from), Some(3));
        for cut in 0..request.len() {
            assert_eq!(reply_to(&request[..cut]), None);
        }
        // Not the type of the FINGERPRINT itself: without one, all is well.
        for (at, bit) in (0..28).chain(30..36).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut damaged = request.clone();
            damaged[at] ^= 1 << bit;
            assert_eq!(reply_to(&damaged), None, "bit {bit} of byte {at}");
        }
    }

    #[test]
    fn the_other_address_is_that_of_the_socket_that_was_asked() {
        let request = message::write_request([7; 12], None).unwrap();
        for (at, other) in [(0, ENDPOINTS[3]), (1, ENDPOINTS[2]), (2, ENDPOINTS[1]), (3, ENDPOINTS[0])] {
            let (from, reply) = answer(&ENDPOINTS, at, CLIENT, &request).unwrap();
            let answer = read_answer(&reply).unwrap();
            assert_eq!((from, answer.other, answer.mapped), (at, Some(other), CLIENT));
        }
    }

    const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2)), 40000);
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 2));
    const ENDPOINTS: [SocketAddr; 4] = [
        SocketAddr::new(HERE, 3478),
        SocketAddr::new(HERE, 3479),
        SocketAddr::new(THERE, 3478),
        SocketAddr::new(THERE, 3479),
    ];

    fn reply_to(datagram: &[u8]) -> Option<(usize, Vec<u8>)> {
        answer(&ENDPOINTS, 0, CLIENT, datagram)
    }

    /// A right header over anything: mostly Binding requests, attributes of likely and unlikely types.
    fn any_message() -> impl Strategy<Value = Vec<u8>> {
        let kind = prop_oneof![4 => Just(0x0001_u16), 1 => 0..0x4000_u16];
        let likely = prop::sample::select(vec![1, 3, 6, 8, 9, 10, 0x20, 0x26, 0x27, 0x8022, 0x8028, 0x802B]);
        let attribute = (prop_oneof![likely, any::<u16>()], prop::collection::vec(any::<u8>(), 0..24));
        (kind, any::<[u8; 12]>(), prop::collection::vec(attribute, 0..40), 0..8_usize).prop_map(
            |(kind, transaction, attributes, cut)| {
                let mut body = Vec::new();
                for (kind, value) in attributes {
                    body.extend(kind.to_be_bytes());
                    body.extend((value.len() as u16).to_be_bytes());
                    body.extend(&value);
                    body.resize(body.len().next_multiple_of(4), 0);
                }
                // Now and then the last attribute is cut short.
                body.truncate(body.len().saturating_sub(cut.saturating_sub(4)));
                let length = (body.len() as u16).to_be_bytes();
                [&kind.to_be_bytes()[..], &length, &COOKIE, &transaction, &body].concat()
            },
        )
    }

    fn fingerprinted_request() -> Vec<u8> {
        let header = [0, 1, 0, 16, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let change = [0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x00, 0x06];
        let fingerprint = [0x80, 0x28, 0x00, 0x04, 0x5E, 0xB7, 0x18, 0x3D];
        [&header[..], &change, &fingerprint].concat()
    }
}
