//! Topologies: which routers and hosts there are and what each is plugged into. Plain data.

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
    /// The address families it has where it is public; behind a router they are the router's.
    pub family: Family,
}

/// The nodes of a lab. The internet itself is not named: every lab has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Routers; an uplink names a router that stands earlier in the list.
    pub routers: Vec<Router>,
    /// Switches, each on the inside of a router.
    pub lans: Vec<Lan>,
    /// Hosts.
    pub hosts: Vec<Host>,
}

impl Topology {
    /// Adds a router and returns the topology.
    #[must_use]
    pub fn router(mut self, name: &str, uplink: Uplink, nat: Nat) -> Self {
        self.routers.push(Router { name: name.to_owned(), uplink, nat });
        self
    }

    /// Adds a host with one address and returns the topology.
    #[must_use]
    pub fn host(mut self, name: &str, uplink: Uplink) -> Self {
        self.hosts.push(Host {
            name: name.to_owned(),
            uplink,
            addresses: 1,
            server: false,
            family: Family::Ipv4,
        });
        self
    }

    /// Adds a public server with this many addresses and returns the topology.
    #[must_use]
    pub fn server(mut self, name: &str, addresses: u8) -> Self {
        let (name, uplink) = (name.to_owned(), Uplink::Internet);
        self.hosts.push(Host { name, uplink, addresses, server: true, family: Family::Ipv4 });
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
