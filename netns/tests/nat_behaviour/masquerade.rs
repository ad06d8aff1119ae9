//! What a plain Linux router does, quirks included: each is asserted as docs/decisions/0006-quirk-classes.md tells it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use netns::lab::Lab;
use netns::nat::Preset::{
    self, LinuxMasquerade as Plain, LinuxMasqueradeInputDrop as InputDrop, PortRestricted,
};
use netns::nat::table::{MappingTable, Protocol};
use netns::topology::{Topology, Uplink};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{SockProtocol, setsockopt, sockopt};
use rstest::rstest;

use super::home::{Home, PATIENCE, at, datagram, hear, packet, raw, seen_by, send_packet, tell};
use super::icmp::{assert_refused, next_icmp, send_echo, sum};
use super::tcp::{connected, finish_connect, start_connect};

#[rstest]
fn a_host_that_nobody_collides_with_keeps_its_port_for_all(#[values(Plain, InputDrop)] kind: Preset) {
    let home = Home::new(kind, &["alice", "bob"]);
    let (alice, bob, server) = (home.udp("alice", 5000), home.udp("bob", 5001), home.server());
    for server in &server {
        assert_eq!(seen_by(server, &alice), home.outside(5000));
        assert_eq!(seen_by(server, &bob), home.outside(5001));
        tell(server, home.outside(5000), "an answer");
        assert_eq!(hear(&alice), ("an answer".to_owned(), at(server)));
    }
    assert_eq!(home.router().drops().unwrap(), Default::default());
}

/// RFC 4787 REQ-3 forbids it.
#[rstest]
fn two_hosts_with_one_port_share_an_outside_port_towards_different_destinations(
    #[values(Plain, InputDrop)] kind: Preset,
) {
    let home = Home::new(kind, &["alice", "bob"]);
    let (alice, bob, server) = (home.udp("alice", 5000), home.udp("bob", 5000), home.server());
    assert_eq!(seen_by(&server[0], &alice), home.outside(5000));
    assert_eq!(seen_by(&server[1], &bob), home.outside(5000), "overloaded");
    tell(&server[0], home.outside(5000), "to alice");
    tell(&server[1], home.outside(5000), "to bob");
    assert_eq!((hear(&alice).0, hear(&bob).0), ("to alice".to_owned(), "to bob".to_owned()));
}

/// Endpoint-independent mapping (RFC 4787 REQ-1) is lost with it.
#[rstest]
fn a_host_that_collides_gets_another_port_for_that_destination_only(
    #[values(Plain, InputDrop)] kind: Preset,
) {
    let home = Home::new(kind, &["alice", "bob"]);
    let (alice, bob, server) = (home.udp("alice", 5000), home.udp("bob", 5000), home.server());
    assert_eq!(seen_by(&server[0], &alice), home.outside(5000));
    assert_eq!(seen_by(&server[2], &bob), home.outside(5000));
    let other = seen_by(&server[0], &bob);
    assert_ne!(other, home.outside(5000), "alice has it there");
    assert_eq!(seen_by(&server[2], &bob), home.outside(5000), "the flow that was there keeps its own");
    assert_eq!(seen_by(&server[0], &bob), other);
    tell(&server[0], other, "to bob");
    assert_eq!(hear(&bob).0, "to bob");
}

#[rstest]
fn only_who_was_sent_to_is_admitted(#[values(Plain, InputDrop)] kind: Preset) {
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let outside = seen_by(&server[0], &alice);
    for (strangers, stranger) in (1..).zip(&server[1..]) {
        tell(stranger, outside, "from a stranger");
        home.await_filtered(strangers);
        tell(&server[0], outside, "from a friend");
        assert_eq!(hear(&alice), ("from a friend".to_owned(), at(&server[0])));
    }
}

#[rstest]
fn the_private_address_of_a_host_is_not_reachable_from_outside(#[values(Plain, InputDrop)] kind: Preset) {
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let forged =
        packet(*at(&server[0]).ip(), *at(&alice).ip(), 17, &datagram(at(&server[0]).port(), 5000, b"forged"));
    send_packet(home.node("internet"), home.router().outside(), &forged);
    home.await_filtered(1);
    let outside = seen_by(&server[0], &alice);
    tell(&server[0], outside, "honest");
    assert_eq!(hear(&alice).0, "honest");
}

/// It would leave under its private address, as from many a router that forgets this rule.
#[rstest]
fn what_linux_cannot_track_does_not_leave(#[values(Plain, InputDrop)] kind: Preset) {
    let home = Home::new(kind, &["alice"]);
    let (inside, public) = (home.node("alice").address(), home.node("server").address());
    const TCP: u8 = 6;
    const SYN_FIN: u8 = 0x03;
    let nonsense = [0x13, 0x88, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, SYN_FIN, 0xff, 0xff, 0, 0, 0, 0];
    send_packet(home.node("alice"), public, &packet(inside, public, TCP, &nonsense));
    home.await_drops(|drops| drops.untranslatable == 1);
}

#[test]
fn plainly_a_stranger_is_told_that_the_port_is_closed() {
    let home = Home::new(Plain, &["alice"]);
    let server = home.server();
    server[0].connect(home.outside(4444)).unwrap();
    server[0].send(b"is anybody here?").unwrap();
    assert_refused(&server[0]);
    assert_eq!(home.filtered(), 1);
}

#[test]
fn with_input_dropped_a_stranger_is_told_nothing() {
    let home = Home::new(InputDrop, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    server[0].connect(home.outside(4444)).unwrap();
    server[0].send(b"is anybody here?").unwrap();
    home.await_filtered(1);
    // Whatever the router had answered would have come before this, on the same wire.
    seen_by(&server[1], &alice);
    assert!(server[0].take_error().unwrap().is_none());
}

/// The race of hole punching: the kernel has confirmed the remote's early packet as a connection to the router itself.
#[rstest]
#[case::plainly_it_costs_the_port(Plain, false)]
#[case::with_input_dropped_it_costs_nothing(InputDrop, true)]
fn a_packet_that_comes_before_the_punch(#[case] kind: Preset, #[case] keeps_its_port: bool) {
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    assert_eq!(seen_by(&server[0], &alice), home.outside(5000));
    tell(&server[2], home.outside(5000), "too early");
    home.await_filtered(1);
    let punched = seen_by(&server[2], &alice);
    assert_eq!(punched == home.outside(5000), keeps_its_port, "{punched}");
    tell(&server[2], home.outside(5000), "to where it knows her");
    if keeps_its_port {
        assert_eq!(hear(&alice), ("to where it knows her".to_owned(), at(&server[2])));
    } else {
        home.await_filtered(2);
        tell(&server[2], punched, "to where it sees her");
        assert_eq!(hear(&alice), ("to where it sees her".to_owned(), at(&server[2])));
    }
}

/// RFC 4787 REQ-9 is violated: it is the router itself that hears them.
#[rstest]
fn neighbours_do_not_meet_by_the_outside_address(#[values(Plain, InputDrop)] kind: Preset) {
    let home = Home::new(kind, &["alice", "bob"]);
    let (alice, bob, server) = (home.udp("alice", 5000), home.udp("bob", 5001), home.server());
    let (alices, bobs) = (seen_by(&server[0], &alice), seen_by(&server[0], &bob));
    for (sent, from, to) in [(1, &alice, bobs), (2, &bob, alices)] {
        tell(from, to, "hello, neighbour");
        home.await_filtered(sent);
    }
    tell(&server[0], alices, "from the server");
    tell(&server[0], bobs, "from the server");
    assert_eq!((hear(&alice).1, hear(&bob).1), (at(&server[0]), at(&server[0])));
}

#[rstest]
fn errors_are_told_in_the_terms_of_the_other_side_and_end_no_mapping(
    #[values(Plain, InputDrop)] kind: Preset,
) {
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let outside = seen_by(&server[0], &alice);
    alice.connect((*at(&server[0]).ip(), 9)).unwrap();
    alice.send(b"is this port open?").unwrap();
    assert_refused(&alice);
    // The second hop, the internet, is where a packet of two hops ends.
    let wire = raw(home.node("alice"), SockProtocol::Icmp);
    setsockopt(&wire, sockopt::Ipv4Ttl, &2).unwrap();
    send_echo(&wire, *at(&server[0]).ip(), 77, b"how far?");
    let error = next_icmp(&wire);
    let quoted = &error[28..];
    assert_eq!(&quoted[12..16], home.node("alice").address().octets(), "the quoted source is hers");
    assert_eq!((sum(&error[20..]), sum(&quoted[..20])), (0xffff, 0xffff), "both checksums hold");

    drop(alice);
    server[0].connect(outside).unwrap();
    server[0].send(b"are you still there?").unwrap();
    assert_refused(&server[0]);
    let alice = home.udp("alice", 5000);
    server[0].send(b"and now?").unwrap();
    assert_eq!(hear(&alice).0, "and now?");
    assert_eq!(home.filtered(), 0);
}

#[rstest]
fn large_datagrams_pass_in_fragments(#[values(Plain, InputDrop)] kind: Preset) {
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let text: Vec<u8> = (0..4000).map(|n| (n % 251) as u8).collect();
    let pass = |from: &UdpSocket, to: &UdpSocket, address: SocketAddr| {
        from.send_to(&text, address).unwrap();
        let mut heard = vec![0; 65_536];
        let (length, seen) = to.recv_from(&mut heard).expect("the datagram arrives");
        assert!(heard[..length] == text);
        seen
    };
    let outside = pass(&alice, &server[0], at(&server[0]).into());
    assert_eq!(pass(&server[0], &alice, outside), at(&server[0]).into());
}

#[rstest]
fn tcp_goes_out_and_both_sides_speak(#[values(Plain, InputDrop)] kind: Preset) {
    let home = Home::new(kind, &["alice"]);
    let (mut inside, mut outside, _) = connected(&home);
    inside.write_all(b"hello").unwrap();
    let mut heard = [0; 5];
    outside.read_exact(&mut heard).unwrap();
    outside.write_all(&heard).unwrap();
    inside.read_exact(&mut heard).unwrap();
    assert_eq!((&heard, home.filtered()), (b"hello", 0));
}

/// RFC 5382 REQ-4 wants six seconds of silence: an early answer ends a simultaneous open.
#[test]
fn plainly_an_unsolicited_syn_is_reset() {
    let home = Home::new(Plain, &["alice"]);
    let knocking = start_connect(home.node("server"), 6000, home.outside(5000).into());
    let mut waited = [PollFd::new(knocking.as_fd(), PollFlags::POLLOUT)];
    assert_eq!(poll(&mut waited, PollTimeout::try_from(PATIENCE).unwrap()).unwrap(), 1);
    let refused = std::net::TcpStream::from(knocking).take_error().unwrap().unwrap();
    assert_eq!((refused.kind(), home.filtered()), (ErrorKind::ConnectionRefused, 1));
}

#[rstest]
fn with_input_dropped_a_simultaneous_open_works(#[values(InputDrop, PortRestricted)] other: Preset) {
    let topology = Topology::default()
        .router("here", Uplink::Internet, other.nat().unwrap())
        .router("there", Uplink::Internet, InputDrop.nat().unwrap())
        .host("alice", "here".into())
        .host("bob", "there".into());
    let lab = Lab::build(&topology).unwrap();
    let outside = |router, port| SocketAddr::from((lab.router(router).unwrap().outside(), port));
    let alice = start_connect(lab.node("alice").unwrap(), 5000, outside("there", 6000));
    // Her SYN came too early and was dropped without an answer, so she is still waiting.
    let start = Instant::now();
    while lab.router("there").unwrap().drops().unwrap().filtered == 0 {
        assert!(start.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    let bob = start_connect(lab.node("bob").unwrap(), 6000, outside("here", 5000));
    let (mut alice, mut bob) = (finish_connect(alice), finish_connect(bob));
    alice.write_all(b"met").unwrap();
    let mut heard = [0; 3];
    bob.read_exact(&mut heard).unwrap();
    bob.write_all(&heard).unwrap();
    alice.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"met");
}

#[rstest]
fn its_table_has_one_row_a_connection_with_its_packets(#[values(Plain, InputDrop)] kind: Preset) {
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    seen_by(&server[0], &alice);
    tell(&server[0], home.outside(5000), "an answer");
    hear(&alice);
    seen_by(&server[1], &alice);
    tell(&server[2], home.outside(5000), "no mapping, though the kernel may track it");
    home.await_filtered(1);
    let inside = SocketAddr::from((home.node("alice").address(), 5000));
    let table = home.router().mappings().unwrap();
    assert!(table.entries.iter().all(|entry| {
        (entry.protocol, entry.inside, entry.outside) == (Protocol::Udp, inside, home.outside(5000).into())
            && entry.idle < PATIENCE
            && entry.admits == entry.remote.map(|remote| vec![remote])
    }));
    let rows: Vec<_> = table.entries.iter().map(|entry| (entry.remote, entry.packets)).collect();
    let remote = |server| Some(SocketAddr::from(at(server)));
    assert_eq!(rows, [(remote(&server[0]), Some(2)), (remote(&server[1]), Some(1))]);
    let MappingTable { mut entries } = table;
    entries.iter_mut().for_each(|entry| entry.idle = Duration::ZERO);
    insta::assert_snapshot!("mapping_table_linux_masquerade", MappingTable { entries });
}

#[rstest]
fn a_reboot_forgets_every_connection_and_every_collision(#[values(Plain, InputDrop)] kind: Preset) {
    let home = Home::new(kind, &["alice", "bob"]);
    let (alice, bob, server) = (home.udp("alice", 5000), home.udp("bob", 5000), home.server());
    assert_eq!(seen_by(&server[0], &alice), home.outside(5000));
    assert_ne!(seen_by(&server[0], &bob), home.outside(5000));
    home.router().reboot().unwrap();
    assert_eq!(home.router().mappings().unwrap().entries, []);
    tell(&server[0], home.outside(5000), "a friend of before");
    home.await_filtered(1);
    // By another destination: plainly the packet of before has cost the port towards this one.
    assert_eq!(seen_by(&server[1], &bob), home.outside(5000), "as if alice had never been");
    tell(&server[1], home.outside(5000), "a friend of now");
    assert_eq!(hear(&bob).0, "a friend of now");
}

/// RFC 4787 REQ-5 asks for two minutes: Linux gives them to streams only.
#[test]
fn udp_is_remembered_for_half_a_minute_and_a_stream_for_two_minutes() {
    let home = Home::new(Plain, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let left = || home.router().mappings().unwrap().entries[0].left;
    let (young, stream) = (Duration::from_secs(30), Duration::from_secs(120));
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2200) {
        seen_by(&server[0], &alice);
        if start.elapsed() < Duration::from_secs(1) {
            assert!(left() <= young && left() > young - PATIENCE);
        }
        tell(&server[0], home.outside(5000), "an answer");
        hear(&alice);
    }
    assert!(left() <= stream && left() > stream - PATIENCE);
}

/// RFC 5382 REQ-5 asks for four minutes, RFC 5508 REQ-1 for one.
#[test]
fn a_half_open_connection_is_remembered_for_two_minutes_and_an_echo_for_half_a_minute() {
    let home = Home::new(Plain, &["alice"]);
    // Nobody has this address, so nobody answers.
    let nowhere = Ipv4Addr::new(203, 0, 113, 200);
    let _opening = start_connect(home.node("alice"), 4000, (nowhere, 80).into());
    send_echo(&raw(home.node("alice"), SockProtocol::Icmp), nowhere, 77, b"anybody?");
    let table = home.router().mappings().unwrap();
    for (protocol, seconds) in [(Protocol::Tcp, 120), (Protocol::Echo, 30)] {
        let lifetime = Duration::from_secs(seconds);
        let entry = table.entries.iter().find(|entry| entry.protocol == protocol).unwrap();
        assert!(entry.left <= lifetime && entry.left > lifetime - PATIENCE, "{entry:?}");
        assert_eq!(entry.idle + entry.left, lifetime);
    }
}

#[test]
fn a_one_way_flow_is_forgotten_sooner_than_a_stream() {
    let home = Home::new(InputDrop, &["alice", "bob"]);
    let (alice, bob, server) = (home.udp("alice", 5000), home.udp("bob", 5001), home.server());
    home.router().remember_udp(Duration::from_secs(1), Duration::from_secs(600)).unwrap();
    // A stream is what still goes both ways after two seconds.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2200) {
        seen_by(&server[0], &alice);
        tell(&server[0], home.outside(5000), "an answer");
        hear(&alice);
    }
    seen_by(&server[0], &bob);
    let knows = |port| {
        let table = home.router().mappings().unwrap();
        table.entries.iter().any(|entry| entry.outside.port() == port)
    };
    while knows(5001) {
        assert!(start.elapsed() < PATIENCE, "it is never forgotten");
        std::thread::yield_now();
    }
    assert!(knows(5000));
    tell(&server[0], home.outside(5001), "too late");
    home.await_filtered(1);
    tell(&server[0], home.outside(5000), "in time");
    assert_eq!(hear(&alice).0, "in time");
}

#[test]
fn only_it_has_the_timers_of_linux() {
    let home = Home::new(PortRestricted, &["alice"]);
    let refused = home.router().remember_udp(Duration::from_secs(1), Duration::from_secs(2)).unwrap_err();
    assert_eq!(refused.to_string(), "this router does not track connections as Linux does");
}
