//! Which ports are given out (RFC 4787 section 4.2; blocks: RFC 7422): in order, from a subscriber's block, and what
//! becomes of who comes when there is none left.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use netns::nat::Preset::{Cgnat, SymmetricSequential};
use netns::nat::{Allocation, Nat};
use rstest::rstest;

use super::home::{Home, PATIENCE, at, hear, seen_by, tell};

fn blocks(size: u16, on_demand: bool) -> Nat {
    Nat { allocation: Allocation::Blocks { size, on_demand }, ..Cgnat.nat().unwrap() }
}

#[test]
fn ports_in_order_are_the_last_plus_one_whoever_asks() {
    let home = Home::new(SymmetricSequential, &["alice", "bob"]);
    let server = home.server();
    let (alice, bob) = (home.udp("alice", 5000), home.udp("bob", 5000));
    let mut ports = Vec::new();
    for server in &server {
        ports.extend([&alice, &bob].map(|host| seen_by(server, host).port()));
        // A known flow takes no new one.
        assert_eq!(seen_by(server, &alice).port(), ports[ports.len() - 2]);
    }
    let first = ports[0];
    assert_eq!(ports, (first..first + 8).collect::<Vec<_>>());
    home.router().reboot().unwrap();
    assert_eq!(seen_by(&server[0], &bob).port(), first, "a reboot begins anew");
}

#[test]
fn a_port_that_is_taken_is_skipped() {
    let nat = Nat { timeout: Duration::from_secs(1), ..SymmetricSequential.nat().unwrap() };
    let home = Home::of(nat, &["alice", "bob"]);
    let server = home.server();
    let (alice, keeper) = (home.udp("alice", 5000), home.udp("bob", 5000));
    let keep = || seen_by(&server[0], &keeper).port();
    assert_eq!([seen_by(&server[0], &alice).port(), keep()], [1024, 1025]);
    // Once around all ports, to an address that nobody has; each is forgotten before its turn comes again.
    let nobody = Ipv4Addr::new(203, 0, 113, 200);
    for flow in 1026..=65_533u16 {
        tell(&alice, SocketAddrV4::new(nobody, flow), "on and on");
        if flow % 64 == 0 {
            assert_eq!(keep(), 1025, "who speaks on keeps its port");
        }
        let start = Instant::now();
        while flow % 4096 == 0 && home.router().mappings().unwrap().entries.len() > 1 {
            assert!(start.elapsed() < PATIENCE);
            assert_eq!(keep(), 1025);
        }
    }
    let [_, low, second, third] = &server;
    let ports = [low, second, third].map(|server| seen_by(server, &alice).port());
    assert_eq!(ports, [65_534, 65_535, 1024]);
    assert_eq!(seen_by(low, &home.udp("alice", 5001)).port(), 1026, "the keeper's is skipped");
    assert_eq!(home.router().drops().unwrap().exhausted, 0);
}

#[rstest]
fn a_subscribers_ports_are_all_from_its_own_block(
    #[values(64, 512, 2048)] size: u16,
    #[values(false, true)] on_demand: bool,
) {
    let home = Home::of(blocks(size, on_demand), &["alice", "bob", "carol"]);
    let server = home.server();
    let block_of = |host: &str| {
        let ports: Vec<u16> =
            (5000..5020).map(|port| seen_by(&server[0], &home.udp(host, port)).port()).collect();
        let blocks: HashSet<u16> = ports.iter().map(|port| port / size).collect();
        assert_eq!(blocks.len(), 1, "{ports:?}");
        let in_order = ports.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
        assert!(in_order < 10, "random in the block: {ports:?}");
        ports[0] / size
    };
    let blocks = ["carol", "alice", "bob"].map(block_of);
    let first = 1024_u16.div_ceil(size);
    // On demand who comes first gets the first; else they are in the order of their addresses.
    assert_eq!(blocks, if on_demand { [0, 1, 2] } else { [2, 0, 1] }.map(|nth| first + nth));
}

#[rstest]
fn a_full_block_drops_and_counts_and_its_last_free_port_is_found(#[values(false, true)] on_demand: bool) {
    let home = Home::of(blocks(64, on_demand), &["alice", "bob"]);
    let server = home.server();
    let alices: Vec<UdpSocket> = (5000..5064).map(|port| home.udp("alice", port)).collect();
    let ports: HashSet<u16> = alices.iter().map(|alice| seen_by(&server[0], alice).port()).collect();
    assert_eq!(ports.len(), 64, "every port is found, the last one too, and none is given twice");
    let more = home.udp("alice", 6000);
    for exhausted in 1..=3 {
        tell(&more, at(&server[0]), "one more");
        home.await_drops(|drops| drops.exhausted == exhausted);
    }
    // Others are not concerned, and nobody has lost anything.
    assert!(!ports.contains(&seen_by(&server[0], &home.udp("bob", 5000)).port()));
    for alice in &alices {
        let outside = seen_by(&server[0], alice);
        assert!(ports.contains(&outside.port()));
        tell(&server[0], outside, "for you");
        assert_eq!(hear(alice).0, "for you");
    }
    assert_eq!(home.router().drops().unwrap().exhausted, 3);
}

#[test]
fn the_one_free_port_of_a_block_is_found_at_once() {
    let nat = Nat { timeout: Duration::from_secs(2), ..blocks(64, false) };
    let home = Home::of(nat, &["alice"]);
    let server = home.server();
    let mut alices: Vec<UdpSocket> = (5000..5064).map(|port| home.udp("alice", port)).collect();
    let outside = |alice: &UdpSocket| seen_by(&server[0], alice).port();
    for alice in &alices {
        outside(alice);
    }
    for (silent, next) in [(40, 6000), (7, 6001), (63, 6002)] {
        let free = outside(&alices[silent]);
        let start = Instant::now();
        let mut gone: Option<Instant> = None;
        // Its mapping ends, and the port is free a moment later; the others speak on.
        while gone.is_none_or(|gone| gone.elapsed() < Duration::from_millis(200)) {
            assert!(start.elapsed() < PATIENCE);
            for (number, alice) in alices.iter().enumerate().filter(|&(number, _)| number != silent) {
                assert_ne!(outside(alice), free, "{number} keeps its own");
            }
            if gone.is_none() && home.router().mappings().unwrap().entries.len() == 63 {
                gone = Some(Instant::now());
            }
        }
        alices[silent] = home.udp("alice", next);
        assert_eq!(outside(&alices[silent]), free);
    }
    assert_eq!(home.router().drops().unwrap().exhausted, 0);
}

#[test]
fn who_comes_after_the_last_static_block_has_none() {
    let names: Vec<String> = (0..16).map(|number| format!("host {number}")).collect();
    let hosts: Vec<&str> = names.iter().map(String::as_str).collect();
    // Blocks of 4,096 ports: the first holds well-known ones and is nobody's.
    let home = Home::of(blocks(4096, false), &hosts);
    let server = home.server();
    for (number, host) in hosts[..15].iter().enumerate() {
        let port = seen_by(&server[0], &home.udp(host, 5000)).port();
        assert_eq!(usize::from(port / 4096), number + 1);
    }
    tell(&home.udp(hosts[15], 5000), at(&server[0]), "and I?");
    home.await_drops(|drops| drops.exhausted == 1);
}

#[test]
fn a_block_on_demand_is_free_again_when_its_last_mapping_is_gone() {
    let names: Vec<String> = (0..16).map(|number| format!("host {number}")).collect();
    let hosts: Vec<&str> = names.iter().map(String::as_str).collect();
    let nat = Nat { timeout: Duration::from_secs(2), ..blocks(4096, true) };
    let home = Home::of(nat, &hosts);
    let server = home.server();
    let sockets: Vec<UdpSocket> = hosts.iter().map(|host| home.udp(host, 5000)).collect();
    let first = seen_by(&server[0], &sockets[0]).port() / 4096;
    for socket in &sockets[1..15] {
        seen_by(&server[0], socket);
    }
    let start = Instant::now();
    let late = &sockets[15];
    tell(late, at(&server[0]), "is one free?");
    home.await_drops(|drops| drops.exhausted == 1);
    // All but the first fall silent.
    late.set_nonblocking(true).unwrap();
    server[0].set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let given = loop {
        assert!(start.elapsed() < PATIENCE, "no block is ever free");
        tell(&sockets[0], at(&server[0]), "still here");
        assert_eq!(hear(&server[0]).1.port() / 4096, first, "who speaks keeps its block");
        tell(late, at(&server[0]), "is one free?");
        let mut buffer = [0; 64];
        if let Ok((_, from)) = server[0].recv_from(&mut buffer) {
            break from.port() / 4096;
        }
    };
    assert_ne!(given, first);
    assert!(start.elapsed() >= Duration::from_millis(1500), "not before its time");
}
