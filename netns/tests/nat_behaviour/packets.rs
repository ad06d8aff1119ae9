//! Packets out of the ordinary: without checksum, in fragments, with IP options.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;

use netns::nat::Preset::{self, AddressRestricted, FullCone, PortRestricted, Symmetric};
use nix::sys::socket::{MsgFlags, SockProtocol, recv};
use rstest::rstest;

use super::home::{Home, at, datagram, hear, packet, raw, seen_by, send_packet, tell};

#[rstest]
fn a_datagram_without_checksum_passes_both_ways_without_one(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let (inside, public) = (home.node("alice").address(), *at(&server[0]).ip());
    let wire = [raw(home.node("server"), SockProtocol::Udp), raw(home.node("alice"), SockProtocol::Udp)];

    send_packet(home.node("alice"), public, &packet(inside, public, 17, &datagram(5000, 3478, b"bare")));
    let (text, outside) = hear(&server[0]);
    assert_eq!(text, "bare");
    let back = packet(public, *outside.ip(), 17, &datagram(3478, outside.port(), b"bare too"));
    send_packet(home.node("server"), *outside.ip(), &back);
    assert_eq!(hear(&alice), ("bare too".to_owned(), at(&server[0])));
    for wire in wire {
        let mut seen = [0; 128];
        recv(wire.as_raw_fd(), &mut seen, MsgFlags::empty()).unwrap();
        assert_eq!(seen[26..28], [0, 0], "nobody has added a checksum");
    }
}

/// With the checksum of a real socket: what arrives at a socket has passed the kernel's own check.
#[rstest]
fn large_datagrams_pass_in_fragments(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
    #[values(1473, 4000, 65_507)] size: usize,
) {
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let text: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
    alice.send_to(&text, at(&server[0])).unwrap();
    let mut heard = vec![0; 65_536];
    let (length, outside) = server[0].recv_from(&mut heard).expect("the datagram arrives outside");
    assert!(heard[..length] == text);
    server[0].send_to(&text, outside).unwrap();
    let (length, from) = alice.recv_from(&mut heard).expect("the datagram arrives inside");
    assert!(heard[..length] == text);
    assert_eq!(from, at(&server[0]).into());
}

#[rstest]
fn fragments_pass_in_any_order(
    #[values(FullCone, PortRestricted, Symmetric)] kind: Preset,
    #[values([2, 1, 0], [1, 0, 2], [0, 2, 1])] order: [usize; 3],
) {
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let (inside, public) = (home.node("alice").address(), *at(&server[0]).ip());
    let text: Vec<u8> = (0..3000).map(|n| (n % 251) as u8).collect();

    let out = fragments(inside, public, &datagram(5000, 3478, &text));
    order.iter().for_each(|&index| send_packet(home.node("alice"), public, &out[index]));
    let outside = assert_heard(&server[0], &text);

    let back = fragments(public, *outside.ip(), &datagram(3478, outside.port(), &text));
    order.iter().for_each(|&index| send_packet(home.node("server"), *outside.ip(), &back[index]));
    assert_heard(&alice, &text);
    assert_eq!(home.router().drops().unwrap(), Default::default());
}

#[test]
fn fragments_that_the_filter_does_not_admit_are_dropped_as_one_packet() {
    let home = Home::new(PortRestricted, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let outside = seen_by(&server[0], &alice);
    server[2].send_to(&[0; 4000], outside).unwrap();
    home.await_filtered(1);
    tell(&server[0], outside, "whole");
    assert_eq!(hear(&alice).0, "whole");
    assert_eq!(home.filtered(), 1);
}

#[rstest]
fn ip_options_do_not_hide_the_ports(#[values(FullCone, Symmetric)] kind: Preset) {
    let home = Home::new(kind, &["alice"]);
    let (_alice, server) = (home.udp("alice", 5000), home.server());
    let public = *at(&server[0]).ip();
    let mut with_options =
        packet(home.node("alice").address(), public, 17, &datagram(5000, 3478, b"with options"));
    const NO_OPERATION: u8 = 1;
    with_options.splice(20..20, [NO_OPERATION; 4]);
    with_options[0] = 0x46;
    send_packet(home.node("alice"), public, &with_options);
    let (text, outside) = hear(&server[0]);
    assert_eq!((text.as_str(), *outside.ip()), ("with options", home.router().outside()));
}

#[test]
fn a_protocol_without_ports_is_refused_and_counted_both_ways() {
    const GRE: u8 = 47;
    let home = Home::new(FullCone, &["alice"]);
    let (inside, public) = (home.node("alice").address(), home.node("server").address());
    send_packet(home.node("alice"), public, &packet(inside, public, GRE, &[0; 16]));
    home.await_drops(|drops| drops.untranslatable == 1);
    let outside = home.router().outside();
    send_packet(home.node("server"), outside, &packet(public, outside, GRE, &[0; 16]));
    home.await_filtered(1);
}

/// Cuts the payload of an IP packet into three.
pub(crate) fn fragments(source: Ipv4Addr, destination: Ipv4Addr, payload: &[u8]) -> Vec<Vec<u8>> {
    const PIECE: usize = 1008;
    let fragments = netns::raw::fragments(source, destination, payload, PIECE);
    assert_eq!(fragments.len(), 3);
    fragments
}

#[track_caller]
pub(crate) fn assert_heard(socket: &UdpSocket, text: &[u8]) -> std::net::SocketAddrV4 {
    let mut heard = vec![0; 65_536];
    let (length, from) = socket.recv_from(&mut heard).expect("the datagram arrives");
    assert!(&heard[..length] == text);
    super::home::v4(from)
}
