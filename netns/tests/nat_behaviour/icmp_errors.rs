//! ICMP errors of every kind that a NAT must not spoil (RFC 5508 section 4): about the size of packets, of the router
//! itself, about echoes; each side is told in its own terms.

use std::net::SocketAddrV4;

use netns::nat::Filtering::EndpointIndependent;
use netns::nat::Nat;
use netns::nat::Preset::{self, AddressDependent, AddressRestricted, FullCone, PortRestricted, Symmetric};
use nix::sys::socket::SockProtocol;
use rstest::rstest;

use super::home::{Home, at, hear, raw, seen_by, tell, v4};
use super::icmp::{
    ECHO_REPLY, ECHO_REQUEST, TIME_EXCEEDED, assert_refused, next_icmp, send_echo, send_icmp, sum,
};

#[rstest]
fn a_packet_that_is_too_large_for_a_hop_beyond_is_known_to_be_so_inside(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    const MTU: [u8; 4] = [0, 0, 0x04, 0xb0];
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let outside = seen_by(&server[0], &alice);
    let wire = raw(home.node("alice"), SockProtocol::Icmp);
    let mut sent = vec![3, 4, 0, 0];
    sent.extend(MTU);
    sent.extend(quoted(outside, at(&server[0]), 17));
    send_icmp(&raw(home.node("internet"), SockProtocol::Icmp), *outside.ip(), sent);
    let error = next_icmp(&wire);
    assert_eq!((&error[20..22], &error[24..28]), (&[3, 4][..], &MTU[..]), "it says which size would pass");
    let quoted = &error[28..];
    assert_eq!(quoted[12..16], at(&alice).ip().octets());
    assert_eq!(u16::from_be_bytes([quoted[20], quoted[21]]), 5000);
    assert_eq!((sum(&error[20..]), sum(&quoted[..20])), (0xffff, 0xffff));
    assert_eq!(seen_by(&server[0], &alice), outside, "and ends no mapping");
}

#[rstest]
fn a_packet_that_is_too_large_for_a_hop_inside_is_known_to_be_so_outside(
    #[values(FullCone, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let outside = seen_by(&server[0], &alice);
    let wire = raw(home.node("server"), SockProtocol::Icmp);
    let mut error = vec![3, 4, 0, 0, 0, 0, 0x04, 0xb0];
    error.extend(quoted(at(&server[0]), at(&alice), 17));
    send_icmp(&raw(home.node("alice"), SockProtocol::Icmp), *at(&server[0]).ip(), error);
    assert_quotes(&next_icmp(&wire), &home, outside, 22);
}

/// The router itself is the hop where a packet ends that it has translated already.
#[rstest]
fn an_error_of_the_router_itself_quotes_no_inside_address(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let outside = seen_by(&server[0], &alice);
    let wire = raw(home.node("server"), SockProtocol::Icmp);
    server[0].set_ttl(2).unwrap();
    tell(&server[0], outside, "not far enough");
    let error = next_icmp(&wire);
    assert_eq!(error[20], TIME_EXCEEDED);
    assert_quotes(&error, &home, outside, 22);
}

/// The filter may admit remotes that the inside has never sent to, so that no mapping is theirs.
#[rstest]
fn an_error_about_a_stranger_tells_it_of_the_port_that_it_has_sent_to(
    #[values(FullCone, AddressDependent, Symmetric)] kind: Preset,
) {
    let home = Home::of(Nat { filtering: EndpointIndependent, ..kind.nat().unwrap() }, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let outside = seen_by(&server[0], &alice);
    drop(alice);
    server[2].connect(outside).unwrap();
    server[2].send(b"is anybody here?").unwrap();
    assert_refused(&server[2]);
    let alice = home.udp("alice", 5000);
    server[2].send(b"and now?").unwrap();
    assert_eq!(hear(&alice).0, "and now?");
}

#[test]
fn an_error_about_an_echo_reply_is_told_in_outside_terms() {
    let home = Home::new(Symmetric, &["alice"]);
    let server = home.node("server").address();
    let [alice, wire] = ["alice", "server"].map(|name| raw(home.node(name), SockProtocol::Icmp));
    send_echo(&alice, server, 77, b"ping");
    assert_eq!(next_icmp(&wire)[20], ECHO_REQUEST);
    let mapped = v4(home.router().mappings().unwrap().entries[0].outside);
    let mut error = vec![3, 2, 0, 0, 0, 0, 0, 0];
    let inside = SocketAddrV4::new(home.node("alice").address(), 0);
    let mut reply = quoted(SocketAddrV4::new(server, 0), inside, 1);
    reply[20..28].copy_from_slice(&[ECHO_REPLY, 0, 0, 0, 0, 77, 0, 1]);
    error.extend(reply);
    send_icmp(&alice, server, error);
    assert_quotes(&next_icmp(&wire), &home, mapped, 24);
}

/// A quoted header with the ports of UDP.
fn quoted(source: SocketAddrV4, destination: SocketAddrV4, protocol: u8) -> Vec<u8> {
    let mut quoted = vec![0x45, 0, 0x05, 0x30, 0, 0, 0x40, 0, 63, protocol, 0, 0];
    quoted.extend(source.ip().octets());
    quoted.extend(destination.ip().octets());
    let checksum = !sum(&quoted);
    quoted[10..12].copy_from_slice(&checksum.to_be_bytes());
    quoted.extend(source.port().to_be_bytes());
    quoted.extend(destination.port().to_be_bytes());
    quoted.extend([0x05, 0x1c, 0, 0]);
    quoted
}

/// An error that reached the outside: from the router, about a packet to `outside`, whose port is at this offset of what
/// is quoted; and all checksums hold.
#[track_caller]
fn assert_quotes(error: &[u8], home: &Home, outside: SocketAddrV4, port_at: usize) {
    assert_eq!(error[12..16], home.router().outside().octets(), "who complains");
    let quoted = &error[28..];
    assert_eq!(quoted[16..20], outside.ip().octets());
    assert_eq!(u16::from_be_bytes([quoted[port_at], quoted[port_at + 1]]), outside.port());
    assert_eq!((sum(&error[20..]), sum(&quoted[..20])), (0xffff, 0xffff));
}
