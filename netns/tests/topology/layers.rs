//! Routers behind routers, also where both sides of one have the same addresses (RFC 4787 REQ-7).

use std::net::{Ipv4Addr, SocketAddr};

use netns::lab::Lab;
use netns::nat::Family;
use netns::topology::{Topology, Uplink};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

use crate::wire::{PORT, at, full_cone, hear, seen_by, tell, udp};

/// Two homes behind one carrier.
fn two_homes() -> Topology {
    let nat = full_cone(Family::Ipv4);
    Topology::default()
        .router("carrier", Uplink::Internet, nat)
        .router("home", "carrier".into(), nat)
        .router("other home", "carrier".into(), nat)
        .host("alice", "home".into())
        .host("bob", "other home".into())
        .host("carol", "home".into())
        .server("server", 1)
}

#[test]
fn homes_behind_a_carrier_are_in_the_shared_address_space_of_rfc_6598() {
    let lab = Lab::build(&two_homes()).unwrap();
    for home in ["home", "other home"] {
        assert_eq!(lab.router(home).unwrap().outside().octets()[..2], [100, 64]);
    }
    assert_all_meet(&lab);
}

#[test]
fn the_same_range_on_every_layer_is_told_apart() {
    let range = "10.1.0.0/24".parse().unwrap();
    let topology = ["carrier", "home", "other home"]
        .into_iter()
        .fold(two_homes(), |topology, router| topology.inside(router, range));
    let lab = Lab::build(&topology).unwrap();
    let address = |node: &str| lab.node(node).unwrap().address();
    // Alice has the number of the other home, and Bob that of hers.
    assert_eq!((address("alice"), address("other home")), (Ipv4Addr::new(10, 1, 0, 3), address("alice")));
    assert_eq!((address("bob"), address("home")), (Ipv4Addr::new(10, 1, 0, 2), address("bob")));
    assert_all_meet(&lab);
    // The other home itself, on its carrier's side, has Alice's number: to her neighbour that makes no difference.
    let [carol, other_home] = ["carol", "other home"].map(|name| udp(&lab, name));
    let server = udp(&lab, "server");
    seen_by(&server, &carol);
    setsockopt(&other_home, sockopt::BindToDevice, &"outward".into()).unwrap();
    let mappings = lab.router("home").unwrap().mappings().unwrap();
    let carols = mappings.entries.iter().find(|entry| entry.inside.ip() == address("carol")).unwrap();
    tell(&other_home, carols.outside, "from a number of yours");
    assert_eq!(
        hear(&carol),
        ("from a number of yours".to_owned(), SocketAddr::from((address("alice"), PORT)))
    );
}

#[test]
fn an_error_from_the_carriers_address_gets_through_a_home_that_has_the_same() {
    let range = "10.1.0.0/24".parse().unwrap();
    let lab = Lab::build(&two_homes().inside("carrier", range).inside("home", range)).unwrap();
    let [alice, server] = ["alice", "server"].map(|name| udp(&lab, name));
    setsockopt(&alice, sockopt::Ipv4RecvErr, &true).unwrap();
    alice.connect(at(&server)).unwrap();
    // It ends at the carrier, whose inside address is 10.1.0.1 as the home's is.
    alice.set_ttl(2).unwrap();
    alice.send(b"too short a life").unwrap();
    let error = alice.recv(&mut [0; 64]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EHOSTUNREACH as i32), "{error}");
}

/// Each with the server, and with the other by the carrier's hairpin.
#[track_caller]
fn assert_all_meet(lab: &Lab) {
    let [alice, bob, server] = ["alice", "bob", "server"].map(|name| udp(lab, name));
    let (alices, bobs) = (seen_by(&server, &alice), seen_by(&server, &bob));
    let outside = lab.router("carrier").unwrap().outside();
    assert_eq!((alices.ip(), bobs.ip()), (outside.into(), outside.into()));
    assert_ne!(alices.port(), bobs.port());
    tell(&server, alices, "for alice");
    tell(&server, bobs, "for bob");
    assert_eq!(hear(&alice), ("for alice".to_owned(), at(&server)));
    assert_eq!(hear(&bob), ("for bob".to_owned(), at(&server)));
    tell(&alice, bobs, "one");
    assert_eq!(hear(&bob), ("one".to_owned(), alices));
    tell(&bob, alices, "two");
    assert_eq!(hear(&alice), ("two".to_owned(), bobs));
}
