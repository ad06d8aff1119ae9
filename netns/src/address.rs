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
mod tests;
