//! The address plan: which address every node of a topology has, and which links there are. Pure, deterministic.
//!
//! IPv4: public 198.18.0.0/15, servers 203.0.113.0/24, inside a router 10.R.0.0/16 (R counts routers), between a
//! carrier and its homes 100.64.0.0/10. IPv6: public 2001:db8::/64, servers 2001:db8:113::/64, inside a router
//! 2001:db8:1:R::/64. Every link is point to point: its far end is a host route and a permanent neighbour, so no
//! bridge, no ARP, and nothing in the neighbour table that all namespaces share.

mod space;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::Error;
use crate::nat::{Family, Translation};
use crate::netlink::route::{Mac, Prefix};
use crate::topology::{Host, Ipv4Range, Lan, Router, Topology, Uplink};
use space::Space;

/// The index of every node's outward link; what is plugged into a node comes after.
pub(crate) const OUTWARD: u32 = 2;

/// The address of the internet as a gateway.
const INTERNET: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
const INTERNET_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

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

/// Public addresses and servers' addresses of either family stand first among the spaces.
const PUBLIC: [usize; 2] = [0, 1];
const SERVERS: [usize; 2] = [2, 3];

impl Plan {
    /// Places the nodes; the same topology always gets the same addresses.
    pub(crate) fn of(topology: &Topology) -> Result<Self, Error> {
        let v6 = topology.routers.iter().any(|router| router.nat.family.has_v6())
            || topology.hosts.iter().any(|host| host.uplink == Uplink::Internet && host.family.has_v6());
        let (gateways, inside) = match v6 {
            false => (vec![INTERNET], PUBLIC[..1].to_vec()),
            true => (vec![INTERNET, INTERNET_V6], PUBLIC.to_vec()),
        };
        let internet = Place { gateways, inside, ..Place::new("internet", Kind::Internet, 0) };
        let spaces = vec![space::public_v4(), space::public_v6(), space::servers_v4(), space::servers_v6()];
        let mut planner = Planner {
            plan: Plan { places: vec![internet], spaces },
            names: HashMap::from([("internet".to_owned(), 0)]),
            insides: 0,
            carriers: 0,
            prefixes: 0,
        };
        for (number, router) in topology.routers.iter().enumerate() {
            planner.router(topology, number, router)?;
            for lan in topology.lans.iter().filter(|lan| lan.router == router.name) {
                planner.switch(lan)?;
            }
        }
        if let Some(lan) = topology.lans.iter().find(|lan| !planner.names.contains_key(&lan.name)) {
            let Lan { name, router } = lan;
            return Err(Error::Topology(format!(
                "the LAN `{name}` is inside `{router}`, which is not a router"
            )));
        }
        for host in &topology.hosts {
            planner.host(host, v6)?;
        }
        Ok(planner.plan)
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

/// A plan in the making.
struct Planner {
    plan: Plan,
    names: HashMap<String, usize>,
    /// How many routers have got ranges of their own.
    insides: usize,
    carriers: usize,
    prefixes: usize,
}

impl Planner {
    fn router(&mut self, topology: &Topology, number: usize, router: &Router) -> Result<(), Error> {
        let uplink = self.uplink(&router.uplink, &router.name)?;
        let mut place = Place::new(&router.name, Kind::Router(number), uplink);
        let mut around = self.around(uplink, router)?;
        for &space in &around {
            // Only IPv4 is translated: a pool is of IPv4 addresses.
            let count = if self.plan.spaces[space].is_v6() { 1 } else { router.nat.addresses.max(1) };
            for _ in 0..count {
                place.addresses.push(self.plan.spaces[space].low()?);
            }
        }
        for space in &mut around {
            let translates = router.nat.translation != Translation::None;
            let own = match (self.plan.spaces[*space].is_v6(), router.inside) {
                (true, _) => Some(self.own_prefix()?),
                (false, Some(_)) if !translates => {
                    return Err(Error::Topology(format!(
                        "`{}` translates nothing, so its inside has addresses of its outside and no range of its own",
                        router.name
                    )));
                }
                (false, Some(range)) => Some(space::inside_v4(range, &place.addresses)),
                (false, None) if translates => Some(space::inside_v4(self.range(topology, router)?, &[])),
                (false, None) => None,
            };
            if let Some(own) = own {
                *space = self.plan.spaces.len();
                self.plan.spaces.push(own);
            }
            place.gateways.push(self.plan.spaces[*space].low()?);
        }
        place.inside = around;
        place.overlaps = router.inside.is_some();
        self.add(place)
    }

    /// The spaces at an uplink that a router uses, one of each family that it serves.
    fn around(&self, uplink: usize, router: &Router) -> Result<Vec<usize>, Error> {
        let family = router.nat.family;
        let place = &self.plan.places[uplink];
        let serves = |v6| if v6 { family.has_v6() } else { family.has_v4() };
        let around: Vec<usize> =
            place.inside.iter().copied().filter(|&space| serves(self.plan.spaces[space].is_v6())).collect();
        if around.len() != usize::from(family.has_v4()) + usize::from(family.has_v6()) {
            let has_v6 = place.inside.iter().any(|&space| self.plan.spaces[space].is_v6());
            let missing = if has_v6 { "IPv4" } else { "IPv6" };
            return Err(Error::Topology(format!(
                "`{}` serves {missing}, but `{}`, which it is plugged into, does not",
                router.name, place.name
            )));
        }
        Ok(around)
    }

    /// The next range that no router has, nor was told to have.
    fn range(&mut self, topology: &Topology, router: &Router) -> Result<Ipv4Range, Error> {
        let between = topology.routers.iter().any(|inner| match &inner.uplink {
            Uplink::Internet => false,
            Uplink::Router(name) => *name == router.name,
            Uplink::Lan(name) => {
                topology.lans.iter().any(|lan| lan.name == *name && lan.router == router.name)
            }
        });
        let count = if between { &mut self.carriers } else { &mut self.insides };
        loop {
            let range = space::range(*count, between)?;
            *count += 1;
            if !topology.routers.iter().any(|other| other.inside.is_some_and(|told| told.meets(range))) {
                return Ok(range);
            }
        }
    }

    fn own_prefix(&mut self) -> Result<Space, Error> {
        self.prefixes += 1;
        space::inside_v6(self.prefixes)
    }

    fn switch(&mut self, lan: &Lan) -> Result<(), Error> {
        let uplink = self.uplink(&Uplink::Router(lan.router.clone()), &lan.name)?;
        let mut place = Place::new(&lan.name, Kind::Switch, uplink);
        let Place { inside, gateways, .. } = &self.plan.places[uplink];
        (place.inside, place.gateways) = (inside.clone(), gateways.clone());
        for &space in &place.inside {
            place.addresses.push(self.plan.spaces[space].high()?);
        }
        self.add(place)
    }

    fn host(&mut self, host: &Host, lab_has_v6: bool) -> Result<(), Error> {
        let uplink = self.uplink(&host.uplink, &host.name)?;
        let mut place = Place::new(&host.name, Kind::Host, uplink);
        let spaces = match (host.uplink == Uplink::Internet, host.server) {
            (true, true) if lab_has_v6 => SERVERS.to_vec(),
            (true, true) => SERVERS[..1].to_vec(),
            (true, false) => match host.family {
                Family::Ipv4 => PUBLIC[..1].to_vec(),
                Family::Ipv6 => PUBLIC[1..].to_vec(),
                Family::Dual => PUBLIC.to_vec(),
            },
            (false, _) => self.plan.places[uplink].inside.clone(),
        };
        for space in spaces {
            for _ in 0..host.addresses {
                place.addresses.push(self.plan.spaces[space].low()?);
            }
        }
        self.add(place)
    }

    fn uplink(&self, uplink: &Uplink, of: &str) -> Result<usize, Error> {
        let (name, what) = match uplink {
            Uplink::Internet => return Ok(0),
            Uplink::Router(name) => (name, "a router"),
            Uplink::Lan(name) => (name, "a LAN"),
        };
        let is_right = |&place: &usize| match uplink {
            Uplink::Lan(_) => self.plan.places[place].kind == Kind::Switch,
            _ => matches!(self.plan.places[place].kind, Kind::Router(_)),
        };
        self.names.get(name).copied().filter(is_right).ok_or_else(|| {
            Error::Topology(format!("`{of}` is plugged into `{name}`, which is not {what} before it"))
        })
    }

    fn add(&mut self, mut place: Place) -> Result<(), Error> {
        let index = self.plan.places.len();
        if self.names.insert(place.name.clone(), index).is_some() {
            return Err(Error::Topology(format!("two nodes are called `{}`", place.name)));
        }
        let siblings = &mut self.plan.places[place.uplink].plugged;
        // Never the index of the other end: the kernel would take the pair for a stacked device of its own and let its
        // link watch, which runs once a second, bring the carrier up.
        place.port = OUTWARD + 1 + siblings.len() as u32;
        siblings.push(index);
        self.plan.places.push(place);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::nat::{Nat, Preset};

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
