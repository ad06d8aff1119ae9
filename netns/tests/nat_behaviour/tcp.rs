//! TCP through every class (RFC 5382).

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use netns::lab::Lab;
use netns::nat::Preset::{self, AddressRestricted, FullCone, PortRestricted, Symmetric};
use netns::node::Node;
use netns::topology::{Topology, Uplink};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, connect, listen as nix_listen, setsockopt,
    socket, sockopt,
};
use rstest::rstest;

use super::home::{Home, PATIENCE, at, v4};

#[rstest]
fn a_connection_goes_out_and_both_sides_speak(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice"]);
    let (mut inside, mut outside, _) = connected(&home);
    inside.write_all(b"hello").unwrap();
    let mut heard = [0; 5];
    outside.read_exact(&mut heard).unwrap();
    outside.write_all(&heard).unwrap();
    inside.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    assert_eq!(home.filtered(), 0);
}

#[rstest]
fn sixty_four_mebibytes_arrive_intact(#[values(PortRestricted, Symmetric)] kind: Preset) {
    const SIZE: usize = 64 << 20;
    let home = Home::new(kind, &["alice"]);
    let (mut inside, mut outside, _) = connected(&home);
    // A length that no segment divides, so that a lost, doubled or moved segment shows.
    let pattern: Vec<u8> = (0u32..1_000_003).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut left = SIZE;
            while left > 0 {
                let part = left.min(pattern.len());
                inside.write_all(&pattern[..part]).unwrap();
                left -= part;
            }
            drop(inside);
        });
        let mut whole = Vec::with_capacity(SIZE);
        outside.read_to_end(&mut whole).unwrap();
        assert_eq!(whole.len(), SIZE);
        assert!(whole.chunks(pattern.len()).all(|chunk| chunk == &pattern[..chunk.len()]));
    });
}

#[rstest]
fn an_unsolicited_syn_gets_no_answer(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice"]);
    let listener = listen(home.node("alice"), 5000);
    let knocking = start_connect(home.node("server"), 6000, SocketAddr::V4(home.outside(5000)));
    home.await_drops(|drops| drops.filtered >= 1);
    // What the router had answered would have come before this, on the same wire.
    let (_inside, _outside, _) = connected(&home);
    assert_eq!(nix::sys::socket::getsockopt(&knocking, sockopt::SocketError).unwrap(), 0);
    let mut waited = [PollFd::new(knocking.as_fd(), PollFlags::POLLOUT)];
    assert_eq!(poll(&mut waited, PollTimeout::ZERO).unwrap(), 0, "neither refused nor connected");
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// RFC 5382 REQ-2 and REQ-4: who is too early is dropped without an answer, and so is still waiting.
#[rstest]
fn two_restricted_routers_let_a_simultaneous_open_through(
    #[values(PortRestricted, AddressRestricted)] kind: Preset,
    #[values(0, 50, 300)] skew: u64,
) {
    let nat = kind.nat().unwrap();
    let topology = Topology::default()
        .router("here", Uplink::Internet, nat)
        .router("there", Uplink::Internet, nat)
        .host("alice", "here".into())
        .host("bob", "there".into());
    let lab = Lab::build(&topology).unwrap();
    let outside = |router, port| SocketAddr::from((lab.router(router).unwrap().outside(), port));
    let alice = start_connect(lab.node("alice").unwrap(), 5000, outside("there", 6000));
    // The skew is what is tested.
    std::thread::sleep(std::time::Duration::from_millis(skew));
    let bob = start_connect(lab.node("bob").unwrap(), 6000, outside("here", 5000));
    assert!(lab.router("there").unwrap().drops().unwrap().filtered >= 1, "hers came too early");
    let (mut alice, mut bob) = (finish_connect(alice), finish_connect(bob));
    alice.write_all(b"met").unwrap();
    let mut heard = [0; 3];
    bob.read_exact(&mut heard).unwrap();
    bob.write_all(&heard).unwrap();
    alice.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"met");
}

#[rstest]
fn a_reboot_in_the_middle_of_a_connection_moves_or_ends_it_but_never_crosses_it(
    #[values(FullCone, PortRestricted)] kind: Preset,
) {
    let home = Home::new(kind, &["alice"]);
    let (mut inside, mut outside, _) = connected(&home);
    home.router().reboot().unwrap();
    // The inside speaks first: its port is preserved again, so the connection never notices.
    inside.write_all(b"still here").unwrap();
    let mut heard = [0; 10];
    outside.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"still here");
}

/// Alice's end of a connection to the server, the server's end, and the listener.
pub(crate) fn connected(home: &Home) -> (TcpStream, TcpStream, TcpListener) {
    let address = home.node("server").address();
    let listener = home.node("server").within(|| TcpListener::bind((address, 80)).unwrap()).unwrap();
    let to = listener.local_addr().unwrap();
    let inside = home.node("alice").within(|| TcpStream::connect(to).unwrap()).unwrap();
    let (outside, from) = listener.accept().unwrap();
    assert_eq!(*v4(from).ip(), home.router().outside());
    for stream in [&inside, &outside] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    (inside, outside, listener)
}

/// A TCP socket bound to a port of the node's address, which others may bind as well.
fn bound(node: &Node, port: u16) -> OwnedFd {
    let open = || {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        setsockopt(&fd, sockopt::ReusePort, &true)?;
        bind(fd.as_raw_fd(), &SockaddrIn::from(std::net::SocketAddrV4::new(node.address(), port)))?;
        Ok::<_, Errno>(fd)
    };
    node.within(open).unwrap().unwrap()
}

pub(crate) fn listen(node: &Node, port: u16) -> TcpListener {
    let fd = bound(node, port);
    nix_listen(&fd, Backlog::new(8).unwrap()).unwrap();
    let listener = TcpListener::from(fd);
    listener.set_nonblocking(false).unwrap();
    listener
}

pub(crate) fn connect_from(node: &Node, port: u16, to: SocketAddr) -> TcpStream {
    finish_connect(start_connect(node, port, to))
}

pub(crate) fn start_connect(node: &Node, port: u16, to: SocketAddr) -> OwnedFd {
    let fd = bound(node, port);
    assert_eq!(connect(fd.as_raw_fd(), &SockaddrIn::from(v4(to))), Err(Errno::EINPROGRESS));
    fd
}

pub(crate) fn finish_connect(fd: OwnedFd) -> TcpStream {
    let mut waited = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
    let patience = PollTimeout::try_from(PATIENCE).unwrap();
    assert_eq!(poll(&mut waited, patience).unwrap(), 1, "connected in time");
    let stream = TcpStream::from(fd);
    assert!(stream.take_error().unwrap().is_none());
    stream.set_nonblocking(false).unwrap();
    stream
}

#[test]
fn a_closed_port_of_the_server_is_refused_as_without_a_router() {
    let home = Home::new(Symmetric, &["alice"]);
    let to = at(&home.server()[0]);
    let refused = home.node("alice").within(|| TcpStream::connect(to).unwrap_err()).unwrap();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}
