//! Every kind of node in its range, families, layers that overlap, and what is refused.

use rstest::rstest;

use super::*;
use crate::nat::{Family, Nat, Preset};
use crate::topology::Uplink;

fn shown(topology: &Topology) -> Vec<String> {
    let plan = Plan::of(topology).unwrap();
    let shown = plan.places.iter().skip(1);
    shown.map(|place| format!("{} {:?} port {}", place.name, place.addresses, place.port)).collect()
}

fn nat(family: Family) -> Nat {
    Nat { family, ..Preset::FullCone.nat().unwrap() }
}

#[test]
fn every_node_has_its_address_in_the_range_of_its_kind() {
    let pool = Nat { addresses: 3, ..nat(Family::Ipv4) };
    let topology = Topology::default()
        .router("carrier", Uplink::Internet, pool)
        .router("home", "carrier".into(), nat(Family::Ipv4))
        .router("firewall", Uplink::Internet, Preset::Firewall.nat().unwrap())
        .lan("home.lan", "home")
        .host("alice", Uplink::Lan("home.lan".to_owned()))
        .host("bob", Uplink::Internet)
        .host("carol", "firewall".into())
        .server("stun", 2);
    assert_eq!(
        shown(&topology),
        [
            "carrier [198.18.0.2, 198.18.0.3, 198.18.0.4] port 3",
            "home [100.64.0.2] port 3",
            "home.lan [10.1.0.254] port 3",
            "firewall [198.18.0.5] port 4",
            "alice [10.1.0.2] port 3",
            "bob [198.18.0.7] port 5",
            "carol [198.18.0.8] port 3",
            "stun [203.0.113.2, 203.0.113.3] port 6",
        ]
    );
}

#[test]
fn who_has_ipv6_has_an_address_of_a_prefix_that_leads_there() {
    let topology = Topology::default()
        .router("carrier", Uplink::Internet, nat(Family::Dual))
        .router("home", "carrier".into(), nat(Family::Dual))
        .router("old home", "carrier".into(), nat(Family::Ipv4))
        .host("alice", "home".into())
        .public_host("bob", Family::Ipv6)
        .host("carol", "old home".into())
        .server("stun", 1);
    assert_eq!(
        shown(&topology),
        [
            "carrier [198.18.0.2, 2001:db8::2] port 3",
            "home [100.64.0.2, 2001:db8:1:1::2] port 3",
            "old home [100.64.0.3] port 4",
            "alice [10.1.0.2, 2001:db8:1:2::2] port 3",
            "bob [2001:db8::3] port 4",
            "carol [10.1.1.2] port 3",
            "stun [203.0.113.2, 2001:db8:113::2] port 5",
        ]
    );
    let plan = Plan::of(&topology).unwrap();
    let beyond: Vec<String> =
        plan.beyond(1).iter().map(|(network, length)| format!("{network}/{length}")).collect();
    assert_eq!(beyond, ["2001:db8:1:2::/64", "2001:db8:1:1::/64"]);
}

#[test]
fn a_range_that_a_router_was_told_is_nobody_elses_choice_and_never_its_own_outside() {
    let told = "10.1.0.0/24".parse().unwrap();
    let topology = Topology::default()
        .router("carrier", Uplink::Internet, nat(Family::Ipv4))
        .router("home", "carrier".into(), nat(Family::Ipv4))
        .router("other", "carrier".into(), nat(Family::Ipv4))
        .inside("carrier", told)
        .inside("home", told)
        .host("alice", "home".into())
        .host("bob", "home".into())
        .host("carol", "other".into());
    assert_eq!(
        shown(&topology)[1..],
        [
            "home [10.1.0.2] port 3",
            "other [10.1.0.3] port 4",
            "alice [10.1.0.3] port 3",
            "bob [10.1.0.4] port 4",
            "carol [10.1.1.2] port 3",
        ]
    );
}

#[rstest]
#[case(Topology::default().host("a", Uplink::Internet).host("a", Uplink::Internet), "two nodes are called `a`")]
#[case(Topology::default().host("a", "b".into()), "`a` is plugged into `b`, which is not a router before it")]
#[case(
    Topology::default().host("a", Uplink::Lan("b".to_owned())),
    "`a` is plugged into `b`, which is not a LAN before it"
)]
#[case(Topology::default().lan("a", "b"), "the LAN `a` is inside `b`, which is not a router")]
#[case(
    Topology::default()
        .router("a", Uplink::Internet, nat(Family::Ipv4))
        .router("b", "a".into(), nat(Family::Dual)),
    "`b` serves IPv6, but `a`, which it is plugged into, does not"
)]
#[case(
    Topology::default()
        .router("a", Uplink::Internet, Preset::Firewall.nat().unwrap())
        .inside("a", "10.1.0.0/24".parse().unwrap()),
    "`a` translates nothing, so its inside has addresses of its outside and no range of its own"
)]
fn what_cannot_be_is_refused(#[case] topology: Topology, #[case] why: &str) {
    assert_eq!(Plan::of(&topology).unwrap_err().to_string(), why);
}
