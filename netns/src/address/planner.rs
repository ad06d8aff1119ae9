//! Places the nodes of a topology: routers and their LANs first, then hosts, each in its uplink's spaces.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::space::{self, Space};
use super::{Kind, OUTWARD, Place, Plan};
use crate::error::Error;
use crate::nat::{Family, Translation};
use crate::topology::{Host, Ipv4Range, Lan, Router, Topology, Uplink};

/// The address of the internet as a gateway.
const INTERNET: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
const INTERNET_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// Public addresses and servers' addresses of either family stand first among the spaces.
const PUBLIC: [usize; 2] = [0, 1];
const SERVERS: [usize; 2] = [2, 3];

/// A plan in the making.
pub(super) struct Planner {
    plan: Plan,
    names: HashMap<String, usize>,
    /// How many routers have got ranges of their own.
    insides: usize,
    carriers: usize,
    prefixes: usize,
}

impl Planner {
    pub(super) fn plan(topology: &Topology) -> Result<Plan, Error> {
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
