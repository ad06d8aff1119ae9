//! A router that rejects tells who is not admitted, every time; RFC 4787 leaves it open, and it breaks hole punching.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};

use netns::nat::Preset::{self, AddressRestricted, FullCone, PortRestricted, Symmetric};
use netns::nat::{Nat, OnDrop};
use nix::sys::socket::SockProtocol;
use rstest::rstest;

use super::home::{Home, hear, raw, seen_by, tell};

fn rejecting(kind: Preset) -> Home {
    Home::of(Nat { on_drop: OnDrop::Reject, ..kind.nat().unwrap() }, &["alice", "bob"])
}

#[rstest]
fn a_stranger_gets_an_error_for_every_datagram_and_a_reset_for_a_syn(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = rejecting(kind);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let outside = seen_by(&server[0], &alice);
    server[2].connect(home.outside(4444)).unwrap();
    for count in 1..=20 {
        server[2].send(b"is anybody here?").unwrap();
        assert_eq!(server[2].recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::HostUnreachable);
        assert_eq!(home.filtered(), count, "no limit on the rate");
    }
    let to = SocketAddr::V4(home.outside(4444));
    let reset = home.node("server").within(|| TcpStream::connect(to).unwrap_err()).unwrap();
    assert_eq!(reset.kind(), ErrorKind::ConnectionRefused);
    tell(&server[0], outside, "a friend is admitted");
    assert_eq!(hear(&alice).0, "a friend is admitted");
}

#[test]
fn the_error_says_prohibited_and_quotes_what_was_sent() {
    const UNREACHABLE: u8 = 3;
    const PROHIBITED: u8 = 13;
    let home = rejecting(PortRestricted);
    let wire = raw(home.node("server"), SockProtocol::Icmp);
    let server = home.server();
    tell(&server[0], home.outside(4444), "is anybody here?");
    let error = super::icmp::next_icmp(&wire);
    assert_eq!(error[20..22], [UNREACHABLE, PROHIBITED]);
    assert_eq!(error[12..16], home.router().outside().octets());
    let quoted = &error[28..];
    assert_eq!(quoted[16..20], home.router().outside().octets());
    assert_eq!(u16::from_be_bytes([quoted[22], quoted[23]]), 4444);
}

#[test]
fn a_neighbour_who_is_not_admitted_is_told_so_too() {
    let home = rejecting(PortRestricted);
    let (alice, bob, server) = (home.udp("alice", 5000), home.udp("bob", 5001), home.server());
    let alices = seen_by(&server[0], &alice);
    bob.connect(alices).unwrap();
    bob.send(b"hello, neighbour").unwrap();
    assert_eq!(bob.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::HostUnreachable);
    assert_eq!(home.filtered(), 1);
}
