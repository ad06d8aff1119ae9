//! Many routers in one lab, and many labs at once.

use std::collections::HashSet;

use netns::lab::Lab;
use netns::nat::Preset::{FullCone, PortRestricted, Symmetric};
use netns::topology::{Topology, Uplink};

use super::home::{at, hear, seen_by, tell, udp};

#[test]
fn two_hundred_routers_in_one_lab_all_work_at_once() {
    const ROUTERS: usize = 200;
    let mut topology = Topology::default().server("server", 2);
    for number in 0..ROUTERS {
        let kind = [FullCone, PortRestricted, Symmetric][number % 3];
        topology = topology
            .router(&format!("router {number}"), Uplink::Internet, kind.nat().unwrap())
            .host(&format!("host {number}"), format!("router {number}").as_str().into());
    }
    let lab = Lab::build(&topology).unwrap();
    let node = lab.node("server").unwrap();
    let server = udp(node, node.address(), 3478);
    let hosts: Vec<_> = (0..ROUTERS)
        .map(|number| {
            let node = lab.node(&format!("host {number}")).unwrap();
            udp(node, node.address(), 5000)
        })
        .collect();
    // The neighbour table that all namespaces share has room for 1,024 that are not permanent; every link is used
    // while every other one is.
    let outside: Vec<_> = hosts.iter().map(|host| seen_by(&server, host)).collect();
    assert_eq!(outside.iter().map(|address| address.ip()).collect::<HashSet<_>>().len(), ROUTERS);
    for (number, &outside) in outside.iter().enumerate() {
        tell(&server, outside, &number.to_string());
    }
    for (number, host) in hosts.iter().enumerate() {
        assert_eq!(hear(host), (number.to_string(), at(&server)));
    }
    // And past each other: every host by every full cone.
    for (number, host) in hosts.iter().enumerate() {
        let cone = number / 3 * 3;
        tell(host, outside[cone], &format!("from {number}"));
        assert_eq!(hear(&hosts[cone]).0, format!("from {number}"));
    }
}

#[test]
fn labs_that_are_built_at_once_share_nothing() {
    let topology = Topology::default()
        .router("home", Uplink::Internet, PortRestricted.nat().unwrap())
        .host("alice", "home".into())
        .server("server", 1);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let topology = &topology;
            scope.spawn(move || {
                // The next lab is built while the one before is still there: same names, same addresses.
                let mut before: Option<(Lab, std::net::UdpSocket)> = None;
                for round in 0..4 {
                    let lab = Lab::build(topology).unwrap();
                    let [alice, server] = ["alice", "server"].map(|name| {
                        let node = lab.node(name).unwrap();
                        udp(node, node.address(), 5000)
                    });
                    let mark = format!("thread {thread} round {round}");
                    tell(&alice, at(&server), &mark);
                    let (heard, outside) = hear(&server);
                    assert_eq!(heard, mark);
                    assert_eq!(outside.port(), 5000, "no other lab has the port");
                    assert_eq!(lab.router("home").unwrap().mappings().unwrap().entries.len(), 1);
                    if let Some((_lab, server)) = before.replace((lab, server)) {
                        server.set_nonblocking(true).unwrap();
                        assert!(server.recv(&mut [0; 64]).is_err(), "the older lab heard of the newer one");
                    }
                }
            });
        }
    });
}

#[test]
fn a_router_behind_a_router_translates_what_is_translated() {
    let nat = PortRestricted.nat().unwrap();
    let topology = Topology::default()
        .router("carrier", Uplink::Internet, nat)
        .router("home", "carrier".into(), nat)
        .router("other home", "carrier".into(), nat)
        .host("alice", "home".into())
        .host("bob", "other home".into())
        .server("server", 1);
    let lab = Lab::build(&topology).unwrap();
    let [alice, bob, server] = ["alice", "bob", "server"].map(|name| {
        let node = lab.node(name).unwrap();
        udp(node, node.address(), 5000)
    });
    let (alices, bobs) = (seen_by(&server, &alice), seen_by(&server, &bob));
    assert_eq!(alices.ip(), &lab.router("carrier").unwrap().outside());
    assert_ne!(alices, bobs);
    tell(&server, alices, "for alice");
    tell(&server, bobs, "for bob");
    assert_eq!((hear(&alice).0.as_str(), hear(&bob).0.as_str()), ("for alice", "for bob"));
    // Each meets the other by the carrier's outside address: the hairpin is the carrier's.
    tell(&alice, bobs, "one");
    tell(&bob, alices, "two");
    assert_eq!(hear(&alice), ("two".to_owned(), bobs));
    tell(&alice, bobs, "three");
    assert_eq!(hear(&bob), ("three".to_owned(), alices));
}
