//! IPv6, which nobody translates, and hosts that have both families.

use netns::nat::{CandidateType, Family, Nat, Path, Preset, Vantage, predict};

use crate::cell::{Cell, FORCED, Order, Version, topology};
use crate::verdict::{behind, judge, nine};

#[test]
fn ipv6_hosts_meet_at_their_own_addresses_each_opening_its_firewall() {
    let firewall = Nat { family: Family::Ipv6, ..Preset::Firewall.nat().unwrap() };
    let public = Vantage { routers: Vec::new(), family: Family::Ipv6 };
    for (first, second) in [
        (public.clone(), public.clone()),
        (public, behind(&[("wall", firewall)])),
        (behind(&[("wall", firewall)]), behind(&[("other wall", firewall)])),
        (behind(&[("inner wall", firewall), ("wall", firewall)]), behind(&[("other wall", firewall)])),
    ] {
        let said = predict(&first, &second);
        assert_eq!(said.via.first(), Some(&CandidateType::Host));
        let cell = Cell::build(&topology([&first, &second]), [&first, &second], Version::V6);
        let seen = FORCED.map(|order| cell.punch(order));
        judge(&said, &seen).unwrap();
        let early = seen.iter().find(|seen| seen.order == Order::FirstFirst).unwrap();
        assert_eq!(early.dropped > 0, !second.routers.is_empty(), "what comes too early meets the firewall");
    }
}

#[test]
fn two_hosts_with_both_families_meet_by_ipv6_where_ipv4_has_no_path() {
    let dual = |nat: Nat| Nat { family: Family::Dual, ..nat };
    let symmetric = behind(&[("home", dual(nine()[8]))]);
    for other in nine() {
        let other = behind(&[("other", dual(other))]);
        let said = predict(&symmetric, &other);
        assert_eq!(said.path, Path::Direct);
        let topology = topology([&symmetric, &other]);
        let seen = FORCED.map(|order| {
            let by = |version| Cell::build(&topology, [&symmetric, &other], version).punch(order);
            let (ipv4, ipv6) = (by(Version::V4), by(Version::V6));
            let allowed = |via: &CandidateType| said.via.contains(via);
            assert!(ipv4.via.iter().all(allowed), "{said:?} {ipv4:?}");
            ipv6
        });
        judge(&said, &seen).unwrap();
    }
}

#[test]
fn no_udp_is_none_of_either_family() {
    let closed = Nat { family: Family::Dual, ..Preset::UdpBlocked.nat().unwrap() };
    let first = behind(&[("home", closed)]);
    let second = Vantage { routers: Vec::new(), family: Family::Dual };
    for version in [Version::V4, Version::V6] {
        let cell = Cell::build(&topology([&first, &second]), [&first, &second], version);
        judge(&predict(&first, &second), &FORCED.map(|order| cell.punch(order))).unwrap();
    }
}
