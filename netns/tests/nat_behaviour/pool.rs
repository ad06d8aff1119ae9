//! Several outside addresses (RFC 4787 REQ-2): paired, an inside address keeps one of them; arbitrary, each mapping gets
//! any.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use netns::nat::Preset::{
    self, AddressRestricted, Cgnat, FullCone, PortRestricted, Symmetric, SymmetricSequential,
};
use netns::nat::{Allocation, Hairpin, Nat, Pooling};
use rstest::rstest;

use super::home::{Home, at, hear, seen_by, tell};

fn pool(kind: Preset, pooling: Pooling) -> Nat {
    Nat { addresses: 3, pooling, ..kind.nat().unwrap() }
}

#[rstest]
fn a_paired_host_keeps_its_address_and_hosts_are_spread(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric, SymmetricSequential)] kind: Preset,
) {
    let home = Home::of(pool(kind, Pooling::Paired), &["alice", "bob", "carol"]);
    let server = home.server();
    let addresses = ["alice", "bob", "carol"].map(|host| {
        let seen: Vec<_> = (5000..5008).map(|port| seen_by(&server[0], &home.udp(host, port))).collect();
        let addresses: HashSet<Ipv4Addr> = seen.iter().map(|seen| *seen.ip()).collect();
        assert_eq!(addresses.len(), 1, "{seen:?}");
        seen[0].ip().to_owned()
    });
    assert_eq!(addresses.iter().collect::<HashSet<_>>(), home.router().outsides().iter().collect());
    if kind == FullCone {
        // So each has its port preserved.
        assert!(
            home.router()
                .mappings()
                .unwrap()
                .entries
                .iter()
                .all(|entry| entry.outside.port() == entry.inside.port())
        );
    }
}

#[rstest]
fn arbitrary_mappings_get_any_address_and_every_one_is_reached(
    #[values(FullCone, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::of(pool(kind, Pooling::Arbitrary), &["alice"]);
    let server = home.server();
    let sockets: Vec<_> = (5000..5030).map(|port| home.udp("alice", port)).collect();
    let mut addresses = HashMap::<Ipv4Addr, usize>::new();
    for socket in &sockets {
        let outside = seen_by(&server[0], socket);
        *addresses.entry(*outside.ip()).or_default() += 1;
        tell(&server[0], outside, "for you");
        assert_eq!(hear(socket), ("for you".to_owned(), at(&server[0])));
        assert_eq!(seen_by(&server[0], socket), outside, "a mapping keeps its own");
    }
    // 30 draws of 3: that one never comes is one in 64,000.
    assert_eq!(addresses.len(), 3, "{addresses:?}");
}

#[test]
fn the_same_port_of_another_address_is_another_port() {
    let home = Home::of(pool(PortRestricted, Pooling::Paired), &["alice", "bob"]);
    let server = home.server();
    let (alice, bob) = (home.udp("alice", 5000), home.udp("bob", 5000));
    let (alices, bobs) = (seen_by(&server[0], &alice), seen_by(&server[1], &bob));
    assert_eq!((alices.port(), bobs.port()), (5000, 5000));
    assert_ne!(alices.ip(), bobs.ip());
    tell(&server[1], alices, "bob's friend");
    home.await_filtered(1);
    tell(&server[1], bobs, "for bob");
    assert_eq!(hear(&bob).0, "for bob");
    let third = home.router().outsides().iter().find(|&ip| ip != alices.ip() && ip != bobs.ip()).unwrap();
    tell(&server[0], std::net::SocketAddrV4::new(*third, 5000), "for nobody");
    home.await_filtered(2);
}

#[rstest]
fn neighbours_meet_by_whichever_address_they_have(
    #[values(Pooling::Paired, Pooling::Arbitrary)] pooling: Pooling,
) {
    let home =
        Home::of(Nat { hairpin: Hairpin::External, ..pool(PortRestricted, pooling) }, &["alice", "bob"]);
    let (alice, bob, server) = (home.udp("alice", 5000), home.udp("bob", 5001), home.server());
    let (alices, bobs) = (seen_by(&server[0], &alice), seen_by(&server[0], &bob));
    tell(&alice, bobs, "one");
    home.await_filtered(1);
    tell(&bob, alices, "two");
    assert_eq!(hear(&alice), ("two".to_owned(), bobs));
    tell(&alice, bobs, "three");
    assert_eq!(hear(&bob), ("three".to_owned(), alices));
}

#[rstest]
fn blocks_of_several_addresses_are_all_given(#[values(false, true)] on_demand: bool) {
    let names: Vec<String> = (0..46).map(|number| format!("host {number}")).collect();
    let hosts: Vec<&str> = names.iter().map(String::as_str).collect();
    let allocation = Allocation::Blocks { size: 4096, on_demand };
    let home = Home::of(Nat { allocation, ..pool(Cgnat, Pooling::Paired) }, &hosts);
    let server = home.server();
    let given: HashSet<(Ipv4Addr, u16)> = hosts[..45]
        .iter()
        .map(|host| seen_by(&server[0], &home.udp(host, 5000)))
        .map(|seen| (*seen.ip(), seen.port() / 4096))
        .collect();
    assert_eq!(given.len(), 45, "three addresses of fifteen blocks each");
    tell(&home.udp(hosts[45], 5000), at(&server[0]), "and I?");
    home.await_drops(|drops| drops.exhausted == 1);
}
