//! IPv6: public addresses everywhere, routed through every layer, and only where somebody has it. Every router is a
//! firewall to it.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Instant;

use netns::lab::Lab;
use netns::nat::{Family, Preset};
use netns::topology::{Topology, Uplink};

use crate::wire::{PATIENCE, assert_they_meet, at, full_cone, hear, tell, udp, udp_on, udp_v6};

#[test]
fn every_layer_hands_a_prefix_down_and_nobody_translates() {
    let dual = full_cone(Family::Dual);
    let topology = Topology::default()
        .router("carrier", Uplink::Internet, dual)
        .router("home", "carrier".into(), dual)
        .router("other home", "carrier".into(), dual)
        .lan("home.lan", "home")
        .host("alice", Uplink::Lan("home.lan".to_owned()))
        .host("bob", "other home".into())
        .public_host("carol", Family::Dual)
        .server("server", 2);
    let lab = Lab::build(&topology).unwrap();
    let names = ["alice", "bob", "carol", "server"];
    let sockets = names.map(|name| udp_v6(&lab, name));
    let routers = ["carrier", "home", "other home"];
    for (one, other) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)] {
        invite(&lab, &routers, &sockets[other], &sockets[one]);
        assert_they_meet(&sockets[one], &sockets[other]);
    }
    assert_they_meet(&sockets[2], &sockets[3]);
    for name in names {
        let prefix = lab.node(name).unwrap().addresses_v6()[0].segments();
        assert_eq!(prefix[..2], [0x2001, 0xdb8], "{name}");
    }
    assert_eq!(lab.node("server").unwrap().all_addresses().count(), 4);
}

#[test]
fn a_host_has_the_families_of_its_router_and_no_others() {
    let topology = Topology::default()
        .router("new", Uplink::Internet, full_cone(Family::Dual))
        .router("old", Uplink::Internet, full_cone(Family::Ipv4))
        .router(
            "newest",
            Uplink::Internet,
            netns::nat::Nat { family: Family::Ipv6, ..Preset::Firewall.nat().unwrap() },
        )
        .host("alice", "new".into())
        .host("bob", "old".into())
        .host("carol", "newest".into())
        .public_host("dave", Family::Ipv6)
        .server("server", 1);
    let lab = Lab::build(&topology).unwrap();
    for (name, v4, v6) in
        [("alice", 1, 1), ("bob", 1, 0), ("carol", 0, 1), ("dave", 0, 1), ("server", 1, 1), ("newest", 0, 1)]
    {
        let node = lab.node(name).unwrap();
        assert_eq!((node.addresses().len(), node.addresses_v6().len()), (v4, v6), "{name}");
        // What the kernel has is what the plan says: not even a link-local address comes on top.
        assert_eq!(can_leave(&lab, name, "203.0.113.2:9"), v4 == 1, "{name}");
        assert_eq!(can_leave(&lab, name, "[2001:db8:113::2]:9"), v6 == 1, "{name}");
        assert_eq!(addresses_of_outward(&lab, name), node.addresses_v6(), "{name}");
    }
    assert_eq!(lab.router("newest").unwrap().outside(), Ipv4Addr::UNSPECIFIED);
    let (alice, carol) = (udp_v6(&lab, "alice"), udp_v6(&lab, "carol"));
    invite(&lab, &["new", "newest"], &carol, &alice);
    assert_they_meet(&alice, &carol);
    assert_they_meet(&udp_v6(&lab, "dave"), &udp_v6(&lab, "server"));
}

#[test]
fn a_lab_without_ipv6_has_none() {
    let topology = Topology::default().host("alice", Uplink::Internet).server("server", 1);
    let lab = Lab::build(&topology).unwrap();
    assert_they_meet(&udp(&lab, "alice"), &udp(&lab, "server"));
    for name in ["alice", "server"] {
        assert!(lab.node(name).unwrap().addresses_v6().is_empty());
        assert!(!can_leave(&lab, name, "[2001:db8:113::2]:9"), "{name}");
    }
}

/// Sends to a host behind a firewall, which drops it; whoever the sender is behind admits that host from then on.
#[track_caller]
fn invite(lab: &Lab, routers: &[&str], from: &UdpSocket, to: &UdpSocket) {
    let filtered = || -> u64 {
        routers.iter().map(|router| lab.router(router).unwrap().drops().unwrap().filtered).sum()
    };
    let (before, start) = (filtered(), Instant::now());
    tell(from, at(to), "an invitation");
    while filtered() == before {
        assert!(start.elapsed() < PATIENCE, "nobody has dropped it");
        std::thread::yield_now();
    }
}

#[test]
fn an_address_receives_as_soon_as_its_lab_is_built() {
    // Each has its turn in the kernel's work queue.
    let topology = Topology::default().public_host("alice", Family::Dual).server("server", 250);
    let lab = Lab::build(&topology).unwrap();
    let alice = udp_v6(&lab, "alice");
    let addresses = lab.node("server").unwrap().addresses_v6().iter().rev();
    let servers: Vec<UdpSocket> = addresses.map(|&address| udp_on(&lab, "server", address.into())).collect();
    for server in &servers {
        tell(&alice, at(server), "at once");
    }
    for server in &servers {
        assert_eq!(hear(server).0, "at once");
    }
}

#[test]
fn no_link_belongs_to_a_group_whose_members_report() {
    let topology = Topology::default()
        .router("home", Uplink::Internet, full_cone(Family::Dual))
        .lan("home.lan", "home")
        .host("alice", Uplink::Lan("home.lan".to_owned()))
        .host("bob", "home".into());
    let lab = Lab::build(&topology).unwrap();
    for node in lab.nodes() {
        let text = node.within(|| std::fs::read_to_string("/proc/thread-self/net/igmp6").unwrap()).unwrap();
        let groups = text.lines().map(|line| line.split_whitespace().skip(1));
        for (link, group) in groups.filter_map(|mut words| Some((words.next()?, words.next()?))) {
            // All nodes, of the link and of the node: RFC 3810 section 6 has nobody report these.
            let all_nodes = ["ff020000000000000000000000000001", "ff010000000000000000000000000001"];
            assert!(link == "lo" || all_nodes.contains(&group), "{} {link} {group}", node.name());
        }
    }
}

/// Whether there is a way and an address to leave by; nothing is sent.
fn can_leave(lab: &Lab, node: &str, to: &str) -> bool {
    let any = if to.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
    let connect = || UdpSocket::bind(any).unwrap().connect(to).is_ok();
    lab.node(node).unwrap().within(connect).unwrap()
}

/// The IPv6 addresses of a node's outward link, as the kernel lists them.
fn addresses_of_outward(lab: &Lab, node: &str) -> Vec<Ipv6Addr> {
    let read = || std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
    let text = lab.node(node).unwrap().within(read).unwrap();
    let lines = text.lines().filter(|line| line.ends_with(" outward"));
    let mut addresses: Vec<Ipv6Addr> =
        lines.map(|line| u128::from_str_radix(&line[..32], 16).unwrap().into()).collect();
    addresses.sort();
    addresses
}
