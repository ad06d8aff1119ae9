//! ICMP: echoes are flows, errors are translated both ways and end no mapping (RFC 5508).

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use netns::nat::Preset::{self, AddressRestricted, FullCone, PortRestricted, Symmetric};
use netns::nat::table::Protocol;
pub(crate) use netns::raw::sum;
use nix::sys::socket::{MsgFlags, SockProtocol, SockaddrIn, recv, sendto, setsockopt, sockopt};
use rstest::rstest;

use super::home::{Home, at, hear, raw, seen_by, tell};

pub(crate) const ECHO_REPLY: u8 = 0;
pub(crate) const ECHO_REQUEST: u8 = 8;
pub(crate) const TIME_EXCEEDED: u8 = 11;

#[rstest]
fn two_hosts_with_one_echo_identifier_each_get_their_own_reply(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice", "bob"]);
    let server = home.node("server").address();
    let hosts = ["alice", "bob"].map(|name| raw(home.node(name), SockProtocol::Icmp));
    for (host, word) in hosts.iter().zip(["alice's", "bob's  "]) {
        send_echo(host, server, 77, word.as_bytes());
    }
    for (host, word) in hosts.iter().zip(["alice's", "bob's  "]) {
        let reply = next_icmp(host);
        assert_eq!(reply[20], ECHO_REPLY);
        assert_eq!(u16::from_be_bytes([reply[24], reply[25]]), 77, "the identifier is the host's own again");
        assert_eq!(&reply[28..], word.as_bytes());
        assert_eq!(sum(&reply[20..]), 0xffff);
    }
    let table = home.router().mappings().unwrap();
    let identifiers: Vec<u16> = table.entries.iter().map(|entry| entry.outside.port()).collect();
    assert!(table.entries.iter().all(|entry| entry.protocol == Protocol::Echo));
    assert!(identifiers.len() == 2 && identifiers[0] != identifiers[1], "{identifiers:?}");
}

#[test]
fn an_echo_from_outside_gets_no_reply() {
    let home = Home::new(FullCone, &["alice"]);
    let server = raw(home.node("server"), SockProtocol::Icmp);
    send_echo(&server, home.router().outside(), 5, b"anybody?");
    home.await_filtered(1);
}

#[rstest]
fn an_error_from_outside_reaches_the_socket_and_ends_no_mapping(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let before = seen_by(&server[0], &alice);
    alice.connect((*at(&server[0]).ip(), 9)).unwrap();
    alice.send(b"is this port open?").unwrap();
    assert_refused(&alice);
    let table = home.router().mappings().unwrap();
    assert!(table.entries.iter().any(|entry| entry.outside == before.into()), "{table}");
    alice.connect(at(&server[0])).unwrap();
    tell(&server[0], before, "the mapping is there");
    assert_eq!(hear(&alice).0, "the mapping is there");
    alice.send(b"and the same").unwrap();
    assert_eq!(hear(&server[0]).1, before);
}

#[rstest]
fn an_error_from_inside_reaches_the_remote_and_ends_no_mapping(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice"]);
    let server = home.server();
    let outside = seen_by(&server[0], &home.udp("alice", 5000));
    // Alice's socket is closed by now.
    server[0].connect(outside).unwrap();
    server[0].send(b"are you still there?").unwrap();
    assert_refused(&server[0]);
    let alice = home.udp("alice", 5000);
    server[0].send(b"and now?").unwrap();
    assert_eq!(hear(&alice).0, "and now?");
}

#[test]
fn a_hop_that_drops_an_echo_or_a_datagram_is_heard_by_who_sent_it() {
    let home = Home::new(Symmetric, &["alice"]);
    let server = home.server();
    // The second hop, the internet, is where a packet of two hops ends.
    let alice = raw(home.node("alice"), SockProtocol::Icmp);
    setsockopt(&alice, sockopt::Ipv4Ttl, &2).unwrap();
    send_echo(&alice, *at(&server[0]).ip(), 77, b"how far?");
    let error = next_icmp(&alice);
    assert_eq!(error[20], TIME_EXCEEDED);
    assert_eq!(&error[16..20], home.node("alice").address().octets());
    let quoted = &error[28..];
    assert_eq!(&quoted[12..16], home.node("alice").address().octets(), "the quoted source is hers");
    assert_eq!(u16::from_be_bytes([quoted[24], quoted[25]]), 77, "and the quoted identifier");
    assert_eq!((sum(&error[20..]), sum(&quoted[..20])), (0xffff, 0xffff), "both checksums hold");

    let udp = home.udp("alice", 5000);
    udp.set_ttl(2).unwrap();
    tell(&udp, at(&server[0]), "how far?");
    let error = next_icmp(&alice);
    let quoted = &error[28..];
    assert_eq!((error[20], &quoted[12..16]), (TIME_EXCEEDED, &home.node("alice").address().octets()[..]));
    assert_eq!(u16::from_be_bytes([quoted[20], quoted[21]]), 5000);
    assert_eq!((sum(&error[20..]), sum(&quoted[..20])), (0xffff, 0xffff));
}

#[test]
fn an_error_about_a_packet_that_was_never_sent_is_dropped() {
    let home = Home::new(FullCone, &["alice"]);
    let server = raw(home.node("server"), SockProtocol::Icmp);
    let mut error = vec![3, 3, 0, 0, 0, 0, 0, 0];
    let mut quoted = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 63, 17, 0, 0];
    quoted.extend(home.router().outside().octets());
    quoted.extend([203, 0, 113, 2, 0x13, 0x88, 0, 9, 0, 8, 0, 0]);
    error.extend(quoted);
    send_icmp(&server, home.router().outside(), error);
    home.await_filtered(1);
}

#[track_caller]
pub(crate) fn assert_refused(socket: &UdpSocket) {
    let error = socket.recv(&mut [0; 16]).expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
}

pub(crate) fn send_echo(socket: &OwnedFd, to: Ipv4Addr, identifier: u16, text: &[u8]) {
    netns::raw::send(socket, to, &netns::raw::echo(identifier, text)).unwrap();
}

pub(crate) fn send_icmp(socket: &OwnedFd, to: Ipv4Addr, mut message: Vec<u8>) {
    let checksum = !sum(&message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let to = SockaddrIn::from(SocketAddrV4::new(to, 0));
    sendto(socket.as_raw_fd(), &message, &to, MsgFlags::empty()).unwrap();
}

/// The next ICMP message that reaches a node, with its IP header.
#[track_caller]
pub(crate) fn next_icmp(socket: &OwnedFd) -> Vec<u8> {
    let mut buffer = vec![0; 2048];
    let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).expect("an ICMP message arrives");
    buffer.truncate(length);
    buffer
}
