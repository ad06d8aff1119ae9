//! From a case to the topology of its lab. Pure.

use netns::nat::Preset;
use netns::topology::{Topology, Uplink};

use crate::scenario::{Break, Case};

/// The node of the signaling server.
pub const SIGNALING: &str = "signaling";
/// The node of the STUN server.
pub const STUN: &str = "stun";
/// RFC 5780 asks for two.
const STUN_ADDRESSES: u8 = 2;

/// The name of the router in front of a peer; no peer can have it, because names have no dots.
pub fn router_of(peer: &str) -> String {
    format!("{peer}.router")
}

/// What the scenario declares a router to be, as it writes it; `None` where the node is no router.
pub fn declared(case: &Case, node: &str) -> Option<String> {
    let peer = case.peers.iter().find(|peer| router_of(&peer.name) == node && peer.nat.nat().is_some())?;
    Some(peer.nat.name().to_owned())
}

/// The lab of a case: a router in front of every peer that has a NAT, and the two servers.
pub fn topology(case: &Case) -> Topology {
    let mut topology = Topology::default();
    for peer in &case.peers {
        if let Some(nat) = built_as(case, &peer.name, peer.nat).nat() {
            topology = topology.router(&router_of(&peer.name), Uplink::Internet, nat);
        }
    }
    for peer in &case.peers {
        let has_router = built_as(case, &peer.name, peer.nat).nat().is_some();
        let uplink = if has_router { Uplink::Router(router_of(&peer.name)) } else { Uplink::Internet };
        topology = topology.host(&peer.name, uplink);
    }
    topology.server(STUN, STUN_ADDRESSES).server(SIGNALING, 1)
}

/// What a router really is: what the scenario declares, unless it is a lie on purpose.
fn built_as(case: &Case, peer: &str, declared: Preset) -> Preset {
    match &case.broken {
        Some(Break::Lie(lies)) => {
            lies.iter().find(|lie| lie.router == peer).map_or(declared, |lie| lie.really)
        }
        _ => declared,
    }
}
