//! A firewall in front of public IPv4 addresses: nothing is translated, and who was not asked is not admitted.

use std::io::ErrorKind;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use netns::lab::Drops;
use netns::nat::Filtering::{self, AddressAndPortDependent, AddressDependent, EndpointIndependent};
use netns::nat::table::Protocol::{Echo, Tcp, Udp};
use netns::nat::{Egress, Nat, OnDrop, Preset};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{SockProtocol, getsockopt, setsockopt, sockopt};
use rstest::rstest;

use super::home::{Home, PATIENCE, at, hear, packet, raw, seen_by, send_packet, tell};
use super::icmp::{assert_refused, next_icmp, send_echo, send_icmp};
use super::packets::{assert_heard, fragments};
use super::tcp::{connect_from, finish_connect, listen, start_connect};

/// The kernel counts time in ticks of 10 ms at most.
const TICK: Duration = Duration::from_millis(10);

pub(crate) fn firewall() -> Nat {
    Preset::Firewall.nat().unwrap()
}

#[test]
fn what_leaves_is_what_was_sent() {
    let home = Home::new(Preset::Firewall, &["alice", "bob"]);
    let server = home.server();
    for host in ["alice", "bob"] {
        // One source port is no conflict where everybody has an address of their own.
        let socket = home.udp(host, 5000);
        for server in &server {
            assert_eq!(seen_by(server, &socket), at(&socket));
            tell(server, at(&socket), "an answer");
            assert_eq!(hear(&socket), ("an answer".to_owned(), at(server)));
        }
    }
    assert_eq!(home.router().drops().unwrap(), Drops::default());
}

#[test]
fn hosts_behind_it_reach_each_other() {
    let home = Home::new(Preset::Firewall, &["alice", "bob"]);
    let (alice, bob) = (home.udp("alice", 5000), home.udp("bob", 6000));
    tell(&alice, at(&bob), "hello, neighbour");
    assert_eq!(hear(&bob), ("hello, neighbour".to_owned(), at(&alice)));
    assert_eq!(home.router().mappings().unwrap().entries, [], "it is no business of the world's");
}

#[rstest]
#[case(EndpointIndependent, true, true)]
#[case(AddressDependent, true, false)]
#[case(AddressAndPortDependent, false, false)]
fn a_stranger_is_admitted_as_the_filter_says(
    #[case] filtering: Filtering,
    #[case] other_port: bool,
    #[case] other_address: bool,
) {
    let home = Home::of(Nat { filtering, ..firewall() }, &["alice", "bob"]);
    let (alice, bob, server) = (home.udp("alice", 5000), home.udp("bob", 5000), home.server());
    tell(&server[0], at(&alice), "nobody has asked");
    home.await_filtered(1);
    seen_by(&server[0], &alice);
    let mut dropped = 1;
    for (stranger, admitted) in
        [(&server[1], other_port), (&server[2], other_address), (&server[3], other_address)]
    {
        tell(stranger, at(&alice), "from a stranger");
        if admitted {
            assert_eq!(hear(&alice), ("from a stranger".to_owned(), at(stranger)));
        } else {
            dropped += 1;
            home.await_filtered(dropped);
        }
        tell(&server[0], at(&alice), "from a friend");
        assert_eq!(hear(&alice), ("from a friend".to_owned(), at(&server[0])));
    }
    tell(&server[0], at(&bob), "what alice opened is not open for bob");
    home.await_filtered(dropped + 1);
}

#[test]
fn who_is_not_admitted_is_told_nothing() {
    let home = Home::new(Preset::Firewall, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    for to in [at(&alice), home.outside(5000)] {
        server[0].connect(to).unwrap();
        server[0].send(b"is anybody here?").unwrap();
    }
    let _listener = listen(home.node("alice"), 80);
    let address = home.node("alice").address();
    let knocking = start_connect(home.node("server"), 6000, (address, 80).into());
    home.await_drops(|drops| drops.filtered >= 3);
    // Whatever the router had answered would have come before this, on the same wire.
    seen_by(&server[1], &alice);
    assert!(server[0].take_error().unwrap().is_none());
    assert_eq!(getsockopt(&knocking, sockopt::SocketError).unwrap(), 0);
    let mut waited = [PollFd::new(knocking.as_fd(), PollFlags::POLLOUT)];
    assert_eq!(poll(&mut waited, PollTimeout::ZERO).unwrap(), 0, "neither refused nor connected");
}

#[test]
fn one_that_rejects_says_so() {
    let home = Home::of(Nat { on_drop: OnDrop::Reject, ..firewall() }, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    server[0].connect(at(&alice)).unwrap();
    server[0].send(b"is anybody here?").unwrap();
    let told = server[0].recv(&mut [0; 16]).unwrap_err();
    assert_eq!(told.raw_os_error(), Some(Errno::EHOSTUNREACH as i32), "administratively prohibited");
    let _listener = listen(home.node("alice"), 80);
    let to = SocketAddr::from((home.node("alice").address(), 80));
    let refused = home.node("server").within(|| TcpStream::connect(to).unwrap_err()).unwrap();
    assert_eq!((refused.kind(), home.filtered()), (ErrorKind::ConnectionRefused, 2));
}

#[test]
fn echoes_are_answered_only_to_who_has_asked() {
    let home = Home::new(Preset::Firewall, &["alice", "bob"]);
    let (alice, server) = (home.node("alice").address(), home.node("server").address());
    let [ours, theirs] = ["alice", "server"].map(|name| raw(home.node(name), SockProtocol::Icmp));
    send_echo(&theirs, alice, 5, b"anybody?");
    home.await_filtered(1);
    send_echo(&ours, server, 77, b"are you there?");
    let reply = next_icmp(&ours);
    assert_eq!((reply[20], &reply[24..26]), (0, &77u16.to_be_bytes()[..]), "a reply to her own");
    // A reply that nobody has asked for.
    send_icmp(&theirs, alice, vec![0, 0, 0, 0, 0, 78, 0, 1]);
    home.await_filtered(2);
}

#[test]
fn an_error_passes_where_it_is_about_a_flow_and_reaches_nobody_else() {
    let home = Home::new(Preset::Firewall, &["alice", "bob"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    seen_by(&server[0], &alice);
    alice.connect((*at(&server[0]).ip(), 9)).unwrap();
    alice.send(b"is this port open?").unwrap();
    assert_refused(&alice);

    let wire = raw(home.node("server"), SockProtocol::Icmp);
    let about = |port: u16| {
        let mut error = vec![3, 3, 0, 0, 0, 0, 0, 0];
        let quoted = packet(*at(&alice).ip(), *at(&server[0]).ip(), 17, &[]);
        error.extend(quoted);
        error.extend(port.to_be_bytes());
        error.extend([at(&server[0]).port().to_be_bytes(), [0, 8], [0, 0]].concat());
        error
    };
    send_icmp(&wire, *at(&alice).ip(), about(5001));
    home.await_filtered(1);
    send_icmp(&wire, home.node("bob").address(), about(5000));
    home.await_filtered(2);
    let alices = raw(home.node("alice"), SockProtocol::Icmp);
    send_icmp(&wire, *at(&alice).ip(), about(5000));
    assert_eq!(
        next_icmp(&alices)[48..50],
        5000u16.to_be_bytes(),
        "the first that reaches her is about her flow"
    );
    alice.connect(at(&server[0])).unwrap();
    tell(&server[0], at(&alice), "no flow has ended");
    assert_eq!((hear(&alice).0.as_str(), home.filtered()), ("no flow has ended", 2));
}

#[test]
fn an_error_about_an_admitted_packet_leaves() {
    let home = Home::new(Preset::Firewall, &["alice"]);
    let server = home.server();
    let to = at(&home.udp("alice", 5000));
    seen_by(&server[0], &home.udp("alice", 5000));
    // Alice's socket is closed by now.
    server[0].connect(to).unwrap();
    server[0].send(b"are you still there?").unwrap();
    assert_refused(&server[0]);
    // A hop further on is where this echo ends: it is the router of the internet that complains.
    let wire = raw(home.node("alice"), SockProtocol::Icmp);
    setsockopt(&wire, sockopt::Ipv4Ttl, &2).unwrap();
    send_echo(&wire, *at(&server[0]).ip(), 77, b"how far?");
    assert_eq!(next_icmp(&wire)[20], 11, "time exceeded");
    assert_eq!(home.router().drops().unwrap(), Drops::default());
}

#[rstest]
fn fragments_pass_in_any_order(#[values([2, 1, 0], [1, 0, 2], [0, 2, 1])] order: [usize; 3]) {
    use super::home::datagram;
    let home = Home::new(Preset::Firewall, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let (inside, public) = (*at(&alice).ip(), *at(&server[0]).ip());
    let text: Vec<u8> = (0..3000).map(|n| (n % 251) as u8).collect();
    let out = fragments(inside, public, &datagram(5000, 3478, &text));
    order.iter().for_each(|&index| send_packet(home.node("alice"), public, &out[index]));
    assert_eq!(assert_heard(&server[0], &text), at(&alice));
    let back = fragments(public, inside, &datagram(3478, 5000, &text));
    order.iter().for_each(|&index| send_packet(home.node("server"), inside, &back[index]));
    assert_heard(&alice, &text);
    server[2].send_to(&text, at(&alice)).unwrap();
    home.await_filtered(1);
}

#[test]
fn a_flow_ends_though_packets_come_in_all_the_time() {
    let timeout = Duration::from_millis(300);
    let home = Home::of(Nat { timeout, ..firewall() }, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let start = Instant::now();
    seen_by(&server[0], &alice);
    while home.filtered() == 0 {
        assert!(start.elapsed() < PATIENCE, "it never ends");
        tell(&server[0], at(&alice), "an inbound packet");
    }
    assert!(start.elapsed() + TICK >= timeout);
    assert_eq!(home.router().mappings().unwrap().entries, []);
}

#[test]
fn with_inbound_refresh_a_packet_that_comes_in_keeps_the_flow_open() {
    let timeout = Duration::from_millis(500);
    let home = Home::of(Nat { timeout, inbound_refresh: true, ..firewall() }, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let mut opened = Instant::now();
    seen_by(&server[0], &alice);
    let (mut last, mut dropped) = (opened, 0);
    while opened.elapsed() < 3 * timeout {
        tell(&server[0], at(&alice), "an inbound packet");
        if last.elapsed() >= timeout / 2 {
            // The machine had something else to do: nothing can be said of this flow.
            opened = Instant::now();
            seen_by(&server[0], &alice);
            dropped = home.filtered();
        } else {
            assert_eq!(home.filtered(), dropped);
        }
        last = Instant::now();
    }
}

#[rstest]
#[case(Egress::NoUdp, false, true, true)]
#[case(Egress::HttpsOnly, false, false, true)]
#[case(Egress::Portal, false, false, false)]
fn what_may_not_leave_is_refused_and_counted(
    #[case] egress: Egress,
    #[case] udp: bool,
    #[case] any_tcp: bool,
    #[case] https: bool,
) {
    let home = Home::of(Nat { egress, ..firewall() }, &["alice"]);
    assert_leaves(&home, udp, any_tcp, https);
    if egress == Egress::Portal {
        home.router().log_in().unwrap();
        assert_leaves(&home, true, true, true);
        home.router().reboot().unwrap();
        assert_leaves(&home, false, false, false);
    }
}

/// Whether UDP, TCP to any port and TCP to 443 leave.
#[track_caller]
fn assert_leaves(home: &Home, udp: bool, any_tcp: bool, https: bool) {
    let refused = || home.router().drops().unwrap().refused;
    let (socket, server) = (home.udp("alice", 5000), home.server());
    let before = refused();
    tell(&socket, at(&server[0]), "may I?");
    if udp {
        assert_eq!(hear(&server[0]).0, "may I?");
    } else {
        home.await_drops(|drops| drops.refused > before);
    }
    for (port, leaves) in [(80, any_tcp), (443, https)] {
        let to = SocketAddr::from((home.node("server").address(), port));
        let listener: TcpListener = home.node("server").within(|| TcpListener::bind(to).unwrap()).unwrap();
        let before = refused();
        let connecting = start_connect(home.node("alice"), 5000 + port, to);
        if leaves {
            finish_connect(connecting);
            listener.accept().unwrap();
        } else {
            home.await_drops(|drops| drops.refused > before);
        }
    }
}

#[test]
fn its_table_names_every_flow_and_a_reboot_empties_it() {
    let home = Home::new(Preset::Firewall, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let listener = home.node("server").within(|| TcpListener::bind(at(&server[0])).unwrap()).unwrap();
    let _stream = connect_from(home.node("alice"), 4000, listener.local_addr().unwrap());
    seen_by(&server[2], &alice);
    seen_by(&server[0], &alice);
    send_echo(&raw(home.node("alice"), SockProtocol::Icmp), *at(&server[0]).ip(), 77, b"ping");
    let table = home.router().mappings().unwrap();
    let rows: Vec<_> = table
        .entries
        .iter()
        .map(|entry| (entry.protocol, entry.inside, entry.admits.clone().unwrap()))
        .collect();
    let inside = |port| SocketAddr::from((home.node("alice").address(), port));
    let remote = |index: usize| SocketAddr::from(at(&server[index]));
    let pinged = SocketAddrV4::new(*at(&server[0]).ip(), 0).into();
    assert_eq!(
        rows,
        [
            (Echo, inside(77), vec![pinged]),
            (Tcp, inside(4000), vec![remote(0)]),
            (Udp, inside(5000), vec![remote(0), remote(2)]),
        ]
    );
    assert!(table.entries.iter().all(|entry| entry.outside == entry.inside && entry.remote.is_none()));
    home.router().reboot().unwrap();
    assert_eq!(home.router().mappings().unwrap().entries, []);
    tell(&server[0], at(&alice), "a friend of before");
    home.await_filtered(1);
    still_works(&alice, &server[0]);
}

fn still_works(host: &UdpSocket, server: &UdpSocket) {
    seen_by(server, host);
    tell(server, at(host), "a friend of now");
    assert_eq!(hear(host).0, "a friend of now");
}

#[test]
fn a_protocol_without_ports_is_refused_and_counted_both_ways() {
    const GRE: u8 = 47;
    let home = Home::new(Preset::Firewall, &["alice"]);
    let (inside, public) = (home.node("alice").address(), home.node("server").address());
    send_packet(home.node("alice"), public, &packet(inside, public, GRE, &[0; 16]));
    home.await_drops(|drops| drops.untranslatable == 1);
    send_packet(home.node("server"), inside, &packet(public, inside, GRE, &[0; 16]));
    home.await_filtered(1);
}
