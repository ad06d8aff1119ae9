//! A lab behaves alike on every host: what namespaces inherit from it is set anew where it differs.

use netns::lab::Lab;
use netns::nat::Family;
use netns::topology::{Topology, Uplink};

use crate::wire::full_cone;

#[test]
fn no_node_filters_by_return_path_or_routes_what_it_was_not_told_to() {
    let topology = Topology::default()
        .router("home", Uplink::Internet, full_cone(Family::Dual))
        .lan("home.lan", "home")
        .host("alice", Uplink::Lan("home.lan".to_owned()))
        .host("bob", Uplink::Internet);
    let lab = Lab::build(&topology).unwrap();
    for (node, routes) in [
        ("internet", [true, true]),
        ("home", [true, true]),
        ("home.lan", [true, true]),
        ("alice", [false; 2]),
    ] {
        let setting = |name: &str| {
            let read = || std::fs::read_to_string(format!("/proc/sys/net/{name}")).unwrap();
            lab.node(node).unwrap().within(read).unwrap().trim_end().to_owned()
        };
        // Every node has one of the two.
        let link = if node == "internet" { "port3" } else { "outward" };
        for of in ["all", "default", link] {
            assert_eq!(setting(&format!("ipv4/conf/{of}/rp_filter")), "0", "{of} of {node}");
            assert_eq!(setting(&format!("ipv4/conf/{of}/route_localnet")), "0", "{of} of {node}");
        }
        let forwarding = ["ipv4", "ipv6"].map(|ip| setting(&format!("{ip}/conf/{link}/forwarding")) == "1");
        assert_eq!(forwarding, routes, "{node}");
    }
}
