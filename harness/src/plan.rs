//! From a case to the topology of its lab. Pure.

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

/// The host that a router is measured from: a peer directly behind it, or else one that is there for nothing else.
pub fn place_behind(case: &Case, router: &str) -> String {
    let peer = case.peers.iter().find(|peer| peer.router.as_deref() == Some(router));
    peer.map_or_else(|| format!("{router}.probe"), |peer| peer.name.clone())
}

/// The STUN server on the inside of a router that others are behind: those are measured with it, each alone.
pub fn stun_inside(router: &str) -> String {
    format!("{router}.stun")
}

/// Whether a node is such a server; nothing else is called so, because names have no dots.
pub fn is_stun_inside(node: &str) -> bool {
    node.ends_with(".stun")
}

/// The lab of a case: its routers, a switch on each network that several peers are on, the peers, the two servers, and
/// what inner and outer routers are measured with.
pub fn topology(case: &Case) -> Topology {
    let mut topology = Topology::default();
    for router in &case.routers {
        let uplink = router.uplink.clone().map_or(Uplink::Internet, Uplink::Router);
        let nat = lie_about(case, &router.name).and_then(|really| really.nat).unwrap_or(router.nat);
        topology = topology.router(&router.name, uplink, nat);
        if let Some(range) = router.inside {
            topology = topology.inside(&router.name, range);
        }
    }
    for CaseRouter { name, .. } in case.routers.iter().filter(|router| is_shared(case, &router.name)) {
        topology = topology.lan(&lan_of(name), name);
    }
    for peer in &case.peers {
        topology = match uplink(case, peer) {
            Uplink::Internet => topology.public_host(&peer.name, peer.nat.family),
            uplink => topology.host(&peer.name, uplink),
        };
    }
    for router in &case.routers {
        let place = place_behind(case, &router.name);
        if case.peers.iter().all(|peer| peer.name != place) {
            topology = topology.host(&place, Uplink::from(router.name.as_str()));
        }
        if case.routers.iter().any(|inner| inner.uplink.as_deref() == Some(&router.name)) {
            topology = topology.host(&stun_inside(&router.name), Uplink::from(router.name.as_str()));
            if let Some(stun) = topology.hosts.last_mut() {
                stun.addresses = STUN_ADDRESSES;
            }
        }
    }
    topology.server(STUN, STUN_ADDRESSES).server(SIGNALING, 1)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use netns::nat::{Family, Preset};

    use super::*;
    use crate::scenario::{LoadOptions, cases, load};

    #[test]
    fn networks_become_routers_and_those_of_several_peers_get_a_switch() {
        let topology = plan(
            "
name: town
networks:
  home: { nat: port-restricted, uplink: carrier, inside: 10.9.0.0/24 }
  carrier: { nat: cgnat }
peers:
  alice: { lan: home }
  bob: { lan: home }
  carol: { lan: carrier }
  dave: { nat: symmetric }
  eve: { nat: { preset: open, family: dual } }
transfer: { from: alice, to: bob, size: 1 KiB }
",
        );
        let routers: Vec<(&str, &Uplink)> =
            topology.routers.iter().map(|router| (router.name.as_str(), &router.uplink)).collect();
        let carrier = Uplink::from("carrier");
        let internet = Uplink::Internet;
        assert_eq!(routers, [("carrier", &internet), ("home", &carrier), ("dave.router", &internet)]);
        assert_eq!(topology.routers[1].inside.map(|range| range.to_string()).as_deref(), Some("10.9.0.0/24"));
        let lans: Vec<(&str, &str)> =
            topology.lans.iter().map(|lan| (lan.name.as_str(), lan.router.as_str())).collect();
        assert_eq!(lans, [("home.lan", "home")]);
        let hosts: Vec<(&str, Uplink, Family)> = topology
            .hosts
            .iter()
            .filter(|host| !host.server)
            .map(|host| (host.name.as_str(), host.uplink.clone(), host.family))
            .collect();
        let lan = || Uplink::Lan("home.lan".to_owned());
        assert_eq!(
            hosts,
            [
                ("alice", lan(), Family::Ipv4),
                ("bob", lan(), Family::Ipv4),
                ("carol", carrier.clone(), Family::Ipv4),
                ("dave", Uplink::from("dave.router"), Family::Ipv4),
                ("eve", Uplink::Internet, Family::Dual),
                ("carrier.stun", carrier.clone(), Family::Ipv4),
            ]
        );
    }

    #[test]
    fn a_lie_is_built_and_not_what_is_declared() {
        let topology = plan(
            "
name: lie
networks: { home: { nat: full-cone } }
peers: { alice: { lan: home }, bob: { nat: full-cone } }
transfer: { from: alice, to: bob, size: 1 KiB }
break: { lie: { home: symmetric, bob: { preset: full-cone, hairpin: off } } }
",
        );
        assert_eq!(Some(topology.routers[0].nat), Preset::Symmetric.nat());
        assert_ne!(Some(topology.routers[1].nat), Preset::FullCone.nat());
    }

    fn plan(text: &str) -> Topology {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("any.yaml");
        std::fs::write(&file, text).unwrap();
        let scenario = load(&[file], LoadOptions { allow_break: true }).unwrap().remove(0);
        topology(&cases(&Arc::new(scenario), 1, None)[0])
    }
}
