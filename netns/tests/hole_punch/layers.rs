//! More between two hosts than a router each: one LAN, routers behind routers, a router that both share, pools.

use netns::nat::{Hairpin, Nat, OnDrop, Path, Pooling, Preset, Vantage, predict};
use netns::topology::Ipv4Range;

use crate::cell::{Cell, FORCED, Order, Version, topology};
use crate::verdict::{FILTERINGS, all_meet_as_said, behind, judge, nine};

#[test]
fn two_hosts_on_one_lan_meet_there_whatever_their_router_lets_pass() {
    let routers = Preset::ALL.into_iter().filter_map(Preset::nat);
    let pairs: Vec<(Vantage, Vantage)> =
        routers.map(|nat| (behind(&[("home", nat)]), behind(&[("home", nat)]))).collect();
    assert!(pairs.iter().all(|(first, second)| predict(first, second).path == Path::Lan));
    all_meet_as_said(&pairs);
}

#[test]
fn a_home_behind_a_carrier_is_what_its_two_layers_are_together() {
    let partners = [1, 2, 4, 6, 8].map(|index| nine()[index]);
    let mut pairs = Vec::new();
    for home in nine() {
        for carrier in nine() {
            let first = behind(&[("home", home), ("carrier", carrier)]);
            pairs.extend(partners.map(|other| (first.clone(), behind(&[("other", other)]))));
        }
    }
    all_meet_as_said(&pairs);
}

/// The one pair of layers that no single NAT is like: the home's filter belongs to the port that all destinations
/// share, so it opens for a peer although the carrier shows that peer another port than STUN saw.
#[test]
fn a_filter_inside_of_the_router_that_moves_the_port_opens_for_all_destinations() {
    let [_, keeps_and_filters, _, moves, moves_and_filters, ..] = nine();
    let other = behind(&[("other", moves_and_filters)]);
    let layered = behind(&[("home", keeps_and_filters), ("carrier", moves)]);
    let single = behind(&[("home", moves_and_filters)]);
    assert_eq!(predict(&layered, &other).path, Path::Direct);
    assert_eq!(predict(&single, &other).path, Path::None);
    all_meet_as_said(&[(layered, other.clone()), (single, other)]);
}

#[test]
fn both_layers_may_have_the_same_inside_range_and_the_other_side_too() {
    let range = Ipv4Range::new([192, 168, 1, 0].into(), 24).unwrap();
    for carrier in [nine()[0], nine()[2]] {
        let first = behind(&[("home", nine()[2]), ("carrier", carrier)]);
        let second = behind(&[("other", nine()[1])]);
        let mut topology = topology([&first, &second]);
        for router in ["home", "carrier", "other"] {
            topology = topology.inside(router, range);
        }
        let cell = Cell::build(&topology, [&first, &second], Version::V4);
        let seen = FORCED.map(|order| cell.punch(order));
        judge(&predict(&first, &second), &seen).unwrap();
    }
}

#[test]
fn two_homes_behind_one_carrier_meet_if_it_turns_packets_round_and_as_it_shows_them() {
    let nine = nine();
    let homes =
        [None, Some(nine[0]), Some(nine[1]), Some(nine[2]), Some(nine[3]), Some(nine[6]), Some(nine[8])];
    let mut pairs = Vec::new();
    for carrier in [nine[0], nine[1], nine[2], nine[4], nine[8]] {
        for hairpin in [Hairpin::Off, Hairpin::External, Hairpin::Internal] {
            let carrier = ("carrier", Nat { hairpin, ..carrier });
            let place = |name, home: Option<Nat>| match home {
                Some(nat) => behind(&[(name, nat), carrier]),
                None => behind(&[carrier]),
            };
            for (index, &home) in homes.iter().enumerate() {
                let others = homes.iter().skip(index.max(1));
                pairs.extend(others.map(|&other| (place("home", home), place("other home", other))));
            }
        }
    }
    all_meet_as_said(&pairs);
}

#[test]
fn two_homes_in_one_building_behind_one_carrier_meet_as_the_carrier_turns_packets_round() {
    let nine = nine();
    let mut pairs = Vec::new();
    for hairpin in [Hairpin::Off, Hairpin::External, Hairpin::Internal] {
        for building in [nine[0], nine[2], nine[8]] {
            let shared = [("building", building), ("carrier", Nat { hairpin, ..nine[0] })];
            for (home, other) in [(nine[0], nine[0]), (nine[2], nine[2]), (nine[0], nine[8])] {
                let place = |name, nat| behind(&[&[(name, nat)][..], &shared].concat());
                // A building that filters nothing drops nothing either; that case is the next test.
                if hairpin != Hairpin::Internal || building.filtering != nine[0].filtering {
                    pairs.push((place("home", home), place("other home", other)));
                }
            }
            pairs.push((behind(&shared), behind(&[&[("home", nine[8])][..], &shared].concat())));
        }
    }
    all_meet_as_said(&pairs);
}

#[test]
fn a_building_takes_no_packet_that_shows_its_own_address_as_the_source() {
    let full_cone = nine()[0];
    let shared = [("building", full_cone), ("carrier", Nat { hairpin: Hairpin::Internal, ..full_cone })];
    let [first, second] =
        ["home", "other home"].map(|name| behind(&[&[(name, full_cone)][..], &shared].concat()));
    assert_eq!(predict(&first, &second).path, Path::None);
    let cell = Cell::new([&first, &second]);
    for order in [Order::FirstFirst, Order::SecondFirst] {
        let before = cell.swallowed("building");
        let seen = cell.punch(order);
        let drops = cell.router("building").drops().unwrap();
        assert_eq!(seen.via, None);
        // Its rules let them in: it is the kernel that knows better.
        assert!(cell.swallowed("building") - before > drops.filtered, "{seen:?} {drops:?}");
        assert_eq!(seen.heard, [vec![], vec![]]);
    }
}

#[test]
fn a_firewall_filters_what_is_behind_it_and_two_hosts_behind_one_firewall_do_not_cross_it() {
    let nine = nine();
    let firewall = |filtering| Nat { filtering, ..Preset::Firewall.nat().unwrap() };
    let mut pairs = Vec::new();
    for wall in FILTERINGS.map(firewall) {
        for home in [nine[0], nine[2], nine[3], nine[8]] {
            for other in [nine[1], nine[3], nine[8]] {
                let first = behind(&[("home", home), ("wall", wall)]);
                pairs.push((first.clone(), behind(&[("other", other)])));
                pairs.push((first.clone(), behind(&[("other", other), ("wall", wall)])));
                pairs.push((first, behind(&[("inner wall", wall), ("wall", wall)])));
                pairs.push((behind(&[("inner wall", wall), ("home", home)]), behind(&[("other", other)])));
            }
        }
    }
    all_meet_as_said(&pairs);
}

#[test]
fn a_router_that_refuses_aloud_keeps_nobody_from_meeting() {
    let loud = nine().map(|nat| Nat { on_drop: OnDrop::Reject, ..nat });
    let mut pairs = Vec::new();
    for &first in &loud {
        for second in [loud[2], nine()[1], nine()[2], nine()[8]] {
            pairs.push((behind(&[("home", first)]), behind(&[("other", second)])));
        }
    }
    all_meet_as_said(&pairs);
}

#[test]
fn a_pool_of_addresses_matters_only_to_who_moves_and_draws_another_for_each_destination() {
    let mut pairs = Vec::new();
    for pooling in [Pooling::Paired, Pooling::Arbitrary] {
        for nat in nine() {
            let pool = behind(&[("pool", Nat { addresses: 3, pooling, ..nat })]);
            pairs.extend(nine().map(|other| (pool.clone(), behind(&[("other", other)]))));
        }
    }
    all_meet_as_said(&pairs);
}

#[test]
fn who_has_logged_in_at_a_portal_is_behind_a_port_restricted_nat() {
    let portal = behind(&[("hotel", Preset::CaptivePortal.nat().unwrap())]);
    for other in [Preset::PortRestricted, Preset::FullCone, Preset::Symmetric, Preset::AddressDependent] {
        let other = behind(&[("other", other.nat().unwrap())]);
        let cell = Cell::new([&portal, &other]);
        let closed = [cell.punch(Order::FirstFirst), cell.punch(Order::SecondFirst)];
        judge(&predict(&portal, &other), &closed).unwrap();
        let cell = cell.logged_in();
        let open = FORCED.map(|order| cell.punch(order));
        judge(&predict(&portal.clone().logged_in("hotel"), &other), &open).unwrap();
    }
}

#[test]
fn who_is_on_the_carriers_inside_is_reached_there_even_where_no_udp_leaves_the_carrier() {
    let mut pairs = Vec::new();
    for carrier in
        [Preset::UdpBlocked, Preset::HttpsOnly, Preset::CaptivePortal].map(|kind| kind.nat().unwrap())
    {
        for home in [nine()[0], nine()[2], nine()[8]] {
            let home = behind(&[("home", home), ("carrier", carrier)]);
            pairs.push((home.clone(), behind(&[("carrier", carrier)])));
            pairs.push((home, behind(&[("other", nine()[0]), ("carrier", carrier)])));
        }
    }
    all_meet_as_said(&pairs);
}
