//! Which nodes a lab has, what whoever enters one should know of it, and how others are entered from there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use netns::node::Node;
use netns::topology::{Host, Uplink};
use serde::{Deserialize, Serialize};

use super::standing::Standing;
use crate::plan;
use crate::scenario::Case;

/// A node of the lab of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// What it is, in words.
    pub what: String,
}

/// The nodes of a case's lab: peers, routers, switches, servers, the internet.
pub fn places(case: &Case) -> Vec<Place> {
    let topology = plan::topology(case);
    let place = |name: &str, what: String| Place { name: name.to_owned(), what };
    let behind = |uplink: &Uplink| match uplink {
        Uplink::Internet => "on the internet".to_owned(),
        Uplink::Router(router) => format!("behind {router}"),
        Uplink::Lan(lan) => format!("on {lan}"),
    };
    let is_peer = |host: &&Host| case.peers.iter().any(|peer| peer.name == host.name);
    let (peers, others): (Vec<_>, Vec<_>) = topology.hosts.iter().partition(is_peer);
    let mut all = Vec::new();
    all.extend(peers.iter().map(|host| place(&host.name, format!("peer {}", behind(&host.uplink)))));
    all.extend(topology.routers.iter().map(|router| {
        let declared = case.routers.iter().find(|declared| declared.name == router.name);
        let kind = declared.map_or("", |declared| &declared.label);
        place(&router.name, format!("router {kind} {}", behind(&router.uplink)))
    }));
    all.extend(topology.lans.iter().map(|lan| place(&lan.name, format!("switch behind {}", lan.router))));
    all.extend(others.iter().map(|host| match host.server {
        true => place(&host.name, "server".to_owned()),
        false => place(&host.name, format!("there to measure routers, {}", behind(&host.uplink))),
    }));
    all.push(place("internet", "joins all that is public".to_owned()));
    all
}

impl Standing {
    /// The environment of a program in a node: where it is, and where the servers are.
    pub fn environment(&self, case: &Case, node: &str) -> Vec<(&'static str, String)> {
        let addresses: Vec<String> = self
            .lab
            .node(node)
            .map_or_else(Vec::new, |node| node.all_addresses().map(|address| address.to_string()).collect());
        let mut environment = vec![("NATLAB_NODE", node.to_owned())];
        environment.extend(addresses.first().map(|first| ("NATLAB_ADDRESS", first.clone())));
        environment.push(("NATLAB_ADDRESSES", addresses.join(" ")));
        let [stun, other] = self.stun();
        environment.push(("NATLAB_STUN", stun.to_string()));
        environment.push(("NATLAB_STUN_ALT", other.to_string()));
        environment.push(("NATLAB_SIGNALING", self.signaling()));
        let router = case.routers.iter().find(|router| router.name == node);
        environment.extend(router.map(|router| ("NATLAB_NAT", router.label.clone())));
        environment
    }
    /// The way into every node, for [`DOORS`].
    pub fn doors(&self, case: &Case) -> io::Result<String> {
        let this_process = Path::new("/proc").join(fs::read_link("/proc/self")?).join("fd");
        let door = |node: &Node| Door {
            node: node.name().to_owned(),
            namespace: this_process.join(node.descriptor().to_string()),
            environment: self
                .environment(case, node.name())
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        };
        Ok(serde_json::to_string(&self.lab.nodes().map(door).collect::<Vec<_>>())?)
    }
}

/// Where the processes of a shell find the ways into the other nodes of their lab.
pub const DOORS: &str = "NATLAB_DOORS";

/// The way into a node from inside its lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Door {
    /// The node.
    pub node: String,
    /// Its network namespace, open in the process that holds the lab.
    pub namespace: PathBuf,
    /// What a process in it is told.
    pub environment: Vec<(String, String)>,
}
