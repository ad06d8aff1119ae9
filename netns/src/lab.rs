//! A lab: a topology, built. Dropping it removes it.

mod router;

pub use router::{Drops, Router};

use std::collections::HashMap;

use crate::address::{INTERNET, OUTWARD, Place, Plan};
use crate::error::Error;
use crate::netlink::wire::Batch;
use crate::netlink::{Socket, Subsystem, route};
use crate::node::Node;
use crate::topology::Topology;

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
            for (index, place) in plan.places.iter().enumerate() {
                nodes.push(Node::make(&place.name, &place.addresses)?);
                // Routers follow the internet, in the order of the topology.
                if let Some(router) = index.checked_sub(1).and_then(|index| topology.routers.get(index)) {
                    let netfilter = Socket::open(Subsystem::Netfilter)?;
                    // Rules need no links: another core can install them meanwhile.
                    let inside = place.gateway.unwrap_or(INTERNET);
                    installing.push(
                        scope.spawn(move || Router::start(router.nat, &place.addresses, inside, netfilter)),
                    );
                }
            }
            link(plan, &nodes)?;
            for (router, installing) in topology.routers.iter().zip(installing) {
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

    /// All nodes: the internet, the routers, the hosts.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// The router of this name.
    pub fn router(&self, name: &str) -> Option<&Router> {
        self.routers.get(name)
    }
}

/// Links, addresses and routes of all nodes; returns when every link sends.
fn link(plan: &Plan, nodes: &[Node]) -> Result<(), Error> {
    for (index, node) in nodes.iter().enumerate() {
        let mut batch = Batch::new();
        configure(&mut batch, plan, index);
        plug_in(&mut batch, plan, index, nodes);
        node.route.commit(batch)?;
    }
    // The far end of each link was up last, and sends from then on; the near end may not yet.
    for (index, node) in nodes.iter().enumerate() {
        route::await_running(&node.route, &plan.ports(index))?;
    }
    Ok(())
}

/// Addresses and routes of the outward link (which exists: uplinks come first), and the loopback.
fn configure(batch: &mut Batch, plan: &Plan, index: usize) {
    let place = &plan.places[index];
    route::up(batch, route::LOOPBACK);
    if index == 0 {
        route::address(batch, route::LOOPBACK, INTERNET);
        route::blackhole_default(batch);
        return;
    }
    route::up(batch, OUTWARD);
    for &address in &place.addresses {
        route::address(batch, OUTWARD, address);
    }
    if let Some(gateway) = plan.places[place.uplink].gateway {
        route::neighbour(batch, OUTWARD, gateway, Plan::mac(index, true));
        route::default_route(batch, OUTWARD, gateway, place.addresses[0]);
    }
    if let Some(own) = place.gateway {
        // On the loopback: every inward link answers for it.
        route::address(batch, route::LOOPBACK, own);
        route::forward(batch, OUTWARD);
    }
}

/// The links of what is plugged into this place, with the way to each.
fn plug_in(batch: &mut Batch, plan: &Plan, index: usize, nodes: &[Node]) {
    for (child, place) in plan.places.iter().enumerate().skip(1).filter(|(_, place)| place.uplink == index) {
        let end = |place: &Place, at_uplink| route::End {
            name: if at_uplink { format!("port{}", place.port) } else { "outward".to_owned() },
            index: if at_uplink { place.port } else { OUTWARD },
            mac: Plan::mac(child, at_uplink),
        };
        route::veth(batch, &end(place, true), &end(place, false), nodes[child].namespace());
        route::forward(batch, place.port);
        for &address in &place.addresses {
            route::host_route(batch, place.port, address);
            route::neighbour(batch, place.port, address, Plan::mac(child, false));
        }
    }
}
