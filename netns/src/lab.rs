//! A lab: a topology, built. Dropping it removes it.

mod links;
mod settings;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::address::{Kind, OUTWARD, Place, Plan};
use crate::error::Error;
use crate::nat::Nat;
use crate::nat::ruleset;
use crate::nat::table::MappingTable;
use crate::netlink::nftables::{self, Table};
use crate::netlink::{Socket, Subsystem};
use crate::node::Node;
use crate::topology::{self, Topology};
use settings::Settings;

/// Namespaces, links, addresses, routes and NAT rules of one topology. It shares nothing with any other lab.
#[derive(Debug)]
pub struct Lab {
    nodes: Vec<Node>,
    routers: HashMap<String, Router>,
}

/// A NAT router of a lab.
#[derive(Debug)]
pub struct Router {
    nat: Nat,
    outsides: Vec<Ipv4Addr>,
    netfilter: Socket,
    table: Table,
}

/// What a router has dropped since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops {
    /// Inbound packets that its filter did not admit.
    pub filtered: u64,
    /// Outbound packets for which no free port was left.
    pub exhausted: u64,
    /// Outbound packets of a kind that it does not translate.
    pub untranslatable: u64,
}

impl Lab {
    /// Builds a topology; returns when every link is up and every rule in force.
    pub fn build(topology: &Topology) -> Result<Self, Error> {
        let plan = Plan::of(topology)?;
        // A thread of its own walks from namespace to namespace; the caller stays where it is.
        std::thread::scope(|scope| {
            let builder = scope.spawn(|| Self::build_here(topology, &plan));
            builder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn build_here(topology: &Topology, plan: &Plan) -> Result<Self, Error> {
        let mut nodes = Vec::with_capacity(plan.places.len());
        let mut routers = HashMap::new();
        std::thread::scope(|scope| {
            let mut installing = Vec::with_capacity(topology.routers.len());
            let mut settings = None;
            for place in &plan.places {
                nodes.push(Node::make(&place.name, &place.addresses)?);
                let settings = match &settings {
                    Some(settings) => settings,
                    None => settings.insert(Settings::needed(plan.has_v6())?),
                };
                settings.make(place)?;
                if let Kind::Router(router) = place.kind {
                    let router = &topology.routers[router];
                    let netfilter = Socket::open(Subsystem::Netfilter)?;
                    // Rules need no links: another core can install them meanwhile.
                    installing.push((router, scope.spawn(|| Router::install(router, place, netfilter))));
                }
            }
            links::link(plan, &nodes, settings::kernel_has_v6())?;
            for (router, installing) in installing {
                let installed = installing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                routers.insert(router.name.clone(), installed?);
            }
            Ok::<_, Error>(())
        })?;
        Ok(Lab { nodes, routers })
    }

    /// The node of this name; every node of the topology is here, and `internet`.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name() == name)
    }

    /// All nodes: the internet, the routers, each with its LANs, the hosts.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// The router of this name.
    pub fn router(&self, name: &str) -> Option<&Router> {
        self.routers.get(name)
    }
}

impl Router {
    fn install(router: &topology::Router, place: &Place, netfilter: Socket) -> Result<Self, Error> {
        let outsides: Vec<Ipv4Addr> = place
            .addresses
            .iter()
            .filter_map(|address| match address {
                IpAddr::V4(address) => Some(*address),
                IpAddr::V6(_) => None,
            })
            .collect();
        let outside = outsides.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED);
        let table = ruleset::ruleset(&router.nat, outside, OUTWARD);
        nftables::install(&netfilter, &table)?;
        Ok(Router { nat: router.nat, outsides, netfilter, table })
    }

    /// How it behaves.
    pub fn nat(&self) -> &Nat {
        &self.nat
    }

    /// The first of its outside IPv4 addresses; 0.0.0.0 where it has IPv6 only.
    pub fn outside(&self) -> Ipv4Addr {
        self.outsides.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED)
    }

    /// Its outside IPv4 addresses, as many as its NAT says.
    pub fn outsides(&self) -> &[Ipv4Addr] {
        &self.outsides
    }

    /// Ends every mapping, filter entry and counter at once, in one transaction, as losing power would.
    pub fn reboot(&self) -> Result<(), Error> {
        nftables::replace(&self.netfilter, &self.table)
    }

    /// What it has dropped since it was built or rebooted.
    pub fn drops(&self) -> Result<Drops, Error> {
        let read = |counter| nftables::packets(&self.netfilter, counter);
        Ok(Drops {
            filtered: read(ruleset::FILTERED)?,
            exhausted: read(ruleset::EXHAUSTED)?,
            untranslatable: read(ruleset::UNTRANSLATABLE)?,
        })
    }

    /// Its mappings as they are now.
    pub fn mappings(&self) -> Result<MappingTable, Error> {
        let elements = |set| nftables::elements(&self.netfilter, set);
        Ok(MappingTable::read(
            &self.nat,
            self.outside(),
            &elements(ruleset::MAPPINGS)?,
            &elements(ruleset::FILTER)?,
        ))
    }
}
