//! Topologies: which routers and hosts there are and what each is plugged into. Plain data.

use crate::nat::Nat;

/// Where a node's outward link ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uplink {
    /// On the internet: its address is public.
    Internet,
    /// On the inside of the router of this name.
    Router(String),
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
}

/// The nodes of a lab. The internet itself is not named: every lab has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Routers; an uplink names a router that stands earlier in the list.
    pub routers: Vec<Router>,
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
        self.hosts.push(Host { name: name.to_owned(), uplink, addresses: 1, server: false });
        self
    }

    /// Adds a public server with this many addresses and returns the topology.
    #[must_use]
    pub fn server(mut self, name: &str, addresses: u8) -> Self {
        self.hosts.push(Host { name: name.to_owned(), uplink: Uplink::Internet, addresses, server: true });
        self
    }
}

impl From<&str> for Uplink {
    /// `Uplink::from("home")` is the inside of the router `home`.
    fn from(router: &str) -> Self {
        Uplink::Router(router.to_owned())
    }
}
