//! Two CPUs at once: a port is never given to two hosts, and a flow never gets two ports.

use std::collections::HashMap;
use std::net::{SocketAddrV4, UdpSocket};

use netns::nat::Preset::{self, AddressRestricted, FullCone, PortRestricted, Symmetric};
use netns::race::at_once;
use rstest::rstest;

use super::home::{Home, at, hear, seen_by, tell};

/// Enough that without an atomic claim dozens collide.
const FLOWS: u16 = 2000;
/// Packets of so many flows fit into a socket's buffer.
const ROUND: u16 = 50;

#[rstest]
fn two_hosts_on_two_cpus_never_get_one_port(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice", "bob"]);
    let [server, ..] = home.server();
    let to = at(&server);
    let mut owners: HashMap<SocketAddrV4, String> = HashMap::new();
    for first in (10_000..10_000 + FLOWS).step_by(ROUND.into()) {
        let sockets = ["alice", "bob"]
            .map(|host| (first..first + ROUND).map(|port| (host, home.udp(host, port))).collect::<Vec<_>>());
        // Both hosts send from the same source port at the same moment.
        at_once(ROUND.into(), |cpu, flow| {
            let (host, socket) = &sockets[cpu][flow];
            tell(socket, to, &format!("{host} {}", at(socket).port()));
        });
        for _ in 0..2 * ROUND {
            let (owner, outside) = hear(&server);
            tell(&server, outside, &owner);
            let before = owners.insert(outside, owner.clone());
            assert_eq!(before, None, "{outside} belongs to {owner} as well");
        }
        for (host, socket) in sockets.iter().flatten() {
            let (owner, from) = hear(socket);
            assert_eq!((owner, from), (format!("{host} {}", at(socket).port()), to));
        }
    }
    assert_eq!(owners.len(), 2 * usize::from(FLOWS));
    let table = home.router().mappings().unwrap();
    assert_eq!(table.entries.len(), owners.len(), "every mapping is in the table once");
    for entry in &table.entries {
        let host = if entry.inside.ip() == home.node("alice").address() { "alice" } else { "bob" };
        assert_eq!(owners[&super::home::v4(entry.outside)], format!("{host} {}", entry.inside.port()));
    }
}

#[rstest]
fn one_socket_on_two_cpus_gets_one_mapping(
    #[values(FullCone, AddressRestricted, PortRestricted, Symmetric)] kind: Preset,
) {
    let home = Home::new(kind, &["alice"]);
    let server = home.server();
    // The first packets of a symmetric flow race only towards one destination.
    let other = if kind == Symmetric { &server[0] } else { &server[2] };
    for first in (10_000..10_000 + FLOWS).step_by(ROUND.into()) {
        let sockets: Vec<UdpSocket> = (first..first + ROUND).map(|port| home.udp("alice", port)).collect();
        at_once(ROUND.into(), |cpu, flow| {
            let socket = &sockets[flow];
            tell(socket, at([&server[0], other][cpu]), &at(socket).port().to_string());
        });
        let mut outside: HashMap<String, SocketAddrV4> = HashMap::new();
        for index in 0..2 * ROUND {
            let (flow, seen) = hear(if index % 2 == 0 { &server[0] } else { other });
            assert_eq!(*outside.entry(flow.clone()).or_insert(seen), seen, "flow {flow} has one mapping");
        }
        for socket in &sockets {
            let seen = outside[&at(socket).port().to_string()];
            if kind != Symmetric {
                assert_eq!(seen.port(), at(socket).port(), "nobody else wants it, so it is preserved");
            }
            tell(&server[0], seen, "for you");
            assert_eq!(hear(socket).0, "for you");
        }
    }
}

#[test]
fn a_port_that_is_contended_still_goes_to_one_of_the_two() {
    let home = Home::new(PortRestricted, &["alice", "bob"]);
    let [server, ..] = home.server();
    let sockets = ["alice", "bob"].map(|host| home.udp(host, 5000));
    at_once(1, |cpu, _| tell(&sockets[cpu], at(&server), "mine"));
    let (first, second) = (hear(&server).1, hear(&server).1);
    assert!(first.port() == 5000 || second.port() == 5000, "{first} {second}");
    assert_eq!(
        sockets.each_ref().map(|socket| seen_by(&server, socket)).iter().max(),
        Some(first.max(second)).as_ref()
    );
}
