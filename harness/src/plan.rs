//! From a case to the topology of its lab. Pure.

use netns::nat::Family;
use netns::topology::{Topology, Uplink};

use crate::scenario::{Break, Case, CasePeer, CaseRouter, NatChoice};

/// The node of the signaling server.
pub const SIGNALING: &str = "signaling";
/// The node of the STUN server.
pub const STUN: &str = "stun";
/// RFC 5780 asks for two.
const STUN_ADDRESSES: u8 = 2;

/// The switch of a network; nothing else is called so, because names have no dots.
pub fn lan_of(router: &str) -> String {
    format!("{router}.lan")
}

/// The lab of a case: its routers, a switch on each network that several peers are on, the peers, and the two servers.
pub fn topology(case: &Case) -> Topology {
    let mut topology = Topology::default();
    for router in &case.routers {
        let uplink = router.uplink.clone().map_or(Uplink::Internet, Uplink::Router);
        let nat = lie_about(case, &router.name).and_then(|really| really.nat).unwrap_or(router.nat);
        topology = topology.router(&router.name, uplink, nat);
    }
    for CaseRouter { name, .. } in case.routers.iter().filter(|router| is_shared(case, &router.name)) {
        topology = topology.lan(&lan_of(name), name);
    }
    for peer in &case.peers {
        topology = topology.host(&peer.name, uplink(case, peer));
    }
    topology = topology.server(STUN, STUN_ADDRESSES).server(SIGNALING, 1);
    let is_ipv4_only = case.peers.iter().all(|peer| peer.nat.family == Family::Ipv4);
    for host in &mut topology.hosts {
        host.family = match case.peers.iter().find(|peer| peer.name == host.name) {
            Some(peer) => peer.nat.family,
            // Servers are there for everybody.
            None if is_ipv4_only => Family::Ipv4,
            None => Family::Dual,
        };
    }
    topology
}

fn uplink(case: &Case, peer: &CasePeer) -> Uplink {
    match &peer.router {
        Some(router) if is_shared(case, router) => Uplink::Lan(lan_of(router)),
        Some(router) => Uplink::Router(router.clone()),
        None => Uplink::Internet,
    }
}

/// Whether two or more peers are on the inside of this router.
fn is_shared(case: &Case, router: &str) -> bool {
    case.peers.iter().filter(|peer| peer.router.as_deref() == Some(router)).count() > 1
}

/// What a router really is, where the scenario lies about it on purpose.
fn lie_about<'c>(case: &'c Case, router: &str) -> Option<&'c NatChoice> {
    let Some(Break::Lie(lies)) = &case.broken else { return None };
    lies.iter().find(|lie| lie.router == router).map(|lie| &lie.really)
}
