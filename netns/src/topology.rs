//! Topologies: which routers, LANs and hosts there are and what each is plugged into. Plain data.

mod range;

pub use range::{Ipv4Range, NoRange};

use crate::nat::{Family, Nat};

/// Where a node's outward link ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uplink {
    /// On the internet: its address is public.
    Internet,
    /// On the inside of the router of this name.
    Router(String),
    /// On the LAN of this name: what is on one LAN reaches each other without a router.
    Lan(String),
}

/// A switch on the inside of a router, for several hosts that reach each other without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lan {
    /// Unique among the nodes of a topology.
    pub name: String,
    /// The router that it leads to.
    pub router: String,
}

/// A NAT router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Router {
    /// Unique among the nodes of a topology.
    pub name: String,
    /// What its outside is plugged into.
    pub uplink: Uplink,
    /// How it behaves.
    pub nat: Nat,
    /// The IPv4 addresses of its inside; where it is `None` the lab chooses some that no other router has. Two routers
    /// may have the same, also where one is behind the other (RFC 4787 REQ-7).
    pub inside: Option<Ipv4Range>,
}

/// A host: a peer or a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Unique among the nodes of a topology.
    pub name: String,
    /// What it is plugged into.
    pub uplink: Uplink,
    /// How many addresses it has, 1 or more (a STUN server of RFC 5780 has two).
    pub addresses: u8,
    /// Servers get addresses of their own range.
    pub server: bool,
    /// The address families it has where it is public; behind a router they are the router's. A server has both where
    /// anybody has IPv6.
    pub family: Family,
}

/// The nodes of a lab. The internet itself is not named: every lab has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Routers; an uplink names a router that stands earlier in the list, or a LAN of one.
    pub routers: Vec<Router>,
    /// Switches, each on the inside of a router. Two hosts plugged into a router itself are joined by the router.
    pub lans: Vec<Lan>,
    /// Hosts.
    pub hosts: Vec<Host>,
    /// Whether the routers count the packets of each mapping. It costs a little of every packet.
    pub counts_packets: bool,
}

impl Topology {
    /// Adds a router and returns the topology.
    #[must_use]
    pub fn router(mut self, name: &str, uplink: Uplink, nat: Nat) -> Self {
        self.routers.push(Router { name: name.to_owned(), uplink, nat, inside: None });
        self
    }

    /// Gives the router of this name this inside range and returns the topology.
    #[must_use]
    pub fn inside(mut self, router: &str, range: Ipv4Range) -> Self {
        for router in self.routers.iter_mut().filter(|known| known.name == router) {
            router.inside = Some(range);
        }
        self
    }

    /// Adds a host with one address (of each family that there is behind its router) and returns the topology.
    #[must_use]
    pub fn host(mut self, name: &str, uplink: Uplink) -> Self {
        let family = Family::Ipv4;
        self.hosts.push(Host { name: name.to_owned(), uplink, addresses: 1, server: false, family });
        self
    }

    /// Adds a public host of these address families and returns the topology.
    #[must_use]
    pub fn public_host(mut self, name: &str, family: Family) -> Self {
        let (name, uplink) = (name.to_owned(), Uplink::Internet);
        self.hosts.push(Host { name, uplink, addresses: 1, server: false, family });
        self
    }

    /// Adds a public server with this many addresses and returns the topology.
    #[must_use]
    pub fn server(mut self, name: &str, addresses: u8) -> Self {
        let (name, uplink) = (name.to_owned(), Uplink::Internet);
        self.hosts.push(Host { name, uplink, addresses, server: true, family: Family::Ipv4 });
        self
    }

    /// Makes every router count the packets of each mapping, and returns the topology.
    #[must_use]
    pub fn counting_packets(mut self) -> Self {
        self.counts_packets = true;
        self
    }

    /// Adds a LAN inside a router and returns the topology.
    #[must_use]
    pub fn lan(mut self, name: &str, router: &str) -> Self {
        self.lans.push(Lan { name: name.to_owned(), router: router.to_owned() });
        self
    }
}

impl From<&str> for Uplink {
    /// `Uplink::from("home")` is the inside of the router `home`.
    fn from(router: &str) -> Self {
        Uplink::Router(router.to_owned())
    }
}
