//! Behind a router that translates nothing the addresses are those of its outside, whatever that is.

use netns::lab::Lab;
use netns::nat::{Family, Preset};
use netns::topology::{Topology, Uplink};

use crate::wire::{at, full_cone, hear, seen_by, tell, udp};

#[test]
fn a_host_behind_a_firewall_is_seen_by_its_own_public_address() {
    let topology = Topology::default()
        .router("office", Uplink::Internet, Preset::Firewall.nat().unwrap())
        .lan("office.lan", "office")
        .host("alice", Uplink::Lan("office.lan".to_owned()))
        .host("bob", "office".into())
        .server("server", 1);
    let lab = Lab::build(&topology).unwrap();
    let server = udp(&lab, "server");
    for name in ["alice", "bob"] {
        let host = udp(&lab, name);
        assert_eq!(lab.node(name).unwrap().address().octets()[..2], [198, 18]);
        assert_eq!(seen_by(&server, &host), at(&host));
        tell(&server, at(&host), "back");
        assert_eq!(hear(&host), ("back".to_owned(), at(&server)));
    }
}

#[test]
fn a_firewall_and_a_nat_may_stand_behind_each_other() {
    let [nat, firewall] = [full_cone(Family::Ipv4), Preset::Firewall.nat().unwrap()];
    let topology = Topology::default()
        .router("carrier", Uplink::Internet, nat)
        .router("office", "carrier".into(), firewall)
        .host("alice", "office".into())
        .router("campus", Uplink::Internet, firewall)
        .router("home", "campus".into(), nat)
        .host("bob", "home".into())
        .server("server", 1);
    let lab = Lab::build(&topology).unwrap();
    let [alice, bob, server] = ["alice", "bob", "server"].map(|name| udp(&lab, name));
    // Her address is one of the carrier's inside, and the world sees the carrier's.
    assert_eq!(lab.node("alice").unwrap().address().octets()[..2], [100, 64]);
    let alices = seen_by(&server, &alice);
    assert_eq!(alices.ip(), lab.router("carrier").unwrap().outside());
    let bobs = seen_by(&server, &bob);
    assert_eq!(bobs.ip(), lab.router("home").unwrap().outside());
    assert_eq!(lab.router("home").unwrap().outside().octets()[..2], [198, 18]);
    for (host, outside) in [(&alice, alices), (&bob, bobs)] {
        tell(&server, outside, "back");
        assert_eq!(hear(host), ("back".to_owned(), at(&server)));
    }
}
