//! Hosts on one LAN reach each other without their router, and the world by way of it.

use netns::lab::Lab;
use netns::nat::Family;
use netns::topology::{Topology, Uplink};

use crate::wire::{assert_they_meet, at, full_cone, hear, packets_into, seen_by, tell, udp, udp_v6};

fn on(lan: &str) -> Uplink {
    Uplink::Lan(lan.to_owned())
}

fn home_with_a_lan(family: Family) -> Topology {
    Topology::default().router("home", Uplink::Internet, full_cone(family)).lan("home.lan", "home")
}

#[test]
fn what_hosts_of_one_lan_tell_each_other_never_gets_to_their_router() {
    let topology = home_with_a_lan(Family::Dual).host("alice", on("home.lan")).host("bob", on("home.lan"));
    let lab = Lab::build(&topology.host("carol", "home".into())).unwrap();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| udp(&lab, name));
    let [alice6, bob6] = ["alice", "bob"].map(|name| udp_v6(&lab, name));

    let before = packets_into(&lab, "home");
    assert_they_meet(&alice, &bob);
    assert_they_meet(&alice6, &bob6);
    assert_eq!(packets_into(&lab, "home"), before);
    // Who is plugged into the router itself meets them there.
    assert_they_meet(&alice, &carol);
    assert_eq!(packets_into(&lab, "home"), before + 2);
    assert_they_meet(&bob, &carol);
}

#[test]
fn two_hosts_that_are_plugged_into_one_router_meet_in_it() {
    let topology = Topology::default().router("home", Uplink::Internet, full_cone(Family::Ipv4));
    let lab = Lab::build(&topology.host("alice", "home".into()).host("bob", "home".into())).unwrap();
    let before = packets_into(&lab, "home");
    assert_they_meet(&udp(&lab, "alice"), &udp(&lab, "bob"));
    assert_eq!(packets_into(&lab, "home"), before + 2);
}

#[test]
fn a_lan_is_translated_as_one_by_its_router() {
    let topology = home_with_a_lan(Family::Ipv4).host("alice", on("home.lan")).host("bob", on("home.lan"));
    let lab = Lab::build(&topology.server("server", 1)).unwrap();
    let [alice, bob, server] = ["alice", "bob", "server"].map(|name| udp(&lab, name));
    let (alices, bobs) = (seen_by(&server, &alice), seen_by(&server, &bob));
    assert_eq!(alices.ip(), lab.router("home").unwrap().outside());
    assert_eq!(alices.ip(), bobs.ip());
    assert_ne!(alices.port(), bobs.port());
    tell(&server, bobs, "for bob");
    assert_eq!(hear(&bob), ("for bob".to_owned(), at(&server)));
    // By the outside address there is a way too: out of the LAN, round in the router and in again.
    let before = packets_into(&lab, "home");
    tell(&alice, bobs, "the long way");
    assert_eq!(hear(&bob), ("the long way".to_owned(), alices));
    assert_eq!(packets_into(&lab, "home"), before + 1);
}

#[test]
fn two_lans_of_one_router_are_joined_by_it_and_a_home_may_stand_on_one() {
    let nat = full_cone(Family::Ipv4);
    let topology = Topology::default()
        .router("carrier", Uplink::Internet, nat)
        .lan("upstairs", "carrier")
        .lan("downstairs", "carrier")
        .router("home", on("upstairs"), nat)
        .host("alice", "home".into())
        .host("bob", on("upstairs"))
        .host("carol", on("downstairs"))
        .server("server", 1);
    let lab = Lab::build(&topology).unwrap();
    let [alice, bob, carol, server] = ["alice", "bob", "carol", "server"].map(|name| udp(&lab, name));
    let before = packets_into(&lab, "carrier");
    let seen = seen_by(&bob, &alice);
    assert_eq!(seen.ip(), lab.router("home").unwrap().outside());
    tell(&bob, seen, "hello next door");
    assert_eq!(hear(&alice), ("hello next door".to_owned(), at(&bob)));
    assert_eq!(packets_into(&lab, "carrier"), before);
    assert_they_meet(&bob, &carol);
    assert_eq!(packets_into(&lab, "carrier"), before + 2);
    let seen = seen_by(&server, &alice);
    tell(&server, seen, "from afar");
    assert_eq!(hear(&alice).0, "from afar");
}
