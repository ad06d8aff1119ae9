//! A router with several outside addresses has them all.

use std::net::SocketAddr;

use netns::lab::Lab;
use netns::nat::{Family, Nat};
use netns::topology::{Topology, Uplink};

use crate::wire::{PORT, full_cone, hear, tell, udp, udp_on};

#[test]
fn every_address_of_a_pool_is_the_routers() {
    let nat = Nat { addresses: 4, ..full_cone(Family::Ipv4) };
    let topology = Topology::default().router("home", Uplink::Internet, nat).server("server", 1);
    let lab = Lab::build(&topology).unwrap();
    let outsides = lab.router("home").unwrap().outsides().to_vec();
    assert_eq!(outsides, lab.node("home").unwrap().addresses());
    assert_eq!(outsides.len(), 4);
    let server = udp(&lab, "server");
    for &outside in &outsides {
        let own = udp_on(&lab, "home", outside.into());
        tell(&own, server.local_addr().unwrap(), "it is I");
        assert_eq!(hear(&server), ("it is I".to_owned(), SocketAddr::from((outside, PORT))));
    }
}
