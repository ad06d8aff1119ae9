//! The links of a lab: every node's outward link, its addresses, and the way to what is plugged into it.

use std::net::IpAddr;
use std::sync::mpsc::Receiver;

use super::settings;
use crate::address::{Kind, OUTWARD, Place, Plan};
use crate::error::Error;
use crate::netlink::route;
use crate::netlink::wire::Batch;
use crate::node::Node;

/// Links, addresses and routes of all nodes, each as soon as there it is; returns them when every link sends and every
/// address receives. The calling thread ends in any of them.
pub(super) fn link(plan: &Plan, made: Receiver<Node>, kernel_has_v6: bool) -> Result<Vec<Node>, Error> {
    let mut nodes: Vec<Node> = Vec::with_capacity(plan.places.len());
    for node in made {
        let index = nodes.len();
        if let Some(uplink) = nodes.get(plan.places[index].uplink) {
            let mut batch = Batch::new();
            plug_in(&mut batch, plan, index, &node, kernel_has_v6);
            uplink.route.commit(batch)?;
        }
        let mut batch = Batch::new();
        configure(&mut batch, plan, index, kernel_has_v6);
        node.route.commit(batch)?;
        nodes.push(node);
    }
    for (place, node) in plan.places.iter().zip(&nodes) {
        if place.has_v6() && place.kind != Kind::Host {
            node.enter()?;
            settings::forward_v6()?;
        }
    }
    // The far end of each link was up last, and sends from then on; the near end may not yet.
    for (index, node) in nodes.iter().enumerate() {
        route::await_running(&node.route, &plan.ports(index))?;
        route::await_local(&node.route, &plan.places[index].own_v6())?;
    }
    Ok(nodes)
}

/// Addresses and routes of the outward link, and the loopback.
fn configure(batch: &mut Batch, plan: &Plan, index: usize, kernel_has_v6: bool) {
    let place = &plan.places[index];
    route::up(batch, route::LOOPBACK);
    if place.kind == Kind::Internet {
        for &gateway in &place.gateways {
            route::address(batch, route::LOOPBACK, gateway);
            route::blackhole(batch, everything(gateway));
        }
        return;
    }
    if kernel_has_v6 {
        route::no_link_local(batch, OUTWARD);
    }
    route::quiet_up(batch, OUTWARD, place.kind == Kind::Host);
    for &address in &place.addresses {
        route::address(batch, OUTWARD, address);
    }
    for &gateway in &plan.places[place.uplink].gateways {
        // Where there is no address of its family there is no way either.
        if let Some(source) = first_like(place, gateway) {
            route::neighbour(batch, OUTWARD, gateway, Plan::mac(index, true));
            route::default_route(batch, OUTWARD, gateway, source);
        }
    }
    if place.kind != Kind::Host {
        route::forward(batch, OUTWARD, place.overlaps);
    }
    if place.kind != Kind::Switch {
        // On the loopback: every inward link answers for them. Not before the default route, whose gateway may have
        // the same number (RFC 4787 REQ-7) and must not be the router's own while it is added.
        for &own in &place.gateways {
            route::address(batch, route::LOOPBACK, own);
        }
    }
    if let Some(prefix) = plan.prefix(index) {
        // RFC 7084 section 4.2, WPD-5: what nobody inside has must not go back where it came from.
        route::blackhole(batch, prefix);
    }
}

/// At its uplink: the link of a node, with the way to it and to what is beyond it.
fn plug_in(batch: &mut Batch, plan: &Plan, index: usize, node: &Node, kernel_has_v6: bool) {
    let place = &plan.places[index];
    let end = |at_uplink| route::End {
        name: if at_uplink { format!("port{}", place.port) } else { "outward".to_owned() },
        index: if at_uplink { place.port } else { OUTWARD },
        mac: Plan::mac(index, at_uplink),
    };
    route::veth(batch, &end(true), &end(false), node.namespace());
    if kernel_has_v6 {
        // In time: a link without a carrier makes no addresses, and it has none until its other end is up.
        route::no_link_local(batch, place.port);
    }
    route::forward(batch, place.port, false);
    for &address in &place.addresses {
        route::host_route(batch, place.port, address);
        route::neighbour(batch, place.port, address, Plan::mac(index, false));
    }
    for beyond in plan.beyond(index) {
        if let Some(by) = first_like(place, beyond.0) {
            route::route_by(batch, place.port, beyond, by);
        }
    }
}

/// The first address of a place's outward link that is of this family.
fn first_like(place: &Place, family: IpAddr) -> Option<IpAddr> {
    place.addresses.iter().copied().find(|address| address.is_ipv4() == family.is_ipv4())
}

fn everything(family: IpAddr) -> route::Prefix {
    match family {
        IpAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED.into(), 0),
        IpAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED.into(), 0),
    }
}
