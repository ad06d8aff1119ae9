//! Which outside port a flow gets (RFC 4787 section 4), and for how long.

use std::collections::HashSet;
use std::net::{SocketAddrV4, UdpSocket};

use netns::nat::Preset::{self, AddressRestricted, FullCone, PortRestricted, Symmetric};
use rstest::rstest;

use super::home::{Home, at, hear, seen_by, tell, udp};

#[rstest]
fn a_mapping_is_kept_or_changed_with_the_destination_as_its_class_says(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let seen: Vec<SocketAddrV4> = server.iter().map(|server| seen_by(server, &alice)).collect();
    let again: Vec<SocketAddrV4> = server.iter().map(|server| seen_by(server, &alice)).collect();
    assert_eq!(seen, again, "a destination that was spoken to keeps its mapping");
    assert!(seen.iter().all(|seen| *seen.ip() == home.router().outside()));
    if kind == Symmetric {
        let ports: HashSet<u16> = seen.iter().map(SocketAddrV4::port).collect();
        assert_eq!(ports.len(), 4, "{seen:?}");
    } else {
        assert_eq!(seen, [home.outside(5000); 4]);
    }
}

#[test]
fn the_ports_of_a_symmetric_router_are_neither_preserved_nor_in_order() {
    let home = Home::new(Symmetric, &["alice"]);
    let server = home.server();
    let alices: Vec<UdpSocket> = (5000..5032).map(|port| home.udp("alice", port)).collect();
    let ports: Vec<u16> = alices.iter().map(|alice| seen_by(&server[0], alice).port()).collect();
    let preserved = ports.iter().zip(5000..).filter(|&(&outside, inside)| outside == inside).count();
    let in_order = ports.windows(2).filter(|pair| pair[1] == pair[0].wrapping_add(1)).count();
    assert!(preserved <= 1 && in_order <= 1, "{ports:?}");
    assert!(ports.iter().all(|&port| port >= 1024));
}

#[rstest]
fn two_hosts_with_one_source_port_never_share_an_outside_port(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
    #[values(false, true)] towards_one_destination: bool,
) {
    let home = Home::new(kind, &["alice", "bob"]);
    let server = home.server();
    let (alice, bob) = (home.udp("alice", 5000), home.udp("bob", 5000));
    let bobs_server = if towards_one_destination { &server[0] } else { &server[2] };
    let (alice_outside, bob_outside) = (seen_by(&server[0], &alice), seen_by(bobs_server, &bob));
    assert_ne!(alice_outside, bob_outside);
    if kind != Symmetric {
        assert_eq!(alice_outside, home.outside(5000), "the first has its port preserved");
    }
    // Each is reached, and only each.
    tell(bobs_server, bob_outside, "for bob");
    tell(&server[0], alice_outside, "for alice");
    assert_eq!(hear(&alice), ("for alice".to_owned(), at(&server[0])));
    assert_eq!(hear(&bob), ("for bob".to_owned(), at(bobs_server)));
}

#[rstest]
fn a_hundred_destinations_all_answer(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice"]);
    let alice = home.udp("alice", 5000);
    let node = home.node("server");
    let servers: Vec<UdpSocket> = node
        .addresses()
        .iter()
        .flat_map(|&address| (7000..7050).map(move |port| udp(node, address, port)))
        .collect();
    let mut ports = HashSet::new();
    for server in &servers {
        ports.insert(seen_by(server, &alice).port());
    }
    assert_eq!(ports.len(), if kind == Symmetric { 100 } else { 1 });
    assert_eq!(home.router().mappings().unwrap().entries.len(), ports.len());
    // The answers come long after, in another order.
    for server in servers.iter().rev() {
        let outside = seen_by(server, &alice);
        assert!(ports.contains(&outside.port()));
        tell(server, outside, "an answer");
        assert_eq!(hear(&alice), ("an answer".to_owned(), at(server)));
    }
}

#[rstest]
fn a_peer_that_speaks_first_does_not_cost_the_port(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice"]);
    let server = home.server();
    let alice = home.udp("alice", 5000);
    for early in 1..=3 {
        tell(&server[0], home.outside(5000), "too early");
        home.await_filtered(early);
    }
    let outside = seen_by(&server[0], &alice);
    if kind != Symmetric {
        assert_eq!(outside, home.outside(5000));
    }
    tell(&server[0], outside, "in time");
    assert_eq!(hear(&alice).0, "in time");
}

#[rstest]
fn a_reboot_forgets_mappings_and_counters_and_new_ones_work(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice", "bob"]);
    let server = home.server();
    let (alice, bob) = (home.udp("alice", 5000), home.udp("bob", 5000));
    let before = seen_by(&server[0], &alice);
    tell(&server[0], home.outside(9), "nobody is here");
    home.await_filtered(1);

    home.router().reboot().unwrap();
    assert_eq!(home.filtered(), 0);
    assert_eq!(home.router().mappings().unwrap().entries, []);
    tell(&server[0], before, "to a mapping that was");
    home.await_filtered(1);
    // The port is free again: whoever comes first has it.
    let bobs = seen_by(&server[0], &bob);
    if kind != Symmetric {
        assert_eq!(bobs, home.outside(5000));
    }
    let alices = seen_by(&server[0], &alice);
    assert_ne!(alices, bobs);
    tell(&server[0], alices, "again");
    assert_eq!(hear(&alice).0, "again");
}

#[test]
fn protocols_do_not_share_ports() {
    use std::net::{TcpListener, TcpStream};
    let home = Home::new(FullCone, &["alice", "bob"]);
    let server = home.server();
    let listener = home.node("server").within(|| TcpListener::bind(at(&server[0])).unwrap()).unwrap();
    let to = at(&server[0]);
    let stream = home.node("bob").within(|| TcpStream::connect(to).unwrap()).unwrap();
    let inside = stream.local_addr().unwrap().port();
    let (_, from) = listener.accept().unwrap();
    assert_eq!(from.port(), inside, "TCP's port is preserved");
    let alice = home.udp("alice", inside);
    assert_eq!(seen_by(&server[0], &alice).port(), inside, "and UDP's is free all the same");
}
