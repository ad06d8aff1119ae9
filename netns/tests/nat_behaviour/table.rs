//! The mapping table as people read it.

use std::time::{Duration, Instant};

use netns::nat::Preset::{
    self, AddressDependent, AddressRestricted, Cgnat, Firewall, FullCone, LinuxMasquerade, PortRestricted,
    Symmetric,
};
use nix::sys::socket::SockProtocol;
use rstest::rstest;

use super::home::{Home, PATIENCE, at, raw, seen_by};

#[rstest]
fn a_mapping_table_names_who_is_mapped_to_what_and_admits_whom(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice", "bob"]);
    let (alice, bob, server) = (home.udp("alice", 5000), home.udp("bob", 6000), home.server());
    for server in [&server[0], &server[1]] {
        seen_by(server, &alice);
    }
    seen_by(&server[2], &bob);
    let mut table = home.router().mappings().unwrap();
    for entry in &mut table.entries {
        entry.idle = Duration::from_millis(1500);
        if kind == Symmetric {
            // Drawn at random.
            entry.outside.set_port(0);
        }
    }
    insta::assert_snapshot!(format!("mapping_table_{}", kind.name().replace('-', "_")), table);
}

#[rstest]
fn the_packets_of_each_mapping_are_counted_both_ways_where_that_is_asked_for(
    #[values(FullCone, PortRestricted, AddressDependent, Symmetric, Cgnat, Firewall, LinuxMasquerade)]
    kind: Preset,
) {
    let home = Home::counting(kind.nat().unwrap(), &["alice", "bob"]);
    let (alice, bob, server) = (home.udp("alice", 5000), home.udp("bob", 6000), home.server());
    // There and back: three of alice towards one address, one of bob's.
    for _ in 0..3 {
        let outside = seen_by(&server[0], &alice);
        super::home::tell(&server[0], outside, "an answer");
        super::home::hear(&alice);
    }
    seen_by(&server[2], &bob);
    super::icmp::send_echo(&raw(home.node("bob"), SockProtocol::Icmp), *at(&server[0]).ip(), 77, b"ping");
    let table = home.router().mappings().unwrap();
    let packets = |port: u16| -> Vec<_> {
        let rows = table.entries.iter().filter(|entry| entry.inside.port() == port);
        rows.map(|entry| entry.packets).collect()
    };
    assert_eq!((packets(5000), packets(6000)), (vec![Some(6)], vec![Some(1)]), "{table}");
    assert!(packets(77).iter().flatten().sum::<u64>() >= 1, "the echo that has left: {table}");
    home.router().reboot().unwrap();
    seen_by(&server[0], &alice);
    assert_eq!(
        home.router().mappings().unwrap().entries[0].packets,
        Some(1),
        "a reboot forgets numbers, too"
    );
}

#[test]
fn a_mapping_grows_idle_until_a_packet_leaves() {
    let home = Home::new(FullCone, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    seen_by(&server[0], &alice);
    let idle = || home.router().mappings().unwrap().entries[0].idle;
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    while longest < Duration::from_millis(40) {
        assert!(start.elapsed() < PATIENCE, "it never grows idle");
        longest = idle();
        std::thread::yield_now();
    }
    // A packet from outside does not count (RFC 4787 REQ-6: inbound refresh is off).
    super::home::tell(&server[0], home.outside(5000), "inbound");
    super::home::hear(&alice);
    assert!(idle() >= longest);
    let before = idle();
    while idle() >= before {
        assert!(start.elapsed() < PATIENCE, "an outbound packet does not refresh it");
        seen_by(&server[0], &alice);
    }
}

#[test]
fn tcp_and_echoes_are_in_the_table_too() {
    use netns::nat::table::Protocol::{Echo, Tcp, Udp};
    let home = Home::new(PortRestricted, &["alice"]);
    let server = home.server();
    let listener =
        home.node("server").within(|| std::net::TcpListener::bind(at(&server[0])).unwrap()).unwrap();
    let to = listener.local_addr().unwrap();
    let _stream = home.node("alice").within(|| std::net::TcpStream::connect(to).unwrap()).unwrap();
    seen_by(&server[0], &home.udp("alice", 5000));
    super::icmp::send_echo(&raw(home.node("alice"), SockProtocol::Icmp), *at(&server[0]).ip(), 77, b"ping");
    let table = home.router().mappings().unwrap();
    let rows: Vec<_> = table.entries.iter().map(|entry| (entry.protocol, &entry.admits)).collect();
    let of = |port| Some(vec![std::net::SocketAddr::from((*at(&server[0]).ip(), port))]);
    assert_eq!(rows, [(Echo, &of(0)), (Tcp, &of(3478)), (Udp, &of(3478))]);
}
