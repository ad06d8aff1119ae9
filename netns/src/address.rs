//! The address plan: which address every node of a topology has, and which links there are. Pure, deterministic.
//!
//! Public routers and hosts 198.18.0.0/15, servers 203.0.113.0/24, inside a router 10.R.0.0/16 (R counts routers),
//! between a carrier and its homes 100.64.0.0/10. Every link is point to point: its far end is a /32 route and a
//! permanent neighbour, so no bridge, no ARP, and nothing in the neighbour table that all namespaces share.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use crate::error::Error;
use crate::netlink::route::Mac;
use crate::topology::{Topology, Uplink};

/// The index of every node's outward link; what is plugged into a node comes after.
pub(crate) const OUTWARD: u32 = 2;

/// The address of the internet as a gateway.
pub(crate) const INTERNET: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// A node with its place in the plan. Place 0 is the internet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    /// The place its outward link ends at.
    pub(crate) uplink: usize,
    /// The addresses of its outward link.
    pub(crate) addresses: Vec<Ipv4Addr>,
    /// Its address on all inward links; `None` for a host.
    pub(crate) gateway: Option<Ipv4Addr>,
    /// The index, at the uplink, of the link that it is plugged into there.
    pub(crate) port: u32,
}

/// Where every node is, the internet first, then routers, then hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) places: Vec<Place>,
}

impl Plan {
    /// Places the nodes; the same topology always gets the same addresses.
    pub(crate) fn of(topology: &Topology) -> Result<Self, Error> {
        let mut plan = Plan {
            places: vec![Place {
                name: "internet".to_owned(),
                uplink: 0,
                addresses: Vec::new(),
                gateway: Some(INTERNET),
                port: 0,
            }],
        };
        let mut names = HashMap::from([("internet".to_owned(), 0)]);
        let mut ranges = Ranges::default();
        for router in &topology.routers {
            let uplink = plan.uplink(&names, &router.uplink, &router.name)?;
            let between =
                topology.routers.iter().any(|inner| inner.uplink == Uplink::Router(router.name.clone()));
            let gateway = if between { ranges.carrier()? } else { ranges.inside()? };
            plan.add(&mut names, &mut ranges, &router.name, uplink, 1, false, Some(gateway))?;
        }
        for host in &topology.hosts {
            let uplink = plan.uplink(&names, &host.uplink, &host.name)?;
            plan.add(&mut names, &mut ranges, &host.name, uplink, host.addresses, host.server, None)?;
        }
        Ok(plan)
    }

    fn uplink(&self, names: &HashMap<String, usize>, uplink: &Uplink, of: &str) -> Result<usize, Error> {
        match uplink {
            Uplink::Internet => Ok(0),
            Uplink::Router(name) | Uplink::Lan(name) => {
                names.get(name).copied().filter(|&place| self.places[place].gateway.is_some()).ok_or_else(
                    || {
                        Error::Topology(format!(
                            "`{of}` is plugged into `{name}`, which is not a router before it"
                        ))
                    },
                )
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of one row of the plan")]
    fn add(
        &mut self,
        names: &mut HashMap<String, usize>,
        ranges: &mut Ranges,
        name: &str,
        uplink: usize,
        count: u8,
        server: bool,
        gateway: Option<Ipv4Addr>,
    ) -> Result<(), Error> {
        if names.insert(name.to_owned(), self.places.len()).is_some() {
            return Err(Error::Topology(format!("two nodes are called `{name}`")));
        }
        let siblings = self.places.iter().skip(1).filter(|place| place.uplink == uplink).count() as u32;
        // Never the index of the other end: the kernel would take the pair for a stacked device of its own and let its
        // link watch, which runs once a second, bring the carrier up.
        let port = OUTWARD + 1 + siblings;
        let mut addresses = Vec::new();
        for _ in 0..count {
            addresses.push(match (uplink, server) {
                (0, true) => ranges.server()?,
                (0, false) => ranges.public()?,
                (router, _) => ranges.behind(self.places[router].gateway.unwrap_or(INTERNET))?,
            });
        }
        self.places.push(Place { name: name.to_owned(), uplink, addresses, gateway, port });
        Ok(())
    }

    /// The links that others are plugged into at this place.
    pub(crate) fn ports(&self, place: usize) -> Vec<u32> {
        let plugged = self.places.iter().skip(1).filter(|child| child.uplink == place);
        plugged.map(|child| child.port).collect()
    }

    /// The Ethernet address of the outward link of a place, or of the uplink's end of the same link.
    pub(crate) fn mac(place: usize, at_uplink: bool) -> Mac {
        let [_, _, high, low] = (place as u32).to_be_bytes();
        [0x02, 0, 0, u8::from(at_uplink), high, low]
    }
}

/// The next free address of each range.
#[derive(Debug, Default)]
struct Ranges {
    public: u32,
    servers: u32,
    insides: u32,
    carriers: u32,
    behind: HashMap<Ipv4Addr, u32>,
}

impl Ranges {
    fn public(&mut self) -> Result<Ipv4Addr, Error> {
        self.public += 1;
        // The first address is the internet's own.
        take(INTERNET, self.public, 0x0001_fffd, "public addresses")
    }

    fn server(&mut self) -> Result<Ipv4Addr, Error> {
        self.servers += 1;
        take(Ipv4Addr::new(203, 0, 113, 1), self.servers, 253, "server addresses")
    }

    fn inside(&mut self) -> Result<Ipv4Addr, Error> {
        self.insides += 1;
        // 10.1.0.1, 10.1.1.1, ..: 65,000 routers with 253 hosts each.
        take(Ipv4Addr::new(10, 1, 0, 1), (self.insides - 1) * 256, 0x00fe_0000, "inside ranges")
    }

    fn carrier(&mut self) -> Result<Ipv4Addr, Error> {
        self.carriers += 1;
        take(Ipv4Addr::new(100, 64, 0, 1), (self.carriers - 1) * 0x1_0000, 0x003f_0000, "carrier ranges")
    }

    fn behind(&mut self, gateway: Ipv4Addr) -> Result<Ipv4Addr, Error> {
        let used = self.behind.entry(gateway).or_default();
        *used += 1;
        let room = if gateway.octets()[0] == 10 { 253 } else { 0xfffd };
        take(gateway, *used, room, "addresses behind one router")
    }
}

fn take(base: Ipv4Addr, offset: u32, room: u32, what: &str) -> Result<Ipv4Addr, Error> {
    if offset > room {
        return Err(Error::Topology(format!("too many nodes: the {what} are used up")));
    }
    Ok(Ipv4Addr::from(u32::from(base) + offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nat::Preset;

    #[test]
    fn every_node_has_its_address_in_the_range_of_its_kind() {
        let nat = Preset::FullCone.nat().unwrap();
        let topology = Topology::default()
            .router("carrier", Uplink::Internet, nat)
            .router("home", "carrier".into(), nat)
            .host("alice", "home".into())
            .host("bob", Uplink::Internet)
            .server("stun", 2);
        let plan = Plan::of(&topology).unwrap();
        let shown: Vec<String> = plan
            .places
            .iter()
            .skip(1)
            .map(|place| format!("{} {:?} port {}", place.name, place.addresses, place.port))
            .collect();
        assert_eq!(
            shown,
            [
                "carrier [198.18.0.2] port 3",
                "home [100.64.0.2] port 3",
                "alice [10.1.0.2] port 3",
                "bob [198.18.0.3] port 4",
                "stun [203.0.113.2, 203.0.113.3] port 5",
            ]
        );
    }

    #[test]
    fn a_name_that_is_twice_there_or_not_there_is_refused() {
        let twice = Topology::default().host("a", Uplink::Internet).host("a", Uplink::Internet);
        assert_eq!(Plan::of(&twice).unwrap_err().to_string(), "two nodes are called `a`");
        let nowhere = Topology::default().host("a", "b".into());
        assert_eq!(
            Plan::of(&nowhere).unwrap_err().to_string(),
            "`a` is plugged into `b`, which is not a router before it"
        );
    }
}
