//! IPv6 behind every kind of router that has it: never translated, filtered by address and port (RFC 6092).

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use netns::nat::table::Protocol::{Echo, Tcp, Udp};
use netns::nat::{Egress, Family, Nat, OnDrop, Preset};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, recv, sendto, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;
use rstest::rstest;

use super::firewall_tcp::{ESTABLISHED, TRANSITORY, await_that};
use super::home::{Home, PATIENCE};
use super::icmp::{assert_refused, sum};

const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;

/// Routers that have IPv6, whatever they do to IPv4.
#[derive(Debug, Clone, Copy)]
enum Kind {
    FirewallOnly,
    Firewall,
    FullCone,
    Symmetric,
    Masquerade,
}
use Kind::{Firewall, FirewallOnly, FullCone, Masquerade, Symmetric};

fn nat(kind: Kind) -> Nat {
    let (preset, family) = match kind {
        FirewallOnly => (Preset::Firewall, Family::Ipv6),
        Firewall => (Preset::Firewall, Family::Dual),
        FullCone => (Preset::FullCone, Family::Dual),
        Symmetric => (Preset::Symmetric, Family::Dual),
        Masquerade => (Preset::LinuxMasquerade, Family::Dual),
    };
    Nat { family, ..preset.nat().unwrap() }
}

#[rstest]
fn what_leaves_is_what_was_sent_and_only_who_was_asked_is_admitted(
    #[values(FirewallOnly, Firewall, FullCone, Symmetric, Masquerade)] kind: Kind,
) {
    let home = Home::of(nat(kind), &["alice", "bob"]);
    let (alice, bob) = (udp(&home, "alice", 0, 5000), udp(&home, "bob", 0, 5000));
    let server = [(0, 3478), (0, 3479), (1, 3478)].map(|(at, port)| udp(&home, "server", at, port));
    tell(&server[0], &alice, "nobody has asked");
    home.await_filtered(1);
    for (socket, dropped) in [(&alice, 2), (&bob, 5)] {
        tell(socket, &server[0], "hello");
        assert_eq!(hear(&server[0]), ("hello".to_owned(), at(socket)));
        for (number, stranger) in (dropped..).zip(&server[1..]) {
            tell(stranger, socket, "from a stranger");
            home.await_filtered(number);
        }
        tell(&server[0], socket, "from a friend");
        assert_eq!(hear(socket), ("from a friend".to_owned(), at(&server[0])));
        tell(&server[1], &bob, "what alice opened is not open for bob");
        home.await_filtered(dropped + 2);
    }
}

#[rstest]
fn tcp_goes_out_and_an_unsolicited_syn_does_not_come_in(
    #[values(FirewallOnly, FullCone, Masquerade)] kind: Kind,
) {
    let home = Home::of(nat(kind), &["alice"]);
    let (mut inside, mut outside) = connected(&home, 80);
    let mut heard = [0; 5];
    inside.write_all(b"hello").unwrap();
    outside.read_exact(&mut heard).unwrap();
    outside.write_all(&heard).unwrap();
    inside.read_exact(&mut heard).unwrap();
    assert_eq!((&heard, home.filtered()), (b"hello", 0));

    let _listener = listen(&home, "alice", 80);
    let to = SocketAddr::from((address(&home, "alice", 0), 80));
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let open = || socket(AddressFamily::Inet6, SockType::Stream, flags, None).unwrap();
    let knocking = home.node("server").within(open).unwrap();
    let SocketAddr::V6(to) = to else { panic!() };
    let started = nix::sys::socket::connect(knocking.as_raw_fd(), &SockaddrIn6::from(to));
    assert_eq!(started, Err(Errno::EINPROGRESS));
    home.await_drops(|drops| drops.filtered >= 1);
}

#[rstest]
fn a_session_lives_by_what_it_does(#[values(FirewallOnly, FullCone)] kind: Kind) {
    let home = Home::of(nat(kind), &["alice"]);
    let (inside, _outside) = connected(&home, 80);
    let left = || home.router().mappings().unwrap().entries[0].left;
    await_that(|| left() > ESTABLISHED - PATIENCE);
    drop(inside);
    await_that(|| left() <= TRANSITORY);
}

#[test]
fn one_that_rejects_says_so() {
    let home = Home::of(Nat { on_drop: OnDrop::Reject, ..nat(FirewallOnly) }, &["alice"]);
    let (alice, server) = (udp(&home, "alice", 0, 5000), udp(&home, "server", 0, 3478));
    server.connect(at(&alice)).unwrap();
    server.send(b"is anybody here?").unwrap();
    let told = server.recv(&mut [0; 16]).unwrap_err();
    assert_eq!(told.raw_os_error(), Some(Errno::EACCES as i32), "administratively prohibited");
    let _listener = listen(&home, "alice", 80);
    let to = SocketAddr::from((address(&home, "alice", 0), 80));
    let refused = home.node("server").within(|| TcpStream::connect(to).unwrap_err()).unwrap();
    assert_eq!((refused.kind(), home.filtered()), (ErrorKind::ConnectionRefused, 2));
}

#[rstest]
fn echoes_are_answered_only_to_who_has_asked(#[values(FirewallOnly, Symmetric)] kind: Kind) {
    let home = Home::of(nat(kind), &["alice"]);
    let [ours, theirs] = ["alice", "server"].map(|name| raw(&home, name, SockProtocol::IcmpV6));
    let (alice, server) = (address(&home, "alice", 0), address(&home, "server", 0));
    send(&theirs, alice, &echo(ECHO_REQUEST, 5));
    home.await_filtered(1);
    send(&ours, server, &echo(ECHO_REQUEST, 77));
    let reply = next(&ours);
    assert_eq!((reply[0], &reply[4..6]), (ECHO_REPLY, &77u16.to_be_bytes()[..]));
    send(&theirs, alice, &echo(ECHO_REPLY, 78));
    home.await_filtered(2);
}

#[rstest]
fn an_error_passes_where_it_is_about_a_flow(#[values(FirewallOnly, FullCone)] kind: Kind) {
    let home = Home::of(nat(kind), &["alice", "bob"]);
    let (alice, server) = (udp(&home, "alice", 0, 5000), udp(&home, "server", 0, 3478));
    tell(&alice, &server, "hello");
    hear(&server);
    let closed = SocketAddr::from((address(&home, "server", 0), 9));
    alice.connect(closed).unwrap();
    alice.send(b"is this port open?").unwrap();
    assert_refused(&alice);

    const TOO_BIG: u8 = 2;
    let about = |port: u16| {
        let mut error = vec![TOO_BIG, 0, 0, 0, 0, 0, 5, 0];
        let quoted = packet(address(&home, "alice", 0), address(&home, "server", 0), 17, 64, &[0; 8]);
        error.extend(quoted);
        error[48..50].copy_from_slice(&port.to_be_bytes());
        error[50..52].copy_from_slice(&3478u16.to_be_bytes());
        error
    };
    let wire = raw(&home, "server", SockProtocol::IcmpV6);
    let alices = raw(&home, "alice", SockProtocol::IcmpV6);
    send(&wire, address(&home, "alice", 0), &about(5001));
    home.await_filtered(1);
    send(&wire, address(&home, "bob", 0), &about(5000));
    home.await_filtered(2);
    send(&wire, address(&home, "alice", 0), &about(5000));
    assert_eq!(next(&alices)[48..50], 5000u16.to_be_bytes(), "the first that reaches her is about her flow");

    alice.connect(at(&server)).unwrap();
    tell(&server, &alice, "no flow has ended");
    assert_eq!(hear(&alice).0, "no flow has ended");
    let to = at(&alice);
    drop(alice);
    server.connect(to).unwrap();
    server.send(b"are you still there?").unwrap();
    assert_refused(&server);
    assert_eq!(home.filtered(), 2);
}

#[test]
fn a_hop_that_drops_an_echo_is_heard_by_who_sent_it() {
    let home = Home::of(nat(FirewallOnly), &["alice"]);
    let wire = raw(&home, "alice", SockProtocol::IcmpV6);
    setsockopt(&wire, sockopt::Ipv6Ttl, &2).unwrap();
    send(&wire, address(&home, "server", 0), &echo(ECHO_REQUEST, 77));
    assert_eq!(next(&wire)[0], 3, "time exceeded");
}

/// Nobody else can send it: a router forwards nothing with a hop limit of 255.
#[test]
fn neighbours_on_the_link_itself_are_heard() {
    const SOLICITATION: u8 = 135;
    const ADVERTISEMENT: u8 = 136;
    let home = Home::of(nat(FirewallOnly), &["alice"]);
    let router = address(&home, "home", 0);
    let mut asked = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    asked.extend(router.octets());
    let wire = raw(&home, "internet", SockProtocol::IcmpV6);
    setsockopt(&wire, sockopt::Ipv6Ttl, &255).unwrap();
    send(&wire, router, &asked);
    let answer = next(&wire);
    assert_eq!((answer[0], &answer[8..24]), (ADVERTISEMENT, &router.octets()[..]));
    assert_eq!(home.filtered(), 0);
    // The same by way of a router is somebody's lie.
    let wire = raw(&home, "server", SockProtocol::IcmpV6);
    setsockopt(&wire, sockopt::Ipv6Ttl, &255).unwrap();
    send(&wire, router, &asked);
    home.await_filtered(1);
}

#[rstest]
fn large_datagrams_pass_in_fragments(#[values(FirewallOnly, FullCone)] kind: Kind) {
    let home = Home::of(nat(kind), &["alice"]);
    let (alice, server) = (udp(&home, "alice", 0, 5000), udp(&home, "server", 0, 3478));
    let stranger = udp(&home, "server", 1, 3478);
    let text: Vec<u8> = (0..9000).map(|n| (n % 251) as u8).collect();
    for (from, to) in [(&alice, &server), (&server, &alice)] {
        from.send_to(&text, at(to)).unwrap();
        let mut heard = vec![0; 65_536];
        let (length, seen) = to.recv_from(&mut heard).expect("the datagram arrives");
        assert!(heard[..length] == text && seen == at(from));
    }
    stranger.send_to(&text, at(&alice)).unwrap();
    home.await_filtered(1);
}

#[rstest]
fn fragments_pass_in_any_order(#[values([2, 1, 0], [1, 0, 2], [0, 2, 1])] order: [usize; 3]) {
    let home = Home::of(nat(FirewallOnly), &["alice"]);
    let (alice, server) = (udp(&home, "alice", 0, 5000), udp(&home, "server", 0, 3478));
    let text: Vec<u8> = (0..3000).map(|n| (n % 251) as u8).collect();
    let stranger = SocketAddr::from((address(&home, "server", 1), 3478));
    for (node, from, to) in [("alice", at(&alice), &server), ("server", at(&server), &alice)] {
        send_fragments(&home, node, [v6(from), v6(at(to))], &text, order);
        let mut heard = vec![0; 65_536];
        let (length, seen) = to.recv_from(&mut heard).expect("the datagram arrives");
        assert!(heard[..length] == text && seen == from);
    }
    send_fragments(&home, "server", [v6(stranger), v6(at(&alice))], &text, order);
    home.await_filtered(1);
}

#[rstest]
fn the_table_names_every_flow_and_a_reboot_empties_it(
    #[values(FirewallOnly, Firewall, FullCone, Masquerade)] kind: Kind,
) {
    let home = Home::of(nat(kind), &["alice"]);
    let (alice, server) = (udp(&home, "alice", 0, 5000), udp(&home, "server", 0, 3478));
    let (inside, _outside) = connected(&home, 80);
    tell(&alice, &server, "hello");
    hear(&server);
    send(&raw(&home, "alice", SockProtocol::IcmpV6), *v6(at(&server)).ip(), &echo(ECHO_REQUEST, 77));
    let table = home.router().mappings().unwrap();
    let rows: Vec<_> = table
        .entries
        .iter()
        .map(|entry| (entry.protocol, entry.inside, entry.admits.clone().unwrap()))
        .collect();
    let socket = |node, port| SocketAddr::from((address(&home, node, 0), port));
    assert_eq!(
        rows,
        [
            (Echo, socket("alice", 77), vec![socket("server", 0)]),
            (Tcp, inside.local_addr().unwrap(), vec![socket("server", 80)]),
            (Udp, socket("alice", 5000), vec![socket("server", 3478)]),
        ]
    );
    assert!(table.entries.iter().all(|entry| entry.outside == entry.inside));
    assert!(table.to_string().contains(&format!("[{}]:*", address(&home, "server", 0))));
    home.router().reboot().unwrap();
    assert_eq!(home.router().mappings().unwrap().entries, []);
    tell(&server, &alice, "a friend of before");
    home.await_filtered(1);
    tell(&alice, &server, "hello again");
    hear(&server);
    tell(&server, &alice, "a friend of now");
    assert_eq!(hear(&alice).0, "a friend of now");
}

#[test]
fn a_portal_is_closed_to_it_as_well() {
    let home = Home::of(Nat { egress: Egress::Portal, ..nat(Firewall) }, &["alice"]);
    let (alice, server) = (udp(&home, "alice", 0, 5000), udp(&home, "server", 0, 3478));
    tell(&alice, &server, "may I?");
    home.await_drops(|drops| drops.refused == 1);
    home.router().log_in().unwrap();
    tell(&alice, &server, "and now?");
    assert_eq!(hear(&server).0, "and now?");
    home.router().reboot().unwrap();
    tell(&alice, &server, "still?");
    home.await_drops(|drops| drops.refused == 1);
}

fn address(home: &Home, node: &str, index: usize) -> Ipv6Addr {
    home.node(node).addresses_v6()[index]
}

fn udp(home: &Home, node: &str, index: usize, port: u16) -> UdpSocket {
    let address = address(home, node, index);
    let socket = home.node(node).within(|| UdpSocket::bind((address, port)).unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn at(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().unwrap()
}

fn v6(address: SocketAddr) -> SocketAddrV6 {
    match address {
        SocketAddr::V6(address) => address,
        SocketAddr::V4(address) => panic!("{address} is not IPv6"),
    }
}

#[track_caller]
fn tell(from: &UdpSocket, to: &UdpSocket, text: &str) {
    from.send_to(text.as_bytes(), at(to)).unwrap();
}

#[track_caller]
fn hear(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).expect("a datagram arrives");
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), from)
}

fn listen(home: &Home, node: &str, port: u16) -> TcpListener {
    let address = address(home, node, 0);
    home.node(node).within(|| TcpListener::bind((address, port)).unwrap()).unwrap()
}

/// Alice's end of a connection to the server, and the server's end.
fn connected(home: &Home, port: u16) -> (TcpStream, TcpStream) {
    let listener = listen(home, "server", port);
    let to = listener.local_addr().unwrap();
    let inside = home.node("alice").within(|| TcpStream::connect(to).unwrap()).unwrap();
    let (outside, from) = listener.accept().unwrap();
    assert_eq!(from, inside.local_addr().unwrap());
    for stream in [&inside, &outside] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    (inside, outside)
}

fn raw(home: &Home, node: &str, protocol: SockProtocol) -> OwnedFd {
    let open = || socket(AddressFamily::Inet6, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol);
    let fd = home.node(node).within(open).unwrap().unwrap();
    setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(PATIENCE.as_secs() as i64, 0)).unwrap();
    fd
}

/// Sends an ICMPv6 message, whose checksum the kernel completes, or a whole packet.
fn send(wire: &OwnedFd, to: Ipv6Addr, message: &[u8]) {
    let to = SockaddrIn6::from(SocketAddrV6::new(to, 0, 0, 0));
    sendto(wire.as_raw_fd(), message, &to, MsgFlags::empty()).unwrap();
}

/// The next ICMPv6 message that reaches a node and is no question: raw sockets hear those, too.
#[track_caller]
fn next(wire: &OwnedFd) -> Vec<u8> {
    loop {
        let mut buffer = vec![0; 2048];
        let length = recv(wire.as_raw_fd(), &mut buffer, MsgFlags::empty()).expect("an ICMP message arrives");
        buffer.truncate(length);
        if buffer[0] != ECHO_REQUEST {
            return buffer;
        }
    }
}

fn echo(kind: u8, identifier: u16) -> Vec<u8> {
    let [high, low] = identifier.to_be_bytes();
    vec![kind, 0, 0, 0, high, low, 0, 1]
}

fn packet(source: Ipv6Addr, destination: Ipv6Addr, next: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (payload.len() as u16).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, high, low, next, hops];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// Cuts a datagram into three, and sends them in this order.
fn send_fragments(home: &Home, node: &str, [from, to]: [SocketAddrV6; 2], text: &[u8], order: [usize; 3]) {
    const PIECE: usize = 1008;
    const UDP: u8 = 17;
    const FRAGMENT: u8 = 44;
    let length = (8 + text.len() as u16).to_be_bytes();
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    let mut datagram = [&ports[..], &length, &[0, 0], text].concat();
    let pseudo_header =
        [&from.ip().octets()[..], &to.ip().octets(), &[0, 0], &length, &[0, 0, 0, UDP]].concat();
    let checksum = !sum(&[&pseudo_header[..], &datagram].concat());
    datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
    let pieces: Vec<&[u8]> = datagram.chunks(PIECE).collect();
    assert_eq!(pieces.len(), 3);
    let wire = raw(home, node, SockProtocol::Raw);
    for index in order {
        let more = u16::from(index < 2);
        let offset = (index * PIECE) as u16 | more;
        let header = [&[UDP, 0][..], &offset.to_be_bytes(), &[0, 0, 0x12, 0x34]].concat();
        let fragment = packet(*from.ip(), *to.ip(), FRAGMENT, 64, &[&header[..], pieces[index]].concat());
        send(&wire, *to.ip(), &fragment);
    }
}
