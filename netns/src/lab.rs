//! A lab: a topology, built. Dropping it removes it.

mod links;
mod router;
mod settings;

pub use router::{Drops, Router};

use std::collections::HashMap;

use crate::address::{Kind, Plan};
use crate::error::Error;
use crate::nat::OnDrop;
use crate::netlink::{Socket, Subsystem};
use crate::node::Node;
use crate::topology::Topology;
use settings::Settings;

/// Namespaces, links, addresses, routes and NAT rules of one topology. It shares nothing with any other lab.
#[derive(Debug)]
pub struct Lab {
    nodes: Vec<Node>,
    routers: HashMap<String, Router>,
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
                    if router.nat.on_drop == OnDrop::Reject {
                        settings::answer_without_limit(place)?;
                    }
                    let netfilter = Socket::open(Subsystem::Netfilter)?;
                    // Rules need no links: another core can install them meanwhile.
                    let start = || Router::start(router.nat, place, netfilter);
                    installing.push((router, scope.spawn(start)));
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
