//! A lab: a topology, built. Dropping it removes it.

mod links;
mod router;
mod settings;

pub use router::{Drops, Router};

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::ScopedJoinHandle;

use crate::address::{Kind, Place, Plan};
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
        let plan = &Plan::of(topology)?;
        let kernel_has_v6 = settings::kernel_has_v6();
        // Three threads, each going on with what the one before has made: namespaces, links, rules. The first walks
        // from namespace to namespace; the caller stays where it is.
        std::thread::scope(|scope| {
            let (to_link, linking) = mpsc::channel();
            let (to_start, starting) = mpsc::channel();
            let maker = scope.spawn(move || make(topology, plan, &to_link, &to_start));
            let linker = scope.spawn(move || links::link(plan, linking, kernel_has_v6));
            let starter = scope.spawn(move || start(topology, starting));
            let (made, nodes, routers) = (join(maker), join(linker), join(starter));
            made?;
            Ok(Lab { nodes: nodes?, routers: routers? })
        })
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

/// Makes the namespaces, in the order of the plan. Stops where nobody wants them any more, since somebody failed then.
fn make<'a>(
    topology: &Topology,
    plan: &'a Plan,
    to_link: &Sender<Node>,
    to_start: &Sender<(&'a Place, Socket)>,
) -> Result<(), Error> {
    let mut settings = None;
    for place in &plan.places {
        let node = Node::make(&place.name, &place.addresses)?;
        let settings = match &settings {
            Some(settings) => settings,
            None => settings.insert(Settings::needed(plan.has_v6())?),
        };
        settings.make(place)?;
        if let Kind::Router(router) = place.kind {
            if topology.routers[router].nat.on_drop == OnDrop::Reject {
                settings::answer_without_limit(place)?;
            }
            // Rules need no links.
            if to_start.send((place, Socket::open(Subsystem::Netfilter)?)).is_err() {
                break;
            }
        }
        if to_link.send(node).is_err() {
            break;
        }
    }
    Ok(())
}

/// Installs the rules of every router.
fn start(
    topology: &Topology,
    starting: Receiver<(&Place, Socket)>,
) -> Result<HashMap<String, Router>, Error> {
    let mut routers = HashMap::new();
    for (place, netfilter) in starting {
        if let Kind::Router(router) = place.kind {
            let nat = topology.routers[router].nat;
            routers
                .insert(place.name.clone(), Router::start(nat, place, netfilter, topology.counts_packets)?);
        }
    }
    Ok(routers)
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
