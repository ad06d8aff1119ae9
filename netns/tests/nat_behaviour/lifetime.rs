//! How long a mapping lives (RFC 4787 section 4.3). That it is gone is awaited in the router's own table.

use std::time::{Duration, Instant};

use netns::nat::Nat;
use netns::nat::Preset::{
    self, AddressDependent, Cgnat, FullCone, PortRestricted, Symmetric, SymmetricSequential,
};
use rstest::rstest;

use super::home::{Home, PATIENCE, at, hear, seen_by, tell};

const SHORT: Duration = Duration::from_millis(600);

#[rstest]
fn a_mapping_and_its_filter_end_when_their_time_is_over(
    #[values(FullCone, PortRestricted, AddressDependent, Symmetric, SymmetricSequential, Cgnat)] kind: Preset,
) {
    let home = Home::of(Nat { timeout: SHORT, ..kind.nat().unwrap() }, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let start = Instant::now();
    let outside = seen_by(&server[0], &alice);
    await_no_mapping(&home);
    assert!(start.elapsed() >= SHORT - TICK, "it ended too early");
    tell(&server[0], outside, "too late");
    home.await_filtered(1);
}

#[rstest]
fn every_packet_out_refreshes_and_packets_in_do_where_the_nat_says_so(
    #[values(FullCone, PortRestricted, AddressDependent, Symmetric, Cgnat)] kind: Preset,
    #[values(false, true)] inbound_refresh: bool,
) {
    let nat = Nat { timeout: Duration::from_secs(600), inbound_refresh, ..kind.nat().unwrap() };
    let home = Home::of(nat, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let outside = seen_by(&server[0], &alice);
    let left = || home.router().mappings().unwrap().entries[0].left;
    assert!(left() <= nat.timeout && left() > nat.timeout - PATIENCE, "{:?}", left());
    let aged = || {
        let start = Instant::now();
        let before = left();
        while left() + Duration::from_millis(40) > before {
            assert!(start.elapsed() < PATIENCE, "it never ages");
            std::thread::yield_now();
        }
        left()
    };
    let before = aged();
    tell(&server[0], outside, "inbound");
    hear(&alice);
    assert_eq!(left() > before, inbound_refresh, "inbound: {before:?} {:?}", left());
    let before = aged();
    assert_eq!(seen_by(&server[0], &alice), outside);
    assert!(left() > before, "outbound");
}

#[rstest]
fn inbound_packets_keep_a_mapping_alive_where_they_refresh_it(
    #[values(FullCone, PortRestricted, Symmetric)] kind: Preset,
    #[values(false, true)] inbound_refresh: bool,
) {
    let home = Home::of(Nat { timeout: SHORT, inbound_refresh, ..kind.nat().unwrap() }, &["alice"]);
    let (alice, server) = (home.udp("alice", 5000), home.server());
    let (start, outside) = (Instant::now(), seen_by(&server[0], &alice));
    let mut heard = 0;
    while start.elapsed() < 3 * SHORT && home.filtered() == 0 {
        tell(&server[0], outside, "still there?");
        let dropped = || home.filtered() > 0;
        alice.set_nonblocking(true).unwrap();
        while !dropped() && alice.recv(&mut [0; 64]).is_err() {
            assert!(start.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
        heard += 1;
    }
    assert!(heard > 1);
    assert_eq!(home.filtered() == 0, inbound_refresh, "after {:?}", start.elapsed());
    if inbound_refresh {
        assert_eq!(home.router().mappings().unwrap().entries.len(), 1);
        tell(&alice, at(&server[0]), "the same");
        assert_eq!(hear(&server[0]).1, outside);
    }
}

#[test]
fn a_port_that_is_free_again_goes_to_the_next_who_asks() {
    let home = Home::of(Nat { timeout: SHORT, ..FullCone.nat().unwrap() }, &["alice", "bob"]);
    let (alice, bob, server) = (home.udp("alice", 5000), home.udp("bob", 5000), home.server());
    assert_eq!(seen_by(&server[0], &alice), home.outside(5000));
    await_no_mapping(&home);
    // The port itself stays reserved a moment longer than its mapping.
    let start = Instant::now();
    while seen_by(&server[0], &bob) != home.outside(5000) {
        assert!(start.elapsed() < PATIENCE);
        await_no_mapping(&home);
    }
    assert_ne!(seen_by(&server[0], &alice), home.outside(5000));
}

/// The kernel counts lifetimes in ticks of its clock.
const TICK: Duration = Duration::from_millis(20);

#[track_caller]
fn await_no_mapping(home: &Home) {
    let start = Instant::now();
    while !home.router().mappings().unwrap().entries.is_empty() {
        assert!(start.elapsed() < PATIENCE, "it never ends");
        std::thread::sleep(Duration::from_millis(5));
    }
}
