//! The address plan: which address every node of a topology has, and which links there are. Pure, deterministic.
//!
//! IPv4: public 198.18.0.0/15, servers 203.0.113.0/24, inside a router 10.R.0.0/16 (R counts routers), between a
//! carrier and its homes 100.64.0.0/10. IPv6: public 2001:db8::/64, servers 2001:db8:113::/64, inside a router
//! 2001:db8:1:R::/64. Every link is point to point: its far end is a host route and a permanent neighbour, so no
//! bridge, no ARP, and nothing in the neighbour table that all namespaces share.

mod planner;
mod space;

use std::net::IpAddr;

use crate::error::Error;
use crate::netlink::route::{Mac, Prefix};
use crate::topology::Topology;
use planner::Planner;
use space::Space;

/// The index of every node's outward link; what is plugged into a node comes after.
pub(crate) const OUTWARD: u32 = 2;

/// What a node does with packets that are not for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Routes them; what nobody has ends there.
    Internet,
    /// Routes them, by rules: the router of this place in the topology.
    Router(usize),
    /// Routes them, without rules.
    Switch,
    /// Drops them.
    Host,
}

/// A node with its place in the plan. Place 0 is the internet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The place its outward link ends at.
    pub(crate) uplink: usize,
    /// The addresses of its outward link.
    pub(crate) addresses: Vec<IpAddr>,
    /// Where what is plugged in sends everything, one of each family. A switch shows its router's; others' are theirs.
    pub(crate) gateways: Vec<IpAddr>,
    /// The index, at the uplink, of the link that it is plugged into there.
    pub(crate) port: u32,
    /// What is plugged in.
    pub(crate) plugged: Vec<usize>,
    /// The spaces of what is plugged in, one of each family.
    inside: Vec<usize>,
    /// Whether what it has outside may be called as what it has inside.
    pub(crate) overlaps: bool,
}

/// Where every node is: the internet, then each router followed by its LANs, then the hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) places: Vec<Place>,
    spaces: Vec<Space>,
}

impl Plan {
    /// Places the nodes; the same topology always gets the same addresses.
    pub(crate) fn of(topology: &Topology) -> Result<Self, Error> {
        Planner::plan(topology)
    }

    /// What is reached by way of a place, beyond the addresses of its outward link.
    pub(crate) fn beyond(&self, place: usize) -> Vec<Prefix> {
        let Place { kind, gateways, plugged, uplink, inside, .. } = &self.places[place];
        if matches!(kind, Kind::Host | Kind::Internet) {
            return Vec::new();
        }
        let mut beyond = Vec::new();
        for &child in plugged {
            beyond.extend(self.places[child].addresses.iter().map(|&address| whole(address)));
            beyond.extend(self.beyond(child));
        }
        if *kind == Kind::Switch {
            return beyond;
        }
        // A router's own space is nobody else's, unless it translates nothing; its prefix stands for what is in it.
        let shared = |v6: bool| {
            let space = |of: &[usize]| of.iter().copied().find(|&space| self.spaces[space].is_v6() == v6);
            space(inside) == space(&self.places[*uplink].inside)
        };
        beyond.extend(gateways.iter().map(|&gateway| whole(gateway)));
        beyond.retain(|(address, _)| match address {
            IpAddr::V4(_) => shared(false),
            IpAddr::V6(_) => !inside.iter().any(|&space| self.spaces[space].delegates(*address)),
        });
        beyond.extend(self.prefix(place));
        beyond
    }

    /// The prefix that is delegated to a router.
    pub(crate) fn prefix(&self, place: usize) -> Option<Prefix> {
        match self.places[place].kind {
            Kind::Router(_) => self.places[place].inside.iter().find_map(|&space| self.spaces[space].prefix),
            _ => None,
        }
    }

    /// Whether any node has IPv6: then the internet has.
    pub(crate) fn has_v6(&self) -> bool {
        self.places[0].has_v6()
    }

    /// The links that others are plugged into at this place.
    pub(crate) fn ports(&self, place: usize) -> Vec<u32> {
        self.places[place].plugged.iter().map(|&child| self.places[child].port).collect()
    }

    /// The Ethernet address of the outward link of a place, or of the uplink's end of the same link.
    pub(crate) fn mac(place: usize, at_uplink: bool) -> Mac {
        let [_, _, high, low] = (place as u32).to_be_bytes();
        [0x02, 0, 0, u8::from(at_uplink), high, low]
    }
}

fn whole(address: IpAddr) -> Prefix {
    (address, if address.is_ipv4() { 32 } else { 128 })
}

impl Place {
    fn new(name: &str, kind: Kind, uplink: usize) -> Self {
        Place {
            name: name.to_owned(),
            kind,
            uplink,
            addresses: Vec::new(),
            gateways: Vec::new(),
            port: 0,
            plugged: Vec::new(),
            inside: Vec::new(),
            overlaps: false,
        }
    }

    /// Its own IPv6 addresses, of all links.
    pub(crate) fn own_v6(&self) -> Vec<IpAddr> {
        let gateways = if self.kind == Kind::Switch { &[] } else { self.gateways.as_slice() };
        self.addresses.iter().chain(gateways).copied().filter(IpAddr::is_ipv6).collect()
    }

    /// Whether anything of it is IPv6.
    pub(crate) fn has_v6(&self) -> bool {
        self.addresses.iter().chain(&self.gateways).any(IpAddr::is_ipv6)
    }
}

#[cfg(test)]
mod tests {
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
}
